//! Reading and answering an ordinary message allocates nothing.

#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use sip_proxy::wire::{HeaderName, Limits, Method, parse, respond, sdp};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

const INVITE: &[u8] = include_bytes!("data/messages/invite701.sip");

#[test]
fn a_message_its_hot_fields_and_its_sdp_cost_no_allocation() {
    // As a datagram comes from the ground: a part of a larger receive buffer.
    let mut buffer = BytesMut::with_capacity(4096);
    buffer.extend_from_slice(INVITE);
    let datagram = buffer.split().freeze();
    let limits = Limits::default();
    let count = allocations(|| {
        let message = parse(datagram, &limits).expect("a sound INVITE");
        assert_eq!(message.cseq().1, Method::Invite);
        assert!(!message.call_id().is_empty() && message.from_tag().is_some() && message.to_tag().is_none());
        assert!(message.top_via().branch.is_some());
        assert_eq!(message.max_forwards(), Some(70));
        assert_eq!(message.content_length().map(|length| length as usize), Some(message.body().len()));
        assert!(message.contact().is_some_and(|contact| contact.uri().is_ok()));
        assert!(message.from().is_ok() && message.to().is_ok());
        assert!(message.header_by_text("X-Nothing").is_none());
        assert!(message.lists(HeaderName::Allow, "BYE"));
        let session = sdp::parse(message.body()).expect("an offer");
        let audio = session.audio().expect("audio");
        assert_eq!(audio.telephone_event(8000), Some(101));
        drop(message.body_bytes());
        drop(message.clone());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_refused_message_costs_no_allocation() {
    let mut buffer = BytesMut::with_capacity(4096);
    buffer.extend_from_slice(INVITE);
    let at = buffer.len() - 200;
    buffer.truncate(at);
    let datagram = buffer.split().freeze();
    let count = allocations(|| {
        let error = parse(datagram, &Limits::default()).expect_err("a truncated body");
        assert_eq!(error.answer().map(|(status, _)| status), Some(400));
    });
    assert_eq!(count, 0);
}

#[test]
fn a_response_into_a_buffer_with_room_costs_no_allocation() {
    let message = parse(Bytes::from_static(INVITE), &Limits::default()).expect("a sound INVITE");
    let source = "203.0.113.9:5071".parse().expect("an address");
    let mut out = BytesMut::with_capacity(4096);
    let count = allocations(|| {
        respond(&mut out, &message, 180, "Ringing", Some("b-tag"), source)
            .header(HeaderName::Contact, b"<sip:192.0.2.2:5060>")
            .no_body();
    });
    assert_eq!(count, 0);
    assert!(parse(out.freeze(), &Limits::default()).is_ok());
}
