//! Do-not-call lists: made, changed, filled, emptied.

use crate::check::{Checked, invalid, text};
use crate::command::{CommandError, Reply};
use crate::compliance::DncList;
use crate::config::{CampaignConfig, DncListConfig};
use crate::dialer::{About, Cx, Dialer, check_version};
use crate::event::Event;
use crate::id::DncListId;
use crate::record::{DncListRow, DncNumbers, DncSnapshot, Record};

const NOT_FOUND: CommandError = CommandError::NotFound { what: "do-not-call list" };

/// Most entries in one command: one transaction of the store.
pub const DNC_ENTRIES_MAX: usize = 20_000;

impl Dialer {
    pub(crate) fn create_dnc_list(
        &mut self,
        cx: &mut Cx<'_>,
        config: DncListConfig,
    ) -> Result<Reply, CommandError> {
        check(&config)?;
        if self.dnc.lists.len() >= self.config.lists_max {
            return Err(CommandError::Limit { what: "do-not-call lists" });
        }
        let id = DncListId::generate(cx.wall, &mut self.ids);
        let row = DncListRow { id, config, version: 1, created_at: cx.wall };
        self.dnc.lists.insert(id, DncList::new(row.clone()));
        self.dirty.dnc_lists.insert(id);
        self.journal(cx, vec![Record::DncListPut(row)]);
        Ok(Reply::DncList(id, 1))
    }

    pub(crate) fn update_dnc_list(
        &mut self,
        cx: &mut Cx<'_>,
        id: DncListId,
        mut config: DncListConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let list = self.dnc.lists.get_mut(&id).ok_or(NOT_FOUND)?;
        check_version(list.row.version, if_version)?;
        check(&config)?;
        config.tenant.clone_from(&list.row.config.tenant);
        list.row.config = config;
        list.row.version += 1;
        let row = list.row.clone();
        let version = row.version;
        self.dirty.dnc_lists.insert(id);
        self.journal(cx, vec![Record::DncListPut(row)]);
        Ok(Reply::DncList(id, version))
    }

    pub(crate) fn delete_dnc_list(&mut self, cx: &mut Cx<'_>, id: DncListId) -> Result<Reply, CommandError> {
        if !self.dnc.lists.contains_key(&id) {
            return Err(NOT_FOUND);
        }
        let names = |config: &CampaignConfig| {
            config.dnc_lists.contains(&id) || config.opt_out.is_some_and(|opt_out| opt_out.list == id)
        };
        if let Some(user) = self.campaigns.values().find(|campaign| names(&campaign.row.config)) {
            return Err(CommandError::InvalidState {
                detail: format!("campaign {} respects this list; take it out there first", user.row.id),
            });
        }
        self.dnc.lists.remove(&id);
        self.dirty.dnc_lists.insert(id);
        self.journal(cx, vec![Record::DncListDeleted { list: id }]);
        Ok(Reply::Done)
    }

    /// Numbers are not to be called from now on: what is in the hoppers is looked at again before it is dialled.
    pub(crate) fn add_dnc(
        &mut self,
        cx: &mut Cx<'_>,
        id: DncListId,
        entries: DncNumbers,
    ) -> Result<Reply, CommandError> {
        check_entries(&entries)?;
        if entries.expires_at.is_some_and(|at| at <= cx.wall) {
            return invalid("/expires_at", "a time to come");
        }
        let list = self.dnc.lists.get_mut(&id).ok_or(NOT_FOUND)?;
        let before = list.len();
        list.add(&entries);
        let added = (list.len() - before) as u64;
        let about = About { tenant: list.row.config.tenant.clone(), ..About::default() };
        self.dirty.dnc_lists.insert(id);
        self.journal(cx, vec![Record::DncAdded { list: id, entries }]);
        self.tell(cx, about, Event::DncChanged { list: id, added, removed: 0 });
        Ok(Reply::Count(added))
    }

    /// Numbers may be called again. Leads that were taken out because of them come back by a recycle.
    pub(crate) fn remove_dnc(
        &mut self,
        cx: &mut Cx<'_>,
        id: DncListId,
        entries: DncNumbers,
    ) -> Result<Reply, CommandError> {
        check_entries(&entries)?;
        let list = self.dnc.lists.get_mut(&id).ok_or(NOT_FOUND)?;
        let before = list.len();
        list.remove(&entries);
        let removed = (before - list.len()) as u64;
        let about = About { tenant: list.row.config.tenant.clone(), ..About::default() };
        self.dirty.dnc_lists.insert(id);
        self.journal(cx, vec![Record::DncRemoved { list: id, entries }]);
        self.tell(cx, about, Event::DncChanged { list: id, added: 0, removed });
        Ok(Reply::Count(removed))
    }

    /// The list is there, the operator's or of the campaign's tenant.
    pub(super) fn may_respect(&self, config: &CampaignConfig, list: DncListId) -> bool {
        let owner = self.dnc.lists.get(&list).map(|list| list.row.config.tenant.as_ref());
        owner.is_some_and(|owner| owner.is_none_or(|owner| *owner == config.tenant))
    }

    pub(crate) fn restore_dnc(&mut self, lists: Vec<DncSnapshot>) {
        for snapshot in lists {
            let id = snapshot.row.id;
            let mut list = DncList::new(snapshot.row);
            for entries in &snapshot.entries {
                list.add(entries);
            }
            self.dirty.dnc_lists.insert(id);
            self.dnc.lists.insert(id, list);
        }
    }
}

fn check(config: &DncListConfig) -> Checked {
    text("/name", &config.name, 1, 128)?;
    match &config.source {
        Some(source) => text("/source", source, 1, 128),
        None => Ok(()),
    }
}

fn check_entries(entries: &DncNumbers) -> Checked {
    let count = entries.numbers.len() + entries.prefixes.len() + entries.hashes.len();
    if count == 0 || count > DNC_ENTRIES_MAX {
        return invalid("/numbers", format_args!("1 to {DNC_ENTRIES_MAX} entries"));
    }
    if entries.numbers.iter().any(|number| !(10..1_000_000_000_000_000).contains(number)) {
        return invalid("/numbers", "numbers in E.164");
    }
    let is_prefix = |prefix: &String| {
        (1..=15).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !entries.prefixes.iter().all(is_prefix) {
        return invalid("/numbers", "prefixes of 1 to 15 digits");
    }
    Ok(())
}
