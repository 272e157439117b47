//! Legs that we make: INVITE, its progress, its answer, its failure (RFC 3261 §13.2).

use core::net::SocketAddr;

use std::collections::VecDeque;

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::aim::{Path, Way};
use super::config::Reliability;
use super::digest::Answerer;
use super::fork::name_of;
use super::leg::{Calling, Leg, State};
use super::offer::media_lines;
use super::overload::announces;
use super::reliable::RELIABLE;
use super::update::allows_update;
use super::{ALLOW, EndedBy, Event, How, Invite, InviteError, LegKey, Output, SDP, UserAgent};
use crate::dialog::Dialog;
use crate::mark::{MARK_BYTES, Mark};
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::transport::is_sips;
use crate::wire::{BRANCH_COOKIE, HeaderName, Limits, Message, Method, Transport, Uri, Writer, parse};

impl UserAgent {
    /// Calls someone.
    ///
    /// # Errors
    /// When a limit is reached or a URI is none; nothing has been sent then, and no event will come.
    pub fn invite(
        &mut self,
        now: Instant,
        invite: &Invite<'_>,
        out: &mut Outbox<Output>,
    ) -> Result<LegKey, InviteError> {
        self.invite_with_parts(now, invite, &[], out)
    }

    /// The same with further parts of the body beside the description (RFC 5621).
    ///
    /// * `parts` as [`Message::other_parts`] gives them
    ///
    /// # Errors
    /// As [`UserAgent::invite`].
    pub fn invite_with_parts(
        &mut self,
        now: Instant,
        invite: &Invite<'_>,
        parts: &[&[u8]],
        out: &mut Outbox<Output>,
    ) -> Result<LegKey, InviteError> {
        if usize::from(invite.listener) >= self.config.listeners.len() {
            return Err(InviteError::NoSuchListener);
        }
        // Numbers come from people and from files: one that ends its URI early would write parameters of its own.
        let uris = [
            Some(invite.request_uri),
            Some(invite.from_uri),
            Some(invite.to_uri),
            invite.p_asserted_identity,
        ];
        if uris.into_iter().flatten().any(|uri| Uri::parse(uri.as_bytes()).is_err()) {
            return Err(InviteError::BadUri);
        }
        let (path, others, waiting) = self.first_path(now, invite, out)?;
        let (listener, destination) = path.unwrap_or((invite.listener, invite.destination));
        let random = self.layer.rng.next_u64();
        let key = self.legs.insert(Leg::of_caller(invite, random)).map_err(|_| InviteError::Limit)?;
        let (client, branch) = match path {
            Some(_) => {
                let user = ClientUser::Invite(key);
                let Some((client, branch)) = self.layer.reserve(Method::Invite, listener, destination, user)
                else {
                    self.legs.remove(key);
                    return Err(InviteError::Limit);
                };
                (Some(client), branch)
            }
            None => (None, self.loose_branch()),
        };
        if let Some(leg) = self.legs.get_mut(key) {
            (leg.invite, leg.listener, leg.peer) = (client, listener, destination);
            if let Some(calling) = &mut leg.calling {
                calling.paths = others;
            }
        }
        if let Some(client) = client.filter(|_| invite.symmetric) {
            self.layer.pin(client);
        }
        let sent_by = &self.config.listeners[usize::from(listener)].advertised;
        let shard = self.layer.shard;
        let secure = is_sips(invite.request_uri.as_bytes());
        let tag = Mark { shard, key: key.to_bits(), random }.text();
        // Drawn from the tag, so that a 2xx which comes when all else is forgotten is still known to be for us.
        let call_id = self.call_id_of(&Mark { shard, key: key.to_bits(), random });
        self.layer.scratch.clear();
        let mut writer =
            Writer::request(&mut self.layer.scratch, Method::Invite, invite.request_uri.as_bytes());
        let announces = announces(&self.trunks, invite.trunk);
        writer
            .own_via(Transport::Udp, sent_by.as_bytes(), &branch, announces)
            .max_forwards(invite.max_forwards);
        if let Some(route) = invite.route {
            writer.header(HeaderName::Route, route.as_bytes());
        }
        writer
            .address(HeaderName::From, invite.from_display.as_bytes(), invite.from_uri.as_bytes(), Some(&tag))
            .address(HeaderName::To, b"", invite.to_uri.as_bytes(), None)
            .header(HeaderName::CallId, &call_id)
            .cseq(1, Method::Invite);
        self.layer.outlets.write_contact(listener, secure, &tag, &mut writer);
        writer
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, &self.supported)
            .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        if self.config.reliable == Reliability::Always {
            writer.header(HeaderName::Require, RELIABLE.as_bytes());
        }
        Self::write_session_wish(&self.config.session_timers, None, &mut writer);
        if let Some(identity) = invite.p_asserted_identity {
            writer.address(HeaderName::PAssertedIdentity, b"", identity.as_bytes(), None);
        }
        for (name, value) in invite.headers {
            writer.header_text(name, value.as_bytes());
        }
        if parts.is_empty() {
            finish(writer, &invite.sdp);
        } else {
            finish_with_parts(writer, &invite.sdp, parts, &call_id);
        }
        let request = self.layer.written();
        self.layer.counters.legs += 1;
        self.count_leg(invite.trunk, true, true);
        match client {
            Some(client) => {
                self.layer.start(now, client, request, out);
                self.watch_target(now, key);
            }
            None => self.hold_back(now, invite.trunk.unwrap_or_default(), key, request, waiting),
        }
        Ok(key)
    }

    /// Where an INVITE goes first, and where else it can go; first `None` while it must wait, and whether it does for an
    /// answer of the domain name system.
    fn first_path(
        &mut self,
        now: Instant,
        invite: &Invite<'_>,
        out: &mut Outbox<Output>,
    ) -> Result<(Option<Path>, Vec<Path>, bool), InviteError> {
        let named = |trunk: &u64| self.trunks.get(trunk).is_some_and(|state| state.trunk.wanted.is_some());
        let Some(trunk) = invite.trunk.filter(named) else {
            if invite.trunk.is_some() && self.must_withhold(now, invite.destination) {
                return Err(InviteError::Overloaded);
            }
            return Ok((Some((invite.listener, invite.destination)), Vec::new(), false));
        };
        match self.way_to(now, trunk, out) {
            Way::Waiting => Ok((None, Vec::new(), true)),
            Way::Nowhere => Err(InviteError::Unreachable),
            Way::Paths(_) if !self.may_depart(now, trunk) => Ok((None, Vec::new(), false)),
            Way::Paths(mut paths) => {
                while self.must_withhold(now, paths[0].1) {
                    paths.remove(0);
                    if paths.is_empty() {
                        return Err(InviteError::Overloaded);
                    }
                }
                let first = paths.remove(0);
                Ok((Some(first), paths, false))
            }
        }
    }

    /// 1xx to the INVITE of a leg.
    pub(super) fn progress(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let tag = self.tag_hash(response.to_tag());
        let ringing_max = self.config.ringing_max;
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(calling) = &mut leg.calling else { return };
        let first = !calling.ringing;
        calling.ringing = true;
        if leg.state == State::Cancelling {
            if first {
                self.send_cancel(now, key, client, out);
            }
            return;
        }
        if first {
            self.layer.disarm(&mut leg.ringing);
            leg.ringing = Some(self.layer.deadlines.arm(now + ringing_max, Why::Ringing(key)));
        }
        let code = response.status();
        if code == 100 {
            return;
        }
        if response.has(HeaderName::RSeq) && !self.acknowledge_provisional(now, key, source, response, out) {
            return;
        }
        let sdp = response.session_description();
        let Some(leg) = self.legs.get_mut(key) else { return };
        if let Some(calling) = leg.calling.as_mut().filter(|_| response.to_tag().is_some()) {
            calling.note_fork(tag);
        }
        if response.has(HeaderName::Allow) {
            leg.allows_update |= allows_update(response);
        }
        if let Some(sdp) = &sdp
            && let Some(early) = leg.calling.as_mut().and_then(|calling| calling.early(tag))
        {
            early.sdp = Some(sdp.clone());
        }
        let fork = response.to_tag().map_or(0, |_| name_of(tag));
        out.push(Output::Event(Event::Progress { leg: key, owner: leg.owner, code, sdp, fork }));
    }

    /// The first final response to the INVITE of a leg.
    pub(super) fn invite_final(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let request = self.layer.take_request(client);
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.invite = None;
        self.layer.disarm(&mut leg.ringing);
        let status = response.status();
        if status < 300 {
            self.target_answered(key);
            return self.answered(now, key, client, source, &request, response, out);
        }
        let cancelling = leg.state == State::Cancelling;
        if matches!(status, 401 | 407 | 422)
            && !cancelling
            && self.invite_again(now, key, &request, response, out).is_some()
        {
            return;
        }
        if !cancelling && matches!(status, 408 | 503) {
            self.target_failed(now, key, How::by(EndedBy::Remote).said_in(response).retry_after);
            if status == 503 && self.fail_over(now, key, &request, out) {
                return;
            }
        } else {
            self.target_answered(key);
        }
        if !cancelling && self.redirected(now, key, &request, response, out) {
            return;
        }
        let by = match (cancelling, self.legs.get(key).and_then(|leg| leg.calling.as_ref())) {
            (true, Some(calling)) => calling.by,
            _ => EndedBy::Remote,
        };
        self.end(now, key, How::by(by).code(status).said_in(response), out);
    }

    /// 2xx: the dialog stands, the ACK goes out at once (RFC 3261 §13.2.2.4).
    #[allow(clippy::too_many_arguments, reason = "all of it is the one response and what it answers")]
    fn answered(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        request: &Bytes,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let request = parse(request.clone(), &Limits::default()).ok();
        let fallback = request.as_ref().map_or(&[][..], Message::request_uri);
        let mut dialog = Dialog::of_caller(response, fallback);
        let tag = self.tag_hash(response.to_tag());
        let Some(leg) = self.legs.get_mut(key) else { return };
        dialog.overload_control = announces(&self.trunks, leg.trunk);
        if leg.symmetric {
            leg.peer = source;
        } else {
            (leg.listener, leg.peer) = self.layer.outlets.hop(dialog.next_hop(), leg.listener, source);
        }
        leg.answered = true;
        let (listener, peer) = (leg.listener, leg.peer);
        leg.allows_update |= allows_update(response);
        let mut calling = leg.calling.take();
        let early = calling.as_mut().and_then(|calling| {
            let at = calling.early.iter().position(|early| early.fork == tag)?;
            Some(calling.early.swap_remove(at))
        });
        if let Some(early) = early.as_ref().and_then(|early| early.dialog.as_ref()) {
            // What was sent and received before the answer counts on.
            dialog.local_cseq = early.local_cseq.max(dialog.local_cseq);
            dialog.remote_cseq = early.remote_cseq;
        }
        let authenticated = !leg.answerers.is_empty();
        let ack =
            self.write_ack(listener, &dialog, response.cseq().0, request.as_ref().filter(|_| authenticated));
        self.layer.accept(client, tag, peer, ack.clone());
        self.layer.send(listener, peer, ack, out);
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.dialog = Some(Box::new(dialog));
        if leg.state == State::Cancelling {
            // The 2xx crossed our CANCEL: the call stands and must be ended by BYE (RFC 3261 §15).
            let (by, reason) =
                calling.map_or((EndedBy::Local, Box::default()), |calling| (calling.by, calling.reason));
            return self.end_with_bye(now, key, How::by(by), &reason, out);
        }
        leg.state = State::Confirmed;
        let owner = leg.owner;
        let sdp = response.session_description().or(early.and_then(|early| early.sdp));
        self.session_agreed(now, key, request.as_ref(), response);
        let fork = response.to_tag().map_or(0, |_| name_of(tag));
        out.push(Output::Event(Event::Answered { leg: key, owner, sdp, fork }));
    }

    /// The ACK to a 2xx. Credentials are those of the INVITE (RFC 3261 §13.2.2.4).
    pub(super) fn write_ack(
        &mut self,
        listener: u8,
        dialog: &Dialog,
        cseq: u32,
        credentials_of: Option<&Message>,
    ) -> Bytes {
        let branch = self.loose_branch();
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let mut writer = dialog.request(&mut self.layer.scratch, Method::Ack, cseq, sent_by, &branch);
        if let Some(invite) = credentials_of {
            writer.copy_from(invite, HeaderName::Authorization);
            writer.copy_from(invite, HeaderName::ProxyAuthorization);
        }
        finish(writer, &[]);
        self.layer.written()
    }

    /// A 2xx after the INVITE's fate was decided. The retransmission of the one we took gets its ACK again; any
    /// other is a call we do not want: ACK, then BYE (RFC 3261 §13.2.2.4).
    pub(super) fn late_success(
        &mut self,
        now: Instant,
        client: ClientKey,
        (listener, source): Path,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let tag = self.tag_hash(response.to_tag());
        let Some(known) = self.layer.client(client) else { return };
        let (own, ack_to, ack_only) = (known.listener, known.ack_to, known.ack_only);
        let taken = known.winner.is_some();
        if known.winner == Some(tag) {
            let ack = known.ack.clone();
            self.layer.counters.retransmissions_received += 1;
            if self.has_ended(response) {
                self.remember_bye(response, tag);
            }
            if ack.is_empty() {
                // Its answer is not there yet.
                return;
            }
            return self.layer.send(own, ack_to, ack, out);
        }
        let (mut dialog, (listener, peer)) = self.acknowledge_stray(listener, source, response, out);
        if ack_only {
            return;
        }
        self.remember_bye(response, tag);
        if !self.layer.refuse_fork(client, tag) {
            return;
        }
        dialog.local_cseq += 1;
        let reason = if taken { TAKEN } else { &[][..] };
        self.send_bye_of(now, listener, peer, &mut dialog, ClientUser::Nobody, reason, out);
    }

    /// Nothing is left of the leg that a response belongs to, or only its BYE.
    fn has_ended(&self, response: &Message) -> bool {
        let mark = response.from_tag().and_then(Mark::parse);
        mark.and_then(|mark| self.leg_of_mark(&mark)).is_none_or(|leg| leg.state.is_over())
    }

    /// The leg whose tag this is.
    pub(super) fn leg_of_mark(&self, mark: &Mark) -> Option<&Leg> {
        self.legs.get(LegKey::from_bits(mark.key)).filter(|leg| leg.has_tag(mark.random))
    }

    /// A peer that repeats its 2xx beside our BYE may do so for longer than the INVITE is remembered: it has had its
    /// BYE. False when that is known.
    fn remember_bye(&mut self, response: &Message, remote: u128) -> bool {
        let tag = response.from_tag().unwrap_or_default();
        self.refused.note(self.layer.secret.hash(&[tag, &remote.to_be_bytes()]))
    }

    /// The random part of the Call-ID that goes with a tag of ours. Nobody else can make one from the other.
    fn call_id_random(&self, tag: &[u8; MARK_BYTES]) -> u64 {
        self.layer.secret.hash(&[b"call-id", tag]) as u64
    }

    /// The Call-ID of a leg that we make, from the mark in our tag.
    pub(super) fn call_id_of(&self, mark: &Mark) -> [u8; MARK_BYTES] {
        Mark { random: self.call_id_random(&mark.text()), ..*mark }.text()
    }

    /// A 2xx to an INVITE of ours of which nothing is left: it lay in a connection or at a peer for longer than anyone
    /// waits. Who sent it takes itself to be in a call, so it gets ACK and BYE (RFC 3261 §13.2.2.4). The Call-ID shows
    /// that the INVITE was ours; what we know comes from the response itself.
    pub(super) fn forgotten_success(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let (cseq, method) = response.cseq();
        if method != Method::Invite || !(200..300).contains(&response.status()) {
            return false;
        }
        let (Some(tag), Some(remote)) = (response.from_tag(), response.to_tag()) else { return false };
        let (Some(call_id), Some(mark)) = (Mark::parse(response.call_id()), Mark::parse(tag)) else {
            return false;
        };
        let branch = response.top_via().branch.and_then(|branch| branch.get(BRANCH_COOKIE.len()..));
        let ours = mark.shard == self.layer.shard
            && branch.and_then(Mark::parse).is_some_and(|branch| branch.shard == mark.shard)
            && (call_id.shard, call_id.key) == (mark.shard, mark.key)
            && call_id.random == self.call_id_random(&mark.text());
        if !ours || response.headers(HeaderName::Via).nth(1).is_some() {
            return false;
        }
        let remote = self.tag_hash(Some(remote));
        let dialog = self.leg_of_mark(&mark).and_then(|leg| leg.dialog.as_ref());
        // A copy of the answer that made the call which goes on: that has had its ACKs.
        if dialog.is_some_and(|dialog| self.tag_hash(Some(dialog.remote_tag())) == remote) {
            return false;
        }
        let (mut dialog, hop) = self.acknowledge_stray(listener, source, response, out);
        if !self.remember_bye(response, remote) {
            return true;
        }
        dialog.local_cseq = cseq + 1;
        self.send_bye_of(now, hop.0, hop.1, &mut dialog, ClientUser::Nobody, &[], out);
        true
    }

    /// Acknowledges a 2xx that no leg waits for.
    pub(super) fn acknowledge_stray(
        &mut self,
        listener: u8,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> (Dialog, Path) {
        let fallback = response.to().map_or(&[][..], |to| to.uri_text);
        let dialog = Dialog::of_caller(response, fallback);
        let (listener, peer) = self.layer.outlets.hop(dialog.next_hop(), listener, source);
        let ack = self.write_ack(listener, &dialog, response.cseq().0, None);
        self.layer.send(listener, peer, ack, out);
        (dialog, (listener, peer))
    }

    /// Takes a challenge for a leg. `None` when it cannot be answered or has been answered in vain.
    pub(super) fn take_challenge(&mut self, key: LegKey, response: &Message) -> Option<()> {
        let leg = self.legs.get_mut(key)?;
        self.trunks.get(&leg.trunk?)?.trunk.login.as_ref()?;
        if leg.challenges >= self.config.limits.challenges_max {
            return None;
        }
        leg.challenges += 1;
        Answerer::take(response, &mut leg.answerers).then_some(())
    }

    /// Sends the INVITE of a leg again with what its refusal asks for, credentials (RFC 3261 §22.2) or a longer
    /// session interval (RFC 4028 §7.4): a new transaction, the same leg, CSeq one higher.
    fn invite_again(
        &mut self,
        now: Instant,
        key: LegKey,
        request: &Bytes,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> Option<()> {
        let old = parse(request.clone(), &Limits::default()).ok()?;
        let interval_s = if response.status() == 422 {
            Some(self.longer_interval(key, &old, response)?)
        } else {
            self.take_challenge(key, response)?;
            None
        };
        self.resend_invite(now, key, &old, interval_s, None, out)
    }

    /// A new transaction for the INVITE of a leg, with its CSeq one higher and nothing changed but what is said.
    pub(super) fn resend_invite(
        &mut self,
        now: Instant,
        key: LegKey,
        old: &Message,
        interval_s: Option<u32>,
        target: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) -> Option<()> {
        let leg = self.legs.get_mut(key)?;
        leg.secure = is_sips(target.unwrap_or(old.request_uri()));
        let login =
            leg.trunk.and_then(|trunk| self.trunks.get(&trunk)).and_then(|state| state.trunk.login.as_ref());
        let user = ClientUser::Invite(key);
        let (client, branch) = self.layer.reserve(Method::Invite, leg.listener, leg.peer, user)?;
        leg.invite = Some(client);
        if let Some(calling) = &mut leg.calling {
            calling.ringing = false;
            calling.first_fork = None;
            calling.early.clear();
        }
        let sent_by = self.config.listeners[usize::from(leg.listener)].advertised.as_bytes();
        self.layer.scratch.clear();
        let mut writer =
            Writer::request(&mut self.layer.scratch, Method::Invite, target.unwrap_or(old.request_uri()));
        writer.own_via(Transport::Udp, sent_by, &branch, announces(&self.trunks, leg.trunk));
        for (name, text, value) in old.all_headers() {
            match name {
                HeaderName::Via
                | HeaderName::Authorization
                | HeaderName::ProxyAuthorization
                | HeaderName::ContentType
                | HeaderName::ContentLength => {}
                HeaderName::CSeq => {
                    writer.cseq(old.cseq().0 + 1, Method::Invite);
                }
                HeaderName::SessionExpires if interval_s.is_some() => {
                    Self::write_session_wish(&self.config.session_timers, interval_s, &mut writer);
                }
                HeaderName::Contact => {
                    let tag = Mark { shard: self.layer.shard, key: key.to_bits(), random: leg.random }.text();
                    self.layer.outlets.write_contact(leg.listener, leg.secure, &tag, &mut writer);
                }
                HeaderName::MinSe if interval_s.is_some() => {}
                HeaderName::Other => {
                    writer.header_text(&String::from_utf8_lossy(text), value);
                }
                name => {
                    writer.header_verbatim(name, value);
                }
            }
        }
        if let Some(login) = login {
            for answerer in &mut leg.answerers {
                let (uri, body) = (target.unwrap_or(old.request_uri()), old.body());
                answerer.write(login, b"INVITE", uri, body, &mut self.layer.rng, &mut writer);
            }
        }
        match old.header(HeaderName::ContentType) {
            Some(kind) if !old.body().is_empty() => writer.body(kind, old.body()),
            _ => writer.no_body(),
        }
        drop(writer);
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
        Some(())
    }

    /// 64·T1 without any response (timer B; 408), or a peer that cannot be reached (503).
    pub(super) fn invite_unanswered(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        status: u16,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.invite = None;
        self.target_failed(now, key, None);
        let request = self.request_of(client);
        if self.fail_over(now, key, &request, out) {
            return;
        }
        let Some(leg) = self.legs.get_mut(key) else { return };
        let by = match (leg.state, &leg.calling) {
            (State::Cancelling, Some(calling)) => calling.by,
            _ => EndedBy::Timeout,
        };
        self.end(now, key, How::by(by).code(status), out);
    }
}

/// Reason of the BYE to a fork that has answered later than another (RFC 3326 §2).
const TAKEN: &[u8] = b"SIP;cause=200;text=\"Call completed elsewhere\"";

/// Ends a message with a session description, if there is one.
pub(super) fn finish(writer: Writer<'_>, sdp: &[u8]) {
    let mut writer = writer;
    if sdp.is_empty() {
        writer.no_body();
    } else {
        writer.body(SDP, sdp);
    }
}

/// Ends a message with a session description and further parts beside it.
///
/// * `boundary` nobody can have written into a part before
pub(super) fn finish_with_parts(writer: Writer<'_>, sdp: &[u8], parts: &[&[u8]], boundary: &[u8]) {
    let mut writer = writer;
    let described = [&b"Content-Type: "[..], SDP, b"\r\n\r\n", sdp].concat();
    let first = (!sdp.is_empty()).then_some(&described[..]);
    let mut body = Vec::new();
    for part in first.into_iter().chain(parts.iter().copied()) {
        let pieces: [&[u8]; 5] = [b"--", boundary, b"\r\n", part, b"\r\n"];
        body.extend_from_slice(&pieces.concat());
    }
    let end: [&[u8]; 3] = [b"--", boundary, b"--\r\n"];
    body.extend_from_slice(&end.concat());
    let kind: [&[u8]; 2] = [b"multipart/mixed;boundary=", boundary];
    writer.body(&kind.concat(), &body);
}

impl Leg {
    fn of_caller(invite: &Invite<'_>, random: u64) -> Leg {
        Leg {
            owner: invite.owner,
            state: State::Calling,
            listener: invite.listener,
            caller: true,
            symmetric: invite.symmetric,
            secure: is_sips(invite.request_uri.as_bytes()),
            answered: false,
            random,
            fork: 0,
            forks: Vec::new(),
            trunk: invite.trunk,
            source: None,
            peer: invite.destination,
            dialog: None,
            invite: None,
            server: None,
            ringing: None,
            expires: false,
            calling: Some(Box::new(Calling {
                ringing: false,
                first_fork: None,
                early: Vec::new(),
                targets: Vec::new(),
                targets_known: 0,
                intervals_refused: 0,
                replaceable: invite.replaceable,
                paths: Vec::new(),
                held: None,
                resumes: false,
                by: EndedBy::Local,
                reason: Box::default(),
            })),
            success: None,
            offer: None,
            update: None,
            media_lines: media_lines(&invite.sdp),
            allows_update: false,
            timer: None,
            transfers: None,
            reliable: None,
            answerers: Vec::new(),
            challenges: 0,
            carried: None,
        }
    }
}

/// Dialogs (hashed) that got a BYE and answer with a 2xx again: copies of it get ACK only.
#[derive(Debug, Default)]
pub(super) struct Refused {
    last: VecDeque<u128>,
}

impl Refused {
    const MAX: usize = 256;

    /// False when it is among the last ones.
    fn note(&mut self, dialog: u128) -> bool {
        if self.last.contains(&dialog) {
            return false;
        }
        if self.last.len() >= Refused::MAX {
            self.last.pop_front();
        }
        self.last.push_back(dialog);
        true
    }
}
