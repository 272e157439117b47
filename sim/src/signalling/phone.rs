//! An agent's phone: registers, answers by itself, and fails in the ways of phones.

use super::endpoint::{Act, Ask, Endpoint, Timer};
use super::scene::By;
use super::script::{Ring, Script, Then};
use super::sip;
use bytes::Bytes;
use sansio::{Duration, Instant, Rng};
use sip_proxy::wire::{HeaderName, Message};
use std::net::SocketAddr;

/// What a phone is like. Shares are 0..=1.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhonePlan {
    /// Refuses an INVITE as busy.
    pub(crate) busy: f64,
    /// Rings and is not answered.
    pub(crate) unanswered: f64,
    /// Hangs up its leg by itself: mean time, milliseconds; 0: never.
    pub(crate) hangs_up_ms: f64,
    /// Has a microphone that falls silent.
    pub(crate) mute: f64,
    /// Changes its session now and then.
    pub(crate) reinvites: f64,
    pub(crate) odd: f64,
    /// Loses its power at these times, for so many milliseconds.
    pub(crate) dead: Vec<(Instant, u64)>,
    /// Registers for so long.
    pub(crate) expires_s: u32,
    /// Puts a wrong password into every REGISTER until then.
    pub(crate) wrong_password_until: Option<Instant>,
}

/// A phone.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) endpoint: Endpoint,
    plan: PhonePlan,
    user: String,
    password: String,
    realm: &'static str,
    pub(crate) alive: bool,
    healed: bool,
    call_id: String,
    tag: String,
    cseq: u32,
    /// REGISTERs sent for the present purpose.
    tries: u32,
    /// When it registers again; timers for other times are of the past.
    next_at: Instant,
}

impl Phone {
    pub(crate) fn new(
        address: SocketAddr,
        by: By,
        realm: &'static str,
        user: String,
        plan: PhonePlan,
        rng: &Rng,
    ) -> Self {
        let mut endpoint = Endpoint::new(address, by, rng.child("endpoint"));
        endpoint.odd = plan.odd;
        let call_id = format!("reg-{:x}@{user}", endpoint.rng.next_u64());
        let tag = format!("g{:x}", endpoint.rng.next_u32());
        Phone {
            endpoint,
            plan,
            password: format!("secret-{user}"),
            user,
            realm,
            alive: true,
            healed: false,
            call_id,
            tag,
            cseq: 0,
            tries: 0,
            next_at: Instant::ZERO,
        }
    }

    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    /// The connection to the daemon is gone: the phone registers anew over another one.
    pub(crate) fn hung(&mut self, now: Instant, out: &mut Vec<Act>) {
        if self.alive && !self.healed {
            let after_ms = 500 + self.endpoint.rng.below(3_000);
            self.next_at = now + Duration::from_millis(after_ms);
            out.push(Act::After(after_ms, Timer::Register));
        }
    }

    /// Power off or on.
    pub(crate) fn power(&mut self, now: Instant, on: bool, out: &mut Vec<Act>) {
        self.alive = on;
        self.endpoint.forget(now);
        if on {
            self.register(now, None, out);
        }
    }

    pub(crate) fn datagram(&mut self, now: Instant, bytes: &Bytes, out: &mut Vec<Act>) {
        if !self.alive {
            return;
        }
        match self.endpoint.datagram(now, bytes, out) {
            Some(Ask::Invite(invite)) => {
                let script = self.draw();
                self.endpoint.play(now, invite, script, out);
            }
            Some(Ask::Other(request)) => self.endpoint.reply(&request, 200, "OK", "", out),
            Some(Ask::Final(response)) => self.register_answered(now, &response, out),
            None => {}
        }
    }

    pub(crate) fn timer(&mut self, now: Instant, timer: &Timer, out: &mut Vec<Act>) {
        if !self.alive {
            return;
        }
        match timer {
            // After the shift no phone registers again: the daemon is to come to rest.
            Timer::Register if now < self.next_at || self.healed => {}
            Timer::Register => {
                self.tries = 0;
                self.register(now, None, out);
            }
            other => self.endpoint.timer(now, other, out),
        }
    }

    /// Registers; `challenges` are those of the refusal before.
    pub(crate) fn register(&mut self, now: Instant, challenges: Option<&[String]>, out: &mut Vec<Act>) {
        self.cseq += 1;
        self.tries += 1;
        let branch = format!("z9hG4bKr{:x}", self.endpoint.rng.next_u64());
        let uri = format!("sip:{}", self.realm);
        let aor = format!("<sip:{}@{}>", self.user, self.realm);
        let mut extra = format!("Expires: {}\r\n", self.plan.expires_s);
        if let Some(challenges) = challenges {
            let wrong = !self.healed && self.plan.wrong_password_until.is_some_and(|until| now < until);
            let password = if wrong { "guess" } else { &self.password };
            let rng = &mut self.endpoint.rng;
            if let Some(value) = sip::authorize(challenges, &self.user, password, "REGISTER", &uri, rng) {
                extra.push_str(&format!("Authorization: {value}\r\n"));
            }
        }
        let from = format!("{aor};tag={}", self.tag);
        let text = sip::request(&sip::Outline {
            method: "REGISTER",
            uri: &uri,
            sent_by: self.endpoint.address,
            by: self.endpoint.by,
            user: "peer",
            branch: &branch,
            from: &from,
            to: &aor,
            call_id: &self.call_id,
            cseq: self.cseq,
            extra: &extra,
            sdp: "",
        });
        self.endpoint.send_request(now, text, &branch, out);
        if challenges.is_none() {
            // Whatever becomes of it, there is a next time.
            let after_ms = u64::from(self.plan.expires_s) * 700;
            self.next_at = now + Duration::from_millis(after_ms);
            out.push(Act::After(after_ms, Timer::Register));
        }
    }

    fn register_answered(&mut self, now: Instant, response: &Message, out: &mut Vec<Act>) {
        match response.status() {
            200 => {}
            401 if self.tries < 3 => {
                let values = response.headers(HeaderName::WwwAuthenticate);
                let challenges: Vec<String> = values.map(sip::text).collect();
                self.register(now, Some(&challenges), out);
            }
            status => out.push(Act::Note(format!("cannot register: {status}"))),
        }
    }

    fn draw(&mut self) -> Script {
        let (rng, plan, odd) = (&mut self.endpoint.rng, &self.plan, !self.healed);
        let ring_ms = 10 + rng.below(100);
        let ringing =
            Ring { after_ms: ring_ms, code: 180, reason: "Ringing", early_media: false, fork: None };
        let mut script = Script { rings: vec![ringing], packets_quick: 3, ..Script::default() };
        if odd && rng.chance(plan.busy) {
            script.then =
                Then::Refuse { after_ms: ring_ms, code: 486, reason: "Busy Here", extra: String::new() };
        } else if !(odd && rng.chance(plan.unanswered)) {
            script.then = Then::Answer { after_ms: ring_ms + 50 + rng.below(900) };
        }
        script.packets = if odd && rng.chance(plan.mute) { 2 } else { u32::MAX };
        if odd && plan.hangs_up_ms > 0.0 {
            script.hang_up_after_ms = Some(rng.exponential(plan.hangs_up_ms) as u64);
        }
        script.reinvites = odd && plan.reinvites > 0.0 && rng.chance(plan.reinvites);
        script
    }
}
