//! The last messages of a shard, and to which call each belongs.
//!
//! A message is kept as the bytes it was: taking note of one costs a reference and a place in a ring. Which call it
//! belongs to is found out when somebody asks.

use bytes::Bytes;
use dialer_core::CallId;
use sansio::pii::Spellings;
use sansio::{Instant, WallTime};
use sip_proxy::MARK_BYTES;
use sip_proxy::wire::{Limits, Message, parse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Bytes a message counts for beside its own.
const MESSAGE_OVERHEAD_BYTES: usize = 128;
/// Legs remembered: more than a ring of the longest permitted size holds messages of.
const LEGS_MAX: usize = 65_536;
/// Shorter datagrams are keep-alives.
const MESSAGE_BYTES_MIN: usize = 16;

/// What a shard keeps of its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceConfig {
    /// Messages of so many bytes in all are kept, the newest; 0 keeps none.
    pub bytes_max: usize,
    /// Name the call of each message at once, for an export.
    pub correlate: bool,
}

impl Default for TraceConfig {
    fn default() -> Self {
        TraceConfig { bytes_max: 4 << 20, correlate: false }
    }
}

/// A message that was received or sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracedMessage {
    /// When.
    pub at: WallTime,
    /// Nanoseconds on the shard's clock, for differences finer than civil time.
    pub monotonic_ns: u64,
    /// Sent by us.
    pub sent: bool,
    /// At which listener.
    pub listener: u8,
    /// The other side.
    pub peer: SocketAddr,
    /// The message.
    pub bytes: Bytes,
}

/// Our tag in a dialog.
type Tag = [u8; MARK_BYTES];

#[derive(Debug)]
struct Entry {
    at: Instant,
    sent: bool,
    listener: u8,
    peer: SocketAddr,
    bytes: Bytes,
    /// It has not left: its connection is being made.
    waits: bool,
}

/// The ring of one shard.
#[derive(Debug)]
pub(crate) struct Trace {
    config: TraceConfig,
    bytes: usize,
    messages: VecDeque<Entry>,
    /// Of them those that wait for connections.
    waiting: usize,
    /// Legs and their calls, oldest first.
    legs: VecDeque<(Tag, CallId)>,
    /// Where messages are named at once: calls by leg, and by the Call-ID of an INVITE that came in.
    by_leg: BTreeMap<Tag, CallId>,
    by_name: BTreeMap<Bytes, CallId>,
    names: VecDeque<Bytes>,
}

impl Trace {
    pub(crate) fn new(config: TraceConfig) -> Self {
        Trace {
            config,
            bytes: 0,
            messages: VecDeque::new(),
            waiting: 0,
            legs: VecDeque::new(),
            by_leg: BTreeMap::new(),
            by_name: BTreeMap::new(),
            names: VecDeque::new(),
        }
    }

    fn is_off(&self) -> bool {
        self.config.bytes_max == 0 && !self.config.correlate
    }

    /// Keeps a message.
    #[inline]
    pub(crate) fn note(&mut self, at: Instant, sent: bool, listener: u8, peer: SocketAddr, bytes: &Bytes) {
        self.keep(Entry { at, sent, listener, peer, bytes: bytes.clone(), waits: false });
    }

    /// Keeps a message of ours that leaves when its connection is made, if it is.
    pub(crate) fn note_waiting(&mut self, at: Instant, listener: u8, peer: SocketAddr, bytes: &Bytes) {
        self.keep(Entry { at, sent: true, listener, peer, bytes: bytes.clone(), waits: true });
    }

    fn keep(&mut self, entry: Entry) {
        let bytes = &entry.bytes;
        if self.config.bytes_max == 0 || bytes.len() < MESSAGE_BYTES_MIN {
            return;
        }
        self.bytes += bytes.len() + MESSAGE_OVERHEAD_BYTES;
        self.waiting += usize::from(entry.waits);
        self.messages.push_back(entry);
        while self.bytes > self.config.bytes_max {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.waiting -= usize::from(oldest.waits);
            self.bytes -= oldest.bytes.len() + MESSAGE_OVERHEAD_BYTES;
        }
    }

    /// A connection is made: what waited for it has left now.
    pub(crate) fn connected(&mut self, now: Instant, listener: u8, peer: SocketAddr) {
        if self.waiting == 0 {
            return;
        }
        for index in 0..self.messages.len() {
            let entry = &mut self.messages[index];
            if entry.waits && (entry.listener, entry.peer) == (listener, peer) {
                (entry.waits, entry.at) = (false, now);
                self.waiting -= 1;
            }
        }
        // In the order of their times again.
        self.messages.make_contiguous().sort_by_key(|entry| entry.at);
    }

    /// A connection cannot be made: what waited for it was never sent.
    pub(crate) fn refused(&mut self, listener: u8, peer: SocketAddr) {
        if self.waiting == 0 {
            return;
        }
        let (mut bytes, mut waiting) = (self.bytes, self.waiting);
        self.messages.retain(|entry| {
            let gone = entry.waits && (entry.listener, entry.peer) == (listener, peer);
            if gone {
                bytes -= entry.bytes.len() + MESSAGE_OVERHEAD_BYTES;
                waiting -= 1;
            }
            !gone
        });
        (self.bytes, self.waiting) = (bytes, waiting);
    }

    /// A datagram of ours was refused by the kernel: it was never sent.
    pub(crate) fn unsent(&mut self, listener: u8, peer: SocketAddr, bytes: &Bytes) {
        let is_it = |entry: &Entry| {
            let here = entry.sent && (entry.listener, entry.peer) == (listener, peer);
            // The same bytes in the same place: not another copy of them.
            here && std::ptr::eq(&raw const *entry.bytes, &raw const **bytes)
        };
        if let Some(index) = self.messages.iter().rposition(is_it)
            && let Some(entry) = self.messages.remove(index)
        {
            self.bytes -= entry.bytes.len() + MESSAGE_OVERHEAD_BYTES;
            self.waiting -= usize::from(entry.waits);
        }
    }

    /// A leg with this tag of ours belongs to a call.
    pub(crate) fn note_leg(&mut self, tag: Option<Tag>, call: CallId) {
        let Some(tag) = tag.filter(|_| !self.is_off()) else { return };
        if self.legs.len() >= LEGS_MAX
            && let Some((oldest, _)) = self.legs.pop_front()
        {
            self.by_leg.remove(&oldest);
        }
        self.legs.push_back((tag, call));
        if self.config.correlate {
            self.by_leg.insert(tag, call);
        }
    }

    /// A leg takes the place of another one, in the same call.
    pub(crate) fn note_successor(&mut self, before: Option<Tag>, tag: Option<Tag>) {
        let known = self.legs.iter().rev().find(|(known, _)| Some(*known) == before);
        if let Some(call) = known.map(|(_, call)| *call) {
            self.note_leg(tag, call);
        }
    }

    /// A call came in under this Call-ID.
    pub(crate) fn note_name(&mut self, call_id: &[u8], call: CallId) {
        if !self.config.correlate {
            return;
        }
        if self.names.len() >= LEGS_MAX
            && let Some(oldest) = self.names.pop_front()
        {
            self.by_name.remove(&oldest);
        }
        let name = Bytes::copy_from_slice(call_id);
        self.names.push_back(name.clone());
        self.by_name.insert(name, call);
    }

    /// The call a message belongs to, where messages are named at once.
    pub(crate) fn call_of(&self, bytes: &Bytes) -> Option<(CallId, Message)> {
        let message = parse(bytes.clone(), &Limits::default()).ok()?;
        let by_leg = tags(&message).into_iter().flatten().find_map(|tag| self.by_leg.get(&tag));
        let call = by_leg.or_else(|| self.by_name.get(message.call_id()))?;
        Some((*call, message))
    }

    /// Forgets all messages of the dialogs in which the number is named.
    pub(crate) fn forget(&mut self, number: &Spellings) {
        let read = |entry: &Entry| parse(entry.bytes.clone(), &Limits::default()).ok();
        let names_it = |entry: &Entry| number.is_in(&String::from_utf8_lossy(&entry.bytes));
        let mut dialogs: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entry in self.messages.iter().filter(|entry| names_it(entry)) {
            dialogs.extend(read(entry).map(|message| message.call_id().to_vec()));
        }
        self.messages.retain(|entry| {
            !names_it(entry) && !read(entry).is_some_and(|message| dialogs.contains(message.call_id()))
        });
        self.bytes = self.messages.iter().map(|entry| entry.bytes.len() + MESSAGE_OVERHEAD_BYTES).sum();
    }

    /// What is still there of a call, oldest first.
    pub(crate) fn of_call(&self, call: CallId, wall_of: impl Fn(Instant) -> WallTime) -> Vec<TracedMessage> {
        let legs: BTreeSet<Tag> =
            self.legs.iter().filter(|(_, of)| *of == call).map(|(leg, _)| *leg).collect();
        if legs.is_empty() {
            return Vec::new();
        }
        // Our tag in one message of a dialog tells whose all messages with its Call-ID are.
        let mut names = BTreeSet::new();
        let read: Vec<(&Entry, Message)> = self
            .messages
            .iter()
            .filter(|entry| !entry.waits)
            .filter_map(|entry| Some((entry, parse(entry.bytes.clone(), &Limits::default()).ok()?)))
            .collect();
        for (_, message) in &read {
            if tags(message).into_iter().flatten().any(|tag| legs.contains(&tag)) {
                names.insert(message.call_id());
            }
        }
        read.iter()
            .filter(|(_, message)| names.contains(message.call_id()))
            .map(|(entry, _)| TracedMessage {
                at: wall_of(entry.at),
                monotonic_ns: entry.at.as_nanos(),
                sent: entry.sent,
                listener: entry.listener,
                peer: entry.peer,
                bytes: masked(&entry.bytes),
            })
            .collect()
    }
}

/// A message as it may be shown: the keys of encrypted sound in its session description (RFC 4568 `inline:`, RFC 8839
/// `ice-pwd`) are written over with as many asterisks.
#[must_use]
pub fn masked(bytes: &Bytes) -> Bytes {
    const SECRETS: [(&[u8], &[u8]); 2] = [(b"a=crypto:", b"inline:"), (b"a=ice-pwd:", b"")];
    let mut shown: Option<Vec<u8>> = None;
    for (line, before) in SECRETS {
        for start in memchr::memmem::find_iter(bytes, line) {
            let start = start + line.len();
            let end = memchr::memchr2(b'\r', b'\n', &bytes[start..]).map_or(bytes.len(), |end| start + end);
            let text = shown.get_or_insert_with(|| bytes.to_vec());
            mask(&mut text[start..end], before);
        }
    }
    shown.map_or_else(|| bytes.clone(), Bytes::from)
}

/// Each value behind `before`, up to what cannot be part of it.
fn mask(line: &mut [u8], before: &[u8]) {
    let mut at = 0;
    while at < line.len() {
        if !line[at..].get(..before.len()).is_some_and(|text| text.eq_ignore_ascii_case(before)) {
            at += 1;
            continue;
        }
        at += before.len();
        while line.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)) {
            line[at] = b'*';
            at += 1;
        }
        at += 1;
    }
}

/// Both tags of a message, where they could be ours.
fn tags(message: &Message) -> [Option<Tag>; 2] {
    [message.from_tag(), message.to_tag()].map(|tag| tag.and_then(|tag| tag.try_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialogs_of_a_number_are_forgotten() {
        let mut trace = Trace::new(TraceConfig { bytes_max: 100_000, correlate: false });
        let peer = "192.0.2.1:5060".parse().unwrap();
        let to = |call_id: &str, user: &str| {
            let text = String::from_utf8(message(call_id, 3).to_vec()).unwrap();
            Bytes::from(text.replace("To: <sip:a@b>", &format!("To: <sip:{user}@b>")))
        };
        for message in [to("one", "+49301234567"), to("one", "a"), to("two", "b"), to("three", "0301234567")]
        {
            trace.note(Instant::from_millis(1), true, 0, peer, &message);
        }
        trace.forget(&Spellings::new("+49301234567", ["0301234567"]));
        let left: Vec<&Bytes> = trace.messages.iter().map(|entry| &entry.bytes).collect();
        assert_eq!(left, [&to("two", "b")]);
        assert_eq!(trace.bytes, left[0].len() + MESSAGE_OVERHEAD_BYTES);
    }

    fn message(call_id: &str, length: usize) -> Bytes {
        let body = "x".repeat(length);
        Bytes::from(format!(
            "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    #[test]
    fn the_ring_is_bounded_in_bytes_and_off_when_told() {
        let peer = "192.0.2.1:5060".parse().expect("an address");
        let mut trace = Trace::new(TraceConfig { bytes_max: 10_000, correlate: false });
        for index in 0..1000 {
            trace.note(Instant::from_millis(index), index % 2 == 0, 0, peer, &message("c", 400));
            assert!(trace.bytes <= 10_000);
        }
        assert!((10..20).contains(&trace.messages.len()));
        assert_eq!(trace.messages.back().map(|entry| entry.at), Some(Instant::from_millis(999)));
        trace.note(Instant::from_millis(1000), true, 0, peer, &message("c", 20_000));
        assert!(trace.messages.is_empty() && trace.bytes == 0, "one that is too long leaves nothing");
        trace.note(Instant::from_millis(1001), true, 0, peer, &Bytes::from_static(b"\r\n\r\n"));
        assert!(trace.messages.is_empty());
        // What waits for connections for ever is bounded too.
        for index in 0..1000 {
            trace.note_waiting(Instant::from_millis(index), 1, peer, &message("c", 400));
            assert!(trace.bytes <= 10_000 && trace.waiting == trace.messages.len());
        }
        trace.refused(1, peer);
        assert_eq!((trace.messages.len(), trace.bytes, trace.waiting), (0, 0, 0));
        let mut off = Trace::new(TraceConfig { bytes_max: 0, correlate: false });
        off.note(Instant::ZERO, true, 0, peer, &message("c", 1));
        off.note_leg(Some([0; MARK_BYTES]), CallId::from_bits(1));
        off.note_name(b"c", CallId::from_bits(1));
        assert!(off.messages.is_empty() && off.legs.is_empty() && off.by_name.is_empty());
    }

    #[test]
    fn what_the_kernel_has_refused_is_not_shown() {
        let (here, there) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
        let mut trace = Trace::new(TraceConfig { bytes_max: 100_000, correlate: false });
        let (first, again) = (message("c", 4), message("c", 4));
        for bytes in [&first, &again] {
            trace.note(Instant::from_millis(1), true, 0, here, bytes);
        }
        trace.note(Instant::from_millis(1), false, 0, here, &first);
        // Another copy, another way, and one that is not kept.
        trace.unsent(0, there, &first);
        trace.unsent(1, here, &first);
        trace.unsent(0, here, &message("c", 4));
        assert_eq!(trace.messages.len(), 3);
        trace.unsent(0, here, &first);
        let left: Vec<bool> = trace.messages.iter().map(|entry| entry.sent).collect();
        assert_eq!(left, [true, false]);
        assert_eq!(trace.messages[0].bytes.as_ptr(), again.as_ptr());
        assert_eq!(trace.bytes, 2 * (first.len() + MESSAGE_OVERHEAD_BYTES));
    }

    /// A message that waits for its connection is shown when it has left, at the time when it did, and not at all when
    /// there is no connection for it.
    #[test]
    fn what_was_never_sent_is_not_shown() {
        let mut trace = Trace::new(TraceConfig { bytes_max: 100_000, correlate: false });
        let call = CallId::from_bits(5);
        let tag: Tag = *b"abcdefghijklmnopqrstuvwxyz234";
        trace.note_leg(Some(tag), call);
        let of_ours = |name: &str| {
            let text = String::from_utf8(message(name, 1).to_vec()).expect("text");
            let tag = core::str::from_utf8(&tag).expect("text");
            Bytes::from(text.replacen("tag=", &format!("tag={tag};was="), 1))
        };
        let (one, other): (SocketAddr, SocketAddr) =
            ("192.0.2.1:5060".parse().expect("one"), "192.0.2.2:5060".parse().expect("one"));
        let at = Instant::from_millis;
        let shown = |trace: &Trace| {
            let kept = trace.of_call(call, |_| WallTime::default());
            kept.iter()
                .map(|one| (one.peer.ip().to_string(), one.monotonic_ns / 1_000_000))
                .collect::<Vec<_>>()
        };
        trace.note_waiting(at(1), 1, one, &of_ours("a"));
        trace.note_waiting(at(2), 1, other, &of_ours("a"));
        trace.note_waiting(at(3), 2, one, &of_ours("a"));
        trace.note(at(4), true, 0, other, &of_ours("a"));
        let (first, second) = ("192.0.2.1".to_owned(), "192.0.2.2".to_owned());
        assert_eq!(shown(&trace), [(second.clone(), 4)]);
        trace.refused(1, one);
        trace.connected(at(9), 1, other);
        assert_eq!(shown(&trace), [(second.clone(), 4), (second.clone(), 9)]);
        trace.connected(at(10), 2, one);
        assert_eq!(shown(&trace), [(second.clone(), 4), (second, 9), (first, 10)]);
        assert_eq!((trace.waiting, trace.messages.len()), (0, 3));
    }

    #[test]
    fn keys_are_written_over_and_nothing_else() {
        let text = "INVITE sip:a@b SIP/2.0\r\n\r\nm=audio 4000 RTP/SAVP 0\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1j+/dgwKCkgewkyMjA7fQp9Cn=|2^20|1:4;INLINE:WVNf WSH=64\r\n\
            a=ice-ufrag:abcd\r\na=ice-pwd:s3cret/+s3cret\r\na=sendrecv\r\na=crypto:2 X inline:WVNf";
        let shown = masked(&Bytes::from_static(text.as_bytes()));
        assert_eq!(shown.len(), text.len());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(!shown.contains("WVNf") && !shown.contains("s3cret"), "{shown}");
        for kept in [
            "AES_CM_128_HMAC_SHA1_80 inline:***",
            "*|2^20|1:4;INLINE:**** WSH=64\r\n",
            "abcd",
            "\r\na=sendrecv",
        ] {
            assert!(shown.contains(kept), "{kept} in {shown}");
        }
        let plain = message("c", 3);
        assert_eq!(masked(&plain).as_ptr(), plain.as_ptr(), "what holds no keys is not copied");
    }

    #[test]
    fn names_are_bounded() {
        let mut trace = Trace::new(TraceConfig { bytes_max: 0, correlate: true });
        for index in 0..(LEGS_MAX as u64 + 10) {
            let mut tag = [0; MARK_BYTES];
            tag[..8].copy_from_slice(&index.to_le_bytes());
            trace.note_leg(Some(tag), CallId::from_bits(u128::from(index)));
            trace.note_name(&index.to_le_bytes(), CallId::from_bits(u128::from(index)));
        }
        assert_eq!((trace.legs.len(), trace.by_leg.len()), (LEGS_MAX, LEGS_MAX));
        assert_eq!((trace.names.len(), trace.by_name.len()), (LEGS_MAX, LEGS_MAX));
        assert!(trace.call_of(&message("c", 1)).is_none());
    }
}
