//! What it costs to listen: answering-machine detection and digits in the sound, on all calls at once. The media plane by
//! itself, fed with packets; sockets have no part in it.

use super::meter::thread_ns;
use super::report::{Report, Row};
use media::{
    AmdConfig, Codec, Config, Ears, Event, InBandDigits, Output, PacketKind, Plane, Remote, StreamKey, codec,
    rtp,
};
use sansio::{Duration, Instant, Outbox, Rng};
use serde_json::json;
use std::net::SocketAddr;

/// Promised for [`CALLS`], share of a core.
const SHARE_MAX: f64 = 0.15;
const CALLS: usize = 500;
/// Packets of each direction: ten seconds.
const PACKETS: u32 = 500;
/// 20 ms at 8,000 Hz.
const SAMPLES: usize = 160;
/// Sound that callers pick their own piece of: 8 s.
const SOUND_FRAMES: usize = 400;

/// All customers are listened to for machines and for digits, and all agents for digits, for ten seconds; and nobody is.
///
/// # Errors
/// When the time of a thread cannot be read.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let sound = sound();
    let bare = play(&sound, false)?;
    let heard = play(&sound, true)?;
    let seconds = f64::from(PACKETS) / 50.0;
    let share = (heard.used_s - bare.used_s) / seconds;
    let packets = f64::from(PACKETS) * 2.0 * CALLS as f64;
    report.add(Row {
        name: format!("listening to {CALLS} calls"),
        calls: CALLS,
        us_per_packet: Some(heard.used_s * 1e6 / packets),
        more: json!({
            "listening_us_per_packet": (heard.used_s - bare.used_s) * 1e6 / packets,
            "relaying_us_per_packet": bare.used_s * 1e6 / packets,
            "share_of_core": share, "verdicts": heard.verdicts,
        }),
        note: format!("{} verdicts", heard.verdicts),
        ..Row::default()
    });
    report.check(
        format!("machine detection and digits on {CALLS} calls: share of a core"),
        share <= SHARE_MAX && heard.verdicts > 0,
        format!("{:.1} %, at most {:.0} %", share * 100.0, SHARE_MAX * 100.0),
    );
    Ok(())
}

struct Played {
    used_s: f64,
    verdicts: u64,
}

/// One end of a call and what it says next.
struct End {
    stream: StreamKey,
    address: SocketAddr,
    place: usize,
}

fn play(sound: &[u8], listened: bool) -> anyhow::Result<Played> {
    let config = Config { ports: 10_000..=60_000, in_band_digits: InBandDigits::Always, ..Config::default() };
    let mut plane = Plane::new(config, Rng::from_seed(1));
    let mut out = Outbox::default();
    let mut now = Instant::from_millis(1);
    let mut ends = Vec::new();
    for call in 0..CALLS {
        let pair = [0_u8, 1].map(|side| {
            let address = SocketAddr::from(([10, side, (call >> 8) as u8, call as u8], 4000));
            let stream = plane.open(now, 0, &mut out).expect("ports for all");
            plane.set_remote(now, stream, Remote::new(address, Codec::Pcmu), &mut out);
            End { stream, address, place: (call * 7 + usize::from(side) * 131) % SOUND_FRAMES }
        });
        plane.connect(now, pair[0].stream, pair[1].stream, &mut out);
        if listened {
            let amd = Some(AmdConfig::default());
            plane.listen(now, pair[0].stream, Ears { dtmf: true, amd, ..Ears::default() });
            plane.listen(now, pair[1].stream, Ears { dtmf: true, ..Ears::default() });
            plane.amd_start(now, pair[0].stream);
        }
        ends.extend(pair);
    }
    out.drain();
    let before = thread_ns()?;
    let mut verdicts = 0;
    let mut packet = [0; rtp::HEADER_BYTES + SAMPLES];
    for number in 0..PACKETS {
        for end in &mut ends {
            let header = rtp::header(number == 0, 0, number as u16, number * SAMPLES as u32, 7);
            packet[..header.len()].copy_from_slice(&header);
            packet[header.len()..].copy_from_slice(&sound[end.place * SAMPLES..][..SAMPLES]);
            end.place = (end.place + 1) % SOUND_FRAMES;
            plane.handle_packet(now, end.stream, PacketKind::Rtp, end.address, &mut packet, &mut out);
            verdicts += settle(&mut plane, now, &mut out);
        }
        now += Duration::from_millis(20);
        plane.handle_timeout(now, &mut out);
        verdicts += settle(&mut plane, now, &mut out);
    }
    Ok(Played { used_s: (thread_ns()? - before) as f64 / 1e9, verdicts })
}

/// Who has been judged is judged anew, so that all are listened to all the time.
fn settle(plane: &mut Plane, now: Instant, out: &mut Outbox<Output>) -> u64 {
    let mut judged = Vec::new();
    for output in out.drain() {
        if let Output::Event(Event::AmdVerdict { stream, .. }) = output {
            judged.push(stream);
        }
    }
    for stream in &judged {
        plane.amd_start(now, *stream);
    }
    judged.len() as u64
}

/// Something like speech: syllables of a buzz that rises and falls, and pauses, µ-law.
fn sound() -> Vec<u8> {
    let mut rng = Rng::from_seed(5);
    let mut samples = Vec::with_capacity(SOUND_FRAMES * SAMPLES);
    let (mut phase, mut pitch) = (0.0_f64, 120.0_f64);
    while samples.len() < SOUND_FRAMES * SAMPLES {
        let syllable = 800 + rng.below(1600) as usize;
        let loud = if rng.chance(0.7) { 4_000.0 + rng.below(8_000) as f64 } else { 30.0 };
        pitch = (pitch + rng.below(60) as f64 - 30.0).clamp(80.0, 260.0);
        for place in 0..syllable {
            phase = (phase + pitch / 8_000.0).fract();
            let envelope = (place as f64 / syllable as f64 * std::f64::consts::PI).sin();
            let buzz: f64 = (1..12).map(|n| (phase * f64::from(n) * std::f64::consts::TAU).sin()).sum();
            let noise = rng.below(60) as f64 - 30.0;
            samples.push((buzz / 6.0 * envelope * loud + noise) as i16);
        }
    }
    samples.truncate(SOUND_FRAMES * SAMPLES);
    let mut encoded = vec![0; samples.len()];
    codec::encode(Codec::Pcmu, &samples, &mut encoded);
    encoded
}
