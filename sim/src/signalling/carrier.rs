//! A trunk's far end, and the people who are called through it.

use super::endpoint::{Act, Ask, Endpoint, Timer};
use super::scene::By;
use super::script::{OnCancel, Ring, Script, Then};
use super::sip;
use bytes::Bytes;
use sansio::{Instant, Rng};
use sip_proxy::wire::{HeaderName, Message, Method};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a carrier and its callees are like. Shares are 0..=1.
#[derive(Clone, Debug, Default)]
pub(crate) struct CarrierPlan {
    /// User and password it asks for.
    pub(crate) credentials: Option<(String, String)>,
    /// Asks as a proxy (407) or as a server (401).
    pub(crate) asks_as_proxy: bool,
    /// More INVITEs in a second get 503 with Retry-After.
    pub(crate) cps_max: Option<u32>,
    /// Says nothing to anybody in these times.
    pub(crate) silent: Vec<(Instant, Instant)>,
    /// Nobody is at its port in these times: who sends a datagram there is told so (ICMP, RFC 792).
    pub(crate) closed: Vec<(Instant, Instant)>,
    pub(crate) answered: f64,
    pub(crate) busy: f64,
    pub(crate) refused: f64,
    pub(crate) machine: f64,
    pub(crate) talk_ms: f64,
    /// Mean time to the answer.
    pub(crate) ring_ms: f64,
    pub(crate) late_answer: f64,
    pub(crate) no_end_after_cancel: f64,
    pub(crate) forked_ringing: f64,
    pub(crate) forked_answer: f64,
    pub(crate) final_twice: f64,
    pub(crate) early_media: f64,
    pub(crate) bye_at_once: f64,
    pub(crate) silent_call: f64,
    pub(crate) mute: f64,
    /// Sound for machine detection: 20 ms packets for this many milliseconds after the answer.
    pub(crate) sound_ms: u64,
    pub(crate) odd: f64,
    pub(crate) record_route: bool,
    /// Answered calls whose session the callee changes now and then.
    pub(crate) reinvites: f64,
}

/// A carrier.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) endpoint: Endpoint,
    plan: CarrierPlan,
    /// Who is behind the numbers: one stream for all that is drawn about callees.
    callees: Rng,
    recent: VecDeque<Instant>,
    nonce: u32,
    healed: bool,
}

impl Carrier {
    pub(crate) fn new(address: SocketAddr, by: By, plan: CarrierPlan, rng: &Rng) -> Self {
        let mut endpoint = Endpoint::new(address, by, rng.child("endpoint"));
        endpoint.odd = plan.odd;
        endpoint.record_route = plan.record_route;
        Carrier {
            endpoint,
            plan,
            callees: rng.child("callees"),
            recent: VecDeque::new(),
            nonce: 0,
            healed: false,
        }
    }

    /// Whether it was silent, or not there, at any time since then.
    pub(crate) fn was_silent(&self, since: Instant) -> bool {
        self.plan.silent.iter().chain(&self.plan.closed).any(|(_, to)| *to >= since)
    }

    /// Whether nobody is at its port now.
    pub(crate) fn is_closed(&self, now: Instant) -> bool {
        !self.healed && self.plan.closed.iter().any(|(from, to)| *from <= now && now < *to)
    }

    /// From now on nothing is out of order.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    pub(crate) fn datagram(&mut self, now: Instant, bytes: &Bytes, out: &mut Vec<Act>) {
        let is_silent = !self.healed && self.plan.silent.iter().any(|(from, to)| *from <= now && now < *to);
        if is_silent {
            return;
        }
        match self.endpoint.datagram(now, bytes, out) {
            Some(Ask::Invite(invite)) => self.invite(now, invite, out),
            Some(Ask::Other(request)) => self.other(&request, out),
            Some(Ask::Final(_)) | None => {}
        }
    }

    pub(crate) fn timer(&mut self, now: Instant, timer: &Timer, out: &mut Vec<Act>) {
        self.endpoint.timer(now, timer, out);
    }

    fn invite(&mut self, now: Instant, invite: Message, out: &mut Vec<Act>) {
        let script = match self.refusal(now, &invite) {
            Some((code, reason, extra)) => Script {
                then: Then::Refuse { after_ms: 1 + self.callees.below(30), code, reason, extra },
                silent: self.callees.chance(0.5),
                ..Script::default()
            },
            None => self.draw(),
        };
        self.endpoint.play(now, invite, script, out);
    }

    fn refusal(&mut self, now: Instant, invite: &Message) -> Option<(u16, &'static str, String)> {
        if let Some(refusal) = self.challenge(invite) {
            return Some(refusal);
        }
        let max = self.plan.cps_max.filter(|_| !self.healed)?;
        while self.recent.front().is_some_and(|at| now.millis_since(*at) >= 1000) {
            self.recent.pop_front();
        }
        if self.recent.len() >= max as usize {
            return Some((503, "Service Unavailable", "Retry-After: 2\r\n".into()));
        }
        self.recent.push_back(now);
        None
    }

    /// The refusal of a request without the right credentials, if this carrier wants any.
    fn challenge(&mut self, request: &Message) -> Option<(u16, &'static str, String)> {
        let (user, password) = self.plan.credentials.clone()?;
        let register = request.method() == Method::Register;
        let proxy = self.plan.asks_as_proxy && !register;
        let name = if proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        let given = sip::header(request, name);
        let method = sip::text(request.method_text());
        let nonce = |n: u32| format!("n{n:08x}");
        if (1..=self.nonce)
            .rev()
            .take(64)
            .any(|n| sip::is_authorized(&given, &user, &password, &method, &nonce(n)))
        {
            return None;
        }
        if !given.is_empty() && request.method() == Method::Invite {
            return Some((403, "Forbidden", String::new()));
        }
        self.nonce += 1;
        let (code, reason, header) = if proxy {
            (407, "Proxy Authentication Required", "Proxy-Authenticate")
        } else {
            (401, "Unauthorized", "WWW-Authenticate")
        };
        let qop = if self.nonce.is_multiple_of(2) { ", qop=\"auth\"" } else { "" };
        let extra = format!(
            "{header}: Digest realm=\"carrier\", nonce=\"{}\", algorithm=MD5{qop}, opaque=\"o\"\r\n",
            nonce(self.nonce)
        );
        Some((code, reason, extra))
    }

    fn other(&mut self, request: &Message, out: &mut Vec<Act>) {
        if request.method() == Method::Register {
            if let Some((code, reason, extra)) = self.challenge(request) {
                return self.endpoint.reply(request, code, reason, &extra, out);
            }
            let contact = sip::header(request, HeaderName::Contact);
            let extra = format!("Contact: {contact};expires=120\r\nExpires: 120\r\n");
            return self.endpoint.reply(request, 200, "OK", &extra, out);
        }
        let status = if request.method() == Method::Options { (200, "OK") } else { (501, "Not Implemented") };
        self.endpoint.reply(request, status.0, status.1, "Accept: application/sdp\r\n", out);
    }

    /// Who is called, and what becomes of it.
    fn draw(&mut self) -> Script {
        let (rng, plan) = (&mut self.callees, &self.plan);
        let odd = !self.healed;
        if odd && rng.chance(plan.silent_call) {
            return Script { silent: true, ..Script::default() };
        }
        let first_ms = 50 + rng.below(2_000);
        let mut rings = Vec::new();
        let ringing =
            Ring { after_ms: first_ms, code: 180, reason: "Ringing", early_media: false, fork: None };
        if rng.chance(plan.early_media) {
            rings.push(Ring { code: 183, reason: "Session Progress", early_media: true, ..ringing.clone() });
        } else {
            rings.push(ringing.clone());
        }
        if odd && rng.chance(plan.forked_ringing) {
            rings.push(Ring { after_ms: first_ms + rng.below(500), fork: Some("a"), ..ringing.clone() });
            let session = Ring { code: 183, reason: "Session Progress", early_media: true, ..ringing };
            rings.push(Ring { after_ms: first_ms + rng.below(900), fork: Some("b"), ..session });
        }
        let mut script =
            Script { rings, final_twice: odd && rng.chance(plan.final_twice), ..Script::default() };
        if odd && rng.chance(plan.late_answer) {
            script.on_cancel = OnCancel::AnswerLate { after_ms: rng.below(1_500) };
        } else if odd && rng.chance(plan.no_end_after_cancel) {
            script.on_cancel = OnCancel::Nothing;
        }
        let draw = rng.unit();
        let after_ms = first_ms + rng.exponential(plan.ring_ms).min(90_000.0) as u64;
        if draw < plan.answered {
            script.then = Then::Answer { after_ms };
            answered(rng, plan, odd, &mut script);
            script.reinvites = odd && plan.reinvites > 0.0 && rng.chance(plan.reinvites);
        } else if draw < plan.answered + plan.busy {
            script.then = refuse(after_ms.min(first_ms + 3_000), 486, "Busy Here", "");
        } else if draw < plan.answered + plan.busy + plan.refused {
            let all = [
                (404, "Not Found", "Reason: Q.850;cause=1;text=\"Unallocated\"\r\n"),
                (603, "Decline", ""),
                (480, "Temporarily Unavailable", "Reason: Q.850;cause=20\r\n"),
                (500, "Server Internal Error", ""),
                (503, "Service Unavailable", "Retry-After: 5\r\n"),
                (600, "Busy Everywhere", ""),
                (488, "Not Acceptable Here", ""),
                (302, "Moved Temporarily", "Contact: <sip:elsewhere@198.51.100.77>\r\n"),
                (699, "", ""),
            ];
            let (code, reason, extra) = all[rng.below(all.len() as u64) as usize];
            script.then = refuse(after_ms, code, reason, extra);
        }
        script
    }
}

fn refuse(after_ms: u64, code: u16, reason: &'static str, extra: &str) -> Then {
    Then::Refuse { after_ms, code, reason, extra: extra.into() }
}

/// Somebody, or something, answers.
fn answered(rng: &mut Rng, plan: &CarrierPlan, odd: bool, script: &mut Script) {
    script.forked_answer = odd && rng.chance(plan.forked_answer);
    let machine = rng.chance(plan.machine);
    script.packets_quick = (plan.sound_ms / 20) as u32 + 3;
    script.packets = if odd && rng.chance(plan.mute) { 0 } else { u32::MAX };
    script.speaks_ms = if machine { 8_000 } else { 300 + rng.below(900) };
    if odd && rng.chance(plan.bye_at_once) {
        match rng.below(3) {
            // Before the ACK can be there: not allowed, and done.
            0 => script.hang_up_after_ms = Some(0),
            _ => script.hang_up_when_acked = Some(rng.below(3)),
        }
        return;
    }
    let talk = if machine { 25_000.0 } else { plan.talk_ms };
    let impatient = rng.chance(0.05);
    let ms = if impatient { 500.0 + rng.exponential(1_500.0) } else { rng.lognormal(talk, 0.7) };
    script.hang_up_after_ms = Some(ms as u64);
}
