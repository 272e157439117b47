//! Voice activity: louder than a noise floor that learns, and not steady.

/// Frames of 20 ms over which the quietest one is looked for (1 s: speech pauses within it).
const QUIET_WINDOW: usize = 50;
/// Frames over which a steady sound gives itself away (400 ms).
const STEADY_WINDOW: usize = 20;
/// Loudest minus quietest frame of a steady sound, decibels. White noise stays within 3; syllables span more
/// than 10.
const STEADY_SPAN_DB: f32 = 4.0;
/// How fast the floor may rise towards the quietest frame, decibels per frame (10 dB/s).
const RISE_PER_FRAME_DB: f32 = 0.2;
/// Voice that goes on may be this much quieter than voice that begins.
const HYSTERESIS_DB: f32 = 3.0;
/// Where the floor starts, dBm0: a quiet line.
const FLOOR_AT_START_DBM0: f32 = -58.0;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Activity {
    /// Under the threshold.
    Quiet,
    /// Over it.
    Voice,
    /// What was over it for the last 400 ms was steady: noise or a tone. The floor has moved up to it.
    Steady,
}

/// Follows one voice.
#[derive(Clone, Debug)]
pub(crate) struct Vad {
    over_floor_db: f32,
    level_min_dbm0: f32,
    pub(crate) floor_dbm0: f32,
    levels: [f32; QUIET_WINDOW],
    /// The same with high tones raised.
    raised: [f32; QUIET_WINDOW],
    frames: usize,
    active: bool,
}

impl Vad {
    pub(crate) fn new(over_floor_db: f32, level_min_dbm0: f32) -> Self {
        Vad {
            over_floor_db,
            level_min_dbm0,
            floor_dbm0: FLOOR_AT_START_DBM0,
            levels: [0.0; QUIET_WINDOW],
            raised: [0.0; QUIET_WINDOW],
            frames: 0,
            active: false,
        }
    }

    /// Feeds the level of the next 20 ms, and the level with its high tones raised: what is steady in either is steady.
    pub(crate) fn frame(&mut self, level_dbm0: f32, raised_dbm0: f32) -> Activity {
        self.levels[self.frames % QUIET_WINDOW] = level_dbm0;
        self.raised[self.frames % QUIET_WINDOW] = raised_dbm0;
        self.frames += 1;
        if level_dbm0 < self.floor_dbm0 {
            self.floor_dbm0 += 0.5 * (level_dbm0 - self.floor_dbm0);
        } else if self.frames >= QUIET_WINDOW {
            let (quiet, _) = self.span(&self.levels, QUIET_WINDOW);
            self.floor_dbm0 += (quiet - self.floor_dbm0).clamp(0.0, RISE_PER_FRAME_DB);
        }
        let needed = if self.active { self.over_floor_db - HYSTERESIS_DB } else { self.over_floor_db };
        self.active = level_dbm0 > (self.floor_dbm0 + needed).max(self.level_min_dbm0);
        if !self.active {
            return Activity::Quiet;
        }
        if self.frames >= STEADY_WINDOW {
            let (quiet, loud) = self.span(&self.levels, STEADY_WINDOW);
            let (quiet_raised, loud_raised) = self.span(&self.raised, STEADY_WINDOW);
            if (loud - quiet).min(loud_raised - quiet_raised) < STEADY_SPAN_DB {
                self.floor_dbm0 = loud;
                self.active = false;
                return Activity::Steady;
            }
        }
        Activity::Voice
    }

    /// The quietest and the loudest of the last `count` frames.
    fn span(&self, levels: &[f32; QUIET_WINDOW], count: usize) -> (f32, f32) {
        let count = count.min(self.frames);
        let recent = (1..=count).map(|back| levels[(self.frames - back) % QUIET_WINDOW]);
        recent.fold((f32::MAX, f32::MIN), |(low, high), level| (low.min(level), high.max(level)))
    }
}
