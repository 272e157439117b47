//! The abandonment budget as a controlled quantity.
//!
//! A window's cap allows so many abandons among the live answers it will have had at its end. What is left is
//! spread over the answers still to come: that is the *target* rate. The risk limit θ of a dial is moved so that
//! the risk taken, corrected by how wrong such risks were lately, meets the target.

use super::ledger::{Count, rate_interval};
use super::view::{CapStyle, WindowCount};
use serde::{Deserialize, Serialize};

/// Realised ÷ predicted abandons believed before anything is seen, and its weight in predicted abandons.
const BIAS_PRIOR: f64 = 1.8;
const BIAS_WEIGHT: f64 = 5.0;
/// How much of the bias's past counts after one more answer.
const BIAS_KEEP: f64 = 0.9985;
/// Gain of log θ per expected answer.
const GAIN: f64 = 0.03;
const LIMIT_MIN: f64 = 1e-3;
const LIMIT_MAX: f64 = 0.5;
const LIMIT_START: f64 = 0.01;
/// Abandons kept in reserve: so many, and so many per root of the answers to be feared from calls in flight.
const RESERVE: f64 = 1.0;
const RESERVE_IN_FLIGHT: f64 = 0.6;
/// Share of the last hour's answers that is not counted on: an error made then is not repaired any more.
const LAST_HOUR: f64 = 0.15;
/// Standard deviations of the abandons still to come that are kept back.
const ROOT: f64 = 0.4;
/// Share of the answers to come that would come though no risk were run any more.
const SURE: f64 = 0.8;

/// What the tightest window allows now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Allowance {
    /// Abandonment rate to aim at from now on; 0: run no risk.
    pub target: f64,
    /// Abandons that may still happen, less the reserve.
    pub budget: f64,
    /// Abandons the tightest window bears at its end for sure, though no risk were run from now on.
    pub surplus: f64,
    /// One abandon more breaks no window, or the windows are too young to be judged.
    pub bears_one: bool,
    /// By the counts of a window its cap is reached: what was abandoned, not what is forecast.
    pub reached: bool,
    /// Abandoned ÷ live so far.
    pub rate_so_far: f64,
    /// Bounds of the true rate that these counts leave (95 %).
    pub rate_bounds: (f64, f64),
}

/// With a greater surplus than this, and so much per agent at work, no cluster of abandons can break a window.
const SURPLUS_AMPLE: f64 = 7.0;
const SURPLUS_AMPLE_PER_AGENT: f64 = 0.3;

impl Allowance {
    /// So many abandons at once would break a window, if few enough that it may happen.
    pub(super) fn overrun(&self, working: u32) -> Option<u32> {
        let ample = SURPLUS_AMPLE + SURPLUS_AMPLE_PER_AGENT * f64::from(working);
        (self.surplus < ample).then(|| self.surplus.max(0.0) as u32 + 1)
    }
}

/// What is known of the answers to come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outlook {
    /// Live answers per second, forecast.
    pub live_per_s: f64,
    /// Live answers that can still come from the leads there are.
    pub live_most: f64,
    /// Live answers to be feared from calls in flight, and those waiting now.
    pub in_flight: f64,
    /// Answered calls that wait while no agent is idle.
    pub waiting: f64,
    /// Share of live answers that machine detection takes for machines and hangs up on, unseen by the counts.
    pub false_machine: f64,
    /// Share of answers counted as live that are machines detection let pass.
    pub missed_machine: f64,
    /// Share of the agents that other campaigns may take, 0..=1.
    pub shared: f64,
    /// The same of every campaign that shares a budget with this one, this one included.
    pub group: Group,
}

/// Answers to come of a group of campaigns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Live answers per second, forecast.
    pub live_per_s: f64,
    /// Live answers to be feared from the other campaigns' calls in flight.
    pub others_in_flight: f64,
}

impl Outlook {
    /// What `windows` allow; the tightest decides. No window: nothing.
    pub(super) fn allowance(&self, windows: &[WindowCount]) -> Allowance {
        windows
            .iter()
            .map(|window| self.of_window(window))
            .reduce(|a, b| {
                let surplus = a.surplus.min(b.surplus);
                let b_tighter = b.target < a.target || (b.target == a.target && b.budget < a.budget);
                let bears_one = a.bears_one && b.bears_one;
                let reached = a.reached || b.reached;
                Allowance { surplus, bears_one, reached, ..if b_tighter { b } else { a } }
            })
            // Without a window nothing is judged: one call per idle agent.
            .unwrap_or(Allowance { bears_one: true, ..Allowance::default() })
    }

    fn of_window(&self, window: &WindowCount) -> Allowance {
        let cap = if window.cap.is_finite() { window.cap.clamp(0.0, 1.0) } else { 0.0 };
        let left_s = match (window.style, window.left) {
            (CapStyle::Hard, _) | (_, None) => 0.0,
            (_, Some(left)) => left.as_secs_f64(),
        };
        // People taken for machines are live and abandoned, though nobody has counted them.
        let unseen = self.false_machine / (1.0 - self.false_machine);
        let real = 1.0 - self.missed_machine;
        let seen = window.live as f64 * real;
        let live = seen * (1.0 + unseen);
        let abandoned = window.abandoned.min(window.live) as f64 + seen * unseen;
        let own = (self.live_per_s * left_s).min(self.live_most).max(0.0);
        let (to_come, per_s, in_flight) = if window.of_group {
            let others_per_s = (self.group.live_per_s - self.live_per_s).max(0.0);
            let others = others_per_s * left_s;
            (own + others, self.live_per_s + others_per_s, self.in_flight + self.group.others_in_flight)
        } else {
            (own, self.live_per_s, self.in_flight)
        };
        let last_hour = to_come.min(per_s * 3_600.0);
        // Who runs no risk gets few of the agents shared with those that do.
        let last_hour_doubt = ((LAST_HOUR + 0.3 * self.shared) * last_hour + last_hour.sqrt()).min(to_come);
        let reserve = RESERVE + RESERVE_IN_FLIGHT * in_flight.max(0.0).sqrt() + 0.5 * self.waiting;
        let to_come = to_come * real * (1.0 + unseen);
        // Nobody counts them, so what was reserved for them may have been too little: by chance alone, this much.
        let unseen_reserve = 1.6 * (self.false_machine * (live + to_come)).sqrt();
        let reserve = reserve + unseen_reserve;
        let budget =
            cap * (live + to_come - last_hour_doubt) - abandoned - self.false_machine * to_come - reserve;
        // Answers that come even if no risk is run from now on.
        let sure = ((SURE - 0.5 * self.shared) * to_come - 1.5 * to_come.sqrt()).max(0.0);
        let surplus = cap * (live + sure) - abandoned - self.false_machine * sure - unseen_reserve;
        let young = abandoned < 1.0 && cap * live < 1.0;
        let bears_one = surplus >= 1.0 || young;
        let reached = window.abandoned > 0 && window.abandoned as f64 >= cap * window.live as f64;
        let rate_so_far = if live > 0.0 { abandoned / live } else { 0.0 };
        let rate_bounds = rate_interval(Count { live: window.live, abandoned: window.abandoned }, 1.96);
        if budget <= 0.0 {
            return Allowance { target: 0.0, budget, surplus, bears_one, reached, rate_so_far, rate_bounds };
        }
        // Nothing planned ahead: what has been earned may be spent at the rate it is being earned.
        let spread = if to_come > 0.0 { to_come } else { budget / cap.max(1e-9) };
        let (sooner, most) = match window.style {
            // Ahead of the plan by as much as is left of the window: twice the even rate at first, once at its end.
            CapStyle::Tapered => (1.0 + to_come / (to_come + live).max(1.0), 3.0),
            CapStyle::Hard | CapStyle::Average => (1.0, 1.5),
        };
        let target =
            (sooner * (budget - ROOT * (1.2 * budget).sqrt()) / spread.max(1.0)).clamp(0.0, most * cap);
        Allowance { target, budget, surplus, bears_one, reached, rate_so_far, rate_bounds }
    }
}

/// The risk limit θ and what moves it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RiskLimit {
    log_limit: f64,
    predicted: f64,
    realised: f64,
}

impl Default for RiskLimit {
    fn default() -> Self {
        RiskLimit { log_limit: LIMIT_START.ln(), predicted: 0.0, realised: 0.0 }
    }
}

impl RiskLimit {
    pub(super) fn is_sound(&self) -> bool {
        let counts = [self.predicted, self.realised];
        self.log_limit.is_finite() && counts.iter().all(|count| count.is_finite() && *count >= 0.0)
    }

    /// θ.
    pub(super) fn limit(&self) -> f64 {
        self.log_limit.exp()
    }

    /// Realised ÷ predicted.
    pub(super) fn bias(&self) -> f64 {
        (self.realised + BIAS_PRIOR * BIAS_WEIGHT) / (self.predicted + BIAS_WEIGHT)
    }

    /// A dial was decided that is answered with probability `p` and then runs `risk`.
    pub(super) fn dialed(&mut self, p: f64, risk: f64, target: f64) {
        let off = if target > 0.0 { (1.0 - risk * self.bias() / target).clamp(-6.0, 1.0) } else { -6.0 };
        self.log_limit = (self.log_limit + GAIN * p * off).clamp(LIMIT_MIN.ln(), LIMIT_MAX.ln());
    }

    /// A dial that ran `risk` was answered.
    pub(super) fn answered(&mut self, risk: f64) {
        self.predicted = self.predicted * BIAS_KEEP + risk;
        self.realised *= BIAS_KEEP;
    }

    /// It was abandoned.
    pub(super) fn abandoned(&mut self) {
        self.realised += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn window(live: u64, abandoned: u64, left_s: Option<u64>) -> WindowCount {
        WindowCount {
            live,
            abandoned,
            cap: 0.03,
            style: CapStyle::Average,
            left: left_s.map(Duration::from_secs),
            of_group: false,
        }
    }

    fn outlook(live_per_s: f64) -> Outlook {
        Outlook { live_per_s, live_most: f64::INFINITY, in_flight: 1.0, ..Outlook::default() }
    }

    #[test]
    fn no_window_and_no_plan_spend_nothing() {
        assert_eq!(outlook(0.1).allowance(&[]).target, 0.0);
        assert_eq!(outlook(0.1).allowance(&[window(20, 0, None)]).target, 0.0);
        assert!(outlook(0.1).allowance(&[window(200, 0, None)]).target > 0.0);
    }

    #[test]
    fn spending_is_planned_to_the_end_and_bounded() {
        let fresh = outlook(0.1).allowance(&[window(0, 0, Some(28_800))]).target;
        assert!((0.02..0.03).contains(&fresh), "{fresh}");
        let unlucky = outlook(0.1).allowance(&[window(300, 30, Some(28_800))]).target;
        assert!(unlucky < fresh);
        let over = outlook(0.1).allowance(&[window(300, 30, Some(600))]);
        assert_eq!(over.target, 0.0);
        assert!(over.budget < 0.0 && (over.rate_so_far - 0.1).abs() < 1e-12);
        let lucky = outlook(0.1).allowance(&[window(2_500, 0, Some(3_600))]).target;
        assert!((lucky - 0.045).abs() < 1e-12, "{lucky}");
    }

    #[test]
    fn the_tightest_window_decides() {
        let day = window(0, 0, Some(28_800));
        let month = window(10_000, 299, Some(60));
        assert_eq!(outlook(0.1).allowance(&[day, month]).target, 0.0);
        assert_eq!(outlook(0.1).allowance(&[month, day]).target, 0.0);
    }

    #[test]
    fn the_limit_moves_towards_the_target() {
        let mut limit = RiskLimit::default();
        for _ in 0..20_000 {
            limit.dialed(0.25, 0.001, 0.03);
        }
        assert!((limit.limit() - LIMIT_MAX).abs() < 1e-9);
        for _ in 0..5_000 {
            limit.dialed(0.25, 0.1, 0.0);
        }
        assert!((limit.limit() - LIMIT_MIN).abs() < 1e-9);
        (0..1_000).for_each(|_| limit.answered(0.02));
        assert!(limit.bias() < 0.9);
        (0..50).for_each(|_| limit.abandoned());
        assert!(limit.bias() > 1.5 && limit.is_sound());
    }
}
