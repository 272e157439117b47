//! Starting, refusing to start, draining, stopping.

use crate::harness::{Place, Setting, block_on, until};
use loadtests::swarm::callee::Population;
use loadtests::swarm::people::{AgentLogin, Habits, People};
use loadtests::swarm::phones::{Order, Role, Running};
use loadtests::swarm::start;
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

fn dialerd(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dialerd")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_helps() {
    for (arguments, words) in [
        (&["--help"][..], &["run", "check-config", "demo"][..]),
        (&["run", "--help"], &["--config", "SIGTERM", "Exit codes"]),
        (&["check-config", "--help"], &["FILE", "Exit codes"]),
        (&["demo", "--help"], &["--seed", "--agents", "--minutes", "--speed"]),
    ] {
        let (code, out, _) = dialerd(arguments);
        assert_eq!(code, 0);
        for word in words {
            assert!(out.contains(word), "{arguments:?} does not tell of {word}:\n{out}");
        }
    }
}

#[test]
fn a_wrong_configuration_is_told_by_file_line_and_key_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[sip]\nlisten = [\"nowhere\"]\n").unwrap();
    let name = file.to_str().unwrap();
    for arguments in [&["check-config", name][..], &["run", "--config", name]] {
        let (code, _, error) = dialerd(arguments);
        assert_eq!(code, 2);
        assert!(
            error.contains("wrong.toml:2:11: key `sip.listen[0]`: found \"nowhere\", expected an address"),
            "{error}"
        );
    }
    assert!(!folder.path().join("data").exists());
    let (code, _, error) = dialerd(&["check-config", "/nonexistent.toml"]);
    assert_eq!(code, 2);
    assert!(error.contains("/nonexistent.toml") && error.contains("cannot be read"), "{error}");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/dialerd.example.toml");
    assert_eq!(dialerd(&["check-config", example]).0, 0);
}

#[test]
fn a_second_daemon_on_the_same_ports_or_store_is_refused() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let config = place.config_file();
        let (code, _, error) =
            tokio::task::spawn_blocking(move || dialerd(&["run", "--config", config.to_str().unwrap()]))
                .await
                .unwrap();
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("dialerd.db") || error.contains("binding"), "{error}");
        // The first one has not been disturbed.
        assert_eq!(place.api().admin("/readyz").await.unwrap().0, 200);
    });
}

/// A daemon with one agent and customers who answer at once and talk for long.
async fn long_talks(place: &Place) -> (crate::harness::Daemon, Setting, Running, Running) {
    place.configure("[shutdown]\ndrain_s = 60\n");
    let population = Population {
        speed: 20.0,
        human: 1.0,
        machine: 0.0,
        busy: 0.0,
        invalid: 0.0,
        talk_mean_s: 60_000.0,
        ..Population::default()
    };
    let carrier_at: SocketAddr = format!("{}:5080", place.carrier).parse().unwrap();
    let carrier = start(carrier_at, Role::Carrier(population), 3).unwrap();
    let daemon = place.start().await;
    let setting = Setting::make(place, 1, 20, json!({ "mode": "progressive" })).await;
    let agents: Vec<AgentLogin> =
        setting.agents.iter().map(|agent| serde_json::from_value(agent.clone()).unwrap()).collect();
    let logins = agents.iter().map(|agent| (agent.username.clone(), agent.password.clone())).collect();
    let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
    let phones_at = SocketAddr::new(place.phones.parse().unwrap(), 0);
    let phones = start(phones_at, Role::Agents { server, logins }, 4).unwrap();
    let api = place.api();
    let habits = Habits { speed: 1.0, talk_mean_s: 3600.0, wrap_up_mean_s: 1.0, nailed_up: true };
    let people = People::new(&api.base, &api.token, agents, habits).unwrap();
    people.log_in().await.unwrap();
    api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;
    until("a call is bridged", async || {
        let calls = api.get("/v1/calls?limit=10").await;
        calls["data"].as_array().unwrap().iter().any(|call| call["state"] == "bridged")
    })
    .await;
    (daemon, setting, carrier, phones)
}

async fn send_home(running: Running) {
    let _ = running.orders.send(Order::Stop).await;
    running.thread.join().unwrap().unwrap();
}

#[test]
fn sigterm_drains_and_a_second_signal_ends_at_once_with_byes_and_records() {
    block_on(async {
        let place = Place::new();
        let (mut daemon, _, carrier, phones) = long_talks(&place).await;
        let api = place.api();
        daemon.terminate();
        until(
            "the node drains",
            async || matches!(api.admin("/readyz").await, Some((503, text)) if text.contains("draining")),
        )
        .await;
        let calls = api.get("/v1/calls?limit=10").await;
        assert_eq!(calls["data"][0]["state"], "bridged", "a live call goes on while the node drains");
        let invites = carrier.counts().invites;
        daemon.terminate();
        assert!(daemon.ended().await.success(), "{}", daemon.log_text());
        until("carrier and phone have heard BYE", async || {
            carrier.counts().legs == 0 && phones.counts().legs == 0
        })
        .await;
        assert_eq!(carrier.counts().invites, invites, "nothing new was dialled");

        // The record is there at the next start, and nothing was cut off.
        let daemon = place.start().await;
        let records = api.all("/v1/cdrs?limit=100").await;
        let talked = records.iter().filter(|record| !record["bridged_at"].is_null()).count();
        assert!(talked >= 1, "{records:?}");
        assert!(records.iter().all(|record| record["outcome"] != "node_restart"), "{records:?}");
        drop(daemon);
        send_home(carrier).await;
        send_home(phones).await;
    });
}

#[test]
fn a_drain_ends_by_itself_when_the_last_call_does() {
    block_on(async {
        let place = Place::new();
        let (mut daemon, _, carrier, phones) = long_talks(&place).await;
        let api = place.api();
        let call = api.get("/v1/calls?limit=10").await["data"][0]["id"].as_str().unwrap().to_owned();
        daemon.terminate();
        until("the node drains", async || matches!(api.admin("/readyz").await, Some((503, _)))).await;
        api.post(&format!("/v1/calls/{call}/hangup"), json!({})).await;
        assert!(daemon.ended().await.success(), "{}", daemon.log_text());
        send_home(carrier).await;
        send_home(phones).await;
    });
}

#[test]
fn strangers_get_403_and_wrong_passwords_are_refused_after_the_challenge() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let api = place.api();
        api.post("/v1/agents", json!({ "name": "a", "username": "alice", "password": "right" })).await;
        let server = format!("{}:5060", place.daemon);
        let phones = place.phones.clone();
        tokio::task::spawn_blocking(move || {
            let socket = UdpSocket::bind((phones.as_str(), 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let own = socket.local_addr().unwrap();
            let ask = |method: &str, uri: &str, number: u32, more: &str| {
                let request = format!(
                    "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
                     From: <sip:alice@dialerd>;tag=1\r\nTo: <sip:alice@dialerd>\r\nCall-ID: stranger{number}\r\n\
                     CSeq: {number} {method}\r\nContact: <sip:alice@{own}>\r\n{more}Content-Length: 0\r\n\r\n"
                );
                socket.send_to(request.as_bytes(), &server).unwrap();
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            let stranger = ask("INVITE", "sip:+12025550100@dialerd", 1, "From2: x\r\n").replace("alice", "mallory");
            assert!(
                stranger.starts_with("SIP/2.0 403") || stranger.starts_with("SIP/2.0 401"),
                "{stranger}"
            );
            let challenge = ask("REGISTER", "sip:dialerd", 2, "");
            assert!(challenge.starts_with("SIP/2.0 401"), "{challenge}");
            let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            let wrong = format!(
                "Authorization: Digest username=\"alice\", realm=\"dialerd\", nonce=\"{nonce}\", uri=\"sip:dialerd\", \
                 response=\"00000000000000000000000000000000\", cnonce=\"x\", nc=00000001, qop=auth\r\n"
            );
            let refused = ask("REGISTER", "sip:dialerd", 3, &wrong);
            assert!(refused.starts_with("SIP/2.0 403"), "{refused}");
        })
        .await
        .unwrap();
    });
}
