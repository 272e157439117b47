//! The sockets of one shard.

use crate::bell::Bell;
use crate::media_socket::MediaSocket;
use crate::recorder::{RecordOrder, Recorder};
use crate::relay::RelayGround;
use crate::udp::{self, Alarm, BATCH, Poller, ReceiveBatch, Undelivered};
use bytes::Bytes;
use sansio::{Instant, Key, Slab};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Which of a stream's two sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketKind {
    /// Sound.
    Rtp,
    /// Reports on it.
    Rtcp,
}

/// A datagram that never left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsent {
    /// From which listener.
    pub listener: u8,
    /// To where.
    pub to: SocketAddr,
    /// What.
    pub bytes: Bytes,
    /// There is no way there. Otherwise something was short at that moment.
    pub no_way: bool,
}

/// What happened at the sockets, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroundCounters {
    /// Datagrams taken by the signalling listeners.
    pub signalling_received: u64,
    /// Datagrams sent by them.
    pub signalling_sent: u64,
    /// Datagrams the kernel refused to send.
    pub signalling_send_failures: u64,
    /// Datagrams the kernel dropped because a listener's buffer was full.
    pub signalling_receive_drops: u64,
    /// Media packets taken.
    pub media_received: u64,
    /// Media packets sent.
    pub media_sent: u64,
    /// Media packets the kernel refused to send.
    pub media_send_failures: u64,
    /// Pairs of media ports that could not be opened.
    pub media_open_failures: u64,
}

/// Everything a shard's machine can do to the world.
pub struct Ground {
    listeners: Vec<UdpSocket>,
    outgoing: Vec<Vec<(SocketAddr, Bytes)>>,
    /// What the kernel has refused to send in this turn.
    unsent: Vec<Unsent>,
    media_address: IpAddr,
    media: Slab<MediaSocket>,
    streams: HashMap<u64, Ports>,
    /// Bound for streams that may come, by the even port.
    held: HashMap<u16, (UdpSocket, Option<UdpSocket>)>,
    /// Whose reports are sent to a port that is not open: they come by the relay's socket.
    reported: HashMap<u16, u64>,
    /// File descriptors numbered from here on are for those who cannot do without.
    files_max: u64,
    poller: Poller,
    alarm: Alarm,
    /// What the alarm is set to.
    alarm_at: Option<Instant>,
    recorder: Option<Recorder>,
    relay: Box<dyn RelayGround>,
    relay_alive_at: Instant,
    counters: GroundCounters,
}

/// A stream's ports.
#[derive(Clone, Copy)]
struct Ports {
    rtp: Key<MediaSocket>,
    /// `None`: its reports come by the relay's socket.
    rtcp: Option<Key<MediaSocket>>,
    rtcp_port: u16,
}

impl Ports {
    fn key(&self, kind: SocketKind) -> Option<Key<MediaSocket>> {
        match kind {
            SocketKind::Rtp => Some(self.rtp),
            SocketKind::Rtcp => self.rtcp,
        }
    }
}

/// One thing that came in, handed to the loop.
pub(crate) enum Ready {
    /// Bell or alarm: it has done its work by ending the wait.
    Called,
    Listener(usize),
    /// The network has said something of what a listener has sent.
    Undelivered(usize),
    Media(Key<MediaMark>),
    /// Reports of any stream.
    Reports,
}

/// Names a media socket without showing it.
pub(crate) struct MediaMark;

const LISTENERS_MAX: usize = 16;
/// Marks of listeners count down from the top, then come bell and alarm.
const BELL: u64 = u64::MAX - LISTENERS_MAX as u64;
const ALARM: u64 = BELL - 1;
const TAPS: u64 = BELL - 2;
const REPORTS: u64 = BELL - 3;
/// Time between two words that the process is alive.
const ALIVE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Sockets closed together when no file descriptor is left.
const ROOM_FILES: usize = 16;
/// Flush a listener's batch when it holds so many.
const OUTGOING_MAX: usize = 2 * BATCH;

impl Ground {
    /// Takes the bound listeners.
    ///
    /// # Errors
    /// When they cannot be watched.
    pub fn new(
        listeners: Vec<UdpSocket>,
        media_address: IpAddr,
        recorder: Recorder,
        relay: Box<dyn RelayGround>,
    ) -> io::Result<Self> {
        if listeners.len() > LISTENERS_MAX {
            return Err(io::Error::other(format!("more than {LISTENERS_MAX} listeners")));
        }
        let poller = Poller::new()?;
        for (index, listener) in listeners.iter().enumerate() {
            poller.add(listener, u64::MAX - index as u64)?;
            udp::tell_undelivered(listener)?;
        }
        let alarm = Alarm::new()?;
        poller.add_alarm(&alarm, ALARM)?;
        if let Some(fd) = relay.taps_fd() {
            poller.add_raw(fd, TAPS)?;
        }
        if let Some(socket) = relay.reports() {
            poller.add(socket, REPORTS)?;
        }
        Ok(Ground {
            outgoing: listeners.iter().map(|_| Vec::with_capacity(OUTGOING_MAX)).collect(),
            unsent: Vec::new(),
            listeners,
            media_address,
            media: Slab::with_limit(1 << 20),
            streams: HashMap::new(),
            held: HashMap::new(),
            reported: HashMap::new(),
            files_max: udp::file_limit() / 4 * 3,
            poller,
            alarm,
            alarm_at: None,
            recorder: Some(recorder),
            relay,
            relay_alive_at: Instant::ZERO,
            counters: GroundCounters::default(),
        })
    }

    /// Sends a datagram from a listener. It leaves at the end of the turn, together with others.
    pub fn send(&mut self, listener: u8, to: SocketAddr, bytes: Bytes) {
        let listener = usize::from(listener);
        let Some(queue) = self.outgoing.get_mut(listener) else { return };
        queue.push((to, bytes));
        if queue.len() >= OUTGOING_MAX {
            self.flush_listener(listener);
        }
    }

    /// Binds two ports for a stream that may come. Held already: nothing changes.
    ///
    /// # Errors
    /// When one of them is taken or no file descriptor is left; then neither is held.
    pub fn hold_ports(&mut self, rtp_port: u16, rtcp_port: u16) -> io::Result<()> {
        if !self.held.contains_key(&rtp_port) {
            let bound = self.bind_ports(rtp_port, rtcp_port)?;
            self.held.insert(rtp_port, bound);
        }
        Ok(())
    }

    /// The second is `None` where the reports of all streams come by the relay's socket.
    fn bind_ports(&mut self, rtp_port: u16, rtcp_port: u16) -> io::Result<(UdpSocket, Option<UdpSocket>)> {
        let address = self.media_address;
        let shared = self.relay.reports().is_some();
        let bind = || -> io::Result<_> {
            let rtp = udp::bind(SocketAddr::new(address, rtp_port), 0)?;
            let rtcp = if shared { None } else { Some(udp::bind(SocketAddr::new(address, rtcp_port), 0)?) };
            Ok((rtp, rtcp))
        };
        let opened = bind().or_else(|error| match error.raw_os_error() {
            Some(libc::EMFILE) if self.make_room() => bind(),
            _ => Err(error),
        });
        opened.inspect_err(|_| self.counters.media_open_failures += 1)
    }

    /// Opens a stream's two ports, which may be held already.
    ///
    /// # Errors
    /// When one of them is taken or no file descriptor is left; then neither is open.
    pub fn open_ports(&mut self, stream: u64, rtp_port: u16, rtcp_port: u16) -> io::Result<()> {
        let (rtp, rtcp) = match self.held.remove(&rtp_port) {
            Some((rtp, rtcp)) => {
                // Whoever has sent there before did not know of this stream.
                [Some(&rtp), rtcp.as_ref()].into_iter().flatten().for_each(udp::discard);
                (rtp, rtcp)
            }
            None => self.bind_ports(rtp_port, rtcp_port)?,
        };
        let rtp = self.watch(stream, SocketKind::Rtp, rtp)?;
        let rtcp = rtcp.map(|rtcp| self.watch(stream, SocketKind::Rtcp, rtcp)).transpose();
        let rtcp = rtcp.inspect_err(|_| drop(self.media.remove(rtp)))?;
        if rtcp.is_none() {
            self.reported.insert(rtcp_port, stream);
        }
        self.streams.insert(stream, Ports { rtp, rtcp, rtcp_port });
        Ok(())
    }

    fn watch(&mut self, stream: u64, kind: SocketKind, socket: UdpSocket) -> io::Result<Key<MediaSocket>> {
        let key = self
            .media
            .insert(MediaSocket::new(stream, kind, socket))
            .map_err(|_| io::Error::other("too many media sockets"))?;
        let entry = self.media.get(key).expect("just inserted");
        if let Err(error) = self.poller.add(entry.open(), key.to_bits()) {
            self.media.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Closes sockets that only make others cheaper. False: there are none.
    fn make_room(&mut self) -> bool {
        let left = self.media.iter_mut().filter_map(|(_, entry)| entry.leave().then_some(()));
        left.take(ROOM_FILES).count() > 0
    }

    /// The far end of one of a stream's sockets is there: before long it gets one of its own. `None`: nobody knows where it
    /// is any more.
    pub fn latch(&mut self, stream: u64, kind: SocketKind, far_end: Option<SocketAddr>) {
        let key = self.streams.get(&stream).and_then(|ports| ports.key(kind));
        if let Some(entry) = key.and_then(|key| self.media.get_mut(key)) {
            entry.latch(far_end);
        }
    }

    /// Closes a stream's ports.
    pub fn close_ports(&mut self, stream: u64) {
        let Some(ports) = self.streams.remove(&stream) else { return };
        self.media.remove(ports.rtp);
        match ports.rtcp {
            Some(key) => drop(self.media.remove(key)),
            None => drop(self.reported.remove(&ports.rtcp_port)),
        }
    }

    /// Sends one media packet from a stream's socket, at once.
    pub fn send_packet(&mut self, stream: u64, kind: SocketKind, to: SocketAddr, packet: &[u8]) {
        let Some(ports) = self.streams.get(&stream) else { return };
        let sent = match ports.key(kind).map(|key| self.media.get(key)) {
            Some(Some(entry)) => entry.send(packet, to),
            Some(None) => return,
            None => udp::send_from(SocketAddr::new(self.media_address, ports.rtcp_port), to, packet),
        };
        match sent {
            Ok(()) => self.counters.media_sent += 1,
            Err(_) => self.counters.media_send_failures += 1,
        }
    }

    /// What relays below the machine.
    pub fn relay(&mut self) -> &mut dyn RelayGround {
        self.relay.as_mut()
    }

    /// True while the relay below may have packets for listeners.
    pub(crate) fn has_taps(&self) -> bool {
        self.relay.has_taps()
    }

    /// Lets the relay below know that there is someone above.
    pub(crate) fn stay_alive(&mut self, now: Instant) {
        if now >= self.relay_alive_at {
            self.relay_alive_at = now + ALIVE_EVERY;
            self.relay.stay_alive();
        }
    }

    /// Orders something of a recording.
    pub fn record(&mut self, order: RecordOrder) {
        if let Some(recorder) = &mut self.recorder {
            recorder.order(order);
        }
    }

    /// No further samples: what is being completed will be told, what is open is lost.
    pub(crate) fn close_recorder(&mut self) {
        self.recorder = None;
    }

    /// Media sockets open now (two per stream, or one where reports come by one socket for all).
    #[must_use]
    pub fn media_sockets(&self) -> usize {
        self.media.len()
    }

    /// Packets taken from media sockets so far.
    pub(crate) fn media_received(&self) -> u64 {
        self.counters.media_received
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> GroundCounters {
        GroundCounters {
            signalling_receive_drops: self.listeners.iter().map(udp::receive_drops).sum(),
            ..self.counters
        }
    }

    /// Lets the bell end a wait, too.
    pub(crate) fn watch_bell(&self, bell: &Bell) -> io::Result<()> {
        self.poller.add_bell(bell, BELL)
    }

    /// True while recordings have something to write or to tell.
    pub(crate) fn recorder_busy(&self) -> bool {
        self.recorder.as_ref().is_some_and(Recorder::is_busy)
    }

    /// Waits until something is ready, at most until `latest`; gives what is.
    pub(crate) fn wait(
        &mut self,
        now: Instant,
        latest: Instant,
        marks: &mut Vec<u64>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let patient = latest > now;
        if patient && self.alarm_at.is_none_or(|at| at > latest) {
            self.alarm.set(latest.since(now))?;
            self.alarm_at = Some(latest);
        }
        self.poller.wait(marks, patient);
        ready.clear();
        for mark in marks.iter() {
            ready.push(match u64::MAX - mark {
                listener if listener < LISTENERS_MAX as u64 => Ready::Listener(listener as usize),
                _ if *mark == BELL || *mark == TAPS => Ready::Called,
                _ if *mark == REPORTS => Ready::Reports,
                _ if *mark == ALARM => {
                    self.alarm_at = None;
                    Ready::Called
                }
                _ => Ready::Media(Key::from_bits(*mark)),
            });
        }
        for mark in self.poller.failed() {
            let listener = u64::MAX - mark;
            if listener < LISTENERS_MAX as u64 {
                ready.push(Ready::Undelivered(listener as usize));
            }
        }
        Ok(())
    }

    /// Takes what the network says of one datagram of a listener, see [`udp::receive_undelivered`].
    pub(crate) fn receive_undelivered(&self, listener: usize) -> Option<Option<Undelivered>> {
        udp::receive_undelivered(&self.listeners[listener])
    }

    /// Whether something waits for [`Ground::flush`].
    pub(crate) fn has_outgoing(&self) -> bool {
        self.outgoing.iter().any(|queue| !queue.is_empty())
    }

    /// Takes a batch of datagrams from a listener.
    pub(crate) fn receive_listener(
        &mut self,
        listener: usize,
        batch: &mut ReceiveBatch,
        into: &mut Vec<(SocketAddr, Bytes)>,
    ) -> io::Result<usize> {
        let taken = batch.receive(&self.listeners[listener], |source, bytes| {
            into.push((source, Bytes::copy_from_slice(bytes)));
        })?;
        self.counters.signalling_received += into.len() as u64;
        Ok(taken)
    }

    /// Takes one packet from a media socket.
    pub(crate) fn receive_media(
        &mut self,
        mark: Key<MediaMark>,
        buffer: &mut [u8],
    ) -> Option<(u64, SocketKind, SocketAddr, usize)> {
        let entry = self.media.get_mut(Key::from_bits(mark.to_bits()))?;
        let (source, length) = entry.receive(buffer)?;
        self.counters.media_received += 1;
        if entry.has_settled()
            && let Some(beside) = entry.join(self.files_max)
            && self.poller.add(beside, mark.to_bits()).is_err()
        {
            entry.leave();
        }
        Some((entry.stream, entry.kind(), source, length))
    }

    /// Takes one of the reports that come by the relay's socket; its stream is `None` when its port is no call's (any more).
    pub(crate) fn receive_report(&mut self, buffer: &mut [u8]) -> Option<(Option<u64>, SocketAddr, usize)> {
        let (length, source, port) = udp::receive_directed(self.relay.reports()?, buffer).ok()??;
        self.counters.media_received += 1;
        Some((self.reported.get(&port).copied(), source, length))
    }

    /// Sends what has gathered in this turn; gives what never left, of the whole turn.
    pub(crate) fn flush(&mut self) -> Vec<Unsent> {
        for listener in 0..self.outgoing.len() {
            if !self.outgoing[listener].is_empty() {
                self.flush_listener(listener);
            }
        }
        std::mem::take(&mut self.unsent)
    }

    fn flush_listener(&mut self, listener: usize) {
        let queue = &mut self.outgoing[listener];
        let unsent = &mut self.unsent;
        let lost = udp::send_batch(&self.listeners[listener], queue, |place, error| {
            let (to, bytes) = queue[place].clone();
            let short = [Some(libc::EAGAIN), Some(libc::ENOBUFS), Some(libc::ENOMEM), Some(libc::EINTR)];
            let no_way = !short.contains(&error.raw_os_error());
            unsent.push(Unsent { listener: listener as u8, to, bytes, no_way });
        });
        self.counters.signalling_sent += queue.len() as u64 - lost;
        self.counters.signalling_send_failures += lost;
        queue.clear();
    }
}
