//! A media plane with an encrypted stream and a plain one, bridged, and whatever comes to their ports: bytes as they are,
//! bytes protected with the right key (so that what lies behind is reached), and such that were changed after it.
//! Nothing may panic, leak or grow; what is changed is not passed on; all that leaves to the encrypted side opens with
//! its key, and no number of it comes twice.
//!
//! The input is a sequence of: a byte that says which port and in what way; a length; so many bytes.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use media::rtp::looks_like_rtcp;
use media::srtp::{Inbound, KeySource, Outbound, Refusal, Secret, SrtpKeys, Suite};
use media::{Codec, Config, Ears, Output, PacketKind, Plane, Remote};
use sansio::{Duration, Instant, Outbox, Rng};
use std::net::SocketAddr;

fuzz_target!(|data: &[u8]| {
    let Some((&settings, mut data)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(settings) % Suite::ALL.len()];
    let mut source = KeySource::new(&Secret([settings; 32]));
    let keys = SrtpKeys { inbound: source.master_key(suite), outbound: source.master_key(suite) };
    let (mut phone, mut ear) = (Outbound::new(keys.inbound), Inbound::new(keys.outbound));
    let mut plane = Plane::new(Config { ports: 4000..=4007, ..Config::default() }, Rng::from_seed(1));
    let mut out = Outbox::default();
    let mut now = Instant::from_millis(1);
    let far: [SocketAddr; 2] = ["192.0.2.1:30000", "192.0.2.2:40000"].map(|text| text.parse().expect("an address"));
    let streams = [0, 1].map(|side| plane.open(now, side, &mut out).expect("there are ports"));
    for (side, stream) in streams.into_iter().enumerate() {
        let remote = Remote { rtcp_mux: settings & 64 != 0, ..Remote::new(far[side], Codec::Pcmu).with_dtmf(101) };
        let remote = if side == 0 { remote.with_srtp(keys) } else { remote };
        plane.set_remote(now, stream, remote, &mut out);
        plane.listen(now, stream, Ears { dtmf: true, ..Ears::default() });
    }
    plane.connect(now, streams[0], streams[1], &mut out);
    let _ = out.drain().count();
    while let [control, length, rest @ ..] = data {
        let (packet, rest) = rest.split_at((*length as usize).min(rest.len()));
        data = rest;
        now = now + Duration::from_millis([0, 20, 300, 5_000][usize::from(control >> 6)]);
        plane.handle_timeout(now, &mut out);
        let side = usize::from(control & 1);
        let kind = if control & 2 == 0 { PacketKind::Rtp } else { PacketKind::Rtcp };
        let mut sealed = BytesMut::from(packet);
        let mut changed = false;
        if side == 0 && control & 4 != 0 {
            let reports = kind == PacketKind::Rtcp || looks_like_rtcp(packet);
            let done = if reports { phone.protect_rtcp(&mut sealed, 0) } else { phone.protect(&mut sealed, 0) };
            if done.is_ok() && control & 8 != 0 {
                let at = usize::from(*control) * 7 % sealed.len();
                sealed[at] ^= control | 1;
                changed = true;
            }
        }
        let before = plane.counters();
        let mut edited = sealed.to_vec();
        let port = far[side].port() + u16::from(kind == PacketKind::Rtcp);
        plane.handle_packet(now, streams[side], kind, SocketAddr::new(far[side].ip(), port), &mut edited, &mut out);
        let after = plane.counters();
        assert!(!changed || after.srtp_in == before.srtp_in, "changed on its way, and taken");
        for output in out.drain() {
            match output {
                Output::Forward { .. } => panic!("one side is encrypted: nothing goes on as it lies"),
                Output::Send { from, packet, .. } if from == streams[0] => {
                    let mut packet = packet.to_vec();
                    let opened = if looks_like_rtcp(&packet) {
                        ear.open_rtcp(&mut packet).map(|_| ())
                    } else {
                        ear.open(&mut packet).map(|_| ())
                    };
                    // So late that the ear cannot tell, if numbers leapt.
                    assert!(matches!(opened, Ok(()) | Err(Refusal::Replayed)), "{opened:?}");
                }
                _ => {}
            }
        }
        assert_eq!(plane.audit(), Vec::<String>::new());
    }
    for stream in streams {
        plane.close(now, stream, &mut out);
    }
    assert!(plane.is_at_rest(), "nothing is left");
});
