//! Customer and agent: offer, missed offer, bridge, hold, digits.

use super::{Moment, RunningRecording};
use crate::config::CampaignTimers;
use crate::dialer::{About, Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::{AgentId, CallId, RecordingId};
use crate::outcome::{EndCause, Party};
use crate::pacing::{AgentRef, CallRef, PacingEvent};
use crate::participant::Sides;
use crate::pop::{PopLead, ScreenPop};
use crate::record::CallKindTag;
use crate::view::{AgentState, CallState};

impl Dialer {
    /// The timers that hold for a call.
    pub(super) fn timers_of(&self, id: CallId) -> CampaignTimers {
        let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get(&id));
        campaign.map(|campaign| campaign.row.config.timers.clone()).unwrap_or_default()
    }

    /// Reserves an agent for a call.
    pub(super) fn bind_agent(&mut self, id: CallId, agent: AgentId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.agent = Some(agent);
        call.last_agent = Some(agent);
        self.agents.get_mut(&agent).expect("the caller picked it").call = Some(id);
    }

    /// Connects an answered call with the agent who was reserved for it before.
    pub(super) fn connect_reserved(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = &self.calls[&id];
        if call.joined_early && call.agent.is_some() {
            self.connect_early(cx, id);
            return;
        }
        let Some(agent) = call.agent else {
            self.hang_up(cx, id, EndCause::NotRegistered, Party::Agent, None);
            return;
        };
        if call.kind == CallKindTag::Campaign || self.agents[&agent].is_on_line() {
            self.offer(cx, id);
        } else {
            // Click-to-call rang the agent first: that leg is up.
            self.set_call_state(id, CallState::Offering);
            self.order_bridge(cx, id);
        }
    }

    /// Offers the call to its agent: a leg that is up is joined at once, a phone is rung first.
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let agent_id = self.calls[&id].agent.expect("the caller bound one");
        let agent = &self.agents[&agent_id];
        let on_line = agent.is_on_line();
        if agent.state == AgentState::Ready {
            self.counters.agent_wait.observe(cx.now.since(agent.since.at).as_secs_f64());
        }
        self.calls.get_mut(&id).expect("the caller has it").agent_legs += 1;
        self.set_call_state(id, CallState::Offering);
        // Who is to talk is shown first: a phone that is rung waits until this is told.
        self.tell_offered(cx, id, agent_id);
        if on_line {
            cx.out.push(Effect::Call(CallOrder::UseSession { call: id, agent: agent_id }));
            self.order_bridge(cx, id);
            self.set_agent_state(cx, agent_id, AgentState::Reserved, "offered", None);
        } else {
            self.order_ring(cx, id, agent_id);
            self.set_agent_state(cx, agent_id, AgentState::Ringing, "offered", None);
        }
        let call = &self.calls[&id];
        if call.inbound.is_some() && call.parked.is_none() {
            self.inbound_offered(cx, id);
        }
    }

    /// Tells of an offer, with what the agent's screen is to show.
    pub(super) fn tell_offered(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        let call = &self.calls[&id];
        let campaign = call.campaign.and_then(|id| self.campaigns.get(&id));
        let config = &self.agents[&agent].row.config;
        let pop = ScreenPop {
            to: call.customer_number().to_owned(),
            attempt: call.number_of_attempt,
            agent_username: config.username.clone(),
            lead: call.lead.as_ref().map(PopLead::from),
            url: campaign.and_then(|campaign| campaign.row.config.serving.pop_url.clone()),
        };
        let agent_name = config.name.clone();
        let event = Event::CallAgentOffered { agent, agent_name, pop: Some(Box::new(pop)) };
        self.tell_of_agent(cx, id, agent, event);
    }

    /// Tells an event of a live call that is about this agent, who may be one of several it is offered to.
    pub(super) fn tell_of_agent(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId, event: Event) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let about = About { agent: Some(agent), ..call.next_about() };
        self.dirty.calls.insert(id);
        self.tell(cx, about, event);
    }

    /// How long the agent's phone rings for a call: the agent's own time, else the campaign's.
    pub(crate) fn agent_ring_ms(&self, id: CallId, agent: AgentId) -> u32 {
        self.agents[&agent].row.config.ring_ms.unwrap_or_else(|| self.timers_of(id).agent_ring_ms)
    }

    pub(super) fn order_ring(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        let display = sansio::pii::mask_number(self.calls[&id].customer_number());
        let ring_timeout_ms = self.agent_ring_ms(id, agent);
        let way = self.way_to_ring(cx, agent, display);
        cx.out.push(Effect::Call(CallOrder::RingAgent { call: id, agent, way, ring_timeout_ms }));
    }

    pub(super) fn order_bridge(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let record = self.calls[&id].record_it;
        let recording = record.then(|| RecordingId::generate(cx.wall, &mut self.ids));
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.taps.recordings.extend(recording);
        call.taps.recording = recording.map(RunningRecording::new);
        cx.out.push(Effect::Call(CallOrder::Bridge { call: id, tone: true, record: recording }));
    }

    pub(super) fn on_agent_ringing(&mut self, id: CallId, agent: AgentId) {
        if self.calls.get(&id).is_some_and(|call| call.is_offered_to(agent)) {
            self.dirty.agents.insert(agent);
        }
    }

    pub(super) fn on_agent_answered(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.is_offered_to(agent)) else { return };
        let was_rung = !self.agents[&agent].is_on_line();
        let state = call.state;
        let seeks_agents = call.seeks_agents() || call.parked.is_some();
        self.phone_answers(agent);
        match state {
            CallState::Offering if was_rung && seeks_agents => {
                self.give_to_first(cx, id, agent);
                self.order_bridge(cx, id);
            }
            CallState::CallingAgent => {
                self.set_agent_state(cx, agent, AgentState::Reserved, "answered", None);
                self.set_call_state(id, CallState::Queued);
                self.set_call_timer(cx.now, id, None);
                self.dial_customer_now(cx, id);
            }
            _ => {}
        }
    }

    /// The agent could not be had; the customer goes to the next one while there is time.
    pub(super) fn on_agent_failed(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId, cause: EndCause) {
        let Some(call) = self.calls.get(&id).filter(|call| call.is_offered_to(agent)) else { return };
        match (call.kind, call.state) {
            (_, CallState::Ending) => {}
            (_, CallState::Offering) if call.parked.is_some() => self.offer_elsewhere(cx, id, cause),
            (CallKindTag::Inbound | CallKindTag::Campaign, CallState::Offering)
                if call.rings_others(agent) =>
            {
                self.miss_offer_of(cx, id, agent, cause, false);
            }
            (CallKindTag::Inbound | CallKindTag::Campaign, CallState::Offering) => {
                self.offer_elsewhere(cx, id, cause);
            }
            (CallKindTag::Campaign | CallKindTag::Inbound, CallState::Bridged) => {
                self.hang_up(cx, id, EndCause::Normal, Party::Agent, None);
            }
            (CallKindTag::Campaign | CallKindTag::Inbound, _) => self.miss_offer(cx, id, cause, false),
            (CallKindTag::ClickToCall | CallKindTag::Transit, _) => {
                self.count_offer(agent, cause);
                self.hang_up(cx, id, cause, Party::Agent, None);
            }
        }
    }

    /// Nobody took the offer: the call stays parked, goes on along its route, or waits for the next agent.
    fn offer_elsewhere(&mut self, cx: &mut Cx<'_>, id: CallId, cause: EndCause) {
        self.miss_offer(cx, id, cause, false);
        let call = &self.calls[&id];
        match (call.parked.is_some(), call.inbound.is_some()) {
            (true, _) => self.park_again(cx, id),
            (false, true) => self.inbound_missed(cx, id),
            (false, false) => self.enqueue(cx, id),
        }
    }

    /// Takes everyone who did not take the offer out of the call. `release`: the phones still ring.
    pub(crate) fn miss_offer(&mut self, cx: &mut Cx<'_>, id: CallId, cause: EndCause, release: bool) {
        while let Some(agent) = self.calls[&id].agent {
            self.miss_offer_of(cx, id, agent, cause, release);
        }
    }

    /// Takes one agent who did not take the offer out of the call.
    pub(super) fn miss_offer_of(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        agent: AgentId,
        cause: EndCause,
        release: bool,
    ) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.forget_offer_to(agent);
        // The recording named in a bridge that was not made does not exist.
        call.taps.forget_running();
        if release {
            cx.out.push(Effect::Call(CallOrder::ReleaseAgent { call: id, agent }));
        }
        self.count_offer(agent, cause);
        self.tell_of_agent(cx, id, agent, Event::CallAgentMissed { agent, cause });
        self.leave_call(agent);
        self.back_off(cx, agent);
    }

    pub(crate) fn count_offer(&mut self, agent: AgentId, cause: EndCause) {
        let group = self.agents[&agent].first_group().to_owned();
        let counters = self.counters.group(&group);
        *match cause {
            EndCause::NoAnswer | EndCause::Timeout => &mut counters.offers_no_answer,
            EndCause::Rejected | EndCause::Busy => &mut counters.offers_rejected,
            _ => &mut counters.offers_failed,
        } += 1;
    }

    /// Takes the agent out of a call that is about to end; after-call work is not due.
    pub(super) fn let_agent_go(&mut self, cx: &mut Cx<'_>, id: CallId, why: &str) {
        self.let_others_go(cx, id, why);
        let Some(agent) = self.calls.get_mut(&id).and_then(|call| call.agent.take()) else { return };
        cx.out.push(Effect::Call(CallOrder::ReleaseAgent { call: id, agent }));
        self.leave_call(agent);
        self.rest_agent(cx, agent, why);
    }

    /// The phone or session of a call's agent is gone. What was not joined yet goes on without.
    pub(crate) fn lose_agent(&mut self, cx: &mut Cx<'_>, id: CallId, cause: EndCause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(agent) = call.agent else { return };
        match (call.kind, call.state) {
            (_, CallState::Ending) => {}
            (_, CallState::Offering) if call.seeks_agents() || call.parked.is_some() => {
                self.offer_elsewhere(cx, id, cause);
            }
            (CallKindTag::Campaign, state) if state != CallState::Bridged => {
                call.agent = None;
                self.leave_call(agent);
                self.dirty.calls.insert(id);
            }
            _ => self.hang_up(cx, id, EndCause::Normal, Party::Agent, None),
        }
    }

    /// Customer and agent hear each other; the abandonment clock stops.
    pub(super) fn on_bridged(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let offered = self.calls.get_mut(&id).filter(|call| call.state == CallState::Offering);
        let Some(call) = offered else { return };
        let Some(agent) = call.agent else { return };
        if call.parked.is_some() {
            return self.rejoin(cx, id, agent);
        }
        call.bridged = Some(Moment { at: cx.now, wall: cx.wall });
        call.joined = Some(cx.now);
        let waited = cx.now.since(call.answered.map_or(cx.now, |moment| moment.at));
        let waited_ms = waited.as_millis() as u64;
        let (campaign, number, paced) = (call.campaign, call.number, call.is_paced());
        let came_in = call.inbound.as_ref().map(|inbound| (inbound.route, inbound.by));
        self.set_call_state(id, CallState::Bridged);
        self.set_call_timer(cx.now, id, None);
        self.counters.answer_to_bridge.observe(waited.as_secs_f64());
        let found = self.agents.get_mut(&agent).expect("agents in calls are not deleted");
        found.missed = 0;
        found.calls_taken += 1;
        let status = found.status_row(cx.wall);
        let (agent_number, group) = (found.number, found.first_group().to_owned());
        self.counters.group(&group).offers_answered += 1;
        self.set_agent_state(cx, agent, AgentState::Talking, "bridged", None);
        if let Some((route, by)) = came_in {
            let place = crate::counters::INBOUND_STEPS.iter().position(|step| *step == by).unwrap_or(2);
            self.counters.inbound(route).connected[place] += 1;
            self.counters.inbound_wait.observe(waited.as_secs_f64());
            self.observe(cx.now, &PacingEvent::InboundConnected(AgentRef(agent_number)));
        } else if let Some(campaign) = campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.counts.connected += 1;
            let event = PacingEvent::Connected {
                call: CallRef(number),
                campaign: campaign.number,
                agent: AgentRef(agent_number),
                waited,
            };
            if paced {
                self.observe(cx.now, &event);
            }
        }
        // Where it decides who comes next, the count has to outlive a crash.
        let counts = |campaign: &crate::campaign::Campaign| {
            campaign.row.config.serving.order == crate::serving::AgentOrder::FewestCalls
        };
        if self.campaigns.values().any(counts) {
            self.journal(cx, vec![crate::Record::AgentStatusChanged(status)]);
        }
        self.enter_live(cx, id);
        let verdict = self.calls.get(&id).and_then(|call| call.amd_detail.as_ref());
        let event = Event::CallBridged {
            agent,
            answer_to_bridge_ms: Some(waited_ms),
            greeting_end_to_bridge_ms: verdict.map(|detail| waited_ms.saturating_sub(detail.after_answer_ms)),
        };
        self.tell_call(cx, id, event);
        if let Some(prompt) = self.calls.get_mut(&id).and_then(|call| call.notice.take()) {
            self.play_into(cx, id, Sides::Both, prompt);
        }
    }

    pub(super) fn on_dtmf(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        party: Party,
        digit: char,
        duration_ms: u32,
    ) {
        let digits_max = self.config.digits_max;
        let Some(call) = self.calls.get_mut(&id) else { return };
        if party == Party::Customer && call.digits.len() < digits_max {
            call.digits.push(digit);
        }
        self.tell_call(cx, id, Event::CallDtmf { party, digit, duration_ms });
        if party == Party::Customer {
            self.on_collected_digit(cx, id, digit);
            self.on_caller_digit(cx, id, digit);
            self.on_message_digit(cx, id, digit);
        }
    }

    pub(super) fn on_held(&mut self, cx: &mut Cx<'_>, id: CallId, party: Party) {
        let joined = self.calls.get_mut(&id).filter(|call| call.state == CallState::Bridged);
        let Some(call) = joined else { return };
        call.held_by = Some(party);
        if let Some(agent) = call.agent {
            self.set_agent_state(cx, agent, AgentState::Hold, "held", None);
        }
        self.tell_call(cx, id, Event::CallHeld { party });
    }

    pub(super) fn on_resumed(&mut self, cx: &mut Cx<'_>, id: CallId, party: Party) {
        let joined = self.calls.get_mut(&id).filter(|call| call.state == CallState::Bridged);
        let Some(call) = joined else { return };
        if call.held_by.take().is_none() {
            return;
        }
        if let Some(agent) = call.agent {
            self.set_agent_state(cx, agent, AgentState::Talking, "resumed", None);
        }
        self.tell_call(cx, id, Event::CallResumed { party });
    }

    /// A side's leg ended. In a joined call that is the end of both.
    pub(super) fn on_leg_ended(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        party: Party,
        cause: EndCause,
        sip_code: Option<u16>,
        q850: Option<u16>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match party {
            Party::Agent if call.agent_legs > 0 => call.agent_legs -= 1,
            Party::Customer if call.customer_leg => call.customer_leg = false,
            _ => return,
        }
        let (state, last) = (call.state, call.agent_legs == 0);
        let agent_first = call.kind == CallKindTag::ClickToCall && call.parked.is_none();
        let parts = party == Party::Customer || last;
        // When the customer's leg ended first, the end of the call is on its way with its true cause.
        let had_customer = call.dialled.is_some() || call.inbound.is_some();
        let customer_gone = had_customer && !call.customer_leg;
        if parts {
            self.tell_unbridged(cx, id, "leg_ended");
        }
        self.tell_call(cx, id, Event::LegEnded { party, cause, sip_code, q850 });
        // In a campaign's call an older offer may end late, while the next agent is being rung.
        let joined = state == CallState::Bridged && last;
        if party == Party::Agent && self.calls.get(&id).is_some_and(|call| call.transferred_to.is_some()) {
            return;
        }
        let agent_left = party == Party::Agent && !customer_gone && (joined || agent_first);
        if agent_left && state != CallState::CallingAgent {
            self.hang_up(cx, id, EndCause::Normal, Party::Agent, None);
        }
    }
}
