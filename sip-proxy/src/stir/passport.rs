//! The token itself: three parts in base64url, the first two JSON (RFC 8225 §4, §5, §9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Bytes of a token; honest ones have five hundred.
pub(super) const TOKEN_BYTES_MAX: usize = 8_192;

/// The header. Fields stand in the order of their names, as RFC 8225 §9 wants them written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ppt: Option<String>,
    pub(super) typ: String,
    pub(super) x5u: String,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attest: Option<String>,
    pub(super) dest: Many,
    pub(super) iat: u64,
    pub(super) orig: One,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origid: Option<String>,
}

/// The called: numbers or URIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Many {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tn: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) uri: Vec<String>,
}

/// The caller: a number or a URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct One {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uri: Option<String>,
}

/// `header.claims`, what is signed.
pub(super) fn signed_part(header: &Header, claims: &Claims) -> String {
    // Maps of strings always serialise.
    let text = |json: Result<String, serde_json::Error>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
    format!("{}.{}", text(serde_json::to_string(header)), text(serde_json::to_string(claims)))
}

/// A token taken apart.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Takes a token apart; `None` when it is none, or one in compact form (RFC 8225 §7, which SHAKEN does not use).
pub(super) fn parse(token: &str) -> Option<Token<'_>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let json = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some(Token {
        header: serde_json::from_slice(&json(header)?).ok()?,
        claims: serde_json::from_slice(&json(claims)?).ok()?,
        signed,
        signature: json(signature)?,
    })
}

pub(super) fn encode_signature(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
