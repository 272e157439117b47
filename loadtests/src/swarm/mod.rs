//! Phones by the hundred on one thread: a user agent, a few sockets, and what each callee will do.

pub mod callee;
pub mod people;
pub mod phones;
pub mod voice;

use std::net::SocketAddr;
use std::path::Path;

/// Starts a thread of phones on `listen`; gives the way to stop it and its counts.
///
/// # Errors
/// When the address or a thread cannot be had.
pub fn start(listen: SocketAddr, role: phones::Role, seed: u64) -> anyhow::Result<phones::Running> {
    use anyhow::Context;
    let socket = runtime::udp::bind(listen, 8 << 20).with_context(|| format!("binding UDP {listen}"))?;
    let address = socket.local_addr()?;
    let clock = runtime::Clock::new();
    let (orders, receiver) = runtime::mailbox::belled(1024)?;
    let counts = std::sync::Arc::new(std::sync::Mutex::new(phones::Counts::default()));
    let shared = std::sync::Arc::clone(&counts);
    let options = runtime::ShardOptions {
        name: "phones".into(),
        core: None,
        realtime_priority: None,
        listeners: vec![socket],
        media_address: address.ip(),
        kernel_relay: None,
        recordings: Path::new("/nonexistent").to_owned(),
        recording_format: runtime::recorder::FileFormat {
            header_of: |_| Vec::new(),
            encoder: None,
            mend: None,
        },
        seal: None,
        recording_bytes_waiting_max: 0,
        turns: std::sync::Arc::default(),
    };
    let thread = runtime::spawn_shard(options, clock, receiver, move |_| {
        phones::Phones::new(address, role.clone(), seed, clock.now(), std::sync::Arc::clone(&shared))
    })?;
    Ok(phones::Running { address, orders, counts, thread })
}
