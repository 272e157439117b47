//! When whom to call: settings, and what was learned.

use super::wire_enum;
use crate::extract::Checks;
use dialer_core::best_time as core;
use dialer_core::caller_id::Arm;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire_enum! {
    /// Part of an experiment.
    ExperimentArm = core::ExperimentArm {
        /// There is no experiment.
        None,
        /// Its hour is chosen.
        Chosen,
        /// Held out: dialled in the usual order.
        HeldOut,
    }
}

/// A part of the leads, drawn at random, is dialled in the usual order and held against the others.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BestTimeExperiment {
    /// Share of leads held out.
    #[schema(minimum = 0.01, maximum = 0.99, example = 0.2)]
    pub hold_out_share: f64,
    /// Draws them: the same seed holds out the same leads. A change of seed or share begins another experiment.
    #[serde(default)]
    #[schema(maximum = 9007199254740991_u64)]
    pub seed: u64,
}

/// The campaign learns in which hour of the week people answer, and dials those first for whom this hour is comparatively good.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BestTime {
    /// False: it does not, as if `best_time` were null.
    #[serde(default = "enabled")]
    #[schema(default = true)]
    pub enabled: bool,
    /// Share of leads that go as they come, whatever is expected of this hour: none waits for ever for a better one, and of
    /// every hour something is learned.
    #[serde(default = "explore")]
    #[schema(default = 0.1, minimum = 0, maximum = 1)]
    pub explore: f64,
    /// Leads that are equal in these learn from each other: `list`, `phone_type`, `area` (first digits of the number), or
    /// `field:NAME`. At most 3; empty: all leads are alike.
    #[serde(default = "segment_by")]
    #[schema(example = json!(["phone_type", "area"]), max_items = 3)]
    pub segment_by: Vec<String>,
    /// So many due leads are looked at to choose those for this hour.
    #[serde(default = "window")]
    #[schema(default = 5000, minimum = 100, maximum = 50000)]
    pub window: u32,
    /// Held against a random part of the leads; null: no experiment.
    #[serde(default)]
    pub experiment: Option<BestTimeExperiment>,
}

fn enabled() -> bool {
    true
}
fn explore() -> f64 {
    core::BestTimeConfig::default().explore
}
fn segment_by() -> Vec<String> {
    core::BestTimeConfig::default().segment_by.iter().map(segment_text).collect()
}
fn window() -> u32 {
    core::BestTimeConfig::default().window
}

fn segment_text(by: &core::SegmentBy) -> String {
    match by {
        core::SegmentBy::List => "list".into(),
        core::SegmentBy::PhoneKind => "phone_type".into(),
        core::SegmentBy::Area => "area".into(),
        core::SegmentBy::Field(name) => format!("field:{name}"),
    }
}

fn segment_of(text: &str) -> Option<core::SegmentBy> {
    match text {
        "list" => Some(core::SegmentBy::List),
        "phone_type" => Some(core::SegmentBy::PhoneKind),
        "area" => Some(core::SegmentBy::Area),
        _ => text
            .strip_prefix("field:")
            .filter(|name| (1..=200).contains(&name.chars().count()))
            .map(|name| core::SegmentBy::Field(name.to_owned())),
    }
}

/// Greatest number that every reader of JSON keeps whole.
const SEED_MAX: u64 = (1 << 53) - 1;

impl BestTime {
    /// What is wrong with it.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.that(self.segment_by.len() <= 3, "/best_time/segment_by", "expected at most 3 things");
        for (place, by) in self.segment_by.iter().enumerate() {
            checks.that(
                segment_of(by).is_some(),
                &format!("/best_time/segment_by/{place}"),
                "expected list, phone_type, area or field:NAME",
            );
        }
        checks.range(self.window, 100, 50_000, "/best_time/window");
        checks.range(self.explore, 0.0, 1.0, "/best_time/explore");
        if let Some(experiment) = &self.experiment {
            let path = "/best_time/experiment";
            checks.range(experiment.hold_out_share, 0.01, 0.99, &format!("{path}/hold_out_share"));
            checks.range(experiment.seed, 0, SEED_MAX, &format!("{path}/seed"));
        }
    }

    /// As the dialer takes it.
    #[must_use]
    pub fn config(&self) -> core::BestTimeConfig {
        core::BestTimeConfig {
            segment_by: self.segment_by.iter().filter_map(|by| segment_of(by)).collect(),
            window: self.window,
            explore: self.explore,
            experiment: self.experiment.map(|experiment| core::ExperimentConfig {
                hold_out_share: experiment.hold_out_share,
                seed: experiment.seed,
            }),
        }
    }
}

impl From<&core::BestTimeConfig> for BestTime {
    fn from(config: &core::BestTimeConfig) -> Self {
        BestTime {
            enabled: true,
            explore: config.explore,
            segment_by: config.segment_by.iter().map(segment_text).collect(),
            window: config.window,
            experiment: config.experiment.map(|experiment| BestTimeExperiment {
                hold_out_share: experiment.hold_out_share,
                seed: experiment.seed,
            }),
        }
    }
}

/// Tries and answers of one arm.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct BestTimeArm {
    /// Tries whose end says whether a person answers.
    pub tries: u64,
    /// Of these answered by a person.
    pub answers: u64,
    /// Answers among tries; null before the first.
    pub answer_rate: Option<f64>,
}

impl From<Arm> for BestTimeArm {
    fn from(arm: Arm) -> Self {
        let answer_rate = (arm.calls > 0).then(|| arm.answers as f64 / arm.calls as f64);
        BestTimeArm { tries: arm.calls, answers: arm.answers, answer_rate }
    }
}

/// What an experiment has found since it began.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct BestTimeExperimentResult {
    /// Leads whose hour was chosen.
    pub chosen: BestTimeArm,
    /// Leads held out.
    pub held_out: BestTimeArm,
    /// Answer rate of the chosen less that of the held out; null until both were tried.
    pub difference: Option<f64>,
    /// Its 95 % interval (Newcombe), from …
    pub difference_low: Option<f64>,
    /// … to. One that holds 0 shows no difference yet.
    pub difference_high: Option<f64>,
    /// How much more often the chosen are answered, as a share: 0.1 is a tenth more. Null until both were answered.
    pub lift: Option<f64>,
    /// Its 95 % interval (Katz), from …
    pub lift_low: Option<f64>,
    /// … to.
    pub lift_high: Option<f64>,
}

impl BestTimeExperimentResult {
    fn new(arms: [Arm; 2]) -> Self {
        let difference = core::difference(arms);
        let lift = dialer_core::caller_id::lift(arms);
        BestTimeExperimentResult {
            chosen: arms[1].into(),
            held_out: arms[0].into(),
            difference: difference.map(|(between, _, _)| between),
            difference_low: difference.map(|(_, low, _)| low),
            difference_high: difference.map(|(_, _, high)| high),
            lift: lift.map(|(lift, _, _)| lift),
            lift_low: lift.map(|(_, low, _)| low),
            lift_high: lift.map(|(_, _, high)| high),
        }
    }
}

/// What was learned of a segment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BestTimeSegment {
    /// Its name: what its leads have in common, joined by `|`.
    pub segment: String,
    /// All its tries and answers.
    pub total: BestTimeArm,
    /// Chance of an answer per hour of the week where the lead is, as expected now: 168, from Monday 0:00.
    pub answer_chances: Vec<f64>,
}

/// Why a lead is dialled now, or left for another hour.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BestTimeLead {
    /// The lead.
    pub lead_id: String,
    /// Its segment.
    pub segment: String,
    /// Hour of the week where it is, 0 to 167, from Monday 0:00.
    pub hour_of_week: u8,
    /// In which part of the experiment it is.
    pub arm: ExperimentArm,
    /// Chance of an answer in this hour, as expected now.
    pub answer_chance: f64,
    /// Hour of the week with the greatest chance among those in which the campaign dials.
    pub best_hour_of_week: u8,
    /// Chance of an answer in that hour.
    pub best_answer_chance: f64,
    /// How much likelier an answer is now than in the campaign's other hours, in log-odds. Leads with the greatest go first;
    /// below 0 another hour is better.
    pub advantage: f64,
    /// The same in words.
    pub sentence: String,
}

impl BestTimeLead {
    /// As it is shown.
    #[must_use]
    pub fn new(lead: dialer_core::LeadId, hour: core::LeadHour) -> Self {
        let percent = |chance: f64| format!("{:.1} %", chance * 100.0);
        let sentence = match hour.arm {
            core::ExperimentArm::HeldOut => {
                "It is held out of the choice for the experiment, and dialled in the usual order.".to_owned()
            }
            _ if hour.advantage >= 0.0 => format!(
                "This hour is as good for this lead as its others or better: the chance of an answer is {} now and {} in \
                 its best hour.",
                percent(hour.chance),
                percent(hour.best.0)
            ),
            _ => format!(
                "Another hour is better for this lead, so that leads for whom this one is go first: the chance of an \
                 answer is {} now and {} in its best hour.",
                percent(hour.chance),
                percent(hour.best.0)
            ),
        };
        BestTimeLead {
            lead_id: lead.to_string(),
            segment: hour.segment,
            hour_of_week: hour.hour,
            arm: hour.arm.into(),
            answer_chance: hour.chance,
            best_hour_of_week: hour.best.1,
            best_answer_chance: hour.best.0,
            advantage: hour.advantage,
            sentence,
        }
    }
}

/// What a campaign has learned of hours.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BestTimeReport {
    /// The campaign.
    pub campaign_id: String,
    /// Per segment.
    pub segments: Vec<BestTimeSegment>,
    /// What the experiment has found; null without one.
    pub experiment: Option<BestTimeExperimentResult>,
    /// The lead that was asked for; null if none was.
    pub lead: Option<BestTimeLead>,
}

impl BestTimeReport {
    /// What `rows` say.
    #[must_use]
    pub fn new(
        campaign: dialer_core::CampaignId,
        rows: &[core::BestTimeRow],
        experiment: bool,
        lead: Option<BestTimeLead>,
    ) -> Self {
        let (segments, arms) = core::learned(rows);
        let segment = |view: core::SegmentView| BestTimeSegment {
            segment: view.segment,
            total: Arm { calls: view.total.tries, answers: view.total.answers }.into(),
            answer_chances: view.chances,
        };
        BestTimeReport {
            campaign_id: campaign.to_string(),
            segments: segments.into_iter().map(segment).collect(),
            experiment: experiment.then(|| BestTimeExperimentResult::new(arms)),
            lead,
        }
    }
}
