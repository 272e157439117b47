//! After a start: the world as it was written down, and an end for every attempt that was cut off.

use crate::campaign::{Step, next_step};
use crate::config::{CampaignConfig, CampaignState};
use crate::dialer::{About, Cx, Dialer};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{AgentId, CampaignId, RecordingId};
use crate::outcome::{EndCause, Evidence, Outcome, Party};
use crate::pacing::{AgentRef, PacingEvent};
use crate::record::{
    AttemptRow, CallKindTag, CallRecord, CutFile, CutRecording, Lead, LeadProgress, PastAttempt, Phone,
    Record, RecordingStartRow, Snapshot,
};
use crate::recording::RecordedFile;
use crate::trunk::Trunk;
use sansio::WallTime;
use std::collections::BTreeMap;

impl Dialer {
    pub(crate) fn restore(&mut self, cx: &mut Cx<'_>, snapshot: Snapshot) {
        if std::mem::replace(&mut self.node.restored, true) {
            return;
        }
        self.cursor = snapshot.last_cursor;
        self.dirty.node = true;
        for row in snapshot.trunks {
            self.dirty.trunks.insert(row.id);
            self.trunks.insert(row.id, Trunk::new(row.clone(), cx.now));
            cx.out.push(Effect::ApplyTrunk(Box::new(row)));
        }
        for row in snapshot.lists {
            self.dirty.lists.insert(row.id);
            self.lists.insert(row.id, row);
        }
        self.restore_dnc(snapshot.dnc);
        self.restore_pools(cx, snapshot.caller_id_pools);
        self.restore_routes(cx, snapshot.inbound_routes);
        self.restore_calendars(snapshot.calendars);
        for row in snapshot.agents {
            self.add_agent(cx, row.clone());
            cx.out.push(Effect::ApplyAgent(Box::new(row)));
        }
        for row in snapshot.campaigns {
            self.add_campaign(cx, row);
        }
        for entry in snapshot.ledger {
            if let Some(campaign) = self.campaigns.get_mut(&entry.campaign) {
                campaign.ledger.enter(entry.at, entry.abandoned);
            }
        }
        for (tenant, number, at) in &snapshot.dialled_numbers {
            self.dialled_numbers.note(tenant.clone().unwrap_or_default(), number, *at);
        }
        for (attempt, _) in snapshot.open_attempts.iter().filter(|(attempt, _)| !attempt.inbound) {
            let tenant = self.tenant_of(attempt.campaign, attempt.agent).unwrap_or_default();
            self.dialled_numbers.note(tenant, &attempt.to, attempt.at);
        }
        self.restore_hours(&snapshot.best_time);
        self.restore_sketches(snapshot.pacer_sketches);
        let calls_cut_off = snapshot.open_attempts.len() as u64;
        let seqs: BTreeMap<_, _> = snapshot.open_call_seqs.into_iter().collect();
        for (attempt, progress) in snapshot.open_attempts {
            let seq = seqs.get(&attempt.call).copied().unwrap_or(0);
            let recording = snapshot.cut_recordings.iter().rfind(|cut| cut.start.call == attempt.call);
            let recording = recording.filter(|cut| cut.found != CutFile::Gone).map(|cut| cut.start.id);
            self.end_cut_off(cx, attempt, progress, seq, recording);
        }
        for CutRecording { start, found } in snapshot.cut_recordings {
            self.settle_cut_recording(cx, start, found);
        }
        for contact in snapshot.contacts {
            if let Some(agent) = self.agents.get_mut(&contact.agent)
                && contact.expires_at > cx.wall
            {
                agent.phone = Some(contact.clone());
                cx.out.push(Effect::RestoreContact(contact));
            }
        }
        for row in snapshot.agent_status {
            if let Some(agent) = self.agents.get_mut(&row.agent) {
                agent.session = row.session;
                agent.calls_taken = row.calls_taken;
                agent.paused = row.paused.filter(|_| row.session.is_some());
                let ago_ms = u64::try_from(cx.wall.millis_since(row.at)).unwrap_or(0);
                self.limit_break(cx, row.agent, ago_ms);
            }
        }
        self.tell(cx, About::default(), Event::NodeStarted { calls_cut_off });
        let agents: Vec<AgentId> =
            self.agents.iter().filter(|(_, agent)| agent.session.is_some()).map(|(id, _)| *id).collect();
        for id in agents {
            let number = AgentRef(self.agents[&id].number);
            self.observe(cx.now, &PacingEvent::AgentLoggedIn(number));
            self.tend_session(cx, id);
            self.rest_agent(cx, id, "node_started");
        }
        let running: Vec<CampaignId> = self
            .campaigns
            .values()
            .filter(|campaign| campaign.row.state == CampaignState::Running)
            .map(|campaign| campaign.row.id)
            .collect();
        for id in running {
            self.refill(cx, id);
        }
        self.roster.stale = true;
        self.find_all_expired(cx);
        self.find_callbacks(cx);
    }

    /// An attempt that was under way when the node went down ends now, once, and its lead goes on.
    fn end_cut_off(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptRow,
        progress: Option<LeadProgress>,
        seq: u32,
        recording: Option<RecordingId>,
    ) {
        let tenant = self.tenant_of(attempt.campaign, attempt.agent);
        let record = CallRecord { tenant, recording, ..cut_off_record(&attempt, cx.wall) };
        let progress = progress.map(|progress| {
            let fallback = CampaignConfig::default();
            let campaign = attempt.campaign.and_then(|id| self.campaigns.get(&id));
            let config = campaign.map_or(&fallback, |campaign| &campaign.row.config);
            let step = Step { outcome: Outcome::NodeRestart, at: cx.wall, callback: None };
            let mut progress = next_step(config, &stand_in(progress), step);
            progress.remember(PastAttempt::of(&record));
            progress
        });
        let mut records = vec![Record::CallEnded(Box::new(record.clone()))];
        if let Some(progress) = &progress {
            self.leads.moved(progress);
            records.push(Record::LeadChanged(progress.clone()));
        }
        self.journal(cx, records);
        self.counters.record_ended(&record);
        let about = About {
            tenant: None,
            call: Some(record.call),
            seq: Some(seq + 1),
            campaign: record.campaign,
            lead: record.lead,
            agent: record.agent,
            client_state: record.client_state.clone(),
            post_call: false,
        };
        self.ended.insert(record.call, crate::call::EndedCall::cut_off(&record, progress.clone(), seq + 1));
        let call = record.call;
        self.tell(cx, about, Event::CallEnded { record: Box::new(record) });
        if let Some(progress) = &progress {
            self.tell_lead(cx, call, progress);
        }
    }
}

impl Dialer {
    /// A recording that was cut off is listed with what there is of it, or known to be lost.
    fn settle_cut_recording(&mut self, cx: &mut Cx<'_>, start: RecordingStartRow, found: CutFile) {
        let (recording, call) = (start.id, start.call);
        match found {
            CutFile::Unknown => {}
            CutFile::Gone => {
                self.journal(cx, vec![Record::RecordingLost { recording }]);
                let reason = "the node went down before any of it was written".into();
                self.tell_call_or_late(cx, call, Event::RecordingFailed { recording, reason });
            }
            CutFile::Mended(sound) => {
                let paused_ms = start.pauses.in_file_ms(start.at, sound.duration_ms);
                self.list_recording(cx, start, RecordedFile { paused_ms, ..sound });
            }
        }
    }
}

/// What is known of a call that was cut off: when and whom, not how far it came.
fn cut_off_record(attempt: &AttemptRow, now: WallTime) -> CallRecord {
    CallRecord {
        call: attempt.call,
        tenant: None,
        attempt: (!attempt.transit).then_some(attempt.id),
        campaign: attempt.campaign,
        lead: attempt.lead,
        agent: attempt.agent,
        trunk: Some(attempt.trunk),
        kind: match attempt.mode {
            _ if attempt.inbound => CallKindTag::Inbound,
            _ if attempt.transit => CallKindTag::Transit,
            Some(_) => CallKindTag::Campaign,
            None => CallKindTag::ClickToCall,
        },
        mode: attempt.mode,
        to: attempt.to.clone(),
        caller_id: attempt.caller_id.clone(),
        number_of_attempt: attempt.number_of_attempt,
        started_at: attempt.at,
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        // Not before it began, if the clock was set back meanwhile.
        ended_at: now.max(attempt.at),
        outcome: Outcome::NodeRestart,
        evidence: Evidence::Timer,
        cause: EndCause::NodeRestart,
        ended_by: Party::System,
        sip_code: None,
        q850: None,
        pdd_ms: None,
        ring_ms: None,
        answer_to_bridge_ms: None,
        talk_ms: 0,
        amd: None,
        early_media: None,
        abandoned: false,
        safe_harbour_played: false,
        digits: String::new(),
        recording: None,
        more_recordings: Vec::new(),
        client_state: attempt.client_state.clone(),
        verstat: attempt.verstat.clone(),
        reason: None,
        transferred_to: None,
        participants: attempt.participants.iter().cloned().map(|one| one.cut_off(now)).collect(),
        amd_detail: None,
        early_media_detail: None,
        media: Vec::new(),
    }
}

/// A lead of which only the progress is known; the retry rules look at nothing else but the number of phones, and
/// a restart says nothing against the number that was being dialled.
fn stand_in(progress: LeadProgress) -> Lead {
    Lead {
        id: progress.lead,
        list: crate::id::ListId::from_bits(0),
        external_id: None,
        phones: vec![Phone { number: String::new(), raw: String::new(), kind: None }],
        priority: 0,
        time_zone: None,
        fields: BTreeMap::new(),
        expires_at: None,
        progress,
    }
}
