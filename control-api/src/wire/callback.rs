//! Callbacks on the wire.

use super::Outcome;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::id::{Id, Kind};
use dialer_core::record::{Callback as CorePromise, Lead, LeadState};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is promised: the part of a callback that can be changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallbackChange {
    /// When the customer wants to be called: in the future, within a year, before the lead expires.
    pub at: Time,
    /// The agent who is to call; null: anyone may. What becomes of it when that agent is not there is told by the campaign
    /// (`callbacks`).
    #[serde(default)]
    pub agent_id: Option<String>,
    /// The campaign that is to call, as long as it runs; it dials the lead's list. Null: any that does.
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// What it is about, at most 500 characters.
    #[serde(default)]
    pub notes: Option<String>,
}

/// A callback to be promised.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallbackRequest {
    /// Whom. A lead has one callback at most.
    pub lead_id: String,
    /// When the customer wants to be called: in the future, within a year, before the lead expires.
    pub at: Time,
    /// The agent who is to call; null: anyone may.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// The campaign that is to call, as long as it runs; it dials the lead's list. Null: any that does.
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// What it is about, at most 500 characters.
    #[serde(default)]
    pub notes: Option<String>,
}

impl CallbackRequest {
    /// Whom, and what.
    pub(crate) fn parts(self) -> (String, CallbackChange) {
        let CallbackRequest { lead_id, at, agent_id, campaign_id, notes } = self;
        (lead_id, CallbackChange { at, agent_id, campaign_id, notes })
    }
}

fn name<K: Kind>(pointer: &str, text: Option<&str>) -> Result<Option<Id<K>>, Problem> {
    let read = |text: &str| {
        text.parse().map_err(|error: dialer_core::id::BadId| Problem::field(pointer, error.to_string()))
    };
    text.map(read).transpose()
}

impl TryFrom<CallbackChange> for CorePromise {
    type Error = Problem;

    fn try_from(wire: CallbackChange) -> Result<Self, Problem> {
        let agent = name("/agent_id", wire.agent_id.as_deref())?;
        let campaign = name("/campaign_id", wire.campaign_id.as_deref())?;
        Ok(CorePromise { notes: wire.notes, ..CorePromise::new(wire.at.0, agent, campaign) })
    }
}

impl From<&CorePromise> for CallbackChange {
    fn from(promise: &CorePromise) -> Self {
        CallbackChange {
            at: promise.at.into(),
            agent_id: promise.agent.map(|id| id.to_string()),
            campaign_id: promise.campaign.map(|id| id.to_string()),
            notes: promise.notes.clone(),
        }
    }
}

/// How far a callback is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// Its time has not come.
    Waiting,
    /// Its time has come; it is made when its agent, a line and the calling window allow.
    Due,
    /// The customer is being called, or talks.
    Dialing,
}

/// A promise to call a customer again. It goes when they have talked or the lead is done with; while nobody is reached, its
/// time is that of the next try.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Callback {
    /// The lead's name: a lead has one callback at most.
    #[schema(example = "lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// The lead.
    pub lead_id: String,
    /// Its list.
    pub list_id: String,
    /// The owner's own name of the lead.
    pub external_id: Option<String>,
    /// When.
    pub at: Time,
    /// How far it is.
    pub state: CallbackState,
    /// Who is to call; null: anyone may.
    pub agent_id: Option<String>,
    /// The campaign that is to call; null: any that dials the list.
    pub campaign_id: Option<String>,
    /// What it is about.
    pub notes: Option<String>,
    /// The number that is dialled next.
    pub to: Option<String>,
    /// Attempts on the lead so far.
    pub attempts: u32,
    /// Outcome of the last one.
    pub last_outcome: Option<Outcome>,
    /// Counts changes, from 1.
    pub version: u32,
}

impl Callback {
    /// As the caller may see it; `None`: the lead has none.
    pub(crate) fn new(lead: &Lead, now: WallTime, mask: Masker) -> Option<Self> {
        let promise = lead.progress.callback.as_ref()?;
        let state = match lead.progress.state {
            LeadState::Dialing => CallbackState::Dialing,
            _ if promise.at <= now => CallbackState::Due,
            _ => CallbackState::Waiting,
        };
        let place = (lead.progress.next_phone as usize).min(lead.phones.len().saturating_sub(1));
        Some(Callback {
            id: lead.id.to_string(),
            lead_id: lead.id.to_string(),
            list_id: lead.list.to_string(),
            external_id: mask.text_option(lead.external_id.as_deref()),
            at: promise.at.into(),
            state,
            agent_id: promise.agent.map(|id| id.to_string()),
            campaign_id: promise.campaign.map(|id| id.to_string()),
            notes: mask.text_option(promise.notes.as_deref()),
            to: lead.phones.get(place).map(|phone| mask.number(&phone.number)),
            attempts: lead.progress.attempts,
            last_outcome: lead.progress.last_outcome.map(Into::into),
            version: promise.version,
        })
    }
}
