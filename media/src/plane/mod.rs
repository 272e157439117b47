//! The plane: all streams of one shard.

mod fork;
mod listen;
mod mix;
mod offload;
mod packet;
mod record;
mod report;
mod secure;
mod sweep;
mod translate;
mod voice;
mod webrtc;

pub use mix::MIX_SOURCES_MAX;
pub(crate) use mix::Voice;

use crate::announcement::Book;
use crate::ports::PortPool;
use crate::recorder::Recorder;
use crate::{
    Codec, Coded, Config, Counters, Event, FailedReason, Output, PacketKind, Remote, Stream, StreamKey,
    StreamQuality, StreamStats,
};
use bytes::BytesMut;
use sansio::{Instant, Key, Outbox, Rng, Slab};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Why the plane refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaError {
    /// Limit: every port pair is in use or in quarantine.
    NoPorts,
    /// Limit: [`Config::streams_max`].
    StreamsExhausted,
    /// Limit: [`Config::recordings_max`].
    RecordingsExhausted,
    /// Misuse: that stream is not open (any more).
    UnknownStream,
    /// Misuse: the recording's id is running already, or one of its streams is being recorded.
    AlreadyRecording,
    /// Misuse: the stream has a fork already.
    AlreadyForked,
    /// Misuse: no recording of that id is running.
    UnknownRecording,
    /// The codec of one of the streams is not decoded here (G.729): there would be silence.
    CannotDecode,
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaError::NoPorts => "no media port pair is free",
            MediaError::StreamsExhausted => "too many media streams",
            MediaError::RecordingsExhausted => "too many recordings",
            MediaError::UnknownStream => "the media stream is not open",
            MediaError::AlreadyRecording => "the stream is being recorded already",
            MediaError::AlreadyForked => "the stream is forked already",
            MediaError::UnknownRecording => "no such recording is running",
            MediaError::CannotDecode => "the codec of this call (G.729) is relayed and cannot be decoded",
        })
    }
}

impl std::error::Error for MediaError {}

/// How sound is coded: what stands for it inside, and what was agreed on where that is not G.711.
pub type Coding = (Codec, Option<Coded>);

/// All streams of one shard, and what they say, hear and record. See the crate's documentation.
#[derive(Debug)]
pub struct Plane {
    config: Config,
    rng: Rng,
    /// Makes each stream's name in RTCP one that nobody can tell from another's.
    name_seed: u64,
    ports: PortPool,
    streams: Slab<Stream>,
    recorders: Slab<Recorder>,
    recordings: BTreeMap<u64, Key<Recorder>>,
    counters: Counters,
    announcements: Arc<Book>,
    /// Streams that need the playout tick, in the order in which they began to.
    ticking: Vec<StreamKey>,
    /// Streams that others hear in their mixes.
    voices: Vec<StreamKey>,
    /// Streams with a fork.
    forks: u64,
    next_tick: Option<Instant>,
    next_sweep: Option<Instant>,
    sweep_slice: u32,
    /// Memory for the frames of one tick.
    arena: BytesMut,
    /// Streams whose sound may or may no longer be left to the ground.
    touched: Vec<StreamKey>,
    /// Of these, those whose rule is to begin anew.
    anew: Vec<StreamKey>,
    /// Closed streams whose last counts have not come yet.
    closing: Vec<(StreamKey, crate::offload::Armed)>,
    /// Memory for one sweep: streams that were sent nothing for long.
    unsent: Vec<StreamKey>,
    /// The same: streams whose sound stopped or came back.
    changed: Vec<(StreamKey, crate::AudioState)>,
}

impl Plane {
    /// An empty plane. `rng` picks ports, SSRCs and first sequence numbers; seed it from entropy in production.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let ports = PortPool::new(&config.ports, config.port_quarantine, &mut rng);
        let streams = Slab::with_limit(config.streams_max);
        let recorders = Slab::with_limit(config.recordings_max);
        Plane {
            // Ports are held before the first stream wants some.
            next_sweep: (config.ports_held > 0).then_some(Instant::ZERO),
            config,
            name_seed: rng.next_u64(),
            rng,
            ports,
            streams,
            recorders,
            recordings: BTreeMap::new(),
            counters: Counters::default(),
            announcements: Arc::default(),
            ticking: Vec::new(),
            voices: Vec::new(),
            forks: 0,
            next_tick: None,
            sweep_slice: 0,
            arena: BytesMut::new(),
            touched: Vec::new(),
            anew: Vec::new(),
            closing: Vec::new(),
            unsent: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// Opens a stream on a free port pair and asks for its sockets ([`Output::OpenPorts`]).
    ///
    /// * `owner` comes back in every event of the stream
    ///
    /// # Errors
    /// [`MediaError::NoPorts`], [`MediaError::StreamsExhausted`]: nothing was changed.
    pub fn open(
        &mut self,
        now: Instant,
        owner: u64,
        out: &mut Outbox<Output>,
    ) -> Result<StreamKey, MediaError> {
        if self.streams.len() >= self.config.streams_max {
            return Err(MediaError::StreamsExhausted);
        }
        let Some(rtp_port) = self.ports.take(now) else {
            self.counters.ports_exhausted += 1;
            return Err(MediaError::NoPorts);
        };
        let stream = Stream::new(owner, rtp_port, now, &mut self.rng);
        let Ok(key) = self.streams.insert(stream) else {
            self.ports.give_back(now, rtp_port);
            return Err(MediaError::StreamsExhausted);
        };
        if self.next_sweep.is_none() {
            self.next_sweep = Some(now + self.sweep_every());
        }
        out.push(Output::OpenPorts { stream: key, rtp_port, rtcp_port: rtp_port + 1 });
        self.hold_ports(now, out);
        Ok(key)
    }

    fn hold_ports(&mut self, now: Instant, out: &mut Outbox<Output>) {
        self.ports.forget_refusals();
        self.hold_more_ports(now, out);
    }

    fn hold_more_ports(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while let Some(rtp_port) = self.ports.hold(now, self.config.ports_held) {
            out.push(Output::HoldPorts { rtp_port, rtcp_port: rtp_port + 1 });
        }
    }

    /// The edge could not bind a pair that it was to hold. `taken`: another program has it, so another one is held in
    /// its place; else nothing can be bound just now.
    pub fn ports_not_held(&mut self, now: Instant, rtp_port: u16, taken: bool, out: &mut Outbox<Output>) {
        if self.ports.not_held(now, rtp_port, taken) {
            self.hold_more_ports(now, out);
        }
    }

    /// The stream's RTP port, for the SDP; RTCP is the next one.
    #[must_use]
    pub fn local_port(&self, stream: StreamKey) -> Option<u16> {
        self.streams.get(stream).map(|stream| stream.rtp_port)
    }

    /// The edge could not bind the stream's ports: reports [`Event::Failed`] once. The stream stays (silent)
    /// until it is closed; no [`Output::ClosePorts`] will follow.
    pub fn ports_failed(&mut self, _now: Instant, stream: StreamKey, out: &mut Outbox<Output>) {
        if let Some(state) = self.streams.get_mut(stream)
            && !state.ports_failed
        {
            state.ports_failed = true;
            let reason = FailedReason::PortsUnavailable;
            out.push(Output::Event(Event::Failed { stream, owner: state.owner, reason }));
        }
    }

    /// Sets what offer and answer settled; again at each re-INVITE. Another address than before forgets where
    /// the far end was latched.
    pub fn set_remote(&mut self, now: Instant, stream: StreamKey, remote: Remote, out: &mut Outbox<Output>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let before = state.remote.replace(remote);
        if before.is_some_and(|before| before.rtp != remote.rtp) {
            unlatch(stream, state, PacketKind::Rtp, out);
            unlatch(stream, state, PacketKind::Rtcp, out);
        } else if before.is_some_and(|before| before.rtcp_address() != remote.rtcp_address()) {
            unlatch(stream, state, PacketKind::Rtcp, out);
        }
        webrtc::leave(stream, state.secure_as(now, remote.security), out);
        if before.is_none_or(|before| before.sends != remote.sends || before.receives != remote.receives) {
            state.silent_since = now;
            state.sender.forget_source();
            state.rewatch(now);
        }
        state.code_as(remote.coded);
        self.settle_translation(now, stream);
        self.touch(stream);
    }

    /// Says from which host the far end's signalling comes: its sound may come from there, too, when its description names an
    /// address behind a NAT.
    pub fn signalled_from(&mut self, stream: StreamKey, host: IpAddr) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.signaller = Some(host);
        }
    }

    /// Bridges two streams, both ways. A former peer of either is left alone; a prompt playing to either ends at
    /// once, so that the next packet is heard. Streams that are not open are ignored, as is a stream with itself.
    pub fn connect(&mut self, now: Instant, a: StreamKey, b: StreamKey, out: &mut Outbox<Output>) {
        if a == b || !self.streams.contains(a) || !self.streams.contains(b) {
            return;
        }
        if self.peer(a) != Some(b) {
            self.disconnect(now, a);
            self.disconnect(now, b);
        }
        for (stream, peer) in [(a, b), (b, a)] {
            self.stop_playing(now, stream, out);
            if let Some(state) = self.streams.get_mut(stream) {
                state.peer = Some(peer);
                state.rewatch(now);
            }
            self.touch(stream);
        }
        self.settle_translation(now, a);
    }

    /// Ends the bridge `a` is in, if any.
    pub fn disconnect(&mut self, now: Instant, a: StreamKey) {
        self.touch(a);
        let Some(b) = self.streams.get_mut(a).and_then(|stream| stream.peer.take()) else { return };
        if let Some(other) = self.streams.get_mut(b) {
            other.peer = None;
            other.sender.forget_source();
            other.rewatch(now);
        }
        if let Some(stream) = self.streams.get_mut(a) {
            stream.sender.forget_source();
            stream.rewatch(now);
        }
        self.settle_translation(now, a);
        self.settle_translation(now, b);
    }

    /// Counts from now on for how long no sound has come from a stream that is bridged, and takes it for flowing.
    pub fn watch_anew(&mut self, now: Instant, stream: StreamKey) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.rewatch(now);
        }
    }

    /// Says whose a stream is from now on; its later events carry `owner`.
    pub fn adopt(&mut self, stream: StreamKey, owner: u64) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.owner = owner;
        }
    }

    /// The stream this one is bridged to.
    #[must_use]
    pub fn peer(&self, stream: StreamKey) -> Option<StreamKey> {
        self.streams.get(stream).and_then(|stream| stream.peer)
    }

    /// Closes a stream: its bridge, prompt and recording end, and its ports with it. Nothing if it is closed.
    pub fn close(&mut self, now: Instant, stream: StreamKey, out: &mut Outbox<Output>) {
        if !self.streams.contains(stream) {
            return;
        }
        self.disconnect(now, stream);
        self.stop_playing(now, stream, out);
        self.leave_mix(now, stream);
        self.leave_recording(now, stream, out);
        self.stop_fork(stream, out);
        self.leave_offload(stream, out);
        self.say_bye(now, stream, out);
        let Some(state) = self.streams.remove(stream) else { return };
        self.counters.no_media += u64::from(state.never_heard());
        webrtc::leave(stream, state.webrtc, out);
        if state.ports_failed {
            self.ports.keep_out(now, state.rtp_port);
        } else {
            let rtp_port = state.rtp_port;
            self.ports.give_back(now, rtp_port);
            out.push(Output::ClosePorts { stream, rtp_port, rtcp_port: rtp_port + 1 });
        }
        if state.ticking {
            self.ticking.retain(|key| *key != stream);
        }
    }

    /// When [`Plane::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.next_tick, self.next_sweep) {
            (Some(tick), Some(sweep)) => Some(tick.min(sweep)),
            (one, other) => one.or(other),
        }
    }

    /// Does all that is due: playout, timeouts, recordings' batches. Called early it does nothing.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.next_tick.is_some_and(|at| at <= now) {
            self.tick(now, out);
        }
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep(now, out);
            self.next_sweep = (!self.streams.is_empty()).then(|| now + self.sweep_every());
        }
        self.settle_offload(now, out);
    }

    /// Counts since the start, and gauges.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            streams_open: self.streams.len() as u64,
            recordings_active: self.recorders.len() as u64,
            forks_active: self.forks,
            port_pairs_in_use: self.ports.in_use() as u64,
            port_pairs_total: self.ports.total() as u64,
            ..self.counters
        }
    }

    /// Reception statistics of a stream.
    #[must_use]
    pub fn stats(&self, stream: StreamKey) -> Option<StreamStats> {
        let stream = self.streams.get(stream)?;
        Some(StreamStats {
            received: stream.reception.received,
            lost: stream.reception.lost(),
            jitter_ms: stream.reception.jitter_ms(),
            sent: stream.sender.packets,
            last_packet_at: stream.last_packet_at,
            latched: stream.rtp.address,
            ssrc: stream.reception.started.then_some(stream.reception.ssrc),
        })
    }

    /// How the far end was heard and heard us; `None` before its description came.
    #[must_use]
    pub fn quality(&self, now: Instant, stream: StreamKey) -> Option<StreamQuality> {
        let coding = self.coding(stream)?;
        let stream = self.streams.get(stream)?;
        Some(stream.quality.sum(now, stream.last_packet_at, coding, &stream.reception, &stream.sender))
    }

    /// How the far end's sound is coded; `None` before its description came.
    #[must_use]
    pub fn coding(&self, stream: StreamKey) -> Option<Coding> {
        let remote = self.streams.get(stream)?.remote?;
        Some((remote.codec, remote.coded))
    }

    /// How sound is coded that is translated for someone else at this moment: from what into what, once for each
    /// direction of a bridge whose sides speak differently.
    pub fn translated(&self) -> impl Iterator<Item = (Coding, Coding)> + '_ {
        self.streams.iter().filter_map(|(key, stream)| {
            let (from, to) = (self.coding(key)?, self.coding(stream.peer?)?);
            let differs = match (from.1, to.1) {
                (None, None) => from.0 != to.0,
                (from, to) => from != to,
            };
            differs.then_some((from, to))
        })
    }

    /// Begins a stream's [`Plane::quality`] anew: a stream that stays up begins another call.
    pub fn measure_anew(&mut self, stream: StreamKey) {
        if let Some(state) = self.streams.get_mut(stream) {
            let watched_since = state.quality.watched_since;
            state.quality.restart(&state.reception, &state.sender);
            state.quality.watched_since = watched_since;
        }
    }

    /// Broken invariants, in words; empty when all is well.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (key, stream) in self.streams.iter() {
            if let Some(peer) = stream.peer
                && self.peer(peer) != Some(key)
            {
                findings.push(format!("stream {key:?} is bridged to {peer:?}, which is not bridged to it"));
            }
            if stream.ticking != self.ticking.contains(&key) {
                findings.push(format!("stream {key:?} and the list of ticking streams disagree"));
            }
        }
        self.audit_mixes(&mut findings);
        self.audit_recordings(&mut findings);
        self.audit_forks(&mut findings);
        if self.ports.in_use() != self.streams.len() {
            let (ports, streams) = (self.ports.in_use(), self.streams.len());
            findings.push(format!("{ports} port pairs in use by {streams} streams"));
        }
        if self.ticking.iter().any(|key| !self.streams.contains(*key)) {
            findings.push("a closed stream is still ticking".into());
        }
        findings
    }

    /// True when no stream, port or recording is left.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.streams.is_empty()
            && self.ports.in_use() == 0
            && self.ticking.is_empty()
            && self.voices.is_empty()
            && self.forks == 0
            && self.recorders.is_empty()
            && self.closing.is_empty()
            && self.recordings.is_empty()
    }
}

fn unlatch(key: StreamKey, stream: &mut Stream, kind: PacketKind, out: &mut Outbox<Output>) {
    let latch = std::mem::take(stream.latch_mut(kind));
    if latch.announced {
        out.push(Output::Unlatched { stream: key, kind });
    }
}
