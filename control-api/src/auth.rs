//! Who asks, and what they may do.

use crate::gateway::Gateway;
use crate::mask::Masker;
use crate::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use base64::Engine;
use dialer_core::record::Actor;
use dialer_core::{Tenant, TokenId};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use store::TokenRow;
use utoipa::ToSchema;

/// What a token may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// See live calls and call records.
    #[serde(rename = "calls:read")]
    CallsRead,
    /// Originate, hang up, set dispositions.
    #[serde(rename = "calls:write")]
    CallsWrite,
    /// See campaigns and their figures.
    #[serde(rename = "campaigns:read")]
    CampaignsRead,
    /// Make, change, start and stop campaigns.
    #[serde(rename = "campaigns:write")]
    CampaignsWrite,
    /// Make lists, add and import leads.
    #[serde(rename = "leads:write")]
    LeadsWrite,
    /// See lists and leads.
    #[serde(rename = "leads:read")]
    LeadsRead,
    /// See whole phone numbers, everywhere. Never implied by another scope.
    #[serde(rename = "leads:pii")]
    LeadsPii,
    /// Make, change, log in and out agents.
    #[serde(rename = "agents:write")]
    AgentsWrite,
    /// See agents.
    #[serde(rename = "supervise")]
    Supervise,
    /// See recordings' data and listen to them.
    #[serde(rename = "recordings:listen")]
    RecordingsListen,
    /// Download recordings.
    #[serde(rename = "recordings:download")]
    RecordingsDownload,
    /// Read the event stream.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Manage webhooks.
    #[serde(rename = "webhooks:write")]
    WebhooksWrite,
    /// Everything except `leads:pii` and `compliance:override`: trunks, tokens, the node, and all the other scopes.
    #[serde(rename = "admin")]
    Admin,
    /// Read metrics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Read the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Make a call that a rule of compliance forbids, giving the reason. Never implied by another scope.
    #[serde(rename = "compliance:override")]
    ComplianceOverride,
    /// Listen to live calls, whisper, barge, take over; hang up on who does.
    #[serde(rename = "calls:supervise")]
    CallsSupervise,
}

impl Scope {
    /// All of them, in the order of the documentation.
    pub const ALL: [Scope; 18] = [
        Scope::CallsRead,
        Scope::CallsWrite,
        Scope::CampaignsRead,
        Scope::CampaignsWrite,
        Scope::LeadsWrite,
        Scope::LeadsRead,
        Scope::LeadsPii,
        Scope::AgentsWrite,
        Scope::Supervise,
        Scope::RecordingsListen,
        Scope::RecordingsDownload,
        Scope::EventsRead,
        Scope::WebhooksWrite,
        Scope::Admin,
        Scope::MetricsRead,
        Scope::AuditRead,
        Scope::ComplianceOverride,
        Scope::CallsSupervise,
    ];

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::CallsRead => "calls:read",
            Scope::CallsWrite => "calls:write",
            Scope::CampaignsRead => "campaigns:read",
            Scope::CampaignsWrite => "campaigns:write",
            Scope::LeadsWrite => "leads:write",
            Scope::LeadsRead => "leads:read",
            Scope::LeadsPii => "leads:pii",
            Scope::AgentsWrite => "agents:write",
            Scope::Supervise => "supervise",
            Scope::RecordingsListen => "recordings:listen",
            Scope::RecordingsDownload => "recordings:download",
            Scope::EventsRead => "events:read",
            Scope::WebhooksWrite => "webhooks:write",
            Scope::Admin => "admin",
            Scope::MetricsRead => "metrics:read",
            Scope::AuditRead => "audit:read",
            Scope::ComplianceOverride => "compliance:override",
            Scope::CallsSupervise => "calls:supervise",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeSet(u32);

impl ScopeSet {
    /// Every scope there is.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether the scope is held, by itself or through `admin`.
    #[must_use]
    pub const fn holds(self, scope: Scope) -> bool {
        let admin = self.0 & (1 << Scope::Admin as u32) != 0
            && !matches!(scope, Scope::LeadsPii | Scope::ComplianceOverride);
        admin || self.0 & (1 << scope as u32) != 0
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        ScopeSet(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u32))
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Scope::ALL.into_iter().filter(|scope| self.0 & (1 << *scope as u32) != 0))
            .finish()
    }
}

/// SHA-256 of a token's text: all that is kept of it.
#[must_use]
pub fn hash_token(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A fresh secret: `dlr_` and 43 characters of 32 random bytes.
///
/// # Errors
/// When the operating system gives no randomness.
pub(crate) fn new_secret() -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no randomness for a token");
        Problem::new(Code::Internal, "no randomness")
    })?;
    Ok(format!("dlr_{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

/// Who a token speaks for.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: Option<TokenId>,
    pub(crate) name: String,
    pub(crate) scopes: ScopeSet,
    pub(crate) expires_at: Option<WallTime>,
    /// Whose it is; `None`: the operator's.
    pub(crate) tenant: Option<Tenant>,
}

impl Known {
    /// The token given in the configuration file.
    pub(crate) fn bootstrap() -> Self {
        Known { id: None, name: "bootstrap".into(), scopes: ScopeSet::all(), expires_at: None, tenant: None }
    }
}

impl From<&TokenRow> for Known {
    fn from(row: &TokenRow) -> Self {
        Known {
            id: Some(row.id),
            name: row.name.clone(),
            scopes: row.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            expires_at: row.expires_at,
            tenant: row.tenant.clone(),
        }
    }
}

tokio::task_local! {
    /// For whom the request under way is carried out. Commands are given to the dialer in many places; none of them can
    /// forget to say for whom.
    pub(crate) static ACTOR: Actor;
}

/// The caller of a request: extracted from `Authorization: Bearer …`.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    known: Arc<Known>,
    hash: [u8; 32],
}

impl Caller {
    /// Refuses unless one of these scopes is held.
    ///
    /// # Errors
    /// 403 with the scopes that would do.
    pub(crate) fn needs(&self, any_of: &[Scope]) -> Result<(), Problem> {
        if any_of.iter().any(|scope| self.known.scopes.holds(*scope)) {
            return Ok(());
        }
        let names: Vec<&str> = any_of.iter().map(|scope| scope.as_str()).collect();
        let challenge =
            format!("Bearer realm=\"dialerd\", error=\"insufficient_scope\", scope=\"{}\"", names.join(" "));
        let problem =
            Problem::new(Code::InsufficientScope, format!("this needs the scope {}", names.join(" or ")))
                .with("required_scopes", names);
        Err(match HeaderValue::from_str(&challenge) {
            Ok(value) => problem.with_header(WWW_AUTHENTICATE, value),
            Err(_) => problem,
        })
    }

    /// How this caller sees numbers.
    #[must_use]
    pub(crate) fn mask(&self) -> Masker {
        Masker::new(self.known.scopes.holds(Scope::LeadsPii))
    }

    /// Whether a scope is held.
    #[must_use]
    pub(crate) fn holds(&self, scope: Scope) -> bool {
        self.known.scopes.holds(scope)
    }

    /// The name of the token.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.known.name
    }

    /// As the audit log names it.
    #[must_use]
    pub(crate) fn actor(&self) -> Actor {
        Actor { token: self.known.id, name: self.known.name.clone(), tenant: self.known.tenant.clone() }
    }

    /// Whose the token is; `None`: the operator's.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        self.known.tenant.as_ref()
    }

    /// When the token stops working.
    pub(crate) fn expires_at(&self) -> Option<WallTime> {
        self.known.expires_at
    }

    /// Whether the token still works; for streams that outlive their request.
    pub(crate) async fn still_valid(&self, gateway: &Gateway) -> bool {
        let ended = self.known.expires_at.is_some_and(|end| end <= gateway.now());
        // A store that does not answer is no reason to cut off.
        !ended && !matches!(gateway.token(self.hash).await, Ok(None))
    }

    /// Makes the caller's idempotency keys its own.
    pub(crate) fn key_space(&self) -> String {
        self.known.id.map_or_else(|| "bootstrap".to_owned(), |id| id.to_string())
    }
}

/// RFC 6750 §3: no credentials, so no error attribute.
const NO_TOKEN: &str = "Bearer realm=\"dialerd\"";
const BAD_TOKEN: &str = "Bearer realm=\"dialerd\", error=\"invalid_token\"";

impl Caller {
    pub(crate) async fn identify(parts: &Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Err(Problem::unauthorized("expected the header Authorization: Bearer dlr_…", NO_TOKEN));
        };
        let secret = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .filter(|secret| !secret.is_empty())
            .ok_or_else(|| {
                Problem::unauthorized("expected the header Authorization: Bearer dlr_…", NO_TOKEN)
            })?;
        let hash = hash_token(secret);
        let known = gateway
            .token(hash)
            .await?
            .ok_or_else(|| Problem::unauthorized("this token is not known", BAD_TOKEN))?;
        if known.expires_at.is_some_and(|end| end <= gateway.now()) {
            return Err(Problem::unauthorized("this token has expired", BAD_TOKEN));
        }
        Ok(Caller { known, hash })
    }
}

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        Caller::identify(parts, gateway).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_holds_all_but_whole_numbers_and_overrides() {
        let admin: ScopeSet = [Scope::Admin].into_iter().collect();
        for scope in Scope::ALL {
            let alone = matches!(scope, Scope::LeadsPii | Scope::ComplianceOverride);
            assert_eq!(admin.holds(scope), !alone, "{scope:?}");
            assert!(ScopeSet::all().holds(scope));
            assert!(!ScopeSet::default().holds(scope));
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, two) = (new_secret().unwrap(), new_secret().unwrap());
        assert!(one.starts_with("dlr_") && one.len() == 47 && one != two);
    }
}
