//! A call that comes in on a number of ours: it rings until the dialer says to answer or to refuse it.
//!
//! ```text
//!   caller ── INVITE ──► 180 ─► InboundArrived ─► (dialer) ─► AnswerCustomer ─► 200 ─► Answered
//!                                                    └──────► Hangup ─► final response
//! ```
//! From the answer on it is a call like any other.

use super::{Call, CustomerSide, CustomerState};
use crate::call::policy::calling_address;
use crate::doors::ShardEffect;
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner, Why};
use crate::translate::address::user_of;
use crate::translate::format::{CODECS, Wish};
use crate::translate::sdp;
use bytes::Bytes;
use dialer_core::inbound::e164_candidates;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{CallFact, CallId};
use media::Ears;
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::{LegKey, Reason};
use sip_proxy::wire::Message;
use std::net::SocketAddr;

/// The dialer decides in moments; a caller whom it forgets rings no longer than this.
const RINGS_MAX: Duration = Duration::from_secs(60);

impl CallShard {
    /// The number an INVITE is for, if it is one of ours. A trunk that registers is called at its contact, so the number
    /// may stand in To alone.
    pub(crate) fn own_number(&self, from: TrunkKey, request: &Message) -> Option<String> {
        if self.numbers.is_empty() {
            return None;
        }
        let country_code = self.trunks.get(from)?.row.config.country_code.as_str();
        let to = request.to().map(|address| user_of(address.uri_text)).unwrap_or_default();
        [user_of(request.request_uri()), to]
            .into_iter()
            .flat_map(|user| e164_candidates(&user, country_code))
            .find(|number| self.numbers.contains(number))
    }

    /// Whether a request that belongs to no leg yet is for one of our numbers: such calls live with the agents, on the
    /// first shard, whichever hears them.
    fn is_for_own_number(&self, bytes: &[u8]) -> bool {
        if self.numbers.is_empty() || !(bytes.starts_with(b"INVITE ") || bytes.starts_with(b"CANCEL ")) {
            return false;
        }
        let line = &bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())];
        let Some(uri) = line.split(|byte| *byte == b' ').nth(1) else { return false };
        let user = user_of(uri);
        let of_country =
            |code: &str| e164_candidates(&user, code).iter().any(|number| self.numbers.contains(number));
        of_country("") || self.trunks.country_codes().iter().any(|code| of_country(code))
    }

    /// Whether a message that carries no mark of a shard belongs to the first one, whichever hears it: calls for our
    /// numbers, and those of phones, which are agents'. What agents join is there.
    #[must_use]
    pub fn belongs_home(&self, listener: u8, source: SocketAddr, bytes: &[u8]) -> bool {
        let begins = |method: &[u8]| bytes.starts_with(method);
        (begins(b"INVITE ") || begins(b"CANCEL ") || begins(b"ACK "))
            && (self.is_for_own_number(bytes) || !self.ua.is_trunks(listener, source))
    }

    /// A trunk calls one of our numbers; `judged`: which, and what became of checking the call's signature.
    pub(crate) fn inbound_incoming(
        &mut self,
        now: Instant,
        leg: LegKey,
        from: TrunkKey,
        request: &Message,
        judged: (String, Option<String>),
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Err(code) = self.take_inbound(now, leg, from, request, judged, out) {
            self.counters.inbound_refused += 1;
            let _ = self.ua.reject(now, leg, code, Reason::default(), &mut self.sip_out);
        }
    }

    fn take_inbound(
        &mut self,
        now: Instant,
        leg: LegKey,
        from: TrunkKey,
        request: &Message,
        (number, verstat): (String, Option<String>),
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let room = self.trunks.get_mut(from).is_some_and(|trunk| trunk.has_room(now));
        if !self.admit_transit || !room {
            return Err(503);
        }
        let offer = request.session_description().unwrap_or_default();
        let srtp = self.trunks.get(from).map(|trunk| trunk.row.config.srtp).ok_or(503_u16)?;
        let security = self.local_security(srtp);
        if !offer.is_empty() {
            let (codecs, _) = sdp::read_offer(&security, &offer).map_err(|fault| match fault {
                sdp::SdpFault::Malformed => 400_u16,
                sdp::SdpFault::Incompatible => 488,
            })?;
            // Who is to hear us must be spoken to.
            if !codecs.iter().any(|codec| codec.is_readable()) {
                return Err(488);
            }
        }
        let trunk = self.trunks.get(from).map(|trunk| trunk.id).ok_or(503_u16)?;
        let id = CallId::generate(self.clock.wall_at(now), &mut self.rng);
        let key = self.calls.insert(Call::new(id)).map_err(|_| 503_u16)?;
        let owner = Owner::Customer(key).to_bits();
        let Some(sound) = self.open_sound(now, owner, security) else {
            self.calls.remove(key);
            return Err(503);
        };
        self.plane.listen(now, sound.stream, Ears { dtmf: true, ..Ears::default() });
        let deadline = self.deadlines.arm(now + RINGS_MAX, Why::CustomerRingsTooLong(key));
        let side = CustomerSide {
            leg,
            sound,
            trunk: from,
            state: CustomerState::Ringing,
            deadline,
            ring_max: RINGS_MAX,
            call_max_ms: 0,
            amd: false,
            held: false,
            progress_told: 0,
            again: None,
            caller_id: Some(number.clone()),
            offer: Some(offer),
        };
        if let Some(call) = self.calls.get_mut(key) {
            call.customer = Some(side);
        }
        self.call_keys.insert(id, key);
        self.ua.adopt(leg, owner);
        self.trace.note_leg(self.ua.tag_of(leg), id);
        self.trace.note_name(request.call_id(), id);
        if let Some(trunk) = self.trunks.get_mut(from) {
            trunk.take(now);
        }
        self.counters.inbound_started += 1;
        let _ = self.ua.provisional(now, leg, 180, None, &mut self.sip_out);
        let caller = calling_address(request).map(|address| user_of(address.uri_text));
        let from = caller.filter(|user| !user.is_empty() && user != "anonymous");
        self.tell(CallFact::InboundArrived { call: id, trunk, from, to: number, verstat }, out);
        Ok(())
    }

    /// Answers a caller.
    pub(crate) fn answer_customer(
        &mut self,
        now: Instant,
        key: Key<Call>,
        call_max_ms: u32,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let id = call.id;
        let waits = |side: &&mut CustomerSide| side.state == CustomerState::Ringing && side.offer.is_some();
        let Some(side) = call.customer.as_mut().filter(waits) else {
            self.counters.orders_late += 1;
            return;
        };
        let (leg, sound, offer) = (side.leg, side.sound, side.offer.clone().unwrap_or_default());
        let described = if offer.is_empty() {
            Ok((None, sdp::offer(&sound.local, &CODECS)))
        } else {
            sdp::answer(&offer, &sound.local, Wish::default()).map(|(plan, text)| (Some(plan), text))
        };
        let Ok((plan, text)) = described else {
            return self.end_call(now, key, Party::System, EndCause::Incompatible, out);
        };
        side.state = CustomerState::Answered;
        side.call_max_ms = call_max_ms;
        side.held = plan.is_some_and(|plan| plan.held);
        self.deadlines.cancel(side.deadline);
        let longest = Duration::from_millis(u64::from(call_max_ms));
        side.deadline = self.deadlines.arm(now + longest, Why::CallTooLong(key));
        if self.ua.answer(now, leg, &text, &mut self.sip_out).is_err() {
            // Its CANCEL was faster: the leg's end is on its way.
            return self.end_call(now, key, Party::Customer, EndCause::Cancelled, out);
        }
        if let Some(plan) = plan {
            self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        }
        self.note_signaller(leg);
        self.counters.calls_answered += 1;
        self.tell(CallFact::Answered { call: id }, out);
    }

    /// A caller acknowledged our answer; with an answer of its own, if we made the offer.
    pub(crate) fn customer_confirmed(&mut self, now: Instant, key: Key<Call>, body: Option<Bytes>) {
        let Some(side) = self.calls.get(key).and_then(Call::answered_customer) else { return };
        let ours = side.offer.as_ref().is_some_and(Bytes::is_empty);
        if let Some(plan) =
            body.filter(|_| ours).and_then(|body| sdp::read_answer(&side.sound.local, &body).ok())
        {
            self.plane.set_remote(now, side.sound.stream, plan.remote, &mut self.media_out);
        }
    }
}

/// The final response to a caller who is not answered.
pub(super) fn refusal_code(cause: EndCause) -> u16 {
    match cause {
        EndCause::Busy => 486,
        EndCause::Rejected | EndCause::Forbidden => 603,
        EndCause::Incompatible => 488,
        EndCause::Congestion | EndCause::LocalLimit | EndCause::NoTrunk | EndCause::NodeRestart => 503,
        _ => 480,
    }
}
