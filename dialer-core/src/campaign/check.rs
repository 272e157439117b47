//! What a campaign's settings must be.

use crate::check::{Checked, caller_id, invalid, range, range_f64, text};
use crate::compliance::{check_pack, check_policy};
use crate::config::{
    AmdMode, CallingHours, CampaignConfig, CampaignTimers, Concurrency, ConcurrencyKind, ConnectAt, DialMode,
    PacingConfig, RetryRule,
};
use crate::dialer::Dialer;
use crate::disposition::check_rules;
use crate::outcome::Outcome;
use crate::record::RECENT_ATTEMPTS_MAX;
use crate::screen::Frequency;
use std::collections::BTreeSet;

/// A year, the longest wait of a retry rule.
const RETRY_MAX_MS: u64 = 366 * 24 * 3_600_000;

/// The longest that a dial request may wait, milliseconds: 30 days.
const PUSH_EXPIRES_MAX_MS: u64 = 30 * 24 * 3_600_000;

impl Dialer {
    pub(super) fn check_campaign(&self, config: &CampaignConfig) -> Checked {
        text("/name", &config.name, 1, 128)?;
        range_f64("/ratio", config.ratio, 1.0, 50.0)?;
        if let Some(group) = &config.agent_group {
            text("/agent_group", group, 1, 64)?;
        }
        config.serving.check()?;
        config.machine_policy.check()?;
        let mut seen = BTreeSet::new();
        for (place, list) in config.lists.iter().enumerate() {
            let own = self.lists.get(list).is_some_and(|list| list.config.tenant == config.tenant);
            if !own || !seen.insert(*list) {
                return invalid(&format!("/lists/{place}"), "the id of an existing list, each once");
            }
        }
        let mut seen = BTreeSet::new();
        for (place, trunk) in config.trunks.iter().enumerate() {
            if !self.trunks.contains_key(trunk) || !seen.insert(*trunk) {
                return invalid(&format!("/trunks/{place}"), "the id of an existing trunk, each once");
            }
        }
        if let Some(number) = &config.caller_id {
            caller_id("/caller_id", number)?;
        }
        check_concurrency(&config.concurrency, config.mode)?;
        check_pacing(&config.pacing)?;
        check_timers(&config.timers)?;
        check_connection(config)?;
        check_policy(config)?;
        check_pack(config, self.calendar_of(config)?)?;
        range("/on_no_agent/lock_hours", config.lock_hours, 0, 8_760)?;
        check_frequency(&config.frequency)?;
        if let Some(windows) = &config.calling_windows {
            windows.check("/calling_windows")?;
        }
        if let Some(own) = &config.caller_id_use {
            own.check()?;
            if config.caller_id_pool.is_none() {
                return invalid("/caller_id/pool", "the pool whose numbers are shown so");
            }
        }
        let mut seen = BTreeSet::new();
        if config.caller_id_pool.is_some_and(|pool| !self.pools.contains_key(&pool)) {
            return invalid("/caller_id_pool", "the id of an existing caller-ID pool");
        }
        for (place, list) in config.dnc_lists.iter().enumerate() {
            if !self.may_respect(config, *list) || !seen.insert(*list) {
                return invalid(
                    &format!("/dnc_lists/{place}"),
                    "the id of an existing do-not-call list, each once",
                );
            }
        }
        if let Some(prompt) = &config.safe_harbour_prompt {
            text("/safe_harbour_prompt", prompt, 1, 128)?;
        }
        if self.config.manual_only {
            check_manual(config)?;
        }
        self.check_opt_out(config)?;
        if config.serving.owner_only && config.mode == DialMode::Agentless {
            return invalid("/owner_only", "false: agentless campaigns have no agents");
        }
        config.schedule.check()?;
        check_sequence(config)?;
        check_push(config)?;
        if let Some(best_time) = &config.best_time {
            best_time.check()?;
        }
        check_retry(&config.retry)?;
        range("/attempts_max", config.attempts_max, 1, 1_000)?;
        if let Some(hours) = &config.calling_hours {
            check_hours(hours)?;
        }
        check_rules(&config.dispositions)?;
        Ok(())
    }
}

fn check_concurrency(concurrency: &Concurrency, mode: DialMode) -> Checked {
    range("/concurrency/max", concurrency.lines_max, 1, 1_000_000)?;
    range("/concurrency/min", concurrency.lines_min, 0, 1_000_000)?;
    if concurrency.lines_min > concurrency.lines_max {
        return invalid("/concurrency/min", "a number not above max");
    }
    range_f64("/concurrency/cps", concurrency.cps_max, 0.01, 100_000.0)?;
    range_f64("/concurrency/max_lines_per_agent", concurrency.max_lines_per_agent, 1.0, 50.0)?;
    range_f64("/concurrency/weight", concurrency.weight, 1.0, 10_000.0)?;
    range("/concurrency/priority", concurrency.priority, 0, 100)?;
    if let Some(lines) = concurrency.lines {
        range("/concurrency/lines", lines, 1, 1_000_000)?;
        if lines > concurrency.lines_max {
            return invalid("/concurrency/lines", "a number not above max");
        }
    }
    if concurrency.kind == ConcurrencyKind::Fixed {
        if !matches!(mode, DialMode::Ratio | DialMode::Agentless) {
            return invalid("/concurrency/kind", "\"dynamic\", unless the mode is ratio or agentless");
        }
        if concurrency.lines.is_none() {
            return invalid("/concurrency/lines", "the number of lines that kind \"fixed\" keeps up");
        }
    }
    Ok(())
}

fn check_pacing(pacing: &PacingConfig) -> Checked {
    range_f64("/pacing/abandon_cap", pacing.abandon_cap, 0.0, 1.0)?;
    range_f64("/pacing/abandon_target", pacing.abandon_target, 0.0, 1.0)?;
    if pacing.abandon_target > pacing.abandon_cap {
        return invalid("/pacing/abandon_target", "a rate not above abandon_cap");
    }
    if let Some(group) = &pacing.budget_group {
        text("/pacing/budget_group", group, 1, 64)?;
    }
    if let Some(small_team) = &pacing.small_team {
        range("/pacing/small_team/below_agents", small_team.below_agents, 1, 1_000)?;
        if small_team.mode != DialMode::Progressive && small_team.mode != DialMode::Ratio {
            return invalid("/pacing/small_team/mode", "\"progressive\" or \"ratio\"");
        }
    }
    range("/pacing/wait_target_ms", pacing.wait_target_ms.unwrap_or(1_000), 1_000, 3_600_000)?;
    for (pointer, share) in [
        ("/classify/amd/false_machine_rate", pacing.amd_false_machine),
        ("/classify/amd/missed_machine_rate", pacing.amd_missed_machine),
    ] {
        range_f64(pointer, share.unwrap_or(0.0), 0.0, 0.5)?;
    }
    Ok(())
}

/// Shares are of the campaign's own lists.
fn check_sequence(config: &CampaignConfig) -> Checked {
    for (list, share) in &config.sequence.mix {
        if !config.lists.contains(list) {
            return invalid(&format!("/list_mix/{list}"), "one of the campaign's lists");
        }
        range(&format!("/list_mix/{list}"), *share, 1, 1_000)?;
    }
    Ok(())
}

/// A node that dials by hand alone takes no campaign that would dial by itself.
pub(crate) fn check_manual(config: &CampaignConfig) -> Checked {
    if config.mode != DialMode::Preview {
        return invalid("/mode", "\"preview\": this node dials by hand only");
    }
    if config.timers.preview_auto_dial_ms > 0 {
        return invalid("/timers/preview_auto_dial_ms", "0: this node dials by hand only");
    }
    Ok(())
}

/// What the mode needs to connect, or to play, something.
fn check_connection(config: &CampaignConfig) -> Checked {
    match (config.mode, &config.message_prompt) {
        (DialMode::Agentless, None) => {
            return invalid("/on_answer/play", "the name of the prompt that agentless mode plays");
        }
        (_, Some(prompt)) => text("/on_answer/play", prompt, 1, 128)?,
        (_, None) => {}
    }
    if config.connect_at == ConnectAt::Ringing {
        if matches!(config.mode, DialMode::Agentless | DialMode::Preview) {
            return invalid("/connect_at", "\"answer\" in agentless and preview mode");
        }
        if config.amd == AmdMode::BeforeBridge {
            return invalid("/connect_at", "\"answer\" while machine detection runs before the bridge");
        }
    }
    Ok(())
}

/// More attempts than are remembered cannot be counted.
fn check_frequency(frequency: &Frequency) -> Checked {
    let most = u32::try_from(RECENT_ATTEMPTS_MAX).expect("a small number");
    for (pointer, limit) in [
        ("/caps/per_day", frequency.per_day),
        ("/caps/per_24h", frequency.per_24h),
        ("/caps/per_7d", frequency.per_7d),
        ("/caps/per_30d", frequency.per_30d),
    ] {
        range(pointer, limit.unwrap_or(1), 1, most)?;
    }
    range("/caps/per_number_24h", frequency.per_number_24h.unwrap_or(1), 1, 1_000)?;
    range("/caps/refusal_days", frequency.refusal_days.unwrap_or(1), 1, 3_660)?;
    range("/caps/gap_ms", frequency.gap_ms, 0, RETRY_MAX_MS)
}

fn check_timers(timers: &CampaignTimers) -> Checked {
    range("/timers/ring_min_ms", timers.ring_min_ms, 0, 120_000)?;
    range("/timers/ring_max_ms", timers.ring_max_ms, 1_000, 180_000)?;
    if timers.ring_min_ms > timers.ring_max_ms {
        return invalid("/timers/ring_min_ms", "a time not above ring_max_ms");
    }
    range("/timers/agent_ring_ms", timers.agent_ring_ms, 500, 120_000)?;
    range("/timers/wrap_up_ms", timers.wrap_up_ms, 0, 3_600_000)?;
    range("/timers/bridge_deadline_ms", timers.bridge_deadline_ms, 100, 30_000)?;
    range("/timers/preview_auto_dial_ms", timers.preview_auto_dial_ms, 0, 3_600_000)?;
    range("/timers/call_max_ms", timers.call_max_ms, 1_000, 24 * 3_600_000)
}

/// Dial requests have a list to be kept in, and lapse.
fn check_push(config: &CampaignConfig) -> Checked {
    let Some(push) = &config.push else { return Ok(()) };
    match push.list {
        Some(list) if !config.lists.contains(&list) => {
            return invalid("/push/list_id", "one of the campaign's lists");
        }
        None if config.lists.is_empty() => {
            return invalid("/lists", "at least one list, in which dial requests are kept");
        }
        _ => {}
    }
    range("/push/expires_in_ms", push.expires_in_ms, 1_000, PUSH_EXPIRES_MAX_MS)?;
    range("/push/waiting_max", push.waiting_max, 1, 10_000_000)
}

fn check_retry(rules: &[RetryRule]) -> Checked {
    let mut seen: BTreeSet<Outcome> = BTreeSet::new();
    for (place, rule) in rules.iter().enumerate() {
        if !seen.insert(rule.outcome) {
            return invalid(&format!("/retry/{place}/outcome"), "each outcome once");
        }
        range(&format!("/retry/{place}/after_ms"), rule.after_ms, 0, RETRY_MAX_MS)?;
        range(&format!("/retry/{place}/max"), rule.max, 0, 1_000)?;
    }
    Ok(())
}

fn check_hours(hours: &CallingHours) -> Checked {
    range("/calling_hours/from_minute", hours.from_minute, 0, 1439)?;
    range("/calling_hours/to_minute", hours.to_minute, 1, 1440)?;
    if hours.from_minute >= hours.to_minute {
        return invalid("/calling_hours/to_minute", "a minute after from_minute");
    }
    range("/calling_hours/days", hours.days, 1, 127)?;
    range("/calling_hours/utc_offset_minutes", hours.utc_offset_minutes, -14 * 60, 14 * 60)
}
