//! Bringing an agent to a call: by the nailed-up session, or by ringing the phone.

use super::transfer::Calling;
use super::{AgentLink, AgentSide, Call, Confirm};
use crate::doors::ShardEffect;
use crate::shard::agents::AgentKey;
use crate::shard::{CallShard, Owner, Why};
use crate::translate::address::{auto_answer_headers, phone_uri, transport_of, uri_of};
use crate::translate::format;
use crate::translate::sdp;
use dialer_core::config::AutoAnswer;
use dialer_core::outcome::EndCause;
use dialer_core::participant::Way;
use dialer_core::{AgentDevice, AgentId, CallFact};
use media::Ears;
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::Invite;
use std::net::SocketAddr;

/// Where a phone is.
struct Place {
    listener: u8,
    destination: SocketAddr,
    uri: String,
}

impl CallShard {
    /// Rings the agent's phone for a call.
    pub(crate) fn ring_agent(
        &mut self,
        now: Instant,
        key: Key<Call>,
        agent: AgentId,
        way: &Way,
        ring_timeout_ms: u32,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let id = call.id;
        if !call.may_ring(agent) {
            // One agent at a time, unless all ring; the one before has to be released first.
            let fact = CallFact::AgentFailed { call: id, agent, cause: EndCause::LocalLimit, sip_code: None };
            self.tell(fact, out);
            return;
        }
        match self.call_device(now, Owner::Agent(key), way, true) {
            Ok(Calling { leg, sound, trunk }) => {
                let longest = Duration::from_millis(u64::from(ring_timeout_ms));
                let deadline = self.deadlines.arm(now + longest, Why::AgentRingsTooLong(key, leg));
                self.trace.note_leg(self.ua.tag_of(leg), id);
                let confirm = Confirm::of(way);
                let link = AgentLink::Ringing { leg, sound, deadline, told: false, confirm };
                if let Some(call) = self.calls.get_mut(key) {
                    call.ring_also(AgentSide { agent, link, trunk, guest: None });
                }
            }
            Err(cause) => {
                self.tell(CallFact::AgentFailed { call: id, agent, cause, sip_code: None }, out);
            }
        }
    }

    /// Calls an agent's phone or number. `ordered`: the trunk's turn was waited for above.
    pub(super) fn call_device(
        &mut self,
        now: Instant,
        owner: Owner,
        way: &Way,
        ordered: bool,
    ) -> Result<Calling, EndCause> {
        match way {
            Way::Phone { agent, auto_answer, display } => {
                self.call_phone(now, *agent, owner, *auto_answer, display)
            }
            Way::Number { trunk, to, caller_id, .. } => {
                let trunk = self.trunks.key_of(*trunk).ok_or(EndCause::NoTrunk)?;
                let calling = self
                    .call_number(now, None, owner, trunk, to, caller_id.clone(), None, ordered)
                    .map_err(|_| EndCause::Congestion)?;
                self.plane.listen(now, calling.sound.stream, Ears { dtmf: true, ..Ears::default() });
                Ok(calling)
            }
        }
    }

    /// By which listener and where the phone of an agent is called: where it has registered from, or at its own place.
    fn place_of_phone(&self, now: Instant, key: AgentKey) -> Result<Place, EndCause> {
        let entry = self.agents.get(key).ok_or(EndCause::NotRegistered)?;
        let AgentDevice::Address { user, address, transport } = &entry.device else {
            let contact = self.ua.contact_of(now, key.to_bits()).ok_or(EndCause::NotRegistered)?;
            let (listener, destination) = (contact.listener, contact.source);
            return Ok(Place { listener, destination, uri: contact.uri });
        };
        let destination: SocketAddr = address.parse().map_err(|_| EndCause::Unreachable)?;
        let transport = transport_of(*transport);
        let listener = self.ua.listener_for(transport, destination.is_ipv4()).ok_or(EndCause::Unreachable)?;
        Ok(Place { listener, destination, uri: phone_uri(user, destination, transport) })
    }

    /// Sends an INVITE to the agent's phone.
    pub(crate) fn call_phone(
        &mut self,
        now: Instant,
        agent: AgentId,
        owner: Owner,
        auto_answer: AutoAnswer,
        display: &str,
    ) -> Result<Calling, EndCause> {
        let account = self.agents.key_of(agent).ok_or(EndCause::NotRegistered)?;
        let place = self.place_of_phone(now, account)?;
        let entry = self.agents.get(account).ok_or(EndCause::NotRegistered)?;
        let srtp = entry.srtp;
        let our_host = self.host_text(place.listener);
        let to_uri = uri_of(&entry.username, &self.config.realm);
        let from_uri = uri_of("dialerd", our_host);
        let headers = auto_answer_headers(auto_answer, our_host);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let security = self.phone_security(place.listener, srtp);
        let sound = self.open_sound(now, owner.to_bits(), security).ok_or(EndCause::LocalLimit)?;
        self.plane.listen(now, sound.stream, Ears { dtmf: true, ..Ears::default() });
        // What the customer speaks comes first, so that nothing has to be translated.
        let customer = match owner {
            Owner::Agent(call) => {
                self.calls.get(call).and_then(|call| Some(call.customer.as_ref()?.sound.stream))
            }
            _ => None,
        };
        let codecs = format::led_by(customer.and_then(|stream| self.spoken(stream)));
        let invite = Invite {
            owner: owner.to_bits(),
            listener: place.listener,
            destination: place.destination,
            trunk: None,
            symmetric: true,
            replaceable: false,
            request_uri: &place.uri,
            from_uri: &from_uri,
            from_display: display,
            to_uri: &to_uri,
            p_asserted_identity: None,
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp: sdp::offer(&sound.local, &codecs),
        };
        match self.ua.invite(now, &invite, &mut self.sip_out) {
            Ok(leg) => Ok(Calling { leg, sound, trunk: None }),
            Err(_) => {
                self.plane.close(now, sound.stream, &mut self.media_out);
                Err(EndCause::LocalLimit)
            }
        }
    }

    /// Takes the agent's nailed-up session into a call.
    pub(crate) fn use_session(&mut self, key: Key<Call>, agent: AgentId, out: &mut Outbox<ShardEffect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let id = call.id;
        let session = self.agents.session_of(agent);
        if let Some(AgentSide { agent: joined, link: AgentLink::Session(_), .. }) = &call.agent
            && *joined == agent
        {
            // Asked twice: the answer is the same.
            self.tell(CallFact::AgentAnswered { call: id, agent }, out);
            return;
        }
        let refused = match session.and_then(|session| self.sessions.get(session)) {
            _ if call.agent.is_some() => Some(EndCause::LocalLimit),
            None => Some(EndCause::NotRegistered),
            Some(session) if !session.is_up() => Some(EndCause::NotRegistered),
            Some(session) if session.call.is_some() => Some(EndCause::Busy),
            Some(_) => None,
        };
        let fact = match (refused, session) {
            (None, Some(session)) => {
                let link = AgentLink::Session(session);
                call.agent = Some(AgentSide { agent, link, trunk: None, guest: None });
                if let Some(session) = self.sessions.get_mut(session) {
                    session.call = Some(key);
                    self.plane.measure_anew(session.sound.stream);
                    self.trace.note_leg(self.ua.tag_of(session.leg), id);
                }
                CallFact::AgentAnswered { call: id, agent }
            }
            (cause, _) => {
                let cause = cause.unwrap_or(EndCause::NotRegistered);
                CallFact::AgentFailed { call: id, agent, cause, sip_code: None }
            }
        };
        self.tell(fact, out);
    }

    /// The agent's own leg ended before it was up: the rest of the call goes on.
    pub(crate) fn agent_failed(
        &mut self,
        now: Instant,
        key: Key<Call>,
        cause: EndCause,
        sip_code: Option<u16>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let (id, Some(agent)) = (call.id, call.agent.as_ref().map(|side| side.agent)) else { return };
        self.drop_agent_side(now, key, cause, sip_code, out);
        self.tell(CallFact::AgentFailed { call: id, agent, cause, sip_code }, out);
    }

    /// Takes the agent out of the call; a session stays up.
    pub(crate) fn release_agent(
        &mut self,
        now: Instant,
        key: Key<Call>,
        agent: AgentId,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.seat_agent(agent);
        let Some(side) = &call.agent else { return };
        if side.agent != agent || side.guest.is_some() {
            return;
        }
        let cause = match side.link {
            AgentLink::Ringing { .. } => EndCause::Cancelled,
            AgentLink::Up { .. } | AgentLink::Session(_) => EndCause::Normal,
        };
        self.drop_agent_side(now, key, cause, None, out);
    }
}
