//! A trunk that calls in: its calls pass through the daemon to another trunk.

use super::change::wait_ms;
use super::endpoint::{Act, Ask, Endpoint, Timer};
use super::scene::By;
use super::script::{Script, Then};
use super::sip::{self, GIVE_UP_MS, T1_MS, T2_MS};
use bytes::Bytes;
use sansio::{Instant, Rng};
use sip_proxy::wire::{HeaderName, Message, Method};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Numbers that begin like this pass without their sound, …
pub(crate) const BYPASS: &str = "009";
/// … and these with it.
pub(crate) const RELAY: &str = "008";

/// How callers behave. Shares are 0..=1.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallerPlan {
    /// Mean time between two calls.
    pub(crate) every_ms: f64,
    /// Mean time of a talk, if the other side does not hang up first.
    pub(crate) hold_ms: f64,
    /// Gives up while it rings.
    pub(crate) cancels: f64,
    /// Sends its INVITE without an offer.
    pub(crate) without_offer: f64,
    /// Changes its session now and then.
    pub(crate) reinvites: f64,
}

/// What a caller waits for.
#[derive(Clone, Debug)]
pub(crate) enum CallerTimer {
    /// The next call begins.
    Call,
    /// A call's request is sent again, if nothing came in between (the count tells).
    Again(u64, u32),
    /// A call is cancelled, if it still rings.
    GiveUp(u64),
    /// A call is hung up.
    HangUp(u64),
    /// A call's session is changed; the flag: and later again.
    Change(u64, bool),
    /// The re-INVITE of this number is sent again, if it still waits.
    ChangeAgain(u64, u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No response yet.
    Calling,
    /// A provisional response came.
    Ringing,
    /// CANCEL was sent.
    Cancelling,
    Up,
    HangingUp,
    Over,
}

#[derive(Debug)]
struct Call {
    id: String,
    uri: String,
    state: State,
    began: Instant,
    branch: String,
    /// The request that is repeated, since when, and after how long again.
    request: Bytes,
    since: Instant,
    again: u32,
    again_ms: u64,
    cancelled: bool,
    /// Tag and target of the other side, once it has answered.
    to_tag: String,
    target: String,
    with_offer: bool,
    /// Never told of its end.
    forsaken: bool,
    /// Number of its last request.
    cseq: u32,
    changing: Option<Changing>,
    /// ACK of the re-INVITE accepted last, by the number of that.
    change_ack: Option<(u32, Bytes)>,
    /// A re-INVITE never came to an end.
    unanswered: bool,
}

/// A re-INVITE under way.
#[derive(Debug)]
struct Changing {
    cseq: u32,
    branch: String,
    bytes: Bytes,
    since: Instant,
    again_ms: u64,
    heard: bool,
}

/// A trunk whose callers call in.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) endpoint: Endpoint,
    daemon: SocketAddr,
    plan: CallerPlan,
    calls: BTreeMap<u64, Call>,
    by_id: BTreeMap<String, u64>,
    next: u64,
    healed: bool,
    pub(crate) answered: u64,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, by: By, daemon: SocketAddr, plan: CallerPlan, rng: &Rng) -> Self {
        Caller {
            endpoint: Endpoint::new(address, by, rng.child("endpoint")),
            daemon,
            plan,
            calls: BTreeMap::new(),
            by_id: BTreeMap::new(),
            next: 0,
            healed: false,
            answered: 0,
        }
    }

    /// The shift is over: nobody calls any more.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    /// Calls that are not over, and when they began; the flag tells those that were up.
    pub(crate) fn left(&self) -> impl Iterator<Item = (&str, Instant, bool)> {
        self.calls
            .values()
            .filter(|call| call.state != State::Over || call.forsaken || call.unanswered)
            .map(|call| (call.id.as_str(), call.began, matches!(call.state, State::Up)))
    }

    pub(crate) fn datagram(&mut self, now: Instant, bytes: &Bytes, out: &mut Vec<Act>) {
        let Some(message) = sip::parse(bytes) else { return };
        let known = self.by_id.get(&sip::header(&message, HeaderName::CallId)).copied();
        match (known, message.is_request()) {
            (Some(id), false) => self.response(now, id, &message, out),
            (Some(id), true) => self.request(id, &message, out),
            // Callers are not called; OPTIONS, and what belongs to nothing.
            (None, _) => match self.endpoint.datagram(now, bytes, out) {
                Some(Ask::Invite(invite)) => {
                    let extra = String::new();
                    let then = Then::Refuse { after_ms: 5, code: 404, reason: "Not Found", extra };
                    self.endpoint.play(now, invite, Script { then, ..Script::default() }, out);
                }
                Some(Ask::Other(request)) => self.endpoint.reply(&request, 200, "OK", "", out),
                Some(Ask::Final(_)) | None => {}
            },
        }
    }

    pub(crate) fn timer(&mut self, now: Instant, timer: &Timer, out: &mut Vec<Act>) {
        let Timer::Caller(timer) = timer else { return self.endpoint.timer(now, timer, out) };
        match *timer {
            CallerTimer::Call if self.healed => {}
            CallerTimer::Call => {
                self.call(now, out);
                let ms = self.endpoint.rng.exponential(self.plan.every_ms) as u64;
                out.push(Act::After(ms.max(1), Timer::Caller(CallerTimer::Call)));
            }
            CallerTimer::Again(id, count) => self.again(now, id, count, out),
            CallerTimer::GiveUp(id) => self.cancel(now, id, out),
            CallerTimer::HangUp(id) => self.hang_up(now, id, out),
            CallerTimer::Change(id, again) => self.change(now, id, again, out),
            CallerTimer::ChangeAgain(id, cseq) => self.change_again(now, id, cseq, out),
        }
    }

    fn call(&mut self, now: Instant, out: &mut Vec<Act>) {
        self.next += 1;
        let id = self.next;
        let rng = &mut self.endpoint.rng;
        let prefix = if rng.chance(0.5) { BYPASS } else { RELAY };
        let with_offer = !rng.chance(self.plan.without_offer);
        let call = Call {
            id: format!("t{id}-{:x}", rng.next_u32()),
            uri: format!("sip:{prefix}{id}@{}{}", self.daemon, self.endpoint.by.in_uri()),
            state: State::Calling,
            began: now,
            branch: format!("z9hG4bKt{:x}", rng.next_u64()),
            request: Bytes::new(),
            since: now,
            again: 0,
            again_ms: T1_MS,
            cancelled: false,
            to_tag: String::new(),
            target: String::new(),
            with_offer,
            forsaken: false,
            cseq: 1,
            changing: None,
            change_ack: None,
            unanswered: false,
        };
        let sdp = if with_offer { self.description(id) } else { String::new() };
        let text = self.text(&call, "INVITE", &call.branch, 1, &sdp);
        self.by_id.insert(call.id.clone(), id);
        self.calls.insert(id, call);
        self.send(now, id, text, out);
    }

    fn description(&self, id: u64) -> String {
        let rtp = SocketAddr::new(self.endpoint.address.ip(), 30_000 + (id % 10_000) as u16 * 2);
        sip::description(rtp, 1, "sendrecv")
    }

    fn text(&self, call: &Call, method: &str, branch: &str, cseq: u32, sdp: &str) -> String {
        let to = if call.to_tag.is_empty() {
            format!("<{}>", call.uri)
        } else {
            format!("<{}>;tag={}", call.uri, call.to_tag)
        };
        let uri = if call.target.is_empty() { &call.uri } else { &call.target };
        sip::request(&sip::Outline {
            method,
            uri,
            sent_by: self.endpoint.address,
            by: self.endpoint.by,
            user: "peer",
            branch,
            from: &format!("<sip:+49301{}@{}>;tag=c{}", call.id.len(), self.endpoint.address, call.id),
            to: &to,
            call_id: &call.id,
            cseq,
            extra: "",
            sdp,
        })
    }

    /// Sends a request that is repeated until something comes.
    fn send(&mut self, now: Instant, id: u64, text: String, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.request = Bytes::from(text);
        call.since = now;
        call.again += 1;
        call.again_ms = T1_MS;
        out.push(Act::Send(call.request.clone()));
        out.push(Act::After(T1_MS, Timer::Caller(CallerTimer::Again(id, call.again))));
    }

    fn again(&mut self, now: Instant, id: u64, count: u32, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.again == count) else { return };
        if now.millis_since(call.since) >= GIVE_UP_MS {
            call.forsaken = call.state != State::HangingUp;
            call.state = State::Over;
            out.push(Act::Note(format!("{} gets no answer", call.id)));
            return;
        }
        match call.state {
            State::Calling | State::HangingUp | State::Cancelling => {
                if !self.endpoint.by.is_stream() {
                    out.push(Act::Send(call.request.clone()));
                }
            }
            State::Ringing | State::Up | State::Over => return,
        }
        call.again += 1;
        call.again_ms = (call.again_ms * 2).min(T2_MS);
        out.push(Act::After(call.again_ms, Timer::Caller(CallerTimer::Again(id, call.again))));
    }

    fn response(&mut self, now: Instant, id: u64, response: &Message, out: &mut Vec<Act>) {
        if response.cseq().1 == Method::Bye {
            if let Some(call) = self.calls.get_mut(&id)
                && response.status() >= 200
            {
                call.state = State::Over;
            }
            return;
        }
        if response.cseq().1 != Method::Invite {
            return;
        }
        if response.cseq().0 > 1 {
            return self.change_responded(id, response, out);
        }
        match response.status() {
            ..200 => self.rings(id, out),
            200..300 => self.answered(now, id, response, out),
            _ => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                if !matches!(call.state, State::Up | State::HangingUp) {
                    call.state = State::Over;
                }
                // RFC 3261 §17.1.1.3: the ACK has the branch of its INVITE and the tag of the response.
                let before =
                    std::mem::replace(&mut call.to_tag, sip::text(response.to_tag().unwrap_or_default()));
                let call = &self.calls[&id];
                let text = self.text(call, "ACK", &call.branch, 1, "");
                out.push(Act::Send(Bytes::from(text)));
                if let Some(call) = self.calls.get_mut(&id) {
                    call.to_tag = before;
                }
            }
        }
    }

    fn rings(&mut self, id: u64, out: &mut Vec<Act>) {
        let rng = &mut self.endpoint.rng;
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.state == State::Calling) else { return };
        call.state = State::Ringing;
        // Nobody listens to ringing for ever.
        let patience_ms = if rng.chance(self.plan.cancels) { rng.below(8_000) } else { 120_000 };
        out.push(Act::After(patience_ms, Timer::Caller(CallerTimer::GiveUp(id))));
    }

    fn answered(&mut self, now: Instant, id: u64, answer: &Message, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let first = call.to_tag.is_empty();
        if first {
            call.to_tag = sip::text(answer.to_tag().unwrap_or_default());
            call.target = sip::uri_in(&sip::header(answer, HeaderName::Contact));
            self.answered += 1;
        }
        let late = call.state == State::Over || call.cancelled;
        let sdp = if call.with_offer { String::new() } else { self.description(id) };
        let call = &self.calls[&id];
        let text = self.text(call, "ACK", &format!("{}a", call.branch), 1, &sdp);
        out.push(Act::Send(Bytes::from(text)));
        if !first {
            return;
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = State::Up;
            call.again += 1;
        }
        if late {
            return self.hang_up(now, id, out);
        }
        let ms = self.endpoint.rng.exponential(self.plan.hold_ms) as u64;
        out.push(Act::After(ms, Timer::Caller(CallerTimer::HangUp(id))));
        if self.endpoint.rng.chance(self.plan.reinvites) {
            let ms = 1_000 + self.endpoint.rng.below(8_000);
            out.push(Act::After(ms, Timer::Caller(CallerTimer::Change(id, true))));
        }
    }

    fn cancel(&mut self, now: Instant, id: u64, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.state == State::Ringing) else { return };
        call.state = State::Cancelling;
        call.cancelled = true;
        let call = &self.calls[&id];
        let text = self.text(call, "CANCEL", &call.branch, 1, "");
        self.send(now, id, text, out);
    }

    fn hang_up(&mut self, now: Instant, id: u64, out: &mut Vec<Act>) {
        let branch = format!("z9hG4bKb{:x}", self.endpoint.rng.next_u64());
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.state == State::Up) else { return };
        call.state = State::HangingUp;
        call.cseq += 1;
        let call = &self.calls[&id];
        let text = self.text(call, "BYE", &branch, call.cseq, "");
        self.send(now, id, text, out);
    }

    fn request(&mut self, id: u64, request: &Message, out: &mut Vec<Act>) {
        match request.method() {
            Method::Ack => {}
            Method::Bye => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.state = State::Over;
                }
                self.endpoint.reply(request, 200, "OK", "", out);
            }
            Method::Invite => self.asked_to_change(id, request, out),
            _ => self.endpoint.reply(request, 488, "Not Acceptable Here", "", out),
        }
    }

    /// The daemon changes the session: not while we do (RFC 3261 §14.2).
    fn asked_to_change(&mut self, id: u64, request: &Message, out: &mut Vec<Act>) {
        match self.calls.get(&id) {
            Some(call) if call.state == State::Up && call.changing.is_none() => {
                let extra =
                    format!("Contact: <sip:peer@{}{}>\r\n", self.endpoint.address, self.endpoint.by.in_uri());
                let sdp = self.description(id);
                self.endpoint.accept(request, &extra, &sdp, out);
            }
            Some(call) if call.state == State::Up => {
                self.endpoint.reply(request, 491, "Request Pending", "", out);
            }
            _ => self.endpoint.reply(request, 481, "Call/Transaction Does Not Exist", "", out),
        }
    }

    /// Sends a re-INVITE, unless one is under way or the call is not up.
    fn change(&mut self, now: Instant, id: u64, again: bool, out: &mut Vec<Act>) {
        let rng = &mut self.endpoint.rng;
        if again {
            let ms = 3_000 + rng.below(12_000);
            out.push(Act::After(ms, Timer::Caller(CallerTimer::Change(id, true))));
        }
        let branch = format!("z9hG4bKv{:x}", rng.next_u64());
        let free = |call: &&mut Call| call.state == State::Up && call.changing.is_none();
        let Some(call) = self.calls.get_mut(&id).filter(free) else { return };
        call.cseq += 1;
        let cseq = call.cseq;
        let sdp = self.description(id).replace("20518 1 ", &format!("20518 {cseq} "));
        let bytes = Bytes::from(self.text(&self.calls[&id], "INVITE", &branch, cseq, &sdp));
        out.push(Act::Send(bytes.clone()));
        out.push(Act::After(T1_MS, Timer::Caller(CallerTimer::ChangeAgain(id, cseq))));
        let changing = Changing { cseq, branch, bytes, since: now, again_ms: T1_MS, heard: false };
        if let Some(call) = self.calls.get_mut(&id) {
            call.changing = Some(changing);
        }
    }

    fn change_again(&mut self, now: Instant, id: u64, cseq: u32, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(changing) = call.changing.as_mut().filter(|changing| changing.cseq == cseq) else { return };
        let patience_ms = if changing.heard { 2 * GIVE_UP_MS } else { GIVE_UP_MS };
        if now.millis_since(changing.since) >= patience_ms {
            call.changing = None;
            call.unanswered |= call.state == State::Up;
            return;
        }
        if !changing.heard && !self.endpoint.by.is_stream() {
            out.push(Act::Send(changing.bytes.clone()));
        }
        changing.again_ms = (changing.again_ms * 2).min(T2_MS);
        out.push(Act::After(changing.again_ms, Timer::Caller(CallerTimer::ChangeAgain(id, cseq))));
    }

    /// A response to a re-INVITE.
    fn change_responded(&mut self, id: u64, response: &Message, out: &mut Vec<Act>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let cseq = response.cseq().0;
        if let Some((_, ack)) = call.change_ack.as_ref().filter(|(of, _)| *of == cseq) {
            out.push(Act::Send(ack.clone()));
            return;
        }
        let Some(changing) = call.changing.as_mut().filter(|changing| changing.cseq == cseq) else { return };
        if response.status() < 200 {
            changing.heard = true;
            return;
        }
        let accepted = response.status() < 300;
        let branch = if accepted { format!("{}a", changing.branch) } else { changing.branch.clone() };
        call.changing = None;
        let ack = Bytes::from(self.text(&self.calls[&id], "ACK", &branch, cseq, ""));
        out.push(Act::Send(ack.clone()));
        if let Some(call) = self.calls.get_mut(&id) {
            call.change_ack = Some((cseq, ack));
            if response.status() == 491 && call.state == State::Up {
                let ms = wait_ms(true, &mut self.endpoint.rng);
                out.push(Act::After(ms, Timer::Caller(CallerTimer::Change(id, false))));
            }
        }
    }
}
