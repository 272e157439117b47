//! When we have enough to do: new calls are refused before anything is made of them (RFC 7339 §5.10: cheap, and
//! what is in progress goes first).

use core::time::Duration;

use sansio::Instant;

use super::UserAgent;

/// A moment's burst, as a share of a second's calls.
const BURST: f32 = 0.2;
/// A measured lag counts for so long; the ground tells it again as long as it lasts.
const LAG_MEMORY: Duration = Duration::from_secs(1);

/// New calls are counted for so long …
const COUNTED: Duration = Duration::from_secs(1);
/// … and by no more than this does the share change that others are asked to leave out.
const STEP_MAX: f32 = 0.25;

/// How busy we are.
#[derive(Debug)]
pub(super) struct Load {
    lag: Duration,
    told: Instant,
    tokens: f32,
    filled: Instant,
    cps_max: f32,
    /// New calls in the second that began then.
    offered: u32,
    counted_from: Instant,
    /// Share of new calls that those are asked to leave out who can be asked.
    wanted_loss: f32,
}

impl Load {
    pub(super) fn new(cps_max: f32) -> Self {
        Load {
            lag: Duration::ZERO,
            told: Instant::ZERO,
            tokens: burst(cps_max),
            filled: Instant::ZERO,
            cps_max,
            offered: 0,
            counted_from: Instant::ZERO,
            wanted_loss: 0.0,
        }
    }

    /// A new call is wanted of us. Each second what is asked for follows what came: whoever heeds it makes the next second
    /// calmer, so that it is moved on from what was asked before, in steps.
    fn count(&mut self, now: Instant) {
        let passed = now.since(self.counted_from);
        if passed >= COUNTED {
            if passed >= COUNTED * 2 {
                // Hardly anybody has called.
                self.wanted_loss = 0.0;
            } else {
                let excess = self.offered as f32 / self.cps_max - 1.0;
                let step = (excess * (1.0 - self.wanted_loss)).clamp(-STEP_MAX, STEP_MAX);
                self.wanted_loss = (self.wanted_loss + step).clamp(0.0, 1.0 - STEP_MAX / 5.0);
            }
            (self.offered, self.counted_from) = (0, now);
        }
        self.offered = self.offered.saturating_add(1);
    }

    /// Share of new calls that are more than `cps_max`, as far as those hear of it who can send less.
    pub(super) fn wanted_loss(&self, now: Instant) -> f32 {
        if now.since(self.counted_from) >= COUNTED * 2 { 0.0 } else { self.wanted_loss }
    }
}

fn burst(cps_max: f32) -> f32 {
    (cps_max * BURST).max(1.0)
}

impl UserAgent {
    /// Tells how long messages waited before they were read.
    pub fn note_lag(&mut self, now: Instant, lag: Duration) {
        self.load.lag = lag;
        self.load.told = now;
    }

    /// Share of new calls that is refused now for lag or number of legs, 0 to 1.
    pub(super) fn overload(&self, now: Instant) -> f32 {
        let overload = &self.config.overload;
        if self.legs.len() >= overload.legs_max {
            return 1.0;
        }
        let load = &self.load;
        if overload.lag.is_zero() || load.lag < overload.lag || now.since(load.told) > LAG_MEMORY {
            return 0.0;
        }
        ((load.lag - overload.lag).as_secs_f32() / overload.lag.as_secs_f32()).clamp(0.05, 1.0)
    }

    /// Whether a new call is one too many.
    pub(super) fn must_shed(&mut self, now: Instant) -> bool {
        let share = self.overload(now);
        if share > 0.0 && (share >= 1.0 || (self.layer.rng.unit() as f32) < share) {
            return true;
        }
        let cps_max = self.config.overload.cps_max;
        if cps_max <= 0.0 {
            return false;
        }
        let load = &mut self.load;
        load.count(now);
        let gained = now.since(load.filled).as_secs_f32() * cps_max;
        load.tokens = (load.tokens + gained).min(burst(cps_max));
        load.filled = now;
        if load.tokens < 1.0 {
            return true;
        }
        load.tokens -= 1.0;
        false
    }
}
