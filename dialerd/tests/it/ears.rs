//! What the daemon hears in calls over real SIP and RTP: digits, network tones and announcements, fax machines, assistants,
//! silence; and that what a customer hears is one stream, whoever speaks.

use crate::api::Api;
use crate::harness::{Place, Setting, block_on, until};
use crate::talkers::{Heard, Manner, Talker, Way, joined, peak_at};
use media::tone_plan::{Country, NetworkTone, network_tone};
use sansio::Rng;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

/// Sounds like those that the media plane is tested with.
#[path = "../../../media/tests/it/synth.rs"]
#[allow(dead_code, reason = "shared with the tests of media")]
mod synth;

use synth::Sound;

const CUSTOMER_HZ: f64 = 500.0;
const AGENT_HZ: f64 = 800.0;
const PROMPT_HZ: f64 = 1_500.0;
const MUSIC_HZ: f64 = 2_300.0;

/// So many seconds of a tone, as a prompt.
fn tone(hertz: f64, seconds: f64) -> Vec<u8> {
    media::wav::mono(&samples(&Sound::default().tones(&[hertz], seconds, -12.0)))
}

fn samples(sound: &Sound) -> Vec<i16> {
    sound.frames().concat()
}

/// Calls all leads of a campaign without agents, each once, and gives the records by the last digit of the numbers.
async fn called(place: &Place, leads: usize, classify: Value) -> Vec<Value> {
    let api = place.api();
    assert_eq!(api.put("/v1/prompts/message", "audio/wav", tone(PROMPT_HZ, 30.0)).await.0, 201);
    let campaign = json!({"mode": "agentless", "on_answer": {"play": "message"}, "classify": classify,
        "concurrency": {"kind": "dynamic", "lines": leads}});
    let setting = Setting::make(place, 0, leads, campaign).await;
    api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;
    until("all calls are over", async || api.all("/v1/cdrs?limit=100").await.len() >= leads).await;
    let mut records = api.all("/v1/cdrs?limit=100").await;
    records.sort_by_key(|record| record["to"].as_str().unwrap().to_owned());
    assert_eq!(records.len(), leads, "each is called once");
    records
}

fn last_digit(number: &str) -> usize {
    number.chars().last().and_then(|digit| digit.to_digit(10)).expect("a number") as usize
}

fn carrier(place: &Place, manner: impl Fn(&str) -> Manner + Send + 'static) -> Talker {
    let address = format!("{}:5080", place.carrier).parse().unwrap();
    let server = format!("{}:5060", place.daemon).parse().unwrap();
    Talker::with(address, server, None, CUSTOMER_HZ, manner)
}

#[test]
fn a_digit_is_one_event_whatever_its_way() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let ways = [Way::Event, Way::InBand, Way::Info, Way::EventAndInfo];
        let _customers = carrier(&place, move |number| {
            let way = ways[last_digit(number)];
            let without_events = way == Way::InBand;
            Manner { presses: Some(("15#5*5", way)), without_events, ..Manner::default() }
        });
        let records = called(&place, ways.len(), json!({"early_media": false, "amd": {"mode": "off"}})).await;
        let events = place.api().events_up_to("call.dtmf,campaign.completed", "campaign.completed").await;
        for (record, way) in records.iter().zip(ways) {
            assert_eq!(record["digits"], "15#5*5", "{way:?} {record}");
            let told: Vec<(&str, &str)> = events
                .iter()
                .filter(|event| event["call_id"] == record["call_id"])
                .map(|event| {
                    let text = |name: &str| event["data"][name].as_str().unwrap();
                    assert!((40..=400).contains(&event["data"]["duration_ms"].as_u64().unwrap()), "{event}");
                    (text("party"), text("digit"))
                })
                .collect();
            let expected = ["1", "5", "#", "5", "*", "5"].map(|digit| ("customer", digit));
            assert_eq!(told, expected, "{way:?}");
        }
    });
}

/// Speech that is said by no one else.
fn words(seed: u64) -> Sound {
    Sound::default().speech(&mut Rng::from_seed(seed), 5.0, -15.0)
}

/// Teaches an announcement as an operator does.
fn taught(place: &Place, sound: &Sound, class: &str) {
    let file = place.folder.path().join(format!("{class}-heard.wav"));
    std::fs::write(&file, media::wav::mono(&samples(sound))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialerd"));
    command.arg("teach-announcement").arg(&file).args([class, "--name", "carrier", "--config"]);
    let output = command.arg(place.config_file()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Those whom nobody will answer free their lines while their sound goes on and on.
#[test]
fn early_media_frees_a_line_and_who_answers_is_told() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        taught(&place, &words(1), "power_off");
        taught(&place, &words(2), "screening");
        let _daemon = place.start().await;
        let over_and_over = |tone| network_tone(Country::Us, tone).repeat(60);
        let greeting = Sound::default().silence(0.4).speech(&mut Rng::from_seed(3), 0.6, -15.0);
        let sounds = [
            (true, over_and_over(NetworkTone::Busy)),
            (true, over_and_over(NetworkTone::Sit)),
            (true, samples(&Sound::default().silence(1.0).then(words(1))).repeat(8)),
            (false, samples(&Sound::default().silence(1.0).tones(&[2_100.0], 20.0, -15.0))),
            (false, samples(&Sound::default().silence(0.5).then(words(2)))),
            (false, samples(&greeting)),
        ];
        let leads = sounds.len();
        let sounds = sounds.map(|(early, sound)| (early, Arc::new(sound)));
        let carrier = carrier(&place, move |number| {
            let (early, says) = sounds[last_digit(number)].clone();
            Manner { early, says: Some(says), ..Manner::default() }
        });
        let records = called(&place, leads, json!({"early_media": true, "amd": {"mode": "async"}})).await;
        until("no line is busy", async || carrier.legs() == 0).await;
        let early = [
            ("busy", "busy", "tone", Value::Null),
            ("sit", "invalid_number", "tone", Value::Null),
            ("power_off", "power_off", "announcement", json!("power_off/carrier")),
        ];
        for (record, (class, outcome, evidence, announcement)) in records.iter().zip(early) {
            assert_eq!(
                (&record["early_media"], &record["outcome"], &record["evidence"]),
                (&json!(class), &json!(outcome), &json!(evidence)),
                "{record}"
            );
            let detail = &record["early_media_detail"];
            assert!(detail["confidence"].as_f64().unwrap() > 0.5, "{record}");
            assert_eq!(detail["announcement"], announcement);
            assert!(detail["heard_after_dial_ms"].as_u64().unwrap() > 0, "{record}");
            assert_eq!((&record["answered_at"], &record["ended_by"]), (&Value::Null, &json!("system")));
        }
        let answered = [
            ("fax", "fax", "fax_tone"),
            ("screening", "screening", "announcement"),
            ("human", "connected", "short_greeting"),
        ];
        for (record, (result, outcome, evidence)) in records[3..].iter().zip(answered) {
            let detection = &record["detection"];
            assert_eq!(
                (&detection["result"], &record["outcome"], &detection["evidence"]),
                (&json!(result), &json!(outcome), &json!(evidence)),
                "{record}"
            );
            assert!(detection["confidence"].as_f64().unwrap() > 0.5, "{record}");
            assert!(detection["decided_after_answer_ms"].as_u64().unwrap() > 0, "{record}");
        }
    });
}

/// Customer and agent, joined.
struct Talk {
    api: Api,
    customer: Talker,
    agent: Talker,
    call: String,
}

impl Talk {
    async fn make(place: &Place) -> Talk {
        let api = place.api();
        let customer = carrier(place, |_| Manner::default());
        let (agent, call) = joined(place, AGENT_HZ).await;
        Talk { api, customer, agent, call }
    }

    async fn verb(&self, verb: &str, body: Value) {
        self.api.post(&format!("/v1/calls/{}/{verb}", self.call), body).await;
    }

    /// Waits until the customer has heard some frames of a tone; all packets go to the others.
    async fn hears(&self, hertz: f64, packets: &mut Vec<Heard>) {
        let mut heard = 0;
        until(&format!("the customer hears {hertz} Hz"), async || {
            let new = self.customer.take_packets();
            heard += new.iter().filter(|packet| peak_at(&packet.frame, hertz) > 750.0).count();
            packets.extend(new);
            heard >= 10
        })
        .await;
    }
}

#[test]
fn what_a_customer_hears_is_one_stream_whoever_speaks() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let config = std::fs::read_to_string(place.config_file()).unwrap();
        std::fs::write(
            place.config_file(),
            config.replacen("[media]\n", "[media]\nhold_prompt = \"music\"\n", 1),
        )
        .unwrap();
        let prompts = place.folder.path().join("data/prompts");
        std::fs::create_dir_all(&prompts).unwrap();
        for (name, hertz, seconds) in [("prompt", PROMPT_HZ, 1.5), ("music", MUSIC_HZ, 2.0)] {
            std::fs::write(prompts.join(format!("{name}.wav")), tone(hertz, seconds)).unwrap();
        }
        let _daemon = place.start().await;
        let talk = Talk::make(&place).await;
        let mut packets = Vec::new();
        talk.hears(AGENT_HZ, &mut packets).await;
        talk.verb("play", json!({"prompt": "prompt", "to": "customer"})).await;
        talk.hears(PROMPT_HZ, &mut packets).await;
        // It is over by itself.
        talk.hears(AGENT_HZ, &mut packets).await;
        talk.verb("hold", json!({})).await;
        talk.hears(MUSIC_HZ, &mut packets).await;
        talk.verb("unhold", json!({})).await;
        talk.hears(AGENT_HZ, &mut packets).await;
        talk.customer.hang_up();
        for (number, two) in packets.windows(2).enumerate() {
            let [before, after] = two else { unreachable!() };
            assert_eq!(before.ssrc, after.ssrc, "one source, also at packet {number}");
            assert_eq!(after.sequence.wrapping_sub(before.sequence), 1, "no number is left out at {number}");
            let step = after.timestamp.wrapping_sub(before.timestamp);
            // Rising, a multiple of a frame, and by no more than the switch may have taken.
            assert!((1..8_000).contains(&step), "{step} at {number}");
        }
    });
}

/// The states that were told of the parties' sound.
async fn audio(api: &Api, last: &str) -> Vec<(String, String, bool)> {
    let events = api.events_up_to("call.audio,call.ended", last).await;
    let told = events.iter().filter(|event| event["type"] == "call.audio");
    told.map(|event| {
        let text = |name: &str| event["data"][name].as_str().unwrap().to_owned();
        (text("party"), text("state"), event["data"]["one_way"].as_bool().unwrap())
    })
    .collect()
}

#[test]
fn silence_is_told_and_ends_a_call_that_nobody_is_in() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let config = std::fs::read_to_string(place.config_file()).unwrap();
        let limits = "[media]\ntimeout_s = 4\nno_packets_after_ms = 1000\nno_sound_after_ms = 0\n";
        std::fs::write(place.config_file(), config.replacen("[media]\n", limits, 1)).unwrap();
        let _daemon = place.start().await;
        let talk = Talk::make(&place).await;
        talk.hears(AGENT_HZ, &mut Vec::new()).await;
        // The agent is not heard any more, and is again.
        talk.agent.mute(true);
        audio(&talk.api, "call.audio").await;
        talk.agent.mute(false);
        talk.hears(AGENT_HZ, &mut Vec::new()).await;
        // The customer's line is dead, although nobody hangs up.
        talk.customer.mute(true);
        let told = audio(&talk.api, "call.ended").await;
        let event = |party: &str, state: &str, one_way| (party.to_owned(), state.to_owned(), one_way);
        let expected = [
            event("agent", "no_packets", true),
            event("agent", "flowing", false),
            event("customer", "no_packets", true),
        ];
        assert_eq!(told, expected);
        until("both legs are gone", async || talk.customer.legs() == 0 && talk.agent.legs() == 0).await;
        let record = &talk.api.all("/v1/cdrs?limit=10").await[0];
        assert_eq!(
            (&record["cause"], &record["ended_by"]),
            (&json!("media_timeout"), &json!("system")),
            "{record}"
        );
    });
}
