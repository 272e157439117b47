//! The user agent against a peer that is played by hand, in virtual time, written down as a ladder.

mod bad_input;
mod call_flows;
mod called;
mod calls;
mod chaos;
mod collisions;
mod digests;
mod floods;
mod flows;
mod named;
mod offers;
mod overloads;
mod parts;
mod probes;
mod redirects;
mod registering;
mod relays;
mod reliable;
mod sessions;
mod strict;
mod timers;
mod torture;
mod traffic;
mod transfers;
mod trunks;

use core::fmt::Write as _;
use core::time::Duration;

use bytes::Bytes;
use sansio::{Instant, Outbox, Rng};

use super::*;
use crate::wire::Limits as MessageLimits;

pub(super) const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
pub(super) const ANSWER: &str =
    "v=0\r\no=- 2 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n";

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The user agent, its clock, the last message it sent, and the ladder so far.
pub(super) struct Bench {
    pub(super) ua: UserAgent,
    pub(super) now: Instant,
    pub(super) out: Outbox<Output>,
    pub(super) ladder: String,
    /// Everything sent: where to, and what.
    pub(super) sent: Vec<(SocketAddr, Message)>,
    pub(super) ended: Vec<Ended>,
    pub(super) incoming: Vec<LegKey>,
    /// Where the peer is.
    pub(super) peer: SocketAddr,
    /// The listener its messages come in at.
    pub(super) listener: u8,
    /// By which listener each message in `sent` left.
    pub(super) left_by: Vec<u8>,
    /// Requests for those above, which are refused unless a test takes them.
    pub(super) requests: Vec<(RequestKey, Message)>,
    pub(super) takes_requests: bool,
    /// Questions to the domain name system.
    pub(super) asked: Vec<crate::transport::locate::Question>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listeners: vec![Listener::udp(address("192.0.2.1:5060"), "192.0.2.1:5060".into())],
            ..Config::default()
        };
        change(&mut config);
        let mut bench = Bench {
            ua: UserAgent::new(config, Rng::from_seed(1)),
            now: Instant::ZERO,
            out: Outbox::default(),
            ladder: String::new(),
            sent: Vec::new(),
            ended: Vec::new(),
            incoming: Vec::new(),
            peer: address("192.0.2.9:5060"),
            listener: 0,
            left_by: Vec::new(),
            requests: Vec::new(),
            takes_requests: false,
            asked: Vec::new(),
        };
        let trunk = Trunk {
            key: 1,
            listener: 0,
            address: address("192.0.2.9:5060"),
            wanted: None,
            domain: String::new(),
            sources: vec![("192.0.2.9".parse().expect("an address"), None)],
            networks: Vec::new(),
            certificate_names: Vec::new(),
            login: Some(Login { username: "us".into(), password: "secret".into() }),
            register: None,
            options_interval: None,
            cps_max: 100_000.0,
            overload_control: false,
            pace: sansio::SharedPace::new(1e5),
        };
        bench.ua.set_trunk(bench.now, trunk, &mut bench.out);
        for (key, name) in [(11, "1001"), (12, "1002")] {
            let login = Login { username: name.into(), password: format!("pw{name}") };
            bench.ua.set_account(Account { key, login });
        }
        bench
    }

    /// Lets time pass, firing what is due on the way at its own time.
    pub(super) fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(next) = self.ua.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.ua.handle_timeout(self.now, &mut self.out);
            self.note();
        }
        self.now = end;
        self.ua.handle_timeout(self.now, &mut self.out);
        self.note();
        self
    }

    pub(super) fn pass_ms(&mut self, ms: u64) -> &mut Self {
        self.pass(Duration::from_millis(ms))
    }

    /// A leg of ours to the peer.
    pub(super) fn call(&mut self) -> LegKey {
        self.call_with(|_| {})
    }

    /// A call to the peer, with nothing about it that is not usual.
    pub(super) fn invite(&self) -> Invite<'static> {
        Invite {
            owner: 7,
            listener: 0,
            destination: self.peer,
            trunk: Some(1),
            symmetric: false,
            replaceable: false,
            request_uri: "sip:13800138000@192.0.2.9",
            from_uri: "sip:02155556666@192.0.2.1",
            from_display: "",
            to_uri: "sip:13800138000@192.0.2.9",
            p_asserted_identity: None,
            route: None,
            headers: &[],
            max_forwards: 70,
            sdp: Bytes::from_static(OFFER.as_bytes()),
        }
    }

    pub(super) fn call_with(&mut self, change: impl FnOnce(&mut Invite<'_>)) -> LegKey {
        let mut invite = self.invite();
        change(&mut invite);
        let leg = self.ua.invite(self.now, &invite, &mut self.out).expect("there is room");
        self.note();
        leg
    }

    pub(super) fn hangup(&mut self, leg: LegKey) -> &mut Self {
        self.ua.hangup(self.now, leg, Reason::default(), &mut self.out);
        self.note();
        self
    }

    /// A datagram from the peer.
    pub(super) fn receive(&mut self, text: &str) -> &mut Self {
        self.receive_from(self.peer, text)
    }

    pub(super) fn receive_from(&mut self, source: SocketAddr, text: &str) -> &mut Self {
        let line = text.lines().next().unwrap_or_default().to_owned();
        let shown = match line.strip_prefix("SIP/2.0 ") {
            Some(status) => status.split(' ').next().unwrap_or_default().to_owned(),
            None => line.split(' ').next().unwrap_or_default().to_owned(),
        };
        let at = self.now.as_secs_f64();
        let _ = writeln!(self.ladder, "{at:.3}  us < {shown}");
        let bytes = Bytes::from(text.to_owned());
        self.ua.handle_datagram(self.now, self.listener, source, bytes, &mut self.out);
        self.note();
        self
    }

    /// The last request we sent with this method.
    pub(super) fn last(&self, method: Method) -> Message {
        let found =
            self.sent.iter().rev().find(|(_, message)| message.is_request() && message.method() == method);
        found.unwrap_or_else(|| panic!("no {method:?} was sent")).1.clone()
    }

    pub(super) fn last_response(&self) -> Message {
        self.sent
            .iter()
            .rev()
            .find(|(_, message)| !message.is_request())
            .expect("a response was sent")
            .1
            .clone()
    }

    /// How many of the messages sent show this in the ladder.
    pub(super) fn count(&self, shown: &str) -> usize {
        self.sent.iter().filter(|(_, message)| show(message) == shown).count()
    }

    /// A response of the peer to the last request of this method.
    pub(super) fn respond(
        &mut self,
        method: Method,
        status: u16,
        tag: &str,
        more: &str,
        body: &str,
    ) -> &mut Self {
        let request = self.last(method);
        let text = response_text(&request, status, tag, more, body);
        self.receive(&text)
    }

    /// A request of the peer in the dialog that our INVITE made.
    pub(super) fn request_back(
        &mut self,
        method: &str,
        tag: &str,
        cseq: u32,
        more: &str,
        body: &str,
    ) -> &mut Self {
        let invite = self.last(Method::Invite);
        let text = format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKpeer{method}{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}{}",
            text(invite.header(HeaderName::To)),
            text(invite.header(HeaderName::From)),
            text(Some(invite.call_id())),
            body_text(body),
        );
        self.receive(&text)
    }

    /// The peer answers our INVITE: a leg that stands.
    pub(super) fn standing(&mut self) -> LegKey {
        let leg = self.call();
        self.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
        leg
    }

    /// Writes what came out into the ladder.
    pub(super) fn note(&mut self) {
        let at = self.now.as_secs_f64();
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            match output {
                Output::Send { listener, to, bytes } => {
                    let message = parse(bytes, &MessageLimits::default()).expect("we send sound messages");
                    let _ = writeln!(self.ladder, "{at:.3}  us > {}", show(&message));
                    self.sent.push((to, message));
                    self.left_by.push(listener);
                }
                Output::Close { listener, peer } => {
                    let _ = writeln!(self.ladder, "{at:.3}  close {listener} {peer}");
                }
                Output::Ask(question) => self.asked.push(question),
                Output::ServerName { to, name, .. } => {
                    let _ = writeln!(self.ladder, "{at:.3}  {to} is {name}");
                }
                Output::Event(event) => {
                    let shown = self.show_event(event);
                    let _ = writeln!(self.ladder, "{at:.3}  {shown}");
                }
            }
        }
        if !self.takes_requests && !self.requests.is_empty() {
            for (key, request) in core::mem::take(&mut self.requests) {
                let code = if request.method() == Method::Other { 501 } else { 405 };
                self.ua.respond(self.now, key, code, &mut self.out);
            }
            self.note();
        }
    }

    fn show_event(&mut self, event: Event) -> String {
        let sdp = |sdp: &Option<Bytes>| if sdp.is_some() { " sdp" } else { "" };
        match event {
            Event::Incoming { leg, from, .. } => {
                self.incoming.push(leg);
                format!("incoming from {from:?}")
            }
            Event::Progress { code, sdp: body, .. } => format!("progress {code}{}", sdp(&body)),
            Event::Answered { sdp: body, .. } => format!("answered{}", sdp(&body)),
            Event::Confirmed { sdp: body, .. } => format!("confirmed{}", sdp(&body)),
            Event::EarlyConfirmed { sdp: body, .. } => format!("early confirmed{}", sdp(&body)),
            Event::Reoffer { sdp: body, by_update, .. } => {
                format!("reoffer{}{}", if by_update { " by update" } else { "" }, sdp(&body))
            }
            Event::ReofferConfirmed { sdp: body, .. } => format!("reoffer confirmed{}", sdp(&body)),
            Event::ReofferAnswered { sdp: body, .. } => format!("reoffer answered{}", sdp(&body)),
            Event::ReofferRejected { code, .. } => format!("reoffer rejected {code}"),
            Event::Refer { target, replaces, referred_by, .. } => {
                let by = referred_by.map(|by| format!(" by {}", text(Some(&by)))).unwrap_or_default();
                let attended = match replaces {
                    Some(Replaced::Leg(_)) => " replacing a leg",
                    Some(Replaced::Sibling(_)) => " replacing a leg of another shard",
                    Some(Replaced::Elsewhere(_)) => " replacing what we do not know",
                    None => "",
                };
                format!("refer to {}{attended}{by}", text(Some(&target)))
            }
            Event::ReferAnswered { code, .. } => format!("refer answered {code}"),
            Event::ReferProgress { code, done, .. } => {
                format!("refer progress {code}{}", if done { ", done" } else { "" })
            }
            Event::Request { key, leg, request, .. } => {
                let method = text(Some(request.method_text()));
                let shown = format!("asked for {method}{}", if leg.is_some() { " in a dialog" } else { "" });
                self.requests.push((key, *request));
                shown
            }
            Event::Info { body, .. } => format!("info {}", String::from_utf8_lossy(&body)),
            Event::Ended(ended) => {
                assert!(
                    !self.ended.iter().any(|other| other.leg == ended.leg),
                    "a leg ends once:\n{}",
                    self.ladder
                );
                self.ended.push(ended.clone());
                let mut text = format!("ended by {:?}", ended.by);
                if ended.answered {
                    text.push_str(", answered");
                }
                for (name, value) in [
                    ("code", ended.code.map(u64::from)),
                    ("q850", ended.q850.map(u64::from)),
                    ("retry after", ended.retry_after.map(|time| time.as_secs())),
                ] {
                    if let Some(value) = value {
                        let _ = write!(text, ", {name} {value}");
                    }
                }
                if let Some(said) = &ended.text {
                    let _ = write!(text, ", saying {said}");
                }
                text
            }
            Event::Registered { account, contact } => {
                format!(
                    "registered {account} {} at {} for {:?}",
                    contact.uri, contact.source, contact.expires
                )
            }
            Event::Unregistered { account } => format!("unregistered {account}"),
            Event::PhoneHealth { account, reachable, code } => {
                format!("phone {account} reachable {reachable} {code:?}")
            }
            Event::TrunkHealth { trunk, up, rtt, code } => format!("trunk {trunk} up {up} {rtt:?} {code:?}"),
            Event::TrunkOverload { trunk, loss_percent } => {
                format!("trunk {trunk} wants {loss_percent} % less")
            }
            Event::TrunkRegistration { trunk, registered, code } => {
                format!("trunk {trunk} registered {registered} {code:?}")
            }
            Event::AuthFailure { source, account } => format!("wrong password from {source} for {account:?}"),
        }
    }

    /// After everything has run out nothing is left.
    pub(super) fn is_clean(&mut self) {
        self.pass(Duration::from_secs(400));
        let audit = Audit { contacts: 0, slowed_sources: 0, nonces: 0, ..self.ua.audit() };
        assert_eq!(audit, Audit::default(), "left over after:\n{}", self.ladder);
        let counters = self.ua.counters();
        assert_eq!(counters.legs, counters.legs_ended, "each leg ends:\n{}", self.ladder);
    }
}

/// Runs a story and compares its ladder; at the end nothing may be left.
#[track_caller]
pub(super) fn check(story: impl FnOnce(&mut Bench), expected: &expect_test::Expect) {
    let mut bench = Bench::new();
    story(&mut bench);
    expected.assert_eq(&bench.ladder);
    bench.is_clean();
}

pub(super) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// `INVITE`, `180` or `200 BYE`: the method only where it is not INVITE.
pub(super) fn show(message: &Message) -> String {
    let method = text(Some(message.method_text()));
    match message.status() {
        0 => method,
        status if message.method() == Method::Invite => status.to_string(),
        status => format!("{status} {method}"),
    }
}

pub(super) fn body_text(body: &str) -> String {
    if body.is_empty() {
        "Content-Length: 0\r\n\r\n".into()
    } else {
        format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

pub(super) fn response_text(request: &Message, status: u16, tag: &str, more: &str, body: &str) -> String {
    let tag = match (request.to_tag(), tag) {
        (None, tag) if !tag.is_empty() => format!(";tag={tag}"),
        _ => String::new(),
    };
    format!(
        "SIP/2.0 {status} {}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}{}",
        reason_phrase(status),
        text(request.header(HeaderName::Via)),
        text(request.header(HeaderName::From)),
        text(request.header(HeaderName::To)),
        text(Some(request.call_id())),
        text(request.header(HeaderName::CSeq)),
        body_text(body),
    )
}
