//! The rest of the rule books as data: hours on the callee's clock, how often, what must be kept. What they demand of
//! abandonment is in [`super::profile`].
//!
//! | policy | hours | source |
//! |---|---|---|
//! | `us_tsr` | 8:00–21:00 | 16 CFR 310.4(c); records 5 years, 310.5 |
//! | `us_fcc` | 8:00–21:00 | 47 CFR 64.1200(c)(1) |
//! | `gb_ofcom` | – | Ofcom, persistent misuse: 72 hours after an abandoned call, records 6 months |
//! | `ca_crtc` | 9:00–21:30, at weekends 10:00–18:00 | CRTC Unsolicited Telecommunications Rules, part III; records 3 years |
//! | `au_acma` | 9:00–20:00, Saturday to 17:00, no Sundays and public holidays | Telemarketing and Research Calls Industry Standard 2017 |
//! | `fr_2022` | 10:00–13:00 and 14:00–20:00 on weekdays, no public holidays; 4 contacts in 30 days, 60 days after a refusal | décret 2022-1313 |
//! | `cn_miit` | – | MIIT notice of June 2020: every call recorded, records kept 30 days |
//!
//! Numbers of common rules, not legal advice: the operator is responsible for obeying the law.

use super::windows::{CallingWindows, DayHours, EVERY_DAY, SATURDAY, SUNDAY, WEEKDAYS};
use crate::check::{Checked, invalid};
use crate::config::{CampaignConfig, Policy};
use crate::screen::{Frequency, Screen};
use std::collections::BTreeMap;

/// What a rule book demands beside abandonment.
#[derive(Clone, PartialEq, Debug)]
pub struct Pack {
    /// When callees may be called, by their clocks; `None`: it does not say.
    pub windows: Option<CallingWindows>,
    /// Public holidays are closed, so the campaign must name those of its callees.
    pub holidays_needed: bool,
    /// How often.
    pub frequency: Frequency,
    /// Every conversation must be recorded.
    pub recording_needed: bool,
    /// Only with an agent guaranteed for so long after an abandoned call, hours.
    pub lock_hours: u32,
    /// Records are to be kept so long, days.
    pub records_keep_days: Option<u32>,
    /// Age at which a do-not-call list from outside must have been renewed, days.
    pub dnc_age_days_max: Option<u32>,
}

fn hours(rows: &[(u8, u16, u16)]) -> Option<CallingWindows> {
    let row = |(days, from_minute, to_minute): &(u8, u16, u16)| DayHours {
        days: *days,
        from_minute: *from_minute,
        to_minute: *to_minute,
    };
    Some(CallingWindows { hours: rows.iter().map(row).collect(), ..CallingWindows::default() })
}

/// Minutes of a full or half hour.
const fn clock(hour: u16, minute: u16) -> u16 {
    hour * 60 + minute
}

/// What the rule book demands; for a campaign with numbers of its own nothing but the lock.
#[must_use]
pub fn pack(policy: Policy) -> Pack {
    let none = Pack {
        windows: None,
        holidays_needed: false,
        frequency: Frequency::default(),
        recording_needed: false,
        lock_hours: 72,
        records_keep_days: None,
        dnc_age_days_max: None,
    };
    match policy {
        Policy::Custom => none,
        Policy::UsTsr | Policy::UsFcc => Pack {
            windows: hours(&[(EVERY_DAY, clock(8, 0), clock(21, 0))]),
            records_keep_days: Some(5 * 365),
            dnc_age_days_max: Some(31),
            ..none
        },
        Policy::GbOfcom => Pack { records_keep_days: Some(183), ..none },
        Policy::CaCrtc => Pack {
            windows: hours(&[
                (WEEKDAYS, clock(9, 0), clock(21, 30)),
                (SATURDAY | SUNDAY, clock(10, 0), clock(18, 0)),
            ]),
            records_keep_days: Some(3 * 365),
            dnc_age_days_max: Some(31),
            ..none
        },
        Policy::AuAcma => Pack {
            windows: hours(&[(WEEKDAYS, clock(9, 0), clock(20, 0)), (SATURDAY, clock(9, 0), clock(17, 0))]),
            holidays_needed: true,
            dnc_age_days_max: Some(30),
            ..none
        },
        Policy::Fr2022 => Pack {
            windows: hours(&[(WEEKDAYS, clock(10, 0), clock(13, 0)), (WEEKDAYS, clock(14, 0), clock(20, 0))]),
            holidays_needed: true,
            frequency: Frequency { per_30d: Some(4), refusal_days: Some(60), ..Frequency::default() },
            ..none
        },
        Policy::CnMiit => Pack { recording_needed: true, records_keep_days: Some(30), ..none },
    }
}

/// Everything a campaign's leads have to pass: its own settings, its calendar's, and its rule book's.
#[must_use]
pub fn screen_of(config: &CampaignConfig, calendar: Option<&CallingWindows>) -> Screen {
    let pack = pack(config.pacing.policy);
    let own = config.calling_windows.as_deref();
    let book = pack.windows.map(|mut windows| {
        windows.holidays.extend(own.into_iter().chain(calendar).flat_map(|named| &named.holidays));
        windows
    });
    Screen {
        windows: own.into_iter().chain(calendar).cloned().chain(book).collect(),
        frequency: pack.frequency.and(*config.frequency),
        filter: config.filter.clone(),
        promises: None,
        owners: None,
        full_numbers: BTreeMap::new(),
        sequence: (*config.sequence).clone(),
    }
}

/// Refuses settings without which the rule book cannot be kept.
pub(crate) fn check_pack(config: &CampaignConfig, calendar: Option<&CallingWindows>) -> Checked {
    let pack = pack(config.pacing.policy);
    let name = config.pacing.policy.as_str();
    let mut named = config.calling_windows.as_deref().into_iter().chain(calendar);
    if pack.holidays_needed && named.all(|windows| windows.holidays.is_empty()) {
        return invalid(
            "/calling_windows/holidays",
            format_args!("the callees' public holidays, on which {name} forbids calls"),
        );
    }
    if pack.recording_needed && !config.record {
        return invalid("/record", format_args!("true under {name}"));
    }
    if config.pacing.policy != Policy::Custom && config.lock_hours < pack.lock_hours {
        let least = pack.lock_hours;
        return invalid("/on_no_agent/lock_hours", format_args!("at least {least} under {name}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::Opening;
    use crate::compliance::clock::parse_date;
    use sansio::WallTime;
    use std::collections::BTreeSet;

    /// Minutes after 2026-11-16 00:00 UTC, a Monday.
    fn open(policy: Policy, zone: &str, offset_hours: i64, day: i64, hour: i64, minute: i64) -> bool {
        let start = 1_794_787_200_000;
        let at = start + ((day * 24 + hour - offset_hours) * 60 + minute) * 60_000;
        let windows = pack(policy).windows.expect("it has hours");
        windows.opening(&[zone], WallTime::from_unix_millis(at)) == Opening::Open
    }

    #[test]
    fn the_hours_of_the_books() {
        let us = |day, hour, minute| open(Policy::UsTsr, "America/New_York", -5, day, hour, minute);
        assert!(!us(0, 7, 59) && us(0, 8, 0) && us(6, 20, 59) && !us(6, 21, 0));
        let ca = |day, hour, minute| open(Policy::CaCrtc, "America/Toronto", -5, day, hour, minute);
        assert!(!ca(4, 8, 59) && ca(4, 9, 0) && ca(4, 21, 29) && !ca(4, 21, 30));
        assert!(!ca(5, 9, 59) && ca(6, 10, 0) && ca(6, 17, 59) && !ca(5, 18, 0));
        let au = |day, hour, minute| open(Policy::AuAcma, "Australia/Brisbane", 10, day, hour, minute);
        assert!(au(0, 9, 0) && !au(0, 20, 0) && au(5, 16, 59) && !au(5, 17, 0) && !au(6, 12, 0));
        let fr = |day, hour, minute| open(Policy::Fr2022, "Europe/Paris", 1, day, hour, minute);
        assert!(!fr(0, 9, 59) && fr(0, 10, 0) && fr(0, 12, 59) && !fr(0, 13, 30) && fr(0, 14, 0));
        assert!(fr(4, 19, 59) && !fr(4, 20, 0) && !fr(5, 11, 0));
    }

    #[test]
    fn a_book_that_closes_on_holidays_wants_to_know_them() {
        let mut config = CampaignConfig::default();
        config.pacing.policy = Policy::Fr2022;
        assert!(check_pack(&config, None).is_err());
        let holidays: BTreeSet<i32> = parse_date("2026-12-25").into_iter().collect();
        let hours = vec![DayHours { days: EVERY_DAY, from_minute: 0, to_minute: 1440 }];
        config.calling_windows =
            Some(Box::new(CallingWindows { hours, holidays: holidays.clone(), zone: None }));
        assert!(check_pack(&config, None).is_ok());
        let screen = screen_of(&config, None);
        assert!(
            screen.windows.len() == 2 && screen.windows.iter().all(|windows| windows.holidays == holidays)
        );
        assert_eq!(screen.frequency.per_30d, Some(4));
        config.frequency.per_30d = Some(9);
        assert_eq!(screen_of(&config, None).frequency.per_30d, Some(4), "the book's limit stays");
    }

    #[test]
    fn recording_is_not_to_be_left_off_where_it_is_asked_for() {
        let mut config = CampaignConfig::default();
        config.pacing.policy = Policy::CnMiit;
        assert!(check_pack(&config, None).is_ok());
        config.record = false;
        assert!(check_pack(&config, None).is_err());
    }
}
