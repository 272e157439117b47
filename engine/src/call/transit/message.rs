//! Requests that make no call and pass through all the same: MESSAGE, INFO, and methods that nobody here knows.

use super::transfer::side_of;
use crate::call::AgentLink;
use crate::call::policy::Caller;
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner};
use crate::translate::address::{uri_of, user_of};
use sansio::Instant;
use sip_proxy::ua::{LegError, LegKey, Outward, RequestKey, info_status};
use sip_proxy::wire::{Message, Method};
use std::sync::Arc;

/// Max-Forwards of a request that names none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

impl CallShard {
    /// One within the dialog of a leg: the other side of a transit call gets it, and an INFO the other side of a joined
    /// call. Else who is called by us, or by an agent, has nobody behind us to speak to.
    pub(crate) fn request_within(&mut self, now: Instant, key: RequestKey, owner: u64, request: &Message) {
        let transit =
            side_of(owner).and_then(|(transit, caller)| Some(self.transits.get(transit)?.leg_of(!caller)));
        let info = request.method() == Method::Info;
        if let Some((transit, caller)) = side_of(owner) {
            self.pass_along(transit, caller, Some(request.body()));
        }
        let other = transit.or_else(|| self.joined_leg(owner).filter(|_| info));
        let passed = match other {
            Some(other) => self.ua.relay_within(now, key, request, other, &mut self.sip_out),
            None => return self.ua.respond(now, key, not_taken(request), &mut self.sip_out),
        };
        let code = match passed {
            Ok(()) => return,
            // The other side has not answered yet.
            Err(LegError::WrongState | LegError::Pending) => 480,
            Err(LegError::Gone) => 481,
            Err(LegError::Limit) => 503,
        };
        self.ua.respond(now, key, code, &mut self.sip_out);
    }

    /// The leg that is joined to that of this owner, where they are two alone.
    fn joined_leg(&self, owner: u64) -> Option<LegKey> {
        let owner = Owner::from_bits(owner)?;
        let call = match owner {
            Owner::Customer(key) | Owner::Agent(key) => self.calls.get(key),
            Owner::Session(key) => self.calls.get(self.sessions.get(key)?.call?),
            _ => None,
        };
        let call = call.filter(|call| call.bridged && call.participants.is_empty())?;
        if !matches!(owner, Owner::Customer(_)) {
            return call.answered_customer().map(|customer| customer.leg);
        }
        match call.agent.as_ref()?.link {
            AgentLink::Up { leg, .. } => Some(leg),
            AgentLink::Session(key) => self.sessions.get(key).map(|session| session.leg),
            AgentLink::Ringing { .. } => None,
        }
    }

    /// One outside of any dialog: it goes where a call would go.
    pub(crate) fn request_outside(
        &mut self,
        now: Instant,
        key: RequestKey,
        from: TrunkKey,
        request: &Message,
    ) {
        if let Err(code) = self.try_request_outside(now, key, from, request) {
            self.ua.respond(now, key, code, &mut self.sip_out);
        }
    }

    fn try_request_outside(
        &mut self,
        now: Instant,
        key: RequestKey,
        from: TrunkKey,
        request: &Message,
    ) -> Result<(), u16> {
        let number = user_of(request.request_uri());
        let trunk = self.trunks.get(from).ok_or(not_taken(request))?;
        let (from_id, from_policy) = (trunk.id, Arc::clone(&trunk.policy));
        let route = self.routes.iter().find(|route| {
            route.from_trunk.is_none_or(|wanted| wanted == from_id) && number.starts_with(&route.prefix)
        });
        // Without a route nothing of the sort is taken here.
        let group = &route.ok_or(not_taken(request))?.to_trunks;
        // It takes no channel and no turn: who is full takes it, too.
        let enabled = |key: &TrunkKey| self.trunks.get(*key).is_some_and(|to| to.row.config.enabled);
        let keys: Vec<TrunkKey> =
            group.iter().filter_map(|id| self.trunks.key_of(*id)).filter(enabled).collect();
        let up = keys.iter().find(|key| !self.ua.is_down(now, key.to_bits()));
        let to_key = *up.or(keys.first()).ok_or(503_u16)?;
        let to = self.trunks.get(to_key).ok_or(503_u16)?;
        let (listener, destination) = to.address.ok_or(503_u16)?;
        let to_policy = Arc::clone(&to.policy);
        let request_uri = uri_of(&to.row.config.number_for(&number), to.host());
        let caller = Caller::of(request, self.host_text(listener), &from_policy, &to_policy);
        let headers = caller.headers(request, &from_policy, &to_policy, None);
        let hops = request.max_forwards().unwrap_or(MAX_FORWARDS);
        let outward = Outward {
            listener,
            destination,
            trunk: Some(to_key.to_bits()),
            request_uri: &request_uri,
            from_uri: &caller.uri,
            from_display: &caller.display,
            p_asserted_identity: None,
            headers: &headers,
            max_forwards: hops.checked_sub(1).ok_or(483_u16)?,
        };
        let sent = self.ua.relay_out(now, key, request, &outward, &mut self.sip_out);
        if sent { Ok(()) } else { Err(503) }
    }

    /// Where a request goes within the calls of this shard.
    pub(crate) fn request_asked(
        &mut self,
        now: Instant,
        key: RequestKey,
        leg: Option<(LegKey, u64)>,
        from: Option<TrunkKey>,
        request: &Message,
    ) {
        match (leg, from) {
            (Some((_, owner)), _) => self.request_within(now, key, owner, request),
            (None, Some(from)) => self.request_outside(now, key, from, request),
            (None, None) => self.ua.respond(now, key, not_taken(request), &mut self.sip_out),
        }
    }
}

/// RFC 3261 §8.2.1, §21.5.2: what we know and do not do, and what we do not know. INFO we do know.
fn not_taken(request: &Message) -> u16 {
    match request.method() {
        Method::Info => info_status(request),
        Method::Other => 501,
        _ => 405,
    }
}
