//! What the OpenAPI document needs beyond what the handlers' descriptions give.

use crate::extract::PAGE_LIMIT_MAX;
use crate::idempotency::KEY_LENGTH_MAX;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, Ref, RefOr, Response};

const SCHEMAS: &str = "#/components/schemas/";
/// What can be patched.
const PATCHED: [&str; 9] =
    ["Agent", "Calendar", "CallerIdPool", "Campaign", "DncList", "InboundRoute", "List", "Trunk", "Webhook"];

/// Names operations, describes responses, and tells apart what is sent whole, sent in part, and shown.
pub(crate) fn mend(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            name(operation);
            describe_responses(operation);
            bound_parameters(operation);
        }
        if let Some(patch) = &mut item.patch {
            take_a_part(patch);
        }
    }
    let Some(components) = &mut document.components else {
        return;
    };
    for kind in PATCHED {
        if let Some(RefOr::T(Schema::Object(whole))) = components.schemas.get(&format!("{kind}Request")) {
            let mut part = whole.clone();
            part.required.clear();
            part.description = Some("Any part of it; null sets a field back to its default.".into());
            components.schemas.insert(format!("{kind}Patch"), RefOr::T(Schema::Object(part)));
        }
    }
    for (name, schema) in &mut components.schemas {
        if let (Some(of), RefOr::T(page)) = (name.strip_prefix("PageBody_"), schema) {
            refer_to_data(page, of);
        }
    }
    // These show their settings beside other fields, so those must not be forbidden there.
    for kind in ["Calendar", "Campaign", "CallerIdPool", "InboundRoute"] {
        let (request, shown) = (format!("{kind}Request"), format!("{kind}Settings"));
        if let Some(RefOr::T(Schema::Object(request))) = components.schemas.get(&request) {
            let mut settings = request.clone();
            settings.additional_properties = None;
            settings.description = Some("Its settings, as shown.".into());
            components.schemas.insert(shown.clone(), RefOr::T(Schema::Object(settings)));
        }
        if let Some(RefOr::T(Schema::AllOf(whole))) = components.schemas.get_mut(kind) {
            for item in &mut whole.items {
                rename(item, &request, &shown);
            }
        }
    }
}

/// A page of things refers to their schema instead of repeating it.
fn refer_to_data(page: &mut Schema, of: &str) {
    if let Schema::Object(page) = page
        && let Some(RefOr::T(Schema::Array(data))) = page.properties.get_mut("data")
    {
        data.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::new(format!("{SCHEMAS}{of}")))));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Handlers are named within their file (`list`); in the document names must be unique (`trunks_list`).
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    let id = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{tag}_{}", id.trim_start_matches("task_")));
}

fn describe_responses(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    if let Some(problem) = responses.get("4XX").cloned() {
        responses.insert("5XX".into(), problem);
    }
    for (status, response) in responses {
        if let RefOr::T(Response { description, .. }) = response
            && description.is_empty()
        {
            *description = match status.as_str() {
                "200" => "Done",
                "201" => "Made",
                "202" => "Accepted; what becomes of it is told by events",
                "204" => "Done; there is nothing to show",
                "206" => "The part that was asked for",
                "4XX" => "Something is wrong with the request",
                "5XX" => "It cannot be answered now",
                _ => "See the title of the problem",
            }
            .into();
        }
    }
}

/// Parameters that mean the same everywhere are bounded as they are read.
fn bound_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let schema = match parameter.name.as_str() {
            "limit" => {
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(PAGE_LIMIT_MAX))
            }
            "Idempotency-Key" => ObjectBuilder::new()
                .schema_type(Type::String)
                // It may be in quotes.
                .max_length(Some(KEY_LENGTH_MAX + 2))
                .pattern(Some(r#"^("[!#-~]+"|[!#-~]+)$"#)),
            "If-Match" => ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r#"^(\*|"v[0-9]+"(, *"v[0-9]+")*)$"#)),
            _ => continue,
        };
        parameter.schema = Some(RefOr::T(Schema::Object(schema.build())));
    }
}

/// The body of a PATCH is any part of what a POST takes.
fn take_a_part(patch: &mut Operation) {
    let Some(RefOr::T(body)) = &mut patch.request_body else {
        return;
    };
    let contents = body.content.values_mut();
    for content in contents {
        if let RefOr::T(content) = content
            && let Some(schema) = &mut content.schema
        {
            for kind in PATCHED {
                rename(schema, &format!("{kind}Request"), &format!("{kind}Patch"));
            }
        }
    }
}

fn rename(schema: &mut RefOr<Schema>, from: &str, to: &str) {
    if let RefOr::Ref(reference) = schema
        && reference.ref_location.strip_prefix(SCHEMAS) == Some(from)
    {
        *reference = Ref::new(format!("{SCHEMAS}{to}"));
    }
}
