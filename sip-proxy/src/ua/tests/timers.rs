//! Every timer of RFC 3261 §17 and RFC 6026 on both sides of its boundary: a millisecond before it, and at it.
//! (Timer C is a proxy's; what stands in for it, a longest ringing, is in `collisions`.)

use super::called::invite_text;
use super::*;
use crate::wire::Transport;

const T1_MS: u64 = 500;
const T2_MS: u64 = 4_000;
const T4_MS: u64 = 5_000;
const ALL_MS: u64 = 64 * T1_MS;

type Story = fn(&mut Bench);
/// What tells that the timer has fired. It may try something that only works before, or only after.
type Probe = fn(&mut Bench) -> bool;

/// Both sides of one boundary, over datagrams.
struct Boundary {
    timer: &'static str,
    story: Story,
    /// After the story.
    at_ms: u64,
    fired: Probe,
}

fn bench_over(transport: Transport) -> Bench {
    let mut bench = Bench::with(|config| {
        let text = "192.0.2.1:5060".to_owned();
        config.listeners.push(Listener {
            transport: Transport::Tcp,
            address: address(&text),
            advertised: text,
        });
    });
    bench.listener = u8::from(transport == Transport::Tcp);
    bench
}

fn clients(bench: &Bench) -> usize {
    bench.ua.audit().client_transactions
}

fn servers(bench: &Bench) -> usize {
    bench.ua.audit().server_transactions
}

/// We call, by the listener of the bench.
fn call(bench: &mut Bench) {
    let listener = bench.listener;
    bench.call_with(|invite| invite.listener = listener);
}

fn call_refused(bench: &mut Bench) {
    call(bench);
    bench.respond(Method::Invite, 486, "them", "", "");
}

fn call_answered(bench: &mut Bench) {
    call(bench);
    bench.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
}

fn bye_sent(bench: &mut Bench) {
    let listener = bench.listener;
    let leg = bench.call_with(|invite| invite.listener = listener);
    bench.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
    // Past what the INVITE leaves behind.
    bench.pass_ms(ALL_MS).hangup(leg);
}

fn bye_answered(bench: &mut Bench) {
    bye_sent(bench);
    bench.respond(Method::Bye, 200, "", "", "");
}

fn called_and_refused(bench: &mut Bench) {
    let leg = bench.ring_in();
    bench.reject(leg, 486);
}

fn called_and_answered(bench: &mut Bench) {
    let leg = bench.ring_in();
    bench.answer(leg);
    bench.ack();
}

fn bye_received(bench: &mut Bench) {
    call_answered(bench);
    bench.pass_ms(ALL_MS);
    bench.request_back("BYE", "them", 5, "", "");
}

/// How many copies of a request have left.
fn copies(bench: &Bench, shown: &str) -> usize {
    bench.count(shown)
}

/// The same INVITE once more: is it taken for a new one?
fn is_new(bench: &mut Bench) -> bool {
    let before = bench.incoming.len();
    bench.receive(&invite_text("13800138000", "in0", "", OFFER));
    bench.incoming.len() > before
}

/// The same BYE once more: is it unknown by now?
fn bye_is_unknown(bench: &mut Bench) -> bool {
    bench.request_back("BYE", "them", 5, "", "");
    bench.last_response().status() == 481
}

/// The refusal once more: does nobody acknowledge it any longer?
fn refusal_is_unheard(bench: &mut Bench) -> bool {
    let before = bench.count("ACK");
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.count("ACK") == before
}

/// The 200 once more: does nobody acknowledge it any longer?
fn success_is_unheard(bench: &mut Bench) -> bool {
    let before = bench.count("ACK");
    bench.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
    bench.count("ACK") == before
}

const BOUNDARIES: &[Boundary] = &[
    // INVITE, client.
    Boundary { timer: "A, T1", story: call, at_ms: T1_MS, fired: |b| copies(b, "INVITE") == 2 },
    Boundary { timer: "A, 2·T1", story: call, at_ms: 3 * T1_MS, fired: |b| copies(b, "INVITE") == 3 },
    Boundary { timer: "A, 4·T1", story: call, at_ms: 7 * T1_MS, fired: |b| copies(b, "INVITE") == 4 },
    Boundary { timer: "A, 8·T1", story: call, at_ms: 15 * T1_MS, fired: |b| copies(b, "INVITE") == 5 },
    Boundary { timer: "A, 16·T1", story: call, at_ms: 31 * T1_MS, fired: |b| copies(b, "INVITE") == 6 },
    Boundary { timer: "A, 32·T1", story: call, at_ms: 63 * T1_MS, fired: |b| copies(b, "INVITE") == 7 },
    Boundary { timer: "B", story: call, at_ms: ALL_MS, fired: |b| b.ended.len() == 1 },
    Boundary { timer: "D", story: call_refused, at_ms: ALL_MS, fired: refusal_is_unheard },
    Boundary { timer: "D, room", story: call_refused, at_ms: ALL_MS, fired: |b| clients(b) == 0 },
    Boundary { timer: "M", story: call_answered, at_ms: ALL_MS, fired: success_is_unheard },
    Boundary { timer: "M, room", story: call_answered, at_ms: ALL_MS, fired: |b| clients(b) == 0 },
    // Others, client.
    Boundary { timer: "E, T1", story: bye_sent, at_ms: T1_MS, fired: |b| copies(b, "BYE") == 2 },
    Boundary { timer: "E, 2·T1", story: bye_sent, at_ms: 3 * T1_MS, fired: |b| copies(b, "BYE") == 3 },
    Boundary { timer: "E, 4·T1", story: bye_sent, at_ms: 7 * T1_MS, fired: |b| copies(b, "BYE") == 4 },
    Boundary { timer: "E, T2", story: bye_sent, at_ms: 7 * T1_MS + T2_MS, fired: |b| copies(b, "BYE") == 5 },
    Boundary {
        timer: "E, T2 again",
        story: bye_sent,
        at_ms: 7 * T1_MS + 2 * T2_MS,
        fired: |b| copies(b, "BYE") == 6,
    },
    Boundary { timer: "F", story: bye_sent, at_ms: ALL_MS, fired: |b| clients(b) == 0 },
    Boundary { timer: "K", story: bye_answered, at_ms: T4_MS, fired: |b| clients(b) == 0 },
    // INVITE, server.
    Boundary { timer: "G, T1", story: called_and_refused, at_ms: T1_MS, fired: |b| copies(b, "486") == 2 },
    Boundary {
        timer: "G, 2·T1",
        story: called_and_refused,
        at_ms: 3 * T1_MS,
        fired: |b| copies(b, "486") == 3,
    },
    Boundary {
        timer: "G, T2",
        story: called_and_refused,
        at_ms: 7 * T1_MS + T2_MS,
        fired: |b| copies(b, "486") == 5,
    },
    Boundary {
        timer: "G, T2 again",
        story: called_and_refused,
        at_ms: 7 * T1_MS + 2 * T2_MS,
        fired: |b| copies(b, "486") == 6,
    },
    Boundary { timer: "H", story: called_and_refused, at_ms: ALL_MS, fired: is_new },
    Boundary { timer: "H, room", story: called_and_refused, at_ms: ALL_MS, fired: |b| servers(b) == 0 },
    Boundary {
        timer: "I",
        story: |bench| {
            called_and_refused(bench);
            bench.ack_failure();
        },
        at_ms: T4_MS,
        fired: is_new,
    },
    Boundary { timer: "L", story: called_and_answered, at_ms: ALL_MS, fired: is_new },
    Boundary { timer: "L, room", story: called_and_answered, at_ms: ALL_MS, fired: |b| servers(b) == 0 },
    // Others, server.
    Boundary { timer: "J", story: bye_received, at_ms: ALL_MS, fired: bye_is_unknown },
    Boundary { timer: "J, room", story: bye_received, at_ms: ALL_MS, fired: |b| servers(b) == 0 },
    // The dialog: a 2xx without ACK, and a CANCEL whose INVITE never ends (RFC 3261 §13.3.1.4, §9.1).
    Boundary {
        timer: "2xx, T1",
        story: |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
        },
        at_ms: T1_MS,
        fired: |b| copies(b, "200") == 2,
    },
    Boundary {
        timer: "2xx without ACK",
        story: |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
        },
        at_ms: ALL_MS,
        fired: |b| b.ended.len() == 1 && b.count("BYE") == 1,
    },
    Boundary {
        timer: "CANCEL without 487",
        story: |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 180, "them", "", "").hangup(leg);
            bench.respond(Method::Cancel, 200, "", "", "");
        },
        at_ms: ALL_MS,
        fired: |b| b.ended.len() == 1,
    },
];

#[test]
fn each_timer_fires_at_its_time_and_not_a_millisecond_before() {
    let mut wrong = String::new();
    for Boundary { timer, story, at_ms, fired } in BOUNDARIES {
        for (ms, expected) in [(at_ms - 1, false), (*at_ms, true)] {
            let mut bench = bench_over(Transport::Udp);
            story(&mut bench);
            bench.pass_ms(ms);
            if fired(&mut bench) != expected {
                let _ = writeln!(wrong, "{timer} after {ms} ms: not {expected}\n{}", bench.ladder);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// RFC 3261 §17.1.1.2, §17.1.2.2, §17.2.1, §17.2.2: over a reliable transport A, E and G do not run and D, I, J and K
/// are 0; B, F, H, L and M are as long as ever.
#[test]
fn over_a_connection_nothing_is_sent_again_and_what_is_done_goes_at_once() {
    let rows: &[(&str, Story, u64, Probe)] = &[
        ("no A", call, ALL_MS - 1, |b| copies(b, "INVITE") == 1),
        ("B", call, ALL_MS, |b| b.ended.len() == 1),
        ("D is 0", call_refused, 0, |b| clients(b) == 0),
        ("M is not", call_answered, ALL_MS - 1, |b| clients(b) == 1),
        ("M", call_answered, ALL_MS, |b| clients(b) == 0),
        ("no E", bye_sent, ALL_MS - 1, |b| copies(b, "BYE") == 1 && clients(b) == 1),
        ("F", bye_sent, ALL_MS, |b| clients(b) == 0),
        ("K is 0", bye_answered, 0, |b| clients(b) == 0),
        ("no G", called_and_refused, ALL_MS - 1, |b| copies(b, "486") == 1 && servers(b) == 1),
        ("H", called_and_refused, ALL_MS, |b| servers(b) == 0),
        (
            "I is 0",
            |bench| {
                called_and_refused(bench);
                bench.ack_failure();
            },
            0,
            |b| servers(b) == 0,
        ),
        ("L is not", called_and_answered, ALL_MS - 1, |b| servers(b) == 1),
        ("L", called_and_answered, ALL_MS, |b| servers(b) == 0),
        ("J is 0", bye_received, 0, |b| servers(b) == 0),
        // RFC 3261 §13.3.1.4: a 2xx is repeated over any transport.
        (
            "2xx again",
            |bench| {
                let leg = bench.ring_in();
                bench.answer(leg);
            },
            T1_MS,
            |b| copies(b, "200") == 2,
        ),
    ];
    let mut wrong = String::new();
    for (what, story, ms, holds) in rows {
        let mut bench = bench_over(Transport::Tcp);
        story(&mut bench);
        bench.pass_ms(*ms);
        if !holds(&mut bench) {
            let _ = writeln!(wrong, "{what} after {ms} ms\n{}", bench.ladder);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// RFC 3261 §17.1.2.2: a provisional response slows E down to T2 and leaves F alone.
#[test]
fn a_provisional_response_to_a_bye() {
    let mut bench = Bench::new();
    bye_sent(&mut bench);
    bench.pass_ms(100).respond(Method::Bye, 100, "", "", "");
    for (ms, count) in [(T1_MS - 101, 1), (1, 2), (T2_MS - 1, 2), (1, 3), (T2_MS - 1, 3), (1, 4)] {
        bench.pass_ms(ms);
        assert_eq!(bench.count("BYE"), count, "{}", bench.ladder);
    }
    bench.pass_ms(ALL_MS - T1_MS - 2 * T2_MS - 1);
    assert_eq!(clients(&bench), 1);
    bench.pass_ms(1);
    assert_eq!(clients(&bench), 0);
    bench.is_clean();
}
