//! SIP on its way: every message is shown to the checker at the daemon's door and then given to the network.

use super::Sabotage;
use super::check::Road;
use super::happening::Happening;
use super::pipes::listener_of;
use super::scene::By;
use super::sip;
use super::world::{Peer, STRANGER, World};
use bytes::Bytes;
use engine::ShardInput;
use sip_proxy::wire::Method;
use std::net::SocketAddr;

/// What a network quotes of a datagram that it could not deliver, at most (RFC 1812 §4.3.2.3).
const QUOTED_BYTES_MAX: usize = 548;

impl World {
    pub(super) fn deliver(&mut self, listener: u8, source: SocketAddr, bytes: Bytes) {
        if self.node.is_none() {
            return;
        }
        if source != STRANGER
            && let Some(message) = sip::parse(&bytes)
        {
            self.wire.arrives(self.now, &message, listener > 0);
        }
        self.feed_shard(ShardInput::Datagram { listener, source, bytes });
        self.wire.turn_over(self.now, &mut self.found);
    }

    pub(super) fn transmit_to_daemon(&mut self, peer: usize, bytes: Bytes) {
        let now = self.now;
        let (source, by) = (self.peers[peer].endpoint().address, self.peers[peer].endpoint().by);
        let ways = if by.is_stream() { [Some(now), None] } else { self.net.carry(now, peer) };
        if let Some(message) = sip::parse(&bytes) {
            let lost = if ways[0].is_none() { " (lost)" } else { "" };
            self.trace.note(
                now,
                format_args!("{} > {} {}{lost}", self.name(peer), sip::short(&message), ladder_id(&message)),
            );
        }
        if by.is_stream() {
            return self.write_to_daemon(peer, bytes);
        }
        for at in ways.into_iter().flatten() {
            self.at(at, Happening::ToDaemon { source, bytes: bytes.clone() });
        }
    }

    pub(super) fn transmit_to_peer(&mut self, listener: u8, to: SocketAddr, bytes: &Bytes) {
        let now = self.now;
        self.trace.bytes(bytes);
        // What is given back to a stranger's rubbish need not be read by anybody.
        if to.ip() == STRANGER.ip() {
            return;
        }
        let Some(message) = sip::parse(bytes) else {
            let text = String::from_utf8_lossy(bytes).into_owned();
            return self.found.add(now, "what the daemon sends is SIP", text);
        };
        let owner = self.pipes.owner((listener, to)).or_else(|| self.addresses.get(&to).copied());
        // The end of a connection that has broken: nobody is there, but it was somebody.
        let owner = owner.or_else(|| {
            let of_ip =
                |peer: &Peer| peer.endpoint().address.ip() == to.ip() && peer.endpoint().by.is_stream();
            self.peers.iter().position(of_ip)
        });
        let Some(peer) = owner else {
            let detail = format!("{to}: {}", sip::short(&message));
            return self.found.add(now, "the daemon speaks to those it knows", detail);
        };
        let by = self.peers[peer].endpoint().by;
        if listener != listener_of(by) {
            let detail = format!("{to}: {} by listener {listener}", sip::short(&message));
            return self.found.add(now, "peers are spoken to over their transport", detail);
        }
        let ways = if by.is_stream() { [Some(now), None] } else { self.net.carry(now, peer) };
        let lost = if ways[0].is_none() { " (lost)" } else { "" };
        self.trace.note(
            now,
            format_args!("{} < {} {}{lost}", self.name(peer), sip::short(&message), ladder_id(&message)),
        );
        let hidden = self.sabotage == Sabotage::HidesAcks && message.method() == Method::Ack;
        if !hidden {
            // RFC 3261 §17.1.1.2: over a connection nothing is repeated, unless that has broken since.
            let once_since = by.is_stream().then(|| self.pipes.broken_at(peer).unwrap_or_default());
            let road = Road { peer, once_since };
            self.wire.sent(now, road, &message, &mut self.book, &mut self.found);
        }
        if by.is_stream() {
            return self.write_to_peer((listener, to), peer, by, bytes.clone());
        }
        for at in ways.into_iter().flatten() {
            self.at(at, Happening::ToPeer { peer, bytes: bytes.clone() });
        }
    }

    /// A datagram has come to a port at which nobody is: the network tells its sender, if that is not lost itself.
    pub(super) fn refuse(&mut self, peer: usize, bytes: Bytes) {
        let (now, shard_life) = (self.now, self.shard_life);
        if let Some(at) = self.net.carry(now, peer)[0] {
            self.at(at, Happening::Undelivered { shard_life, peer, bytes });
        }
    }

    /// The daemon is told that a datagram found nobody.
    pub(super) fn undelivered(&mut self, peer: usize, bytes: &Bytes) {
        if self.node.is_none() {
            return;
        }
        let now = self.now;
        if let Some(message) = sip::parse(bytes) {
            let what = sip::short(&message);
            self.trace
                .note(now, format_args!("{} is closed: {what} {}", self.name(peer), ladder_id(&message)));
            self.wire.refused(now, &message);
        }
        let address = self.peers[peer].endpoint().address;
        let quoted = bytes.slice(..bytes.len().min(QUOTED_BYTES_MAX));
        self.feed_shard(ShardInput::Undelivered { listener: 0, peer: address, quoted });
    }

    /// Someone who has no business here.
    pub(super) fn stranger_calls(&mut self) {
        if self.closing {
            return;
        }
        let rng = &mut self.rng;
        let branch = format!("z9hG4bKx{:x}", rng.next_u64());
        let call_id = format!("x{:x}", rng.next_u32());
        let methods = ["INVITE", "REGISTER", "OPTIONS", "BYE", "SUBSCRIBE", "NONSENSE"];
        let method = methods[rng.below(6) as usize];
        let text = sip::request(&sip::Outline {
            method,
            uri: "sip:0049900@house.example",
            sent_by: STRANGER,
            by: By::Udp,
            user: "peer",
            branch: &branch,
            from: "<sip:x@nowhere>;tag=x",
            to: "<sip:0049900@house.example>",
            call_id: &call_id,
            cseq: 1,
            extra: "",
            sdp: "",
        });
        let mut bytes = text.into_bytes();
        if rng.chance(0.5) {
            for _ in 0..1 + rng.below(8) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u32() as u8;
            }
        }
        let ms = 500 + rng.below(5_000);
        self.deliver(0, STRANGER, Bytes::from(bytes));
        self.after(ms, Happening::Stranger);
    }
}

/// The end of a Call-ID, to tell calls apart in a ladder.
fn ladder_id(message: &sip_proxy::wire::Message) -> String {
    let id = sip::text(message.call_id());
    let id = id.split('@').next().unwrap_or_default();
    id.get(id.len().saturating_sub(6)..).unwrap_or_default().to_owned()
}
