//! After-call work.

use crate::dialer::{Cx, Dialer, Why};
use crate::id::{AgentId, CallId, CampaignId};
use crate::pacing::{AgentRef, PacingEvent};
use crate::record::Record;
use crate::serving::AfterWrapUp;
use crate::view::AgentState;
use core::time::Duration;
use sansio::{Instant, TimerKey};

/// The reason told when the timer ends after-call work.
pub(crate) const BY_TIMER: &str = "wrap_up_over";

/// The break code of agents whose after-call work lasted its whole time.
const WRAP_UP_MAX: &str = "wrap_up_max";

/// After-call work under way.
#[derive(Debug)]
pub(crate) struct WrapUp {
    pub(crate) call: CallId,
    pub(crate) campaign: Option<CampaignId>,
    /// The call had come in.
    pub(crate) inbound: bool,
    since: Instant,
    /// When its timer ends it.
    pub(crate) until: Instant,
    timer: TimerKey,
}

impl Dialer {
    /// A joined call is over for its agent: after-call work begins, by the agent's own time or the campaign's.
    pub(crate) fn begin_wrap_up(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        (call, of_call, inbound): (CallId, Option<CampaignId>, bool),
        talk_ms: u64,
    ) {
        let campaign = of_call.and_then(|id| self.campaigns.get(&id));
        let of_campaign = campaign.map_or(0, |campaign| campaign.row.config.timers.wrap_up_ms);
        let number = campaign.map(|campaign| campaign.number);
        let agent = &self.agents[&id];
        let wrap_up_ms = u64::from(agent.row.config.wrap_up_ms.unwrap_or(of_campaign));
        if inbound {
            let (agent, lasted) = (AgentRef(agent.number), Duration::from_millis(talk_ms));
            self.observe(cx.now, &PacingEvent::InboundTalkEnded { agent, lasted });
        } else if let Some(campaign) = number {
            let event = PacingEvent::TalkEnded {
                agent: AgentRef(agent.number),
                campaign,
                lasted: Duration::from_millis(talk_ms),
            };
            self.observe(cx.now, &event);
        }
        self.lay_down_early(cx, id);
        if wrap_up_ms == 0 {
            self.wrapped_up(cx, id, (call, of_call, inbound), 0);
            self.rest_agent(cx, id, "call_ended");
            return;
        }
        let timer = self.arm(cx.now, wrap_up_ms, Why::WrapUp(id));
        let until = cx.now + Duration::from_millis(wrap_up_ms);
        let wrap_up = WrapUp { call, campaign: of_call, inbound, since: cx.now, until, timer };
        self.agents.get_mut(&id).expect("the caller has it").wrap_up = Some(wrap_up);
        let expires_at = cx.wall.plus_millis(wrap_up_ms as i64);
        self.set_agent_state(cx, id, AgentState::WrapUp, "call_ended", Some(expires_at));
    }

    /// Ends after-call work: by its timer, a disposition, or the agent's word.
    pub(crate) fn end_wrap_up(&mut self, cx: &mut Cx<'_>, id: AgentId, reason: &str) {
        let of = self.agents.get(&id).and_then(|agent| agent.wrap_up.as_ref()?.campaign);
        if self.drop_wrap_up(cx, id, reason == BY_TIMER) {
            let then = of.and_then(|of| self.campaigns.get(&of)).map(|of| of.row.config.serving.wrap_up_then);
            let paused = self.agents[&id].paused.is_some();
            if reason == BY_TIMER && then == Some(AfterWrapUp::Pause) && !paused {
                self.take_break(cx, id, WRAP_UP_MAX);
            }
            self.rest_agent(cx, id, reason);
        }
    }

    /// Ends after-call work without saying what the agent does next. False if there was none.
    pub(super) fn drop_wrap_up(&mut self, cx: &mut Cx<'_>, id: AgentId, by_timer: bool) -> bool {
        let Some(wrap_up) = self.agents.get_mut(&id).and_then(|agent| agent.wrap_up.take()) else {
            return false;
        };
        self.timers.cancel(wrap_up.timer);
        if let Some(campaign) = wrap_up.campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.note_wrap_up(by_timer);
        }
        let ms = cx.now.millis_since(wrap_up.since);
        self.wrapped_up(cx, id, (wrap_up.call, wrap_up.campaign, wrap_up.inbound), ms);
        true
    }

    /// The agent who is in after-call work of this call is done with it.
    pub(crate) fn end_wrap_up_of(&mut self, cx: &mut Cx<'_>, call: CallId) {
        let Some(agent) = self.ended.get(call).and_then(|call| call.agent) else { return };
        let wrap_up = self.agents.get(&agent).and_then(|agent| agent.wrap_up.as_ref());
        if wrap_up.is_some_and(|wrap_up| wrap_up.call == call) {
            self.end_wrap_up(cx, agent, "disposition");
        }
    }

    fn wrapped_up(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        (call, campaign, inbound): (CallId, Option<CampaignId>, bool),
        wrap_up_ms: u64,
    ) {
        self.journal(cx, vec![Record::WrapUpEnded { call, wrap_up_ms }]);
        if inbound {
            let agent = AgentRef(self.agents[&id].number);
            let lasted = Duration::from_millis(wrap_up_ms);
            return self.observe(cx.now, &PacingEvent::InboundWrapUpEnded { agent, lasted });
        }
        let number = campaign.and_then(|id| self.campaigns.get(&id)).map(|campaign| campaign.number);
        if let Some(campaign) = number {
            let event = PacingEvent::WrapUpEnded {
                agent: AgentRef(self.agents[&id].number),
                campaign,
                lasted: Duration::from_millis(wrap_up_ms),
            };
            self.observe(cx.now, &event);
        }
    }
}
