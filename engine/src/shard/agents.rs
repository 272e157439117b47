//! The agents whose phones a shard serves.

use crate::call::Session;
use dialer_core::config::{AgentConfig, Srtp};
use dialer_core::{AgentDevice, AgentId, Tenant};
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
    /// Whether its sound is encrypted.
    pub(crate) srtp: Srtp,
    /// Whose agent it is.
    tenant: Tenant,
    /// What rings.
    pub(crate) device: AgentDevice,
    /// The nailed-up session, ringing or up.
    pub(crate) session: Option<Key<Session>>,
    /// Beginnings of numbers that the phone may call, `*` for all.
    destinations: Vec<String>,
    calls_max: u32,
    /// Calls of the phone's own now, and transfers to outside.
    calls: u32,
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

    /// Adds an agent or changes it; its calls go on. `None` at the limit.
    pub(crate) fn apply(&mut self, id: AgentId, config: &AgentConfig) -> Option<AgentKey> {
        if let Some(key) = self.key_of(id)
            && let Some(agent) = self.slab.get_mut(key)
        {
            config.username.clone_into(&mut agent.username);
            agent.destinations.clone_from(&config.destinations);
            agent.calls_max = config.calls_max;
            agent.srtp = config.srtp;
            agent.device.clone_from(&config.device);
            return Some(key);
        }
        let agent = Agent {
            id,
            username: config.username.clone(),
            session: None,
            destinations: config.destinations.clone(),
            calls_max: config.calls_max,
            srtp: config.srtp,
            tenant: config.tenant.clone(),
            device: config.device.clone(),
            calls: 0,
        };
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

    /// Whether the phone of an agent may call a number now; else why not.
    pub(crate) fn may_call(&self, id: AgentId, number: &str) -> Result<(), &'static str> {
        let agent = self.key_of(id).and_then(|key| self.get(key)).ok_or("destination")?;
        let allowed = |entry: &String| entry == "*" || number.starts_with(entry.as_str());
        if !agent.destinations.iter().any(allowed) {
            return Err("destination");
        }
        if agent.calls >= agent.calls_max { Err("limit") } else { Ok(()) }
    }

    /// A call of the phone's own begins.
    pub(crate) fn begin_call(&mut self, id: AgentId) {
        if let Some(agent) = self.key_of(id).and_then(|key| self.slab.get_mut(key)) {
            agent.calls += 1;
        }
    }

    /// … and is over.
    pub(crate) fn end_call(&mut self, id: AgentId) {
        if let Some(agent) = self.key_of(id).and_then(|key| self.slab.get_mut(key)) {
            agent.calls = agent.calls.saturating_sub(1);
        }
    }

    /// The agent of the same tenant as this one whose phone has this name.
    pub(crate) fn colleague_named(&self, of: AgentId, username: &str) -> Option<&Agent> {
        let tenant = &self.get(self.key_of(of)?)?.tenant;
        self.iter().find(|agent| agent.username == username && agent.tenant == *tenant)
    }

    /// All agents, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.slab.iter().map(|(_, agent)| agent)
    }
}
