//! What goes on beside what a call is made of: headers that the other side's trunk lets pass, and parts of bodies, in every
//! message of a call, whichever side it comes from. Of the INVITE that begins it, see `admit.rs`.

use super::Transit;
use super::admit::PART_BYTES_MAX;
use crate::call::policy::Policy;
use crate::shard::CallShard;
use bytes::{Bytes, BytesMut};
use sansio::Key;
use sip_proxy::ua::Carried;
use sip_proxy::wire::{HeaderName, Limits, Message, parse};

/// Lines of one header that a refusal may take along.
const REFUSAL_LINES_MAX: usize = 4;

impl CallShard {
    /// The message that has just come from one side of a call says something beside: it goes on with what the other side
    /// is told next of it.
    ///
    /// * `sdp` the session description in it
    pub(super) fn pass_along(&mut self, key: Key<Transit>, from_caller: bool, sdp: Option<&[u8]>) {
        self.pass_along_with(key, from_caller, sdp, None);
    }

    /// The same for what ends the call.
    ///
    /// * `refused_with` the status that the caller is refused with, where the callee's side has refused
    pub(super) fn pass_along_end(&mut self, key: Key<Transit>, from_caller: bool, refused_with: Option<u16>) {
        self.pass_along_with(key, from_caller, None, refused_with);
    }

    fn pass_along_with(
        &mut self,
        key: Key<Transit>,
        from_caller: bool,
        sdp: Option<&[u8]>,
        refused_with: Option<u16>,
    ) {
        let Some(transit) = self.transits.get(key).filter(|_| !self.heard.is_empty()) else { return };
        let (from, to, leg) = if from_caller {
            (transit.from, transit.to, transit.callee)
        } else {
            (transit.to, transit.from, transit.caller)
        };
        // Who wants to be unknown says nothing that we do not understand.
        let hidden = from_caller && transit.hidden;
        let nothing = Policy::default();
        let to = match self.trunks.get(to) {
            Some(trunk) => &*trunk.policy,
            // An agent's phone.
            None if refused_with.is_some() => &nothing,
            None => return,
        };
        if hidden {
            return;
        }
        let has_parts = to.is_trusted() && !is_plain(&self.heard, sdp);
        if !has_parts && !to.passes_any() && refused_with.is_none() {
            return;
        }
        let from = self.trunks.get(from).map_or(&nothing, |trunk| &*trunk.policy);
        // It was read before, so that it can be read again.
        let Ok(message) = parse(self.heard.clone(), &Limits::default()) else { return };
        let mut lines = header_lines(&message, from, to);
        if refused_with == Some(message.status()) {
            refusal_lines(&message, from, to, &mut lines);
        }
        let lines = lines.freeze();
        let parts = if has_parts { other_parts(&message) } else { Vec::new() };
        self.ua.carry(leg, Carried { lines, parts });
    }

    /// What was to go on and did not is forgotten: it belonged to that message.
    pub(super) fn passed_along(&mut self, key: Key<Transit>, from_caller: bool) {
        let leg = self.transits.get(key).map(|transit| transit.leg_of(!from_caller));
        if let Some(leg) = leg.filter(|_| !self.heard.is_empty()) {
            self.ua.carry(leg, Carried::default());
        }
    }
}

/// Whether a message holds nothing but header lines and this description, without taking it apart.
fn is_plain(message: &[u8], sdp: Option<&[u8]>) -> bool {
    let head = match sdp {
        Some(sdp) => message.strip_suffix(sdp),
        None => Some(message),
    };
    head.is_some_and(|head| head.ends_with(b"\r\n\r\n"))
}

fn header_lines(message: &Message, from: &Policy, to: &Policy) -> BytesMut {
    let mut lines = BytesMut::new();
    for (name, value) in to.passed_within(message, from) {
        put_line(&mut lines, name, value.as_bytes());
    }
    lines
}

fn put_line(lines: &mut BytesMut, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    // A folded line becomes one.
    lines.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    lines.extend_from_slice(b"\r\n");
}

/// What a refusal says besides, by which the caller can do better (RFC 3261 §21.4): what would have been taken instead,
/// and why it was not (Warning, in our name: who is behind us is nobody's business). When to try again, too, but not
/// with 503: that would be said of us, and of every call.
fn refusal_lines(message: &Message, from: &Policy, to: &Policy, lines: &mut BytesMut) {
    let kept = |name: &HeaderName| !from.removes(name.as_str()) && !to.removes(name.as_str());
    let instead: &[HeaderName] = match message.status() {
        405 => &[HeaderName::Allow],
        406 | 415 => &[HeaderName::Accept, HeaderName::AcceptEncoding, HeaderName::AcceptLanguage],
        420 => &[HeaderName::Unsupported],
        422 => &[HeaderName::MinSe],
        _ => &[],
    };
    for name in instead.iter().filter(|name| kept(name)) {
        for value in message.headers(*name).take(REFUSAL_LINES_MAX) {
            put_line(lines, name.as_str(), value);
        }
    }
    if let 404 | 413 | 480 | 486 | 500 | 600 | 603 = message.status()
        && kept(&HeaderName::RetryAfter)
        && let Some(seconds) = message.seconds(HeaderName::RetryAfter)
    {
        put_line(lines, HeaderName::RetryAfter.as_str(), seconds.to_string().as_bytes());
    }
    if kept(&HeaderName::Warning) {
        for (code, text) in message.values(HeaderName::Warning).filter_map(warning).take(REFUSAL_LINES_MAX) {
            put_line(lines, HeaderName::Warning.as_str(), &[code, b" dialerd ", text].concat());
        }
    }
}

/// Code and quoted text of `warn-code SP warn-agent SP warn-text` (RFC 3261 §20.43).
fn warning(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (code, rest) = value.split_at_checked(3)?;
    let quote = rest.iter().position(|byte| *byte == b'"')?;
    let (agent, text) = rest.split_at(quote);
    let agent = agent.strip_prefix(b" ")?.strip_suffix(b" ")?;
    let sound = code.iter().all(u8::is_ascii_digit)
        && !agent.trim_ascii().is_empty()
        && text.len() >= 2
        && text.ends_with(b"\"");
    sound.then_some((code, text))
}

/// Parts beside the description; a body that is of another kind altogether is one of them.
fn other_parts(message: &Message) -> Vec<Bytes> {
    let parts = message.other_parts();
    let alone = parts.is_empty() && !message.body().is_empty() && message.session_description().is_none();
    let parts: Vec<Bytes> = if alone {
        let mut part = BytesMut::new();
        for name in [HeaderName::ContentType, HeaderName::ContentDisposition, HeaderName::ContentEncoding] {
            if let Some(value) = message.header(name) {
                for piece in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
                    part.extend_from_slice(piece);
                }
            }
        }
        part.extend_from_slice(b"\r\n");
        part.extend_from_slice(message.body());
        vec![part.freeze()]
    } else {
        parts.into_iter().map(Bytes::copy_from_slice).collect()
    };
    if parts.iter().map(Bytes::len).sum::<usize>() > PART_BYTES_MAX { Vec::new() } else { parts }
}
