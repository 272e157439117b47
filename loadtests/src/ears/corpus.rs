//! Who says what is said.

use super::texts::{CHINESE, CROWD, ENGLISH};
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Voices for looking for settings, and voices to measure with: none in both. espeak-ng's are built from formants,
/// those of flite and festival from recordings of people: whole units of speech, joined or modelled.
const VOICES: [[Voice; 9]; 2] = [
    [
        Voice::Espeak("en-us+m1"),
        Voice::Espeak("en-gb-x-rp+f1"),
        Voice::Espeak("en-us+f3"),
        Voice::Espeak("en-gb+m3"),
        Voice::Espeak("en-029+m7"),
        Voice::Espeak("cmn+f1"),
        Voice::Espeak("cmn+m3"),
        Voice::Flite("rms"),
        Voice::Flite("slt"),
    ],
    [
        Voice::Espeak("en-us-nyc+m2"),
        Voice::Espeak("en-gb-scotland+f2"),
        Voice::Espeak("en-gb-x-gbclan+m4"),
        Voice::Espeak("en-us-nyc+f4"),
        Voice::Espeak("en-gb-x-gbcwmd+m6"),
        Voice::Espeak("cmn+m2"),
        Voice::Flite("awb"),
        Voice::Flite("kal16"),
        Voice::Festival("ked_diphone"),
    ],
];

/// One voice of one engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Voice {
    Espeak(&'static str),
    Flite(&'static str),
    Festival(&'static str),
}

/// One thing said by one voice, at 8,000 Hz.
pub struct Speech {
    /// What it is.
    pub kind: Kind,
    /// Loudest sample about half of full scale; no silence at the ends.
    pub samples: Vec<f32>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A person.
    Person,
    /// A person with a long greeting.
    Office,
    /// A machine's greeting.
    Machine,
    /// An assistant that asks who is calling.
    Screening,
}

/// All that is said by one half of the voices.
pub struct Corpus {
    /// Greetings.
    pub speech: Vec<Speech>,
    /// Voices of a crowd; of the other half, so that no voice is before and behind.
    pub crowd: Vec<Vec<f32>>,
}

impl Corpus {
    /// Has the engines say everything.
    ///
    /// * `half` 0 for the training voices, 1 for those to measure with
    ///
    /// # Errors
    /// An engine cannot be run, or says nothing.
    pub fn make(half: usize) -> anyhow::Result<Corpus> {
        let mut speech = Vec::new();
        for (number, voice) in VOICES[half].iter().enumerate() {
            let speed = 145 + 8 * number as u32;
            let texts = if voice.is_chinese() { &CHINESE[half][..] } else { &ENGLISH[half][..] };
            for (kind, texts) in texts {
                for text in *texts {
                    speech.push(Speech { kind: *kind, samples: say(*voice, speed, text)? });
                }
            }
        }
        let crowd = VOICES[1 - half].iter().filter(|voice| !voice.is_chinese()).zip(CROWD);
        let crowd = crowd.map(|(voice, text)| say(*voice, 165, text)).collect::<Result<_, _>>()?;
        Ok(Corpus { speech, crowd })
    }
}

impl Voice {
    fn is_chinese(self) -> bool {
        matches!(self, Voice::Espeak(name) if name.starts_with("cmn"))
    }

    /// The command that writes `text` as WAV to `to`. `speed` in words a minute.
    fn command(self, speed: u32, text: &str, to: &Path) -> Command {
        let mut command;
        match self {
            Voice::Espeak(name) => {
                command = Command::new("espeak-ng");
                command.args(["-v", name, "-s", &speed.to_string(), "-w"]).arg(to).arg(text);
            }
            Voice::Flite(name) => {
                let stretch = f64::from(180) / f64::from(speed);
                command = Command::new("flite");
                command.args(["-voice", name, "--setf", &format!("duration_stretch={stretch:.2}")]);
                command.args(["-t", text, "-o"]).arg(to);
            }
            Voice::Festival(name) => {
                command = Command::new("festival");
                let to = to.display();
                let select = format!("(voice_{name})");
                let speak = format!(
                    "(let ((said (SynthText {text:?}))) (utt.wave.resample said 16000) (utt.save.wave said \"{to}\" 'riff))"
                );
                command.args(["--batch", &select, &speak]);
            }
        }
        command
    }
}

fn say(voice: Voice, speed: u32, text: &str) -> anyhow::Result<Vec<f32>> {
    let to = std::env::temp_dir().join(format!("dialerd-ears-{}.wav", std::process::id()));
    let output = voice
        .command(speed, text, &to)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running the engine of {voice:?} (scripts/setup ears installs it)"))?;
    ensure!(output.status.success(), "{voice:?}: {}", String::from_utf8_lossy(&output.stderr));
    let wav = std::fs::read(&to).with_context(|| format!("what {voice:?} wrote to {}", to.display()))?;
    std::fs::remove_file(&to)?;
    let samples = media::wav::read_prompt(&wav).with_context(|| format!("what {voice:?} wrote"))?;
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    ensure!(peak > 1_000, "{voice:?} said nothing");
    let scale = 16_384.0 / f32::from(peak);
    let loud = |sample: &i16| sample.unsigned_abs() > peak / 50;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    Ok(samples[first..=last].iter().map(|sample| f32::from(*sample) * scale).collect())
}
