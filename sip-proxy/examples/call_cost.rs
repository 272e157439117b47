use bytes::Bytes;
use sansio::*;
use sip_proxy::UserAgent;
use sip_proxy::ua::*;
use std::collections::HashMap;
use std::net::SocketAddr;
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
fn ua(i: usize) -> UserAgent {
    let a = addr(i);
    let mut ua = UserAgent::new(
        Config { listeners: vec![Listener { address: a, advertised: a.to_string() }], ..Config::default() },
        Rng::from_seed(i as u64),
    );
    for j in 0..3 {
        if j != i {
            ua.set_trunk(
                Instant::ZERO,
                Trunk {
                    key: j as u64,
                    listener: 0,
                    address: addr(j),
                    domain: String::new(),
                    sources: vec![(addr(j).ip(), None)],
                    login: None,
                    register: None,
                    options_interval: None,
                },
                &mut Outbox::default(),
            );
        }
    }
    ua
}
fn addr(i: usize) -> SocketAddr {
    format!("10.0.0.{}:5060", i + 1).parse().unwrap()
}
fn inv(dest: usize, from: usize, sdp: Bytes) -> Invite<'static> {
    let _ = from;
    Invite {
        owner: 1,
        listener: 0,
        destination: addr(dest),
        trunk: None,
        symmetric: false,
        request_uri: "sip:13800138000@10.0.0.3:5060",
        from_uri: "sip:02155556666@10.0.0.1",
        from_display: "",
        to_uri: "sip:13800138000@10.0.0.3:5060",
        p_asserted_identity: None,
        route: None,
        headers: &[],
        max_forwards: 70,
        sdp,
    }
}
fn main() {
    let calls: u64 = std::env::args().nth(1).map_or(200_000, |s| s.parse().unwrap());
    let cps = 1000;
    let hold_ms = 1000;
    let mut uas = [ua(0), ua(1), ua(2)];
    let mut now = Instant::ZERO;
    let mut spent = std::time::Duration::ZERO;
    let mut datagrams = 0u64;
    let mut couples: HashMap<u64, LegKey> = HashMap::new();
    let mut out: Outbox<Output> = Outbox::default();
    let mut queue: std::collections::VecDeque<(usize, usize, Bytes)> = Default::default();
    let mut hang: std::collections::VecDeque<(Instant, LegKey)> = Default::default();
    let mut ended = 0u64;
    let sdp = Bytes::from_static(OFFER.as_bytes());
    let mut started = 0;
    let step = Duration::from_nanos(1_000_000_000 / cps);
    while ended < calls {
        now = now + step;
        if started < calls {
            started += 1;
            uas[0].invite(now, &inv(1, 0, sdp.clone()), &mut out).unwrap();
        }
        let mut who = 0;
        loop {
            let mut evs = vec![];
            for o in out.drain() {
                match o {
                    Output::Send { to, bytes, .. } => {
                        let d = (0..3).find(|j| addr(*j) == to).unwrap();
                        queue.push_back((who, d, bytes));
                    }
                    Output::Event(e) => evs.push(e),
                }
            }
            let t = (who == 1).then(std::time::Instant::now);
            for e in evs {
                match (who, e) {
                    (1, Event::Incoming { leg, request, .. }) => {
                        let b = uas[1].invite(now, &inv(2, 1, request.body_bytes()), &mut out).unwrap();
                        couples.insert(b.to_bits(), leg);
                        couples.insert(leg.to_bits(), b);
                    }
                    (1, Event::Progress { leg, code, .. }) => {
                        let a = couples[&leg.to_bits()];
                        uas[1].provisional(now, a, code, None, &mut out).unwrap();
                    }
                    (1, Event::Answered { leg, sdp, .. }) => {
                        let a = couples[&leg.to_bits()];
                        uas[1].answer(now, a, &sdp.unwrap(), &mut out).unwrap();
                    }
                    (1, Event::Ended(e)) => {
                        if let Some(o) = couples.remove(&e.leg.to_bits()) {
                            uas[1].hangup(now, o, Reason::default(), &mut out);
                        }
                    }
                    (2, Event::Incoming { leg, .. }) => {
                        uas[2].provisional(now, leg, 180, None, &mut out).unwrap();
                        uas[2].answer(now, leg, OFFER.as_bytes(), &mut out).unwrap();
                    }
                    (0, Event::Answered { leg, .. }) => {
                        hang.push_back((now + Duration::from_millis(hold_ms), leg));
                    }
                    (0, Event::Ended(_)) => ended += 1,
                    _ => {}
                }
            }
            if let Some(t) = t {
                spent += t.elapsed();
            }
            if !out.is_empty() {
                continue;
            }
            if let Some((at, leg)) = hang.front().copied()
                && at <= now
            {
                hang.pop_front();
                who = 0;
                uas[0].hangup(now, leg, Reason::default(), &mut out);
                continue;
            }
            let Some((from, to, bytes)) = queue.pop_front() else { break };
            who = to;
            let t = std::time::Instant::now();
            uas[to].handle_datagram(now, 0, addr(from), bytes, &mut out);
            if to == 1 {
                spent += t.elapsed();
                datagrams += 1;
            }
        }
        for i in 0..3 {
            let t = std::time::Instant::now();
            uas[i].handle_timeout(now, &mut out);
            if i == 1 {
                spent += t.elapsed();
            }
            assert!(out.drain().all(|o| !matches!(o, Output::Event(_))));
        }
    }
    println!(
        "{calls} calls, {:.3} us per call in the middle, {:.0} ns per datagram in ({datagrams}), audit {:?}",
        spent.as_secs_f64() * 1e6 / calls as f64,
        spent.as_secs_f64() * 1e9 / datagrams as f64,
        uas[1].audit()
    );
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmHWM"))
            .unwrap()
    );
}
