//! The reference model: a plain account of what was journalled, made durable, published and answered.

use super::Findings;
use dialer_core::config::{CampaignState, DialMode};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::record::{AttemptRow, CallKindTag, CampaignRow, LeadProgress, LedgerEntry, Record};
use dialer_core::{
    AgentId, AttemptId, CallId, CallRecord, CampaignId, Command, CommandError, EndCause, LeadId, Outcome,
    Reply,
};
use sansio::{Instant, WallTime};
use std::collections::{BTreeMap, BTreeSet};

/// Time a call may take beyond its limits of ringing and talking: 64·T1 at each end, the longest stall of the
/// disk and crash, wrap-up of the machinery.
const SLACK_MS: u64 = 150_000;

/// What the book knows of an attempt.
#[derive(Debug)]
struct Attempt {
    row: AttemptRow,
    /// Its INVITE was seen.
    dialled: bool,
    ended: bool,
}

/// What the book knows of a call's events.
#[derive(Debug, Default)]
struct Story {
    seq: u32,
    ended: bool,
}

/// The account.
#[derive(Debug, Default)]
pub(crate) struct Book {
    journal_seq: u64,
    attempts: BTreeMap<AttemptId, Attempt>,
    attempt_of: BTreeMap<CallId, AttemptId>,
    /// Durable attempts whose INVITE was not seen yet.
    due: BTreeMap<String, Vec<AttemptId>>,
    records: BTreeMap<CallId, CallRecord>,
    leads: BTreeMap<LeadId, (LeadProgress, Option<AttemptId>)>,
    campaigns: BTreeMap<CampaignId, CampaignRow>,
    open: BTreeMap<CampaignId, u32>,
    events: BTreeMap<u64, EventEnvelope>,
    last_cursor: u64,
    last_published: u64,
    stories: BTreeMap<CallId, Story>,
    ledger: BTreeMap<CallId, bool>,
    talking: BTreeMap<AgentId, CallId>,
    commands: BTreeMap<u64, bool>,
    limits: BTreeMap<CallId, Instant>,
    /// Calls that somebody ordered to end.
    ordered_to_end: BTreeSet<CallId>,
    /// Campaigns that were stopped, whose ringing calls may be cancelled from then on.
    stopped: BTreeMap<CampaignId, Instant>,
    /// Everything may be cancelled from then on.
    all_may_end: Option<Instant>,
    pub(crate) published: u64,
}

impl Book {
    /// Entries of the daemon's journal count from 1 in each of its lives.
    pub(crate) fn reborn(&mut self) {
        self.journal_seq = 0;
        self.commands.clear();
        self.last_published = self.last_cursor;
        self.talking.clear();
    }

    pub(crate) fn journalled(&mut self, now: Instant, seq: u64, found: &mut Findings) {
        if seq != self.journal_seq + 1 {
            found.add(now, "journal entries count up by one", format!("{seq} after {}", self.journal_seq));
        }
        self.journal_seq = seq;
    }

    /// A record reached the disk.
    pub(crate) fn durable(&mut self, now: Instant, record: &Record, found: &mut Findings) {
        match record {
            Record::CampaignPut(row) => drop(self.campaigns.insert(row.id, (**row).clone())),
            Record::AttemptStarted(row) => self.attempt_started(now, row, found),
            Record::CallEnded(record) => self.call_ended(now, record, found),
            Record::LeadChanged(progress) => {
                self.leads.entry(progress.lead).or_insert_with(|| (progress.clone(), None)).0 =
                    progress.clone();
            }
            Record::Ledger(entry) => self.entered(now, entry, found),
            Record::Event(envelope) => self.event_written(now, envelope, found),
            _ => {}
        }
    }

    fn entered(&mut self, now: Instant, entry: &LedgerEntry, found: &mut Findings) {
        if self.ledger.insert(entry.call, entry.abandoned).is_some() {
            found.add(now, "one ledger entry per call", format!("{}", entry.call));
        }
    }

    fn attempt_started(&mut self, now: Instant, row: &AttemptRow, found: &mut Findings) {
        if self.attempts.contains_key(&row.id) || self.attempt_of.contains_key(&row.call) {
            found.add(now, "an attempt begins once", format!("{} {}", row.id, row.call));
        }
        let mut limit_ms = 120_000 + 4 * 3_600_000;
        if let Some(campaign) = row.campaign.and_then(|id| self.campaigns.get(&id)) {
            let timers = &campaign.config.timers;
            limit_ms = u64::from(timers.ring_max_ms) + u64::from(timers.call_max_ms);
            if campaign.state != CampaignState::Running && row.mode.is_some() {
                found.add(
                    now,
                    "only a running campaign dials",
                    format!("{} {}", row.id, campaign.state.as_str()),
                );
            }
            let open = self.open.entry(campaign.id).or_default();
            *open += u32::from(row.mode.is_some());
            if *open > campaign.config.concurrency.lines_max {
                let detail = format!("{open} of {}", campaign.config.concurrency.lines_max);
                found.add(now, "lines of a campaign", detail);
            }
        }
        if let Some(lead) = row.lead {
            let fresh = || (LeadProgress::fresh(lead), None);
            let (progress, holder) = self.leads.entry(lead).or_insert_with(fresh);
            if let Some(holder) = holder.replace(row.id) {
                found.add(
                    now,
                    "a lead is in one attempt at a time",
                    format!("{lead}: {holder} and {}", row.id),
                );
            }
            if row.number_of_attempt != progress.attempts && row.number_of_attempt != progress.attempts + 1 {
                let detail = format!("{lead}: {} after {}", row.number_of_attempt, progress.attempts);
                found.add(now, "attempts of a lead count up by one", detail);
            }
            let max = row.campaign.and_then(|id| self.campaigns.get(&id)).map(|row| row.config.attempts_max);
            // A promise to call back is kept all the same.
            if progress.callback.is_none() && max.is_some_and(|max| row.number_of_attempt > max) {
                found.add(
                    now,
                    "attempts of a lead have a limit",
                    format!("{lead}: {}", row.number_of_attempt),
                );
            }
        }
        self.limits.insert(row.call, now + sansio::Duration::from_millis(limit_ms + SLACK_MS));
        self.attempt_of.insert(row.call, row.id);
        self.due.entry(row.to.clone()).or_default().push(row.id);
        self.attempts.insert(row.id, Attempt { row: row.clone(), dialled: false, ended: false });
    }

    fn call_ended(&mut self, now: Instant, record: &CallRecord, found: &mut Findings) {
        if self.records.insert(record.call, record.clone()).is_some() {
            found.add(now, "one record per call", format!("{}", record.call));
        }
        if let Some(limit) = self.limits.remove(&record.call)
            && now > limit
        {
            found.add(now, "every call ends within its limit", format!("{}", record.call));
        }
        // Of a call that passes through the record names none.
        let Some(attempt) = record.attempt.or_else(|| self.attempt_of.get(&record.call).copied()) else {
            if record.kind == CallKindTag::Campaign {
                found.add(now, "a campaign's call has an attempt", format!("{}", record.call));
            }
            return;
        };
        let Some(attempt) = self.attempts.get_mut(&attempt) else {
            // A click-to-call whose agent never answered has no attempt on record.
            if record.kind == CallKindTag::Campaign {
                found.add(now, "an attempt ends after it began", format!("{attempt}"));
            }
            return;
        };
        if std::mem::replace(&mut attempt.ended, true) {
            found.add(now, "one record per attempt", format!("{}", attempt.row.id));
        }
        if let Some(due) = self.due.get_mut(&attempt.row.to) {
            due.retain(|id| *id != attempt.row.id);
        }
        if let Some(open) = attempt.row.campaign.and_then(|id| self.open.get_mut(&id))
            && attempt.row.mode.is_some()
        {
            *open = open.saturating_sub(1);
        }
        if let Some((_, holder)) = attempt.row.lead.and_then(|lead| self.leads.get_mut(&lead))
            && *holder == Some(attempt.row.id)
        {
            *holder = None;
        }
        check_record(now, record, found);
    }

    fn event_written(&mut self, now: Instant, envelope: &EventEnvelope, found: &mut Findings) {
        if envelope.cursor != self.last_cursor + 1 {
            let detail = format!("{} after {}", envelope.cursor, self.last_cursor);
            found.add(now, "cursors count up by one", detail);
        }
        self.last_cursor = envelope.cursor;
        self.events.insert(envelope.cursor, envelope.clone());
        let Some(call) = envelope.call else { return };
        // What a crash cut off is told at the next start, when the numbering of a call that was over, or that passed through,
        // is not known any more.
        if envelope.seq.is_none() && matches!(envelope.event, Event::RecordingReady { cut_off: true, .. }) {
            return;
        }
        let name = envelope.event.type_name();
        let story = self.stories.entry(call).or_default();
        if envelope.seq != Some(story.seq + 1) {
            let detail = format!("{call} {name}: {:?} after {}", envelope.seq, story.seq);
            found.add(now, "events of a call count up by one", detail);
        }
        story.seq = envelope.seq.unwrap_or(story.seq);
        if story.ended != envelope.post_call {
            let detail = format!("{call} {name}: ended {}, post_call {}", story.ended, envelope.post_call);
            found.add(now, "what is told after the end is marked so", detail);
        }
        match &envelope.event {
            Event::CallEnded { record } => {
                let joined = self.talking.values().any(|other| *other == call);
                if joined && record.cause != EndCause::NodeRestart {
                    found.add(now, "who was joined is told to be so no longer", format!("{call}"));
                }
                if story.ended {
                    found.add(now, "call.ended is told once", format!("{call}"));
                }
                story.ended = true;
                if !self.records.contains_key(&call) {
                    found.add(now, "the record is written with the event", format!("{call}"));
                }
                self.talking.retain(|_, other| *other != call);
            }
            Event::CallBridged { agent, .. } => {
                if let Some(other) = self.talking.insert(*agent, call)
                    && other != call
                {
                    found.add(now, "an agent is in one call", format!("{agent}: {call} and {other}"));
                }
            }
            Event::CallUnbridged { agent, .. } if self.talking.remove(agent) != Some(call) => {
                found.add(now, "who was joined is told to be so no longer, once", format!("{call}"));
            }
            _ => {}
        }
    }

    /// The daemon tells the world.
    pub(crate) fn publish(&mut self, now: Instant, envelope: &EventEnvelope, found: &mut Findings) {
        self.published += 1;
        if self.events.get(&envelope.cursor) != Some(envelope) {
            let detail = format!("{} {}", envelope.cursor, envelope.event.type_name());
            found.add(now, "an event is durable before it is told", detail);
        }
        if envelope.cursor != self.last_published + 1 {
            let detail = format!("{} after {}", envelope.cursor, self.last_published);
            found.add(now, "every event is told, in order", detail);
        }
        self.last_published = envelope.cursor;
        // What was told is not looked at again.
        self.events = self.events.split_off(&envelope.cursor);
    }

    pub(crate) fn asked(&mut self, now: Instant, tag: u64, command: &Command) {
        self.commands.insert(tag, false);
        match command {
            Command::Hangup(call) => drop(self.ordered_to_end.insert(*call)),
            Command::StopCampaign(campaign) | Command::DeleteCampaign(campaign) => {
                self.stopped.entry(*campaign).or_insert(now);
            }
            Command::StopNow => self.all_may_end = Some(now),
            Command::Drain { deadline } => drop(self.all_may_end.get_or_insert(now + *deadline)),
            _ => {}
        }
    }

    pub(crate) fn answered(
        &mut self,
        now: Instant,
        tag: u64,
        result: &Result<Reply, CommandError>,
        found: &mut Findings,
    ) {
        match self.commands.get_mut(&tag) {
            Some(answered) if !*answered => *answered = true,
            _ => found.add(now, "a command is answered once", format!("{tag} {result:?}")),
        }
    }

    /// An INVITE to this number leaves; which call is it of?
    pub(crate) fn dialled(&mut self, now: Instant, number: &str, found: &mut Findings) -> Option<CallId> {
        let attempt = self.due.get_mut(number).and_then(|due| (!due.is_empty()).then(|| due.remove(0)));
        let Some(attempt) = attempt.and_then(|id| self.attempts.get_mut(&id)) else {
            found.add(now, "an attempt is durable before its INVITE, and dialled once", number.to_owned());
            return None;
        };
        attempt.dialled = true;
        Some(attempt.row.call)
    }

    /// A ringing leg is cancelled.
    pub(crate) fn cancelled(&self, now: Instant, call: CallId, ringing: Instant, found: &mut Findings) {
        let attempt = self.attempt_of.get(&call).and_then(|id| self.attempts.get(id));
        let Some(attempt) = attempt else { return };
        let Some(campaign) = attempt.row.campaign.and_then(|id| self.campaigns.get(&id)) else { return };
        let may_end = self.ordered_to_end.contains(&call)
            || self.all_may_end.is_some_and(|since| since <= now)
            || self.stopped.contains_key(&campaign.id)
            || attempt.row.mode.is_none_or(|mode| mode == DialMode::Preview);
        let rang_ms = now.millis_since(ringing);
        // A CANCEL that comes with the first ringing was ordered before, and had to wait for it (RFC 3261 §9.1).
        if !may_end && rang_ms > 0 && rang_ms < u64::from(campaign.config.timers.ring_min_ms) {
            found.add(now, "a phone rings as long as it must", format!("{call} rang {rang_ms} ms"));
        }
    }

    /// Calls that should be over by now.
    pub(crate) fn check_limits(&mut self, now: Instant, found: &mut Findings) {
        let late: Vec<CallId> =
            self.limits.iter().filter(|(_, limit)| **limit < now).map(|(call, _)| *call).collect();
        for call in late {
            self.limits.remove(&call);
            found.add(now, "every call ends within its limit", format!("{call} is still there"));
        }
    }

    /// Nothing moves any more.
    pub(crate) fn at_rest(&self, now: Instant, found: &mut Findings) {
        for attempt in self.attempts.values().filter(|attempt| !attempt.ended) {
            found.add(now, "every attempt has a record", format!("{} {}", attempt.row.id, attempt.row.call));
        }
        for (call, story) in self.stories.iter().filter(|(_, story)| !story.ended) {
            found.add(now, "every call is told to be over", format!("{call} after {} events", story.seq));
        }
        for (tag, _) in self.commands.iter().filter(|(_, answered)| !**answered) {
            found.add(now, "every command is answered", format!("{tag}"));
        }
        for (call, abandoned) in &self.ledger {
            match self.records.get(call) {
                Some(record) if record.outcome == Outcome::NodeRestart => {}
                Some(record) if record.abandoned == *abandoned => {}
                other => {
                    let detail = format!(
                        "{call}: ledger {abandoned}, record {:?}",
                        other.map(|r| (r.outcome, r.abandoned))
                    );
                    found.add(now, "ledger and records agree", detail);
                }
            }
        }
        for record in self.records.values().filter(|record| record.abandoned) {
            if self.ledger.get(&record.call) != Some(&true) {
                found.add(now, "every abandoned call is in the ledger", format!("{}", record.call));
            }
        }
    }

    /// Records of calls that passed through, and of these answered.
    pub(crate) fn transits(&self) -> (u64, u64) {
        let transits = self.records.values().filter(|record| record.kind == CallKindTag::Transit);
        transits.fold((0, 0), |(all, answered), record| {
            (all + 1, answered + u64::from(record.answered_at.is_some()))
        })
    }

    /// Abandoned and live answers of a campaign, from the ledger, without the excused.
    pub(crate) fn abandonment(
        &self,
        campaign: CampaignId,
        excused: impl Fn(&CallRecord) -> bool,
    ) -> (u64, u64) {
        let entries = self.ledger.iter().filter(|(call, _)| {
            let of = |record: &&CallRecord| record.campaign == Some(campaign) && !excused(record);
            self.records.get(call).filter(of).is_some()
        });
        entries.fold((0, 0), |(abandoned, live), (_, is)| (abandoned + u64::from(*is), live + 1))
    }

    /// Campaigns in their order, for those who judge their rates.
    pub(crate) fn campaigns(&self) -> impl Iterator<Item = &CampaignRow> {
        self.campaigns.values()
    }

    /// How many calls ended with each outcome.
    pub(crate) fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for record in self.records.values() {
            *counts.entry(record.outcome).or_default() += 1;
        }
        counts
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.attempts.len() as u64
    }
}

/// What a record says must fit together.
fn check_record(now: Instant, record: &CallRecord, found: &mut Findings) {
    let order = [
        Some(record.started_at),
        record.ringing_at,
        record.answered_at,
        record.bridged_at,
        Some(record.ended_at),
    ];
    let times: Vec<WallTime> = order.into_iter().flatten().collect();
    let in_order = record.kind != CallKindTag::Campaign || times.is_sorted();
    let connected = record.outcome != Outcome::Connected || record.answered_at.is_some();
    let abandoned = !record.abandoned || (record.answered_at.is_some() && record.bridged_at.is_none());
    if !(in_order && connected && abandoned) {
        found.add(now, "a record fits together", format!("{record:?}"));
    }
}
