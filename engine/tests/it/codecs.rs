//! Legs that speak different codecs: what is agreed on, and that each hears the other in its own.

use crate::dialled::{bridge, dial, ring_agent, world as dialled_world};
use crate::transit::{FROM, TO};
use crate::world::{Callee, World};
use dialer_core::outcome::Outcome;
use engine::{Route, ShardCommand, TransitMedia};

const PCMU: u8 = 0;
const PCMA: u8 = 8;
const G722: u8 = 9;
const G729: u8 = 18;

fn transit((from, to): (u8, u8), record: bool) -> World {
    let mut w = World::new(12);
    w.carrier("caller", FROM, |_| {});
    w.carrier("callee", TO, |_| {});
    w.peers[1].default = Callee::answers(200);
    let media = TransitMedia::Relay;
    let route = Route { from_trunk: Some(FROM), prefix: "0".into(), to_trunks: vec![TO], media, record };
    w.command(ShardCommand::SetRoutes(vec![route]));
    for (peer, speaks_in) in [(0, from), (1, to)] {
        w.peers[peer].speaks = true;
        w.peers[peer].speaks_in = speaks_in;
    }
    w.call_in(0, "100", "0200");
    w.run_for(2_000);
    w
}

#[test]
fn each_side_hears_the_other_in_its_own_codec_and_only_foreign_ones_are_translated() {
    for from in [PCMU, PCMA, G722, G729] {
        for to in [PCMU, PCMA, G722, G729] {
            let mut w = transit((from, to), false);
            let readable = from != G729 && to != G729;
            if !readable && from != to {
                assert_eq!(w.peers[0].ended[0].code, Some(488), "{from} {to}\n{}", w.ladder);
                w.run_for(1_000);
                w.assert_at_rest();
                continue;
            }
            for (peer, codec) in [(0, from), (1, to)] {
                let leg = &w.peers[peer].legs[0];
                assert!(leg.heard > 60, "{from} {to}: {peer} heard {}", leg.heard);
                assert_eq!(leg.heard_in, codec, "{from} {to}");
            }
            let media = w.shard.counters().media;
            let mixed = from != to && (from == G722 || to == G722);
            assert_eq!(media.frames_mixed > 0, mixed, "{from} {to}");
            assert_eq!(media.transcoded > 0, from != to);
            assert_eq!(media.undecodable + media.dropped_payload_type, 0);
            let name = |codec| match codec {
                PCMU => "PCMU",
                PCMA => "PCMA",
                G722 => "G722",
                _ => "G729",
            };
            let translated: Vec<_> = w.shard.translated().into_iter().collect();
            let mut both = vec![((name(from), name(to)), 1), ((name(to), name(from)), 1)];
            both.sort_unstable();
            assert_eq!(translated, if from == to { vec![] } else { both });
            if from == to {
                assert_eq!(w.peers[0].legs[0].last_payload, [w.peers[1].voice; 160], "untouched");
            }
            w.peer_hangup(0);
            w.run_for(1_000);
            assert_eq!(w.transit_records()[0].outcome, Outcome::Connected);
            w.assert_at_rest();
        }
    }
}

#[test]
fn what_cannot_be_read_is_not_agreed_on_where_it_is_to_be_recorded() {
    let mut w = transit((G729, G729), true);
    assert_eq!(w.peers[0].ended[0].code, Some(488), "{}", w.ladder);
    w.run_for(1_000);
    w.assert_at_rest();
}

#[test]
fn a_customer_who_speaks_g722_is_joined_to_an_agent_who_does_not() {
    for agent_speaks in [PCMU, G722] {
        let mut w = dialled_world(Callee::answers(100));
        let (customer, phone) = (0, 1);
        for (peer, speaks_in) in [(customer, G722), (phone, agent_speaks)] {
            w.peers[peer].speaks = true;
            w.peers[peer].speaks_in = speaks_in;
        }
        w.order(dial(), true);
        w.run_for(1_000);
        w.order(ring_agent(), false);
        w.run_for(1_000);
        w.order(bridge(), false);
        w.run_for(2_000);
        for (peer, codec) in [(customer, G722), (phone, agent_speaks)] {
            let leg = &w.peers[peer].legs[0];
            assert!(leg.heard > 60 && leg.heard_in == codec, "{agent_speaks}: {peer} heard {}", leg.heard);
        }
        assert_eq!(w.shard.counters().media.frames_mixed > 0, agent_speaks != G722);
        w.peer_hangup(customer);
        w.run_for(1_000);
    }
}
