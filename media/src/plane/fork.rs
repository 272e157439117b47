//! Forks: streams whose sound is given out, and to which someone outside may speak.

use super::{MediaError, Plane};
use crate::fork::Fork;
use crate::player::FRAME_SAMPLES;
use crate::rtp::Header;
use crate::{Codec, ForkOp, ForkWish, Output, Stream, StreamKey};
use sansio::{Instant, Outbox};

impl Plane {
    /// Gives out what a stream's far end says and hears, from the next tick on, until [`Plane::stop_fork`] or its
    /// end. One [`ForkOp::End`] follows.
    ///
    /// # Errors
    /// [`MediaError::UnknownStream`], [`MediaError::AlreadyForked`]: nothing was changed.
    pub fn start_fork(&mut self, now: Instant, wish: ForkWish) -> Result<(), MediaError> {
        let stream = self.streams.get_mut(wish.stream).ok_or(MediaError::UnknownStream)?;
        if stream.fork.is_some() {
            return Err(MediaError::AlreadyForked);
        }
        stream.fork = Some(Box::new(Fork::new(&wish)));
        self.counters.forks_started += 1;
        self.forks += 1;
        self.needs_tick(now, wish.stream);
        self.touch(wish.stream);
        Ok(())
    }

    /// Ends a stream's fork, if it has one. What waits to be said is not said.
    pub fn stop_fork(&mut self, stream: StreamKey, out: &mut Outbox<Output>) {
        if let Some(fork) = self.streams.get_mut(stream).and_then(|state| state.fork.take()) {
            self.forks -= 1;
            out.push(Output::Fork(ForkOp::End { id: fork.id }));
            self.touch(stream);
        }
    }

    /// A stream's fork goes on at another one, which takes its place in the call. Nothing when it has none, or the other
    /// has one already.
    pub fn hand_over_fork(&mut self, now: Instant, from: StreamKey, to: StreamKey) {
        let free = self.streams.get(to).is_some_and(|stream| stream.fork.is_none());
        let Some(stream) = self.streams.get_mut(from).filter(|_| free) else { return };
        let Some(fork) = stream.fork.take() else { return };
        if let Some(stream) = self.streams.get_mut(to) {
            stream.fork = Some(fork);
        }
        self.needs_tick(now, to);
        [from, to].into_iter().for_each(|stream| self.touch(stream));
    }

    /// Someone outside says this to the stream's far end: samples at 8,000 Hz, played after what waits already, at
    /// most 120 s of it.
    pub fn fork_say(&mut self, stream: StreamKey, samples: &[i16]) {
        if let Some(fork) = self.fork_of(stream) {
            let refused = fork.speech.add(samples);
            self.counters.fork_samples_refused += refused as u64;
        }
    }

    /// Someone outside wants to know when all was played that came before this: [`ForkOp::Mark`]. Beyond 256 that
    /// wait it is left out.
    pub fn fork_mark(&mut self, stream: StreamKey, name: String) {
        if let Some(fork) = self.fork_of(stream) {
            fork.speech.mark(name);
        }
    }

    /// Someone outside takes back what was not yet played; all marks are reached.
    pub fn fork_clear(&mut self, stream: StreamKey) {
        if let Some(fork) = self.fork_of(stream) {
            fork.speech.clear();
            self.touch(stream);
        }
    }

    fn fork_of(&mut self, stream: StreamKey) -> Option<&mut Fork> {
        self.streams.get_mut(stream)?.fork.as_deref_mut()
    }

    /// Sound that came in: for the fork of who says it, and for that of who hears it by the relay.
    pub(super) fn hear_forks(&mut self, key: StreamKey, header: &Header, codec: Codec, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.muted) else { return };
        let place = (header.ssrc, header.timestamp);
        let peer = stream.peer;
        if let Some(inbound) = stream.fork.as_mut().and_then(|fork| fork.inbound()) {
            inbound.push(place, codec, payload);
        }
        let Some(peer) = peer.and_then(|peer| self.streams.get_mut(peer)) else { return };
        let hears_own = peer.hears_own();
        let Some(fork) = &mut peer.fork else { return };
        if let Some(under) = fork.under() {
            under.push(place, codec, payload);
        }
        if let Some(outbound) = fork.outbound().filter(|_| !hears_own) {
            outbound.push(place, codec, payload);
        }
    }

    /// A fork takes what comes from this stream: its own, or that of who hears it by the relay.
    pub(super) fn is_forked(&self, key: StreamKey) -> bool {
        self.forks > 0
            && self
                .streams
                .get(key)
                .is_some_and(|stream| stream.fork.is_some() || self.peer_is_forked(stream))
    }

    /// Who hears this stream by the relay has a fork.
    pub(super) fn peer_is_forked(&self, stream: &Stream) -> bool {
        self.forks > 0
            && stream.peer.and_then(|peer| self.streams.get(peer)).is_some_and(|peer| peer.fork.is_some())
    }

    pub(super) fn audit_forks(&self, findings: &mut Vec<String>) {
        let forked = self.streams.iter().filter(|(_, stream)| stream.fork.is_some()).count();
        if forked as u64 != self.forks {
            findings.push(format!("{forked} streams are forked and {} are counted", self.forks));
        }
    }
}

/// Gives out one tick of a stream's fork. `own`: the frame the plane has sent to it, if it has, without what came from
/// outside, which does not go back there.
pub(super) fn give_out(stream: &mut Stream, own: Option<&[i16; FRAME_SAMPLES]>, out: &mut Outbox<Output>) {
    let Some(fork) = &mut stream.fork else { return };
    let taken = fork.take(own);
    let id = fork.id;
    let samples = |frame: Option<Box<[i16; FRAME_SAMPLES]>>| frame.map(|frame| frame as Box<[i16]>);
    let (inbound, outbound) = (samples(taken.inbound), samples(taken.outbound));
    out.push(Output::Fork(ForkOp::Sound { id, frame: taken.frame, inbound, outbound }));
    while let Some(name) = fork.speech.reached() {
        out.push(Output::Fork(ForkOp::Mark { id, name }));
    }
}
