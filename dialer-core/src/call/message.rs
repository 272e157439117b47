//! Agentless calls: who answers hears a message, and that is all.
//!
//! No agent is wanted, so nobody can be abandoned: these answers enter no abandonment ledger.

use crate::config::DialMode;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::CallId;
use crate::outcome::{AmdVerdict, EndCause, Evidence, Outcome, Party};
use crate::view::CallState;

impl super::Call {
    /// Dialled without agents.
    pub(crate) fn is_agentless(&self) -> bool {
        self.mode == Some(DialMode::Agentless)
    }
}

impl Dialer {
    /// Plays the campaign's message to who answered.
    pub(super) fn play_message(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get_mut(&id));
        let prompt = campaign.and_then(|campaign| {
            campaign.counts.connected += 1;
            campaign.row.config.message_prompt.clone()
        });
        let Some(prompt) = prompt else {
            let conclusion = Some((Outcome::Cancelled, Evidence::Timer));
            self.hang_up(cx, id, EndCause::Normal, Party::System, conclusion);
            return;
        };
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.message_since = Some(cx.now);
        call.conclusion = Some((Outcome::Connected, Evidence::Timer));
        self.set_call_state(id, CallState::Message);
        self.set_call_timer(cx.now, id, Some(self.config.message_max_ms));
        cx.out.push(Effect::Call(CallOrder::Play { call: id, prompt: prompt.clone(), repeat: false }));
        self.tell_call(cx, id, Event::CallMessage { prompt });
    }

    /// The message is over. One that was over at once was not there to be played.
    pub(super) fn message_heard(&mut self, id: CallId, whole: bool) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        if whole {
            self.counters.messages_played += 1;
        } else {
            call.conclusion = Some((Outcome::Cancelled, Evidence::Timer));
            self.counters.messages_missing += 1;
        }
    }

    /// A machine hears the message: it is left there, and the record says so. Where it is to be left behind the beep it
    /// begins anew then.
    pub(super) fn message_to_machine(&mut self, cx: &mut Cx<'_>, id: CallId, verdict: AmdVerdict) {
        let campaign = self.calls[&id].campaign.and_then(|id| self.campaigns.get(&id));
        if campaign.is_some_and(|campaign| campaign.row.config.machine_policy.awaits_turn()) {
            self.machine_answered(cx, id, verdict);
            return;
        }
        let call = self.calls.get_mut(&id).expect("the caller has it");
        let outcome = if verdict == AmdVerdict::Fax { Outcome::Fax } else { Outcome::Machine };
        call.conclusion = Some((outcome, Evidence::Amd));
        if let Some(campaign) = call.campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.counts.machines += 1;
            campaign.counts.connected = campaign.counts.connected.saturating_sub(1);
        }
    }
}
