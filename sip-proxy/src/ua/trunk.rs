//! Trunks: registration there, and their health by OPTIONS.

use bytes::Bytes;
use core::time::Duration;
use sansio::{CpsBucket, Instant, Outbox, TimerKey};
use std::collections::VecDeque;

use super::aim::{Path, Way};
use super::digest::Answerer;
use super::uac::finish;
use super::{EndedBy, Event, How, LegKey, Output, Trunk, UserAgent};
use crate::mark::{MARK_BYTES, Mark};
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::transport::locate::Target;
use crate::wire::{HeaderName, Message, Method, Transport, Uri, Writer};

/// The first OPTIONS or REGISTER to a trunk waits a random time up to this, so that a restart with many trunks
/// is not a burst.
const START_SPREAD: Duration = Duration::from_secs(1);

/// A trunk whose name is being asked for is tried again after this.
const NAME_WAIT: Duration = Duration::from_millis(250);

/// Challenges answered for one REGISTER.
const CHALLENGES_MAX: u8 = 2;

/// Shortest time between two REGISTERs, whatever lifetime the registrar names and whatever is configured.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// A trunk and what we know of it.
#[derive(Debug)]
pub(super) struct TrunkState {
    pub(super) trunk: Trunk,
    /// Addresses its name has led to, taken as its own.
    pub(super) learned: Vec<core::net::IpAddr>,
    /// Legs alive that came in over it, and that we made.
    pub(super) legs: [u32; 2],
    /// INVITEs to its name that may leave now.
    pub(super) cps: CpsBucket,
    /// Legs whose INVITE waits until it is known where to, or for its turn after that; first the one that is next.
    pub(super) held: VecDeque<LegKey>,
    /// When the next of them may leave.
    pub(super) held_timer: Option<TimerKey>,
    /// Share of new calls its targets do not want, percent, as told above …
    pub(super) overload_told: u8,
    /// … and when to look at it again.
    pub(super) overload_timer: Option<TimerKey>,
    /// Where the last OPTIONS or REGISTER went.
    path: Path,
    /// `None` until the first verdict.
    up: Option<bool>,
    misses: u32,
    ping: Option<ClientKey>,
    options_timer: Option<TimerKey>,
    registration: Registration,
}

#[derive(Debug)]
struct Registration {
    call_id: [u8; MARK_BYTES],
    tag: [u8; MARK_BYTES],
    cseq: u32,
    client: Option<ClientKey>,
    registered: bool,
    /// Whether the last thing told above was "registered"; `None` before anything was told.
    told: Option<bool>,
    failures: u32,
    challenges: u8,
    expires: Duration,
    answerers: Vec<Answerer>,
    timer: Option<TimerKey>,
    lapse: Option<TimerKey>,
}

/// Whom an OPTIONS asks, and as whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The Request-URI.
    pub(super) uri: &'a str,
    /// Whom it is for.
    pub(super) to: &'a str,
    /// We: `user@`, or nothing.
    pub(super) user: &'a str,
    /// Say that we heed overload control.
    pub(super) overload_control: bool,
}

impl UserAgent {
    /// Adds a trunk or changes it: its health and registration start anew.
    pub fn set_trunk(&mut self, now: Instant, trunk: Trunk, out: &mut Outbox<Output>) {
        let key = trunk.key;
        let before = self.take_trunk(now, key, out);
        if usize::from(trunk.listener) >= self.config.listeners.len() {
            return self.drop_held(now, before, out);
        }
        let (mut cps, held, legs) = match before {
            Some(before) => (before.cps, before.held, before.legs),
            None => (CpsBucket::new(trunk.cps_max, now), VecDeque::new(), [0; 2]),
        };
        cps.set(trunk.cps_max);
        self.sources.add(&trunk);
        let spread = START_SPREAD.as_millis() as u64;
        let options_timer = trunk.options_interval.map(|interval| {
            let wait = self.layer.rng.below(spread.min(interval.as_millis() as u64).max(1));
            self.layer.deadlines.arm(now + Duration::from_millis(wait), Why::TrunkOptions(key))
        });
        let timer = trunk.register.map(|_| {
            let wait = self.layer.rng.below(spread);
            self.layer.deadlines.arm(now + Duration::from_millis(wait), Why::TrunkRegister(key))
        });
        let mut mark = || Mark { shard: self.layer.shard, key: 0, random: self.layer.rng.next_u64() }.text();
        let registration = Registration {
            call_id: mark(),
            tag: mark(),
            cseq: 0,
            client: None,
            registered: false,
            told: None,
            failures: 0,
            challenges: 0,
            expires: trunk.register.unwrap_or_default(),
            answerers: Vec::new(),
            timer,
            lapse: None,
        };
        let path = (trunk.listener, trunk.address);
        let state = TrunkState {
            trunk,
            learned: Vec::new(),
            legs,
            cps,
            held,
            held_timer: None,
            overload_told: 0,
            overload_timer: None,
            path,
            up: None,
            misses: 0,
            ping: None,
            options_timer,
            registration,
        };
        self.trunks.insert(key, state);
        // What calls in from where its name leads is known as soon as that is.
        self.way_to(now, key, out);
        self.release_held(now, key, out);
    }

    /// Forgets a trunk; unregisters there if registered. Its calls go on, but for those whose INVITE has not left yet.
    pub fn remove_trunk(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        let removed = self.take_trunk(now, trunk, out);
        self.drop_held(now, removed, out);
    }

    /// Legs alive on a trunk: those that came in over it, and those that we made.
    #[must_use]
    pub fn trunk_legs(&self, trunk: u64) -> (u32, u32) {
        self.trunks.get(&trunk).map_or((0, 0), |state| (state.legs[0], state.legs[1]))
    }

    /// A leg begins or is gone.
    pub(super) fn count_leg(&mut self, trunk: Option<u64>, caller: bool, begins: bool) {
        let Some(state) = trunk.and_then(|trunk| self.trunks.get_mut(&trunk)) else { return };
        let legs = &mut state.legs[usize::from(caller)];
        *legs = if begins { *legs + 1 } else { legs.saturating_sub(1) };
    }

    /// Ends the legs that waited for a trunk which is no more.
    fn drop_held(&mut self, now: Instant, removed: Option<TrunkState>, out: &mut Outbox<Output>) {
        for key in removed.into_iter().flat_map(|state| state.held) {
            if self.waits(key) {
                self.end(now, key, How::by(EndedBy::Timeout).code(503), out);
            }
        }
    }

    fn take_trunk(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) -> Option<TrunkState> {
        if self.trunks.get(&trunk).is_some_and(|state| state.registration.registered) {
            self.send_register(now, trunk, Duration::ZERO, out);
        }
        let mut state = self.trunks.remove(&trunk)?;
        self.layer.disarm(&mut state.held_timer);
        self.layer.disarm(&mut state.overload_timer);
        self.layer.disarm(&mut state.options_timer);
        self.layer.disarm(&mut state.registration.timer);
        self.layer.disarm(&mut state.registration.lapse);
        for client in [state.ping, state.registration.client].into_iter().flatten() {
            self.layer.set_client_user(client, ClientUser::Nobody);
        }
        self.sources.remove(trunk);
        // What it shared with another trunk is that one's now.
        for other in self.trunks.values() {
            self.sources.add(&other.trunk);
        }
        Some(state)
    }

    // Health.

    pub(super) fn options_due(&mut self, now: Instant, key: u64, out: &mut Outbox<Output>) {
        let Some(state) = self.trunks.get_mut(&key) else { return };
        let Some(interval) = state.trunk.options_interval else { return };
        let interval = interval.max(Duration::from_millis(100));
        state.options_timer = Some(self.layer.deadlines.arm(now + interval, Why::TrunkOptions(key)));
        // A whole interval without an answer is a miss; timer F would take longer to say so.
        if let Some(ping) = state.ping.take() {
            self.layer.set_client_user(ping, ClientUser::Nobody);
            self.path_verdict(now, key, false);
            self.options_missed(key, None, out);
        }
        self.send_options(now, key, out);
    }

    fn send_options(&mut self, now: Instant, key: u64, out: &mut Outbox<Output>) {
        let path = match self.way_to(now, key, out) {
            Way::Paths(paths) => paths[0],
            Way::Nowhere => return self.options_missed(key, None, out),
            Way::Waiting => return self.again_soon(now, key, Why::TrunkOptions(key)),
        };
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.path = path;
        let trunk = &state.trunk;
        let (listener, address) = path;
        let user = ClientUser::TrunkOptions(key);
        let Some((client, branch)) = self.layer.reserve(Method::Options, listener, address, user) else {
            return;
        };
        state.ping = Some(client);
        let uri = format!("sip:{}", trunk.domain());
        let (user, overload_control) = (trunk.user(), trunk.overload_control);
        let asked = Asked { uri: &uri, to: &uri, user: &user, overload_control };
        let request = self.options_request(listener, &branch, &asked);
        self.layer.start(now, client, request, out);
    }

    /// An OPTIONS outside of a dialog (RFC 3261 §11.1).
    pub(super) fn options_request(&mut self, listener: u8, branch: &[u8], asked: &Asked<'_>) -> Bytes {
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let contact = self.layer.outlets.contact(listener).as_bytes();
        let Asked { uri, to, user, overload_control } = *asked;
        let mut mark = || Mark { shard: self.layer.shard, key: 0, random: self.layer.rng.next_u64() }.text();
        let (tag, call_id) = (mark(), mark());
        let from: String = format!("sip:{user}{}", String::from_utf8_lossy(sent_by));
        self.layer.scratch.clear();
        let mut writer = Writer::request(&mut self.layer.scratch, Method::Options, uri.as_bytes());
        writer
            .own_via(Transport::Udp, sent_by, branch, overload_control)
            .max_forwards(70)
            .address(HeaderName::From, b"", from.as_bytes(), Some(&tag))
            .address(HeaderName::To, b"", to.as_bytes(), None)
            .header(HeaderName::CallId, &call_id)
            .cseq(1, Method::Options)
            .header_parts(HeaderName::Contact, &[b"<sip:", user.as_bytes(), contact, b">"])
            .header(HeaderName::Accept, super::SDP)
            .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        finish(writer, &[]);
        self.layer.written()
    }

    /// The trunk's name is being asked for.
    fn again_soon(&mut self, now: Instant, key: u64, why: Why) {
        let timer = self.layer.deadlines.arm(now + NAME_WAIT, why);
        let Some(state) = self.trunks.get_mut(&key) else {
            self.layer.deadlines.cancel(timer);
            return;
        };
        let slot = match why {
            Why::TrunkOptions(_) => &mut state.options_timer,
            _ => &mut state.registration.timer,
        };
        self.layer.disarm(slot);
        *slot = Some(timer);
    }

    /// The host an OPTIONS or REGISTER went to did not answer, or did.
    pub(super) fn path_verdict(&mut self, now: Instant, key: u64, good: bool) {
        let Some(state) = self.trunks.get(&key).filter(|state| state.trunk.wanted.is_some()) else { return };
        let target = Target { transport: self.layer.outlets.transport(state.path.0), address: state.path.1 };
        if good {
            self.locator.target_answered(target);
        } else {
            self.locator.target_failed(now, target, None);
        }
    }

    /// Any final response but 408 and 503 shows a trunk that lives, even 404 or 405.
    pub(super) fn options_final(
        &mut self,
        key: u64,
        status: u16,
        rtt: Option<Duration>,
        out: &mut Outbox<Output>,
    ) {
        if matches!(status, 408 | 503) {
            return self.options_missed(key, Some(status), out);
        }
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.ping = None;
        state.misses = 0;
        state.up = Some(true);
        out.push(Output::Event(Event::TrunkHealth { trunk: key, up: true, rtt, code: Some(status) }));
    }

    /// Whether a trunk is known not to answer OPTIONS, or has failed a call a short while ago.
    #[must_use]
    pub fn is_down(&self, now: Instant, key: u64) -> bool {
        let Some(state) = self.trunks.get(&key) else { return false };
        let (trunk, outlets) = (&state.trunk, &self.layer.outlets);
        // Of a name's hosts the others are there.
        let target = Target { transport: outlets.transport(trunk.listener), address: trunk.address };
        state.up == Some(false) || trunk.wanted.is_none() && self.locator.is_passed_over(now, &target)
    }

    pub(super) fn options_missed(&mut self, key: u64, code: Option<u16>, out: &mut Outbox<Output>) {
        let misses_max = self.config.options_misses_max;
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.ping = None;
        state.misses = state.misses.saturating_add(1);
        if state.misses >= misses_max && state.up != Some(false) {
            state.up = Some(false);
            out.push(Output::Event(Event::TrunkHealth { trunk: key, up: false, rtt: None, code }));
        }
    }

    // Registration.

    pub(super) fn register_due(&mut self, now: Instant, key: u64, out: &mut Outbox<Output>) {
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.registration.timer = None;
        state.registration.challenges = 0;
        let expires = state.registration.expires;
        self.send_register(now, key, expires, out);
    }

    /// Sends REGISTER; `Duration::ZERO` takes the registration back and waits for nothing.
    fn send_register(&mut self, now: Instant, key: u64, expires: Duration, out: &mut Outbox<Output>) {
        let challenged = self.trunks.get(&key).is_some_and(|state| state.registration.challenges > 0);
        let known = self.trunks.get(&key).map(|state| state.path);
        let path = match (self.way_to(now, key, out), known) {
            // An answer to a challenge goes to who has asked.
            (_, Some(path)) if challenged => path,
            (Way::Paths(paths), _) => paths[0],
            (Way::Nowhere, _) => return self.register_failed(now, key, None, None, out),
            (Way::Waiting, _) => return self.again_soon(now, key, Why::TrunkRegister(key)),
        };
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.path = path;
        let trunk = &state.trunk;
        let (listener, address) = path;
        let user = if expires.is_zero() { ClientUser::Nobody } else { ClientUser::TrunkRegister(key) };
        let Some((client, branch)) = self.layer.reserve(Method::Register, listener, address, user) else {
            return self.register_failed(now, key, None, None, out);
        };
        let registration = &mut state.registration;
        if !expires.is_zero() {
            registration.client = Some(client);
        }
        registration.cseq += 1;
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let contact = self.layer.outlets.contact(listener).as_bytes();
        let uri = format!("sip:{}", trunk.domain());
        let aor = format!("sip:{}{}", trunk.user(), trunk.domain());
        self.layer.scratch.clear();
        let mut writer = Writer::request(&mut self.layer.scratch, Method::Register, uri.as_bytes());
        writer
            .own_via(Transport::Udp, sent_by, &branch, trunk.overload_control)
            .max_forwards(70)
            .address(HeaderName::From, b"", aor.as_bytes(), Some(&registration.tag))
            .address(HeaderName::To, b"", aor.as_bytes(), None)
            .header(HeaderName::CallId, &registration.call_id)
            .cseq(registration.cseq, Method::Register)
            .header_parts(HeaderName::Contact, &[b"<sip:", trunk.user().as_bytes(), contact, b">"])
            .header_number(HeaderName::Expires, expires.as_secs())
            .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        if let Some(login) = &trunk.login {
            for answerer in &mut registration.answerers {
                answerer.write(login, b"REGISTER", uri.as_bytes(), b"", &mut self.layer.rng, &mut writer);
            }
        }
        finish(writer, &[]);
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
    }

    pub(super) fn register_final(
        &mut self,
        now: Instant,
        key: u64,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let status = response.status();
        let Some(state) = self.trunks.get_mut(&key) else { return };
        let registration = &mut state.registration;
        registration.client = None;
        match status {
            200..=299 => {
                let granted = granted(response, &state.trunk, registration.expires);
                self.register_granted(now, key, granted, status, out);
            }
            401 | 407 if state.trunk.login.is_some() && registration.challenges < CHALLENGES_MAX => {
                let first = registration.challenges == 0;
                registration.challenges += 1;
                if first {
                    registration.answerers.iter_mut().for_each(Answerer::begin);
                }
                if Answerer::take(response, &mut registration.answerers) {
                    let expires = registration.expires;
                    self.send_register(now, key, expires, out);
                } else {
                    self.register_failed(now, key, Some(status), None, out);
                }
            }
            423 if registration.challenges <= CHALLENGES_MAX => {
                registration.challenges += 1;
                let min = response.seconds(HeaderName::MinExpires).unwrap_or(3600).min(86_400);
                registration.expires = registration.expires.max(Duration::from_secs(min.into()));
                let expires = registration.expires;
                self.send_register(now, key, expires, out);
            }
            _ => {
                let wait = response.seconds(HeaderName::RetryAfter).map(|s| Duration::from_secs(s.into()));
                self.register_failed(now, key, Some(status), wait, out);
            }
        }
    }

    fn register_granted(
        &mut self,
        now: Instant,
        key: u64,
        granted: Duration,
        status: u16,
        out: &mut Outbox<Output>,
    ) {
        let Some(state) = self.trunks.get_mut(&key) else { return };
        let registration = &mut state.registration;
        registration.registered = true;
        registration.failures = 0;
        self.layer.disarm(&mut registration.timer);
        self.layer.disarm(&mut registration.lapse);
        let granted = granted.max(REFRESH_MIN);
        // Refreshed after four fifths of the lifetime, so that one lost REGISTER does no harm.
        let refresh = (granted * 4 / 5).max(REFRESH_MIN);
        registration.timer = Some(self.layer.deadlines.arm(now + refresh, Why::TrunkRegister(key)));
        registration.lapse = Some(self.layer.deadlines.arm(now + granted, Why::TrunkLapsed(key)));
        self.tell_registration(key, true, Some(status), out);
    }

    /// A REGISTER was refused or not answered: the next try waits, longer each time (or as Retry-After says).
    pub(super) fn register_failed(
        &mut self,
        now: Instant,
        key: u64,
        code: Option<u16>,
        wait: Option<Duration>,
        out: &mut Outbox<Output>,
    ) {
        let (min, max) = (self.config.registration_retry_min, self.config.registration_retry_max);
        let Some(state) = self.trunks.get_mut(&key) else { return };
        let registration = &mut state.registration;
        registration.client = None;
        registration.failures = registration.failures.saturating_add(1);
        let doubled = min.saturating_mul(1 << (registration.failures - 1).min(16)).min(max);
        // A fifth of it at random, so that many trunks do not try again as one.
        let jittered = doubled.mul_f64(0.9 + 0.2 * self.layer.rng.unit());
        let wait = wait.map_or(jittered, |wait| wait.clamp(min, max.max(min))).max(REFRESH_MIN);
        self.layer.disarm(&mut registration.timer);
        registration.timer = Some(self.layer.deadlines.arm(now + wait, Why::TrunkRegister(key)));
        // A registration that was granted before holds until it lapses.
        if !registration.registered {
            self.tell_registration(key, false, code, out);
        }
    }

    pub(super) fn registration_lapsed(&mut self, key: u64, out: &mut Outbox<Output>) {
        let Some(state) = self.trunks.get_mut(&key) else { return };
        state.registration.lapse = None;
        state.registration.registered = false;
        self.tell_registration(key, false, None, out);
    }

    fn tell_registration(
        &mut self,
        trunk: u64,
        registered: bool,
        code: Option<u16>,
        out: &mut Outbox<Output>,
    ) {
        let Some(state) = self.trunks.get_mut(&trunk) else { return };
        if state.registration.told != Some(registered) {
            state.registration.told = Some(registered);
            out.push(Output::Event(Event::TrunkRegistration { trunk, registered, code }));
        }
    }
}

impl TrunkState {
    /// Takes the turn of another try of an INVITE: in this shard's order, and from all shards' bucket.
    pub(super) fn may_resume(&mut self, now: Instant) -> bool {
        self.cps.allowance(now) > 0 && self.trunk.pace.take(now) && self.cps.take(now)
    }
}

impl Trunk {
    fn domain(&self) -> String {
        if self.domain.is_empty() { self.address.to_string() } else { self.domain.clone() }
    }

    /// `user@`, or nothing.
    fn user(&self) -> String {
        self.login.as_ref().map(|login| format!("{}@", login.username)).unwrap_or_default()
    }
}

/// The lifetime a registrar granted: that of our contact, else Expires, else what we asked for.
fn granted(response: &Message, trunk: &Trunk, asked: Duration) -> Duration {
    let ours = response.contacts().find_map(|contact| {
        let address = *contact.ok()?.address()?;
        let uri = Uri::parse(address.uri_text).ok()?;
        let user = trunk.login.as_ref().map(|login| login.username.as_bytes());
        if uri.user != user {
            return None;
        }
        core::str::from_utf8(address.params.value("expires")?).ok()?.parse::<u32>().ok()
    });
    ours.or(response.expires()).map_or(asked, |seconds| Duration::from_secs(seconds.into()))
}
