//! Rule books on the wire.

use super::calling_windows::CallingWindows;
use super::campaign::Policy as PolicyName;
use dialer_core::compliance::{pack, profile};
use dialer_core::config as core;
use serde::Serialize;
use utoipa::ToSchema;

/// A rule book: what a campaign that names it in `pacing.policy` is held to. Numbers of common rules, not legal advice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyPack {
    /// Its name.
    pub policy: PolicyName,
    /// Greatest abandonment rate.
    pub abandon_cap: Option<f64>,
    /// Over this time.
    pub window: Option<String>,
    /// From answer to agent at most.
    pub bridge_deadline_ms: Option<u32>,
    /// An unanswered call rings at least so long.
    pub ring_min_ms: Option<u32>,
    /// Estimated share of people taken for machines, where nobody has measured it.
    pub false_machine_rate: Option<f64>,
    /// Who meets no agent must hear a message (`on_no_agent.play`).
    pub message_needed: bool,
    /// … and be able to press a key against further calls (`on_no_agent.collect_opt_out`).
    pub opt_out_needed: bool,
    /// When callees may be called, by their clocks.
    pub calling_windows: Option<CallingWindows>,
    /// The campaign must name its callees' public holidays.
    pub holidays_needed: bool,
    /// Most attempts per lead in 30 days.
    pub per_30d: Option<u32>,
    /// Every conversation must be recorded.
    pub recording_needed: bool,
    /// Not called for so long after a refusal, days.
    pub refusal_days: Option<u32>,
    /// Only with an agent guaranteed for so long after an abandoned call.
    pub lock_hours: u32,
    /// Records are to be kept so long, days.
    pub records_keep_days: Option<u32>,
    /// Do-not-call lists from outside must be renewed within so many days.
    pub dnc_age_days_max: Option<u32>,
}

impl From<core::Policy> for PolicyPack {
    fn from(policy: core::Policy) -> Self {
        let (pack, profile) = (pack(policy), profile(policy));
        PolicyPack {
            policy: policy.into(),
            abandon_cap: profile.map(|profile| profile.cap),
            window: profile.map(|profile| profile.window.as_str().to_owned()),
            bridge_deadline_ms: profile.map(|profile| profile.bridge_deadline_ms),
            ring_min_ms: profile.map(|profile| profile.ring_min_ms),
            false_machine_rate: profile.map(|profile| profile.false_machine),
            message_needed: profile.is_some_and(|profile| profile.message_needed),
            opt_out_needed: profile.is_some_and(|profile| profile.opt_out_needed),
            calling_windows: pack.windows.as_ref().map(CallingWindows::from),
            holidays_needed: pack.holidays_needed,
            per_30d: pack.frequency.per_30d,
            recording_needed: pack.recording_needed,
            refusal_days: pack.frequency.refusal_days,
            lock_hours: pack.lock_hours,
            records_keep_days: pack.records_keep_days,
            dnc_age_days_max: pack.dnc_age_days_max,
        }
    }
}

/// All rule books.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyPacks {
    /// One by one.
    pub data: Vec<PolicyPack>,
}
