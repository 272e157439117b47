//! Records in files, and added up.

use crate::house::House;
use crate::resources::record;
use dialer_core::Record;
use serde_json::Value;
use store::Store;

fn kept(house: &House, count: u128) {
    let records = (1..=count)
        .map(|n| Record::CallEnded(Box::new(record(n, "+8613900139000", i64::try_from(n).unwrap() * 1_000))));
    house.store.append(1_000_000, records.collect());
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
}

#[tokio::test]
async fn records_are_exported_whole_and_masked() {
    let house = House::new();
    kept(&house, 2_500);
    let reply = house.get("/v1/cdrs:export").await.is(200);
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"cdrs.ndjson\"");
    let rows: Vec<Value> = reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2_500);
    assert_eq!(rows[0]["to"], "+8613900139000");
    let reader = house.token(&["calls:read"]).await;
    let path = "/v1/cdrs:export?format=csv&outcome=busy";
    let reply = house.ask(&reader, axum::http::Method::GET, path, None).await.is(200);
    let mut csv = csv::Reader::from_reader(reply.text.as_bytes());
    let names = csv.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|known| known == name).unwrap();
    let lines: Vec<_> = csv.records().map(Result::unwrap).collect();
    let busy = rows.iter().filter(|row| row["outcome"] == "busy").count();
    assert!(busy > 0 && lines.len() == busy);
    assert!(lines.iter().all(|line| line[at("to")] == *"+86139****9000" && line[at("outcome")] == *"busy"));
    house.get("/v1/cdrs:export?format=xlsx").await.problem(400, "invalid_parameter");
    let nobody = house.token(&["leads:read"]).await;
    let reply = house.ask(&nobody, axum::http::Method::GET, path, None).await;
    reply.problem(403, "insufficient_scope");
}

#[tokio::test]
async fn reports_add_up() {
    let house = House::new();
    kept(&house, 9);
    let all = house.get("/v1/cdrs").await.is(200).json();
    let of = |look: &dyn Fn(&Value) -> bool| {
        all["data"].as_array().unwrap().iter().filter(|row| look(row)).count() as u64
    };
    for (report, column) in [
        ("agents", "agent_id"),
        ("campaigns", "campaign_id"),
        ("trunks", "trunk_id"),
        ("caller-ids", "caller_id"),
        ("outcomes", "outcome"),
    ] {
        let told = house.get(&format!("/v1/reports/{report}")).await.is(200).json();
        assert_eq!(told["total"]["calls"], 9, "{report}");
        for row in told["data"].as_array().unwrap() {
            let name = &row[column];
            assert_eq!(row["calls"], of(&|cdr| cdr[column] == *name), "{report} {name}");
            let answered = of(&|cdr| cdr[column] == *name && !cdr["answered_at"].is_null());
            assert_eq!(row["answered"], answered, "{report} {name}");
        }
    }
    let hours = house.get("/v1/reports/hours").await.is(200).json();
    assert_eq!(hours["data"].as_array().unwrap().len(), 1);
    let csv = house.get("/v1/reports/outcomes?format=csv").await.is(200);
    assert!(csv.text.starts_with("outcome,calls,answered,"), "{}", csv.text);
    house.get("/v1/reports/nothing").await.problem(404, "not_found");
    house.get("/v1/reports/agents?from=yesterday").await.problem(400, "invalid_parameter");
}

/// Time at work is kept when the events that told of it are gone, and what has not ended counts up to now.
#[tokio::test]
async fn agents_have_their_time_in_each_state() {
    let house = House::new();
    let (ada, bob) = (house.agent("ada").await, house.agent("bob").await);
    let device = serde_json::json!({"kind": "address", "uri": "sip:192.0.2.40"});
    house.patch(&format!("/v1/agents/{ada}"), serde_json::json!({"device": device})).await.is(200);
    let pass = |ms| house.core.lock().unwrap().pass(ms);
    let post = async |verb: &str, body: Value| house.post(&format!("/v1/agents/{ada}:{verb}"), body).await;
    post("login", serde_json::json!({"session": "on_demand"})).await.is(200);
    // Over the full hour: it is 02:03:04 at the start.
    pass(3_600_000);
    post("pause", serde_json::json!({"code": "tea"})).await.is(200);
    pass(600_000);
    post("ready", serde_json::json!({})).await.is(200);
    pass(60_000);
    post("logout", serde_json::json!({})).await.is(200);
    pass(5_000_000);
    let report = async |query: &str| house.get(&format!("/v1/reports/agents{query}")).await.is(200);
    let told = report("").await.json();
    let row = told["data"].as_array().unwrap().iter().find(|row| row["agent_id"] == ada.as_str()).unwrap();
    assert_eq!((&row["state_ms"]["ready"], &row["state_ms"]["paused"]), (&3_660_000.into(), &600_000.into()));
    assert_eq!((&row["logged_in_ms"], &row["occupancy"]), (&4_260_000.into(), &0.0.into()));
    assert_eq!(told["total"]["logged_in_ms"], 4_260_000);
    assert!(told["data"].as_array().unwrap().iter().all(|row| row["agent_id"] != bob.as_str()));
    let first = report("?to=2026-10-01T03:00:00Z").await.json();
    assert_eq!(first["data"][0]["state_ms"]["ready"], 56 * 60_000 + 56_000, "of the first hour");
    let csv = report("?format=csv").await.text;
    assert!(csv.lines().next().unwrap().ends_with("state_ms.paused,state_ms.logged_out"), "{csv}");
    assert!(csv.contains(",4260000,0.0,"), "{csv}");
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    let of_one = report(&format!("?campaign={campaign}")).await.json();
    assert_eq!(of_one["data"].as_array().unwrap().len(), 0, "{of_one}");
}
