//! The way through RFC 3263 against a small zone.

use super::*;
use std::collections::BTreeMap;

/// A zone: what each name has, and how long it may be believed.
struct Zone {
    locator: Locator,
    records: BTreeMap<Question, Answer>,
    reach: Reach,
    rng: Rng,
    now: Instant,
    /// Everything that was asked.
    asked: Vec<Question>,
}

const TTL: Duration = Duration::from_secs(100);

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.into() }
}

fn naptr(order: u16, service: &str, replacement: &str) -> Naptr {
    let (flags, service, replacement) = ("s".into(), service.into(), replacement.into());
    Naptr { order, preference: 10, flags, service, replacement }
}

impl Zone {
    fn new() -> Self {
        let outlets = vec![
            (Transport::Udp, true),
            (Transport::Tcp, true),
            (Transport::Tls, true),
            (Transport::Udp, false),
        ];
        Zone {
            locator: Locator::default(),
            records: BTreeMap::new(),
            reach: Reach { outlets },
            rng: Rng::from_seed(3),
            now: Instant::ZERO,
            asked: Vec::new(),
        }
    }

    fn has(&mut self, question: Question, answer: Answer) -> &mut Self {
        self.records.insert(question, answer);
        self
    }

    fn host(&mut self, name: &str, address: &str) -> &mut Self {
        let ip: IpAddr = address.parse().expect("an address");
        let question = if ip.is_ipv4() { Question::A(name.into()) } else { Question::Aaaa(name.into()) };
        self.has(question, Answer::Addresses(vec![ip]))
    }

    /// Locates, answering every question from the zone.
    fn locate(&mut self, wanted: &Wanted) -> String {
        for _ in 0..10 {
            let mut ask = Vec::new();
            let located = self.locator.locate(self.now, wanted, &self.reach, &mut self.rng, &mut ask);
            for question in ask {
                self.asked.push(question.clone());
                let answer = self.records.get(&question).cloned().unwrap_or(Answer::Nothing);
                self.locator.answer(self.now, &question, answer, TTL);
            }
            match located {
                Located::Waiting => {}
                Located::Nowhere => return "nowhere".into(),
                Located::To(targets) => {
                    let show = |target: &Target| {
                        format!("{} {}", target.transport.as_str().to_lowercase(), target.address)
                    };
                    return targets.iter().map(show).collect::<Vec<_>>().join(", ");
                }
            }
        }
        panic!("asks for ever: {:?}", self.asked)
    }
}

fn wanted(host: &str, port: Option<u16>, transport: Option<Transport>) -> Wanted {
    Wanted { host: host.into(), port, transport }
}

#[test]
fn an_address_or_a_port_looks_for_no_service() {
    let mut zone = Zone::new();
    zone.host("carrier.example", "192.0.2.1").host("carrier.example", "2001:db8::1");
    assert_eq!(zone.locate(&wanted("192.0.2.7", None, None)), "udp 192.0.2.7:5060");
    assert_eq!(zone.locate(&wanted("192.0.2.7", None, Some(Transport::Tls))), "tls 192.0.2.7:5061");
    assert_eq!(zone.locate(&wanted("[2001:db8::7]", Some(5070), None)), "udp [2001:db8::7]:5070");
    assert!(zone.asked.is_empty());
    assert_eq!(
        zone.locate(&wanted("Carrier.Example.", Some(5070), None)),
        "udp 192.0.2.1:5070, udp [2001:db8::1]:5070"
    );
    // No TCP over IPv6 here, so its addresses are not even asked for.
    assert_eq!(
        zone.locate(&wanted("carrier.example", Some(5070), Some(Transport::Tcp))),
        "tcp 192.0.2.1:5070"
    );
    assert_eq!(zone.asked.len(), 2);
    assert_eq!(zone.locate(&wanted("2001:db8::7", Some(1), Some(Transport::Tls))), "nowhere");
}

#[test]
fn naptr_names_transports_in_order() {
    let mut zone = Zone::new();
    zone.has(
        Question::Naptr("carrier.example".into()),
        Answer::Naptr(vec![
            naptr(90, "SIP+D2U", "_sip._udp.carrier.example."),
            naptr(50, "SIPS+D2T", "_sips._tcp.carrier.example"),
            naptr(10, "SIP+D2W", "_sip._ws.carrier.example"),
        ]),
    )
    .has(Question::Srv("_sip._udp.carrier.example".into()), Answer::Srv(vec![srv(0, 0, 5080, "b.example")]))
    .has(Question::Srv("_sips._tcp.carrier.example".into()), Answer::Srv(vec![srv(0, 0, 5081, "a.example.")]))
    .host("a.example", "192.0.2.1")
    .host("b.example", "192.0.2.2");
    assert_eq!(zone.locate(&wanted("carrier.example", None, None)), "tls 192.0.2.1:5081, udp 192.0.2.2:5080");
}

#[test]
fn a_service_is_never_short_cut_by_the_address_of_its_domain() {
    let mut zone = Zone::new();
    zone.host("carrier.example", "192.0.2.80")
        .has(
            Question::Srv("_sip._tcp.carrier.example".into()),
            Answer::Srv(vec![srv(20, 0, 5060, "b.example"), srv(10, 0, 5060, "a.example")]),
        )
        .host("a.example", "192.0.2.1")
        .host("b.example", "192.0.2.2");
    let both = "tcp 192.0.2.1:5060, tcp 192.0.2.2:5060";
    assert_eq!(zone.locate(&wanted("carrier.example", None, None)), both);
    assert_eq!(zone.locate(&wanted("carrier.example", None, Some(Transport::Tcp))), both);
    // Without any service the domain is a host.
    assert_eq!(zone.locate(&wanted("carrier.example", None, Some(Transport::Tls))), "tls 192.0.2.80:5061");
    zone.host("plain.example", "192.0.2.9");
    assert_eq!(zone.locate(&wanted("plain.example", None, None)), "udp 192.0.2.9:5060");
    // A single dot: this service is not there.
    zone.has(Question::Srv("_sip._udp.not.example".into()), Answer::Srv(vec![srv(0, 0, 0, ".")]));
    zone.host("not.example", "192.0.2.10");
    assert_eq!(zone.locate(&wanted("not.example", None, None)), "nowhere");
    assert_eq!(zone.locate(&wanted("gone.example", None, None)), "nowhere");
}

#[test]
fn what_has_failed_goes_last_and_comes_back() {
    let mut zone = Zone::new();
    let records = (1..=3).map(|n| srv(n, 0, 5060, &format!("192.0.2.{n}"))).collect();
    zone.has(Question::Srv("_sip._udp.c.example".into()), Answer::Srv(records));
    let carrier = wanted("c.example", None, Some(Transport::Udp));
    let target =
        |n: u8| Target { transport: Transport::Udp, address: SocketAddr::from(([192, 0, 2, n], 5060)) };
    let (one, two, three) = ("udp 192.0.2.1:5060", "udp 192.0.2.2:5060", "udp 192.0.2.3:5060");
    assert_eq!(zone.locate(&carrier), [one, two, three].join(", "));
    zone.locator.target_failed(zone.now, target(1), None);
    zone.locator.target_failed(zone.now, target(2), Some(Duration::from_secs(5)));
    assert_eq!(zone.locate(&carrier), [three, two, one].join(", "));
    assert_eq!(zone.locator.failed(zone.now), 2);
    zone.now = Instant::from_millis(5_000);
    assert_eq!(zone.locate(&carrier), [two, three, one].join(", "));
    zone.now = Instant::from_millis(29_999);
    assert_eq!(zone.locate(&carrier), [two, three, one].join(", "));
    zone.now = Instant::from_millis(30_000);
    assert_eq!(zone.locate(&carrier), [one, two, three].join(", "));
    // The second failure counts double, an answer wipes it out.
    zone.locator.target_failed(zone.now, target(1), None);
    zone.now = Instant::from_millis(89_999);
    assert_eq!(zone.locate(&carrier), [two, three, one].join(", "));
    zone.locator.target_answered(target(1));
    assert_eq!(zone.locate(&carrier), [one, two, three].join(", "));
}

#[test]
fn answers_are_believed_as_long_as_they_say() {
    let mut zone = Zone::new();
    zone.host("h.example", "192.0.2.1");
    let host = wanted("h.example", Some(5060), Some(Transport::Tcp));
    let question = Question::A("h.example".into());
    zone.locate(&host);
    zone.host("h.example", "192.0.2.2");
    zone.now = Instant::from_millis(89_999);
    assert_eq!((zone.locate(&host).as_str(), zone.asked.len()), ("tcp 192.0.2.1:5060", 1));
    // In its last tenth it is used on while the new answer is under way.
    zone.now = Instant::from_millis(90_000);
    assert_eq!((zone.locate(&host).as_str(), zone.asked.len()), ("tcp 192.0.2.1:5060", 2));
    assert_eq!(zone.locate(&host), "tcp 192.0.2.2:5060");
    // When nobody answers any more, what was known is used on.
    zone.has(question.clone(), Answer::Failed);
    zone.now = Instant::from_millis(180_000);
    zone.locate(&host);
    zone.now = Instant::from_millis(209_000);
    assert_eq!(zone.locate(&host), "tcp 192.0.2.2:5060");
    // An answer that takes until after the end: waited for, and asked for once only.
    let mut ask = Vec::new();
    zone.now = Instant::from_millis(300_000);
    for _ in 0..3 {
        let located = zone.locator.locate(zone.now, &host, &zone.reach, &mut zone.rng, &mut ask);
        assert_eq!(located, Located::Waiting);
    }
    assert_eq!(ask, core::slice::from_ref(&question));
    assert_eq!(zone.locator.asked(), 1);
    // An answer to another question than was asked is no answer.
    zone.locator.answer(zone.now, &question, Answer::Srv(vec![srv(0, 0, 1, "x")]), TTL);
    assert_eq!(zone.locate(&host), "nowhere");
}

#[test]
fn the_cache_is_bounded() {
    let mut zone = Zone::new();
    for index in 0..10_000 {
        let mut ask = Vec::new();
        let host = wanted(&format!("h{index}.example"), Some(5060), Some(Transport::Tcp));
        zone.locator.locate(zone.now, &host, &zone.reach, &mut zone.rng, &mut ask);
    }
    assert!(zone.locator.asked() <= 8192);
}
