//! What the plane wants done (to below) and what it has noticed (to above).

use crate::{DtlsOrder, OffloadRule, OffloadStart, PacketKind, StreamKey};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// An order to the edge, or an event for the room above.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Bind both UDP ports for a stream that may come, and keep them until one is opened on them. On failure call
    /// [`crate::Plane::ports_not_held`] before any other input.
    HoldPorts {
        /// Even.
        rtp_port: u16,
        /// The one above.
        rtcp_port: u16,
    },
    /// Bind both UDP ports for the stream, unless they are held already. On failure call
    /// [`crate::Plane::ports_failed`].
    OpenPorts {
        /// The stream that will own them.
        stream: StreamKey,
        /// Even.
        rtp_port: u16,
        /// The one above.
        rtcp_port: u16,
    },
    /// Close both. Comes exactly once per stream whose ports did not fail.
    ClosePorts {
        /// The stream that owned them; its key is stale already.
        stream: StreamKey,
        /// Even.
        rtp_port: u16,
        /// The one above.
        rtcp_port: u16,
    },
    /// Send the packet just handled, as edited in place, whole.
    Forward {
        /// From this stream's socket …
        to: StreamKey,
        /// … of this kind …
        kind: PacketKind,
        /// … to this address (the stream's far end).
        destination: SocketAddr,
    },
    /// Send a packet of our own.
    Send {
        /// From this stream's socket …
        from: StreamKey,
        /// … of this kind …
        kind: PacketKind,
        /// … to this address.
        destination: SocketAddr,
        /// The packet.
        packet: Bytes,
    },
    /// The far end's real address is known; the edge may `connect` the socket to it.
    Latched {
        /// The stream.
        stream: StreamKey,
        /// Which socket.
        kind: PacketKind,
        /// The far end.
        destination: SocketAddr,
    },
    /// Another address must be heard again: a connected socket has to be disconnected.
    Unlatched {
        /// The stream.
        stream: StreamKey,
        /// Which socket.
        kind: PacketKind,
    },
    /// Only with [`crate::Config::offload`]: relay by yourself what comes in on the stream and fits this rule. If you
    /// cannot: [`crate::Plane::offload_refused`].
    Offload {
        /// The stream its packets come in on.
        stream: StreamKey,
        /// What is to be done with them.
        rule: OffloadRule,
        /// Where counting begins.
        start: OffloadStart,
    },
    /// Do so no longer, from now on; exactly once per `Offload` that was not refused. Answer at once, before any
    /// other input, with [`crate::Plane::offload_ended`].
    Reclaim {
        /// The stream; its key may be stale already.
        stream: StreamKey,
    },
    /// Tell what you have relayed: [`crate::Plane::offload_counted`].
    CountOffload {
        /// The stream.
        stream: StreamKey,
    },
    /// Something about a stream's handshake.
    Dtls(DtlsOrder),
    /// Something for a recording's file.
    Record(RecordOp),
    /// Something for who is outside at the end of a fork.
    Fork(ForkOp),
    /// A fact for the room above.
    Event(Event),
}

/// Orders for the writer of recordings. For one id: one `Open`, any number of `Append`, one `Finish`.
#[derive(Clone, PartialEq, Debug)]
pub enum RecordOp {
    /// Start a file: stereo, 8,000 Hz, 16 bits.
    Open {
        /// The recording.
        id: u64,
    },
    /// Add sound, less than a second at a time as a rule.
    Append {
        /// The recording.
        id: u64,
        /// Interleaved left, right, little-endian signed 16 bits: four bytes per frame.
        samples: Bytes,
    },
    /// Nothing more comes.
    Finish {
        /// The recording.
        id: u64,
        /// Frames (pairs of samples) in all; seconds × 8,000.
        frames: u64,
        /// Frames in which it was paused: silence in the file, or left out, as was wanted.
        paused_frames: u64,
        /// Some of the sound came in a codec that is not decoded here (G.729): silence stands in its place.
        undecodable: bool,
    },
}

/// What a fork gives out. For one id, from [`crate::Plane::start_fork`] on: any number of the others, then one `End`.
#[derive(Clone, PartialEq, Debug)]
pub enum ForkOp {
    /// 20 ms of sound, 160 samples at 8,000 Hz of each direction that was asked for.
    Sound {
        /// The fork.
        id: u64,
        /// Its place: 20 ms since the start.
        frame: u64,
        /// What the far end said.
        inbound: Option<Box<[i16]>>,
        /// What it heard, but for what was said to it from outside: silence stands there.
        outbound: Option<Box<[i16]>>,
    },
    /// All that was said from outside before this mark has been played, or taken back.
    Mark {
        /// The fork.
        id: u64,
        /// As it was named.
        name: String,
    },
    /// Nothing more comes.
    End {
        /// The fork.
        id: u64,
    },
}

/// A fact about a stream. `owner` is what [`crate::Plane::open`] was given.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A digit was pressed and let go; once per press and way in which it came.
    Dtmf {
        /// The stream it came in on.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held, milliseconds.
        duration_ms: u32,
        /// In which way it came.
        source: DigitSource,
    },
    /// Human or machine; once per [`crate::Plane::amd_start`], unless the stream closes first. A screening assistant that
    /// is known by its sound may be told behind another verdict, whose place it takes.
    AmdVerdict {
        /// The stream listened to.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// What it is.
        verdict: AmdVerdict,
        /// Why.
        cause: AmdCause,
        /// 0..=1, a score and not a calibrated probability.
        confidence: f32,
        /// Milliseconds from `amd_start` to this verdict.
        after_answer_ms: u32,
    },
    /// A machine or an assistant has finished and it is our turn to speak; at most once, behind the verdict, where
    /// [`crate::AmdConfig::await_turn`] asks for it.
    Turn {
        /// The stream listened to.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// How that is known.
        cue: TurnCue,
        /// Milliseconds from `amd_start`.
        after_answer_ms: u32,
    },
    /// What is heard before the answer; each time the class changes.
    EarlyMedia {
        /// The stream listened to.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// What it is.
        class: EarlyMediaClass,
        /// 0..=1, a score and not a calibrated probability.
        confidence: f32,
        /// Its place in [`crate::announcement::Book::announcements`] when it is known by its sound, not by a tone.
        announcement: Option<usize>,
    },
    /// Something was said that only its words can explain; where [`crate::Config::utterances`] asks for it, twice at most
    /// before the answer and twice behind it.
    Utterance {
        /// The stream listened to.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// Linear PCM at 8,000 Hz, 6 s at most.
        samples: Arc<[i16]>,
    },
    /// A play that does not repeat is over; exactly once for each.
    PlayDone {
        /// The stream it was played to.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// From the [`crate::PlayRequest`].
        tag: u64,
        /// Heard to its end; false when stopped, replaced, connected over or closed before.
        completed: bool,
    },
    /// Nothing was received for [`crate::Config::media_timeout`] though the far end should send.
    MediaTimeout {
        /// The silent stream.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
    },
    /// A bridged stream's sound stopped, or came back.
    Audio {
        /// The stream.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// How it is now.
        state: AudioState,
        /// The other side's packets do come: this is one-way audio.
        one_way: bool,
    },
    /// The stream cannot work; close it.
    Failed {
        /// The stream.
        stream: StreamKey,
        /// Its owner.
        owner: u64,
        /// Why.
        reason: FailedReason,
    },
}

/// In which way a digit came. One press may come in more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigitSource {
    /// As packets of its own (RFC 4733).
    Event,
    /// As tones in the sound.
    InBand,
}

/// Whether sound comes from a far end that should send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AudioState {
    /// It does.
    #[default]
    Flowing,
    /// No packet has come for [`crate::Config::no_packets_after`].
    NoPackets,
    /// Nothing but silence has come for [`crate::Config::no_sound_after`].
    NoSound,
}

/// Why a stream failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailedReason {
    /// The edge could not bind its ports.
    PortsUnavailable,
    /// A browser's checks or handshake did not come about.
    Handshake,
}

/// Who answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AmdVerdict {
    /// A person.
    Human,
    /// A recording.
    Machine,
    /// Not to be told; treat as a person.
    Unsure,
    /// A fax machine.
    Fax,
    /// An assistant that asks who is calling.
    Screening,
}

/// Which rule gave the verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AmdCause {
    /// A short greeting and then silence: a person waits for us.
    ShortGreeting,
    /// Speech went on longer than a person's greeting.
    LongGreeting,
    /// Nobody said anything.
    InitialSilence,
    /// The time for listening ran out.
    TimeLimit,
    /// A beep that asks for a message.
    Beep,
    /// A fax machine's tone (ITU-T T.30).
    FaxTone,
    /// A recording that was taught ([`crate::announcement`]).
    Announcement,
}

/// How it is known that a machine or an assistant has finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnCue {
    /// A beep.
    Beep,
    /// It is silent and no beep came: it waits for an answer.
    Silence,
    /// It was listened to for as long as may be.
    TimeLimit,
}

/// What early media holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EarlyMediaClass {
    /// Ringing tone.
    Ringback,
    /// Subscriber busy tone.
    Busy,
    /// Congestion, reorder.
    Congestion,
    /// Special information tones: the number cannot be reached.
    Sit,
    /// Speech or music that is not known: an announcement or a coloured ringback.
    Voice,
    /// A known announcement: the number does not exist (空号).
    InvalidNumber,
    /// … service suspended (停机).
    Suspended,
    /// … powered off (关机).
    PowerOff,
    /// … out of reach (无法接通).
    Unreachable,
    /// … in another call (通话中).
    InCall,
    /// … nobody answers (无人接听).
    NoAnswer,
    /// … the line forbids incoming calls (呼入限制).
    CallForbidden,
    /// Known music or words instead of the ringing tone (彩铃).
    ColouredRingback,
    /// A known assistant that asks who is calling.
    Screening,
}
