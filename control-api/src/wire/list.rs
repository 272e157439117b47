//! Lists on the wire.

use crate::extract::Checks;
use crate::mask::Masker;
use crate::numbers::is_region;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::config::ListConfig;
use dialer_core::record::ListRow;
use serde::{Deserialize, Serialize};
use store::LeadCounts;
use utoipa::ToSchema;

/// A list to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// Region (ISO 3166-1 alpha-2) for numbers without a country code.
    #[serde(default)]
    #[schema(example = "CN")]
    pub default_region: Option<String>,
    /// Countries (ISO 3166-1 alpha-2) whose numbers the list takes; none: all. Rows with others get `blocked_country`.
    #[serde(default)]
    #[schema(example = json!(["CN", "HK"]), max_items = 250)]
    pub countries: Vec<String>,
}

impl TryFrom<ListRequest> for ListConfig {
    type Error = Problem;

    fn try_from(wire: ListRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 100, "/name");
        let region_fits = wire.default_region.as_deref().is_none_or(is_region);
        checks.that(
            region_fits,
            "/default_region",
            "expected a region like CN, US or GB (ISO 3166-1 alpha-2)",
        );
        checks.that(wire.countries.len() <= 250, "/countries", "expected at most 250 countries");
        for (at, country) in wire.countries.iter().enumerate() {
            let pointer = format!("/countries/{at}");
            checks.that(
                is_region(country),
                &pointer,
                "expected a country like CN, US or GB (ISO 3166-1 alpha-2)",
            );
        }
        checks.finish()?;
        let ListRequest { name, default_region, countries } = wire;
        Ok(ListConfig { name, default_region, countries, ..ListConfig::default() })
    }
}

impl From<&ListConfig> for ListRequest {
    fn from(config: &ListConfig) -> Self {
        ListRequest {
            name: config.name.clone(),
            default_region: config.default_region.clone(),
            countries: config.countries.clone(),
        }
    }
}

/// A list of leads.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List {
    /// Its name.
    #[schema(example = "list_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Region for numbers without a country code.
    pub default_region: Option<String>,
    /// Countries whose numbers it takes; none: all.
    pub countries: Vec<String>,
    /// How many leads it has by state; only when one list is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leads: Option<LeadTotals>,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

/// How many leads are in each state.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct LeadTotals {
    /// All of them.
    pub total: u64,
    /// Never dialled.
    pub new: u64,
    /// Wait for their next try.
    pub retry_wait: u64,
    /// Being dialled or talking.
    pub dialing: u64,
    /// Reached.
    pub done: u64,
    /// No attempts left.
    pub exhausted: u64,
    /// On a do-not-call list.
    pub dnc: u64,
    /// Told to have expired.
    pub expired: u64,
}

impl From<LeadCounts> for LeadTotals {
    fn from(counts: LeadCounts) -> Self {
        LeadTotals {
            total: counts.total(),
            new: counts.new,
            retry_wait: counts.retry_wait,
            dialing: counts.dialing,
            done: counts.done,
            exhausted: counts.exhausted,
            dnc: counts.dnc,
            expired: counts.expired,
        }
    }
}

impl List {
    /// As it is shown.
    #[must_use]
    pub fn new(row: &ListRow, counts: Option<LeadCounts>, mask: Masker) -> Self {
        List {
            id: row.id.to_string(),
            name: mask.text(&row.config.name),
            default_region: row.config.default_region.clone(),
            countries: row.config.countries.clone(),
            leads: counts.map(LeadTotals::from),
            version: row.version,
            created_at: row.created_at.into(),
        }
    }
}
