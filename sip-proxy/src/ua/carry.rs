//! What a message of ours says beside what it is made of: what the other side of a call has said, passed on by those above.

use bytes::Bytes;

use super::uac::{finish, finish_with_parts};
use super::{LegKey, UserAgent};
use crate::wire::Writer;

/// Header lines and parts of a body (RFC 5621) that go on with a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Whole header lines, each with its end.
    pub lines: Bytes,
    /// Parts of the body beside the session description: header lines, an empty line, body.
    pub parts: Vec<Bytes>,
}

impl Carried {
    /// There is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.parts.is_empty()
    }

    /// Ends a message with a session description, if there is one, and with the parts.
    ///
    /// * `boundary` nobody can have written into a part before
    pub(super) fn finish(&self, writer: Writer<'_>, sdp: &[u8], boundary: &[u8]) {
        if self.parts.is_empty() {
            return finish(writer, sdp);
        }
        let parts: Vec<&[u8]> = self.parts.iter().map(|part| &part[..]).collect();
        finish_with_parts(writer, sdp, &parts, boundary);
    }
}

impl UserAgent {
    /// What goes on with the next provisional or final response to the INVITE or re-INVITE of a leg's peer, or with the
    /// next re-INVITE, UPDATE, BYE or request that is sent on to it. Empty: nothing does.
    pub fn carry(&mut self, leg: LegKey, carried: Carried) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.carried = (!carried.is_empty()).then(|| Box::new(carried));
        }
    }

    /// … which is that of the message that is being written.
    pub(super) fn take_carried(&mut self, leg: LegKey) -> Option<Box<Carried>> {
        self.legs.get_mut(leg).and_then(|leg| leg.carried.take())
    }
}
