//! The loop of a shard: one pinned thread, a tokio-uring runtime, one machine.
//!
//! Readiness of all the shard's sockets is one epoll set watched by the runtime; reading is done in batches by
//! plain system calls (measured faster than one ring operation per datagram, and nothing is lost when a future is
//! dropped), recordings go to disk through the ring.

use crate::clock::Clock;
use crate::ground::{Ground, Ready, SocketKind};
use crate::mailbox::Receiver;
use crate::recorder::{HeaderOf, RecordResult, Recorder};
use crate::udp::{ReceiveBatch, pin_to_core};
use bytes::Bytes;
use sansio::Instant;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What runs on a shard. All calls come from the shard's thread.
pub trait ShardMachine {
    /// Orders from other threads.
    type Command: Send + 'static;

    /// A datagram came to a listener.
    fn datagram(&mut self, now: Instant, listener: u8, source: SocketAddr, bytes: Bytes, ground: &mut Ground);
    /// A media packet came to a stream's socket; it may be edited and sent on.
    fn packet(
        &mut self,
        now: Instant,
        stream: u64,
        kind: SocketKind,
        source: SocketAddr,
        packet: &mut [u8],
        ground: &mut Ground,
    );
    /// An order. `false` ends the shard.
    fn command(&mut self, now: Instant, command: Self::Command, ground: &mut Ground) -> bool;
    /// A recording is complete or lost.
    fn recorded(&mut self, now: Instant, result: RecordResult, ground: &mut Ground);
    /// When to wake.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Time has come.
    fn timeout(&mut self, now: Instant, ground: &mut Ground);
    /// All that was ready has been handled: pass on what has gathered.
    fn turn_ended(&mut self, now: Instant, ground: &mut Ground);
}

/// How a shard is set up.
pub struct ShardOptions {
    /// Thread name.
    pub name: String,
    /// Pin to this core.
    pub core: Option<usize>,
    /// Bound signalling sockets.
    pub listeners: Vec<UdpSocket>,
    /// Address media ports are opened on.
    pub media_address: IpAddr,
    /// Where recordings go.
    pub recordings: PathBuf,
    /// Makes their header.
    pub header_of: HeaderOf,
    /// Recording bytes that may wait for the disk.
    pub recording_bytes_waiting_max: usize,
    /// Longest time between two turns seen, nanoseconds (a metric; reset by the reader).
    pub longest_turn_ns: Arc<AtomicU64>,
}

/// Starts a shard. `make` builds its machine, again after a panic: that panic has cost this shard's calls, whose
/// records `make` sees to (it is told how many panics there were before), and the shard starts clean.
///
/// # Errors
/// When no thread can be made.
pub fn spawn_shard<M: ShardMachine>(
    options: ShardOptions,
    clock: Clock,
    mut receiver: Receiver<M::Command>,
    mut make: impl FnMut(u32) -> M + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(options.name.clone()).spawn(move || {
        if let Some(core) = options.core
            && !pin_to_core(core)
        {
            tracing::warn!(core, "could not pin the shard to its core");
        }
        let mut panics = 0;
        loop {
            let listeners =
                options.listeners.iter().map(UdpSocket::try_clone).collect::<io::Result<Vec<_>>>()?;
            let machine = make(panics);
            let run = AssertUnwindSafe(|| {
                tokio_uring::start(run(&options, listeners, clock, &mut receiver, machine))
            });
            match std::panic::catch_unwind(run) {
                Ok(result) => return result,
                Err(_) => {
                    panics += 1;
                    tracing::error!(shard = options.name, panics, "a shard panicked and starts clean");
                }
            }
        }
    })
}

/// Media packets are at most this long; longer ones are cut off by the kernel and then fail their checks.
const PACKET_BYTES_MAX: usize = 2048;
const COMMANDS_PER_TURN: usize = 256;
/// A busy shard lets its recordings write after so many turns.
const TURNS_BEFORE_YIELD: u32 = 8;

async fn run<M: ShardMachine>(
    options: &ShardOptions,
    listeners: Vec<UdpSocket>,
    clock: Clock,
    receiver: &mut Receiver<M::Command>,
    mut machine: M,
) -> io::Result<()> {
    let (recorder, mut recorded) =
        Recorder::new(&options.recordings, options.header_of, options.recording_bytes_waiting_max);
    let mut ground = Ground::new(listeners, options.media_address, recorder)?;
    let readiness = ground.poller().readiness()?;
    let mut turn = Turn::default();
    let mut busy_turns = 0;
    loop {
        let started = clock.now();
        let mut worked = turn.sockets(started, &clock, &mut machine, &mut ground);
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = receiver.try_recv() else { break };
            worked = true;
            if !machine.command(clock.now(), command, &mut ground) {
                machine.turn_ended(clock.now(), &mut ground);
                ground.flush();
                return finish(machine, ground, recorded, clock).await;
            }
        }
        while let Ok(result) = recorded.try_recv() {
            machine.recorded(clock.now(), result, &mut ground);
        }
        let now = clock.now();
        if machine.poll_timeout().is_some_and(|at| at <= now) {
            machine.timeout(now, &mut ground);
        }
        machine.turn_ended(now, &mut ground);
        ground.flush();
        options.longest_turn_ns.fetch_max(clock.now().since(started).as_nanos() as u64, Ordering::Relaxed);
        if worked {
            busy_turns += 1;
            if busy_turns >= TURNS_BEFORE_YIELD {
                busy_turns = 0;
                tokio::task::yield_now().await;
            }
            continue;
        }
        busy_turns = 0;
        let wake = machine.poll_timeout().unwrap_or_else(|| clock.now() + Duration::from_secs(1));
        let mut early = None;
        tokio::select! {
            biased;
            ready = readiness.readable() => ready?.clear_ready(),
            command = receiver.recv() => match command {
                Some(command) => early = Some(command),
                None => return finish(machine, ground, recorded, clock).await,
            },
            result = recorded.recv() => if let Some(result) = result {
                machine.recorded(clock.now(), result, &mut ground);
            },
            () = tokio::time::sleep_until(clock.to_tokio(wake)) => {}
        }
        if let Some(command) = early
            && !machine.command(clock.now(), command, &mut ground)
        {
            machine.turn_ended(clock.now(), &mut ground);
            ground.flush();
            return finish(machine, ground, recorded, clock).await;
        }
    }
}

/// Waits for recordings that are being completed, at most this long.
const RECORDINGS_GRACE: Duration = Duration::from_secs(5);

async fn finish<M: ShardMachine>(
    mut machine: M,
    mut ground: Ground,
    mut recorded: tokio::sync::mpsc::UnboundedReceiver<RecordResult>,
    clock: Clock,
) -> io::Result<()> {
    ground.close_recorder();
    let deadline = tokio::time::Instant::now() + RECORDINGS_GRACE;
    while let Ok(Some(result)) = tokio::time::timeout_at(deadline, recorded.recv()).await {
        machine.recorded(clock.now(), result, &mut ground);
        machine.turn_ended(clock.now(), &mut ground);
    }
    Ok(())
}

/// Buffers of the loop, reused.
#[derive(Default)]
struct Turn {
    batch: ReceiveBatch,
    marks: Vec<u64>,
    ready: Vec<Ready>,
    datagrams: Vec<(SocketAddr, Bytes)>,
}

impl Turn {
    /// Handles everything that is readable now, once. True when there was anything.
    fn sockets<M: ShardMachine>(
        &mut self,
        now: Instant,
        clock: &Clock,
        machine: &mut M,
        ground: &mut Ground,
    ) -> bool {
        ground.ready(&mut self.marks, &mut self.ready);
        let mut now = now;
        let mut packet = [0_u8; PACKET_BYTES_MAX];
        for (index, ready) in self.ready.iter().enumerate() {
            if index % 64 == 63 {
                now = clock.now();
            }
            match ready {
                Ready::Listener(listener) => {
                    self.datagrams.clear();
                    if let Err(error) =
                        ground.receive_listener(*listener, &mut self.batch, &mut self.datagrams)
                    {
                        tracing::warn!(%error, listener, "receiving failed");
                    }
                    for (source, bytes) in self.datagrams.drain(..) {
                        machine.datagram(now, *listener as u8, source, bytes, ground);
                    }
                }
                Ready::Media(mark) => {
                    if let Some((stream, kind, source, length)) = ground.receive_media(*mark, &mut packet) {
                        machine.packet(now, stream, kind, source, &mut packet[..length], ground);
                    }
                }
            }
        }
        !self.ready.is_empty()
    }
}
