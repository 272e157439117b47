//! Tones of networks, as they come over a line.

use super::clips;
use super::corpus::Corpus;
use super::report::Rate;
use media::EarlyMediaClass;
use media::early_media::EarlyMedia;
use sansio::Rng;

/// Calls of each tone.
const TIMES: usize = 400;

/// A plan's tone: frequencies, bursts and pauses in seconds, and its class.
type Tone = (&'static str, &'static [f64], &'static [(f64, f64)], EarlyMediaClass);

/// Every tone of every plan, and sound that is none.
pub(super) fn tones(corpus: &Corpus, rng: &mut Rng) -> Vec<(&'static str, Rate)> {
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
