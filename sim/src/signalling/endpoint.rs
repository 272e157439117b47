//! A peer's side of SIP: legs it was called on, and requests of its own. Carriers and phones are made of it.

use super::caller::CallerTimer;
use super::scene::By;
use super::script::{OnCancel, Script, Then};
use super::sip::{self, GIVE_UP_MS, T1_MS, T2_MS};
use bytes::Bytes;
use sansio::{Instant, Rng};
use sip_proxy::wire::{HeaderName, Message, Method};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What a peer waits for.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    /// A leg does step `n` of its script's ringing.
    Ring(u64, usize),
    /// A leg's script comes to its end.
    Then(u64),
    /// A leg sends its final response again, if none came in between (the count tells).
    Again(u64, u32),
    /// A leg answers, although it was cancelled.
    LateAnswer(u64),
    /// A leg hangs up.
    HangUp(u64),
    /// A leg changes its session; the flag: and later again.
    Change(u64, bool),
    /// A leg sends its next packet of sound.
    Sound(u64, u32),
    /// A request of ours is sent again.
    Request(String),
    /// A phone registers.
    Register,
    /// A caller's own.
    Caller(CallerTimer),
}

/// What a peer wants done.
#[derive(Debug)]
pub(crate) enum Act {
    /// Send to the daemon.
    Send(Bytes),
    /// Wake me.
    After(u64, Timer),
    /// Send sound.
    Packet { from: SocketAddr, to: SocketAddr, packet: Vec<u8> },
    /// A line for the ladder.
    Note(String),
}

/// A request that no dialog of ours is about; the peer decides.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A new INVITE.
    Invite(Message),
    /// OPTIONS, REGISTER and others outside a dialog.
    Other(Message),
    /// A final response to a request of ours outside a dialog.
    Final(Message),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LegState {
    /// No final response yet.
    Early,
    /// Answered; the flag tells whether the ACK came.
    Up { acked: bool },
    /// Refused; the flag tells whether the ACK came.
    Refused { acked: bool },
    /// Hung up by us; waits for the answer.
    HangingUp,
    /// Over.
    Over,
}

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) call_id: String,
    pub(crate) state: LegState,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// Never acknowledged, or never told of its end.
    pub(crate) forsaken: bool,
    pub(super) invite: Message,
    pub(super) tag: String,
    pub(super) script: Script,
    pub(super) rtp: SocketAddr,
    pub(super) target: String,
    remote_rtp: Option<SocketAddr>,
    /// The branch of our re-INVITE that waits for its end.
    pub(super) changing: Option<String>,
    /// A re-INVITE of ours that never came to an end began then.
    pub(crate) unanswered: Option<Instant>,
    final_bytes: Option<Bytes>,
    last_bytes: Option<Bytes>,
    again: u32,
    again_ms: u64,
    pub(super) cseq: u32,
    sequence: u16,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) bytes: Bytes,
    pub(super) sent: Instant,
    pub(super) interval_ms: u64,
    pub(super) leg: Option<u64>,
    /// Somebody works on it (an INVITE's provisional response): it is not sent again.
    pub(super) heard: bool,
}

/// A SIP endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) by: By,
    pub(crate) rng: Rng,
    pub(crate) legs: BTreeMap<u64, Leg>,
    next: u64,
    by_branch: BTreeMap<String, u64>,
    by_dialog: BTreeMap<(String, String), u64>,
    pub(super) pending: BTreeMap<String, Pending>,
    /// ACKs of re-INVITEs that were accepted, by branch.
    pub(super) acks: BTreeMap<String, Bytes>,
    /// Responses given to requests other than INVITE, by branch and method.
    pub(super) given: BTreeMap<(String, String), Bytes>,
    /// Written oddly.
    pub(crate) odd: f64,
    /// Puts a Record-Route of its own into what it answers.
    pub(crate) record_route: bool,
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, by: By, rng: Rng) -> Self {
        Endpoint {
            address,
            by,
            rng,
            legs: BTreeMap::new(),
            next: 0,
            by_branch: BTreeMap::new(),
            by_dialog: BTreeMap::new(),
            pending: BTreeMap::new(),
            acks: BTreeMap::new(),
            given: BTreeMap::new(),
            odd: 0.0,
            record_route: false,
        }
    }

    /// Takes a datagram; what has to be decided comes back.
    pub(crate) fn datagram(&mut self, now: Instant, bytes: &Bytes, out: &mut Vec<Act>) -> Option<Ask> {
        let message = sip::parse(bytes)?;
        if !message.is_request() {
            return self.response(now, message, out);
        }
        match message.method() {
            Method::Invite if message.to_tag().is_none() => {
                if let Some(leg) = self.by_branch.get(&sip::branch(&message)) {
                    if let Some(bytes) = self.legs.get(leg).and_then(|leg| leg.last_bytes.clone()) {
                        out.push(Act::Send(bytes));
                    }
                    return None;
                }
                Some(Ask::Invite(message))
            }
            Method::Ack => {
                self.ack(&message, out);
                None
            }
            method => {
                let key = (sip::branch(&message), sip::text(message.method_text()));
                if let Some(bytes) = self.given.get(&key) {
                    out.push(Act::Send(bytes.clone()));
                    return None;
                }
                match method {
                    Method::Cancel => self.cancel(&message, out),
                    _ if message.to_tag().is_some() => self.in_dialog(now, &message, out),
                    _ => return Some(Ask::Other(message)),
                }
                None
            }
        }
    }

    /// Plays a script on a new INVITE.
    pub(crate) fn play(&mut self, now: Instant, invite: Message, script: Script, out: &mut Vec<Act>) -> u64 {
        self.next += 1;
        let id = self.next;
        let tag = format!("t{:x}", self.rng.next_u32());
        let call_id = sip::header(&invite, HeaderName::CallId);
        let rtp = SocketAddr::new(self.address.ip(), 10_000 + 2 * (id % 20_000) as u16);
        self.by_branch.insert(sip::branch(&invite), id);
        self.by_dialog.insert((call_id.clone(), tag.clone()), id);
        for (step, ring) in script.rings.iter().enumerate() {
            out.push(Act::After(ring.after_ms, Timer::Ring(id, step)));
        }
        if let Then::Answer { after_ms } | Then::Refuse { after_ms, .. } = script.then {
            out.push(Act::After(after_ms, Timer::Then(id)));
        }
        let leg = Leg {
            call_id,
            state: LegState::Early,
            began: now,
            ended: now,
            forsaken: false,
            target: sip::uri_in(&sip::header(&invite, HeaderName::Contact)),
            remote_rtp: sip::sound_address(invite.body()),
            changing: None,
            unanswered: None,
            tag,
            script,
            rtp,
            final_bytes: None,
            last_bytes: None,
            again: 0,
            again_ms: T1_MS,
            cseq: 1 + self.rng.below(1000) as u32,
            sequence: 0,
            invite,
        };
        let silent = leg.script.silent;
        self.legs.insert(id, leg);
        if !silent {
            self.provisional(id, 100, "Trying", false, None, out);
        }
        id
    }

    /// Answers a request outside of dialogs, once and for all its copies.
    pub(crate) fn reply(
        &mut self,
        request: &Message,
        status: u16,
        reason: &str,
        extra: &str,
        out: &mut Vec<Act>,
    ) {
        let tag = format!("r{:x}", self.rng.next_u32());
        let bytes = Bytes::from(sip::response(request, status, reason, &tag, extra, ""));
        let key = (sip::branch(request), sip::text(request.method_text()));
        self.given.insert(key, bytes.clone());
        out.push(Act::Send(bytes));
    }

    /// Sends a request of our own; its final response comes back.
    pub(crate) fn send_request(&mut self, now: Instant, text: String, branch: &str, out: &mut Vec<Act>) {
        self.start_request(now, text, branch, None, out);
    }

    pub(super) fn start_request(
        &mut self,
        now: Instant,
        text: String,
        branch: &str,
        leg: Option<u64>,
        out: &mut Vec<Act>,
    ) {
        let bytes = Bytes::from(self.dress(text));
        out.push(Act::Send(bytes.clone()));
        out.push(Act::After(T1_MS, Timer::Request(branch.to_owned())));
        let pending = Pending { bytes, sent: now, interval_ms: T1_MS, leg, heard: false };
        self.pending.insert(branch.to_owned(), pending);
    }

    pub(crate) fn timer(&mut self, now: Instant, timer: &Timer, out: &mut Vec<Act>) {
        match timer {
            Timer::Ring(id, step) => self.ring(*id, *step, out),
            Timer::Then(id) => self.come_to_then(now, *id, out),
            Timer::Again(id, count) => self.send_again(now, *id, *count, out),
            Timer::LateAnswer(id) => {
                if self.is_early(*id) {
                    out.push(Act::Note("answers although it was cancelled".into()));
                    self.answer(now, *id, out);
                }
            }
            Timer::HangUp(id) => self.hang_up(now, *id, out),
            Timer::Change(id, again) => self.change(now, *id, *again, out),
            Timer::Sound(id, n) => self.sound(*id, *n, out),
            Timer::Request(branch) => self.request_again(now, branch, out),
            Timer::Register | Timer::Caller(_) => {}
        }
    }

    /// Forgets everything, as a phone does that lost its power.
    pub(crate) fn forget(&mut self, now: Instant) {
        for leg in self.legs.values_mut() {
            if leg.state != LegState::Over {
                leg.state = LegState::Over;
                leg.ended = now;
                leg.script.packets = 0;
            }
        }
        self.by_branch.clear();
        self.by_dialog.clear();
        self.pending.clear();
        self.given.clear();
    }

    fn is_early(&self, id: u64) -> bool {
        self.legs.get(&id).is_some_and(|leg| leg.state == LegState::Early)
    }

    fn dress(&mut self, text: String) -> String {
        if self.odd > 0.0 && self.rng.chance(self.odd) { sip::odd(&text, &mut self.rng) } else { text }
    }

    fn ring(&mut self, id: u64, step: usize, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get(&id).filter(|leg| leg.state == LegState::Early) else { return };
        let ring = leg.script.rings[step].clone();
        self.provisional(id, ring.code, ring.reason, ring.early_media, ring.fork, out);
    }

    fn provisional(
        &mut self,
        id: u64,
        code: u16,
        reason: &str,
        sdp: bool,
        fork: Option<&'static str>,
        out: &mut Vec<Act>,
    ) {
        let extra = if code > 100 { self.dialog_headers() } else { String::new() };
        let Some(leg) = self.legs.get(&id) else { return };
        let tag = fork.map_or_else(|| leg.tag.clone(), |fork| format!("{fork}{}", leg.tag));
        let sdp = if sdp { sip::description(leg.rtp, 1, "sendrecv") } else { String::new() };
        let text = sip::response(&leg.invite, code, reason, &tag, &extra, &sdp);
        let bytes = Bytes::from(self.dress(text));
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.last_bytes = Some(bytes.clone());
        }
        out.push(Act::Send(bytes));
    }

    pub(super) fn dialog_headers(&self) -> String {
        let route = if self.record_route {
            format!("Record-Route: <sip:{}{};lr>\r\n", self.address, self.by.in_uri())
        } else {
            String::new()
        };
        format!("{route}Contact: <sip:gw@{}{}>\r\n", self.address, self.by.in_uri())
    }

    fn come_to_then(&mut self, now: Instant, id: u64, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get(&id).filter(|leg| leg.state == LegState::Early) else { return };
        match leg.script.then.clone() {
            Then::Answer { .. } => self.answer(now, id, out),
            Then::Refuse { code, reason, extra, .. } => self.refuse(id, code, reason, &extra, out),
            Then::Never => {}
        }
    }

    fn answer(&mut self, now: Instant, id: u64, out: &mut Vec<Act>) {
        let extra = format!("{}Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n", self.dialog_headers());
        let Some(leg) = self.legs.get(&id) else { return };
        let sdp = sip::description(leg.rtp, 1, "sendrecv");
        let text = sip::response(&leg.invite, 200, "OK", &leg.tag, &extra, &sdp);
        let script = leg.script.clone();
        self.finish(id, LegState::Up { acked: false }, text, out);
        if script.forked_answer {
            self.fork(now, id, &extra, out);
        }
        if let Some(ms) = script.hang_up_after_ms {
            out.push(Act::After(ms, Timer::HangUp(id)));
        }
        if script.reinvites {
            out.push(Act::After(2_000 + self.rng.below(10_000), Timer::Change(id, true)));
        }
        if script.packets > 0 {
            out.push(Act::After(20, Timer::Sound(id, 0)));
        }
    }

    /// Another phone of the callee answers too: a second 200 with a tag of its own.
    fn fork(&mut self, now: Instant, id: u64, extra: &str, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let tag = format!("f{}", leg.tag);
        let sdp = sip::description(leg.rtp, 1, "sendrecv");
        let text = sip::response(&leg.invite, 200, "OK", &tag, extra, &sdp);
        self.next += 1;
        let twin = self.next;
        let other = Leg {
            call_id: leg.call_id.clone(),
            state: LegState::Early,
            began: now,
            ended: now,
            forsaken: false,
            invite: leg.invite.clone(),
            tag: tag.clone(),
            script: Script::default(),
            rtp: leg.rtp,
            target: leg.target.clone(),
            remote_rtp: None,
            changing: None,
            unanswered: None,
            final_bytes: None,
            last_bytes: None,
            again: 0,
            again_ms: T1_MS,
            cseq: 1,
            sequence: 0,
        };
        self.by_dialog.insert((other.call_id.clone(), tag), twin);
        self.legs.insert(twin, other);
        self.finish(twin, LegState::Up { acked: false }, text, out);
    }

    fn refuse(&mut self, id: u64, code: u16, reason: &str, extra: &str, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let text = sip::response(&leg.invite, code, reason, &leg.tag, extra, "");
        self.finish(id, LegState::Refused { acked: false }, text, out);
    }

    fn finish(&mut self, id: u64, state: LegState, text: String, out: &mut Vec<Act>) {
        let bytes = Bytes::from(self.dress(text));
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.state = state;
        leg.final_bytes = Some(bytes.clone());
        leg.last_bytes = Some(bytes.clone());
        leg.again_ms = T1_MS;
        leg.again += 1;
        out.push(Act::After(T1_MS, Timer::Again(id, leg.again)));
        if leg.script.final_twice {
            out.push(Act::Send(bytes.clone()));
        }
        out.push(Act::Send(bytes));
    }

    // RFC 3261 §13.3.1.4 and §17.2.1: final responses are repeated until they are acknowledged, for 64·T1.
    fn send_again(&mut self, now: Instant, id: u64, count: u32, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.again == count) else { return };
        let waits = matches!(leg.state, LegState::Up { acked: false } | LegState::Refused { acked: false });
        if !waits {
            return;
        }
        leg.again_ms = (leg.again_ms * 2).min(T2_MS);
        // 0.5 s, 1 s, 2 s and then every 4 s: the eleventh is due after 31.5 s.
        if leg.again > 11 {
            leg.forsaken = true;
            if matches!(leg.state, LegState::Up { .. }) {
                out.push(Act::Note("was never acknowledged and hangs up".into()));
                self.hang_up(now, id, out);
            } else {
                leg.state = LegState::Over;
                leg.ended = now;
            }
            return;
        }
        leg.again += 1;
        out.push(Act::After(leg.again_ms, Timer::Again(id, leg.again)));
        // RFC 3261 §17.2.1: over a connection only a 2xx is sent again.
        if !self.by.is_stream() || matches!(leg.state, LegState::Up { .. }) {
            out.extend(leg.final_bytes.clone().map(Act::Send));
        }
    }

    fn ack(&mut self, ack: &Message, out: &mut Vec<Act>) {
        let key = (sip::header(ack, HeaderName::CallId), sip::text(ack.to_tag().unwrap_or_default()));
        let Some(leg) = self.by_dialog.get(&key).and_then(|id| self.legs.get_mut(id)) else { return };
        match &mut leg.state {
            LegState::Up { acked } => {
                *acked = true;
                if let Some(bye) = leg.script.hang_up_when_acked.take() {
                    let id = self.by_dialog[&key];
                    out.push(Act::After(bye, Timer::HangUp(id)));
                }
            }
            LegState::Refused { acked } => {
                *acked = true;
                leg.state = LegState::Over;
            }
            _ => {}
        }
    }

    fn cancel(&mut self, cancel: &Message, out: &mut Vec<Act>) {
        let Some(id) = self.by_branch.get(&sip::branch(cancel)).copied() else {
            return self.reply(cancel, 481, "Call/Transaction Does Not Exist", "", out);
        };
        self.reply(cancel, 200, "OK", "", out);
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.state == LegState::Early) else { return };
        match leg.script.on_cancel {
            OnCancel::Obey => self.refuse(id, 487, "Request Terminated", "", out),
            OnCancel::AnswerLate { after_ms } => {
                leg.script.on_cancel = OnCancel::Obey;
                out.push(Act::After(after_ms, Timer::LateAnswer(id)));
            }
            OnCancel::Nothing => {
                leg.script.then = Then::Never;
                leg.state = LegState::Over;
            }
        }
    }

    fn in_dialog(&mut self, now: Instant, request: &Message, out: &mut Vec<Act>) {
        let key = (sip::header(request, HeaderName::CallId), sip::text(request.to_tag().unwrap_or_default()));
        let id = self.by_dialog.get(&key).copied();
        let leg = id.and_then(|id| self.legs.get_mut(&id));
        let Some(leg) = leg.filter(|leg| matches!(leg.state, LegState::Up { .. } | LegState::HangingUp))
        else {
            return self.reply(request, 481, "Call/Transaction Does Not Exist", "", out);
        };
        match request.method() {
            Method::Bye => {
                if leg.state != LegState::HangingUp {
                    leg.state = LegState::Over;
                    leg.ended = now;
                }
                self.reply(request, 200, "OK", "", out);
            }
            // RFC 3261 §14.2: two changes at once are one too many.
            Method::Invite if leg.changing.is_some() => {
                self.reply(request, 491, "Request Pending", "", out);
            }
            Method::Invite => {
                let rtp = leg.rtp;
                leg.remote_rtp = sip::sound_address(request.body());
                let extra = self.dialog_headers();
                self.accept(request, &extra, &sip::description(rtp, 2, "sendrecv"), out);
            }
            _ => self.reply(request, 200, "OK", "", out),
        }
    }

    /// Hangs up an answered leg.
    pub(crate) fn hang_up(&mut self, now: Instant, id: u64, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| matches!(leg.state, LegState::Up { .. })) else {
            return;
        };
        leg.state = LegState::HangingUp;
        leg.cseq += 1;
        let branch = format!("z9hG4bKp{:x}", self.rng.next_u64());
        let from = format!("{};tag={}", sip::header(&leg.invite, HeaderName::To), leg.tag);
        let to = sip::header(&leg.invite, HeaderName::From);
        let text = sip::request(&sip::Outline {
            method: "BYE",
            uri: &leg.target,
            sent_by: self.address,
            by: self.by,
            user: "gw",
            branch: &branch,
            from: &from,
            to: &to,
            call_id: &leg.call_id,
            cseq: leg.cseq,
            extra: "",
            sdp: "",
        });
        self.start_request(now, text, &branch, Some(id), out);
    }

    fn request_again(&mut self, now: Instant, branch: &str, out: &mut Vec<Act>) {
        let Some(pending) = self.pending.get_mut(branch) else { return };
        let patience_ms = if pending.heard { 2 * GIVE_UP_MS } else { GIVE_UP_MS };
        if now.millis_since(pending.sent) >= patience_ms {
            let leg = pending.leg;
            self.pending.remove(branch);
            return self.given_up(now, leg, branch);
        }
        pending.interval_ms = (pending.interval_ms * 2).min(T2_MS);
        if !pending.heard && !self.by.is_stream() {
            out.push(Act::Send(pending.bytes.clone()));
        }
        out.push(Act::After(pending.interval_ms, Timer::Request(branch.to_owned())));
    }

    pub(super) fn leg_over(&mut self, now: Instant, leg: Option<u64>) {
        if let Some(leg) = leg.and_then(|id| self.legs.get_mut(&id)) {
            leg.state = LegState::Over;
            leg.ended = now;
        }
    }

    fn response(&mut self, now: Instant, response: Message, out: &mut Vec<Act>) -> Option<Ask> {
        if response.cseq().1 == Method::Invite {
            self.change_responded(&response, out);
            return None;
        }
        if response.status() < 200 {
            return None;
        }
        let pending = self.pending.remove(&sip::branch(&response))?;
        self.leg_over(now, pending.leg);
        pending.leg.is_none().then_some(Ask::Final(response))
    }

    fn sound(&mut self, id: u64, n: u32, out: &mut Vec<Act>) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| matches!(leg.state, LegState::Up { .. })) else {
            return;
        };
        let Some(to) = leg.remote_rtp else { return };
        if n >= leg.script.packets {
            return;
        }
        leg.sequence = leg.sequence.wrapping_add(1);
        let quick = n < leg.script.packets_quick;
        let speaks = leg.script.speaks_ms > u64::from(n) * 20;
        let mut packet = vec![0x80, 8];
        packet.extend(leg.sequence.to_be_bytes());
        packet.extend((n * 160).to_be_bytes());
        packet.extend([0, 0, id as u8, 1]);
        // A-law: 0x55 and 0xD5 are silence; a square of 0x2A and 0xAA is loud.
        packet.extend((0..160_u32).map(|at| match (speaks, at / 8 % 2) {
            (true, 0) => 0x2A,
            (true, _) => 0xAA,
            (false, _) => 0xD5,
        }));
        out.push(Act::Packet { from: leg.rtp, to, packet });
        out.push(Act::After(if quick { 20 } else { 4_000 }, Timer::Sound(id, n + 1)));
    }
}
