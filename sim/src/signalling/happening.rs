//! What can happen, and the queue's order: by time, then by the order of planning.

use super::endpoint::Timer;
use super::pipes::PipeKey;
use bytes::Bytes;
use dialer_core::record::Lead;
use dialer_core::{CampaignId, Command, RecordingId};
use engine::{ShardCommand, ShardEvent, StreamId, WrittenFile};
use sansio::{Instant, WallTime};
use sip_proxy::transport::locate::Question;
use std::net::SocketAddr;

/// Something that will happen. The `life` of what was lost in a crash is of the past.
#[derive(Debug)]
pub(super) enum Happening {
    ToDaemon {
        source: SocketAddr,
        bytes: Bytes,
    },
    ToPeer {
        peer: usize,
        bytes: Bytes,
    },
    /// The network says that a datagram found nobody at a peer's port.
    Undelivered {
        shard_life: u32,
        peer: usize,
        bytes: Bytes,
    },
    /// A connection stands, or does not, as the side that asked for it is told.
    PipeMade {
        key: PipeKey,
        number: u64,
        made: bool,
    },
    /// A piece of what was written into a connection comes out of it.
    Piece {
        key: PipeKey,
        number: u64,
        to_daemon: bool,
        bytes: Bytes,
    },
    /// Connections break: all of a peer, or all.
    Reset {
        everybody: bool,
        whose: u32,
    },
    /// A connection ends.
    Hung {
        key: PipeKey,
    },
    /// The domain name system answers.
    Located {
        life: u32,
        question: Question,
    },
    PeerTimer {
        peer: usize,
        timer: Timer,
    },
    Sound {
        source: SocketAddr,
        to: SocketAddr,
        packet: Vec<u8>,
    },
    ToShard {
        life: u32,
        command: ShardCommand,
    },
    ToControl {
        life: u32,
        event: ShardEvent,
    },
    Commit {
        life: u32,
    },
    Durable {
        life: u32,
        seq: u64,
    },
    Health {
        healthy: bool,
    },
    Leads {
        life: u32,
        campaign: CampaignId,
        leads: Vec<Lead>,
        more: bool,
        next_due: Option<WallTime>,
    },
    Callbacks {
        life: u32,
        leads: Vec<Lead>,
        next: Option<WallTime>,
    },
    PortsFailed {
        shard_life: u32,
        stream: StreamId,
    },
    PortsNotHeld {
        shard_life: u32,
        rtp_port: u16,
        taken: bool,
    },
    Written {
        shard_life: u32,
        recording: RecordingId,
        result: Result<WrittenFile, String>,
    },
    Command {
        life: u32,
        tag: u64,
        command: Box<Command>,
    },
    Mood {
        person: usize,
        mood: u64,
    },
    Operator,
    Setup,
    Start,
    Crash {
        down_ms: u64,
    },
    Panic,
    ClockSet {
        by_ms: i64,
    },
    ShardBack {
        life: u32,
    },
    Power {
        peer: usize,
        on: bool,
    },
    Stranger,
    Close,
    StopNow,
    QuietTrunks,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) at: Instant,
    pub(super) sequence: u64,
    pub(super) what: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
