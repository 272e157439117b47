//! Joining customer and agent, and what is played and recorded.

use super::{AgentLink, Call, CustomerState};
use crate::doors::ShardEffect;
use crate::shard::CallShard;
use dialer_core::outcome::Party;
use dialer_core::{CallFact, RecordingId};
use media::{PlayRequest, StreamKey, Tone};
use sansio::{Instant, Key, Outbox};

impl CallShard {
    /// Joins the two sides. An order that comes when one of them is not (or no longer) up is late: the fact that
    /// says so is on its way to the dialer.
    pub(crate) fn bridge(
        &mut self,
        now: Instant,
        key: Key<Call>,
        tone: bool,
        record: Option<RecordingId>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let agent_sound = self.agent_sound(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        let id = call.id;
        let (Some(customer), Some((agent_stream, agent_held))) = (call.answered_customer(), agent_sound)
        else {
            self.counters.orders_late += 1;
            return;
        };
        let (customer_stream, customer_held) = (customer.sound.stream, customer.held);
        if std::mem::replace(&mut call.bridged, true) {
            return;
        }
        call.playing = None;
        call.listening = false;
        if call.hears_music {
            call.hears_music = false;
            self.plane.stop_playing(now, customer_stream, &mut self.media_out);
        }
        self.plane.connect(now, customer_stream, agent_stream, &mut self.media_out);
        if tone {
            self.plane.tone(now, agent_stream, Tone::default(), &mut self.media_out);
        }
        self.settle_mix(now, key);
        self.tell(CallFact::Bridged { call: id }, out);
        for (held, party) in [(customer_held, Party::Customer), (agent_held, Party::Agent)] {
            if held {
                self.hold_changed(now, key, party, true);
                self.tell(CallFact::Held { call: id, party }, out);
            }
        }
        if let Some(recording) = record {
            if let Some(call) = self.calls.get_mut(key) {
                call.recording = Some(recording);
            }
            self.start_recording(now, id, recording, customer_stream, Some(agent_stream), out);
        }
    }

    /// Lets the agent hear the customer's line ring: its early media, if the network sends any. An order that comes
    /// after the answer, or without an agent, is late.
    pub(crate) fn let_hear(&mut self, now: Instant, key: Key<Call>) {
        let agent = self.agent_sound(key).map(|(stream, _)| stream);
        let customer = self.calls.get(key).and_then(|call| call.customer.as_ref());
        let ringing = customer.filter(|customer| customer.state == CustomerState::Ringing);
        match (ringing.map(|customer| customer.sound.stream), agent) {
            (Some(customer), Some(agent)) => {
                self.plane.connect(now, customer, agent, &mut self.media_out);
                if let Some(call) = self.calls.get_mut(key) {
                    call.listening = true;
                }
            }
            _ => self.counters.orders_late += 1,
        }
    }

    /// Plays a prompt to the customer, once or over and over. One that cannot be played is over at once.
    pub(crate) fn play(
        &mut self,
        now: Instant,
        key: Key<Call>,
        prompt: &str,
        repeat: bool,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let stream = call.answered_customer().map(|customer| customer.sound.stream);
        let (Some(stream), Some(samples)) = (stream, self.prompts.get(prompt)) else {
            let call = call.id;
            if !repeat {
                self.tell(CallFact::MessagePlayed { call }, out);
            }
            return;
        };
        self.play_tag += 1;
        call.playing = (!repeat).then_some(self.play_tag);
        call.hears_music = true;
        let request = PlayRequest { tag: self.play_tag, samples: samples.clone(), repeat };
        self.plane.play(now, stream, request, &mut self.media_out);
    }

    /// A prompt is over.
    pub(crate) fn play_done(
        &mut self,
        key: Key<Call>,
        tag: u64,
        completed: bool,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.playing != Some(tag) {
            return;
        }
        call.playing = None;
        if completed {
            let call = call.id;
            self.tell(CallFact::MessagePlayed { call }, out);
        }
    }

    /// The stream of an agent who can be talked to, and whether the agent holds us.
    pub(crate) fn agent_sound(&self, key: Key<Call>) -> Option<(StreamKey, bool)> {
        match self.calls.get(key)?.agent.as_ref()?.link {
            AgentLink::Ringing { .. } => None,
            AgentLink::Up { sound, held, .. } => Some((sound.stream, held)),
            AgentLink::Session(session) => {
                let session = self.sessions.get(session)?;
                Some((session.sound.stream, session.held))
            }
        }
    }
}
