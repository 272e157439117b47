//! Inbound calls that wait for the same agents: outbound holds back.
//!
//! Callers who wait here (`inbound/`) count by themselves. Who queues others (a telephone system beside this one) says how many wait for a group of agents. What it said
//! holds for as long as it said, so that a queue that went silent does not hold outbound back for ever.

use super::Campaign;
use crate::check::{invalid, range, text};
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::id::CampaignId;
use crate::pacing::PacingEvent;
use core::time::Duration;
use sansio::Instant;
use std::collections::BTreeMap;

/// Groups of agents with waiting inbound calls at most.
const GROUPS_MAX: usize = 1_000;

/// Waiting inbound calls by group of agents (`None`: all agents), and until when that is so.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    waiting: BTreeMap<Option<String>, (u32, Instant)>,
}

impl Inbound {
    /// Calls that wait for agents of `group`.
    fn for_group(&self, group: Option<&str>, now: Instant) -> u32 {
        // A campaign for all agents competes with every queue; a queue for all agents with every campaign.
        let meets = |queue: &Option<String>| match (queue.as_deref(), group) {
            (Some(queue), Some(group)) => queue == group,
            _ => true,
        };
        let valid = self.waiting.iter().filter(|(queue, (_, until))| *until > now && meets(queue));
        valid.map(|(_, (waiting, _))| *waiting).fold(0, u32::saturating_add)
    }
}

impl Dialer {
    /// So many inbound calls wait for a group, for at most `for_ms` from now unless told anew.
    pub(crate) fn set_inbound_waiting(
        &mut self,
        cx: &mut Cx<'_>,
        group: Option<String>,
        waiting: u32,
        for_ms: u32,
    ) -> Result<Reply, CommandError> {
        if let Some(group) = &group {
            text("/group", group, 1, 64)?;
        }
        range("/waiting", waiting, 0, 100_000)?;
        range("/for_ms", for_ms, 100, 600_000)?;
        self.inbound.waiting.retain(|_, (_, until)| *until > cx.now);
        let before = self.inbound.waiting.remove(&group).map_or(0, |(waiting, _)| waiting);
        if waiting > 0 {
            if self.inbound.waiting.len() >= GROUPS_MAX {
                return invalid(
                    "/group",
                    format_args!("one of at most {GROUPS_MAX} groups with waiting calls"),
                );
            }
            let until = cx.now + Duration::from_millis(u64::from(for_ms));
            self.inbound.waiting.insert(group, (waiting, until));
        }
        for _ in before..waiting {
            self.observe(cx.now, &PacingEvent::InboundArrived);
        }
        self.want_all_decisions();
        Ok(Reply::Done)
    }

    /// Inbound calls that go before the calls of a campaign.
    pub(super) fn inbound_for(&self, cx: &Cx<'_>, id: CampaignId) -> u32 {
        let campaign: &Campaign = &self.campaigns[&id];
        if campaign.is_agentless() {
            return 0;
        }
        let group = campaign.row.config.agent_group.as_deref();
        self.inbound.for_group(group, cx.now).saturating_add(self.callers_waiting_for(group))
    }
}
