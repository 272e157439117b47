//! Reading requests: bodies, parameters, names, conditions. Every failure is a problem that says where.

use crate::pieces::{PieceFault, Pieces};
use crate::problem::{Code, FieldError, Problem};
use crate::strict::{DUPLICATE, Strict, Unique};
use crate::time::parse_rfc3339;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use axum::http::request::Parts;
use bytes::Bytes;
use dialer_core::id::{Id, Kind};
use sansio::WallTime;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use std::error::Error as _;

/// Longest JSON body of most requests, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest JSON body of a batch of leads, bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;

/// A whole JSON body, not looked into yet.
#[derive(Debug)]
pub(crate) struct JsonBody<const LIMIT: usize = BODY_BYTES_MAX> {
    bytes: Bytes,
}

impl<S: Send + Sync, const LIMIT: usize> FromRequest<S> for JsonBody<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = request.headers().get(CONTENT_TYPE).map(is_json);
        let (parts, body) = request.into_parts();
        let bytes = if parts.headers.contains_key(CONTENT_ENCODING) {
            unpacked(Pieces::new(&parts.headers, body)?, LIMIT).await?
        } else {
            read_body(body, LIMIT).await?
        };
        // Some clients name a type for a body they do not send.
        if is_json != Some(true) && !bytes.is_empty() {
            return Err(Problem::new(Code::UnsupportedMediaType, "expected Content-Type: application/json"));
        }
        Ok(JsonBody { bytes })
    }
}

/// Reads a whole packed body of at most `limit` bytes when unpacked.
async fn unpacked(mut pieces: Pieces, limit: usize) -> Result<Bytes, Problem> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        all.extend_from_slice(&piece.map_err(PieceFault::problem)?);
        if all.len() > limit {
            let detail = format!("the body may have at most {limit} bytes when it is unpacked");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
    }
    Ok(all.into())
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read_body(body: axum::body::Body, limit: usize) -> Result<Bytes, Problem> {
    to_bytes(body, limit).await.map_err(|error| {
        let too_long = error.source().is_some_and(|source| source.to_string().contains("length limit"));
        if too_long {
            Problem::new(Code::PayloadTooLarge, format!("the body may have at most {limit} bytes"))
        } else {
            Problem::new(Code::InvalidJson, "the body broke off")
        }
    })
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

impl<const LIMIT: usize> JsonBody<LIMIT> {
    /// The body as a `T`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        parse_json(&self.bytes)
    }

    /// The body as a `T`, or its default if there is none.
    pub(crate) fn parse_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.bytes.is_empty() { Ok(T::default()) } else { self.parse() }
    }

    /// Applies the body as a JSON Merge Patch (RFC 7396) to what is there.
    pub(crate) fn merged<T: Serialize + DeserializeOwned>(&self, current: &T) -> Result<T, Problem> {
        let patch: Value = self.parse()?;
        if !patch.is_object() {
            return Err(Problem::field("", "expected an object (JSON Merge Patch)"));
        }
        let mut target = serde_json::to_value(current).expect("wire types have string keys");
        check_nulls(&target, &patch, &mut String::new())?;
        merge(&mut target, patch);
        from_value(target)
    }
}

/// JSON text as a `T`.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let Unique(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() { data_problem(&error) } else { syntax_problem(error.inner()) }
    })?;
    reader.end().map_err(|error| syntax_problem(&error))?;
    from_value(value)
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| data_problem(&error))
}

fn syntax_problem(error: &serde_json::Error) -> Problem {
    Problem::new(Code::InvalidJson, error.to_string())
        .with("line", error.line())
        .with("column", error.column())
}

/// Well-formed JSON that does not fit the type: where, and what is expected.
fn data_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let mut pointer = String::new();
    for segment in error.path().iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_key(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let message = error.inner().to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        push_key(&mut pointer, field);
        return Problem::field(pointer, "is required");
    }
    if let Some(name) = message.strip_prefix(DUPLICATE) {
        // Whether the path ends at the object or at its member depends on the reader.
        let mut whole = pointer.clone();
        push_key(&mut whole, name);
        return Problem::field(whole, "is there more than once");
    }
    if let Some(field) = message.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        push_key(&mut pointer, field);
        return Problem::field(pointer, "is there more than once");
    }
    Problem::field(pointer, message)
}

/// Appends a key to a JSON pointer. RFC 6901 §3: `~` and `/` are escaped.
pub(crate) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// A null for a field that does not exist is a typing error, though the patch would change nothing.
fn check_nulls(target: &Value, patch: &Value, pointer: &mut String) -> Result<(), Problem> {
    let (Value::Object(target), Value::Object(patch)) = (target, patch) else {
        return Ok(());
    };
    for (key, value) in patch {
        let length = pointer.len();
        push_key(pointer, key);
        match (target.get(key), value) {
            (None, Value::Null) => return Err(Problem::field(pointer.clone(), "unknown field")),
            (Some(inner), value) => check_nulls(inner, value, pointer)?,
            (None, _) => {}
        }
        pointer.truncate(length);
    }
    Ok(())
}

/// RFC 7396 §2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let members = target.as_object_mut().expect("it was made an object just now");
    for (key, value) in patch {
        if value.is_null() {
            members.remove(&key);
        } else {
            merge(members.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The name in a path. A text that is no such name names nothing: 404.
pub(crate) fn path_id<K: Kind>(text: &str, what: &str) -> Result<Id<K>, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}

/// Query parameters.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::InvalidParameter, "the query string cannot be read"))?;
        Ok(Params { pairs })
    }
}

/// Things on a page when the request does not say.
pub(crate) const PAGE_LIMIT_DEFAULT: u32 = 100;
/// Most things on a page.
pub(crate) const PAGE_LIMIT_MAX: u32 = 1_000;

impl Params {
    /// Refuses unknown and repeated parameters.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (at, (name, _)) in self.pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = format!(
                    "unknown parameter; expected {}",
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                );
                return Err(Problem::parameter(name, detail));
            }
            if self.pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(Problem::parameter(name, "given more than once"));
            }
        }
        Ok(())
    }

    /// A parameter's text; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, text)| known == name && !text.is_empty())
            .map(|(_, text)| text.as_str())
    }

    /// A parameter read by `read`.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| read(text).ok_or_else(|| Problem::parameter(name, format!("expected {expected}"))))
            .transpose()
    }

    /// A name of a thing.
    pub(crate) fn id<K: Kind>(&self, name: &str) -> Result<Option<Id<K>>, Problem> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|error: dialer_core::id::BadId| Problem::parameter(name, error.to_string()))
            })
            .transpose()
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<WallTime>, Problem> {
        // An unescaped plus of an offset arrives as a space.
        self.read(name, "a time like 2026-10-01T02:03:04.120Z", |text| parse_rfc3339(&text.replace(' ', "+")))
    }

    /// `true` or `false`; absent is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let flag = self.read(name, "true or false", |text| text.parse().ok())?;
        Ok(flag.unwrap_or(false))
    }

    /// A phone number. Its unescaped plus arrives as a space.
    pub(crate) fn number(&self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        Some(match text.strip_prefix(' ') {
            Some(digits) => format!("+{digits}"),
            None => text.to_owned(),
        })
    }

    /// How many things the page shall have.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        const EXPECTED: &str = "a whole number from 1 to 1000";
        if self.pairs.iter().any(|(name, text)| name == "limit" && text.is_empty()) {
            return Err(Problem::parameter("limit", format!("expected {EXPECTED}")));
        }
        let limit = self.read("limit", EXPECTED, |text| {
            text.parse().ok().filter(|limit| (1..=PAGE_LIMIT_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(PAGE_LIMIT_DEFAULT))
    }

    /// All parameters but the cursor, for the link to the next page.
    pub(crate) fn without_cursor(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .filter(|(name, _)| name != "cursor")
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

/// How often a patch without `If-Match` is computed anew when others change the same thing meanwhile.
const PATCH_TRIES_MAX: u32 = 5;

/// Which version a change is meant for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum IfMatch {
    /// Any.
    Any,
    /// One of these. Version 0, which nothing has, stands for a tag that is none of ours.
    OneOf(Vec<u32>),
}

impl IfMatch {
    /// From the header `If-Match` (RFC 9110 §13.1.1).
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut versions = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let text = value
                .to_str()
                .map_err(|_| Problem::header("If-Match", "expected an entity tag like \"v3\""))?;
            for tag in text.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(IfMatch::Any);
                }
                // A weak tag never matches here (strong comparison).
                let strong = !tag.starts_with("W/");
                let inner = tag
                    .trim_start_matches("W/")
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
                    .ok_or_else(|| Problem::header("If-Match", "expected an entity tag like \"v3\""))?;
                let version = inner.strip_prefix('v').and_then(|number| number.parse().ok());
                versions.push(version.filter(|_| strong).unwrap_or(0));
            }
        }
        Ok(if versions.is_empty() { IfMatch::Any } else { IfMatch::OneOf(versions) })
    }

    /// The version to ask the dialer for, given the one seen now. Where any will do it is the one seen, because a
    /// patch is computed from that one.
    pub(crate) fn version(&self, current: u32) -> u32 {
        match self {
            IfMatch::OneOf(versions) if !versions.contains(&current) => versions[0],
            _ => current,
        }
    }

    /// Refuses unless the version seen now is meant.
    pub(crate) fn check(&self, current: u32) -> Result<(), Problem> {
        if self.version(current) == current {
            return Ok(());
        }
        Err(dialer_core::CommandError::VersionMismatch { current }.into())
    }

    /// Whether a change that came too late may be computed again from what is there now.
    pub(crate) fn may_retry(&self, problem: &Problem, tries: u32) -> bool {
        *self == IfMatch::Any && problem.code() == Code::VersionMismatch && tries < PATCH_TRIES_MAX
    }
}

/// The entity tag of a version.
pub(crate) fn etag(version: u32) -> (axum::http::HeaderName, HeaderValue) {
    let value = HeaderValue::from_str(&format!("\"v{version}\"")).expect("digits are header text");
    (ETAG, value)
}

/// Gathers wrong fields, so that all of them are told at once.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Notes a wrong field.
    pub(crate) fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        });
    }

    /// Notes a wrong field unless `fits`.
    pub(crate) fn that(&mut self, fits: bool, pointer: &str, expected: &str) {
        if !fits {
            self.wrong(pointer, expected);
        }
    }

    /// A text of 1 to `longest` characters without control characters.
    pub(crate) fn text(&mut self, text: &str, longest: usize, pointer: &str) {
        let length = text.chars().count();
        self.that(
            (1..=longest).contains(&length) && !text.chars().any(char::is_control) && !text.trim().is_empty(),
            pointer,
            &format!("expected 1 to {longest} characters and no control characters"),
        );
    }

    /// A number within a range.
    pub(crate) fn range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        value: T,
        least: T,
        most: T,
        pointer: &str,
    ) {
        if !(value >= least && value <= most) {
            self.wrong(pointer, format!("found {value}, expected {least} to {most}"));
        }
    }

    /// All is well, or what is wrong.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(default)]
        a: u32,
        b: Option<String>,
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        rows: Vec<Inner>,
        inner: Option<Inner>,
    }

    fn pointer_of(text: &str) -> String {
        let problem = parse_json::<Outer>(text.as_bytes()).unwrap_err();
        problem
            .errors()
            .first()
            .and_then(|error| error.pointer.clone())
            .unwrap_or_else(|| problem.code().row().1.to_owned())
    }

    #[test]
    fn a_wrong_body_says_where() {
        assert_eq!(pointer_of(r#"{"rows":[]}"#), "/name");
        assert_eq!(pointer_of(r#"{"name":1}"#), "/name");
        assert_eq!(pointer_of(r#"{"name":"x","rows":[{"a":1},{"a":"z"}]}"#), "/rows/1/a");
        assert_eq!(pointer_of(r#"{"name":"x","rows":[{"a":1,"c":2}]}"#), "/rows/0/c");
        assert_eq!(pointer_of(r#"{"name":"x","inner":{"~/":2}}"#), "/inner/~0~1");
        assert_eq!(pointer_of(r#"{"name":"x","inner":3}"#), "/inner");
        assert_eq!(pointer_of(r#"{"name":"x","name":"y"}"#), "/name");
        assert_eq!(pointer_of(r#"{"name":"x","rows":[{"a":1},{"b":"z","b":null}]}"#), "/rows/1/b");
        assert_eq!(pointer_of("[]"), "");
        assert_eq!(pointer_of(""), "invalid_json");
        assert_eq!(pointer_of("{"), "invalid_json");
        assert_eq!(pointer_of(r#"{"name":"x"} x"#), "invalid_json");
        assert_eq!(pointer_of(&"[".repeat(100_000)), "invalid_json");
        assert_eq!(pointer_of(r#"{"name":"x","inner":[]}"#), "/inner");
        assert_eq!(pointer_of(r#"["x"]"#), "");
    }

    #[test]
    fn a_merge_patch_follows_its_rfc() {
        // RFC 7396, appendix A.
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut merged = target;
            merge(&mut merged, patch);
            assert_eq!(merged, result);
        }
    }

    #[test]
    fn a_patch_of_an_unknown_field_is_refused_even_with_null() {
        let body = |text: &str| JsonBody::<BODY_BYTES_MAX> { bytes: Bytes::copy_from_slice(text.as_bytes()) };
        let current = Outer { name: "x".into(), rows: vec![], inner: Some(Inner { a: 1, b: None }) };
        let patched = body(r#"{"inner":{"b":"z"}}"#).merged(&current).unwrap();
        assert_eq!(patched.inner, Some(Inner { a: 1, b: Some("z".into()) }));
        for (patch, pointer) in [
            (r#"{"nam":null}"#, "/nam"),
            (r#"{"inner":{"q":null}}"#, "/inner/q"),
            (r#"{"name":null}"#, "/name"),
            ("3", ""),
        ] {
            let problem = body(patch).merged(&current).unwrap_err();
            assert_eq!(problem.errors()[0].pointer.as_deref(), Some(pointer), "{patch}");
        }
    }

    #[test]
    fn if_match_reads_tags() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_str(text).unwrap());
            IfMatch::from_headers(&headers)
        };
        assert_eq!(read("\"v3\"").unwrap(), IfMatch::OneOf(vec![3]));
        assert_eq!(read("\"v3\", \"v4\"").unwrap().version(4), 4);
        assert_eq!(read("*").unwrap(), IfMatch::Any);
        assert_eq!(read("W/\"v3\"").unwrap().version(3), 0);
        assert_eq!(read("\"zz\"").unwrap().version(3), 0);
        assert!(read("v3").is_err());
        assert_eq!(IfMatch::from_headers(&HeaderMap::new()).unwrap(), IfMatch::Any);
    }
}
