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

impl CallShard {
    /// The message that has just come from one side of a call says something beside: it goes on with what the other side
    /// is told next of it.
    ///
    /// * `sdp` the session description in it
    pub(super) fn pass_along(&mut self, key: Key<Transit>, from_caller: bool, sdp: Option<&[u8]>) {
        let Some(transit) = self.transits.get(key).filter(|_| !self.heard.is_empty()) else { return };
        let (from, to, leg) = if from_caller {
            (transit.from, transit.to, transit.callee)
        } else {
            (transit.to, transit.from, transit.caller)
        };
        // Who wants to be unknown says nothing that we do not understand.
        let hidden = from_caller && transit.hidden;
        let Some(to) = self.trunks.get(to).filter(|_| !hidden).map(|trunk| &*trunk.policy) else { return };
        let has_parts = to.is_trusted() && !is_plain(&self.heard, sdp);
        if !has_parts && !to.passes_any() {
            return;
        }
        let nothing = Policy::default();
        let from = self.trunks.get(from).map_or(&nothing, |trunk| &*trunk.policy);
        // It was read before, so that it can be read again.
        let Ok(message) = parse(self.heard.clone(), &Limits::default()) else { return };
        let lines = header_lines(&message, from, to);
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

fn header_lines(message: &Message, from: &Policy, to: &Policy) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in to.passed_within(message, from) {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        // A folded line becomes one.
        lines.extend(value.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        lines.extend_from_slice(b"\r\n");
    }
    lines.freeze()
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
