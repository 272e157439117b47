//! A callee behind whom the call forks: several early dialogs, of which one is answered (RFC 3261 §12.1, §13.2.2.4).

use crate::transit::world;
use crate::world::{Callee, World};
use engine::TransitMedia;
use sip_proxy::wire::{HeaderName, Limits, Message, parse};

/// A response to the INVITE that the callee got, of the fork with this tag, whose sound is at this port.
fn response(invite: &str, status: &str, tag: &str, more: &str, port: u16) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in invite.lines().take_while(|line| !line.is_empty()) {
        let shared = ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
        if shared {
            text += &format!("{line}\r\n");
        } else if line.starts_with("To:") {
            text += &format!("{line};tag={tag}\r\n");
        }
    }
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    );
    let length = body.len();
    text +=
        &format!("Contact: <sip:{tag}@192.0.2.11:5060>\r\nAllow: INVITE, ACK, BYE, UPDATE, PRACK\r\n{more}");
    text + &format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// What the shard has sent to the caller or the callee in a call, from then on.
fn sent_to(w: &World, peer: usize) -> Vec<Message> {
    let call = w.transit_started()[0].0;
    let trace = w.shard.trace(call);
    let sent = trace.into_iter().filter(|message| message.sent && message.peer == w.peers[peer].address);
    sent.map(|message| parse(message.bytes, &Limits::default()).expect("sound")).collect()
}

fn port_of(message: &Message) -> Option<u16> {
    let body = String::from_utf8_lossy(message.body()).into_owned();
    body.split("m=audio ").nth(1)?.split(' ').next()?.parse().ok()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Past us each fork's description is one of its own to the caller, under a tag of its own, and so is what the caller sends
/// in it; through us there is one.
#[test]
fn each_fork_has_a_dialog_of_its_own_with_the_caller() {
    for (media, reliable) in [
        (TransitMedia::Bypass, false),
        (TransitMedia::Bypass, true),
        (TransitMedia::Relay, false),
        (TransitMedia::Relay, true),
    ] {
        let mut w = world(media, Callee::silent());
        w.call_in(0, "100", "0200");
        w.run_for(200);
        let invite = w.peers[1].invites[0].clone();
        let more = |rseq: u32| match reliable {
            true => format!("Require: 100rel\r\nRSeq: {rseq}\r\n"),
            false => String::new(),
        };
        for (status, tag, rseq, port) in
            [("183 A", "aa", 7, 4000), ("183 B", "bb", 90, 5000), ("183 A again", "aa", 8, 4002)]
        {
            w.peer_sends_raw(1, &response(&invite, status, tag, &more(rseq), port));
            w.run_for(300);
        }
        let said = sent_to(&w, 0);
        let early: Vec<&Message> = said.iter().filter(|message| message.status() == 183).collect();
        let tags: Vec<String> = early.iter().map(|message| text(message.to_tag())).collect();
        let ports: Vec<Option<u16>> = early.iter().map(|message| port_of(message)).collect();
        assert_eq!(tags.len(), 3, "{}", w.ladder);
        assert_eq!(tags[0], tags[2]);
        if media == TransitMedia::Bypass {
            assert_ne!(tags[0], tags[1], "{}", w.ladder);
            assert_eq!(ports, [Some(4000), Some(5000), Some(4002)]);
        } else {
            assert_eq!(tags[0], tags[1]);
        }
        if reliable {
            // The caller acknowledges in the dialog of each, and counts in each by itself.
            assert_eq!(w.ladder.matches("us <- caller: PRACK").count(), 3, "{}", w.ladder);
            assert_eq!(w.ladder.matches("us -> callee: PRACK").count(), 3, "{}", w.ladder);
            assert!(!w.ladder.contains("us -> caller: 481"), "{}", w.ladder);
        }
        w.peer_sends_raw(1, &response(&invite, "200 OK", "bb", "", 5000));
        w.run_for(300);
        let said = sent_to(&w, 0);
        let answer = said.iter().find(|message| message.status() == 200 && !message.body().is_empty());
        let answer = answer.expect("an answer");
        assert_eq!(text(answer.to_tag()), tags[1], "the fork that has answered\n{}", w.ladder);
        assert!(w.peers[0].legs[0].up, "{}", w.ladder);
        // The other fork answers, too, and is told that it is too late.
        w.peer_sends_raw(1, &response(&invite, "200 OK", "aa", "", 4000));
        w.run_for(300);
        let bye = sent_to(&w, 1)
            .into_iter()
            .find(|message| text(message.header(HeaderName::To)).ends_with("tag=aa"));
        assert!(bye.is_some(), "{}", w.ladder);
        w.peer_hangup(0);
        w.run_for(300);
        let said = sent_to(&w, 1);
        let bye = said.last().expect("a BYE");
        assert!(bye.raw().starts_with(b"BYE sip:bb@"), "{}", text(Some(bye.raw())));
        assert_eq!(text(bye.to_tag()), "bb");
        w.assert_at_rest();
    }
}

/// The caller ends one early dialog by a BYE in it: the other goes on. What ends the last one ends the call.
#[test]
fn a_caller_can_end_one_early_dialog() {
    let mut w = world(TransitMedia::Bypass, Callee::silent());
    w.call_in(0, "100", "0200");
    w.run_for(200);
    let invite = w.peers[1].invites[0].clone();
    for (tag, port) in [("aa", 4000), ("bb", 5000)] {
        w.peer_sends_raw(1, &response(&invite, "183 Progress", tag, "", port));
        w.run_for(100);
    }
    let said = sent_to(&w, 0);
    let early: Vec<&Message> = said.iter().filter(|message| message.status() == 183).collect();
    let bye = |to: &Message, cseq: u32| {
        format!(
            "BYE sip:x@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKbye{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} BYE\r\nContent-Length: 0\r\n\r\n",
            text(to.header(HeaderName::From)),
            text(to.header(HeaderName::To)),
            text(Some(to.call_id()))
        )
    };
    let (first, second) = (bye(early[0], 7), bye(early[1], 8));
    w.peer_sends_raw(0, &first);
    w.run_for(100);
    // Two PRACKs, and this.
    assert_eq!(w.ladder.matches("us -> caller: 200").count(), 3, "{}", w.ladder);
    assert!(!w.ladder.contains("487") && !w.ladder.contains("CANCEL"), "{}", w.ladder);
    // In a dialog that is over nothing is done.
    w.peer_sends_raw(0, &first.replace("bye7", "bye9").replace("CSeq: 7", "CSeq: 9"));
    w.run_for(100);
    assert!(w.ladder.contains("us -> caller: 481"), "{}", w.ladder);
    w.peer_sends_raw(0, &second);
    w.run_for(500);
    assert!(
        w.ladder.contains("us -> caller: 487") && w.ladder.contains("us -> callee: CANCEL"),
        "{}",
        w.ladder
    );
    w.assert_at_rest();
}
