//! What rings when an agent is called, and over which trunk if it is a telephone number.
//!
//! A number costs money with each call, so it is dialled like any other: over a trunk that has room, within the numbers
//! that the agent may reach, not when it is on a do-not-call list that holds everywhere, and never again by itself once
//! it was busy, was not picked up or was hung up: the agent of a nailed-up session is logged out then.

use crate::check::{Checked, caller_id, e164, invalid, one_line};
use crate::command::CommandError;
use crate::config::{AgentConfig, TrunkTransport, host_and_port};
use crate::dialer::{Cx, Dialer};
use crate::id::{AgentId, TrunkId};
use crate::outcome::EndCause;
use crate::participant::Way;
use crate::record::Record;
use crate::trunk::NoTrunk;
use sansio::Instant;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What rings when an agent is called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AgentDevice {
    /// The phone that has registered as the agent.
    #[default]
    Registered,
    /// A phone, or a switch with a phone behind it, that stays where it is and does not register.
    Address {
        /// Its user there; empty: none.
        user: String,
        /// Where: `address:port`.
        address: String,
        /// How it is spoken with.
        transport: TrunkTransport,
    },
    /// A telephone number, dialled over a trunk.
    Number {
        /// Number, E.164.
        number: String,
        /// Over this trunk; `None`: any that can.
        trunk: Option<TrunkId>,
        /// Caller ID shown; `None`: the trunk's.
        caller_id: Option<String>,
        /// Who answers presses this, or is not taken for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_key: Option<char>,
    },
}

impl AgentDevice {
    /// It is there without having registered.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        *self != AgentDevice::Registered
    }

    fn is_number(&self) -> bool {
        matches!(self, AgentDevice::Number { .. })
    }
}

/// Channels of trunks that the legs to an agent's number hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Channels {
    /// The nailed-up session's, or that of a phone rung early.
    line: Option<TrunkId>,
    /// That of the leg of a call's own.
    call: Option<TrunkId>,
}

impl Channels {
    /// Those that are held, for the audit.
    pub(crate) fn held(self) -> impl Iterator<Item = TrunkId> {
        self.line.into_iter().chain(self.call)
    }
}

/// Whether what ended a leg was no word of the one who is called, so that trying again later makes sense.
fn is_networks_fault(cause: EndCause) -> bool {
    matches!(cause, EndCause::Congestion | EndCause::LocalLimit | EndCause::NoTrunk)
}

pub(super) fn check(config: &AgentConfig) -> Checked {
    // A phone that registers has to show a password; without one the others have no account at all.
    one_line("/password", &config.password, usize::from(!config.device.is_fixed()), 128)?;
    match &config.device {
        AgentDevice::Registered => Ok(()),
        AgentDevice::Address { user, address, .. } => {
            one_line("/device/uri", user, 0, 64)?;
            match host_and_port(address).and_then(|_| address.parse::<SocketAddr>().ok()) {
                Some(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(()),
                _ => invalid("/device/uri", "an IP address with a port"),
            }
        }
        AgentDevice::Number { number, caller_id: shown, confirm_key, .. } => {
            e164("/device/number", number)?;
            if confirm_key.is_some_and(|key| !key.is_ascii_digit() && !"*#".contains(key)) {
                return invalid("/device/confirm_key", "one of 0-9, * and #");
            }
            if let Some(shown) = shown {
                caller_id("/device/caller_id", shown)?;
            }
            // What keeps phones from costly destinations keeps us from them too.
            let digits = number.trim_start_matches('+');
            let reaches = |entry: &String| entry == "*" || digits.starts_with(entry.trim_start_matches('+'));
            if config.destinations.iter().any(reaches) {
                return Ok(());
            }
            invalid("/device/number", "a number that begins with one of the agent's destinations")
        }
    }
}

impl Dialer {
    /// The trunk that a number names is there, and no rule forbids to call it.
    pub(super) fn device_can_be_called(&mut self, cx: &Cx<'_>, config: &AgentConfig) -> Checked {
        let AgentDevice::Number { number, trunk, .. } = &config.device else { return Ok(()) };
        if trunk.is_some_and(|trunk| !self.trunks.contains_key(&trunk)) {
            return invalid("/device/trunk_id", "the id of an existing trunk");
        }
        self.refuse_breach((None, Some(&config.tenant)), number, false, cx.wall).map(|_| ())
    }

    /// A device is changed while nothing rings or speaks on it.
    pub(super) fn device_is_idle(&self, id: AgentId, config: &AgentConfig) -> Result<(), CommandError> {
        let agent = &self.agents[&id];
        let idle = agent.session.is_none() && agent.is_free() && agent.line == super::Line::Closed;
        if agent.row.config.device == config.device || idle {
            return Ok(());
        }
        let detail = "the device of an agent who is logged in is not changed; log out first".into();
        Err(CommandError::InvalidAgentState { state: agent.state, detail })
    }

    /// How an agent is rung for a call of its own; takes what the leg holds, until [`Dialer::leave_call`].
    pub(crate) fn way_to_ring(&mut self, cx: &Cx<'_>, id: AgentId, display: String) -> Way {
        let chosen = self.trunk_to(cx, id);
        // Its turn among the trunk's calls comes where calls leave.
        let trunk = match chosen {
            Some(Err(NoTrunk::Cps)) => self.first_with_room(&self.trunk_wanted(id)),
            Some(chosen) => chosen.ok(),
            None => None,
        };
        self.take_for_leg(cx, trunk);
        self.agents.get_mut(&id).expect("the caller has it").channels.call = trunk;
        self.way_over(id, trunk, display)
    }

    /// How an agent's line is opened, as [`Dialer::way_to_ring`]; a trunk whose turn has not come is waited for.
    pub(super) fn way_to_open(&mut self, cx: &Cx<'_>, id: AgentId) -> Result<Way, Instant> {
        let trunk = match self.trunk_to(cx, id) {
            None => None,
            Some(Ok(trunk)) => Some(trunk),
            Some(Err(NoTrunk::Cps)) => {
                let wanted = self.trunk_wanted(id);
                let next = self.trunks_of(&wanted).into_iter().filter_map(|id| self.trunks.get(&id));
                let own = next.map(|trunk| trunk.cps.next_at(cx.now)).min().unwrap_or(cx.now);
                return Err(own.max(cx.now));
            }
            Some(Err(_)) => None,
        };
        self.take_for_leg(cx, trunk);
        self.agents.get_mut(&id).expect("the caller has it").channels.line = trunk;
        Ok(self.way_over(id, trunk, String::new()))
    }

    /// How an agent is called into a call of somebody else's; the caller keeps the channel.
    pub(crate) fn way_to_join(
        &mut self,
        cx: &Cx<'_>,
        id: AgentId,
        display: String,
    ) -> Result<Way, CommandError> {
        let config = &self.agents[&id].row.config;
        let trunk = match &config.device {
            AgentDevice::Number { number, .. } => {
                let (number, tenant) = (number.clone(), config.tenant.clone());
                self.refuse_breach((None, Some(&tenant)), &number, false, cx.wall)?;
                let wanted = self.trunk_wanted(id);
                Some(self.trunk_among(cx.now, &wanted)?)
            }
            AgentDevice::Registered | AgentDevice::Address { .. } => None,
        };
        self.take_for_leg(cx, trunk);
        Ok(self.way_over(id, trunk, display))
    }

    fn trunk_wanted(&self, id: AgentId) -> Vec<TrunkId> {
        match &self.agents[&id].row.config.device {
            AgentDevice::Number { trunk, .. } => trunk.iter().copied().collect(),
            AgentDevice::Registered | AgentDevice::Address { .. } => Vec::new(),
        }
    }

    /// The trunk that takes a call to an agent's number now; `None` if it is no number.
    fn trunk_to(&mut self, cx: &Cx<'_>, id: AgentId) -> Option<Result<TrunkId, NoTrunk>> {
        let config = &self.agents[&id].row.config;
        let AgentDevice::Number { number, .. } = &config.device else { return None };
        if let Some(breach) = self.breach((None, Some(&config.tenant)), number, cx.wall) {
            self.counters.rule_hit(breach.rule);
            return Some(Err(NoTrunk::Down));
        }
        let wanted = self.trunk_wanted(id);
        Some(self.choose_trunk(cx.now, &wanted))
    }

    fn take_for_leg(&mut self, cx: &Cx<'_>, trunk: Option<TrunkId>) {
        if let Some(trunk) = trunk {
            self.take_cps(cx, None, trunk);
            self.take_channel(trunk);
        }
    }

    /// Without a trunk the order names one that is nobody's, and comes back as a leg that could not be made.
    fn way_over(&self, id: AgentId, trunk: Option<TrunkId>, display: String) -> Way {
        let config = &self.agents[&id].row.config;
        match &config.device {
            AgentDevice::Registered | AgentDevice::Address { .. } => {
                Way::Phone { agent: id, auto_answer: config.auto_answer, display }
            }
            AgentDevice::Number { number, caller_id, confirm_key, .. } => Way::Number {
                trunk: trunk.unwrap_or(TrunkId::from_bits(0)),
                to: number.clone(),
                caller_id: caller_id.clone(),
                confirm_key: *confirm_key,
            },
        }
    }

    /// An agent is out of a call; a leg to its number that was the call's own is over.
    pub(crate) fn leave_call(&mut self, id: AgentId) {
        let agent = self.agents.get_mut(&id).expect("agents in calls are not deleted");
        agent.call = None;
        if let Some(trunk) = agent.channels.call.take() {
            self.free_channel(trunk);
        }
    }

    /// The leg of an agent's line is over.
    pub(super) fn free_line(&mut self, id: AgentId) {
        if let Some(trunk) = self.agents.get_mut(&id).and_then(|agent| agent.channels.line.take()) {
            self.free_channel(trunk);
        }
    }

    /// The session to a number has ended by what was said there: it is not dialled again unless the agent asks for it.
    /// True if it was so.
    pub(super) fn lay_number_down(&mut self, cx: &mut Cx<'_>, id: AgentId, cause: EndCause) -> bool {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        if !agent.row.config.device.is_number() || is_networks_fault(cause) {
            return false;
        }
        agent.leaving = true;
        let row = agent.status_row(cx.wall);
        let free = agent.is_free();
        self.journal(cx, vec![Record::AgentStatusChanged(row)]);
        if free {
            self.log_out_now(cx, id, cause.as_str());
        }
        true
    }
}

impl super::Agent {
    /// There is something to ring.
    pub(crate) fn has_phone(&self) -> bool {
        self.row.config.device.is_fixed() || self.phone.is_some()
    }
}
