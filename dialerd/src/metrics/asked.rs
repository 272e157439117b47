//! Numbers of campaigns that the store is asked for: too dear to ask for all of them at each scrape.

use super::dialer::CampaignNames;
use super::family::Families;
use control_api::wire::screened::leads_out_of_window;
use control_api::{ReadModel, WallClock};
use dialer_core::outcome::Outcome;
use dialer_core::record::LeadState;
use dialer_core::view::CampaignView;
use dialer_core::{CampaignId, ListId};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use store::{LeadCounts, Store, StoreError};

/// What was told is told again for so long.
const KEPT: Duration = Duration::from_secs(15);
/// Campaigns that are asked about anew at one scrape, those first of which the answer is oldest.
const ASKED_MAX: usize = 8;

/// Answers, by campaign.
pub struct Asked {
    clock: WallClock,
    answers: Mutex<BTreeMap<CampaignId, (Instant, Answer)>>,
}

/// What is known of a campaign.
#[derive(Clone, Copy, Default)]
struct Answer {
    /// Due leads whose windows are closed: new ones, and those that wait.
    out_of_window: [u64; 2],
    /// Answers by people since the campaign was made, as records of ended calls tell, and of these abandoned.
    live: u64,
    abandoned: u64,
}

impl Asked {
    /// Nothing is known yet.
    pub fn new(clock: WallClock) -> Self {
        Asked { clock, answers: Mutex::default() }
    }

    /// Where the leads of each campaign stand, those of all its lists, and what became of its answers.
    pub fn export(
        &self,
        read_model: &ReadModel,
        store: &dyn Store,
        campaigns: &CampaignNames,
        families: &mut Families,
    ) {
        let Ok(mut answers) = self.answers.lock() else { return };
        let views = read_model.campaigns();
        answers.retain(|id, _| views.iter().any(|view| view.row.id == *id));
        let now = Instant::now();
        let mut stale: Vec<(Option<Instant>, &CampaignView)> = views
            .iter()
            .map(|view| (answers.get(&view.row.id).map(|(at, _)| *at), &**view))
            .filter(|(at, _)| at.is_none_or(|at| now.duration_since(at) >= KEPT))
            .collect();
        stale.sort_by_key(|(at, _)| *at);
        for (_, view) in stale.into_iter().take(ASKED_MAX) {
            // What cannot be asked now is told as it was.
            if let Ok(answer) = self.ask(read_model, store, view) {
                answers.insert(view.row.id, (now, answer));
            }
        }
        let mut of_list = BTreeMap::new();
        for view in &views {
            let answer = answers.get(&view.row.id).map(|(_, answer)| *answer).unwrap_or_default();
            let name = campaigns.name(Some(view.row.id));
            export_leads(store, view, &name, answer, &mut of_list, families);
            if !campaigns.has_own(view.row.id) {
                continue;
            }
            let policy = view.row.config.pacing.policy.as_str();
            let labels = [("campaign", name.as_str()), ("window", "campaign"), ("policy", policy)];
            let ratio = if answer.live == 0 { 0.0 } else { answer.abandoned as f64 / answer.live as f64 };
            families.gauge("dialer_abandon_ratio", super::dialer::ABANDON_RATIO_HELP, &labels, ratio);
        }
    }

    fn ask(
        &self,
        read_model: &ReadModel,
        store: &dyn Store,
        view: &CampaignView,
    ) -> Result<Answer, StoreError> {
        let totals = store.attempt_totals(view.row.id)?;
        let of = |outcome| totals.outcomes.get(&outcome).copied().unwrap_or(0);
        let nobody = of(Outcome::Machine) + of(Outcome::Fax) + of(Outcome::Screening);
        Ok(Answer {
            out_of_window: leads_out_of_window(read_model, store, view, (self.clock)())?,
            live: totals.answered.saturating_sub(nobody),
            abandoned: totals.abandoned,
        })
    }
}

/// Leads of one list by state, and how many of those that wait were promised a callback.
type OfList = BTreeMap<ListId, Option<(LeadCounts, u64)>>;

fn export_leads(
    store: &dyn Store,
    view: &CampaignView,
    name: &str,
    answer: Answer,
    of_list: &mut OfList,
    families: &mut Families,
) {
    let (mut sum, mut callbacks) = (LeadCounts::default(), 0);
    for list in &view.row.config.lists {
        // What cannot be asked now is not told.
        let counts = of_list
            .entry(*list)
            .or_insert_with(|| Some((store.lead_counts(*list).ok()?, store.callback_count(*list).ok()?)));
        let Some((counts, promised)) = counts else { continue };
        LeadState::ALL.into_iter().for_each(|state| sum.add(state, counts.of(state)));
        callbacks += *promised;
    }
    // Each lead is told once, in the state that says most. The answers are of different moments.
    let [new, waiting] = answer.out_of_window;
    let of_state = |state: LeadState| match state {
        LeadState::New => sum.new.saturating_sub(new),
        LeadState::RetryWait => sum.retry_wait.saturating_sub(callbacks).saturating_sub(waiting),
        state => sum.of(state),
    };
    let states = LeadState::ALL.into_iter().map(|state| (state.as_str(), of_state(state)));
    for (state, count) in states.chain([("callback", callbacks), ("out_of_window", new + waiting)]) {
        let labels = [("campaign", name), ("state", state)];
        families.gauge("dialer_leads", "Leads of its lists, by state.", &labels, count as f64);
    }
}
