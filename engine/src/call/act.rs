//! What is done with a live call from above.

use super::Call;
use super::transfer::Transfer;
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner, Why};
use dialer_core::CallFact;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::{CallAct, Sides, Way};
use media::{PlayRequest, StreamKey};
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::Reason;

/// Whom nobody hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Muted {
    pub(crate) customer: bool,
    pub(crate) agent: bool,
}

impl CallShard {
    /// One order about a live call.
    pub(crate) fn act(&mut self, now: Instant, key: Key<Call>, act: CallAct, out: &mut Outbox<ShardEffect>) {
        match act {
            CallAct::Join { leg, way, mode, ring_timeout_ms } => {
                self.join(now, key, leg, &way, mode, ring_timeout_ms, out);
            }
            CallAct::SetMode { leg, mode } => self.set_mode(now, key, leg, mode, out),
            CallAct::Drop { leg } => match self.participant_of(key, leg) {
                Some(participant) => self.drop_participant(now, participant, EndCause::Normal, out),
                None => self.counters.orders_late += 1,
            },
            CallAct::Hold(on) => self.hold(now, key, on, out),
            CallAct::Mute { party, muted } => {
                if let Some(call) = self.calls.get_mut(key) {
                    let place =
                        if party == Party::Agent { &mut call.muted.agent } else { &mut call.muted.customer };
                    *place = muted;
                    self.settle_mix(now, key);
                }
            }
            CallAct::Press { to, digits, duration_ms } => {
                let to = if to == Party::Agent { Sides::Agent } else { Sides::Customer };
                for stream in self.streams_of(key, to) {
                    self.plane.press(now, stream, &digits, duration_ms);
                }
            }
            CallAct::Play { to, prompt } => {
                let Some(samples) = self.prompts.get(&prompt).cloned() else { return };
                for stream in self.streams_of(key, to) {
                    self.play_tag += 1;
                    let (tag, samples) = (self.play_tag, samples.clone());
                    let request = PlayRequest { tag, samples, repeat: false };
                    self.plane.play(now, stream, request, &mut self.media_out);
                }
            }
            CallAct::StopPlay(to) => {
                for stream in self.streams_of(key, to) {
                    self.plane.stop_playing(now, stream, &mut self.media_out);
                }
            }
            CallAct::Park => self.park(now, key, out),
            CallAct::Record(act) => self.record(now, key, act, out),
            CallAct::StartFork(order) => {
                let Some(call) = self.calls.get(key) else { return };
                let (id, stream) = (call.id, call.answered_customer().map(|side| side.sound.stream));
                self.start_fork(now, id, stream, *order, out);
            }
            CallAct::StopFork(fork) => self.stop_fork(fork, out),
            CallAct::Transfer { to, way, ring_timeout_ms } => {
                self.transfer_to(now, key, to, &way, ring_timeout_ms, out);
            }
        }
    }

    fn streams_of(&self, key: Key<Call>, sides: Sides) -> Vec<StreamKey> {
        let customer = self.calls.get(key).and_then(Call::answered_customer).map(|side| side.sound.stream);
        let agent = self.agent_sound(key).map(|(stream, _)| stream);
        match sides {
            Sides::Customer => customer.into_iter().collect(),
            Sides::Agent => agent.into_iter().collect(),
            Sides::Both => customer.into_iter().chain(agent).collect(),
        }
    }

    /// The customer waits with the tune and hears nobody, or is back.
    fn hold(&mut self, now: Instant, key: Key<Call>, on: bool, out: &mut Outbox<ShardEffect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if !call.bridged || std::mem::replace(&mut call.held, on) == on {
            return;
        }
        let id = call.id;
        self.hold_changed(now, key, Party::Agent, on);
        self.settle_mix(now, key);
        let party = Party::Api;
        let fact =
            if on { CallFact::Held { call: id, party } } else { CallFact::Resumed { call: id, party } };
        self.tell(fact, out);
    }

    /// The customer is set aside: nobody has the agent's seat, and the tune is heard until somebody has.
    fn park(&mut self, now: Instant, key: Key<Call>, out: &mut Outbox<ShardEffect>) {
        let Some(call) = self.calls.get_mut(key).filter(|call| call.bridged) else {
            self.counters.orders_late += 1;
            return;
        };
        (call.held, call.muted) = (false, Muted::default());
        call.hears_music = true;
        self.drop_guest(now, key, Reason::default());
        self.drop_agent_side(now, key, EndCause::Normal, None, out);
        let customer = self.calls.get(key).and_then(Call::answered_customer).map(|side| side.sound.stream);
        if let (Some(stream), Some(prompt)) = (customer, self.config.hold_prompt.clone()) {
            self.play_over_and_over(now, stream, &prompt);
        }
    }

    /// Calls someone who is to take the agent's place.
    fn transfer_to(
        &mut self,
        now: Instant,
        key: Key<Call>,
        to: String,
        way: &Way,
        ring_timeout_ms: u32,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let id = call.id;
        let agent = call.own_agent().filter(|_| call.bridged && call.transfer.is_none());
        let called = match agent.map(|side| side.agent) {
            Some(agent) => self.call_by(now, key, Owner::Guest(key), way).map(|(guest, _)| (agent, guest)),
            None => Err(EndCause::Failed),
        };
        match called {
            Ok((agent, guest)) => {
                if guest.trunk.is_some() {
                    self.agents.begin_call(agent);
                }
                let longest = Duration::from_millis(u64::from(ring_timeout_ms));
                let deadline = self.deadlines.arm(now + longest, Why::GuestRingsTooLong(key));
                let transfer = Transfer::ordered(agent, guest, to, deadline);
                if let Some(call) = self.calls.get_mut(key) {
                    call.transfer = Some(Box::new(transfer));
                }
            }
            Err(cause) => {
                let sip_code = if cause == EndCause::NotRegistered { 480 } else { 503 };
                self.tell(CallFact::TransferFailed { call: id, to, sip_code }, out);
            }
        }
    }
}
