//! Transfers: REFER both ways with its NOTIFYs (RFC 3515, 4488), and Replaces (RFC 3891).
//!
//! ```text
//!   peer ── REFER ─────────► us     Event::Refer; accept_refer, reject_refer
//!   peer ◄─ 202, NOTIFY 100 ──      (no NOTIFY where the peer wants none: Refer-Sub: false)
//!   peer ◄─ NOTIFY 180, 200 ──      notify_refer, while the leg stands
//! ```

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::leg::State;
use super::{Arrival, Event, LegError, LegKey, Output, UserAgent};
use crate::mark::Mark;
use crate::status::reason_phrase;
use crate::transaction::{ClientUser, ServerKey};
use crate::wire::{HeaderName, Limits, Message, Method, Scheme, Uri, Writer, parse};

/// Header of RFC 4488, and our option tags.
const REFER_SUB: &str = "Refer-Sub";
pub(super) const NO_SUBSCRIPTION: &str = "norefersub";
pub(super) const REPLACES: &str = "replaces";

/// By this an INVITE from another shard of the node is known.
const SIBLING: &str = "X-Dialerd-Sibling";

/// How long a peer may wait for the outcome, as the NOTIFY says; what ends it is the outcome.
const ACTIVE: &[u8] = b"active;expires=300";
const TERMINATED: &[u8] = b"terminated;reason=noresource";
const SIPFRAG: &[u8] = b"message/sipfrag;version=2.0";

/// Bytes of a target or Referred-By that are carried on.
const TARGET_BYTES_MAX: usize = 1024;

/// What goes on about transfers in a leg.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    /// The peer's REFER that we carry out.
    asked: Option<Asked>,
    /// REFERs taken, so that later ones are told apart by their id (RFC 3515 §2.4.6).
    count: u32,
    /// Our REFER that the peer carries out.
    asking: bool,
}

#[derive(Debug)]
struct Asked {
    /// Until it is answered.
    server: Option<ServerKey>,
    /// The peer wants to hear of it.
    subscribed: bool,
    /// CSeq of the REFER, told in NOTIFYs about all but the first.
    id: Option<u32>,
}

/// The dialog that a Replaces names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// One of our legs.
    Leg(LegKey),
    /// One of another shard of this node: the header's value.
    Sibling(Bytes),
    /// None of ours: the header's value.
    Elsewhere(Bytes),
}

/// The parts of a Replaces value.
struct Replaces<'v> {
    call_id: &'v [u8],
    to_tag: &'v [u8],
    from_tag: &'v [u8],
    early_only: bool,
}

impl<'v> Replaces<'v> {
    fn parse(value: &'v [u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?;
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let at = memchr::memchr(b'=', part).unwrap_or(part.len());
            let text = part.get(at + 1..).unwrap_or_default();
            match &part[..at] {
                name if name.eq_ignore_ascii_case(b"to-tag") => to_tag = Some(text),
                name if name.eq_ignore_ascii_case(b"from-tag") => from_tag = Some(text),
                name if name.eq_ignore_ascii_case(b"early-only") => early_only = true,
                _ => {}
            }
        }
        Some(Replaces { call_id, to_tag: to_tag?, from_tag: from_tag?, early_only })
    }
}

impl UserAgent {
    /// The leg that a Replaces names, live or just over. Our tag is one of the two, whoever wrote them in which order.
    fn leg_replaced(&self, replaces: &Replaces<'_>) -> Option<LegKey> {
        [(replaces.to_tag, replaces.from_tag), (replaces.from_tag, replaces.to_tag)].into_iter().find_map(
            |(ours, theirs)| {
                let mark = Mark::parse(ours).filter(|mark| mark.shard == self.layer.shard)?;
                let leg = self.leg_of_mark(&mark)?;
                let same = match (&leg.dialog, &leg.calling) {
                    (Some(dialog), _) => {
                        dialog.call_id() == replaces.call_id
                            && dialog.remote_tag().eq_ignore_ascii_case(theirs)
                    }
                    // Our INVITE is out: one of its early dialogs.
                    (None, Some(calling)) => {
                        calling.has_fork(self.tag_hash(Some(theirs)))
                            && self.call_id_of(&mark) == replaces.call_id
                    }
                    (None, None) => false,
                };
                same.then_some(LegKey::from_bits(mark.key))
            },
        )
    }

    /// Whether our INVITE is out, and not given up.
    #[must_use]
    pub fn is_calling(&self, leg: LegKey) -> bool {
        self.legs.get(leg).is_some_and(|leg| leg.state == State::Calling)
    }

    /// What the INVITE of ours that is out offers; `None` when none is, or it waits for its way.
    #[must_use]
    pub fn offer_of(&self, leg: LegKey) -> Option<Bytes> {
        let leg = self.legs.get(leg).filter(|leg| leg.state == State::Calling)?;
        parse(self.request_of(leg.invite?), &Limits::default()).ok()?.session_description()
    }

    /// Whether the dialog that a Replaces names carries the mark of another shard.
    fn is_siblings(&self, replaces: &Replaces<'_>) -> bool {
        let marks = [replaces.to_tag, replaces.from_tag].map(Mark::parse);
        self.config.node_secret != 0 && marks.into_iter().flatten().any(|mark| mark.shard != self.layer.shard)
    }

    /// What a shard writes into its INVITE to another one of its node, beside a Replaces of this value: only a shard of
    /// the node can make it.
    #[must_use]
    pub fn sibling_proof(&self, replaces: &[u8]) -> (&'static str, String) {
        let mut rng = sansio::Rng::from_seed(self.config.node_secret);
        let hash = crate::hash::Secret::new(&mut rng).hash(&[b"sibling", replaces]);
        (SIBLING, format!("{hash:032x}"))
    }

    /// Whether an INVITE comes from another shard of this node, for the place of a leg of ours.
    pub(super) fn is_of_sibling(&self, request: &Message) -> bool {
        let (Some(proof), Some(replaces)) =
            (request.header_by_text(SIBLING), request.header(HeaderName::Replaces))
        else {
            return false;
        };
        self.config.node_secret != 0 && self.sibling_proof(replaces).1.as_bytes() == proof
    }

    /// The value of a Replaces that names a leg's dialog to its peer (RFC 3891 §6.1): for an INVITE there, or escaped
    /// for the Refer-To of [`UserAgent::refer`].
    #[must_use]
    pub fn replaces(&self, key: LegKey) -> Option<Vec<u8>> {
        let leg = self.legs.get(key)?;
        let dialog = leg.dialog.as_ref()?;
        let ours = self.tag(key, leg.random);
        let parts = [dialog.call_id(), b";to-tag=", dialog.remote_tag(), b";from-tag=", &ours];
        Some(parts.concat())
    }

    /// What the Replaces of an INVITE asks for (RFC 3891 §3): nothing, a leg, or a refusal with this status.
    pub(super) fn replaced_by(&self, request: &Message) -> Result<Option<LegKey>, u16> {
        let mut values = request.headers(HeaderName::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(400);
        }
        let replaces = Replaces::parse(value).ok_or(400_u16)?;
        let key = self.leg_replaced(&replaces).ok_or(481_u16)?;
        match self.legs.get(key).map(|leg| leg.state) {
            Some(State::Confirmed | State::Answered) if replaces.early_only => Err(486),
            // An early dialog is replaced where we have begun it, and not where the peer has.
            Some(State::Confirmed | State::Calling) => Ok(Some(key)),
            Some(state) if state.is_over() || state == State::Cancelling => Err(603),
            _ => Err(481),
        }
    }

    /// REFER of the peer.
    pub(super) fn referred(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let status = match self.legs.get(key) {
            Some(leg) if !matches!(leg.state, State::Confirmed | State::Answered) => Some(481),
            Some(leg) if leg.transfers.as_ref().is_some_and(|transfers| transfers.asked.is_some()) => {
                Some(491)
            }
            _ => None,
        };
        if let Some(status) = status {
            return self.answer_request(now, arrival, request, status, |_| {}, out);
        }
        let (target, replaces) = match refer_to(request) {
            Ok(found) => found,
            Err(status) => return self.answer_request(now, arrival, request, status, |_| {}, out),
        };
        let replaces = replaces.map(|value| match Replaces::parse(&value) {
            Some(parsed) => match self.leg_replaced(&parsed) {
                Some(leg) => Replaced::Leg(leg),
                None if self.is_siblings(&parsed) => Replaced::Sibling(value),
                None => Replaced::Elsewhere(value),
            },
            None => Replaced::Elsewhere(value),
        });
        let referred_by = request
            .header(HeaderName::ReferredBy)
            .filter(|value| value.len() <= TARGET_BYTES_MAX)
            .map(Bytes::copy_from_slice);
        let wants_none = request.header_by_text(REFER_SUB).is_some_and(|value| {
            value.trim_ascii().get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"false"))
        });
        let Some(leg) = self.legs.get(key) else { return };
        let tag = self.tag(key, leg.random);
        let Some(server) = self.begin_later(arrival, key, request, &tag) else {
            return self.refuse_busy(arrival, request, out);
        };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let transfers = leg.transfers.get_or_insert_default();
        let id = (transfers.count > 0).then_some(request.cseq().0);
        transfers.count += 1;
        transfers.asked = Some(Asked { server: Some(server), subscribed: !wants_none, id });
        let owner = leg.owner;
        out.push(Output::Event(Event::Refer { leg: key, owner, target, replaces, referred_by }));
    }

    /// Takes a transfer on: 202, and the first NOTIFY.
    ///
    /// # Errors
    /// When none is asked for.
    pub fn accept_refer(
        &mut self,
        now: Instant,
        leg: LegKey,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let (server, subscribed) = self.take_refer(leg)?;
        let more = |_: Option<&super::Leg>, writer: &mut Writer<'_>| {
            if !subscribed {
                writer.header_text(REFER_SUB, b"false");
            }
        };
        self.respond_invite_with(now, server, 202, None, &[], more, out);
        if subscribed {
            self.notify_refer(now, leg, 100, out)?;
        } else if let Some(transfers) = self.legs.get_mut(leg).and_then(|leg| leg.transfers.as_mut()) {
            transfers.asked = None;
        }
        Ok(())
    }

    /// Refuses a transfer with 300 to 699.
    ///
    /// # Errors
    /// When none is asked for.
    pub fn reject_refer(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let (server, _) = self.take_refer(leg)?;
        self.respond_invite(now, server, code.clamp(300, 699), None, &[], out);
        if let Some(transfers) = self.legs.get_mut(leg).and_then(|leg| leg.transfers.as_mut()) {
            transfers.asked = None;
        }
        Ok(())
    }

    fn take_refer(&mut self, leg: LegKey) -> Result<(ServerKey, bool), LegError> {
        let leg = self.legs.get_mut(leg).ok_or(LegError::Gone)?;
        let asked = leg.transfers.as_mut().and_then(|transfers| transfers.asked.as_mut());
        let asked = asked.ok_or(LegError::WrongState)?;
        let server = asked.server.take().ok_or(LegError::WrongState)?;
        Ok((server, asked.subscribed))
    }

    /// Tells the peer how the transfer that it asked for goes: 100 to 699; a final status is the last word. Nothing
    /// is told to a peer that wants to hear nothing, or that has hung up.
    ///
    /// # Errors
    /// When the leg is gone.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let known = self.legs.get_mut(leg).filter(|leg| !leg.state.is_over()).ok_or(LegError::Gone)?;
        let Some(transfers) = &mut known.transfers else { return Ok(()) };
        let Some(asked) = transfers.asked.as_ref().filter(|asked| asked.server.is_none()) else {
            return Ok(());
        };
        let event = match asked.id {
            Some(id) => format!("refer;id={id}"),
            None => "refer".to_owned(),
        };
        let state = if code >= 200 { TERMINATED } else { ACTIVE };
        if code >= 200 {
            transfers.asked = None;
        }
        let fragment = format!("SIP/2.0 {code} {}\r\n", reason_phrase(code));
        let more = |writer: &mut Writer<'_>| {
            writer.header(HeaderName::Event, event.as_bytes()).header(HeaderName::SubscriptionState, state);
        };
        let user = ClientUser::Notify(leg);
        self.send_within(now, leg, Method::Notify, user, more, Some((SIPFRAG, fragment.as_bytes())), out);
        Ok(())
    }

    /// The peer's answer to a NOTIFY: one that knows nothing of it is told no more.
    pub(super) fn notify_final(&mut self, key: LegKey, status: u16) {
        if status == 481
            && let Some(transfers) = self.legs.get_mut(key).and_then(|leg| leg.transfers.as_mut())
            && transfers.asked.as_ref().is_some_and(|asked| asked.server.is_none())
        {
            transfers.asked = None;
        }
    }

    /// Asks the peer of a confirmed leg to call someone else. `ReferAnswered` follows, then `ReferProgress`.
    ///
    /// # Errors
    /// When the leg is not confirmed, the URI is none, or another REFER of ours is under way.
    pub fn refer(
        &mut self,
        now: Instant,
        leg: LegKey,
        refer_to: &[u8],
        referred_by: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let known = self.legs.get_mut(leg).ok_or(LegError::Gone)?;
        if known.state != State::Confirmed || Uri::parse(refer_to).is_err() {
            return Err(LegError::WrongState);
        }
        let transfers = known.transfers.get_or_insert_default();
        if core::mem::replace(&mut transfers.asking, true) {
            return Err(LegError::Pending);
        }
        let more = |writer: &mut Writer<'_>| {
            writer.header_parts(HeaderName::ReferTo, &[b"<", refer_to, b">"]);
            if let Some(referred_by) = referred_by {
                writer.header(HeaderName::ReferredBy, referred_by);
            }
        };
        if self.send_within(now, leg, Method::Refer, ClientUser::Refer(leg), more, None, out) {
            return Ok(());
        }
        if let Some(transfers) = self.legs.get_mut(leg).and_then(|leg| leg.transfers.as_mut()) {
            transfers.asking = false;
        }
        Err(LegError::Limit)
    }

    /// The final response to our REFER; 408 for none.
    pub(super) fn refer_final(&mut self, key: LegKey, code: u16, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| !leg.state.is_over()) else { return };
        let owner = leg.owner;
        if code >= 300
            && let Some(transfers) = &mut leg.transfers
        {
            transfers.asking = false;
        }
        out.push(Output::Event(Event::ReferAnswered { leg: key, owner, code }));
    }

    /// NOTIFY of the peer about a REFER of ours; about anything else 481 (RFC 6665 §4.1.3).
    pub(super) fn notified(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let event = request.header(HeaderName::Event).unwrap_or_default();
        let package = event.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let Some(leg) = self.legs.get_mut(key) else { return };
        let asking = leg.transfers.as_mut().filter(|transfers| transfers.asking);
        let Some(transfers) = asking.filter(|_| package.eq_ignore_ascii_case(b"refer")) else {
            return self.answer_request(now, arrival, request, 481, |_| {}, out);
        };
        let state = request.header(HeaderName::SubscriptionState).unwrap_or_default();
        let done = state.get(..10).is_some_and(|word| word.eq_ignore_ascii_case(b"terminated"));
        if done {
            transfers.asking = false;
        }
        let code = request
            .body()
            .strip_prefix(b"SIP/2.0 ")
            .and_then(|rest| core::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
            .filter(|code| (100..=699).contains(code));
        let owner = leg.owner;
        self.answer_request(now, arrival, request, 200, |_| {}, out);
        if let Some(code) = code {
            out.push(Output::Event(Event::ReferProgress { leg: key, owner, code, done }));
        }
    }

    /// Sends INFO in a confirmed leg; nobody hears of its answer.
    ///
    /// # Errors
    /// When the leg is not confirmed.
    pub fn info(
        &mut self,
        now: Instant,
        leg: LegKey,
        content_type: &[u8],
        body: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let known = self.legs.get(leg).ok_or(LegError::Gone)?;
        if known.state != State::Confirmed {
            return Err(LegError::WrongState);
        }
        let body = Some((content_type, body)).filter(|(_, body)| !body.is_empty());
        if self.send_within(now, leg, Method::Info, ClientUser::Nobody, |_| {}, body, out) {
            Ok(())
        } else {
            Err(LegError::Limit)
        }
    }

    /// A request in the dialog of a leg that is neither INVITE nor BYE. False when there is no room for it.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    fn send_within(
        &mut self,
        now: Instant,
        key: LegKey,
        method: Method,
        user: ClientUser,
        more: impl FnOnce(&mut Writer<'_>),
        body: Option<(&[u8], &[u8])>,
        out: &mut Outbox<Output>,
    ) -> bool {
        let text = method.as_str().as_bytes();
        self.send_within_text(now, key, (method, text), user, more, body, out)
    }

    /// The same with a method in text, which need not be one we know.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    pub(super) fn send_within_text(
        &mut self,
        now: Instant,
        key: LegKey,
        (method, text): (Method, &[u8]),
        user: ClientUser,
        more: impl FnOnce(&mut Writer<'_>),
        body: Option<(&[u8], &[u8])>,
        out: &mut Outbox<Output>,
    ) -> bool {
        self.renew_hop(key);
        let Some(leg) = self.legs.get(key) else { return false };
        let (listener, peer, random) = (leg.listener, leg.peer, leg.random);
        if leg.dialog.is_none() {
            return false;
        }
        let Some((client, branch)) = self.layer.reserve(method, listener, peer, user) else { return false };
        let tag = self.tag(key, random);
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let Some(dialog) = &mut leg.dialog else { return false };
        dialog.local_cseq += 1;
        let cseq = dialog.local_cseq;
        let mut writer = dialog.request_text(&mut self.layer.scratch, text, cseq, sent_by, &branch);
        if matches!(method, Method::Refer | Method::Notify) {
            self.layer.outlets.write_contact(listener, leg.secure, &tag, &mut writer);
        }
        let login =
            leg.trunk.and_then(|trunk| self.trunks.get(&trunk)).and_then(|state| state.trunk.login.as_ref());
        if let Some(login) = login {
            let (uri, body) = (dialog.request_uri(), body.map_or(&[][..], |(_, body)| body));
            for answerer in &mut leg.answerers {
                answerer.write(login, text, uri, body, &mut self.layer.rng, &mut writer);
            }
        }
        writer.header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        more(&mut writer);
        match body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.no_body(),
        }
        drop(writer);
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
        true
    }
}

impl Transfers {
    /// The transaction of a REFER without an answer.
    pub(super) fn open(&mut self) -> Option<ServerKey> {
        self.asked.as_mut()?.server.take()
    }
}

/// The target of a REFER and the Replaces in it, or the status that refuses it.
fn refer_to(request: &Message) -> Result<(Bytes, Option<Bytes>), u16> {
    // RFC 3515 §2.4.2: exactly one.
    if request.values(HeaderName::ReferTo).count() != 1 {
        return Err(400);
    }
    let address = request.address(HeaderName::ReferTo).map_err(|_| 400_u16)?;
    let uri = address.uri().map_err(|_| 400_u16)?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(416);
    }
    if uri.param("method").is_some_and(|method| !method.eq_ignore_ascii_case(b"INVITE")) {
        return Err(501);
    }
    let headers = uri.headers.unwrap_or_default();
    let replaces = headers.split(|byte| *byte == b'&').find_map(|header| {
        let at = memchr::memchr(b'=', header)?;
        header[..at].eq_ignore_ascii_case(b"Replaces").then(|| Bytes::from(unescape(&header[at + 1..])))
    });
    let end = memchr::memchr(b'?', address.uri_text).unwrap_or(address.uri_text.len());
    let target = &address.uri_text[..end];
    if target.len() > TARGET_BYTES_MAX {
        return Err(414);
    }
    Ok((Bytes::copy_from_slice(target), replaces))
}

/// Resolves `%hh`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = (*byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| core::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    bytes
}
