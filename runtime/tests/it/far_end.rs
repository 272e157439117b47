//! A telephone's sound, packet by packet.

use media::rtp::{Header, header};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// A-law, 20 ms.
const PAYLOAD_TYPE: u8 = 8;
const SAMPLES: usize = 160;

/// What came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    /// Who said it.
    pub(crate) mark: u8,
    /// Sequence number, from the one before.
    pub(crate) leap: u16,
}

pub(crate) struct FarEnd {
    pub(crate) socket: UdpSocket,
    /// Where it sends to, and hears from.
    pub(crate) to: SocketAddr,
    pub(crate) ssrc: u32,
    /// Of its next packet.
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// Timestamp from packet to packet.
    pub(crate) step: u32,
    /// Every sample of its sound.
    pub(crate) mark: u8,
    /// SSRC and sequence number of the last packet it heard.
    last: Option<(u32, u16)>,
}

impl FarEnd {
    pub(crate) fn new(socket: UdpSocket, to: (IpAddr, u16), ssrc: u32, mark: u8) -> Self {
        let step = SAMPLES as u32;
        FarEnd { socket, to: to.into(), ssrc, sequence: 1000, timestamp: 5000, step, mark, last: None }
    }

    pub(crate) fn next_packet(&self) -> Vec<u8> {
        let mut packet = header(false, PAYLOAD_TYPE, self.sequence, self.timestamp, self.ssrc).to_vec();
        packet.resize(packet.len() + SAMPLES, self.mark);
        packet
    }

    /// Sends the next packet; gives its number.
    pub(crate) fn say(&mut self) -> u16 {
        let packet = self.next_packet();
        self.socket.send_to(&packet, self.to).unwrap();
        let said = self.sequence;
        self.sequence = said.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.step);
        said
    }

    /// The next packet, which must come.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        let mut packet = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut packet).ok()?;
        assert_eq!(from, self.to);
        let packet = &packet[..length];
        let header = Header::read(packet).expect("RTP");
        let payload = &packet[header.payload()];
        assert_eq!((header.payload_type, payload.len()), (PAYLOAD_TYPE, SAMPLES));
        assert!(payload.iter().all(|sample| *sample == payload[0]), "mixed sound");
        let leap = self.last.map_or(1, |(ssrc, sequence)| {
            assert_eq!(header.ssrc, ssrc, "one source from beginning to end");
            header.sequence.wrapping_sub(sequence)
        });
        self.last = Some((header.ssrc, header.sequence));
        Some(Heard { mark: payload[0], leap })
    }

    /// The next packet, if it comes soon.
    pub(crate) fn hear_soon(&mut self) -> Option<Heard> {
        let usual = self.socket.read_timeout().unwrap();
        self.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let heard = self.hear();
        self.socket.set_read_timeout(usual).unwrap();
        heard
    }
}
