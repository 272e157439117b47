//! Calls that pass through, seen and ended over HTTP and by an operator's command line.

use crate::api::Api;
use crate::ctl::ask;
use crate::features::sipp;
use crate::harness::{Place, block_on, until, until_bound};
use crate::sockets::{final_answer, invite};
use crate::streams::LONG;
use serde_json::Value;
use std::process::Child;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The only live call that passes through, once it is in this state.
async fn live(api: &Api, state: &str) -> Value {
    let mut found = Value::Null;
    until(state, async || {
        let shown = api.get("/v1/calls?state=live").await;
        let calls = shown["data"].as_array().expect("a page has data");
        assert!(calls.len() <= 1, "{shown}");
        found = calls.first().cloned().unwrap_or_default();
        found["state"] == state
    })
    .await;
    found
}

async fn nobody_is_left(api: &Api) {
    until("it is over", async || {
        api.get("/v1/calls?state=live").await["data"].as_array().unwrap().is_empty()
    })
    .await;
}

async fn ends_well(what: &str, mut child: Child) {
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.unwrap();
    assert!(ended.unwrap().success(), "{what}");
}

#[test]
fn a_call_that_passes_through_is_seen_and_hung_up_from_above() {
    block_on(async {
        let place = Place::new();
        place.configure(&format!(
            "[[trunk]]\nname = \"callers\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             [[trunk]]\nname = \"callees\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             [[route]]\nfrom = \"callers\"\nto = \"callees\"\nmedia = \"bypass\"\n",
            place.carrier, place.phones,
        ));
        let _daemon = place.start().await;
        let (api, ours) = (place.api(), format!("{}:5060", place.daemon));
        let trunks = api.get("/v1/trunks?limit=10").await;
        let trunk = |name: &str| {
            let all = trunks["data"].as_array().unwrap();
            all.iter().find(|trunk| trunk["name"] == name).expect(name)["id"].clone()
        };

        // One that was answered, over HTTP: both sides get BYE.
        let callee = sipp(&place, "uas", &place.phones, 5080, &["-m", "1"]);
        until_bound("udp", &place.phones, 5080).await;
        let more = [ours.as_str(), "-s", "8001", "-m", "1"];
        let caller = sipp(&place, "features/hung_up_caller", &place.carrier, 5080, &more);
        let call = live(&api, "bridged").await;
        assert_eq!(call["kind"], "transit", "{call}");
        assert_eq!(
            (&call["from_trunk_id"], &call["trunk_id"]),
            (&trunk("callers"), &trunk("callees")),
            "{call}"
        );
        let id = call["id"].as_str().unwrap().to_owned();
        assert_eq!(api.get(&format!("/v1/calls/{id}")).await["state"], "bridged");
        let (status, body) = api.send("POST", &format!("/v1/calls/{id}/hangup"), None).await;
        assert_eq!((status, &body["call_id"]), (202, &call["id"]), "{body}");
        ends_well("the caller got BYE", caller).await;
        ends_well("the callee got BYE", callee).await;
        nobody_is_left(&api).await;
        let (status, body) = api.send("POST", &format!("/v1/calls/{id}/hangup"), None).await;
        assert!((400..500).contains(&status), "it is over: {status} {body}");

        // One that still rings, by the operator: the callee gets CANCEL and the caller 480.
        let callee = sipp(&place, "features/cancel_callee", &place.phones, 5080, &["-m", "1"]);
        until_bound("udp", &place.phones, 5080).await;
        let caller = UdpSocket::bind((place.carrier.as_str(), 5080)).await.unwrap();
        caller.send_to(invite(&place, "rings").as_bytes(), &ours).await.unwrap();
        let ringing = live(&api, "ringing").await["id"].as_str().unwrap().to_owned();
        let (code, shown, error) = ask(&api.base, &["hangup", &ringing]).await;
        assert_eq!(code, 0, "{shown}{error}");
        let answer = timeout(LONG, final_answer(&caller)).await.expect("an answer in time");
        assert!(answer.starts_with("SIP/2.0 480 "), "{answer}");
        ends_well("the callee got CANCEL", callee).await;
        nobody_is_left(&api).await;
        let (code, shown, _) = ask(&api.base, &["hangup", &ringing]).await;
        assert_ne!(code, 0, "it is over: {shown}");

        // One record each, with one end.
        until("both records are there", async || api.all("/v1/cdrs?limit=10").await.len() == 2).await;
        let records = api.all("/v1/cdrs?limit=10").await;
        for (id, code, talked) in [(&id, 200, true), (&ringing, 480, false)] {
            let mine: Vec<&Value> = records.iter().filter(|record| record["call_id"] == **id).collect();
            assert_eq!(mine.len(), 1, "{records:?}");
            assert_eq!(
                (&mine[0]["kind"], &mine[0]["sip_code"]),
                (&"transit".into(), &code.into()),
                "{}",
                mine[0]
            );
            assert_eq!(mine[0]["ended_by"], "api", "{}", mine[0]);
            assert_eq!(mine[0]["answered_at"].is_string(), talked, "{}", mine[0]);
        }
    });
}
