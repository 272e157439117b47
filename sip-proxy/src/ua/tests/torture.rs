//! RFC 4475: what the user agent answers to the messages whose fate the application decides, and to all others.

use super::*;

macro_rules! messages {
    ($($name:ident)*) => {
        const MESSAGES: &[(&str, &[u8])] = &[$((
            stringify!($name),
            include_bytes!(concat!("../../../tests/data/rfc4475/", stringify!($name), ".dat")),
        ),)*];
    };
}

messages! {
    wsinv intmeth esc01 escnull esc02 lwsdisp longreq dblreq semiuri transports mpart01 unreason
    noreason badinv01 clerr ncl scalar02 scalarlg quotbal ltgtruri lwsruri lwsstart trws escruri
    baddate regbadct badaspec baddn badvers mismatch01 mismatch02 bigcode badbranch insuf unkscm
    novelsc unksm2 bext01 invut regaut01 multi01 mcl01 bcast zeromf cparam01 cparam02 regescrt sdp01
    inv2543
}

/// What the RFC says of each message, and the answer of ours that is right for a trunk we know.
const EXPECTED: &str = include_str!("../../../tests/data/rfc4475/EXPECTED.tsv");

/// Whether an answer is what a word of the table's fourth column takes.
fn takes(word: &str, answer: &str) -> bool {
    word.strip_prefix('!').map_or(word == answer, |but| answer != "-" && answer != but)
}

/// Name, message and answer of all.
fn all() -> Vec<(&'static str, &'static [u8], Vec<u16>)> {
    let rows = EXPECTED.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<_> = rows
        .map(|row| {
            let columns: Vec<&str> = row.split('\t').collect();
            let [name, _, _, taken, _, answer, _] = columns[..] else { panic!("{row}") };
            assert!(taken.split(' ').any(|one| takes(one, answer)), "{name}: {answer} is not among {taken}");
            let (_, message) = MESSAGES.iter().find(|(found, _)| *found == name).expect(name);
            let answer = if answer == "-" { Vec::new() } else { vec![answer.parse().expect(name)] };
            (name, *message, answer)
        })
        .collect();
    assert_eq!((all.len(), MESSAGES.len()), (49, 49));
    all
}

fn receive(bench: &mut Bench, message: &[u8]) -> Vec<u16> {
    receive_from(bench, bench.peer, message)
}

fn receive_from(bench: &mut Bench, source: SocketAddr, message: &[u8]) -> Vec<u16> {
    let status = |bytes: &Bytes| {
        let digits = bytes.get(8..11).and_then(|digits| core::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).expect("a status line")
    };
    answers_from(bench, source, message).iter().map(status).collect()
}

/// The responses as they leave. A 400 repeats the Via it complains of, so not every one can be parsed.
fn answers_from(bench: &mut Bench, source: SocketAddr, message: &[u8]) -> Vec<Bytes> {
    bench.ua.handle_datagram(bench.now, 0, source, Bytes::copy_from_slice(message), &mut bench.out);
    let mut answers = Vec::new();
    let mut outputs: std::collections::VecDeque<Output> = bench.out.drain().collect();
    while let Some(output) = outputs.pop_front() {
        match output {
            Output::Send { to, bytes, .. } => {
                assert_eq!(to.ip(), source.ip(), "nothing leaves for an address the message names");
                answers.push(bytes);
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
    for (name, message, expected) in all() {
        let mut bench = Bench::new();
        let answers = receive(&mut bench, message);
        if answers != expected {
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

/// What the sections want said with a status.
#[test]
fn refusals_say_what_would_do() {
    for (name, wanted) in [
        ("intmeth", "\r\nAllow: INVITE, "),
        ("esc02", "\r\nAllow: INVITE, "),
        ("mpart01", "\r\nAllow: INVITE, "),
        ("bext01", "\r\nUnsupported: nothingSupportsThis\r\nUnsupported: nothingSupportsThisEither\r\n"),
        ("invut", "\r\nAccept: application/sdp"),
        ("regaut01", "\r\nWWW-Authenticate: Digest "),
    ] {
        let mut bench = Bench::new();
        let (_, message) = MESSAGES.iter().find(|(found, _)| *found == name).expect(name);
        let source = bench.peer;
        let answers = answers_from(&mut bench, source, message);
        let answer = String::from_utf8_lossy(&answers[0]).into_owned();
        assert!(answer.contains(wanted), "{name}: {answer}");
    }
}

/// A stranger gets the same answers, but is asked for a password where a trunk's call would come in.
#[test]
fn the_same_from_a_stranger() {
    for (name, message, expected) in all() {
        let expected: Vec<u16> =
            expected.into_iter().map(|status| if status == 100 { 401 } else { status }).collect();
        let mut bench = Bench::new();
        assert_eq!(receive_from(&mut bench, address("198.51.100.1:5060"), message), expected, "{name}");
        assert_eq!(bench.ua.audit(), Audit::default(), "{name}");
    }
}

/// All of them at one user agent, in both orders, with phones ringing in between: nothing is left.
#[test]
fn all_of_them_at_once() {
    let mut bench = Bench::new();
    for (_, message) in MESSAGES.iter().chain(MESSAGES.iter().rev()) {
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
    let (_, message) = MESSAGES.iter().find(|(name, _)| *name == "badbranch").expect("it is there");
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
        let (_, message) = MESSAGES[rng.below(MESSAGES.len() as u64) as usize];
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
