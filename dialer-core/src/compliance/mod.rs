//! The law of abandoned calls: who counts, over which time, and what follows.
//!
//! * A live answer that is not joined to an agent within the campaign's `bridge_deadline_ms` (2 s by 16 CFR
//!   310.4(b)(4)(iii) and Ofcom's statement) is **abandoned**: it is entered in the ledger, hears the
//!   safe-harbour message, and its lead is dialled again only with an agent guaranteed for `lock_hours` (72 by Ofcom).
//! * A live answer that is joined in time is entered as live.
//! * A callee who hangs up before the deadline without having been joined was not abandoned by us; nor was an
//!   agent there. Such a call is entered neither way, so that it cannot make the rate look better.
//! * Machines and faxes are no live answers. Where the agent is joined first and the machine is heard later, the
//!   entry waits for the verdict.
//! * People whom machine detection takes for machines are abandoned without anyone having seen it. Their share, as
//!   measured or as the rule book has it estimated, is reserved in the budget in advance and added to the rate that is
//!   shown beside the counted one.

mod clock;
mod dialled;
mod dnc;
mod ledger;
mod packs;
mod profile;
mod rates;
mod windows;
mod zones;

pub use clock::{date_text, is_zone, parse_date};
pub use dnc::{DncList, number_hash, number_key};
pub use packs::{Pack, pack, screen_of};
pub use profile::{Profile, profile};
pub use rates::{Answers, abandoned_share, ofcom_rate};
pub use windows::{CallingWindows, DayHours, EVERY_DAY, Opening, SATURDAY, SUNDAY, WEEKDAYS};
pub use zones::zones_of_number;

pub(crate) use dialled::DialledNumbers;
pub(crate) use dnc::DncBook;
pub(crate) use ledger::{Ledger, window_of};
pub(crate) use packs::check_pack;
pub(crate) use profile::{check_policy, false_machine};
pub(crate) use windows::zones_of;

/// Day (since 1970-01-01) and minute of a zone's clock.
pub(crate) fn local_of(zone: &str, now: sansio::WallTime) -> Option<(i32, u16)> {
    clock::local(zone, now).map(|local| (local.date, local.minute))
}

/// So many minutes after the minute of `at` began: every clock shows whole minutes then.
pub(crate) fn minutes_after(at: sansio::WallTime, minutes: i64) -> sansio::WallTime {
    sansio::WallTime::from_unix_millis((at.unix_millis().div_euclid(60_000) + minutes) * 60_000)
}

/// Weekday (Monday 0) and minute of the day where a number is: by its own zone, else by the first zone the number may be in,
/// else by an offset from UTC.
pub(crate) fn local_clock(
    zone: Option<&str>,
    number: &str,
    utc_offset_minutes: i16,
    now: sansio::WallTime,
) -> (u8, u16) {
    let known = zones_of(zone, number).first().and_then(|zone| clock::local(zone, now));
    let local = known.unwrap_or_else(|| clock::at_offset(now, i32::from(utc_offset_minutes) * 60));
    (local.weekday, local.minute)
}
