//! Dial requests on the wire.

use super::Outcome;
use super::lead::{FieldValue, LeadFault, LeadRequest, PhoneRequest, RowResult, shown_external_id};
use crate::mask::Masker;
use crate::time::Time;
use dialer_core::CampaignId;
use dialer_core::config::PushConfig;
use dialer_core::record::{Lead as CoreLead, LeadState};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::NewLead;
use utoipa::ToSchema;

/// Longest that a request may wait, milliseconds.
const EXPIRES_MAX_MS: u64 = 30 * 24 * 3_600_000;

/// Someone is to be called, soon or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DialRequestNew {
    /// The client's own name of it, unique in the campaign's list: the same name again changes nothing and gives the
    /// request that is there.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub request_id: Option<String>,
    /// The number, if there is one only. Either this or `phones`.
    #[serde(default)]
    #[schema(example = "+8613800138000")]
    pub to: Option<String>,
    /// Numbers in dial order.
    #[serde(default)]
    pub phones: Vec<PhoneRequest>,
    /// Higher is dialled sooner.
    #[serde(default)]
    pub priority: i32,
    /// Not dialled after this. Either this or `expires_in_ms`; neither: the campaign's `push.expires_in_ms`.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// Not dialled later than this from now.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000_000_i64)]
    pub expires_in_ms: Option<u64>,
    /// IANA zone.
    #[serde(default)]
    #[schema(example = "Asia/Shanghai")]
    pub time_zone: Option<String>,
    /// The owner's fields: texts, numbers or truth values.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub fields: BTreeMap<String, FieldValue>,
}

impl DialRequestNew {
    /// Checks it.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn into_lead(
        self,
        push: &PushConfig,
        region: Option<&str>,
        now: WallTime,
    ) -> Result<NewLead, LeadFault> {
        let expires_at = self.expires_at(push, now)?;
        let lead = LeadRequest {
            external_id: self.request_id,
            phone: self.to,
            phones: self.phones,
            priority: self.priority,
            time_zone: self.time_zone,
            fields: self.fields,
            expires_at: Some(Time(expires_at)),
        };
        lead.into_lead(region).map_err(|mut fault| {
            fault.pointer = match fault.pointer.as_str() {
                "/phone" | "/phones" => "/to".into(),
                "/external_id" => "/request_id".into(),
                _ => fault.pointer,
            };
            fault
        })
    }

    fn expires_at(&self, push: &PushConfig, now: WallTime) -> Result<WallTime, LeadFault> {
        let wrong = |pointer: &str, detail: &str| LeadFault {
            result: RowResult::InvalidRow,
            code: "invalid_expiry",
            pointer: pointer.into(),
            detail: detail.into(),
        };
        match (&self.expires_at, self.expires_in_ms) {
            (Some(_), Some(_)) => {
                Err(wrong("/expires_in_ms", "expected expires_at or expires_in_ms, not both"))
            }
            (Some(at), None) if at.0 <= now => Err(wrong("/expires_at", "expected a time to come")),
            (Some(at), None) if at.0.millis_since(now) > EXPIRES_MAX_MS as i64 => {
                Err(wrong("/expires_at", "expected a time within 30 days"))
            }
            (Some(at), None) => Ok(at.0),
            (None, Some(ms)) if !(1..=EXPIRES_MAX_MS).contains(&ms) => {
                Err(wrong("/expires_in_ms", "expected 1 to 2592000000"))
            }
            (None, ms) => Ok(now.plus_millis(ms.unwrap_or(push.expires_in_ms) as i64)),
        }
    }
}

/// One request or `requests` with many.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DialRequestBatch {
    /// 1 to 1,000.
    pub requests: Vec<DialRequestNew>,
}

/// How far a dial request is. The last five are final.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DialRequestStatus {
    /// Waits to be dialled.
    Queued,
    /// Was dialled and waits for its next try.
    RetryWait,
    /// Being dialled or talking.
    Dialing,
    /// Reached.
    Done,
    /// No attempts left.
    Exhausted,
    /// On a do-not-call list.
    Dnc,
    /// Not reached in time; not dialled any more.
    Expired,
}

impl DialRequestStatus {
    fn of(lead: &CoreLead, now: WallTime) -> Self {
        let late = lead.expires_at.is_some_and(|at| at <= now);
        match lead.progress.state {
            LeadState::New | LeadState::RetryWait if late => DialRequestStatus::Expired,
            LeadState::New => DialRequestStatus::Queued,
            LeadState::RetryWait => DialRequestStatus::RetryWait,
            LeadState::Dialing => DialRequestStatus::Dialing,
            LeadState::Done => DialRequestStatus::Done,
            LeadState::Exhausted => DialRequestStatus::Exhausted,
            LeadState::Dnc => DialRequestStatus::Dnc,
            LeadState::Expired => DialRequestStatus::Expired,
        }
    }
}

/// A dial request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DialRequest {
    /// Its name: that of the lead it became.
    #[schema(example = "lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// The campaign that dials it.
    pub campaign_id: String,
    /// The list it is kept in.
    pub list_id: String,
    /// The client's own name of it.
    pub request_id: Option<String>,
    /// Its first number.
    pub to: String,
    /// Higher is dialled sooner.
    pub priority: i32,
    /// How far it is.
    pub status: DialRequestStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// Outcome of the last attempt.
    pub last_outcome: Option<Outcome>,
    /// When the last attempt began.
    pub last_attempt_at: Option<Time>,
    /// When it is tried again.
    pub next_at: Option<Time>,
    /// Not dialled after this.
    pub expires_at: Option<Time>,
}

impl DialRequest {
    /// As the caller may see it.
    #[must_use]
    pub fn new(campaign: CampaignId, lead: &CoreLead, now: WallTime, mask: Masker) -> Self {
        DialRequest {
            id: lead.id.to_string(),
            campaign_id: campaign.to_string(),
            list_id: lead.list.to_string(),
            request_id: shown_external_id(lead.external_id.as_deref(), &lead.phones, mask),
            to: lead.phones.first().map_or_else(String::new, |phone| mask.number(&phone.number)),
            priority: lead.priority,
            status: DialRequestStatus::of(lead, now),
            attempts: lead.progress.attempts,
            last_outcome: lead.progress.last_outcome.map(Outcome::from),
            last_attempt_at: lead.progress.last_attempt_at.map(Time),
            next_at: lead.progress.next_at.map(Time),
            expires_at: lead.expires_at.map(Time),
        }
    }
}

/// Dial requests that were taken, in order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DialRequestsTaken {
    /// One per request.
    pub data: Vec<DialRequest>,
    /// How many of them are new.
    pub accepted: u64,
    /// How many were there already.
    pub duplicates: u64,
    /// Those that were not taken: they have no place in `data`.
    pub refused: Vec<DialRequestRefused>,
}

/// A dial request that was not taken.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DialRequestRefused {
    /// Its place in `requests`, from 0.
    pub place: u64,
    /// Why: `dnc`, all its numbers are on do-not-call lists that hold everywhere.
    pub code: &'static str,
}

/// What was taken.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DialRequestsAnswer {
    /// One.
    One(Box<DialRequest>),
    /// Many.
    Many(DialRequestsTaken),
}
