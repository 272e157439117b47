//! The one place that sees everything: inputs come in, rooms act on them, what fits together is joined.
//!
//! Every input is handled in the same order: the fact or wish changes what it is about; then the dialer *settles*
//! (waiting calls get agents, free agents get preview tasks, campaigns decide how much to dial, hoppers ask for
//! more); then changed views and the answers to commands go out. Rooms never call each other to act "on the way":
//! they mark what changed and settling finds it.

use crate::agent::{Agent, BY_TIMER};
use crate::audit::{self, Finding};
use crate::calendar::CalendarRow;
use crate::call::{Call, EndedCalls, TrackedCommand, TransitCall, TransitViews};
use crate::caller_id::Pool;
use crate::campaign::{Campaign, Task};
use crate::command::{Command, CommandError, Reply};
use crate::compliance::{DialledNumbers, DncBook};
use crate::counters::Counters;
use crate::effect::Effect;
use crate::event::{Event, EventEnvelope};
use crate::id::{
    AgentId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, EventId, InboundRouteId, LeadId,
    ListId, TaskId, TrunkId,
};
use crate::input::Input;
use crate::lead::LeadBook;
use crate::limits::DialerConfig;
use crate::pacing::Floor;
use crate::record::{ListRow, Record};
use crate::tenant::Tenant;
use crate::trunk::Trunk;
use core::time::Duration;
use sansio::time::ClockBase;
use sansio::{CpsBucket, Deadlines, Instant, Outbox, Rng, TimerKey, WallTime};
use std::collections::{BTreeMap, BTreeSet};

/// The call centre.
#[derive(Debug)]
pub struct Dialer {
    pub(crate) config: DialerConfig,
    pub(crate) clock: ClockBase,
    /// Which trunk among equals.
    pub(crate) trunk_choice: Rng,
    /// Which number of a pool of caller IDs, where it is left to chance.
    pub(crate) caller_id_choice: Rng,
    /// Which leads are for this hour, as far as that is not known.
    pub(crate) best_time_choice: Rng,
    /// Which agent of several, where it is left to chance.
    pub(crate) agent_choice: Rng,
    /// The stream from which names are made.
    pub(crate) ids: Rng,
    pub(crate) timers: Deadlines<Why>,
    pub(crate) trunks: BTreeMap<TrunkId, Trunk>,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    /// Agents who are ready, longest idle first.
    pub(crate) ready: BTreeSet<(Instant, AgentId)>,
    /// Agents without a session whose phone was rung because lines ring.
    pub(crate) rung_early: BTreeSet<AgentId>,
    pub(crate) lists: BTreeMap<ListId, ListRow>,
    pub(crate) dnc: DncBook,
    /// How often each number was dialled of late.
    pub(crate) dialled_numbers: DialledNumbers,
    pub(crate) pools: BTreeMap<CallerIdPoolId, Pool>,
    pub(crate) calendars: BTreeMap<CalendarId, CalendarRow>,
    pub(crate) pools_timer: Option<(Instant, TimerKey)>,
    pub(crate) routes: crate::inbound::Routes,
    pub(crate) campaigns: BTreeMap<CampaignId, Campaign>,
    pub(crate) calls: BTreeMap<CallId, Call>,
    /// Answered calls without an agent, by the time from which they wait.
    pub(crate) waiting: BTreeSet<(Instant, CallId)>,
    pub(crate) ended: EndedCalls,
    /// Commands about live calls whose outcome has not been told.
    pub(crate) tracked: BTreeMap<CallId, Vec<TrackedCommand>>,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) leads: LeadBook,
    pub(crate) callbacks: crate::campaign::Callbacks,
    /// Transit calls.
    pub(crate) transit: BTreeMap<CallId, TransitCall>,
    pub(crate) pacer: Floor,
    pub(crate) roster: crate::campaign::Roster,
    /// Campaigns that have a reason to decide anew.
    pub(crate) wanted: BTreeSet<CampaignId>,
    pub(crate) node: Node,
    pub(crate) cps: CpsBucket,
    /// Place of the last event in the stream.
    pub(crate) cursor: u64,
    pub(crate) dirty: Dirty,
    pub(crate) replies: Vec<(u64, Result<Reply, CommandError>)>,
    pub(crate) counters: Counters,
    /// The pacer's numbers of the agents.
    pub(crate) agent_numbers: BTreeSet<u32>,
    /// The last number given to a call for the pacer.
    pub(crate) last_number: u64,
    /// The most a campaign has had of agents and lines, by its weight.
    pub(crate) had_most: f64,
    /// Inbound calls that wait for agents, as told from outside.
    pub(crate) inbound: crate::campaign::Inbound,
    pub(crate) tick: Option<TimerKey>,
    /// Transit calls that changed, and their trunks, to be shown when the timer fires.
    pub(crate) transit_views: TransitViews,
}

/// Whether the node works.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) draining: bool,
    pub(crate) drained: bool,
    /// Live calls are hung up as soon as they are seen.
    pub(crate) stopping: bool,
    /// Agents' sessions are being closed; give up waiting for them then.
    pub(crate) closing_sessions: Option<TimerKey>,
    pub(crate) deadline: Option<TimerKey>,
    pub(crate) store_healthy: bool,
    pub(crate) restored: bool,
}

/// Why the dialer wakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Regular decisions of all running campaigns.
    Tick,
    /// A decision put off (calls per second, or too soon after the last one).
    Decide(CampaignId),
    /// The call's present phase has lasted as long as it may.
    Call(CallId),
    /// After-call work is over.
    WrapUp(AgentId),
    /// An agent who missed offers may get some again.
    Backoff(AgentId),
    /// Try the agent's session again.
    Reopen(AgentId),
    /// A preview task dials by itself.
    Task(TaskId),
    /// The next dial request of a campaign expires.
    Expiry(CampaignId),
    /// The next callback falls due.
    Callbacks,
    /// Live calls have had their time.
    DrainDeadline,
    /// The views of transit calls and of their trunks follow them.
    TransitViews,
    /// A break has lasted as long as it may.
    PauseMax(AgentId),
    /// No further digit came in time.
    Collect(CallId),
    /// Agents' sessions have had their time.
    SessionsClosed,
    /// What is known of caller IDs is written down, or one comes out of quarantine.
    CallerIds,
}

/// One input's surroundings.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) wall: WallTime,
    pub(crate) out: &'a mut Outbox<Effect>,
}

/// What an event is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) call: Option<CallId>,
    pub(crate) seq: Option<u32>,
    pub(crate) campaign: Option<CampaignId>,
    pub(crate) lead: Option<LeadId>,
    pub(crate) agent: Option<AgentId>,
    /// Whose it is, where neither campaign nor agent says so.
    pub(crate) tenant: Option<Tenant>,
    pub(crate) client_state: Option<String>,
    pub(crate) post_call: bool,
}

/// Things whose view changed since it was last sent.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) trunks: BTreeSet<TrunkId>,
    pub(crate) agents: BTreeSet<AgentId>,
    pub(crate) lists: BTreeSet<ListId>,
    pub(crate) dnc_lists: BTreeSet<DncListId>,
    pub(crate) pools: BTreeSet<CallerIdPoolId>,
    pub(crate) routes: BTreeSet<InboundRouteId>,
    pub(crate) calendars: BTreeSet<CalendarId>,
    pub(crate) campaigns: BTreeSet<CampaignId>,
    pub(crate) calls: BTreeSet<CallId>,
    pub(crate) node: bool,
}

impl Dialer {
    /// A dialer that knows nothing yet. Its first inputs are [`Input::Clock`] and [`Input::Restore`].
    #[must_use]
    pub fn new(config: DialerConfig, rng: Rng) -> Self {
        let cps = CpsBucket::new(config.cps_max, Instant::ZERO);
        Dialer {
            clock: ClockBase::default(),
            trunk_choice: rng.child("trunk choice"),
            caller_id_choice: rng.child("caller id choice"),
            best_time_choice: rng.child("best time choice"),
            agent_choice: rng.child("agent choice"),
            ids: rng.child("dialer ids"),
            timers: Deadlines::new(),
            trunks: BTreeMap::new(),
            agents: BTreeMap::new(),
            ready: BTreeSet::new(),
            rung_early: BTreeSet::new(),
            lists: BTreeMap::new(),
            dnc: DncBook::default(),
            dialled_numbers: DialledNumbers::default(),
            pools: BTreeMap::new(),
            calendars: BTreeMap::new(),
            pools_timer: None,
            routes: crate::inbound::Routes::default(),
            campaigns: BTreeMap::new(),
            calls: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ended: EndedCalls::with_limit(config.ended_calls_max),
            tracked: BTreeMap::new(),
            tasks: BTreeMap::new(),
            leads: LeadBook::with_limit(config.recent_leads_max),
            callbacks: crate::campaign::Callbacks::default(),
            transit: BTreeMap::new(),
            pacer: Floor::new(),
            roster: crate::campaign::Roster::default(),
            wanted: BTreeSet::new(),
            node: Node {
                draining: false,
                drained: false,
                stopping: false,
                closing_sessions: None,
                deadline: None,
                store_healthy: true,
                restored: false,
            },
            cps,
            cursor: 0,
            dirty: Dirty::default(),
            replies: Vec::new(),
            counters: Counters::default(),
            agent_numbers: BTreeSet::new(),
            last_number: 0,
            had_most: 0.0,
            inbound: crate::campaign::Inbound::default(),
            tick: None,
            transit_views: TransitViews::default(),
            config,
        }
    }

    /// Feeds one input; what is to be done is in `out`, in order, when it returns.
    pub fn handle_input(&mut self, now: Instant, input: Input, out: &mut Outbox<Effect>) {
        if let Input::Clock(base) = input {
            self.clock = base;
            self.dirty.node = true;
        }
        let mut cx = self.cx(now, out);
        match input {
            Input::Clock(_) => {
                self.find_all_expired(&mut cx);
                self.find_callbacks(&mut cx);
            }
            Input::Restore(snapshot) => self.restore(&mut cx, *snapshot),
            Input::Command { tag, command } => {
                let result = self.command(&mut cx, command);
                self.replies.push((tag, result));
            }
            Input::LeadsLoaded { campaign, leads, more, next_due } => {
                self.on_leads_loaded(&mut cx, campaign, leads, more, next_due);
            }
            Input::ExpiredFound { campaign, leads, next } => {
                self.on_expired_found(&mut cx, campaign, leads, next);
            }
            Input::CallbacksFound { leads, next } => self.on_callbacks_found(&mut cx, leads, next),
            Input::CallerRecalled { call, memory } => self.on_caller_recalled(&mut cx, call, *memory),
            Input::Call(fact) => self.on_call(&mut cx, fact),
            Input::Agent(fact) => self.on_agent(&mut cx, fact),
            Input::Trunk(fact) => self.on_trunk(&mut cx, fact),
            Input::StoreHealth { healthy } => {
                if self.node.store_healthy != healthy {
                    self.node.store_healthy = healthy;
                    self.dirty.node = true;
                    let event = if healthy { Event::NodeStoreRecovered } else { Event::NodeStoreFailed };
                    self.tell(&mut cx, About::default(), event);
                    self.want_all_decisions();
                    self.find_all_expired(&mut cx);
                    self.find_callbacks(&mut cx);
                }
            }
        }
        self.settle(&mut cx);
    }

    /// When [`Dialer::handle_timeout`] is to be called next; calling early does nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let mut cx = self.cx(now, out);
        let mut any = false;
        while let Some((_, why)) = self.timers.pop_due(now) {
            any = true;
            match why {
                Why::Tick => self.on_tick(&mut cx),
                Why::Decide(campaign) => self.on_decide_timer(campaign),
                Why::Call(call) => self.on_call_timer(&mut cx, call),
                Why::WrapUp(agent) => self.end_wrap_up(&mut cx, agent, BY_TIMER),
                Why::Backoff(agent) => self.end_backoff(&mut cx, agent, "back_off_over"),
                Why::PauseMax(agent) => self.on_pause_max(&mut cx, agent),
                Why::Reopen(agent) => self.on_reopen_timer(&mut cx, agent),
                Why::Task(task) => self.on_task_timer(&mut cx, task),
                Why::Expiry(campaign) => self.on_expiry_timer(&mut cx, campaign),
                Why::Callbacks => self.on_callbacks_timer(&mut cx),
                Why::TransitViews => self.on_transit_views_timer(),
                Why::DrainDeadline => self.on_drain_deadline(&mut cx),
                Why::CallerIds => self.on_pools_timer(&mut cx),
                Why::Collect(call) => self.end_collecting(&mut cx, call, "timeout"),
                Why::SessionsClosed => self.on_sessions_closed(&mut cx),
            }
        }
        if any {
            self.settle(&mut cx);
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Broken invariants; empty unless this room has a fault.
    #[must_use]
    pub fn audit(&self) -> Vec<Finding> {
        audit::audit(self)
    }

    /// What is alive: all zero when the node is at rest.
    #[must_use]
    pub fn alive(&self) -> audit::Alive {
        audit::alive(self)
    }

    fn cx<'a>(&self, now: Instant, out: &'a mut Outbox<Effect>) -> Cx<'a> {
        Cx { now, wall: self.clock.wall_at(now), out }
    }

    pub(crate) fn command(&mut self, cx: &mut Cx<'_>, command: Command) -> Result<Reply, CommandError> {
        if !self.node.store_healthy && needs_the_store(&command) {
            return Err(CommandError::StoreUnavailable);
        }
        match command {
            Command::By { by, mut command } => {
                if let Some(tenant) = &by.tenant {
                    self.admit(tenant, &mut command)?;
                }
                let changes = changes_settings(&command);
                let reply = self.command(cx, *command)?;
                if changes {
                    let at = cx.wall;
                    self.journal(cx, vec![Record::ChangedBy { by, at }]);
                }
                Ok(reply)
            }
            Command::Tracked { name, command } => self.tracked(cx, name, *command),
            Command::CreateTrunk(config) => self.create_trunk(cx, config),
            Command::UpdateTrunk { trunk, config, if_version } => {
                self.update_trunk(cx, trunk, config, if_version)
            }
            Command::DeleteTrunk(trunk) => self.delete_trunk(cx, trunk),
            Command::CreateAgent(config) => self.create_agent(cx, config),
            Command::UpdateAgent { agent, config, if_version } => {
                self.update_agent(cx, agent, config, if_version)
            }
            Command::DeleteAgent(agent) => self.delete_agent(cx, agent),
            Command::AgentLogin { agent, session } => self.agent_login(cx, agent, session),
            Command::AgentLogout(agent) => self.agent_logout(cx, agent),
            Command::AgentReady(agent) => self.agent_ready(cx, agent),
            Command::AgentPause { agent, code } => self.agent_pause(cx, agent, code),
            Command::CreateList(config) => self.create_list(cx, config),
            Command::UpdateList { list, config, if_version } => {
                self.update_list(cx, list, config, if_version)
            }
            Command::DeleteList(list) => self.delete_list(cx, list),
            Command::LeadsImported { list, accepted } => self.leads_imported(cx, list, accepted),
            Command::RecycleLeads(wish) => self.recycle_leads(cx, &wish),
            Command::CreateDncList(config) => self.create_dnc_list(cx, config),
            Command::UpdateDncList { list, config, if_version } => {
                self.update_dnc_list(cx, list, config, if_version)
            }
            Command::DeleteDncList(list) => self.delete_dnc_list(cx, list),
            Command::AddDnc { list, entries } => self.add_dnc(cx, list, entries),
            Command::RemoveDnc { list, entries } => self.remove_dnc(cx, list, entries),
            Command::CreateCallerIdPool(config) => self.create_pool(cx, config),
            Command::UpdateCallerIdPool { pool, config, if_version } => {
                self.update_pool(cx, pool, config, if_version)
            }
            Command::DeleteCallerIdPool(pool) => self.delete_pool(cx, pool),
            Command::QuarantineCallerId { pool, number } => self.quarantine_number(cx, pool, &number),
            Command::ReportCallerIds { pool, reports } => self.report_numbers(cx, pool, reports),
            Command::ReleaseCallerId { pool, number } => self.release_number(cx, pool, &number),
            Command::CreateInboundRoute(config) => self.create_route(cx, config),
            Command::UpdateInboundRoute { route, config, if_version } => {
                self.update_route(cx, route, config, if_version)
            }
            Command::DeleteInboundRoute(route) => self.delete_route(cx, route),
            Command::CreateCalendar(config) => self.create_calendar(cx, config),
            Command::UpdateCalendar { calendar, config, if_version } => {
                self.update_calendar(cx, calendar, config, if_version)
            }
            Command::DeleteCalendar(calendar) => self.delete_calendar(cx, calendar),
            Command::CreateCampaign(config) => self.create_campaign(cx, *config),
            Command::UpdateCampaign { campaign, config, if_version } => {
                self.update_campaign(cx, campaign, *config, if_version)
            }
            Command::DeleteCampaign(campaign) => self.delete_campaign(cx, campaign),
            Command::StartCampaign(campaign) => self.start_campaign(cx, campaign),
            Command::PauseCampaign(campaign) => self.pause_campaign(cx, campaign),
            Command::ResumeCampaign(campaign) => self.resume_campaign(cx, campaign),
            Command::StopCampaign(campaign) => self.stop_campaign(cx, campaign),
            Command::CopyCampaign { campaign, name } => self.copy_campaign(cx, campaign, name),
            Command::LookIntoHopper { campaign, limit } => self.look_into_hopper(campaign, limit),
            Command::TakeBackTasks { campaign, agent } => self.take_back_tasks(cx, campaign, agent),
            Command::Originate(request) => self.originate(cx, request),
            Command::Hangup(call) => self.command_hangup(cx, call),
            Command::Call { call, wish } => self.call_wish(cx, call, wish),
            Command::SetDisposition { call, said } => self.set_disposition(cx, call, said),
            Command::SetCallback(request) => self.set_callback(cx, *request),
            Command::CancelCallback { lead, if_version } => self.cancel_callback(cx, &lead, if_version),
            Command::LetGoOfPerson { number, leads } => self.let_go_of_person(&number, &leads),
            Command::TaskDial { task, phone } => self.task_dial(cx, task, phone),
            Command::TaskSkip(task) => self.task_skip(cx, task),
            Command::SetInboundWaiting { group, waiting, for_ms } => {
                self.set_inbound_waiting(cx, group, waiting, for_ms)
            }
            Command::WebhookDisabled { webhook, reason } => {
                self.tell(cx, About::default(), Event::WebhookDisabled { webhook, reason });
                Ok(Reply::Done)
            }
            Command::RecordingDeleted { recording, call, campaign, agent, reason } => {
                let reason = reason.to_owned();
                let about = About { campaign, agent, ..About::default() };
                self.tell(cx, about, Event::RecordingDeleted { recording, call, reason });
                Ok(Reply::Done)
            }
            Command::RetentionApplied { kind, count, before } => {
                let kind = kind.to_owned();
                self.tell(cx, About::default(), Event::RetentionApplied { kind, count, before });
                Ok(Reply::Done)
            }
            Command::Drain { deadline } => self.drain(cx, deadline),
            Command::Undrain => self.undrain(cx),
            Command::StopNow => self.stop_now(cx),
        }
    }

    /// Joins what fits together after a change, then tells what is new.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if self.node.restored {
            self.refresh_roster();
            self.connect_waiting(cx);
            self.join_ringing(cx);
            self.lay_down_idle(cx);
            self.offer_tasks(cx);
            self.decide_wanted(cx);
            self.keep_ticking(cx.now);
            self.check_drained(cx);
        }
        self.send_views(cx);
        for (tag, result) in self.replies.drain(..) {
            cx.out.push(Effect::Reply { tag, result });
        }
    }

    fn on_tick(&mut self, cx: &mut Cx<'_>) {
        self.tick = None;
        let ticking: Vec<(CampaignId, bool)> =
            self.campaigns.values().filter(|c| c.ticks()).map(|c| (c.row.id, c.is_running())).collect();
        for (id, running) in ticking {
            if self.stop_when_over(cx, id) || !running {
                continue;
            }
            self.wanted.insert(id);
            self.choose_anew(cx, id);
            self.refill(cx, id);
            self.check_completed(cx, id);
            self.sketch_if_due(cx, id);
        }
    }

    /// The tick runs while a campaign does, or while the end of a paused one is to come.
    fn keep_ticking(&mut self, now: Instant) {
        if self.tick.is_none() && self.campaigns.values().any(Campaign::ticks) {
            self.tick = Some(self.arm(now, self.config.tick_ms, Why::Tick));
        }
    }

    /// Arms a deadline `after_ms` from now.
    pub(crate) fn arm(&mut self, now: Instant, after_ms: u64, why: Why) -> TimerKey {
        self.timers.arm(now + Duration::from_millis(after_ms), why)
    }

    pub(crate) fn disarm(&mut self, timer: Option<TimerKey>) {
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
    }

    /// Writes records down, in one transaction.
    pub(crate) fn journal(&mut self, cx: &mut Cx<'_>, records: Vec<Record>) {
        cx.out.push(Effect::Journal(records));
    }

    /// Tells those above what happened.
    pub(crate) fn tell(&mut self, cx: &mut Cx<'_>, about: About, event: Event) {
        self.cursor += 1;
        let tenant = self.tenant_of_event(&about);
        let envelope = EventEnvelope {
            id: EventId::generate(cx.wall, &mut self.ids),
            cursor: self.cursor,
            seq: about.seq,
            occurred_at: cx.wall,
            call: about.call,
            campaign: about.campaign,
            lead: about.lead,
            agent: about.agent,
            tenant,
            client_state: about.client_state,
            post_call: about.post_call,
            event,
        };
        cx.out.push(Effect::Event(Box::new(envelope)));
    }

    /// A fresh number of a call for the pacer.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The pacer's number of a thing: the same after a restart, because what was learned is kept by it.
    pub(crate) fn stable_number(id: u128, taken: impl Fn(u32) -> bool) -> u32 {
        let mut number = id as u32;
        while taken(number) {
            number = number.wrapping_add(1);
        }
        number
    }

    /// Every running campaign is to decide anew.
    pub(crate) fn want_all_decisions(&mut self) {
        self.wanted.extend(self.campaigns.values().filter(|c| c.is_running()).map(|c| c.row.id));
    }
}

/// Refuses a change of something else than the version the asker saw.
pub(crate) fn check_version(current: u32, wanted: Option<u32>) -> Result<(), CommandError> {
    match wanted {
        Some(wanted) if wanted != current => Err(CommandError::VersionMismatch { current }),
        _ => Ok(()),
    }
}

/// Everything that leaves a durable trace, but for what ends calls or work.
fn needs_the_store(command: &Command) -> bool {
    if let Command::By { command, .. } | Command::Tracked { command, .. } = command {
        return needs_the_store(command);
    }
    !matches!(
        command,
        Command::Hangup(_)
            | Command::Call { .. }
            | Command::TaskSkip(_)
            | Command::TakeBackTasks { .. }
            | Command::LookIntoHopper { .. }
            | Command::SetInboundWaiting { .. }
            | Command::Drain { .. }
            | Command::Undrain
            | Command::StopNow
            | Command::StopCampaign(_)
            | Command::PauseCampaign(_)
    )
}

/// Whether it changes how the node is set up, rather than what it does just now.
fn changes_settings(command: &Command) -> bool {
    match command {
        Command::CreateTrunk(_)
        | Command::UpdateTrunk { .. }
        | Command::DeleteTrunk(_)
        | Command::CreateAgent(_)
        | Command::UpdateAgent { .. }
        | Command::DeleteAgent(_)
        | Command::CreateList(_)
        | Command::UpdateList { .. }
        | Command::DeleteList(_)
        | Command::CreateDncList(_)
        | Command::UpdateDncList { .. }
        | Command::DeleteDncList(_)
        | Command::AddDnc { .. }
        | Command::RemoveDnc { .. }
        | Command::CreateCallerIdPool(_)
        | Command::UpdateCallerIdPool { .. }
        | Command::DeleteCallerIdPool(_)
        | Command::QuarantineCallerId { .. }
        | Command::ReleaseCallerId { .. }
        | Command::ReportCallerIds { .. }
        | Command::CreateInboundRoute(_)
        | Command::UpdateInboundRoute { .. }
        | Command::DeleteInboundRoute(_)
        | Command::CreateCalendar(_)
        | Command::UpdateCalendar { .. }
        | Command::DeleteCalendar(_)
        | Command::CreateCampaign(_)
        | Command::CopyCampaign { .. }
        | Command::UpdateCampaign { .. }
        | Command::DeleteCampaign(_)
        | Command::StartCampaign(_)
        | Command::PauseCampaign(_)
        | Command::ResumeCampaign(_)
        | Command::StopCampaign(_) => true,
        Command::By { command, .. } | Command::Tracked { command, .. } => changes_settings(command),
        Command::AgentLogin { .. }
        | Command::AgentLogout(_)
        | Command::AgentReady(_)
        | Command::AgentPause { .. }
        | Command::LeadsImported { .. }
        | Command::RecycleLeads(_)
        | Command::LookIntoHopper { .. }
        | Command::TakeBackTasks { .. }
        | Command::Originate(_)
        | Command::Hangup(_)
        | Command::Call { .. }
        | Command::SetDisposition { .. }
        | Command::SetCallback(_)
        | Command::LetGoOfPerson { .. }
        | Command::CancelCallback { .. }
        | Command::TaskDial { .. }
        | Command::TaskSkip(_)
        | Command::SetInboundWaiting { .. }
        | Command::WebhookDisabled { .. }
        | Command::RecordingDeleted { .. }
        | Command::RetentionApplied { .. }
        | Command::Drain { .. }
        | Command::Undrain
        | Command::StopNow => false,
    }
}
