//! What a greeting is like: how loud, how long, how broken, and what came after it.
//!
//! Every 80 ms everything heard since the answer is looked at anew. Between the quietest it has been (the
//! room, and whoever talks in it) and the loudest (whoever holds the telephone) lies a threshold, and what is above it
//! is taken for the greeting. As it moves with what is heard, a crowd that was taken for the one who answers is
//! taken back when the louder voice begins.

use super::FRAME;
use crate::dsp::level::{QUIETEST_DBM0, level_dbm0};

/// Numbers that describe a greeting.
pub const FEATURES: usize = 20;
/// Frames between two looks (80 ms).
const LOOK_FRAMES: usize = 4;
/// Steps of a decibel in which levels are kept: whole numbers are the same on every machine.
const STEPS: i16 = 4;
/// Levels kept: from [`QUIETEST_DBM0`] up to 8 dBm0, in steps.
const LEVELS: usize = (80 * STEPS) as usize + 1;
/// Frames without any sound at all that are taken for lost packets (60 ms) and heard as what came before.
const LOST_FRAMES_MAX: u32 = 3;
/// The loudest is what this many frames reach.
const LOUD_FRAMES: u32 = 5;
/// Frames above the threshold in a row that begin a greeting (60 ms): shorter is a click.
const ONSET_FRAMES: usize = 3;
/// Quiet frames that end an utterance (240 ms).
const GAP_FRAMES: usize = 12;
/// The loudest is at least so far above the quietest, decibels, or nobody has spoken.
const RANGE_MIN_DB: i16 = 6;
/// The threshold lies half-way up, but so far below the loudest, decibels.
const BELOW_LOUDEST_DB: (i16, i16) = (4, 16);
/// What varies less is a tone or noise, decibels (standard deviation); syllables vary by 3 and more.
const STEADY_SPREAD_DB: f32 = 1.0;
/// About a quarter of a second.
const QUARTER_FRAMES: usize = 12;

/// Follows one answer.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Smoothed levels since the answer, steps above [`QUIETEST_DBM0`].
    levels: Vec<i16>,
    /// How many frames had each level.
    histogram: Box<[u16; LEVELS]>,
    /// The last three levels as they came.
    recent: [i16; 3],
    lost: u32,
    level_min: i16,
}

/// What one look found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Look {
    /// Seconds, decibels, shares and counts, each about 0..=1.
    pub features: [f32; FEATURES],
    /// Frames since the first word.
    pub since_onset: usize,
    /// Frames since the last one.
    pub trailing: usize,
}

impl Greeting {
    /// `level_min_dbm0`: quieter voices are not heard.
    #[must_use]
    pub fn new(level_min_dbm0: f32) -> Self {
        Greeting {
            levels: Vec::new(),
            histogram: Box::new([0; LEVELS]),
            recent: [0; 3],
            lost: 0,
            level_min: steps(level_min_dbm0),
        }
    }

    /// Frames since the answer.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.levels.len()
    }

    /// Feeds the next 20 ms. Every 80 ms gives a look at what was said; none while nobody has spoken, or
    /// what is heard does not vary as speech does.
    pub fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Look> {
        let silent = samples.iter().all(|sample| sample.unsigned_abs() <= 8);
        self.lost = if silent { self.lost + 1 } else { 0 };
        let held = silent && self.lost <= LOST_FRAMES_MAX && !self.levels.is_empty();
        let level = if held { self.recent[2] } else { steps(level_dbm0(samples)) };
        self.recent = match self.levels.is_empty() {
            true => [level; 3],
            false => [self.recent[1], self.recent[2], level],
        };
        let smooth = self.recent.iter().sum::<i16>() / 3;
        self.levels.push(smooth);
        let count = &mut self.histogram[smooth as usize];
        *count = count.saturating_add(1);
        if self.levels.len().is_multiple_of(LOOK_FRAMES) { self.look() } else { None }
    }

    /// The level that a tenth of all frames does not reach, and the one that only the loudest few do.
    fn extremes(&self) -> (i16, i16) {
        let (mut below, mut quiet) = (0, 0);
        let tenth = self.levels.len() as u32 / 10;
        for (level, count) in self.histogram.iter().enumerate() {
            below += u32::from(*count);
            if below > tenth {
                quiet = level as i16;
                break;
            }
        }
        let (mut above, mut loud) = (0, 0);
        for (level, count) in self.histogram.iter().enumerate().rev() {
            above += u32::from(*count);
            if above >= LOUD_FRAMES {
                loud = level as i16;
                break;
            }
        }
        (quiet, loud)
    }

    fn look(&self) -> Option<Look> {
        let (quiet, loud) = self.extremes();
        let range = loud - quiet;
        if range < RANGE_MIN_DB * STEPS || loud < self.level_min {
            return None;
        }
        let (least, most) = BELOW_LOUDEST_DB;
        let threshold = loud - (range / 2).clamp(least * STEPS, most * STEPS);
        let onset =
            self.levels.windows(ONSET_FRAMES).position(|run| run.iter().all(|level| *level >= threshold))?;
        let said = Said::of(&self.levels[onset..], threshold);
        if said.spread < STEADY_SPREAD_DB * f32::from(STEPS) {
            return None;
        }
        let recent = |frames: usize| {
            let part = &self.levels[self.levels.len().saturating_sub(frames).max(onset)..];
            let active = part.iter().filter(|level| **level >= threshold).count() as f32;
            let mean = part.iter().map(|level| f32::from(*level)).sum::<f32>() / part.len() as f32;
            (active / part.len() as f32, (said.mean_active - mean) / f32::from(STEPS))
        };
        let [(half_active, half_drop), (whole_active, whole_drop), (_, quarter_drop)] =
            [2, 4, 1].map(|quarters| recent(quarters * QUARTER_FRAMES));
        let seconds = |frames: usize| frames as f32 / 50.0;
        let decibels = |steps: i16| f32::from(steps) / f32::from(STEPS);
        let since_onset = self.levels.len() - onset;
        let features = [
            seconds(since_onset) / 4.0,
            seconds(said.active) / 4.0,
            said.active as f32 / since_onset as f32,
            seconds(said.trailing).min(2.0),
            seconds(since_onset - said.trailing) / 4.0,
            half_active,
            whole_active,
            half_drop / 16.0,
            whole_drop / 16.0,
            quarter_drop / 16.0,
            said.utterances.min(8) as f32 / 4.0,
            seconds(said.longest_gap).min(2.0),
            seconds(said.first).min(4.0) / 2.0,
            decibels(range) / 32.0,
            decibels(threshold - quiet) / 16.0,
            seconds(onset).min(2.0),
            said.spread / (8.0 * f32::from(STEPS)),
            said.quiet_gap_share,
            (said.mean_active - half_drop * f32::from(STEPS) - f32::from(quiet)) / (16.0 * f32::from(STEPS)),
            (said.mean_active - quarter_drop * f32::from(STEPS) - f32::from(quiet))
                / (16.0 * f32::from(STEPS)),
        ];
        Some(Look { features, since_onset, trailing: said.trailing })
    }
}

/// The level in steps above the quietest.
fn steps(level_dbm0: f32) -> i16 {
    let above = ((level_dbm0 - QUIETEST_DBM0) * f32::from(STEPS)).round();
    (above as i16).clamp(0, LEVELS as i16 - 1)
}

/// What was said from the first word on, in frames.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// Above the threshold.
    active: usize,
    /// Below it since the last that was above.
    trailing: usize,
    utterances: usize,
    longest_gap: usize,
    /// Length of the first utterance.
    first: usize,
    /// Mean level of what was above, and how much it varies.
    mean_active: f32,
    spread: f32,
    /// Share of the frames below that are far below.
    quiet_gap_share: f32,
}

impl Said {
    fn of(levels: &[i16], threshold: i16) -> Said {
        let mut said = Said { utterances: 1, ..Said::default() };
        let (mut sum, mut squares) = (0_i64, 0_i64);
        let (mut below, mut far_below) = (0, 0);
        for (at, &level) in levels.iter().enumerate() {
            if level < threshold {
                said.trailing += 1;
                below += 1;
                far_below += u32::from(level < threshold - 4 * STEPS);
                continue;
            }
            if said.trailing >= GAP_FRAMES {
                if said.utterances == 1 {
                    said.first = at - said.trailing;
                }
                said.utterances += 1;
            }
            said.longest_gap = said.longest_gap.max(said.trailing);
            said.trailing = 0;
            said.active += 1;
            sum += i64::from(level);
            squares += i64::from(level) * i64::from(level);
        }
        if said.utterances == 1 {
            said.first = levels.len() - said.trailing;
        }
        let count = said.active.max(1) as f32;
        said.mean_active = sum as f32 / count;
        said.spread = (squares as f32 / count - said.mean_active * said.mean_active).max(0.0).sqrt();
        said.quiet_gap_share = far_below as f32 / (below.max(1)) as f32;
        said
    }
}
