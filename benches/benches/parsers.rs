//! Our reader of SIP beside others', on the same INVITE in the same run.
//!
//! httparse reads the header lines alone (of HTTP, which look alike): what finding names and values costs at least.
//! rsip and rsipstack are parsers of SIP; "typed" takes the same eight fields out of their messages as out of ours.

#![allow(clippy::result_large_err, reason = "an error carries what could be read, to answer it")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use sip_proxy::wire::{Limits, Message, parse, sdp};

const INVITE: &[u8] = include_bytes!("../../sip-proxy/tests/data/messages/invite701.sip");

/// Request line, top Via with branch, From tag, To tag, Call-ID, CSeq, Max-Forwards, Content-Length.
fn hot(message: &Message) -> usize {
    let via = message.top_via();
    message.request_uri().len()
        + message.method() as usize
        + via.branch.map_or(0, <[u8]>::len)
        + via.host.len()
        + message.from_tag().map_or(0, <[u8]>::len)
        + message.to_tag().map_or(0, <[u8]>::len)
        + message.call_id().len()
        + message.cseq().0 as usize
        + message.max_forwards().map_or(0, usize::from)
        + message.content_length().map_or(0, |length| length as usize)
}

/// Every header typed, and the offer.
fn all(message: &Message) -> Option<usize> {
    let from = message.from().ok()?.uri().ok()?;
    let to = message.to().ok()?.uri().ok()?;
    let contact = message.contact()?.uri().ok()?;
    let allow = message.values(sip_proxy::wire::HeaderName::Allow).count();
    let session = sdp::parse(message.body()).ok()?;
    let event = session.audio()?.telephone_event(8000)?;
    Some(hot(message) + from.host.len() + to.host.len() + contact.host.len() + allow + usize::from(event))
}

fn ours(group: &mut BenchmarkGroup<'_, WallTime>) {
    let limits = Limits::default();
    // As a datagram comes: a part of a receive buffer.
    let mut buffer = BytesMut::with_capacity(2048);
    buffer.extend_from_slice(INVITE);
    let datagram: Bytes = buffer.split().freeze();
    group.bench_function("dialerd, eight fields", |bencher| {
        bencher.iter(|| parse(black_box(&datagram).clone(), &limits).map(|message| hot(&message)));
    });
    group.bench_function("dialerd, all headers and SDP", |bencher| {
        bencher.iter(|| parse(black_box(&datagram).clone(), &limits).map(|message| all(&message)));
    });
}

fn httparse(group: &mut BenchmarkGroup<'_, WallTime>) {
    let headers = &INVITE[INVITE.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1)..];
    group.bench_function("httparse, header lines alone", |bencher| {
        bencher.iter(|| {
            let mut found = [httparse::EMPTY_HEADER; 48];
            let read = httparse::parse_headers(black_box(headers), &mut found).expect("header lines");
            read.unwrap().1.len()
        });
    });
}

fn rsip(group: &mut BenchmarkGroup<'_, WallTime>) {
    use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
    group.bench_function("rsip", |bencher| {
        bencher
            .iter(|| rsip::Request::try_from(black_box(INVITE)).expect("an INVITE").headers.iter().count());
    });
    group.bench_function("rsip, typed", |bencher| {
        bencher.iter(|| {
            let request = rsip::Request::try_from(black_box(INVITE)).expect("an INVITE");
            let via = request.via_header().and_then(|via| via.typed()).expect("Via");
            let from = request.from_header().and_then(|from| from.typed()).expect("From");
            let to = request.to_header().and_then(|to| to.typed()).expect("To");
            let cseq = request.cseq_header().and_then(|cseq| cseq.typed()).expect("CSeq");
            let hops = request.max_forwards_header().and_then(|hops| hops.num()).expect("Max-Forwards");
            let length = request.headers.iter().find_map(|header| match header {
                rsip::Header::ContentLength(length) => length.length().ok(),
                _ => None,
            });
            via.branch().map_or(0, |branch| branch.value().len())
                + from.tag().map_or(0, |tag| tag.value().len())
                + to.tag().map_or(0, |tag| tag.value().len())
                + request.call_id_header().expect("Call-ID").value().len()
                + (cseq.seq + hops + length.expect("Content-Length")) as usize
        });
    });
}

fn rsipstack(group: &mut BenchmarkGroup<'_, WallTime>) {
    use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
    use rsipstack::sip::{Header, SipMessage, parser::parse_message};
    let read = || match parse_message(black_box(INVITE)).expect("an INVITE") {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => unreachable!("an INVITE is a request"),
    };
    group.bench_function("rsipstack", |bencher| bencher.iter(|| read().headers.len()));
    group.bench_function("rsipstack, typed", |bencher| {
        bencher.iter(|| {
            let request = read();
            let via = request.via_header().and_then(|via| via.typed()).expect("Via");
            let from = request.from_header().and_then(|from| from.typed()).expect("From");
            let to = request.to_header().and_then(|to| to.typed()).expect("To");
            let cseq = request.cseq_header().and_then(|cseq| cseq.typed()).expect("CSeq");
            let number = |wanted: fn(&Header) -> Option<&str>| {
                request.headers.iter().find_map(wanted).and_then(|text| text.trim().parse::<u32>().ok())
            };
            let hops = number(|header| match header {
                Header::MaxForwards(hops) => Some(hops.value()),
                _ => None,
            });
            let length = number(|header| match header {
                Header::ContentLength(length) => Some(length.value()),
                _ => None,
            });
            via.branch().map_or(0, |branch| branch.value().len())
                + from.tag().map_or(0, |tag| tag.value().len())
                + to.tag().map_or(0, |tag| tag.value().len())
                + request.call_id_header().expect("Call-ID").value().len()
                + (cseq.seq + hops.expect("Max-Forwards") + length.expect("Content-Length")) as usize
        });
    });
}

fn beside_others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sip/invite 701 B");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    ours(&mut group);
    httparse(&mut group);
    rsip(&mut group);
    rsipstack(&mut group);
    group.finish();
}

criterion_group!(benches, beside_others);
criterion_main!(benches);
