//! What keeps due leads of a campaign from being dialled now.

use crate::read_model::ReadModel;
use crate::time::{Time, rfc3339};
use dialer_core::compliance::screen_of;
use dialer_core::config::CampaignState;
use dialer_core::record::{Lead, LeadState};
use dialer_core::screen::{Look, Screen};
use dialer_core::view::{CampaignView, LimitedBy};
use sansio::WallTime;
use serde::Serialize;
use store::{LeadQuery, Store, StoreError};
use utoipa::ToSchema;

/// Due leads that are looked at, best first.
pub(crate) const LOOKED_AT_MAX: u32 = 20_000;

/// What the campaign's windows, limits and filter say of its due leads: of the best 20,000.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct ScreenedLeads {
    /// Due leads looked at.
    pub looked_at: u64,
    /// May be dialled.
    pub pass: u64,
    /// The filter does not match.
    pub filtered: u64,
    /// It is outside the calling windows where they are.
    pub outside_windows: u64,
    /// Nobody knows their time zone, so their windows count as closed.
    pub time_zone_unknown: u64,
    /// They were dialled as often as `caps` and the rule book allow.
    pub too_often: u64,
    /// The agent who owns them is not at work here (`owner_only`).
    pub owner_away: u64,
    /// When the first of those that wait for their windows or limits may be dialled.
    pub next_at: Option<Time>,
}

/// Due leads of a campaign that runs whose calling windows, or the campaign's own hours, are closed now: new ones, and
/// those that wait for another try. Of the best 20,000 that are due.
///
/// # Errors
/// When the store cannot be asked.
pub fn leads_out_of_window(
    read_model: &ReadModel,
    store: &dyn Store,
    view: &CampaignView,
    now: WallTime,
) -> Result<[u64; 2], StoreError> {
    let config = &view.row.config;
    let hours_closed = view.pacing.as_ref().is_some_and(|report| report.limited_by == LimitedBy::Window);
    let screen = Screen {
        windows: screen_of(config, read_model.windows_of(view).as_ref()).windows,
        ..Screen::default()
    };
    if view.state() != CampaignState::Running || !hours_closed && screen.windows.is_empty() {
        return Ok([0, 0]);
    }
    let query =
        LeadQuery { lists: config.lists.clone(), limit: LOOKED_AT_MAX, due_at: now, ..LeadQuery::default() };
    let mut screener = screen.at(now);
    let mut counts = [0, 0];
    for lead in store.load_leads(&query)?.leads {
        let closed = hours_closed || matches!(screener.look(&lead), Look::Window(_) | Look::ZoneUnknown);
        match lead.progress.state {
            LeadState::New => counts[0] += u64::from(closed),
            LeadState::RetryWait => counts[1] += u64::from(closed && lead.progress.callback.is_none()),
            _ => {}
        }
    }
    Ok(counts)
}

impl ScreenedLeads {
    /// Counts leads.
    #[must_use]
    pub fn new(leads: &[Lead], screen: &Screen, now: WallTime) -> Self {
        let mut counts = ScreenedLeads { looked_at: leads.len() as u64, ..ScreenedLeads::default() };
        let mut screener = screen.at(now);
        let mut next: Option<WallTime> = None;
        for lead in leads {
            match screener.look(lead) {
                Look::Take => counts.pass += 1,
                Look::Filtered => counts.filtered += 1,
                Look::ZoneUnknown => counts.time_zone_unknown += 1,
                Look::Owner(_) => counts.owner_away += 1,
                Look::Window(at) => {
                    counts.outside_windows += 1;
                    next = Some(next.map_or(at, |old| old.min(at)));
                }
                Look::Frequency(at) => {
                    counts.too_often += 1;
                    next = Some(next.map_or(at, |old| old.min(at)));
                }
            }
        }
        counts.next_at = next.map(Time);
        counts
    }

    /// Why none of the leads looked at may be dialled: a short name and a sentence. `None` if some may, or if there are
    /// none.
    pub(crate) fn verdict(&self) -> Option<(&'static str, String)> {
        if self.pass > 0 || self.looked_at == 0 {
            return None;
        }
        let all = self.looked_at;
        let then = self
            .next_at
            .map_or_else(String::new, |at| format!("; the first may be called at {}", rfc3339(at.0)));
        let reasons = [
            (self.outside_windows, "window", "outside the calling windows where they are"),
            (self.too_often, "frequency", "called as often as the caps allow"),
            (
                self.time_zone_unknown,
                "time_zone_unknown",
                "of unknown time zone, so that their windows count as closed",
            ),
            (self.filtered, "filter", "not matched by the campaign's filter"),
            (self.owner_away, "owner", "their owners' alone, and these are not at work"),
        ];
        let told: Vec<String> = reasons
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, _, words)| format!("{count} are {words}"))
            .collect();
        let name = reasons.iter().max_by_key(|(count, ..)| *count).map_or("leads", |(_, name, _)| name);
        Some((name, format!("None of the {all} due leads may be called now: {}{then}.", told.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_reason_gives_the_name_and_all_are_told() {
        let some = ScreenedLeads { looked_at: 9, pass: 1, filtered: 8, ..ScreenedLeads::default() };
        assert_eq!(some.verdict(), None);
        assert_eq!(ScreenedLeads::default().verdict(), None);
        let at = crate::time::parse_rfc3339("2026-11-20T01:00:00Z").map(Time);
        let closed = ScreenedLeads {
            looked_at: 9,
            outside_windows: 6,
            filtered: 3,
            next_at: at,
            ..ScreenedLeads::default()
        };
        let (name, sentence) = closed.verdict().unwrap();
        assert_eq!(name, "window");
        assert_eq!(
            sentence,
            "None of the 9 due leads may be called now: 6 are outside the calling windows where they are, 3 are not \
             matched by the campaign's filter; the first may be called at 2026-11-20T01:00:00.000Z."
        );
    }
}
