//! After the end: dispositions, and the numbering of their events.

use super::Call;
use crate::check::{invalid, text};
use crate::command::{CommandError, Reply};
use crate::dialer::{About, Cx, Dialer};
use crate::disposition::Said;
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId, LeadId, ListId};
use crate::outcome::AmdVerdict;
use crate::record::{CallRecord, Callback, LeadProgress, LeadState, PastAttempt, Record};
use sansio::WallTime;
use std::collections::{BTreeMap, VecDeque};

/// Longest note of a disposition, characters.
const NOTES_MAX: usize = 4_096;

/// What an agent said of a call, as its lead keeps it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Noted {
    pub(crate) code: String,
    pub(crate) notes: Option<String>,
    /// The lead goes to this state.
    pub(crate) lead: Option<LeadState>,
    /// The customer said not to be called.
    pub(crate) refused: bool,
}

/// The callback that was promised, if it can be kept.
fn check_callback(
    said: &Said,
    has_lead: bool,
    agent: Option<AgentId>,
    campaign: Option<CampaignId>,
    now: WallTime,
) -> Result<Option<Callback>, CommandError> {
    let Some(at) = said.callback_at else {
        if said.callback_by_agent {
            return invalid("/callback_at", "a time, as it is said who calls back");
        }
        return Ok(None);
    };
    if !has_lead {
        return invalid("/callback_at", "nothing, because the call has no lead");
    }
    if at <= now {
        return invalid("/callback_at", "a time in the future");
    }
    if said.callback_by_agent && agent.is_none() {
        return invalid("/callback_by", "\"anyone\", because no agent talked");
    }
    let agent = agent.filter(|_| said.callback_by_agent);
    let notes = said.notes.as_deref().map(PastAttempt::kept_notes);
    Ok(Some(Callback { notes, ..Callback::new(at, agent, campaign) }))
}

/// What is remembered of a call that is over.
#[derive(Clone, Debug)]
pub(crate) struct EndedCall {
    pub(crate) campaign: Option<CampaignId>,
    pub(crate) agent: Option<AgentId>,
    lead: Option<LeadId>,
    list: Option<ListId>,
    progress: Option<LeadProgress>,
    /// The verdict of machine detection.
    amd: Option<AmdVerdict>,
    client_state: Option<String>,
    seq: u32,
}

impl EndedCall {
    pub(crate) fn of(call: &Call, record: &CallRecord, progress: Option<LeadProgress>) -> Self {
        EndedCall {
            campaign: call.campaign,
            agent: record.agent,
            lead: record.lead,
            list: call.lead.as_ref().map(|lead| lead.list),
            progress,
            amd: record.amd,
            client_state: call.client_state.clone(),
            seq: call.seq,
        }
    }

    /// A call that lived in no table: cut off by the end of the last run, or passed through.
    pub(crate) fn cut_off(record: &CallRecord, progress: Option<LeadProgress>, seq: u32) -> Self {
        EndedCall {
            campaign: record.campaign,
            agent: record.agent,
            lead: record.lead,
            list: None,
            progress,
            amd: record.amd,
            client_state: record.client_state.clone(),
            seq,
        }
    }
}

/// The calls that ended last.
#[derive(Debug)]
pub(crate) struct EndedCalls {
    calls: BTreeMap<CallId, EndedCall>,
    order: VecDeque<CallId>,
    limit: usize,
}

impl EndedCalls {
    pub(crate) fn with_limit(limit: usize) -> Self {
        EndedCalls { calls: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    pub(crate) fn insert(&mut self, id: CallId, call: EndedCall) {
        self.calls.insert(id, call);
        self.order.push_back(id);
        while self.order.len() > self.limit {
            let oldest = self.order.pop_front().expect("longer than the limit");
            self.calls.remove(&oldest);
        }
    }

    /// Forgets whose lead an ended call was of.
    pub(crate) fn forget_lead(&mut self, lead: LeadId) {
        for call in self.calls.values_mut().filter(|call| call.lead == Some(lead)) {
            (call.lead, call.list, call.progress, call.client_state) = (None, None, None, None);
        }
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&EndedCall> {
        self.calls.get(&id)
    }
}

impl Dialer {
    /// Tells an event of a call that is over, with the next number of its stream.
    pub(crate) fn tell_late(&mut self, cx: &mut Cx<'_>, id: CallId, event: Event) {
        let mut about = About { call: Some(id), post_call: true, ..About::default() };
        if let Some(call) = self.ended.calls.get_mut(&id) {
            call.seq += 1;
            about.seq = Some(call.seq);
            about.campaign = call.campaign;
            about.lead = call.lead;
            about.agent = call.agent;
            about.client_state.clone_from(&call.client_state);
        }
        self.tell(cx, about, event);
    }

    /// Tells an event of a call that may be over already.
    pub(crate) fn tell_call_or_late(&mut self, cx: &mut Cx<'_>, id: CallId, event: Event) {
        if self.calls.contains_key(&id) || self.transit.contains_key(&id) {
            self.tell_call(cx, id, event);
        } else if matches!(event, Event::RecordingReady { .. } | Event::RecordingFailed { .. }) {
            self.tell_late(cx, id, event);
        }
    }

    pub(crate) fn set_disposition(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        said: Said,
    ) -> Result<Reply, CommandError> {
        let live = self.calls.get(&id);
        let amd = live.map_or_else(|| self.ended.get(id).and_then(|call| call.amd), |call| call.amd);
        let (campaign, has_lead, agent) = match (live, self.ended.get(id)) {
            (Some(call), _) => (call.campaign, call.lead.is_some(), call.agent.or(call.last_agent)),
            (None, Some(call)) => (call.campaign, call.lead.is_some(), call.agent),
            (None, None) => return Err(self.not_ours(id)),
        };
        if let Some(call) = live.filter(|call| call.bridged.is_none()) {
            return Err(CommandError::InvalidCallState {
                state: call.state,
                detail: "a disposition needs a call that was joined to an agent, or is over".into(),
            });
        }
        let (lead, refused) = self.check_said(campaign, &said)?;
        let promise = check_callback(&said, has_lead, agent, campaign, cx.wall)?;
        let noted = Noted {
            code: said.code.clone(),
            notes: said.notes.as_deref().map(PastAttempt::kept_notes),
            lead: lead.filter(|_| promise.is_none()),
            refused,
        };
        let Said { code, notes, fields, callback_at, callback_by_agent, answered_by } = said;
        self.counters.heard_by_agent(amd, answered_by);
        let record = Record::DispositionSet {
            call: id,
            code: code.clone(),
            notes: notes.clone(),
            callback_at,
            callback_by_agent,
            fields: fields.clone(),
            at: cx.wall,
        };
        let event = Event::DispositionSet { code, notes, callback_at, callback_by_agent, fields };
        if let Some(call) = self.calls.get_mut(&id) {
            call.callback = promise.or(call.callback.take().filter(|_| noted.lead.is_none()));
            call.said = Some(noted);
            self.journal(cx, vec![record]);
            self.tell_call(cx, id, event);
            return Ok(Reply::Done);
        }
        let moved = noted.lead.is_some();
        let noted = self.note_said(id, noted);
        let progress = promise.and_then(|promise| self.call_back(cx, id, promise));
        let told = progress.clone().or_else(|| noted.clone().filter(|_| moved));
        let mut records = vec![record];
        records.extend(progress.or(noted).map(Record::LeadChanged));
        self.journal(cx, records);
        self.tell_late(cx, id, event);
        if let Some(progress) = told {
            self.tell_lead(cx, id, &progress);
        }
        self.end_wrap_up_of(cx, id);
        Ok(Reply::Done)
    }

    /// The state that the disposition takes the lead to, and whether it is a refusal, if it is a good one.
    fn check_said(
        &self,
        campaign: Option<CampaignId>,
        said: &Said,
    ) -> Result<(Option<LeadState>, bool), CommandError> {
        text("/code", &said.code, 1, 64)?;
        if said.notes.as_ref().is_some_and(|notes| notes.chars().count() > NOTES_MAX) {
            return invalid("/notes", format_args!("text of at most {NOTES_MAX} characters"));
        }
        let campaign = campaign.and_then(|id| self.campaigns.get(&id));
        let rules = campaign.map_or(&[][..], |campaign| &campaign.row.config.dispositions);
        Ok(said.check(rules)?.map_or((None, false), |rule| (rule.lead, rule.refusal)))
    }

    /// Keeps with the lead of an ended call what the agent said of it, wherever the lead is now.
    fn note_said(&mut self, id: CallId, said: Noted) -> Option<LeadProgress> {
        let call = self.ended.calls.get(&id)?;
        let lead = call.lead?;
        let known = call.progress.clone();
        let note = |progress: &mut LeadProgress| {
            let past = progress.history.iter_mut().rev().find(|past| past.call == id)?;
            past.disposition = Some(said.code.clone());
            past.notes.clone_from(&said.notes);
            past.refused = said.refused;
            Some(progress.clone())
        };
        // What is being dialled again already is not taken back.
        let noted = match self.held_progress(lead) {
            Some(held) => note(held),
            None => note(&mut self.leads.newest(lead).cloned().or(known)?).map(|mut noted| {
                if let Some(state) = said.lead {
                    noted.state = state;
                    noted.next_at = None;
                    noted.callback = None;
                }
                noted
            }),
        }?;
        self.leads.moved(&noted);
        if let Some(call) = self.ended.calls.get_mut(&id) {
            call.progress = Some(noted.clone());
        }
        Some(noted)
    }

    /// The progress of a lead that is in a hopper, a task or a call.
    pub(crate) fn held_progress(&mut self, lead: LeadId) -> Option<&mut LeadProgress> {
        let campaign = self.leads.holder(lead)?;
        let campaign = self.campaigns.get_mut(&campaign)?;
        if let Some(task) = campaign.tasks.iter().find(|task| self.tasks[task].lead.id == lead) {
            return self.tasks.get_mut(task).map(|task| &mut task.lead.progress);
        }
        let of = |call: &&CallId| self.calls[*call].lead.as_ref().is_some_and(|own| own.id == lead);
        if let Some(call) = campaign.calls.iter().find(of) {
            return self.calls.get_mut(call)?.lead.as_mut().map(|lead| &mut lead.progress);
        }
        campaign.hopper.lead_mut(lead).map(|lead| &mut lead.progress)
    }

    /// Sets the lead of an ended call to be dialled again then, unless it is being dialled or has moved on.
    fn call_back(&mut self, cx: &Cx<'_>, id: CallId, promise: Callback) -> Option<LeadProgress> {
        let call = self.ended.calls.get_mut(&id)?;
        let (lead, list) = (call.lead?, call.list?);
        let mut progress = self.leads.newest(lead).cloned().or_else(|| call.progress.clone())?;
        if self.leads.is_held(lead) || progress.state == LeadState::Dnc {
            return None;
        }
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(promise.at);
        let at = promise.at;
        progress.callback = Some(promise);
        call.progress = Some(progress.clone());
        self.leads.moved(&progress);
        self.lead_due(list, at);
        self.watch_callback(cx, at);
        Some(progress)
    }
}
