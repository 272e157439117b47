//! Changes by JSON Merge Patch: one way for every resource that has a version.

use super::odd_reply;
use crate::extract::IfMatch;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::read_model::ReadModel;
use dialer_core::record::ListRow;
use dialer_core::view::{AgentView, CallerIdPoolView, CampaignView, DncListView, TrunkView};
use dialer_core::{Command, Reply};
use std::sync::Arc;

/// What carries the version that its entity tag tells.
pub(super) trait Versioned {
    fn version(&self) -> u32;
}

macro_rules! versioned {
    ($($view:ty),*) => { $(impl Versioned for $view {
        fn version(&self) -> u32 {
            self.row.version
        }
    })* };
}

versioned!(AgentView, CallerIdPoolView, CampaignView, DncListView, TrunkView);

impl Versioned for dialer_core::calendar::CalendarRow {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for dialer_core::inbound::InboundRouteRow {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for ListRow {
    fn version(&self) -> u32 {
        self.version
    }
}

/// Changes what `look` shows, which is `what`, and gives it as it is then. `command` makes the change of what is there
/// now, for the version given. If another change came between and any version is meant, it is made again.
pub(super) async fn apply<V: Versioned>(
    api: &Gateway,
    if_match: &IfMatch,
    what: &'static str,
    look: impl Fn(&ReadModel) -> Option<Arc<V>>,
    command: impl Fn(&V, Option<u32>) -> Result<Command, Problem>,
) -> Result<Arc<V>, Problem> {
    for tries in 1.. {
        let view = look(&api.read_model).ok_or_else(|| Problem::not_found(what))?;
        let seen = view.version();
        match api.command(command(&view, Some(if_match.version(seen)))?).await {
            Ok(reply) => {
                let Some(version) = version_of(&reply) else { break };
                return api.view(|model| look(model).filter(|view| view.version() >= version)).await;
            }
            Err(problem) if if_match.may_retry(&problem, tries) => {
                api.view(|model| look(model).is_none_or(|view| view.version() != seen).then_some(())).await?;
            }
            Err(problem) => return Err(problem),
        }
    }
    Err(odd_reply())
}

/// The version that a change has made.
fn version_of(reply: &Reply) -> Option<u32> {
    match reply {
        Reply::Trunk(_, version)
        | Reply::Agent(_, version)
        | Reply::List(_, version)
        | Reply::DncList(_, version)
        | Reply::CallerIdPool(_, version)
        | Reply::InboundRoute(_, version)
        | Reply::Calendar(_, version)
        | Reply::Callback(_, version)
        | Reply::Campaign(_, version) => Some(*version),
        Reply::Done
        | Reply::Count(_)
        | Reply::Leads(_)
        | Reply::Call(_)
        | Reply::Leg(_)
        | Reply::Fork(_)
        | Reply::Recording(_) => None,
    }
}
