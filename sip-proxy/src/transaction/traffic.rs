//! What goes over the wire, counted by method, status, transport and size.

use std::collections::BTreeMap;

use crate::wire::{Message, Method, Transport};

/// Methods told apart, the last one stands for all others.
const METHODS: [Method; 15] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Options,
    Method::Register,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Refer,
    Method::Notify,
    Method::Subscribe,
    Method::Message,
    Method::Publish,
    Method::Other,
];
/// Transports told apart.
const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
/// Statuses 100 to 699.
const STATUSES: usize = 600;

/// Upper bounds of sizes, bytes; beyond the last is one place more.
pub const SIZE_BOUNDS: [u32; 8] = [256, 512, 768, 1024, 1472, 2048, 4096, 16_384];

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    In,
    Out,
}

impl Direction {
    /// `in` or `out`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// Messages since the start, those sent again included.
#[derive(Debug, Clone)]
pub struct Traffic {
    requests: [[[u64; METHODS.len()]; TRANSPORTS.len()]; 2],
    /// By direction, method and status.
    responses: Vec<u32>,
    sizes: [u64; SIZE_BOUNDS.len() + 1],
    bytes: u64,
    malformed: BTreeMap<&'static str, u64>,
    /// Transactions alive: clients', then servers'.
    live: [[u32; METHODS.len()]; 2],
}

/// Whose part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who sent the request.
    Client,
    /// Who answers it.
    Server,
}

impl Side {
    /// `client` or `server`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            requests: [[[0; METHODS.len()]; TRANSPORTS.len()]; 2],
            responses: vec![0; 2 * METHODS.len() * STATUSES],
            sizes: [0; SIZE_BOUNDS.len() + 1],
            bytes: 0,
            malformed: BTreeMap::new(),
            live: [[0; METHODS.len()]; 2],
        }
    }
}

impl Traffic {
    pub(crate) fn received(&mut self, transport: Transport, message: &Message) {
        let status = if message.is_request() { None } else { Some(message.status()) };
        self.note(Direction::In, transport, message.method(), status, message.raw().len());
    }

    pub(crate) fn sent(&mut self, transport: Transport, bytes: &[u8]) {
        let (method, status) = first_line(bytes);
        self.note(Direction::Out, transport, method, status, bytes.len());
    }

    pub(crate) fn malformed(&mut self, reason: &'static str) {
        *self.malformed.entry(reason).or_default() += 1;
    }

    fn note(
        &mut self,
        direction: Direction,
        transport: Transport,
        method: Method,
        status: Option<u16>,
        length: usize,
    ) {
        let method = place(method);
        match status {
            None => {
                let transport = TRANSPORTS.iter().position(|known| *known == transport).unwrap_or(0);
                self.requests[direction as usize][transport][method] += 1;
            }
            Some(status) => {
                let status = usize::from(status.clamp(100, 699)) - 100;
                let place = (direction as usize * METHODS.len() + method) * STATUSES + status;
                self.responses[place] = self.responses[place].wrapping_add(1);
            }
        }
        let size =
            SIZE_BOUNDS.iter().position(|bound| length <= *bound as usize).unwrap_or(SIZE_BOUNDS.len());
        self.sizes[size] += 1;
        self.bytes += length as u64;
    }

    pub(crate) fn begun(&mut self, side: Side, method: Method) {
        self.live[side as usize][place(method)] += 1;
    }

    pub(crate) fn ended(&mut self, side: Side, method: Method) {
        let live = &mut self.live[side as usize][place(method)];
        *live = live.saturating_sub(1);
    }

    /// Transactions alive by side and method, zeros included, so that none stands still at its last count.
    pub fn transactions(&self) -> impl Iterator<Item = (Side, Method, u32)> {
        [Side::Client, Side::Server].into_iter().flat_map(move |side| {
            METHODS.into_iter().zip(self.live[side as usize]).map(move |(method, live)| (side, method, live))
        })
    }

    /// Requests by direction, transport and method, those that never occurred left out.
    pub fn requests(&self) -> impl Iterator<Item = (Direction, Transport, Method, u64)> {
        [Direction::In, Direction::Out]
            .into_iter()
            .flat_map(move |direction| {
                TRANSPORTS.into_iter().enumerate().flat_map(move |(transport, name)| {
                    METHODS.into_iter().enumerate().map(move |(method, known)| {
                        (direction, name, known, self.requests[direction as usize][transport][method])
                    })
                })
            })
            .filter(|(_, _, _, count)| *count > 0)
    }

    /// Responses by direction, method and status, those that never occurred left out.
    pub fn responses(&self) -> impl Iterator<Item = (Direction, Method, u16, u32)> {
        let occurred = self.responses.iter().enumerate().filter(|(_, count)| **count > 0);
        occurred.map(|(place, count)| {
            let direction = if place < METHODS.len() * STATUSES { Direction::In } else { Direction::Out };
            let method = METHODS[place / STATUSES % METHODS.len()];
            (direction, method, (place % STATUSES) as u16 + 100, *count)
        })
    }

    /// Messages by [`SIZE_BOUNDS`], and the sum of their bytes.
    #[must_use]
    pub fn sizes(&self) -> (&[u64], u64) {
        (&self.sizes, self.bytes)
    }

    /// Malformed messages by what was wrong.
    pub fn malformed_by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.malformed.iter().map(|(reason, count)| (*reason, *count))
    }
}

fn place(method: Method) -> usize {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1)
}

/// Method and status of a message of ours.
fn first_line(bytes: &[u8]) -> (Method, Option<u16>) {
    let word = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == b' ' || *byte == b'\r').unwrap_or(bytes.len());
        Method::from_bytes(&bytes[..end])
    };
    let Some(rest) = bytes.strip_prefix(b"SIP/2.0 ") else { return (word(bytes), None) };
    let status =
        rest.iter().take(3).fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')));
    // Our CSeq stands as we write it: number, one space, method.
    let method = memchr::memmem::find(rest, b"\r\nCSeq: ").map_or(Method::Other, |at| {
        let value = &rest[at + 8..];
        let space = value.iter().position(|byte| *byte == b' ').unwrap_or(0);
        word(&value[space + 1..])
    });
    (method, Some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent() {
        let mut traffic = Traffic::default();
        traffic.sent(Transport::Tls, b"BYE sip:a@b SIP/2.0\r\n\r\n");
        traffic.sent(Transport::Udp, b"XYZ sip:a@b SIP/2.0\r\n\r\n");
        for _ in 0..2 {
            traffic
                .sent(Transport::Udp, b"SIP/2.0 183 Session Progress\r\nVia: x\r\nCSeq: 17 INVITE\r\n\r\n");
        }
        traffic.sent(Transport::Udp, &[b'x'; 20_000]);
        let requests: Vec<_> = traffic.requests().collect();
        assert_eq!(
            requests,
            [
                (Direction::Out, Transport::Udp, Method::Other, 2),
                (Direction::Out, Transport::Tls, Method::Bye, 1)
            ]
        );
        let responses: Vec<_> = traffic.responses().collect();
        assert_eq!(responses, [(Direction::Out, Method::Invite, 183, 2)]);
        let (sizes, bytes) = traffic.sizes();
        assert_eq!((sizes.iter().sum::<u64>(), sizes[0], sizes[SIZE_BOUNDS.len()]), (5, 4, 1));
        assert!(bytes > 20_000);
    }
}
