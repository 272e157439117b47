//! Ports: given once, rested, and all back in the end.

use crate::world::*;
use media::{Codec, Config, Event, FailedReason, MediaError};

#[test]
fn exhaustion_is_an_error_and_quarantine_holds() {
    let mut world = World::with(Config { ports: 5000..=5007, ..config() });
    let streams: Vec<_> = (0..4).map(|owner| world.open(owner)).collect();
    let mut ports: Vec<_> = streams.iter().map(|s| world.plane.local_port(*s).unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [5000, 5002, 5004, 5006]);
    let refused = world.with_plane(|plane, now, out| plane.open(now, 9, out));
    assert_eq!(refused, Err(MediaError::NoPorts));
    assert_eq!(world.plane.counters().ports_exhausted, 1);
    let closed_port = world.plane.local_port(streams[2]).unwrap();
    world.close(streams[2]);
    assert_eq!(world.plane.local_port(streams[2]), None);
    world.advance_ms(4_999);
    assert_eq!(world.with_plane(|plane, now, out| plane.open(now, 9, out)), Err(MediaError::NoPorts));
    world.advance_ms(1);
    let again = world.open(9);
    assert_eq!(world.plane.local_port(again), Some(closed_port));
    assert_ne!(again, streams[2]);
    let counters = world.plane.counters();
    assert_eq!((counters.port_pairs_in_use, counters.port_pairs_total), (4, 4));
    for stream in streams.into_iter().chain([again]) {
        world.close(stream);
        world.close(stream);
    }
    world.assert_at_rest();
}

/// Of eight pairs another program has some: no stream is opened on them.
#[test]
fn pairs_are_bound_ahead_and_those_that_others_have_are_passed_over() {
    let mut world = World::with(Config { ports: 5000..=5015, ports_held: 3, ..config() });
    world.advance_ms(1);
    let held = std::mem::take(&mut world.held_ports);
    assert_eq!(held.len(), 3, "before anything is opened");
    let refuse = |world: &mut World, port: u16, taken: bool| {
        world.with_plane(|plane, now, out| plane.ports_not_held(now, port, taken, out));
        std::mem::take(&mut world.held_ports)
    };
    let instead = refuse(&mut world, held[0], true);
    assert_eq!(instead.len(), 1);
    assert!(refuse(&mut world, held[1], false).is_empty(), "nothing can be bound: no other is tried now");
    let first = world.open(1);
    assert_eq!(world.plane.local_port(first), Some(held[2]));
    let asked = std::mem::take(&mut world.held_ports);
    assert_eq!(asked.len(), 2, "as many as before");
    let second = world.open(2);
    assert_eq!(world.plane.local_port(second), Some(instead[0]));
    assert_eq!(world.plane.counters().port_pairs_in_use, 2);
    // Whatever comes, what is taken is not handed out, and what is free is.
    let mut more = Vec::new();
    while let Ok(stream) = world.with_plane(|plane, now, out| plane.open(now, 9, out)) {
        more.push(stream);
    }
    let port = |world: &World, stream| world.plane.local_port(stream).unwrap();
    assert!(more.iter().all(|stream| port(&world, *stream) != held[0]));
    assert_eq!(more.len(), 4, "two are in use, one is another's, one rests");
    world.advance_ms(5_000);
    let rested = world.open(10);
    assert_eq!(port(&world, rested), held[1]);
    for stream in more.into_iter().chain([first, second, rested]) {
        world.close(stream);
    }
    world.assert_at_rest();
}

#[test]
fn the_limit_of_streams_holds() {
    let mut world = World::with(Config { streams_max: 1, ..config() });
    world.open(1);
    assert_eq!(
        world.with_plane(|plane, now, out| plane.open(now, 2, out)),
        Err(MediaError::StreamsExhausted)
    );
    assert_eq!(world.plane.counters().port_pairs_in_use, 1);
}

#[test]
fn ports_that_cannot_be_bound_fail_the_stream_once_and_are_not_closed() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(5, &phone);
    for _ in 0..2 {
        world.with_plane(|plane, now, out| plane.ports_failed(now, stream, out));
    }
    let reason = FailedReason::PortsUnavailable;
    assert_eq!(world.take_events(), [Event::Failed { stream, owner: 5, reason }]);
    world.with_plane(|plane, now, out| plane.close(now, stream, out));
    assert_eq!(world.open_ports.len(), 1, "nothing was closed that was never open");
    assert!(world.plane.is_at_rest());
}
