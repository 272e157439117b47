//! Making, changing and deleting trunks.

use super::{Trunk, check};
use crate::agent::device::AgentDevice;
use crate::check::Checked;
use crate::command::{CommandError, Reply};
use crate::config::TrunkConfig;
use crate::dialer::{Cx, Dialer, check_version};
use crate::effect::Effect;
use crate::id::TrunkId;
use crate::record::{Record, TrunkRow};

impl Dialer {
    pub(crate) fn create_trunk(
        &mut self,
        cx: &mut Cx<'_>,
        config: TrunkConfig,
    ) -> Result<Reply, CommandError> {
        check::check(&config)?;
        self.trunk_name_is_free(&config.name, None)?;
        if self.trunks.len() >= self.config.trunks_max {
            return Err(CommandError::Limit { what: "trunks" });
        }
        let id = TrunkId::generate(cx.wall, &mut self.ids);
        let row = TrunkRow { id, config, version: 1, created_at: cx.wall };
        self.trunks.insert(id, Trunk::new(row.clone(), cx.now));
        self.publish_trunk(cx, row);
        Ok(Reply::Trunk(id, 1))
    }

    pub(crate) fn update_trunk(
        &mut self,
        cx: &mut Cx<'_>,
        id: TrunkId,
        config: TrunkConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let trunk = self.trunks.get(&id).ok_or(CommandError::NotFound { what: "trunk" })?;
        check_version(trunk.row.version, if_version)?;
        check::check(&config)?;
        self.trunk_name_is_free(&config.name, Some(id))?;
        let trunk = self.trunks.get_mut(&id).expect("found above");
        let old = std::mem::replace(&mut trunk.row.config, config);
        trunk.row.version += 1;
        let new = &trunk.row.config;
        trunk.cps.set(new.cps_max);
        // Another peer, or another way to know it: what was heard before says nothing any more.
        if old.address != new.address
            || old.transport != new.transport
            || old.register != new.register
            || (old.options_interval_ms == 0) != (new.options_interval_ms == 0)
        {
            trunk.forget_health();
        }
        let row = trunk.row.clone();
        let version = row.version;
        self.publish_trunk(cx, row);
        self.want_all_decisions();
        Ok(Reply::Trunk(id, version))
    }

    pub(crate) fn delete_trunk(&mut self, cx: &mut Cx<'_>, id: TrunkId) -> Result<Reply, CommandError> {
        let trunk = self.trunks.get(&id).ok_or(CommandError::NotFound { what: "trunk" })?;
        if trunk.active > 0 {
            return Err(CommandError::InvalidState {
                detail: format!(
                    "the trunk carries {} calls; disable it and wait for their end",
                    trunk.active
                ),
            });
        }
        if let Some(campaign) = self.campaigns.values().find(|c| c.row.config.trunks.contains(&id)) {
            return Err(CommandError::InvalidState {
                detail: format!("campaign {} dials over this trunk", campaign.row.id),
            });
        }
        let rung_over = |agent: &&crate::agent::Agent| match agent.row.config.device {
            AgentDevice::Number { trunk, .. } => trunk == Some(id),
            AgentDevice::Registered | AgentDevice::Address { .. } => false,
        };
        if let Some(agent) = self.agents.values().find(rung_over) {
            return Err(CommandError::InvalidState {
                detail: format!("agent {} is called over this trunk", agent.row.id),
            });
        }
        self.trunks.remove(&id);
        self.dirty.trunks.insert(id);
        self.journal(cx, vec![Record::TrunkDeleted { trunk: id }]);
        cx.out.push(Effect::RemoveTrunk(id));
        Ok(Reply::Done)
    }

    fn trunk_name_is_free(&self, name: &str, except: Option<TrunkId>) -> Checked {
        let taken = self.trunks.values().any(|t| t.row.config.name == name && Some(t.row.id) != except);
        if taken {
            return Err(CommandError::Conflict {
                pointer: "/name".into(),
                detail: format!("another trunk is called {name:?}"),
            });
        }
        Ok(())
    }

    fn publish_trunk(&mut self, cx: &mut Cx<'_>, row: TrunkRow) {
        self.dirty.trunks.insert(row.id);
        self.journal(cx, vec![Record::TrunkPut(row.clone())]);
        cx.out.push(Effect::ApplyTrunk(Box::new(row)));
    }
}
