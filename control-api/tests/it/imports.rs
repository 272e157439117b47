//! Importing leads, by friend and foe.

use crate::house::{House, ROOT};
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::future::IntoFuture;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

fn results(lines: &[Value]) -> Vec<(u64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), text(&line["result"]), text(&line["code"])))
        .collect()
}

fn row(line: u64, result: &str, code: &str) -> (u64, String, String) {
    (line, result.into(), code.into())
}

#[tokio::test]
async fn a_csv_is_imported_row_by_row() {
    let house = House::new();
    let list = house.list().await;
    let text = "phone,external_id,priority,tz,name\r\n\
        13800138000,crm-1,5,Asia/Shanghai,\"王, 五\"\r\n\
        hello,crm-2,,,\r\n\
        13800138000,crm-3,,,\r\n\
        13900139000,crm-1,,,\r\n\
        13900139001,crm-4,,,\"open\r\n\
        13900139002,crm-5,,\r\n\
        13900139003,crm-6,high,,\r\n\
        13900139004,crm-7,,Mars/Base,\r\n\
        \r\n\
        +8613900139005,crm-8,,,ok";
    let lines = house.import(&format!("/v1/lists/{list}/leads:import"), CSV, text).await;
    assert_eq!(
        results(&lines),
        [
            row(2, "accepted", ""),
            row(3, "invalid_number", "not_e164"),
            row(4, "duplicate", "number"),
            row(5, "duplicate", "external_id"),
            row(6, "invalid_row", "bad_quotes"),
            row(7, "invalid_row", "wrong_columns"),
            row(8, "invalid_row", "invalid_priority"),
            row(9, "invalid_row", "unknown_time_zone"),
            row(11, "accepted", ""),
        ]
    );
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!(
        (
            &summary["lines"],
            &summary["accepted"],
            &summary["duplicates"],
            &summary["rejected"],
            &summary["complete"]
        ),
        (&json!(9), &json!(2), &json!(2), &json!(5), &json!(true))
    );
    assert_eq!(lines[1]["pointer"], "/phone");
    let page = house.get(&format!("/v1/lists/{list}/leads?include=total")).await.is(200).json();
    assert_eq!(page["total"], 2);
    let lead = &page["data"][0];
    assert_eq!(
        (&lead["phones"][0]["number"], &lead["phones"][0]["raw"], &lead["fields"]["name"], &lead["priority"]),
        (&json!("+8613800138000"), &json!("13800138000"), &json!("王, 五"), &json!(5))
    );
    assert_eq!(lines[0]["lead_id"], lead["id"]);
    house.get(&format!("/v1/lists/{list}/leads?state=done")).await.is(200);
    house.get(&format!("/v1/lists/{list}/leads?state=x")).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn ndjson_is_imported_line_by_line() {
    let house = House::new();
    let list = house.list().await;
    let mut text = Vec::new();
    text.extend_from_slice(br#"{"external_id":"crm-1","phones":[{"number":"13800138000","type":"mobile"},{"number":"021-55556666","type":"work"}],"priority":50,"tz":"Asia/Shanghai","fields":{"name":"x"},"expires_at":"2026-10-31T00:00:00Z"}"#);
    text.extend_from_slice(
        b"\n{\"phone\":\"1\xff\"}\n\n[1]\n{\"phone\":\n{\"phone\":\"13900139000\",\"colour\":1}\n",
    );
    text.extend_from_slice(format!("{{\"phone\":\"{}\"}}\n", "1".repeat(100_000)).as_bytes());
    text.extend_from_slice(br#"{"external_id":"crm-2","phones":[{"number":"13900139000"},{"number":"12"}]}"#);
    text.extend_from_slice(b"\n{\"phone\":\"13900139001\"}");
    let lines = house.import(&format!("/v1/lists/{list}/leads:import"), NDJSON, text).await;
    assert_eq!(
        results(&lines),
        [
            row(1, "accepted", ""),
            row(2, "invalid_row", "invalid_utf8"),
            row(4, "invalid_row", "invalid_field"),
            row(5, "invalid_row", "invalid_json"),
            row(6, "invalid_row", "invalid_field"),
            row(7, "invalid_row", "row_too_long"),
            row(8, "invalid_number", "wrong_length"),
            row(9, "accepted", ""),
        ]
    );
    assert_eq!(lines[0]["time_zone"], "Asia/Shanghai");
    assert_eq!(lines[4]["pointer"], "/colour");
    assert_eq!(
        (&lines[6]["pointer"], &lines[6]["external_id"]),
        (&json!("/phones/1/number"), &json!("crm-2"))
    );
}

#[tokio::test]
async fn options_are_obeyed() {
    let house = House::new();
    let (list, other) =
        (house.list().await, house.made(&house.post("/v1/lists", json!({"name": "x"})).await));
    let path = format!("/v1/lists/{list}/leads:import");
    let one = "external_id,phone,name\ncrm-1,13800138000,old";
    let dry = house.import(&format!("{path}?dry_run=true"), CSV, one).await;
    assert_eq!((results(&dry), &dry[1]["summary"]["dry_run"]), (vec![row(2, "accepted", "")], &json!(true)));
    assert_eq!(house.get(&format!("/v1/lists/{list}")).await.json()["leads"]["total"], 0);
    house.import(&path, CSV, one).await;
    let new = "external_id,phone,name\ncrm-1,13800138000,new";
    assert_eq!(results(&house.import(&path, CSV, new).await), [row(2, "duplicate", "external_id")]);
    let strict = house.import(&format!("{path}?on_duplicate=error"), CSV, new).await;
    assert_eq!(strict[1]["summary"]["rejected"], 1);
    assert_eq!(
        results(&house.import(&format!("{path}?on_duplicate=update"), CSV, new).await),
        [row(2, "updated", "")]
    );
    let lead = house.get(&format!("/v1/lists/{list}/leads")).await.json()["data"][0].clone();
    assert_eq!(lead["fields"]["name"], "new");
    let elsewhere = format!("/v1/lists/{other}/leads:import");
    let number = "phone\n13800138000";
    assert_eq!(
        results(&house.import(&format!("{elsewhere}?dedupe_scope=tenant"), CSV, number).await),
        [row(2, "duplicate", "number")]
    );
    assert_eq!(
        results(&house.import(&format!("{elsewhere}?dry_run=true"), CSV, number).await),
        [row(2, "accepted", "")]
    );
    let campaign = house.campaign(&[&list, &other]).await;
    for scope in [
        format!("{elsewhere}?dedupe_scope=campaign"),
        format!("{elsewhere}?dedupe_scope=campaign&campaign={campaign}"),
    ] {
        assert_eq!(results(&house.import(&scope, CSV, number).await), [row(2, "duplicate", "number")]);
    }
    assert_eq!(
        results(&house.import(&format!("{path}?dedupe_scope=none"), CSV, number).await),
        [row(2, "accepted", "")]
    );
    let us = house
        .import(&format!("{path}?region=US&time_zone=America/New_York"), CSV, "phone\n(415) 555-0123")
        .await;
    assert_eq!(
        (results(&us), &us[0]["time_zone"]),
        (vec![row(2, "accepted", "")], &json!("America/New_York"))
    );
    for (query, name) in [
        ("on_duplicate=maybe", "on_duplicate"),
        ("dedupe_scope=world", "dedupe_scope"),
        ("dry_run=1", "dry_run"),
        ("region=china", "region"),
        ("time_zone=from_moon", "time_zone"),
        ("colour=red", "colour"),
        ("campaign=camp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D", "campaign"),
    ] {
        let reply = house.import_as(ROOT, &format!("{path}?{query}"), CSV, "phone\n1").await;
        assert_eq!(reply.problem(400, "invalid_parameter"), [name]);
    }
}

#[tokio::test]
async fn bodies_that_are_no_import_are_refused_as_a_whole() {
    let house = House::new();
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads:import");
    house.import_as(ROOT, &path, "application/json", "{}").await.problem(415, "unsupported_media_type");
    house.import_as(ROOT, &path, CSV, "").await.problem(400, "invalid_body");
    house.import_as(ROOT, &path, CSV, "name,city\n1,2").await.problem(400, "invalid_body");
    house.import_as(ROOT, &path, CSV, "phone,phone\n1,2").await.problem(400, "invalid_body");
    house.import_as(ROOT, &path, CSV, "x".repeat(200_000)).await.problem(400, "invalid_body");
    for (encoding, body, status, code) in [
        ("br", "phone\n13800138000", 415, "unsupported_media_type"),
        ("gzip, gzip", "phone\n13800138000", 415, "unsupported_media_type"),
        ("gzip", "phone\n13800138000", 400, "invalid_body"),
    ] {
        house.send(packed_import(&path, CSV, encoding, body.into())).await.problem(status, code);
    }
    let mut told = house.import(&path, NDJSON, "").await;
    told[0]["summary"]["ms"] = json!(0);
    assert_eq!(
        told,
        [
            json!({"summary": {"lines": 0, "accepted": 0, "updated": 0, "duplicates": 0, "dnc": 0, "rejected": 0, "ms": 0, "dry_run": false, "complete": true}})
        ]
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_until_it_has_sent_all_does_not_block() {
    let house = House::new();
    let list = house.list().await;
    let chunks = (0..80).map(|chunk| {
        let rows: String = (0..100).map(|row| format!("{{\"phone\":\"138{chunk:04}{row:04}\"}}\n")).collect();
        Ok::<_, std::io::Error>(Bytes::from(rows))
    });
    let (sent, mut all_sent) = tokio::sync::oneshot::channel();
    let mut sent = Some(sent);
    let body = futures_util::stream::iter(chunks).chain(futures_util::stream::poll_fn(move |_| {
        if let Some(sent) = sent.take() {
            let _ = sent.send(());
        }
        std::task::Poll::Ready(None)
    }));
    let request = Request::post(format!("/v1/lists/{list}/leads:import?dedupe_scope=none"))
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", NDJSON)
        .body(Body::from_stream(body))
        .unwrap();
    let response = house.router.clone().oneshot(request).await.unwrap();
    // Nothing of the response is read before everything was taken.
    (&mut all_sent).await.unwrap();
    let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 8_001);
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["accepted"], 8_000);
    assert_eq!(house.get(&format!("/v1/lists/{list}")).await.json()["leads"]["total"], 8_000);
}

#[tokio::test]
async fn verdicts_come_while_rows_are_still_sent_and_a_broken_body_is_told() {
    let house = House::new();
    let list = house.list().await;
    let (rows, received) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let body = futures_util::stream::unfold(received, |mut received| async {
        Some((received.recv().await?, received))
    });
    let request = Request::post(format!("/v1/lists/{list}/leads:import"))
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", NDJSON)
        .body(Body::from_stream(body))
        .unwrap();
    let response = house.router.clone().oneshot(request).await.unwrap();
    let mut verdicts = response.into_body().into_data_stream();
    rows.send(Ok(Bytes::from("{\"phone\":\"13800138000\"}\n{\"pho"))).await.unwrap();
    let first = verdicts.next().await.unwrap().unwrap();
    let first: Value = serde_json::from_slice(&first).expect("one verdict, and no summary yet");
    assert_eq!(first["result"], "accepted");
    rows.send(Err(std::io::Error::other("cable cut"))).await.unwrap();
    let mut rest = Vec::new();
    while let Some(bytes) = verdicts.next().await {
        rest.extend_from_slice(&bytes.unwrap());
    }
    let summary: Value = serde_json::from_slice(&rest).unwrap();
    assert_eq!(
        (&summary["summary"]["complete"], &summary["summary"]["accepted"]),
        (&json!(false), &json!(1))
    );
}

#[tokio::test]
async fn leads_are_added_one_by_one_and_in_batches() {
    let house = House::new();
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads");
    let made = house
        .post(&path, json!({"external_id": "crm-1", "phone": "13800138000", "fields": {"age": 40}}))
        .await
        .is(201);
    let lead = house.get(made.header("location")).await.is(200).json();
    assert_eq!(
        (&lead["external_id"], &lead["fields"]["age"], &lead["state"]),
        (&json!("crm-1"), &json!("40"), &json!("new"))
    );
    let twin = house.post(&path, json!({"external_id": "crm-1", "phone": "13800138001"})).await;
    twin.problem(409, "conflict");
    assert_eq!(twin.json()["lead_id"], lead["id"]);
    house
        .post(&format!("{path}?on_duplicate=update"), json!({"external_id": "crm-1", "phone": "13800138001"}))
        .await
        .is(200);
    assert_eq!(
        house.post(&path, json!({"phones": [{"number": "x"}]})).await.problem(400, "invalid_body"),
        ["/phones/0/number"]
    );
    assert_eq!(house.post(&path, json!({"phone": "1", "x": 1})).await.problem(400, "invalid_body"), ["/x"]);
    assert_eq!(
        house.post(&path, json!({"leads": [{"phone": 1}]})).await.problem(400, "invalid_body"),
        ["/leads/0/phone"]
    );
    assert_eq!(house.post(&path, json!({"leads": []})).await.problem(400, "invalid_body"), ["/leads"]);
    let batch = json!({"leads": [{"phone": "13800138002"}, {"phone": "x"}, {"external_id": "crm-1", "phone": "13800138003"}]});
    let reply = house.post(&path, batch).await.is(200).json();
    let verdicts: Vec<_> =
        reply["data"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["accepted", "invalid_number", "duplicate"]);
    assert_eq!(reply["summary"]["accepted"], 1);
    house.ask(ROOT, Method::DELETE, &path, None).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn over_a_real_connection_with_small_buffers_nothing_jams() {
    let house = House::new();
    let list = house.list().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, house.router.clone()).into_future());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let rows: String = (0..30_000).map(|row| format!("138001{row:05}\n")).collect();
    let body = format!("phone\n{rows}");
    // HTTP/1.0: the answer comes without the marks of chunks, which may fall into the middle of a verdict.
    let head = format!(
        "POST /v1/lists/{list}/leads:import?dry_run=true&dedupe_scope=none HTTP/1.0\r\nHost: x\r\n\
         Authorization: Bearer {ROOT}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // Everything is sent before anything is read, as simple clients do.
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK"), "{}", &text[..200]);
    assert_eq!(text.matches("\"accepted\"").count(), 30_001, "a verdict per row, and the summary");
    assert!(text.contains("\"complete\":true"));
    server.abort();
}

#[tokio::test]
async fn rows_on_do_not_call_lists_are_told_and_not_taken() {
    let house = House::new();
    let list = house.list().await;
    let made = async |body: Value| house.made(&house.post("/v1/dnc-lists", body).await);
    let dnc = made(json!({"name": "national"})).await;
    let own = made(json!({"name": "own", "everywhere": false})).await;
    let put = async |id: &str, numbers: Value| {
        let body = json!({"numbers": numbers});
        house.post(&format!("/v1/dnc-lists/{id}/numbers"), body).await.is(200);
    };
    put(&dnc, json!(["+8613800138000", "+86139*"])).await;
    put(&own, json!(["+8613600136000"])).await;
    let text = "phone,phone2,external_id\n\
        13800138000,,on it\n\
        13900139000,13800138000,both on it\n\
        13800138000,13700137001,one of two\n\
        13600136000,,of a campaign's own list\n";
    for query in ["?dry_run=true", ""] {
        let lines = house.import(&format!("/v1/lists/{list}/leads:import{query}"), CSV, text).await;
        assert_eq!(
            results(&lines),
            [row(2, "dnc", ""), row(3, "dnc", ""), row(4, "accepted", ""), row(5, "accepted", ""),]
        );
        let summary = &lines.last().unwrap()["summary"];
        assert_eq!(
            (&summary["dnc"], &summary["rejected"], &summary["accepted"]),
            (&json!(2), &json!(2), &json!(2))
        );
    }
    let refused = house.post(&format!("/v1/lists/{list}/leads"), json!({"phone": "+8613912345678"})).await;
    refused.problem(409, "conflict");
    assert_eq!(refused.json()["result"], "dnc");
}

fn packed_import(path: &str, kind: &str, encoding: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(path)
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", kind)
        .header("content-encoding", encoding)
        .body(Body::from(body))
        .unwrap()
}

fn packed(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_bombs_end_with_a_summary() {
    let house = House::new();
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads:import");
    let rows: String = (0..500).map(|n| format!("{{\"phone\":\"13800{n:06}\"}}\n")).collect();
    let told = |reply: crate::house::Reply| -> Value {
        let last = reply.text.trim_end().rsplit('\n').next().unwrap().to_owned();
        serde_json::from_str::<Value>(&last).unwrap()["summary"].clone()
    };
    let summary = told(house.send(packed_import(&path, NDJSON, "gzip", packed(&rows))).await.is(200));
    assert_eq!((&summary["accepted"], &summary["complete"]), (&json!(500), &json!(true)), "{summary}");
    // What came before it broke off is stored.
    let mut torn = packed(&(rows.replace("13800", "13900") + &"x".repeat(100)));
    torn.truncate(torn.len() - 4);
    let summary = told(house.send(packed_import(&path, NDJSON, "gzip", torn)).await.is(200));
    assert_eq!(summary["complete"], false);
    assert!(summary["error"].as_str().unwrap().contains("gzip"), "{summary}");
    let bomb = packed(&"\n".repeat(64 << 20));
    let summary = told(house.send(packed_import(&path, NDJSON, "gzip", bomb)).await.is(200));
    assert_eq!(summary["complete"], false);
    assert!(summary["error"].as_str().unwrap().contains("200 times"), "{summary}");
    // Other bodies too, up to what they may have.
    let body = packed(&json!({"name": "packed"}).to_string());
    house.send(packed_import("/v1/lists", "application/json", "gzip", body)).await.is(201);
    let long = packed(&json!({"name": "x".repeat(2 << 20)}).to_string());
    house
        .send(packed_import("/v1/lists", "application/json", "gzip", long))
        .await
        .problem(413, "payload_too_large");
}

fn asking(list: &str, token: &str, prefer: &str, text: &'static str) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/lists/{list}/leads:import?time_zone=from_number"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", CSV)
        .header("prefer", prefer)
        .body(Body::from(text))
        .unwrap()
}

/// The answer comes when the body is here; how far it is and what became of it can be asked for afterwards.
#[tokio::test]
async fn an_import_goes_on_by_itself() {
    let house = House::new();
    let list = house.list().await;
    let text = "phone,external_id\n13800138000,crm-1\nnonsense,crm-2\n13800138000,crm-3\n";
    let taken = house.send(asking(&list, ROOT, "wait=5, respond-async", text)).await.is(202);
    let id = taken.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(taken.headers["location"], format!("/v1/imports/{id}"));
    assert_eq!(taken.headers["preference-applied"], "respond-async");
    let path = format!("/v1/imports/{id}");
    let done = loop {
        let shown = house.get(&path).await.is(200).json();
        if shown["state"] != "running" {
            break shown;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&done["state"], &done["list_id"]), (&json!("completed"), &json!(list)));
    let figures = |of: &Value| ["lines", "accepted", "duplicates", "rejected"].map(|name| of[name].clone());
    assert_eq!(figures(&done["summary"]), [3, 1, 1, 1].map(|count| json!(count)));
    assert!(done["ended_at"].is_string());
    let result = house.get(&format!("{path}/result")).await.is(200);
    let lines: Vec<Value> = result.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected =
        [row(2, "accepted", ""), row(3, "invalid_number", "not_e164"), row(4, "duplicate", "number")];
    assert_eq!(results(&lines), expected);
    assert_eq!(house.get("/v1/imports").await.is(200).json()["data"][0]["id"], id);
    let page = house.get(&format!("/v1/lists/{list}/leads?include=total")).await.is(200).json();
    assert_eq!(page["total"], 1);
    // What cannot be read at all is refused before it is taken.
    let bad = house.send(asking(&list, ROOT, "respond-async", "name\nGrace\n")).await;
    bad.problem(400, "invalid_body");
    // Whoever may not import sees no verdicts, and no other tenant sees the import.
    let reader = house.token(&["leads:read"]).await;
    house.ask(&reader, Method::GET, &path, None).await.is(200);
    house.ask(&reader, Method::GET, &format!("{path}/result"), None).await.problem(403, "insufficient_scope");
    let body = json!({"name": "t", "scopes": ["admin"], "tenant": "acme"});
    let made = house.post("/v1/tokens", body).await.is(201).json();
    let other = made["token"].as_str().unwrap();
    house.ask(other, Method::GET, &path, None).await.problem(404, "not_found");
    assert_eq!(house.ask(other, Method::GET, "/v1/imports", None).await.is(200).json()["data"], json!([]));
    house.get("/v1/imports/imp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D").await.problem(404, "not_found");
}

#[tokio::test]
async fn numbers_of_other_countries_and_leads_tried_often_are_not_taken() {
    let house = House::new();
    let body = json!({"name": "home", "default_region": "CN", "countries": ["CN", "US"]});
    let made = house.post("/v1/lists", body).await.is(201).json();
    let list = made["id"].as_str().unwrap();
    assert_eq!(made["countries"], json!(["CN", "US"]));
    let wrong = json!({"name": "home", "countries": ["Mars"]});
    assert_eq!(house.post("/v1/lists", wrong).await.problem(400, "invalid_body"), ["/countries/0"]);
    let rows = "phone,external_id\n13800138000,a\n+12025550123,b\n+442079460123,c\n+14165550123,d\n";
    let path = format!("/v1/lists/{list}/leads:import");
    let lines = house.import(&path, CSV, rows).await;
    let country = |line| row(line, "blocked_country", "country");
    assert_eq!(results(&lines), [row(2, "accepted", ""), row(3, "accepted", ""), country(4), country(5)]);
    assert_eq!(lines[2]["pointer"], "/phones/0/number");
    assert_eq!(lines.last().unwrap()["summary"]["rejected"], 2);
    let one = house.post(&format!("/v1/lists/{list}/leads"), json!({"phone": "+442079460123"})).await;
    assert_eq!(one.problem(400, "invalid_body"), ["/phones/0/number"]);
    assert_eq!(one.json()["result"], "blocked_country");

    let lead = lines[0]["lead_id"].as_str().unwrap().parse().unwrap();
    let mut progress = house.store.lead(lead).unwrap().unwrap().progress;
    progress.attempts = 3;
    house.core.lock().unwrap().append(vec![dialer_core::Record::LeadChanged(progress)]);
    let rows = "phone,external_id\n13800138000,a\n+12025550123,b\n";
    let again =
        |most: u32, dry: bool| format!("{path}?on_duplicate=update&attempts_max={most}&dry_run={dry}");
    for dry in [true, false] {
        let lines = house.import(&again(3, dry), CSV, rows).await;
        assert_eq!(results(&lines), [row(2, "too_many_attempts", ""), row(3, "updated", "")], "{dry}");
        assert_eq!(lines[0]["lead_id"], json!(lead.to_string()));
    }
    let lines = house.import(&again(4, false), CSV, rows).await;
    assert_eq!(results(&lines), [row(2, "updated", ""), row(3, "updated", "")]);
    house.post(&format!("{path}?attempts_max=0"), json!({})).await.problem(400, "invalid_parameter");
}
