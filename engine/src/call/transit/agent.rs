//! An agent's phone calls out: where the agent may call, and as many calls as the agent may have.

use super::admit::{Front, MAX_FORWARDS, Path, Refusal};
use crate::doors::{ShardEffect, TransitMedia};
use crate::shard::CallShard;
use crate::shard::agents::AgentKey;
use crate::shard::asks::Ask;
use crate::shard::trunks::TrunkKey;
use crate::translate::address::user_of;
use dialer_core::{AgentFact, AgentId};
use sansio::{Instant, Outbox};
use sip_proxy::ua::LegKey;
use sip_proxy::wire::Message;

impl CallShard {
    /// An agent's phone calls in. Its sound goes through us: it may be behind NAT.
    pub(crate) fn agent_calls(
        &mut self,
        now: Instant,
        leg: LegKey,
        account: AgentKey,
        request: &Message,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(agent) = self.agents.get(account).map(|agent| agent.id) else {
            return self.refuse_transit(now, leg, Refusal::Forbidden);
        };
        let number = user_of(request.request_uri());
        let asked = self.may_call_out(agent, &number, out).and_then(|()| {
            let ask = Ask::Calls { leg, agent, request: Box::new(request.clone()) };
            self.ask(agent, &number, ask, out).then_some(()).ok_or(Refusal::Busy)
        });
        if let Err(refusal) = asked {
            self.refuse_transit(now, leg, refusal);
        }
    }

    /// No list forbids the number: the phone's call goes on.
    pub(crate) fn agent_may_call(
        &mut self,
        now: Instant,
        leg: LegKey,
        agent: AgentId,
        request: &Message,
        out: &mut Outbox<ShardEffect>,
    ) {
        let number = user_of(request.request_uri());
        // Another call of the same phone may have begun meanwhile.
        let made = self.may_call_out(agent, &number, out).and_then(|()| {
            let path = self.path_of_agent(now, number, request)?;
            self.carry_on(now, leg, Front::Agent(agent), path, request, None)
        });
        if let Err(refusal) = made {
            self.refuse_transit(now, leg, refusal);
        }
    }

    fn may_call_out(
        &mut self,
        agent: AgentId,
        number: &str,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), Refusal> {
        self.may_call(agent, number, out).map_err(|_| Refusal::Forbidden)
    }

    /// Whether an agent's phone may have a number called; else 403, counted and told.
    pub(crate) fn may_call(
        &mut self,
        agent: AgentId,
        number: &str,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        let Err(reason) = self.agents.may_call(agent, number) else { return Ok(()) };
        if reason == "limit" {
            self.counters.agent_calls_refused_limit += 1;
        } else {
            self.counters.agent_calls_refused_destination += 1;
        }
        self.tell_agent(AgentFact::CallRefused { agent, to: number.to_owned(), reason }, out);
        Err(403)
    }

    /// Along the routes that are for everybody.
    fn path_of_agent(&mut self, now: Instant, number: String, request: &Message) -> Result<Path, Refusal> {
        if !self.admit_transit {
            return Err(Refusal::Busy);
        }
        let fits =
            self.routes.iter().find(|route| route.from_trunk.is_none() && number.starts_with(&route.prefix));
        let route = fits.ok_or(Refusal::NoRoute)?;
        let record = route.record;
        let is_down = |key: TrunkKey| self.ua.is_down(now, key.to_bits());
        let chosen = self.trunks.choose(now, &route.to_trunks, &mut self.rng, is_down);
        let (to, others) = chosen.ok_or(Refusal::Busy)?;
        let hops = request.max_forwards().unwrap_or(MAX_FORWARDS);
        let max_forwards = hops.checked_sub(1).ok_or(Refusal::TooManyHops)?;
        Ok(Path { to, others, media: TransitMedia::Relay, record, number, max_forwards })
    }
}
