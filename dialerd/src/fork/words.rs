//! What is said over a fork's connection: the messages of Twilio Media Streams (JSON with µ-law in base64), or plain
//! samples in binary messages with the same JSON beside them for what is no sound.

use super::rate::{Down, Up};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dialer_core::fork::{ForkConfig, ForkFormat, ForkTracks};
use media::Codec;
use runtime::websocket::{Outgoing, Received};
use serde_json::{Value, json};

/// Characters of a mark's name that are kept.
const MARK_NAME_MAX: usize = 256;
/// Milliseconds of a frame.
const FRAME_MS: u64 = 20;

/// 20 ms of sound.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its place in the fork: 20 ms each.
    pub number: u64,
    pub inbound: Option<Box<[i16]>>,
    pub outbound: Option<Box<[i16]>>,
}

/// What the other side wants.
#[derive(Debug, PartialEq)]
pub enum Wanted {
    /// Play these samples, 8,000 Hz.
    Say(Box<[i16]>),
    Mark(String),
    Clear,
    Stop,
    /// Nothing that is understood: recognisers tell of what they heard over the same connection.
    Nothing,
    Closed(bool),
}

/// One connection's words. Numbers begin anew with each connection.
pub struct Words {
    format: ForkFormat,
    control: bool,
    stream: String,
    call: String,
    config: ForkConfig,
    sequence: u64,
    chunks: [u64; 2],
    up: Option<[Up; 2]>,
    down: Option<Down>,
    /// Half a sample that a binary message ended with.
    half: Option<u8>,
}

impl Words {
    pub fn new(config: &ForkConfig, stream: String, call: String) -> Self {
        let wide = config.sample_rate_hz == 16_000;
        Words {
            format: config.format,
            control: config.format == ForkFormat::Twilio || config.control_messages,
            stream,
            call,
            config: config.clone(),
            sequence: 0,
            chunks: [0; 2],
            up: wide.then(Default::default),
            down: wide.then(Down::default),
            half: None,
        }
    }

    /// What is said first.
    pub fn hello(&mut self) -> Vec<Outgoing> {
        let mut all = Vec::new();
        if self.format == ForkFormat::Twilio {
            let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
            all.push(Outgoing::Text(connected.to_string()));
        }
        let tracks = match self.config.tracks {
            ForkTracks::Inbound => vec!["inbound"],
            ForkTracks::Outbound => vec!["outbound"],
            ForkTracks::Both => vec!["inbound", "outbound"],
        };
        let (encoding, channels) = match self.format {
            ForkFormat::Twilio => ("audio/x-mulaw", 1),
            ForkFormat::L16 => ("audio/l16", tracks.len()),
        };
        let start = json!({
            "streamSid": self.stream, "accountSid": "", "callSid": self.call, "tracks": tracks,
            "customParameters": self.config.parameters,
            "mediaFormat": {
                "encoding": encoding, "sampleRate": self.config.sample_rate_hz, "channels": channels
            },
        });
        all.extend(self.event("start", start));
        all
    }

    /// Sound.
    pub fn sound(&mut self, frame: &Frame) -> Vec<Outgoing> {
        if self.format == ForkFormat::L16 {
            return vec![self.samples(frame)];
        }
        let mut all = Vec::new();
        let tracks = [("inbound", &frame.inbound), ("outbound", &frame.outbound)];
        for (place, (track, samples)) in tracks.into_iter().enumerate() {
            let Some(samples) = samples else { continue };
            self.chunks[place] += 1;
            let mut payload = vec![0; samples.len()];
            media::codec::encode(Codec::Pcmu, samples, &mut payload);
            let media = json!({
                "track": track, "chunk": self.chunks[place].to_string(),
                "timestamp": (frame.number * FRAME_MS).to_string(), "payload": STANDARD.encode(payload),
            });
            all.extend(self.event("media", media));
        }
        all
    }

    pub fn mark(&mut self, name: &str) -> Vec<Outgoing> {
        self.event("mark", json!({ "name": name }))
    }

    pub fn digit(&mut self, digit: char) -> Vec<Outgoing> {
        self.event("dtmf", json!({"track": "inbound_track", "digit": digit.to_string()}))
    }

    /// What is said last.
    pub fn goodbye(&mut self) -> Vec<Outgoing> {
        let call = self.call.clone();
        self.event("stop", json!({"accountSid": "", "callSid": call}))
    }

    fn event(&mut self, name: &str, body: Value) -> Vec<Outgoing> {
        if !self.control {
            return Vec::new();
        }
        self.sequence += 1;
        let mut message = json!({
            "event": name, "sequenceNumber": self.sequence.to_string(), "streamSid": self.stream,
        });
        message[name] = body;
        vec![Outgoing::Text(message.to_string())]
    }

    fn samples(&mut self, frame: &Frame) -> Outgoing {
        let widened = |place: usize, samples: &[i16], up: &mut Option<[Up; 2]>| match up {
            Some(up) => up[place].run(samples),
            None => samples.to_vec(),
        };
        let inbound = frame.inbound.as_deref().map(|samples| widened(0, samples, &mut self.up));
        let outbound = frame.outbound.as_deref().map(|samples| widened(1, samples, &mut self.up));
        let bytes: Vec<u8> = match (inbound, outbound) {
            (Some(left), Some(right)) => {
                let pairs = left.into_iter().zip(right);
                pairs.flat_map(|(left, right)| [left, right]).flat_map(i16::to_le_bytes).collect()
            }
            (one, other) => {
                one.or(other).unwrap_or_default().into_iter().flat_map(i16::to_le_bytes).collect()
            }
        };
        Outgoing::Binary(Bytes::from(bytes))
    }

    /// What came.
    pub fn understand(&mut self, received: Received) -> Wanted {
        match received {
            Received::Closed(orderly) => Wanted::Closed(orderly),
            Received::Binary(bytes) if self.format == ForkFormat::L16 => self.said(&bytes),
            Received::Binary(_) => Wanted::Nothing,
            Received::Text(text) => self.told(&text),
        }
    }

    fn said(&mut self, bytes: &[u8]) -> Wanted {
        let mut all = Vec::with_capacity(bytes.len() + 1);
        all.extend(self.half.take());
        all.extend_from_slice(bytes);
        if all.len() % 2 == 1 {
            self.half = all.pop();
        }
        let samples: Vec<i16> =
            all.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let samples = match &mut self.down {
            Some(down) => down.run(&samples),
            None => samples,
        };
        if samples.is_empty() { Wanted::Nothing } else { Wanted::Say(samples.into()) }
    }

    fn told(&self, text: &str) -> Wanted {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Wanted::Nothing };
        match message["event"].as_str() {
            Some("media") if self.format == ForkFormat::Twilio => {
                let payload = message["media"]["payload"].as_str().map(|payload| STANDARD.decode(payload));
                let Some(Ok(payload)) = payload else { return Wanted::Nothing };
                let mut samples = vec![0; payload.len()];
                media::codec::decode(Codec::Pcmu, &payload, &mut samples);
                if samples.is_empty() { Wanted::Nothing } else { Wanted::Say(samples.into()) }
            }
            Some("mark") => {
                let name = message["mark"]["name"].as_str().unwrap_or_default();
                Wanted::Mark(name.chars().take(MARK_NAME_MAX).collect())
            }
            Some("clear") => Wanted::Clear,
            Some("stop") => Wanted::Stop,
            _ => Wanted::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(format: ForkFormat, sample_rate_hz: u32) -> Words {
        let config = ForkConfig {
            url: "ws://bot".into(),
            format,
            sample_rate_hz,
            speech: dialer_core::fork::ForkSpeech::Instead,
            tracks: ForkTracks::Both,
            control_messages: true,
            parameters: [("lang".to_owned(), "zh".to_owned())].into(),
            authorization: None,
            reconnects_max: 0,
        };
        Words::new(&config, "fork_1".into(), "call_1".into())
    }

    fn json(message: &Outgoing) -> Value {
        let Outgoing::Text(text) = message else { panic!("{message:?} is no text") };
        serde_json::from_str(text).expect("JSON")
    }

    fn frame() -> Frame {
        Frame { number: 3, inbound: Some(vec![1_000; 160].into()), outbound: Some(vec![-1_000; 160].into()) }
    }

    #[test]
    fn twilio_streams_are_spoken() {
        let mut words = words(ForkFormat::Twilio, 8_000);
        let hello: Vec<Value> = words.hello().iter().map(json).collect();
        assert_eq!(hello[0], json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
        assert_eq!(hello[1]["start"]["tracks"], json!(["inbound", "outbound"]));
        assert_eq!(hello[1]["start"]["mediaFormat"]["encoding"], "audio/x-mulaw");
        assert_eq!(hello[1]["start"]["customParameters"]["lang"], "zh");
        let media: Vec<Value> = words.sound(&frame()).iter().map(json).collect();
        assert_eq!(
            (&media[1]["sequenceNumber"], &media[1]["media"]["chunk"], &media[1]["media"]["timestamp"]),
            (&json!("3"), &json!("1"), &json!("60"))
        );
        let payload = STANDARD.decode(media[0]["media"]["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload.len(), 160);
        let echo = json!({"event": "media", "media": {"payload": media[0]["media"]["payload"]}}).to_string();
        let Wanted::Say(samples) = words.understand(Received::Text(echo)) else { panic!("sound was sent") };
        assert!(samples.iter().all(|sample| (960..1_040).contains(sample)), "{samples:?}");
        let mark = r#"{"event":"mark","streamSid":"fork_1","mark":{"name":"a"}}"#;
        assert_eq!(words.understand(Received::Text(mark.into())), Wanted::Mark("a".into()));
        for nothing in
            ["", "[1", "{}", r#"{"event":"media"}"#, r#"{"event":"media","media":{"payload":"?"}}"#]
        {
            assert_eq!(words.understand(Received::Text(nothing.into())), Wanted::Nothing, "{nothing}");
        }
    }

    #[test]
    fn plain_samples_are_interleaved_and_come_back_whole() {
        let mut words = words(ForkFormat::L16, 8_000);
        let Outgoing::Binary(bytes) = &words.sound(&frame())[0] else { panic!("samples are bytes") };
        assert_eq!(bytes.len(), 640);
        assert_eq!(bytes[..4], [0xE8, 0x03, 0x18, 0xFC]);
        let odd = Received::Binary(Bytes::from_static(&[1, 0, 2]));
        assert_eq!(words.understand(odd), Wanted::Say(vec![1].into()));
        let rest = Received::Binary(Bytes::from_static(&[0]));
        assert_eq!(words.understand(rest), Wanted::Say(vec![2].into()));
        assert_eq!(words.understand(Received::Binary(Bytes::new())), Wanted::Nothing);
        let Outgoing::Binary(wide) = &self::words(ForkFormat::L16, 16_000).sound(&frame())[0] else {
            panic!("samples are bytes")
        };
        assert_eq!(wide.len(), 1_280);
    }
}
