//! What becomes of a lead after an attempt.

use crate::compliance::AGENT_GUARANTEED_MS;
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
    RetryRule { outcome, after_ms, max }
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
        progress.agent_guaranteed_until = Some(step.at.plus_millis(AGENT_GUARANTEED_MS));
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
    let attempts_left = progress.attempts < config.attempts_max;
    let another = progress.next_phone as usize + 1 < lead.phones.len();
    let rule = config
        .retry
        .iter()
        .find(|rule| rule.outcome == outcome)
        .cloned()
        .unwrap_or_else(|| default_rule(outcome));
    if !attempts_left {
        progress.state = ended(outcome);
    } else if number_is_dead(outcome) && another {
        progress.next_phone += 1;
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(step.at);
    } else if times <= rule.max {
        progress.state = LeadState::RetryWait;
        progress.next_at = Some(step.at.plus_millis(i64::try_from(rule.after_ms).unwrap_or(i64::MAX)));
    } else {
        progress.state = ended(outcome);
    }
    keep_promise(&mut progress);
    progress
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
        let rule = |outcome, after_ms, max| RetryRule { outcome, after_ms, max };
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
