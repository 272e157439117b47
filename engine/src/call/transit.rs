//! Calls that pass through: from one trunk to another, without a word from the control core.
//!
//! ```text
//!   caller          caller's leg │ called leg          callee
//!     INVITE ───────────────────►│──── INVITE ──────────►
//!     ◄──────────────────── 100  │
//!     ◄── 18x, SDP ──────────────│◄─── 18x, SDP ─────────
//!     ◄── 200, SDP ──────────────│◄─── 200, SDP ── ACK ──►
//!     CANCEL, BYE, re-INVITE, final errors: to the other side, in the other side's words
//! ```

use super::Sound;
use crate::doors::{Route, ShardEffect, TransitMedia};
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner, Why};
use crate::translate::address::{uri_of, user_of};
use crate::translate::cause::{cause_of, passed_code, q850_of, transit_outcome};
use crate::translate::sdp;
use bytes::Bytes;
use dialer_core::outcome::{EndCause, Evidence, Party};
use dialer_core::record::{CallKindTag, CallRecord};
use dialer_core::{CallFact, CallId, RecordingId, TrunkId};
use sansio::{Duration, Instant, Key, Outbox, TimerKey};
use sip_proxy::ua::{Ended, EndedBy, Invite, LegError, LegKey, Reason};
use sip_proxy::wire::{HeaderName, Message};

/// A transit call lasts at most this long; a net under peers that never say BYE.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Max-Forwards of a request that names none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

/// A call from trunk to trunk.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) id: CallId,
    pub(crate) from: TrunkKey,
    pub(crate) to: TrunkKey,
    from_id: TrunkId,
    to_id: TrunkId,
    /// The caller's leg.
    pub(crate) caller: LegKey,
    /// The called leg.
    pub(crate) callee: LegKey,
    pub(crate) sound: TransitSound,
    record: bool,
    number: String,
    caller_id: Option<String>,
    started: Instant,
    ringing: Option<Instant>,
    answered: Option<Instant>,
    pub(crate) deadline: Option<TimerKey>,
    recording: Option<RecordingId>,
}

/// How its sound goes.
#[derive(Debug)]
pub(crate) enum TransitSound {
    /// Past us.
    Bypass,
    /// Through two streams of ours.
    Relay {
        /// Towards the caller.
        caller: Sound,
        /// Towards the callee.
        callee: Sound,
        /// What the caller offered; empty when it wants to be offered something.
        offer: Bytes,
    },
}

/// Why an INVITE is not carried on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    NoRoute,
    TooManyHops,
    /// Trunk limits, tables, ports.
    Busy,
    NotAcceptable,
}

impl Refusal {
    fn code(self) -> u16 {
        match self {
            Refusal::NoRoute => 404,
            Refusal::TooManyHops => 483,
            Refusal::Busy => 503,
            Refusal::NotAcceptable => 488,
        }
    }
}

/// Where a call is to go.
struct Path {
    to: TrunkKey,
    media: TransitMedia,
    record: bool,
    number: String,
    max_forwards: u8,
}

impl CallShard {
    /// A trunk calls in.
    pub(crate) fn transit_incoming(&mut self, now: Instant, leg: LegKey, from: TrunkKey, request: &Message) {
        let refusal = match self.choose_path(now, from, request) {
            Ok(path) => self.carry_on(now, leg, from, &path, request).err(),
            Err(refusal) => Some(refusal),
        };
        let Some(refusal) = refusal else { return };
        match refusal {
            Refusal::NoRoute => self.counters.transits_refused_route += 1,
            Refusal::TooManyHops | Refusal::NotAcceptable => self.counters.transits_refused_request += 1,
            Refusal::Busy => self.counters.transits_refused_busy += 1,
        }
        let _ = self.ua.reject(now, leg, refusal.code(), Reason::default(), &mut self.sip_out);
    }

    fn choose_path(&mut self, now: Instant, from: TrunkKey, request: &Message) -> Result<Path, Refusal> {
        if !self.admit_transit {
            return Err(Refusal::Busy);
        }
        let number = user_of(request.request_uri());
        let from_id = self.trunks.get(from).map(|trunk| trunk.id).ok_or(Refusal::NoRoute)?;
        let matches = |route: &&Route| {
            route.from_trunk.is_none_or(|wanted| wanted == from_id) && number.starts_with(&route.prefix)
        };
        let route = self.routes.iter().find(matches).ok_or(Refusal::NoRoute)?;
        let (media, record) = (route.media, route.record);
        let to = self.trunks.key_of(route.to_trunk).ok_or(Refusal::Busy)?;
        for key in [from, to] {
            if !self.trunks.get_mut(key).is_some_and(|trunk| trunk.has_room(now)) {
                return Err(Refusal::Busy);
            }
        }
        // RFC 3261 §16.3 step 3; RFC 7332 asks a B2BUA to count as a hop.
        let max_forwards = request.max_forwards().unwrap_or(MAX_FORWARDS);
        let max_forwards = max_forwards.checked_sub(1).ok_or(Refusal::TooManyHops)?;
        Ok(Path { to, media, record, number, max_forwards })
    }

    fn carry_on(
        &mut self,
        now: Instant,
        leg: LegKey,
        from: TrunkKey,
        path: &Path,
        request: &Message,
    ) -> Result<(), Refusal> {
        let to = self.trunks.get(path.to).ok_or(Refusal::Busy)?;
        let (to_id, destination) = (to.id, to.address.ok_or(Refusal::Busy)?);
        let request_uri = uri_of(&path.number, to.host());
        let from_id = self.trunks.get(from).map(|trunk| trunk.id).ok_or(Refusal::Busy)?;
        let caller = request.from().ok();
        let caller_id = caller.map(|from| user_of(from.uri_text)).filter(|user| !user.is_empty());
        let display = caller.and_then(|from| std::str::from_utf8(from.display).ok()).unwrap_or_default();
        let from_uri = uri_of(caller_id.as_deref().unwrap_or("anonymous"), self.host_text(0));
        let asserted = request
            .has(HeaderName::PAssertedIdentity)
            .then(|| request.address(HeaderName::PAssertedIdentity).ok())
            .flatten()
            .map(|address| uri_of(&user_of(address.uri_text), self.host_text(0)));
        let privacy = request.header(HeaderName::Privacy).and_then(|value| std::str::from_utf8(value).ok());
        let headers = privacy.map(|value| ("Privacy", value));

        let id = CallId::generate(self.clock.wall_at(now), &mut self.rng);
        let key = self
            .transits
            .insert(Transit {
                id,
                from,
                to: path.to,
                from_id,
                to_id,
                caller: leg,
                callee: LegKey::from_bits(0),
                sound: TransitSound::Bypass,
                record: path.record,
                number: path.number.clone(),
                caller_id: caller_id.clone(),
                started: now,
                ringing: None,
                answered: None,
                deadline: None,
                recording: None,
            })
            .map_err(|_| Refusal::Busy)?;
        let made =
            self.transit_sound(now, key, path.media, request.body_bytes()).and_then(|(sound, offer)| {
                let invite = Invite {
                    owner: Owner::TransitOut(key).to_bits(),
                    listener: 0,
                    destination,
                    trunk: Some(path.to.to_bits()),
                    symmetric: false,
                    request_uri: &request_uri,
                    from_uri: &from_uri,
                    from_display: display,
                    to_uri: &request_uri,
                    p_asserted_identity: asserted.as_deref(),
                    route: None,
                    headers: headers.as_slice(),
                    max_forwards: path.max_forwards,
                    sdp: offer,
                };
                match self.ua.invite(now, &invite, &mut self.sip_out) {
                    Ok(callee) => Ok((sound, callee)),
                    Err(_) => {
                        self.close_transit_sound(now, &sound);
                        Err(Refusal::Busy)
                    }
                }
            });
        let (sound, callee) = match made {
            Ok(made) => made,
            Err(refusal) => {
                self.transits.remove(key);
                return Err(refusal);
            }
        };
        self.ua.adopt(leg, Owner::TransitIn(key).to_bits());
        for trunk in [from, path.to] {
            if let Some(trunk) = self.trunks.get_mut(trunk) {
                trunk.take(now);
            }
        }
        let deadline = self.deadlines.arm(now + LONGEST, Why::TransitTooLong(key));
        if let Some(transit) = self.transits.get_mut(key) {
            transit.callee = callee;
            transit.sound = sound;
            transit.deadline = Some(deadline);
        }
        self.counters.transits_started += 1;
        self.tell_transit(now, CallFact::TransitStarted { call: id, from: from_id, to: to_id });
        Ok(())
    }

    /// Streams and the offer for the called side.
    fn transit_sound(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        media: TransitMedia,
        offer: Bytes,
    ) -> Result<(TransitSound, Bytes), Refusal> {
        // Without an offer there is nothing to pass: the sound then goes through us, whose own offer both sides
        // get. An offer needs an answer in the ACK otherwise, which would have to wait for the other side's.
        if media == TransitMedia::Bypass && !offer.is_empty() {
            return Ok((TransitSound::Bypass, offer));
        }
        let offered = if offer.is_empty() {
            None
        } else {
            Some(sdp::read_offer(&offer).map_err(|_| Refusal::NotAcceptable)?)
        };
        let caller = self.open_sound(now, Owner::TransitIn(key).to_bits()).ok_or(Refusal::Busy)?;
        let Some(callee) = self.open_sound(now, Owner::TransitOut(key).to_bits()) else {
            self.plane.close(now, caller.stream, &mut self.media_out);
            return Err(Refusal::Busy);
        };
        let text = match &offered {
            Some(offered) => sdp::offer(&callee.local, offered.codecs()),
            None => sdp::offer(&callee.local, &sdp::CODECS),
        };
        Ok((TransitSound::Relay { caller, callee, offer }, text))
    }

    /// The called side made progress.
    pub(crate) fn transit_progress(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        code: u16,
        body: Option<Bytes>,
    ) {
        let body = match body {
            Some(body) => self.describe_for_caller(now, key, body).ok(),
            None => None,
        };
        let Some(transit) = self.transits.get_mut(key) else { return };
        transit.ringing.get_or_insert(now);
        let _ = self.ua.provisional(now, transit.caller, code, body.as_deref(), &mut self.sip_out);
    }

    /// The called side answered.
    pub(crate) fn transit_answered(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        body: Option<Bytes>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(body) = body.and_then(|body| self.describe_for_caller(now, key, body).ok()) else {
            self.end_transit(now, key, Party::System, EndCause::Incompatible, Some(488), None);
            return;
        };
        let Some(transit) = self.transits.get_mut(key) else { return };
        transit.answered = Some(now);
        let caller = transit.caller;
        if self.ua.answer(now, caller, &body, &mut self.sip_out).is_err() {
            // Its CANCEL was faster.
            self.end_transit(now, key, Party::Caller, EndCause::Cancelled, None, None);
            return;
        }
        self.counters.transits_answered += 1;
        self.record_transit(now, key, out);
    }

    fn record_transit(&mut self, now: Instant, key: Key<Transit>, out: &mut Outbox<ShardEffect>) {
        let Some(transit) = self.transits.get_mut(key) else { return };
        let TransitSound::Relay { caller, callee, .. } = &transit.sound else { return };
        if transit.record && transit.recording.is_none() {
            let (left, right) = (caller.stream, callee.stream);
            let recording = RecordingId::generate(self.clock.wall_at(now), &mut self.rng);
            transit.recording = Some(recording);
            let id = transit.id;
            self.start_recording(now, id, recording, left, Some(right), out);
        }
    }

    /// Turns what the called side described into what the caller is told, and joins the streams.
    fn describe_for_caller(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        body: Bytes,
    ) -> Result<Bytes, sdp::SdpFault> {
        let transit = self.transits.get(key).ok_or(sdp::SdpFault::Incompatible)?;
        let TransitSound::Relay { caller, callee, offer } = &transit.sound else { return Ok(body) };
        let (caller, callee) = (*caller, *callee);
        let plan = sdp::read_answer(&body)?;
        let text = if offer.is_empty() {
            // The caller asked us to offer: the codec the other side took, so that nothing has to be translated.
            sdp::offer(&caller.local, &[plan.remote.codec])
        } else {
            let (caller_plan, text) = sdp::answer(offer, &caller.local, Some(plan.remote.codec))?;
            self.plane.set_remote(now, caller.stream, caller_plan.remote, &mut self.media_out);
            text
        };
        self.plane.set_remote(now, callee.stream, plan.remote, &mut self.media_out);
        if self.plane.peer(caller.stream) != Some(callee.stream) {
            self.plane.connect(now, caller.stream, callee.stream, &mut self.media_out);
        }
        Ok(text)
    }

    /// The caller acknowledged our answer; with an answer of its own, if we made the offer.
    pub(crate) fn transit_confirmed(&mut self, now: Instant, key: Key<Transit>, body: Option<Bytes>) {
        let (Some(transit), Some(body)) = (self.transits.get(key), body) else { return };
        if let TransitSound::Relay { caller, .. } = &transit.sound
            && let Ok(plan) = sdp::read_answer(&body)
        {
            self.plane.set_remote(now, caller.stream, plan.remote, &mut self.media_out);
        }
    }

    /// One side wants to change the session.
    pub(crate) fn transit_reoffer(&mut self, now: Instant, leg: LegKey, owner: Owner, body: Option<Bytes>) {
        let (key, from_caller) = match owner {
            Owner::TransitIn(key) => (key, true),
            Owner::TransitOut(key) => (key, false),
            Owner::Customer(_) | Owner::Agent(_) | Owner::Session(_) => return,
        };
        let Some(transit) = self.transits.get_mut(key) else {
            let _ = self.ua.reject_reinvite(now, leg, 481, &mut self.sip_out);
            return;
        };
        let other = if from_caller { transit.callee } else { transit.caller };
        match &mut transit.sound {
            TransitSound::Relay { caller, callee, .. } => {
                let side = if from_caller { caller } else { callee };
                side.local.version += 1;
                let side = *side;
                if let Some(plan) = self.answer_reoffer(now, leg, &side, body.as_deref()) {
                    self.plane.set_remote(now, side.stream, plan.remote, &mut self.media_out);
                }
            }
            TransitSound::Bypass => {
                let Some(body) = body else {
                    // An offer would have to come from the other side, and its answer to wait for this side's ACK.
                    let _ = self.ua.reject_reinvite(now, leg, 488, &mut self.sip_out);
                    return;
                };
                let code = match self.ua.reinvite(now, other, &body, &mut self.sip_out) {
                    Ok(()) => return,
                    Err(LegError::Pending | LegError::WrongState) => 491,
                    Err(LegError::Gone) => 481,
                    Err(LegError::Limit) => 503,
                };
                let _ = self.ua.reject_reinvite(now, leg, code, &mut self.sip_out);
            }
        }
    }

    /// The other side's verdict on a passed re-INVITE: its answer, or the code it refused with.
    pub(crate) fn transit_reoffer_done(
        &mut self,
        now: Instant,
        owner: Owner,
        verdict: Result<Option<Bytes>, u16>,
    ) {
        // The verdict comes from one side and is for the other.
        let asker = match owner {
            Owner::TransitIn(key) => self.transits.get(key).map(|transit| transit.callee),
            Owner::TransitOut(key) => self.transits.get(key).map(|transit| transit.caller),
            Owner::Customer(_) | Owner::Agent(_) | Owner::Session(_) => None,
        };
        let Some(asker) = asker else { return };
        let _ = match verdict {
            Ok(Some(body)) => self.ua.answer_reinvite(now, asker, &body, &mut self.sip_out),
            Ok(None) => self.ua.reject_reinvite(now, asker, 488, &mut self.sip_out),
            Err(code) => self.ua.reject_reinvite(now, asker, code, &mut self.sip_out),
        };
    }

    /// The answer to our own offer in an empty re-INVITE's response.
    pub(crate) fn transit_reoffer_confirmed(&mut self, now: Instant, owner: Owner, body: &[u8]) {
        let sound = match owner {
            Owner::TransitIn(key) => match self.transits.get(key).map(|transit| &transit.sound) {
                Some(TransitSound::Relay { caller, .. }) => *caller,
                _ => return,
            },
            Owner::TransitOut(key) => match self.transits.get(key).map(|transit| &transit.sound) {
                Some(TransitSound::Relay { callee, .. }) => *callee,
                _ => return,
            },
            Owner::Customer(_) | Owner::Agent(_) | Owner::Session(_) => return,
        };
        if let Ok(plan) = sdp::read_answer(body) {
            self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        }
    }

    /// One of the legs is over; so is the call.
    pub(crate) fn transit_leg_ended(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        from_caller: bool,
        ended: &Ended,
    ) {
        let answered = self.transits.get(key).is_some_and(|transit| transit.answered.is_some());
        let by = match (ended.by, from_caller) {
            (EndedBy::Remote, true) => Party::Caller,
            (EndedBy::Remote, false) => Party::Customer,
            (EndedBy::Local | EndedBy::Timeout | EndedBy::Protocol, _) => Party::System,
        };
        let q850 = ended.q850.map(u16::from);
        if from_caller {
            let cancelled = ended.by == EndedBy::Remote && !answered;
            let cause = if cancelled { EndCause::Cancelled } else { cause_of(ended) };
            self.end_transit(now, key, by, cause, answered.then_some(200), q850);
        } else {
            let code = if answered { 200 } else { passed_code(ended) };
            self.end_transit(now, key, by, cause_of(ended), Some(code), q850);
        }
    }

    /// Ends a transit call: both legs (what has ended already stays as it is), both streams, its record.
    pub(crate) fn end_transit(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        by: Party,
        cause: EndCause,
        code: Option<u16>,
        q850: Option<u16>,
    ) {
        let Some(transit) = self.transits.remove(key) else { return };
        if let Some(deadline) = transit.deadline {
            self.deadlines.cancel(deadline);
        }
        let told = q850.and_then(|cause| u8::try_from(cause).ok());
        let reason = Reason { q850: told.or(Some(q850_of(cause))), ..Reason::default() };
        self.ua.hangup(now, transit.callee, reason, &mut self.sip_out);
        match code {
            Some(code @ 300..) if transit.answered.is_none() => {
                let reason = Reason { q850: told, ..Reason::default() };
                let _ = self.ua.reject(now, transit.caller, code, reason, &mut self.sip_out);
            }
            _ => self.ua.hangup(now, transit.caller, reason, &mut self.sip_out),
        }
        self.close_transit_sound(now, &transit.sound);
        self.trunks.release(transit.from);
        self.trunks.release(transit.to);
        self.counters.transits_ended += 1;
        let from = transit.from_id;
        let record = Box::new(self.transit_record(now, transit, by, cause, code, q850));
        self.tell_transit(now, CallFact::TransitEnded { from, record });
    }

    /// One of the streams has been silent for too long. The call ends when the other is silent too and something was
    /// ever heard: one-way announcements are calls, and so are those that carry no sound at all.
    pub(crate) fn transit_silent(&mut self, now: Instant, key: Key<Transit>) {
        let Some(TransitSound::Relay { caller, callee, .. }) = self.transits.get(key).map(|t| &t.sound)
        else {
            return;
        };
        let heard = |sound: &Sound| self.plane.stats(sound.stream).and_then(|stats| stats.last_packet_at);
        let Some(last) = heard(caller).max(heard(callee)) else { return };
        if now.since(last) >= self.config.media_timeout {
            self.end_transit(now, key, Party::System, EndCause::MediaTimeout, Some(408), None);
        }
    }

    fn close_transit_sound(&mut self, now: Instant, sound: &TransitSound) {
        if let TransitSound::Relay { caller, callee, .. } = sound {
            self.plane.close(now, caller.stream, &mut self.media_out);
            self.plane.close(now, callee.stream, &mut self.media_out);
        }
    }

    fn transit_record(
        &self,
        now: Instant,
        transit: Transit,
        by: Party,
        cause: EndCause,
        sip_code: Option<u16>,
        q850: Option<u16>,
    ) -> CallRecord {
        let wall = |at: Instant| self.clock.wall_at(at);
        let answered = transit.answered;
        CallRecord {
            call: transit.id,
            attempt: None,
            campaign: None,
            lead: None,
            agent: None,
            trunk: Some(transit.to_id),
            kind: CallKindTag::Transit,
            mode: None,
            to: transit.number,
            caller_id: transit.caller_id,
            number_of_attempt: 0,
            started_at: wall(transit.started),
            ringing_at: transit.ringing.map(wall),
            answered_at: answered.map(wall),
            bridged_at: answered.map(wall),
            ended_at: wall(now),
            outcome: transit_outcome(answered.is_some(), cause),
            evidence: if sip_code.is_some() { Evidence::Sip } else { Evidence::Timer },
            cause,
            ended_by: by,
            sip_code,
            q850,
            pdd_ms: transit.ringing.map(|at| at.millis_since(transit.started)),
            ring_ms: transit.ringing.map(|at| answered.unwrap_or(now).millis_since(at)),
            answer_to_bridge_ms: answered.map(|_| 0),
            talk_ms: answered.map_or(0, |at| now.millis_since(at)),
            amd: None,
            early_media: None,
            abandoned: false,
            safe_harbour_played: false,
            digits: String::new(),
            recording: transit.recording,
            client_state: None,
        }
    }

    /// Transit facts are gathered for a few milliseconds, so that a thousand calls a second cross the ring in some
    /// dozens of pieces.
    fn tell_transit(&mut self, now: Instant, fact: CallFact) {
        if self.transit_facts.is_empty() {
            self.deadlines.arm(now + Duration::from_millis(20), Why::TellTransit);
        }
        self.transit_facts.push(fact);
    }
}
