//! `/v1/node`.

use super::{Answer, Api, Empty};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody, Params};
use crate::problem::ProblemBody;
use crate::wire::node::{DrainRequest, Node};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dialer_core::Command;
use sansio::Duration;

/// Shows the node.
#[utoipa::path(
    get, path = "/v1/node", tag = "node",
    responses((status = 200, body = Node), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, params: Params) -> Answer {
    caller.needs(&[Scope::Admin, Scope::CallsRead, Scope::CampaignsRead, Scope::MetricsRead])?;
    params.only(&[])?;
    Ok(Json(Node::new(&api.node, api.read_model.node())).into_response())
}

/// Takes no new work; live calls may finish within the deadline, then they are hung up.
#[utoipa::path(
    post, path = "/v1/node:drain", tag = "node",
    request_body = Option<DrainRequest>,
    responses((status = 202, body = Node), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn drain(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::Admin])?;
    let request: DrainRequest = body.parse_or_default()?;
    let mut checks = Checks::default();
    checks.range(request.deadline_ms.unwrap_or(0), 0, 86_400_000, "/deadline_ms");
    checks.finish()?;
    let deadline = request.deadline_ms.map_or(api.config.drain_deadline, Duration::from_millis);
    api.command(Command::Drain { deadline }).await?;
    let particulars = serde_json::json!({ "deadline_ms": deadline.as_millis() as u64 });
    api.put_down(&caller, "node.drained", api.node.name.clone(), Some(particulars)).await;
    Ok((StatusCode::ACCEPTED, Json(Node::new(&api.node, api.read_model.node()))).into_response())
}

/// Takes new work again.
#[utoipa::path(
    post, path = "/v1/node:undrain", tag = "node",
    responses((status = 200, body = Node), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn undrain(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::Admin])?;
    body.parse_or_default::<Empty>()?;
    api.command(Command::Undrain).await?;
    api.put_down(&caller, "node.undrained", api.node.name.clone(), None).await;
    Ok(Json(Node::new(&api.node, api.read_model.node())).into_response())
}
