//! A peer that follows no rule: any response to any request, requests out of order and out of dialog, copies of
//! everything, and commands from above at any moment. Whatever it does, each leg ends once and nothing is left.

use std::collections::BTreeMap;

use super::*;

const STATUSES: [u16; 26] = [
    100, 180, 183, 199, 200, 200, 200, 200, 200, 200, 200, 202, 302, 401, 407, 403, 408, 481, 486, 487, 488,
    491, 500, 503, 603, 699,
];
const METHODS: [&str; 12] = [
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "REGISTER",
    "FOO",
];
const TAGS: [&str; 4] = ["a", "b", "", "c"];

struct Chaos {
    ua: UserAgent,
    now: Instant,
    rng: Rng,
    out: Outbox<Output>,
    /// Every leg ever told or made, and how often it ended.
    legs: BTreeMap<LegKey, u32>,
    /// Messages of ours that may be answered, and copies of what was sent to us.
    ours: Vec<Message>,
    theirs: Vec<Bytes>,
    number: u32,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut rng = Rng::from_seed(seed);
        let bench = Bench::with(|config| {
            // Small tables, so that the limits take part.
            config.limits.legs_max = 12;
            config.limits.client_transactions_max = 40;
            config.limits.server_transactions_max = 40;
        });
        let mut ua = bench.ua;
        ua.layer.rng = rng.child("ua");
        rng.next_u64();
        Chaos {
            ua,
            now: Instant::ZERO,
            rng,
            out: Outbox::default(),
            legs: BTreeMap::new(),
            ours: Vec::new(),
            theirs: Vec::new(),
            number: 0,
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.below(from.len() as u64) as usize]
    }

    fn collect(&mut self) {
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            match output {
                Output::Send { bytes, .. } => {
                    if let Ok(message) = parse(bytes, &MessageLimits::default()) {
                        self.ours.push(message);
                    }
                }
                Output::Close { .. } | Output::Ask(_) | Output::ServerName { .. } => {}
                Output::Event(Event::Incoming { leg, .. }) => {
                    assert_eq!(self.legs.insert(leg, 0), None, "a leg comes in once");
                }
                Output::Event(Event::Ended(ended)) => {
                    *self.legs.get_mut(&ended.leg).expect("a leg we know") += 1;
                }
                Output::Event(
                    Event::Progress { leg, .. }
                    | Event::Answered { leg, .. }
                    | Event::Confirmed { leg, .. }
                    | Event::Reoffer { leg, .. }
                    | Event::ReofferConfirmed { leg, .. }
                    | Event::ReofferAnswered { leg, .. }
                    | Event::ReofferRejected { leg, .. }
                    | Event::EarlyConfirmed { leg, .. }
                    | Event::Refer { leg, .. }
                    | Event::ReferAnswered { leg, .. }
                    | Event::ReferProgress { leg, .. }
                    | Event::Info { leg, .. },
                ) => assert_eq!(self.legs.get(&leg), Some(&0), "nothing is told about a leg that has ended"),
                Output::Event(_) => {}
            }
        }
        let surplus = self.ours.len().saturating_sub(30);
        self.ours.drain(..surplus);
        let surplus = self.theirs.len().saturating_sub(30);
        self.theirs.drain(..surplus);
    }

    fn receive(&mut self, text: String) {
        let bytes = Bytes::from(text);
        self.theirs.push(bytes.clone());
        self.ua.handle_datagram(self.now, 0, address("192.0.2.9:5060"), bytes, &mut self.out);
        self.collect();
    }

    fn answer_something(&mut self) {
        let requests: Vec<usize> =
            (0..self.ours.len()).filter(|index| self.ours[*index].is_request()).collect();
        if requests.is_empty() {
            return;
        }
        let index = self.pick(&requests);
        let request = self.ours[index].clone();
        let (status, tag) = (self.pick(&STATUSES), self.pick(&TAGS));
        let body = if self.rng.chance(0.4) { ANSWER } else { "" };
        let more = self.pick(&[
            "",
            "Contact: <sip:b@192.0.2.9:5060>\r\n",
            "Contact: <sip:b@10.0.0.1>\r\nRecord-Route: <sip:192.0.2.9;lr>, <sip:x>\r\n",
            "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",stale=true\r\nProxy-Authenticate: Digest realm=\"p\",nonce=\"n\"\r\n",
            "Reason: Q.850;cause=300\r\nRetry-After: 99999999999999\r\n",
            "Require: 100rel\r\nRSeq: 1\r\nAllow: UPDATE\r\nContact: <sip:b@192.0.2.9:5060>\r\n",
            "Require: 100rel\r\nRSeq: 2\r\nContact: <sip:c@192.0.2.9:5060>\r\n",
            "Session-Expires: 90;refresher=uac\r\nAllow: UPDATE\r\nRequire: timer\r\n",
            "Session-Expires: 4;refresher=uas\r\nMin-SE: 4000\r\n",
            "Contact: <sip:1@192.0.2.9>, <sip:2@192.0.2.9>;q=0.1\r\n",
        ]);
        let text = response_text(&request, status, tag, more, body);
        self.receive(text);
    }

    fn ask_something(&mut self) {
        self.number += 1;
        let method = self.pick(&METHODS);
        let known = if self.ours.is_empty() || self.rng.chance(0.3) {
            None
        } else {
            let index = self.rng.below(self.ours.len() as u64) as usize;
            Some(self.ours[index].clone())
        };
        // Mostly upwards, so that requests are in order.
        let cseq = u64::from(self.number / 20) + self.rng.below(3);
        let fresh = self.number;
        let branch = if self.rng.chance(0.7) { fresh.to_string() } else { self.rng.below(4).to_string() };
        let body = body_text(if self.rng.chance(0.5) { OFFER } else { "" });
        let mut contact = self.pick(&["Contact: <sip:b@192.0.2.9:5060>\r\n", ""]).to_owned();
        contact.push_str(self.pick(&[
            "",
            "",
            "Supported: 100rel, timer\r\nAllow: UPDATE\r\nSession-Expires: 90\r\n",
            "Require: 100rel\r\n",
            "Session-Expires: 91;refresher=uac\r\nSupported: timer\r\n",
            "Session-Expires: 1\r\nSupported: timer\r\n",
            "Event: refer\r\nSubscription-State: active\r\nRefer-To: <sip:4@192.0.2.9>\r\n",
            "Event: refer\r\nSubscription-State: terminated\r\nRefer-To: <sip:4@h?Replaces=a%3Bto-tag%3Db>\r\n",
        ]));
        // What was sent reliably is acknowledged, mostly.
        let rseq = self.ours.iter().rev().find_map(|message| message.seconds(HeaderName::RSeq));
        if let Some(rseq) = rseq.filter(|_| method == "PRACK") {
            let number = self.pick(&[0, 1, 2]);
            let _ = write!(contact, "RAck: {rseq} {number} INVITE\r\n");
        }
        let (from, to, call_id) = match &known {
            // As the peer of a dialog of ours: our From is its To in what we asked, our To in what we answered.
            Some(message) if message.is_request() => (
                match message.to_tag() {
                    Some(_) => text(message.header(HeaderName::To)),
                    None => format!("{};tag={}", text(message.header(HeaderName::To)), self.pick(&TAGS)),
                },
                text(message.header(HeaderName::From)),
                text(Some(message.call_id())),
            ),
            Some(message) => (
                text(message.header(HeaderName::From)),
                text(message.header(HeaderName::To)),
                text(Some(message.call_id())),
            ),
            None => {
                ("<sip:a@192.0.2.9>;tag=z".into(), "<sip:us@192.0.2.1>".into(), format!("c{}", fresh % 5))
            }
        };
        let from = from.trim_end_matches(";tag=").to_owned();
        self.receive(format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx{branch}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{contact}{body}"
        ));
    }

    fn command(&mut self) {
        let legs: Vec<LegKey> = self.legs.keys().rev().take(8).copied().collect();
        if legs.is_empty() || self.rng.chance(0.3) {
            let invite = Invite {
                owner: 1,
                listener: 0,
                destination: address("192.0.2.9:5060"),
                trunk: Some(1),
                symmetric: self.rng.chance(0.5),
                replaceable: false,
                request_uri: "sip:x@h",
                from_uri: "sip:a@h",
                from_display: "",
                to_uri: "sip:x@h",
                p_asserted_identity: None,
                route: None,
                headers: &[],
                max_forwards: 70,
                sdp: Bytes::from_static(OFFER.as_bytes()),
            };
            if let Ok(leg) = self.ua.invite(self.now, &invite, &mut self.out) {
                assert_eq!(self.legs.insert(leg, 0), None);
            }
            return self.collect();
        }
        let leg = self.pick(&legs);
        let (now, out) = (self.now, &mut self.out);
        let sdp = ANSWER.as_bytes();
        let ua = &mut self.ua;
        match self.rng.below(14) {
            8 => drop(ua.provisional(now, leg, 183, Some(sdp), out)),
            9 => drop(ua.update(now, leg, sdp, out)),
            10 => drop(ua.refer(now, leg, b"sip:4@192.0.2.9", None, out)),
            11 => drop(ua.accept_refer(now, leg, out)),
            12 => drop(ua.reject_refer(now, leg, 603, out)),
            13 => drop(ua.notify_refer(now, leg, 200, out)),
            0 => drop(ua.provisional(now, leg, 180, None, out)),
            1 | 2 => drop(ua.answer(now, leg, sdp, out)),
            3 => drop(ua.reject(now, leg, 486, Reason::default(), out)),
            4 => drop(ua.reinvite(now, leg, sdp, out)),
            5 => drop(ua.answer_reinvite(now, leg, sdp, out)),
            6 => drop(ua.reject_reinvite(now, leg, 488, out)),
            _ => ua.hangup(now, leg, Reason::default(), out),
        }
        self.collect();
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

fn chaos(seed: u64) {
    let mut chaos = Chaos::new(seed);
    for _ in 0..600 {
        match chaos.rng.below(10) {
            0..=3 => chaos.answer_something(),
            4 | 5 => chaos.ask_something(),
            6 if !chaos.theirs.is_empty() => {
                let index = chaos.rng.below(chaos.theirs.len() as u64) as usize;
                let copy = String::from_utf8(chaos.theirs[index].to_vec()).expect("text");
                chaos.receive(copy);
            }
            7 | 8 => chaos.command(),
            _ => {
                let bound = chaos.pick(&[10, 600, 5000, 40_000]);
                let pause = Duration::from_millis(chaos.rng.below(bound));
                chaos.pass(pause);
            }
        }
    }
    let legs: Vec<LegKey> = chaos.legs.keys().copied().collect();
    for leg in legs {
        chaos.ua.hangup(chaos.now, leg, Reason::default(), &mut chaos.out);
        chaos.collect();
    }
    chaos.pass(Duration::from_secs(700));
    for (leg, ended) in &chaos.legs {
        assert_eq!(*ended, 1, "seed {seed}: leg {leg:?}");
    }
    assert_eq!(chaos.ua.audit(), Audit::default(), "seed {seed}");
    assert_eq!(chaos.ua.counters().legs, chaos.legs.len() as u64);
}

#[test]
fn whatever_the_peer_does() {
    for seed in 0..80 {
        chaos(seed);
    }
}
