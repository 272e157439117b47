//! `ctl calls`, `agents`, `campaigns`, `tokens`, `webhooks`: what there is, and what is done with it.

use super::client::{Client, Refusal, escape};
use super::table::{Column, table};
use super::{AgentAct, CallerIdAct, CampaignAct, TokenAct, WebhookAct};
use serde_json::{Value, json};

const CALLS: &[Column] = &[
    Column("CALL", &["/id"]),
    Column("STATE", &["/state"]),
    Column("TO", &["/to"]),
    Column("AGENT", &["/agent_id"]),
    Column("CAMPAIGN", &["/campaign_id"]),
    Column("SINCE", &["/started_at", "/created_at"]),
];
const AGENTS: &[Column] = &[
    Column("AGENT", &["/id"]),
    Column("NAME", &["/name"]),
    Column("STATE", &["/state"]),
    Column("SINCE", &["/since"]),
    Column("PAUSE", &["/pause_code"]),
    Column("CALL", &["/call_id"]),
    Column("TAKEN", &["/calls_taken"]),
    Column("GROUPS", &["/groups"]),
];
const CAMPAIGNS: &[Column] = &[
    Column("CAMPAIGN", &["/id"]),
    Column("NAME", &["/name"]),
    Column("STATE", &["/state"]),
    Column("MODE", &["/mode"]),
];
const CALLER_ID_POOLS: &[Column] = &[
    Column("POOL", &["/id"]),
    Column("NAME", &["/name"]),
    Column("STRATEGY", &["/strategy"]),
    Column("ACTIVE", &["/active"]),
    Column("COOLING", &["/cooling"]),
    Column("QUARANTINED", &["/quarantined"]),
];
const CALLER_IDS: &[Column] = &[
    Column("PLACE", &["/place"]),
    Column("NUMBER", &["/number"]),
    Column("STATE", &["/state"]),
    Column("WHY", &["/reason"]),
    Column("UNTIL", &["/quarantined_until"]),
    Column("HOUR", &["/calls_hour"]),
    Column("DAY", &["/calls_day"]),
    Column("CALLS", &["/calls"]),
    Column("ANSWERS", &["/answers"]),
    Column("BLOCKS", &["/blocks"]),
];
const TOKENS: &[Column] = &[
    Column("TOKEN", &["/id"]),
    Column("NAME", &["/name"]),
    Column("PREFIX", &["/prefix"]),
    Column("EXPIRES", &["/expires_at"]),
    Column("SCOPES", &["/scopes"]),
];
const WEBHOOKS: &[Column] = &[
    Column("WEBHOOK", &["/id"]),
    Column("NAME", &["/name"]),
    Column("ENABLED", &["/enabled"]),
    Column("BACKLOG", &["/backlog"]),
    Column("CIRCUIT OPEN", &["/circuit_open"]),
    Column("URL", &["/url"]),
];
const DELIVERIES: &[Column] = &[
    Column("STATE", &["/state"]),
    Column("EVENT", &["/event_cursor"]),
    Column("TYPE", &["/event_type"]),
    Column("TRIES", &["/attempts"]),
    Column("AT", &["/at"]),
    Column("STATUS", &["/status"]),
    Column("ERROR", &["/error"]),
];

/// Most rows that are printed.
const ROWS_MAX: usize = 10_000;

async fn list(client: &Client, path: &str, columns: &[Column], as_json: bool) -> Result<String, Refusal> {
    let rows = client.all(path, ROWS_MAX).await?;
    if as_json {
        return Ok(serde_json::to_string_pretty(&rows).unwrap_or_default());
    }
    Ok(table(columns, &rows))
}

fn shown(answer: &Value, as_json: bool, words: impl FnOnce() -> String) -> String {
    if as_json { serde_json::to_string_pretty(answer).unwrap_or_default() } else { words() }
}

/// Live calls.
pub async fn calls(client: &Client, campaign: Option<&str>, as_json: bool) -> Result<String, Refusal> {
    let path = match campaign {
        Some(wanted) => {
            let campaign = client.campaign(wanted).await?;
            format!("/v1/calls?campaign={}", escape(campaign["id"].as_str().unwrap_or(wanted)))
        }
        None => "/v1/calls".to_owned(),
    };
    list(client, &path, CALLS, as_json).await
}

/// Ends a call.
pub async fn hangup(client: &Client, call: &str, as_json: bool) -> Result<String, Refusal> {
    let answer = client.post(&format!("/v1/calls/{}/hangup", escape(call)), &json!({})).await?;
    Ok(shown(&answer, as_json, || format!("{call}: told to end")))
}

/// Agents, or one told to do something.
pub async fn agents(client: &Client, act: Option<&AgentAct>, as_json: bool) -> Result<String, Refusal> {
    let Some(act) = act else { return list(client, "/v1/agents", AGENTS, as_json).await };
    let (agent, verb, body) = match act {
        AgentAct::Login { agent, on_demand } => {
            let session = if *on_demand { "on_demand" } else { "nailed_up" };
            (agent, "login", json!({ "session": session }))
        }
        AgentAct::Logout { agent } => (agent, "logout", json!({})),
        AgentAct::Ready { agent } => (agent, "ready", json!({})),
        AgentAct::Pause { agent, code } => (agent, "pause", json!({ "code": code })),
    };
    let found = client.named("/v1/agents", "agt_", "agent", agent).await?;
    let id = found["id"].as_str().unwrap_or(agent).to_owned();
    let answer = client.post(&format!("/v1/agents/{}:{verb}", escape(&id)), &body).await?;
    Ok(shown(&answer, as_json, || {
        let state = answer["state"].as_str().unwrap_or("?");
        format!("{} ({id}): {state}", answer["name"].as_str().unwrap_or("?"))
    }))
}

/// Campaigns, or one told to do something.
pub async fn campaigns(client: &Client, act: Option<&CampaignAct>, as_json: bool) -> Result<String, Refusal> {
    let Some(act) = act else { return list(client, "/v1/campaigns", CAMPAIGNS, as_json).await };
    let (campaign, verb) = match act {
        CampaignAct::Start { campaign } => (campaign, "start"),
        CampaignAct::Pause { campaign } => (campaign, "pause"),
        CampaignAct::Resume { campaign } => (campaign, "resume"),
        CampaignAct::Stop { campaign } => (campaign, "stop"),
        CampaignAct::Recycle { campaign, .. } => (campaign, "recycle"),
        CampaignAct::TakeBack { campaign, .. } => (campaign, "take_back"),
        CampaignAct::Copy { campaign, .. } => (campaign, "copy"),
    };
    let found = client.campaign(campaign).await?;
    let id = found["id"].as_str().unwrap_or(campaign).to_owned();
    let path = format!("/v1/campaigns/{}:{verb}", escape(&id));
    let answer = match act {
        CampaignAct::Recycle { states, outcomes, .. } => {
            return recycle(client, &path, states, outcomes, as_json).await;
        }
        CampaignAct::TakeBack { agent: Some(agent), .. } => {
            let agent = client.named("/v1/agents", "agt_", "agent", agent).await?;
            client.post(&path, &json!({ "agent_id": agent["id"] })).await?
        }
        CampaignAct::Copy { name, .. } => client.post(&path, &json!({ "name": name })).await?,
        _ => client.post(&path, &json!({})).await?,
    };
    if let Some(count) = answer["taken_back"].as_u64() {
        return Ok(shown(&answer, as_json, || format!("{count} leads taken back")));
    }
    Ok(shown(&answer, as_json, || {
        let (state, id) = (answer["state"].as_str().unwrap_or("?"), answer["id"].as_str().unwrap_or(&id));
        format!("{} ({id}): {state}", answer["name"].as_str().unwrap_or("?"))
    }))
}

/// Dials leads of a campaign anew, part by part until all were looked at.
async fn recycle(
    client: &Client,
    path: &str,
    states: &[String],
    outcomes: &[String],
    as_json: bool,
) -> Result<String, Refusal> {
    let mut body = json!({ "outcomes": outcomes });
    if !states.is_empty() {
        body["states"] = json!(states);
    }
    let mut recycled = 0;
    loop {
        let answer = client.post(path, &body).await?;
        recycled += answer["recycled"].as_u64().unwrap_or(0);
        if answer["next_cursor"].is_null() {
            let all = json!({ "recycled": recycled });
            return Ok(shown(&all, as_json, || format!("{recycled} leads are dialled anew")));
        }
        body["cursor"] = answer["next_cursor"].clone();
    }
}

/// Pools of caller IDs, or the numbers of one and how they fare.
pub async fn caller_ids(client: &Client, pool: Option<&str>, as_json: bool) -> Result<String, Refusal> {
    let Some(pool) = pool else {
        return list(client, "/v1/caller-id-pools", CALLER_ID_POOLS, as_json).await;
    };
    let found = client.named("/v1/caller-id-pools", "cip_", "caller-ID pool", pool).await?;
    let id = escape(found["id"].as_str().unwrap_or(pool));
    list(client, &format!("/v1/caller-id-pools/{id}/numbers"), CALLER_IDS, as_json).await
}

/// Tells a pool what others say of one of its numbers.
pub async fn report(client: &Client, act: &CallerIdAct, as_json: bool) -> Result<String, Refusal> {
    let CallerIdAct::Report { pool, number, source, score, label, no_label: _ } = act;
    let found = client.named("/v1/caller-id-pools", "cip_", "caller-ID pool", pool).await?;
    let id = escape(found["id"].as_str().unwrap_or(pool));
    let report = json!({ "number": number, "source": source, "score": score, "label": label });
    let path = format!("/v1/caller-id-pools/{id}/numbers:report");
    let answer = client.post(&path, &json!({ "reports": [report] })).await?;
    Ok(shown(&answer, as_json, || match answer["changed"].as_u64() {
        Some(0) => format!("{number}: noted; it stays as it was"),
        _ => format!("{number}: noted; it was put into quarantine or taken out of it"),
    }))
}

/// Tokens: list, make, delete.
pub async fn tokens(client: &Client, act: Option<&TokenAct>, as_json: bool) -> Result<String, Refusal> {
    match act {
        None => list(client, "/v1/tokens", TOKENS, as_json).await,
        Some(TokenAct::Create { name, scopes, expires_at, tenant }) => {
            let body = json!({ "name": name, "scopes": scopes, "expires_at": expires_at, "tenant": tenant });
            let answer = client.post("/v1/tokens", &body).await?;
            Ok(shown(&answer, as_json, || {
                format!(
                    "{}\n{} (shown this once; its id is {})",
                    answer["token"].as_str().unwrap_or("?"),
                    answer["name"].as_str().unwrap_or("?"),
                    answer["id"].as_str().unwrap_or("?")
                )
            }))
        }
        Some(TokenAct::Delete { which }) => {
            let id = match which.starts_with("tok_") {
                true => which.clone(),
                // A token is shown in the list alone.
                false => {
                    let found = client.named("/v1/tokens", "tok_", "token", which).await?;
                    found["id"].as_str().unwrap_or(which).to_owned()
                }
            };
            client.delete(&format!("/v1/tokens/{}", escape(&id))).await?;
            Ok(format!("{which}: deleted"))
        }
    }
}

/// Webhooks: list, deliveries, test, replay.
pub async fn webhooks(client: &Client, act: Option<&WebhookAct>, as_json: bool) -> Result<String, Refusal> {
    let Some(act) = act else { return list(client, "/v1/webhooks", WEBHOOKS, as_json).await };
    let wanted = match act {
        WebhookAct::Deliveries { webhook, .. }
        | WebhookAct::Test { webhook }
        | WebhookAct::Replay { webhook, .. } => webhook,
    };
    let found = client.named("/v1/webhooks", "wh_", "webhook", wanted).await?;
    let path = format!("/v1/webhooks/{}", escape(found["id"].as_str().unwrap_or(wanted)));
    match act {
        WebhookAct::Deliveries { state, .. } => {
            let path = format!("{path}/deliveries?state={}", escape(state));
            list(client, &path, DELIVERIES, as_json).await
        }
        WebhookAct::Test { .. } => {
            let answer = client.post(&format!("{path}:test"), &json!({})).await?;
            if answer["delivered"] != true && !as_json {
                let why = answer["error"].as_str().unwrap_or("?");
                return Err(Refusal::Failed(format!("the receiver did not take it: {why}")));
            }
            Ok(shown(&answer, as_json, || {
                format!("taken: status {} after {} ms", answer["status"], answer["took_ms"])
            }))
        }
        WebhookAct::Replay { from_cursor, dead_letters, .. } => {
            let body = match from_cursor {
                Some(cursor) => json!({ "from_cursor": cursor }),
                None => json!({ "dead_letters": dead_letters }),
            };
            let answer = client.post(&format!("{path}:replay"), &body).await?;
            Ok(shown(&answer, as_json, || format!("{} events to tell or look at", answer["backlog"])))
        }
    }
}
