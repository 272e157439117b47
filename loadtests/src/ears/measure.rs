//! The detectors run over the clips.

use super::announcements::{Announcements, announcements};
use super::assistants::{Assistants, assistants};
use super::clips::{self, Clip, Coding, NOISES, Noise};
use super::corpus::{Corpus, Kind};
use super::report::Rate;
use super::tones::{music_as_tone, tones};
use media::amd::AmdHeard;
use media::amd::greeting::Greeting;
use media::amd::model::machine_log_odds;
use media::amd::tones::{ToneEar, ToneHeard};
use media::dsp::dtmf::InBand;
use media::early_media::EarlyMedia;
use media::{AmdConfig, AmdVerdict, EarlyMediaClass};
use sansio::Rng;
use std::sync::Arc;

/// No longer is a verdict waited for before an agent is joined, seconds.
pub(super) const WAIT_MAX_S: f64 = 5.0;

/// All figures of one corpus.
pub struct Figures {
    /// Clips in all, and their length in hours.
    pub clips: (usize, f64),
    /// By noise: people called machines, machines recognised, beeps found.
    pub by_noise: Vec<(Noise, [Rate; 3])>,
    /// People, offices included, called machines without a crowd behind them, and with one.
    pub people_as_machines: [Rate; 2],
    /// The same of those at home.
    pub homes_as_machines: [Rate; 2],
    /// The same of offices.
    pub offices_as_machines: [Rate; 2],
    /// People not called persons: unsure, and so treated as persons, but late.
    pub people_unsure: Rate,
    /// Machines recognised (the rest is unsure or called a person).
    pub machines: Rate,
    /// Machines called people.
    pub machines_as_people: Rate,
    /// Machines recognised within [`WAIT_MAX_S`] of the answer.
    pub machines_in_time: Rate,
    /// The same over Opus: calls; people called machines, machines recognised, beeps found.
    pub opus: (usize, [Rate; 3]),
    /// Assistants that ask who is calling.
    pub assistants: Assistants,
    /// Assistants that ask who is calling, called machines and called people.
    pub screening: [Rate; 2],
    /// Median time from the first word to the verdict, seconds: people, machines.
    pub median_s: [f64; 2],
    /// Odds that make a machine; people called machines without and with a crowd; machines recognised; their median time.
    pub roc: Vec<(f32, [Rate; 3], f64)>,
    /// Beeps found at their place.
    pub beeps: Rate,
    /// Beeps heard where there are none, and in how many hours.
    pub beeps_false: (u64, f64),
    /// Tones of networks named rightly.
    pub tones: Vec<(&'static str, Rate)>,
    /// Calls that ring with music in which a tone was heard.
    pub music_as_tone: Rate,
    /// Announcements that were taught.
    pub announcements: Announcements,
    /// Clips of speech in which a tone was heard.
    pub speech_as_tone: Rate,
    /// Digits heard in speech, and in how many hours.
    pub digits_false: (u64, f64),
}

/// What came of one clip.
struct Heard {
    kind: Kind,
    noise: Noise,
    onset_s: f64,
    verdict: AmdVerdict,
    at_s: f64,
    looks: Vec<Looked>,
    first_tone_s: Option<f64>,
    beep_found: Option<bool>,
    beeps_false: u64,
    as_tone: bool,
    digits: u64,
    seconds: f64,
}

/// The odds at a look.
struct Looked {
    at_s: f64,
    log_odds: f32,
}

impl Heard {
    fn new(clip: &Clip) -> Heard {
        let (verdict, at_s) = verdict(clip);
        let beeps = beeps(clip);
        let in_place = |at: &f64| clip.beep_s.is_some_and(|(begin, end)| (begin..end + 0.3).contains(at));
        Heard {
            kind: clip.kind,
            noise: clip.noise,
            onset_s: clip.onset_s,
            verdict,
            at_s,
            looks: looks(clip, &AmdConfig::default()),
            first_tone_s: beeps.first().copied(),
            beep_found: clip.beep_s.map(|_| beeps.iter().any(in_place)),
            beeps_false: beeps.iter().filter(|at| !in_place(at)).count() as u64,
            as_tone: speech_is_a_tone(clip),
            digits: digits(clip),
            seconds: clip.frames.len() as f64 / 50.0,
        }
    }

    fn is_person(&self) -> bool {
        matches!(self.kind, Kind::Person | Kind::Office)
    }

    /// Verdict and time under other odds than the default's.
    fn verdict_at(&self, machine_min: f32, human_min: f32) -> (AmdVerdict, f64) {
        let look = self.looks.iter().find(|look| look.log_odds >= machine_min || -look.log_odds >= human_min);
        let by_tone = self.first_tone_s.filter(|at| *at <= 8.0 && look.is_none_or(|look| *at <= look.at_s));
        match (by_tone, look) {
            (Some(at), _) => (AmdVerdict::Machine, at),
            (None, Some(look)) if look.log_odds >= machine_min => (AmdVerdict::Machine, look.at_s),
            (None, Some(look)) => (AmdVerdict::Human, look.at_s),
            (None, None) => (AmdVerdict::Unsure, 8.0),
        }
    }
}

/// Runs everything; `seed` names the clips.
#[must_use]
pub fn measure(corpus: &Corpus, count: usize, seed: u64) -> Figures {
    let mut rng = Rng::from_seed(seed);
    let all: Vec<Heard> =
        clips::calls(corpus, count, Coding::G711, false, &mut rng).map(|clip| Heard::new(&clip)).collect();
    let hours = all.iter().map(|heard| heard.seconds).sum::<f64>() / 3600.0;
    let of = |wanted: &dyn Fn(&Heard) -> bool, verdict: AmdVerdict| {
        Rate::of(all.iter().filter(|heard| wanted(heard)).map(|heard| heard.verdict == verdict))
    };
    let as_machines = |wanted: &dyn Fn(&Heard) -> bool| {
        [false, true].map(|crowd| {
            of(&|heard| wanted(heard) && (heard.noise == Noise::Crowd) == crowd, AmdVerdict::Machine)
        })
    };
    let is_machine = |heard: &Heard| heard.kind == Kind::Machine;
    let by_noise = NOISES.map(|noise| {
        let people = of(&|heard| heard.is_person() && heard.noise == noise, AmdVerdict::Machine);
        let machines = of(&|heard| is_machine(heard) && heard.noise == noise, AmdVerdict::Machine);
        let beeps = all.iter().filter(|heard| heard.noise == noise).filter_map(|heard| heard.beep_found);
        (noise, [people, machines, Rate::of(beeps)])
    });
    Figures {
        clips: (all.len(), hours),
        by_noise: by_noise.into(),
        people_as_machines: as_machines(&Heard::is_person),
        homes_as_machines: as_machines(&|heard| heard.kind == Kind::Person),
        offices_as_machines: as_machines(&|heard| heard.kind == Kind::Office),
        people_unsure: of(&Heard::is_person, AmdVerdict::Unsure),
        machines: of(&is_machine, AmdVerdict::Machine),
        machines_as_people: of(&is_machine, AmdVerdict::Human),
        machines_in_time: Rate::of(
            all.iter()
                .filter(|heard| is_machine(heard))
                .map(|heard| heard.verdict == AmdVerdict::Machine && heard.at_s <= WAIT_MAX_S),
        ),
        opus: over_opus(corpus, count / 4, &mut rng),
        assistants: assistants(corpus, count, &mut rng),
        screening: [AmdVerdict::Machine, AmdVerdict::Human]
            .map(|verdict| of(&|heard| heard.kind == Kind::Screening, verdict)),
        median_s: [
            median(
                all.iter()
                    .filter(|heard| heard.is_person())
                    .map(|heard| heard.at_s - heard.onset_s)
                    .collect(),
            ),
            median(
                all.iter()
                    .filter(|heard| is_machine(heard))
                    .map(|heard| heard.at_s - heard.onset_s)
                    .collect(),
            ),
        ],
        roc: roc(&all),
        beeps: Rate::of(all.iter().filter_map(|heard| heard.beep_found)),
        beeps_false: (all.iter().map(|heard| heard.beeps_false).sum(), hours),
        tones: tones(&mut rng),
        music_as_tone: music_as_tone(&mut rng),
        announcements: announcements(corpus, &mut rng),
        speech_as_tone: Rate::of(all.iter().map(|heard| heard.as_tone)),
        digits_false: (all.iter().map(|heard| heard.digits).sum(), hours),
    }
}

fn over_opus(corpus: &Corpus, count: usize, rng: &mut Rng) -> (usize, [Rate; 3]) {
    let calls = clips::calls(corpus, count, Coding::Opus, false, rng);
    let all: Vec<Heard> = calls.map(|clip| Heard::new(&clip)).collect();
    let machine = |heard: &Heard| heard.verdict == AmdVerdict::Machine;
    let rates = [
        Rate::of(all.iter().filter(|heard| heard.is_person()).map(machine)),
        Rate::of(all.iter().filter(|heard| heard.kind == Kind::Machine).map(machine)),
        Rate::of(all.iter().filter_map(|heard| heard.beep_found)),
    ];
    (all.len(), rates)
}

/// Verdict, and when, seconds.
fn verdict(clip: &Clip) -> (AmdVerdict, f64) {
    let mut detector = AmdConfig::default().detector(&Arc::default());
    let found = clip.frames.iter().enumerate().find_map(|(i, frame)| match detector.frame(frame)? {
        AmdHeard::Verdict(judgement) => Some((judgement.verdict, (i + 1) as f64 / 50.0)),
        AmdHeard::Turn(_) => None,
    });
    found.unwrap_or((AmdVerdict::Unsure, clip.frames.len() as f64 / 50.0))
}

/// What a detector with this configuration looks at, and the odds.
fn looks(clip: &Clip, config: &AmdConfig) -> Vec<Looked> {
    let mut greeting = Greeting::new(config.voice_level_min_dbm0);
    let speech_min = (config.speech_min.as_millis() / 20) as usize;
    let frames = clip.frames.iter().take((config.listen_max.as_millis() / 20) as usize).enumerate();
    let looks = frames.filter_map(|(i, frame)| Some((i, greeting.frame(frame)?)));
    looks
        .filter(|(_, look)| look.since_onset >= speech_min)
        .map(|(i, look)| Looked { at_s: (i + 1) as f64 / 50.0, log_odds: machine_log_odds(&look.features) })
        .collect()
}

/// The odds that make a machine, from low to high.
fn roc(all: &[Heard]) -> Vec<(f32, [Rate; 3], f64)> {
    let human_min = AmdConfig::default().human_log_odds_min;
    let point = |machine_min: f32| {
        let called = |wanted: &dyn Fn(&Heard) -> bool| {
            let chosen = all.iter().filter(|heard| wanted(heard));
            Rate::of(chosen.map(|heard| heard.verdict_at(machine_min, human_min).0 == AmdVerdict::Machine))
        };
        let machines = all.iter().filter(|heard| heard.kind == Kind::Machine);
        let times = machines.map(|heard| heard.verdict_at(machine_min, human_min).1 - heard.onset_s);
        let rates = [
            called(&|heard| heard.is_person() && heard.noise != Noise::Crowd),
            called(&|heard| heard.is_person() && heard.noise == Noise::Crowd),
            called(&|heard| heard.kind == Kind::Machine),
        ];
        (machine_min, rates, median(times.collect()))
    };
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0].map(point).into()
}

/// Settings against each other, in the terminal: for choosing on the training voices.
pub fn print_settings(corpus: &Corpus, count: usize, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let all: Vec<Heard> =
        clips::calls(corpus, count, Coding::G711, true, &mut rng).map(|clip| Heard::new(&clip)).collect();
    println!(
        "machine human: people as machines, with a crowd; machines; median of people, of machines; unsure"
    );
    for machine_min in [2.5_f32, 3.0, 3.5, 4.0, 4.5] {
        for human_min in [2.5_f32, 3.0, 3.5, 4.0] {
            let found = |heard: &Heard| heard.verdict_at(machine_min, human_min);
            let share = |wanted: &dyn Fn(&Heard) -> bool, verdict: AmdVerdict| {
                let chosen = all.iter().filter(|heard| wanted(heard));
                100.0 * Rate::of(chosen.map(|heard| found(heard).0 == verdict)).share()
            };
            let time = |wanted: &dyn Fn(&Heard) -> bool| {
                let chosen = all.iter().filter(|heard| wanted(heard));
                median(chosen.map(|heard| found(heard).1 - heard.onset_s).collect())
            };
            println!(
                "{machine_min} {human_min}: {:.1} {:.1}; {:.1}; {:.2} {:.2}; {:.1}",
                share(&|heard| heard.is_person() && heard.noise != Noise::Crowd, AmdVerdict::Machine),
                share(&|heard| heard.is_person() && heard.noise == Noise::Crowd, AmdVerdict::Machine),
                share(&|heard| heard.kind == Kind::Machine, AmdVerdict::Machine),
                time(&Heard::is_person),
                time(&|heard| heard.kind == Kind::Machine),
                share(&Heard::is_person, AmdVerdict::Unsure),
            );
        }
    }
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// When beeps were heard, seconds.
fn beeps(clip: &Clip) -> Vec<f64> {
    let mut ear = ToneEar::default();
    let heard = clip.frames.iter().enumerate().filter(|(_, frame)| ear.frame(frame) == Some(ToneHeard::Beep));
    heard.map(|(i, _)| (i + 1) as f64 / 50.0).collect()
}

fn speech_is_a_tone(clip: &Clip) -> bool {
    let mut ears = EarlyMedia::default();
    let heard = clip.frames.iter().filter_map(|frame| ears.frame(frame));
    heard.into_iter().any(|heard| heard.class != EarlyMediaClass::Voice)
}

fn digits(clip: &Clip) -> u64 {
    let mut ears = InBand::default();
    clip.frames.iter().filter(|frame| ears.hear(&frame[..], |sample| sample).is_some()).count() as u64
}
