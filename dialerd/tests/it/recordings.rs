//! Recordings over the API, the whole daemon between real sockets: paused, sealed, cut off by `kill -9`, listened to.

use crate::api::Api;
use crate::harness::{Daemon, Place, block_on, until};
use crate::talkers::{Talker, peak_at};
use serde_json::{Value, json};
use std::time::Duration;

const CUSTOMER_HZ: f64 = 500.0;
const AGENT_HZ: f64 = 800.0;
const PROMPT_HZ: f64 = 1_500.0;

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

struct Scene {
    api: Api,
    customer: Talker,
    _agent: Talker,
    trunk: String,
    ada: String,
}

impl Scene {
    async fn make(place: &Place) -> Scene {
        let server = format!("{}:5060", place.daemon).parse().unwrap();
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
        let api = place.api();
        let customer = Talker::start(at(&place.carrier, 5080), server, None, CUSTOMER_HZ);
        let ada = id(&api
            .post("/v1/agents", json!({"name": "ada", "username": "ada", "password": "secret-of-it"}))
            .await);
        let agent = Talker::start(at(&place.phones, 5070), server, Some(("ada", "secret-of-it")), AGENT_HZ);
        let trunk = json!({"name": "carrier", "address": format!("{}:5080", place.carrier),
            "cps_max": 50.0, "options_interval_ms": 0});
        let trunk = id(&api.post("/v1/trunks", trunk).await);
        Scene { api, customer, _agent: agent, trunk, ada }
    }

    /// A call that is recorded, and both sides talk.
    async fn call(&self) -> String {
        let Scene { api, trunk, ada, .. } = self;
        until("the agent's phone is registered", async || {
            api.get(&format!("/v1/agents/{ada}")).await["registered"] == true
        })
        .await;
        api.send("POST", &format!("/v1/agents/{ada}:login"), Some(json!({"session": "on_demand"}))).await;
        api.send("POST", &format!("/v1/agents/{ada}:ready"), None).await;
        let call = json!({"agent_id": ada, "to": "+12025550100", "trunk_id": trunk, "record": {"channels": "stereo"}});
        let call = id(&api.post("/v1/calls", call).await);
        until("it is recorded", async || {
            api.get(&format!("/v1/calls/{call}")).await["recording"]["paused"] == false
        })
        .await;
        call
    }

    async fn listed(&self, count: usize) -> Vec<Value> {
        until("the recording is listed", async || {
            self.api.all("/v1/recordings?limit=10").await.len() == count
        })
        .await;
        self.api.all("/v1/recordings?limit=10").await
    }

    async fn record(&self, call: &str) -> Value {
        let all = self.api.all("/v1/cdrs?limit=10").await;
        all.into_iter().find(|record| record["call_id"] == call).expect("its record is there")
    }

    /// The frames of a recording, listened to.
    async fn sound(&self, recording: &Value) -> Vec<[i16; 2]> {
        let path = format!("/v1/recordings/{}/listen", recording["id"].as_str().unwrap());
        let (status, bytes) = self.api.bytes(&path).await;
        assert_eq!(status, 200);
        assert_eq!(&bytes[..4], b"RIFF");
        assert_eq!(json!(bytes.len()), recording["bytes"]);
        let told = u32::from_le_bytes(bytes[40..44].try_into().unwrap());
        assert_eq!(told as usize, bytes.len() - 44, "the header says what is there");
        let side = |frame: &[u8], at| i16::from_le_bytes([frame[at], frame[at + 1]]);
        bytes[44..].chunks_exact(4).map(|frame| [side(frame, 0), side(frame, 2)]).collect()
    }
}

/// The 20 ms in which a tone is heard in a channel.
fn with(sound: &[[i16; 2]], channel: usize, frequency: f64) -> Vec<bool> {
    let heard = |frame: &[[i16; 2]]| {
        let samples: Vec<i16> = frame.iter().map(|both| both[channel]).collect();
        peak_at(&samples, frequency) > 1_000.0
    };
    sound.chunks_exact(160).map(heard).collect()
}

fn keys(place: &Place, digits: &[&str]) {
    let keys: Vec<String> = digits.iter().map(|digit| format!("\"{}\"", digit.repeat(64))).collect();
    let text = std::fs::read_to_string(place.config_file()).unwrap_or_default();
    let text =
        text.lines().filter(|line| !line.starts_with("recordings_keys")).collect::<Vec<_>>().join("\n");
    let text = text.replace("[media]\n", &format!("[media]\nrecordings_keys = [{}]\n", keys.join(", ")));
    std::fs::write(place.config_file(), text).unwrap();
}

#[test]
fn a_sealed_recording_is_paused_and_another_outlives_a_kill() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        keys(&place, &["1"]);
        let daemon = place.start().await;
        let scene = Scene::make(&place).await;
        paused(&scene, &place).await;
        let daemon = cut_off(&scene, &place, daemon).await;
        deleted(&scene).await;
        let path = format!("/v1/recordings/{}/listen", id(&scene.listed(2).await[0]));
        drop(daemon);
        // Another key than the one it was sealed with, then the old one behind the new one.
        keys(&place, &["2"]);
        let daemon = place.start().await;
        let (status, problem) = scene.api.send("GET", &path, None).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("conflict")), "{problem}");
        drop(daemon);
        keys(&place, &["2", "1"]);
        let text = std::fs::read_to_string(place.config_file()).unwrap();
        let text = text.replace("[media]\n", "[media]\nrecordings_format = \"ogg\"\n");
        std::fs::write(place.config_file(), text).unwrap();
        let _daemon = place.start().await;
        assert_eq!(scene.api.bytes(&path).await.0, 200);
        in_opus(&scene).await;
    });
}

/// Two seconds of a tone, as a prompt.
fn tone() -> Vec<u8> {
    let sample =
        |i: u32| (8_000.0 * (std::f64::consts::TAU * PROMPT_HZ * f64::from(i) / 8_000.0).sin()) as i16;
    media::wav::mono(&(0..16_000).map(sample).collect::<Vec<_>>())
}

/// A prompt is put there and is played to a call that was up before.
async fn prompted(scene: &Scene, call: &str) {
    let api = &scene.api;
    let mut lies = tone();
    lies[40..44].copy_from_slice(&100_000_u32.to_le_bytes());
    let (status, problem) = api.put("/v1/prompts/tone", "audio/wav", lies).await;
    assert!(
        status == 400 && problem["errors"][0]["detail"].as_str().unwrap().contains("100000"),
        "{problem}"
    );
    assert_eq!(api.put("/v1/prompts/tone", "audio/mpeg", tone()).await.0, 415);
    assert_eq!(api.put("/v1/prompts/to.ne", "audio/wav", tone()).await.0, 400);
    let (status, made) = api.put("/v1/prompts/tone", "audio/wav", tone()).await;
    assert_eq!(
        (status, &made["duration_ms"], &made["source"]),
        (201, &json!(2_000), &json!("sound")),
        "{made}"
    );
    assert_eq!(api.bytes("/v1/prompts/tone/listen").await, (200, tone()));
    assert!(api.all("/v1/prompts?limit=7").await.iter().any(|prompt| prompt["name"] == "tone"));
    scene.customer.take_heard();
    api.post(&format!("/v1/calls/{call}/play"), json!({"prompt": "tone"})).await;
    until("the customer hears it", async || {
        scene.customer.take_heard().iter().any(|frame| peak_at(&frame[..], PROMPT_HZ) > 4_000.0)
    })
    .await;
}

/// A recording in Opus is as long as the others, and the voices are in it.
async fn in_opus(scene: &Scene) {
    scene.call().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.customer.hang_up();
    let recording = &scene.listed(3).await[0];
    assert_eq!(recording["format"], "ogg", "{recording}");
    let path = format!("/v1/recordings/{}/listen", recording["id"].as_str().unwrap());
    let (status, bytes) = scene.api.bytes(&path).await;
    assert_eq!((status, json!(bytes.len())), (200, recording["bytes"].clone()));
    let sound = media::ogg::read_prompt(&bytes).unwrap();
    assert_eq!(json!(sound.len() / 8), recording["duration_ms"]);
    let heard = |hertz| sound.chunks_exact(160).filter(|frame| peak_at(frame, hertz) > 500.0).count();
    assert!(heard(CUSTOMER_HZ) > 10 && heard(AGENT_HZ) > 10, "{} {}", heard(CUSTOMER_HZ), heard(AGENT_HZ));
}

async fn deleted(scene: &Scene) {
    let api = &scene.api;
    assert_eq!(api.get("/v1/prompts/tone").await["duration_ms"], 2_000, "it has outlived the kill");
    let list = id(&api.post("/v1/lists", json!({"name": "leads"})).await);
    let campaign = json!({"name": "message", "mode": "agentless", "lists": [list], "trunks": [scene.trunk],
        "on_answer": {"play": "tone"}, "concurrency": {"kind": "dynamic", "lines": 1}});
    let campaign = id(&api.post("/v1/campaigns", campaign).await);
    let delete = async |path: &str| api.send("DELETE", path, None).await.0;
    assert_eq!(delete("/v1/prompts/tone").await, 409, "a campaign plays it");
    assert_eq!(delete("/v1/prompts/busy_us").await, 409, "it is built in");
    assert_eq!(delete(&format!("/v1/campaigns/{campaign}")).await, 204);
    assert_eq!((delete("/v1/prompts/tone").await, delete("/v1/prompts/tone").await), (204, 404));
}

async fn paused(scene: &Scene, place: &Place) {
    let api = &scene.api;
    let call = scene.call().await;
    let verb = async |verb: &str, body: Value| {
        api.send("POST", &format!("/v1/calls/{call}/{verb}"), Some(body)).await
    };
    assert_eq!(verb("record", json!({})).await.0, 409, "it is recorded already");
    assert_eq!(verb("record_pause", json!({"pause_behavior": "beep"})).await.0, 400);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, accepted) = verb("record_pause", json!({})).await;
    assert_eq!(status, 202, "{accepted}");
    assert_eq!(api.get(&format!("/v1/calls/{call}")).await["recording"]["paused"], true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(verb("record_resume", json!({})).await.0, 202);
    tokio::time::sleep(Duration::from_millis(300)).await;
    prompted(scene, &call).await;
    scene.customer.hang_up();
    let recording = &scene.listed(1).await[0];
    assert_eq!((&recording["id"], &recording["cut_off"]), (&accepted["recording_id"], &json!(false)));
    let sound = scene.sound(recording).await;
    let (duration, paused) =
        (recording["duration_ms"].as_u64().unwrap(), recording["paused_ms"].as_u64().unwrap());
    assert_eq!(sound.len() as u64 / 8, duration);
    let record = scene.record(&call).await;
    assert!(record["talk_ms"].as_u64().unwrap().abs_diff(duration) <= 40, "{record} {recording}");
    assert!(paused >= 500 && duration > paused + 700, "{recording}");
    for (channel, frequency) in [(0, CUSTOMER_HZ), (1, AGENT_HZ)] {
        let heard = with(&sound, channel, frequency);
        let silent = heard.iter().filter(|heard| !**heard).count() as u64 * 20;
        // A prompt is on the agent's side while the customer hears it, and the agent is not.
        let most = paused + if channel == 0 { 500 } else { 2_600 };
        assert!(silent >= paused.saturating_sub(40) && silent < most, "{silent} of {paused}");
        let quiet = sound.iter().filter(|frame| frame[channel] == 0).count() as u64 / 8;
        assert!(quiet + 40 >= paused, "not a sample of the pause is kept: {quiet} of {paused}");
    }
    let file = std::fs::read_dir(place.folder.path().join("data/recordings"));
    let day = file.unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    assert_eq!(&std::fs::read(file).unwrap()[..8], b"DLRSEAL1", "nothing plain is on the disk");
    let acts: Vec<Value> = api.all("/v1/audit?limit=100").await;
    for action in ["recording.paused", "recording.resumed"] {
        assert!(acts.iter().any(|entry| entry["action"] == action), "{action}");
    }
}

async fn cut_off(scene: &Scene, place: &Place, daemon: Daemon) -> Daemon {
    let call = scene.call().await;
    let answered = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let (status, accepted) =
        scene.api.send("POST", &format!("/v1/calls/{call}/record_pause"), Some(json!({}))).await;
    assert_eq!(status, 202, "{accepted}");
    let talked = answered.elapsed().as_millis() as u64;
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    daemon.kill();
    let ran = answered.elapsed().as_millis() as u64;
    let daemon = place.start().await;
    let recording = &scene.listed(2).await[0];
    assert_eq!((&recording["call_id"], &recording["cut_off"]), (&json!(call), &json!(true)), "{recording}");
    let duration = recording["duration_ms"].as_u64().unwrap();
    assert!(duration + 1_000 >= ran, "all but the last second: {duration} of {ran} ms");
    let sound = scene.sound(recording).await;
    assert_eq!(sound.len() as u64 / 8, duration);
    let heard = with(&sound, 0, CUSTOMER_HZ);
    // It was paused to the end of what there is.
    let paused = recording["paused_ms"].as_u64().unwrap();
    assert!(paused >= 500 && paused + talked + 500 >= duration && paused < duration, "{recording} {talked}");
    let heard = heard.iter().filter(|heard| **heard).count() as u64 * 20;
    assert!(heard + 500 + paused > duration, "{heard} of {duration}, {paused} paused");
    let record = scene.record(&call).await;
    assert_eq!(record["recording_id"], recording["id"]);
    daemon
}
