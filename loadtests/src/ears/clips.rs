//! What comes over the line: a greeting in a room, through a codec, with packets lost.

use super::corpus::{Corpus, Kind, Speech};
use media::{Codec, codec};
use opus::{Application, Bitrate, Channels, Decoder, Encoder};
use sansio::Rng;
use std::f64::consts::TAU;

/// Samples a second.
const RATE: f64 = 8_000.0;
/// Peak of a sine at 0 dBm0.
const PEAK_AT_0_DBM0: f64 = 22_827.0;

/// A word or two, 0.8 s.
const BRIEF_SAMPLES: usize = 6_400;

/// What is behind the voice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Noise {
    /// A quiet line.
    None,
    /// Hiss.
    White,
    /// A car, a street: noise whose power falls with frequency.
    Low,
    /// A fan with its hum.
    Hum,
    /// Four people talking.
    Crowd,
}

/// All of them, in the order of the tables.
pub(super) const NOISES: [Noise; 5] = [Noise::None, Noise::White, Noise::Low, Noise::Hum, Noise::Crowd];

/// How sound is coded on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// Either law of G.711.
    G711,
    /// Opus at 8,000 Hz and 20,000 bits a second.
    Opus,
}

/// One call from its answer on.
pub(super) struct Clip {
    /// Who answered.
    pub(super) kind: Kind,
    /// What is behind it.
    pub(super) noise: Noise,
    /// When the greeting begins, seconds.
    pub(super) onset_s: f64,
    /// When the beep begins and ends, if there is one.
    pub(super) beep_s: Option<(f64, f64)>,
    /// What is heard.
    pub(super) frames: Vec<[i16; 160]>,
}

/// The pitches voicemail systems beep at, hertz.
const BEEPS_HZ: [f64; 9] = [620.0, 750.0, 850.0, 1000.0, 1100.5, 1250.0, 1400.0, 1780.0, 2000.0];

/// Makes `count` calls to people and machines, half and half, one after the other.
///
/// `varied` says everything faster or slower and longer its pauses: so that little is learned of how these voices pause.
pub(super) fn calls<'a>(
    corpus: &'a Corpus,
    count: usize,
    coding: Coding,
    varied: bool,
    rng: &'a mut Rng,
) -> impl Iterator<Item = Clip> + 'a {
    (0..count).map(move |number| {
        let (person, noise) = (number % 2 == 0, NOISES[(number / 2) % NOISES.len()]);
        call(corpus, person, noise, coding, varied, rng)
    })
}

fn call(corpus: &Corpus, person: bool, noise: Noise, coding: Coding, varied: bool, rng: &mut Rng) -> Clip {
    // One person in eight is an office, one machine in eight an assistant.
    let wanted = match (person, rng.chance(0.125)) {
        (true, true) => Kind::Office,
        (true, false) => Kind::Person,
        (false, true) => Kind::Screening,
        (false, false) => Kind::Machine,
    };
    // Six of ten people at home say a word or two.
    let brief = wanted == Kind::Person && rng.chance(0.6);
    let fits = |speech: &Speech| speech.kind == wanted && (!brief || speech.samples.len() < BRIEF_SAMPLES);
    let choices: Vec<usize> = (0..corpus.speech.len()).filter(|i| fits(&corpus.speech[*i])).collect();
    let speech = &corpus.speech[choices[rng.below(choices.len() as u64) as usize]];
    let said = if varied { vary(&speech.samples, rng) } else { speech.samples.clone() };
    let onset_s = rng.between(0.2, 1.2);
    let mut sound = vec![0.0; (onset_s * RATE) as usize];
    let level = 10_f64.powf(rng.between(-18.0, 0.0) / 20.0);
    let voice = |sample: &f32| f64::from(*sample) * level;
    sound.extend(said.iter().map(voice));
    let mut beep_s = None;
    if person {
        if rng.chance(0.3) {
            pause(&mut sound, rng.between(0.9, 1.4));
            sound.extend(said.iter().map(voice));
        }
    } else if wanted == Kind::Machine {
        pause(&mut sound, rng.between(0.2, 0.9));
        let begin = sound.len() as f64 / RATE;
        let (pitch, length) = (BEEPS_HZ[rng.below(9) as usize], rng.between(0.2, 0.9));
        let loudness = rng.between(-22.0, -8.0);
        tones(&mut sound, &[pitch], length, loudness);
        beep_s = Some((begin, begin + length));
    }
    pause(&mut sound, 5.0);
    let voice_rms = rms(&said.iter().map(voice).collect::<Vec<_>>());
    let snr_db = rng.between(5.0, 25.0);
    add_noise(&mut sound, noise, voice_rms * 10_f64.powf(-snr_db / 20.0), corpus, rng);
    let frames = match coding {
        Coding::G711 => line(&sound, rng),
        Coding::Opus => line_of_opus(&sound, rng),
    };
    Clip { kind: speech.kind, noise, onset_s, beep_s, frames }
}

/// Faster or slower by an eighth at most, every other pause up to 0.4 s longer.
fn vary(samples: &[f32], rng: &mut Rng) -> Vec<f32> {
    /// Quieter than this for so long is a pause (100 ms).
    const QUIET: f32 = 330.0;
    const PAUSE_SAMPLES: usize = 800;
    let speed = rng.between(0.88, 1.12);
    let (mut varied, mut quiet) = (Vec::new(), 0);
    for i in 0..((samples.len() - 1) as f64 / speed) as usize {
        let at = i as f64 * speed;
        let (whole, part) = (at as usize, at.fract() as f32);
        let sample = samples[whole] * (1.0 - part) + samples[(whole + 1).min(samples.len() - 1)] * part;
        let was_pause = quiet == PAUSE_SAMPLES;
        quiet = if sample.abs() < QUIET { quiet + 1 } else { 0 };
        if was_pause && rng.chance(0.5) {
            let more = (rng.between(0.0, 0.4) * RATE) as usize;
            varied.resize(varied.len() + more, 0.0);
        }
        varied.push(sample);
    }
    varied
}

fn pause(sound: &mut Vec<f64>, seconds: f64) {
    sound.resize(sound.len() + (seconds * RATE) as usize, 0.0);
}

fn rms(sound: &[f64]) -> f64 {
    (sound.iter().map(|sample| sample * sample).sum::<f64>() / sound.len().max(1) as f64).sqrt()
}

/// Sines together, each at the level.
pub(super) fn tones(sound: &mut Vec<f64>, frequencies: &[f64], seconds: f64, level_dbm0: f64) {
    let peak = PEAK_AT_0_DBM0 * 10_f64.powf(level_dbm0 / 20.0);
    for i in 0..(seconds * RATE) as usize {
        let sample: f64 = frequencies.iter().map(|f| (TAU * f * i as f64 / RATE).sin()).sum();
        sound.push(sample * peak);
    }
}

fn add_noise(sound: &mut [f64], noise: Noise, level: f64, corpus: &Corpus, rng: &mut Rng) {
    let length = sound.len();
    let mut behind = match noise {
        Noise::None => return,
        Noise::White => (0..length).map(|_| rng.normal()).collect::<Vec<f64>>(),
        Noise::Low => {
            let mut state = 0.0;
            (0..length)
                .map(|_| {
                    state = 0.97 * state + rng.normal();
                    state
                })
                .collect()
        }
        Noise::Hum => (0..length)
            .map(|i| {
                let at = i as f64 / RATE;
                (TAU * 100.0 * at).sin() + 0.5 * (TAU * 200.0 * at).sin() + 0.6 * rng.normal()
            })
            .collect(),
        Noise::Crowd => {
            let mut crowd = vec![0.0; length];
            for voice in &corpus.crowd {
                let start = rng.below(voice.len() as u64) as usize;
                for (i, sample) in crowd.iter_mut().enumerate() {
                    *sample += f64::from(voice[(start + i) % voice.len()]);
                }
            }
            crowd
        }
    };
    let scale = level / rms(&behind).max(1e-9);
    behind.iter_mut().for_each(|sample| *sample *= scale);
    sound.iter_mut().zip(behind).for_each(|(sample, noise)| *sample += noise);
}

/// Through G.711 of either law; in two of ten calls one packet in a hundred is lost, in one of ten three.
pub(super) fn line(sound: &[f64], rng: &mut Rng) -> Vec<[i16; 160]> {
    let law = if rng.chance(0.5) { Codec::Pcma } else { Codec::Pcmu };
    let loss = loss(rng);
    let frame = |chunk: &[f64]| {
        let linear = linear(chunk);
        let (mut encoded, mut decoded) = ([0; 160], [0; 160]);
        codec::encode(law, &linear, &mut encoded);
        codec::decode(law, &encoded, &mut decoded);
        decoded
    };
    let frames = sound.chunks_exact(160).map(frame);
    frames.map(|frame| if rng.chance(loss) { [0; 160] } else { frame }).collect()
}

/// The share of packets that a line loses.
fn loss(rng: &mut Rng) -> f64 {
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.01, 0.03][rng.below(10) as usize]
}

fn linear(chunk: &[f64]) -> [i16; 160] {
    std::array::from_fn(|i| chunk[i].clamp(-32_768.0, 32_767.0) as i16)
}

/// The same through Opus, as a browser sends it. What is lost is silence to who listens.
fn line_of_opus(sound: &[f64], rng: &mut Rng) -> Vec<[i16; 160]> {
    let loss = loss(rng);
    let mut encoder = Encoder::new(8_000, Channels::Mono, Application::Voip).expect("a rate that Opus has");
    encoder.set_bitrate(Bitrate::Bits(20_000)).expect("bits that Opus has");
    let mut decoder = Decoder::new(8_000, Channels::Mono).expect("a rate that Opus has");
    let frame = |chunk: &[f64]| {
        let (mut packet, mut decoded) = ([0; 400], [0; 160]);
        let length = encoder.encode(&linear(chunk), &mut packet).expect("a frame of 20 ms");
        if rng.chance(loss) {
            return decoded;
        }
        decoder.decode(&packet[..length], &mut decoded, false).expect("what was just written");
        decoded
    };
    sound.chunks_exact(160).map(frame).collect()
}

/// White noise at a level.
pub(super) fn hiss(sound: &mut [f64], level_dbm0: f64, rng: &mut Rng) {
    let level = PEAK_AT_0_DBM0 / 2_f64.sqrt() * 10_f64.powf(level_dbm0 / 20.0);
    sound.iter_mut().for_each(|sample| *sample += rng.normal() * level);
}
