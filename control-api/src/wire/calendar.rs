//! Calendars on the wire.

use super::calling_windows::{CallingWindows, DayHours};
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::calendar::{CalendarConfig, CalendarRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A calendar to be made; for PATCH, any part of it. Nothing is allowed that is not listed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarRequest {
    /// Shown name, 1 to 100 characters.
    #[schema(example = "China, working days")]
    pub name: String,
    /// The hours in which callees may be called; any of them, at most 32.
    pub hours: Vec<DayHours>,
    /// Days on which nobody is called, `2026-12-25`; at most 1,000.
    #[serde(default)]
    #[schema(example = json!(["2026-10-01", "2026-10-02"]))]
    pub holidays: BTreeSet<String>,
    /// The hours and days are those of this zone's clock, wherever the lead is; null: of the clock where the lead is.
    #[serde(default)]
    #[schema(example = "Asia/Shanghai")]
    pub time_zone: Option<String>,
}

impl TryFrom<CalendarRequest> for CalendarConfig {
    type Error = Problem;

    fn try_from(wire: CalendarRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 100, "/name");
        let windows =
            CallingWindows { hours: wire.hours, holidays: wire.holidays, time_zone: wire.time_zone };
        let windows = windows.checked("", &mut checks);
        checks.finish()?;
        // Whoever makes it says whose it is; afterwards it stays.
        Ok(CalendarConfig { name: wire.name, tenant: None, windows })
    }
}

impl From<&CalendarConfig> for CalendarRequest {
    fn from(config: &CalendarConfig) -> Self {
        let CallingWindows { hours, holidays, time_zone } = CallingWindows::from(&config.windows);
        CalendarRequest { name: config.name.clone(), hours, holidays, time_zone }
    }
}

/// A calendar.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Calendar {
    /// Its name.
    #[schema(example = "cal_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Its settings.
    #[serde(flatten)]
    pub settings: CalendarRequest,
    /// Whose it is; null: the operator's.
    pub tenant: Option<String>,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

impl Calendar {
    /// As the caller may see it.
    #[must_use]
    pub fn new(row: &CalendarRow, mask: Masker) -> Self {
        let mut settings = CalendarRequest::from(&row.config);
        settings.name = mask.text(&settings.name);
        Calendar {
            id: row.id.to_string(),
            settings,
            tenant: row.config.tenant.as_ref().map(ToString::to_string),
            version: row.version,
            created_at: row.created_at.into(),
        }
    }
}
