//! `/v1/agent-groups`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::problem::ProblemBody;
use crate::wire::serving::AgentGroups;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;

/// Shows the groups of agents: who is in them, what they do, and which campaigns they serve. A group is made by naming it
/// in `groups` of an agent.
#[utoipa::path(
    get, path = "/v1/agent-groups", tag = "agents",
    responses((status = 200, body = AgentGroups), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["supervise"]))
)]
pub(crate) async fn groups(State(api): Api, caller: Caller, params: Params) -> Answer {
    caller.needs(&[Scope::Supervise, Scope::AgentsWrite, Scope::CampaignsRead, Scope::CampaignsWrite])?;
    params.only(&[])?;
    let groups = AgentGroups::of(&api.read_model.agents(), &api.read_model.campaigns());
    Ok(Json(groups).into_response())
}
