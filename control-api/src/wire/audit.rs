//! The audit log on the wire.

use crate::mask::Masker;
use crate::time::Time;
use serde::Serialize;
use serde_json::Value;
use store::AuditRow;
use utoipa::ToSchema;

/// Who did something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditActor {
    /// The token that was shown; null: the configuration file's.
    pub token_id: Option<String>,
    /// Its name then; `configuration file` for what is set there.
    pub name: String,
    /// Whose token it was; null: the operator's.
    pub tenant: Option<String>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its place; rises, never used twice.
    pub no: u64,
    /// When.
    pub at: Time,
    /// Who.
    pub by: AuditActor,
    /// What: `campaign.changed`, `recording.downloaded`, …
    #[schema(example = "campaign.changed")]
    pub action: String,
    /// With what: its name.
    pub target: String,
    /// What it was; of a change only what differs. Secrets are never told.
    pub before: Option<Value>,
    /// What it became, or particulars of an access.
    pub after: Option<Value>,
}

impl AuditRecord {
    /// As the caller may see it.
    #[must_use]
    pub fn new(row: &AuditRow, mask: Masker) -> Self {
        let entry = &row.entry;
        AuditRecord {
            no: row.no,
            at: Time(entry.at),
            by: AuditActor {
                token_id: entry.by.token.map(|token| token.to_string()),
                name: mask.text(&entry.by.name),
                tenant: entry.by.tenant.as_ref().map(ToString::to_string),
            },
            action: entry.action.clone(),
            target: mask.text(&entry.target),
            before: entry.before.clone().map(|value| masked(value, mask)),
            after: entry.after.clone().map(|value| masked(value, mask)),
        }
    }
}

/// All texts of a value, and names of members, as the caller may see them.
fn masked(value: Value, mask: Masker) -> Value {
    match value {
        Value::String(text) => Value::String(mask.text(&text)),
        Value::Array(items) => items.into_iter().map(|item| masked(item, mask)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (mask.text(&name), masked(value, mask))).collect()
        }
        other => other,
    }
}
