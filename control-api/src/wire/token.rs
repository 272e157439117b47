//! API tokens on the wire.

use crate::auth::Scope;
use crate::mask::Masker;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use store::TokenRow;
use utoipa::ToSchema;

/// A token to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// What it may do; only what the caller may do too.
    pub scopes: Vec<Scope>,
    /// When it stops working; null: never.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// The tenant it is for: it reaches that tenant's agents, lists, leads, campaigns, calls, records and events, and
    /// nothing else. 1 to 64 lower-case letters, digits, dashes and underscores; null: the operator's, it reaches
    /// everything. What the operator makes belongs to the tenant `default`.
    #[serde(default)]
    #[schema(example = "acme")]
    pub tenant: Option<String>,
}

/// A token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its name.
    #[schema(example = "tok_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// First characters of the secret, to recognise it by.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working.
    pub expires_at: Option<Time>,
    /// Whose it is; null: the operator's.
    pub tenant: Option<String>,
}

/// A token that was just made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewToken {
    /// The secret, shown this once: only its digest is kept.
    pub token: String,
    /// The token.
    #[serde(flatten)]
    pub about: Token,
}

impl Token {
    /// As the caller may see it.
    #[must_use]
    pub fn new(row: &TokenRow, mask: Masker) -> Self {
        Token {
            id: row.id.to_string(),
            name: mask.text(&row.name),
            prefix: row.prefix.clone(),
            scopes: row.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            created_at: row.created_at.into(),
            expires_at: row.expires_at.map(Time),
            tenant: row.tenant.as_ref().map(ToString::to_string),
        }
    }
}
