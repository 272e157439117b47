//! Reading and writing SIP and SDP.

#![allow(clippy::result_large_err, reason = "an error carries what could be read, to answer it")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip_proxy::wire::{HeaderName, Limits, Message, Method, Transport, Uri, Writer, parse, respond, sdp};

const INVITE: &[u8] = include_bytes!("../../sip-proxy/tests/data/messages/invite701.sip");

const OK: &[u8] = b"SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 192.0.2.2:5060;rport=5060;received=192.0.2.2;branch=z9hG4bK776asdhds\r\n\
    From: \"Caller\" <sip:+12025550100@192.0.2.4>;tag=1928301774\r\nTo: <sip:+12025550123@192.0.2.2>;tag=a6c85cf\r\n\
    Call-ID: a84b4c76e66710@192.0.2.4\r\nCSeq: 314159 INVITE\r\nContact: <sip:192.0.2.2:5060>\r\n\
    Content-Length: 0\r\n\r\n";

/// As a datagram comes: a part of a receive buffer.
fn datagram(text: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(2048);
    buffer.extend_from_slice(text);
    buffer.split().freeze()
}

/// What transactions and dialogs ask of each message.
fn hot_fields(message: &Message) -> usize {
    let via = message.top_via();
    message.call_id().len()
        + message.from_tag().map_or(0, <[u8]>::len)
        + message.to_tag().map_or(0, <[u8]>::len)
        + message.cseq().0 as usize
        + via.branch.map_or(0, <[u8]>::len)
        + via.host.len()
        + message.max_forwards().map_or(0, usize::from)
        + message.body().len()
}

/// All of an INVITE that is ever taken apart, its offer included.
fn all_typed(message: &Message) -> Option<usize> {
    let uri = Uri::parse(message.request_uri()).ok()?;
    let from = message.from().ok()?.uri().ok()?;
    let to = message.to().ok()?.uri().ok()?;
    let contact = message.contact()?.uri().ok()?;
    let session = sdp::parse(message.body()).ok()?;
    let audio = session.audio()?;
    let event = usize::from(audio.telephone_event(8000)?);
    Some(hot_fields(message) + uri.host.len() + from.host.len() + to.host.len() + contact.host.len() + event)
}

fn reading(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("sip/read");
    let invite = datagram(INVITE);
    group.throughput(Throughput::Bytes(invite.len() as u64));
    group.bench_function("invite 701 B, index and hot fields", |bencher| {
        bencher.iter(|| parse(black_box(&invite).clone(), &limits).map(|message| hot_fields(&message)));
    });
    group.bench_function("invite 701 B, all typed and SDP", |bencher| {
        bencher.iter(|| parse(black_box(&invite).clone(), &limits).map(|message| all_typed(&message)));
    });
    let ok = datagram(OK);
    group.throughput(Throughput::Bytes(ok.len() as u64));
    group.bench_function("200 OK, index and hot fields", |bencher| {
        bencher.iter(|| parse(black_box(&ok).clone(), &limits).map(|message| hot_fields(&message)));
    });
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let request = parse(datagram(INVITE), &Limits::default()).expect("a sound INVITE");
    let source = "192.0.2.4:5060".parse().expect("an address");
    let mut out = BytesMut::with_capacity(4096);
    let mut group = criterion.benchmark_group("sip/write");
    group.bench_function("180 to an INVITE", |bencher| {
        bencher.iter(|| {
            out.clear();
            respond(&mut out, black_box(&request), 180, "Ringing", Some("a6c85cf"), source)
                .header(HeaderName::Contact, b"<sip:192.0.2.2:5060>")
                .no_body();
            out.len()
        });
    });
    group.bench_function("INVITE with SDP", |bencher| {
        let body = request.body();
        bencher.iter(|| {
            out.clear();
            Writer::request(&mut out, Method::Invite, black_box(b"sip:+12025550123@192.0.2.2"))
                .via(Transport::Udp, b"192.0.2.4:5060", b"z9hG4bK776asdhds")
                .max_forwards(70)
                .address(HeaderName::From, b"Caller", b"sip:+12025550100@192.0.2.4", Some(b"1928301774"))
                .address(HeaderName::To, b"", b"sip:+12025550123@192.0.2.2", None)
                .header(HeaderName::CallId, b"a84b4c76e66710@192.0.2.4")
                .cseq(314_159, Method::Invite)
                .header(HeaderName::Contact, b"<sip:192.0.2.4:5060>")
                .body(b"application/sdp", body);
            out.len()
        });
    });
    group.finish();
}

/// Datagrams made to be slow. The bar: 20 ns for each byte, and 2 µs.
fn hostile(criterion: &mut Criterion) {
    let limits = Limits { header_bytes_max: usize::MAX, ..Limits::default() };
    let mut group = criterion.benchmark_group("sip/hostile 64 KB");
    for (name, unit) in [
        ("commas", ","),
        ("open quotes", "\""),
        ("parameters", ";a"),
        ("folds", "\r\n "),
        ("tabs", "\t"),
        ("headers", "a\r\nContact:<sip:a>"),
    ] {
        let head = "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
            To: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>";
        let text = format!("{head}{}\r\n\r\n", unit.repeat(65_000 / unit.len()));
        let text = datagram(&text.as_bytes()[..text.len().min(65_535)]);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse(black_box(&text).clone(), &limits).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, reading, writing, hostile);
criterion_main!(benches);
