//! The agents whose phones a shard serves.

use crate::call::Session;
use dialer_core::AgentId;
use sansio::{Key, Slab};
use std::collections::BTreeMap;

/// Agents at once.
const AGENTS_MAX: usize = 100_000;

/// An agent as the shard knows one.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    /// SIP user of the phone.
    pub(crate) username: String,
    /// The nailed-up session, ringing or up.
    pub(crate) session: Option<Key<Session>>,
}

pub(crate) type AgentKey = Key<Agent>;

/// All agents of a shard. An agent's key is its account's number in the user agent.
#[derive(Debug)]
pub(crate) struct Agents {
    slab: Slab<Agent>,
    by_id: BTreeMap<AgentId, AgentKey>,
}

impl Agents {
    pub(crate) fn new() -> Self {
        Agents { slab: Slab::with_limit(AGENTS_MAX), by_id: BTreeMap::new() }
    }

    /// Adds an agent or changes its user name. `None` at the limit.
    pub(crate) fn apply(&mut self, id: AgentId, username: &str) -> Option<AgentKey> {
        if let Some(key) = self.key_of(id)
            && let Some(agent) = self.slab.get_mut(key)
        {
            username.clone_into(&mut agent.username);
            return Some(key);
        }
        let agent = Agent { id, username: username.to_owned(), session: None };
        let key = self.slab.insert(agent).ok()?;
        self.by_id.insert(id, key);
        Some(key)
    }

    pub(crate) fn remove(&mut self, id: AgentId) -> Option<AgentKey> {
        let key = self.by_id.remove(&id)?;
        self.slab.remove(key);
        Some(key)
    }

    pub(crate) fn key_of(&self, id: AgentId) -> Option<AgentKey> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&self, key: AgentKey) -> Option<&Agent> {
        self.slab.get(key)
    }

    pub(crate) fn session_of(&self, id: AgentId) -> Option<Key<Session>> {
        self.get(self.key_of(id)?)?.session
    }

    pub(crate) fn set_session(&mut self, id: AgentId, session: Option<Key<Session>>) {
        if let Some(key) = self.key_of(id)
            && let Some(agent) = self.slab.get_mut(key)
        {
            agent.session = session;
        }
    }

    /// All agents, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.slab.iter().map(|(_, agent)| agent)
    }
}
