//! Something like speech, and something like silence, in G.711 µ-law frames of 20 ms.

use media::Codec;
use media::codec::encode;
use sansio::Rng;

/// Samples of a frame.
pub const FRAME: usize = 160;

/// A voice: a loop of speech, a loop of faint noise, and a beep.
#[derive(Clone)]
pub struct Voice {
    speech: Vec<[u8; FRAME]>,
    silence: Vec<[u8; FRAME]>,
    beep: Vec<[u8; FRAME]>,
}

/// What to send in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sound {
    /// Talking.
    Speech,
    /// Listening.
    Silence,
    /// A machine's beep.
    Beep,
}

impl Voice {
    /// A voice of its own pitch.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let pitch = rng.between(95.0, 230.0);
        let rate = 8000.0;
        let mut speech = Vec::new();
        let syllable_s = rng.between(0.18, 0.26);
        for index in 0..100 {
            speech.push(frame(|n| {
                let t = (index * FRAME + n) as f64 / rate;
                let envelope = (std::f64::consts::PI * (t / syllable_s).fract()).sin().powf(0.6);
                let wobble = 1.0 + 0.03 * (std::f64::consts::TAU * 5.0 * t).sin();
                let harmonics: f64 = (1..=14)
                    .map(|k| {
                        let f = pitch * wobble * f64::from(k);
                        let formant = (-((f - 550.0) / 350.0).powi(2)).exp()
                            + 0.5 * (-((f - 1600.0) / 500.0).powi(2)).exp()
                            + 0.05;
                        formant * (std::f64::consts::TAU * pitch * f64::from(k) * t + f64::from(k * k)).sin()
                    })
                    .sum();
                4500.0 * envelope * harmonics
            }));
        }
        let silence = (0..50).map(|_| frame(|_| 12.0 * rng.normal())).collect();
        let beep = (0..50)
            .map(|index| {
                frame(|n| 8000.0 * (std::f64::consts::TAU * 1000.0 * (index * FRAME + n) as f64 / rate).sin())
            })
            .collect();
        Voice { speech, silence, beep }
    }

    /// The frame of this sound at this place in time.
    #[must_use]
    pub fn frame(&self, sound: Sound, index: u64) -> &[u8; FRAME] {
        let frames = match sound {
            Sound::Speech => &self.speech,
            Sound::Silence => &self.silence,
            Sound::Beep => &self.beep,
        };
        &frames[(index % frames.len() as u64) as usize]
    }
}

fn frame(mut sample: impl FnMut(usize) -> f64) -> [u8; FRAME] {
    let linear: [i16; FRAME] = std::array::from_fn(|n| sample(n).clamp(-32_000.0, 32_000.0) as i16);
    let mut coded = [0; FRAME];
    encode(Codec::Pcmu, &linear, &mut coded);
    coded
}

/// Who says what when, after the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// "Hello?", a pause, then turns of talk.
    Human,
    /// A greeting of so many milliseconds, a beep, silence.
    Machine {
        /// Length of the greeting.
        greeting_ms: u64,
    },
    /// Turns of talk from the beginning.
    Agent,
}

impl Script {
    /// What is heard so many milliseconds after the answer.
    #[must_use]
    pub fn sound(self, at_ms: u64) -> Sound {
        let turns = |at_ms: u64, talk: u64, pause: u64| {
            if at_ms % (talk + pause) < talk { Sound::Speech } else { Sound::Silence }
        };
        match self {
            Script::Human => match at_ms {
                0..300 => Sound::Silence,
                300..1000 => Sound::Speech,
                1000..2600 => Sound::Silence,
                _ => turns(at_ms - 2600, 1500, 1300),
            },
            Script::Machine { greeting_ms } => match at_ms {
                0..250 => Sound::Silence,
                _ if at_ms < 250 + greeting_ms => Sound::Speech,
                _ if at_ms < 700 + greeting_ms => Sound::Silence,
                _ if at_ms < 1100 + greeting_ms => Sound::Beep,
                _ => Sound::Silence,
            },
            Script::Agent => turns(at_ms, 1200, 1700),
        }
    }
}
