//! Calls that pass through from trunk to trunk, recorded and forked over the API, the whole daemon between real sockets.

use crate::api::Api;
use crate::forks::{BOT_HZ, Bot, SHOWS, within};
use crate::harness::{Place, block_on, until};
use crate::talkers::{Talker, Way, peak_at};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CALLER_HZ: f64 = 500.0;
const CALLEE_HZ: f64 = 800.0;
/// Frames of a tone that have gone by before something is done with a recording.
const FRAMES: usize = 20;

/// Routes by their first digit: 7 is relayed, 8 also recorded, 9 goes past us.
fn configure(place: &Place, media: &str) {
    place.configure(&format!(
        "[[trunk]]\nname = \"callers\"\naddress = \"{0}:5061\"\nsources = [\"{0}\"]\noptions_interval_ms = 0\n\
         [[trunk]]\nname = \"callees\"\naddress = \"{1}:5070\"\nsources = [\"{1}\"]\noptions_interval_ms = 0\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"7\"\nto = \"callees\"\nmedia = \"relay\"\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"8\"\nto = \"callees\"\nmedia = \"relay\"\nrecord = true\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"9\"\nto = \"callees\"\nmedia = \"bypass\"\n",
        place.phones, place.carrier
    ));
    let file = place.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let keys = format!("[media]\nrecordings_keys = [\"{}\"]\n{media}", "1".repeat(64));
    std::fs::write(file, text.replacen("[media]\n", &keys, 1)).unwrap();
}

struct Scene {
    api: Api,
    caller: Talker,
    callee: Talker,
}

impl Scene {
    fn make(place: &Place) -> Scene {
        let server = format!("{}:5060", place.daemon).parse().unwrap();
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
        let caller = Talker::start(at(&place.phones, 5061), server, None, CALLER_HZ);
        let callee = Talker::start(at(&place.carrier, 5070), server, None, CALLEE_HZ);
        Scene { api: place.api(), caller, callee }
    }

    /// A call to a number, up.
    async fn call(&self, number: &str) -> String {
        self.caller.call(number);
        let mut call = Value::Null;
        until("the call is up", async || {
            let shown = self.api.get("/v1/calls?direction=transit").await;
            let found = shown["data"].as_array().unwrap().iter().find(|call| call["state"] == "bridged");
            call = found.map_or(Value::Null, |call| call["id"].clone());
            !call.is_null()
        })
        .await;
        call.as_str().unwrap().to_owned()
    }

    /// Waits until each side has heard so much of the other from now on.
    async fn talk(&self) {
        for (talker, frequency) in [(&self.caller, CALLEE_HZ), (&self.callee, CALLER_HZ)] {
            talker.take_heard();
            let mut heard = 0;
            until("the sides hear each other", async || {
                heard += with(&talker.take_heard(), frequency);
                heard >= FRAMES
            })
            .await;
        }
    }

    async fn verb(&self, call: &str, verb: &str, body: Value) -> (u16, Value) {
        self.api.send("POST", &format!("/v1/calls/{call}/{verb}"), Some(body)).await
    }

    async fn hung_up(&self) {
        self.caller.hang_up();
        until("the call is over", async || {
            let shown = self.api.get("/v1/calls?direction=transit").await;
            self.caller.legs() == 0 && self.callee.legs() == 0 && shown["data"] == json!([])
        })
        .await;
    }

    async fn listed(&self, call: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        until("its recordings are listed", async || {
            found = self.api.all("/v1/recordings?limit=10").await;
            found.retain(|recording| recording["call_id"] == call);
            found.len() == count
        })
        .await;
        found
    }
}

fn with(frames: &[[i16; 160]], frequency: f64) -> usize {
    frames.iter().filter(|frame| peak_at(&frame[..], frequency) > SHOWS).count()
}

/// Frames of each channel with the tone of each side: left is the caller.
async fn heard_in(api: &Api, recording: &Value) -> [[usize; 2]; 2] {
    let path = format!("/v1/recordings/{}/listen", recording["id"].as_str().unwrap());
    let (status, bytes) = api.bytes(&path).await;
    assert_eq!((status, json!(bytes.len())), (200, recording["bytes"].clone()));
    assert_eq!(json!((bytes.len() - 44) / 32), recording["duration_ms"]);
    [0, 2].map(|side| {
        let sample = |four: &[u8]| i16::from_le_bytes([four[side], four[side + 1]]);
        let samples: Vec<i16> = bytes[44..].chunks_exact(4).map(sample).collect();
        let frames: Vec<[i16; 160]> =
            samples.chunks_exact(160).map(|frame| frame.try_into().unwrap()).collect();
        [with(&frames, CALLER_HZ), with(&frames, CALLEE_HZ)]
    })
}

fn names(events: &[Value], call: &str) -> Vec<String> {
    let of_call = events.iter().filter(|event| event["call_id"] == call);
    of_call.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_call_that_passes_through_is_recorded_paused_and_forked() {
    block_on(async {
        let place = Place::new();
        configure(&place, "");
        let _daemon = place.start().await;
        let scene = Scene::make(&place);
        let api = &scene.api;

        let call = scene.call("7001").await;
        let (status, problem) = scene.verb(&call, "hold", json!({})).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("invalid_call_state")), "{problem}");
        assert_eq!(scene.verb(&call, "record_pause", json!({})).await.0, 409, "nothing is recorded yet");
        let (status, accepted) = scene.verb(&call, "record", json!({})).await;
        assert_eq!(status, 202, "{accepted}");
        let first = accepted["recording_id"].clone();
        assert_eq!(scene.verb(&call, "record", json!({})).await.0, 409, "it is recorded already");
        scene.talk().await;
        assert_eq!(scene.verb(&call, "record_pause", json!({})).await.0, 202);
        assert_eq!(api.get(&format!("/v1/calls/{call}")).await["recording"]["paused"], true);
        scene.talk().await;
        assert_eq!(scene.verb(&call, "record_resume", json!({})).await.0, 202);
        scene.talk().await;

        let listener = TcpListener::bind((place.carrier.as_str(), 0)).await.unwrap();
        let wanted =
            json!({"url": format!("ws://{}/live", listener.local_addr().unwrap()), "tracks": "both"});
        let (status, begun) = scene.verb(&call, "fork_start", wanted.clone()).await;
        assert_eq!(status, 202, "{begun}");
        assert_eq!(scene.verb(&call, "fork_start", wanted.clone()).await.0, 409, "it has one");
        let mut bot = Bot::accept(&listener).await;
        assert_eq!(bot.event("start").await["start"]["callSid"], json!(call));
        bot.hears("inbound", CALLER_HZ).await;
        bot.hears("outbound", CALLEE_HZ).await;
        scene.caller.press("5", Way::Event);
        assert_eq!(bot.event("dtmf").await["dtmf"]["digit"], "5");
        scene.caller.take_heard();
        bot.say(50).await;
        let mut heard = 0;
        until("the caller hears the bot", async || {
            heard += with(&scene.caller.take_heard(), BOT_HZ);
            heard >= FRAMES
        })
        .await;
        scene.talk().await;
        assert_eq!(scene.verb(&call, "fork_stop", json!({})).await.0, 202);
        bot.event("stop").await;

        assert_eq!(scene.verb(&call, "record_stop", json!({})).await.0, 202);
        let recording = scene.listed(&call, 1).await.remove(0);
        assert_eq!((&recording["id"], &recording["cut_off"]), (&first, &json!(false)));
        assert!(recording["paused_ms"].as_u64().unwrap() >= 20 * FRAMES as u64 - 40, "{recording}");
        let [left, right] = heard_in(api, &recording).await;
        assert!(left[0] > FRAMES && left[1] <= 2, "the caller is on the left: {left:?}");
        assert!(right[1] > FRAMES && right[0] <= 2, "the callee on the right: {right:?}");
        let days = place.folder.path().join("data/recordings");
        let day = std::fs::read_dir(days).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
        assert_eq!(&std::fs::read(file).unwrap()[..8], b"DLRSEAL1", "nothing plain is on the disk");

        // Another one, and another fork: both end with the call, once.
        assert_eq!(scene.verb(&call, "record", json!({})).await.0, 202);
        assert_eq!(scene.verb(&call, "fork_start", wanted).await.0, 202);
        let mut bot = Bot::accept(&listener).await;
        bot.hears("inbound", CALLER_HZ).await;
        scene.talk().await;
        scene.hung_up().await;
        bot.event("stop").await;
        scene.listed(&call, 2).await;
        let record = api.get("/v1/cdrs?limit=10").await["data"][0].clone();
        assert_eq!((&record["call_id"], &record["recording_id"]), (&json!(call), &first), "{record}");
        let types = "call.*,command.*,recording.*";
        let events = within(api.events_up_to(types, "call.ended")).await;
        // How each command came out is told as soon as it has.
        let expected = [
            "recording.started",
            "command.completed",
            "recording.paused",
            "command.completed",
            "recording.resumed",
            "command.completed",
            "call.fork_started",
            "command.completed",
            "call.fork_ended",
            "command.completed",
            "command.completed",
            "recording.ready",
            "recording.started",
            "command.completed",
            "call.fork_started",
            "command.completed",
            "call.fork_ended",
            "call.ended",
        ];
        assert_eq!(names(&events, &call), expected);
        let places: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(places, (1..=18).collect::<Vec<_>>());

        // One that its route has recorded is paused like any other.
        let call = scene.call("8001").await;
        until("it is recorded", async || {
            api.get(&format!("/v1/calls/{call}")).await["recording"]["paused"] == false
        })
        .await;
        assert_eq!(scene.verb(&call, "record_pause", json!({"pause_behavior": "skip"})).await.0, 202);
        scene.talk().await;
        scene.hung_up().await;
        let recording = scene.listed(&call, 1).await.remove(0);
        assert!(recording["paused_ms"].as_u64().unwrap() >= 20 * FRAMES as u64 - 40, "{recording}");

        // The sound of this one is never here.
        let call = scene.call("9001").await;
        for (verb, body) in [
            ("record", json!({})),
            ("record_stop", json!({})),
            ("fork_start", json!({"url": "ws://bot.example/"})),
            ("fork_stop", json!({})),
        ] {
            let (status, problem) = scene.verb(&call, verb, body).await;
            assert_eq!((status, problem["code"].as_str()), (409, Some("invalid_call_state")), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains("goes past us"), "{problem}");
        }
        scene.hung_up().await;
    });
}

/// Another program has two of five port pairs: no call is lost for that.
#[test]
fn ports_that_others_have_cost_no_call() {
    block_on(async {
        let place = Place::new();
        configure(&place, "relay = \"sockets\"\nports = [20000, 20039]\n");
        let bind = |port: u16| std::net::UdpSocket::bind((place.daemon.as_str(), port)).unwrap();
        let others: Vec<_> =
            (20_000..20_040).filter(|port| [0, 7].contains(&(port % 10))).map(bind).collect();
        assert_eq!(others.len(), 8);
        let _daemon = place.start().await;
        let scene = Scene::make(&place);
        // As many as take all the twelve pairs that are free.
        for _ in 0..6 {
            scene.call("7001").await;
            scene.hung_up().await;
        }
        let records = scene.api.all("/v1/cdrs?limit=50").await;
        assert!(records.iter().all(|record| record["outcome"] == "connected"), "{records:?}");
    });
}

/// While it lasts it is told when a side falls silent; a crash ends it, and its recording is there up to the last second.
#[test]
fn a_silent_side_is_told_and_a_crash_ends_call_and_recording() {
    block_on(async {
        let place = Place::new();
        configure(&place, "no_packets_after_ms = 1000\n");
        let daemon = place.start().await;
        let scene = Scene::make(&place);
        let api = &scene.api;
        let call = scene.call("8001").await;
        scene.talk().await;
        within(api.events_up_to("recording.*", "recording.started")).await;
        scene.caller.mute(true);
        let audio = within(api.events_up_to("call.audio", "call.audio")).await;
        let data = json!({"party": "caller", "state": "no_packets", "one_way": true});
        assert_eq!((&audio[0]["call_id"], &audio[0]["data"]), (&json!(call), &data));
        let lost = "call_audio_lost_total{party=\"caller\",kind=\"no_packets\"} 1";
        until("it is counted", async || api.admin("/metrics").await.unwrap().1.contains(lost)).await;
        scene.caller.mute(false);
        scene.talk().await;
        daemon.kill();
        let _daemon = place.start().await;
        let recording = scene.listed(&call, 1).await.remove(0);
        assert_eq!(recording["cut_off"], true, "{recording}");
        let [left, right] = heard_in(api, &recording).await;
        assert!(left[0] > FRAMES && right[1] > FRAMES, "{left:?} {right:?}");
        let records = api.all("/v1/cdrs?limit=10").await;
        let told = (&records[0]["call_id"], &records[0]["outcome"], &records[0]["recording_id"]);
        assert_eq!(told, (&json!(call), &json!("node_restart"), &recording["id"]));
        assert_eq!(records.len(), 1);
        let events = within(api.events_up_to("call.ended", "call.ended")).await;
        assert_eq!(names(&events, &call), ["call.ended"]);
    });
}
