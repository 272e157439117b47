//! Copies of all SIP messages to a collector (HEPv3 over UDP, as Homer and its kind take it).
//!
//! A copy that cannot leave at once is dropped and counted: nothing waits for the collector.

use bytes::{BufMut, BytesMut};
use sansio::WallTime;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where copies go, and as whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HepConfig {
    /// The collector.
    pub collector: SocketAddr,
    /// Number of this capture agent.
    pub capture_id: u32,
    /// Password, if the collector asks for one; empty for none.
    pub password: String,
    /// Name of this node.
    pub node: String,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct HepCounters {
    pub sent: AtomicU64,
    pub dropped: AtomicU64,
}

/// A message to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Copied<'a> {
    pub at: WallTime,
    /// Microseconds within its millisecond.
    pub micros: u32,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub tcp: bool,
    /// The call, the same for both its legs.
    pub correlation: Option<&'a str>,
    pub payload: &'a [u8],
}

/// The way to the collector, one for each shard.
pub struct HepSender {
    socket: UdpSocket,
    config: HepConfig,
    counters: Arc<HepCounters>,
    buffer: BytesMut,
}

impl HepSender {
    /// Opens a socket of its own.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn new(config: HepConfig, counters: Arc<HepCounters>) -> io::Result<Self> {
        let any: SocketAddr = match config.collector {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        socket.connect(config.collector)?;
        Ok(HepSender { socket, config, counters, buffer: BytesMut::with_capacity(4096) })
    }

    /// Sends a copy, or drops it.
    pub fn send(&mut self, message: &Copied<'_>) {
        encode(&mut self.buffer, &self.config, message);
        let counter = match self.socket.send(&self.buffer) {
            Ok(_) => &self.counters.sent,
            Err(_) => &self.counters.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Types of chunks (vendor 0).
mod chunk {
    pub const FAMILY: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const SOURCE_V4: u16 = 3;
    pub const DESTINATION_V4: u16 = 4;
    pub const SOURCE_V6: u16 = 5;
    pub const DESTINATION_V6: u16 = 6;
    pub const SOURCE_PORT: u16 = 7;
    pub const DESTINATION_PORT: u16 = 8;
    pub const SECONDS: u16 = 9;
    pub const MICROSECONDS: u16 = 10;
    pub const PROTOCOL_TYPE: u16 = 11;
    pub const CAPTURE_ID: u16 = 12;
    pub const PASSWORD: u16 = 14;
    pub const PAYLOAD: u16 = 15;
    pub const CORRELATION: u16 = 17;
    pub const NODE: u16 = 19;
}

/// Writes one packet.
fn encode(out: &mut BytesMut, config: &HepConfig, message: &Copied<'_>) {
    out.clear();
    out.put_slice(b"HEP3");
    out.put_u16(0);
    let mut put = |kind: u16, value: &[u8]| {
        out.put_u16(0);
        out.put_u16(kind);
        // A payload is at most a datagram; what does not fit is cut off.
        let value = &value[..value.len().min(60_000)];
        out.put_u16(value.len() as u16 + 6);
        out.put_slice(value);
    };
    let (source, destination) = (message.source.ip().to_canonical(), message.destination.ip().to_canonical());
    let v4 = source.is_ipv4() && destination.is_ipv4();
    put(chunk::FAMILY, &[if v4 { 2 } else { 10 }]);
    put(chunk::PROTOCOL, &[if message.tcp { 6 } else { 17 }]);
    for (ip, four, six) in [
        (source, chunk::SOURCE_V4, chunk::SOURCE_V6),
        (destination, chunk::DESTINATION_V4, chunk::DESTINATION_V6),
    ] {
        match ip {
            IpAddr::V4(ip) if v4 => put(four, &ip.octets()),
            IpAddr::V4(ip) => put(six, &ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => put(six, &ip.octets()),
        }
    }
    put(chunk::SOURCE_PORT, &message.source.port().to_be_bytes());
    put(chunk::DESTINATION_PORT, &message.destination.port().to_be_bytes());
    let millis = message.at.unix_millis();
    let seconds = u32::try_from(millis.div_euclid(1000)).unwrap_or(0);
    let micros = millis.rem_euclid(1000) as u32 * 1000 + message.micros % 1000;
    put(chunk::SECONDS, &seconds.to_be_bytes());
    put(chunk::MICROSECONDS, &micros.to_be_bytes());
    put(chunk::PROTOCOL_TYPE, &[1]);
    put(chunk::CAPTURE_ID, &config.capture_id.to_be_bytes());
    if !config.password.is_empty() {
        put(chunk::PASSWORD, config.password.as_bytes());
    }
    put(chunk::NODE, config.node.as_bytes());
    if let Some(correlation) = message.correlation {
        put(chunk::CORRELATION, correlation.as_bytes());
    }
    put(chunk::PAYLOAD, message.payload);
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
    out[4..6].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Takes a packet apart as a collector does: chunks by type.
    fn decode(packet: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        assert_eq!(&packet[..4], b"HEP3");
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
        let mut chunks = BTreeMap::new();
        let mut rest = &packet[6..];
        while !rest.is_empty() {
            assert_eq!(&rest[..2], &[0, 0], "vendor");
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            let kind = u16::from_be_bytes([rest[2], rest[3]]);
            assert!(chunks.insert(kind, rest[6..length].to_vec()).is_none(), "chunk {kind} twice");
            rest = &rest[length..];
        }
        chunks
    }

    fn config(collector: SocketAddr) -> HepConfig {
        HepConfig { collector, capture_id: 2001, password: "secret".into(), node: "n1".into() }
    }

    #[test]
    fn a_collector_gets_every_part() {
        let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
        let counters = Arc::new(HepCounters::default());
        let mut sender =
            HepSender::new(config(collector.local_addr().unwrap()), Arc::clone(&counters)).unwrap();
        let message = Copied {
            at: WallTime::from_unix_millis(1_790_000_000_123),
            micros: 456,
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "198.51.100.7:5080".parse().unwrap(),
            tcp: false,
            correlation: Some("call_1"),
            payload: b"OPTIONS sip:a SIP/2.0\r\n\r\n",
        };
        sender.send(&message);
        let mut buffer = [0; 2048];
        let length = collector.recv(&mut buffer).unwrap();
        let chunks = decode(&buffer[..length]);
        let expected: [(u16, &[u8]); 14] = [
            (1, &[2]),
            (2, &[17]),
            (3, &[192, 0, 2, 1]),
            (4, &[198, 51, 100, 7]),
            (7, &5060_u16.to_be_bytes()),
            (8, &5080_u16.to_be_bytes()),
            (9, &1_790_000_000_u32.to_be_bytes()),
            (10, &123_456_u32.to_be_bytes()),
            (11, &[1]),
            (12, &2001_u32.to_be_bytes()),
            (14, b"secret"),
            (15, message.payload),
            (17, b"call_1"),
            (19, b"n1"),
        ];
        let expected: BTreeMap<u16, Vec<u8>> =
            expected.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
        assert_eq!(chunks, expected);
        assert_eq!(counters.sent.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn addresses_of_both_families_and_nothing_that_is_not_there() {
        let mut out = BytesMut::new();
        let mut plain = config("127.0.0.1:1".parse().unwrap());
        plain.password.clear();
        let message = Copied {
            at: WallTime::from_unix_millis(0),
            micros: 0,
            source: "[2001:db8::1]:5060".parse().unwrap(),
            destination: "192.0.2.1:5060".parse().unwrap(),
            tcp: true,
            correlation: None,
            payload: &[b'x'; 65_000],
        };
        encode(&mut out, &plain, &message);
        let chunks = decode(&out);
        assert_eq!((chunks[&1][0], chunks[&2][0]), (10, 6));
        assert_eq!(chunks[&6][10..], [0xff, 0xff, 192, 0, 2, 1]);
        assert!(!chunks.contains_key(&14) && !chunks.contains_key(&17));
        assert_eq!(chunks[&15].len(), 60_000);
    }
}
