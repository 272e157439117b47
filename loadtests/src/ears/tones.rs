//! Tones of networks, as they come over a line.

use super::clips;
use super::report::Rate;
use media::EarlyMediaClass;
use media::early_media::EarlyMedia;
use sansio::Rng;

/// Calls of each tone.
const TIMES: usize = 400;

/// A plan's tone: frequencies, bursts and pauses in seconds, and its class.
type Tone = (&'static str, &'static [f64], &'static [(f64, f64)], EarlyMediaClass);

/// Every tone of every plan.
pub(super) fn tones(rng: &mut Rng) -> Vec<(&'static str, Rate)> {
    use EarlyMediaClass::{Busy, Congestion, Ringback};
    let plan: [Tone; 9] = [
        ("CN ringback", &[450.0], &[(1.0, 4.0)], Ringback),
        ("CN busy", &[450.0], &[(0.35, 0.35)], Busy),
        ("CN congestion", &[450.0], &[(0.7, 0.7)], Congestion),
        ("US ringback", &[440.0, 480.0], &[(2.0, 4.0)], Ringback),
        ("US busy", &[480.0, 620.0], &[(0.5, 0.5)], Busy),
        ("US reorder", &[480.0, 620.0], &[(0.25, 0.25)], Congestion),
        ("UK ringback", &[400.0, 450.0], &[(0.4, 0.2), (0.4, 2.0)], Ringback),
        ("UK busy", &[400.0], &[(0.375, 0.375)], Busy),
        ("UK congestion", &[400.0], &[(0.4, 0.35), (0.225, 0.525)], Congestion),
    ];
    let mut rates: Vec<_> = plan
        .into_iter()
        .map(|(name, frequencies, pattern, class)| {
            (name, Rate::of((0..TIMES).map(|_| tone_is_named(frequencies, pattern, class, rng))))
        })
        .collect();
    rates.push(("SIT", Rate::of((0..TIMES).map(|_| sit_is_named(rng)))));
    rates
}

fn tone_is_named(frequencies: &[f64], pattern: &[(f64, f64)], class: EarlyMediaClass, rng: &mut Rng) -> bool {
    let pitch = rng.between(0.988, 1.012);
    let frequencies: Vec<f64> = frequencies.iter().map(|frequency| frequency * pitch).collect();
    let level = rng.between(-25.0, -8.0);
    let mut sound = vec![0.0; (rng.between(0.0, 1.0) * 8000.0) as usize];
    while sound.len() < 16 * 8000 {
        for (on, off) in pattern {
            clips::tones(&mut sound, &frequencies, *on, level);
            sound.resize(sound.len() + (off * 8000.0) as usize, 0.0);
        }
    }
    heard_only(sound, level, class, rng)
}

fn sit_is_named(rng: &mut Rng) -> bool {
    let level = rng.between(-25.0, -8.0);
    let mut sound = vec![0.0; 4_000];
    for frequency in [950.0, 1400.0, 1800.0] {
        clips::tones(&mut sound, &[frequency + rng.between(-40.0, 40.0)], 0.33, level);
        sound.resize(sound.len() + rng.below(240) as usize, 0.0);
    }
    sound.resize(sound.len() + 8_000, 0.0);
    heard_only(sound, level, EarlyMediaClass::Sit, rng)
}

fn heard_only(mut sound: Vec<f64>, level: f64, class: EarlyMediaClass, rng: &mut Rng) -> bool {
    clips::hiss(&mut sound, level - rng.between(10.0, 30.0), rng);
    let mut ears = EarlyMedia::default();
    let frames = clips::line(&sound, rng);
    let heard: Vec<_> =
        frames.iter().filter_map(|frame| ears.frame(frame)).map(|heard| heard.class).collect();
    !heard.is_empty() && heard.iter().all(|found| *found == class)
}

/// Calls that ring with music, of which nothing may be called a tone.
pub(super) fn music_as_tone(rng: &mut Rng) -> Rate {
    Rate::of((0..TIMES).map(|_| music_is_a_tone(rng)))
}

/// Coloured ringback: a tune with its chords, each note with overtones that die away.
fn music_is_a_tone(rng: &mut Rng) -> bool {
    let mut sound = vec![0.0; 16 * 8_000];
    let (beat, level) = (rng.between(0.18, 0.6), rng.between(-25.0, -8.0));
    let root = rng.between(110.0, 260.0);
    let scale = [0, 2, 4, 5, 7, 9, 11, 12];
    let mut at = 0.0;
    while at < 15.0 {
        let chord = scale[rng.below(8) as usize];
        let length = beat * [1.0, 1.0, 2.0, 4.0][rng.below(4) as usize];
        for step in [chord, chord + 4, chord + 7, 12 + scale[rng.below(8) as usize]] {
            let note = root * 2_f64.powf(f64::from(step) / 12.0);
            note_into(&mut sound[(at * 8_000.0) as usize..], note, length, level);
        }
        at += length;
    }
    let mut ears = EarlyMedia::default();
    let heard: Vec<_> = clips::line(&sound, rng).iter().filter_map(|frame| ears.frame(frame)).collect();
    heard.iter().any(|heard| heard.class != EarlyMediaClass::Voice)
}

fn note_into(sound: &mut [f64], frequency: f64, seconds: f64, level_dbm0: f64) {
    let peak = 0.3 * 22_827.0 * 10_f64.powf(level_dbm0 / 20.0);
    let samples = ((seconds * 8_000.0) as usize).min(sound.len());
    for (i, sample) in sound[..samples].iter_mut().enumerate() {
        let at = i as f64 / 8_000.0;
        let overtone = |n: f64| (std::f64::consts::TAU * frequency * n * at).sin() / n;
        let note: f64 = (1..=5).map(f64::from).filter(|n| n * frequency < 3_400.0).map(overtone).sum();
        *sample += peak * note * (-2.0 * at / seconds).exp();
    }
}
