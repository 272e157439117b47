//! From the answer to an agent, or to the safe-harbour message.

use super::{LedgerEntryState, Moment};
use crate::config::AmdMode;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::CallId;
use crate::outcome::{AmdEvidence, AmdVerdict, EndCause, Evidence, Outcome, Party};
use crate::pacing::{self, CallRef, PacingEvent};
use crate::record::{AmdDetail, CallKindTag, LedgerEntry, Record};
use crate::view::CallState;

/// No message is shorter than this, milliseconds.
const MESSAGE_MIN_MS: u64 = 200;

impl Dialer {
    /// The abandonment clock starts, unless a machine has to be ruled out first.
    pub(super) fn on_answered(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.inbound.is_some() {
            return self.on_inbound_answered(cx, id);
        }
        let before = matches!(call.state, CallState::Queued | CallState::Dialing | CallState::Ringing);
        if call.answered.is_some() || !before {
            return;
        }
        call.customer_leg = true;
        call.answered = Some(Moment { at: cx.now, wall: cx.wall });
        let setup_ms = cx.now.millis_since(call.dialled.map_or(call.started.at, |moment| moment.at));
        let event = Event::CallAnswered {
            pdd_ms: call.pdd_ms(),
            ring_ms: call.ringing.map_or(0, |moment| cx.now.millis_since(moment.at)),
            attempt: call.number_of_attempt,
            early_media: call
                .early_media
                .zip(call.early_media_detail.as_ref().map(|detail| detail.confidence)),
            caller_id: call.caller_id.clone(),
        };
        let (campaign, trunk, kind, amd_mode) = (call.campaign, call.trunk, call.kind, call.amd_mode);
        self.counters.answer(campaign, trunk, setup_ms);
        if let Some(campaign) = campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.counts.answers += 1;
        }
        self.set_call_state(id, CallState::Waiting);
        self.tell_call(cx, id, event);
        if kind == CallKindTag::ClickToCall {
            self.connect_reserved(cx, id);
        } else if amd_mode == AmdMode::BeforeBridge {
            self.set_call_timer(cx.now, id, Some(self.config.amd_wait_max_ms));
            self.tell_detecting(cx, id);
        } else {
            self.want_agent(cx, id);
        }
    }

    /// The pacer reckons with the time detection takes, and with what it lets pass.
    fn tell_detecting(&mut self, cx: &Cx<'_>, id: CallId) {
        let call = &self.calls[&id];
        if call.is_paced() {
            let event = PacingEvent::Detecting { call: CallRef(call.number) };
            self.observe(cx.now, &event);
        }
    }

    /// A live answer: it waits for an agent, at most until the bridge deadline.
    pub(super) fn want_agent(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.resolve(cx, id, pacing::Outcome::Human);
        let call = &self.calls[&id];
        if call.amd_mode == AmdMode::Off
            && let Some(campaign) = call.campaign
        {
            self.counters.campaign(campaign).answers_human += 1;
        }
        if self.calls[&id].is_agentless() {
            self.play_message(cx, id);
            return;
        }
        let deadline_ms = self.timers_of(id).bridge_deadline_ms;
        self.set_call_timer(cx.now, id, Some(u64::from(deadline_ms)));
        if self.calls[&id].agent.is_some() {
            self.connect_reserved(cx, id);
        } else {
            self.enqueue(cx, id);
        }
    }

    /// Puts an answered call in the queue for agents; settling takes it out.
    pub(crate) fn enqueue(&mut self, cx: &Cx<'_>, id: CallId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        let since = call.answered.map_or(cx.now, |moment| moment.at);
        call.waits_since = Some(since);
        self.waiting.insert((since, id));
        self.set_call_state(id, CallState::Waiting);
    }

    pub(crate) fn leave_queue(&mut self, id: CallId) {
        self.dequeue(id);
    }

    pub(super) fn dequeue(&mut self, id: CallId) {
        if let Some(since) = self.calls.get_mut(&id).and_then(|call| call.waits_since.take()) {
            self.waiting.remove(&(since, id));
        }
    }

    /// Waiting calls: of a higher priority first, then the longest waiting.
    fn in_order_of_priority(&self) -> Vec<CallId> {
        let mut waiting: Vec<CallId> = self.waiting.iter().map(|(_, id)| *id).collect();
        let priority = |id: &CallId| self.calls[id].inbound.as_ref().map_or(50, |inbound| inbound.priority);
        waiting.sort_by_key(|id| std::cmp::Reverse(priority(id)));
        waiting
    }

    /// Gives waiting calls to ready agents: the longest waiting first, each to who comes first
    /// in its campaign's order.
    pub(crate) fn connect_waiting(&mut self, cx: &mut Cx<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = self.in_order_of_priority();
        for id in waiting {
            let campaign = self.calls[&id].campaign.filter(|id| self.campaigns.contains_key(id));
            let agent = if self.calls[&id].inbound.is_some() {
                self.pick_for_caller(id)
            } else {
                let ready = campaign.and_then(|id| self.pick_agent(id));
                ready.or_else(|| self.take_listening(cx, id, campaign?))
            };
            if let Some(agent) = agent {
                self.dequeue(id);
                self.bind_agent(id, agent);
                self.offer(cx, id);
                self.ring_others(cx, id);
                continue;
            }
            let call = self.calls.get_mut(&id).expect("it waits");
            if !std::mem::replace(&mut call.queued_told, true) {
                self.tell_call(cx, id, Event::CallQueued);
            }
        }
    }

    pub(super) fn on_amd(&mut self, cx: &mut Cx<'_>, id: CallId, verdict: AmdVerdict, detail: AmdDetail) {
        let Some(call) = self.calls.get(&id) else { return };
        // An assistant that is known by its sound takes the place of what was thought before.
        let said = call.amd.is_some_and(|amd| verdict != AmdVerdict::Screening || amd == verdict);
        if call.amd_mode == AmdMode::Off || said || call.answered.is_none() {
            return;
        }
        let (state, mode) = (call.state, call.amd_mode);
        self.note_verdict(cx, id, verdict, detail);
        match (verdict, state) {
            (
                AmdVerdict::Machine | AmdVerdict::Fax,
                CallState::Waiting | CallState::Offering | CallState::Bridged,
            ) => self.machine_answered(cx, id, verdict),
            (AmdVerdict::Machine | AmdVerdict::Fax, CallState::Message) if self.calls[&id].is_agentless() => {
                self.message_to_machine(cx, id, verdict);
            }
            (AmdVerdict::Screening, CallState::Waiting | CallState::Offering | CallState::Bridged) => {
                self.assistant_answered(cx, id);
            }
            (AmdVerdict::Screening, CallState::Message) if self.calls[&id].is_agentless() => {
                self.assistant_answered(cx, id);
            }
            // Abandoned or ending already: the verdict comes too late to change what happened.
            (AmdVerdict::Machine | AmdVerdict::Fax | AmdVerdict::Screening, _) => {}
            (AmdVerdict::Human | AmdVerdict::Unsure, CallState::Waiting) if mode == AmdMode::BeforeBridge => {
                self.want_agent(cx, id);
            }
            (AmdVerdict::Human | AmdVerdict::Unsure, _) => self.enter_if_awaited(cx, id),
        }
    }

    /// Keeps and tells what detection said.
    pub(super) fn note_verdict(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        verdict: AmdVerdict,
        detail: AmdDetail,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let AmdDetail { evidence, confidence, after_answer_ms, .. } = detail;
        (call.amd, call.amd_detail) = (Some(verdict), Some(detail));
        let campaign = call.campaign;
        self.counters.verdict(campaign, verdict, after_answer_ms);
        let event = Event::CallClassified {
            result: verdict,
            decided_after_answer_ms: after_answer_ms,
            confidence,
            evidence,
            mode: call.amd_mode,
        };
        self.tell_call(cx, id, event);
    }

    /// No verdict in time: taken as a person.
    pub(super) fn on_amd_overdue(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let after_ms = self.config.amd_wait_max_ms;
        let evidence = AmdEvidence::NoVerdict;
        let detail = AmdDetail { evidence, confidence: 0.0, after_answer_ms: after_ms, left_ms: None };
        self.on_amd(cx, id, AmdVerdict::Unsure, detail);
    }

    /// Nobody was there in time.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        let Some(campaign) = call.line_of() else { return };
        call.abandoned = true;
        call.conclusion = Some((Outcome::Abandoned, Evidence::Timer));
        call.ledger = LedgerEntryState::Entered;
        let (number, paced) = (call.number, call.is_paced());
        if let Some(campaign) = self.campaigns.get_mut(&campaign) {
            campaign.forecast.accuracy.abandons_seen += 1;
        }
        let call = &self.calls[&id];
        let waited = cx.now.since(call.answered.expect("only answered calls wait").at);
        self.dequeue(id);
        if self.calls[&id].agent.is_some() {
            self.counters.reservations_expired += 1;
            self.miss_offer(cx, id, EndCause::NoAnswer, true);
        }
        self.journal(
            cx,
            vec![Record::Ledger(LedgerEntry { campaign, call: id, at: cx.wall, abandoned: true })],
        );
        self.enter_ledger(cx, campaign, true);
        self.counters.campaign(campaign).abandoned += 1;
        let found = self.campaigns.get_mut(&campaign).expect("a campaign with calls is not deleted");
        found.counts.abandoned += 1;
        let prompt = found.row.config.safe_harbour_prompt.clone();
        if paced {
            let event = PacingEvent::Abandoned { call: CallRef(number), campaign: found.number, waited };
            self.observe(cx.now, &event);
        }
        let Some(prompt) = prompt else {
            self.hang_up(cx, id, EndCause::Normal, Party::System, None);
            return;
        };
        self.calls.get_mut(&id).expect("the caller has it").message_since = Some(cx.now);
        self.set_call_state(id, CallState::Message);
        self.set_call_timer(cx.now, id, Some(self.config.message_max_ms));
        cx.out.push(Effect::Call(CallOrder::Play { call: id, prompt: prompt.clone(), repeat: false }));
        self.tell_call(cx, id, Event::CallSafeHarbour { prompt });
    }

    pub(super) fn on_message_played(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let playing = self.calls.get_mut(&id).filter(|call| call.state == CallState::Message);
        let Some(call) = playing else { return };
        if call.inbound.is_some() {
            return self.on_caller_heard(cx, id);
        }
        // A prompt that does not exist is told as played at once; the record is evidence and must not say so.
        let lasted_ms = call.message_since.map_or(0, |since| cx.now.millis_since(since));
        let whole = lasted_ms >= MESSAGE_MIN_MS;
        if self.turn_played(cx, id, whole) {
            return;
        }
        let call = self.calls.get_mut(&id).expect("just seen");
        if call.is_agentless() {
            self.message_heard(id, whole);
        } else if whole {
            call.safe_harbour_played = true;
            self.counters.safe_harbour_played += 1;
        }
        self.end_message(cx, id);
    }

    /// Ends a call whose message was played, or took too long.
    pub(super) fn end_message(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.hang_up(cx, id, EndCause::Normal, Party::System, None);
    }

    /// Joined in time. The ledger's entry waits for the verdict if one is still to come.
    pub(super) fn enter_live(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        if call.kind != CallKindTag::Campaign || call.ledger != LedgerEntryState::Open {
            return;
        }
        call.ledger = LedgerEntryState::AwaitsVerdict;
        if call.amd_mode == AmdMode::Off || call.amd.is_some() {
            self.enter_if_awaited(cx, id);
        }
    }

    pub(super) fn enter_if_awaited(&mut self, cx: &mut Cx<'_>, id: CallId) {
        if let Some(entry) = self.take_awaited_entry(cx, id) {
            self.journal(cx, vec![Record::Ledger(entry)]);
        }
    }

    /// Counts a live answer whose entry waited; its record is the caller's to write.
    pub(super) fn take_awaited_entry(&mut self, cx: &mut Cx<'_>, id: CallId) -> Option<LedgerEntry> {
        let call = self.calls.get_mut(&id)?;
        if call.ledger != LedgerEntryState::AwaitsVerdict {
            return None;
        }
        call.ledger = LedgerEntryState::Entered;
        let campaign = call.campaign?;
        self.enter_ledger(cx, campaign, false);
        Some(LedgerEntry { campaign, call: id, at: cx.wall, abandoned: false })
    }

    /// Tells the pacer that what it was told of as a person's answer is a machine's.
    pub(super) fn tell_late_machine(&mut self, cx: &Cx<'_>, id: CallId) {
        let call = &self.calls[&id];
        if !call.resolved || !call.is_paced() {
            return;
        }
        let campaign = call.campaign.and_then(|id| self.campaigns.get(&id)).map(|campaign| campaign.number);
        if let Some(campaign) = campaign {
            self.observe(cx.now, &PacingEvent::MachineAfterAll { campaign });
        }
    }

    /// Tells the pacer, once, how dialling ended.
    pub(super) fn resolve(&mut self, cx: &Cx<'_>, id: CallId, outcome: pacing::Outcome) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if std::mem::replace(&mut call.resolved, true) || !call.is_paced() {
            return;
        }
        let (number, from) = (call.number, call.dial_ordered.unwrap_or(call.started.at));
        let Some(campaign) = call.campaign.and_then(|id| self.campaigns.get(&id)) else { return };
        let (campaign, campaign_id) = (campaign.number, campaign.row.id);
        let after = cx.now.since(from);
        if outcome == pacing::Outcome::Human {
            self.note_answer(cx, campaign_id, number);
        }
        self.observe(cx.now, &PacingEvent::Resolved { call: CallRef(number), campaign, outcome, after });
        self.wanted.insert(campaign_id);
    }
}
