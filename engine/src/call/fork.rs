//! The fork of a call: its sound to someone outside, over a connection that the ground keeps.

use super::Call;
use crate::doors::{ForkId64, ForkInput, ForkOp, ShardEffect};
use crate::shard::CallShard;
use dialer_core::fork::{ForkEnd, ForkOrder, ForkSpeech};
use dialer_core::{CallFact, CallId, ForkId};
use media::{Ears, ForkWish, StreamKey};
use sansio::{Instant, Key, Outbox};

/// A fork whose end was not told yet.
#[derive(Debug)]
pub(crate) struct OpenFork {
    fork: ForkId,
    call: CallId,
    stream: StreamKey,
    up: bool,
}

/// The low half of a fork's name, which is random: its number in the media plane and on the ground.
fn number_of(fork: ForkId) -> ForkId64 {
    fork.to_bits() as u64
}

impl CallShard {
    /// Begins a fork of a stream that is there, or tells that it cannot be.
    pub(crate) fn start_fork(
        &mut self,
        now: Instant,
        id: CallId,
        stream: Option<StreamKey>,
        order: ForkOrder,
        out: &mut Outbox<ShardEffect>,
    ) {
        let fork = order.fork;
        let number = number_of(fork);
        let begun = stream.is_some_and(|stream| {
            let (inbound, outbound) = (order.config.tracks.inbound(), order.config.tracks.outbound());
            let mix = order.config.speech == ForkSpeech::Over;
            let wish = ForkWish { id: number, stream, inbound, outbound, mix };
            !self.forks.contains_key(&number) && self.plane.start_fork(now, wish).is_ok()
        });
        let Some(stream) = stream.filter(|_| begun) else {
            let reason = Some("the media plane refused it".to_owned());
            self.tell(CallFact::ForkEnded { call: id, fork, cause: ForkEnd::Refused, reason }, out);
            return;
        };
        self.forks.insert(number, OpenFork { fork, call: id, stream, up: false });
        out.push(ShardEffect::Fork(ForkOp::Open { fork: number, call: id, order: Box::new(order) }));
    }

    /// Ends a fork, once; its stream's last word closes the connection.
    pub(crate) fn end_fork(
        &mut self,
        number: ForkId64,
        cause: ForkEnd,
        reason: Option<String>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(open) = self.forks.remove(&number) else { return };
        self.plane.stop_fork(open.stream, &mut self.media_out);
        self.tell(CallFact::ForkEnded { call: open.call, fork: open.fork, cause, reason }, out);
    }

    /// The order to end it.
    pub(crate) fn stop_fork(&mut self, fork: ForkId, out: &mut Outbox<ShardEffect>) {
        self.end_fork(number_of(fork), ForkEnd::Stopped, None, out);
    }

    /// The call is over.
    pub(crate) fn end_fork_of_call(&mut self, key: Key<Call>, out: &mut Outbox<ShardEffect>) {
        let Some(id) = self.calls.get(key).map(|call| call.id) else { return };
        self.end_fork_named(id, out);
    }

    /// Someone else takes the place of the side that a call's fork is on: it goes on there.
    pub(crate) fn move_fork(&mut self, now: Instant, call: CallId, from: StreamKey, to: StreamKey) {
        let open = self.forks.values_mut().find(|open| open.call == call && open.stream == from);
        let Some(open) = open else { return };
        open.stream = to;
        self.plane.hand_over_fork(now, from, to);
        self.plane.listen(now, to, Ears { dtmf: true, ..Ears::default() });
    }

    /// The call of this name is over, or is joined to another one.
    pub(crate) fn end_fork_named(&mut self, call: CallId, out: &mut Outbox<ShardEffect>) {
        if let Some(number) = self.fork_of(call) {
            self.end_fork(number, ForkEnd::CallEnded, None, out);
        }
    }

    fn fork_of(&self, call: CallId) -> Option<ForkId64> {
        self.forks.iter().find(|(_, open)| open.call == call).map(|(number, _)| *number)
    }

    /// A digit that the customer pressed is told outside.
    pub(crate) fn fork_digit(&mut self, call: CallId, digit: char, out: &mut Outbox<ShardEffect>) {
        if let Some(fork) = self.fork_of(call) {
            out.push(ShardEffect::Fork(ForkOp::Digit { fork, digit }));
        }
    }

    /// What the media plane gives out.
    pub(crate) fn pass_fork_op(&mut self, op: media::ForkOp, out: &mut Outbox<ShardEffect>) {
        let op = match op {
            media::ForkOp::Sound { id, frame, inbound, outbound } => {
                ForkOp::Sound { fork: id, frame, inbound, outbound }
            }
            media::ForkOp::Mark { id, name } => ForkOp::Mark { fork: id, name },
            media::ForkOp::End { id } => {
                // Streams close for reasons of their own; then the fork is over without having been stopped.
                self.end_fork(id, ForkEnd::CallEnded, None, out);
                ForkOp::Close { fork: id }
            }
        };
        out.push(ShardEffect::Fork(op));
    }

    /// What comes from outside.
    pub(crate) fn fork_input(&mut self, number: ForkId64, input: ForkInput, out: &mut Outbox<ShardEffect>) {
        let Some(open) = self.forks.get_mut(&number) else { return };
        let (stream, call, fork) = (open.stream, open.call, open.fork);
        match input {
            ForkInput::Up => {
                if !std::mem::replace(&mut open.up, true) {
                    self.tell(CallFact::ForkStarted { call, fork }, out);
                }
            }
            ForkInput::Interrupted(reason) => {
                self.tell(CallFact::ForkInterrupted { call, fork, reason }, out);
            }
            ForkInput::Say(samples) => self.plane.fork_say(stream, &samples),
            ForkInput::Mark(name) => self.plane.fork_mark(stream, name),
            ForkInput::Clear => self.plane.fork_clear(stream),
            ForkInput::Down { cause, reason } => self.end_fork(number, cause, reason, out),
        }
    }
}
