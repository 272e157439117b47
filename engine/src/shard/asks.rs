//! What an agent's phone wants to call is asked above first: a number on a do-not-call list is not called, whoever dials it.
//!
//! ```text
//!   INVITE, REFER ──► asked ──► allowed ──► as if it came now
//!                          └──► forbidden ──► 403
//! ```

use super::CallShard;
use crate::call::transit::Refusal;
use crate::doors::{ShardEffect, ShardEvent};
use crate::shard::Owner;
use dialer_core::AgentId;
use sansio::{Instant, Outbox};
use sip_proxy::ua::{LegKey, Replaced};
use sip_proxy::wire::Message;
use std::collections::BTreeMap;

/// Questions that wait for their answer at most; more are refused.
const ASKS_MAX: usize = 1_024;

/// What waits.
#[derive(Debug)]
pub(crate) enum Ask {
    /// An INVITE.
    Calls { leg: LegKey, agent: AgentId, request: Box<Message> },
    /// A REFER.
    Refers { leg: LegKey, owner: u64, target: Vec<u8>, referred_by: Option<Vec<u8>> },
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    waiting: BTreeMap<u64, Ask>,
    last: u64,
}

impl Asks {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl CallShard {
    /// Asks whether an agent's phone may have this number called; false where too much waits already.
    pub(crate) fn ask(
        &mut self,
        agent: AgentId,
        number: &str,
        ask: Ask,
        out: &mut Outbox<ShardEffect>,
    ) -> bool {
        if self.asks.waiting.len() >= ASKS_MAX {
            return false;
        }
        self.asks.last += 1;
        let id = self.asks.last;
        self.asks.waiting.insert(id, ask);
        out.push(ShardEffect::Event(ShardEvent::Asks { ask: id, agent, to: number.to_owned() }));
        true
    }

    /// The answer. What was asked for may be over by now.
    pub(crate) fn answered_ask(
        &mut self,
        now: Instant,
        id: u64,
        allowed: bool,
        out: &mut Outbox<ShardEffect>,
    ) {
        let ask = self.asks.waiting.remove(&id);
        self.counters.agent_calls_refused_dnc += u64::from(ask.is_some() && !allowed);
        match ask {
            Some(Ask::Calls { leg, agent, request }) if self.ua.owner(leg).is_some() => {
                if allowed {
                    self.agent_may_call(now, leg, agent, &request, out);
                } else {
                    self.refuse_transit(now, leg, Refusal::Forbidden);
                }
            }
            Some(Ask::Refers { leg, owner, target, referred_by }) if self.ua.owner(leg).is_some() => {
                let result = match allowed {
                    true => self.refer_now(now, leg, owner, &target, None, referred_by.as_deref(), out),
                    false => Err(403),
                };
                self.refuse_refer(now, leg, result);
            }
            _ => {}
        }
    }

    /// The agent, and the number that the agent's phone wants the other side to be transferred to, if it is that and the
    /// agent may call it.
    pub(crate) fn transfers_to_number(
        &self,
        owner: u64,
        number: &str,
        replaces: Option<&Replaced>,
    ) -> Option<AgentId> {
        let agent = match Owner::from_bits(owner).filter(|_| replaces.is_none())? {
            Owner::TransitIn(key) => self.transits.get(key)?.agent?,
            owner => self.calls.get(self.call_of_phone(owner)?)?.own_agent()?.agent,
        };
        let is_colleague = self.agents.colleague_named(agent, number).is_some();
        (!is_colleague && self.agents.may_call(agent, number).is_ok()).then_some(agent)
    }
}
