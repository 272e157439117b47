//! Carrier paths: capacity, calls per second, health, choice.

mod bucket;
mod check;
mod command;
mod fact;

pub use bucket::CpsBucket;

use crate::config::TrunkConfig;
use crate::dialer::{Dialer, Why};
use crate::id::TrunkId;
use crate::record::TrunkRow;
use sansio::Instant;

/// The view of a trunk follows its transit calls this much later at most, milliseconds.
const TRANSIT_VIEW_MS: u64 = 100;

/// A trunk at work.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) row: TrunkRow,
    /// Answers pings, or is not asked.
    pub(crate) up: bool,
    pub(crate) down_reason: Option<String>,
    /// It has asked for no new calls for a while.
    pub(crate) closed: bool,
    /// `None`: does not register.
    pub(crate) registered: Option<bool>,
    pub(crate) rtt_ms: Option<f64>,
    /// Calls on it, transit included.
    pub(crate) active: u32,
    pub(crate) cps: CpsBucket,
}

/// Why no trunk can take a call now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoTrunk {
    /// None is enabled and up.
    Down,
    /// All channels of those that are up are taken.
    Channels,
    /// None may start another call this moment.
    Cps,
}

impl Trunk {
    pub(crate) fn new(row: TrunkRow, now: Instant) -> Self {
        let mut trunk = Trunk {
            up: false,
            down_reason: None,
            closed: false,
            registered: None,
            rtt_ms: None,
            active: 0,
            cps: CpsBucket::new(row.config.cps_max, now),
            row,
        };
        trunk.forget_health();
        trunk
    }

    /// Before anything was heard: a trunk that is not pinged counts as up, another one once it has answered.
    fn forget_health(&mut self) {
        self.up = self.row.config.options_interval_ms == 0;
        self.down_reason = if self.up { None } else { Some("not yet answered".into()) };
        self.registered = self.row.config.register.then_some(false);
        self.rtt_ms = None;
        self.closed = false;
    }

    /// May carry new calls as far as its health goes.
    pub(crate) fn usable(&self) -> bool {
        self.row.config.enabled && self.up && !self.closed && self.registered != Some(false)
    }

    pub(crate) fn channels_free(&self) -> u32 {
        self.row.config.channels_max.saturating_sub(self.active)
    }

    pub(crate) fn config(&self) -> &TrunkConfig {
        &self.row.config
    }
}

impl Dialer {
    /// The trunks of a campaign in order of preference: those named, else all.
    pub(crate) fn trunks_of(&self, wanted: &[TrunkId]) -> Vec<TrunkId> {
        if wanted.is_empty() { self.trunks.keys().copied().collect() } else { wanted.to_vec() }
    }

    /// The first trunk, in order, that can take a call now.
    pub(crate) fn choose_trunk(&mut self, now: Instant, wanted: &[TrunkId]) -> Result<TrunkId, NoTrunk> {
        let mut why = NoTrunk::Down;
        for id in self.trunks_of(wanted) {
            let Some(trunk) = self.trunks.get(&id) else { continue };
            if !trunk.usable() {
                continue;
            }
            if trunk.channels_free() == 0 {
                if why == NoTrunk::Down {
                    why = NoTrunk::Channels;
                }
            } else if trunk.cps.allowance(now) == 0 {
                why = NoTrunk::Cps;
            } else {
                return Ok(id);
            }
        }
        Err(why)
    }

    /// Takes a channel; freed by [`Dialer::free_channel`] exactly once.
    pub(crate) fn take_channel(&mut self, id: TrunkId) {
        if let Some(trunk) = self.trunks.get_mut(&id) {
            trunk.active += 1;
            self.dirty.trunks.insert(id);
        }
    }

    pub(crate) fn free_channel(&mut self, id: TrunkId) {
        if let Some(trunk) = self.trunks.get_mut(&id) {
            trunk.active = trunk.active.saturating_sub(1);
            self.dirty.trunks.insert(id);
        }
    }

    /// Counts transit calls on a trunk. There may be a thousand in a second, so its view follows a little later.
    pub(crate) fn count_transit(&mut self, now: Instant, id: TrunkId, count: impl Fn(u32) -> u32) {
        if let Some(trunk) = self.trunks.get_mut(&id) {
            trunk.active = count(trunk.active);
            self.trunk_views_due.insert(id);
            if self.trunk_views_timer.is_none() {
                self.trunk_views_timer = Some(self.arm(now, TRANSIT_VIEW_MS, Why::TrunkViews));
            }
        }
    }

    pub(crate) fn on_trunk_views_timer(&mut self) {
        self.trunk_views_timer = None;
        self.dirty.trunks.append(&mut self.trunk_views_due);
    }
}
