//! Breaks: which codes may be given, and how long they may last.

use crate::check::{Checked, invalid};
use crate::dialer::{Cx, Dialer, Why};
use crate::id::AgentId;
use crate::record::Record;
use crate::serving::AfterPause;
use std::collections::BTreeSet;

impl Dialer {
    /// A code that an agent gives must be one of those that the agent's campaigns name, if any of them names some.
    pub(super) fn check_pause_code(&self, id: AgentId, code: &str) -> Checked {
        let agent = &self.agents[&id];
        let served = self.campaigns.values().filter(|campaign| campaign.is_served_by(agent));
        let known: BTreeSet<&str> = served
            .flat_map(|campaign| &campaign.row.config.serving.pause_codes)
            .map(String::as_str)
            .collect();
        if known.is_empty() || known.contains(code) {
            return Ok(());
        }
        let known: Vec<&str> = known.into_iter().collect();
        invalid("/code", format_args!("one of: {}", known.join(", ")))
    }

    /// Writes down that the agent is on a break with this code from now on; what the agent does until it begins is the
    /// caller's.
    pub(crate) fn take_break(&mut self, cx: &mut Cx<'_>, id: AgentId, code: &str) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        if agent.paused.as_deref() == Some(code) {
            return;
        }
        agent.paused = Some(code.to_owned());
        let row = agent.status_row(cx.wall);
        self.journal(cx, vec![Record::AgentStatusChanged(row)]);
        self.limit_break(cx, id, 0);
    }

    /// Begins to count a break that began `ago_ms` ago.
    pub(crate) fn limit_break(&mut self, cx: &Cx<'_>, id: AgentId, ago_ms: u64) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        let old = agent.pause_timer.take();
        let most = agent.row.config.pause_max_ms.filter(|_| agent.paused.is_some());
        self.disarm(old);
        if let Some(most) = most {
            let timer = self.arm(cx.now, u64::from(most).saturating_sub(ago_ms).max(1), Why::PauseMax(id));
            self.agents.get_mut(&id).expect("found above").pause_timer = Some(timer);
        }
    }

    /// The break has lasted as long as it may.
    pub(crate) fn on_pause_max(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        agent.pause_timer = None;
        if agent.paused.is_none() || agent.session.is_none() {
            return;
        }
        match agent.row.config.pause_then {
            AfterPause::Ready => {
                agent.paused = None;
                let row = agent.status_row(cx.wall);
                self.journal(cx, vec![Record::AgentStatusChanged(row)]);
                self.rest_agent(cx, id, "pause_max");
            }
            // Nobody but the agent asked for it, so it cannot be refused.
            AfterPause::Logout => {
                agent.leaving = true;
                let row = agent.status_row(cx.wall);
                self.journal(cx, vec![Record::AgentStatusChanged(row)]);
                self.rest_agent(cx, id, "pause_max");
            }
        }
    }
}
