//! Which leads of its lists a campaign dials now: its filter, the windows on the callee's clock, how often a lead may
//! be dialled. Pure, so that whoever reads leads passes over the others at once, and the dialer looks again before it
//! dials.

mod filter;
mod frequency;
mod order;
mod parse;

pub use filter::{Filter, FilterFault};
pub(crate) use frequency::nth_last;
pub use frequency::{DAY_PARTS_MAX, DayPart, Frequency};
pub use order::{LeadOrder, RANDOM_AMONG, Sequence};

use crate::compliance::{CallingWindows, Opening, number_key, zones_of};
use crate::id::{AgentId, CampaignId};
use crate::record::{Callback, Lead};
use sansio::WallTime;
use std::collections::{BTreeMap, BTreeSet};

/// What a campaign asks of a lead before it is dialled.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Screen {
    /// All of these must be open.
    pub windows: Vec<CallingWindows>,
    /// Most attempts per time.
    pub frequency: Frequency,
    /// Only leads it matches.
    pub filter: Option<Filter>,
    /// Which callbacks are not made here now; `None`: that is not looked at.
    pub promises: Option<Promises>,
    /// Leads that name an owner are for these alone, by id, user name or name; `None`: that is not looked at.
    pub owners: Option<BTreeSet<String>>,
    /// Numbers, by [`crate::compliance::number_key`], that have been dialled as often as one number may be, and until when.
    pub full_numbers: BTreeMap<u64, WallTime>,
    /// How those that pass follow each other.
    pub sequence: Sequence,
}

/// Callbacks that nobody here may make now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Promises {
    /// Agents who are not at work here.
    pub absent: BTreeSet<AgentId>,
    /// What an absent agent promised is anyone's so long after its time, milliseconds; `None`: never.
    pub late_after_ms: Option<u32>,
    /// Campaigns that make their own.
    pub elsewhere: BTreeSet<CampaignId>,
}

impl Promises {
    fn look(&self, promise: &Callback, now: WallTime) -> Look {
        if promise.campaign.is_some_and(|campaign| self.elsewhere.contains(&campaign)) {
            return Look::Filtered;
        }
        if !promise.agent.is_some_and(|agent| self.absent.contains(&agent)) {
            return Look::Take;
        }
        match self.late_after_ms.map(|late_ms| promise.at.plus_millis(i64::from(late_ms))) {
            Some(late_at) if late_at <= now => Look::Take,
            Some(late_at) => Look::Window(late_at),
            None => Look::Filtered,
        }
    }
}

/// What is said of a lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing is against it.
    Take,
    /// Its windows are closed until then.
    Window(WallTime),
    /// It was dialled often enough until then.
    Frequency(WallTime),
    /// Whose it is is not there, or has enough of them; looked at again then.
    Owner(WallTime),
    /// Nobody knows its time zone, so its windows are closed.
    ZoneUnknown,
    /// The filter does not match.
    Filtered,
}

/// A screen at one moment. Remembers what the windows of each zone say.
#[derive(Debug)]
pub struct Screener<'a> {
    screen: &'a Screen,
    now: WallTime,
    openings: BTreeMap<Vec<String>, Opening>,
}

/// Leads of an owner who is not there are looked at again after this long.
const OWNER_MS: i64 = 60_000;
/// Windows that do not open soon are looked at again after this long.
const CLOSED_MS: i64 = 24 * 3_600_000;

impl Screen {
    /// Everything passes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.windows.is_empty()
            && self.filter.is_none()
            && self.owners.is_none()
            && self.full_numbers.is_empty()
            && self.frequency == Frequency::default()
    }

    /// The screen at `now`.
    #[must_use]
    pub fn at(&self, now: WallTime) -> Screener<'_> {
        Screener { screen: self, now, openings: BTreeMap::new() }
    }
}

impl Screener<'_> {
    /// Most attempts per time.
    pub(crate) fn frequency(&self) -> &Frequency {
        &self.screen.frequency
    }

    /// What is said of this lead.
    pub fn look(&mut self, lead: &Lead) -> Look {
        if let Some(filter) = &self.screen.filter
            && !filter.matches(lead)
        {
            return Look::Filtered;
        }
        if let (Some(owners), Some(owner)) = (&self.screen.owners, lead.owner())
            && !owners.contains(owner)
            && lead.progress.callback.as_ref().is_none_or(|promise| promise.agent.is_none())
        {
            return Look::Owner(self.now.plus_millis(OWNER_MS));
        }
        if let (Some(promises), Some(promise)) = (&self.screen.promises, &lead.progress.callback) {
            let look = promises.look(promise, self.now);
            if look != Look::Take {
                return look;
            }
        }
        match self.opening(lead) {
            Opening::Open => {}
            Opening::Opens(at) => return Look::Window(at),
            Opening::Closed => return Look::Window(self.now.plus_millis(CLOSED_MS)),
            Opening::ZoneUnknown => return Look::ZoneUnknown,
        }
        match self.screen.frequency.not_before(lead, self.now).max(self.number_is_full(lead)) {
            Some(at) => Look::Frequency(at),
            None => Look::Take,
        }
    }

    /// Until when its number may not be dialled, whoever's leads it was dialled for.
    fn number_is_full(&self, lead: &Lead) -> Option<WallTime> {
        let phone = lead.phones.get(crate::lead::next_phone(lead))?;
        let until = *self.screen.full_numbers.get(&number_key(&phone.number)?)?;
        Some(until).filter(|until| *until > self.now)
    }

    fn opening(&mut self, lead: &Lead) -> Opening {
        if self.screen.windows.is_empty() {
            return Opening::Open;
        }
        let Some(phone) = lead.phones.get(crate::lead::next_phone(lead)) else { return Opening::ZoneUnknown };
        let zones = zones_of(lead.time_zone.as_deref(), &phone.number);
        if let Some(known) = self.openings.get(&zones) {
            return *known;
        }
        let opening = opening_of_all(&self.screen.windows, &zones, self.now);
        self.openings.insert(zones, opening);
        opening
    }
}

/// What several windows say together: the latest of the times at which each opens is not before all are open.
pub(crate) fn opening_of_all(windows: &[CallingWindows], zones: &[String], now: WallTime) -> Opening {
    let zones: Vec<&str> = zones.iter().map(String::as_str).collect();
    let mut all = Opening::Open;
    for window in windows {
        all = match (all, window.opening(&zones, now)) {
            (Opening::ZoneUnknown, _) | (_, Opening::ZoneUnknown) => Opening::ZoneUnknown,
            (Opening::Closed, _) | (_, Opening::Closed) => Opening::Closed,
            (Opening::Opens(a), Opening::Opens(b)) => Opening::Opens(a.max(b)),
            (Opening::Opens(at), Opening::Open) | (Opening::Open, Opening::Opens(at)) => Opening::Opens(at),
            (Opening::Open, Opening::Open) => Opening::Open,
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::{DayHours, EVERY_DAY};
    use crate::lead::tests::lead;

    #[test]
    fn callbacks_of_absent_agents_wait_until_they_are_late() {
        let now = WallTime::from_unix_millis(1_000);
        let (agent, campaign) = (AgentId::from_bits(1), CampaignId::from_bits(2));
        let mut lead = lead();
        lead.progress.callback = Some(Callback::new(now, Some(agent), Some(campaign)));
        let promises =
            Promises { absent: [agent].into(), late_after_ms: Some(500), elsewhere: BTreeSet::new() };
        let screen = |promises| Screen { promises: Some(promises), ..Screen::default() };
        let mine = screen(promises.clone());
        assert_eq!(mine.at(now).look(&lead), Look::Window(now.plus_millis(500)));
        assert_eq!(mine.at(now.plus_millis(500)).look(&lead), Look::Take);
        let waits = screen(Promises { late_after_ms: None, ..promises.clone() });
        assert_eq!(waits.at(now.plus_millis(500)).look(&lead), Look::Filtered);
        let others = screen(Promises { elsewhere: [campaign].into(), ..promises });
        assert_eq!(others.at(now.plus_millis(500)).look(&lead), Look::Filtered);
        assert_eq!(screen(Promises::default()).at(now).look(&lead), Look::Take);
    }

    #[test]
    fn the_first_reason_is_told() {
        let now = WallTime::from_unix_millis(1_795_136_400_000); // 9:00 in Shanghai
        let windows = CallingWindows {
            hours: vec![DayHours { days: EVERY_DAY, from_minute: 600, to_minute: 1200 }],
            ..CallingWindows::default()
        };
        let mut screen = Screen { windows: vec![windows], ..Screen::default() };
        let mut lead = lead();
        lead.phones[0].number = "+8613800138000".into();
        assert_eq!(screen.at(now).look(&lead), Look::Window(now.plus_millis(3_600_000)));
        assert_eq!(screen.at(now.plus_millis(3_600_000)).look(&lead), Look::Take);
        lead.time_zone = Some("Asia/Tokyo".into());
        assert_eq!(screen.at(now).look(&lead), Look::Take, "the lead's own zone goes first");
        lead.time_zone = None;
        lead.phones[0].number = "+999123456789".into();
        assert_eq!(screen.at(now).look(&lead), Look::ZoneUnknown);
        screen.filter = Some(Filter::parse("priority > 5").unwrap());
        assert_eq!(screen.at(now).look(&lead), Look::Filtered);
        assert!(Screen::default().is_open() && !screen.is_open());
    }
}
