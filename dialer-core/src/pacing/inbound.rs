//! Inbound calls that the same agents take first: how many come, and how long they keep an agent.

use super::estimate::{LifeTable, Residual};
use serde::{Deserialize, Serialize};

/// Talk and wrap-up of inbound calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Inbound {
    pub talk: LifeTable,
    pub wrap_up: LifeTable,
    #[serde(skip)]
    pub talking: Residual,
    #[serde(skip)]
    pub wrapping: Residual,
    #[serde(skip)]
    stale: u32,
    /// Arrivals lately, and the seconds they came in.
    arrivals: f64,
    seconds: f64,
}

impl Default for Inbound {
    fn default() -> Self {
        let mut inbound = Inbound {
            talk: LifeTable::new(150.0, 1.0),
            wrap_up: LifeTable::new(15.0, 1.0),
            talking: Residual::default(),
            wrapping: Residual::default(),
            stale: 0,
            arrivals: 0.0,
            seconds: 0.0,
        };
        inbound.rebuild();
        inbound
    }
}

impl Inbound {
    const REACH_S: f64 = 60.0;
    const MEMORY_S: f64 = 1_800.0;

    pub(super) fn rebuild(&mut self) {
        self.talk.refresh();
        self.wrap_up.refresh();
        self.talking.of_two(&self.talk, &self.wrap_up, Self::REACH_S);
        self.wrapping.of_one(&self.wrap_up, Self::REACH_S);
        self.stale = 0;
    }

    pub(super) fn lasted(&mut self) {
        self.stale += 1;
        if self.stale >= 20 || self.talk.seen() < 20 {
            self.rebuild();
        }
    }

    pub(super) fn elapse(&mut self, seconds: f64) {
        let keep = (-seconds / Self::MEMORY_S).exp();
        self.arrivals *= keep;
        self.seconds = self.seconds * keep + seconds;
    }

    pub(super) fn arrived(&mut self) {
        self.arrivals += 1.0;
    }

    /// Arrivals per second, lately.
    pub(super) fn rate(&self) -> f64 {
        self.arrivals / self.seconds.max(60.0)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.talk.is_sound()
            && self.wrap_up.is_sound()
            && [self.arrivals, self.seconds].iter().all(|v| v.is_finite() && *v >= 0.0)
    }
}
