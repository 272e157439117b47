//! What becomes of a lead after an attempt.

use crate::config::{CampaignConfig, RetryRule};
use crate::outcome::Outcome;
use crate::record::{Callback, Lead, LeadProgress, LeadState};
use sansio::WallTime;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The built-in rule for an outcome a campaign has none for: wait, and most retries after it.
///
/// Short waits where the cause passes by itself (busy, congestion), another part of the day where nobody was
/// there, days where the line is off, never where a person was reached or the number is dead.
#[must_use]
pub const fn default_rule(outcome: Outcome) -> RetryRule {
    let (after_ms, max) = match outcome {
        Outcome::Connected | Outcome::Dnc => (0, 0),
        Outcome::Abandoned => (DAY, 1),
        Outcome::Machine | Outcome::Screening => (4 * HOUR, 3),
        Outcome::Fax | Outcome::InvalidNumber | Outcome::CallForbidden => (0, 0),
        Outcome::NoAnswer => (4 * HOUR, 3),
        Outcome::Busy | Outcome::InCall => (15 * MINUTE, 3),
        Outcome::Rejected => (DAY, 1),
        Outcome::Suspended => (7 * DAY, 1),
        Outcome::PowerOff => (DAY, 2),
        Outcome::Unreachable => (4 * HOUR, 2),
        Outcome::NetworkCongestion => (5 * MINUTE, 5),
        Outcome::BlockedByAnalytics => (DAY, 1),
        Outcome::CarrierError => (10 * MINUTE, 5),
        Outcome::Cancelled => (10 * MINUTE, 10),
        Outcome::OutOfWindow => (HOUR, 20),
        Outcome::NodeRestart => (5 * MINUTE, 5),
    };
    RetryRule::new(outcome, after_ms, max)
}

/// The number itself is dead: another number of the lead is worth a try at once.
const fn number_is_dead(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::InvalidNumber
            | Outcome::Suspended
            | Outcome::Unreachable
            | Outcome::CallForbidden
            | Outcome::Fax
    )
}

/// What an attempt's end means for its lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) outcome: Outcome,
    pub(crate) at: WallTime,
    /// The agent promised to call again then.
    pub(crate) callback: Option<Callback>,
}

/// The lead's progress after an attempt (whose start already counts in `attempts`).
pub(crate) fn next_step(config: &CampaignConfig, lead: &Lead, step: Step) -> LeadProgress {
    let mut progress = lead.progress.clone();
    let outcome = step.outcome;
    let times = {
        let count = progress.outcomes.entry(outcome).or_default();
        *count += 1;
        *count
    };
    progress.last_outcome = Some(outcome);
    progress.next_at = None;
    if outcome == Outcome::Abandoned {
        let lock_ms = i64::from(config.lock_hours) * HOUR as i64;
        progress.agent_guaranteed_until = (lock_ms > 0).then(|| step.at.plus_millis(lock_ms));
    }
    if let Some(promise) = step.callback {
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(promise.at);
        progress.callback = Some(promise);
        return progress;
    }
    if outcome == Outcome::Connected {
        // They talked: what was promised is kept.
        progress.callback = None;
    }
    if progress.is_over() {
        // It was done with before, and called by hand.
        return progress;
    }
    let another = progress.next_phone as usize + 1 < lead.phones.len();
    let rule = config
        .retry
        .iter()
        .find(|rule| rule.outcome == outcome)
        .cloned()
        .unwrap_or_else(|| default_rule(outcome));
    if !rule.counts {
        progress.attempts = progress.attempts.saturating_sub(1);
    }
    if progress.attempts >= config.attempts_max {
        progress.state = ended(outcome);
    } else if number_is_dead(outcome) && another {
        progress.next_phone += 1;
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(step.at);
    } else if times <= rule.max {
        progress.state = LeadState::RetryWait;
        let next_at = step.at.plus_millis(i64::try_from(rule.after_ms).unwrap_or(i64::MAX));
        progress.next_at =
            Some(if rule.other_slot { in_other_slot(config, lead, step.at, next_at) } else { next_at });
    } else {
        progress.state = ended(outcome);
    }
    keep_promise(&mut progress);
    progress
}

/// Minutes of the day at which its parts end: morning, afternoon, evening.
const SLOTS_END: [u16; 3] = [12 * 60, 17 * 60, 24 * 60];

/// The same time, or the beginning of the next part of the callee's day if it is in the part of the attempt.
fn in_other_slot(config: &CampaignConfig, lead: &Lead, at: WallTime, next_at: WallTime) -> WallTime {
    let offset = config.calling_hours.as_ref().map_or(0, |hours| hours.utc_offset_minutes);
    let number = lead.phones.get(crate::lead::next_phone(lead)).map_or("", |phone| phone.number.as_str());
    let slot = |time: WallTime| {
        let (_, minute) = crate::compliance::local_clock(lead.time_zone.as_deref(), number, offset, time);
        (SLOTS_END.iter().position(|end| minute < *end).unwrap_or(0), minute)
    };
    let ((tried, _), (next, minute)) = (slot(at), slot(next_at));
    if tried != next {
        return next_at;
    }
    crate::compliance::minutes_after(next_at, i64::from(SLOTS_END[next] - minute))
}

/// A callback that reached nobody goes with the next try; one of a lead that is done with goes with it.
fn keep_promise(progress: &mut LeadProgress) {
    match (progress.next_at, &mut progress.callback) {
        (Some(at), Some(promise)) if !progress.state.is_over() => {
            promise.at = at;
            promise.told = false;
            promise.version = promise.version.saturating_add(1);
        }
        _ => progress.callback = None,
    }
}

const fn ended(outcome: Outcome) -> LeadState {
    match outcome {
        Outcome::Connected => LeadState::Done,
        Outcome::Dnc => LeadState::Dnc,
        _ => LeadState::Exhausted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9:00 on Friday, 2026-11-20, in Shanghai.
    const NINE: WallTime = WallTime::from_unix_millis(1_795_136_400_000);

    #[test]
    fn another_part_of_the_day_is_the_callees() {
        let mut lead = lead(1, 1);
        lead.phones[0].number = "+8613800138000".into();
        let rule = RetryRule { other_slot: true, ..RetryRule::new(Outcome::NoAnswer, HOUR, 9) };
        let config = CampaignConfig { retry: vec![rule], ..CampaignConfig::default() };
        let next = |at: WallTime| {
            let step = Step { outcome: Outcome::NoAnswer, at, callback: None };
            next_step(&config, &lead, step).next_at.unwrap().millis_since(NINE) / HOUR as i64
        };
        assert_eq!(next(NINE), 3, "at noon");
        assert_eq!(next(NINE.plus_millis(2 * HOUR as i64)), 3, "12:00 is another part already");
        assert_eq!(next(NINE.plus_millis(9 * HOUR as i64)), 15, "from 18:00 to midnight");
    }

    #[test]
    fn an_attempt_that_does_not_count_leaves_another() {
        let rule = |counts| RetryRule { counts, ..RetryRule::new(Outcome::PowerOff, 0, 2) };
        for (counts, attempts, state) in [(true, 2, LeadState::Exhausted), (false, 1, LeadState::RetryWait)] {
            let config =
                CampaignConfig { attempts_max: 2, retry: vec![rule(counts)], ..CampaignConfig::default() };
            let step = Step { outcome: Outcome::PowerOff, at: NINE, callback: None };
            let progress = next_step(&config, &lead(1, 2), step);
            assert_eq!((progress.attempts, progress.state), (attempts, state));
        }
    }
    use crate::id::{LeadId, ListId};
    use crate::record::Phone;
    use std::collections::BTreeMap;

    fn lead(phones: usize, attempts: u32) -> Lead {
        let id = LeadId::from_bits(1);
        let phone = |n: usize| Phone { number: format!("+49123450{n}"), raw: String::new(), kind: None };
        let mut progress = LeadProgress::fresh(id);
        progress.attempts = attempts;
        Lead {
            id,
            list: ListId::from_bits(1),
            external_id: None,
            phones: (0..phones).map(phone).collect(),
            priority: 0,
            time_zone: None,
            fields: BTreeMap::new(),
            expires_at: None,
            progress,
        }
    }

    fn after(config: &CampaignConfig, lead: &Lead, outcome: Outcome) -> LeadProgress {
        next_step(config, lead, Step { outcome, at: WallTime::from_unix_millis(1_000), callback: None })
    }

    #[test]
    fn busy_is_tried_again_until_its_rule_is_used_up() {
        let config = CampaignConfig::default();
        let mut lead = lead(1, 1);
        for _ in 0..3 {
            lead.progress = after(&config, &lead, Outcome::Busy);
            assert_eq!(lead.progress.state, LeadState::RetryWait);
            assert_eq!(lead.progress.next_at, Some(WallTime::from_unix_millis(901_000)));
        }
        lead.progress = after(&config, &lead, Outcome::Busy);
        assert_eq!((lead.progress.state, lead.progress.next_at), (LeadState::Exhausted, None));
    }

    #[test]
    fn a_campaigns_own_rule_goes_first() {
        let rule = RetryRule::new;
        let config = CampaignConfig {
            retry: vec![rule(Outcome::Busy, 5, 1), rule(Outcome::NoAnswer, 9, 0)],
            ..CampaignConfig::default()
        };
        let next = after(&config, &lead(1, 1), Outcome::Busy);
        assert_eq!(next.next_at, Some(WallTime::from_unix_millis(1_005)));
        assert_eq!(after(&config, &lead(1, 1), Outcome::NoAnswer).state, LeadState::Exhausted);
    }

    #[test]
    fn attempts_bound_everything() {
        let config = CampaignConfig { attempts_max: 2, ..CampaignConfig::default() };
        assert_eq!(after(&config, &lead(1, 1), Outcome::Busy).state, LeadState::RetryWait);
        assert_eq!(after(&config, &lead(1, 2), Outcome::Busy).state, LeadState::Exhausted);
        assert_eq!(after(&config, &lead(3, 2), Outcome::InvalidNumber).state, LeadState::Exhausted);
    }

    #[test]
    fn a_dead_number_gives_way_to_the_next() {
        let config = CampaignConfig::default();
        let mut lead = lead(2, 1);
        lead.progress = after(&config, &lead, Outcome::InvalidNumber);
        assert_eq!((lead.progress.state, lead.progress.next_phone), (LeadState::RetryWait, 1));
        assert_eq!(lead.progress.next_at, Some(WallTime::from_unix_millis(1_000)));
        lead.progress = after(&config, &lead, Outcome::InvalidNumber);
        assert_eq!(lead.progress.state, LeadState::Exhausted);
    }

    #[test]
    fn an_abandoned_lead_is_locked_and_a_reached_one_done() {
        let config = CampaignConfig::default();
        let next = after(&config, &lead(1, 1), Outcome::Abandoned);
        assert_eq!(next.agent_guaranteed_until, Some(WallTime::from_unix_millis(1_000 + 72 * 3_600_000)));
        let longer = CampaignConfig { lock_hours: 100, ..CampaignConfig::default() };
        let next = after(&longer, &lead(1, 1), Outcome::Abandoned);
        assert_eq!(next.agent_guaranteed_until, Some(WallTime::from_unix_millis(1_000 + 100 * 3_600_000)));
        let none = CampaignConfig { lock_hours: 0, ..CampaignConfig::default() };
        assert_eq!(after(&none, &lead(1, 1), Outcome::Abandoned).agent_guaranteed_until, None);
        assert_eq!(after(&config, &lead(1, 1), Outcome::Connected).state, LeadState::Done);
        let step = Step {
            outcome: Outcome::Connected,
            at: WallTime::from_unix_millis(1_000),
            callback: Some(Callback::new(WallTime::from_unix_millis(77_000), None, None)),
        };
        let next = next_step(&config, &lead(1, 1), step.clone());
        assert_eq!((next.state, &next.callback), (LeadState::RetryWait, &step.callback));
        assert_eq!(next.next_at, step.callback.map(|promise| promise.at));
    }

    #[test]
    fn a_callback_stays_until_they_have_talked_or_the_lead_is_done_with() {
        let config = CampaignConfig::default();
        let mut lead = lead(1, 1);
        let at = WallTime::from_unix_millis(500);
        lead.progress.callback = Some(Callback { told: true, ..Callback::new(at, None, None) });
        lead.progress = after(&config, &lead, Outcome::Busy);
        let kept = lead.progress.callback.clone().expect("it goes with the next try");
        assert_eq!((Some(kept.at), kept.told, kept.version), (lead.progress.next_at, false, 2));
        assert_eq!(after(&config, &lead, Outcome::Connected).callback, None);
        let spent = CampaignConfig { attempts_max: 1, ..config };
        assert_eq!(after(&spent, &lead, Outcome::Busy).callback, None);
    }
}
