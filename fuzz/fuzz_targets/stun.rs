//! Connectivity checks, read, and whatever else comes to a browser's port: STUN, handshakes, rubbish. Nothing may panic or
//! leave anything; only what is signed with the password is answered, and nothing goes anywhere before a check.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::srtp::{KeySource, Secret};
use media::{Codec, Config, Dtls, IceCredentials, Output, PacketKind, Plane, Remote, Security, stun};
use sansio::{Instant, Outbox, Rng};
use std::net::SocketAddr;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

fuzz_target!(|data: &[u8]| {
    // The published sample and what grows from it.
    if let Ok(check) = stun::read_check(data, b"evtj", PASSWORD) {
        let mut answer = Vec::new();
        stun::write_success(&check, "192.0.2.1:4000".parse().expect("an address"), PASSWORD, &mut answer);
        assert!(stun::looks_like_stun(&answer));
    }
    let ice = IceCredentials::draw(&mut KeySource::new(&Secret([1; 32])));
    let mut plane = Plane::new(Config { ports: 4000..=4003, ..Config::default() }, Rng::from_seed(1));
    let (mut out, now) = (Outbox::default(), Instant::from_millis(1));
    let source: SocketAddr = "192.0.2.1:30000".parse().expect("an address");
    let stream = plane.open(now, 1, &mut out).expect("there are ports");
    let dtls = Dtls { ice, ours: [1; 32], fingerprint: [0; 32], active: false };
    let remote = Remote { security: Security::Dtls(dtls), ..Remote::new(source, Codec::Pcmu) };
    plane.set_remote(now, stream, remote, &mut out);
    let _ = out.drain().count();
    plane.handle_packet(now, stream, PacketKind::Rtp, source, &mut data.to_vec(), &mut out);
    let answered = plane.counters().checks_answered > 0;
    for output in out.drain() {
        assert!(answered || !matches!(output, Output::Send { .. } | Output::Forward { .. } | Output::Dtls(_)));
    }
    plane.close(now, stream, &mut out);
    assert!(plane.is_at_rest());
});
