//! Campaigns that are recycled, and callees who want no more calls, over real SIP and RTP and over a crash.

use crate::harness::{Place, Setting, block_on, until};
use crate::talkers::{Manner, Talker, Way};
use serde_json::{Value, json};

const CUSTOMER_HZ: f64 = 500.0;

fn states(leads: &[Value]) -> Vec<&str> {
    leads.iter().map(|lead| lead["state"].as_str().unwrap()).collect()
}

/// The key is pressed in the message, the daemon is killed in the middle of it, and the leads are recycled on top: none of them is
/// called again.
#[test]
fn who_pressed_the_key_is_not_called_again_whatever_happens() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let daemon = place.start().await;
        let address = format!("{}:5080", place.carrier).parse().unwrap();
        let server = format!("{}:5060", place.daemon).parse().unwrap();
        let _customers = Talker::with(address, server, None, CUSTOMER_HZ, |_| Manner {
            presses: Some(("9", Way::Event)),
            ..Manner::default()
        });
        let api = place.api();
        let hum: Vec<i16> = (0..240_000).map(|at: i32| ((at % 40) - 20) as i16 * 100).collect();
        assert_eq!(api.put("/v1/prompts/message", "audio/wav", media::wav::mono(&hum)).await.0, 201);
        let list = api.post("/v1/dnc-lists", json!({ "name": "opted out" })).await["id"].clone();
        let campaign = json!({ "mode": "agentless", "on_answer": { "play": "message" },
            "on_no_agent": { "collect_opt_out": "9", "opt_out_list_id": list },
            "retry": [{ "outcome": "node_restart", "after": "1s", "max": 5 }] });
        let setting = Setting::make(&place, 0, 2, campaign).await;
        let path = format!("/v1/campaigns/{}", setting.campaign);
        api.post(&format!("{path}:start"), json!({})).await;
        let entries = format!("/v1/dnc-lists/{}", list.as_str().unwrap());
        until("both are on the list", async || api.get(&entries).await["entries"] == 2).await;
        // What is shown may not be durable yet; an answer comes after all before it is.
        api.post("/v1/dnc-lists", json!({ "name": "another" })).await;
        daemon.kill();
        let _daemon = place.start().await;
        let leads = format!("/v1/lists/{}/leads?limit=10", setting.list);
        let all_out = async || states(&api.all(&leads).await) == ["dnc", "dnc"];
        until("both are done with", all_out).await;
        let recycled = api.post(&format!("{path}:recycle"), json!({ "states": ["dnc"] })).await;
        assert_eq!(recycled["recycled"], 2, "{recycled}");
        until("the list keeps them out again", all_out).await;
        let records = api.all("/v1/cdrs?limit=100").await;
        assert_eq!(records.len(), 2, "each was called once: {records:?}");
        assert!(records.iter().all(|record| record["outcome"] == "node_restart"), "{records:?}");
    });
}
