//! A client of the control API, as any other; it waits for each answer.

use anyhow::{Context, bail};
use serde_json::Value;
use std::time::Duration;

/// Longest import.
const IMPORT_WITHIN: Duration = Duration::from_secs(1_800);
/// More than a summary has.
const TAIL_BYTES: usize = 4_096;

/// The client.
pub struct Api {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    base: String,
    admin: String,
    token: String,
}

impl Api {
    /// For the daemon at this address.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(host: &str, token: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        let (base, admin) = (format!("http://{host}:8080"), format!("http://{host}:9095"));
        Ok(Api { runtime, http, base, admin, token: token.to_owned() })
    }

    /// True when the daemon serves.
    #[must_use]
    pub fn ready(&self) -> bool {
        let url = format!("{}/readyz", self.admin);
        let asked = self.runtime.block_on(async { self.http.get(url).send().await });
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}{path}", self.base));
        serde_json::from_str(&self.send(request, path)?).with_context(|| format!("GET {path}"))
    }

    /// Reads all pages of a list; `path` must have a query.
    ///
    /// # Errors
    /// When one cannot be had.
    pub fn get_all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next)?;
            all.extend(page["data"].as_array().cloned().context("a page has data")?);
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return Ok(all),
            }
        }
    }

    /// Makes or orders something.
    ///
    /// # Errors
    /// When it is refused.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = self.post_text(path, "application/json", body.to_string())?;
        Ok(if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When it is refused.
    pub fn post_text(&self, path: &str, kind: &str, body: String) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}{path}", self.base)).header("content-type", kind).body(body);
        self.send(request, path)
    }

    /// Imports a long body; gives the summary of the last line.
    ///
    /// # Errors
    /// When it is refused or breaks off.
    pub fn import(&self, path: &str, kind: &str, body: reqwest::Body) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).timeout(IMPORT_WITHIN);
        let request = request.header("content-type", kind).body(body).bearer_auth(&self.token);
        self.runtime.block_on(async {
            let mut answer = request.send().await?.error_for_status()?;
            // Only the last line is of interest: what came before it is not kept.
            let mut tail = Vec::new();
            while let Some(piece) = answer.chunk().await? {
                tail.extend_from_slice(&piece);
                let rest = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..rest);
            }
            let text = String::from_utf8_lossy(&tail);
            let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
            Ok(serde_json::from_str::<Value>(last).context("an import ends with its summary")?["summary"]
                .take())
        })
    }

    fn send(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<String> {
        self.runtime.block_on(async {
            let answer = request.bearer_auth(&self.token).send().await.with_context(|| path.to_owned())?;
            let status = answer.status();
            let text = answer.text().await?;
            if !status.is_success() {
                bail!("{path}: {status}: {text}");
            }
            Ok(text)
        })
    }

    /// The sum of a metric over all its labels, as of the last second.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let url = format!("{}/metrics", self.admin);
        let text = self.runtime.block_on(async { self.http.get(url).send().await?.text().await })?;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        if values.is_empty() {
            bail!("the metric {name} is missing");
        }
        Ok(values.iter().sum())
    }
}
