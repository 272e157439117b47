//! Which of the due leads are dialled in this hour.

use super::model::hour_of_week;
use super::{BestTimeConfig, BestTimeRow, ExperimentArm, ExperimentConfig, Model, Tried};
use crate::config::CampaignConfig;
use crate::dialer::{Cx, Dialer};
use crate::id::{CampaignId, LeadId};
use crate::outcome::Outcome;
use crate::record::{CallRecord, Lead, Record};
use sansio::{Rng, WallTime};
use std::cmp::Reverse;
use std::collections::BTreeMap;

impl Dialer {
    /// How many leads are to be read to fill a hopper that has room for so many.
    pub(crate) fn leads_to_read(&self, id: CampaignId, room: usize) -> usize {
        let best_time = self.campaigns.get(&id).and_then(|campaign| campaign.row.config.best_time.as_ref());
        best_time.map_or(room, |best_time| room.max(best_time.window as usize))
    }

    /// Puts those first for whom this hour is comparatively good; those held out of it keep their order and their share.
    pub(crate) fn best_first(&mut self, cx: &Cx<'_>, id: CampaignId, leads: Vec<Lead>) -> Vec<Lead> {
        let Some(campaign) = self.campaigns.get(&id) else { return leads };
        if campaign.row.config.best_time.is_none() {
            return leads;
        }
        let offset = campaign.utc_offset_minutes();
        choose(
            &campaign.row.config,
            &campaign.best_time,
            id,
            leads,
            (offset, cx.wall),
            &mut self.best_time_choice,
        )
    }

    /// What the call that is being made is a try of, if the campaign learns.
    pub(crate) fn tried(&self, id: CampaignId, lead: &Lead, now: WallTime) -> Option<Tried> {
        let campaign = &self.campaigns[&id];
        let best_time = campaign.row.config.best_time.as_ref()?;
        let arm = arm_of(best_time, id, lead.id);
        let hour = hour_of_week(lead, campaign.utc_offset_minutes(), now) as u8;
        Some(Tried { segment: campaign.best_time.segment_of(best_time, lead), hour, arm })
    }

    /// A try is over: counted, if it says anything of the callee. The record is written with the call's own.
    pub(crate) fn learn_hour(
        &mut self,
        id: CampaignId,
        tried: Option<Tried>,
        record: &CallRecord,
    ) -> Option<Record> {
        let tried = tried?;
        let answered = says(record.outcome)?;
        let campaign = self.campaigns.get_mut(&id)?;
        campaign.row.config.best_time.as_ref()?;
        campaign.best_time.seen(&tried, answered);
        let Tried { segment, hour, arm } = tried;
        Some(Record::BestTimeSeen { campaign: id, segment, hour, arm, answered })
    }

    /// What was learned before the last end.
    pub(crate) fn restore_hours(&mut self, rows: &[super::BestTimeRow]) {
        let mut of_campaign: BTreeMap<CampaignId, Vec<&super::BestTimeRow>> = BTreeMap::new();
        for row in rows {
            of_campaign.entry(row.campaign).or_default().push(row);
        }
        for (id, rows) in of_campaign {
            if let Some(campaign) = self.campaigns.get_mut(&id) {
                campaign.best_time = Model::of_rows(rows.into_iter());
            }
        }
    }

    /// The hour is another one: leads that were chosen for the last one make room.
    pub(crate) fn choose_anew(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        if campaign.row.config.best_time.is_none() {
            return;
        }
        let hour = cx.wall.unix_millis().div_euclid(3_600_000);
        let before = campaign.chosen_for.replace(hour);
        if before.is_some_and(|before| before != hour) {
            self.empty_hopper(cx, id);
        }
    }
}

/// A person answered, or did not; `None`: the attempt says nothing of the callee.
fn says(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Connected | Outcome::Abandoned => Some(true),
        Outcome::NoAnswer
        | Outcome::Busy
        | Outcome::InCall
        | Outcome::Rejected
        | Outcome::Machine
        | Outcome::Screening
        | Outcome::PowerOff
        | Outcome::Unreachable => Some(false),
        Outcome::Fax
        | Outcome::InvalidNumber
        | Outcome::Suspended
        | Outcome::CallForbidden
        | Outcome::NetworkCongestion
        | Outcome::BlockedByAnalytics
        | Outcome::CarrierError
        | Outcome::Cancelled
        | Outcome::Dnc
        | Outcome::OutOfWindow
        | Outcome::NodeRestart => None,
    }
}

/// Drawn once per lead, and the same after a restart: a hash of the names and the seed against the share.
fn is_held_out(campaign: CampaignId, lead: LeadId, experiment: ExperimentConfig) -> bool {
    let halves = |bits: u128| (bits >> 64) as u64 ^ (bits as u64);
    let of_campaign = Rng::from_seed(experiment.seed ^ halves(campaign.to_bits())).next_u64();
    Rng::from_seed(of_campaign ^ halves(lead.to_bits())).chance(experiment.hold_out_share)
}

/// Why a lead is dialled now, or left for another hour.
#[derive(Clone, PartialEq, Debug)]
pub struct LeadHour {
    /// Its segment.
    pub segment: String,
    /// The hour of the week where it is, from Monday 0:00.
    pub hour: u8,
    /// In which part of the experiment it is.
    pub arm: ExperimentArm,
    /// Chance of an answer in this hour, as expected now.
    pub chance: f64,
    /// Chance of an answer in the best of the hours in which the campaign dials, and that hour.
    pub best: (f64, u8),
    /// How much likelier an answer is in this hour than in the campaign's other hours, in log-odds: leads with the greatest
    /// go first.
    pub advantage: f64,
}

/// What a campaign's rows say of a lead at `now`; `None` if the campaign does not choose hours.
#[must_use]
pub fn explain(
    (id, config): (CampaignId, &CampaignConfig),
    rows: &[BestTimeRow],
    lead: &Lead,
    now: WallTime,
) -> Option<LeadHour> {
    let best_time = config.best_time.as_ref()?;
    let model = Model::of_rows(rows.iter());
    let offset = config.calling_hours.as_ref().map_or(0, |hours| hours.utc_offset_minutes);
    let hour = hour_of_week(lead, offset, now);
    let segment = model.segment_of(best_time, lead);
    let chances = model.chances(&segment);
    let arm = arm_of(best_time, id, lead.id);
    let (advantage, best) = model.advantage_expected(&segment, hour);
    Some(LeadHour {
        segment,
        hour: hour as u8,
        arm,
        chance: chances[hour],
        best: (chances[best], best as u8),
        advantage,
    })
}

fn arm_of(best_time: &BestTimeConfig, campaign: CampaignId, lead: LeadId) -> ExperimentArm {
    match best_time.experiment {
        None => ExperimentArm::None,
        Some(experiment) if is_held_out(campaign, lead, experiment) => ExperimentArm::HeldOut,
        Some(_) => ExperimentArm::Chosen,
    }
}

fn choose(
    config: &CampaignConfig,
    model: &Model,
    id: CampaignId,
    leads: Vec<Lead>,
    (offset, now): (i16, WallTime),
    rng: &mut Rng,
) -> Vec<Lead> {
    let Some(best_time) = config.best_time.as_ref() else { return leads };
    let hold_out = best_time.experiment.map_or(0.0, |experiment| experiment.hold_out_share);
    // One draw per segment and hour: leads that are alike keep their order.
    let mut drawn: BTreeMap<(String, usize), f64> = BTreeMap::new();
    let (mut chosen, mut held_out) = (Vec::new(), Vec::new());
    for (place, lead) in leads.into_iter().enumerate() {
        if best_time.experiment.is_some_and(|experiment| is_held_out(id, lead.id, experiment)) {
            held_out.push(lead);
            continue;
        }
        let key = (model.segment_of(best_time, &lead), hour_of_week(&lead, offset, now));
        let advantage = match drawn.get(&key) {
            Some(advantage) => *advantage,
            None => {
                let advantage = model.advantage(&key.0, key.1, rng);
                drawn.insert(key, advantage);
                advantage
            }
        };
        chosen.push((Reverse(lead.priority), advantage, place, lead));
    }
    chosen.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    mix(patiently(chosen, best_time.explore).into_iter(), held_out.into_iter(), hold_out)
}

/// The leads in their order, with those that wait longest in between, whatever their hour, as often as the share says,
/// within their priority.
fn patiently(sorted: Vec<(Reverse<i32>, f64, usize, Lead)>, share: f64) -> Vec<Lead> {
    let mut waiting: Vec<(Reverse<i32>, usize)> =
        sorted.iter().map(|(priority, _, place, _)| (*priority, *place)).collect();
    waiting.sort_unstable();
    let mut waiting = waiting.into_iter();
    let mut by_place: BTreeMap<usize, Lead> = BTreeMap::new();
    let mut order = Vec::with_capacity(sorted.len());
    for (priority, _, place, lead) in sorted {
        order.push((priority, place));
        by_place.insert(place, lead);
    }
    let mut mixed = Vec::with_capacity(order.len());
    let mut owed = share;
    for (priority, place) in order {
        // Ten tenths are a little less than one.
        while owed > 1.0 - 1e-9 && by_place.contains_key(&place) {
            owed -= 1.0;
            let longest = waiting.by_ref().find(|(_, place)| by_place.contains_key(place));
            // A lower priority is not let before.
            if let Some((_, place)) = longest.filter(|(of, _)| *of <= priority) {
                mixed.extend(by_place.remove(&place));
                owed += share;
            }
        }
        let Some(lead) = by_place.remove(&place) else { continue };
        mixed.push(lead);
        owed += share;
    }
    mixed
}

/// Both in their order, each as often as its share says; higher priorities of either go first.
fn mix(chosen: impl Iterator<Item = Lead>, held_out: impl Iterator<Item = Lead>, hold_out: f64) -> Vec<Lead> {
    let (mut chosen, mut held_out) = (chosen.peekable(), held_out.peekable());
    let mut mixed = Vec::new();
    let mut owed = 0.0;
    loop {
        let take_held_out = match (chosen.peek(), held_out.peek()) {
            (None, None) => return mixed,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) if a.priority != b.priority => b.priority > a.priority,
            (Some(_), Some(_)) => {
                owed += hold_out;
                owed >= 1.0
            }
        };
        if take_held_out {
            owed -= 1.0;
            mixed.extend(held_out.next());
        } else {
            mixed.extend(chosen.next());
        }
        owed = owed.clamp(-1.0, 1.0);
    }
}
