//! What a held call costs in memory: its two legs, after their INVITE transactions are over.

#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use bytes::Bytes;
use sansio::{Duration, Instant, Outbox, Rng};
use sip_proxy::UserAgent;
use sip_proxy::ua::{Config, Event, Invite, Listener, Output, Trunk};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size() as isize));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: `pointer` came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const CALLS: usize = 1000;
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n\
                   a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 5060))
}

fn user_agent(side: usize) -> UserAgent {
    let listeners = vec![Listener::udp(address(side), address(side).to_string())];
    let mut ua = UserAgent::new(Config { listeners, ..Config::default() }, Rng::from_seed(side as u64));
    let peer = address(1 - side);
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
    ua.set_trunk(Instant::ZERO, trunk, &mut Outbox::default());
    ua
}

/// Passes everything on until both sides are quiet; the callee answers.
fn settle(sides: &mut [UserAgent; 2], now: Instant, from: usize, out: &mut Outbox<Output>) {
    let mut waiting: Vec<(usize, Output)> = out.drain().map(|output| (from, output)).collect();
    while !waiting.is_empty() {
        for (from, output) in std::mem::take(&mut waiting) {
            match output {
                Output::Send { bytes, .. } => {
                    sides[1 - from].handle_datagram(now, 0, address(from), bytes, out);
                    waiting.extend(out.drain().map(|output| (1 - from, output)));
                }
                Output::Close { .. } | Output::Ask(_) | Output::ServerName { .. } => {}
                Output::Event(Event::Incoming { leg, .. }) => {
                    sides[from].answer(now, leg, SDP.as_bytes(), out).expect("it rings");
                    waiting.extend(out.drain().map(|output| (from, output)));
                }
                Output::Event(_) => {}
            }
        }
    }
}

#[test]
fn two_legs_of_a_held_call_take_less_than_two_kilobytes() {
    let mut sides = [user_agent(0), user_agent(1)];
    let mut out = Outbox::default();
    let mut now = Instant::ZERO;
    let before = HELD.with(Cell::get);
    for _ in 0..CALLS {
        let invite = Invite {
            owner: 1,
            listener: 0,
            destination: address(1),
            trunk: None,
            symmetric: false,
            replaceable: false,
            request_uri: "sip:13800138000@192.0.2.2:5060",
            from_uri: "sip:02155556666@192.0.2.1",
            from_display: "",
            to_uri: "sip:13800138000@192.0.2.2",
            p_asserted_identity: None,
            route: None,
            headers: &[],
            max_forwards: 70,
            sdp: Bytes::from_static(SDP.as_bytes()),
        };
        sides[0].invite(now, &invite, &mut out).expect("there is room");
        settle(&mut sides, now, 0, &mut out);
        now += Duration::from_millis(100);
        for side in 0..2 {
            sides[side].handle_timeout(now, &mut out);
            settle(&mut sides, now, side, &mut out);
        }
    }
    now += Duration::from_secs(40);
    for side in &mut sides {
        side.handle_timeout(now, &mut out);
        assert!(out.is_empty());
        let audit = side.audit();
        assert_eq!((audit.legs, audit.client_transactions, audit.server_transactions), (CALLS, 0, 0));
    }
    let held = HELD.with(Cell::get) - before;
    let each = held / CALLS as isize;
    println!("{each} bytes for each held call of two legs, tables included");
    assert!(each < 2048, "{each} bytes for each held call");
}
