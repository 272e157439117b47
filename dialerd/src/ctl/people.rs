//! `ctl persons`, `callbacks`, `audit`, `best-time`: what is known of people and of what was done, and what the law asks.

use super::client::{Client, Refusal, escape};
use super::table::{Column, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const CALLBACKS: &[Column] = &[
    Column("CALLBACK", &["/id"]),
    Column("AT", &["/at"]),
    Column("STATE", &["/state"]),
    Column("AGENT", &["/agent_id"]),
    Column("CAMPAIGN", &["/campaign_id"]),
    Column("TO", &["/to"]),
    Column("NOTES", &["/notes"]),
];
const AUDIT: &[Column] = &[
    Column("NO", &["/no"]),
    Column("AT", &["/at"]),
    Column("BY", &["/by/name"]),
    Column("ACTION", &["/action"]),
    Column("TARGET", &["/target"]),
];
const SEGMENTS: &[Column] = &[
    Column("SEGMENT", &["/segment"]),
    Column("TRIES", &["/total/tries"]),
    Column("ANSWERS", &["/total/answers"]),
    Column("RATE", &["/total/answer_rate"]),
];

/// What can be done with a callback (the lead's id).
#[derive(Debug, Subcommand)]
pub enum CallbackAct {
    /// Promise a lead a callback.
    Create {
        #[arg(value_name = "LEAD")]
        lead: String,
        /// When, such as 2026-11-26T15:00:00Z.
        #[arg(value_name = "TIME")]
        at: String,
        /// By this agent (id or name) [default: anyone].
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// What it is about.
        #[arg(long, value_name = "TEXT")]
        notes: Option<String>,
    },
    /// Move one to another time.
    Move {
        #[arg(value_name = "LEAD")]
        lead: String,
        #[arg(value_name = "TIME")]
        at: String,
    },
    /// Take one back.
    Delete {
        #[arg(value_name = "LEAD")]
        lead: String,
    },
}

/// What is done with a person's data.
#[derive(Debug, Subcommand)]
pub enum PersonAct {
    /// Print all that is kept about the person who has a number (JSON).
    Export {
        #[arg(value_name = "NUMBER")]
        number: String,
        /// Region of a number without a country code.
        #[arg(long, value_name = "REGION")]
        region: Option<String>,
    },
    /// Erase the person who has a number. It cannot be undone.
    Erase {
        #[arg(value_name = "NUMBER")]
        number: String,
        /// Region of a number without a country code.
        #[arg(long, value_name = "REGION")]
        region: Option<String>,
        /// The case, for the audit log; not the number.
        #[arg(long, value_name = "CASE")]
        reference: Option<String>,
        /// Do-not-call lists forget the number too, instead of keeping its hash.
        #[arg(long)]
        forget_do_not_call: bool,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
}

/// Which entries of the audit log.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Only of this action: `campaign.changed`, `recording.*`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only about the thing of this id.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only at or after this time.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn rows(columns: &[Column], rows: &[Value], as_json: bool) -> String {
    if as_json { pretty(&json!(rows)) } else { table(columns, rows) }
}

/// Callbacks, the next first; or one made, moved, taken back.
pub async fn callbacks(
    client: &Client,
    agent: Option<&str>,
    due: bool,
    act: Option<&CallbackAct>,
    as_json: bool,
) -> Result<String, Refusal> {
    let id_of = async |wanted: &str| -> Result<Value, Refusal> {
        Ok(client.named("/v1/agents", "agt_", "agent", wanted).await?["id"].clone())
    };
    let path = |lead: &str| format!("/v1/callbacks/{}", escape(lead));
    let made = match act {
        None => {
            let mut path = format!("/v1/callbacks?due={due}");
            if let Some(agent) = agent {
                path.push_str(&format!("&agent={}", escape(id_of(agent).await?.as_str().unwrap_or(agent))));
            }
            return Ok(rows(CALLBACKS, &client.all(&path, 10_000).await?, as_json));
        }
        Some(CallbackAct::Create { lead, at, agent, notes }) => {
            let agent = match agent {
                Some(agent) => id_of(agent).await?,
                None => Value::Null,
            };
            let body = json!({ "lead_id": lead, "at": at, "agent_id": agent, "notes": notes });
            client.post("/v1/callbacks", &body).await?
        }
        Some(CallbackAct::Move { lead, at }) => client.patch(&path(lead), &json!({ "at": at })).await?,
        Some(CallbackAct::Delete { lead }) => {
            client.delete(&path(lead)).await?;
            return Ok(format!("{lead}: no callback any more"));
        }
    };
    Ok(if as_json { pretty(&made) } else { table(CALLBACKS, std::slice::from_ref(&made)) })
}

/// Exports or erases a person.
pub async fn persons(client: &Client, act: &PersonAct, as_json: bool) -> Result<String, Refusal> {
    match act {
        PersonAct::Export { number, region } => {
            let body = json!({ "number": number, "region": region });
            Ok(pretty(&client.post("/v1/persons:export", &body).await?))
        }
        PersonAct::Erase { yes: false, .. } => {
            Err(Refusal::WrongUse("an erasure cannot be undone; say --yes to have it done".into()))
        }
        PersonAct::Erase { number, region, reference, forget_do_not_call, yes: true } => {
            let body = json!({
                "number": number, "region": region, "reference": reference,
                "keep_do_not_call": !forget_do_not_call,
            });
            let done = client.post("/v1/persons:erase", &body).await?;
            if as_json {
                return Ok(pretty(&done));
            }
            let count = |name: &str| format!("{} {}", done[name], name.replace('_', " "));
            let counts = ["leads", "calls", "recordings", "events", "prompts"].map(count).join(", ");
            let mut told = format!("erased: {counts}; {} do-not-call lists keep a hash", done["do_not_call"]);
            let named = done["named_in"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in named {
                told.push_str(&format!(
                    "\n{name} names the number in its settings: change it, then erase again"
                ));
            }
            if done["complete"] != true {
                told.push_str("\nnot all of it is gone from the disk yet: erase again");
            }
            Ok(told)
        }
    }
}

/// The audit log, newest first.
pub async fn audit(client: &Client, asked: &AuditArguments, as_json: bool) -> Result<String, Refusal> {
    let wanted =
        [("action", &asked.action), ("target", &asked.target), ("from", &asked.from), ("to", &asked.to)];
    let query = wanted.iter().filter_map(|(name, text)| Some(format!("{name}={}", escape(text.as_deref()?))));
    let query = query.collect::<Vec<_>>().join("&");
    let path = if query.is_empty() { "/v1/audit".to_owned() } else { format!("/v1/audit?{query}") };
    Ok(rows(AUDIT, &client.all(&path, asked.limit).await?, as_json))
}

/// What a campaign has learned of hours; of one lead, why it is dialled now or later.
pub async fn best_time(
    client: &Client,
    campaign: &str,
    lead: Option<&str>,
    as_json: bool,
) -> Result<String, Refusal> {
    let found = client.campaign(campaign).await?;
    let mut path = format!("/v1/campaigns/{}/best-time", escape(found["id"].as_str().unwrap_or(campaign)));
    if let Some(lead) = lead {
        path.push_str(&format!("?lead_id={}", escape(lead)));
    }
    let report = client.get(&path).await?;
    if as_json {
        return Ok(pretty(&report));
    }
    let segments = report["segments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut told = table(SEGMENTS, segments);
    let percent =
        |value: &Value| value.as_f64().map_or("?".into(), |share| format!("{:.1} %", share * 100.0));
    let found = &report["experiment"];
    if found.is_object() {
        told.push_str(&format!(
            "experiment: the chosen are answered {} more often than those held out (95 %: {} to {})\n",
            percent(&found["lift"]),
            percent(&found["lift_low"]),
            percent(&found["lift_high"])
        ));
    }
    if let Some(sentence) = report["lead"]["sentence"].as_str() {
        told.push_str(sentence);
    }
    Ok(told)
}
