//! `/v1/campaigns/{id}/best-time`: what a campaign has learned of hours, and what its experiment has found.

use super::campaigns::look;
use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::problem::{Problem, ProblemBody};
use crate::wire::best_time::{BestTimeLead, BestTimeReport};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use dialer_core::LeadId;
use dialer_core::best_time::explain;

/// Shows what a campaign has learned of the hours in which people answer, what its experiment has found, and of one lead
/// why it is dialled now or later.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/best-time", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("lead_id" = Option<String>, Query, description = "also of this lead, `lead_…`; needs `leads:read` as well"),
    ),
    responses((status = 200, body = BestTimeReport), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn best_time(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    let view = look(&api, &caller, &id)?;
    params.only(&["lead_id"])?;
    let wanted: Option<LeadId> = params.id("lead_id")?;
    if wanted.is_some() {
        caller.needs(&[Scope::LeadsRead, Scope::LeadsWrite])?;
    }
    let (campaign, config) = (view.row.id, &view.row.config);
    let (rows, lead) = api
        .store(move |store| {
            let lead = wanted.map(|lead| store.lead(lead)).transpose()?.flatten();
            Ok((store.best_time(campaign)?, lead))
        })
        .await?;
    let explained = match (wanted, lead) {
        (None, _) => None,
        (Some(_), Some(lead)) if config.lists.contains(&lead.list) => {
            explain((campaign, config), &rows, &lead, api.now()).map(|hour| BestTimeLead::new(lead.id, hour))
        }
        (Some(_), _) => return Err(Problem::not_found("lead")),
    };
    let experiment = config.best_time.as_ref().is_some_and(|best_time| best_time.experiment.is_some());
    Ok(Json(BestTimeReport::new(campaign, &rows, experiment, explained)).into_response())
}
