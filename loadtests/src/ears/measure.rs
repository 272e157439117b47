//! The detectors run over the clips.

use super::clips::{self, Clip, NOISES, Noise};
use super::corpus::{Corpus, Kind};
use super::report::Rate;
use media::amd::tones::{ToneEar, ToneHeard};
use media::dsp::dtmf::InBand;
use media::early_media::EarlyMedia;
use media::{AmdConfig, AmdVerdict, EarlyMediaClass};
use sansio::{Duration, Rng};

/// All figures of one corpus.
pub struct Figures {
    /// Clips in all, and their length in hours.
    pub clips: (usize, f64),
    /// By noise: people called machines, machines recognised.
    pub by_noise: Vec<(Noise, Rate, Rate)>,
    /// People (offices apart) called machines without a crowd behind them, and with one.
    pub people_as_machines: [Rate; 2],
    /// The same of offices.
    pub offices_as_machines: Rate,
    /// Machines recognised (the rest is unsure or called a person).
    pub machines: Rate,
    /// Machines called people.
    pub machines_as_people: Rate,
    /// Median time from the first word to the verdict, seconds: people, machines.
    pub median_s: [f64; 2],
    /// Longest greeting of a person, seconds; people called machines; machines recognised.
    pub roc: Vec<(f64, Rate, Rate)>,
    /// Beeps found at their place.
    pub beeps: Rate,
    /// Beeps heard where there are none, and in how many hours.
    pub beeps_false: (u64, f64),
    /// Tones of networks named rightly.
    pub tones: Vec<(&'static str, Rate)>,
    /// Clips of speech in which a tone was heard.
    pub speech_as_tone: Rate,
    /// Digits heard in speech, and in how many hours.
    pub digits_false: (u64, f64),
}

/// Runs everything; `seed` names the clips.
#[must_use]
pub fn measure(corpus: &Corpus, count: usize, seed: u64) -> Figures {
    let mut rng = Rng::from_seed(seed);
    let clips = clips::calls(corpus, count, &mut rng);
    let hours = clips.iter().map(|clip| clip.frames.len()).sum::<usize>() as f64 / 50.0 / 3600.0;
    let verdicts: Vec<_> = clips.iter().map(|clip| verdict(clip, &AmdConfig::default())).collect();
    let both = || clips.iter().zip(&verdicts);
    let of = |wanted: &dyn Fn(&Clip) -> bool, verdict: AmdVerdict| {
        let chosen = both().filter(|(clip, _)| wanted(clip));
        Rate::of(chosen.map(|(_, found)| found.0 == verdict))
    };
    let is_person = |clip: &Clip| clip.kind != Kind::Machine;
    let by_noise = NOISES.map(|noise| {
        let people = of(&|clip| is_person(clip) && clip.noise == noise, AmdVerdict::Machine);
        let machines = of(&|clip| !is_person(clip) && clip.noise == noise, AmdVerdict::Machine);
        (noise, people, machines)
    });
    Figures {
        clips: (clips.len(), hours),
        by_noise: by_noise.into(),
        people_as_machines: [
            of(&|clip| clip.kind == Kind::Person && clip.noise != Noise::Crowd, AmdVerdict::Machine),
            of(&|clip| clip.kind == Kind::Person && clip.noise == Noise::Crowd, AmdVerdict::Machine),
        ],
        offices_as_machines: of(&|clip| clip.kind == Kind::Office, AmdVerdict::Machine),
        machines: of(&|clip| !is_person(clip), AmdVerdict::Machine),
        machines_as_people: of(&|clip| !is_person(clip), AmdVerdict::Human),
        median_s: [AmdVerdict::Human, AmdVerdict::Machine].map(|wanted| {
            let right = |kind: Kind| (kind == Kind::Machine) == (wanted == AmdVerdict::Machine);
            let times = both().filter(|(clip, found)| right(clip.kind) && found.0 == wanted);
            median(times.map(|(clip, found)| found.1 - clip.onset_s).collect())
        }),
        roc: roc(&clips),
        beeps: Rate::of(clips.iter().filter_map(|clip| Some(beep_found(clip, clip.beep_s?)))),
        beeps_false: (clips.iter().map(beeps_elsewhere).sum(), hours),
        tones: tones(&mut rng),
        speech_as_tone: Rate::of(clips.iter().map(speech_is_a_tone)),
        digits_false: (clips.iter().map(digits).sum(), hours),
    }
}

/// Verdict, and when, seconds.
fn verdict(clip: &Clip, config: &AmdConfig) -> (AmdVerdict, f64) {
    let mut detector = config.detector();
    let found = clip.frames.iter().enumerate().find_map(|(i, frame)| {
        let judgement = detector.frame(frame)?;
        Some((judgement.verdict, (i + 1) as f64 / 50.0))
    });
    found.unwrap_or((AmdVerdict::Unsure, clip.frames.len() as f64 / 50.0))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The one knob that trades people for machines: how long a greeting must be to be a machine's.
fn roc(clips: &[Clip]) -> Vec<(f64, Rate, Rate)> {
    let settings = [1_000, 1_400, 1_800, 2_000, 2_400, 3_000, 4_000];
    let point = |ms: u64| {
        let config = AmdConfig {
            machine_speech_min: Duration::from_millis(ms),
            human_speech_max: Duration::from_millis(ms - 200),
            ..AmdConfig::default()
        };
        let called = |person: bool| {
            let chosen = clips.iter().filter(|clip| (clip.kind != Kind::Machine) == person);
            Rate::of(chosen.map(|clip| verdict(clip, &config).0 == AmdVerdict::Machine))
        };
        (ms as f64 / 1000.0, called(true), called(false))
    };
    settings.into_iter().map(point).collect()
}

/// When beeps were heard, seconds.
fn beeps(clip: &Clip) -> Vec<f64> {
    let mut ear = ToneEar::default();
    let heard = clip.frames.iter().enumerate().filter(|(_, frame)| ear.frame(frame) == Some(ToneHeard::Beep));
    heard.map(|(i, _)| (i + 1) as f64 / 50.0).collect()
}

fn beep_found(clip: &Clip, (begin, end): (f64, f64)) -> bool {
    beeps(clip).iter().any(|at| (begin..end + 0.3).contains(at))
}

fn beeps_elsewhere(clip: &Clip) -> u64 {
    let in_place = |at: &f64| clip.beep_s.is_some_and(|(begin, end)| (begin..end + 0.3).contains(at));
    beeps(clip).iter().filter(|at| !in_place(at)).count() as u64
}

fn speech_is_a_tone(clip: &Clip) -> bool {
    let mut ears = EarlyMedia::default();
    let heard = clip.frames.iter().filter_map(|frame| ears.frame(frame));
    heard.into_iter().any(|heard| heard.class != EarlyMediaClass::Voice)
}

fn digits(clip: &Clip) -> u64 {
    let mut ears = InBand::default();
    clip.frames.iter().flatten().filter(|sample| ears.sample(**sample).is_some()).count() as u64
}

/// A plan's tone: frequencies, bursts and pauses in seconds, and its class.
type Tone = (&'static str, &'static [f64], &'static [(f64, f64)], EarlyMediaClass);

fn tones(rng: &mut Rng) -> Vec<(&'static str, Rate)> {
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
            (name, Rate::of((0..60).map(|_| tone_is_named(frequencies, pattern, class, rng))))
        })
        .collect();
    rates.push(("SIT", Rate::of((0..60).map(|_| sit_is_named(rng)))));
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
