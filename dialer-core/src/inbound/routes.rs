//! Routes of inbound calls made, changed and deleted, and which numbers they serve.

use super::{InboundRouteConfig, InboundRouteRow};
use crate::check::{Checked, invalid};
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer, check_version};
use crate::effect::Effect;
use crate::id::InboundRouteId;
use crate::record::Record;
use std::collections::BTreeMap;

const NOT_FOUND: CommandError = CommandError::NotFound { what: "inbound route" };

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) rows: BTreeMap<InboundRouteId, InboundRouteRow>,
    /// Which route serves a number.
    pub(crate) by_number: BTreeMap<String, InboundRouteId>,
}

impl Dialer {
    pub(crate) fn create_route(
        &mut self,
        cx: &mut Cx<'_>,
        config: InboundRouteConfig,
    ) -> Result<Reply, CommandError> {
        config.check()?;
        self.route_fits(&config, None)?;
        if self.routes.rows.len() >= self.config.lists_max {
            return Err(CommandError::Limit { what: "inbound routes" });
        }
        let id = InboundRouteId::generate(cx.wall, &mut self.ids);
        let row = InboundRouteRow { id, config, version: 1, created_at: cx.wall };
        self.put_route(cx, row);
        Ok(Reply::InboundRoute(id, 1))
    }

    pub(crate) fn update_route(
        &mut self,
        cx: &mut Cx<'_>,
        id: InboundRouteId,
        config: InboundRouteConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let row = self.routes.rows.get(&id).ok_or(NOT_FOUND)?;
        check_version(row.version, if_version)?;
        config.check()?;
        self.route_fits(&config, Some(id))?;
        let row = InboundRouteRow { config, version: row.version + 1, ..row.clone() };
        let version = row.version;
        self.put_route(cx, row);
        Ok(Reply::InboundRoute(id, version))
    }

    fn put_route(&mut self, cx: &mut Cx<'_>, row: InboundRouteRow) {
        self.dirty.routes.insert(row.id);
        self.routes.rows.insert(row.id, row.clone());
        self.journal(cx, vec![Record::InboundRoutePut(row)]);
        self.serve_numbers(cx);
    }

    /// Deletes a route; callers who are in it go on.
    pub(crate) fn delete_route(
        &mut self,
        cx: &mut Cx<'_>,
        id: InboundRouteId,
    ) -> Result<Reply, CommandError> {
        self.routes.rows.remove(&id).ok_or(NOT_FOUND)?;
        self.counters.inbound.remove(&id);
        self.dirty.routes.insert(id);
        self.journal(cx, vec![Record::InboundRouteDeleted { route: id }]);
        self.serve_numbers(cx);
        Ok(Reply::Done)
    }

    /// Numbers of its own, and things that exist.
    fn route_fits(&self, config: &InboundRouteConfig, except: Option<InboundRouteId>) -> Checked {
        let others = || self.routes.rows.values().filter(|row| Some(row.id) != except);
        for (place, number) in config.numbers.iter().enumerate() {
            if let Some(other) = others().find(|row| row.config.numbers.contains(number)) {
                return Err(CommandError::Conflict {
                    pointer: format!("/numbers/{place}"),
                    detail: format!("the inbound route {:?} has this number", other.config.name),
                });
            }
        }
        for (place, pool) in config.pools.iter().enumerate() {
            let pointer = format!("/caller_id_pools/{place}");
            if !self.pools.contains_key(pool) {
                return invalid(&pointer, "the id of an existing caller-ID pool");
            }
            if let Some(other) = others().find(|row| row.config.pools.contains(pool)) {
                return Err(CommandError::Conflict {
                    pointer,
                    detail: format!("the inbound route {:?} has this pool", other.config.name),
                });
            }
        }
        match config.campaign {
            Some(campaign) if !self.campaigns.contains_key(&campaign) => {
                invalid("/campaign_id", "the id of an existing campaign")
            }
            _ => Ok(()),
        }
    }

    /// The numbers that are answered changed, perhaps: those that routes name, then those of their pools.
    pub(crate) fn serve_numbers(&mut self, cx: &mut Cx<'_>) {
        let mut by_number: BTreeMap<String, InboundRouteId> = BTreeMap::new();
        for row in self.routes.rows.values() {
            by_number.extend(row.config.numbers.iter().map(|number| (number.clone(), row.id)));
        }
        for row in self.routes.rows.values() {
            for pool in row.config.pools.iter().filter_map(|pool| self.pools.get(pool)) {
                for number in &pool.row.config.numbers {
                    let number = super::e164_candidates(number, "").into_iter().next();
                    if let Some(number) = number {
                        by_number.entry(number).or_insert(row.id);
                    }
                }
            }
        }
        if by_number != self.routes.by_number {
            cx.out.push(Effect::ServeNumbers(by_number.keys().cloned().collect()));
            self.routes.by_number = by_number;
        }
    }

    pub(crate) fn restore_routes(&mut self, cx: &mut Cx<'_>, rows: Vec<InboundRouteRow>) {
        for row in rows {
            self.dirty.routes.insert(row.id);
            self.routes.rows.insert(row.id, row);
        }
        self.serve_numbers(cx);
    }
}
