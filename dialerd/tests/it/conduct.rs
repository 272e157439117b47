//! Live calls conducted over the API, the whole daemon between real sockets: who hears whose tone.

use crate::harness::{Place, TOKEN, block_on, until};
use crate::talkers::{Heard, Manner, Talker, hearing, joined, peak_at};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Customer, agent, supervisor, third party.
const C: usize = 0;
const A: usize = 1;
const S: usize = 2;
const T: usize = 3;

/// Asks until it is so: sound needs its time to go through, and a busy machine more of it.
async fn hears(what: &str, talkers: &[&Talker; 4], expected: [Vec<usize>; 4]) {
    let mut last = Vec::new();
    for _ in 0..120 {
        talkers.iter().for_each(|talker| drop(talker.take_heard()));
        tokio::time::sleep(Duration::from_millis(500)).await;
        last = hearing(talkers);
        if last == expected {
            return;
        }
    }
    panic!("{what}: {last:?} instead of {expected:?}");
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

#[test]
fn who_hears_whom_when_a_call_is_supervised_shared_held_and_taken_over() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let server = format!("{}:5060", place.daemon).parse().unwrap();
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
        let daemon = place.start().await;
        let api = place.api();
        let customer = Talker::start(at(&place.carrier, 5080), server, None, 500.0);
        let third = Talker::start(at(&place.carrier, 5081), server, None, 1_700.0);
        let mut agents = Vec::new();
        for name in ["ada", "boss"] {
            let made = json!({"name": name, "username": name, "password": "secret-of-it"});
            agents.push(id(&api.post("/v1/agents", made).await));
        }
        let (ada, boss) = (&agents[0], &agents[1]);
        let agent = Talker::start(at(&place.phones, 5070), server, Some(("ada", "secret-of-it")), 800.0);
        let supervisor =
            Talker::start(at(&place.phones, 5071), server, Some(("boss", "secret-of-it")), 1_200.0);
        let mut trunks = Vec::new();
        for port in [5080, 5081] {
            let trunk = json!({"name": format!("carrier {port}"), "address": format!("{}:{port}", place.carrier),
                "cps_max": 50.0, "options_interval_ms": 0});
            trunks.push(id(&api.post("/v1/trunks", trunk).await));
        }
        until("both phones are registered", async || {
            let shown = api.get("/v1/agents?limit=10").await;
            shown["data"].as_array().unwrap().iter().all(|agent| agent["registered"] == true)
        })
        .await;
        api.post(&format!("/v1/agents/{ada}:login"), json!({"session": "on_demand"})).await;
        let call = json!({"agent_id": ada, "to": "+12025550100", "trunk_id": trunks[0]});
        let call = id(&api.post("/v1/calls", call).await);
        until("the sides are joined", async || {
            api.get(&format!("/v1/calls/{call}")).await["state"] == "bridged"
        })
        .await;
        let talkers = [&customer, &agent, &supervisor, &third];
        hears("a plain call", &talkers, [vec![A], vec![C], vec![], vec![]]).await;

        let supervise = format!("/v1/calls/{call}/supervise");
        let listen = json!({"agent_id": boss, "mode": "listen"});
        let leg = api.post(&supervise, listen).await["leg_id"].as_str().unwrap().to_owned();
        hears("listen", &talkers, [vec![A], vec![C], vec![C, A], vec![]]).await;
        api.post(&supervise, json!({"agent_id": boss, "mode": "whisper"})).await;
        hears("whisper", &talkers, [vec![A], vec![C, S], vec![C, A], vec![]]).await;
        // As an operator types it.
        let (base, args) =
            (api.base.clone(), ["calls", "supervise", &call, "boss", "barge"].map(str::to_owned));
        let output = tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_dialerd"))
                .args(["ctl", "--api", &base, "--token", TOKEN])
                .args(args)
                .output()
                .unwrap()
        })
        .await
        .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("supervise accepted"), "{output:?}");
        hears("barge", &talkers, [vec![A, S], vec![C, S], vec![C, A], vec![]]).await;

        let party = json!({"to": "+12025550101", "trunk_id": trunks[1]});
        let third_leg = api.post(&format!("/v1/calls/{call}/participants"), party).await;
        let third_leg = third_leg["leg_id"].as_str().unwrap().to_owned();
        hears("four of them", &talkers, [vec![A, S, T], vec![C, S, T], vec![C, A, T], vec![C, A, S]]).await;
        api.post(&format!("/v1/calls/{call}/mute"), json!({})).await;
        hears("a muted agent", &talkers, [vec![S, T], vec![C, S, T], vec![C, T], vec![C, S]]).await;
        api.post(&format!("/v1/calls/{call}/unmute"), json!({})).await;
        let path = format!("/v1/calls/{call}/participants/{third_leg}");
        assert_eq!(api.send("DELETE", &path, None).await.0, 204);
        until("the third party is gone", async || third.legs() == 0).await;
        hears("barge again", &talkers, [vec![A, S], vec![C, S], vec![C, A], vec![]]).await;
        api.post(&format!("/v1/calls/{call}/hold"), json!({})).await;
        hears("the customer on hold", &talkers, [vec![], vec![S], vec![A], vec![]]).await;
        api.post(&format!("/v1/calls/{call}/unhold"), json!({})).await;

        api.post(&supervise, json!({"agent_id": boss, "mode": "take_over"})).await;
        until("the agent is free", async || agent.legs() == 0).await;
        hears("take over", &talkers, [vec![S], vec![], vec![C], vec![]]).await;
        supervisor.hang_up();
        until("the call is over", async || customer.legs() == 0 && supervisor.legs() == 0).await;
        until("its record is there", async || api.all("/v1/cdrs?limit=10").await.len() == 1).await;
        let record = &api.all("/v1/cdrs?limit=10").await[0];
        let others: Vec<(&str, bool)> = record["participants"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["leg_id"].as_str().unwrap(), one["took_over"] == true))
            .collect();
        assert_eq!(others, [(third_leg.as_str(), false), (leg.as_str(), true)], "{record}");
        drop(daemon);
    });
}

/// Parties of a conference: the customer is the first, the agent the last.
const PARTIES: usize = 32;
/// Frames in which a party's hearing is looked at: long enough to tell pitches apart that are so near to each other.
const LOOK_FRAMES: usize = 25;

/// No two are nearer to each other than 90 Hz, nor is one another's harmonic at that.
fn pitch(place: usize) -> f64 {
    425.0 + 95.0 * place as f64
}

/// Whom a party hears whose last packets these are.
fn heard_by(packets: &[Heard]) -> Vec<usize> {
    let last = &packets[packets.len().saturating_sub(LOOK_FRAMES)..];
    let samples: Vec<i16> = last.iter().flat_map(|packet| packet.frame).collect();
    (0..PARTIES).filter(|place| peak_at(&samples, pitch(*place)) > 1_000.0).collect()
}

#[test]
fn in_a_conference_of_thirty_two_all_hear_all_but_themselves() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let api = place.api();
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
        // The last two digits of a number say who it is.
        let manner = |number: &str| Manner {
            frequency: Some(pitch(number[number.len() - 2..].parse().unwrap())),
            ..Manner::default()
        };
        let carrier = Talker::with(at(&place.carrier, 5080), at(&place.daemon, 5060), None, pitch(0), manner);
        let (agent, call) = joined(&place, pitch(PARTIES - 1)).await;
        let trunk = api.get("/v1/trunks?limit=1").await["data"][0]["id"].clone();
        let path = format!("/v1/calls/{call}/participants");
        for third in 1..PARTIES - 1 {
            api.post(&path, json!({"to": format!("+120255501{third:02}"), "trunk_id": trunk})).await;
        }
        let one_more = json!({"to": "+12025550100", "trunk_id": trunk});
        assert!(api.send("POST", &path, Some(one_more)).await.0 >= 400, "there is room for no more");
        until("all are there", async || carrier.legs() == PARTIES - 1).await;
        let all: Vec<usize> = (0..PARTIES).collect();
        let everyone = async |who: &[usize]| {
            until(&format!("{} of them hear all others", who.len()), async || {
                let talkers = [&carrier, &agent];
                talkers.iter().for_each(|talker| drop(talker.take_heard()));
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                let mut heard: BTreeMap<u64, Vec<Heard>> = BTreeMap::new();
                for packet in talkers.iter().flat_map(|talker| talker.take_packets()) {
                    heard.entry(packet.by as u64).or_default().push(packet);
                }
                heard.len() == who.len()
                    && who.iter().all(|place| {
                        let others: Vec<usize> = who.iter().copied().filter(|other| other != place).collect();
                        heard.get(&(pitch(*place) as u64)).map(|packets| heard_by(packets)) == Some(others)
                    })
            })
            .await;
        };
        everyone(&all).await;
        // One leaves, and nobody hears it any more.
        let legs = api.get(&format!("/v1/calls/{call}")).await["participants"].clone();
        let seventh = legs.as_array().unwrap().iter().find(|leg| leg["to"] == "+12025550107").unwrap();
        assert_eq!(
            api.send("DELETE", &format!("{path}/{}", seventh["leg_id"].as_str().unwrap()), None).await.0,
            204
        );
        until("it is gone", async || carrier.legs() == PARTIES - 2).await;
        everyone(&all.into_iter().filter(|place| *place != 7).collect::<Vec<_>>()).await;
    });
}
