//! Who goes first: agents and lines that several campaigns want.
//!
//! Campaigns of a higher priority decide first. Among equals the one goes first that has had least by its weight. What
//! a campaign *has had* grows with every dial by 1 ÷ (weight × value), the value being the chance that the dial brings
//! a person to an agent: answer probability × (1 − risk). So in the long run equals get dials in proportion to weight ×
//! value (start-time fair queueing: Goyal, Vin and Cheng, 1996). Each decision sees the calls of those before it, so
//! shared agents are never counted twice.
//!
//! Preview campaigns take part with every task: its agent is theirs for a while. A ready agent on whom a call on its way
//! counts gets none, whoever goes first: the answer would be abandoned. So a campaign that yields to them dials no more
//! until they have had their turn, and what it has dialled is served before.
//!
//! Where lines are scarce, nobody takes them all at once: in a first round each may take its share of the free ones,
//! in a second whoever wants more takes what is left.

use super::Campaign;
use crate::config::DialMode;
use crate::dialer::{Cx, Dialer};
use crate::id::CampaignId;
use crate::pacing::Decision;
use crate::view::LimitedBy;
use core::time::Duration;

/// A campaign that wanted nothing for a while has no claim to more than so many dials in a row.
const CREDIT_DIALS: f64 = 20.0;
/// No dial is worth less than this.
const VALUE_MIN: f64 = 0.01;

impl Dialer {
    /// Lets every campaign that has a reason decide, unless it did a moment ago.
    pub(crate) fn decide_wanted(&mut self, cx: &mut Cx<'_>) {
        let wanted: Vec<CampaignId> = std::mem::take(&mut self.wanted).into_iter().collect();
        let gap = Duration::from_millis(self.config.decision_gap_ms);
        let mut due = Vec::with_capacity(wanted.len());
        for id in wanted {
            let Some(campaign) = self.campaigns.get(&id) else { continue };
            let earliest = campaign.decided_at.map(|at| at + gap).filter(|_| campaign.is_running());
            match earliest {
                Some(at) if at > cx.now => self.decide_at(id, at),
                _ => due.push(id),
            }
        }
        self.put_in_order(&mut due);
        let priority = |dialer: &Dialer, id: &CampaignId| {
            dialer.campaigns.get(id).map_or(0, |campaign| campaign.row.config.concurrency.priority)
        };
        let mut rest = due.as_slice();
        while let Some(first) = rest.first() {
            let level = priority(self, first);
            let many = rest.iter().take_while(|id| priority(self, id) == level).count();
            let (equals, lower) = rest.split_at(many);
            self.decide_equals(cx, equals);
            rest = lower;
        }
    }

    /// Highest priority first, then who has had least.
    fn put_in_order(&self, due: &mut [CampaignId]) {
        due.sort_by(|a, b| {
            let (one, other) = (&self.campaigns[a], &self.campaigns[b]);
            let priority = |campaign: &Campaign| campaign.row.config.concurrency.priority;
            priority(other).cmp(&priority(one)).then(one.had.total_cmp(&other.had)).then(a.cmp(b))
        });
    }

    /// Campaigns of one priority: each its share of the lines, then what is left.
    fn decide_equals(&mut self, cx: &mut Cx<'_>, equals: &[CampaignId]) {
        let hungry: Vec<CampaignId> = equals.iter().copied().filter(|id| self.may_want_lines(*id)).collect();
        let mut again = Vec::new();
        for (place, id) in equals.iter().enumerate() {
            // Whoever went before has taken already; the others of `hungry` are still to come.
            let to_come = equals[place..].iter().filter(|other| hungry.contains(other)).copied();
            let quota = self.quota(cx, *id, to_come);
            if self.campaigns.contains_key(id) && self.decide(cx, *id, quota) {
                again.push(*id);
            }
        }
        for id in again {
            if self.campaigns.contains_key(&id) {
                self.decide(cx, id, None);
            }
        }
    }

    fn may_want_lines(&self, id: CampaignId) -> bool {
        self.campaigns.get(&id).is_some_and(|campaign| {
            campaign.is_running()
                && campaign.hopper.len() > 0
                && campaign.lines_free() > 0
                && !campaign.is_preview()
        })
    }

    /// A campaign's share of the free lines, if others compete for them.
    fn quota(&self, cx: &Cx<'_>, id: CampaignId, competing: impl Iterator<Item = CampaignId>) -> Option<u32> {
        let own = &self.campaigns.get(&id)?.row.config;
        let (mut weights, mut others) = (own.concurrency.weight, false);
        for other in competing.filter(|other| *other != id) {
            let config = &self.campaigns.get(&other)?.row.config;
            let overlap = own.trunks.is_empty()
                || config.trunks.is_empty()
                || own.trunks.iter().any(|trunk| config.trunks.contains(trunk));
            if overlap {
                others = true;
                weights += config.concurrency.weight;
            }
        }
        if !others {
            return None;
        }
        let (lines, _) = self.ways_out(cx, id);
        Some((f64::from(lines) * own.concurrency.weight / weights).ceil() as u32)
    }

    /// To how many ready agents a preview campaign may give a task: calls on their way count on the others.
    pub(super) fn task_room(&self, id: CampaignId) -> usize {
        let Some(own) = self.campaigns.get(&id) else { return 0 };
        let ready = self.ready.iter().filter(|(_, agent)| own.is_served_by(&self.agents[agent])).count();
        let mut counted_on: f64 = 0.0;
        for other in self.roster.sharing(id).filter_map(|other| self.campaigns.get(&other)) {
            // Who dials ahead counts on as many as are likely to answer; who does not, on one for each call.
            let ahead = matches!(other.mode_now, DialMode::Predictive | DialMode::Ratio);
            let each = if ahead { self.pacer.answer_probability(other.number) } else { 1.0 };
            for call in self.paced_calls(other) {
                counted_on += if call.answered_at.is_some() { 1.0 } else { each };
                // As a rule few agents are ready, and many calls on their way.
                if counted_on.ceil() as usize >= ready {
                    return 0;
                }
            }
        }
        ready - counted_on.ceil() as usize
    }

    /// Whether it is a preview campaign's turn: no campaign that dials for the same agents and goes first wants to dial.
    pub(super) fn has_turn(&self, cx: &Cx<'_>, id: CampaignId) -> bool {
        let wants = |other: CampaignId| {
            self.may_want_lines(other) && !self.campaigns[&other].stuck && self.may_dial(cx, other).is_ok()
        };
        !self.roster.sharing(id).any(|other| self.goes_before(other, id) && wants(other))
    }

    /// Whether a preview campaign of the same agents goes first, and has leads to show.
    pub(super) fn yields_to_tasks(&self, cx: &Cx<'_>, id: CampaignId) -> bool {
        let shows = |other: CampaignId| {
            let campaign = &self.campaigns[&other];
            campaign.is_preview() && campaign.hopper.len() > 0 && self.may_dial(cx, other).is_ok()
        };
        self.roster.sharing(id).any(|other| self.goes_before(other, id) && shows(other))
    }

    /// Whether one of two campaigns has a higher priority, or had less.
    fn goes_before(&self, one: CampaignId, other: CampaignId) -> bool {
        let (Some(one), Some(other)) = (self.campaigns.get(&one), self.campaigns.get(&other)) else {
            return false;
        };
        let priority = |campaign: &Campaign| campaign.row.config.concurrency.priority;
        priority(one) > priority(other) || priority(one) == priority(other) && one.had < other.had
    }

    /// Notes that a preview campaign gave an agent a lead to look at: a dial that finds its agent there.
    pub(super) fn charge_task(&mut self, id: CampaignId) {
        self.charge_dials(id, 1, 0.0);
    }

    /// Notes what a campaign has had.
    pub(super) fn charge(&mut self, id: CampaignId, dialled: u32, decision: &Decision) {
        self.charge_dials(id, dialled, decision.explain.risk_next);
    }

    /// * `risk` that an answer finds no agent, 0..=1
    fn charge_dials(&mut self, id: CampaignId, dialled: u32, risk: f64) {
        let Some(campaign) = self.campaigns.get(&id) else { return };
        let p = self.pacer.answer_probability(campaign.number);
        let value = (p * (1.0 - risk.clamp(0.0, 1.0))).max(VALUE_MIN);
        let cost = 1.0 / (campaign.row.config.concurrency.weight.max(f64::MIN_POSITIVE) * value);
        let least = self.had_most - CREDIT_DIALS * cost;
        let campaign = self.campaigns.get_mut(&id).expect("found above");
        if dialled > 0 {
            campaign.had = campaign.had.max(least) + f64::from(dialled) * cost;
            self.had_most = self.had_most.max(campaign.had);
        }
    }

    /// A line or a channel is free again: whoever wanted one may have it.
    pub(crate) fn lines_were_freed(&mut self) {
        let short = |campaign: &&Campaign| {
            let limited_by = campaign.report.as_ref().map(|report| report.limited_by);
            campaign.is_running() && matches!(limited_by, Some(LimitedBy::Lines | LimitedBy::Cps))
        };
        self.wanted.extend(self.campaigns.values().filter(short).map(|campaign| campaign.row.id));
    }
}
