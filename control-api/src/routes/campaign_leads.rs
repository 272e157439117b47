//! `/v1/campaigns/{id}:recycle`, `/hopper` and `:take_back`: a campaign's leads, all at once.

use super::campaigns::{find, look};
use super::{Answer, Api, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{JsonBody, Params};
use crate::gateway::Gateway;
use crate::page::PageBody;
use crate::problem::{Problem, ProblemBody};
use crate::wire::lead::{Lead, LeadState};
use crate::wire::recycle::{RecycleRequest, Recycled, TakeBackRequest, TakenBack};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use dialer_core::{Command, ListId, Outcome, Recycle, Reply};
use std::time::{Duration, Instant};
use store::LeadPageQuery;

/// Leads looked at in one transaction.
const PART_LEADS: u32 = 1_000;
/// A request works for so long at most; the rest is asked for anew.
const PART_TIME: Duration = Duration::from_secs(15);

/// Where a recycle stands: which list in which state, and the page of its leads.
struct Place {
    part: usize,
    page: Option<String>,
}

impl Place {
    fn read(cursor: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = cursor else { return Ok(Place { part: 0, page: None }) };
        let wrong = || Problem::field("/cursor", "expected a next_cursor of the same request");
        let (part, page) = text.split_once('-').ok_or_else(wrong)?;
        let part = part.parse().map_err(|_| wrong())?;
        Ok(Place { part, page: (!page.is_empty()).then(|| page.to_owned()) })
    }

    fn text(&self) -> String {
        format!("{}-{}", self.part, self.page.as_deref().unwrap_or_default())
    }
}

/// Has leads dialled anew that are done with: they are `new`, their attempts are 0 and count no more against `caps.per_lead` and
/// `retry`. Limits of attempts per time, the lock after an abandoned call, history and do-not-call lists go on; who is in a call,
/// was promised a callback or is held ready stays as it is. After 15 seconds the answer tells where to go on.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:recycle", tag = "campaigns",
    params(("id" = String, Path, description = "`camp_…`")),
    request_body = Option<RecycleRequest>,
    responses((status = 200, body = Recycled), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write", "leads:write"]))
)]
pub(crate) async fn recycle(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(&[Scope::CampaignsWrite])?;
    caller.needs(&[Scope::LeadsWrite])?;
    let request: RecycleRequest = body.parse_or_default()?;
    let view = look(&api, &caller, &id)?;
    let parts = parts(&request, &view.row.config.lists)?;
    let outcomes: Vec<Outcome> = request.outcomes.iter().map(|outcome| (*outcome).into()).collect();
    let mut place = Place::read(request.cursor.as_deref())?;
    let began = Instant::now();
    let mut recycled = 0;
    while let Some((list, state)) = parts.get(place.part) {
        if began.elapsed() >= PART_TIME {
            break;
        }
        let (count, page) = part(&api, *list, *state, &outcomes, place.page.take()).await?;
        recycled += count;
        place = Place { part: place.part + usize::from(page.is_none()), page };
    }
    let next_cursor = parts.get(place.part).map(|_| place.text());
    let particulars = serde_json::json!({
        "recycled": recycled, "list_id": request.list_id, "states": request.states, "outcomes": request.outcomes,
        "complete": next_cursor.is_none(),
    });
    api.put_down(&caller, "campaign.recycled", view.row.id.to_string(), Some(particulars)).await;
    Ok(Json(Recycled { recycled, next_cursor }).into_response())
}

/// Which leads are looked at: each list in each state.
fn parts(
    request: &RecycleRequest,
    lists: &[ListId],
) -> Result<Vec<(ListId, dialer_core::record::LeadState)>, Problem> {
    let unknown = |list: &ListId| !lists.contains(list);
    if request.list_id.as_ref().is_some_and(unknown) {
        return Err(Problem::field("/list_id", "expected one of the campaign's lists"));
    }
    if request.states.is_empty() {
        return Err(Problem::field("/states", "expected at least one state"));
    }
    for (at, state) in request.states.iter().enumerate() {
        let over =
            matches!(state, LeadState::Exhausted | LeadState::Done | LeadState::Dnc | LeadState::RetryWait);
        if !over {
            let expected = "expected exhausted, done, dnc or retry_wait";
            return Err(Problem::field(format!("/states/{at}"), expected));
        }
    }
    let meant = lists.iter().filter(|list| request.list_id.is_none_or(|one| one == **list));
    Ok(meant.flat_map(|list| request.states.iter().map(|state| (*list, (*state).into()))).collect())
}

/// One page of leads: how many of them are dialled anew, and where the next page begins.
async fn part(
    api: &Gateway,
    list: ListId,
    state: dialer_core::record::LeadState,
    outcomes: &[Outcome],
    cursor: Option<String>,
) -> Result<(u64, Option<String>), Problem> {
    let query = LeadPageQuery { list, state: Some(state), cursor, limit: PART_LEADS };
    let page = api.store(move |store| store.leads(&query)).await?;
    if page.items.is_empty() {
        return Ok((0, page.next_cursor));
    }
    let wish = Recycle { list, leads: page.items, states: vec![state], outcomes: outcomes.to_vec() };
    match api.command(Command::RecycleLeads(Box::new(wish))).await? {
        Reply::Count(count) => Ok((count, page.next_cursor)),
        _ => Err(odd_reply()),
    }
}

/// Shows the leads that are held ready, the next to be dialled first.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/hopper", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
    ),
    responses((status = 200, body = PageBody<Lead>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn hopper(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.needs(&[Scope::LeadsRead])?;
    let view = find(&api, &id)?;
    params.only(&["limit"])?;
    let wish = Command::LookIntoHopper { campaign: view.row.id, limit: params.limit()? };
    let Reply::Leads(ids) = api.command(wish).await? else { return Err(odd_reply()) };
    let leads = api.store(move |store| {
        let found = ids.into_iter().map(|id| store.lead(id));
        found.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
    });
    let mask = caller.mask();
    let data = leads.await?.iter().map(|lead| Lead::new(lead, mask)).collect();
    Ok(Json(PageBody { data, next_cursor: None, total: Some(u64::from(view.hopper)) }).into_response())
}

/// Takes the leads of a preview campaign back from agents who have not called them yet; they wait behind all others.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:take_back", tag = "campaigns",
    params(("id" = String, Path, description = "`camp_…`")),
    request_body = Option<TakeBackRequest>,
    responses((status = 200, body = TakenBack), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn take_back(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(&[Scope::CampaignsWrite])?;
    let TakeBackRequest { agent_id } = body.parse_or_default()?;
    let view = look(&api, &caller, &id)?;
    if agent_id.is_some_and(|agent| api.read_model.agent(agent).is_none()) {
        return Err(Problem::field("/agent_id", "expected the id of an existing agent"));
    }
    let campaign = view.row.id;
    let Reply::Count(taken_back) = api.command(Command::TakeBackTasks { campaign, agent: agent_id }).await?
    else {
        return Err(odd_reply());
    };
    let particulars = serde_json::json!({ "agent_id": agent_id, "taken_back": taken_back });
    api.put_down(&caller, "campaign.tasks_taken_back", campaign.to_string(), Some(particulars)).await;
    Ok(Json(TakenBack { taken_back }).into_response())
}
