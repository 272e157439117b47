//! The loop of a shard: one pinned thread, a tokio-uring runtime, one machine.
//!
//! The shard sleeps in one wait only: an epoll set of all its sockets, the bell of its mailbox and an alarm set to
//! the next deadline. Reading is done in batches by plain system calls (measured faster than one ring
//! operation per datagram, and nothing is lost when a future is dropped). Recordings go to disk through the ring of
//! the runtime, which is turned only while they have something to do.
//!
//! ```text
//!            ┌── wait: sockets, bell, alarm ◄────────────────────────────────┐
//!            ▼                                                               │
//!   datagrams, packets ► orders ► recordings done ► deadlines ► send ► runtime, if recordings are busy
//! ```

use crate::bell::Bell;
use crate::clock::Clock;
use crate::gather::Gathering;
use crate::ground::{Ground, Ready, SocketKind, Unsent};
use crate::mailbox::BelledReceiver;
use crate::process::go_first;
use crate::recorder::{FileFormat, NewSeal, RecordResult, Recorder};
use crate::relay::{KernelRelay, RelayGround, Sockets};
use crate::udp::{BATCH, ReceiveBatch, Undelivered, pin_to_core};
use bytes::Bytes;
use sansio::Instant;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

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
    /// Packets that were relayed below the machine may wait for their listeners.
    fn tapped(&mut self, _now: Instant, _ground: &mut Ground) {}
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
    /// What was to be sent in this turn has left, but for these datagrams, which the kernel refused.
    fn sent(&mut self, _now: Instant, _unsent: &[Unsent], _ground: &mut Ground) {}
    /// The network says that a datagram of a listener did not arrive.
    fn undelivered(&mut self, _now: Instant, _listener: u8, _datagram: Undelivered, _ground: &mut Ground) {}
}

/// How a shard is set up.
pub struct ShardOptions {
    /// Thread name.
    pub name: String,
    /// Pin to this core.
    pub core: Option<usize>,
    /// Go before all threads of usual priority, 1..=99.
    pub realtime_priority: Option<u8>,
    /// Bound signalling sockets.
    pub listeners: Vec<UdpSocket>,
    /// Address media ports are opened on.
    pub media_address: IpAddr,
    /// Sound may go below the machine; `None`: all of it through the sockets.
    pub kernel_relay: Option<KernelRelay>,
    /// Where recordings go.
    pub recordings: PathBuf,
    /// How they are written.
    pub recording_format: FileFormat,
    /// Recordings are sealed so; `None`: written as they are.
    pub seal: Option<NewSeal>,
    /// Recording bytes that may wait for the disk.
    pub recording_bytes_waiting_max: usize,
    /// How long turns take (a metric).
    pub turns: Arc<crate::TurnTimes>,
}

/// Starts a shard. `make` builds its machine, again after a panic: that panic has cost this shard's calls, whose
/// records `make` sees to (it is told how many panics there were before), and the shard starts clean.
///
/// # Errors
/// When no thread can be made.
pub fn spawn_shard<M: ShardMachine>(
    options: ShardOptions,
    clock: Clock,
    mut receiver: BelledReceiver<M::Command>,
    mut make: impl FnMut(u32) -> M + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    // Loaded before anybody can send an order: that takes a tenth of a second.
    let mut relay = Some(relay_below(&options, clock));
    std::thread::Builder::new().name(options.name.clone()).spawn(move || {
        if let Some(core) = options.core
            && !pin_to_core(core)
        {
            tracing::warn!(core, "could not pin the shard to its core");
        }
        if let Some(priority) = options.realtime_priority
            && !go_first(priority)
        {
            tracing::warn!(priority, "the shard got no real-time priority; it takes CAP_SYS_NICE");
        }
        let mut panics = 0;
        loop {
            let listeners =
                options.listeners.iter().map(UdpSocket::try_clone).collect::<io::Result<Vec<_>>>()?;
            let machine = make(panics);
            let relay = relay.take().unwrap_or_else(|| relay_below(&options, clock));
            let run = AssertUnwindSafe(|| {
                let ground = (listeners, relay as Box<dyn RelayGround>);
                tokio_uring::start(run(&options, ground, clock, &mut receiver, machine))
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
/// Times that something is sent in place of what the kernel has refused; the rest leaves in the next turn.
const FLUSHES_MAX: usize = 8;
/// Time between two turns of the runtime while recordings are busy. With hundreds of them they always are, and no sound waits
/// for a file.
const RUNTIME_TURN: Duration = Duration::from_millis(10);
/// Time between two looks at packets that were relayed below and are listened to.
const TAPS_TURN: Duration = Duration::from_millis(10);
/// Longest sleep without a deadline.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What relays below the machine: it was possible when the process began.
fn relay_below(options: &ShardOptions, clock: Clock) -> Box<dyn RelayGround + Send> {
    let Some(wanted) = &options.kernel_relay else { return Box::new(Sockets) };
    match wanted.open(clock) {
        Ok((relay, _)) => relay,
        Err(error) => {
            tracing::error!(shard = options.name, %error, "no relay in the kernel, sound goes through sockets");
            Box::new(Sockets)
        }
    }
}

async fn run<M: ShardMachine>(
    options: &ShardOptions,
    (listeners, relay): (Vec<UdpSocket>, Box<dyn RelayGround>),
    clock: Clock,
    receiver: &mut BelledReceiver<M::Command>,
    mut machine: M,
) -> io::Result<()> {
    let (recorder, mut recorded) = Recorder::new(
        &options.recordings,
        options.recording_format.clone(),
        options.seal.clone(),
        options.recording_bytes_waiting_max,
    );
    let mut ground = Ground::new(listeners, options.media_address, recorder, relay)?;
    ground.watch_bell(receiver.bell())?;
    let runtime = Runtime::new()?;
    let mut runtime_turned = clock.now();
    let mut turn = Turn::default();
    let mut more = false;
    let mut gathering = Gathering::new(clock.now());
    loop {
        let now = clock.now();
        let mut latest = machine.poll_timeout().unwrap_or(Instant::FAR_FUTURE).min(now + SLEEP_MAX);
        if ground.recorder_busy() {
            latest = latest.min(now + RUNTIME_TURN);
        }
        if ground.has_taps() {
            latest = latest.min(now + TAPS_TURN);
        }
        ground.stay_alive(now);
        if let Some(pause) = gathering.pause(now, latest).filter(|_| !more) {
            std::thread::sleep(pause);
            latest = now;
        } else if more || receiver.wait_for() {
            latest = now;
        }
        ground.wait(now, latest, &mut turn.marks, &mut turn.ready)?;
        receiver.bell().awake();
        let started = clock.now();
        gathering.turn(started, ground.media_received());
        if ground.has_taps() {
            machine.tapped(started, &mut ground);
        }
        turn.sockets(started, &clock, &mut machine, &mut ground);
        more = false;
        for count in 1..=COMMANDS_PER_TURN {
            let Some(command) = receiver.try_recv() else { break };
            more = count == COMMANDS_PER_TURN;
            if !machine.command(clock.now(), command, &mut ground) {
                machine.turn_ended(clock.now(), &mut ground);
                flush(&clock, &mut machine, &mut ground);
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
        flush(&clock, &mut machine, &mut ground);
        options.turns.note(clock.now().since(started).as_nanos() as u64);
        if receiver.is_finished() {
            return finish(machine, ground, recorded, clock).await;
        }
        if ground.recorder_busy() && now.since(runtime_turned) >= RUNTIME_TURN {
            runtime_turned = now;
            runtime.turn().await?;
        }
    }
}

/// Sends what has gathered in a turn, and what the machine sends in place of what the kernel has refused.
fn flush<M: ShardMachine>(clock: &Clock, machine: &mut M, ground: &mut Ground) {
    for _ in 0..FLUSHES_MAX {
        let unsent = ground.flush();
        machine.sent(clock.now(), &unsent, ground);
        if !ground.has_outgoing() {
            return;
        }
    }
}

/// The runtime under the shard, which gets the thread only when it is turned.
struct Runtime {
    nudge: AsyncFd<Bell>,
}

impl Runtime {
    fn new() -> io::Result<Self> {
        Ok(Runtime { nudge: Bell::new()?.in_runtime()? })
    }

    /// Hands new operations to the kernel, takes up what has completed, and runs the tasks that waited for it.
    /// Operations are handed over only when the runtime goes to sleep, so it does; the nudge ends that sleep at once.
    async fn turn(&self) -> io::Result<()> {
        self.nudge.get_ref().ring();
        self.nudge.readable().await?.clear_ready();
        tokio::task::yield_now().await;
        Ok(())
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
    /// Handles everything that was readable, once.
    fn sockets<M: ShardMachine>(
        &mut self,
        now: Instant,
        clock: &Clock,
        machine: &mut M,
        ground: &mut Ground,
    ) {
        let mut now = now;
        let mut packet = [0_u8; PACKET_BYTES_MAX];
        for (index, ready) in self.ready.iter().enumerate() {
            if index % 64 == 63 {
                now = clock.now();
            }
            match ready {
                Ready::Called => {}
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
                Ready::Undelivered(listener) => {
                    for _ in 0..BATCH {
                        let Some(told) = ground.receive_undelivered(*listener) else { break };
                        if let Some(datagram) = told {
                            machine.undelivered(now, *listener as u8, datagram, ground);
                        }
                    }
                }
                Ready::Reports => {
                    for _ in 0..BATCH {
                        let Some((stream, source, length)) = ground.receive_report(&mut packet) else {
                            break;
                        };
                        let Some(stream) = stream else { continue };
                        machine.packet(now, stream, SocketKind::Rtcp, source, &mut packet[..length], ground);
                    }
                }
                Ready::Media(mark) => {
                    if let Some((stream, kind, source, length)) = ground.receive_media(*mark, &mut packet) {
                        machine.packet(now, stream, kind, source, &mut packet[..length], ground);
                    }
                }
            }
        }
    }
}
