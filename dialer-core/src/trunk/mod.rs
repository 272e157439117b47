//! Carrier paths: capacity, calls per second, health, choice.

mod check;
mod command;
mod fact;
pub mod headers;

pub use check::{SOURCE, is_network};

use crate::config::TrunkConfig;
use crate::dialer::Dialer;
use crate::id::TrunkId;
use crate::record::TrunkRow;
use sansio::{CpsBucket, Instant};

/// Trunks that a call may be dialled over after the first.
const OTHERS_MAX: usize = 7;

/// A trunk at work.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) row: TrunkRow,
    /// Answers pings, or is not asked.
    pub(crate) up: bool,
    pub(crate) down_reason: Option<String>,
    /// It has asked for no new calls for a while.
    pub(crate) closed: bool,
    /// Share of new calls that it has asked not to be sent, percent.
    pub(crate) overload_loss_percent: u8,
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
            overload_loss_percent: 0,
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
        self.overload_loss_percent = 0;
    }

    /// May carry new calls as far as its health goes.
    pub(crate) fn usable(&self) -> bool {
        self.row.config.enabled && self.up && !self.closed && self.registered != Some(false)
    }

    pub(crate) fn channels_free(&self) -> u32 {
        self.row.config.channels().saturating_sub(self.active)
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

    /// The trunk that takes a call now: of those that can, one of the lowest priority; among equals by chance in
    /// proportion to their weights, or the first in order where none has a weight.
    pub(crate) fn choose_trunk(&mut self, now: Instant, wanted: &[TrunkId]) -> Result<TrunkId, NoTrunk> {
        let mut why = NoTrunk::Down;
        let mut able: Vec<(u16, u16, TrunkId)> = Vec::new();
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
                able.push((trunk.config().priority, trunk.config().weight, id));
            }
        }
        self.draw(&mut able).ok_or(why)
    }

    /// Takes one of the lowest priority out of these (priority, weight, trunk): by chance in proportion to the weights, or
    /// the first where none has a weight.
    fn draw(&mut self, able: &mut Vec<(u16, u16, TrunkId)>) -> Option<TrunkId> {
        let lowest = able.iter().map(|(priority, ..)| *priority).min()?;
        let equals = || able.iter().enumerate().filter(|(_, (priority, ..))| *priority == lowest);
        let sum: u64 = equals().map(|(_, (_, weight, _))| u64::from(*weight)).sum();
        let mut mark = if sum == 0 { 0 } else { self.trunk_choice.below(sum) };
        let mut drawn = equals().map(|(place, (_, weight, _))| (place, u64::from(*weight)));
        let place = if sum == 0 {
            drawn.next()?.0
        } else {
            let reached = |(_, weight): &(usize, u64)| {
                let reached = mark < *weight;
                mark = mark.saturating_sub(*weight);
                reached
            };
            drawn.find(reached)?.0
        };
        Some(able.remove(place).2)
    }

    /// Which trunks take a call that `first`, chosen of these or of all, does not take, in the order in which they are to be
    /// asked: at most [`OTHERS_MAX`], of those that have a free channel.
    pub(crate) fn trunks_after(&mut self, wanted: &[TrunkId], first: TrunkId) -> Vec<TrunkId> {
        let able = |id: TrunkId| {
            let trunk = self.trunks.get(&id).filter(|trunk| id != first && trunk.channels_free() > 0)?;
            trunk.usable().then(|| (trunk.config().priority, trunk.config().weight, id))
        };
        let mut able: Vec<_> = self.trunks_of(wanted).into_iter().filter_map(able).collect();
        std::iter::from_fn(|| self.draw(&mut able)).take(OTHERS_MAX).collect()
    }

    /// The first of these, or of all, that is usable and has a free channel, whether its turn has come or not.
    pub(crate) fn first_with_room(&self, wanted: &[TrunkId]) -> Option<TrunkId> {
        let has_room =
            |id: &TrunkId| self.trunks.get(id).is_some_and(|t| t.usable() && t.channels_free() > 0);
        self.trunks_of(wanted).into_iter().find(has_room)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DialerConfig;
    use sansio::{Rng, WallTime};

    /// Trunks with these priorities and weights, numbered from 1.
    fn dialer(trunks: &[(u16, u16)]) -> Dialer {
        let mut dialer = Dialer::new(DialerConfig::default(), Rng::from_seed(7));
        for (index, (priority, weight)) in trunks.iter().enumerate() {
            let config = TrunkConfig {
                priority: *priority,
                weight: *weight,
                options_interval_ms: 0,
                channels_max: 1_000_000,
                cps_max: 100_000.0,
                ..TrunkConfig::default()
            };
            let id = TrunkId::from_bits(index as u128 + 1);
            let row = TrunkRow { id, config, version: 1, created_at: WallTime::default() };
            dialer.trunks.insert(id, Trunk::new(row, Instant::ZERO));
        }
        dialer
    }

    fn chosen(dialer: &mut Dialer, wanted: &[TrunkId]) -> Result<u128, NoTrunk> {
        dialer.choose_trunk(Instant::ZERO, wanted).map(|id| id.to_bits())
    }

    #[test]
    fn without_weights_the_order_of_the_campaign_holds() {
        let mut dialer = dialer(&[(0, 0), (0, 0), (0, 0)]);
        let wanted = [2, 3, 1].map(TrunkId::from_bits);
        assert_eq!(chosen(&mut dialer, &wanted), Ok(2));
        dialer.trunks.get_mut(&wanted[0]).expect("there").up = false;
        assert_eq!(chosen(&mut dialer, &wanted), Ok(3));
    }

    #[test]
    fn lower_priorities_are_used_up_first_and_weights_share_among_equals() {
        let mut dialer = dialer(&[(2, 50), (1, 30), (1, 10), (1, 0)]);
        let wanted = [1, 2, 3, 4].map(TrunkId::from_bits);
        let mut share = [0_u32; 5];
        for _ in 0..4_000 {
            share[chosen(&mut dialer, &wanted).expect("there is room") as usize] += 1;
        }
        assert_eq!((share[1], share[4], share[2] + share[3]), (0, 0, 4_000));
        assert!((2_850..3_150).contains(&share[2]), "{share:?}");
        for full in [1, 2] {
            dialer.trunks.get_mut(&wanted[full]).expect("there").row.config.channels_max = 0;
        }
        assert_eq!(chosen(&mut dialer, &wanted), Ok(4), "what the others have no room for");
        dialer.trunks.get_mut(&wanted[3]).expect("there").up = false;
        assert_eq!(chosen(&mut dialer, &wanted), Ok(1));
        dialer.trunks.get_mut(&wanted[0]).expect("there").row.config.channels_max = 0;
        assert_eq!(chosen(&mut dialer, &wanted), Err(NoTrunk::Channels));
    }

    #[test]
    fn who_is_asked_next_is_in_the_order_of_priorities_and_has_room() {
        let mut dialer = dialer(&[(2, 0), (1, 0), (1, 0), (1, 0), (0, 0)]);
        let ids = [1, 2, 3, 4, 5].map(TrunkId::from_bits);
        dialer.trunks.get_mut(&ids[3]).expect("there").up = false;
        dialer.trunks.get_mut(&ids[4]).expect("there").row.config.channels_max = 0;
        assert_eq!(dialer.trunks_after(&[], ids[1]), [ids[2], ids[0]]);
        assert_eq!(dialer.trunks_after(&[ids[0], ids[3]], ids[0]), []);
        assert_eq!(dialer.trunks_after(&ids[..3], ids[0]), [ids[1], ids[2]]);
    }

    #[test]
    fn channels_that_others_use_are_not_there_and_come_back_when_they_let_go() {
        let mut dialer = dialer(&[(0, 0), (1, 0)]);
        let wanted = [1, 2].map(TrunkId::from_bits);
        let set = |dialer: &mut Dialer, elsewhere| {
            let config = &mut dialer.trunks.get_mut(&wanted[0]).expect("there").row.config;
            (config.channels_max, config.channels_elsewhere) = (30, elsewhere);
        };
        set(&mut dialer, 29);
        assert_eq!(dialer.trunks[&wanted[0]].channels_free(), 1);
        dialer.take_channel(wanted[0]);
        assert_eq!(chosen(&mut dialer, &wanted), Ok(2), "another trunk fills the gap");
        set(&mut dialer, 40);
        assert_eq!(dialer.trunks[&wanted[0]].channels_free(), 0, "others use more than there are");
        set(&mut dialer, 0);
        assert_eq!((chosen(&mut dialer, &wanted), dialer.trunks[&wanted[0]].channels_free()), (Ok(1), 29));
    }
}
