//! What is done with live calls, as clients meet it.

use crate::house::House;
use crate::resources::{health, registered};
use axum::http::Method;
use dialer_core::participant::{CallAct, SupervisionMode};
use dialer_core::recording::{PauseBehavior, RecordAct};
use dialer_core::{CallFact, CallId, CallOrder, Effect, EndCause, LegId, Party};
use serde_json::{Value, json};
use store::Store;

/// A call whose sides are joined, its agent, and an agent who is logged out with a phone that is there.
async fn joined(house: &House) -> (String, String, String) {
    let trunk = house.trunk().await;
    let (agent, boss) = (house.agent("1001").await, house.agent("1002").await);
    {
        let mut core = house.core.lock().unwrap();
        core.input(health(&trunk, true));
        core.input(registered(&agent));
        core.input(registered(&boss));
    }
    house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    let body = json!({"agent_id": agent, "to": "13800138000", "record": false});
    let id = house.post("/v1/calls", body).await.is(202).json()["id"].as_str().unwrap().to_owned();
    let call: CallId = id.parse().unwrap();
    for verb in ["hold", "mute", "unhold"] {
        house.act(&format!("/v1/calls/{id}/{verb}")).await.problem(409, "invalid_call_state");
    }
    assert_eq!(house.get(&format!("/v1/calls/{id}")).await.is(200).json()["direction"], "outbound");
    let facts = [
        CallFact::AgentAnswered { call, agent: agent.parse().unwrap() },
        CallFact::Dialled { call },
        CallFact::Answered { call },
        CallFact::Bridged { call },
    ];
    for fact in facts {
        house.core.lock().unwrap().fact(fact);
    }
    (id, agent, boss)
}

fn acts(house: &House) -> Vec<CallAct> {
    let orders = std::mem::take(&mut house.core.lock().unwrap().orders);
    let act = |effect| match effect {
        Effect::Call(CallOrder::Act { act, .. }) => Some(act),
        _ => None,
    };
    orders.into_iter().filter_map(act).collect()
}

fn types(house: &House, call: &str) -> Vec<(String, Value)> {
    let events = house.store.events_since(0, 1_000).unwrap();
    let shown = events.iter().map(|event| {
        json!(control_api::wire::event::Event::new(event, "n1", control_api::Masker::new(true)))
    });
    let of_call = shown.filter(|event| event["call_id"] == call);
    of_call.map(|event| (event["type"].as_str().unwrap().to_owned(), event["data"].clone())).collect()
}

#[tokio::test]
async fn supervision_goes_its_way() {
    let house = House::new();
    let (id, agent, boss) = joined(&house).await;
    let path = format!("/v1/calls/{id}/supervise");
    // Who sees agents does not listen to calls.
    for scopes in [&["supervise", "calls:write", "calls:read"][..], &["calls:read"]] {
        let token = house.token(scopes).await;
        let body = json!({"agent_id": boss, "mode": "listen"});
        house.ask(&token, Method::POST, &path, Some(body)).await.problem(403, "insufficient_scope");
    }
    for (body, pointers) in [
        (json!({"mode": "listen"}), vec!["/to"]),
        (json!({"agent_id": boss, "to": "13800138001", "mode": "listen"}), vec!["/to"]),
        (json!({"agent_id": boss, "mode": "spy"}), vec!["/mode"]),
        (json!({"agent_id": boss, "mode": "listen", "volume": 3}), vec!["/volume"]),
        (json!({"to": "12", "mode": "listen", "ring_timeout_ms": 5}), vec!["/to", "/ring_timeout_ms"]),
        (json!({"agent_id": "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D", "mode": "listen"}), vec!["/agent_id"]),
    ] {
        assert_eq!(house.post(&path, body).await.problem(400, "invalid_body"), pointers);
    }
    // Who is in the call cannot supervise it.
    let own = json!({"agent_id": agent, "mode": "listen"});
    house.post(&path, own).await.problem(409, "invalid_agent_state");
    house.delete(&path).await.problem(404, "not_found");
    acts(&house);

    let token = house.token(&["calls:supervise", "calls:read"]).await;
    let listen = Some(json!({"agent_id": boss, "mode": "listen"}));
    let accepted = house.ask(&token, Method::POST, &path, listen.clone()).await.is(202).json();
    let leg: LegId = accepted["leg_id"].as_str().unwrap().parse().unwrap();
    assert!(
        matches!(&acts(&house)[..], [CallAct::Join { leg: there, mode: Some(SupervisionMode::Listen), .. }] if *there == leg)
    );
    // Once more: nothing new.
    let again = house.ask(&token, Method::POST, &path, listen).await.is(202).json();
    assert_eq!((again["leg_id"].clone(), acts(&house)), (accepted["leg_id"].clone(), vec![]));
    let call: CallId = id.parse().unwrap();
    house.core.lock().unwrap().fact(CallFact::ParticipantJoined { call, leg });
    let shown = house.get(&format!("/v1/calls/{id}")).await.json();
    assert_eq!(shown["participants"][0]["mode"], "listen");
    assert_eq!(shown["participants"][0]["agent_id"], boss.as_str());
    // Another mode, in both ways.
    house.post(&path, json!({"agent_id": boss, "mode": "whisper"})).await.is(202);
    house.patch(&format!("{path}/{leg}"), json!({"mode": "barge"})).await.is(202);
    let modes = [SupervisionMode::Whisper, SupervisionMode::Barge];
    assert_eq!(acts(&house), modes.map(|mode| CallAct::SetMode { leg, mode }));
    house.delete(&format!("{path}/leg_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")).await.problem(404, "not_found");
    // A third party's way does not lead to supervisors without the scope.
    let clerk = house.token(&["calls:write"]).await;
    let other = format!("/v1/calls/{id}/participants/{leg}");
    house.ask(&clerk, Method::DELETE, &other, None).await.problem(403, "insufficient_scope");
    house.delete(&path).await.is(204);
    assert_eq!(acts(&house), [CallAct::Drop { leg }]);
    let (cause, took_over) = (EndCause::Normal, false);
    for _ in 0..2 {
        house.core.lock().unwrap().fact(CallFact::ParticipantLeft { call, leg, cause, took_over });
    }
    let told: Vec<(String, Value)> =
        types(&house, &id).into_iter().filter(|(kind, _)| kind.contains("supervis")).collect();
    let names: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected = ["supervised", "supervision_changed", "supervision_changed", "supervision_ended"]
        .map(|what| format!("call.{what}"));
    assert_eq!(names, expected);
    assert_eq!((&told[1].1["from"], &told[1].1["to"]), (&json!("listen"), &json!("whisper")));
    assert_eq!((&told[3].1["mode"], &told[3].1["cause"]), (&json!("barge"), &json!("normal")));
    let ended = CallFact::Ended { call, by: Party::Customer, cause, sip_code: Some(200), q850: None };
    house.core.lock().unwrap().fact(ended);
    let record = house.get(&format!("/v1/cdrs/{id}")).await.is(200).json();
    assert_eq!(record["participants"][0]["mode"], "barge");
    assert!(record["participants"][0]["joined_at"].is_string());
    house.delete(&path).await.problem(404, "not_found");
    let late = json!({"agent_id": boss, "mode": "listen"});
    house.post(&path, late).await.problem(409, "invalid_call_state");
}

#[tokio::test]
async fn a_third_party_is_called_by_the_rules_and_shown_masked() {
    let house = House::new();
    let (id, _, _) = joined(&house).await;
    let path = format!("/v1/calls/{id}/participants");
    let leg = house.post(&path, json!({"to": "13800138001"})).await.is(202).json()["leg_id"].clone();
    let leg: LegId = leg.as_str().unwrap().parse().unwrap();
    let masked = house.token(&["calls:read"]).await;
    let shown = house.ask(&masked, Method::GET, &path, None).await.is(200).json();
    assert_eq!(shown["data"][0]["to"], "+86138****8001");
    assert_eq!(house.get(&path).await.json()["data"][0]["to"], "+8613800138001");
    let call: CallId = id.parse().unwrap();
    let gone = CallFact::ParticipantLeft { call, leg, cause: EndCause::Busy, took_over: false };
    house.core.lock().unwrap().fact(gone);
    house.delete(&format!("{path}/{leg}")).await.problem(404, "not_found");
    let names: Vec<String> = types(&house, &id).into_iter().map(|(kind, _)| kind).collect();
    let told = names.iter().filter(|kind| kind.starts_with("call.participant")).cloned().collect::<Vec<_>>();
    assert_eq!(told, ["call.participant_added", "call.participant_left"]);
    // Not without its scope past a rule.
    let writer = house.token(&["calls:write"]).await;
    let body = json!({"to": "13800138001", "compliance_override": "asked for"});
    house.ask(&writer, Method::POST, &path, Some(body)).await.problem(403, "insufficient_scope");
    house.get("/v1/calls/call_01JC8Z3V5N8W6Q2R4T7Y9X1B3D/participants").await.problem(404, "not_found");
}

#[tokio::test]
async fn verbs_are_idempotent_and_say_what_is_wrong() {
    let house = House::new();
    house.gateway.set_prompts(crate::prompts::Shelf::with(&["hello"]));
    let (id, _, boss) = joined(&house).await;
    acts(&house);
    let path = |verb: &str| format!("/v1/calls/{id}/{verb}");
    let call: CallId = id.parse().unwrap();
    for _ in 0..2 {
        house.act(&path("hold")).await.is(202);
    }
    assert_eq!(acts(&house), [CallAct::Hold(true)]);
    house.core.lock().unwrap().fact(CallFact::Held { call, party: Party::Api });
    assert_eq!(house.get(&format!("/v1/calls/{id}")).await.json()["held_by"], "api");
    house.act(&path("unhold")).await.is(202);
    house.act(&path("stop_play")).await.problem(409, "invalid_call_state");
    house.core.lock().unwrap().fact(CallFact::Resumed { call, party: Party::Api });
    for _ in 0..2 {
        house.post(&path("mute"), json!({"party": "customer"})).await.is(202);
    }
    assert_eq!(house.get(&format!("/v1/calls/{id}")).await.json()["muted"], json!(["customer"]));
    house.post(&path("unmute"), json!({"party": "customer"})).await.is(202);
    assert_eq!(acts(&house).len(), 3);
    for (verb, body, pointer) in [
        ("mute", json!({"party": "nobody"}), "/party"),
        ("dtmf", json!({"digits": "12x"}), "/digits"),
        ("dtmf", json!({"digits": ""}), "/digits"),
        ("dtmf", json!({"digits": "1", "duration_ms": 5}), "/duration_ms"),
        ("transfer", json!({}), "/to"),
        ("transfer", json!({"agent_id": boss, "caller_id": "+4930555"}), "/agent_id"),
    ] {
        assert_eq!(house.post(&path(verb), body).await.problem(400, "invalid_body"), [pointer], "{verb}");
    }
    let unknown = house.post(&path("play"), json!({"prompt": "unknown"})).await;
    assert_eq!(unknown.problem(422, "unprocessable"), ["/prompt"]);
    house.post(&path("dtmf"), json!({"digits": "12#", "to": "agent"})).await.is(202);
    house.post(&path("play"), json!({"prompt": "hello", "to": "both"})).await.is(202);
    house.act(&path("stop_play")).await.is(202);
    house.post(&path("send_dtmf"), json!({"digits": "5"})).await.is(202);
    house.post(&path("transfer"), json!({"agent_id": boss})).await.is(202);
    house.post(&path("transfer"), json!({"to": "13800138001"})).await.problem(409, "invalid_call_state");
    let failed = CallFact::TransferFailed { call, to: "1002".into(), sip_code: 486 };
    house.core.lock().unwrap().fact(failed);
    house.post(&path("transfer"), json!({"to": "13800138001"})).await.is(202);
    assert_eq!(acts(&house).len(), 6);
    house.act("/v1/calls/call_01JC8Z3V5N8W6Q2R4T7Y9X1B3D/hold").await.problem(404, "not_found");
    house.act("/v1/calls/nonsense/hold").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_recording_is_started_paused_resumed_and_stopped() {
    let house = House::new();
    let (id, ..) = joined(&house).await;
    let path = |verb: &str| format!("/v1/calls/{id}/{verb}");
    for verb in ["record_pause", "record_resume", "record_stop"] {
        house.act(&path(verb)).await.problem(409, "invalid_call_state");
    }
    let reader = house.token(&["calls:read", "recordings:listen"]).await;
    for verb in ["record", "record_pause", "record_resume", "record_stop"] {
        house.ask(&reader, Method::POST, &path(verb), None).await.problem(403, "insufficient_scope");
    }
    house.post(&path("record"), json!({"channels": 2})).await.problem(400, "invalid_body");
    acts(&house);
    let recording = house.act(&path("record")).await.is(202).json()["recording_id"].clone();
    let name = recording.as_str().unwrap().parse().unwrap();
    house.act(&path("record")).await.problem(409, "invalid_call_state");
    let skip = json!({"pause_behavior": "skip"});
    assert_eq!(house.post(&path("record_pause"), skip).await.is(202).json()["recording_id"], recording);
    // Once more, and otherwise: it is paused as it was.
    house.act(&path("record_pause")).await.is(202);
    let other = house.post(&path("record_pause"), json!({"pause_behavior": "silence"})).await;
    other.problem(409, "invalid_call_state");
    let shown = house.get(&format!("/v1/calls/{id}")).await.is(200).json();
    let paused = json!({"recording_id": recording, "paused": true, "pause_behavior": "skip"});
    assert_eq!(shown["recording"], paused);
    house.act(&path("record_resume")).await.is(202);
    house.act(&path("record_resume")).await.is(202);
    house.act(&path("record_stop")).await.is(202);
    house.act(&path("record_stop")).await.problem(409, "invalid_call_state");
    let orders: Vec<RecordAct> = acts(&house)
        .into_iter()
        .filter_map(|act| if let CallAct::Record(act) = act { Some(act) } else { None })
        .collect();
    let expected = [
        RecordAct::Start(name),
        RecordAct::Pause(name, PauseBehavior::Skip),
        RecordAct::Resume(name),
        RecordAct::Stop(name),
    ];
    assert_eq!(orders, expected);
    let told: Vec<_> =
        types(&house, &id).into_iter().filter(|(kind, _)| kind.starts_with("recording")).collect();
    let of_it = json!({"recording_id": recording});
    let paused = json!({"recording_id": recording, "pause_behavior": "skip"});
    assert_eq!(told, [("recording.paused".to_owned(), paused), ("recording.resumed".to_owned(), of_it)]);
    let audit = house.get("/v1/audit?limit=100").await.is(200).json();
    let mut actions: Vec<&str> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["target"] == recording)
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    actions.sort_unstable();
    assert_eq!(
        actions,
        [
            "recording.paused",
            "recording.paused",
            "recording.resumed",
            "recording.resumed",
            "recording.start_asked",
            "recording.stopped"
        ]
    );
}

/// Each command that was taken is told of once: what it led to, or that it led to nothing.
#[tokio::test]
async fn commands_tell_how_they_came_out() {
    let house = House::new();
    let (id, _, boss) = joined(&house).await;
    let path = |verb: &str| format!("/v1/calls/{id}/{verb}");
    let call: CallId = id.parse().unwrap();
    let fact = |fact| house.core.lock().unwrap().fact(fact);
    let told = || -> Vec<(String, Value)> {
        let all = types(&house, &id).into_iter();
        all.filter(|(kind, _)| kind.starts_with("command.")).collect()
    };
    let named = |verb: &str, id: &str, mut body: Value| {
        body["command_id"] = json!(id);
        let house = &house;
        let path = path(verb);
        let id = id.to_owned();
        async move {
            let taken = house.post(&path, body).await.is(202).json();
            assert_eq!(taken["command_id"], id, "{path}");
        }
    };
    let done =
        |id: &str, verb: &str| ("command.completed".to_owned(), json!({"command_id": id, "command": verb}));
    let failed = |id: &str, verb: &str, reason: &str| {
        ("command.failed".to_owned(), json!({"command_id": id, "command": verb, "reason": reason}))
    };
    named("hold", "h", json!({})).await;
    assert_eq!(told(), [], "nobody hears music yet");
    fact(CallFact::Held { call, party: Party::Api });
    named("hold", "again", json!({})).await;
    named("mute", "m", json!({"party": "customer"})).await;
    named("dtmf", "d", json!({"digits": "1"})).await;
    let mut expected = vec![done("h", "hold"), done("again", "hold"), done("m", "mute"), done("d", "dtmf")];
    assert_eq!(told(), expected);
    named("transfer", "t", json!({"agent_id": boss})).await;
    fact(CallFact::TransferFailed { call, to: "1002".into(), sip_code: 486 });
    expected.push(failed("t", "transfer", "refused with 486"));
    named("record", "r", json!({})).await;
    named("supervise", "s", json!({"agent_id": boss, "mode": "listen"})).await;
    assert_eq!(told(), expected);
    // What is refused was not taken.
    let refused = json!({"digits": "x", "command_id": "bad"});
    house.post(&path("dtmf"), refused).await.problem(400, "invalid_body");
    let long = json!({"command_id": "x".repeat(129)});
    assert_eq!(house.post(&path("hold"), long).await.problem(400, "invalid_body"), ["/command_id"]);
    let unnamed = house.act(&path("hangup")).await.is(202).json()["command_id"].clone();
    let (by, cause) = (Party::Api, EndCause::Normal);
    fact(CallFact::Ended { call, by, cause, sip_code: Some(200), q850: None });
    let unnamed = unnamed.as_str().unwrap();
    expected.extend([
        failed("s", "supervise", "normal"),
        failed("r", "record", "call_ended"),
        done(unnamed, "hangup"),
    ]);
    assert_eq!(told(), expected);
    let all: Vec<String> = types(&house, &id).into_iter().map(|(kind, _)| kind).collect();
    let end = all.iter().position(|kind| kind == "call.ended").unwrap();
    assert!(all.iter().rposition(|kind| kind.starts_with("command.")).unwrap() < end, "{all:?}");
}

#[tokio::test]
async fn a_consultation_holds_the_customer_until_all_talk_or_it_comes_to_nothing() {
    let house = House::new();
    let (id, _, boss) = joined(&house).await;
    let call: CallId = id.parse().unwrap();
    let path = format!("/v1/calls/{id}");
    let state = house.act(&format!("{path}/merge")).await;
    state.problem(409, "invalid_call_state");
    assert_eq!(state.json()["state"], "bridged");
    acts(&house);
    let ask = async |command: &str| {
        let body = json!({"agent_id": boss, "command_id": command});
        house.post(&format!("{path}/consult"), body).await.is(202).json()["leg_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let leg = ask("first").await;
    assert!(matches!(acts(&house)[..], [CallAct::Join { mode: None, .. }, CallAct::Hold(true)]));
    let again = json!({"agent_id": boss});
    house.post(&format!("{path}/consult"), again).await.problem(409, "invalid_call_state");
    let fact = |fact| house.core.lock().unwrap().fact(fact);
    fact(CallFact::Held { call, party: Party::Api });
    // The one who is asked does not answer: the customer is back.
    let gone = |leg: &str| CallFact::ParticipantLeft {
        call,
        leg: leg.parse().unwrap(),
        cause: EndCause::NoAnswer,
        took_over: false,
    };
    fact(gone(&leg));
    assert!(matches!(acts(&house)[..], [CallAct::Hold(false)]));
    fact(CallFact::Resumed { call, party: Party::Api });
    // The next one answers, and joins all.
    let leg = ask("second").await;
    fact(CallFact::Held { call, party: Party::Api });
    house.act(&format!("{path}/merge")).await.problem(409, "invalid_call_state");
    fact(CallFact::ParticipantJoined { call, leg: leg.parse().unwrap() });
    acts(&house);
    house.post(&format!("{path}/merge"), json!({"command_id": "all"})).await.is(202);
    assert!(matches!(acts(&house)[..], [CallAct::Hold(false)]));
    fact(CallFact::Resumed { call, party: Party::Api });
    fact(gone(&leg));
    assert!(acts(&house).is_empty(), "nobody waits any longer");
    let told = types(&house, &id);
    let commands: Vec<_> = told.iter().filter(|(kind, _)| kind.starts_with("command.")).collect();
    let came_out =
        |(kind, data): &(String, Value)| (kind.clone(), data["command_id"].clone(), data["command"].clone());
    let all: Vec<_> = commands.into_iter().map(came_out).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[0], ("command.failed".into(), json!("first"), json!("consult")));
    assert_eq!(all[1], ("command.completed".into(), json!("second"), json!("consult")));
    assert_eq!(all[2], ("command.completed".into(), json!("all"), json!("merge")));
}

#[tokio::test]
async fn digits_are_collected_up_to_a_number_a_key_or_a_silence() {
    let house = House::new();
    let (id, _, _) = joined(&house).await;
    let call: CallId = id.parse().unwrap();
    let path = format!("/v1/calls/{id}/collect");
    let collect = async |name: &str, more: Value| {
        let mut body = json!({"command_id": name});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        house.post(&path, body).await
    };
    let press = |digits: &str| {
        for digit in digits.chars() {
            let fact = CallFact::Dtmf { call, party: Party::Customer, digit, duration_ms: 100 };
            house.core.lock().unwrap().fact(fact);
        }
    };
    collect("four", json!({"digits_max": 4})).await.is(202);
    collect("meanwhile", json!({})).await.problem(409, "invalid_call_state");
    press("12345");
    collect("key", json!({"digits_max": 9, "finish_on": "#"})).await.is(202);
    press("77#");
    collect("late", json!({"digits_max": 9, "timeout_ms": 3_000})).await.is(202);
    press("5");
    house.core.lock().unwrap().pass(2_999);
    press("6");
    house.core.lock().unwrap().pass(2_999);
    let collected = || -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = types(&house, &id).into_iter().filter(|(kind, _)| kind == "call.collected");
        told.map(|(_, data)| (text(&data["digits"]), text(&data["ended_by"]))).collect()
    };
    assert_eq!(collected().len(), 2, "each digit gives time for another");
    house.core.lock().unwrap().pass(1);
    collect("nothing", json!({"timeout_ms": 100})).await.is(202);
    house.core.lock().unwrap().pass(100);
    collect("cut", json!({"digits_max": 9})).await.is(202);
    press("8");
    let end = CallFact::Ended {
        call,
        by: Party::Customer,
        cause: EndCause::Normal,
        sip_code: None,
        q850: Some(16),
    };
    house.core.lock().unwrap().fact(end);
    let pair = |digits: &str, by: &str| (digits.to_owned(), by.to_owned());
    let all = [
        pair("1234", "digits_max"),
        pair("77", "finish_on"),
        pair("56", "timeout"),
        pair("", "timeout"),
        pair("8", "call_ended"),
    ];
    assert_eq!(collected(), all);
    let failed: Vec<Value> = types(&house, &id)
        .into_iter()
        .filter(|(kind, _)| kind == "command.failed")
        .map(|(_, data)| data["command_id"].clone())
        .collect();
    assert_eq!(failed, [json!("nothing")]);
    collect("over", json!({})).await.problem(409, "invalid_call_state");
    for (body, pointer) in [
        (json!({"digits_max": 33}), "/digits_max"),
        (json!({"finish_on": "##"}), "/finish_on"),
        (json!({"timeout_ms": 1}), "/timeout_ms"),
    ] {
        assert_eq!(house.post(&path, body).await.problem(400, "invalid_body"), [pointer]);
    }
}

#[tokio::test]
async fn what_a_call_is_not_ready_for_is_refused_with_its_state() {
    let house = House::new();
    let (id, agent, _) = joined(&house).await;
    let path = format!("/v1/calls/{id}");
    for (verb, body) in [("bridge", json!({"agent_id": agent})), ("bridge", json!({})), ("answer", json!({}))]
    {
        let refused = house.post(&format!("{path}/{verb}"), body).await;
        refused.problem(409, "invalid_call_state");
        assert_eq!(refused.json()["state"], "bridged", "{verb}");
    }
    let nobody = json!({"agent_id": "agt_00000000000000000000000000"});
    assert_eq!(
        house.post(&format!("{path}/bridge"), nobody).await.problem(400, "invalid_body"),
        ["/agent_id"]
    );
}

#[tokio::test]
async fn a_text_is_said_once_made() {
    let house = House::new();
    let (id, _, _) = joined(&house).await;
    let path = format!("/v1/calls/{id}/say");
    let body = json!({"text": "Please hold the line."});
    house.post(&path, body.clone()).await.problem(409, "conflict");
    house.gateway.set_prompts(crate::prompts::Shelf::with(&[]));
    acts(&house);
    for _ in 0..2 {
        house.post(&path, body.clone()).await.is(202);
    }
    let played: Vec<String> = acts(&house)
        .into_iter()
        .filter_map(|act| match act {
            CallAct::Play { prompt, .. } => Some(prompt),
            _ => None,
        })
        .collect();
    assert_eq!((played.len(), &played[0]), (2, &played[1]));
    let shown = house.get(&format!("/v1/prompts/{}", played[0])).await.is(200).json();
    assert_eq!((&shown["source"], &shown["text"]), (&json!("text"), &json!("Please hold the line.")));
    house.post(&path, json!({"text": "mute"})).await.problem(409, "conflict");
    assert_eq!(house.post(&path, json!({"text": " "})).await.problem(400, "invalid_body"), ["/text"]);
}

#[tokio::test]
async fn a_parked_customer_is_given_to_another_agent() {
    let house = House::new();
    let (id, agent, boss) = joined(&house).await;
    let path = format!("/v1/calls/{id}");
    let wrong = json!({"timeout_ms": 5});
    assert_eq!(
        house.post(&format!("{path}/park"), wrong).await.problem(400, "invalid_body"),
        ["/timeout_ms"]
    );
    acts(&house);
    let body = json!({"timeout_ms": 60_000, "command_id": "aside"});
    house.post(&format!("{path}/park"), body).await.is(202);
    assert_eq!(acts(&house), [CallAct::Park]);
    let shown = house.get(&path).await.is(200).json();
    assert_eq!((&shown["state"], &shown["agent_id"]), (&json!("parked"), &Value::Null));
    house.act(&format!("{path}/park")).await.problem(409, "invalid_call_state");
    assert_eq!(house.get("/v1/calls?state=parked").await.is(200).json()["data"].as_array().unwrap().len(), 1);
    house.post(&format!("/v1/agents/{boss}:login"), json!({"session": "on_demand"})).await.is(200);
    house.post(&format!("{path}/bridge"), json!({"agent_id": boss, "command_id": "back"})).await.is(202);
    let call: CallId = id.parse().unwrap();
    let boss = boss.parse().unwrap();
    for fact in [CallFact::AgentAnswered { call, agent: boss }, CallFact::Bridged { call }] {
        house.core.lock().unwrap().fact(fact);
    }
    let told = types(&house, &id);
    let at = |kind: &str| told.iter().position(|(there, _)| there == kind).unwrap();
    let unbridged = &told[at("call.unbridged")].1;
    assert_eq!((&unbridged["reason"], &unbridged["agent_id"]), (&json!("parked"), &json!(agent)));
    let outcomes: Vec<_> = told
        .iter()
        .filter(|(kind, _)| kind == "command.completed")
        .map(|(_, data)| &data["command"])
        .collect();
    assert_eq!(outcomes, [&json!("park"), &json!("bridge")]);
    let shown = house.get(&path).await.is(200).json();
    assert_eq!((&shown["state"], &shown["agent_id"]), (&json!("bridged"), &json!(boss)));
}
