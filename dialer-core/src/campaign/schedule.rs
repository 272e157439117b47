//! When a campaign begins and ends.
//!
//! It is started as any other; until its time has come it waits, and when its time is over it is stopped. Both are looked up,
//! not remembered: a node that was down meanwhile does what is right at its start.

use crate::check::{Checked, invalid};
use crate::command::CommandError;
use crate::dialer::{Cx, Dialer};
use crate::id::CampaignId;
use sansio::WallTime;
use serde::{Deserialize, Serialize};

/// When a campaign begins and ends; without either: when it is started and stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Nothing is dialled before.
    pub start: Option<WallTime>,
    /// Nothing is dialled from then on: the campaign is stopped.
    pub end: Option<WallTime>,
}

impl Schedule {
    /// Its time has come and is not over.
    #[must_use]
    pub fn is_on(&self, now: WallTime) -> bool {
        self.start.is_none_or(|start| start <= now) && !self.is_over(now)
    }

    /// Its end has passed.
    #[must_use]
    pub fn is_over(&self, now: WallTime) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// Milliseconds until its end, 0 when that has passed; `None` without an end.
    pub(super) fn left_ms(&self, now: WallTime) -> Option<u64> {
        self.end.map(|end| u64::try_from(end.millis_since(now)).unwrap_or(0))
    }

    pub(super) fn check(&self) -> Checked {
        match (self.start, self.end) {
            (Some(start), Some(end)) if end <= start => invalid("/schedule/end", "a time after start"),
            _ => Ok(()),
        }
    }
}

impl Dialer {
    /// What is over is not begun again.
    pub(super) fn refuse_when_over(&self, cx: &Cx<'_>, id: CampaignId) -> Result<(), CommandError> {
        let over =
            self.campaigns.get(&id).is_some_and(|campaign| campaign.row.config.schedule.is_over(cx.wall));
        if over {
            let detail = "the end of the campaign's schedule has passed; give it a later one".into();
            return Err(CommandError::InvalidState { detail });
        }
        Ok(())
    }

    /// Stops a campaign whose time is over; true if it was.
    pub(crate) fn stop_when_over(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> bool {
        let over =
            self.campaigns.get(&id).is_some_and(|campaign| campaign.row.config.schedule.is_over(cx.wall));
        over && self.stop_campaign(cx, id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_start_and_end() {
        let at = WallTime::from_unix_millis;
        let schedule = Schedule { start: Some(at(1_000)), end: Some(at(2_000)) };
        let on: Vec<bool> = [999, 1_000, 1_999, 2_000].map(|ms| schedule.is_on(at(ms))).into();
        assert_eq!(on, [false, true, true, false]);
        assert_eq!((schedule.left_ms(at(1_500)), schedule.left_ms(at(3_000))), (Some(500), Some(0)));
        assert!(Schedule::default().is_on(at(0)) && Schedule::default().left_ms(at(0)).is_none());
        assert!(schedule.check().is_ok());
        assert!(Schedule { end: schedule.start, ..schedule }.check().is_err());
    }
}
