//! An agent gives the customer to someone else (RFC 3515, RFC 3891), by REFER from the agent's phone.
//!
//! ```text
//!   blind      customer ══ us ══ agent     agent: REFER to a number or   customer ══ us ══ guest
//!                                          to another agent's phone      (called by us; then NOTIFY 200, BYE)
//!   attended   customer ══ us ══ agent     agent: REFER to the other     customer ══ us ══ guest
//!              agent ═════ us ══ guest     call, which the phone made    (both calls are joined)
//! ```
//! The guest takes the agent's seat in the call; the agent is out of it and does the next one.

use super::teardown::Codes;
use super::transit::Transit;
use super::{AgentLink, AgentSide, Call, Guest, Sound};
use crate::doors::ShardEffect;
use crate::shard::trunks::{Trunk, TrunkKey};
use crate::shard::{CallShard, Owner};
use crate::translate::address::{uri_of, user_of};
use crate::translate::cause::{Said, q850_of};
use crate::translate::format::CODECS;
use crate::translate::sdp;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{AgentId, CallFact};
use sansio::{Instant, Key, Outbox, TimerKey};
use sip_proxy::ua::{Invite, LegKey, Reason, Replaced};
use std::sync::Arc;

/// Someone is called to take the agent's place.
#[derive(Debug)]
pub(crate) struct Transfer {
    agent: AgentId,
    /// The leg that has asked for it; `None`: somebody above has.
    asker: Option<LegKey>,
    asker_gone: bool,
    pub(super) guest: Calling,
    to: String,
    /// The guest's phone rings at most until then.
    deadline: Option<TimerKey>,
}

impl Transfer {
    /// One that was ordered from above.
    pub(super) fn ordered(agent: AgentId, guest: Calling, to: String, deadline: TimerKey) -> Self {
        Transfer { agent, asker: None, asker_gone: false, guest, to, deadline: Some(deadline) }
    }

    /// Waits for its guest at most until a deadline.
    pub(crate) fn has_deadline(&self) -> bool {
        self.deadline.is_some()
    }

    /// The deadline is over, and is not to be cancelled any more.
    pub(crate) fn deadline_passed(&mut self) {
        self.deadline = None;
    }

    /// The stream of who is called.
    pub(crate) fn sound(&self) -> &Sound {
        &self.guest.sound
    }
}

/// The leg of who is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calling {
    pub(crate) leg: LegKey,
    pub(crate) sound: Sound,
    pub(crate) trunk: Option<TrunkKey>,
}

impl CallShard {
    /// REFER on a leg that belongs to no transit call.
    #[expect(clippy::too_many_arguments, reason = "the fields of one REFER")]
    pub(crate) fn agent_refers(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: u64,
        target: &[u8],
        replaces: Option<Replaced>,
        referred_by: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        // Whom a customer would like us to call is nobody's business.
        let key = Owner::from_bits(owner).and_then(|owner| self.call_of_phone(owner)).ok_or(603_u16)?;
        let call = self.calls.get(key).ok_or(481_u16)?;
        let agent = call.own_agent().ok_or(603_u16)?.agent;
        if !call.bridged || call.transfer.is_some() {
            return Err(491);
        }
        match replaces {
            Some(Replaced::Leg(named)) => self.join_consulted(now, leg, key, agent, named, out),
            // A call that we know nothing of.
            Some(Replaced::Elsewhere(_) | Replaced::Sibling(_)) => Err(603),
            None => {
                let to = user_of(target);
                let guest = self.call_guest(now, key, agent, &to, referred_by, out)?;
                let asker = Some(leg);
                let transfer = Transfer { agent, asker, asker_gone: false, guest, to, deadline: None };
                if let Some(call) = self.calls.get_mut(key) {
                    call.transfer = Some(Box::new(transfer));
                }
                let _ = self.ua.accept_refer(now, leg, &mut self.sip_out);
                Ok(())
            }
        }
    }

    /// The call that a leg to an agent's phone is in.
    pub(crate) fn call_of_phone(&self, owner: Owner) -> Option<Key<Call>> {
        match owner {
            Owner::Agent(key) => Some(key),
            Owner::Session(key) => self.sessions.get(key)?.call,
            _ => None,
        }
    }

    /// Calls who is to take the agent's place: the phone of the agent of that name, else the number.
    fn call_guest(
        &mut self,
        now: Instant,
        key: Key<Call>,
        agent: AgentId,
        to: &str,
        referred_by: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<Calling, u16> {
        let referred_by = referred_by.and_then(|value| std::str::from_utf8(value).ok());
        let referred_by = referred_by.map(|value| ("Referred-By", value));
        let colleague = self.agents.colleague_named(agent, to).map(|colleague| colleague.id);
        if let Some(colleague) = colleague {
            if colleague == agent {
                return Err(482);
            }
            let phone = self
                .call_phone(now, colleague, Owner::Guest(key), dialer_core::config::AutoAnswer::None, "")
                .map_err(|_| 480_u16)?;
            self.note_guest(key, phone.leg);
            return Ok(phone);
        }
        self.may_call(agent, to, out)?;
        let customer = self.calls.get(key).and_then(|call| call.customer.as_ref()).ok_or(481_u16)?;
        let (own_trunk, own_number) = (customer.trunk, customer.caller_id.clone());
        let route =
            self.routes.iter().find(|route| route.from_trunk.is_none() && to.starts_with(&route.prefix));
        // Without a route it goes where the customer was called.
        let trunk_key = match route {
            Some(route) => {
                let is_down = |key: TrunkKey| self.ua.is_down(now, key.to_bits());
                let chosen = self.trunks.choose(now, &route.to_trunks, &mut self.rng, is_down);
                chosen.ok_or(503_u16)?.0
            }
            None => own_trunk,
        };
        let owner = Owner::Guest(key);
        let guest = self.call_number(now, Some(key), owner, trunk_key, to, own_number, referred_by, false)?;
        self.agents.begin_call(agent);
        Ok(guest)
    }

    /// Calls a number over a trunk, for a call that stands or for an agent; by an order from above, or because a phone has asked for it.
    #[expect(clippy::too_many_arguments, reason = "the fields of one INVITE")]
    pub(super) fn call_number(
        &mut self,
        now: Instant,
        key: Option<Key<Call>>,
        owner: Owner,
        trunk_key: TrunkKey,
        to: &str,
        own_number: Option<String>,
        further: Option<(&str, &str)>,
        ordered: bool,
    ) -> Result<Calling, u16> {
        let has_room = |trunk: &Trunk| if ordered { trunk.has_channel(now) } else { trunk.has_room(now) };
        if !self.trunks.get(trunk_key).is_some_and(has_room) {
            return Err(503);
        }
        let trunk = self.trunks.get(trunk_key).ok_or(503_u16)?;
        let (listener, destination) = trunk.address.ok_or(503_u16)?;
        let request_uri = uri_of(&trunk.row.config.number_for(to), trunk.host());
        let number = own_number.or_else(|| trunk.row.config.caller_id.clone());
        let (trunk_id, policy, srtp) = (trunk.id, Arc::clone(&trunk.policy), trunk.row.config.srtp);
        let from_uri = uri_of(number.as_deref().unwrap_or("anonymous"), self.host_text(listener));
        let signed = self.stir.sign(trunk_id, number.as_deref(), to, self.wall_s(now), &mut self.rng);
        let identity = signed.as_deref().map(|identity| ("Identity", identity));
        let preferred = policy.preferred(number.as_ref().map(|_| from_uri.as_str()));
        let preferred = preferred.as_deref().map(|value| ("P-Preferred-Identity", value));
        let headers: Vec<(&str, &str)> =
            [further, identity, preferred].into_iter().flatten().chain(policy.added()).collect();
        let security = self.local_security(srtp);
        let sound = self.open_sound(now, owner.to_bits(), security).ok_or(503_u16)?;
        let invite = Invite {
            owner: owner.to_bits(),
            listener,
            destination,
            trunk: Some(trunk_key.to_bits()),
            symmetric: false,
            replaceable: false,
            request_uri: &request_uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &request_uri,
            p_asserted_identity: number.as_ref().filter(|_| policy.asserts()).map(|_| from_uri.as_str()),
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp: sdp::offer(&sound.local, &CODECS),
        };
        let Ok(leg) = self.ua.invite(now, &invite, &mut self.sip_out) else {
            self.plane.close(now, sound.stream, &mut self.media_out);
            return Err(503);
        };
        if let Some(key) = key {
            self.note_guest(key, leg);
        }
        if let Some(trunk) = self.trunks.get_mut(trunk_key) {
            if ordered {
                trunk.take_ordered();
            } else {
                trunk.take(now);
            }
        }
        Ok(Calling { leg, sound, trunk: Some(trunk_key) })
    }

    pub(super) fn note_guest(&mut self, key: Key<Call>, leg: LegKey) {
        if let Some(call) = self.calls.get(key) {
            self.trace.note_leg(self.ua.tag_of(leg), call.id);
        }
    }

    /// Tells who has asked for it how the transfer goes.
    pub(crate) fn tell_referrer(&mut self, now: Instant, key: Key<Call>, code: u16) {
        let transfer = self.calls.get(key).and_then(|call| call.transfer.as_ref());
        let asker = transfer.filter(|transfer| !transfer.asker_gone).and_then(|transfer| transfer.asker);
        if let Some(asker) = asker {
            let _ = self.ua.notify_refer(now, asker, code, &mut self.sip_out);
        }
    }

    /// The guest answered and takes the seat.
    pub(crate) fn guest_answered(
        &mut self,
        now: Instant,
        key: Key<Call>,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let transfer = self.calls.get(key).and_then(|call| call.transfer.as_ref());
        let Some(local) = transfer.map(|transfer| transfer.guest.sound.local) else { return };
        let Some(plan) = body.and_then(|body| sdp::read_answer(&local, body).ok()) else {
            self.guest_failed(now, key, 488, out);
            return;
        };
        self.tell_referrer(now, key, 200);
        let transfer = self.calls.get_mut(key).and_then(|call| call.transfer.take());
        let Some(Transfer { agent, asker_gone, guest, to, deadline, .. }) =
            transfer.map(|transfer| *transfer)
        else {
            return;
        };
        if let Some(deadline) = deadline {
            self.deadlines.cancel(deadline);
        }
        self.plane.set_remote(now, guest.sound.stream, plan.remote, &mut self.media_out);
        if !asker_gone {
            self.agent_leaves(now, key, agent, to, out);
        }
        self.seat_guest(now, key, agent, guest);
    }

    /// The agent is out of the call: told so, and the leg ended (or the session freed).
    pub(super) fn agent_leaves(
        &mut self,
        now: Instant,
        key: Key<Call>,
        agent: AgentId,
        to: String,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (id, side) = (call.id, call.agent.take());
        call.bridged = false;
        self.tell(CallFact::Transferred { call: id, agent, to }, out);
        self.end_agent_side(now, id, side, EndCause::Normal, Codes::default(), out);
    }

    /// Puts a guest, whose leg is up, into the seat that the agent has left.
    pub(super) fn seat_guest(&mut self, now: Instant, key: Key<Call>, agent: AgentId, guest: Calling) {
        let Calling { leg, sound, trunk } = guest;
        let owner = Owner::Agent(key).to_bits();
        self.ua.adopt(leg, owner);
        self.plane.adopt(sound.stream, owner);
        let Some(call) = self.calls.get_mut(key) else { return };
        let link = AgentLink::Up { leg, sound, held: false };
        call.agent = Some(AgentSide { agent, link, trunk: None, guest: Some(Guest { trunk }) });
        call.bridged = true;
        (call.held, call.muted.agent) = (false, false);
        let recording = call.recording;
        if let Some(customer) = call.customer.as_ref().map(|customer| customer.sound.stream) {
            // The tune of a customer on hold is over.
            self.plane.stop_playing(now, customer, &mut self.media_out);
            self.plane.connect(now, customer, sound.stream, &mut self.media_out);
        }
        if let Some(recording) = recording {
            self.retarget_recording(now, recording, Some(sound.stream));
        }
        self.settle_mix(now, key);
        self.counters.calls_transferred += 1;
    }

    /// The agent's leg is over. True when someone is being called in the agent's place: the call goes on.
    pub(super) fn leaves_to_guest(
        &mut self,
        now: Instant,
        key: Key<Call>,
        out: &mut Outbox<ShardEffect>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(key) else { return false };
        let Some(transfer) = call.transfer.as_mut().filter(|transfer| !transfer.asker_gone) else {
            return self.leaves_to_third_party(now, key, out);
        };
        transfer.asker_gone = true;
        let (agent, to) = (transfer.agent, transfer.to.clone());
        let customer = call.customer.as_ref().map(|customer| customer.sound.stream);
        if let Some(recording) = call.recording {
            self.retarget_recording(now, recording, None);
        }
        if let Some(customer) = customer {
            self.plane.disconnect(now, customer);
        }
        self.agent_leaves(now, key, agent, to, out);
        true
    }

    /// The guest could not be had.
    pub(crate) fn guest_failed(
        &mut self,
        now: Instant,
        key: Key<Call>,
        code: u16,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.tell_referrer(now, key, code);
        let Some(call) = self.calls.get(key) else { return };
        let (call, to) = (call.id, call.transfer.as_ref().map(|transfer| transfer.to.clone()));
        if let Some(to) = to {
            self.tell(CallFact::TransferFailed { call, to, sip_code: code }, out);
        }
        let gone = self.calls.get(key).and_then(|call| call.transfer.as_ref());
        let gone = gone.is_some_and(|transfer| transfer.asker_gone);
        self.drop_guest(now, key, Reason { q850: Some(q850_of(EndCause::NoAnswer)), ..Reason::default() });
        if gone {
            // Nobody is left to talk to.
            self.end_call(now, key, Party::Agent, EndCause::Normal, out);
        }
    }

    /// Calls the guest no more.
    pub(super) fn drop_guest(&mut self, now: Instant, key: Key<Call>, reason: Reason<'_>) {
        let Some(transfer) = self.calls.get_mut(key).and_then(|call| call.transfer.take()) else { return };
        let Calling { leg, sound, trunk } = transfer.guest;
        if let Some(deadline) = transfer.deadline {
            self.deadlines.cancel(deadline);
        }
        self.ua.adopt(leg, 0);
        self.ua.hangup(now, leg, reason, &mut self.sip_out);
        self.plane.close(now, sound.stream, &mut self.media_out);
        if let Some(trunk) = trunk {
            self.trunks.release(trunk);
            self.agents.end_call(transfer.agent);
        }
    }

    /// Attended: who the agent's phone has called before becomes the guest.
    fn join_consulted(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: Key<Call>,
        agent: AgentId,
        named: LegKey,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let other_key = match self.ua.owner(named).and_then(Owner::from_bits) {
            Some(Owner::TransitIn(other)) => other,
            _ => return Err(603),
        };
        let other: &mut Transit = self.transits.get_mut(other_key).ok_or(603_u16)?;
        if other.agent != Some(agent) || other.caller != named {
            return Err(603);
        }
        let (to, far) = other.give_callee().ok_or(603_u16)?;
        let guest = Calling { leg: far.0, sound: far.1, trunk: Some(far.2) };
        let _ = self.ua.accept_refer(now, leg, &mut self.sip_out);
        let _ = self.ua.notify_refer(now, leg, 200, &mut self.sip_out);
        self.agent_leaves(now, key, agent, to, out);
        // The channel and the agent's call stay in use.
        self.agents.begin_call(agent);
        self.seat_guest(now, key, agent, guest);
        self.end_transit(now, other_key, Party::Caller, EndCause::Normal, Some(200), Said::default());
        Ok(())
    }
}
