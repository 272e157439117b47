//! Reliable provisional responses, both ways (RFC 3262).
//!
//! ```text
//!   callee's side                              caller's side
//!     18x, RSeq n ──────────►                    ──► PRACK, RAck n   (along the early dialog's own route set)
//!     again after T1, 2·T1 …  until 64·T1: 504   copies and what is out of order: dropped
//!     ◄────────── PRACK n: 200, next of the queue; the answer that waited for it
//! ```

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::config::Reliability;
use super::leg::{Leg, Reliable, State, Unacknowledged, Waiting};
use super::overload::announces;
use super::session_timer::decimal;
use super::uac::finish;
use super::{Arrival, EndedBy, Event, How, LegKey, Output, UserAgent};
use crate::dialog::Dialog;
use crate::status::reason_phrase;
use crate::transaction::{ClientUser, Why};
use crate::wire::{HeaderName, Message, Method, Writer, is_token};

/// The option tag.
pub(super) const RELIABLE: &str = "100rel";

/// Provisional responses of one leg that wait for a PRACK. More are left out: a final response follows anyway.
const QUEUE_MAX: usize = 4;

impl UserAgent {
    // The callee's side.

    /// What an INVITE wants of our provisional responses; `Err` when we want what its sender does not know.
    pub(super) fn reliability(&mut self, request: &Message) -> Result<Option<Box<Reliable>>, ()> {
        let policy = self.config.reliable;
        let required = request.has(HeaderName::Require) && request.lists(HeaderName::Require, RELIABLE);
        let known =
            required || request.has(HeaderName::Supported) && request.lists(HeaderName::Supported, RELIABLE);
        let wanted = match policy {
            Reliability::Off => false,
            Reliability::Required => required,
            Reliability::Supported => known,
            Reliability::Always if known => true,
            Reliability::Always => return Err(()),
        };
        if !wanted {
            return Ok(None);
        }
        Ok(Some(Box::new(Reliable {
            required: required || policy == Reliability::Always,
            rseq: self.first_rseq(),
            cseq: request.cseq().0,
            unacknowledged: None,
            queue: std::collections::VecDeque::new(),
            answer: None,
            agreed: false,
            offered: request.session_description().is_some(),
        })))
    }

    /// What the first RSeq of an early dialog follows (RFC 3262 §3: from 1 to 2³¹ − 1).
    pub(super) fn first_rseq(&mut self) -> u32 {
        self.layer.rng.below(0x7fff_0000) as u32
    }

    /// Takes a provisional response that is to be sent reliably; false when it need not be.
    pub(super) fn provisional_reliably(
        &mut self,
        now: Instant,
        key: LegKey,
        code: u16,
        sdp: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let Some(reliable) = leg.reliable.as_mut() else { return false };
        if !reliable.required && sdp.is_none() {
            return false;
        }
        if reliable.unacknowledged.is_none() {
            self.send_reliable(now, key, code, sdp, out);
        } else if reliable.queue.len() < QUEUE_MAX {
            let (sdp, carried) = (sdp.map(Bytes::copy_from_slice), leg.carried.take());
            reliable.queue.push_back(Waiting { code, sdp, carried, fork: leg.fork });
        }
        true
    }

    fn send_reliable(
        &mut self,
        now: Instant,
        key: LegKey,
        code: u16,
        sdp: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (Some(server), Some(reliable)) = (leg.server, &mut leg.reliable) else { return };
        reliable.rseq += 1;
        let rseq = reliable.rseq;
        let more = |_: Option<&Leg>, writer: &mut Writer<'_>| {
            writer
                .header(HeaderName::Require, RELIABLE.as_bytes())
                .header_number(HeaderName::RSeq, rseq.into());
        };
        let Some((response, to)) = self.respond_invite_with(now, server, code, sdp, &[], more, out) else {
            return;
        };
        self.note_media_lines(key, sdp.unwrap_or_default());
        let interval = self.layer.timers.t1;
        let retransmit = self.layer.deadlines.arm(now + interval, Why::ReliableRetransmit(key));
        let timeout =
            self.layer.deadlines.arm(now + self.layer.timers.transaction(), Why::ReliableTimeout(key));
        if let Some(reliable) = self.legs.get_mut(key).and_then(|leg| leg.reliable.as_mut()) {
            reliable.unacknowledged = Some(Unacknowledged {
                rseq,
                response,
                to,
                described: sdp.is_some(),
                interval,
                retransmit: Some(retransmit),
                timeout: Some(timeout),
            });
        }
    }

    /// Our reliable response again: intervals double without a bound (RFC 3262 §3).
    pub(super) fn repeat_reliable(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let listener = leg.listener;
        let Some(sent) = leg.reliable.as_mut().and_then(|reliable| reliable.unacknowledged.as_mut()) else {
            return;
        };
        sent.interval *= 2;
        sent.retransmit = Some(self.layer.deadlines.arm(now + sent.interval, Why::ReliableRetransmit(key)));
        let (response, to) = (sent.response.clone(), sent.to);
        self.layer.counters.retransmissions_sent += 1;
        self.layer.counters.responses_repeated += 1;
        self.layer.send(listener, to, response, out);
    }

    /// 64·T1 without a PRACK: the INVITE is refused (RFC 3262 §3: with a 5xx).
    pub(super) fn reliable_unacknowledged(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        self.stop_reliable(key);
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.state != State::Incoming {
            return;
        }
        self.layer.counters.timeouts += 1;
        self.layer.counters.timeouts_ack += 1;
        if let Some(server) = leg.server.take() {
            self.respond_invite(now, server, 504, None, &[], out);
        }
        self.end(now, key, How::by(EndedBy::Timeout).code(504), out);
    }

    /// A final response of ours, or the end of the leg: nothing is repeated any more.
    pub(super) fn stop_reliable(&mut self, key: LegKey) {
        let Some(reliable) = self.legs.get_mut(key).and_then(|leg| leg.reliable.as_mut()) else { return };
        reliable.queue.clear();
        if let Some(sent) = &mut reliable.unacknowledged {
            self.layer.disarm(&mut sent.retransmit);
            self.layer.disarm(&mut sent.timeout);
        }
    }

    /// PRACK of the caller.
    pub(super) fn pracked(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some((rseq, cseq, method)) = request.header(HeaderName::RAck).and_then(rack) else {
            // RFC 3262 §7.2: it has one.
            return self.reply_with(arrival, request, 400, "Missing Or Bad RAck", |_| {}, out);
        };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (owner, random) = (leg.owner, leg.random);
        let matching = leg.reliable.as_mut().filter(|reliable| {
            let sent = reliable.unacknowledged.as_ref().is_some_and(|sent| sent.rseq == rseq);
            sent && cseq == reliable.cseq && method == b"INVITE"
        });
        let Some(sent) = matching.and_then(|reliable| reliable.unacknowledged.take()) else {
            // RFC 3262 §3: a PRACK that acknowledges nothing.
            return self.answer_request(now, arrival, request, 481, |_| {}, out);
        };
        let Unacknowledged { described, mut retransmit, mut timeout, .. } = sent;
        self.layer.disarm(&mut retransmit);
        self.layer.disarm(&mut timeout);
        let sdp = request.session_description();
        let Some(leg) = self.legs.get_mut(key) else { return };
        let incoming = leg.state == State::Incoming;
        // RFC 3262 §5: where our response held the offer, the PRACK answers it; else it may make one.
        let offers = leg.reliable.as_mut().is_some_and(|reliable| {
            let agreed = reliable.agreed;
            reliable.agreed |= described;
            reliable.offered || agreed
        });
        if sdp.is_some() && incoming && offers && leg.update.is_none() {
            let tag = self.tag(key, random);
            if let Some(server) = self.begin_later(arrival, key, request, &tag) {
                let Some(leg) = self.legs.get_mut(key) else { return };
                leg.update = Some(server);
                let fork = leg.fork;
                out.push(Output::Event(Event::Reoffer { leg: key, owner, sdp, by_update: true, fork }));
            } else {
                self.refuse_busy(arrival, request, out);
            }
        } else {
            self.answer_request(now, arrival, request, 200, |_| {}, out);
            if sdp.is_some() && incoming {
                out.push(Output::Event(Event::EarlyConfirmed { leg: key, owner, sdp }));
            }
        }
        if incoming {
            self.after_prack(now, key, out);
        }
    }

    /// What has waited for a PRACK: the answer, or the next provisional response.
    fn after_prack(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(reliable) = &mut leg.reliable else { return };
        let answer = reliable.answer.take();
        let Some(waiting) = answer.or_else(|| reliable.queue.pop_front()) else { return };
        let Waiting { code, sdp, carried, fork } = waiting;
        leg.carried = carried;
        self.turn_to_fork(key, fork);
        if code < 200 {
            self.send_reliable(now, key, code, sdp.as_deref(), out);
        } else {
            let _ = self.answer(now, key, sdp.as_deref().unwrap_or_default(), out);
        }
    }

    // The caller's side.

    /// A reliable provisional response: acknowledged once, in order. False when it is to be dropped.
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        key: LegKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let Some(rseq) = response.seconds(HeaderName::RSeq).filter(|rseq| *rseq > 0) else { return true };
        if response.to_tag().is_none() || !response.lists(HeaderName::Require, RELIABLE) {
            return true;
        }
        let fork = self.tag_hash(response.to_tag());
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let overload_control = announces(&self.trunks, leg.trunk);
        let Some(early) = leg.calling.as_mut().and_then(|calling| calling.early(fork)) else { return false };
        let expected = early.rseq == 0 || early.rseq.checked_add(1) == Some(rseq);
        if !expected {
            // RFC 3262 §4: copies have their PRACK under way; what skips a number will come again.
            return false;
        }
        early.rseq = rseq;
        let fallback = response.to().map_or(&[][..], |to| to.uri_text);
        let dialog = early.dialog.get_or_insert_with(|| {
            let mut dialog = Dialog::of_caller(response, fallback);
            dialog.overload_control = overload_control;
            Box::new(dialog)
        });
        if let Some(contact) = response.contact() {
            dialog.set_target(contact.uri_text);
        }
        dialog.local_cseq += 1;
        let (listener, peer) = if leg.symmetric {
            (leg.listener, source)
        } else {
            self.layer.outlets.hop(dialog.next_hop(), leg.listener, source)
        };
        let reserved = self.layer.reserve(Method::Prack, listener, peer, ClientUser::Nobody);
        let Some((client, branch)) = reserved else { return true };
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let cseq = dialog.local_cseq;
        let mut writer = dialog.request(&mut self.layer.scratch, Method::Prack, cseq, sent_by, &branch);
        let (mut first, mut second) = ([0; 10], [0; 10]);
        let rack: [&[u8]; 4] =
            [decimal(rseq, &mut first), b" ", decimal(response.cseq().0, &mut second), b" INVITE"];
        writer.header_parts(HeaderName::RAck, &rack);
        let login =
            leg.trunk.and_then(|trunk| self.trunks.get(&trunk)).and_then(|state| state.trunk.login.as_ref());
        if let Some(login) = login {
            for answerer in &mut leg.answerers {
                answerer.write(login, b"PRACK", dialog.request_uri(), b"", &mut self.layer.rng, &mut writer);
            }
        }
        writer.header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        finish(writer, &[]);
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
        true
    }

    /// 421: our policy wants reliable provisional responses, the caller knows none.
    pub(super) fn require_reliable(&mut self, arrival: Arrival, request: &Message, out: &mut Outbox<Output>) {
        let more = |writer: &mut Writer<'_>| {
            writer.header(HeaderName::Require, RELIABLE.as_bytes());
        };
        self.reply_with(arrival, request, 421, reason_phrase(421), more, out);
    }
}

/// The value of RAck: RSeq, and number and method of the CSeq it belongs to.
fn rack(value: &[u8]) -> Option<(u32, u32, &[u8])> {
    let mut parts = value.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    let mut number = || {
        let digits = core::str::from_utf8(parts.next()?).ok()?;
        if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (rseq, cseq) = (number()?, number()?);
    let method = parts.next().filter(|method| method.iter().copied().all(is_token))?;
    parts.next().is_none().then_some((rseq, cseq, method))
}
