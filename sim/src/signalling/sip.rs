//! A second opinion on SIP: what peers need to speak it, written apart from the daemon's own stack. Only its parser
//! and nothing of its transactions and dialogs is used here.

use super::scene::By;
use bytes::Bytes;
use md5::{Digest, Md5};
use sansio::Rng;
use sip_proxy::wire::{self, HeaderName, Message};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// RFC 3261 T1, milliseconds.
pub(crate) const T1_MS: u64 = 500;
/// RFC 3261 T2, milliseconds.
pub(crate) const T2_MS: u64 = 4_000;
/// 64·T1, milliseconds.
pub(crate) const GIVE_UP_MS: u64 = 64 * T1_MS;

/// Reads a datagram.
pub(crate) fn parse(bytes: &Bytes) -> Option<Message> {
    wire::parse(bytes.clone(), &wire::Limits::default()).ok()
}

/// Text of a header's bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A header's value, empty if it is missing.
pub(crate) fn header(message: &Message, name: HeaderName) -> String {
    text(message.header(name).unwrap_or_default())
}

/// The branch of the topmost Via.
pub(crate) fn branch(message: &Message) -> String {
    text(message.top_via().branch.unwrap_or_default())
}

/// What stands between the angle brackets of an address, or all of it before its parameters.
pub(crate) fn uri_in(value: &str) -> String {
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => value[open + 1..close].to_owned(),
        _ => value.split(';').next().unwrap_or_default().trim().to_owned(),
    }
}

/// The user part of a SIP URI.
pub(crate) fn user_of(uri: &str) -> &str {
    let rest = uri.strip_prefix("sip:").unwrap_or(uri);
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// A short word for a ladder: the method or the status.
pub(crate) fn short(message: &Message) -> String {
    let to = if message.to_tag().is_some() { "" } else { "*" };
    if message.is_request() {
        format!("{}{to}", text(message.method_text()))
    } else {
        format!("{} ({})", message.status(), text(message.method_text()))
    }
}

/// Begins a response: everything that RFC 3261 §8.2.6.2 has copied from the request.
pub(crate) fn response(
    request: &Message,
    status: u16,
    reason: &str,
    tag: &str,
    extra: &str,
    sdp: &str,
) -> String {
    let mut out = format!("SIP/2.0 {status} {reason}\r\n");
    for via in request.headers(HeaderName::Via) {
        let _ = write!(out, "Via: {}\r\n", text(via));
    }
    let mut to = header(request, HeaderName::To);
    if request.to_tag().is_none() && status > 100 {
        let _ = write!(to, ";tag={tag}");
    }
    let _ = write!(
        out,
        "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}",
        header(request, HeaderName::From),
        header(request, HeaderName::CallId),
        header(request, HeaderName::CSeq),
    );
    close(out, sdp)
}

/// Ends a message.
pub(crate) fn close(mut out: String, sdp: &str) -> String {
    if !sdp.is_empty() {
        out.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n{sdp}", sdp.len());
    out
}

/// A request begun by a peer.
#[derive(Clone, Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) sent_by: SocketAddr,
    pub(crate) by: By,
    /// User part of the Contact.
    pub(crate) user: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) extra: &'a str,
    pub(crate) sdp: &'a str,
}

/// Writes a request.
pub(crate) fn request(o: &Outline<'_>) -> String {
    let out = format!(
        "{} {} SIP/2.0\r\nVia: SIP/2.0/{} {};branch={};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: {} {}\r\nContact: <sip:{}@{}{}>\r\n{}",
        o.method,
        o.uri,
        o.by.in_via(),
        o.sent_by,
        o.branch,
        o.from,
        o.to,
        o.call_id,
        o.cseq,
        o.method,
        o.user,
        o.sent_by,
        o.by.in_uri(),
        o.extra
    );
    close(out, o.sdp)
}

/// A session description: PCMU, PCMA and telephone-event.
pub(crate) fn description(rtp: SocketAddr, version: u32, direction: &str) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=peer 20518 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
    )
}

/// Where a session description wants its sound.
pub(crate) fn sound_address(sdp: &[u8]) -> Option<SocketAddr> {
    let sdp = std::str::from_utf8(sdp).ok()?;
    let ip = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?.trim();
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

fn md5_hex(parts: &[&str]) -> String {
    let mut hash = Md5::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A parameter of a challenge or of credentials.
fn auth_param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let rest = value.strip_prefix("Digest")?;
    for part in rest.split(',') {
        let Some((key, value)) = part.split_once('=') else { continue };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().trim_matches('"'));
        }
    }
    None
}

/// An `Authorization` value for the first MD5 challenge among these.
pub(crate) fn authorize(
    challenges: &[String],
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    rng: &mut Rng,
) -> Option<String> {
    let md5 =
        |value: &&String| auth_param(value, "algorithm").is_none_or(|name| name.eq_ignore_ascii_case("MD5"));
    let challenge = challenges.iter().find(md5)?;
    let (realm, nonce) = (auth_param(challenge, "realm")?, auth_param(challenge, "nonce")?);
    let a1 = md5_hex(&[user, realm, password]);
    let a2 = md5_hex(&[method, uri]);
    let mut out = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5"
    );
    // The quality of protection may be a list in quotes, whose commas cut it: to begin with `auth` is enough.
    if auth_param(challenge, "qop").is_some_and(|qop| qop.trim_matches('"').starts_with("auth")) {
        let cnonce = format!("{:016x}", rng.next_u64());
        let digest = md5_hex(&[&a1, nonce, "00000001", &cnonce, "auth", &a2]);
        let _ = write!(out, ", qop=auth, nc=00000001, cnonce=\"{cnonce}\", response=\"{digest}\"");
    } else {
        let _ = write!(out, ", response=\"{}\"", md5_hex(&[&a1, nonce, &a2]));
    }
    if let Some(opaque) = auth_param(challenge, "opaque") {
        let _ = write!(out, ", opaque=\"{opaque}\"");
    }
    Some(out)
}

/// Whether an `Authorization` value answers a challenge with this nonce.
pub(crate) fn is_authorized(value: &str, user: &str, password: &str, method: &str, nonce: &str) -> bool {
    let get = |name| auth_param(value, name);
    let (Some(realm), Some(uri), Some(response)) = (get("realm"), get("uri"), get("response")) else {
        return false;
    };
    let a1 = md5_hex(&[user, realm, password]);
    let a2 = md5_hex(&[method, uri]);
    let expected = match (get("qop"), get("nc"), get("cnonce")) {
        (Some(qop), Some(nc), Some(cnonce)) => md5_hex(&[&a1, nonce, nc, cnonce, qop, &a2]),
        _ => md5_hex(&[&a1, nonce, &a2]),
    };
    get("username") == Some(user) && get("nonce") == Some(nonce) && expected == response
}

/// Dresses a message oddly, but within the law: compact names, folds, spaces, unknown headers.
pub(crate) fn odd(message: &str, rng: &mut Rng) -> String {
    let Some((head, body)) = message.split_once("\r\n\r\n") else { return message.to_owned() };
    let mut lines = head.split("\r\n");
    let mut out = lines.next().unwrap_or_default().to_owned();
    let style = rng.below(4);
    if rng.chance(0.5) {
        out.push_str("\r\nX-Strange: \"quoted \\\" text\" ; a=b,, <>@\r\nP-Nothing:");
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim_start();
        let compact = match name {
            "Via" => "v",
            "From" => "f",
            "To" => "t",
            "Call-ID" => "i",
            "Contact" => "m",
            "Content-Type" => "c",
            "Content-Length" => "l",
            other => other,
        };
        out.push_str("\r\n");
        let _ = match style {
            0 => write!(out, "{compact}:{value}"),
            1 => write!(out, "{}\t : \t{value}  ", name.to_ascii_uppercase()),
            2 if name != "Content-Length" => write!(out, "{}:\r\n {value}", name.to_ascii_lowercase()),
            _ => write!(out, "{name}: {value}"),
        };
    }
    out.push_str("\r\n\r\n");
    out.push_str(body);
    out
}
