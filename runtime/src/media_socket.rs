//! One of a stream's two sockets, and a second one beside it that is its far end's alone.
//!
//! ```text
//!                      ┌─ open: strangers, and the far end until it has settled ─► the machine judges
//!   UDP port of ours ──┤
//!                      └─ beside: connected to the far end ──────────────────────► the machine judges
//! ```
//!
//! A connected socket spares looking for a route on both ways, most of what a relayed packet costs. The open one
//! goes on hearing everybody else, so that who may take the far end's place is decided as without it.

use crate::ground::SocketKind;
use crate::udp;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Packets in a row from where the far end is, before a socket is made for it: half a second of sound. A call that ends
/// sooner, and what is relayed in the kernel, do without, unless strangers send to the port.
const SETTLED_PACKETS: u32 = 25;

pub(crate) struct MediaSocket {
    pub(crate) stream: u64,
    kind: SocketKind,
    open: UdpSocket,
    beside: Option<UdpSocket>,
    /// Where the machine says the far end is.
    far_end: Option<SocketAddr>,
    /// Packets from there through `open`.
    packets: u32,
    /// There was no file descriptor to spare for it.
    refused: bool,
}

impl MediaSocket {
    pub(crate) fn new(stream: u64, kind: SocketKind, open: UdpSocket) -> Self {
        MediaSocket { stream, kind, open, beside: None, far_end: None, packets: 0, refused: false }
    }

    pub(crate) fn kind(&self) -> SocketKind {
        self.kind
    }

    pub(crate) fn open(&self) -> &UdpSocket {
        &self.open
    }

    /// The far end is there; `None`: nobody knows, everybody is to be heard.
    pub(crate) fn latch(&mut self, far_end: Option<SocketAddr>) {
        if self.far_end != far_end {
            self.far_end = far_end;
            self.refused = false;
            self.leave();
        }
    }

    /// Gives the file descriptor back. True when there was one.
    pub(crate) fn leave(&mut self) -> bool {
        self.packets = 0;
        self.beside.take().is_some()
    }

    /// Takes a packet, the far end's first.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        if let Some(beside) = &self.beside
            && let Ok(Some((length, source))) = udp::receive_one(beside, buffer)
        {
            return Some((source, length));
        }
        let (length, source) = udp::receive_one(&self.open, buffer).ok()??;
        match self.far_end {
            Some(far_end) if far_end == source => self.packets += 1,
            // However much strangers send: the far end is not lost among them.
            Some(_) if self.beside.is_none() && !self.refused => self.packets = SETTLED_PACKETS,
            _ => {}
        }
        Some((source, length))
    }

    /// True when it is time for [`MediaSocket::join`].
    pub(crate) fn has_settled(&self) -> bool {
        // Reports come every few seconds: nothing is gained for them.
        self.packets >= SETTLED_PACKETS && self.kind == SocketKind::Rtp && self.beside.is_none()
    }

    /// Opens the far end's own socket. `None`: as before, and it is tried again after as many packets.
    ///
    /// * `files_max` file descriptors are numbered from the lowest that is free: beyond this number they are for those who
    ///   cannot do without
    pub(crate) fn join(&mut self, files_max: u64) -> Option<&UdpSocket> {
        self.packets = 0;
        let beside = udp::bind_beside(&self.open, self.far_end?).ok()?;
        let spare = u64::try_from(beside.as_raw_fd()).is_ok_and(|number| number < files_max);
        self.beside = spare.then_some(beside);
        self.refused = !spare;
        self.beside.as_ref()
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// Of the operating system; the packet is lost.
    pub(crate) fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        match &self.beside {
            Some(beside) if self.far_end == Some(to) => match beside.send(packet) {
                // What an earlier packet met with is told now; this one was not sent yet.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => beside.send(packet),
                result => result,
            },
            _ => self.open.send_to(packet, to),
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct World {
        ours: MediaSocket,
        address: SocketAddr,
        far_end: UdpSocket,
        stranger: UdpSocket,
    }

    fn socket(any: SocketAddr) -> UdpSocket {
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    impl World {
        fn on(any: &str, kind: SocketKind) -> World {
            let any: SocketAddr = any.parse().unwrap();
            let open = udp::bind(any, 0).unwrap();
            let address = open.local_addr().unwrap();
            let ours = MediaSocket::new(7, kind, open);
            World { ours, address, far_end: socket(any), stranger: socket(any) }
        }

        /// Loopback delivers within the send call, so nothing here waits.
        fn hears(&mut self, from: &UdpSocket) -> bool {
            from.send_to(b"sound", self.address).unwrap();
            let heard = self.ours.receive(&mut [0; 100]);
            heard == Some((from.local_addr().unwrap(), 5))
        }

        fn far_end_speaks(&mut self) {
            let far_end = self.far_end.try_clone().unwrap();
            assert!(self.hears(&far_end));
        }

        fn stranger_is_heard(&mut self) {
            let stranger = self.stranger.try_clone().unwrap();
            assert!(self.hears(&stranger));
        }

        fn answers(&self, to: &UdpSocket) {
            self.ours.send(b"back", to.local_addr().unwrap()).unwrap();
            assert_eq!(to.recv_from(&mut [0; 100]).unwrap(), (4, self.address));
        }

        fn settle(&mut self) {
            self.ours.latch(Some(self.far_end.local_addr().unwrap()));
            for _ in 0..SETTLED_PACKETS {
                assert!(!self.ours.has_settled());
                self.far_end_speaks();
            }
            assert!(self.ours.has_settled());
            assert!(self.ours.join(u64::MAX).is_some());
        }
    }

    #[test]
    fn a_far_end_that_has_settled_gets_a_socket_and_strangers_are_still_heard() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let mut world = World::on(any, SocketKind::Rtp);
            world.settle();
            for _ in 0..2 * SETTLED_PACKETS {
                world.far_end_speaks();
                world.stranger_is_heard();
            }
            assert!(!world.ours.has_settled(), "once is enough");
            // What was sent to the far end came to the socket beside.
            assert_eq!(world.ours.packets, 0);
            world.answers(&world.far_end);
            world.answers(&world.stranger);
            // Nobody else gets the port.
            assert!(udp::bind(world.address, 0).is_err());
            assert!(udp::bind_shared(world.address, 0).is_err());
        }
    }

    #[test]
    fn whoever_is_the_far_end_next_is_heard_and_answered() {
        let mut world = World::on("127.0.0.1:0", SocketKind::Rtp);
        world.settle();
        world.ours.latch(Some(world.stranger.local_addr().unwrap()));
        assert!(world.ours.beside.is_none());
        world.far_end_speaks();
        world.stranger_is_heard();
        world.ours.latch(None);
        world.far_end_speaks();
        world.settle();
        world.far_end_speaks();
        world.answers(&world.far_end);
    }

    /// A stranger's flood must not fill the one queue that the far end's sound would come by.
    #[test]
    fn a_stranger_gives_the_far_end_a_socket_of_its_own_at_once() {
        let mut world = World::on("127.0.0.1:0", SocketKind::Rtp);
        world.stranger_is_heard();
        assert!(!world.ours.has_settled(), "nobody knows yet who is the far end");
        world.ours.latch(Some(world.far_end.local_addr().unwrap()));
        world.stranger_is_heard();
        assert!(world.ours.has_settled());
        assert!(world.ours.join(3).is_none());
        world.stranger_is_heard();
        assert!(!world.ours.has_settled(), "not at each of their packets anew");
    }

    /// The far end has gone: the kernel tells it to whoever sends next.
    #[test]
    fn a_refused_packet_costs_only_itself() {
        let mut world = World::on("127.0.0.1:0", SocketKind::Rtp);
        world.settle();
        let (address, any) = (world.far_end.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
        world.far_end = socket(any);
        assert!(world.ours.send(b"lost", address).is_ok(), "nobody knows yet");
        world.far_end = socket(address);
        world.answers(&world.far_end);
        world.far_end_speaks();
    }

    #[test]
    fn reports_and_those_without_a_spare_file_stay_as_they_are() {
        let mut world = World::on("127.0.0.1:0", SocketKind::Rtcp);
        world.ours.latch(Some(world.far_end.local_addr().unwrap()));
        for _ in 0..2 * SETTLED_PACKETS {
            world.far_end_speaks();
            assert!(!world.ours.has_settled());
        }
        let mut world = World::on("127.0.0.1:0", SocketKind::Rtp);
        world.ours.latch(Some(world.far_end.local_addr().unwrap()));
        for _ in 0..2 {
            for _ in 0..SETTLED_PACKETS {
                world.far_end_speaks();
            }
            assert!(world.ours.has_settled());
            assert!(world.ours.join(3).is_none());
        }
        world.answers(&world.far_end);
    }
}
