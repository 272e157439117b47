//! The predictive policy of one campaign: dial while the marginal call is safe enough.

use super::budget::{Allowance, Group, Outlook, RiskLimit};
use super::campaign::InboundHoldBack;
use super::erlang::greatest_load;
use super::estimate::{AnswerRate, Detection, LifeTable, Residual, RingTimes, TraitOffsets};
use super::forecast::{BELIEFS, ByMoment, MOMENTS, Meeting};
use super::simple::Counted;
use super::{CampaignPacing, DialTraits, Expected, Explain, LimitedBy, PacingView};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Live answers seen before any risk is run.
const COLD_ANSWERS: u64 = 10;
/// Risk that is as good as none: run even when the budget is spent.
const NO_RISK: f64 = 2e-4;
/// Chance that the answers of one moment break a window, at most.
const OVERRUN_RISK: f64 = 5e-5;
/// The same if the answer rate has just jumped, which happens in one of some hundred moments.
const FEARED_RISK: f64 = 0.001;
/// Share of the target that is aimed at in the beginning, and the answers after which it is the whole.
const TRUST_AT_FIRST: f64 = 0.75;
const TRUSTED_ANSWERS: f64 = 1_000.0;
/// Risk of a dial for an idle agent that is run in any case: it betters the rate of a window that is over its cap.
const IDLE_RISK: f64 = 0.005;
/// Newton steps towards what the silence of the calls in flight says.
const SILENCE_STEPS: usize = 2;
/// Calls in flight whose silence is trusted by half.
const SILENCE_TRUSTED: f64 = 200.0;
/// How much of the slow answer rate's past counts after one more dial.
const SLOW_KEEP: f64 = 0.999;
/// How much of the share of late machines' past counts after one more answer.
const LATE_KEEP: f64 = 0.998;
/// Share of the slow answer rate that is believed at least.
const SLOW_SHARE: f64 = 0.7;
/// Risk that is none but for rounding: what progressive runs.
const ZERO_RISK: f64 = 1e-9;
/// Memory of the rate of live answers per agent, seconds.
const RATE_MEMORY_S: f64 = 3_600.0;
/// Memory of how long agents wait, and how fast the risk follows it, seconds.
const WAIT_MEMORY_S: f64 = 180.0;
const WAIT_STEERED_S: f64 = 600.0;
/// Share of the risk that is run at least.
const EAGERNESS_MIN: f64 = 0.01;
/// Near the shift's end no call is risked that would be answered after it.
const SHIFT_END_S: f64 = 20.0;

/// What is known of one campaign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Learned {
    pub answer: AnswerRate,
    pub ring: RingTimes,
    pub talk: LifeTable,
    pub wrap_up: LifeTable,
    pub limit: RiskLimit,
    #[serde(default)]
    pub traits: TraitOffsets,
    #[serde(default)]
    pub detection: Detection,
    /// Live answers and dials ended of the last thousand or so: slow, and blind to waves.
    #[serde(default)]
    slow: (f64, f64),
    /// Answers given to agents, and of these machines after all, of the last hundreds.
    #[serde(default)]
    late: (f64, f64),
    /// Live answers and agent-seconds lately.
    live: f64,
    agent_seconds: f64,
    /// Agent-seconds idle, and all, of the last minutes.
    #[serde(skip)]
    idle: (f64, f64),
    /// Agents idle when time was last elapsed.
    #[serde(skip)]
    idle_before: u32,
    /// Share of the risk that is run, where agents may wait: 0..=1.
    #[serde(skip, default = "whole")]
    pub eagerness: f64,
    #[serde(skip)]
    pub talking: Residual,
    #[serde(skip)]
    pub wrapping: Residual,
    #[serde(skip)]
    stale: u64,
    #[serde(skip)]
    reach_s: f64,
    /// Agents, and the greatest load they can take.
    #[serde(skip)]
    steady: Option<(u32, f64)>,
    #[serde(skip)]
    last_s: Option<f64>,
}

impl Default for Learned {
    fn default() -> Self {
        let mut learned = Learned {
            answer: AnswerRate::default(),
            ring: RingTimes::default(),
            talk: LifeTable::new(100.0, 1.2),
            wrap_up: LifeTable::new(15.0, 1.2),
            limit: RiskLimit::default(),
            traits: TraitOffsets::default(),
            detection: Detection::default(),
            slow: (0.0, 0.0),
            late: (0.0, 0.0),
            live: 0.0,
            agent_seconds: 0.0,
            idle: (0.0, 0.0),
            idle_before: 0,
            eagerness: 1.0,
            talking: Residual::default(),
            wrapping: Residual::default(),
            stale: 0,
            reach_s: 0.0,
            steady: None,
            last_s: None,
        };
        learned.rebuild();
        learned
    }
}

impl Learned {
    pub(super) fn is_sound(&self) -> bool {
        self.answer.is_sound()
            && self.ring.is_sound()
            && self.talk.is_sound()
            && self.wrap_up.is_sound()
            && self.limit.is_sound()
            && self.traits.is_sound()
            && self.detection.is_sound()
            && [self.live, self.agent_seconds, self.slow.0, self.slow.1, self.late.0, self.late.1]
                .iter()
                .all(|value| value.is_finite() && *value >= 0.0)
    }

    /// Recomputes all that is not part of the sketch.
    pub(super) fn rebuild(&mut self) {
        self.ring.refresh();
        self.talk.refresh();
        self.wrap_up.refresh();
        self.reach_s = 1.6 * (self.ring.live_quantile(0.95) + 3.0);
        self.talking.of_two(&self.talk, &self.wrap_up, self.reach_s);
        self.wrapping.of_one(&self.wrap_up, self.reach_s);
        self.stale = 0;
        self.steady = None;
    }

    /// A talk or a wrap-up more was learned from; the tables follow when it is worth it.
    pub(super) fn lasted(&mut self) {
        self.stale += 1;
        if self.stale > (self.talk.seen() / 20).min(25) {
            self.rebuild();
        }
    }

    pub(super) fn live_answer(&mut self) {
        self.live += 1.0;
        self.late = (self.late.0 * LATE_KEEP + 1.0, self.late.1 * LATE_KEEP);
    }

    /// An answer was a machine's after all.
    pub(super) fn was_machine(&mut self) {
        self.late.1 += 1.0;
    }

    /// Share of the answers given to agents that are people's, 0.05..=1.
    fn people_share(&self) -> f64 {
        (1.0 - self.late.1 / (self.late.0 + 10.0)).clamp(0.05, 1.0)
    }

    pub(super) fn day_started(&mut self) {
        self.answer.overnight();
        self.last_s = None;
    }

    /// Time has come to `now_s` with so many agents working, and of these idle.
    pub(super) fn elapse(&mut self, now_s: f64, working: u32, idle: u32, wait_target: Option<Duration>) {
        let seconds = self.last_s.map_or(0.0, |last| (now_s - last).max(0.0));
        self.follow_wait(seconds.min(60.0), working, idle, wait_target);
        self.last_s = Some(self.last_s.map_or(now_s, |last| last.max(now_s)));
        self.answer.elapse(seconds);
        let keep = (-seconds / RATE_MEMORY_S).exp();
        self.live *= keep;
        self.agent_seconds = self.agent_seconds * keep + seconds.min(60.0) * f64::from(working);
    }

    /// Mean wait of an agent between two calls over the last minutes, seconds: of the share of time that is waited and
    /// the time that calls take.
    pub(super) fn mean_wait_s(&self) -> f64 {
        let share = (self.idle.0 / self.idle.1.max(1.0)).clamp(0.0, 0.99);
        (self.talk.mean() + self.wrap_up.mean()).max(1.0) * share / (1.0 - share)
    }

    /// Runs less of the risk while agents wait less than they may, and more again while they wait longer.
    fn follow_wait(&mut self, seconds: f64, working: u32, idle: u32, wait_target: Option<Duration>) {
        let keep = (-seconds / WAIT_MEMORY_S).exp();
        let (waited, all) = (f64::from(self.idle_before.min(working)), f64::from(working));
        self.idle = (self.idle.0 * keep + seconds * waited, self.idle.1 * keep + seconds * all);
        self.idle_before = idle;
        let Some(target_s) = wait_target.map(|target| target.as_secs_f64()).filter(|target| *target > 0.0)
        else {
            self.eagerness = 1.0;
            return;
        };
        let off = (self.mean_wait_s() / target_s - 1.0).clamp(-1.0, 1.0);
        self.eagerness = (self.eagerness + off * seconds / WAIT_STEERED_S).clamp(EAGERNESS_MIN, 1.0);
    }

    /// Begins from what is believed, if nothing was seen yet.
    pub(super) fn expect(&mut self, expected: Expected) {
        let untouched = self.answer.trials_seen() == 0 && self.talk.seen() == 0 && self.wrap_up.seen() == 0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if untouched && [expected.answer, expected.talk_s, expected.wrap_up_s].into_iter().all(positive) {
            self.answer.expect(expected.answer);
            self.talk = LifeTable::new(expected.talk_s.clamp(1.0, 7_200.0), 1.0);
            self.wrap_up = LifeTable::new(expected.wrap_up_s.clamp(0.5, 3_600.0), 1.0);
            self.rebuild();
        }
    }

    /// What is believed of the answer probability of a dial with these traits: three values with weights.
    pub(super) fn spread_of(&self, traits: DialTraits) -> [(f64, f64); 3] {
        let (offset, variance) = self.traits.of(traits);
        self.answer.spread_at(offset, variance)
    }

    /// A dial ended: the campaign's answer probability and the offsets of the dial's traits learn from it.
    pub(super) fn resolved(&mut self, traits: DialTraits, live: bool) {
        let (offset, _) = self.traits.of(traits);
        if traits != DialTraits::default() {
            let (mean, sd) = self.answer.logit();
            let p = 1.0 / (1.0 + (-(mean + offset)).exp());
            self.traits.resolved(traits, p, sd * sd, live);
        }
        self.slow.0 = self.slow.0 * SLOW_KEEP + f64::from(u8::from(live));
        self.slow.1 = self.slow.1 * SLOW_KEEP + 1.0;
        if live { self.answer.answered(offset) } else { self.answer.failed(offset) }
    }

    /// The answer probability over the last thousand dials, begun at a quarter; 0.01..=1.
    fn slow_p(&self) -> f64 {
        ((self.slow.0 + 5.0) / (self.slow.1 + 20.0)).clamp(0.01, 1.0)
    }

    /// Dials per second that keep so many agents busy all the time, over the last thousand dials.
    pub(super) fn steady_dials_per_s(&self, working: u32) -> f64 {
        let service_s = (self.talk.mean() + self.wrap_up.mean()).max(5.0);
        f64::from(working) / service_s / self.slow_p()
    }

    /// Live answers per second that `working` agents can be expected to take.
    pub(super) fn live_per_s(&self, working: u32) -> f64 {
        let cycle = (self.talk.mean() + self.wrap_up.mean()).max(1.0);
        let prior = 0.7 / cycle;
        const PRIOR_AGENT_S: f64 = 600.0;
        let per_agent = (self.live + prior * PRIOR_AGENT_S) / (self.agent_seconds + PRIOR_AGENT_S);
        per_agent.min(1.0 / cycle * 1.2) * f64::from(working)
    }

    /// Of these, people's: what the windows count.
    pub(super) fn people_per_s(&self, working: u32) -> f64 {
        self.live_per_s(working) * self.people_share()
    }

    /// Mean and variance of logit p, once the silence of the calls in flight is heard too.
    ///
    /// The filter hears of a dial when it ends, and people answer sooner than lines ring out: after a wave of dials it
    /// believes too much at first and too little later. Each call that is still silent at its age is evidence the other
    /// way; a few Newton steps find where the filter's belief (as normal) and all that silence meet (Laplace).
    pub(super) fn logit_given_silence(&self, now_s: f64, view: &PacingView<'_>) -> (f64, f64) {
        let (mean, sd) = self.answer.logit();
        let precision = 1.0 / (sd * sd);
        // What is known of the times to answer is not exact; the silence of hundreds does not make it so.
        let trust =
            1.0 / (1.0 + f64::from(u32::try_from(view.calls.len()).unwrap_or(u32::MAX)) / SILENCE_TRUSTED);
        let (mut x, mut curvature) = (mean, precision);
        for _ in 0..SILENCE_STEPS {
            let mut slope = (mean - x) * precision;
            curvature = precision;
            let plain = 1.0 / (1.0 + (-x).exp());
            for call in view.calls.iter().filter(|call| call.campaign == view.campaign) {
                let unknown = call.answered_at.is_none()
                    && call.detecting_since.is_none()
                    && call.answer_probability.is_none();
                if !unknown {
                    continue;
                }
                let age_s = now_s - call.dialed_at.as_secs_f64();
                let (f, g) = (self.ring.live_by(age_s), self.ring.other_by(age_s));
                let p = if call.traits == DialTraits::default() {
                    plain
                } else {
                    1.0 / (1.0 + (-(x + self.traits.of(call.traits).0)).exp())
                };
                let silent = (1.0 - g - p * (f - g)).max(0.02);
                let pull = (f - g) * p * (1.0 - p) / silent;
                slope -= trust * pull;
                curvature += trust * (pull * pull + pull * (1.0 - 2.0 * p)).max(0.0);
            }
            x += (slope / curvature).clamp(-1.0, 1.0);
        }
        let x = x.clamp(mean - 4.0 * sd - 0.5, mean + 4.0 * sd + 0.5);
        // Far fewer answers than over the last thousand dials are believed only slowly: it costs little, and a wave of
        // dials on a mistaken belief costs much.
        let least = SLOW_SHARE * self.slow_p();
        let least = if self.slow.1 > 50.0 { (least / (1.0 - least)).ln() } else { f64::NEG_INFINITY };
        (x.max(least), 1.0 / curvature)
    }

    /// P(live answer by each moment) of a call in flight of age `age_s` that is answered with probability `p`, for each
    /// `p`, given its silence so far.
    pub(super) fn live_by<const N: usize>(
        &self,
        age_s: f64,
        p: [f64; N],
        moments: &ByMoment,
    ) -> [ByMoment; N] {
        let (f, g) = (self.ring.live_by(age_s), self.ring.other_by(age_s));
        let further = moments.map(|tau| self.ring.live_by(age_s + tau) - f);
        p.map(|p| {
            let silent = p * (1.0 - f) + (1.0 - p) * (1.0 - g);
            let scale = if silent > 1e-9 { p / silent } else { 0.0 };
            further.map(|share| (share * scale).clamp(0.0, 1.0))
        })
    }

    /// Median time from dialling to a live answer, seconds.
    pub(super) fn median_answer_s(&self) -> f64 {
        self.ring.live_quantile(0.5)
    }

    /// Live answers per second that so many agents can take in the steady state with P(wait > patience) ≤ `share`, by
    /// Erlang C: what a dialler would do that knows three means and nothing else.
    pub(super) fn steady_answers_per_s(&mut self, working: u32, patience_s: f64, share: f64) -> f64 {
        let service_s = (self.talk.mean() + self.wrap_up.mean()).max(1.0);
        if self.steady.is_none_or(|(agents, ..)| agents != working) {
            let load = greatest_load(working, patience_s, service_s, share.max(1e-3));
            self.steady = Some((working, load));
        }
        self.steady.map_or(0.0, |(_, load)| load) / service_s
    }

    /// When the next dial would be answered, seconds from now.
    pub(super) fn moments(&self) -> ByMoment {
        core::array::from_fn(|j| self.ring.live_quantile((j as f64 + 0.5) / MOMENTS as f64))
    }
}

/// How far the policy may go, and what it found.
pub(super) struct Wish {
    pub dial: u32,
    pub limited_by: LimitedBy,
    /// Predicted risk of each dial, in order.
    pub risks: Vec<f32>,
}

/// What bounds the policy: what the hard limits leave, why no more than that or no risk is taken, and a risk limit that
/// does not move.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub most: (u32, LimitedBy),
    pub why: LimitedBy,
    pub fixed_risk: Option<f64>,
    /// Dials that are made unless a window is over its cap: as the progressive mode, one per idle agent; more where the
    /// history is thin and the floor great (Erlang C).
    pub sure: u32,
}

/// The answer probability as three beliefs, after the silence of the calls in flight.
pub(super) struct Beliefs {
    pub p: [f64; BELIEFS],
    pub weight: [f64; BELIEFS],
}

impl Beliefs {
    pub(super) fn mean(&self) -> f64 {
        self.p.iter().zip(self.weight).map(|(p, weight)| p * weight).sum()
    }

    pub(super) fn sd(&self) -> f64 {
        let mean = self.mean();
        self.p.iter().zip(self.weight).map(|(p, weight)| weight * (p - mean).powi(2)).sum::<f64>().sqrt()
    }
}

/// What will limit the policy now: the risk, or a reason to run none.
pub(super) fn why_limited(
    learned: &Learned,
    allowance: &Allowance,
    view: &PacingView<'_>,
    counted: &Counted,
    pacing: &CampaignPacing,
) -> LimitedBy {
    let inbound = view.inbound_waiting > 0 && pacing.inbound != InboundHoldBack::Off;
    // Who knows little is bound by the cap too: a window's counts are known from the first answer on.
    let untaught = counted.working < pacing.small_team || learned.answer.live_seen() < COLD_ANSWERS;
    if untaught && allowance.reached && pacing.fixed_risk.is_none() {
        LimitedBy::AbandonCap
    } else if counted.working < pacing.small_team {
        LimitedBy::SmallTeam
    } else if learned.answer.live_seen() < COLD_ANSWERS && pacing.fixed_risk.is_none() {
        LimitedBy::ColdStart
    } else if view.shift_left.is_some_and(|left| left.as_secs_f64() < SHIFT_END_S) {
        LimitedBy::ShiftEnd
    } else if inbound {
        LimitedBy::Inbound
    } else if allowance.target <= 0.0 && pacing.fixed_risk.is_none() {
        LimitedBy::AbandonCap
    } else {
        LimitedBy::Risk
    }
}

/// Dials while the risk stays under the limit, or runs none for the reason `why`; `most` is what the hard limits leave.
pub(super) fn dial_while_safe(
    learned: &mut Learned,
    meeting: &mut Meeting,
    beliefs: &Beliefs,
    allowance: &Allowance,
    bounds: &Bounds,
    explain: &mut Explain,
) -> Wish {
    let Bounds { most, why, fixed_risk, sure } = *bounds;
    let fresh: [ByMoment; BELIEFS] = core::array::from_fn(|belief| {
        core::array::from_fn(|j| beliefs.p[belief] * (j as f64 + 0.5) / MOMENTS as f64)
    });
    let p = beliefs.mean();
    let steered = matches!(why, LimitedBy::Risk | LimitedBy::AbandonCap) && fixed_risk.is_none();
    let mut wish = Wish { dial: 0, limited_by: most.1, risks: Vec::new() };
    let overrun =
        allowance.overrun(explain.agents_working).filter(|_| why == LimitedBy::Risk && fixed_risk.is_none());
    let safe = meeting.surely_safe().min(most.0);
    // In a great house one call more or less changes little: the risk is asked for a few at a time.
    let step = 1 + explain.agents_working / 200;
    while wish.dial < most.0 {
        let risk = if wish.dial < safe { 0.0 } else { meeting.risk() };
        explain.risk_next = risk;
        let limit = match why {
            LimitedBy::Risk => fixed_risk.unwrap_or_else(|| learned.limit.limit()),
            LimitedBy::AbandonCap => NO_RISK,
            _ => ZERO_RISK,
        };
        // A dial for an idle agent is none ahead; it is left out only where the next abandon would break a window and is
        // not improbable (inbound calls and other campaigns may take that agent).
        let for_idle = wish.dial < sure && (allowance.bears_one || risk <= IDLE_RISK);
        if risk > limit && !for_idle {
            wish.limited_by = why;
            break;
        }
        // Near the end of a window, what counts is how many answers at once may find no agent.
        if let Some(many) = overrun
            && wish.dial >= safe.max(sure)
            && (meeting.overrun(many, p) * learned.limit.bias() > OVERRUN_RISK
                || meeting.feared_overrun(many, p) > FEARED_RISK)
        {
            wish.limited_by = LimitedBy::AbandonCap;
            break;
        }
        let next = if wish.dial < safe {
            safe
        } else if wish.dial < sure {
            wish.dial + 1
        } else {
            wish.dial.saturating_add(step).min(most.0)
        };
        for _ in wish.dial..next {
            if steered {
                learned.limit.dialed(p, risk, allowance.target);
            }
            meeting.add(&fresh);
            wish.risks.push(risk as f32);
        }
        wish.dial = next;
    }
    explain.risk_limit = match why {
        LimitedBy::Risk => fixed_risk.unwrap_or_else(|| learned.limit.limit()),
        LimitedBy::AbandonCap => NO_RISK,
        _ => 0.0,
    };
    wish
}

/// What the windows allow, with the answers to come as forecast.
pub(super) fn allowance(
    learned: &Learned,
    view: &PacingView<'_>,
    counted: &Counted,
    beliefs: &Beliefs,
    pacing: &CampaignPacing,
    group: Group,
) -> Allowance {
    let leads = view.leads_left.map_or(f64::INFINITY, |left| left as f64 + f64::from(view.limits.hopper));
    let in_flight = f64::from(counted.in_flight);
    let feared = beliefs.p.iter().fold(0.0_f64, |most, p| most.max(*p));
    let outlook = Outlook {
        live_per_s: learned.people_per_s(counted.working),
        live_most: (leads + in_flight) * beliefs.mean() * learned.people_share(),
        in_flight: feared * in_flight + f64::from(counted.waiting),
        waiting: f64::from(counted.waiting.saturating_sub(counted.idle)),
        false_machine: share(pacing.false_machine),
        missed_machine: share(pacing.missed_machine),
        group,
        shared: counted.shared,
    };
    let mut allowance = outlook.allowance(view.windows);
    // What was learned from few answers is trusted less; what is not spent now is spent later.
    let learned_share = (learned.answer.live_seen() as f64 / TRUSTED_ANSWERS).min(1.0);
    allowance.target *= TRUST_AT_FIRST + (1.0 - TRUST_AT_FIRST) * learned_share;
    allowance.target *= learned.eagerness;
    allowance
}

const fn whole() -> f64 {
    1.0
}

/// A share as it was set, nonsense as none.
fn share(set: f64) -> f64 {
    if set.is_finite() { set.clamp(0.0, 0.5) } else { 0.0 }
}
