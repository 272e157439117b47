//! The end of a call: everything it held is let go, then it is written down, then it is told.

use super::outcome::for_pacer;
use super::{Call, End, EndedCall, Moment, conclude};
use crate::campaign::{Step, close_for_good, next_step};
use crate::command::{CommandError, Reply};
use crate::config::CampaignConfig;
use crate::counters::outcome_index;
use crate::dialer::{About, Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::CallId;
use crate::lead::{Verdict, verdict};
use crate::outcome::{EndCause, Evidence, Outcome, Party};
use crate::record::{CallRecord, Lead, LeadProgress, LeadState, PastAttempt, Record};
use crate::view::CallState;
use sansio::Instant;

impl Dialer {
    pub(crate) fn command_hangup(&mut self, cx: &mut Cx<'_>, id: CallId) -> Result<Reply, CommandError> {
        let Some(call) = self.calls.get(&id) else {
            return self.hang_up_transit(cx, id).ok_or_else(|| self.not_ours(id));
        };
        let cause = if call.answered.is_some() { EndCause::Normal } else { EndCause::Cancelled };
        self.hang_up(cx, id, cause, Party::Api, None);
        Ok(Reply::Done)
    }

    /// Orders the end of a call. Doing so again changes nothing.
    pub(crate) fn hang_up(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        cause: EndCause,
        by: Party,
        conclusion: Option<(Outcome, Evidence)>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == CallState::Ending {
            return;
        }
        call.conclusion = call.conclusion.or(conclusion);
        call.hung_up = Some((cause, by));
        self.dequeue(id);
        self.set_call_state(id, CallState::Ending);
        self.set_call_timer(cx.now, id, Some(self.config.ending_max_ms));
        cx.out.push(Effect::Call(CallOrder::Hangup { call: id, cause, by }));
    }

    /// The end that was ordered was never told: taken as over, so that nothing is held for ever.
    pub(super) fn force_over(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.counters.calls_forced_over += 1;
        self.counters.agents_unstuck += self.calls[&id].offered_to().count() as u64;
        let (cause, by) = self.calls[&id].hung_up.unwrap_or((EndCause::Timeout, Party::System));
        self.finish(cx, id, End { by, cause, sip_code: None, q850: None });
    }

    /// The call is over.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>, id: CallId, end: End) {
        let Some(call) = self.calls.get(&id) else { return };
        // Who ordered the end is known better here than below.
        let (cause, by) = call.hung_up.unwrap_or((end.cause, end.by));
        let end = End { by, cause, ..end };
        let (outcome, evidence) = conclude(call, end);
        self.resolve(cx, id, for_pacer(outcome));
        self.drop_participants(cx, id, cause);
        self.end_fork(cx, id, crate::fork::ForkEnd::CallEnded, None);
        self.tell_unbridged(cx, id, "call_ended");
        self.tell_missing_legs(cx, id, end);
        self.end_collecting(cx, id, "call_ended");
        self.end_tracked(cx, id);
        let entry = self.take_awaited_entry(cx, id);
        let ended = Moment { at: cx.now, wall: cx.wall };
        let record = self.calls[&id].record(ended, outcome, evidence, end);
        let tenant = self.tenant_of(record.campaign, record.agent);
        let record = CallRecord { tenant, ..record };
        let mut call = self.release(cx, id, &record);
        if let Some(shown) = call.shown.take() {
            self.caller_id_ended(cx, &shown, &record);
        }

        let mut records = vec![Record::CallEnded(Box::new(record.clone()))];
        records.extend(entry.map(Record::Ledger));
        if let Some(campaign) = call.campaign {
            let tried = call.tried.take();
            records.extend(self.learn_hour(campaign, tried, &record));
        }
        let progress = self.step_lead(&call, &record, cx);
        records.extend(progress.clone().map(Record::LeadChanged));
        self.journal(cx, records);

        self.counters.record_ended(&record);
        let about = About { agent: record.agent, ..call.next_about() };
        self.tell(cx, about, Event::CallEnded { record: Box::new(record.clone()) });
        self.ended.insert(id, EndedCall::of(&call, &record, progress.clone()));
        if let Some(progress) = progress {
            self.tell_lead(cx, id, &progress);
            self.expire_after_call(cx, &call, progress);
        }
        if let Some(lead) = call.lead.as_ref().filter(|_| call.inbound.is_some()) {
            self.leads_may_be_there(cx, &[lead.list]);
        }
        if let Some(campaign) = call.campaign {
            self.refill(cx, campaign);
            self.check_completed(cx, campaign);
        }
    }

    /// A lead whose time passed while it was being called is not tried again: nobody else looks for it now.
    fn expire_after_call(&mut self, cx: &mut Cx<'_>, call: &Call, progress: LeadProgress) {
        let dialled = call.campaign.filter(|_| call.inbound.is_none());
        let (Some(campaign), Some(lead)) = (dialled, &call.lead) else { return };
        let lead = Lead { progress, ..lead.clone() };
        if verdict(&lead, u32::MAX, cx.wall) == Verdict::Expired && self.campaigns.contains_key(&campaign) {
            self.mark_expired(cx, campaign, lead);
        }
    }

    /// Legs whose end was not told by the engine end with the call.
    fn tell_missing_legs(&mut self, cx: &mut Cx<'_>, id: CallId, end: End) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        let customer = std::mem::take(&mut call.customer_leg);
        let agents = std::mem::take(&mut call.agent_legs);
        let leg = |party| Event::LegEnded { party, cause: end.cause, sip_code: None, q850: None };
        if customer {
            self.tell_call(cx, id, leg(Party::Customer));
        }
        for _ in 0..agents {
            self.tell_call(cx, id, leg(Party::Agent));
        }
    }

    /// Takes the call out of every table and lets go of all it held: line, channel, lead, agent.
    fn release(&mut self, cx: &mut Cx<'_>, id: CallId, record: &CallRecord) -> Call {
        self.dequeue(id);
        self.set_call_timer(cx.now, id, None);
        let call = self.calls.remove(&id).expect("the caller has it");
        self.dirty.calls.insert(id);
        self.dirty.node = true;
        self.free_channel(call.trunk);
        if let Some(trunk) = call.guest_trunk {
            self.free_channel(trunk);
        }
        self.lines_were_freed();
        if let Some(lead) = &call.lead {
            self.leads.release(lead.id);
        }
        let dialled = call.inbound.is_none();
        if let Some(inbound) = call.inbound.as_ref().filter(|_| call.bridged.is_none()) {
            self.counters.inbound(inbound.route).unanswered += 1;
        }
        if let Some(campaign) = call.campaign.filter(|_| dialled).and_then(|id| self.campaigns.get_mut(&id)) {
            if call.line_of().is_some() {
                campaign.calls.remove(&id);
                campaign.by_state[call.state as usize] -= 1;
            }
            campaign.counts.outcomes[outcome_index(record.outcome)] += 1;
            campaign.counts.talk_ms += record.talk_ms;
            self.dirty.campaigns.insert(campaign.row.id);
            self.wanted.insert(campaign.row.id);
        }
        for agent in &call.rung_too {
            self.leave_call(*agent);
            self.rest_agent(cx, *agent, "call_ended");
        }
        if let Some(agent) = call.agent {
            self.leave_call(agent);
            if let Some(talked_ms) = call.talked_ms {
                let of_call = (call.id, call.campaign, call.inbound.is_some());
                self.begin_wrap_up(cx, agent, of_call, talked_ms);
            } else {
                self.rest_agent(cx, agent, "call_ended");
            }
        }
        call
    }

    /// Moves the lead on by the retry rules.
    fn step_lead(&mut self, call: &Call, record: &CallRecord, cx: &Cx<'_>) -> Option<LeadProgress> {
        let lead = call.lead.as_ref()?;
        let fallback = CampaignConfig::default();
        let campaign = call.campaign.and_then(|id| self.campaigns.get(&id));
        let config = campaign.map_or(&fallback, |campaign| &campaign.row.config);
        let step = Step { outcome: record.outcome, at: cx.wall, callback: call.callback.clone() };
        let mut progress = match call.inbound {
            Some(_) => lead_of_caller(call, lead, record.outcome)?,
            None => next_step(config, lead, step),
        };
        let said = call.said.as_ref();
        if let Some(state) = said.and_then(|said| said.lead) {
            progress.state = state;
            progress.next_at = None;
            progress.callback = None;
        }
        if call.opted_out {
            close_for_good(&mut progress);
        }
        let disposition = said.map(|said| said.code.clone());
        let notes = said.and_then(|said| said.notes.clone());
        let refused = said.is_some_and(|said| said.refused);
        progress.remember(PastAttempt { disposition, notes, refused, ..PastAttempt::of(record) });
        self.leads.moved(&progress);
        if let Some(at) = progress.next_at {
            self.lead_due(lead.list, at);
        }
        if let Some(promise) = &progress.callback {
            self.watch_callback(cx, promise.at);
        }
        Some(progress)
    }

    /// Tells where the lead of an ended call stands.
    pub(crate) fn tell_lead(&mut self, cx: &mut Cx<'_>, id: CallId, progress: &LeadProgress) {
        let event = Event::LeadUpdated {
            state: progress.state,
            outcome: progress.last_outcome,
            attempts: progress.attempts,
            next_at: progress.next_at,
        };
        self.tell_late(cx, id, event);
        if progress.state == LeadState::Exhausted {
            self.tell_late(cx, id, Event::LeadExhausted { attempts: progress.attempts });
        }
    }
}

/// Who called us and talked with an agent is reached; else nothing has happened to the lead.
fn lead_of_caller(call: &Call, lead: &Lead, outcome: Outcome) -> Option<LeadProgress> {
    call.bridged?;
    let mut progress = lead.progress.clone();
    *progress.outcomes.entry(outcome).or_default() += 1;
    progress.last_outcome = Some(outcome);
    progress.next_at = call.callback.as_ref().map(|callback| callback.at);
    progress.callback.clone_from(&call.callback);
    progress.state = match call.callback {
        Some(_) => LeadState::RetryWait,
        None if progress.state == LeadState::Dnc => LeadState::Dnc,
        None => LeadState::Done,
    };
    Some(progress)
}

impl Call {
    /// That it shows a number of a pool, as written down with its attempt.
    pub(crate) fn shown_record(&self) -> Option<Record> {
        let shown = self.shown.as_ref()?;
        Some(Record::CallerIdUsed { pool: shown.pool, number: shown.number.clone(), at: self.started.wall })
    }

    /// Its whole story.
    fn record(&self, ended: Moment, outcome: Outcome, evidence: Evidence, end: End) -> CallRecord {
        // On the clock that it began by: one that is set meanwhile neither turns its order round nor stretches it.
        let then = |at: Instant| self.started.wall.plus_millis(at.millis_since(self.started.at) as i64);
        let wall = |moment: Option<Moment>| moment.map(|moment| then(moment.at));
        let ring_until = self.answered.map_or(ended.at, |moment| moment.at);
        CallRecord {
            call: self.id,
            tenant: None,
            attempt: Some(self.attempt),
            campaign: self.campaign,
            lead: self.lead.as_ref().map(|lead| lead.id),
            agent: self.agent.or(self.last_agent),
            trunk: Some(self.trunk),
            kind: self.kind,
            mode: self.line_of().and(self.mode),
            to: self.to.clone(),
            caller_id: self.caller_id.clone(),
            number_of_attempt: self.number_of_attempt,
            started_at: self.started.wall,
            ringing_at: wall(self.ringing),
            answered_at: wall(self.answered),
            bridged_at: wall(self.bridged),
            ended_at: then(ended.at),
            outcome,
            evidence,
            cause: end.cause,
            ended_by: end.by,
            sip_code: end.sip_code,
            q850: end.q850,
            pdd_ms: self.pdd_ms(),
            ring_ms: self.ringing.map(|moment| ring_until.millis_since(moment.at)),
            answer_to_bridge_ms: self
                .bridged
                .and_then(|moment| Some(moment.at.millis_since(self.answered?.at))),
            talk_ms: self.bridged.map_or(0, |moment| ended.at.millis_since(moment.at)),
            amd: self.amd,
            early_media: self.early_media,
            abandoned: self.abandoned,
            safe_harbour_played: self.safe_harbour_played,
            digits: self.digits.clone(),
            recording: self.taps.recordings.first().copied(),
            more_recordings: self.taps.recordings.iter().skip(1).copied().collect(),
            client_state: self.client_state.clone(),
            verstat: self.inbound.as_ref().and_then(|inbound| inbound.verstat.clone()),
            reason: self.reason.clone(),
            transferred_to: self.transferred_to.clone(),
            amd_detail: self.amd_detail,
            early_media_detail: self.early_media_detail.clone(),
            media: self.media.clone(),
            participants: self.left.clone(),
        }
    }
}
