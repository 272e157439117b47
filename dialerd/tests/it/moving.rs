//! A far end whose sound comes from elsewhere in the middle of a call, and strangers who would like to be it: real sockets,
//! over each of the relay's grounds.

use crate::harness::{Place, block_on, until};
use crate::raw::{self, End, Pair};
use crate::relay::{can_relay_in_the_kernel, metric};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Packets from one place after which it is locked, and more.
const LOCKED: usize = 60;
/// A far end that is silent for so long may be replaced by one on its host or who knows its source (3 s), and not yet by one
/// that begins anew elsewhere (10 s).
const SILENCE: Duration = Duration::from_secs(4);
const FRAME: Duration = Duration::from_millis(20);

fn socket(host: &str) -> UdpSocket {
    raw::bound(&format!("{host}:0"))
}

/// Both speak, and each hears the other, so many packets.
fn talk(pair: &mut Pair, packets: usize) {
    for _ in 0..packets {
        pair.caller.say();
        assert_eq!(pair.callee.hear()[12], pair.caller.mark);
        pair.callee.say();
        assert_eq!(pair.caller.hear()[12], pair.callee.mark);
    }
}

/// The caller speaks from a new place until it is believed; from then on each hears the other.
async fn moves(place: &Place, pair: &mut Pair, to: UdpSocket, changes: f64) {
    let before = std::mem::replace(&mut pair.caller.sound, to);
    until("the new place is believed", async || {
        pair.caller.say();
        metric(&place.api(), "rtp_source_changes_total").await == changes
    })
    .await;
    End::take(&pair.callee.sound);
    End::take(&before);
    talk(pair, LOCKED);
    assert!(End::take(&before).is_empty(), "nothing is sent to where it was");
}

async fn on_ground(ground: &str) {
    let place = Place::new();
    raw::configure(&place, &format!("relay = \"{ground}\"\n"));
    let _daemon = place.start().await;
    let api = place.api();
    let mut pair = Pair::up(&place, [0, 0]);
    let directions = if ground == "kernel" { 2.0 } else { 0.0 };
    talk(&mut pair, LOCKED);
    until("the ground has taken over", async || {
        talk(&mut pair, 1);
        metric(&api, "media_relay_kernel_streams").await == directions
    })
    .await;

    // Strangers on another host, one of whom has seen the caller's packets, speak into the caller's port while it speaks.
    let dropped = "rtp_dropped_total{reason=\"foreign_source\"}";
    let hosts = [place.another(4), place.another(5)];
    let mut strangers = [false, true].map(|knowing| {
        let sound = socket(&hosts[usize::from(knowing)]);
        pair.caller.stranger(sound, knowing)
    });
    for _ in 0..LOCKED {
        strangers.iter_mut().for_each(End::say);
        talk(&mut pair, 1);
    }
    until("the strangers' packets are seen", async || {
        talk(&mut pair, 1);
        metric(&api, dropped).await == 2.0 * LOCKED as f64
    })
    .await;

    // One who begins anew while the caller is silent is not the caller.
    let began = Instant::now();
    let mut said = 2 * LOCKED;
    while began.elapsed() < SILENCE {
        strangers[0].say();
        said += 1;
        std::thread::sleep(FRAME);
    }
    until("these are, too", async || metric(&api, dropped).await == said as f64).await;
    for stranger in &strangers {
        assert!(End::take(&stranger.sound).is_empty(), "no stranger is sent anything");
    }
    assert!(End::take(&pair.callee.sound).is_empty(), "nor heard");
    talk(&mut pair, LOCKED);
    assert_eq!(metric(&api, "rtp_source_changes_total").await, 0.0);

    // The caller itself goes on from another port, and then, with its own numbers, from another host.
    moves(&place, &mut pair, socket(&place.phones), 1.0).await;
    moves(&place, &mut pair, socket(&place.another(6)), 2.0).await;
    until("the ground has taken over again", async || {
        talk(&mut pair, 1);
        metric(&api, "media_relay_kernel_streams").await == directions
    })
    .await;
    pair.hang_up(&place);
    until("no port is left", async || metric(&api, "rtp_ports_in_use").await == 0.0).await;
    let below = metric(&api, "media_relay_kernel_packets_total").await;
    assert_eq!(below > 0.0, ground == "kernel", "{below} packets in the kernel");
}

#[test]
fn over_sockets() {
    block_on(on_ground("sockets"));
}

#[test]
fn through_the_kernel() {
    block_on(async {
        if can_relay_in_the_kernel().await {
            on_ground("kernel").await;
        }
    });
}
