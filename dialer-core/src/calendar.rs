//! Calendars: calling windows and holidays under a name, shared by campaigns.

use crate::check::{Checked, invalid, text};
use crate::command::{CommandError, Reply};
use crate::compliance::{CallingWindows, check_pack};
use crate::config::CampaignConfig;
use crate::dialer::{Cx, Dialer, check_version};
use crate::id::{CalendarId, CampaignId};
use crate::record::Record;
use crate::tenant::Tenant;
use sansio::WallTime;
use serde::{Deserialize, Serialize};

const NOT_FOUND: CommandError = CommandError::NotFound { what: "calendar" };

/// What people configure of a calendar.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CalendarConfig {
    /// Shown name.
    pub name: String,
    /// Whose it is; `None`: the operator's, which any campaign may be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// When callees may be called.
    pub windows: CallingWindows,
}

impl CalendarConfig {
    fn check(&self) -> Checked {
        text("/name", &self.name, 1, 128)?;
        self.windows.check("")
    }
}

/// A calendar as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CalendarRow {
    /// Its name.
    pub id: CalendarId,
    /// Its settings.
    pub config: CalendarConfig,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

impl Dialer {
    pub(crate) fn create_calendar(
        &mut self,
        cx: &mut Cx<'_>,
        config: CalendarConfig,
    ) -> Result<Reply, CommandError> {
        config.check()?;
        if self.calendars.len() >= self.config.lists_max {
            return Err(CommandError::Limit { what: "calendars" });
        }
        let id = CalendarId::generate(cx.wall, &mut self.ids);
        self.put_calendar(cx, CalendarRow { id, config, version: 1, created_at: cx.wall });
        Ok(Reply::Calendar(id, 1))
    }

    /// Campaigns follow the new settings from their next decision on.
    pub(crate) fn update_calendar(
        &mut self,
        cx: &mut Cx<'_>,
        id: CalendarId,
        mut config: CalendarConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let row = self.calendars.get(&id).ok_or(NOT_FOUND)?;
        check_version(row.version, if_version)?;
        config.tenant.clone_from(&row.config.tenant);
        config.check()?;
        let users = self.users_of_calendar(id);
        for user in &users {
            check_pack(&self.campaigns[user].row.config, Some(&config.windows))?;
        }
        let version = row.version + 1;
        let row = CalendarRow { config, version, ..row.clone() };
        let same = self.calendars[&id].config.windows == row.config.windows;
        self.put_calendar(cx, row);
        for user in users.into_iter().filter(|_| !same) {
            self.renew_screen(user);
            self.empty_hopper(cx, user);
            if let Some(campaign) = self.campaigns.get_mut(&user) {
                campaign.completed = false;
            }
            self.wanted.insert(user);
            self.refill(cx, user);
        }
        Ok(Reply::Calendar(id, version))
    }

    fn put_calendar(&mut self, cx: &mut Cx<'_>, row: CalendarRow) {
        self.dirty.calendars.insert(row.id);
        self.calendars.insert(row.id, row.clone());
        self.journal(cx, vec![Record::CalendarPut(row)]);
    }

    /// Deletes a calendar that no campaign keeps.
    pub(crate) fn delete_calendar(&mut self, cx: &mut Cx<'_>, id: CalendarId) -> Result<Reply, CommandError> {
        if !self.calendars.contains_key(&id) {
            return Err(NOT_FOUND);
        }
        if let Some(user) = self.users_of_calendar(id).first() {
            let detail = format!("campaign {user} keeps this calendar; take it out there first");
            return Err(CommandError::InvalidState { detail });
        }
        self.calendars.remove(&id);
        self.dirty.calendars.insert(id);
        self.journal(cx, vec![Record::CalendarDeleted { calendar: id }]);
        Ok(Reply::Done)
    }

    fn users_of_calendar(&self, id: CalendarId) -> Vec<CampaignId> {
        let keeps = |campaign: &&crate::campaign::Campaign| campaign.row.config.calendar == Some(id);
        self.campaigns.values().filter(keeps).map(|campaign| campaign.row.id).collect()
    }

    /// The windows of the calendar that a campaign names.
    ///
    /// # Errors
    /// There is no such calendar, or it is another tenant's.
    pub(crate) fn calendar_of(
        &self,
        config: &CampaignConfig,
    ) -> Result<Option<&CallingWindows>, CommandError> {
        let Some(id) = config.calendar else { return Ok(None) };
        let row = self.calendars.get(&id);
        match row.filter(|row| row.config.tenant.as_ref().is_none_or(|owner| *owner == config.tenant)) {
            Some(row) => Ok(Some(&row.config.windows)),
            None => invalid("/calendar", "the id of an existing calendar").map(|()| None),
        }
    }

    pub(crate) fn restore_calendars(&mut self, rows: Vec<CalendarRow>) {
        for row in rows {
            self.dirty.calendars.insert(row.id);
            self.calendars.insert(row.id, row);
        }
    }
}
