//! The sound of a call to a bot over a real WebSocket and back, the whole daemon between real sockets.

use crate::harness::{Place, TOKEN, block_on, until};
use crate::streams::Authority;
use crate::talkers::{Talker, hearing, joined, peak_at};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use media::codec::g711::{ULAW_TO_LINEAR, linear_to_ulaw};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use std::f64::consts::TAU;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const CUSTOMER_HZ: f64 = 500.0;
const AGENT_HZ: f64 = 800.0;
pub const BOT_HZ: f64 = 1_700.0;
/// A tone shows in a frame when its peak is at least so high; each is sent with 3,000.
pub const SHOWS: f64 = 750.0;
/// Frames in a row that show it: a window over two sounds is no proof.
const IN_A_ROW: usize = 5;

pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A bot that someone has connected to.
pub struct Bot(WebSocketStream<Box<dyn Duplex>>);

impl Bot {
    pub async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = within(listener.accept()).await.expect("a connection");
        Self::greet(Box::new(stream)).await
    }

    /// … over TLS.
    async fn accept_secured(listener: &TcpListener, acceptor: &TlsAcceptor) -> Self {
        let (stream, _) = within(listener.accept()).await.expect("a connection");
        Self::greet(Box::new(within(acceptor.accept(stream)).await.expect("it believes us"))).await
    }

    async fn greet(stream: Box<dyn Duplex>) -> Self {
        Bot(within(tokio_tungstenite::accept_async(stream)).await.expect("a handshake"))
    }

    async fn next(&mut self) -> Message {
        within(self.0.next()).await.expect("more comes").expect("a message")
    }

    /// The next message of this kind, and whether it came before anything else.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let Message::Text(text) = self.next().await else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["event"] == name {
                return message;
            }
        }
    }

    pub async fn tell(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("it is sent");
    }

    /// Says a tone for so many frames.
    pub async fn say(&mut self, frames: usize) {
        let tone = (0..160 * frames).map(|n| 3_000.0 * (TAU * BOT_HZ * n as f64 / 8_000.0).sin());
        let sound: Vec<u8> = tone.map(|sample| linear_to_ulaw(sample as i16)).collect();
        self.tell(json!({"event": "media", "media": {"payload": base64(&sound)}})).await;
    }

    /// Waits until a track carries a tone.
    pub async fn hears(&mut self, track: &str, frequency: f64) {
        let mut row = 0;
        while row < IN_A_ROW {
            let message = self.event("media").await;
            if message["media"]["track"] != track {
                continue;
            }
            let sound = unbase64(message["media"]["payload"].as_str().expect("sound"));
            let samples: Vec<i16> = sound.iter().map(|byte| ULAW_TO_LINEAR[usize::from(*byte)]).collect();
            row = if peak_at(&samples, frequency) > SHOWS { row + 1 } else { 0 };
        }
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4 from its text, as a bot's author may write it.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let digit = |byte: &u8| ALPHABET.iter().position(|known| known == byte).expect("base64") as u32;
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | digit(byte)) << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// Asks until each hears the other, and nothing else for most of the time.
async fn hear_each_other(customer: &Talker, agent: &Talker) {
    until("customer and agent hear each other", async || {
        hearing(&[customer, agent]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        hearing(&[customer, agent]) == [vec![1], vec![0]]
    })
    .await;
}

/// A server's TLS, with a certificate of this authority.
fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let (certificate, key, _) = authority.certify(name);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn a_bot_hears_a_call_speaks_to_the_customer_and_breaks_nothing() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let server = format!("{}:5060", place.daemon).parse().unwrap();
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
        let authority = Authority::new(&place, "bots.pem");
        let daemon = place.start_with(&[("SSL_CERT_FILE", &place.folder.path().join("bots.pem"))]).await;
        let api = place.api();
        let customer = Talker::start(at(&place.carrier, 5080), server, None, CUSTOMER_HZ);
        let (agent, call) = joined(&place, AGENT_HZ).await;

        let start = format!("/v1/calls/{call}/fork_start");
        let (status, refused) = api.send("POST", &start, Some(json!({"url": "http://bot"}))).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!("/url")), "{refused}");
        let listener = TcpListener::bind((place.carrier.as_str(), 0)).await.unwrap();
        let url = format!("ws://{}/live?key=secret", listener.local_addr().unwrap());
        let wanted = json!({"url": url, "tracks": "both", "parameters": {"lang": "zh"}});
        let fork = api.post(&start, wanted.clone()).await["fork_id"].as_str().unwrap().to_owned();
        assert_eq!(api.send("POST", &start, Some(wanted)).await.0, 409);
        let mut bot = Bot::accept(&listener).await;
        assert_eq!(bot.event("connected").await["protocol"], "Call");
        let begun = bot.event("start").await;
        assert_eq!((&begun["start"]["callSid"], &begun["streamSid"]), (&json!(call), &json!(fork)));
        assert_eq!(begun["start"]["customParameters"]["lang"], "zh");
        bot.hears("inbound", CUSTOMER_HZ).await;
        bot.hears("outbound", AGENT_HZ).await;

        // What the bot says the customer hears, and then its mark comes back.
        customer.take_heard();
        bot.say(50).await;
        bot.tell(json!({"event": "mark", "mark": {"name": "said"}})).await;
        assert_eq!(bot.event("mark").await["mark"]["name"], "said");
        let mut heard = 0;
        until("the customer hears the bot", async || {
            let frames = customer.take_heard();
            heard += frames.iter().filter(|frame| peak_at(&frame[..], BOT_HZ) > SHOWS).count();
            heard >= 20
        })
        .await;
        // A minute of it taken back: its mark is reached at once, and the agent is heard again.
        bot.say(3_000).await;
        bot.tell(json!({"event": "mark", "mark": {"name": "long"}})).await;
        bot.tell(json!({"event": "clear"})).await;
        assert_eq!(bot.event("mark").await["mark"]["name"], "long");
        hear_each_other(&customer, &agent).await;
        let shown = api.get(&format!("/v1/calls/{call}")).await;
        assert!(!shown["fork"].to_string().contains("secret"), "{shown}");

        // The connection breaks: it is made anew, and this bot reads nothing, which nobody else notices.
        drop(bot);
        let mut bot = Bot::accept(&listener).await;
        hear_each_other(&customer, &agent).await;
        let (base, args) = (api.base.clone(), ["calls", "unfork", &call].map(str::to_owned));
        let output = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dialerd"));
            command.args(["ctl", "--api", &base, "--token", TOKEN]).args(args).output().unwrap()
        })
        .await
        .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("fork_stop accepted"), "{output:?}");
        bot.event("stop").await;
        while !matches!(bot.next().await, Message::Close(_)) {}

        // A server that says it is another is not talked to.
        let secured = format!("wss://{}/live", listener.local_addr().unwrap());
        let wanted = json!({"url": secured, "reconnects_max": 0});
        api.post(&start, wanted).await;
        let (stream, _) = within(listener.accept()).await.expect("a connection");
        assert!(within(acceptor(&authority, "other.example").accept(stream)).await.is_err());
        until("that fork is over", async || api.get(&format!("/v1/calls/{call}")).await["fork"].is_null())
            .await;

        // Plain samples at 16,000 Hz over TLS, until the call is over.
        let wanted = json!({"url": secured, "format": "l16", "sample_rate_hz": 16_000});
        api.post(&start, wanted).await;
        let mut bot = Bot::accept_secured(&listener, &acceptor(&authority, &place.carrier)).await;
        assert_eq!(bot.event("start").await["start"]["mediaFormat"]["sampleRate"], 16_000);
        let mut row = 0;
        while row < IN_A_ROW {
            let Message::Binary(bytes) = bot.next().await else { continue };
            assert_eq!(bytes.len(), 640);
            let samples: Vec<i16> = bytes.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
            row = if peak_at(&samples, CUSTOMER_HZ / 2.0) > SHOWS { row + 1 } else { 0 };
        }
        let tone = (0..16_000).map(|n| 3_000.0 * (TAU * BOT_HZ * f64::from(n) / 16_000.0).sin());
        let sound: Vec<u8> = tone.flat_map(|sample| (sample as i16).to_le_bytes()).collect();
        bot.0.send(Message::Binary(Bytes::from(sound))).await.expect("it is sent");
        let mut heard = 0;
        until("the customer hears the samples", async || {
            let frames = customer.take_heard();
            heard += frames.iter().filter(|frame| peak_at(&frame[..], BOT_HZ) > SHOWS).count();
            heard >= 20
        })
        .await;
        customer.hang_up();
        bot.event("stop").await;
        until("the call is over", async || agent.legs() == 0).await;
        let events = api.events_up_to("call.*", "call.ended").await;
        let told: Vec<String> = events
            .iter()
            .filter(|event| event["type"].as_str().is_some_and(|name| name.starts_with("call.fork")))
            .map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["data"]["cause"]))
            .collect();
        let expected = [
            "call.fork_started null",
            "call.fork_interrupted null",
            "call.fork_ended \"stopped\"",
            "call.fork_ended \"failed\"",
            "call.fork_started null",
            "call.fork_ended \"call_ended\"",
        ];
        assert_eq!(told, expected);
        assert_eq!(events.last().unwrap()["type"], "call.ended");
        drop(daemon);
    });
}
