//! What a floor foresees for one campaign: agents who will be free, answers that will come, and what may be dialled.

use super::budget::Group;
use super::estimate::spread_around;
use super::floor::{Campaign, Floor};
use super::forecast::{BELIEFS, ByMoment, MOMENTS};
use super::neighbours::{Neighbour, Neighbours};
use super::predictive::{Beliefs, Bounds, Learned, allowance, dial_while_safe, why_limited};
use super::simple::{Counted, progressive, serves};
use super::{AgentState, AgentView, CallRef, CallView, CampaignRef, Explain, LimitedBy, PacingView};

/// A window with less surplus than this must not lose an agent to another campaign.
const TIGHT: f64 = 3.0;

/// The answer probability that is believed at least while nothing is known: who answers seldom must not be dialled by
/// the hundred before it is known how seldom.
pub(super) const THIN_ANSWERS: f64 = 0.2;

/// Dials that bring the calls in flight to what the floor bears in its steady state by Erlang C: answers it can take per
/// second, times the seconds to an answer, over the greatest answer probability that is believed.
fn steady(explain: &Explain, beliefs: &Beliefs, counted: &Counted) -> u32 {
    let p = beliefs.p.iter().fold(THIN_ANSWERS, |most, p| most.max(*p));
    let answers =
        (explain.steady_answers_per_s * explain.answer_time_s - f64::from(counted.waiting)).max(0.0);
    ((answers / p) as u32).saturating_sub(counted.in_flight)
}

impl Floor {
    pub(super) fn predictive(
        &mut self,
        now_s: f64,
        view: &PacingView<'_>,
        (counted, neighbours): (&Counted, &Neighbours),
        most: (u32, LimitedBy),
        explain: &mut Explain,
    ) -> (u32, LimitedBy, Vec<CallRef>) {
        let Some(moments) = self.campaigns.get(&view.campaign).map(|entry| entry.learned.moments()) else {
            return (progressive(counted).min(most.0), LimitedBy::ColdStart, Vec::new());
        };
        let pacing = self.campaigns[&view.campaign].pacing;
        let patience = pacing.patience.as_secs_f64().min(60.0);
        let beliefs = self.forecast(now_s, view, (counted, neighbours), &moments, patience);
        let group = self.group(view.campaign, pacing.group);
        explain.inbound_expected = self.inbound.rate() * moments[MOMENTS / 2];
        let Some(entry) = self.campaigns.get_mut(&view.campaign) else {
            return (0, LimitedBy::ColdStart, Vec::new());
        };
        let most = ramp(entry, now_s, counted, most);
        let learned = &mut entry.learned;
        let allowance = allowance(learned, view, counted, &beliefs, &pacing, group);
        self.meeting.sum(allowance.overrun(counted.working).unwrap_or(0));
        explain.p_answer = beliefs.mean();
        explain.p_answer_sd = beliefs.sd();
        explain.answer_time_s = learned.ring.live_quantile(0.5);
        (explain.answers_expected, explain.agents_freeing) = self.meeting.expected();
        explain.target = allowance.target;
        explain.rate_so_far = allowance.rate_so_far;
        explain.rate_bounds = allowance.rate_bounds;
        explain.steady_answers_per_s =
            learned.steady_answers_per_s(counted.working, patience, allowance.target);
        explain.budget = allowance.budget;
        explain.bias = learned.limit.bias();
        entry.tight = allowance.surplus < TIGHT && pacing.fixed_risk.is_none() && !view.windows.is_empty();
        let why = why_limited(learned, &allowance, view, counted, &pacing);
        let per_idle = progressive(counted);
        // History too thin for a forecast: what the steady state bears, and at least one call per idle agent.
        let sure = if why == LimitedBy::ColdStart {
            per_idle.max(steady(explain, &beliefs, counted))
        } else {
            per_idle
        };
        let bounds = Bounds { most, why, fixed_risk: pacing.fixed_risk, sure };
        let wish = dial_while_safe(learned, &mut self.meeting, &beliefs, &allowance, &bounds, explain);
        entry.ahead -= f64::from(wish.dial.saturating_sub(per_idle));
        entry.decided.clear();
        entry.decided.extend(wish.risks);
        let mut cancel = Vec::new();
        if wish.dial == 0 && pacing.cancel.allowed {
            self.meeting.give_up(explain.risk_limit.max(1e-3), |place| {
                let call = &view.calls[place];
                let rung = call.alerting_at.map(|at| now_s - at.as_secs_f64());
                let old = rung.is_some_and(|rung| rung >= pacing.cancel.ring_min.as_secs_f64());
                if old {
                    cancel.push(call.call);
                }
                old
            });
        }
        (wish.dial, wish.limited_by, cancel)
    }

    /// Fills the meeting: agents freed and answers come, by each moment.
    fn forecast(
        &mut self,
        now_s: f64,
        view: &PacingView<'_>,
        (counted, neighbours): (&Counted, &Neighbours),
        moments: &ByMoment,
        patience_s: f64,
    ) -> Beliefs {
        let own = &self.campaigns[&view.campaign].learned;
        let (mean, variance) = own.logit_given_silence(now_s, view);
        let spread_of = |traits| {
            let (offset, own_variance) = own.traits.of(traits);
            spread_around(mean + offset, variance + own_variance)
        };
        let spread = match known(view.next_answer) {
            Some(p) => spread_around(mean, variance).map(|(_, weight)| (p, weight)),
            None => spread_of(view.next),
        };
        let beliefs = Beliefs { p: spread.map(|(p, _)| p), weight: spread.map(|(_, weight)| weight) };
        let left = i64::from(counted.idle) - i64::from(counted.claimed_now);
        let free_now = left.min(i64::from(counted.share)) - i64::from(counted.waiting);
        self.meeting.begin(free_now, beliefs.weight);
        for agent in view.agents.iter().filter(|agent| serves(agent, view.campaign)) {
            if let Some(by) = self.freed_by(now_s, agent, moments, patience_s) {
                self.meeting.agent(by);
            }
        }
        for (place, call) in view.calls.iter().enumerate().filter(|(_, call)| call.answered_at.is_none()) {
            let age_s = (now_s - call.dialed_at.as_secs_f64()).max(0.0);
            if call.campaign == view.campaign {
                if let Some(by) = listened_to(own, call, now_s, moments) {
                    self.meeting.call(Some(place), [by; BELIEFS]);
                    continue;
                }
                let p = match known(call.answer_probability) {
                    Some(p) => [p; BELIEFS],
                    None if call.traits == view.next => beliefs.p,
                    None => spread_of(call.traits).map(|(p, _)| p),
                };
                let live = own.live_by(age_s, p, moments);
                self.meeting.call(Some(place), live);
            } else if let Some(other) = self.campaigns.get(&call.campaign).filter(|other| !other.tight) {
                let share = neighbours.get(&call.campaign).map_or(0.0, Neighbour::shared);
                if share > 0.0 {
                    let learned = &other.learned;
                    let by = listened_to(learned, call, now_s, moments).unwrap_or_else(|| {
                        let p = known(call.answer_probability)
                            .unwrap_or_else(|| learned.spread_of(call.traits)[1].0);
                        learned.live_by(age_s, [p], moments)[0]
                    });
                    let by = by.map(|p| p * share);
                    self.meeting.call(None, [by; BELIEFS]);
                }
            }
        }
        let expected = self.inbound.rate();
        if expected > 1e-4 {
            self.expect_inbound(expected, moments);
        }
        beliefs
    }

    /// Inbound calls that will come, as a handful of chances with the right mean.
    fn expect_inbound(&mut self, per_s: f64, moments: &ByMoment) {
        let pieces = (per_s * moments[MOMENTS - 1] * 3.0).ceil().clamp(1.0, 200.0);
        for _ in 0..pieces as u32 {
            let by = moments.map(|tau| (per_s * tau / pieces).min(1.0));
            self.meeting.call(None, [by; BELIEFS]);
        }
    }

    fn freed_by(
        &self,
        now_s: f64,
        agent: &AgentView<'_>,
        moments: &ByMoment,
        patience_s: f64,
    ) -> Option<ByMoment> {
        if agent.leaving {
            return None;
        }
        let learned = || agent.campaign.and_then(|id| self.campaigns.get(&id)).map(|entry| &entry.learned);
        let table = match agent.state {
            AgentState::Talking => learned().map(|learned| &learned.talking),
            AgentState::WrapUp => learned().map(|learned| &learned.wrapping),
            AgentState::InboundTalking => Some(&self.inbound.talking),
            AgentState::InboundWrapUp => Some(&self.inbound.wrapping),
            AgentState::Reserved => None,
            AgentState::Idle | AgentState::Listening | AgentState::OnBreak | AgentState::LoggedOut => {
                return None;
            }
        };
        let mut by = [0.0; MOMENTS];
        if let Some(table) = table {
            let pace = 1.0 / self.speeds.factor(agent.agent);
            let row = table.row((now_s - agent.since.as_secs_f64()).max(0.0) * pace);
            by = moments.map(|tau| table.free(row, (tau + patience_s) * pace));
        }
        if let Some(free_at) = agent.free_at {
            let left_s = free_at.as_secs_f64() - now_s;
            for (by, tau) in by.iter_mut().zip(moments) {
                if left_s <= tau + patience_s {
                    *by = 1.0;
                }
            }
        }
        let reached = |moment_s: f64, at: sansio::Instant| at.as_secs_f64() - now_s <= moment_s;
        for (by, tau) in by.iter_mut().zip(moments) {
            let still_busy = agent.busy_until.is_some_and(|at| !reached(tau + patience_s, at));
            let gone = agent.leaves_at.is_some_and(|at| reached(*tau, at));
            if still_busy || gone {
                *by = 0.0;
            }
        }
        Some(by)
    }

    /// Answers to come of the campaigns that share a budget with `campaign`.
    fn group(&self, campaign: CampaignRef, group: Option<u32>) -> Group {
        let mut sum = Group::default();
        for (id, entry) in
            self.campaigns.iter().filter(|(_, entry)| group.is_some() && entry.pacing.group == group)
        {
            sum.live_per_s += entry.learned.people_per_s(entry.working);
            if *id != campaign {
                sum.others_in_flight += f64::from(entry.in_flight) * entry.learned.answer.spread()[2].0;
            }
        }
        sum
    }
}

/// Bounds dials ahead of idle agents to three times what the steady state needs: a forecast that is wrong after a long
/// silence, or at the start of a great house, starts a trickle, not a flood.
fn ramp(entry: &mut Campaign, now_s: f64, counted: &Counted, most: (u32, LimitedBy)) -> (u32, LimitedBy) {
    let per_s = 2.0 + 3.0 * entry.learned.steady_dials_per_s(counted.working);
    let at_once = 4.0 + 2.0 * per_s;
    let passed_s = (now_s - entry.ahead_at_s).max(0.0);
    entry.ahead = (entry.ahead + per_s * passed_s).min(at_once).max(0.0);
    entry.ahead_at_s = now_s;
    let ahead = progressive(counted).saturating_add(entry.ahead as u32);
    if ahead < most.0 { (ahead, LimitedBy::Ramp) } else { most }
}

/// P(person by each moment) of a call that was picked up and is listened to.
fn listened_to(learned: &Learned, call: &CallView, now_s: f64, moments: &ByMoment) -> Option<ByMoment> {
    let age_s = now_s - call.detecting_since?.as_secs_f64();
    Some(moments.map(|tau| learned.detection.person_within(age_s, tau)))
}

/// What is known of a lead.
fn known(answer_probability: Option<f32>) -> Option<f64> {
    answer_probability.map(f64::from).filter(|p| p.is_finite()).map(|p| p.clamp(0.001, 0.95))
}
