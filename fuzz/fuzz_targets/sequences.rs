//! Sequences of messages and commands against one user agent: responses to what it asked, requests in its dialogs, new
//! calls, copies, commands from above, and time. Whatever comes, each leg ends once and in the end nothing is left.

#![no_main]

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sansio::{Instant, Outbox, Rng};
use sip_proxy::UserAgent;
use sip_proxy::ua::{Account, Audit, Config, Event, Invite, LegKey, Listener, Login, Output, Reason, Trunk};
use sip_proxy::wire::{HeaderName, Limits, Message, parse};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "FOO",
];
const STATUSES: [u16; 24] = [
    100, 180, 183, 199, 200, 202, 300, 302, 400, 401, 403, 407, 408, 420, 422, 481, 486, 487, 488, 491, 500,
    503, 603, 699,
];
const LINES: [&str; 22] = [
    "Contact: <sip:b@192.0.2.9:5060>\r\n",
    "Contact: <sip:1@192.0.2.9>;q=0.5, <sip:2@192.0.2.9>\r\n",
    "Require: 100rel\r\nRSeq: 1\r\n",
    "Require: 100rel\r\nRSeq: 2\r\n",
    "Supported: 100rel, timer, norefersub\r\nAllow: UPDATE\r\n",
    "Session-Expires: 90;refresher=uac\r\n",
    "Session-Expires: 90;refresher=uas\r\n",
    "Session-Expires: 5\r\nMin-SE: 1000\r\n",
    "Event: refer\r\nSubscription-State: active\r\n",
    "Event: refer\r\nSubscription-State: terminated\r\n",
    "Refer-To: <sip:4@192.0.2.9>\r\n",
    "Refer-To: <sip:4@h?Replaces=c1%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n",
    "Record-Route: <sip:192.0.2.9;lr>, <sip:x>\r\n",
    "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth,auth-int\"\r\n",
    "Proxy-Authenticate: Digest realm=\"p\",nonce=\"n\",algorithm=SHA-256\r\n",
    "Retry-After: 99999999999\r\nReason: Q.850;cause=300\r\n",
    "Max-Forwards: 0\r\n",
    "Info-Package: x\r\n",
    "RAck: 1 1 INVITE\r\n",
    "RAck: x\r\nSession-Expires: y\r\n",
    "Reason: SIP;cause=200;text=\"a, b\", x;y=\"z\r\nReason: Q.850;cause=16\r\n",
    "Expires: 60\r\nTimestamp: 1\r\n",
];

/// What bodies of parts are made of.
const PIECES: [&str; 12] = [
    "--b\r\n",
    "--b--\r\n",
    "--i\r\n",
    "--i--\r\n",
    "\r\n",
    "Content-Type: application/sdp\r\n",
    "Content-Type: multipart/mixed;boundary=i\r\n",
    "Content-Type: multipart/mixed;boundary=b\r\n",
    "Content-Disposition: signal;handling=required\r\n",
    "Content-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n",
    "no header line\r\n",
    SDP,
];

/// The fuzzer's bytes as choices; when they run out every choice is the first.
struct Dice<'d>(&'d [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }
}

struct Stack<'d> {
    dice: Dice<'d>,
    ua: UserAgent,
    now: Instant,
    out: Outbox<Output>,
    legs: BTreeMap<LegKey, u32>,
    ours: Vec<Message>,
    theirs: Vec<Bytes>,
    number: u32,
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5060))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

impl Stack<'_> {
    fn collect(&mut self) {
        for output in self.out.drain().collect::<Vec<_>>() {
            match output {
                Output::Send { bytes, .. } => {
                    // (The answer to a broken request repeats its broken header, and is no message to us.)
                    if let Ok(message) = parse(bytes, &Limits::default()) {
                        self.ours.push(message);
                    }
                }
                Output::Event(Event::Incoming { leg, .. }) => {
                    assert_eq!(self.legs.insert(leg, 0), None, "a leg comes in once");
                }
                Output::Event(Event::Ended(ended)) => {
                    let count = self.legs.get_mut(&ended.leg).expect("a leg we know");
                    *count += 1;
                    assert_eq!(*count, 1, "a leg ends once");
                }
                _ => {}
            }
        }
        let surplus = self.ours.len().saturating_sub(24);
        self.ours.drain(..surplus);
        let surplus = self.theirs.len().saturating_sub(24);
        self.theirs.drain(..surplus);
    }

    fn receive(&mut self, bytes: Bytes) {
        self.theirs.push(bytes.clone());
        self.ua.handle_datagram(self.now, 0, peer(), bytes, &mut self.out);
        self.collect();
    }

    fn lines(&mut self) -> String {
        let mut lines = String::new();
        for _ in 0..self.dice.byte() % 4 {
            lines.push_str(self.dice.pick(&LINES));
        }
        lines
    }

    fn body(&mut self) -> String {
        match self.dice.byte() % 4 {
            0 | 2 => "Content-Length: 0\r\n\r\n".into(),
            1 => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
            _ => self.parts(),
        }
    }

    /// A body of parts, as often as not one that cannot be taken apart.
    fn parts(&mut self) -> String {
        let mut body = String::new();
        for _ in 0..self.dice.byte() % 20 {
            body.push_str(self.dice.pick(&PIECES));
        }
        let kind = self.dice.pick(&[
            "multipart/mixed;boundary=b",
            "multipart/alternative; boundary=\"b\"",
            "multipart/x",
        ]);
        format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn respond(&mut self) {
        let requests: Vec<Message> =
            self.ours.iter().filter(|message| message.is_request()).cloned().collect();
        if requests.is_empty() {
            return;
        }
        let request = &requests[requests.len() - 1 - usize::from(self.dice.byte()) % requests.len()];
        let (status, tag) = (self.dice.pick(&STATUSES), self.dice.pick(&["a", "b", "c", ""]));
        let tag =
            if request.to_tag().is_none() && !tag.is_empty() { format!(";tag={tag}") } else { String::new() };
        let (lines, body) = (self.lines(), self.body());
        let response = format!(
            "SIP/2.0 {status} X\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{lines}{body}",
            text(request.header(HeaderName::Via)),
            text(request.header(HeaderName::From)),
            text(request.header(HeaderName::To)),
            text(Some(request.call_id())),
            text(request.header(HeaderName::CSeq)),
        );
        self.receive(Bytes::from(response));
    }

    fn ask(&mut self) {
        self.number += 1;
        let method = self.dice.pick(&METHODS);
        let back = usize::from(self.dice.byte()) % (self.ours.len() + 1);
        let known = if back == 0 { None } else { self.ours.get(self.ours.len() - back).cloned() };
        let (from, to, call_id) = match &known {
            Some(message) if message.is_request() => {
                let mut from = text(message.header(HeaderName::To));
                if message.to_tag().is_none() {
                    from.push_str(self.dice.pick(&[";tag=a", ";tag=b", ""]));
                }
                (from, text(message.header(HeaderName::From)), text(Some(message.call_id())))
            }
            Some(message) => (
                text(message.header(HeaderName::From)),
                text(message.header(HeaderName::To)),
                text(Some(message.call_id())),
            ),
            None => {
                let name = self.dice.pick(&["a", "1001"]);
                (
                    format!("<sip:{name}@192.0.2.9>;tag=z"),
                    "<sip:us@192.0.2.1>".into(),
                    format!("c{}", self.number % 4),
                )
            }
        };
        let cseq = 1 + self.number / 8 + u32::from(self.dice.byte() % 3);
        let branch = if self.dice.byte() % 4 == 0 { self.number % 4 } else { self.number + 10 };
        let (mut lines, body) = (self.lines(), self.body());
        if method == "PRACK"
            && let Some(rseq) = self.ours.iter().rev().find_map(|message| message.seconds(HeaderName::RSeq))
        {
            lines.push_str(&format!("RAck: {rseq} {} INVITE\r\n", 1 + self.dice.byte() % 3));
        }
        let request = format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{lines}{body}"
        );
        self.receive(Bytes::from(request));
    }

    fn command(&mut self) {
        let legs: Vec<LegKey> = self.legs.keys().rev().take(6).copied().collect();
        let what = self.dice.byte() % 16;
        if legs.is_empty() || what == 0 {
            let invite = Invite {
                owner: 1,
                listener: 0,
                destination: peer(),
                trunk: Some(1),
                symmetric: self.dice.byte() % 2 == 0,
                replaceable: false,
                request_uri: "sip:x@h",
                from_uri: "sip:a@h",
                from_display: "",
                to_uri: "sip:x@h",
                p_asserted_identity: None,
                route: None,
                headers: &[],
                max_forwards: 70,
                sdp: Bytes::from_static(SDP.as_bytes()),
            };
            if let Ok(leg) = self.ua.invite(self.now, &invite, &mut self.out) {
                assert_eq!(self.legs.insert(leg, 0), None);
            }
            return self.collect();
        }
        let leg = self.dice.pick(&legs);
        let (now, out, ua, sdp) = (self.now, &mut self.out, &mut self.ua, SDP.as_bytes());
        match what {
            1 => drop(ua.provisional(now, leg, 180, None, out)),
            2 => drop(ua.provisional(now, leg, 183, Some(sdp), out)),
            3 | 4 => drop(ua.answer(now, leg, sdp, out)),
            5 => drop(ua.reject(now, leg, 486, Reason::default(), out)),
            6 => drop(ua.reinvite(now, leg, sdp, out)),
            7 => drop(ua.answer_reinvite(now, leg, sdp, out)),
            8 => drop(ua.reject_reinvite(now, leg, 488, out)),
            9 => drop(ua.update(now, leg, sdp, out)),
            10 => drop(ua.refer(now, leg, b"sip:4@192.0.2.9", None, out)),
            11 => drop(ua.accept_refer(now, leg, out)),
            12 => drop(ua.notify_refer(now, leg, 200, out)),
            13 => drop(ua.info(now, leg, b"application/dtmf", b"5", out)),
            _ => ua.hangup(now, leg, Reason::default(), out),
        }
        self.collect();
    }

    /// A copy of what was sent, or one with a byte changed.
    fn copy(&mut self) {
        if self.theirs.is_empty() {
            return;
        }
        let index = usize::from(self.dice.byte()) % self.theirs.len();
        let mut bytes = self.theirs[index].to_vec();
        let at = (usize::from(self.dice.byte()) << 8 | usize::from(self.dice.byte())) % (bytes.len() * 2);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = self.dice.byte();
        }
        self.receive(Bytes::from(bytes));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.ua.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.ua.handle_timeout(self.now, &mut self.out);
            self.collect();
        }
        self.now = end;
    }
}

fuzz_target!(|data: &[u8]| {
    let address = SocketAddr::from(([192, 0, 2, 1], 5060));
    let config = Config { listeners: vec![Listener::udp(address, address.to_string())], ..Config::default() };
    let mut stack = Stack {
        dice: Dice(data),
        ua: UserAgent::new(config, Rng::from_seed(1)),
        now: Instant::ZERO,
        out: Outbox::default(),
        legs: BTreeMap::new(),
        ours: Vec::new(),
        theirs: Vec::new(),
        number: 0,
    };
    let trunk = Trunk {
        key: 1,
        listener: 0,
        address: peer(),
        wanted: None,
        domain: String::new(),
        sources: vec![(peer().ip(), None)],
        networks: Vec::new(),
        certificate_names: Vec::new(),
        login: Some(Login { username: "us".into(), password: "secret".into() }),
        register: None,
        options_interval: None,
        cps_max: 100.0,
        overload_control: false,
        pace: sansio::SharedPace::new(1e5),
    };
    stack.ua.set_trunk(stack.now, trunk, &mut stack.out);
    let login = Login { username: "1001".into(), password: "pw".into() };
    stack.ua.set_account(Account { key: 11, login });
    for _ in 0..64 {
        if stack.dice.0.is_empty() {
            break;
        }
        match stack.dice.byte() % 8 {
            0..=2 => stack.respond(),
            3 | 4 => stack.ask(),
            5 => stack.command(),
            6 => stack.copy(),
            _ => {
                let ms = stack.dice.pick(&[1_u64, 10, 499, 500, 2_000, 31_999, 32_000, 45_000, 600_000]);
                stack.pass(Duration::from_millis(ms));
            }
        }
    }
    for leg in stack.legs.keys().copied().collect::<Vec<_>>() {
        stack.ua.hangup(stack.now, leg, Reason::default(), &mut stack.out);
        stack.collect();
    }
    stack.pass(Duration::from_secs(4000));
    assert!(stack.legs.values().all(|ended| *ended == 1), "each leg ends");
    let audit = Audit { contacts: 0, slowed_sources: 0, nonces: 0, ..stack.ua.audit() };
    assert_eq!(audit, Audit::default(), "nothing is left");
});
