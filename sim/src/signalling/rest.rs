//! The end: when nothing moves any more, nothing may be left.

use super::endpoint::LegState;
use super::world::{Peer, World};
use dialer_core::CallRecord;
use dialer_core::config::DialMode;
use sansio::{Duration, Instant, WallTime};

/// How often it is looked whether all is at rest.
const LOOK: Duration = Duration::from_millis(500);
/// After a crash or a panic agents' sessions are set up anew within this.
const AGENTS_BACK_S: u64 = 60;
/// 64·T1, after which what went unheard is given up.
const GIVE_UP_S: u64 = 32;

impl World {
    /// Waits for rest, at most so long, and says what is left.
    pub(super) fn come_to_rest(&mut self, patience: Duration) {
        let end = self.now + patience;
        let mut left = Vec::new();
        while self.now < end && self.found.list.is_empty() {
            self.run_until((self.now + LOOK).min(end));
            left = self.left();
            if left.is_empty() {
                break;
            }
        }
        if !self.found.list.is_empty() {
            return;
        }
        for what in left {
            self.found.add(self.now, "nothing is left at rest", what);
        }
        self.audit();
        self.wire.at_rest(self.now, &mut self.found);
        self.book.at_rest(self.now, &mut self.found);
        self.ghosts();
        self.transits();
        self.rates();
    }

    /// What the daemon and its ground still hold.
    fn left(&self) -> Vec<String> {
        let Some(node) = &self.node else { return vec!["the daemon is not running".into()] };
        let mut left = node.shard.alive();
        let alive = node.control.dialer().alive();
        let counts = [
            ("calls in the dialer", alive.calls),
            ("transit calls in the dialer", alive.transit),
            ("calls waiting for agents", alive.waiting),
            ("tasks", alive.tasks),
            ("sessions of agents", alive.sessions),
            ("channels", alive.channels as usize),
            ("open ports", self.ports.len()),
            ("open recordings", self.recordings.len()),
            ("effects in the gate", node.control.counters().waiting as usize),
            ("calls in the gate", node.control.counters().calls as usize),
        ];
        left.extend(
            counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")),
        );
        left
    }

    /// Legs that a peer still holds to be up, although no accident can have cut them off.
    fn ghosts(&mut self) {
        for peer in 0..self.peers.len() {
            let endpoint = self.peers[peer].endpoint();
            for leg in endpoint.legs.values() {
                let is_up = matches!(leg.state, LegState::Up { .. });
                if let Some(began) = leg.unanswered.filter(|began| !self.had_accident(peer, *began)) {
                    let detail = format!("{} {} since {began:?}", self.name(peer), leg.call_id);
                    self.found.add(self.now, "every re-INVITE comes to an end", detail);
                }
                if is_up && !self.had_accident(peer, leg.began) {
                    let detail = format!("{} {} since {:?}", self.name(peer), leg.call_id, leg.began);
                    self.found.add(self.now, "no leg is forgotten", detail);
                }
            }
            if let Peer::Caller(caller) = &self.peers[peer] {
                for (call_id, began, is_up) in caller.left() {
                    if !self.had_accident(peer, began) {
                        let detail = format!("{call_id} since {began:?}, up: {is_up}");
                        self.found.add(self.now, "every call that came in is answered and ended", detail);
                    }
                }
            }
        }
    }

    /// Calls that passed through have their records, unless a life ended before they were told.
    fn transits(&mut self) {
        let Some(node) = &self.node else { return };
        let counters = node.shard.counters();
        let lives = self.life > 1 || self.shard_life > 1;
        let (records, answered) = self.book.transits();
        let told = (counters.transits_ended, counters.transits_answered);
        if !lives && (counters.transits_started != counters.transits_ended || (records, answered) != told) {
            let detail = format!("{records} records, {answered} answered, of {counters:?}");
            self.found.add(self.now, "one record per call that passed", detail);
        }
    }

    /// Spans of time in which calls may go wrong through nobody's fault.
    fn upsets(&self) -> Vec<(Instant, Instant)> {
        let scene = &self.scene;
        let span = |from: Instant, to: Instant, after_s: u64| (from, to + Duration::from_secs(after_s));
        let crashes =
            scene.crashes.iter().map(|(at, ms)| span(*at, *at + Duration::from_millis(*ms), AGENTS_BACK_S));
        let panics = scene.panics.iter().map(|at| span(*at, *at, AGENTS_BACK_S));
        let cuts = self.net.cuts().map(|(from, to)| span(from, to, GIVE_UP_S));
        let stalls = self.disk.stalls().iter().map(|(from, to)| span(*from, *to, 10));
        let silent =
            scene.trunks.iter().flat_map(|trunk| trunk.carrier.silent.iter().chain(&trunk.carrier.closed));
        let silent = silent.map(|(from, to)| span(*from, *to, GIVE_UP_S));
        let resets = self.pipes.resets().iter().map(|(_, _, at)| span(*at, *at, GIVE_UP_S));
        let lost = self.agents_lost.iter().map(|at| span(*at, *at, 0));
        crashes.chain(panics).chain(cuts).chain(stalls).chain(silent).chain(resets).chain(lost).collect()
    }

    fn had_accident(&self, peer: usize, since: Instant) -> bool {
        let scene = &self.scene;
        let phone_died = match &self.peers[peer] {
            Peer::Phone(_) => {
                scene.agents[peer - scene.trunks.len()].phone.dead.iter().any(|(at, _)| *at >= since)
            }
            Peer::Carrier(carrier) => carrier.was_silent(since),
            Peer::Caller(_) => false,
        };
        phone_died
            || scene.crashes.iter().any(|(at, _)| *at >= since)
            || scene.panics.iter().any(|at| *at >= since)
            || self.pipes.was_broken(peer, self.peers.len(), since)
            || self.net.was_cut(peer, since, self.now)
    }

    /// Abandonment of predictive campaigns stays sane; the business depth judges it closely. Only calls are excused in
    /// whose time something went wrong that no pacing can foresee: an agent who was counted on was gone, or nothing
    /// could be heard or written.
    fn rates(&mut self) {
        if !self.scene.clock_sets.is_empty() {
            // Which calls were touched cannot be told by their times.
            return;
        }
        let rows: Vec<_> = self
            .book
            .campaigns()
            .filter(|row| row.config.mode == DialMode::Predictive)
            .map(|row| (row.id, row.config.pacing.abandon_cap))
            .collect();
        let upsets: Vec<(WallTime, WallTime)> = self
            .upsets()
            .into_iter()
            .map(|(from, to)| (self.clock().wall_at(from), self.clock().wall_at(to)))
            .collect();
        let touched = |record: &CallRecord| {
            upsets.iter().any(|(from, to)| record.started_at <= *to && *from <= record.ended_at)
        };
        for (campaign, cap) in rows {
            let (abandoned, live) = self.book.abandonment(campaign, touched);
            let expected = live as f64 * cap;
            if abandoned as f64 > expected + 4.0 + 3.0 * expected.sqrt() {
                let detail = format!("{campaign}: {abandoned} of {live}, cap {cap}");
                self.found.add(self.now, "abandonment stays sane", detail);
            }
        }
    }
}
