//! Any datagram: no panic, nothing read that is not there, and what is written from a message reads the same.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use sip_proxy::wire::{
    Challenge, Credentials, HeaderName, Limits, Message, NameAddr, Uri, Writer, comma_split, parse,
    reply_address, respond,
};

fuzz_target!(|data: &[u8]| {
    let source = "192.0.2.1:5061".parse().expect("an address");
    match parse(Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(message) => {
            read_all(&message);
            let again = reparsed(&message);
            agree(&message, &again);
            if message.is_request() {
                let mut out = BytesMut::new();
                respond(&mut out, &message, 200, "OK", Some("t"), source).no_body();
                let response = parse(out.freeze(), &Limits::default()).expect("our response is sound");
                assert_eq!(response.call_id(), message.call_id());
                assert_eq!(response.cseq().0, message.cseq().0);
                assert_eq!(response.top_via().branch, message.top_via().branch);
                assert_eq!(response.from_tag(), message.from_tag());
                assert!(response.to_tag().is_some());
                if message.top_via().rport.is_some() {
                    assert_eq!(response.top_via().rport, Some(Some(5061)));
                    assert_eq!(response.top_via().received, Some(&b"192.0.2.1"[..]));
                }
                let _ = reply_address(&message, source);
            }
        }
        Err(error) => {
            assert!(error.offset <= data.len());
            if let Some(partial) = &error.partial {
                read_all(partial);
            }
            if let Some((status, reason)) = error.answer() {
                let partial = error.partial.as_ref().expect("an answer is made from it");
                let mut out = BytesMut::new();
                respond(&mut out, partial, status, reason, Some("t"), source).no_body();
            }
        }
    }
    values(data);
});

/// Asks for all there is.
fn read_all(message: &Message) {
    for (id, name, value) in message.all_headers() {
        assert!(!name.is_empty());
        assert_eq!(HeaderName::from_bytes(name), id);
        values(value);
    }
    let _ = (message.top_via(), message.from(), message.to(), message.contact(), message.expires());
    message.vias().for_each(drop);
    message.contacts().for_each(drop);
    message.routes().chain(message.record_routes()).for_each(drop);
    assert_eq!(message.body(), &message.body_bytes()[..]);
    if let Some(described) = message.session_description() {
        assert!(!described.is_empty() && described.len() <= message.body().len());
    }
}

/// Any bytes as any value.
fn values(value: &[u8]) {
    let _ = Challenge::parse(value);
    let _ = Credentials::parse(value);
    if let Ok(address) = NameAddr::parse(value) {
        assert_eq!(address.params.iter().count() == 0, address.params.as_bytes().is_empty());
        if let Ok(uri) = address.uri() {
            // The comparison gives up on very long parameter lists, but never on a URI and itself.
            assert!(uri.equivalent(&uri));
        }
    }
    if let Ok(uri) = Uri::parse(value) {
        assert!(uri.equivalent(&uri));
        assert!(uri.params.iter().all(|(name, _)| name.len() <= value.len()));
    }
    assert!(comma_split(value).map(<[u8]>::len).sum::<usize>() <= value.len());
}

/// Writes the message anew from its parts and reads that.
fn reparsed(message: &Message) -> Message {
    let mut out = BytesMut::new();
    let mut writer = if message.is_request() {
        Writer::request_text(&mut out, message.method_text(), message.request_uri())
    } else {
        Writer::response(&mut out, message.status(), &String::from_utf8_lossy(message.reason()))
    };
    let mut written = [false; HeaderName::COUNT];
    for (id, name, value) in message.all_headers() {
        match id {
            HeaderName::ContentLength | HeaderName::ContentType => {}
            HeaderName::Other => {
                writer.header_text(core::str::from_utf8(name).expect("a token"), value);
            }
            known => {
                if !written[known as usize] {
                    written[known as usize] = true;
                    writer.copy_from(message, known);
                }
            }
        }
    }
    match message.header(HeaderName::ContentType) {
        Some(content_type) => writer.body(content_type, message.body()),
        None => writer.no_body(),
    }
    drop(writer);
    let limits = Limits { header_bytes_max: usize::MAX, ..Limits::default() };
    if out.len() > limits.message_bytes_max {
        return message.clone();
    }
    parse(out.freeze(), &limits).expect("what we write is sound")
}

fn agree(left: &Message, right: &Message) {
    assert_eq!(left.is_request(), right.is_request());
    assert_eq!((left.status(), left.method_text()), (right.status(), right.method_text()));
    assert_eq!(left.request_uri(), right.request_uri());
    assert_eq!((left.call_id(), left.cseq()), (right.call_id(), right.cseq()));
    assert_eq!((left.from_tag(), left.to_tag()), (right.from_tag(), right.to_tag()));
    assert_eq!(left.top_via(), right.top_via());
    assert_eq!((left.from(), left.to()), (right.from(), right.to()));
    assert_eq!(left.max_forwards(), right.max_forwards());
    assert!(left.contacts().eq(right.contacts()));
    assert!(left.routes().eq(right.routes()));
    assert!(left.vias().eq(right.vias()));
    if left.has(HeaderName::ContentType) {
        assert_eq!(left.body(), right.body());
    }
}
