//! A call comes in from a trunk: may it go on, where to, and as what.

use super::{Again, Transit, TransitSound};
use crate::call::digits::DigitGate;
use crate::call::policy::{Caller, Policy, calling_address};
use crate::doors::{Route, ShardEffect, TransitMedia};
use crate::shard::trunks::{TrunkKey, was_not_taken};
use crate::shard::{CallShard, Owner, Why};
use crate::stir::{Verdict, WAITING_MAX, Waiting};
use crate::translate::address::{uri_of, user_of};
use crate::translate::format::{CODECS, Format};
use crate::translate::sdp;
use bytes::Bytes;
use dialer_core::config::Srtp;
use dialer_core::{AgentId, CallFact, CallId, TransitStart, TrunkId};
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::{Ended, Invite, LegKey, Reason};
use sip_proxy::wire::{HeaderName, Message};
use std::collections::VecDeque;
use std::sync::Arc;

/// A transit call lasts at most this long; a net under peers that never say BYE.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Max-Forwards of a request that names none (RFC 3261 §16.6 step 3).
pub(super) const MAX_FORWARDS: u8 = 70;

/// Parts beside a description that are longer together stay here.
pub(super) const PART_BYTES_MAX: usize = 16_384;

/// Why an INVITE is not carried on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The agent may not call there; counted where that is decided.
    Forbidden,
    NoRoute,
    TooManyHops,
    /// Trunk limits, tables, ports.
    Busy,
    /// The offer is no SDP.
    BadRequest,
    /// The offer names nothing we can carry.
    NotAcceptable,
    /// The caller wants no call that tells more of it than this one would (RFC 3323 §5).
    NoPrivacy,
}

impl Refusal {
    fn code(self) -> u16 {
        match self {
            Refusal::Forbidden => 403,
            Refusal::NoRoute => 404,
            Refusal::TooManyHops => 483,
            Refusal::Busy => 503,
            Refusal::BadRequest => 400,
            Refusal::NotAcceptable => 488,
            Refusal::NoPrivacy => 500,
        }
    }
}

/// Where a call is to go.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) to: TrunkKey,
    /// Trunks that are tried after it, in this order.
    pub(super) others: VecDeque<TrunkKey>,
    pub(super) media: TransitMedia,
    pub(super) record: bool,
    pub(super) number: String,
    pub(super) max_forwards: u8,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Front {
    /// A trunk.
    Trunk(TrunkKey),
    /// An agent's phone.
    Agent(AgentId),
}

impl CallShard {
    /// A trunk calls in.
    pub(crate) fn transit_incoming(
        &mut self,
        now: Instant,
        leg: LegKey,
        from: TrunkKey,
        request: Box<Message>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let verstat = match self.judge_signature(now, from, &request) {
            Verdict::Go(verstat) => verstat,
            Verdict::Refuse(code) => {
                self.counters.transits_refused_request += 1;
                let _ = self.ua.reject(now, leg, code, Reason::default(), &mut self.sip_out);
                return;
            }
            Verdict::Wait(url) => {
                return self.wait_for_certificate(now, Waiting { url, leg, from, request }, out);
            }
        };
        let request = &request;
        if let Some(number) = self.own_number(from, request) {
            return self.inbound_incoming(now, leg, from, request, (number, verstat), out);
        }
        let refusal = match self.choose_path(now, from, request) {
            Ok(path) => self.carry_on(now, leg, Front::Trunk(from), path, request, verstat).err(),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            self.refuse_transit(now, leg, refusal);
        }
    }

    pub(crate) fn refuse_transit(&mut self, now: Instant, leg: LegKey, refusal: Refusal) {
        match refusal {
            Refusal::Forbidden => {}
            Refusal::NoRoute => self.counters.transits_refused_route += 1,
            Refusal::TooManyHops | Refusal::BadRequest | Refusal::NotAcceptable | Refusal::NoPrivacy => {
                self.counters.transits_refused_request += 1
            }
            Refusal::Busy => self.counters.transits_refused_busy += 1,
        }
        let reason = match refusal {
            Refusal::NoPrivacy => {
                Reason { sip: Some(500), text: "Privacy cannot be given", ..Reason::default() }
            }
            _ => Reason::default(),
        };
        let _ = self.ua.reject(now, leg, refusal.code(), reason, &mut self.sip_out);
    }

    fn judge_signature(&self, now: Instant, from: TrunkKey, request: &Message) -> Verdict {
        if !self.stir.checks() {
            return Verdict::Go(None);
        }
        let Some(trunk) = self.trunks.get(from) else { return Verdict::Go(None) };
        let caller = calling_address(request).map(|address| user_of(address.uri_text)).unwrap_or_default();
        let called = request.to().map(|address| user_of(address.uri_text)).unwrap_or_default();
        self.stir.judge(trunk.id, request, &caller, &called, self.wall_s(now))
    }

    /// The call waits until the edge has its signer's certificate, or has given up on it.
    fn wait_for_certificate(&mut self, now: Instant, call: Waiting, out: &mut Outbox<ShardEffect>) {
        if self.stir.waiting.len() + self.stir.certified.len() >= WAITING_MAX {
            self.counters.transits_refused_busy += 1;
            let _ = self.ua.reject(now, call.leg, 503, Reason::default(), &mut self.sip_out);
            return;
        }
        if !self.stir.waiting.iter().any(|other| other.url == call.url) {
            out.push(ShardEffect::FetchCertificate { url: call.url.clone() });
        }
        self.stir.waiting.push(call);
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
        if !self.trunks.get(from).is_some_and(|trunk| trunk.has_room(now)) {
            return Err(Refusal::Busy);
        }
        let is_down = |key: TrunkKey| self.ua.is_down(now, key.to_bits());
        let chosen = self.trunks.choose(now, &route.to_trunks, &mut self.rng, is_down);
        let (to, others) = chosen.ok_or(Refusal::Busy)?;
        // RFC 3261 §16.3 step 3; RFC 7332 asks a B2BUA to count as a hop.
        let max_forwards = request.max_forwards().unwrap_or(MAX_FORWARDS);
        let max_forwards = max_forwards.checked_sub(1).ok_or(Refusal::TooManyHops)?;
        Ok(Path { to, others, media, record, number, max_forwards })
    }

    /// Calls on over the first trunk of a path that takes the call.
    pub(super) fn carry_on(
        &mut self,
        now: Instant,
        leg: LegKey,
        front: Front,
        mut path: Path,
        request: &Message,
        verstat: Option<String>,
    ) -> Result<(), Refusal> {
        // No key has generation 0: an agent's phone is no trunk.
        let (from, from_id, agent) = match front {
            Front::Trunk(key) => (key, self.trunks.get(key).ok_or(Refusal::Busy)?.id, None),
            Front::Agent(agent) => (TrunkKey::from_bits(0), TrunkId::from_bits(0), Some(agent)),
        };
        let id = CallId::generate(self.clock.wall_at(now), &mut self.rng);
        let key = self
            .transits
            .insert(Transit {
                id,
                from,
                to: path.to,
                from_id,
                agent,
                to_id: TrunkId::from_bits(0),
                caller: leg,
                callee: LegKey::from_bits(0),
                sound: TransitSound::Bypass,
                record: path.record,
                number: path.number.clone(),
                caller_id: None,
                hidden: false,
                verstat,
                started: now,
                ringing: None,
                answered: None,
                deadline: None,
                first_recording: None,
                recording: None,
                digits: DigitGate::default(),
                transfer: None,
                rejoin: None,
                callee_over: false,
                again: None,
            })
            .map_err(|_| Refusal::Busy)?;
        if let Err(refusal) = self.call_first(now, key, front, &mut path, request) {
            self.transits.remove(key);
            return Err(refusal);
        }
        self.ua.adopt(leg, Owner::TransitIn(key).to_bits());
        self.trace.note_leg(self.ua.tag_of(leg), id);
        self.trace.note_name(request.call_id(), id);
        if let Some(trunk) = self.trunks.get_mut(from) {
            trunk.take(now);
        }
        if let Some(agent) = agent {
            self.agents.begin_call(agent);
        }
        let deadline = self.deadlines.arm(now + LONGEST, Why::TransitTooLong(key));
        self.counters.transits_started += 1;
        let Some(transit) = self.transits.get_mut(key) else { return Ok(()) };
        transit.deadline = Some(deadline);
        let start = TransitStart {
            from: from_id,
            to: transit.to_id,
            agent,
            number: path.number.clone(),
            caller_id: transit.caller_id.clone(),
            relayed: transit.sound.is_relayed(),
            at: self.clock.wall_at(now),
        };
        if !path.others.is_empty() {
            let others = std::mem::take(&mut path.others);
            transit.again = Some(Box::new(Again { others, path, front, request: request.clone() }));
        }
        self.tell_transit(now, CallFact::TransitStarted { call: id, start: Box::new(start) });
        Ok(())
    }

    /// Calls over the trunk of a path, and where that cannot be over the next one; those that were tried leave the path.
    fn call_first(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        front: Front,
        path: &mut Path,
        request: &Message,
    ) -> Result<(), Refusal> {
        loop {
            match self.call_over(now, key, front, path, request) {
                // What stands in the way is this trunk's: its channels, its hosts, what it has asked for.
                Err(Refusal::Busy) => match self.trunks.next_with_room(now, &mut path.others) {
                    Some(next) => path.to = next,
                    None => return Err(Refusal::Busy),
                },
                done => return done,
            }
        }
    }

    /// The trunk that a call went to does not take it: the next one of its group gets it, with nobody the wiser. False
    /// when there is none, or the called side has said something already.
    pub(super) fn call_elsewhere(&mut self, now: Instant, key: Key<Transit>, ended: &Ended) -> bool {
        let Some(transit) = self.transits.get_mut(key).filter(|_| was_not_taken(ended)) else { return false };
        let Some(mut again) = transit.again.take() else { return false };
        let (before, call) = (transit.to, transit.id);
        let Some(next) = self.trunks.next_with_room(now, &mut again.others) else { return false };
        let Again { others, path, front, request } = &mut *again;
        (path.to, path.others) = (next, std::mem::take(others));
        let sound = std::mem::replace(
            &mut self.transits.get_mut(key).expect("just there").sound,
            TransitSound::Bypass,
        );
        self.close_transit_sound(now, &sound);
        if self.call_first(now, key, *front, path, request).is_err() {
            return false;
        }
        *others = std::mem::take(&mut path.others);
        self.trunks.release(before);
        let Some(transit) = self.transits.get_mut(key) else { return true };
        let to = transit.to_id;
        transit.again = Some(again).filter(|again| !again.others.is_empty());
        self.counters.transits_rerouted += 1;
        self.tell_transit(now, CallFact::TransitMoved { call, to, sip_code: ended.code });
        true
    }

    /// Calls over the trunk of a path.
    fn call_over(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        front: Front,
        path: &Path,
        request: &Message,
    ) -> Result<(), Refusal> {
        let to = self.trunks.get(path.to).ok_or(Refusal::Busy)?;
        let (to_id, (listener, destination)) = (to.id, to.address.ok_or(Refusal::Busy)?);
        let to_policy = Arc::clone(&to.policy);
        let request_uri = uri_of(&to.row.config.number_for(&path.number), to.host());
        let (own_number, to_srtp) = (to.row.config.caller_id.clone(), to.row.config.srtp);
        let host = self.host_text(listener);
        let (from_policy, from_srtp, caller) = match front {
            Front::Trunk(key) => {
                let trunk = self.trunks.get(key).ok_or(Refusal::Busy)?;
                let caller = Caller::of(request, host, &trunk.policy, &to_policy);
                (Arc::clone(&trunk.policy), trunk.row.config.srtp, caller)
            }
            Front::Agent(agent) => {
                let phone = self.agents.key_of(agent).and_then(|key| self.agents.get(key));
                let srtp = phone.map(|phone| phone.srtp).unwrap_or_default();
                (Arc::default(), srtp, Caller::own(request, own_number, host, &to_policy))
            }
        };
        // A signature of ours, else the caller's own goes on with the call. It would tell who calls.
        let signer = caller.id.as_deref().filter(|_| !caller.hidden);
        let signed = self.stir.sign(to_id, signer, &path.number, self.wall_s(now), &mut self.rng);
        let parts = passed_parts(request, &caller, &to_policy);
        let headers = caller.headers(request, &from_policy, &to_policy, signed.as_deref());
        let (sound, offer) = self.transit_sound(
            now,
            key,
            (path.media, path.record),
            (from_srtp, to_srtp),
            request.session_description().unwrap_or_default(),
        )?;
        if caller.wants_no_such_call(sound.is_relayed(), &to_policy) {
            self.close_transit_sound(now, &sound);
            return Err(Refusal::NoPrivacy);
        }
        let invite = Invite {
            owner: Owner::TransitOut(key).to_bits(),
            listener,
            destination,
            trunk: Some(path.to.to_bits()),
            symmetric: false,
            replaceable: !path.others.is_empty(),
            request_uri: &request_uri,
            from_uri: &caller.uri,
            from_display: &caller.display,
            to_uri: &request_uri,
            p_asserted_identity: None,
            route: None,
            headers: &headers,
            max_forwards: path.max_forwards,
            sdp: offer,
        };
        let Ok(callee) = self.ua.invite_with_parts(now, &invite, &parts, &mut self.sip_out) else {
            self.close_transit_sound(now, &sound);
            return Err(Refusal::Busy);
        };
        if let Some(trunk) = self.trunks.get_mut(path.to) {
            trunk.take(now);
        }
        let Some(transit) = self.transits.get_mut(key) else { return Ok(()) };
        (transit.to, transit.to_id, transit.callee) = (path.to, to_id, callee);
        (transit.sound, transit.caller_id, transit.hidden) = (sound, caller.id, caller.hidden);
        let id = transit.id;
        self.trace.note_leg(self.ua.tag_of(callee), id);
        Ok(())
    }

    /// Has the sound of a call that is not answered yet go through us, whose callee was offered that it goes past us.
    /// False when it goes through us already.
    pub(in crate::call) fn relay_unanswered(&mut self, now: Instant, key: Key<Transit>) -> Result<bool, u16> {
        let transit = self.transits.get(key).filter(|transit| transit.answered.is_none()).ok_or(481_u16)?;
        if transit.sound.is_relayed() {
            return Ok(false);
        }
        let (record, callee) = (transit.record, transit.callee);
        // What the callee was offered is what the caller has.
        let offer = self.ua.offer_of(callee).ok_or(488_u16)?;
        let (media, plain) = ((TransitMedia::Relay, record), (Srtp::Off, Srtp::Off));
        let (sound, _) = self.transit_sound(now, key, media, plain, offer).map_err(|_| 488_u16)?;
        self.transits.get_mut(key).ok_or(481_u16)?.sound = sound;
        Ok(true)
    }

    /// Streams and the offer for the called side.
    fn transit_sound(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        (media, record): (TransitMedia, bool),
        (from_srtp, to_srtp): (Srtp, Srtp),
        offer: Bytes,
    ) -> Result<(TransitSound, Bytes), Refusal> {
        // Without an offer there is nothing to pass: the sound then goes through us, whose own offer both sides
        // get. An offer needs an answer in the ACK otherwise, which would have to wait for the other side's.
        // Nor where one side's sound is encrypted with us, and not with the other side.
        let plain = (from_srtp, to_srtp) == (Srtp::Off, Srtp::Off);
        if media == TransitMedia::Bypass && !offer.is_empty() && plain {
            return Ok((TransitSound::Bypass, offer));
        }
        let (from, to) = (self.security_for(&offer, from_srtp), self.local_security(to_srtp));
        let offered = if offer.is_empty() {
            None
        } else {
            Some(carried(&from, &offer, record).map_err(|fault| match fault {
                sdp::SdpFault::Malformed => Refusal::BadRequest,
                sdp::SdpFault::Incompatible => Refusal::NotAcceptable,
            })?)
        };
        let caller = self.open_sound(now, Owner::TransitIn(key).to_bits(), from).ok_or(Refusal::Busy)?;
        let Some(callee) = self.open_sound(now, Owner::TransitOut(key).to_bits(), to) else {
            self.plane.close(now, caller.stream, &mut self.media_out);
            return Err(Refusal::Busy);
        };
        let text = match &offered {
            Some((codecs, noise)) => sdp::offer_with(&callee.local, codecs, *noise),
            None => sdp::offer(&callee.local, &CODECS),
        };
        Ok((TransitSound::Relay { caller, callee, offer }, text))
    }
}

/// What goes on beside the description of a call (RFC 5621): what telephone networks, say, tell each other. It is the caller's
/// own word, so that it goes to nobody outside of the trust domain, nor with a caller who wants to be unknown.
fn passed_parts<'m>(request: &'m Message, caller: &Caller<'_>, to: &Policy) -> Vec<&'m [u8]> {
    if caller.hidden || !to.is_trusted() || !request.has(HeaderName::ContentType) {
        return Vec::new();
    }
    let parts = request.other_parts();
    if parts.iter().map(|part| part.len()).sum::<usize>() > PART_BYTES_MAX { Vec::new() } else { parts }
}

/// What the called side is offered for an offer of the caller's, and whether comfort noise: what the caller has comes
/// first, so that nothing has to be translated; then what we can translate for it. What cannot be read cannot be recorded.
pub(super) fn carried(
    security: &sdp::LocalSecurity,
    offer: &[u8],
    record: bool,
) -> Result<(Vec<Format>, bool), sdp::SdpFault> {
    let (mut codecs, noise) = sdp::read_offer(security, offer)?;
    codecs.retain(|codec| codec.is_readable() || !record);
    if codecs.is_empty() {
        return Err(sdp::SdpFault::Incompatible);
    }
    if codecs.iter().any(|codec| codec.is_readable()) {
        let more: Vec<Format> = CODECS.into_iter().filter(|codec| !codecs.contains(codec)).collect();
        codecs.extend(more);
    }
    Ok((codecs, noise))
}
