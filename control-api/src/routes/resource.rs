//! Resources that the dialer keeps and shows: each is listed, made, shown, changed and deleted in the same way.
//!
//! A resource says what it is; how requests for it are answered (scopes, pages, entity tags, conditions, what is shown when) is
//! written here once.

use super::{Answer, created, found, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::mask::Masker;
use crate::page::{PAGE_PARAMETERS, cut};
use crate::problem::Problem;
use crate::read_model::ReadModel;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::id::{Id, Kind};
use dialer_core::{Command, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A sort of things that the dialer keeps.
pub(super) trait Resource {
    /// Of its ids.
    type Kind: Kind;
    /// What the dialer shows of one.
    type View;
    /// Its settings on the wire.
    type Request: Serialize + DeserializeOwned;
    /// How it is shown on the wire.
    type Shown: Serialize;

    /// What it is, in words.
    const WHAT: &'static str;
    /// Where all of it are.
    const PATH: &'static str;
    /// Who may see it has one of these.
    const READ: &'static [Scope];
    /// Who may change it has one of these.
    const WRITE: &'static [Scope];

    /// All there are, by id.
    fn all(model: &ReadModel) -> Vec<Arc<Self::View>>;
    /// One of them.
    fn one(model: &ReadModel, id: Id<Self::Kind>) -> Option<Arc<Self::View>>;
    /// Its id.
    fn id(view: &Self::View) -> Id<Self::Kind>;
    /// Counts its changes.
    fn version(view: &Self::View) -> u32;
    /// As the caller may see it.
    fn shown(view: &Self::View, mask: Masker) -> Self::Shown;
    /// Its settings, into which a patch is merged: with secrets, so that those that are not named stay.
    fn current(view: &Self::View) -> Self::Request;

    /// Makes one with these settings.
    fn create(api: &Gateway, request: Self::Request) -> Result<Command, Problem>;
    /// Gives one these settings, if it has this version.
    fn update(
        api: &Gateway,
        view: &Self::View,
        request: Self::Request,
        if_version: Option<u32>,
    ) -> Result<Command, Problem>;
    /// Deletes one.
    fn delete(id: Id<Self::Kind>) -> Command;
    /// Which one was made or changed, and its version now.
    fn done(reply: &Reply) -> Option<(Id<Self::Kind>, u32)>;
}

/// The one that a path names.
pub(super) fn known<R: Resource>(api: &Gateway, id: &str) -> Result<(Id<R::Kind>, Arc<R::View>), Problem> {
    let id: Id<R::Kind> = path_id(id, R::WHAT)?;
    let view = R::one(&api.read_model, id).ok_or_else(|| Problem::not_found(R::WHAT))?;
    Ok((id, view))
}

/// A page of them.
pub(super) fn list<R: Resource>(api: &Gateway, caller: &Caller, uri: &Uri, params: &Params) -> Answer {
    caller.needs(R::READ)?;
    params.only(&PAGE_PARAMETERS)?;
    let mask = caller.mask();
    cut(uri, params, R::all(&api.read_model), |view| R::id(view), |view| R::shown(view, mask))
}

/// Makes one.
pub(super) async fn create<R: Resource>(api: &Gateway, caller: &Caller, body: &JsonBody) -> Answer {
    caller.needs(R::WRITE)?;
    let command = R::create(api, body.parse()?)?;
    let (id, version) = R::done(&api.command(command).await?).ok_or_else(odd_reply)?;
    let view = api.view(|model| R::one(model, id).filter(|view| R::version(view) >= version)).await?;
    Ok(created(format!("{}/{id}", R::PATH), R::version(&view), &R::shown(&view, caller.mask())))
}

/// Shows one.
pub(super) fn show<R: Resource>(api: &Gateway, caller: &Caller, id: &str, params: &Params) -> Answer {
    caller.needs(R::READ)?;
    params.only(&[])?;
    let (_, view) = known::<R>(api, id)?;
    Ok(found(R::version(&view), &R::shown(&view, caller.mask())))
}

/// Changes one by JSON Merge Patch. If another change came between and any version is meant, it is made again.
pub(super) async fn change<R: Resource>(
    api: &Gateway,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Answer {
    caller.needs(R::WRITE)?;
    let if_match = IfMatch::from_headers(headers)?;
    for tries in 1.. {
        let (id, view) = known::<R>(api, id)?;
        let seen = R::version(&view);
        let request = body.merged(&R::current(&view))?;
        let command = R::update(api, &view, request, Some(if_match.version(seen)))?;
        match api.command(command).await {
            Ok(reply) => {
                let Some((_, version)) = R::done(&reply) else { break };
                let now = |model: &ReadModel| R::one(model, id).filter(|view| R::version(view) >= version);
                let view = api.view(now).await?;
                return Ok(found(R::version(&view), &R::shown(&view, caller.mask())));
            }
            Err(problem) if if_match.may_retry(&problem, tries) => {
                let moved = |model: &ReadModel| R::one(model, id).is_none_or(|view| R::version(&view) != seen);
                api.view(|model| moved(model).then_some(())).await?;
            }
            Err(problem) => return Err(problem),
        }
    }
    Err(odd_reply())
}

/// Deletes one.
pub(super) async fn delete<R: Resource>(
    api: &Gateway,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
) -> Answer {
    caller.needs(R::WRITE)?;
    let (id, view) = known::<R>(api, id)?;
    IfMatch::from_headers(headers)?.check(R::version(&view))?;
    api.command(R::delete(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
