//! Which shard a message is for, when all shards share a port.
//!
//! What answers or continues something of ours carries the mark of its shard: the branch of a response, the To tag or
//! the Request-URI (our Contact) of a request, and the dialog that a Replaces names. Everything else is new, and goes by its Call-ID, so that the copies, the
//! CANCEL and the ACK of one INVITE meet; registrations all go to the first shard, which keeps them.

use crate::mark::shard_of;
use crate::wire::HeaderName;

/// The shard, below `shards`; 0 for what is no message. One look over the head, nothing is checked.
#[must_use]
pub fn shard_for(message: &[u8], shards: u16) -> u16 {
    if shards <= 1 {
        return 0;
    }
    match place_of(message, shards) {
        Place::Marked(shard) => shard,
        Place::New(call_id) => (fnv(call_id) % u64::from(shards)) as u16,
    }
}

/// The shard whose mark a message carries, below `shards`; `None` for what begins something.
#[must_use]
pub fn marked_shard(message: &[u8], shards: u16) -> Option<u16> {
    match place_of(message, shards) {
        Place::Marked(shard) => Some(shard),
        Place::New(_) => None,
    }
}

/// The shard, below `shards`, that has sent a request of which perhaps only the beginning is there; `None` when that does
/// not say.
#[must_use]
pub fn sending_shard(request: &[u8], shards: u16) -> Option<u16> {
    sent_branch(request).and_then(|(_, branch)| shard_of(branch)).filter(|shard| *shard < shards.max(1))
}

/// The method of a request of ours and the branch in its Via, which stands first; `None` for a response, and for what was
/// cut off before.
pub(crate) fn sent_branch(request: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut lines = request.split_inclusive(|byte| *byte == b'\n');
    let method = lines.next()?.split(|byte| *byte == b' ').next()?;
    let via = lines.next()?.strip_suffix(b"\r\n")?;
    let colon = memchr::memchr(b':', via)?;
    if method.starts_with(b"SIP/") || HeaderName::from_bytes(&via[..colon]) != HeaderName::Via {
        return None;
    }
    Some((method, parameter(&via[colon + 1..], b"branch=")?))
}

/// Where a message belongs.
enum Place<'m> {
    Marked(u16),
    /// With this Call-ID.
    New(&'m [u8]),
}

fn place_of(message: &[u8], shards: u16) -> Place<'_> {
    let start = message.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let message = &message[start..];
    let Some(first_end) = memchr::memchr(b'\n', message) else { return Place::Marked(0) };
    let first = &message[..first_end];
    let own = |text: Option<&[u8]>| text.and_then(shard_of).filter(|shard| *shard < shards);
    let response = first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if !response {
        if first.starts_with(b"REGISTER ") {
            return Place::Marked(0);
        }
        // Our Contact: `sip:<tag>@host`.
        let user =
            first.split(|byte| *byte == b':').nth(1).and_then(|rest| rest.split(|b| *b == b'@').next());
        if let Some(shard) = own(user) {
            return Place::Marked(shard);
        }
    }
    let mut call_id: &[u8] = &[];
    for line in message[first_end + 1..].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
        let found = match HeaderName::from_bytes(name) {
            HeaderName::Via if response => own(parameter(value, b"branch=")),
            HeaderName::To if !response => own(parameter(value, b"tag=")),
            HeaderName::Replaces if !response => {
                own(parameter(value, b"to-tag=")).or_else(|| own(parameter(value, b"from-tag=")))
            }
            HeaderName::CallId if call_id.is_empty() => {
                call_id = value;
                None
            }
            _ => None,
        };
        if let Some(shard) = found {
            return Place::Marked(shard);
        }
    }
    Place::New(call_id)
}

/// The value of a parameter, named with its `=`.
fn parameter<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let mut parts = value.split(|byte| *byte == b';');
    let found = parts.find_map(|part| {
        let part = part.trim_ascii();
        let (start, rest) = part.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    })?;
    found.split(|byte| matches!(byte, b',' | b' ' | b'\t' | b'>')).next()
}

/// FNV-1a: the same on every shard and in every run.
fn fnv(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Mark;

    fn mark(shard: u16) -> String {
        String::from_utf8(Mark { shard, key: 7, random: 9 }.text().to_vec()).expect("text")
    }

    #[test]
    fn what_was_quoted_names_its_sender() {
        let ours = mark(2);
        let request =
            format!("INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK{ours}\r\nMax-Fo");
        assert_eq!(sending_shard(request.as_bytes(), 4), Some(2));
        let branch = format!("z9hG4bK{ours}");
        assert_eq!(sent_branch(request.as_bytes()), Some((&b"INVITE"[..], branch.as_bytes())));
        assert_eq!(sending_shard(request.as_bytes(), 2), None, "there is no such shard");
        for length in 0..request.find("Max").unwrap_or(0) {
            assert_eq!(sending_shard(&request.as_bytes()[..length], 4), None, "{length}");
        }
        let response = request.replace("INVITE sip:1@h SIP/2.0", "SIP/2.0 200 OK");
        let other = request.replace("Via", "From");
        for text in [response.as_str(), &other, "", "\r\n\r\n", "x\r\n:\r\n", "BYE x\r\nVia: x\r\n"] {
            assert_eq!(sending_shard(text.as_bytes(), 4), None, "{text}");
        }
    }

    #[test]
    fn what_is_ours_comes_home_and_what_is_new_stays_together() {
        let ours = mark(2);
        let response = format!(
            "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK{ours};x=y\r\nCall-ID: a\r\n\r\n"
        );
        assert_eq!(shard_for(response.as_bytes(), 4), 2);
        let bye = format!("BYE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:a@h> ; tag={ours}\r\n\r\n");
        assert_eq!(shard_for(bye.as_bytes(), 4), 2);
        let ack = format!("\r\nACK sip:{ours}@h:5060 SIP/2.0\r\nCall-ID: a\r\n\r\n");
        assert_eq!(shard_for(ack.as_bytes(), 4), 2);
        let taking = format!(
            "INVITE sip:x@h SIP/2.0\r\nCall-ID: a\r\nReplaces: b@h ; to-tag={ours};from-tag=x\r\n\r\n"
        );
        assert_eq!(shard_for(taking.as_bytes(), 4), 2);
        assert_eq!(
            (marked_shard(taking.as_bytes(), 4), marked_shard(b"INVITE sip:x@h SIP/2.0\r\n\r\n", 4)),
            (Some(2), None)
        );
        // A shard that there is no more.
        assert!(shard_for(bye.as_bytes(), 2) < 2);
        assert_eq!(shard_for(bye.as_bytes(), 1), 0);
        let new = |method: &str, id: &str| {
            format!("{method} sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{ours}\r\ni: {id}\r\n\r\n")
        };
        let mut seen = [0_u32; 4];
        for id in 0..400 {
            let id = format!("call-{id}@h");
            let shard = shard_for(new("INVITE", &id).as_bytes(), 4);
            assert_eq!(shard, shard_for(new("CANCEL", &id).as_bytes(), 4));
            seen[usize::from(shard)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(shard_for(new("REGISTER", "x").as_bytes(), 4), 0);
        for rubbish in [&b""[..], b"\r\n\r\n", b"x", b"\xff\n:\n", b"SIP/2.0 200\r\nVia:\r\n\r\n"] {
            assert!(shard_for(rubbish, 4) < 4);
        }
    }
}
