//! Learns the weights of `media::amd::model` from the training voices.

use super::clips::{self, Coding};
use super::corpus::{Corpus, Kind};
use core::fmt::Write;
use media::amd::greeting::{FEATURES, Greeting};
use media::amd::model::UNIT;
use sansio::Rng;

const HIDDEN: usize = 16;
const WEIGHTS: usize = HIDDEN * (FEATURES + 1) + HIDDEN + 1;
/// Looks later than this after the first word, in frames, teach nothing.
const LATEST_FRAMES: usize = 400;
/// Looks at once, for one step downhill.
const BATCH: usize = 256;
const EPOCHS: usize = 30;
/// Weights are pulled towards zero by so much of themselves.
const DECAY: f32 = 1e-5;

/// One look at a greeting, and what it was.
struct Example {
    features: [f32; FEATURES],
    machine: f32,
    weight: f32,
}

/// Learns from `count` calls; gives the Rust source of the weights.
#[must_use]
pub fn fit(corpus: &Corpus, count: usize, seed: u64) -> String {
    let mut rng = Rng::from_seed(seed);
    let mut examples = Vec::new();
    for clip in clips::calls(corpus, count, Coding::G711, true, &mut rng) {
        let machine = matches!(clip.kind, Kind::Machine | Kind::Screening);
        // Offices are few, and are to be spared as much as people at home.
        let weight = if clip.kind == Kind::Office { 2.0 } else { 1.0 };
        let mut greeting = Greeting::new(-48.0);
        // What follows a beep teaches nothing: the beep has told already.
        let end = clip.beep_s.map_or(clip.frames.len(), |(begin, _)| (begin * 50.0) as usize);
        let looks =
            clip.frames[..end.min(clip.frames.len())].iter().filter_map(|frame| greeting.frame(frame));
        let looks = looks.filter(|look| look.since_onset < LATEST_FRAMES);
        examples.extend(looks.map(|look| Example {
            features: look.features,
            machine: f32::from(u8::from(machine)),
            weight: weight * if look.since_onset < 120 { 2.0 } else { 1.0 },
        }));
    }
    source(&descend(&examples, &mut rng))
}

/// Adam (Kingma and Ba 2015) on the cross entropy.
fn descend(examples: &[Example], rng: &mut Rng) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..WEIGHTS).map(|_| rng.normal() as f32 * 0.35).collect();
    let (mut first, mut second) = (vec![0.0_f32; WEIGHTS], vec![0.0_f32; WEIGHTS]);
    let steps = EPOCHS * examples.len() / BATCH;
    let (mut decay_first, mut decay_second) = (1.0_f32, 1.0_f32);
    for step in 0..steps {
        let mut slope = vec![0.0_f32; WEIGHTS];
        for _ in 0..BATCH {
            let example = &examples[rng.below(examples.len() as u64) as usize];
            add_slope(&weights, example, &mut slope);
        }
        let pace = 0.004 * (1.0 - step as f32 / steps as f32);
        decay_first *= 0.9;
        decay_second *= 0.999;
        for i in 0..WEIGHTS {
            let slope = slope[i] / BATCH as f32 + DECAY * weights[i];
            first[i] = 0.9 * first[i] + 0.1 * slope;
            second[i] = 0.999 * second[i] + 0.001 * slope * slope;
            let (mean, square) = (first[i] / (1.0 - decay_first), second[i] / (1.0 - decay_second));
            weights[i] -= pace * mean / (square.sqrt() + 1e-8);
        }
    }
    weights
}

fn add_slope(weights: &[f32], example: &Example, slope: &mut [f32]) {
    let (hidden, answer) = weights.split_at(HIDDEN * (FEATURES + 1));
    let units: [f32; HIDDEN] = std::array::from_fn(|unit| {
        let row = &hidden[unit * (FEATURES + 1)..][..=FEATURES];
        row.iter().zip(example.features).fold(row[FEATURES], |sum, (weight, feature)| sum + weight * feature)
    });
    let odds =
        units.iter().zip(answer).fold(answer[HIDDEN], |sum, (unit, weight)| sum + unit.max(0.0) * weight);
    let off = example.weight * (1.0 / (1.0 + (-odds).exp()) - example.machine);
    let (hidden_slope, answer_slope) = slope.split_at_mut(HIDDEN * (FEATURES + 1));
    answer_slope[HIDDEN] += off;
    for unit in (0..HIDDEN).filter(|unit| units[*unit] > 0.0) {
        answer_slope[unit] += off * units[unit];
        let back = off * answer[unit];
        let row = &mut hidden_slope[unit * (FEATURES + 1)..][..=FEATURES];
        row.iter_mut().zip(example.features).for_each(|(slope, feature)| *slope += back * feature);
        row[FEATURES] += back;
    }
}

fn source(weights: &[f32]) -> String {
    let whole = |weight: &f32| ((weight * UNIT).round() as i16).to_string();
    let row = |weights: &[f32]| weights.iter().map(whole).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "//! What was learned. Made by `cargo run -p loadtests --bin ears -- --fit --calls 3000 --seed 100`; not to be edited by hand.\n\n\
         use super::greeting::FEATURES;\n\n\
         /// Units of the hidden layer.\npub(super) const HIDDEN: usize = {HIDDEN};\n\
         /// Of each unit: a weight for each feature, and its bias.\n#[rustfmt::skip]\n\
         pub(super) static HIDDEN_WEIGHTS: [[i16; FEATURES + 1]; HIDDEN] = [\n"
    );
    let (hidden, answer) = weights.split_at(HIDDEN * (FEATURES + 1));
    for unit in hidden.chunks(FEATURES + 1) {
        writeln!(text, "    [{}],", row(unit)).expect("text grows");
    }
    let answer = row(answer);
    text + &format!(
        "];\n/// Of the answer: a weight for each unit, and its bias.\n#[rustfmt::skip]\n\
         pub(super) static ANSWER_WEIGHTS: [i16; HIDDEN + 1] = [{answer}];\n"
    )
}
