//! Tones of networks by country, made as prompts to be repeated.
//!
//! Frequencies and cadences of ITU-T E.180 supplement 2 (various tones used in national networks); China by GB/T 3380;
//! Australia by AS/CA S002 (413+438 Hz is one of the ringing tones it allows, and congestion is busy with every other burst
//! 10 dB softer); India's and Japan's ringing tones are 400 Hz modulated by 25 and 16 Hz. Japan says busy for congestion, too.

use crate::dsp::oscillator::{Oscillator, mix};

/// Samples a millisecond.
const SAMPLES_PER_MS: usize = 8;
/// Level of each tone, dBm0.
const LEVEL_DBM0: f32 = -13.0;
/// Samples over which a burst rises and falls (3 ms), so that it does not click.
const RAMP: usize = 24;
/// E.180: three tones of 330 ms, and a second of pause.
const SIT: &[Burst] = &[burst(&[950.0], 330, 0), burst(&[1400.0], 330, 0), burst(&[1800.0], 330, 1_000)];

/// Whose tones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Country {
    /// China.
    Cn,
    /// The United States and Canada.
    Us,
    /// The United Kingdom.
    Gb,
    /// Germany.
    De,
    /// Austria.
    At,
    /// Switzerland.
    Ch,
    /// France.
    Fr,
    /// Italy.
    It,
    /// The Netherlands.
    Nl,
    /// Russia.
    Ru,
    /// Taiwan.
    Tw,
    /// Japan.
    Jp,
    /// Australia.
    Au,
    /// India.
    In,
    /// Spain.
    Es,
    /// Brazil.
    Br,
}

/// Which tone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NetworkTone {
    /// It rings.
    Ringback,
    /// Busy.
    Busy,
    /// No way through.
    Congestion,
    /// Special information tones: an announcement would follow.
    Sit,
}

impl Country {
    /// All of them.
    pub const ALL: [Country; 16] = [
        Country::Cn,
        Country::Us,
        Country::Gb,
        Country::De,
        Country::At,
        Country::Ch,
        Country::Fr,
        Country::It,
        Country::Nl,
        Country::Ru,
        Country::Tw,
        Country::Jp,
        Country::Au,
        Country::In,
        Country::Es,
        Country::Br,
    ];

    /// The name in prompts' names: ISO 3166, small.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Country::Cn => "cn",
            Country::Us => "us",
            Country::Gb => "gb",
            Country::De => "de",
            Country::At => "at",
            Country::Ch => "ch",
            Country::Fr => "fr",
            Country::It => "it",
            Country::Nl => "nl",
            Country::Ru => "ru",
            Country::Tw => "tw",
            Country::Jp => "jp",
            Country::Au => "au",
            Country::In => "in",
            Country::Es => "es",
            Country::Br => "br",
        }
    }
}

impl NetworkTone {
    /// All of them.
    pub const ALL: [NetworkTone; 4] =
        [NetworkTone::Ringback, NetworkTone::Busy, NetworkTone::Congestion, NetworkTone::Sit];

    /// The name in prompts' names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NetworkTone::Ringback => "ringback",
            NetworkTone::Busy => "busy",
            NetworkTone::Congestion => "congestion",
            NetworkTone::Sit => "sit",
        }
    }
}

/// Sines for so long, then silence for so long, milliseconds.
#[derive(Clone, Copy, Debug)]
struct Burst {
    hz: &'static [f32],
    on_ms: usize,
    off_ms: usize,
    /// They grow and fade so often a second, wholly; 0: they do not.
    modulated_by_hz: f32,
    /// So much softer than other bursts, decibels.
    softer_db: f32,
}

const fn burst(hz: &'static [f32], on_ms: usize, off_ms: usize) -> Burst {
    Burst { hz, on_ms, off_ms, modulated_by_hz: 0.0, softer_db: 0.0 }
}

impl Burst {
    const fn modulated_by(self, hz: f32) -> Burst {
        Burst { modulated_by_hz: hz, ..self }
    }

    const fn softer_by(self, db: f32) -> Burst {
        Burst { softer_db: db, ..self }
    }

    /// Its sines: frequency and level, dBm0. All together they have the level of a tone.
    fn sines(&self) -> Vec<(f32, f32)> {
        // Tones sounded together share the level.
        let level = LEVEL_DBM0 - self.softer_db - if self.hz.len() > 1 { 3.0 } else { 0.0 };
        let by = self.modulated_by_hz;
        let sines = |hz: &f32| match by > 0.0 {
            // (1 + cos)·sine: half of the amplitude on either side, 1.5 times the power.
            true => vec![(*hz, level - 1.8), (hz - by, level - 7.8), (hz + by, level - 7.8)],
            false => vec![(*hz, level)],
        };
        self.hz.iter().flat_map(sines).collect()
    }
}

const fn cadence(country: Country, tone: NetworkTone) -> &'static [Burst] {
    match (country, tone) {
        (_, NetworkTone::Sit) => SIT,
        (Country::Cn, NetworkTone::Ringback) => const { &[burst(&[450.0], 1_000, 4_000)] },
        (Country::Cn, NetworkTone::Busy) => const { &[burst(&[450.0], 350, 350)] },
        (Country::Cn, NetworkTone::Congestion) => const { &[burst(&[450.0], 700, 700)] },
        (Country::Us, NetworkTone::Ringback) => const { &[burst(&[440.0, 480.0], 2_000, 4_000)] },
        (Country::Us, NetworkTone::Busy) => const { &[burst(&[480.0, 620.0], 500, 500)] },
        (Country::Us, NetworkTone::Congestion) => const { &[burst(&[480.0, 620.0], 250, 250)] },
        (Country::Gb, NetworkTone::Ringback) => {
            const { &[burst(&[400.0, 450.0], 400, 200), burst(&[400.0, 450.0], 400, 2_000)] }
        }
        (Country::Gb, NetworkTone::Busy) => const { &[burst(&[400.0], 375, 375)] },
        (Country::Gb, NetworkTone::Congestion) => {
            const { &[burst(&[400.0], 400, 350), burst(&[400.0], 225, 525)] }
        }
        (Country::De, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_000, 4_000)] },
        (Country::De, NetworkTone::Busy) => const { &[burst(&[425.0], 480, 480)] },
        (Country::De, NetworkTone::Congestion) => const { &[burst(&[425.0], 240, 240)] },
        (Country::At, NetworkTone::Ringback) => const { &[burst(&[420.0], 1_000, 5_000)] },
        (Country::At, NetworkTone::Busy) => const { &[burst(&[420.0], 400, 400)] },
        (Country::At, NetworkTone::Congestion) => const { &[burst(&[420.0], 200, 200)] },
        (Country::Ch, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_000, 4_000)] },
        (Country::Ch, NetworkTone::Busy) => const { &[burst(&[425.0], 500, 500)] },
        (Country::Ch, NetworkTone::Congestion) => const { &[burst(&[425.0], 200, 200)] },
        (Country::Fr, NetworkTone::Ringback) => const { &[burst(&[440.0], 1_500, 3_500)] },
        (Country::Fr, NetworkTone::Busy) => const { &[burst(&[440.0], 500, 500)] },
        (Country::Fr, NetworkTone::Congestion) => const { &[burst(&[440.0], 250, 250)] },
        (Country::It, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_000, 4_000)] },
        (Country::It, NetworkTone::Busy) => const { &[burst(&[425.0], 500, 500)] },
        (Country::It, NetworkTone::Congestion) => const { &[burst(&[425.0], 200, 200)] },
        (Country::Nl, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_000, 4_000)] },
        (Country::Nl, NetworkTone::Busy) => const { &[burst(&[425.0], 500, 500)] },
        (Country::Nl, NetworkTone::Congestion) => const { &[burst(&[425.0], 250, 250)] },
        (Country::Ru, NetworkTone::Ringback) => const { &[burst(&[425.0], 800, 3_200)] },
        (Country::Ru, NetworkTone::Busy) => const { &[burst(&[425.0], 400, 400)] },
        (Country::Ru, NetworkTone::Congestion) => const { &[burst(&[425.0], 200, 200)] },
        (Country::Tw, NetworkTone::Ringback) => const { &[burst(&[440.0, 480.0], 1_000, 2_000)] },
        (Country::Tw, NetworkTone::Busy) => const { &[burst(&[480.0, 620.0], 500, 500)] },
        (Country::Tw, NetworkTone::Congestion) => const { &[burst(&[480.0, 620.0], 250, 250)] },
        (Country::Jp, NetworkTone::Ringback) => const { &[burst(&[400.0], 1_000, 2_000).modulated_by(16.0)] },
        (Country::Jp, NetworkTone::Busy | NetworkTone::Congestion) => const { &[burst(&[400.0], 500, 500)] },
        (Country::Au, NetworkTone::Ringback) => {
            const { &[burst(&[413.0, 438.0], 400, 200), burst(&[413.0, 438.0], 400, 2_000)] }
        }
        (Country::Au, NetworkTone::Busy) => const { &[burst(&[425.0], 375, 375)] },
        (Country::Au, NetworkTone::Congestion) => {
            const { &[burst(&[425.0], 375, 375), burst(&[425.0], 375, 375).softer_by(10.0)] }
        }
        (Country::In, NetworkTone::Ringback) => {
            const {
                &[
                    burst(&[400.0], 400, 200).modulated_by(25.0),
                    burst(&[400.0], 400, 2_000).modulated_by(25.0),
                ]
            }
        }
        (Country::In, NetworkTone::Busy) => const { &[burst(&[400.0], 750, 750)] },
        (Country::In, NetworkTone::Congestion) => const { &[burst(&[400.0], 250, 250)] },
        (Country::Es, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_500, 3_000)] },
        (Country::Es, NetworkTone::Busy) => const { &[burst(&[425.0], 200, 200)] },
        (Country::Es, NetworkTone::Congestion) => {
            const { &[burst(&[425.0], 200, 200), burst(&[425.0], 200, 200), burst(&[425.0], 200, 600)] }
        }
        (Country::Br, NetworkTone::Ringback) => const { &[burst(&[425.0], 1_000, 4_000)] },
        (Country::Br, NetworkTone::Busy) => const { &[burst(&[425.0], 250, 250)] },
        (Country::Br, NetworkTone::Congestion) => {
            const { &[burst(&[425.0], 250, 250), burst(&[425.0], 750, 250)] }
        }
    }
}

/// One period of a country's tone, to be repeated: linear PCM at 8,000 Hz.
#[must_use]
pub fn network_tone(country: Country, tone: NetworkTone) -> Vec<i16> {
    let mut samples = Vec::new();
    for part in cadence(country, tone) {
        sound(&mut samples, &part.sines(), part.on_ms);
        samples.resize(samples.len() + part.off_ms * SAMPLES_PER_MS, 0);
    }
    samples
}

/// A soft double tick every four seconds: the line of a nailed-up agent who waits is alive. To be repeated.
#[must_use]
pub fn comfort_tone() -> Vec<i16> {
    let mut samples = Vec::new();
    for _ in 0..2 {
        sound(&mut samples, &[(660.0, -32.0)], 40);
        samples.resize(samples.len() + 80 * SAMPLES_PER_MS, 0);
    }
    samples.resize(4_000 * SAMPLES_PER_MS, 0);
    samples
}

/// A quiet tune for who is on hold, to be repeated: four chords, three seconds each.
#[must_use]
pub fn hold_tune() -> Vec<i16> {
    // C, A minor, F, G: three notes each, plucked one after the other and held.
    const CHORDS: [[f32; 3]; 4] =
        [[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6], [196.0, 246.9, 293.7]];
    let mut samples = vec![0_i16; 12_000 * SAMPLES_PER_MS];
    for (number, chord) in CHORDS.iter().enumerate() {
        for (note, hz) in chord.iter().chain(&[2.0 * chord[0]]).enumerate() {
            let start = (number * 3_000 + note * 600) * SAMPLES_PER_MS;
            pluck(&mut samples, start, *hz);
        }
    }
    samples
}

/// Adds a note that fades within about two seconds; what would reach past the end goes on at the beginning.
fn pluck(samples: &mut [i16], start: usize, hz: f32) {
    let mut tones =
        [(hz, -24.0), (2.0 * hz, -32.0), (3.0 * hz, -38.0)].map(|(hz, dbm0)| Oscillator::new(hz, dbm0));
    let total = samples.len();
    for i in 0..2_000 * SAMPLES_PER_MS {
        let attack = (i as f32 / 80.0).min(1.0);
        let fade = (-(i as f32) / 5_000.0).exp();
        let added: f32 = tones.iter_mut().map(Oscillator::next_sample).sum();
        let place = &mut samples[(start + i) % total];
        *place = mix(*place, added * attack * fade);
    }
}

/// * `sines` frequency and level, dBm0
fn sound(samples: &mut Vec<i16>, sines: &[(f32, f32)], ms: usize) {
    let count = ms * SAMPLES_PER_MS;
    let mut tones: Vec<Oscillator> = sines.iter().map(|(hz, dbm0)| Oscillator::new(*hz, *dbm0)).collect();
    samples.extend((0..count).map(|i| {
        let ramp = i.min(count - i).min(RAMP) as f32 / RAMP as f32;
        let sum: f32 = tones.iter_mut().map(Oscillator::next_sample).sum();
        mix(0, sum * ramp)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EarlyMediaClass;
    use crate::amd::FRAME;
    use crate::dsp::level::level_dbm0;
    use crate::early_media::{EarlyMedia, TonePlan};

    /// What we say is what our own ears know.
    #[test]
    fn every_tone_is_heard_as_what_it_is() {
        for country in Country::ALL {
            for tone in NetworkTone::ALL {
                let wanted = match tone {
                    NetworkTone::Ringback => EarlyMediaClass::Ringback,
                    NetworkTone::Congestion if country != Country::Jp => EarlyMediaClass::Congestion,
                    NetworkTone::Busy | NetworkTone::Congestion => EarlyMediaClass::Busy,
                    NetworkTone::Sit => EarlyMediaClass::Sit,
                };
                let heard = heard(plan_of(country), country, tone);
                assert!(
                    !heard.is_empty() && heard.iter().all(|class| *class == wanted),
                    "{country:?} {tone:?}: {heard:?}"
                );
            }
        }
    }

    /// Those whose tones are other countries' with another meaning, or that warble, have plans of their own.
    fn plan_of(country: Country) -> TonePlan {
        match country {
            Country::Jp => TonePlan::Jp,
            Country::Au => TonePlan::Au,
            Country::In => TonePlan::In,
            Country::Es => TonePlan::Es,
            Country::Br => TonePlan::Br,
            _ => TonePlan::Any,
        }
    }

    fn heard(plan: TonePlan, country: Country, tone: NetworkTone) -> Vec<EarlyMediaClass> {
        let period = network_tone(country, tone);
        let repeated: Vec<i16> = period.iter().copied().cycle().take(16 * 8_000).collect();
        let mut ears = EarlyMedia::default().by(plan);
        let frames = repeated.chunks_exact(FRAME);
        frames
            .filter_map(|frame| ears.frame(frame.first_chunk().expect("whole")))
            .map(|heard| heard.class)
            .collect()
    }

    #[test]
    fn a_plan_hears_its_own_tones_and_no_others() {
        let plans = [
            (TonePlan::Cn, Country::Cn),
            (TonePlan::Eu, Country::De),
            (TonePlan::Us, Country::Us),
            (TonePlan::Gb, Country::Gb),
        ];
        for (plan, own) in plans {
            for tone in NetworkTone::ALL {
                assert_eq!(heard(plan, own, tone), heard(TonePlan::Any, own, tone), "{plan:?} {tone:?}");
            }
        }
        for (plan, other, tone) in [
            (TonePlan::Cn, Country::Us, NetworkTone::Busy),
            (TonePlan::Cn, Country::De, NetworkTone::Congestion),
            (TonePlan::Cn, Country::Gb, NetworkTone::Ringback),
            (TonePlan::Eu, Country::Cn, NetworkTone::Congestion),
            (TonePlan::Us, Country::Cn, NetworkTone::Busy),
            (TonePlan::Us, Country::De, NetworkTone::Ringback),
            (TonePlan::Gb, Country::Us, NetworkTone::Ringback),
            (TonePlan::Gb, Country::De, NetworkTone::Congestion),
        ] {
            assert_eq!(heard(plan, other, tone), [], "{plan:?} {other:?} {tone:?}");
            assert_ne!(heard(TonePlan::Any, other, tone), []);
        }
        for (plan, other, tone) in [
            (TonePlan::Jp, Country::Us, NetworkTone::Busy),
            (TonePlan::Jp, Country::Br, NetworkTone::Busy),
            (TonePlan::Au, Country::In, NetworkTone::Busy),
            (TonePlan::Au, Country::Br, NetworkTone::Ringback),
            (TonePlan::In, Country::De, NetworkTone::Busy),
            (TonePlan::Es, Country::De, NetworkTone::Busy),
            (TonePlan::Es, Country::Us, NetworkTone::Ringback),
            (TonePlan::Br, Country::Gb, NetworkTone::Ringback),
            (TonePlan::Br, Country::In, NetworkTone::Busy),
        ] {
            assert_eq!(heard(plan, other, tone), [], "{plan:?} {other:?} {tone:?}");
        }
        // Special information tones are the same everywhere.
        assert_eq!(heard(TonePlan::Cn, Country::Us, NetworkTone::Sit).first(), Some(&EarlyMediaClass::Sit));
    }

    #[test]
    fn what_waits_is_quiet_and_does_not_clip() {
        assert!(level_dbm0(&comfort_tone()) < -40.0);
        let tune = hold_tune();
        assert!((-40.0..-20.0).contains(&level_dbm0(&tune)), "{}", level_dbm0(&tune));
        assert!(tune.iter().all(|sample| sample.unsigned_abs() < 12_000));
    }
}
