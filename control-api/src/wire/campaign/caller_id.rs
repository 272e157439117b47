//! Which caller ID calls show: a number, or the numbers of a pool.

use crate::extract::Checks;
use crate::mask::Masker;
use crate::wire::caller_id::CallerIdStrategy;
use crate::wire::trunk::{CALLER_ID, is_caller_id};
use dialer_core::CallerIdPoolId;
use dialer_core::caller_id::{NumberCaps, OwnUse};
use dialer_core::config::CampaignConfig;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much a number may have been shown, by whomever; besides what its pool allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallerIdPerNumber {
    /// Calls begun within 60 minutes; null: as the pool says.
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_hour: Option<u32>,
    /// Calls begun within 24 hours; null: as the pool says.
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_day: Option<u32>,
    /// Rest between the beginnings of two calls, minutes, up to 7 days; 0: as the pool says.
    #[schema(maximum = 10_080)]
    pub cooldown_min: u32,
}

/// Numbers of a pool are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdFromPool {
    /// The pool.
    #[schema(value_type = String, example = "cip_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub pool: CallerIdPoolId,
    /// Which of its numbers; null: as the pool says. Calls with a strategy of their own take no part in its experiment.
    #[serde(default)]
    pub strategy: Option<CallerIdStrategy>,
    /// How much each may be used.
    #[serde(default)]
    pub per_number: CallerIdPerNumber,
}

/// A number, or a pool whose numbers are shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a number, or an object with pool, strategy and per_number")]
pub enum CallerIdChoice {
    /// This number.
    Number(String),
    /// Numbers of this pool.
    Pool(CallerIdFromPool),
}

impl CallerIdChoice {
    /// As it is configured.
    pub(super) fn of(config: &CampaignConfig) -> Option<Self> {
        let own = config.caller_id_use.as_deref();
        match (config.caller_id_pool, own) {
            (Some(pool), Some(own)) => Some(CallerIdChoice::Pool(CallerIdFromPool {
                pool,
                strategy: own.strategy.map(Into::into),
                per_number: CallerIdPerNumber {
                    per_hour: own.caps.per_hour,
                    per_day: own.caps.per_day,
                    cooldown_min: u32::try_from(own.caps.cooldown_ms / 60_000).unwrap_or(u32::MAX),
                },
            })),
            _ => config.caller_id.clone().map(CallerIdChoice::Number),
        }
    }

    /// As the caller may see it.
    pub(super) fn masked(self, mask: Masker) -> Self {
        match self {
            CallerIdChoice::Number(number) => CallerIdChoice::Number(mask.number(&number)),
            pool @ CallerIdChoice::Pool(_) => pool,
        }
    }
}

/// As the dialer takes it.
pub(crate) struct Shown {
    pub(crate) number: Option<String>,
    pub(crate) pool: Option<CallerIdPoolId>,
    pub(crate) own: Option<OwnUse>,
}

/// Both ways to say it as one meaning.
pub(crate) fn core(
    choice: Option<CallerIdChoice>,
    pool: Option<CallerIdPoolId>,
    checks: &mut Checks,
) -> Shown {
    let from = match choice {
        None => return Shown { number: None, pool, own: None },
        Some(CallerIdChoice::Number(number)) => {
            checks.that(is_caller_id(&number), "/caller_id", CALLER_ID);
            return Shown { number: Some(number), pool, own: None };
        }
        Some(CallerIdChoice::Pool(from)) => from,
    };
    let one = pool.is_none_or(|pool| pool == from.pool);
    checks.that(one, "/caller_id_pool", "expected none beside the pool of caller_id");
    let at = "/caller_id/per_number";
    let per = from.per_number;
    checks.range(per.per_hour.unwrap_or(1), 1, 10_000, &format!("{at}/per_hour"));
    checks.range(per.per_day.unwrap_or(1), 1, 10_000, &format!("{at}/per_day"));
    checks.range(per.cooldown_min, 0, 10_080, &format!("{at}/cooldown_min"));
    let caps = NumberCaps {
        per_hour: per.per_hour,
        per_day: per.per_day,
        cooldown_ms: u64::from(per.cooldown_min) * 60_000,
    };
    let own = OwnUse { strategy: from.strategy.map(Into::into), caps };
    Shown { number: None, pool: Some(from.pool), own: Some(own) }
}
