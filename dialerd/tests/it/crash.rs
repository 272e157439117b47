//! `kill -9` in the middle of a running campaign, twenty times over: nothing lost, nothing dialled twice.

use crate::harness::{Place, Setting, block_on, until};
use loadtests::swarm::callee::Population;
use loadtests::swarm::people::{AgentLogin, Habits, People};
use loadtests::swarm::phones::{Order, Role};
use loadtests::swarm::start;
use sansio::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use store::server::Server;

const KILLS: usize = 20;
/// The same with the store in PostgreSQL.
const POSTGRES_KILLS: usize = 6;
const LEADS: usize = 400;

#[test]
fn twenty_kills_lose_nothing_and_dial_nothing_twice() {
    survives(KILLS, "");
}

#[test]
fn kills_lose_nothing_that_postgresql_was_given() {
    let server = Server::start(&["fsync = off"]).unwrap_or_else(|why| panic!("{why}"));
    survives(POSTGRES_KILLS, &format!("[store]\nurl = \"{}\"\n", server.url()));
    let attempts: u64 = server.sql("dialerd", "SELECT count(*) FROM call_record").unwrap().parse().unwrap();
    assert!(attempts > 0, "it was kept elsewhere");
}

fn survives(kills: usize, store: &str) {
    block_on(async {
        let place = Place::new();
        place.configure(store);
        let population = Population { speed: 40.0, human: 0.5, machine: 0.05, ..Population::default() };
        let carrier_at: SocketAddr = format!("{}:5080", place.carrier).parse().unwrap();
        let carrier = start(carrier_at, Role::Carrier(population), 7).unwrap();
        let mut daemon = place.start().await;
        let campaign = json!({ "mode": "predictive", "timers": { "wrap_up_ms": 400 },
            "retry": [ { "outcome": "busy", "after": "2s", "max": 2 },
                       { "outcome": "node_restart", "after": "1s", "max": 5 } ] });
        let setting = Setting::make(&place, 4, LEADS, campaign).await;
        let agents: Vec<AgentLogin> =
            setting.agents.iter().map(|agent| serde_json::from_value(agent.clone()).unwrap()).collect();
        let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
        let logins = agents.iter().map(|agent| (agent.username.clone(), agent.password.clone())).collect();
        let phones_at = SocketAddr::new(place.phones.parse().unwrap(), 0);
        let phones = start(phones_at, Role::Agents { server, logins }, 8).unwrap();
        let habits = Habits { speed: 40.0, talk_mean_s: 300.0, wrap_up_mean_s: 10.0, nailed_up: true };
        let api = place.api();
        let people = People::new(&api.base, &api.token, agents, habits).unwrap();
        people.log_in().await.unwrap();
        let work = tokio::spawn(Arc::clone(&people).work(9));
        api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;

        let mut rng = Rng::from_seed(11);
        let mut attempts_seen = 0;
        for round in 0..kills {
            // Somewhere in the middle of things: after so many further attempts.
            let goal = attempts_seen + 2 + rng.below(8);
            let path = format!("/v1/campaigns/{}/stats", setting.campaign);
            until(&format!("round {round}: {goal} attempts"), async || {
                let stats = api.get(&path).await;
                let attempts = stats["attempts"].as_u64().unwrap();
                assert!(attempts >= attempts_seen, "the counters went back: {attempts} < {attempts_seen}");
                attempts >= goal || stats["state"] != "running"
            })
            .await;
            attempts_seen = api.get(&path).await["attempts"].as_u64().unwrap();
            daemon.kill();
            daemon = place.start().await;
            let state = api.get(&format!("/v1/campaigns/{}", setting.campaign)).await["state"].clone();
            assert_eq!(state, "running", "a running campaign runs on after a crash");
        }
        // Something to have learned: what was, is written down when the campaign stops.
        let pacing = format!("/v1/campaigns/{}/pacing", setting.campaign);
        until("20 answers in one life", async || {
            api.get(&pacing).await["learned"]["answers_seen"].as_u64().is_some_and(|seen| seen >= 20)
        })
        .await;
        api.post(&format!("/v1/campaigns/{}:stop", setting.campaign), json!({})).await;
        until("the last call is over", async || {
            api.get("/v1/calls?limit=1").await["data"].as_array().unwrap().is_empty()
        })
        .await;
        work.abort();

        let stats = api.get(&format!("/v1/campaigns/{}/stats", setting.campaign)).await;
        // The last call's record is written in the background.
        until(&format!("a record of every attempt: {stats}"), async || {
            json!(api.all("/v1/cdrs?limit=500").await.len()) == stats["attempts"]
        })
        .await;
        let records = api.all("/v1/cdrs?limit=500").await;
        assert_eq!(stats["attempts"], json!(records.len()), "every attempt has one record");
        let mut by_attempt = BTreeMap::new();
        let mut by_number: BTreeMap<String, u32> = BTreeMap::new();
        for record in &records {
            let attempt = record["attempt_id"].as_str().expect("a campaign's call has an attempt").to_owned();
            let before = by_attempt.insert(attempt, record["call_id"].clone());
            assert_eq!(before, None, "an attempt has two records: {record}");
            *by_number.entry(record["to"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let cut_off = records.iter().filter(|record| record["outcome"] == "node_restart").count();
        assert!(cut_off > 0, "no kill met a call; the test shows nothing");

        // The carrier's own word: no number was dialled more often than there are attempts of it.
        let dialled = carrier.counts().dialled;
        assert!(!dialled.is_empty());
        for (number, times) in &dialled {
            let attempts = by_number.get(number).copied().unwrap_or(0);
            assert!(*times <= attempts, "{number} was dialled {times} times for {attempts} attempts");
        }

        let leads = api.all(&format!("/v1/lists/{}/leads?limit=500", setting.list)).await;
        assert_eq!(leads.len(), LEADS, "every imported lead is there");
        let ledger = &stats["abandonment"];
        let abandoned = records.iter().filter(|record| record["outcome"] == "abandoned").count();
        assert_eq!(ledger["abandoned"], json!(abandoned), "the ledger continued over the crashes: {stats}");

        // Once more, now that all is quiet: the ledger to the last count, what was learned as far as it was written down.
        let before = api.get(&pacing).await["learned"].clone();
        daemon.kill();
        daemon = place.start().await;
        let stats = api.get(&format!("/v1/campaigns/{}/stats", setting.campaign)).await;
        assert_eq!(stats["abandonment"]["abandoned"], json!(abandoned), "{stats}");
        assert_eq!(stats["abandonment"]["live"], ledger["live"], "{stats}");
        let again = api.get(&pacing).await["learned"].clone();
        let seen = |learned: &serde_json::Value| learned["answers_seen"].as_f64().expect("it is told");
        assert!(seen(&again) >= 20.0 && seen(&again) <= seen(&before), "{again} of {before}");
        let talk = |learned: &serde_json::Value| learned["talk_s"].as_f64().expect("it is told");
        assert!((talk(&again) / talk(&before) - 1.0).abs() < 0.5, "{again} of {before}");

        let (metrics_status, metrics) = api.admin("/metrics").await.unwrap();
        assert_eq!(metrics_status, 200);
        assert!(metrics.contains("audit_findings 0"), "{metrics}");
        daemon.terminate();
        assert!(daemon.ended().await.success());
        for running in [carrier, phones] {
            let _ = running.orders.send(Order::Stop).await;
            running.thread.join().unwrap().unwrap();
        }
    });
}
