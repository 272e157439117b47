//! What one trunk is told of a call that comes from another: who calls (RFC 3323, RFC 3325), and which headers go on.

use crate::translate::address::{uri_of, user_of};
use dialer_core::config::{IdentityHeader, TrunkConfig};
use dialer_core::headers::{added, is_meant, is_reserved};
use sip_proxy::wire::{HeaderName, Message, NameAddr, Scheme};
use std::borrow::Cow;

/// Signatures passed on with a call.
const IDENTITIES_MAX: usize = 4;
/// Header lines passed on with a call.
const PASSED_MAX: usize = 64;
/// RFC 3323 §4.1.1.3.
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// A trunk's policy for headers and callers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    trusted: bool,
    identity: IdentityHeader,
    pass: Vec<String>,
    remove: Vec<String>,
    /// Name and value.
    add: Vec<(String, String)>,
}

impl Policy {
    pub(crate) fn of(config: &TrunkConfig) -> Policy {
        let add = config.headers_add.iter().filter_map(|entry| added(entry));
        Policy {
            trusted: config.trusted,
            identity: config.identity,
            pass: config.headers_pass.clone(),
            remove: config.headers_remove.clone(),
            add: add.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// Header lines of every call to the trunk.
    pub(crate) fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        self.add.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// It is within the trust domain (RFC 3324).
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether a header neither goes to the trunk nor comes from it.
    pub(crate) fn removes(&self, name: &str) -> bool {
        self.remove.iter().any(|entry| is_meant(entry, name))
    }

    /// Whether any headers go on to the trunk.
    pub(crate) fn passes_any(&self) -> bool {
        !self.pass.is_empty()
    }

    /// Headers of a message within a call that go on to the trunk: names and values.
    pub(crate) fn passed_within<'m>(
        &self,
        message: &'m Message,
        from: &Policy,
    ) -> impl Iterator<Item = (&'m str, &'m str)> {
        let wishes = if message.has(HeaderName::Privacy) { Wishes::of(message) } else { Wishes::default() };
        let hidden = !self.trusted && (wishes.identity || wishes.history);
        let passed = message.all_headers().filter(move |_| !hidden).filter_map(move |(id, text, value)| {
            let name = if id == HeaderName::Other { std::str::from_utf8(text).ok()? } else { id.as_str() };
            let value = std::str::from_utf8(value).ok()?;
            let wanted = self.pass.iter().any(|entry| is_meant(entry, name));
            // Why a call ends goes on by itself.
            let ours = is_reserved(name) || id == HeaderName::Reason;
            (wanted && !ours && !self.removes(name) && !from.removes(name)).then_some((name, value))
        });
        passed.take(PASSED_MAX)
    }

    /// Whether callers are named to the trunk in P-Asserted-Identity.
    pub(crate) fn asserts(&self) -> bool {
        self.trusted && self.identity == IdentityHeader::Asserted && !self.removes("P-Asserted-Identity")
    }

    /// P-Preferred-Identity with this URI, if callers are named so.
    pub(crate) fn preferred(&self, uri: Option<&str>) -> Option<String> {
        uri.filter(|_| self.prefers()).map(|uri| format!("<{uri}>"))
    }

    /// Whether callers are named to the trunk in P-Preferred-Identity.
    fn prefers(&self) -> bool {
        self.identity == IdentityHeader::Preferred && !self.removes("P-Preferred-Identity")
    }
}

/// What a caller wants to be kept secret (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wishes {
    /// Who it is: `id`, `user` or `header`.
    identity: bool,
    /// By way of whom it comes: `history`.
    history: bool,
    /// Nothing, whatever others would keep secret: `none`.
    nothing: bool,
    /// Where the sound comes from: `session`.
    session: bool,
    /// Something that we do not know.
    unknown: bool,
    /// Rather no call than one without: `critical`.
    critical: bool,
}

impl Wishes {
    fn of(request: &Message) -> Wishes {
        let mut wishes = Wishes::default();
        for line in request.headers(HeaderName::Privacy) {
            for word in line.split(|byte| *byte == b';' || *byte == b',').map(<[u8]>::trim_ascii) {
                let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
                wishes.identity |= is("id") || is("user") || is("header");
                wishes.history |= is("history") || is("header");
                wishes.nothing |= is("none");
                wishes.session |= is("session");
                wishes.critical |= is("critical");
                let known = ["id", "user", "header", "history", "none", "session", "critical"];
                wishes.unknown |= !word.is_empty() && !known.into_iter().any(is);
            }
        }
        wishes
    }
}

/// Who calls, as it is carried on: our host instead of the caller's (RFC 5853 §3.1), the rest as it was.
#[derive(Debug)]
pub(crate) struct Caller<'m> {
    /// The number of From, for the record; not told to anybody by itself.
    pub(crate) id: Option<String>,
    /// URI of From.
    pub(crate) uri: String,
    pub(crate) display: Cow<'m, str>,
    /// Value of P-Asserted-Identity.
    asserted: Option<String>,
    /// Value of P-Preferred-Identity.
    preferred: Option<String>,
    privacy: Option<&'m str>,
    /// The caller wants to be unknown, and is to the trunk it is carried on to.
    pub(crate) hidden: bool,
    wishes: Wishes,
}

impl<'m> Caller<'m> {
    pub(crate) fn of(request: &'m Message, our_host: &str, from: &Policy, to: &Policy) -> Self {
        let address = request.from().ok();
        let id = address.map(|from| user_of(from.uri_text)).filter(|user| !user.is_empty());
        let display = address.map(|from| display_of(&from)).unwrap_or_default();
        let has_privacy = request.has(HeaderName::Privacy);
        let wishes = if has_privacy { Wishes::of(request) } else { Wishes::default() };
        let identity = identity_of(request, from, our_host);
        let hidden = !to.trusted && wishes.identity;
        // RFC 3325 §7: across the border of the trust domain an identity goes only when the caller says so.
        let told = to.trusted || wishes.nothing;
        let asserts = to.identity == IdentityHeader::Asserted && !to.removes("P-Asserted-Identity");
        let privacy = request.header(HeaderName::Privacy).and_then(|value| std::str::from_utf8(value).ok());
        // RFC 3323 §5.1: who does what the caller asks for takes the wish off; none stays.
        let privacy = privacy.filter(|_| to.trusted || wishes.nothing);
        Caller {
            uri: if hidden {
                ANONYMOUS.to_owned()
            } else {
                uri_of(id.as_deref().unwrap_or("anonymous"), our_host)
            },
            display: if hidden { Cow::Borrowed("Anonymous") } else { display },
            id,
            preferred: identity.clone().filter(|_| !hidden && to.prefers()),
            asserted: identity.filter(|_| told && asserts),
            privacy: privacy.filter(|_| !to.removes("Privacy") && !from.removes("Privacy")),
            hidden,
            wishes,
        }
    }

    /// Whether the caller wants rather no call than this one, which would tell more than it should (RFC 3323 §5): it wants what
    /// we do not know, its sound would go past us, or its wish would be lost on the way to a trunk that is told who it is.
    ///
    /// * `relayed` the sound goes through us
    pub(crate) fn wants_no_such_call(&self, relayed: bool, to: &Policy) -> bool {
        let wishes = self.wishes;
        let lost = to.trusted && (wishes.identity || wishes.history) && self.privacy.is_none();
        wishes.critical && (wishes.unknown || (wishes.session && !relayed) || lost)
    }

    /// An agent's phone, which is called by the trunk's caller ID, or by its name.
    pub(crate) fn own(request: &'m Message, number: Option<String>, our_host: &str, to: &Policy) -> Self {
        let named = || request.from().ok().map(|from| user_of(from.uri_text)).filter(|user| !user.is_empty());
        let id = number.or_else(named);
        let uri = uri_of(id.as_deref().unwrap_or("anonymous"), our_host);
        Caller {
            asserted: id.as_ref().filter(|_| to.asserts()).map(|_| format!("<{uri}>")),
            preferred: to.preferred(id.as_ref().map(|_| uri.as_str())),
            id,
            uri,
            display: Cow::Borrowed(""),
            privacy: None,
            hidden: false,
            wishes: Wishes::default(),
        }
    }

    /// The further headers of the call that goes out. Empty, and then without an allocation, in most calls.
    pub(crate) fn headers<'h>(
        &'h self,
        request: &'h Message,
        from: &Policy,
        to: &'h Policy,
        signed: Option<&'h str>,
    ) -> Vec<(&'h str, &'h str)> {
        let mut headers: Vec<(&str, &str)> =
            self.privacy.map(|value| ("Privacy", value)).into_iter().collect();
        headers.extend(self.asserted.as_deref().map(|value| ("P-Asserted-Identity", value)));
        headers.extend(self.preferred.as_deref().map(|value| ("P-Preferred-Identity", value)));
        match signed {
            Some(identity) => headers.push(("Identity", identity)),
            // It names the caller to all who read it.
            None if request.has(HeaderName::Identity) && !self.hidden => {
                let kept = !to.removes("Identity") && !from.removes("Identity");
                let values =
                    request.headers(HeaderName::Identity).take(if kept { IDENTITIES_MAX } else { 0 });
                headers
                    .extend(values.filter_map(|value| Some(("Identity", std::str::from_utf8(value).ok()?))));
            }
            None => {}
        }
        if !to.pass.is_empty() {
            headers.extend(self.passed(request, from, to).take(PASSED_MAX));
        }
        headers.extend(to.added());
        headers
    }

    fn passed<'h>(
        &'h self,
        request: &'h Message,
        from: &Policy,
        to: &Policy,
    ) -> impl Iterator<Item = (&'h str, &'h str)> {
        request.all_headers().filter_map(move |(id, text, value)| {
            let name = if id == HeaderName::Other { std::str::from_utf8(text).ok()? } else { id.as_str() };
            let value = std::str::from_utf8(value).ok()?;
            let wanted = to.pass.iter().any(|entry| is_meant(entry, name));
            let secret = !to.trusted && self.is_secret(id, name, value);
            (wanted && !secret && !is_reserved(name) && !to.removes(name) && !from.removes(name))
                .then_some((name, value))
        })
    }

    /// Whether a header says, outside of the trust domain, what the caller wants kept secret, or who sent the call on
    /// (RFC 5806 §4: `privacy` in Diversion).
    fn is_secret(&self, id: HeaderName, name: &str, value: &str) -> bool {
        match id {
            HeaderName::HistoryInfo => self.wishes.history,
            HeaderName::Diversion => {
                let value = value.to_ascii_lowercase();
                let privacy = value.split("privacy=").nth(1).map(|rest| rest.trim_start_matches('"'));
                self.wishes.history || privacy.is_some_and(|wish| !wish.starts_with("off"))
            }
            // RFC 3323 §4.1: what a caller who wants to be unknown is not to say.
            HeaderName::RemotePartyId
            | HeaderName::CallInfo
            | HeaderName::Organization
            | HeaderName::Subject
            | HeaderName::InReplyTo
            | HeaderName::ReferredBy => self.hidden,
            _ => self.hidden && name.eq_ignore_ascii_case("Reply-To"),
        }
    }
}

/// Whom a trunk asserts as caller, as it is told on: its P-Asserted-Identity, or what the caller prefers when it asserts
/// nobody. A SIP URI, and a telephone number beside it where both are asserted (RFC 3325 §9.1). What a trunk outside of
/// the trust domain says counts for nothing.
fn identity_of(request: &Message, from: &Policy, our_host: &str) -> Option<String> {
    if !from.trusted {
        return None;
    }
    let named = |name: HeaderName| {
        let kept = request.has(name) && !from.removes(name.as_str());
        let mut values =
            kept.then(|| request.addresses(name).flatten().filter(is_caller)).into_iter().flatten();
        values.next().map(|first| (first, values.next()))
    };
    let (first, second) =
        named(HeaderName::PAssertedIdentity).or_else(|| named(HeaderName::PPreferredIdentity))?;
    let (named, other) = match second {
        Some(second) if is_tel(&first) && !is_tel(&second) => (second, Some(first)),
        second => (first, second),
    };
    let mut value = String::new();
    let display = display_of(&named);
    if !display.is_empty() {
        value = format!("\"{}\" ", display.replace('\\', "\\\\").replace('"', "\\\""));
    }
    value.push_str(&format!("<{}>", uri_of(&user_of(named.uri_text), our_host)));
    let number = other.filter(|other| is_tel(other) && !is_tel(&named));
    if let Some(number) = number.and_then(|number| std::str::from_utf8(number.uri_text).ok()) {
        value.push_str(&format!(", <{number}>"));
    }
    Some(value)
}

/// The address that says by which number somebody calls: a telephone number that is asserted, else whom a trunk asserts
/// otherwise, else From.
pub(crate) fn calling_address(request: &Message) -> Option<NameAddr<'_>> {
    let asserted = || request.addresses(HeaderName::PAssertedIdentity).flatten().filter(is_caller);
    asserted().find(is_tel).or_else(|| asserted().next()).or_else(|| request.from().ok())
}

fn is_tel(address: &NameAddr<'_>) -> bool {
    address.uri().is_ok_and(|uri| uri.scheme == Scheme::Tel)
}

/// RFC 3325 §9.1: a caller has a URI of SIP, SIPS or a telephone number.
fn is_caller(address: &NameAddr<'_>) -> bool {
    address.uri().is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel))
}

/// A display name without its escapes.
fn display_of<'m>(address: &NameAddr<'m>) -> Cow<'m, str> {
    let text = std::str::from_utf8(address.display).unwrap_or_default();
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut escaped = false;
    let plain = text.chars().filter(|c| {
        escaped = *c == '\\' && !escaped;
        !escaped
    });
    Cow::Owned(plain.filter(|c| !c.is_control()).collect())
}
