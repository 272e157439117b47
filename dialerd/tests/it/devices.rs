//! Agents at each kind of device, the whole daemon between real sockets: a phone that registers, a phone at a fixed
//! address, a telephone number over a trunk; nailed up, and rung call by call.

use crate::api::Api;
use crate::harness::{Place, block_on, until};
use crate::talkers::{Talker, hearing};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

async fn state_of(api: &Api, agent: &str) -> String {
    api.get(&format!("/v1/agents/{agent}")).await["state"].as_str().unwrap().to_owned()
}

async fn until_state(api: &Api, agent: &str, state: &str) {
    until(&format!("the agent is {state}"), async || state_of(api, agent).await == state).await;
}

/// Agent and customer are joined, hear each other, and the customer's side ends it.
async fn talk(api: &Api, agent: &str, trunk: &str, device: &Talker, customer: &Talker) {
    let call = json!({"agent_id": agent, "to": "+12025550100", "trunk_id": trunk});
    let call = id(&api.post("/v1/calls", call).await);
    until("the sides are joined", async || api.get(&format!("/v1/calls/{call}")).await["state"] == "bridged")
        .await;
    until("they hear each other", async || {
        let talkers = [customer, device];
        talkers.iter().for_each(|talker| drop(talker.take_heard()));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        hearing(&talkers) == [vec![1], vec![0]]
    })
    .await;
    customer.hang_up();
    until("its record is there", async || {
        let records = api.all("/v1/cdrs?limit=100").await;
        records.iter().any(|record| record["call_id"] == call && record["outcome"] == "connected")
    })
    .await;
}

async fn work(api: &Api, agent: &str, trunk: &str, device: &Talker, customer: &Talker, hangs_up_to: &str) {
    let path = |verb: &str| format!("/v1/agents/{agent}:{verb}");
    // Rung for each call.
    api.post(&path("login"), json!({"session": "on_demand"})).await;
    until_state(api, agent, "ready").await;
    talk(api, agent, trunk, device, customer).await;
    until("the device is free", async || device.legs() == 0).await;
    api.post(&path("ready"), json!({})).await;
    api.post(&path("logout"), json!({})).await;
    until_state(api, agent, "logged_out").await;
    // Called once, and held from call to call.
    api.post(&path("login"), json!({"session": "nailed_up"})).await;
    until_state(api, agent, "ready").await;
    for _ in 0..2 {
        talk(api, agent, trunk, device, customer).await;
        assert_eq!(device.legs(), 1, "the session stays");
        api.post(&path("ready"), json!({})).await;
        until_state(api, agent, "ready").await;
    }
    device.hang_up();
    until_state(api, agent, hangs_up_to).await;
    api.post(&path("logout"), json!({})).await;
    until_state(api, agent, "logged_out").await;
    until("the device is free", async || device.legs() == 0).await;
}

#[test]
fn agents_work_at_a_registered_phone_at_an_address_and_at_a_telephone_number() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
        let at = |host: &str, port: u16| -> SocketAddr { format!("{host}:{port}").parse().unwrap() };
        let daemon = place.start().await;
        let api = place.api();
        let customer = Talker::start(at(&place.carrier, 5080), server, None, 500.0);
        let mut trunks = Vec::new();
        for (name, port) in [("customers", 5080), ("house", 5081)] {
            let trunk = json!({"name": name, "address": format!("{}:{port}", place.carrier), "cps_max": 50.0,
                "options_interval_ms": 0, "caller_id": "+12025550199"});
            trunks.push(id(&api.post("/v1/trunks", trunk).await));
        }
        let (customers, house) = (&trunks[0], &trunks[1]);

        let ada = json!({"name": "Ada", "username": "ada", "password": "secret-of-it"});
        let ada = id(&api.post("/v1/agents", ada).await);
        let phone = Talker::start(at(&place.phones, 5070), server, Some(("ada", "secret-of-it")), 800.0);
        until("the phone is registered", async || {
            api.get(&format!("/v1/agents/{ada}")).await["registered"] == true
        })
        .await;
        work(&api, &ada, customers, &phone, &customer, "unreachable").await;

        let desk = Talker::start(at(&place.phones, 5071), server, None, 800.0);
        let device = json!({"kind": "address", "uri": format!("sip:1001@{}:5071", place.phones)});
        let bert = id(&api.post("/v1/agents", json!({"name": "B", "username": "b", "device": device})).await);
        work(&api, &bert, customers, &desk, &customer, "unreachable").await;

        let mobile = Talker::start(at(&place.carrier, 5081), server, None, 800.0);
        let device = json!({"kind": "number", "number": "+12025550123", "trunk_id": house});
        let cora = json!({"name": "C", "username": "c", "device": device, "destinations": ["1202"], "ring_ms": 30_000});
        let cora = id(&api.post("/v1/agents", cora).await);
        // Who has hung up is not called again unasked.
        work(&api, &cora, customers, &mobile, &customer, "logged_out").await;
        let shown = api.get(&format!("/v1/agents/{cora}")).await;
        assert_eq!(shown["device"]["kind"], "number");
        let trunk = api.get(&format!("/v1/trunks/{house}")).await;
        assert_eq!(trunk["status"]["calls_active"], 0, "{trunk}");
        // Three calls each, and every leg has ended once.
        api.post("/v1/node:drain", json!({})).await;
        let told = api.events_up_to("call.ended,leg.ended,node.draining", "node.draining").await;
        let count = |what: &dyn Fn(&Value) -> bool| told.iter().filter(|event| what(event)).count();
        assert_eq!(count(&|event| event["type"] == "call.ended"), 9);
        for party in ["agent", "customer"] {
            assert_eq!(count(&|event| event["type"] == "leg.ended" && event["data"]["party"] == party), 9);
        }
        drop(daemon);
    });
}
