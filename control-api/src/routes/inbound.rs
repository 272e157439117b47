//! `/v1/inbound-waiting`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody};
use crate::problem::ProblemBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dialer_core::Command;
use serde::Deserialize;
use utoipa::ToSchema;

/// Inbound calls that wait for agents.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboundWaiting {
    /// For the agents of this group; null or absent: for all agents.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// So many; 0 takes back what was said.
    #[schema(maximum = 100_000)]
    pub(crate) waiting: u32,
    /// Holds for so long, unless told anew before.
    #[serde(default = "for_ms")]
    #[schema(default = 10_000, minimum = 100, maximum = 600_000)]
    pub(crate) for_ms: u32,
}

fn for_ms() -> u32 {
    10_000
}

/// Says how many inbound calls wait for agents (in a queue beside this one); campaigns of these agents hold back as
/// their `pacing.hold_back` says.
#[utoipa::path(
    post, path = "/v1/inbound-waiting", tag = "agents",
    request_body = InboundWaiting,
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn waiting(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::AgentsWrite])?;
    let request: InboundWaiting = body.parse()?;
    let mut checks = Checks::default();
    if let Some(group) = &request.group {
        checks.text(group, 64, "/group");
    }
    checks.range(request.waiting, 0, 100_000, "/waiting");
    checks.range(request.for_ms, 100, 600_000, "/for_ms");
    checks.finish()?;
    let InboundWaiting { group, waiting, for_ms } = request;
    api.command(Command::SetInboundWaiting { group, waiting, for_ms }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
