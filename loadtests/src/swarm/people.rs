//! The people at the agents' phones: they log in through the API, talk, hang up, wrap up, and take the next call.

use anyhow::{Context, bail};
use futures_util::StreamExt;
use sansio::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One agent.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentLogin {
    /// Name in the API.
    pub id: String,
    /// SIP user name.
    pub username: String,
    /// SIP password.
    pub password: String,
}

/// How they work, in life; times are divided by `speed`.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How much faster than life.
    pub speed: f64,
    /// Mean time after which an agent would end a talk, if the customer has not, seconds.
    pub talk_mean_s: f64,
    /// Mean after-call work, seconds.
    pub wrap_up_mean_s: f64,
    /// Log in with a nailed-up session (else the phone is rung for each call).
    pub nailed_up: bool,
}

/// The client all of them share.
pub struct People {
    http: reqwest::Client,
    api: String,
    token: String,
    agents: Vec<AgentLogin>,
    habits: Habits,
}

impl People {
    /// For these agents.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(api: &str, token: &str, agents: Vec<AgentLogin>, habits: Habits) -> anyhow::Result<Arc<Self>> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Arc::new(People { http, api: api.into(), token: token.into(), agents, habits }))
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self
            .http
            .post(format!("{}{path}", self.api))
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(20))
            .json(body)
            .send()
            .await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{path}: {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(())
    }

    /// Logs all in, waiting for their phones to be registered.
    ///
    /// # Errors
    /// When one cannot within half a minute.
    pub async fn log_in(&self) -> anyhow::Result<()> {
        let session = if self.habits.nailed_up { "nailed_up" } else { "on_demand" };
        for agent in &self.agents {
            self.wait_registered(agent).await?;
            self.post(&format!("/v1/agents/{}:login", agent.id), &json!({ "session": session })).await?;
        }
        Ok(())
    }

    async fn wait_registered(&self, agent: &AgentLogin) -> anyhow::Result<()> {
        for _ in 0..300 {
            let answer = self
                .http
                .get(format!("{}/v1/agents/{}", self.api, agent.id))
                .bearer_auth(&self.token)
                .send()
                .await?;
            let view: Value = answer.json().await.context("an agent's view is JSON")?;
            if view["registered"] == Value::Bool(true) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} is not registered after 30 s", agent.username)
    }

    /// Logs all out.
    pub async fn log_out(&self) {
        for agent in &self.agents {
            if let Err(error) = self.post(&format!("/v1/agents/{}:logout", agent.id), &json!({})).await {
                eprintln!("{}: {error:#}", agent.username);
            }
        }
    }

    /// Works until the event stream ends for good.
    ///
    /// # Errors
    /// When the stream cannot be had again within half a minute.
    pub async fn work(self: Arc<Self>, seed: u64) -> anyhow::Result<()> {
        let world = Rng::from_seed(seed).child("agents");
        let mut desks: BTreeMap<String, Desk> = self
            .agents
            .iter()
            .map(|agent| (agent.id.clone(), Desk { rng: world.child(&agent.username), call: None }))
            .collect();
        let mut last_event: Option<String> = None;
        let mut failures = 0;
        loop {
            match self.follow(&mut last_event, &mut desks).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if failures > 300 {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn follow(
        self: &Arc<Self>,
        last_event: &mut Option<String>,
        desks: &mut BTreeMap<String, Desk>,
    ) -> anyhow::Result<()> {
        let mut request = self
            .http
            .get(format!("{}/v1/events?types=call.bridged,agent.state", self.api))
            .bearer_auth(&self.token);
        if let Some(id) = last_event {
            request = request.header("Last-Event-ID", id.clone());
        }
        let answer = request.send().await?.error_for_status()?;
        let mut stream = answer.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = stream.next().await {
            text.extend_from_slice(&chunk?);
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                let block = String::from_utf8_lossy(&block);
                for line in block.lines() {
                    if let Some(id) = line.strip_prefix("id:") {
                        *last_event = Some(id.trim().to_owned());
                    } else if let Some(data) = line.strip_prefix("data:")
                        && let Ok(event) = serde_json::from_str(data)
                    {
                        self.take(&event, desks);
                    }
                }
            }
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, event: &Value, desks: &mut BTreeMap<String, Desk>) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let agent = text(&event["agent_id"]).or_else(|| text(&event["data"]["agent_id"]));
        let Some((agent, desk)) = agent.and_then(|id| desks.get_mut(&id).map(|desk| (id, desk))) else {
            return;
        };
        match event["type"].as_str() {
            Some("call.bridged") => {
                let Some(call) = text(&event["call_id"]) else { return };
                desk.call = Some(call.clone());
                let wait = self.after(desk.rng.lognormal(self.habits.talk_mean_s, 0.5));
                let people = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    // The customer has most often hung up before.
                    let _ = people.post(&format!("/v1/calls/{call}/hangup"), &json!({})).await;
                });
            }
            Some("agent.state") if event["data"]["to"] == "wrap_up" => {
                let Some(call) = desk.call.take() else { return };
                let wait = self.after(desk.rng.lognormal(self.habits.wrap_up_mean_s, 0.6));
                let sold = desk.rng.chance(0.2);
                let people = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let code = if sold { "sale" } else { "no_interest" };
                    let path = format!("/v1/calls/{call}/disposition");
                    if people.post(&path, &json!({ "code": code })).await.is_err() {
                        let _ = people.post(&format!("/v1/agents/{agent}:ready"), &json!({})).await;
                    }
                });
            }
            _ => {}
        }
    }

    fn after(&self, life_s: f64) -> Duration {
        Duration::from_secs_f64((life_s / self.habits.speed).clamp(0.05, 3600.0))
    }
}

struct Desk {
    rng: Rng,
    call: Option<String>,
}
