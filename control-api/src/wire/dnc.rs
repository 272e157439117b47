//! Do-not-call lists on the wire.

use crate::extract::Checks;
use crate::mask::Masker;
use crate::numbers::normalise;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::compliance::number_key;
use dialer_core::config::DncListConfig;
use dialer_core::record::DncNumbers;
use dialer_core::view::DncListView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A do-not-call list to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncListRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// Holds for every campaign and every call, a tenant's for those of the tenant; else only for the campaigns that name it in
    /// `dnc_lists`.
    #[serde(default = "everywhere")]
    #[schema(default = true)]
    pub everywhere: bool,
    /// Where it comes from, for people.
    #[serde(default)]
    #[schema(example = "us_national")]
    pub source: Option<String>,
}

fn everywhere() -> bool {
    true
}

impl TryFrom<DncListRequest> for DncListConfig {
    type Error = Problem;

    fn try_from(wire: DncListRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 100, "/name");
        if let Some(source) = &wire.source {
            checks.text(source, 100, "/source");
        }
        checks.finish()?;
        // Whoever makes it says whose it is; afterwards it stays.
        let tenant = None;
        Ok(DncListConfig { name: wire.name, tenant, everywhere: wire.everywhere, source: wire.source })
    }
}

impl From<&DncListConfig> for DncListRequest {
    fn from(config: &DncListConfig) -> Self {
        DncListRequest {
            name: config.name.clone(),
            everywhere: config.everywhere,
            source: config.source.clone(),
        }
    }
}

/// A do-not-call list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DncList {
    /// Its name.
    #[schema(example = "dnc_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Holds for every campaign and every call; else only for the campaigns that name it.
    pub everywhere: bool,
    /// Whose it is; null: the operator's.
    pub tenant: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// Numbers and prefixes on it.
    pub entries: u64,
    /// Counts changes of the settings, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

impl DncList {
    /// As it is shown.
    #[must_use]
    pub fn new(view: &DncListView, mask: Masker) -> Self {
        DncList {
            id: view.row.id.to_string(),
            name: mask.text(&view.row.config.name),
            everywhere: view.row.config.everywhere,
            tenant: view.row.config.tenant.as_ref().map(ToString::to_string),
            source: view.row.config.source.clone(),
            entries: view.entries,
            version: view.row.version,
            created_at: view.row.created_at.into(),
        }
    }
}

/// Numbers to put on a list or to take off it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncNumbersRequest {
    /// 1 to 20,000 numbers: E.164, or written as in the node's default region. One that ends in `*` is a prefix:
    /// `+1900*` stands for all numbers that begin so.
    #[schema(example = json!(["+14155550123", "+1900*"]))]
    pub numbers: Vec<String>,
    /// They lapse then; null: never. Not taken when numbers are removed.
    #[serde(default)]
    pub expires_at: Option<Time>,
}

/// One entry of a do-not-call list.
pub(crate) enum DncEntry {
    Number(u64),
    Prefix(String),
}

/// Reads one entry.
pub(crate) fn dnc_entry(text: &str, region: Option<&str>) -> Result<DncEntry, &'static str> {
    if let Some(prefix) = text.trim().strip_suffix('*') {
        let digits = prefix.strip_prefix('+').unwrap_or_default();
        let good = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        return if good {
            Ok(DncEntry::Prefix(digits.to_owned()))
        } else {
            Err("expected a prefix like +1900*: a plus, 1 to 15 digits and an asterisk")
        };
    }
    let number = normalise(text, region).map_err(|fault| fault.detail())?;
    number_key(&number).map(DncEntry::Number).ok_or("expected a number in E.164")
}

impl DncNumbersRequest {
    /// What is meant.
    ///
    /// # Errors
    /// Which entries do not fit.
    pub fn checked(self, region: Option<&str>) -> Result<DncNumbers, Problem> {
        let mut checks = Checks::default();
        let count_fits = (1..=dialer_core::DNC_ENTRIES_MAX).contains(&self.numbers.len());
        checks.that(count_fits, "/numbers", "expected 1 to 20,000 numbers");
        let mut entries = DncNumbers { expires_at: self.expires_at.map(|at| at.0), ..DncNumbers::default() };
        for (place, text) in self.numbers.iter().enumerate().take(dialer_core::DNC_ENTRIES_MAX) {
            match dnc_entry(text, region) {
                Ok(DncEntry::Number(number)) => entries.numbers.push(number),
                Ok(DncEntry::Prefix(prefix)) => entries.prefixes.push(prefix),
                Err(fault) => checks.wrong(format!("/numbers/{place}"), fault),
            }
        }
        checks.finish()?;
        Ok(entries)
    }
}

/// How a list changed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DncChanged {
    /// Entries that are new on the list, or gone from it. What was there (or was not) already does not count.
    pub changed: u64,
}

/// How an import into a do-not-call list went.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct DncImported {
    /// Lines read, without empty ones.
    pub lines: u64,
    /// Entries that are new on the list.
    pub added: u64,
    /// Lines that are no numbers.
    pub refused: u64,
    /// The first of these, at most 20: which line, and why.
    pub faults: Vec<DncFault>,
}

/// A line that is no number.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DncFault {
    /// Which line, from 1.
    pub line: u64,
    /// Why.
    pub detail: String,
}
