//! Lists.

use crate::check::{Checked, invalid, text};
use crate::command::{CommandError, Reply};
use crate::config::{CampaignState, ListConfig};
use crate::dialer::{About, Cx, Dialer, check_version};
use crate::event::Event;
use crate::id::{CampaignId, ListId};
use crate::record::{ListRow, Record};

impl Dialer {
    pub(crate) fn create_list(&mut self, cx: &mut Cx<'_>, config: ListConfig) -> Result<Reply, CommandError> {
        check(&config)?;
        if self.lists.len() >= self.config.lists_max {
            return Err(CommandError::Limit { what: "lists" });
        }
        let id = ListId::generate(cx.wall, &mut self.ids);
        let row = ListRow { id, config, version: 1, created_at: cx.wall };
        self.lists.insert(id, row.clone());
        self.dirty.lists.insert(id);
        self.journal(cx, vec![Record::ListPut(row)]);
        Ok(Reply::List(id, 1))
    }

    pub(crate) fn update_list(
        &mut self,
        cx: &mut Cx<'_>,
        id: ListId,
        mut config: ListConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let row = self.lists.get_mut(&id).ok_or(CommandError::NotFound { what: "list" })?;
        check_version(row.version, if_version)?;
        check(&config)?;
        config.tenant.clone_from(&row.config.tenant);
        row.config = config;
        row.version += 1;
        let row = row.clone();
        let version = row.version;
        self.dirty.lists.insert(id);
        self.journal(cx, vec![Record::ListPut(row)]);
        Ok(Reply::List(id, version))
    }

    /// Deletes a list; stopped campaigns that named it name it no more.
    pub(crate) fn delete_list(&mut self, cx: &mut Cx<'_>, id: ListId) -> Result<Reply, CommandError> {
        if !self.lists.contains_key(&id) {
            return Err(CommandError::NotFound { what: "list" });
        }
        let users: Vec<CampaignId> = self
            .campaigns
            .values()
            .filter(|campaign| campaign.row.config.lists.contains(&id))
            .map(|campaign| campaign.row.id)
            .collect();
        for user in &users {
            let campaign = &self.campaigns[user];
            if campaign.row.state != CampaignState::Stopped || !campaign.calls.is_empty() {
                return Err(CommandError::InvalidState {
                    detail: format!("campaign {user} dials this list; stop it first"),
                });
            }
        }
        let mut records = vec![Record::ListDeleted { list: id }];
        for user in users {
            let campaign = self.campaigns.get_mut(&user).expect("listed above");
            campaign.row.config.lists.retain(|list| *list != id);
            campaign.row.config.sequence.mix.remove(&id);
            campaign.row.version += 1;
            records.push(Record::CampaignPut(Box::new(campaign.row.clone())));
            self.dirty.campaigns.insert(user);
        }
        self.lists.remove(&id);
        self.dirty.lists.insert(id);
        records.extend(self.forget_in_pools(|config| {
            let before = config.lists.len();
            config.lists.retain(|list| *list != id);
            config.lists.len() < before
        }));
        self.journal(cx, records);
        Ok(Reply::Done)
    }

    /// New leads are there: those who dial this list load again.
    pub(crate) fn leads_imported(
        &mut self,
        cx: &mut Cx<'_>,
        list: ListId,
        accepted: u64,
    ) -> Result<Reply, CommandError> {
        if !self.lists.contains_key(&list) {
            return Err(CommandError::NotFound { what: "list" });
        }
        if accepted > 0 {
            self.leads_may_be_there(cx, &[list]);
            self.leads_may_expire(cx, list);
        }
        let tenant = self.lists.get(&list).map(|list| list.config.tenant.clone());
        self.tell(cx, About { tenant, ..About::default() }, Event::ListImported { list, accepted });
        Ok(Reply::Done)
    }
}

fn check(config: &ListConfig) -> Checked {
    text("/name", &config.name, 1, 128)?;
    if let Some(region) = &config.default_region
        && (region.len() != 2 || !region.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return invalid("/default_region", "two capital letters (ISO 3166-1 alpha-2), e.g. DE");
    }
    Ok(())
}
