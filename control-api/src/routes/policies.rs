//! `/v1/policies`.

use super::Answer;
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::problem::ProblemBody;
use crate::wire::policy::{PolicyPack, PolicyPacks};
use axum::Json;
use axum::response::IntoResponse;
use dialer_core::config::Policy;

/// Shows the rule books that a campaign can name in `pacing.policy`.
#[utoipa::path(
    get, path = "/v1/policies", tag = "compliance",
    responses((status = 200, body = PolicyPacks), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn list(caller: Caller, params: Params) -> Answer {
    caller.needs(&[Scope::CampaignsRead, Scope::CampaignsWrite])?;
    params.only(&[])?;
    Ok(Json(PolicyPacks { data: Policy::ALL.into_iter().map(PolicyPack::from).collect() }).into_response())
}
