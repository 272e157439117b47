//! What an agent's screen is shown, on the wire.

use super::Outcome;
use super::lead::{Phone, shown_external_id};
use crate::mask::Masker;
use crate::time::Time;
use dialer_core::pop as core;
use dialer_core::record::PastAttempt as CorePastAttempt;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An attempt that is over.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PastAttempt {
    /// Its call.
    pub call_id: String,
    /// When it was made.
    pub at: Time,
    /// What became of it.
    pub outcome: Outcome,
    /// The agent who talked, or was to.
    pub agent_id: Option<String>,
    /// How long they talked.
    pub talk_ms: u64,
    /// What the agent said of it.
    pub disposition: Option<String>,
    /// What the agent noted: its first 500 characters.
    pub notes: Option<String>,
}

impl PastAttempt {
    /// As the caller may see it.
    #[must_use]
    pub fn new(past: &CorePastAttempt, mask: Masker) -> Self {
        PastAttempt {
            call_id: past.call.to_string(),
            at: past.at.into(),
            outcome: past.outcome.into(),
            agent_id: past.agent.map(|id| id.to_string()),
            talk_ms: past.talk_ms,
            disposition: past.disposition.clone(),
            notes: mask.text_option(past.notes.as_deref()),
        }
    }
}

/// A lead as an agent sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PopLead {
    /// Its name.
    pub id: Option<String>,
    /// Its list.
    pub list_id: String,
    /// The owner's own name of it.
    pub external_id: Option<String>,
    /// Its numbers.
    pub phones: Vec<Phone>,
    /// Its priority.
    pub priority: i32,
    /// IANA zone, if known.
    pub time_zone: Option<String>,
    /// The owner's fields.
    pub fields: BTreeMap<String, String>,
    /// Its last attempts that are over, oldest first, at most 10.
    pub history: Vec<PastAttempt>,
}

/// What is known besides the pop itself, for `pop_url`.
#[derive(Clone, Debug, Default)]
pub struct PopNames {
    /// The call, if there is one yet.
    pub call: Option<String>,
    /// The preview task, if it is one.
    pub task: Option<String>,
    /// The campaign.
    pub campaign: Option<String>,
    /// The lead.
    pub lead: Option<String>,
    /// The agent.
    pub agent: Option<String>,
}

/// Whom an agent is about to talk to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScreenPop {
    /// The number dialled, or to be dialled.
    pub to: String,
    /// Which attempt of the lead, from 1; 0 without a lead.
    pub attempt: u32,
    /// The lead.
    pub lead: Option<PopLead>,
    /// The campaign's `pop_url`, filled in.
    pub pop_url: Option<String>,
}

impl ScreenPop {
    /// As the caller may see it: numbers are masked by scope, in the address too.
    #[must_use]
    pub fn new(pop: &core::ScreenPop, names: &PopNames, mask: Masker) -> Self {
        let lead = pop.lead.as_ref().map(|lead| PopLead {
            id: names.lead.clone(),
            list_id: lead.list.to_string(),
            external_id: shown_external_id(lead.external_id.as_deref(), &lead.phones, mask),
            phones: lead.phones.iter().map(|phone| Phone::new(phone, mask)).collect(),
            priority: lead.priority,
            time_zone: lead.time_zone.clone(),
            fields: super::call::masked_fields(&lead.fields, mask),
            history: lead.history.iter().map(|past| PastAttempt::new(past, mask)).collect(),
        });
        let to = mask.number(&pop.to);
        let pop_url = pop.url.as_deref().map(|template| {
            core::fill(template, |name| match name {
                "call_id" => names.call.clone(),
                "task_id" => names.task.clone(),
                "campaign_id" => names.campaign.clone(),
                "lead_id" => names.lead.clone(),
                "agent_id" => names.agent.clone(),
                "agent_username" => Some(pop.agent_username.clone()),
                "phone" => Some(to.clone()),
                "attempt" => Some(pop.attempt.to_string()),
                "list_id" => lead.as_ref().map(|lead| lead.list_id.clone()),
                "external_id" => lead.as_ref().and_then(|lead| lead.external_id.clone()),
                field => {
                    let field = field.strip_prefix("fields.")?;
                    lead.as_ref().and_then(|lead| lead.fields.get(field).cloned())
                }
            })
        });
        ScreenPop { to, attempt: pop.attempt, lead, pop_url }
    }
}
