//! The edge to the operating system: clock, entropy, sockets, recordings on disk, and the loop that turns a
//! quiet machine's effects into system calls.
//!
//! Nothing here knows a word of SIP or of a call centre. A shard is one pinned thread with a tokio-uring runtime
//! on it; its machine is called from that thread only, so it needs no lock.

pub mod bell;
pub mod clock;
pub mod dns;
pub mod dtls;
pub mod entropy;
mod gather;
pub mod ground;
pub mod mailbox;
mod media_socket;
pub mod process;
pub mod recorder;
pub mod relay;
pub mod shard;
pub mod stream;
pub mod turns;
pub mod udp;
pub mod websocket;

pub use clock::Clock;
pub use ground::{Ground, GroundCounters, SocketKind, Unsent};
pub use mailbox::{BelledReceiver, Mailbox, Receiver, Sender};
pub use recorder::{RecordOrder, RecordResult, Recorder};
pub use relay::{KernelRelay, RelayGround};
pub use shard::{ShardMachine, ShardOptions, spawn_shard};
pub use turns::{TURN_BOUNDS_US, TurnTimes};
