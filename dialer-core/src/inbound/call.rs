//! A caller on the way through the steps of a route.

use super::{CallerMemory, InboundStep, e164_candidates};
use crate::agent::Agent;
use crate::call::Moment;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::{AgentId, CallId, InboundRouteId, TrunkId};
use crate::outcome::{EndCause, Party};
use crate::pacing::PacingEvent;
use crate::record::{CallKindTag, Record};
use crate::view::{AgentState, CallState};
use core::time::Duration;
use sansio::Instant;
use std::collections::{BTreeMap, VecDeque};

/// The records have so long to say who calls, milliseconds; then the call goes on without.
const RECALL_MS: u64 = 3_000;
/// Beyond its ring time an agent's phone has so long to be told of, milliseconds.
const OFFER_GRACE_MS: u64 = 5_000;
/// Steps that one call may take, so that no route turns in a circle.
const STEPS_MAX: u32 = 50;

/// Whom a caller waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// This agent.
    Agent(AgentId),
    /// An agent of this group; `None`: any agent.
    Group(Option<String>),
}

/// What is particular of a call that came in.
#[derive(Debug)]
pub(crate) struct InboundCall {
    pub(crate) route: InboundRouteId,
    steps: VecDeque<InboundStep>,
    taken: u32,
    /// What the records say; not asked, or not answered yet: `None`.
    memory: Option<CallerMemory>,
    /// Whom it waits for now.
    pub(crate) wanted: Option<Wanted>,
    /// The step that brought it there.
    pub(crate) by: &'static str,
    /// Waits until then.
    until: Option<Instant>,
    /// What is heard over and over.
    music: Option<String>,
    /// Digits that lead somewhere, and the time for one after the prompt.
    menu: Option<(BTreeMap<char, InboundStep>, u64)>,
    pub(crate) priority: u32,
    /// The pacer knows of it.
    told_pacer: bool,
    /// What became of checking its signature.
    pub(crate) verstat: Option<String>,
}

impl Dialer {
    /// A trunk brings a call to one of our numbers. It is named by the engine, which says so exactly once.
    pub(crate) fn on_inbound_arrived(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        trunk: TrunkId,
        (from, to): (Option<&str>, &str),
        verstat: Option<String>,
    ) {
        let country_code = self.trunks.get(&trunk).map_or("", |trunk| trunk.config().country_code.as_str());
        let served = e164_candidates(to, country_code)
            .into_iter()
            .find_map(|number| Some((self.routes.by_number.get(&number).copied()?, number)));
        let callers = e164_candidates(from.unwrap_or_default(), country_code);
        let takes_work = !self.node.draining && self.node.store_healthy && self.calls_free() > 0;
        let room = self.trunks.get(&trunk).is_some_and(|trunk| trunk.channels_free() > 0);
        let route = served.and_then(|(route, number)| Some((self.routes.rows.get(&route)?.clone(), number)));
        let Some((row, number)) = route.filter(|_| takes_work && room) else {
            self.counters.inbound_refused += 1;
            let cause = EndCause::Congestion;
            return cx.out.push(Effect::Call(CallOrder::Hangup { call: id, cause, by: Party::System }));
        };
        let caller = callers.first().cloned();
        let mut call = self.new_call(cx, CallKindTag::Inbound, trunk, number.clone());
        call.id = id;
        call.caller_id = caller.clone();
        call.campaign = row.config.campaign.filter(|id| self.campaigns.contains_key(id));
        call.record_it = row.config.record;
        call.state = CallState::Ringing;
        call.ringing = Some(Moment { at: cx.now, wall: cx.wall });
        call.customer_leg = true;
        call.inbound = Some(Box::new(InboundCall {
            route: row.id,
            steps: row.config.steps.iter().cloned().collect(),
            taken: 0,
            memory: None,
            wanted: None,
            by: "",
            until: None,
            music: None,
            menu: None,
            priority: row.config.priority,
            told_pacer: false,
            verstat: verstat.clone(),
        }));
        let records = vec![Record::AttemptStarted(crate::attempt::attempt_row(&call))];
        self.add_call(call);
        self.journal(cx, records);
        self.counters.inbound(row.id).arrived += 1;
        self.tell_call(cx, id, Event::CallCreated { to: number.clone(), mode: None });
        let event = Event::CallInbound { from: caller, to: number.clone(), route: row.id, verstat };
        self.tell_call(cx, id, event);
        self.set_call_timer(cx.now, id, Some(RECALL_MS));
        if callers.is_empty() {
            // Who hides the number is not known.
            self.on_caller_recalled(cx, id, CallerMemory::default());
        } else {
            cx.out.push(Effect::RecallCaller { call: id, numbers: callers, called: number });
        }
    }

    /// The records have said what they know of the caller.
    pub(crate) fn on_caller_recalled(&mut self, cx: &mut Cx<'_>, id: CallId, mut memory: CallerMemory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(inbound) = call.inbound.as_mut() else { return };
        if inbound.memory.is_some() || call.state != CallState::Ringing {
            return;
        }
        let campaign = memory.campaign.filter(|id| self.campaigns.contains_key(id));
        call.campaign = campaign.or(call.campaign);
        let lead = memory.lead.clone();
        memory.campaign = campaign;
        inbound.memory = Some(memory);
        if let Some(mut lead) = lead {
            if let Some(newest) = self.leads.newest(lead.id) {
                lead.progress = newest.clone();
            }
            if self.hold_for_caller(lead.id, campaign) {
                self.calls.get_mut(&id).expect("found above").lead = Some(lead);
            }
        }
        let call_max_ms = self.inbound_timers(id).call_max_ms;
        self.set_call_timer(cx.now, id, None);
        cx.out.push(Effect::Call(CallOrder::AnswerCustomer { call: id, call_max_ms }));
    }

    /// Whoever calls us is not dialled meanwhile. False while the lead is in another call or looked at by an agent.
    fn hold_for_caller(&mut self, lead: crate::id::LeadId, campaign: Option<crate::id::CampaignId>) -> bool {
        if let Some(holder) = self.leads.holder(lead) {
            let Some(held) = self.campaigns.get_mut(&holder) else { return false };
            if held.hopper.take(lead).is_none() {
                return false;
            }
            self.dirty.campaigns.insert(holder);
            self.leads.release(lead);
        }
        self.leads.hold(lead, campaign.unwrap_or(crate::id::CampaignId::from_bits(0)))
    }

    fn inbound_timers(&self, id: CallId) -> crate::config::CampaignTimers {
        let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get(&id));
        campaign.map(|campaign| campaign.row.config.timers.clone()).unwrap_or_default()
    }

    /// Our answer is given: the caller hears us.
    pub(crate) fn on_inbound_answered(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        if call.answered.is_some() || call.state != CallState::Ringing {
            return;
        }
        call.answered = Some(Moment { at: cx.now, wall: cx.wall });
        let ring_ms = cx.now.millis_since(call.started.at);
        let answered =
            Event::CallAnswered { pdd_ms: None, ring_ms, attempt: 0, early_media: None, caller_id: None };
        self.tell_call(cx, id, answered);
        self.next_step(cx, id);
    }

    /// Takes the caller to the next place that can be had; ends the call when there is none.
    pub(crate) fn next_step(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.leave_queue(id);
        loop {
            let Some(inbound) = self.calls.get_mut(&id).and_then(|call| call.inbound.as_mut()) else {
                return;
            };
            (inbound.wanted, inbound.until, inbound.menu) = (None, None, None);
            inbound.taken += 1;
            let step = inbound.steps.pop_front().filter(|_| inbound.taken <= STEPS_MAX);
            let Some(step) = step else {
                return self.hang_up(cx, id, EndCause::Normal, Party::System, None);
            };
            if self.take_step(cx, id, step) {
                return;
            }
        }
    }

    /// True if the caller is there now.
    fn take_step(&mut self, cx: &mut Cx<'_>, id: CallId, step: InboundStep) -> bool {
        let name = step.as_str();
        match step {
            InboundStep::LastAgent { within_ms, wait_ms, play } => {
                let last = self.memory_of(id).and_then(|memory| memory.last_agent);
                let recent = |at: sansio::WallTime| {
                    u64::try_from(cx.wall.millis_since(at)).is_ok_and(|since| since <= within_ms)
                };
                let agent = last.filter(|(_, at)| recent(*at)).map(|(agent, _)| agent);
                agent.is_some_and(|agent| self.want_this_agent(cx, id, agent, (wait_ms, play), name))
            }
            InboundStep::Owner { wait_ms, play } => {
                let owner = self.owner_of(id);
                owner.is_some_and(|agent| self.want_this_agent(cx, id, agent, (wait_ms, play), name))
            }
            InboundStep::Group { group, waiting_max, wait_ms, play } => {
                let group = group.or_else(|| {
                    let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get(&id));
                    campaign.and_then(|campaign| campaign.row.config.agent_group.clone())
                });
                let wanted = Wanted::Group(group);
                let someone_works =
                    self.agents.values().any(|agent| agent.session.is_some() && meets(&wanted, agent));
                let free = self.pick_wanted(&wanted).is_some();
                let others = self.waiting.iter().filter(|(_, other)| self.wanted_by(*other) == Some(&wanted));
                if !free && (!someone_works || wait_ms == 0 || others.count() >= waiting_max as usize) {
                    return false;
                }
                self.wait_for(cx, id, wanted, (wait_ms, play), name);
                true
            }
            InboundStep::Menu { play, wait_ms, digits } => {
                self.play_to_caller(cx, id, &play, name);
                let inbound = self.calls.get_mut(&id).and_then(|call| call.inbound.as_mut());
                inbound.expect("it is on its way").menu = Some((digits, wait_ms));
                true
            }
            InboundStep::Message { play } => {
                self.play_to_caller(cx, id, &play, name);
                true
            }
        }
    }

    fn memory_of(&self, id: CallId) -> Option<&CallerMemory> {
        self.calls.get(&id)?.inbound.as_ref()?.memory.as_ref()
    }

    /// The agent that the lead's field `owner` names.
    fn owner_of(&self, id: CallId) -> Option<AgentId> {
        self.agent_named(self.memory_of(id)?.lead.as_ref()?.owner()?)
    }

    /// Takes the caller to one agent: at once if that one is ready, after a while if that one is busy.
    fn want_this_agent(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        agent: AgentId,
        (wait_ms, play): (u64, Option<String>),
        name: &'static str,
    ) -> bool {
        let Some(found) = self.agents.get(&agent) else { return false };
        let ready = found.state == AgentState::Ready;
        let at_work = found.session.is_some() && found.paused.is_none() && !found.leaving;
        let comes_free = at_work && found.phone_is_there() && found.state != AgentState::Unreachable;
        if !(ready || comes_free && wait_ms > 0) {
            return false;
        }
        self.wait_for(cx, id, Wanted::Agent(agent), (wait_ms, play), name);
        true
    }

    /// Puts the caller in the queue; settling takes it out as soon as someone is free.
    fn wait_for(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        wanted: Wanted,
        (wait_ms, play): (u64, Option<String>),
        name: &'static str,
    ) {
        let free = self.pick_wanted(&wanted).is_some();
        let (agent, group) = match &wanted {
            Wanted::Agent(agent) => (Some(*agent), None),
            Wanted::Group(group) => (None, group.clone()),
        };
        let call = self.calls.get_mut(&id).expect("the caller has it");
        let inbound = call.inbound.as_mut().expect("it came in");
        inbound.wanted = Some(wanted);
        inbound.by = name;
        inbound.until = Some(cx.now + Duration::from_millis(wait_ms));
        let first = !std::mem::replace(&mut inbound.told_pacer, true);
        let music = play.filter(|play| !free && inbound.music.as_ref() != Some(play));
        if let Some(prompt) = music {
            inbound.music = Some(prompt.clone());
            cx.out.push(Effect::Call(CallOrder::Play { call: id, prompt, repeat: true }));
        }
        self.tell_call(cx, id, Event::CallRouted { step: name.into(), agent, group });
        self.enqueue(cx, id);
        self.set_call_timer(cx.now, id, Some(wait_ms));
        if first {
            self.observe(cx.now, &PacingEvent::InboundArrived);
        }
        self.want_all_decisions();
    }

    fn play_to_caller(&mut self, cx: &mut Cx<'_>, id: CallId, prompt: &str, name: &'static str) {
        let inbound = self.calls.get_mut(&id).and_then(|call| call.inbound.as_mut()).expect("it came in");
        inbound.by = name;
        inbound.music = None;
        self.set_call_state(id, CallState::Message);
        self.set_call_timer(cx.now, id, Some(self.config.message_max_ms));
        let order = CallOrder::Play { call: id, prompt: prompt.to_owned(), repeat: false };
        cx.out.push(Effect::Call(order));
        self.tell_call(cx, id, Event::CallRouted { step: name.into(), agent: None, group: None });
    }

    /// A message or a menu's prompt is over.
    pub(crate) fn on_caller_heard(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(inbound) = self.calls.get(&id).and_then(|call| call.inbound.as_ref()) else { return };
        match &inbound.menu {
            Some((_, wait_ms)) => {
                let wait_ms = *wait_ms;
                self.set_call_timer(cx.now, id, Some(wait_ms));
            }
            None => self.next_step(cx, id),
        }
    }

    /// A caller in a menu pressed a digit; one that leads nowhere is passed over.
    pub(crate) fn on_caller_digit(&mut self, cx: &mut Cx<'_>, id: CallId, digit: char) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.state == CallState::Message) else {
            return;
        };
        let Some(inbound) = call.inbound.as_mut() else { return };
        let chosen = inbound.menu.as_ref().and_then(|(digits, _)| digits.get(&digit).cloned());
        if let Some(step) = chosen {
            inbound.steps.push_front(step);
            self.next_step(cx, id);
        }
    }

    /// What the caller waits for took too long.
    pub(crate) fn on_inbound_timer(&mut self, cx: &mut Cx<'_>, id: CallId) {
        match self.calls[&id].state {
            CallState::Ringing => {
                let asked = self.calls[&id].inbound.as_ref().is_some_and(|inbound| inbound.memory.is_none());
                if asked {
                    self.on_caller_recalled(cx, id, CallerMemory::default());
                }
            }
            CallState::Offering => {
                self.counters.reservations_expired += 1;
                self.miss_offer(cx, id, EndCause::NoAnswer, true);
                self.inbound_missed(cx, id);
            }
            CallState::Waiting | CallState::Message => self.next_step(cx, id),
            _ => {}
        }
    }

    /// The agent who was offered the caller did not take the call: the next of the group while there is time, else the next
    /// step.
    pub(crate) fn inbound_missed(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(inbound) = self.calls.get(&id).and_then(|call| call.inbound.as_ref()) else { return };
        let left = inbound.until.filter(|until| *until > cx.now).map(|until| until.millis_since(cx.now));
        match (&inbound.wanted, left) {
            (Some(Wanted::Group(_)), Some(left)) => {
                self.enqueue(cx, id);
                self.set_call_timer(cx.now, id, Some(left));
            }
            _ => self.next_step(cx, id),
        }
    }

    /// The caller is offered to an agent, or to several: the phones have their ring time.
    pub(crate) fn inbound_offered(&mut self, cx: &Cx<'_>, id: CallId) {
        let ring_ms = self.calls[&id].offered_to().map(|agent| self.agent_ring_ms(id, agent)).max();
        let ring_ms = u64::from(ring_ms.expect("it is offered to one"));
        self.set_call_timer(cx.now, id, Some(ring_ms + OFFER_GRACE_MS));
    }

    /// Whom a call waits for, if it came in.
    pub(crate) fn wanted_by(&self, id: CallId) -> Option<&Wanted> {
        self.calls.get(&id)?.inbound.as_ref()?.wanted.as_ref()
    }

    /// The ready agent that fits, idle longest.
    pub(crate) fn pick_wanted(&self, wanted: &Wanted) -> Option<AgentId> {
        self.ready.iter().map(|(_, id)| *id).find(|id| meets(wanted, &self.agents[id]))
    }

    /// The ready agent who gets this caller: of the campaign's own group in the campaign's order.
    pub(crate) fn pick_for_caller(&mut self, id: CallId) -> Option<AgentId> {
        match self.campaign_that_serves(id) {
            Some(campaign) => self.pick_agent(campaign),
            None => self.pick_wanted(self.wanted_by(id)?),
        }
    }

    /// The campaign in whose order a call gets its agent; of one that came in, only if it waits for the campaign's group.
    pub(crate) fn campaign_that_serves(&self, id: CallId) -> Option<crate::id::CampaignId> {
        let call = &self.calls[&id];
        let campaign = self.campaigns.get(&call.campaign?)?;
        let serves = match call.inbound.as_ref().map(|inbound| &inbound.wanted) {
            None => call.seeks_agents(),
            Some(Some(Wanted::Group(group))) => campaign.row.config.agent_group == *group,
            Some(Some(Wanted::Agent(_)) | None) => false,
        };
        serves.then_some(campaign.row.id)
    }

    /// Callers here who wait for agents that a campaign for `group` would use.
    pub(crate) fn callers_waiting_for(&self, group: Option<&str>) -> u32 {
        let counts = |id: &CallId| match self.wanted_by(*id) {
            Some(Wanted::Agent(agent)) => {
                self.agents.get(agent).is_some_and(|agent| is_of_group(agent, group))
            }
            Some(Wanted::Group(wanted)) => match (wanted.as_deref(), group) {
                (Some(wanted), Some(group)) => wanted == group,
                _ => true,
            },
            None => false,
        };
        u32::try_from(self.waiting.iter().filter(|(_, id)| counts(id)).count()).unwrap_or(u32::MAX)
    }
}

fn meets(wanted: &Wanted, agent: &Agent) -> bool {
    match wanted {
        Wanted::Agent(id) => agent.row.id == *id,
        Wanted::Group(group) => is_of_group(agent, group.as_deref()),
    }
}

fn is_of_group(agent: &Agent, group: Option<&str>) -> bool {
    group.is_none_or(|group| agent.row.config.groups.iter().any(|own| own == group))
}
