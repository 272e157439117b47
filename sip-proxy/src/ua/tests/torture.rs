//! RFC 4475: what the user agent answers to the messages whose fate the application decides, and to all others.

use super::*;

macro_rules! messages {
    ($($name:ident $answers:expr;)*) => {
        const MESSAGES: &[(&str, &[u8], &[u16])] = &[$((
            stringify!($name),
            include_bytes!(concat!("../../../tests/data/rfc4475/", stringify!($name), ".dat")),
            $answers,
        ),)*];
    };
}

// The answers that are right for a trunk we know; none is silence. (wsinv has a tag in To, so it asks for a dialog
// that does not exist.)
messages! {
    wsinv &[481];
    intmeth &[501];
    esc01 &[100];
    escnull &[401];
    esc02 &[501];
    lwsdisp &[200];
    longreq &[100];
    dblreq &[401];
    semiuri &[200];
    transports &[200];
    mpart01 &[405];
    unreason &[];
    noreason &[];
    badinv01 &[400];
    clerr &[400];
    ncl &[400];
    scalar02 &[400];
    scalarlg &[];
    quotbal &[400];
    ltgtruri &[400];
    lwsruri &[400];
    lwsstart &[400];
    trws &[400];
    escruri &[400];
    baddate &[100];
    regbadct &[400];
    badaspec &[400];
    baddn &[400];
    badvers &[505];
    mismatch01 &[400];
    mismatch02 &[400];
    bigcode &[];
    badbranch &[200];
    insuf &[400];
    unkscm &[416];
    novelsc &[416];
    unksm2 &[404];
    bext01 &[420];
    invut &[415];
    regaut01 &[401];
    multi01 &[400];
    mcl01 &[400];
    bcast &[];
    zeromf &[200];
    cparam01 &[401];
    cparam02 &[401];
    regescrt &[401];
    sdp01 &[406];
    inv2543 &[100];
}

fn receive(bench: &mut Bench, message: &[u8]) -> Vec<u16> {
    receive_from(bench, bench.peer, message)
}

fn receive_from(bench: &mut Bench, source: SocketAddr, message: &[u8]) -> Vec<u16> {
    bench.ua.handle_datagram(bench.now, 0, source, Bytes::copy_from_slice(message), &mut bench.out);
    let mut answers = Vec::new();
    let mut outputs: std::collections::VecDeque<Output> = bench.out.drain().collect();
    while let Some(output) = outputs.pop_front() {
        match output {
            // A 400 repeats the Via it complains of, so not every answer can be parsed.
            Output::Send { to, bytes, .. } => {
                assert_eq!(to.ip(), source.ip(), "nothing leaves for an address the message names");
                let status = bytes.get(8..11).and_then(|digits| core::str::from_utf8(digits).ok());
                answers.push(status.and_then(|digits| digits.parse().ok()).expect("a status line"));
            }
            Output::Close { .. } | Output::Ask(_) | Output::ServerName { .. } => {}
            Output::Event(Event::Incoming { leg, .. }) => bench.incoming.push(leg),
            // Nobody above knows the method either.
            Output::Event(Event::Request { key, request, .. }) => {
                let code = if request.method() == Method::Other { 501 } else { 405 };
                bench.ua.respond(bench.now, key, code, &mut bench.out);
                outputs.extend(bench.out.drain());
            }
            Output::Event(event) => panic!("{event:?}"),
        }
    }
    answers
}

#[test]
fn every_message_gets_its_answer() {
    let mut wrong = String::new();
    for (name, message, expected) in MESSAGES {
        let mut bench = Bench::new();
        let answers = receive(&mut bench, message);
        if answers != *expected {
            let _ = writeln!(wrong, "{name}: {answers:?} instead of {expected:?}");
        }
        let legs = bench.incoming.clone();
        for leg in legs {
            bench.reject(leg, 486);
        }
        bench.is_clean();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A stranger gets the same answers, but is asked for a password where a trunk's call would come in.
#[test]
fn the_same_from_a_stranger() {
    for (name, message, expected) in MESSAGES {
        let expected: Vec<u16> =
            expected.iter().map(|status| if *status == 100 { 401 } else { *status }).collect();
        let mut bench = Bench::new();
        assert_eq!(receive_from(&mut bench, address("198.51.100.1:5060"), message), expected, "{name}");
        assert_eq!(bench.ua.audit(), Audit::default(), "{name}");
    }
}

/// All of them at one user agent, in both orders, with phones ringing in between: nothing is left.
#[test]
fn all_of_them_at_once() {
    let mut bench = Bench::new();
    for (_, message, _) in MESSAGES.iter().chain(MESSAGES.iter().rev()) {
        receive(&mut bench, message);
        bench.pass_ms(100);
    }
    let legs = bench.incoming.clone();
    for leg in legs {
        bench.hangup(leg);
    }
    bench.is_clean();
}

/// Two requests with the bare cookie for a branch are two transactions.
#[test]
fn a_bare_cookie_is_no_branch() {
    let mut bench = Bench::new();
    let (_, message, _) = MESSAGES.iter().find(|(name, ..)| *name == "badbranch").expect("it is there");
    let other =
        String::from_utf8(message.to_vec()).expect("text").replace("Call-ID: badbranch", "Call-ID: other");
    assert_eq!(receive(&mut bench, message), [200]);
    assert_eq!(receive(&mut bench, other.as_bytes()), [200]);
}

/// Cut off, flipped and repeated bytes of all of them: no panic, no growth.
#[test]
fn broken_bytes() {
    let mut rng = Rng::from_seed(4475);
    let mut bench = Bench::new();
    for round in 0..20_000 {
        let (_, message, _) = MESSAGES[rng.below(MESSAGES.len() as u64) as usize];
        let mut bytes = message.to_vec();
        for _ in 0..rng.below(4) {
            let at = rng.below(bytes.len().max(1) as u64) as usize;
            match rng.below(4) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
                2 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                _ => {
                    let end = (at + rng.below(40) as usize).min(bytes.len());
                    let part = bytes[at.min(end)..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        bench.ua.handle_datagram(bench.now, 0, bench.peer, Bytes::from(bytes), &mut bench.out);
        let outputs: Vec<Output> = bench.out.drain().collect();
        for output in outputs {
            if let Output::Event(Event::Incoming { leg, .. }) = output {
                bench.ua.hangup(bench.now, leg, Reason::default(), &mut bench.out);
            }
        }
        bench.out.drain();
        if round % 64 == 0 {
            bench.now += Duration::from_millis(500);
            bench.ua.handle_timeout(bench.now, &mut bench.out);
            bench.out.drain();
        }
    }
    bench.ua.slow = SlowList::default();
    bench.is_clean();
}
