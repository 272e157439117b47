//! What the ground is asked to count before a message is handled.

use crate::transit::world;
use crate::world::{Callee, World};
use dialer_core::outcome::{EndCause, Party};
use engine::{CountsWanted, ShardCommand, ShardInput, StreamId, TransitMedia};
use std::collections::BTreeSet;

/// Three calls, up; and the BYE of the first one's caller, as it comes in a world like this one.
fn three_calls(hang_up: bool) -> World {
    let mut w = world(TransitMedia::Relay, Callee::answers(200));
    for number in ["0200", "0201", "0202"] {
        w.call_in(0, "100", number);
        w.run_for(50);
    }
    w.run_for(1000);
    if hang_up {
        w.peer_hangup(0);
        w.run_for(100);
    }
    w
}

/// What the kernel has counted is asked for where it is told next, and nowhere else: there may be thousands of streams.
#[test]
fn a_message_wants_the_counts_of_its_own_call() {
    let before = three_calls(true);
    let call = before.transit_started()[0].0;
    let kept = before.shard.trace(call);
    let received = |method: &str| {
        let found = kept.iter().find(|message| !message.sent && message.bytes.starts_with(method.as_bytes()));
        found.expect("it came").bytes.clone()
    };
    let w = three_calls(false);
    let source = w.peers[0].legs[0].rtp;
    let wanted = |bytes| w.shard.counts_wanted(&ShardInput::Datagram { listener: 0, source, bytes });
    let streams: BTreeSet<StreamId> = [0, 1]
        .map(|peer: usize| w.ports[&w.peers[peer].legs[0].remote.expect("it was told").port()].0)
        .into_iter()
        .collect();
    let own = CountsWanted::Of(streams.into_iter().collect());
    assert_eq!(wanted(received("BYE ")), own);
    assert_eq!(wanted(received("ACK ")), CountsWanted::Of(Vec::new()));
    assert_eq!(wanted(received("INVITE ")), CountsWanted::Of(Vec::new()), "it is there already");
    let (by, cause) = (Party::Api, EndCause::Normal);
    let end = ShardInput::Command(ShardCommand::EndTransit { call, by, cause });
    assert_eq!(w.shard.counts_wanted(&end), own);
    assert_eq!(w.shard.counts_wanted(&ShardInput::Command(ShardCommand::HangupAll)), CountsWanted::All);
}
