//! Trunks with a name: where an INVITE goes, and where next when that does not answer (RFC 3263 §4.3).

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::leg::State;
use super::{EndedBy, How, LegKey, Output, UserAgent};
use crate::transaction::{ClientKey, Why};
use crate::transport::locate::{Answer, Located, Question, Target};
use crate::wire::{Limits, Transport, parse};

/// A listener and an address: by what and to where.
pub(super) type Path = (u8, SocketAddr);

/// Addresses a trunk's name leads to that are taken as its own.
const SOURCES_LEARNED_MAX: usize = 64;

/// Where a trunk is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Best first; never empty.
    Paths(Vec<Path>),
    /// An answer of the domain name system is waited for.
    Waiting,
    /// There is none.
    Nowhere,
}

impl UserAgent {
    /// The domain name system has answered [`Output::Ask`], of this user agent or of one that shares its work. Each
    /// question is owed one answer at least.
    pub fn located(
        &mut self,
        now: Instant,
        question: &Question,
        answer: Answer,
        ttl: Duration,
        out: &mut Outbox<Output>,
    ) {
        self.locator.answer(now, question, answer, ttl);
        let waited_for = |(key, state): (&u64, &super::trunk::TrunkState)| {
            (!state.held.is_empty() && state.held_timer.is_none()).then_some(*key)
        };
        let trunks: Vec<u64> = self.trunks.iter().filter_map(waited_for).collect();
        for trunk in trunks {
            self.release_held(now, trunk, out);
        }
        // Whose name was not known yet may call in from now on.
        let unknown = |(key, state): (&u64, &super::trunk::TrunkState)| {
            (state.trunk.wanted.is_some() && state.learned.is_empty()).then_some(*key)
        };
        let trunks: Vec<u64> = self.trunks.iter().filter_map(unknown).collect();
        for trunk in trunks {
            self.way_to(now, trunk, out);
        }
    }

    /// Targets passed over because they failed, and questions that wait for their answers.
    #[must_use]
    pub fn locating(&self, now: Instant) -> (usize, usize) {
        (self.locator.failed(now), self.locator.asked())
    }

    /// Where a trunk is reached. What has to be asked for that is asked.
    pub(super) fn way_to(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) -> Way {
        let Some(state) = self.trunks.get(&trunk) else { return Way::Nowhere };
        let Some(wanted) = &state.trunk.wanted else {
            return Way::Paths(vec![(state.trunk.listener, state.trunk.address)]);
        };
        let own = state.trunk.listener;
        let mut ask = Vec::new();
        let located = self.locator.locate(now, wanted, &self.reach, &mut self.layer.rng, &mut ask);
        for question in ask {
            out.push(Output::Ask(question));
        }
        let targets = match located {
            Located::Waiting => return Way::Waiting,
            Located::Nowhere => return Way::Nowhere,
            Located::To(targets) => targets,
        };
        let name = wanted.host.clone();
        let path = |target: &Target| {
            let (transport, ipv4) = (target.transport, target.address.is_ipv4());
            let listener = self.layer.outlets.listener_near(own, transport, ipv4)?;
            Some((listener, target.address))
        };
        let paths: Vec<Path> = targets.iter().filter_map(path).collect();
        for (listener, to) in &paths {
            if self.layer.outlets.transport(*listener) == Transport::Tls {
                out.push(Output::ServerName {
                    listener: *listener,
                    to: *to,
                    name: name.clone(),
                    answers: false,
                });
            }
        }
        self.learn_sources(trunk, &paths);
        if paths.is_empty() { Way::Nowhere } else { Way::Paths(paths) }
    }

    /// What comes from where a trunk's name leads is the trunk's, unless its sources are named.
    fn learn_sources(&mut self, trunk: u64, paths: &[Path]) {
        let Some(state) = self.trunks.get_mut(&trunk) else { return };
        let named = &state.trunk;
        if !(named.sources.is_empty() && named.networks.is_empty() && named.certificate_names.is_empty()) {
            return;
        }
        for (_, address) in paths {
            let ip = address.ip().to_canonical();
            if state.learned.contains(&ip) || state.learned.len() >= SOURCES_LEARNED_MAX {
                continue;
            }
            state.learned.push(ip);
            self.sources.learn(ip, trunk);
        }
    }

    /// A call to a trunk's name begins. True when its INVITE may leave at once; false when it is to be held, behind those
    /// that are held already and as far apart as the trunk wants its calls.
    pub(super) fn may_depart(&mut self, now: Instant, trunk: u64) -> bool {
        self.trunks.get_mut(&trunk).is_none_or(|state| state.held.is_empty() && state.cps.take(now))
    }

    /// The INVITE of a leg waits for its trunk.
    pub(super) fn hold_back(&mut self, now: Instant, trunk: u64, key: LegKey, request: Bytes, waiting: bool) {
        if let Some(calling) = self.legs.get_mut(key).and_then(|leg| leg.calling.as_mut()) {
            calling.held = Some(request);
        }
        let Some(state) = self.trunks.get_mut(&trunk) else { return };
        state.held.push_back(key);
        if !waiting {
            self.wait_for_turn(now, trunk);
        }
    }

    /// A target has failed: the INVITE of a leg goes to the next one it has, when it is its turn. A trunk that sells so many
    /// calls per second counts these too. False when there is no other target, or the leg is to end.
    pub(super) fn fail_over(
        &mut self,
        now: Instant,
        key: LegKey,
        request: &Bytes,
        out: &mut Outbox<Output>,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| leg.state == State::Calling) else {
            return false;
        };
        let Some(calling) = leg.calling.as_mut().filter(|calling| !calling.paths.is_empty()) else {
            return false;
        };
        let Some(trunk) = leg.trunk else { return self.next_path(now, key, request, out) };
        let Some(state) = self.trunks.get_mut(&trunk) else { return self.next_path(now, key, request, out) };
        if state.held.is_empty() && state.may_resume(now) {
            return self.next_path(now, key, request, out);
        }
        (calling.held, calling.resumes) = (Some(request.clone()), true);
        state.held.push_back(key);
        self.wait_for_turn(now, trunk);
        true
    }

    /// The INVITE of a leg waits for another try.
    fn resumes(&self, key: LegKey) -> bool {
        let calling = self.legs.get(key).and_then(|leg| leg.calling.as_ref());
        calling.is_some_and(|calling| calling.resumes)
    }

    /// Whether the INVITE of a leg is held back.
    pub(super) fn waits(&self, key: LegKey) -> bool {
        let calling = self.legs.get(key).and_then(|leg| leg.calling.as_ref());
        calling.is_some_and(|calling| calling.held.is_some())
    }

    fn wait_for_turn(&mut self, now: Instant, trunk: u64) {
        let first = self.trunks.get(&trunk).and_then(|state| state.held.front().copied());
        let resumes = first.is_some_and(|first| self.resumes(first));
        let Some(state) = self.trunks.get_mut(&trunk) else { return };
        if state.held_timer.is_none() && !state.held.is_empty() {
            let shared = if resumes { state.trunk.pace.next_at(now) } else { now };
            // Rounding must not make two looks at the same moment out of one wait.
            let at = state.cps.next_at(now).max(shared).max(now + Duration::from_micros(1));
            state.held_timer = Some(self.layer.deadlines.arm(at, Why::Held(trunk)));
        }
    }

    pub(super) fn held_due(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        if let Some(state) = self.trunks.get_mut(&trunk) {
            state.held_timer = None;
            self.release_held(now, trunk, out);
        }
    }

    /// Sends what was held back, as far as it is known where to and the trunk's pace allows.
    pub(super) fn release_held(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        while let Some(key) = self.trunks.get(&trunk).and_then(|state| state.held.front().copied()) {
            let depart = |agent: &mut Self| agent.trunks.get_mut(&trunk).map(|state| state.held.pop_front());
            if !self.waits(key) {
                // It has been given up meanwhile.
                depart(self);
                continue;
            }
            if self.resumes(key) {
                if !self.trunks.get_mut(&trunk).is_some_and(|state| state.may_resume(now)) {
                    return self.wait_for_turn(now, trunk);
                }
                depart(self);
                self.resume(now, key, out);
                continue;
            }
            match self.way_to(now, trunk, out) {
                Way::Waiting => return,
                Way::Nowhere => {
                    depart(self);
                    self.end(now, key, How::by(EndedBy::Timeout).code(503), out);
                }
                Way::Paths(paths) => {
                    if !self.trunks.get_mut(&trunk).is_some_and(|state| state.cps.take(now)) {
                        return self.wait_for_turn(now, trunk);
                    }
                    depart(self);
                    self.depart(now, key, paths, out);
                }
            }
        }
    }

    /// An INVITE that has waited for another try leaves.
    fn resume(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(calling) = self.legs.get_mut(key).and_then(|leg| leg.calling.as_mut()) else { return };
        calling.resumes = false;
        let Some(request) = calling.held.take() else { return };
        if !self.next_path(now, key, &request, out) {
            self.end(now, key, How::by(EndedBy::Timeout).code(503), out);
        }
    }

    /// An INVITE that was held back leaves.
    fn depart(&mut self, now: Instant, key: LegKey, paths: Vec<Path>, out: &mut Outbox<Output>) {
        let Some(calling) = self.legs.get_mut(key).and_then(|leg| leg.calling.as_mut()) else { return };
        calling.paths = paths;
        let Some(request) = calling.held.take() else { return };
        if !self.next_path(now, key, &request, out) {
            self.end(now, key, How::by(EndedBy::Timeout).code(503), out);
        }
    }

    /// Sends the INVITE of a leg to the next target it has. False when there is none, or the leg is to end.
    pub(super) fn next_path(
        &mut self,
        now: Instant,
        key: LegKey,
        request: &Bytes,
        out: &mut Outbox<Output>,
    ) -> bool {
        let Ok(old) = parse(request.clone(), &Limits::default()) else { return false };
        let path = loop {
            let Some(leg) = self.legs.get_mut(key).filter(|leg| leg.state == State::Calling) else {
                return false;
            };
            let Some(calling) = leg.calling.as_mut().filter(|calling| !calling.paths.is_empty()) else {
                return false;
            };
            let path = calling.paths.remove(0);
            if !self.must_withhold(now, path.1) {
                break path;
            }
        };
        let Some(leg) = self.legs.get_mut(key) else { return false };
        (leg.listener, leg.peer) = path;
        // What one member of a service has asked for means nothing to another.
        leg.challenges = 0;
        leg.answerers.clear();
        self.layer.counters.targets_tried += 1;
        let sent = self.resend_invite(now, key, &old, None, None, out).is_some();
        self.watch_target(now, key);
        sent
    }

    /// While there are others, a target must give a sign of life within `target_time_max`.
    pub(super) fn watch_target(&mut self, now: Instant, key: LegKey) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        self.layer.disarm(&mut leg.ringing);
        if leg.calling.as_ref().is_some_and(|calling| calling.replaceable || !calling.paths.is_empty()) {
            let at = now + self.config.target_time_max;
            leg.ringing = Some(self.layer.deadlines.arm(at, Why::Target(key)));
        }
    }

    /// A target has been silent for too long while others wait. Should it answer after all, it gets CANCEL, or ACK and
    /// BYE.
    pub(super) fn target_silent(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.ringing = None;
        let silent = leg.calling.as_ref().is_some_and(|calling| !calling.ringing);
        if leg.state != State::Calling || !silent {
            return;
        }
        let Some(client) = leg.invite.take() else { return };
        self.layer.abandon(now, client);
        self.target_failed(now, key, None);
        let request = self.request_of(client);
        if !self.fail_over(now, key, &request, out) {
            self.end(now, key, How::by(EndedBy::Timeout).code(408), out);
        }
    }

    /// The request of an INVITE that was given up.
    pub(super) fn request_of(&self, client: ClientKey) -> Bytes {
        self.layer.client(client).map(|client| client.request.clone()).unwrap_or_default()
    }

    /// The target of a leg did not answer, or said 503.
    pub(super) fn target_failed(&mut self, now: Instant, key: LegKey, retry_after: Option<Duration>) {
        if let Some(target) = self.target_of(key) {
            self.locator.target_failed(now, target, retry_after);
        }
    }

    /// … or did answer.
    pub(super) fn target_answered(&mut self, key: LegKey) {
        if let Some(target) = self.target_of(key) {
            self.locator.target_answered(target);
        }
    }

    fn target_of(&self, key: LegKey) -> Option<Target> {
        let leg = self.legs.get(key)?;
        self.trunks.get(&leg.trunk?)?;
        Some(Target { transport: self.layer.outlets.transport(leg.listener), address: leg.peer })
    }
}
