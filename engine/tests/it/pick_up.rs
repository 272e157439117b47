//! Replaces that names an early dialog (RFC 3891 §3): what rings at one phone is taken at another.

use crate::dialled::{AGENT, CALL, TRUNK, dial, hangup, open_session, ring_agent, use_session};
use crate::transfers::{talk, world};
use crate::world::{Callee, World};
use dialer_core::outcome::Outcome;
use dialer_core::{AgentFact, AgentId, CallOrder, TrunkId};
use engine::{ShardEvent, TransitMedia};

const COLLEAGUE: AgentId = AgentId::from_bits(2);

/// The value of Replaces that names the early dialog of a leg that rings at a peer.
fn early_dialog(w: &World, peer: usize) -> String {
    let at = &w.peers[peer];
    String::from_utf8(at.ua.replaces(at.legs[0].leg).expect("it rings")).expect("text")
}

fn bridge() -> CallOrder {
    CallOrder::Bridge { call: CALL, tone: false, record: None }
}

/// With what the INVITE of a peer was refused.
fn refused(w: &World, peer: usize) -> Option<u16> {
    w.peers[peer].ended.last().and_then(|ended| ended.code)
}

/// Between trunks, with the sound through us or past us, and whatever the callee has said before.
#[test]
fn a_call_that_rings_is_taken_elsewhere() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        for callee in [Callee::rings(), Callee::rings().with_early_media()] {
            let mut w = world(media);
            w.peers[1].default = callee;
            w.call_in(0, "100", "0200");
            w.run_for(500);
            w.peer_takes_over(2, 1);
            w.run_for(500);
            assert!(w.ladder.contains("us -> b: CANCEL"), "{}", w.ladder);
            assert!(w.peers[1].legs.is_empty(), "{}", w.ladder);
            talk(&mut w, 0, 2);
            let call = w.transit_started()[0].0;
            let trace = w.shard.trace(call);
            let said =
                |text: &str| trace.iter().any(|sent| String::from_utf8_lossy(&sent.bytes).contains(text));
            assert!(said("Replaces: ") && said("Reason: SIP;cause=200;text=\"Call completed elsewhere\""));
            w.peer_hangup(2);
            w.run_for(500);
            assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
            let records = w.transit_records();
            assert_eq!((records.len(), records[0].outcome), (1, Outcome::Connected));
            w.assert_at_rest();
        }
    }
}

/// What cannot be taken rings on: an early dialog that the peer has begun, one that there is not, and one whose other side
/// has nothing in common with the newcomer.
#[test]
fn what_cannot_be_taken_rings_on() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media);
        w.peers[1].default = Callee::rings();
        w.call_in(0, "100", "0200");
        w.run_for(500);
        let call = w.transit_started()[0].0;
        let trace = w.shard.trace(call);
        let ringing =
            trace.iter().find(|sent| sent.sent && sent.bytes.starts_with(b"SIP/2.0 180")).expect("rings");
        let ringing = sip_proxy::wire::parse(ringing.bytes.clone(), &sip_proxy::wire::Limits::default());
        let ringing = ringing.expect("sound");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (call_id, ours) = (text(ringing.call_id()), text(ringing.to_tag().expect("a tag")));
        let theirs = text(ringing.from_tag().expect("a tag"));
        let rings = early_dialog(&w, 1);
        let another = |w: &mut World, value: &str| {
            w.peer_takes_over_named(2, value);
            w.run_for(200);
            refused(w, 2)
        };
        assert_eq!(another(&mut w, &format!("{call_id};to-tag={ours};from-tag={theirs}")), Some(481));
        let tag = rings.rsplit('=').next().expect("a tag");
        assert_eq!(another(&mut w, &rings.replace(tag, "another")), Some(481));
        let rings = format!("{rings};early-only");
        let only_video = "v=0\r\no=- 1 1 IN IP4 192.0.2.12\r\ns=-\r\nc=IN IP4 192.0.2.12\r\nt=0 0\r\n\
            m=video 7000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n";
        w.extra = vec![("Replaces", rings.clone())];
        w.call_in_with(2, "300", "x", only_video);
        w.run_for(200);
        assert_eq!(refused(&w, 2), Some(488), "{}", w.ladder);
        assert!(!w.ladder.contains("CANCEL"), "{}", w.ladder);
        // It still can be.
        w.extra.clear();
        w.peer_takes_over_named(2, &rings);
        w.run_for(200);
        talk(&mut w, 0, 2);
        w.peer_hangup(0);
        w.run_for(500);
        w.assert_at_rest();
    }
}

/// A dialled customer, an agent who is rung, and an agent's session: the call goes on with who has taken it.
#[test]
fn whoever_is_called_can_be_picked_up() {
    let mut w = World::new(7);
    w.carrier("carrier", TRUNK, |_| {});
    w.phone("alice", AGENT);
    w.phone("bert", COLLEAGUE);
    w.carrier("other", TrunkId::from_bits(9), |_| {});
    w.peers.iter_mut().for_each(|peer| {
        peer.default = Callee::rings();
        peer.speaks = true;
    });
    w.order(dial(), true);
    w.run_for(500);
    w.peer_takes_over(3, 0);
    w.run_for(500);
    assert!(w.fact_names(CALL).contains("Answered"), "{}", w.ladder);
    w.order(ring_agent(), false);
    w.run_for(500);
    w.peer_takes_over(2, 1);
    w.run_for(500);
    assert!(w.fact_names(CALL).contains("AgentAnswered"), "{}", w.ladder);
    w.order(bridge(), false);
    w.run_for(200);
    talk(&mut w, 3, 2);
    w.order(hangup(), false);
    w.run_for(500);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);

    w.command(open_session());
    w.run_for(500);
    w.peer_takes_over(2, 1);
    w.run_for(500);
    let up = |event: &ShardEvent| *event == ShardEvent::Agent(AgentFact::SessionUp { agent: AGENT });
    assert!(w.facts.iter().any(up), "{}", w.ladder);
    w.peers[0].default = Callee::answers(100);
    w.facts.clear();
    w.order(dial(), true);
    w.run_for(500);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(200);
    talk(&mut w, 0, 2);
    w.order(hangup(), false);
    w.peer_hangup(2);
    w.run_for(500);
    w.assert_at_rest();
}
