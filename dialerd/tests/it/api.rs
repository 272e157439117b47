//! A client of the control API.

use serde_json::Value;
use std::time::Duration;

/// The client; every failure is a test failure.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    pub base: String,
    pub admin: String,
    pub token: String,
}

impl Api {
    pub fn new(address: &str, token: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
        Api {
            http,
            base: format!("http://{address}:8080"),
            admin: format!("http://{address}:9095"),
            token: token.into(),
        }
    }

    /// Status and body.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.send("POST", path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {body}");
        body
    }

    /// Puts something that is no JSON: status and answer.
    pub async fn put(&self, path: &str, kind: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self.http.put(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = request.header("content-type", kind).body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("PUT {path}: {error}"));
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Status and body, whatever it is.
    pub async fn bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = request.send().await.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    /// All pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next).await;
            all.extend(page["data"].as_array().expect("a page has data").clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return all,
            }
        }
    }

    /// Kept events of these types, up to the first called `last`.
    pub async fn events_up_to(&self, types: &str, last: &str) -> Vec<Value> {
        let url = format!("{}/v1/events?after=0&types={types}", self.base);
        let mut answer = self.http.get(url).bearer_auth(&self.token).send().await.unwrap();
        let (mut text, mut events) = (String::new(), Vec::new());
        while let Some(chunk) = answer.chunk().await.unwrap() {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((line, rest)) = text.split_once('\n') {
                let event =
                    line.strip_prefix("data:").map(|data| serde_json::from_str::<Value>(data).unwrap());
                text = rest.to_owned();
                let Some(event) = event else { continue };
                let ended = event["type"] == last;
                events.push(event);
                if ended {
                    return events;
                }
            }
        }
        panic!("the stream ended before {last}: {events:?}");
    }

    pub async fn import_csv(&self, list: &str, csv: String) -> Value {
        let answer = self
            .http
            .post(format!("{}/v1/lists/{list}/leads:import", self.base))
            .bearer_auth(&self.token)
            .header("content-type", "text/csv")
            .body(csv)
            .send()
            .await
            .unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// A path of the admin port: status and text.
    pub async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.admin)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }
}
