//! What is so now, for those who look: the latest view of each thing.

use crate::prompts::{of_campaign, of_route};
use crate::tenancy::{sees, tenant};
use dashmap::DashMap;
use dialer_core::calendar::CalendarRow;
use dialer_core::compliance::CallingWindows;
use dialer_core::inbound::InboundRouteRow;
use dialer_core::record::{CallKindTag, ListRow};
use dialer_core::view::{
    AgentView, CallView, CallerIdPoolView, CampaignView, DncListView, NodeView, PacingReport, TrunkView,
};
use dialer_core::{
    AgentId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, InboundRouteId, ListId, TrunkId,
    ViewChange,
};
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Decisions remembered per campaign; older ones are in the event stream.
const DECISIONS_MAX: usize = 200;

/// The latest views. Written by the daemon's loop through [`ReadModel::apply`], read by everyone; what has an owner is
/// given to a tenant's request only if it is the tenant's.
#[derive(Default, Debug)]
pub struct ReadModel {
    trunks: DashMap<TrunkId, Arc<TrunkView>>,
    agents: DashMap<AgentId, Arc<AgentView>>,
    lists: DashMap<ListId, Arc<ListRow>>,
    dnc_lists: DashMap<DncListId, Arc<DncListView>>,
    caller_id_pools: DashMap<CallerIdPoolId, Arc<CallerIdPoolView>>,
    inbound_routes: DashMap<InboundRouteId, Arc<InboundRouteRow>>,
    calendars: DashMap<CalendarId, Arc<CalendarRow>>,
    campaigns: DashMap<CampaignId, Arc<CampaignView>>,
    /// The last decisions of each campaign, newest last.
    decisions: DashMap<CampaignId, VecDeque<PacingReport>>,
    calls: DashMap<CallId, Arc<CallView>>,
    /// Variables given with an originate, while the call lives.
    variables: DashMap<CallId, BTreeMap<String, String>>,
    node: Mutex<NodeView>,
    changed: Notify,
}

impl ReadModel {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a change. Apply the changes of a step **before** answering its command, so that whoever asked
    /// reads what it wrote.
    pub fn apply(&self, change: ViewChange) {
        match change {
            ViewChange::Trunk(view) => drop(self.trunks.insert(view.row.id, Arc::new(*view))),
            ViewChange::TrunkGone(id) => drop(self.trunks.remove(&id)),
            ViewChange::Agent(view) => drop(self.agents.insert(view.row.id, Arc::new(*view))),
            ViewChange::AgentGone(id) => drop(self.agents.remove(&id)),
            ViewChange::List(row) => drop(self.lists.insert(row.id, Arc::new(*row))),
            ViewChange::ListGone(id) => drop(self.lists.remove(&id)),
            ViewChange::DncList(view) => drop(self.dnc_lists.insert(view.row.id, Arc::new(*view))),
            ViewChange::DncListGone(id) => drop(self.dnc_lists.remove(&id)),
            ViewChange::CallerIdPool(view) => {
                drop(self.caller_id_pools.insert(view.row.id, Arc::new(*view)));
            }
            ViewChange::CallerIdPoolGone(id) => drop(self.caller_id_pools.remove(&id)),
            ViewChange::InboundRoute(row) => drop(self.inbound_routes.insert(row.id, Arc::new(*row))),
            ViewChange::InboundRouteGone(id) => drop(self.inbound_routes.remove(&id)),
            ViewChange::Calendar(row) => drop(self.calendars.insert(row.id, Arc::new(*row))),
            ViewChange::CalendarGone(id) => drop(self.calendars.remove(&id)),
            ViewChange::Campaign(view) => {
                self.remember_decision(&view);
                self.campaigns.insert(view.row.id, Arc::new(*view));
            }
            ViewChange::CampaignGone(id) => {
                self.campaigns.remove(&id);
                self.decisions.remove(&id);
            }
            ViewChange::Call(view) => drop(self.calls.insert(view.id, Arc::new(*view))),
            ViewChange::CallGone(id) => {
                self.calls.remove(&id);
                self.variables.remove(&id);
            }
            ViewChange::Node(view) => *self.node.lock().unwrap_or_else(PoisonError::into_inner) = view,
        }
        self.changed.notify_waiters();
    }

    /// A trunk.
    #[must_use]
    pub fn trunk(&self, id: TrunkId) -> Option<Arc<TrunkView>> {
        let found = self.trunks.get(&id).map(|view| Arc::clone(&view));
        found.filter(|_| self.sees_trunk(id))
    }

    /// An agent.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> Option<Arc<AgentView>> {
        let found = self.agents.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(Some(&view.row.config.tenant)))
    }

    /// A list.
    #[must_use]
    pub fn list(&self, id: ListId) -> Option<Arc<ListRow>> {
        let found = self.lists.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(Some(&view.config.tenant)))
    }

    /// A do-not-call list.
    #[must_use]
    pub fn dnc_list(&self, id: DncListId) -> Option<Arc<DncListView>> {
        let found = self.dnc_lists.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(view.row.config.tenant.as_ref()))
    }

    /// Who plays a prompt of this name: a campaign or a route, in words.
    pub(crate) fn user_of_prompt(&self, name: &str) -> Option<String> {
        let by_campaign = self.campaigns.iter().find_map(|view| {
            let plays = of_campaign(&view.row.config).iter().any(|(_, prompt)| *prompt == name);
            plays.then(|| format!("the campaign {}", view.row.id))
        });
        by_campaign.or_else(|| {
            self.inbound_routes.iter().find_map(|route| {
                let plays = of_route(&route.config).iter().any(|(_, prompt)| *prompt == name);
                plays.then(|| format!("the inbound route {}", route.id))
            })
        })
    }

    /// All do-not-call lists, oldest first.
    #[must_use]
    pub fn dnc_lists(&self) -> Vec<Arc<DncListView>> {
        own(sorted(&self.dnc_lists), |view| sees(view.row.config.tenant.as_ref()))
    }

    /// A route of inbound calls.
    #[must_use]
    pub fn inbound_route(&self, id: InboundRouteId) -> Option<Arc<InboundRouteRow>> {
        let found = self.inbound_routes.get(&id).map(|row| Arc::clone(&row));
        found.filter(|row| self.sees_route(row))
    }

    /// A tenant sees the routes that lead to its campaigns.
    fn sees_route(&self, row: &InboundRouteRow) -> bool {
        tenant().is_none() || row.config.campaign.is_some_and(|id| self.campaign(id).is_some())
    }

    /// All routes of inbound calls, by id.
    #[must_use]
    pub fn inbound_routes(&self) -> Vec<Arc<InboundRouteRow>> {
        own(sorted(&self.inbound_routes), |row| self.sees_route(row))
    }

    /// A calendar.
    #[must_use]
    pub fn calendar(&self, id: CalendarId) -> Option<Arc<CalendarRow>> {
        let found = self.calendars.get(&id).map(|row| Arc::clone(&row));
        found.filter(|row| sees(row.config.tenant.as_ref()))
    }

    /// All calendars, oldest first.
    #[must_use]
    pub fn calendars(&self) -> Vec<Arc<CalendarRow>> {
        own(sorted(&self.calendars), |row| sees(row.config.tenant.as_ref()))
    }

    /// The windows of the calendar that a campaign keeps, whoever's it is.
    pub(crate) fn windows_of(&self, campaign: &CampaignView) -> Option<CallingWindows> {
        let id = campaign.row.config.calendar?;
        self.calendars.get(&id).map(|row| row.config.windows.clone())
    }

    /// A pool of caller IDs.
    #[must_use]
    pub fn caller_id_pool(&self, id: CallerIdPoolId) -> Option<Arc<CallerIdPoolView>> {
        let found = self.caller_id_pools.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(view.row.config.tenant.as_ref()))
    }

    /// All pools of caller IDs, oldest first.
    #[must_use]
    pub fn caller_id_pools(&self) -> Vec<Arc<CallerIdPoolView>> {
        own(sorted(&self.caller_id_pools), |view| sees(view.row.config.tenant.as_ref()))
    }

    /// A campaign.
    #[must_use]
    pub fn campaign(&self, id: CampaignId) -> Option<Arc<CampaignView>> {
        let found = self.campaigns.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(Some(&view.row.config.tenant)))
    }

    fn remember_decision(&self, view: &CampaignView) {
        let Some(report) = &view.pacing else { return };
        let mut decisions = self.decisions.entry(view.row.id).or_default();
        let nothing_new = |last: &PacingReport| PacingReport { at: last.at, ..report.clone() } == *last;
        if decisions.back().is_some_and(nothing_new) {
            // The same again: the later time counts.
            decisions.pop_back();
        }
        if decisions.len() >= DECISIONS_MAX {
            decisions.pop_front();
        }
        decisions.push_back(report.clone());
    }

    /// The last decisions of a campaign, newest first.
    #[must_use]
    pub fn decisions(&self, id: CampaignId, most: usize) -> Vec<PacingReport> {
        let found = self.decisions.get(&id);
        found.map(|found| found.iter().rev().take(most).cloned().collect()).unwrap_or_default()
    }

    /// A live call.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<Arc<CallView>> {
        let found = self.calls.get(&id).map(|view| Arc::clone(&view));
        found.filter(|view| sees(view.tenant.as_ref()))
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> NodeView {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All trunks, oldest first.
    #[must_use]
    pub fn trunks(&self) -> Vec<Arc<TrunkView>> {
        own(sorted(&self.trunks), |view| self.sees_trunk(view.row.id))
    }

    /// A tenant sees the trunks that its campaigns go over: those they name, all where one names none.
    fn sees_trunk(&self, id: TrunkId) -> bool {
        let goes_over = |campaign: &Arc<CampaignView>| {
            let trunks = &campaign.row.config.trunks;
            trunks.is_empty() || trunks.contains(&id)
        };
        tenant().is_none() || self.campaigns().iter().any(goes_over)
    }

    /// All agents, oldest first.
    #[must_use]
    pub fn agents(&self) -> Vec<Arc<AgentView>> {
        own(sorted(&self.agents), |view| sees(Some(&view.row.config.tenant)))
    }

    /// All lists, oldest first.
    #[must_use]
    pub fn lists(&self) -> Vec<Arc<ListRow>> {
        own(sorted(&self.lists), |view| sees(Some(&view.config.tenant)))
    }

    /// All campaigns, oldest first.
    #[must_use]
    pub fn campaigns(&self) -> Vec<Arc<CampaignView>> {
        own(sorted(&self.campaigns), |view| sees(Some(&view.row.config.tenant)))
    }

    /// All live calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Arc<CallView>> {
        own(sorted(&self.calls), |view| sees(view.tenant.as_ref()))
    }

    /// How many calls live that are the dialer's own and do not pass through.
    #[must_use]
    pub fn dialled_len(&self) -> usize {
        self.calls.iter().filter(|call| call.kind != CallKindTag::Transit).count()
    }

    pub(crate) fn set_variables(&self, id: CallId, variables: BTreeMap<String, String>) {
        // A call that ended already would leave its variables behind for ever.
        if !variables.is_empty() && self.calls.contains_key(&id) {
            self.variables.insert(id, variables);
            if !self.calls.contains_key(&id) {
                self.variables.remove(&id);
            }
        }
    }

    pub(crate) fn variables(&self, id: CallId) -> BTreeMap<String, String> {
        self.variables.get(&id).map(|found| found.clone()).unwrap_or_default()
    }

    /// Waits until `look` finds something; whoever calls bounds the wait.
    pub(crate) async fn wait_for<T>(&self, look: impl Fn(&ReadModel) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            changed.await;
        }
    }
}

fn sorted<K: Eq + Hash + Ord + Copy, V>(map: &DashMap<K, Arc<V>>) -> Vec<Arc<V>> {
    let mut all: Vec<(K, Arc<V>)> =
        map.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all.into_iter().map(|(_, value)| value).collect()
}

/// What whom the request under way is carried out for may see.
fn own<V>(mut all: Vec<Arc<V>>, sees: impl Fn(&V) -> bool) -> Vec<Arc<V>> {
    all.retain(|view| sees(view));
    all
}
