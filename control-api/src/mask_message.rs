//! SIP messages without phone numbers: numbers are where addresses and texts are; all else stays as it was sent.

use crate::mask::Masker;

/// What a header field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Nothing about anybody.
    Protocol,
    /// URIs, perhaps with display names and parameters.
    Addresses,
    /// A token that can be read by all who have it (RFC 8224).
    Token,
    /// Anything.
    Text,
}

/// By its name, also the compact one (RFC 3261 §7.3.3 and where each was registered).
fn holds(name: &str) -> Holds {
    const PROTOCOL: [&str; 42] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "allow",
        "allow-events",
        "call-id",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "cseq",
        "date",
        "event",
        "expires",
        "max-forwards",
        "mime-version",
        "min-expires",
        "min-se",
        "priority",
        "proxy-authenticate",
        "proxy-require",
        "rack",
        "require",
        "retry-after",
        "rseq",
        "server",
        "session-expires",
        "subscription-state",
        "supported",
        "timestamp",
        "unsupported",
        "user-agent",
        "via",
        "www-authenticate",
        "c",
        "e",
        "i",
        "k",
        "l",
        "v",
        "x",
    ];
    const ADDRESSES: [&str; 21] = [
        "authorization",
        "contact",
        "diversion",
        "from",
        "history-info",
        "p-asserted-identity",
        "p-called-party-id",
        "p-preferred-identity",
        "path",
        "proxy-authorization",
        "record-route",
        "refer-to",
        "referred-by",
        "remote-party-id",
        "route",
        "service-route",
        "to",
        "f",
        "m",
        "r",
        "t",
    ];
    let name = name.trim().to_ascii_lowercase();
    if PROTOCOL.contains(&name.as_str()) {
        Holds::Protocol
    } else if ADDRESSES.contains(&name.as_str()) {
        Holds::Addresses
    } else if matches!(name.as_str(), "identity" | "y") {
        Holds::Token
    } else {
        Holds::Text
    }
}

/// A message as the caller may see it.
pub(crate) fn message(mask: Masker, text: &str) -> String {
    if mask.is_whole() {
        return text.to_owned();
    }
    let (head, body) = match text.find("\r\n\r\n") {
        Some(end) => text.split_at(end + 4),
        None => (text, ""),
    };
    let mut out = String::with_capacity(text.len());
    let (mut kind, mut at_start) = (Holds::Text, true);
    for line in head.split_inclusive('\n') {
        if at_start {
            at_start = false;
            let is_response = line.starts_with("SIP/2.0");
            out.push_str(&if is_response { mask.text(line) } else { addresses(mask, line) });
            continue;
        }
        if line.trim_end().is_empty() {
            out.push_str(line);
            continue;
        }
        let goes_on = line.starts_with([' ', '\t']);
        let (name, value) = match line.split_once(':') {
            Some((name, value)) if !goes_on => (name, value),
            _ => ("", line),
        };
        if !name.is_empty() {
            kind = holds(name);
            out.push_str(name);
            out.push(':');
        }
        out.push_str(&shown(mask, kind, value));
    }
    out.push_str(&shown_body(mask, head, body));
    out
}

fn shown(mask: Masker, kind: Holds, value: &str) -> String {
    match kind {
        Holds::Protocol => value.to_owned(),
        Holds::Addresses => addresses(mask, value),
        Holds::Token => {
            let end = value.len() - value.trim_end().len();
            format!(" ****{}", &value[value.len() - end..])
        }
        Holds::Text => mask.text(value),
    }
}

/// Display names and user parts are texts; hosts, tags and other parameters are not.
fn addresses(mask: Masker, value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while !rest.is_empty() {
        let scheme = ["sip:", "sips:", "tel:"].iter().filter_map(|scheme| {
            let found = rest.to_ascii_lowercase().find(scheme)?;
            Some((found, scheme.len()))
        });
        let Some((found, length)) = scheme.min() else {
            out.push_str(&names(mask, rest));
            break;
        };
        out.push_str(&names(mask, &rest[..found]));
        out.push_str(&rest[found..found + length]);
        rest = &rest[found + length..];
        let end = rest.find(['@', '>', ' ', '"', ',', '\r', '\n']).unwrap_or(rest.len());
        // Without a user it begins with the host.
        let host = rest[..end].split(';').next().unwrap_or_default();
        let is_host = !rest[end..].starts_with('@') && host.contains(['.', '[']);
        out.push_str(&if is_host { rest[..end].to_owned() } else { mask.text(&rest[..end]) });
        rest = &rest[end..];
        // The host and what follows it, up to the end of the URI.
        if rest.starts_with('@') {
            let end = rest.find(['>', ' ', '"', ',', ';', '?', '\r', '\n']).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out
}

/// What stands around URIs: quoted texts, and words before a `<`.
fn names(mask: Masker, text: &str) -> String {
    let opens = text.trim_end().ends_with('<');
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            out.push('"');
        }
        if at % 2 == 1 && part.bytes().filter(u8::is_ascii_hexdigit).count() != 32 {
            out.push_str(&mask.text(part));
            continue;
        }
        let name_at = part.rfind([',', '>']).map_or(0, |at| at + 1);
        let is_name = opens && part.trim_end().ends_with('<');
        out.push_str(&part[..name_at]);
        out.push_str(&if is_name { mask.text(&part[name_at..]) } else { part[name_at..].to_owned() });
    }
    out
}

fn shown_body(mask: Masker, head: &str, body: &str) -> String {
    let head = head.to_ascii_lowercase();
    if head.contains("dtmf") {
        return body.replace(|c: char| c.is_ascii_digit(), "*");
    }
    if !head.contains("application/sdp") {
        return mask.text(body);
    }
    let line = |line: &str| match line.get(..2) {
        // RFC 8866 §5: user name, session name, information, URI, e-mail, phone.
        Some("s=" | "i=" | "u=" | "e=" | "p=") => mask.text(line),
        Some("o=") => match line.split_once(' ') {
            Some((user, rest)) => format!("{} {rest}", mask.text(user)),
            None => mask.text(line),
        },
        _ => line.to_owned(),
    };
    body.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_and_the_protocol_stays() {
        let sent = "INVITE sip:+8613800138000@192.168.100.200:5060;transport=udp SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.168.100.201:5060;branch=z9hG4bK1234567890123\r\n\
            From: \"+86 138 0013 8000\" <sip:13800138000@10.20.30.40>;tag=1234567890\r\n\
            To: 13800138000 <tel:+8613800138000>\r\n\
            Contact: <sip:1001@192.168.100.201:5060>\r\n\
            Route: <sip:192.168.100.201;lr>, <sip:[2001:db8::1];lr>\r\n\
            Call-ID: 1234567890@192.168.100.201\r\n\
            CSeq: 1234567890 INVITE\r\n\
            Date: Thu, 26 Nov 2026 08:31:35 GMT\r\n\
            P-Asserted-Identity: <sip:+8613800138000@host>, <tel:+8613800138000;npdi>\r\n\
            Authorization: Digest username=\"13800138000\", nonce=\"01234567890123456789012345678901\", uri=\"sip:13800138000@host\"\r\n\
            Identity: eyJkZXN0Ijp7InRuIjpbIjEzODAwMTM4MDAwIl19fQ;alg=ES256\r\n\
            X-Customer: 138-0013-8000\r\n\
            Subject: call me at\r\n 13800138000\r\n\
            Content-Type: application/sdp\r\n\
            Content-Length: 1520\r\n\r\n\
            v=0\r\no=13800138000 1234567890 1234567890 IN IP4 192.168.100.201\r\ns=for 13800138000\r\n\
            c=IN IP4 192.168.100.201\r\na=ssrc:1234567890 cname:x\r\n";
        let shown = message(Masker::MASKED, sent);
        let expected = "INVITE sip:+86138****8000@192.168.100.200:5060;transport=udp SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.168.100.201:5060;branch=z9hG4bK1234567890123\r\n\
            From: \"+86 13****8000\" <sip:138****8000@10.20.30.40>;tag=1234567890\r\n\
            To: 138****8000 <tel:+86138****8000>\r\n\
            Contact: <sip:1001@192.168.100.201:5060>\r\n\
            Route: <sip:192.168.100.201;lr>, <sip:[2001:db8::1];lr>\r\n\
            Call-ID: 1234567890@192.168.100.201\r\n\
            CSeq: 1234567890 INVITE\r\n\
            Date: Thu, 26 Nov 2026 08:31:35 GMT\r\n\
            P-Asserted-Identity: <sip:+86138****8000@host>, <tel:+86138****8000;npdi>\r\n\
            Authorization: Digest username=\"138****8000\", nonce=\"01234567890123456789012345678901\", uri=\"sip:138****8000@host\"\r\n\
            Identity: ****\r\n\
            X-Customer: 138-0****8000\r\n\
            Subject: call me at\r\n 138****8000\r\n\
            Content-Type: application/sdp\r\n\
            Content-Length: 1520\r\n\r\n\
            v=0\r\no=138****8000 1234567890 1234567890 IN IP4 192.168.100.201\r\ns=for 138****8000\r\n\
            c=IN IP4 192.168.100.201\r\na=ssrc:1234567890 cname:x\r\n";
        assert_eq!(shown, expected);
        assert_eq!(message(Masker::new(true), sent), sent);
        let signed = "INVITE sip:a SIP/2.0\r\nIdentity: abc;\r\n def\r\n\r\n";
        assert_eq!(
            message(Masker::MASKED, signed),
            "INVITE sip:a SIP/2.0\r\nIdentity: ****\r\n ****\r\n\r\n"
        );
        let refusal = "SIP/2.0 404 No 13800138000 here\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(message(Masker::MASKED, refusal), refusal.replace("13800138000", "138****8000"));
    }

    proptest::proptest! {
        /// Any bytes can be shown, and a number in a URI never is.
        #[test]
        fn any_message_can_be_shown(before in ".{0,60}", after in ".{0,60}") {
            let _ = message(Masker::MASKED, &before);
            let text = format!("INVITE sip:a SIP/2.0\r\nX: {before} \r\nTo: <sip:13800138000@h>{after}");
            proptest::prop_assert!(!message(Masker::MASKED, &text).contains("sip:13800138000"));
        }
    }
}
