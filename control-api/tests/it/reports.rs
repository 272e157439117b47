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
