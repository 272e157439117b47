//! SIP on its way: every message is shown to the checker at the daemon's door and then given to the network.

use super::Sabotage;
use super::happening::Happening;
use super::sip;
use super::world::{STRANGER, World};
use bytes::Bytes;
use engine::ShardInput;
use sip_proxy::wire::Method;
use std::net::SocketAddr;

impl World {
    pub(super) fn deliver(&mut self, source: SocketAddr, bytes: Bytes) {
        if self.node.is_none() {
            return;
        }
        if source != STRANGER
            && let Some(message) = sip::parse(&bytes)
        {
            self.wire.arrives(self.now, &message);
        }
        self.feed_shard(ShardInput::Datagram { listener: 0, source, bytes });
        self.wire.turn_over(self.now, &mut self.found);
    }

    pub(super) fn transmit_to_daemon(&mut self, peer: usize, bytes: Bytes) {
        let now = self.now;
        let source = self.peers[peer].endpoint().address;
        let ways = self.net.carry(now, peer);
        if let Some(message) = sip::parse(&bytes) {
            let lost = if ways[0].is_none() { " (lost)" } else { "" };
            self.trace.note(
                now,
                format_args!("{} > {} {}{lost}", self.name(peer), sip::short(&message), ladder_id(&message)),
            );
        }
        for at in ways.into_iter().flatten() {
            self.at(at, Happening::ToDaemon { source, bytes: bytes.clone() });
        }
    }

    pub(super) fn transmit_to_peer(&mut self, to: SocketAddr, bytes: &Bytes) {
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
        let Some(peer) = self.addresses.get(&to).copied() else {
            let detail = format!("{to}: {}", sip::short(&message));
            return self.found.add(now, "the daemon speaks to those it knows", detail);
        };
        let ways = self.net.carry(now, peer);
        let lost = if ways[0].is_none() { " (lost)" } else { "" };
        self.trace.note(
            now,
            format_args!("{} < {} {}{lost}", self.name(peer), sip::short(&message), ladder_id(&message)),
        );
        let hidden = self.sabotage == Sabotage::HidesAcks && message.method() == Method::Ack;
        if !hidden {
            self.wire.sent(now, peer, &message, &mut self.book, &mut self.found);
        }
        for at in ways.into_iter().flatten() {
            self.at(at, Happening::ToPeer { peer, bytes: bytes.clone() });
        }
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
        self.deliver(STRANGER, Bytes::from(bytes));
        self.after(ms, Happening::Stranger);
    }
}

/// The end of a Call-ID, to tell calls apart in a ladder.
fn ladder_id(message: &sip_proxy::wire::Message) -> String {
    let id = sip::text(message.call_id());
    let id = id.split('@').next().unwrap_or_default();
    id.get(id.len().saturating_sub(6)..).unwrap_or_default().to_owned()
}
