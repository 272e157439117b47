//! Machines and assistants that answer: hung up on, left a message, or answered when it is our turn to speak.
//!
//! ```text
//!  verdict machine ──▶ nothing to do with it: hang up
//!                  └─▶ Awaited ── beep, time limit ─▶ Message (leave) ─▶ hang up
//!                        └─ silence: an assistant waits ─▶ Assistant (say) ─▶ hang up, or go on as with a person
//!  verdict screening ──▶ the same, by its sound
//! ```

use super::LedgerEntryState;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::CallId;
use crate::machine::{AssistantThen, MachinePolicy};
use crate::outcome::{AmdEvidence, AmdVerdict, EndCause, Evidence, Outcome, Party, TurnCue};
use crate::pacing;
use crate::record::AmdDetail;
use crate::view::CallState;

/// How sure it is that what asks and then waits is an assistant: an office may do so too.
const BY_SILENCE_CONFIDENCE: f32 = 0.6;

/// Where a call with a machine or an assistant stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// It speaks.
    Awaited,
    /// We answer the assistant.
    Assistant,
    /// We leave a message.
    Message,
}

impl Dialer {
    fn machine_policy(&self, id: CallId) -> MachinePolicy {
        let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get(&id));
        campaign.map(|campaign| campaign.row.config.machine_policy.as_ref().clone()).unwrap_or_default()
    }

    /// A machine or a fax has answered.
    pub(super) fn machine_answered(&mut self, cx: &mut Cx<'_>, id: CallId, verdict: AmdVerdict) {
        let policy = self.machine_policy(id);
        let beeped = self.calls[&id].amd_detail.is_some_and(|detail| detail.evidence == AmdEvidence::Beep);
        let outcome = if verdict == AmdVerdict::Fax { Outcome::Fax } else { Outcome::Machine };
        self.count_machine(id);
        let looks = policy.looks_for_assistants();
        match (verdict, policy.leave) {
            (AmdVerdict::Machine, Some(prompt)) if beeped => {
                self.take_off(cx, id, outcome);
                self.say(cx, id, prompt, Turn::Message);
            }
            (AmdVerdict::Machine, leave) if !beeped && (leave.is_some() || looks) => {
                self.await_turn(cx, id, policy.then == AssistantThen::Agent);
            }
            _ => self.end_as(cx, id, outcome),
        }
    }

    /// An assistant that is known by its sound has answered, and is still speaking.
    pub(super) fn assistant_answered(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let policy = self.machine_policy(id);
        let call = &self.calls[&id];
        let joined = matches!(call.state, CallState::Offering | CallState::Bridged);
        let queued = call.waits_since.is_some();
        if call.turn.is_some() {
            return;
        }
        match (policy.say, policy.then) {
            (None, AssistantThen::Hangup) => {
                self.count_machine(id);
                self.end_as(cx, id, Outcome::Screening);
            }
            // The agent hears the question and answers it.
            (_, AssistantThen::Agent) if joined => self.enter_if_awaited(cx, id),
            (None, AssistantThen::Agent) if queued => {}
            (None, AssistantThen::Agent) if call.state == CallState::Waiting => self.want_agent(cx, id),
            _ => {
                self.count_machine(id);
                self.await_turn(cx, id, false);
            }
        }
    }

    fn count_machine(&mut self, id: CallId) {
        if let Some(campaign) = self.calls[&id].campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.counts.machines += 1;
            if self.calls[&id].is_agentless() && self.calls[&id].conclusion.is_some() {
                // The message that was begun is no connection.
                campaign.counts.connected = campaign.counts.connected.saturating_sub(1);
            }
        }
    }

    /// Listens on until it is our turn. An agent who is there may be left to hear it.
    fn await_turn(&mut self, cx: &mut Cx<'_>, id: CallId, keeps_agent: bool) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.turn = Some(Turn::Awaited);
        if keeps_agent && matches!(call.state, CallState::Offering | CallState::Bridged) {
            return;
        }
        let outcome =
            if call.amd == Some(AmdVerdict::Screening) { Outcome::Screening } else { Outcome::Machine };
        self.take_off(cx, id, outcome);
        self.set_call_state(id, CallState::Message);
        self.set_call_timer(cx.now, id, Some(self.config.message_max_ms));
    }

    /// No agent is wanted any more (for now), and this is what it will have been.
    fn take_off(&mut self, cx: &mut Cx<'_>, id: CallId, outcome: Outcome) {
        self.tell_late_machine(cx, id);
        self.resolve(cx, id, pacing::Outcome::Machine);
        let call = self.calls.get_mut(&id).expect("the caller has it");
        // Not a live answer: the entry that waited for the verdict is not made.
        call.ledger = LedgerEntryState::Entered;
        call.conclusion = Some((outcome, Evidence::Amd));
        self.dequeue(id);
        self.let_agent_go(cx, id, "machine");
    }

    /// It is not talked to: the agent (if one was joined) is free at once.
    fn end_as(&mut self, cx: &mut Cx<'_>, id: CallId, outcome: Outcome) {
        self.take_off(cx, id, outcome);
        self.hang_up(cx, id, EndCause::Normal, Party::System, None);
    }

    /// The machine or assistant has finished.
    pub(super) fn on_turn(&mut self, cx: &mut Cx<'_>, id: CallId, cue: TurnCue, after_answer_ms: u64) {
        let policy = self.machine_policy_if_live(id);
        let (Some(policy), Some(call)) = (policy, self.calls.get_mut(&id)) else { return };
        if call.turn != Some(Turn::Awaited) {
            return;
        }
        call.turn = None;
        if call.amd != Some(AmdVerdict::Screening) && cue == TurnCue::Silence && policy.looks_for_assistants()
        {
            let evidence = AmdEvidence::WaitsForAnswer;
            let detail =
                AmdDetail { evidence, confidence: BY_SILENCE_CONFIDENCE, after_answer_ms, left_ms: None };
            self.note_verdict(cx, id, AmdVerdict::Screening, detail);
        }
        let call = &self.calls[&id];
        let joined = matches!(call.state, CallState::Offering | CallState::Bridged);
        if call.amd == Some(AmdVerdict::Screening) {
            if joined {
                // The agent was left to hear it, and is there to answer.
                self.enter_if_awaited(cx, id);
            } else if let Some(prompt) = policy.say {
                self.calls.get_mut(&id).expect("just seen").conclusion =
                    Some((Outcome::Screening, Evidence::Amd));
                self.say(cx, id, prompt, Turn::Assistant);
            } else {
                self.after_assistant(cx, id, policy.then);
            }
        } else if let Some(prompt) = policy.leave {
            self.take_off(cx, id, Outcome::Machine);
            self.say(cx, id, prompt, Turn::Message);
        } else {
            self.end_as(cx, id, Outcome::Machine);
        }
    }

    fn machine_policy_if_live(&self, id: CallId) -> Option<MachinePolicy> {
        self.calls.contains_key(&id).then(|| self.machine_policy(id))
    }

    fn say(&mut self, cx: &mut Cx<'_>, id: CallId, prompt: String, turn: Turn) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.turn = Some(turn);
        call.message_since = Some(cx.now);
        let after_ms = call.answered.map(|moment| cx.now.millis_since(moment.at));
        if turn == Turn::Message
            && let Some(detail) = &mut call.amd_detail
        {
            detail.left_ms = after_ms;
        }
        self.set_call_state(id, CallState::Message);
        self.set_call_timer(cx.now, id, Some(self.config.message_max_ms));
        cx.out.push(Effect::Call(CallOrder::Play { call: id, prompt: prompt.clone(), repeat: false }));
        self.tell_call(cx, id, Event::CallMessage { prompt });
    }

    /// What was said to a machine or an assistant is over. False: nothing was said to one.
    pub(super) fn turn_played(&mut self, cx: &mut Cx<'_>, id: CallId, whole: bool) -> bool {
        let policy = self.machine_policy(id);
        let call = self.calls.get_mut(&id).expect("the caller has it");
        match call.turn {
            None => return false,
            // What was said before the verdict; it is waited for on.
            Some(Turn::Awaited) => {}
            Some(Turn::Assistant) => {
                call.turn = None;
                self.after_assistant(cx, id, policy.then);
            }
            Some(Turn::Message) => {
                if whole {
                    self.counters.messages_left += 1;
                } else if let Some(detail) = &mut call.amd_detail {
                    // A prompt that does not exist is told as played at once.
                    detail.left_ms = None;
                    self.counters.messages_missing += 1;
                }
                self.end_message(cx, id);
            }
        }
        true
    }

    fn after_assistant(&mut self, cx: &mut Cx<'_>, id: CallId, then: AssistantThen) {
        match then {
            AssistantThen::Hangup => self.end_as(cx, id, Outcome::Screening),
            AssistantThen::Agent => {
                let call = self.calls.get_mut(&id).expect("the caller has it");
                (call.conclusion, call.ledger) = (None, LedgerEntryState::Open);
                self.want_agent(cx, id);
            }
        }
    }
}
