//! What readers see: copies of what changed, made at the end of each input.

use crate::agent::Agent;
use crate::call::{Call, RunningRecording};
use crate::campaign::Campaign;
use crate::dialer::{Cx, Dialer};
use crate::effect::Effect;
use crate::outcome::Party;
use crate::trunk::Trunk;
use crate::view::{
    AgentView, CallState, CallView, CampaignView, DncListView, NodeView, TrunkView, ViewChange,
};

impl Dialer {
    /// Sends a view of everything that changed since the last time.
    pub(crate) fn send_views(&mut self, cx: &mut Cx<'_>) {
        let dirty = std::mem::take(&mut self.dirty);
        let mut send = |change| cx.out.push(Effect::View(change));
        for id in dirty.trunks {
            send(match self.trunks.get(&id) {
                Some(trunk) => ViewChange::Trunk(Box::new(trunk_view(trunk))),
                None => ViewChange::TrunkGone(id),
            });
        }
        for id in dirty.lists {
            send(match self.lists.get(&id) {
                Some(row) => ViewChange::List(Box::new(row.clone())),
                None => ViewChange::ListGone(id),
            });
        }
        for id in dirty.dnc_lists {
            send(match self.dnc.lists.get(&id) {
                Some(list) => ViewChange::DncList(Box::new(DncListView {
                    row: list.row.clone(),
                    entries: list.len() as u64,
                })),
                None => ViewChange::DncListGone(id),
            });
        }
        for id in dirty.pools {
            send(match self.pools.get(&id) {
                Some(pool) => ViewChange::CallerIdPool(Box::new(pool.view(cx.wall))),
                None => ViewChange::CallerIdPoolGone(id),
            });
        }
        for id in dirty.routes {
            send(match self.routes.rows.get(&id) {
                Some(row) => ViewChange::InboundRoute(Box::new(row.clone())),
                None => ViewChange::InboundRouteGone(id),
            });
        }
        for id in dirty.calendars {
            send(match self.calendars.get(&id) {
                Some(row) => ViewChange::Calendar(Box::new(row.clone())),
                None => ViewChange::CalendarGone(id),
            });
        }
        for id in dirty.agents {
            send(match self.agents.get(&id) {
                Some(agent) => ViewChange::Agent(Box::new(self.agent_view(agent))),
                None => ViewChange::AgentGone(id),
            });
        }
        for id in dirty.campaigns {
            send(match self.campaigns.get(&id) {
                Some(campaign) => {
                    let learned = self.pacer.summary(campaign.number);
                    ViewChange::Campaign(Box::new(campaign_view(campaign, learned)))
                }
                None => ViewChange::CampaignGone(id),
            });
        }
        for id in dirty.calls {
            let own = self.calls.get(&id).map(call_view);
            let view = own.or_else(|| self.transit.get(&id).map(|call| call.view(id)));
            let last = self.calls.get(&id).and_then(|call| call.last_agent);
            let view = view.map(|view| {
                let tenant = self.tenant_of(view.campaign, view.agent.or(last));
                CallView { tenant, ..view }
            });
            send(match view {
                Some(view) => ViewChange::Call(Box::new(view)),
                None => ViewChange::CallGone(id),
            });
        }
        if dirty.node {
            send(ViewChange::Node(NodeView {
                draining: self.node.draining,
                drained: self.node.drained,
                calls: u32::try_from(self.calls.len()).unwrap_or(u32::MAX),
                store_healthy: self.node.store_healthy,
            }));
        }
    }

    fn agent_view(&self, agent: &Agent) -> AgentView {
        AgentView {
            row: agent.row.clone(),
            state: agent.state,
            since: agent.since.wall,
            expires_at: agent.expires_at,
            session: agent.session,
            pause_code: agent.paused.clone(),
            registered: agent.phone.is_some(),
            silent: agent.silent,
            call: agent.call,
            task: agent.task.and_then(|id| Some(self.tasks.get(&id)?.view(id))),
            state_ms: agent.state_ms,
            calls_taken: agent.calls_taken,
        }
    }
}

fn trunk_view(trunk: &Trunk) -> TrunkView {
    TrunkView {
        row: trunk.row.clone(),
        up: trunk.up,
        down_reason: trunk
            .down_reason
            .clone()
            .or_else(|| trunk.closed.then(|| "asks for no new calls (Retry-After)".to_owned())),
        registered: trunk.registered,
        options_rtt_ms: trunk.rtt_ms,
        overload_loss_percent: trunk.overload_loss_percent,
        calls_active: trunk.active,
    }
}

fn campaign_view(campaign: &Campaign, learned: Option<crate::pacing::Summary>) -> CampaignView {
    CampaignView {
        row: campaign.row.clone(),
        hopper: u32::try_from(campaign.hopper.len()).unwrap_or(u32::MAX),
        dialing: campaign.dialing(),
        waiting: campaign.in_state(&[CallState::Waiting, CallState::Offering, CallState::Message]),
        talking: campaign.in_state(&[CallState::Bridged]),
        counts: campaign.counts.clone(),
        pacing: campaign.report.clone(),
        learned,
        leads_available: campaign.hopper.more,
    }
}

fn call_view(call: &Call) -> CallView {
    CallView {
        id: call.id,
        tenant: None,
        attempt: Some(call.attempt),
        kind: call.kind,
        state: call.state,
        campaign: call.campaign,
        lead: call.lead.as_ref().map(|lead| lead.id),
        agent: call.agent,
        trunk: Some(call.trunk),
        from_trunk: None,
        to: call.to.clone(),
        caller_id: call.caller_id.clone(),
        started_at: call.started.wall,
        answered_at: call.answered.map(|moment| moment.wall),
        bridged_at: call.bridged.map(|moment| moment.wall),
        held_by: call.held_by,
        muted: [(call.muted.0, Party::Customer), (call.muted.1, Party::Agent)]
            .into_iter()
            .filter_map(|(muted, party)| muted.then_some(party))
            .collect(),
        participants: call.participant_views(),
        recording: call.taps.recording.map(RunningRecording::view),
        fork: call.taps.fork_view(),
        client_state: call.client_state.clone(),
    }
}
