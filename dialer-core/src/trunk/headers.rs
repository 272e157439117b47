//! What may stand in a trunk's header policy.

/// Lines of one policy.
pub const HEADERS_MAX: usize = 32;

/// Headers that make the message, its dialog or its transaction, or have a policy of their own: they are neither
/// passed nor added by configuration.
const RESERVED: [&str; 56] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "allow",
    "allow-events",
    "authentication-info",
    "authorization",
    "call-id",
    "contact",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "cseq",
    "date",
    "error-info",
    "event",
    "expires",
    "from",
    "identity",
    "max-breadth",
    "max-forwards",
    "mime-version",
    "min-expires",
    "min-se",
    "p-asserted-identity",
    "p-preferred-identity",
    "path",
    "privacy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-require",
    "rack",
    "record-route",
    "refer-sub",
    "refer-to",
    "replaces",
    "require",
    "retry-after",
    "route",
    "rseq",
    "server",
    "service-route",
    "session-expires",
    "sip-etag",
    "sip-if-match",
    "subscription-state",
    "supported",
    "timestamp",
    "to",
    "unsupported",
    "user-agent",
    "via",
    "warning",
    "www-authenticate",
];

/// Whether a header is one that configuration keeps its hands off. Compact forms (one letter) are, too.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let mut lower = [0; 24];
    let Some(text) = lower.get_mut(..name.len()) else { return false };
    text.copy_from_slice(name.as_bytes());
    text.make_ascii_lowercase();
    (name.len() == 1 && name != "*") || RESERVED.binary_search_by(|known| known.as_bytes().cmp(text)).is_ok()
}

/// Whether a name is one that this entry of a policy means: the same name in any case, or one that begins as the entry
/// does before its `*`.
#[must_use]
pub fn is_meant(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|there| there.eq_ignore_ascii_case(start)),
        None => entry.eq_ignore_ascii_case(name),
    }
}

/// An entry of `headers_pass` or `headers_remove`: a header's name, or the beginning of one with `*` behind.
#[must_use]
pub fn is_name_entry(entry: &str) -> bool {
    let name = entry.strip_suffix('*').unwrap_or(entry);
    (name.is_empty() && !entry.is_empty() || is_token(name)) && name.len() <= 64
}

/// An entry of `headers_pass`: one that does not name a reserved header.
#[must_use]
pub fn is_pass_entry(entry: &str) -> bool {
    is_name_entry(entry) && !is_reserved(entry)
}

/// The name and the value of an entry of `headers_add`; `None` if it is none or the name is reserved.
#[must_use]
pub fn added(entry: &str) -> Option<(&str, &str)> {
    let (name, value) = entry.split_once(':')?;
    let (name, value) = (name.trim_end(), value.trim());
    let fits = is_token(name)
        && name.len() <= 64
        && !is_reserved(name)
        && (1..=256).contains(&value.len())
        && !value.chars().any(char::is_control);
    fits.then_some((name, value))
}

/// RFC 3261 §25.1.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

/// What an entry of `headers_pass` is to be.
pub const PASS: &str =
    "a header's name, or its beginning with * behind; not one that the call itself is made of";
/// What an entry of `headers_remove` is to be.
pub const REMOVE: &str = "a header's name, or its beginning with * behind";
/// What an entry of `headers_add` is to be.
pub const ADD: &str =
    "\"Name: value\", at most 256 characters, and not a header that the call itself is made of";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_found_in_any_case() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED {
            assert!(is_reserved(&name.to_uppercase()), "{name}");
        }
        assert!(is_reserved("v"));
        for free in ["Diversion", "X-Account", "", "x-a-name-that-is-much-longer-than-any"] {
            assert!(!is_reserved(free), "{free}");
        }
    }

    #[test]
    fn entries() {
        assert!(
            is_meant("X-*", "x-account") && is_meant("*", "Diversion") && is_meant("diversion", "Diversion")
        );
        assert!(!is_meant("X-*", "X") && !is_meant("Diversion", "Diversion-Info"));
        assert!(is_pass_entry("X-*") && is_pass_entry("*") && is_pass_entry("History-Info"));
        assert!(
            !is_pass_entry("via") && !is_pass_entry("") && !is_pass_entry("a b") && is_name_entry("Privacy")
        );
        assert_eq!(added("X-Account:  42 "), Some(("X-Account", "42")));
        for bad in ["X-Account", "X-Account:", "Via: x", "X: a\r\nY: b", "a b: c", ": x"] {
            assert_eq!(added(bad), None, "{bad}");
        }
    }
}
