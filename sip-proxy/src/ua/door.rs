//! The doors of the user agent: what is asked of it, what it tells, what it sends.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use sansio::SharedPace;

use super::leg::Leg;
use super::refer::Replaced;
use super::relay::RequestKey;
use crate::transport::Network;
use crate::transport::locate::{Question, Wanted};
use crate::wire::Message;

/// A handle to a leg. Stale once the leg has ended.
pub type LegKey = sansio::Key<Leg>;

/// What the user agent wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram; or over the connection of this listener with this peer, which is made if there is none.
    Send {
        /// From this listener's socket.
        listener: u8,
        /// To this address.
        to: SocketAddr,
        /// The message.
        bytes: Bytes,
    },
    /// Close the connection with this peer, after what was sent before.
    Close {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end of it.
        peer: SocketAddr,
    },
    /// Ask the domain name system; [`super::UserAgent::located`] is owed an answer.
    Ask(Question),
    /// New connections to this address must be shown a certificate for this name.
    ServerName {
        /// By this listener.
        listener: u8,
        /// To this address.
        to: SocketAddr,
        /// A host name.
        name: String,
        /// Only the one that the answer sent next makes, and only where no other name is known.
        answers: bool,
    },
    /// Tell those above.
    Event(Event),
}

/// What has happened. `owner` is what [`Invite::owner`] or [`super::UserAgent::adopt`] said, 0 before.
#[derive(Debug)]
pub enum Event {
    /// A trunk or an agent's phone calls us (100 has been sent). Answer with `provisional`, `answer`, `reject`.
    Incoming {
        /// The new leg.
        leg: LegKey,
        /// Where it came in.
        listener: u8,
        /// Who sent the datagram.
        source: SocketAddr,
        /// Who that is.
        from: Caller,
        /// The confirmed leg whose place it is to take (RFC 3891).
        replaces: Option<LegKey>,
        /// The INVITE.
        request: Box<Message>,
    },
    /// A provisional response other than 100 to our INVITE; one for each, from every fork.
    Progress {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// 101 to 199.
        code: u16,
        /// Early media, if it has a body.
        sdp: Option<Bytes>,
        /// In which early dialog: the same number for the same one; 0 where the peer gives no tag.
        fork: u64,
    },
    /// Our INVITE was answered; the ACK is sent.
    Answered {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The answer: the body of the 2xx or, if it has none, the last one in a provisional response of the
        /// same fork. `None` when there was none at all: then the leg is of no use, hang it up.
        sdp: Option<Bytes>,
        /// Which fork it is of, as `Progress` says it.
        fork: u64,
    },
    /// The caller has acknowledged our answer.
    Confirmed {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The answer to our offer, when the INVITE had none.
        sdp: Option<Bytes>,
    },
    /// The caller has acknowledged a provisional response of ours with an answer to the offer in it (RFC 3262 §5).
    EarlyConfirmed {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The answer.
        sdp: Option<Bytes>,
    },
    /// The peer wants to change the session (hold, resume, move). Answer with `answer_reinvite` or
    /// `reject_reinvite`.
    Reoffer {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The offer; `None` asks us to make one.
        sdp: Option<Bytes>,
        /// It came as UPDATE (or in a PRACK), perhaps before the answer: it is to be answered at once or nearly, and
        /// no ACK will follow.
        by_update: bool,
        /// Before the answer: in which early dialog. On a leg that came in, what `turn_to_fork` has called it.
        fork: u64,
    },
    /// The peer has acknowledged our answer to its re-INVITE.
    ReofferConfirmed {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The answer to our offer, when the re-INVITE had none.
        sdp: Option<Bytes>,
    },
    /// The peer took our re-INVITE.
    ReofferAnswered {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The answer.
        sdp: Option<Bytes>,
    },
    /// The peer refused our re-INVITE; the session stays as it was.
    ReofferRejected {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// 300 to 699.
        code: u16,
    },
    /// The peer asks us to connect the call to someone else (RFC 3515). Answer with `accept_refer` or `reject_refer`,
    /// and tell the outcome with `notify_refer`.
    Refer {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// The URI to call, without headers.
        target: Bytes,
        /// Attended: the dialog whose place the new call is to take.
        replaces: Option<Replaced>,
        /// Referred-By (RFC 3892), as written.
        referred_by: Option<Bytes>,
    },
    /// The peer's answer to our REFER.
    ReferAnswered {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// 200 to 699; 408 for none.
        code: u16,
    },
    /// How the call goes that our REFER has asked for.
    ReferProgress {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// 100 to 699.
        code: u16,
        /// Nothing more will be told.
        done: bool,
    },
    /// A request that makes no session: MESSAGE or of a method we do not know, of a trunk or in a dialog, or in a dialog
    /// an INFO that says no digit. Answer with `respond`, `relay_within` or `relay_out`.
    Request {
        /// What to answer it by.
        key: RequestKey,
        /// The leg in whose dialog it came, and its owner.
        leg: Option<(LegKey, u64)>,
        /// Who sent it, outside of a dialog.
        from: Option<Caller>,
        /// The request.
        request: Box<Message>,
    },
    /// An INFO came in the dialog that says a digit; it has been answered 200.
    Info {
        /// The leg.
        leg: LegKey,
        /// Its owner.
        owner: u64,
        /// Content-Type, empty if there is none.
        content_type: Bytes,
        /// The body.
        body: Bytes,
    },
    /// The leg is over. Told exactly once for each leg; nothing is told about the leg after it.
    Ended(Ended),
    /// An agent's phone has registered or refreshed.
    Registered {
        /// The account.
        account: u64,
        /// Where it can be reached from now on.
        contact: Contact,
    },
    /// The last contact of an account is gone: unregistered or lapsed.
    Unregistered {
        /// The account.
        account: u64,
    },
    /// The phone of an account does not answer OPTIONS any more, or does so again, or has registered anew.
    PhoneHealth {
        /// The account.
        account: u64,
        /// Whether it can be reached, as far as is known.
        reachable: bool,
        /// The status that decided; `None` for silence, and for a registration.
        code: Option<u16>,
    },
    /// A trunk came up or went down by its OPTIONS, or was measured again.
    TrunkHealth {
        /// The trunk.
        trunk: u64,
        /// Whether it may be used.
        up: bool,
        /// Time from OPTIONS to its answer, if that was answered at once.
        rtt: Option<Duration>,
        /// The status that decided; `None` for silence.
        code: Option<u16>,
    },
    /// A trunk has asked for less than is to be sent to it (RFC 7339), or does so no more.
    TrunkOverload {
        /// The trunk.
        trunk: u64,
        /// Share of new calls that is not sent, the largest among its targets; 0 to 100 percent.
        loss_percent: u8,
    },
    /// Our registration at a trunk was granted, refused, or has lapsed.
    TrunkRegistration {
        /// The trunk.
        trunk: u64,
        /// Whether we are registered now.
        registered: bool,
        /// The status that decided; `None` for silence.
        code: Option<u16>,
    },
    /// Someone gave a wrong password; it got 403 and is slowed down.
    AuthFailure {
        /// From where.
        source: SocketAddr,
        /// The account it tried, if there is one of that name.
        account: Option<u64>,
    },
}

/// How a leg ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The leg; stale from now on.
    pub leg: LegKey,
    /// Its owner.
    pub owner: u64,
    /// Who ended it.
    pub by: EndedBy,
    /// Whether it had been answered (2xx received, or our 2xx sent).
    pub answered: bool,
    /// The final status of an INVITE that failed (300 to 699): the peer's for a leg we made, ours for one we
    /// refused; 408 where timers decided before the answer. `None` after an answer.
    pub code: Option<u16>,
    /// Cause in the peer's Reason header (Q.850, 1 to 127).
    pub q850: Option<u8>,
    /// The network refused the call on the word of analytics: 607, 608 (RFC 8197, RFC 8688), or the 603 that says so
    /// (603+, ATIS-1000099).
    pub blocked: bool,
    /// The peer's Retry-After.
    pub retry_after: Option<Duration>,
    /// SIP cause in the peer's Reason header, 100 to 699; of a CANCEL 200 says that another has taken the call.
    pub sip: Option<u16>,
    /// Text that goes with it, or where it has none with the Q.850 cause; at most 128 bytes.
    pub text: Option<Box<str>>,
    /// The values of the peer's Reason headers as they can be passed on ([`crate::status::ReasonCause::values`]).
    pub reasons: Box<str>,
}

/// Who ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The peer: its final response, CANCEL or BYE.
    Remote,
    /// We: `hangup` or `reject`. (A final status that came instead of the 487 is told all the same.)
    Local,
    /// Nobody answered: no response, no ACK, or ringing beyond `ringing_max`.
    Timeout,
    /// The peer broke the protocol so that the leg cannot go on.
    Protocol,
}

/// Who an incoming INVITE is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The trunk with this key, known by its address.
    Trunk(u64),
    /// The account with this key, known by its password.
    Account(u64),
    /// Another shard of this node, for the place of a leg.
    Sibling,
}

/// An INVITE to send.
#[derive(Debug, Clone)]
pub struct Invite<'a> {
    /// Told back in every event about the leg.
    pub owner: u64,
    /// Which listener sends it.
    pub listener: u8,
    /// Where to; not used where the trunk has a name.
    pub destination: SocketAddr,
    /// The trunk whose credentials answer a challenge.
    pub trunk: Option<u64>,
    /// True for a phone behind NAT: everything in the dialog goes to the address its datagrams come from,
    /// whatever its Contact says.
    pub symmetric: bool,
    /// Whoever asks for it has another trunk, should this one be silent: it need not be waited for as long as one that is
    /// the last.
    pub replaceable: bool,
    /// Request-URI.
    pub request_uri: &'a str,
    /// URI of From.
    pub from_uri: &'a str,
    /// Display name of From; empty for none.
    pub from_display: &'a str,
    /// URI of To.
    pub to_uri: &'a str,
    /// URI of P-Asserted-Identity (RFC 3325).
    pub p_asserted_identity: Option<&'a str>,
    /// Value of a Route header, with angle brackets: `<sip:proxy;lr>`.
    pub route: Option<&'a str>,
    /// Further headers: name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// 70, or one less than that of the call it goes on from.
    pub max_forwards: u8,
    /// The offer.
    pub sdp: Bytes,
}

/// Why an INVITE was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteError {
    /// `legs_max` or `client_transactions_max` is reached.
    Limit,
    /// There is no listener of this number.
    NoSuchListener,
    /// A URI of it is none.
    BadUri,
    /// The trunk's name leads nowhere.
    Unreachable,
    /// All its targets are overloaded and have asked for less than is to be sent (RFC 7339). As good as 503.
    Overloaded,
}

/// Why a command about a leg was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegError {
    /// The leg has ended.
    Gone,
    /// The leg is not in a state in which this can be done.
    WrongState,
    /// A re-INVITE of ours or of the peer is under way.
    Pending,
    /// A limit is reached.
    Limit,
}

/// Why we hang up; goes into a Reason header (RFC 3326).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reason<'a> {
    /// Q.850 cause, 1 to 127.
    pub q850: Option<u8>,
    /// SIP cause. Of an incoming leg that is not answered yet this is the status it is refused with (else 480);
    /// 200 in a CANCEL says "call completed elsewhere".
    pub sip: Option<u16>,
    /// Free text, of the first of these.
    pub text: &'a str,
    /// What a peer has given as its reasons, to be passed on as it is ([`Ended::reasons`]); if not empty the header has
    /// these values and none of ours.
    pub passed: &'a str,
}

/// User name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl core::fmt::Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A path to the telephone network.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Its number above.
    pub key: u64,
    /// Which listener speaks with it.
    pub listener: u8,
    /// Where its REGISTER and OPTIONS go; not used when `wanted` says where.
    pub address: SocketAddr,
    /// The name it is reached by, for all requests outside of dialogs.
    pub wanted: Option<Wanted>,
    /// Domain in the URIs of REGISTER and OPTIONS; empty for the text of `address`.
    pub domain: String,
    /// Who may call in as this trunk: addresses, each with a port or any. `address` is not among them by itself.
    pub sources: Vec<(IpAddr, Option<u16>)>,
    /// … and networks.
    pub networks: Vec<Network>,
    /// … and names in the certificates of clients. A trunk that is known by these alone has no address of its own: what
    /// its name leads to is not taken as it.
    pub certificate_names: Vec<String>,
    /// For 401 and 407, and for REGISTER.
    pub login: Option<Login>,
    /// Register there, asking for this lifetime.
    pub register: Option<Duration>,
    /// Send OPTIONS at this interval.
    pub options_interval: Option<Duration>,
    /// INVITEs that waited for the domain name system leave at this pace, calls per second.
    pub cps_max: f64,
    /// INVITEs that follow a failed one, to the next target or to where a 3xx points, are taken from this bucket, from
    /// which those who call [`super::UserAgent::invite`] have taken the first.
    pub pace: SharedPace,
    /// It is told that we heed its overload (RFC 7339), and is heeded.
    pub overload_control: bool,
}

/// An agent's phone.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number above.
    pub key: u64,
    /// What it registers and calls with.
    pub login: Login,
}

/// Where a phone can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its Contact URI: the Request-URI of an INVITE to it.
    pub uri: String,
    /// The address its REGISTER came from: where the INVITE goes.
    pub source: SocketAddr,
    /// The listener it came in at.
    pub listener: u8,
    /// Time left.
    pub expires: Duration,
}

/// How many things live; all zero when nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Legs that have not ended.
    pub legs: usize,
    /// Legs that have ended and wait for their last answers.
    pub legs_ending: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// Entries in the look-up tables of server transactions.
    pub index_entries: usize,
    /// Armed deadlines, trunks' and contacts' included.
    pub deadlines: usize,
    /// Contacts of phones.
    pub contacts: usize,
    /// Addresses slowed down.
    pub slowed_sources: usize,
    /// Connections.
    pub flows: usize,
    /// Nonces that were used with a right password.
    pub nonces: usize,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams in.
    pub datagrams_received: u64,
    /// Datagrams out.
    pub datagrams_sent: u64,
    /// Keep-alives and what is not SIP.
    pub datagrams_ignored: u64,
    /// Requests in, by method.
    pub requests: Requests,
    /// Responses in that matched a transaction.
    pub responses_received: u64,
    /// Responses that match nothing.
    pub responses_stray: u64,
    /// Malformed requests answered 4xx or 5xx, malformed responses dropped.
    pub malformed: u64,
    /// Retransmissions received and absorbed.
    pub retransmissions_received: u64,
    /// Retransmissions sent.
    pub retransmissions_sent: u64,
    /// Transactions of ours without any answer.
    pub timeouts: u64,
    /// INVITEs refused: unknown address and not an account.
    pub refused_unknown: u64,
    /// Requests refused by a limit or while draining.
    pub refused_busy: u64,
    /// Challenges sent.
    pub challenges_sent: u64,
    /// Wrong passwords.
    pub auth_failures: u64,
    /// Right passwords with a nonce that was too old or used before.
    pub nonces_stale: u64,
    /// Requests dropped from slowed addresses.
    pub slowed: u64,
    /// Further targets of a trunk's name that an INVITE was sent to.
    pub targets_tried: u64,
    /// Requests that did not arrive, as the network said.
    pub requests_undelivered: u64,
    /// Connections that could not be made.
    pub connections_refused: u64,
    /// Connections closed because what came over them was no sequence of messages.
    pub streams_broken: u64,
    /// Datagrams that were not read.
    pub unheard: Unheard,
    /// Requests of scanners, dropped.
    pub scanners: u64,
    /// Times a source was banned.
    pub bans: u64,
    /// New calls refused for overload.
    pub shed: u64,
    /// Requests that were not sent to a target because it had asked for less (RFC 7339).
    pub withheld: u64,
    /// Values taken by which a target has asked for less, or for less no more.
    pub overload_heard: u64,
    /// INVITEs refused because their source has enough dialogs; among `refused_busy` too.
    pub crowded: u64,
    /// Legs made, both ways.
    pub legs: u64,
    /// Legs ended.
    pub legs_ended: u64,
    /// … that had been answered.
    pub legs_answered: u64,
    /// Requests among the retransmissions received.
    pub requests_repeated: u64,
    /// Responses among the retransmissions sent.
    pub responses_repeated: u64,
    /// INVITEs among the timeouts (timer B).
    pub timeouts_invite: u64,
    /// 2xx and reliable responses of ours that nobody acknowledged, among the timeouts.
    pub timeouts_ack: u64,
}

/// Datagrams dropped before they were read, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unheard {
    /// From a network that is denied or not allowed.
    pub denied: u64,
    /// From a banned source.
    pub banned: u64,
    /// From a source that sends too much.
    pub source: u64,
    /// All strangers together sent too much.
    pub strangers: u64,
}

/// Requests by method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Requests {
    pub invite: u64,
    pub ack: u64,
    pub bye: u64,
    pub cancel: u64,
    pub options: u64,
    pub register: u64,
    pub info: u64,
    pub other: u64,
}
