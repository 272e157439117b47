//! A client of the control API, as any other.

use super::Place;
use super::processes::Processes;
use anyhow::{Context, bail};
use serde_json::Value;
use std::time::Duration;

/// The client.
pub struct Api {
    http: reqwest::Client,
    base: String,
    admin: String,
    token: String,
}

impl Api {
    /// For the daemon of this place.
    pub fn new(place: &Place) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        Ok(Api {
            http,
            base: format!("http://{}:8080", place.daemon),
            admin: format!("http://{}:9095", place.daemon),
            token: place.token.clone(),
        })
    }

    /// Waits until the daemon answers.
    pub async fn wait_until_up(&self, processes: &mut Processes) -> anyhow::Result<()> {
        for _ in 0..300 {
            processes.check_alive()?;
            if let Ok(answer) = self.http.get(format!("{}/readyz", self.admin)).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the daemon did not get ready within 30 s; see dialerd.log in the folder")
    }

    /// Reads a resource.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}{path}", self.base));
        serde_json::from_str(&self.send(request, path).await?).with_context(|| format!("GET {path}"))
    }

    /// Reads all pages of a list.
    pub async fn get_all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next).await?;
            all.extend(page["data"].as_array().cloned().context("a page has data")?);
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return Ok(all),
            }
        }
    }

    /// Makes or orders something.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = self.post_text(path, "application/json", body.to_string()).await?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("POST {path}"))
    }

    /// Sends a text.
    pub async fn post_text(&self, path: &str, kind: &str, body: String) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}{path}", self.base)).header("content-type", kind).body(body);
        self.send(request, path).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<String> {
        let answer = request.bearer_auth(&self.token).send().await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {text}");
        }
        Ok(text)
    }

    /// The value of a metric without labels, or the sum over all its labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.http.get(format!("{}/metrics", self.admin)).send().await?.text().await?;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        if values.is_empty() {
            bail!("the metric {name} is missing");
        }
        Ok(values.iter().sum())
    }
}
