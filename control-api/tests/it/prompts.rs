//! Prompts, as clients meet them. The sound itself is the edge's business.

use crate::house::{House, ROOT};
use axum::body::Body;
use axum::http::{Method, Request};
use control_api::prompts::{PromptContent, PromptFault, PromptInfo, PromptShelf, PromptSource, SoundFormat};
use futures_util::future::BoxFuture;
use sansio::pii::Spellings;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A shelf that takes what begins with `ok`, and has one prompt built in.
pub(crate) struct Shelf(Mutex<BTreeMap<String, PromptInfo>>);

impl Shelf {
    pub(crate) fn with(names: &[&str]) -> Arc<Self> {
        let mut prompts = BTreeMap::from([("beep".into(), info("beep", PromptSource::BuiltIn, None))]);
        prompts.extend(names.iter().map(|name| ((*name).to_owned(), info(name, PromptSource::Sound, None))));
        Arc::new(Shelf(Mutex::new(prompts)))
    }
}

fn info(name: &str, source: PromptSource, text: Option<String>) -> PromptInfo {
    let voice = text.as_ref().map(|_| "en".to_owned());
    PromptInfo { name: name.into(), source, duration_ms: 100, text, voice, changed_at: None }
}

impl PromptShelf for Shelf {
    fn list(&self) -> Vec<PromptInfo> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn get(&self, name: &str) -> Option<PromptInfo> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn is_built_in(&self, name: &str) -> bool {
        name == "beep"
    }

    fn sound(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).map(|_| b"RIFF".to_vec())
    }

    fn put(&self, name: String, content: PromptContent) -> BoxFuture<'_, Result<PromptInfo, PromptFault>> {
        let made = match content {
            PromptContent::Sound(SoundFormat::Wav, bytes) if bytes.starts_with(b"ok") => {
                Ok(info(&name, PromptSource::Sound, None))
            }
            PromptContent::Sound(..) => Err(PromptFault::Unusable("that is no sound".into())),
            PromptContent::Text { text, .. } if text == "mute" => {
                Err(PromptFault::Silent("no engine".into()))
            }
            PromptContent::Text { text, .. } if text == "broken" => {
                Err(PromptFault::Engine("503 Service Unavailable".into()))
            }
            PromptContent::Text { text, .. } => Ok(info(&name, PromptSource::Text, Some(text))),
        };
        if let Ok(made) = &made {
            self.0.lock().unwrap().insert(name, made.clone());
        }
        Box::pin(async move { made })
    }

    fn delete(&self, name: String) -> BoxFuture<'_, Result<(), PromptFault>> {
        let gone = self.0.lock().unwrap().remove(&name);
        Box::pin(async move { gone.map(drop).ok_or(PromptFault::Unknown) })
    }

    fn strike_out(&self, number: Spellings) -> BoxFuture<'_, Result<u64, PromptFault>> {
        let mut prompts = self.0.lock().unwrap();
        let before = prompts.len();
        prompts.retain(|_, prompt| !prompt.text.as_deref().is_some_and(|text| number.is_in(text)));
        let gone = (before - prompts.len()) as u64;
        Box::pin(async move { Ok(gone) })
    }
}

async fn put(house: &House, name: &str, kind: &str, body: &[u8]) -> crate::house::Reply {
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("/v1/prompts/{name}"))
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", kind);
    house.send(request.body(Body::from(body.to_vec())).unwrap()).await
}

#[tokio::test]
async fn prompts_are_put_listed_played_and_deleted() {
    let house = House::new();
    house.gateway.set_prompts(Shelf::with(&[]));
    let made = put(&house, "hello", "audio/wav", b"ok").await.is(201).json();
    assert_eq!((&made["source"], &made["listen"]), (&json!("sound"), &json!("/v1/prompts/hello/listen")));
    put(&house, "hello", "audio/x-wav; rate=8000", b"ok").await.is(200);
    assert_eq!(put(&house, "hello", "audio/wav", b"no").await.problem(400, "invalid_body"), [""]);
    put(&house, "hello", "audio/mpeg", b"ok").await.problem(415, "unsupported_media_type");
    let wrong = put(&house, "he.llo", "audio/wav", b"ok").await;
    assert_eq!(wrong.problem(400, "invalid_parameter"), ["name"]);
    assert_eq!(wrong.json()["title"], "A parameter does not fit", "it is none of the query");
    let long = vec![0; (20 << 20) + 1];
    put(&house, "hello", "audio/wav", &long).await.problem(413, "payload_too_large");
    put(&house, "said", "application/json", br#"{"text": "Hello"}"#).await.is(201);
    let bad = put(&house, "said", "application/json", br#"{"text": " ", "vice": "en"}"#).await;
    assert_eq!(bad.problem(400, "invalid_body"), ["/vice"]);
    house.post("/v1/prompts", json!({"name": "said", "text": "Hello"})).await.problem(409, "conflict");
    house.post("/v1/prompts", json!({"name": "mute", "text": "mute"})).await.problem(409, "conflict");
    house
        .post("/v1/prompts", json!({"name": "broken", "text": "broken"}))
        .await
        .problem(502, "speech_failed");
    let beep = house.post("/v1/prompts", json!({"name": "beep", "text": "Beep"})).await.is(200).json();
    assert_eq!((&beep["text"], &beep["voice"]), (&json!("Beep"), &json!("en")));
    let page = house.get("/v1/prompts?limit=2").await.is(200).json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["next_cursor"]), (2, &json!("hello")));
    let page = house.get("/v1/prompts?limit=2&cursor=hello").await.is(200).json();
    assert_eq!((&page["data"][0]["name"], &page["next_cursor"]), (&json!("said"), &json!(null)));
    assert_eq!(house.get("/v1/prompts/said/listen").await.is(200).text, "RIFF");
    let reader = house.token(&["campaigns:read"]).await;
    house.ask(&reader, Method::DELETE, "/v1/prompts/said", None).await.problem(403, "insufficient_scope");
    house.delete("/v1/prompts/said").await.is(204);
    house.delete("/v1/prompts/said").await.problem(404, "not_found");
    let long = house.token(&["campaigns:read"]).await;
    house
        .post(
            "/v1/prompts",
            json!({ "name": "number", "text": "Call ０３０ １２３４５６７ or 138 0013 8000." }),
        )
        .await
        .is(201);
    let masked = house.ask(&long, Method::GET, "/v1/prompts/number", None).await.is(200).json();
    assert_eq!(masked["text"], "Call ０３０****４５６７ or 138 0****8000.");
    house.delete("/v1/prompts/number").await.is(204);
    let audit = house.get("/v1/audit?limit=100&action=prompt.*").await.is(200).json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 7, "{audit}");
}

#[tokio::test]
async fn what_is_built_in_or_played_by_a_campaign_stays() {
    let house = House::new();
    house.gateway.set_prompts(Shelf::with(&["hello", "beep2"]));
    house.delete("/v1/prompts/beep").await.problem(409, "conflict");
    let campaign = json!({"name": "c", "mode": "agentless", "on_answer": {"play": "hello"},
        "on_no_agent": {"play": "hello"}, "concurrency": {"kind": "dynamic", "lines": 1}});
    house.post("/v1/campaigns", campaign).await.is(201);
    house.delete("/v1/prompts/hello").await.problem(409, "conflict");
    house.delete("/v1/prompts/beep2").await.is(204);
}

#[tokio::test]
async fn settings_name_prompts_that_are_there_and_keep_them() {
    let house = House::with(
        |config| config.prompts_named = vec![("media.hold_prompt", "tune".into())],
        control_api::EventHub::default(),
    );
    house.gateway.set_prompts(Shelf::with(&["hello", "left", "said", "tune"]));
    let menu =
        json!({ "to": "menu", "play": "hello", "digits": { "1": { "to": "message", "play": "gone" } } });
    let amd = json!({ "mode": "async" });
    let cases = [
        ("/v1/campaigns", json!({ "mode": "agentless", "on_answer": { "play": "gone" } }), "/on_answer/play"),
        ("/v1/campaigns", json!({ "on_no_agent": { "play": "gone" } }), "/on_no_agent/play"),
        (
            "/v1/campaigns",
            json!({ "classify": { "amd": amd, "machine": { "leave": "gone" } } }),
            "/classify/machine/leave",
        ),
        (
            "/v1/campaigns",
            json!({ "classify": { "amd": amd, "screening": { "say": "gone" } } }),
            "/classify/screening/say",
        ),
        ("/v1/inbound-routes", json!({ "steps": [menu] }), "/steps/0/digits/1/play"),
        ("/v1/inbound-routes", json!({ "steps": [{ "to": "owner", "play": "gone" }] }), "/steps/0/play"),
    ];
    for (path, mut body, pointer) in cases {
        body["name"] = json!("c");
        if path == "/v1/campaigns" && pointer != "/on_no_agent/play" {
            body["on_no_agent"] = json!({ "play": "hello" });
        }
        if path == "/v1/inbound-routes" {
            body["numbers"] = json!(["+442079460123"]);
        }
        if body["mode"] == "agentless" {
            body["concurrency"] = json!({ "kind": "dynamic", "lines": 1 });
        }
        let refused = house.post(path, body.clone()).await;
        assert_eq!(refused.problem(422, "unprocessable"), [pointer], "{body}");
        let there = serde_json::from_str(&body.to_string().replace("gone", "left")).unwrap();
        let made = house.made(&house.post(path, there).await);
        house.delete("/v1/prompts/left").await.problem(409, "conflict");
        house.delete(&format!("{path}/{made}")).await.is(204);
    }
    let campaign = json!({ "name": "c", "on_no_agent": { "play": "hello" } });
    let campaign = house.made(&house.post("/v1/campaigns", campaign).await);
    let path = format!("/v1/campaigns/{campaign}");
    let refused = house.patch(&path, json!({ "on_no_agent": { "play": "gone" } })).await;
    assert_eq!(refused.problem(422, "unprocessable"), ["/on_no_agent/play"]);
    let told = house.delete("/v1/prompts/tune").await;
    told.problem(409, "conflict");
    assert!(told.text.contains("media.hold_prompt"), "{}", told.text);
    house.delete("/v1/prompts/left").await.is(204);
}
