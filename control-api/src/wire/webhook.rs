//! Webhooks on the wire.

use super::event::{cursor_text, parse_cursor};
use crate::extract::Checks;
use crate::pattern::{is_pattern, unknown_type};
use crate::problem::Problem;
use crate::time::Time;
use crate::webhook::{Standing, Tried, secret_key};
use dialer_core::CampaignId;
use dialer_core::event::TYPE_NAMES;
use serde::{Deserialize, Serialize};
use store::{WebhookDelivery, WebhookRow};
use utoipa::ToSchema;

/// Longest address, bytes.
const URL_LENGTH_MAX: usize = 2_048;
/// Most patterns of types.
const TYPES_MAX: usize = 100;

/// A webhook to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// Where events are sent by POST: `https://…` or `http://…`, without user and password.
    pub url: String,
    /// Which events, `*` at the end of one stands for the rest; empty: all. One that stands for no event there is is refused
    /// (422).
    #[serde(default)]
    #[schema(example = json!(["call.*", "agent.state"]))]
    pub types: Vec<String>,
    /// Only events of this campaign.
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// Phone numbers are sent whole; only a token with `leads:pii` can say so.
    #[serde(default)]
    pub numbers_whole: bool,
    /// Events are sent. What happens while it is off is sent when it is on again, as long as events are kept.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The secret that signs, `whsec_` and the base 64 of 24 to 64 bytes; made if absent. For POST only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub secret: Option<String>,
}

fn yes() -> bool {
    true
}

impl WebhookRequest {
    /// What is wrong with it; the campaign it names.
    pub(crate) fn checked(&self) -> Result<Option<CampaignId>, Problem> {
        let mut checks = Checks::default();
        checks.text(&self.name, 100, "/name");
        let url = reqwest::Url::parse(&self.url).ok().filter(|url| {
            self.url.len() <= URL_LENGTH_MAX
                && matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        checks.that(url.is_some(), "/url", "expected an http or https address without user and password");
        checks.that(self.types.len() <= TYPES_MAX, "/types", "expected at most 100 types");
        for (at, kind) in self.types.iter().enumerate() {
            let fits = kind.len() <= 100 && is_pattern(kind);
            checks.that(fits, &format!("/types/{at}"), "expected a name like call.ended or call.*");
        }
        let campaign = self.campaign_id.as_deref().map(str::parse).transpose();
        checks.that(campaign.is_ok(), "/campaign_id", "expected an id of the form camp_ and 26 characters");
        let secret_fits = self.secret.as_deref().is_none_or(|text| secret_key(text).is_some());
        checks.that(secret_fits, "/secret", "expected whsec_ and the base 64 of 24 to 64 bytes");
        checks.finish()?;
        if let Some((place, detail)) = unknown_type(&self.types) {
            let problem = Problem::field(format!("/types/{place}"), detail).unprocessable();
            return Err(problem.with("types", TYPE_NAMES.to_vec()));
        }
        Ok(campaign.unwrap_or_default())
    }
}

impl From<&WebhookRow> for WebhookRequest {
    /// Without the secret.
    fn from(row: &WebhookRow) -> Self {
        WebhookRequest {
            name: row.name.clone(),
            url: row.url.clone(),
            types: row.types.clone(),
            campaign_id: row.campaign.map(|id| id.to_string()),
            numbers_whole: row.numbers_whole,
            enabled: row.enabled,
            secret: None,
        }
    }
}

/// A webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Webhook {
    /// Its name.
    #[schema(example = "wh_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// Which events; empty: all.
    pub types: Vec<String>,
    /// Only events of this campaign.
    pub campaign_id: Option<String>,
    /// Whose it is: only events of this tenant; null: the operator's.
    pub tenant: Option<String>,
    /// Phone numbers are sent whole.
    pub numbers_whole: bool,
    /// Events are sent.
    pub enabled: bool,
    /// Why not: `gone` (the receiver answered 410) or `by_request`.
    pub disabled_reason: Option<String>,
    /// The last event that was looked at for it.
    #[schema(example = "n1-000000001234567")]
    pub cursor: String,
    /// Events it is still to be told, or to be looked at for it.
    pub backlog: u64,
    /// So much failed that only single probes are made.
    pub circuit_open: bool,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

impl Webhook {
    pub(crate) fn new(
        row: &WebhookRow,
        position: u64,
        standing: Option<&Standing>,
        (node, latest): (&str, u64),
    ) -> Self {
        let taken = standing.map_or(position, |standing| standing.taken.max(position));
        Webhook {
            id: row.id.to_string(),
            name: row.name.clone(),
            url: row.url.clone(),
            types: row.types.clone(),
            campaign_id: row.campaign.map(|id| id.to_string()),
            tenant: row.tenant.as_ref().map(ToString::to_string),
            numbers_whole: row.numbers_whole,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason.clone(),
            cursor: cursor_text(node, taken),
            backlog: latest.saturating_sub(taken) + standing.map_or(0, |standing| standing.held),
            circuit_open: standing.is_some_and(|standing| standing.breaker_open),
            version: row.version,
            created_at: row.created_at.into(),
        }
    }
}

/// A webhook with its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewWebhook {
    /// The secret, shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
    /// The webhook.
    #[serde(flatten)]
    pub about: Webhook,
}

/// What to tell again. Exactly one of the two.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Everything after this cursor; 0: from the oldest event that is kept.
    #[serde(default)]
    #[schema(example = "n1-000000001234567")]
    pub from_cursor: Option<String>,
    /// The dead letters: what was given up.
    #[serde(default)]
    pub dead_letters: bool,
}

impl ReplayRequest {
    /// The cursor; `None`: the dead letters.
    pub(crate) fn checked(&self, node: &str) -> Result<Option<u64>, Problem> {
        match (&self.from_cursor, self.dead_letters) {
            (Some(text), false) => parse_cursor(node, text)
                .map(Some)
                .ok_or_else(|| Problem::field("/from_cursor", "expected a cursor of this node")),
            (None, true) => Ok(None),
            _ => Err(Problem::field("", "expected either from_cursor or dead_letters: true")),
        }
    }
}

/// For how long the secret before still signs.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The new secret; made if absent.
    #[serde(default)]
    pub secret: Option<String>,
    /// Both sign for so long, 0 to 604800000 (a week); a day if absent.
    #[serde(default)]
    #[schema(maximum = 604_800_000)]
    pub overlap_ms: Option<u64>,
}

/// What a receiver answered to a test.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookTest {
    /// It answered with 2xx.
    pub delivered: bool,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// A delivery.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// `waiting` for another try, `dead` (given up), or `tried` (one of the last 200 tries).
    pub state: &'static str,
    /// The event.
    #[schema(example = "n1-000000001234567")]
    pub event_cursor: String,
    /// Its type.
    #[schema(example = "call.ended")]
    pub event_type: String,
    /// Tries so far; of a try: which one it was.
    pub attempts: u32,
    /// When it was tried; when it is tried again; when it was given up.
    pub at: Time,
    /// HTTP status of the last response.
    pub status: Option<u16>,
    /// What went wrong; null: it was taken.
    pub error: Option<String>,
    /// How long the try took.
    pub took_ms: Option<u64>,
}

impl Delivery {
    pub(crate) fn kept(row: &WebhookDelivery, node: &str) -> Self {
        Delivery {
            state: if row.dead { "dead" } else { "waiting" },
            event_cursor: cursor_text(node, row.event_cursor),
            event_type: row.event_type.clone(),
            attempts: row.attempts,
            at: row.next_at.into(),
            status: row.status,
            error: (!row.error.is_empty()).then(|| row.error.clone()),
            took_ms: None,
        }
    }

    pub(crate) fn tried(tried: &Tried, node: &str) -> Self {
        Delivery {
            state: "tried",
            event_cursor: cursor_text(node, tried.event_cursor),
            event_type: tried.event_type.clone(),
            attempts: tried.number,
            at: tried.at.into(),
            status: tried.status,
            error: tried.error.clone(),
            took_ms: Some(tried.took_ms),
        }
    }
}
