//! The way to the daemon's API, with errors that say what to do.

use super::CtlArguments;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;

const DEFAULT_API: &str = "http://127.0.0.1:8080";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest import.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// A token file is one line; more than this is something else.
const TOKEN_FILE_BYTES_MAX: u64 = 4_096;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The command line (or what it points to) is wrong.
    WrongUse(String),
    /// The daemon could not be asked, or said no.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::WrongUse(text) | Refusal::Failed(text) => f.write_str(text),
        }
    }
}

/// Authorities beside those of the system.
fn read_authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, Refusal> {
    let wrong = |why: String| Refusal::WrongUse(format!("--ca {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let read = reqwest::Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("there is no certificate in it".into())) } else { Ok(read) }
}

/// A client of one daemon.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// By the arguments, else by the environment.
    pub fn new(arguments: &CtlArguments) -> Result<Self, Refusal> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let base = arguments.api.clone().or_else(|| variable("DIALERD_API"));
        let token = match (&arguments.token, &arguments.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => read_token(file)?,
            (None, None) => match (variable("DIALERD_TOKEN"), variable("DIALERD_TOKEN_FILE")) {
                (Some(token), _) => token,
                (None, Some(file)) => read_token(Path::new(&file))?,
                (None, None) => {
                    return Err(Refusal::WrongUse(
                        "no token: give --token-file (admin.token in the daemon's data folder holds the first one), \
                         --token, or set DIALERD_TOKEN or DIALERD_TOKEN_FILE"
                            .into(),
                    ));
                }
            },
        };
        let mut http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
        let authorities = arguments.ca.clone().or_else(|| variable("DIALERD_CA").map(Into::into));
        if let Some(file) = authorities {
            for certificate in read_authorities(&file)? {
                http = http.add_root_certificate(certificate);
            }
        }
        let http = http.build();
        let http = http.map_err(|error| Refusal::Failed(format!("no HTTP client: {error}")))?;
        Ok(Client { http, base: address(base.as_deref().unwrap_or(DEFAULT_API))?, token: checked(&token)? })
    }

    /// Reads a resource.
    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.ask(self.http.get(self.url(path))).await
    }

    /// Makes or does something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.ask(self.http.post(self.url(path)).json(body)).await
    }

    /// Changes something (JSON Merge Patch).
    pub async fn patch(&self, path: &str, change: &Value) -> Result<Value, Refusal> {
        let request = self.http.patch(self.url(path)).header("content-type", "application/merge-patch+json");
        self.ask(request.body(change.to_string())).await
    }

    /// Opens the event stream, after a cursor if one is given.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Result<reqwest::Response, Refusal> {
        let mut request = self.http.get(self.url(path));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        self.whole(self.send(request.timeout(UPLOAD_TIMEOUT)).await?).await
    }

    /// An answer that is no refusal, still to be read.
    async fn whole(&self, answer: reqwest::Response) -> Result<reqwest::Response, Refusal> {
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let url = answer.url().to_string();
        let text = answer.text().await.map_err(|error| Refusal::Failed(root(&error)))?;
        Err(refused(status, &text, &url))
    }

    /// Puts something in its place.
    pub async fn put(&self, path: &str, kind: &str, body: Vec<u8>) -> Result<Value, Refusal> {
        let request = self.http.put(self.url(path)).header("content-type", kind).body(body);
        self.ask(request.timeout(UPLOAD_TIMEOUT)).await
    }

    /// Takes something away.
    pub async fn delete(&self, path: &str) -> Result<(), Refusal> {
        self.ask(self.http.delete(self.url(path))).await.map(drop)
    }

    /// Sends a long body; what comes back is read while it is sent.
    pub async fn upload(
        &self,
        path: &str,
        kind: &str,
        body: reqwest::Body,
    ) -> Result<reqwest::Response, Refusal> {
        let request = self.http.post(self.url(path)).header("content-type", kind).body(body);
        self.whole(self.send(request.timeout(UPLOAD_TIMEOUT)).await?).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Refusal> {
        request.bearer_auth(&self.token).send().await.map_err(|error| {
            let why = if error.is_timeout() { "it does not answer" } else { "nothing answers there" };
            Refusal::Failed(format!(
                "the daemon cannot be reached at {}: {why}; is it running, and is --api right? ({})",
                self.base,
                root(&error)
            ))
        })
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, Refusal> {
        let answer = self.send(request).await?;
        let (status, url) = (answer.status().as_u16(), answer.url().to_string());
        let text = answer.text().await.map_err(|error| Refusal::Failed(root(&error)))?;
        match status {
            204 => Ok(Value::Null),
            200..=299 => serde_json::from_str(&text).map_err(|_| {
                Refusal::Failed(format!("{url} answers something that is no JSON; is --api right?"))
            }),
            _ => Err(refused(status, &text, &url)),
        }
    }

    /// Everything of a list, page by page, at most `most`.
    pub async fn all(&self, path: &str, most: usize) -> Result<Vec<Value>, Refusal> {
        let mut rows = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(String::new());
        while let Some(cursor) = next.filter(|_| rows.len() < most) {
            let page = self.get(&format!("{path}{joint}limit=1000{cursor}")).await?;
            rows.extend(page["data"].as_array().into_iter().flatten().cloned());
            next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={}", escape(cursor)));
        }
        rows.truncate(most);
        Ok(rows)
    }

    /// Finds a thing by its id, else by its name.
    pub async fn named(&self, path: &str, prefix: &str, what: &str, wanted: &str) -> Result<Value, Refusal> {
        if wanted.starts_with(prefix) {
            return self.get(&format!("{path}/{}", escape(wanted))).await;
        }
        let mut named = self.all(path, usize::MAX).await?;
        named.retain(|row| row["name"] == wanted);
        match named.len() {
            0 => Err(Refusal::Failed(format!("there is no {what} of the name (or id) {wanted:?}"))),
            1 => Ok(named.remove(0)),
            _ => {
                let ids: Vec<&str> = named.iter().filter_map(|row| row["id"].as_str()).collect();
                Err(Refusal::Failed(format!(
                    "{} {what}s are named {wanted:?}; say which one: {}",
                    ids.len(),
                    ids.join(", ")
                )))
            }
        }
    }

    /// Finds a campaign by its id, else by its name.
    pub async fn campaign(&self, wanted: &str) -> Result<Value, Refusal> {
        self.named("/v1/campaigns", "camp_", "campaign", wanted).await
    }
}

/// The base address without a slash at its end.
fn address(text: &str) -> Result<String, Refusal> {
    let bad = |why: &str| Refusal::WrongUse(format!("--api {text:?}: {why}, e.g. {DEFAULT_API}"));
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = reqwest::Url::parse(&with_scheme).map_err(|_| bad("expected http://host:port"))?;
    let known = matches!(url.scheme(), "http" | "https");
    if !known || !url.has_host() || url.path() != "/" || url.query().is_some() {
        return Err(bad("expected http://host:port or https://host:port and nothing behind it"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn read_token(file: &Path) -> Result<String, Refusal> {
    let bad = |why: String| Refusal::WrongUse(format!("token file {}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| bad(error.to_string()))?.len();
    if size > TOKEN_FILE_BYTES_MAX {
        return Err(bad("too long for a token".into()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(bad("it is empty".into()));
    }
    Ok(text.trim().to_owned())
}

/// What may stand in a header.
fn checked(token: &str) -> Result<String, Refusal> {
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(Refusal::WrongUse("the token holds characters that no token has".into()))
}

/// The API's own words, and what to do about them.
fn refused(status: u16, text: &str, url: &str) -> Refusal {
    let problem: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let detail = if problem["detail"].is_string() { told(&problem) } else { text.trim().to_owned() };
    Refusal::Failed(match status {
        401 => format!("the daemon does not know this token ({detail})"),
        403 => format!("this token may not ask that ({detail})"),
        404 => format!("not found: {detail}"),
        _ => format!("{url} answers {status}: {detail}"),
    })
}

/// What a problem says, with each wrong field and what is expected of it where there are several.
pub fn told(problem: &Value) -> String {
    let detail = problem["detail"].as_str().unwrap_or("it does not say why");
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |error: &Value| {
        let place = error["pointer"].as_str().or(error["parameter"].as_str()).unwrap_or_default();
        let what = error["detail"].as_str().unwrap_or_default();
        (!detail.contains(what) || !detail.contains(place)).then(|| format!("\n  {place}: {what}"))
    };
    format!("{detail}{}", errors.iter().filter_map(one).collect::<String>())
}

/// The innermost cause, which says it best.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// One segment of a path, or one value of a query.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_whole_or_refused() {
        assert_eq!(address("127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(address("http://[::1]:9/").unwrap(), "http://[::1]:9");
        assert_eq!(address("https://dialer:8443").unwrap(), "https://dialer:8443");
        for wrong in ["https://dialer/v1", "http://", "http://a/v1", "ftp://a", "http://a?b", "two words"] {
            assert!(matches!(address(wrong), Err(Refusal::WrongUse(_))), "{wrong}");
        }
    }

    #[test]
    fn problems_are_told_in_their_own_words() {
        let problem = r#"{"detail":"no such campaign"}"#;
        assert_eq!(refused(404, problem, "u"), Refusal::Failed("not found: no such campaign".into()));
        let problem = r#"{"detail":"2 fields are wrong","errors":[{"pointer":"/name","detail":"is required"},
            {"pointer":"/mode","detail":"expected ratio"}]}"#;
        let told = "u answers 400: 2 fields are wrong\n  /name: is required\n  /mode: expected ratio";
        assert_eq!(refused(400, problem, "u"), Refusal::Failed(told.into()));
        assert_eq!(refused(502, "oops", "u"), Refusal::Failed("u answers 502: oops".into()));
        assert_eq!(escape("a b/c"), "a%20b%2Fc");
        assert!(checked("dlr_x\n").is_err());
    }
}
