//! Dispositions on the wire.

use super::lead::LeadState;
use super::wire_enum;
use dialer_core::disposition as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire_enum! {
    /// Whether something has to be said with a disposition.
    Demand = dialer_core::disposition::Demand {
        /// May be said.
        Optional,
        /// Has to be said.
        Required,
        /// May not be said.
        Forbidden,
    }
}

/// A disposition that asks for something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispositionRule {
    /// The word, 1 to 64 characters.
    pub code: String,
    /// Shown name.
    #[serde(default)]
    pub label: Option<String>,
    /// Names of fields that have to be filled in, at most 32.
    #[serde(default)]
    pub required_fields: Vec<String>,
    /// Notes.
    #[serde(default = "optional")]
    #[schema(default = "optional")]
    pub notes: Demand,
    /// A callback.
    #[serde(default = "optional")]
    #[schema(default = "optional")]
    pub callback: Demand,
    /// The lead goes to this state (`done`, `exhausted`, `dnc`) whatever the call's outcome was; null: as the retry rules say.
    #[serde(default)]
    pub lead_state: Option<LeadState>,
    /// Who was called has said not to be called: the lead is left alone for `caps.refusal_days`, or as long as the rule book
    /// asks for, by every campaign with such a limit.
    #[serde(default)]
    pub refusal: bool,
}

fn optional() -> Demand {
    Demand::Optional
}

/// A disposition: a word alone, or one that asks for something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "a word, or an object with code, label, required_fields, notes, callback, lead_state, refusal"
)]
pub enum DispositionEntry {
    /// A word.
    Code(String),
    /// One that asks for something.
    Rule(DispositionRule),
}

impl From<DispositionEntry> for core::DispositionRule {
    fn from(wire: DispositionEntry) -> Self {
        match wire {
            DispositionEntry::Code(code) => code.as_str().into(),
            DispositionEntry::Rule(rule) => core::DispositionRule {
                code: rule.code,
                label: rule.label,
                required_fields: rule.required_fields,
                notes: rule.notes.into(),
                callback: rule.callback.into(),
                lead: rule.lead_state.map(Into::into),
                refusal: rule.refusal,
            },
        }
    }
}

impl From<&core::DispositionRule> for DispositionEntry {
    fn from(rule: &core::DispositionRule) -> Self {
        if *rule == core::DispositionRule::from(rule.code.as_str()) {
            return DispositionEntry::Code(rule.code.clone());
        }
        DispositionEntry::Rule(DispositionRule {
            code: rule.code.clone(),
            label: rule.label.clone(),
            required_fields: rule.required_fields.clone(),
            notes: rule.notes.into(),
            callback: rule.callback.into(),
            lead_state: rule.lead.map(Into::into),
            refusal: rule.refusal,
        })
    }
}
