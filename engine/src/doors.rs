//! The doors of the two tops: what the ground gives to them and what it does for them. Plain data, `Send`.
//!
//! ```text
//!            ControlInput ──► ControlCore ──► ControlEffect
//!                               │    ▲
//!                  ShardCommand │    │ ShardEvent          (bounded rings between threads)
//!                               ▼    │
//!              ShardInput ──► CallShard ──► ShardEffect
//! ```

use crate::stir::StirRules;
use crate::trace::TraceConfig;
use bytes::Bytes;
use core::fmt;
use core::ops::RangeInclusive;
use dialer_core::event::EventEnvelope;
use dialer_core::fork::{ForkEnd, ForkOrder};
use dialer_core::inbound::CallerMemory;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::{CallAct, Way};
use dialer_core::record::{AgentRow, ContactRow, Lead, Record, Snapshot, TrunkRow};
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, CommandError, ListId, RecordingId,
    Reply, TrunkFact, TrunkId, ViewChange,
};
pub use media::srtp::{MasterKey, Secret, SrtpKeys, Suite};
pub use media::{InBandDigits, OffloadCounts, OffloadRule, OffloadStart};
use sansio::time::ClockBase;
use sansio::{Duration, SharedPace, WallTime};
use sip_proxy::transport::FrameFault;
use sip_proxy::transport::locate::{Answer, Failures, Question};
use sip_proxy::ua::{Digest, Guarding, Overload};
pub use sip_proxy::ua::{Probing, Redirects, Refresher, Reliability, SessionTimers, SessionUse};
use sip_proxy::wire::Transport;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Names a media stream of one shard; the ground keeps the stream's two sockets under it. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// A small number, unique among the streams open at one time: an index into the ground's table.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}v{}", self.index(), self.0 >> 32)
    }
}

/// Which of a stream's two ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PacketKind {
    /// The even port: sound.
    Rtp,
    /// The odd port: reports.
    Rtcp,
}

/// What a shard is told when it is made.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Its number, from 0. Shard 0 also pings trunks and registers with them.
    pub shard: u16,
    /// Seed of all its randomness (tags, branches, SSRCs, call names); from the system's entropy.
    pub seed: u64,
    /// From what keys of encrypted sound are drawn; from the system's entropy, and not this shard's seed, which is too
    /// short for that.
    pub secret: Secret,
    /// SHA-256 of the certificate that the ground shows in handshakes; `None`: no browsers.
    pub dtls_fingerprint: Option<[u8; 32]>,
    /// It takes the place of a shard that panicked, whose last calls are not known.
    pub reborn: bool,
    /// The same for all shards of a node, from the system's entropy; 0 for one that is alone.
    pub node_secret: u64,
    /// What civil time it is.
    pub clock: ClockBase,
    /// Listeners of connections; they are numbered after those of `listeners`.
    pub stream_listeners: Vec<StreamListener>,
    /// Addresses to write into Via and Contact instead of those of `listeners`, by number; `None` for the address
    /// itself.
    pub listeners_advertised: Vec<Option<String>>,
    /// The UDP listeners this shard owns, by number: the address written into Via and Contact. At least one; the
    /// first is used for trunks.
    pub listeners: Vec<SocketAddr>,
    /// While a trunk's name leads to further hosts, one that gives no sign of life for so long is left for the next.
    pub target_time_max: Duration,
    /// Hosts of trunks that have failed: the same table for all shards of a node.
    pub failures: Failures,
    /// Digest realm for agents' phones, and the host in their addresses.
    pub realm: String,
    /// Domains that phones may register in, besides the realm and our addresses; empty for any.
    pub domains: Vec<String>,
    /// Written into User-Agent and Server.
    pub user_agent: String,
    /// Calls at once (dialled and transit); more are refused.
    pub calls_max: usize,
    /// Nailed-up agent sessions at once.
    pub sessions_max: usize,
    /// The address media sockets are bound to.
    pub media_address: IpAddr,
    /// The address written into SDP, when other than `media_address` (NAT).
    pub media_advertised: Option<IpAddr>,
    /// UDP ports for media, this shard's own range.
    pub media_ports: RangeInclusive<u16>,
    /// Port pairs that are bound ahead of the streams that will have them.
    pub media_ports_held: usize,
    /// A closed port is not used again for this long.
    pub media_port_quarantine: Duration,
    /// A stream that should hear something and does not for this long ends its call.
    pub media_timeout: Duration,
    /// Reports, and the watch over sound.
    pub media_quality: MediaQuality,
    /// The ground can relay plain streams by itself ([`ShardEffect::Offload`]).
    pub media_offload: bool,
    /// The edge understands words ([`ShardEffect::Words`]).
    pub understands_words: bool,
    /// The prompt an agent's session hears between calls, over and over; `None`: nothing.
    pub waiting_prompt: Option<String>,
    /// The prompt that asks who answers for an agent's number to press the device's `confirm_key`, over and over; `None`: silence.
    pub confirm_prompt: Option<String>,
    /// The prompt a side hears while the other holds, over and over; `None`: nothing.
    pub hold_prompt: Option<String>,
    /// Recordings running at once.
    pub recordings_max: usize,
    /// How their files are written, which their names tell.
    pub recording_format: RecordingFormat,
    /// RFC 3261 T1; every other SIP timer follows from it.
    pub sip_t1: Duration,
    /// Session timers (RFC 4028).
    pub session_timers: SessionTimers,
    /// Reliable provisional responses (RFC 3262).
    pub reliable: Reliability,
    /// What becomes of a 3xx from a trunk.
    pub redirects: Redirects,
    /// Shortest registration granted to a phone, seconds.
    pub register_expires_min_s: u32,
    /// Longest registration granted to a phone, seconds.
    pub register_expires_max_s: u32,
    /// How often phones that can (RFC 5626) are to keep their way to us open, seconds.
    pub flow_timer_s: u32,
    /// Whether registered phones are asked, by OPTIONS, if they are still there.
    pub probing: Probing,
    /// How phones show their passwords.
    pub digest: Digest,
    /// Who is heard at all.
    pub guarding: Guarding,
    /// When new calls are refused because there is enough to do.
    pub overload: Overload,
    /// What is kept of the messages.
    pub trace: TraceConfig,
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            shard: 0,
            seed: 0,
            secret: Secret::default(),
            dtls_fingerprint: None,
            reborn: false,
            node_secret: 0,
            clock: ClockBase::default(),
            stream_listeners: Vec::new(),
            listeners_advertised: Vec::new(),
            listeners: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060)],
            target_time_max: Duration::from_secs(4),
            failures: Failures::default(),
            realm: "dialerd".into(),
            domains: Vec::new(),
            user_agent: concat!("dialerd/", env!("CARGO_PKG_VERSION")).into(),
            calls_max: 20_000,
            sessions_max: 5_000,
            media_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            media_advertised: None,
            media_ports: 10_000..=32_767,
            media_ports_held: 0,
            media_port_quarantine: Duration::from_secs(5),
            media_timeout: Duration::from_secs(60),
            media_quality: MediaQuality::default(),
            media_offload: false,
            understands_words: false,
            waiting_prompt: None,
            confirm_prompt: None,
            hold_prompt: None,
            recordings_max: 5_000,
            recording_format: RecordingFormat::Wav,
            sip_t1: Duration::from_millis(500),
            session_timers: SessionTimers::default(),
            reliable: Reliability::default(),
            redirects: Redirects::default(),
            register_expires_min_s: 10,
            register_expires_max_s: 3_600,
            flow_timer_s: 120,
            probing: Probing::default(),
            digest: Digest::default(),
            guarding: Guarding::default(),
            overload: Overload::default(),
            trace: TraceConfig::default(),
        }
    }
}

/// Reports (RTCP), and the watch over the sound of joined sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaQuality {
    /// To a side that gets no reports from the other; zero: none.
    pub rtcp_interval: Duration,
    /// A joined side that sends no packets for so long is told of; zero: never.
    pub no_packets_after: Duration,
    /// The same for one that sends nothing but silence.
    pub no_sound_after: Duration,
    /// From whom digits are heard in the sound itself.
    pub in_band_digits: InBandDigits,
}

impl Default for MediaQuality {
    fn default() -> Self {
        MediaQuality {
            rtcp_interval: Duration::from_secs(5),
            no_packets_after: Duration::from_secs(5),
            no_sound_after: Duration::from_secs(20),
            in_band_digits: InBandDigits::Auto,
        }
    }
}

/// A listener of TCP, TLS, WS or WSS.
#[derive(Clone, Debug)]
pub struct StreamListener {
    /// What is spoken there.
    pub transport: Transport,
    /// Where it is bound.
    pub address: SocketAddr,
    /// `host` or `host:port` to write into Via and Contact instead.
    pub advertised: Option<String>,
}

/// One input of a [`crate::CallShard`].
#[derive(Debug)]
pub enum ShardInput<'a> {
    /// A datagram came to one of the SIP listeners, or a whole message over a connection.
    Datagram {
        /// Which listener.
        listener: u8,
        /// From where.
        source: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// A datagram came to one of a stream's ports. It may be edited in place and then forwarded
    /// ([`ShardEffect::Forward`] of the same turn).
    Packet {
        /// Whose port.
        stream: StreamId,
        /// Which of the two.
        kind: PacketKind,
        /// From where.
        source: SocketAddr,
        /// What.
        packet: &'a mut [u8],
    },
    /// A packet that the ground relayed by itself and that someone listens to, as it came.
    Tapped {
        /// The stream it came in on.
        stream: StreamId,
        /// What.
        packet: &'a [u8],
    },
    /// What the ground has relayed so far: the answer to [`ShardEffect::CountOffload`], or unasked.
    OffloadCounted {
        /// The stream.
        stream: StreamId,
        /// Since the rule was put in force.
        counts: OffloadCounts,
    },
    /// The answer to [`ShardEffect::Reclaim`], before any other input.
    OffloadEnded {
        /// The stream.
        stream: StreamId,
        /// Since the rule was put in force, for good.
        counts: OffloadCounts,
    },
    /// What [`ShardEffect::Offload`] asked for is not possible.
    OffloadRefused {
        /// The stream.
        stream: StreamId,
    },
    /// A connection stands. Its peer's address names it until `FlowClosed`.
    FlowOpened {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
        /// What the peer's certificate is for, if it has shown a good one.
        names: Vec<String>,
    },
    /// A connection is no more.
    FlowClosed {
        /// The listener it belonged to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
    },
    /// A connection that [`ShardEffect::SendSip`] needed could not be made.
    FlowRefused {
        /// By this listener.
        listener: u8,
        /// To this address.
        peer: SocketAddr,
    },
    /// The kernel has refused a datagram of [`ShardEffect::SendSip`]: it never left.
    Unsent {
        /// From this listener.
        listener: u8,
        /// To this address.
        peer: SocketAddr,
        /// What, as it was given.
        bytes: Bytes,
        /// There is no way there. Otherwise it is lost as on any network.
        no_way: bool,
    },
    /// The network says that a datagram of [`ShardEffect::SendSip`] did not arrive.
    Undelivered {
        /// From this listener.
        listener: u8,
        /// To this address.
        peer: SocketAddr,
        /// Its beginning, as much as was quoted.
        quoted: Bytes,
    },
    /// What came over a connection is no sequence of messages. [`ShardEffect::CloseFlow`] answers.
    FlowBroken {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
        /// The head of the message in which it broke, as far as it came.
        head: Bytes,
        /// In what way.
        fault: FrameFault,
    },
    /// The answer to [`ShardEffect::Ask`], for the shard that has asked and for all others: what one knows all know.
    Located {
        /// What was asked.
        question: Question,
        /// The answer.
        answer: Answer,
        /// How long it may be believed.
        ttl: Duration,
    },
    /// A handshake has this to say to the far end.
    DtlsPacket {
        /// The stream.
        stream: StreamId,
        /// What.
        packet: Bytes,
    },
    /// A handshake is done, with a far end that has shown the certificate asked for.
    DtlsDone {
        /// The stream.
        stream: StreamId,
        /// What it has given.
        keys: Box<SrtpKeys>,
    },
    /// A handshake has failed.
    DtlsFailed {
        /// The stream.
        stream: StreamId,
    },
    /// Handshakes have another certificate: new descriptions name this one (SHA-256). Those that are out already keep the one
    /// that they named.
    DtlsRenewed {
        /// As in [`ShardConfig::dtls_fingerprint`].
        fingerprint: [u8; 32],
    },
    /// An order from the control core.
    Command(ShardCommand),
    /// The ports of [`ShardEffect::OpenPorts`] could not be bound. No `ClosePorts` follows for them.
    PortsFailed {
        /// Whose ports.
        stream: StreamId,
    },
    /// The ports of [`ShardEffect::HoldPorts`] could not be bound. Handed in before any other input.
    PortsNotHeld {
        /// The even one.
        rtp_port: u16,
        /// Another program has one of them; else nothing can be bound now.
        taken: bool,
    },
    /// The file of certificates at an address, or `None` when it cannot be had. Exactly once per
    /// [`ShardEffect::FetchCertificate`].
    Certificate {
        /// The address.
        url: String,
        /// What is there.
        file: Option<Bytes>,
    },
    /// Something from who is outside at the end of a fork.
    Fork {
        /// Which.
        fork: ForkId64,
        /// What.
        input: ForkInput,
    },
    /// A recording's file is complete, cut off, or lost. Exactly once per [`RecordOp::Open`].
    RecordingWritten {
        /// Which.
        recording: RecordingId,
        /// The file, or why there is none.
        result: Result<WrittenFile, String>,
    },
}

/// A fork, by the low half of its name.
pub type ForkId64 = u64;

/// What comes from outside, for one fork.
#[derive(Clone, PartialEq, Debug)]
pub enum ForkInput {
    /// The connection is up; again after each [`ForkInput::Interrupted`].
    Up,
    /// The connection broke, or could not be made; it is tried again.
    Interrupted(String),
    /// Play this to the customer, after what waits: samples at 8,000 Hz.
    Say(Box<[i16]>),
    /// Tell when all before this has been played.
    Mark(String),
    /// Do not play what waits.
    Clear,
    /// It is over. Not after [`ForkOp::Close`].
    Down {
        /// Why.
        cause: ForkEnd,
        /// In words.
        reason: Option<String>,
    },
}

/// Orders for the keeper of forks' connections. For one fork: one `Open`, any number of the others, one `Close`.
#[derive(Clone, PartialEq, Debug)]
pub enum ForkOp {
    /// Connect.
    Open {
        /// Its number.
        fork: ForkId64,
        /// Whose sound.
        call: CallId,
        /// What is wanted.
        order: Box<ForkOrder>,
    },
    /// 20 ms of sound at 8,000 Hz, of what was asked for.
    Sound {
        /// Which.
        fork: ForkId64,
        /// Its place: 20 ms since the start.
        frame: u64,
        /// What the customer said.
        inbound: Option<Box<[i16]>>,
        /// What the customer heard.
        outbound: Option<Box<[i16]>>,
    },
    /// A mark was reached.
    Mark {
        /// Which.
        fork: ForkId64,
        /// The mark.
        name: String,
    },
    /// The customer pressed a digit.
    Digit {
        /// Which.
        fork: ForkId64,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// Take leave and close.
    Close {
        /// Which.
        fork: ForkId64,
    },
}

/// How a recording's file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordingFormat {
    /// WAV: stereo, 8,000 Hz, 16-bit PCM.
    #[default]
    Wav,
    /// Opus in Ogg: stereo.
    Ogg,
}

impl RecordingFormat {
    /// What its files' names end in.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            RecordingFormat::Wav => "wav",
            RecordingFormat::Ogg => "ogg",
        }
    }
}

/// A recording's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenFile {
    /// Name below the recordings folder, as [`RecordOp::Open`] gave it.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// It could not be written to its end: how long what is there is.
    pub cut_off_after_ms: Option<u64>,
}

/// One effect of a [`crate::CallShard`].
#[derive(Clone, PartialEq, Debug)]
pub enum ShardEffect {
    /// Send this datagram from a SIP listener; from one of connections: over that with `to`, which is made if there
    /// is none ([`ShardInput::FlowRefused`] if it cannot be made).
    SendSip {
        /// From this listener …
        listener: u8,
        /// … to this address.
        to: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// What do these words mean? Perhaps [`ShardCommand::Meant`] follows.
    Words {
        /// The call that heard them.
        call: CallId,
        /// Linear PCM at 8,000 Hz, 6 s at most.
        samples: Arc<[i16]>,
    },
    /// Close a connection, after what was sent over it.
    CloseFlow {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
    },
    /// Ask the domain name system.
    Ask(Question),
    /// New TLS connections to this address must be shown a certificate for this name.
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
    /// Bind both UDP ports and keep them until a stream is opened on them. On failure: [`ShardInput::PortsNotHeld`].
    HoldPorts {
        /// Even.
        rtp_port: u16,
        /// The one above.
        rtcp_port: u16,
    },
    /// Bind both UDP ports, unless they are held. On failure: [`ShardInput::PortsFailed`].
    OpenPorts {
        /// The stream that will own them.
        stream: StreamId,
        /// Even.
        rtp_port: u16,
        /// The one above.
        rtcp_port: u16,
    },
    /// Close both. Exactly once per `OpenPorts` that did not fail.
    ClosePorts {
        /// The stream that owned them.
        stream: StreamId,
    },
    /// Send the packet just handed in, as edited in place, whole.
    Forward {
        /// From this stream's socket …
        to: StreamId,
        /// … of this kind …
        kind: PacketKind,
        /// … to this address.
        destination: SocketAddr,
    },
    /// Send a packet of our own.
    SendPacket {
        /// From this stream's socket …
        from: StreamId,
        /// … of this kind …
        kind: PacketKind,
        /// … to this address.
        destination: SocketAddr,
        /// What.
        packet: Bytes,
    },
    /// The far end's real address is known; the ground may connect the socket to it.
    Latched {
        /// Whose socket.
        stream: StreamId,
        /// Which.
        kind: PacketKind,
        /// The far end.
        destination: SocketAddr,
    },
    /// Another address must be heard again: a connected socket is to be disconnected.
    Unlatched {
        /// Whose socket.
        stream: StreamId,
        /// Which.
        kind: PacketKind,
    },
    /// Relay by yourself what comes in on the stream and fits the rule; else [`ShardInput::OffloadRefused`].
    Offload {
        /// The stream its packets come in on.
        stream: StreamId,
        /// What is to be done with them.
        rule: OffloadRule,
        /// Where counting begins.
        start: OffloadStart,
    },
    /// Do so no longer; [`ShardInput::OffloadEnded`] answers at once.
    Reclaim {
        /// The stream.
        stream: StreamId,
    },
    /// [`ShardInput::OffloadCounted`] answers.
    CountOffload {
        /// The stream.
        stream: StreamId,
    },
    /// Something about a stream's handshake; [`ShardInput::DtlsPacket`], [`ShardInput::DtlsDone`] and
    /// [`ShardInput::DtlsFailed`] answer.
    Dtls(DtlsOrder),
    /// Get the file of certificates at this address; [`ShardInput::Certificate`] answers within a few seconds.
    FetchCertificate {
        /// An https address as a caller's signature names it: nothing about it is sure.
        url: String,
    },
    /// Something for a recording's file.
    Record(RecordOp),
    /// Something for who is outside at the end of a fork.
    Fork(ForkOp),
    /// A fact for the control core.
    Event(ShardEvent),
}

/// What is to be done about a stream's handshake. For one stream: `Open`, any number of `Packet`, `Close`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DtlsOrder {
    /// Make one ready.
    Open {
        /// The stream.
        stream: StreamId,
        /// SHA-256 of the certificate that we show: the one that our description named.
        ours: [u8; 32],
        /// SHA-256 of the certificate that the far end must show.
        fingerprint: [u8; 32],
        /// We begin it.
        active: bool,
    },
    /// This came for it.
    Packet {
        /// The stream.
        stream: StreamId,
        /// What.
        packet: Bytes,
    },
    /// It is of no more use.
    Close {
        /// The stream.
        stream: StreamId,
    },
}

/// Orders for the writer of recordings. For one recording: one `Open`, any number of `Append`, one `Finish`;
/// [`ShardInput::RecordingWritten`] answers after the `Finish`, or at the first failure.
#[derive(Clone, PartialEq, Debug)]
pub enum RecordOp {
    /// Start a file: stereo (customer left, agent right), of samples of 8,000 Hz and 16 bits.
    Open {
        /// Which.
        recording: RecordingId,
        /// Name below the recordings folder, `2026-01-31/rec_….wav` (or `.ogg`); the folder may have to be made.
        file: String,
    },
    /// Add sound.
    Append {
        /// Which.
        recording: RecordingId,
        /// Interleaved left, right, little-endian signed 16 bits: four bytes per frame.
        samples: Bytes,
    },
    /// Nothing more comes.
    Finish {
        /// Which.
        recording: RecordingId,
        /// Frames (pairs of samples) in all.
        frames: u64,
    },
}

/// A book of announcements. Two are equal when they are the same book.
#[derive(Clone, Debug)]
pub struct Announcements(pub Arc<media::announcement::Book>);

impl PartialEq for Announcements {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An order to a shard.
#[derive(Clone, PartialEq, Debug)]
pub enum ShardCommand {
    /// Do something with a call.
    Call {
        /// What.
        order: CallOrder,
        /// This is the call's first order. Any other order for a call that is not there comes too late: the call's
        /// end is on its way up, and the order is dropped.
        creates: bool,
    },
    /// Call the agent's phone and keep that leg up.
    OpenSession {
        /// Whose.
        agent: AgentId,
        /// How it is reached.
        way: Way,
        /// Rings at most so long.
        ring_timeout_ms: u32,
    },
    /// End the nailed-up session.
    CloseSession {
        /// Whose.
        agent: AgentId,
    },
    /// A trunk is to be served with these settings.
    ApplyTrunk(Box<TrunkRow>),
    /// From which bucket the calls of a trunk are taken, on all shards: told before the trunk itself.
    SharePace {
        /// Of this trunk.
        trunk: TrunkId,
        /// The bucket.
        pace: SharedPace,
    },
    /// A trunk is no more; its calls go on to their end.
    RemoveTrunk(TrunkId),
    /// An agent's phone may register with these credentials.
    ApplyAgent(Box<AgentRow>),
    /// … and no more.
    RemoveAgent(AgentId),
    /// A phone known from elsewhere (the last run, another shard).
    RestoreContact(ContactRow),
    /// The answer to [`ShardEvent::Asks`].
    AnswerAsk {
        /// To which.
        ask: u64,
        /// The number may be called.
        allowed: bool,
    },
    /// A prompt, ready to be played.
    LoadPrompt {
        /// Its name.
        name: String,
        /// Linear PCM, 8,000 Hz, one channel.
        samples: Arc<[i16]>,
    },
    /// A prompt that is no more; who hears it hears it to its end.
    ForgetPrompt {
        /// Its name.
        name: String,
    },
    /// The announcements that are known by their sound; replaces those before.
    SetAnnouncements(Announcements),
    /// What a call heard, by its words.
    Meant {
        /// The call.
        call: CallId,
        /// What it means.
        class: media::announcement::AnnouncementClass,
        /// The words that say so.
        phrase: Arc<str>,
    },
    /// What is signed and what signatures are checked; replaces the rules before.
    SetStir(StirRules),
    /// The routes of transit calls, first match wins; replaces those before.
    SetRoutes(Vec<Route>),
    /// Calls from trunks to these numbers (E.164) are the dialer's; replaces those before.
    ServeNumbers(Arc<BTreeSet<String>>),
    /// Hang a transit call up, if it is one of this shard's and lives.
    EndTransit {
        /// Which.
        call: CallId,
        /// Who wants it.
        by: Party,
        /// Why.
        cause: EndCause,
    },
    /// Record or fork a transit call, if it is one of this shard's and lives.
    ActOnTransit {
        /// Which.
        call: CallId,
        /// What.
        act: CallAct,
    },
    /// Take new transit calls, or refuse them with 503 (draining, or records cannot be written).
    AdmitTransit(bool),
    /// End every call and session now: a second signal to stop.
    HangupAll,
    /// What civil time it is.
    Clock(ClockBase),
}

/// How the sound of a transit call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TransitMedia {
    /// Through our ports.
    #[default]
    Relay,
    /// Straight from one side to the other; SDP is passed as it is.
    Bypass,
}

/// A static route of transit calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Calls that come from this trunk; `None`: any.
    pub from_trunk: Option<TrunkId>,
    /// … to a number that begins with this.
    pub prefix: String,
    /// … go out on one of these trunks, in the order of their priorities and weights, and on the next one where that has
    /// no room or does not take them.
    pub to_trunks: Vec<TrunkId>,
    /// How their sound goes.
    pub media: TransitMedia,
    /// Record them (relayed ones).
    pub record: bool,
}

/// A fact from a shard.
#[derive(Clone, PartialEq, Debug)]
pub enum ShardEvent {
    /// About a call.
    Call(CallFact),
    /// About transit calls, in order; gathered for a few milliseconds.
    Transit(Vec<CallFact>),
    /// About an agent's phone.
    Agent(AgentFact),
    /// About a trunk.
    Trunk(TrunkFact),
    /// An agent's phone wants this number to be called: [`ShardCommand::AnswerAsk`] says whether it may be.
    Asks {
        /// Names the question, on this shard.
        ask: u64,
        /// Whose phone.
        agent: AgentId,
        /// The number, as it was dialled.
        to: String,
    },
}

/// One input of the [`crate::ControlCore`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made and taken once each; a box would only cost")]
pub enum ControlInput {
    /// What civil time it is. The first input, and again when the system's clock is set.
    Clock(ClockBase),
    /// The state of the last run. The second input.
    Restore(Box<Snapshot>),
    /// A wish from above; answered by [`ControlEffect::Reply`] with the same tag, once.
    Command {
        /// The asker's mark.
        tag: u64,
        /// The wish.
        command: Command,
    },
    /// A fact from a shard.
    Shard {
        /// Which shard.
        shard: u16,
        /// What.
        event: ShardEvent,
    },
    /// Every [`ControlEffect::Journal`] up to and with this number is durable.
    Durable {
        /// The number.
        seq: u64,
    },
    /// Whether records can be written.
    StoreHealth {
        /// They can.
        healthy: bool,
    },
    /// A shard was lost (its thread panicked) and starts anew, empty: its calls and sessions are over, and it is told
    /// again about trunks and agents. (Prompts and routes come from the ground.)
    ShardRestarted {
        /// Which shard.
        shard: u16,
    },
    /// Leads asked for by [`ControlEffect::LoadLeads`].
    LeadsLoaded {
        /// For this campaign.
        campaign: CampaignId,
        /// The leads, best first.
        leads: Vec<Lead>,
        /// False: the lists hold nothing more that may be dialled now.
        more: bool,
        /// When the next waiting lead becomes due, if none is now.
        next_due: Option<WallTime>,
    },
    /// The answer to [`ControlEffect::RecallCaller`].
    CallerRecalled {
        /// The call.
        call: CallId,
        /// What the records say.
        memory: Box<CallerMemory>,
    },
    /// Leads asked for by [`ControlEffect::FindCallbacks`].
    CallbacksFound {
        /// Those whose callback is due.
        leads: Vec<Lead>,
        /// When the next one that is not told falls due.
        next: Option<WallTime>,
    },
    /// Leads asked for by [`ControlEffect::FindExpired`].
    ExpiredFound {
        /// For this campaign.
        campaign: CampaignId,
        /// Those that have expired.
        leads: Vec<Lead>,
        /// When the next one of those that wait will.
        next: Option<WallTime>,
    },
}

/// One effect of the [`crate::ControlCore`].
#[derive(Clone, PartialEq, Debug)]
pub enum ControlEffect {
    /// Write these down in one transaction; [`ControlInput::Durable`] answers, in order of the numbers.
    Journal {
        /// Counts from 1, +1 each.
        seq: u64,
        /// What.
        records: Vec<Record>,
    },
    /// An order to a shard.
    ToShard {
        /// Which.
        shard: u16,
        /// What.
        command: ShardCommand,
    },
    /// Tell the world. It is durable; cursors come in order.
    Publish(Box<EventEnvelope>),
    /// Answer a command.
    Reply {
        /// The asker's mark.
        tag: u64,
        /// The answer.
        result: Result<Reply, CommandError>,
    },
    /// A snapshot for readers.
    View(ViewChange),
    /// Read leads that may be dialled; [`ControlInput::LeadsLoaded`] answers.
    LoadLeads {
        /// For this campaign.
        campaign: CampaignId,
        /// From these lists.
        lists: Vec<ListId>,
        /// At most so many.
        limit: u32,
        /// Dialable at this time.
        due_at: WallTime,
        /// Only leads that pass this; when the others may pass is told as the next due time.
        screen: Box<dialer_core::screen::Screen>,
    },
    /// Ask the records who calls; [`ControlInput::CallerRecalled`] answers.
    RecallCaller {
        /// The call.
        call: CallId,
        /// The numbers the caller may have, E.164, the likeliest first.
        numbers: Vec<String>,
        /// The number that was called.
        called: String,
    },
    /// Read leads whose callback is due; [`ControlInput::CallbacksFound`] answers.
    FindCallbacks {
        /// Due at this time.
        at: WallTime,
        /// At most so many.
        limit: u32,
    },
    /// Read leads that wait although they have expired; [`ControlInput::ExpiredFound`] answers.
    FindExpired {
        /// For this campaign.
        campaign: CampaignId,
        /// From these lists.
        lists: Vec<ListId>,
        /// Expired at this time.
        at: WallTime,
        /// At most so many.
        limit: u32,
    },
}

impl ShardEvent {
    /// The call the event is about, when it is about one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self {
            ShardEvent::Call(fact) => Some(call_of(fact)),
            ShardEvent::Transit(_)
            | ShardEvent::Agent(_)
            | ShardEvent::Trunk(_)
            | ShardEvent::Asks { .. } => None,
        }
    }
}

/// The call a fact is about.
#[must_use]
pub fn call_of(fact: &CallFact) -> CallId {
    match fact {
        CallFact::InboundArrived { call, .. }
        | CallFact::Dialled { call }
        | CallFact::Moved { call, .. }
        | CallFact::Ringing { call, .. }
        | CallFact::Progress { call, .. }
        | CallFact::EarlyMedia { call, .. }
        | CallFact::Answered { call }
        | CallFact::Amd { call, .. }
        | CallFact::Turn { call, .. }
        | CallFact::Words { call, .. }
        | CallFact::Audio { call, .. }
        | CallFact::Media { call, .. }
        | CallFact::Reason { call, .. }
        | CallFact::AgentRinging { call, .. }
        | CallFact::AgentAnswered { call, .. }
        | CallFact::AgentFailed { call, .. }
        | CallFact::Bridged { call }
        | CallFact::Dtmf { call, .. }
        | CallFact::Held { call, .. }
        | CallFact::Resumed { call, .. }
        | CallFact::Transferred { call, .. }
        | CallFact::TransferFailed { call, .. }
        | CallFact::ParticipantJoined { call, .. }
        | CallFact::ParticipantLeft { call, .. }
        | CallFact::ForkStarted { call, .. }
        | CallFact::ForkInterrupted { call, .. }
        | CallFact::ForkEnded { call, .. }
        | CallFact::MessagePlayed { call }
        | CallFact::RecordingStarted { call, .. }
        | CallFact::RecordingReady { call, .. }
        | CallFact::RecordingFailed { call, .. }
        | CallFact::LegEnded { call, .. }
        | CallFact::Ended { call, .. }
        | CallFact::TransitStarted { call, .. }
        | CallFact::TransitRinging { call }
        | CallFact::TransitMoved { call, .. }
        | CallFact::TransitAnswered { call, .. } => *call,
        CallFact::TransitEnded { record, .. } => record.call,
    }
}

/// The call an order is for.
#[must_use]
pub fn call_of_order(order: &CallOrder) -> CallId {
    match order {
        CallOrder::DialCustomer { call, .. }
        | CallOrder::AnswerCustomer { call, .. }
        | CallOrder::RingAgent { call, .. }
        | CallOrder::UseSession { call, .. }
        | CallOrder::ReleaseAgent { call, .. }
        | CallOrder::LetHear { call }
        | CallOrder::Bridge { call, .. }
        | CallOrder::Play { call, .. }
        | CallOrder::Act { call, .. }
        | CallOrder::Hangup { call, .. } => *call,
    }
}
