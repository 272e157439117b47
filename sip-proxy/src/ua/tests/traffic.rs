//! Two user agents over a pipe that loses, doubles, delays and reorders, with random commands on both sides.

use std::collections::BTreeMap;

use super::*;

const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.9:5060"];

#[derive(Debug, Default)]
struct Told {
    answered: bool,
    ended: u32,
}

/// One side: a user agent and what its owner knows of each leg.
struct Side {
    ua: UserAgent,
    legs: BTreeMap<LegKey, Told>,
    /// Legs that ring here and may be answered.
    ringing: Vec<LegKey>,
    offers: Vec<LegKey>,
}

impl Side {
    fn new(index: usize, rng: Rng) -> Side {
        let listener = Listener::udp(address(ADDRESSES[index]), ADDRESSES[index].into());
        let config = Config { listeners: vec![listener], ..Config::default() };
        let mut side = Side {
            ua: UserAgent::new(config, rng),
            legs: BTreeMap::new(),
            ringing: Vec::new(),
            offers: Vec::new(),
        };
        let peer = address(ADDRESSES[1 - index]);
        let trunk = Trunk {
            key: 1,
            listener: 0,
            address: peer,
            wanted: None,
            domain: String::new(),
            sources: vec![(peer.ip(), None)],
            networks: Vec::new(),
            certificate_names: Vec::new(),
            login: None,
            register: None,
            options_interval: None,
            cps_max: 100_000.0,
            overload_control: false,
            pace: sansio::SharedPace::new(1e5),
        };
        side.ua.set_trunk(Instant::ZERO, trunk, &mut Outbox::default());
        side
    }

    fn told(&mut self, event: Event) {
        let (leg, over) = match &event {
            Event::Incoming { leg, .. } => {
                assert!(self.legs.insert(*leg, Told::default()).is_none(), "a leg comes in once");
                self.ringing.push(*leg);
                return;
            }
            Event::Ended(ended) => (ended.leg, true),
            Event::Progress { leg, .. }
            | Event::Answered { leg, .. }
            | Event::Confirmed { leg, .. }
            | Event::Reoffer { leg, .. }
            | Event::ReofferConfirmed { leg, .. }
            | Event::ReofferAnswered { leg, .. }
            | Event::ReofferRejected { leg, .. }
            | Event::Info { leg, .. } => (*leg, false),
            _ => return,
        };
        let known = self.legs.get_mut(&leg).expect("events are about legs we know");
        assert_eq!(known.ended, 0, "nothing is told about a leg that has ended: {event:?}");
        known.ended += u32::from(over);
        match event {
            Event::Answered { .. } => {
                assert!(!known.answered, "answered once");
                known.answered = true;
            }
            Event::Reoffer { leg, .. } => self.offers.push(leg),
            Event::Ended(ended) => {
                self.ringing.retain(|other| *other != ended.leg);
                self.offers.retain(|other| *other != ended.leg);
            }
            _ => {}
        }
    }
}

struct Pipe {
    sides: [Side; 2],
    /// Datagrams on the way: when, a number to order equals, to which side, the bytes.
    flying: BTreeMap<(Instant, u64), (usize, Bytes)>,
    number: u64,
    now: Instant,
    rng: Rng,
    loss: f64,
    double: f64,
    delay_ms: u64,
    trace: u64,
}

impl Pipe {
    fn new(seed: u64, loss: f64, double: f64, delay_ms: u64) -> Pipe {
        let rng = Rng::from_seed(seed);
        Pipe {
            sides: [Side::new(0, rng.child("left")), Side::new(1, rng.child("right"))],
            flying: BTreeMap::new(),
            number: 0,
            now: Instant::ZERO,
            rng,
            loss,
            double,
            delay_ms,
            trace: 0,
        }
    }

    fn collect(&mut self, from: usize, out: &mut Outbox<Output>) {
        for output in out.drain().collect::<Vec<_>>() {
            match output {
                Output::Close { .. } | Output::Ask(_) | Output::ServerName { .. } => {}
                Output::Event(event) => self.sides[from].told(event),
                Output::Send { to, bytes, .. } => {
                    assert_eq!(to, address(ADDRESSES[1 - from]));
                    for byte in bytes.iter() {
                        self.trace = self.trace.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
                    }
                    let copies = 1 + u64::from(self.rng.chance(self.double));
                    for _ in 0..copies {
                        if self.rng.chance(self.loss) {
                            continue;
                        }
                        let delay = Duration::from_millis(self.rng.below(self.delay_ms + 1));
                        self.number += 1;
                        self.flying.insert((self.now + delay, self.number), (1 - from, bytes.clone()));
                    }
                }
            }
        }
    }

    /// Runs the world up to `end`.
    fn run(&mut self, end: Instant) {
        let mut out = Outbox::default();
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timers = [self.sides[0].ua.poll_timeout(), self.sides[1].ua.poll_timeout()];
            let next = [arrival, timers[0], timers[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, (side, bytes)) = self.flying.pop_first().expect("looked at just before");
                let source = address(ADDRESSES[1 - side]);
                self.sides[side].ua.handle_datagram(self.now, 0, source, bytes, &mut out);
                self.collect(side, &mut out);
                continue;
            }
            for side in 0..2 {
                self.sides[side].ua.handle_timeout(self.now, &mut out);
                self.collect(side, &mut out);
            }
        }
        self.now = end;
    }

    /// One random command.
    fn act(&mut self) {
        let mut out = Outbox::default();
        let index = self.rng.below(2) as usize;
        let now = self.now;
        let pick = |rng: &mut Rng, legs: &[LegKey]| {
            (!legs.is_empty()).then(|| legs[rng.below(legs.len() as u64) as usize])
        };
        let living: Vec<LegKey> =
            self.sides[index].legs.iter().filter(|(_, told)| told.ended == 0).map(|(leg, _)| *leg).collect();
        let side = &mut self.sides[index];
        match self.rng.below(12) {
            0..=2 => {
                let destination = address(ADDRESSES[1 - index]);
                let invite = Invite {
                    owner: 1,
                    listener: 0,
                    destination,
                    trunk: Some(1),
                    symmetric: self.rng.chance(0.5),
                    replaceable: false,
                    request_uri: "sip:x@h",
                    from_uri: "sip:a@h",
                    from_display: "A \"B\"",
                    to_uri: "sip:x@h",
                    p_asserted_identity: Some("sip:a@h"),
                    route: None,
                    headers: &[("Call-Info", "<sip:h>;answer-after=0")],
                    max_forwards: 70,
                    sdp: Bytes::from_static(OFFER.as_bytes()),
                };
                let leg = side.ua.invite(now, &invite, &mut out).expect("there is room");
                side.legs.insert(leg, Told::default());
            }
            3..=5 => {
                if let Some(leg) = pick(&mut self.rng, &side.ringing) {
                    let sdp = self.rng.chance(0.5).then_some(ANSWER.as_bytes());
                    match self.rng.below(4) {
                        0 => {
                            let _ = side.ua.provisional(now, leg, 183, sdp, &mut out);
                        }
                        1 => {
                            let _ = side.ua.reject(now, leg, 486, Reason::default(), &mut out);
                        }
                        _ => {
                            let _ = side.ua.answer(now, leg, ANSWER.as_bytes(), &mut out);
                            side.ringing.retain(|other| *other != leg);
                        }
                    }
                }
            }
            6 | 7 => {
                if let Some(leg) = pick(&mut self.rng, &living) {
                    let reason = Reason { q850: Some(16), text: "x", ..Reason::default() };
                    side.ua.hangup(now, leg, reason, &mut out);
                }
            }
            8 => {
                if let Some(leg) = pick(&mut self.rng, &living) {
                    let _ = side.ua.reinvite(now, leg, OFFER.as_bytes(), &mut out);
                }
            }
            9 | 10 => {
                if let Some(leg) = pick(&mut self.rng, &side.offers) {
                    let _ = if self.rng.chance(0.8) {
                        side.ua.answer_reinvite(now, leg, ANSWER.as_bytes(), &mut out)
                    } else {
                        side.ua.reject_reinvite(now, leg, 488, &mut out)
                    };
                    side.offers.retain(|other| *other != leg);
                }
            }
            _ => {}
        }
        self.collect(index, &mut out);
    }

    /// Every leg is hung up, all timers run out: each leg has ended once on its side, nothing is left.
    fn finish(&mut self, seed: u64) {
        let mut out = Outbox::default();
        for index in 0..2 {
            let legs: Vec<LegKey> = self.sides[index].legs.keys().copied().collect();
            for leg in legs {
                self.sides[index].ua.hangup(self.now, leg, Reason::default(), &mut out);
                self.collect(index, &mut out);
            }
        }
        // Legs that come in only now are refused until no more come.
        for _ in 0..400 {
            self.run(self.now + Duration::from_secs(1));
            for index in 0..2 {
                for leg in std::mem::take(&mut self.sides[index].ringing) {
                    self.sides[index].ua.hangup(self.now, leg, Reason::default(), &mut out);
                    self.collect(index, &mut out);
                }
            }
        }
        for side in &self.sides {
            for (leg, told) in &side.legs {
                assert_eq!(told.ended, 1, "seed {seed}: leg {leg:?} {told:?}");
            }
            assert_eq!(side.ua.audit(), Audit::default(), "seed {seed}");
            assert_eq!(side.ua.counters().legs, side.legs.len() as u64);
        }
    }
}

fn traffic(seed: u64, loss: f64, double: f64, delay_ms: u64, commands: u32) -> u64 {
    let mut pipe = Pipe::new(seed, loss, double, delay_ms);
    for _ in 0..commands {
        pipe.act();
        let pause = [1, 30, 600, 8000][pipe.rng.below(4) as usize];
        let pause = pipe.rng.below(pause);
        pipe.run(pipe.now + Duration::from_millis(pause));
    }
    pipe.finish(seed);
    pipe.trace
}

#[test]
fn a_good_network() {
    for seed in 0..40 {
        traffic(seed, 0.0, 0.0, 5, 150);
    }
}

#[test]
fn a_bad_network() {
    for seed in 100..140 {
        traffic(seed, 0.25, 0.2, 400, 150);
    }
}

#[test]
fn hardly_a_network() {
    for seed in 200..230 {
        traffic(seed, 0.8, 0.5, 3000, 100);
    }
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    assert_eq!(traffic(7, 0.2, 0.2, 300, 100), traffic(7, 0.2, 0.2, 300, 100));
    assert_ne!(traffic(7, 0.2, 0.2, 300, 100), traffic(8, 0.2, 0.2, 300, 100));
}

/// One fifth of all datagrams is lost both ways: every call stands and ends all the same.
#[test]
fn calls_complete_in_spite_of_loss() {
    let mut answered = 0;
    for seed in 0..60 {
        let mut pipe = Pipe::new(seed, 0.2, 0.0, 20);
        let mut out = Outbox::default();
        let invite = Invite {
            owner: 1,
            listener: 0,
            destination: address(ADDRESSES[1]),
            trunk: None,
            symmetric: false,
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
        let leg = pipe.sides[0].ua.invite(pipe.now, &invite, &mut out).expect("there is room");
        pipe.sides[0].legs.insert(leg, Told::default());
        pipe.collect(0, &mut out);
        for _ in 0..32 {
            pipe.run(pipe.now + Duration::from_secs(1));
            for leg in std::mem::take(&mut pipe.sides[1].ringing) {
                pipe.sides[1].ua.answer(pipe.now, leg, ANSWER.as_bytes(), &mut out).expect("it rings");
                pipe.collect(1, &mut out);
            }
        }
        answered += u32::from(pipe.sides[0].legs[&leg].answered);
        pipe.sides[0].ua.hangup(pipe.now, leg, Reason::default(), &mut out);
        pipe.collect(0, &mut out);
        pipe.finish(seed);
    }
    assert_eq!(answered, 60);
}
