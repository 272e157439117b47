//! What is heard while nobody talks: a nailed-up agent between calls, and who is on hold.

use super::{AgentLink, Call, Session};
use crate::shard::CallShard;
use dialer_core::outcome::Party;
use media::{PlayRequest, StreamKey};
use sansio::{Instant, Key};

impl CallShard {
    /// An agent's session is up and in no call.
    pub(crate) fn play_waiting(&mut self, now: Instant, key: Key<Session>) {
        let Some(session) = self.sessions.get(key).filter(|session| session.is_up()) else { return };
        let (stream, free) = (session.sound.stream, session.call.is_none());
        if free && let Some(prompt) = self.config.waiting_prompt.clone() {
            self.play_over_and_over(now, stream, &prompt);
        }
    }

    /// Who answers for an agent is asked for the key, until it is pressed.
    pub(crate) fn ask_to_confirm(&mut self, now: Instant, stream: StreamKey) {
        if let Some(prompt) = self.config.confirm_prompt.clone() {
            self.play_over_and_over(now, stream, &prompt);
        }
    }

    /// A side of a joined call went on hold or came back: the other one hears the tune meanwhile.
    pub(crate) fn hold_changed(&mut self, now: Instant, key: Key<Call>, by: Party, held: bool) {
        let Some(prompt) = self.config.hold_prompt.clone() else { return };
        let other = match by {
            Party::Agent => {
                self.calls.get(key).and_then(Call::answered_customer).map(|side| side.sound.stream)
            }
            _ => self.agent_sound(key).map(|(stream, _)| stream),
        };
        let joined = self.calls.get(key).is_some_and(|call| call.bridged);
        let Some(other) = other.filter(|_| joined) else { return };
        if held {
            self.play_over_and_over(now, other, &prompt);
        } else {
            self.plane.stop_playing(now, other, &mut self.media_out);
        }
    }

    /// The call a session's or an agent's leg is in.
    pub(crate) fn joined_call_of_session(&self, key: Key<Session>) -> Option<Key<Call>> {
        let call = self.sessions.get(key)?.call?;
        let side = self.calls.get(call)?.agent.as_ref()?;
        matches!(side.link, AgentLink::Session(session) if session == key).then_some(call)
    }

    pub(crate) fn play_over_and_over(&mut self, now: Instant, stream: StreamKey, prompt: &str) {
        if let Some(samples) = self.prompts.get(prompt) {
            let request = PlayRequest { tag: 0, samples: samples.clone(), repeat: true };
            self.plane.play(now, stream, request, &mut self.media_out);
        }
    }
}
