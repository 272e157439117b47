//! What is said, and by whom.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Voices for looking for settings, and voices to measure with: none in both.
const VOICES: [[&str; 6]; 2] = [
    ["en-us+m1", "en-gb-x-rp+f1", "en-us+f3", "en-gb+m3", "en-029+m7", "cmn+f1"],
    ["en-us-nyc+m2", "en-gb-scotland+f2", "en-gb-x-gbclan+m4", "en-us-nyc+f4", "en-gb-x-gbcwmd+m6", "cmn+m2"],
];

/// What people say when they answer.
const PEOPLE: [&str; 10] = [
    "Hello?",
    "Hello, who is this?",
    "Yes?",
    "Hello, John speaking.",
    "Hi.",
    "Good morning.",
    "Yeah, hello?",
    "This is Mary.",
    "Smith residence.",
    "Hello, can I help you?",
];
/// What offices say: a person, but a long greeting.
const OFFICES: [&str; 4] = [
    "Good morning, Miller and Sons, this is Anna speaking, how can I help you?",
    "Thank you for calling Green Valley Dental, this is Peter.",
    "City library, front desk, good afternoon.",
    "Hello, you have reached accounts, Susan here.",
];
const MACHINES: [&str; 12] = [
    "Hi, you've reached John. I can't come to the phone right now. Please leave a message after the tone.",
    "Hello, this is Mary. I am away from my desk at the moment. Leave your name and number and I will call you back.",
    "The person you are trying to reach is not available. Please leave your message after the tone.",
    "Your call has been forwarded to an automated voice message system. At the tone, please record your message.",
    "Thank you for calling. Our offices are now closed. Our opening hours are nine to five, Monday to Friday.",
    "We are not at home right now. Please leave a message and we will get back to you as soon as we can.",
    "Hey, it's Mike. You know what to do. Leave me a message at the beep, and have a great day.",
    "You have reached the voice mailbox of five five five, one two three four. Please leave a message.",
    "Sorry, I missed your call. Please leave your name, your number and a short message after the tone.",
    "The subscriber you have dialled cannot answer. To leave a message, please speak after the signal.",
    "Hi there, I am either on the other line or out of the office. Please leave a detailed message.",
    "This is the Johnson family. Nobody can take your call just now, so please say something after the beep.",
];
const CHINESE_PEOPLE: [&str; 4] = ["喂?", "喂,你好。", "你好,哪位?", "喂,请问是谁?"];
const CHINESE_MACHINES: [&str; 3] = [
    "您好,您拨打的用户暂时无法接听,请在提示音后留言,谢谢。",
    "您好,我现在不方便接听您的电话,请在嘀声之后留下您的姓名和电话号码,我会尽快回复您。",
    "欢迎致电本公司,现在是下班时间,请在工作日上午九点到下午五点再次来电。",
];
/// What the crowd in the background talks about.
const CROWD: [&str; 4] = [
    "So I told him that the meeting had been moved to Thursday, but he went there on Tuesday all the same, and of \
     course nobody was there, so he called me and asked where everybody was, and I had to laugh.",
    "The weather has been terrible for weeks now, we have hardly seen the sun at all, and the garden is under water, \
     the potatoes are rotting and the neighbour's dog has dug up what was left of the roses.",
    "If you take the second road on the left behind the station you will see a small shop with a green door, and \
     right next to it there is the house we used to live in when the children were small.",
    "And then the price went up again, and again the next month, until we said that this could not go on, and we \
     looked for another supplier, who turned out to be cheaper and much faster as well.",
];

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
}

/// All that is said by one half of the voices.
pub struct Corpus {
    /// Greetings.
    pub speech: Vec<Speech>,
    /// Voices of a crowd; of the other half, so that no voice is before and behind.
    pub crowd: Vec<Vec<f32>>,
}

impl Corpus {
    /// Has espeak-ng say everything.
    ///
    /// * `half` 0 for the training voices, 1 for those to measure with
    ///
    /// # Errors
    /// espeak-ng cannot be run, or says nothing.
    pub fn make(half: usize) -> anyhow::Result<Corpus> {
        let mut speech = Vec::new();
        for (number, voice) in VOICES[half].iter().enumerate() {
            let chinese = voice.starts_with("cmn");
            let speed = 150 + 10 * number as u32;
            let texts: BTreeMap<u8, (Kind, &[&str])> = if chinese {
                [(0, (Kind::Person, &CHINESE_PEOPLE[..])), (1, (Kind::Machine, &CHINESE_MACHINES[..]))].into()
            } else {
                [
                    (0, (Kind::Person, &PEOPLE[..])),
                    (1, (Kind::Office, &OFFICES[..])),
                    (2, (Kind::Machine, &MACHINES[..])),
                ]
                .into()
            };
            for (kind, texts) in texts.into_values() {
                for text in texts {
                    speech.push(Speech { kind, samples: say(voice, speed, text)? });
                }
            }
        }
        let crowd = VOICES[1 - half].iter().filter(|voice| voice.starts_with("en")).zip(CROWD);
        let crowd = crowd.map(|(voice, text)| say(voice, 165, text)).collect::<Result<_, _>>()?;
        Ok(Corpus { speech, crowd })
    }
}

fn say(voice: &str, speed: u32, text: &str) -> anyhow::Result<Vec<f32>> {
    let output = Command::new("espeak-ng")
        .args(["-v", voice, "-s", &speed.to_string(), "--stdout", text])
        .stdin(Stdio::null())
        .output()
        .context("running espeak-ng (scripts/setup ears installs it)")?;
    ensure!(output.status.success(), "espeak-ng: {}", String::from_utf8_lossy(&output.stderr));
    let samples = media::wav::read_prompt(&output.stdout).context("what espeak-ng wrote")?;
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    ensure!(peak > 1_000, "espeak-ng said nothing in the voice {voice}");
    let scale = 16_384.0 / f32::from(peak);
    let loud = |sample: &i16| sample.unsigned_abs() > peak / 50;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    Ok(samples[first..=last].iter().map(|sample| f32::from(*sample) * scale).collect())
}
