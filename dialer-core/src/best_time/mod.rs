//! Best time: which leads are likelier to answer now than later.
//!
//! Whether a person answers depends on the hour of the week where the person is, and differently for different people. A
//! campaign with `best_time` counts tries and answers per hour of the week and per *segment* (leads that are alike in what
//! the campaign names), and fills its hopper with those leads for whom this hour is comparatively good.
//!
//! ```text
//!   rate of all ─┬─► rate of the hour    (its other days, then itself)  ─┐ on the scale
//!                └─► rate of the segment                                ─┴─► of log-odds
//!                      ─► the segment's same hour on other days ─► … on days of its kind ─► the cell
//! ```
//! Each step is shrunk to the one before. A cell of segment and hour of the week is a beta-binomial whose prior is what comes
//! before it: with no data of its own it is what that hour was on other days (working days and weekends apart where they are
//! known to differ), with much it is itself. Exploration is Thompson's: what is compared are draws from the posteriors
//! (Thompson, Biometrika 25, 1933; shrinkage as in Efron and Morris, JASA 70, 1975).

mod choose;
mod model;

pub use choose::{LeadHour, explain};
pub use model::{Cell, HOURS_OF_WEEK, SegmentView};
pub(crate) use model::{Model, Tried};

use crate::check::{Checked, invalid, range, range_f64, text};
use crate::id::CampaignId;
use serde::{Deserialize, Serialize};

/// Most things that make a segment.
const SEGMENT_BY_MAX: usize = 3;

/// What makes leads alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentBy {
    /// Their list.
    List,
    /// The kind of the next number: `mobile`, `work`, …
    PhoneKind,
    /// The first digits of the next number: country and area.
    Area,
    /// A field.
    Field(String),
}

/// How a campaign learns when to call whom.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct BestTimeConfig {
    /// Leads that are equal in these are one segment.
    pub segment_by: Vec<SegmentBy>,
    /// Due leads among which those for this hour are chosen.
    pub window: u32,
    /// Share of leads that go as they come, whatever is expected of this hour, 0..=1: none waits for ever for a better
    /// one, and of every hour something is learned.
    pub explore: f64,
    /// A part of the leads is held against the others; `None`: no experiment.
    pub experiment: Option<ExperimentConfig>,
}

/// Leads drawn at random are dialled in the usual order, to be held against the others.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExperimentConfig {
    /// Their share, 0.01..=0.99.
    pub hold_out_share: f64,
    /// Draws them: the same seed holds out the same leads.
    pub seed: u64,
}

impl Default for BestTimeConfig {
    fn default() -> Self {
        BestTimeConfig {
            segment_by: vec![SegmentBy::PhoneKind, SegmentBy::Area],
            window: 5_000,
            explore: 0.1,
            experiment: None,
        }
    }
}

impl BestTimeConfig {
    pub(crate) fn check(&self) -> Checked {
        if self.segment_by.len() > SEGMENT_BY_MAX {
            return invalid("/best_time/segment_by", format_args!("at most {SEGMENT_BY_MAX} things"));
        }
        for (place, by) in self.segment_by.iter().enumerate() {
            if let SegmentBy::Field(name) = by {
                text(&format!("/best_time/segment_by/{place}"), name, 1, 200)?;
            }
        }
        if let Some(experiment) = &self.experiment {
            range_f64("/best_time/experiment/hold_out_share", experiment.hold_out_share, 0.01, 0.99)?;
        }
        range_f64("/best_time/explore", self.explore, 0.0, 1.0)?;
        range("/best_time/window", self.window, 100, 50_000)
    }
}

/// In which part of an experiment an attempt was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentArm {
    /// There was none.
    None,
    /// Its time was chosen.
    Chosen,
    /// Held out.
    HeldOut,
}

impl ExperimentArm {
    /// All of them.
    pub const ALL: [ExperimentArm; 3] = [ExperimentArm::None, ExperimentArm::Chosen, ExperimentArm::HeldOut];
}

/// How often a campaign's leads of one segment were tried in one hour of the week, and answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BestTimeRow {
    /// The campaign.
    pub campaign: CampaignId,
    /// The segment.
    pub segment: String,
    /// Hour of the week where the lead is, from Monday 0:00.
    pub hour: u8,
    /// In which part of an experiment.
    pub arm: ExperimentArm,
    /// Tries.
    pub tries: u64,
    /// Of these answered by a person.
    pub answers: u64,
}

/// What a campaign's rows lead to expect: its segments, and how often the leads held out and the chosen ones were tried.
#[must_use]
pub fn learned(rows: &[BestTimeRow]) -> (Vec<SegmentView>, [crate::caller_id::Arm; 2]) {
    let model = Model::of_rows(rows.iter());
    (model.view(), model.arms())
}

/// How much likelier an answer is in the second arm than in the first: the difference of the two rates with its 95 %
/// interval. `None` while either has no tries. (Newcombe, Statistics in Medicine 17, 1998, method 10: of Wilson's intervals.)
#[must_use]
pub fn difference([held_out, chosen]: [crate::caller_id::Arm; 2]) -> Option<(f64, f64, f64)> {
    if held_out.calls == 0 || chosen.calls == 0 {
        return None;
    }
    let rate = |arm: crate::caller_id::Arm| arm.answers as f64 / arm.calls as f64;
    let (of_held_out, of_chosen) = (wilson(held_out), wilson(chosen));
    let between = rate(chosen) - rate(held_out);
    let below = (rate(chosen) - of_chosen.0).hypot(of_held_out.1 - rate(held_out));
    let above = (of_chosen.1 - rate(chosen)).hypot(rate(held_out) - of_held_out.0);
    Some((between, between - below, between + above))
}

/// The 95 % score interval of a rate (Wilson, JASA 22, 1927).
fn wilson(arm: crate::caller_id::Arm) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let (n, p) = (arm.calls as f64, arm.answers as f64 / arm.calls as f64);
    let middle = p + Z * Z / (2.0 * n);
    let width = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let over = 1.0 + Z * Z / n;
    (((middle - width) / over).max(0.0), ((middle + width) / over).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller_id::Arm;

    #[test]
    fn a_difference_has_the_published_interval() {
        // Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80, and 9 of 10 against 3 of 10.
        for (a, b, low, high) in [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)] {
            let arm = |(answers, calls)| Arm { calls, answers };
            let (between, found_low, found_high) = difference([arm(b), arm(a)]).unwrap();
            assert!((between - (a.0 as f64 / a.1 as f64 - b.0 as f64 / b.1 as f64)).abs() < 1e-9);
            assert!(
                (found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4,
                "{found_low} {found_high}"
            );
        }
        assert_eq!(difference([Arm { calls: 0, answers: 0 }, Arm { calls: 1, answers: 1 }]), None);
    }
}
