//! `/v1/persons:export` and `/v1/persons:erase`: the rights of the people who are called.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody};
use crate::gateway::Gateway;
use crate::numbers::{normalise, spellings};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::person::{PersonEraseRequest, PersonErased, PersonExport, PersonExportRequest};
use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::IntoResponse;
use dialer_core::compliance::{number_hash, number_key};
use dialer_core::record::DncNumbers;
use dialer_core::{CallId, Command, DncListId, LeadId, Tenant};
use sansio::WallTime;
use std::collections::BTreeSet;
use store::{Person, PersonDnc};

/// The number as it is stored; one that cannot be a number is refused.
fn number(api: &Gateway, raw: &str, region: Option<&str>) -> Result<String, Problem> {
    if region.is_some_and(|region| !crate::numbers::is_region(region)) {
        return Err(Problem::field("/region", "expected a region like CN, US or GB (ISO 3166-1 alpha-2)"));
    }
    normalise(raw, region.or(api.config.default_region.as_deref()))
        .map_err(|fault| Problem::field("/number", fault.detail()))
}

/// What of a person is the tenant's for whom the request is carried out; all of it, if that is the operator.
fn own(api: &Gateway, mut person: Person) -> Person {
    let Some(tenant) = crate::tenancy::tenant() else { return person };
    let owned = |owner: Option<&Tenant>| owner == Some(&tenant);
    person.leads.retain(|lead| api.read_model.list(lead.list).is_some());
    person.calls.retain(|row| owned(row.record.tenant.as_ref()));
    let calls: BTreeSet<CallId> = person.calls.iter().map(|row| row.record.call).collect();
    person.recordings.retain(|recording| calls.contains(&recording.call));
    person.events.retain(|event| owned(event.tenant.as_ref()));
    person.dnc.retain(|entry| api.read_model.dnc_list(entry.list).is_some());
    person
}

/// Gives all that is kept about the person who has a number, as one document; a tenant's token what is the tenant's. That it was given is in the audit log.
#[utoipa::path(
    post, path = "/v1/persons:export", tag = "persons",
    request_body = PersonExportRequest,
    responses((status = 200, description = "all that is kept of the number", body = PersonExport), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read", "leads:pii"]))
)]
pub(crate) async fn export(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::LeadsRead])?;
    caller.needs(&[Scope::LeadsPii])?;
    let request: PersonExportRequest = body.parse()?;
    let number = number(&api, &request.number, request.region.as_deref())?;
    let asked = spellings(&number);
    let person = own(&api, api.store(move |store| store.person(&asked)).await?);
    let particulars = serde_json::json!({
        "leads": person.leads.len(), "calls": person.calls.len(), "events": person.events.len(),
    });
    api.note(&caller, "person.exported", "person".into(), Some(particulars)).await?;
    let export = PersonExport::new(number, &person, &api.node.name, api.now(), caller.mask());
    let kept_by_nobody = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((kept_by_nobody, Json(export)).into_response())
}

/// Erases the person who has a number: their leads, the recordings of their calls, and of records, events, notes and
/// idempotent responses all that tells of them, in whatever spelling; also the messages of their calls, and from prompts that
/// say the number. Records stay as figures, without the number; so do the abandonment ledger
/// and the audit log. Not while they are in a call. Asked for again, it does what is left to do.
#[utoipa::path(
    post, path = "/v1/persons:erase", tag = "persons",
    request_body = PersonEraseRequest,
    responses((status = 200, description = "what was erased", body = PersonErased), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write", "leads:pii"]))
)]
pub(crate) async fn erase(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::LeadsWrite])?;
    caller.needs(&[Scope::LeadsPii])?;
    let request: PersonEraseRequest = body.parse()?;
    let number = number(&api, &request.number, request.region.as_deref())?;
    let reference = checked_reference(&request, &number)?;
    let wanted = wanted_list(&api, &request)?;
    let written = spellings(&number);
    let asked = written.clone();
    let person = api.store(move |store| store.person(&asked)).await?;
    let leads: Vec<LeadId> = person.leads.iter().map(|lead| lead.id).collect();
    api.command(Command::LetGoOfPerson { number: number.clone(), leads }).await?;
    let kept = hash_entries(&api, &request, &number, wanted, &person.dnc).await?;
    let mut recordings = 0;
    for row in &person.recordings {
        recordings += u64::from(api.delete_recording(row, caller.actor(), "erasure").await?);
    }
    let prompts = match api.prompts() {
        Some(shelf) => shelf.strike_out(written.clone()).await.map_err(|fault| fault.problem(""))?,
        None => 0,
    };
    let particulars = serde_json::json!({
        "recordings": recordings, "do_not_call": kept, "prompts": prompts, "reference": reference,
    });
    let by = (caller.actor(), api.now());
    api.forget_traces(&written).await;
    let erased = api.store(move |store| store.forget_person(&written, by, particulars)).await?;
    // Their names may have told of the person.
    api.forget_tokens();
    tracing::info!(token = caller.name(), leads = erased.leads, calls = erased.calls, "a person was erased");
    Ok(Json(PersonErased::new(erased, recordings, kept, prompts)).into_response())
}

/// What is put into the audit log; it must not bring back what is erased.
fn checked_reference(request: &PersonEraseRequest, number: &str) -> Result<Option<String>, Problem> {
    let Some(reference) = request.reference.clone() else { return Ok(None) };
    let mut checks = Checks::default();
    checks.text(&reference, 128, "/reference");
    let digits = |text: &str| text.chars().filter_map(sansio::pii::digit).collect::<Vec<u8>>();
    let (all, wanted) = (digits(&reference), digits(number));
    let tells = spellings(number).is_in(&reference) || all.windows(wanted.len()).any(|part| part == wanted);
    checks.that(!tells, "/reference", "a name of the case without the person's number");
    checks.finish()?;
    Ok(Some(reference))
}

fn wanted_list(api: &Gateway, request: &PersonEraseRequest) -> Result<Option<DncListId>, Problem> {
    let Some(text) = &request.dnc_list_id else { return Ok(None) };
    let list = text.parse().ok().filter(|list| api.read_model.dnc_list(*list).is_some());
    list.map(Some)
        .ok_or_else(|| Problem::field("/dnc_list_id", "expected the id of an existing do-not-call list"))
}

/// Takes the number off the lists that have it, and puts its hash there instead where that is wanted. Gives how many keep it.
async fn hash_entries(
    api: &Gateway,
    request: &PersonEraseRequest,
    number: &str,
    wanted: Option<DncListId>,
    listed: &[PersonDnc],
) -> Result<u64, Problem> {
    let Some(key) = number_key(number) else { return Ok(0) };
    let hash = |list| vec![number_hash(list, number)];
    let mut kept = 0;
    let mut keep: Vec<(DncListId, Option<WallTime>)> = wanted.map(|list| (list, None)).into_iter().collect();
    if request.keep_do_not_call {
        let now = api.now();
        let lasts = |entry: &&PersonDnc| entry.until.is_none_or(|until| until > now);
        let others = listed.iter().filter(|entry| !entry.hashed && Some(entry.list) != wanted);
        keep.extend(others.filter(lasts).map(|entry| (entry.list, entry.until)));
        let kept_already = |entry: &&PersonDnc| {
            entry.hashed && keep.iter().all(|(list, _)| *list != entry.list) && lasts(entry)
        };
        kept += listed.iter().filter(kept_already).count() as u64;
    }
    for (list, expires_at) in keep {
        let entries = DncNumbers { hashes: hash(list), expires_at, ..DncNumbers::default() };
        match api.command(Command::AddDnc { list, entries }).await {
            Ok(_) => kept += 1,
            // The list was deleted meanwhile.
            Err(problem) if problem.code() == Code::NotFound => {}
            Err(problem) => return Err(problem),
        }
    }
    for PersonDnc { list, .. } in listed.iter().filter(|entry| !entry.hashed) {
        let entries = DncNumbers { numbers: vec![key], ..DncNumbers::default() };
        match api.command(Command::RemoveDnc { list: *list, entries }).await {
            Ok(_) => {}
            Err(problem) if problem.code() == Code::NotFound => {}
            Err(problem) => return Err(problem),
        }
    }
    if !request.keep_do_not_call {
        forget_hashes(api, number, wanted).await?;
    }
    Ok(kept)
}

/// Takes the hash off all lists but the one that is wanted.
async fn forget_hashes(api: &Gateway, number: &str, wanted: Option<DncListId>) -> Result<(), Problem> {
    for view in api.read_model.dnc_lists() {
        let list = view.row.id;
        if Some(list) == wanted {
            continue;
        }
        let entries = DncNumbers { hashes: vec![number_hash(list, number)], ..DncNumbers::default() };
        match api.command(Command::RemoveDnc { list, entries }).await {
            Ok(_) => {}
            Err(problem) if problem.code() == Code::NotFound => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}
