//! Which ground sound goes over: found out once, at the start.

use crate::config::check::MediaRelay;
use crate::config::{Config, ConfigError};
use runtime::{Clock, KernelRelay};

/// The relay in the kernel for a shard's ports; `None`: all sound goes through sockets. Says in one line which it is.
///
/// # Errors
/// When the configuration asks for the kernel and it cannot be had.
pub fn choose(config: &Config, clock: Clock) -> Result<Option<KernelRelay>, ConfigError> {
    if config.media_relay == MediaRelay::Sockets {
        tracing::info!(ground = "sockets", "media relay");
        return Ok(None);
    }
    let relay = KernelRelay {
        ports: config.media_ports,
        local: config.media_address,
        interfaces: config.media_relay_interfaces.clone(),
    };
    match relay.open(clock) {
        Ok((_, interfaces)) => {
            tracing::info!(ground = "kernel", interfaces = interfaces.join(","), "media relay");
            Ok(Some(relay))
        }
        Err(why) if config.media_relay == MediaRelay::Auto => {
            tracing::info!(ground = "sockets", %why, "media relay: the kernel cannot do it here");
            Ok(None)
        }
        Err(why) => Err(ConfigError {
            file: config.file.clone(),
            place: config.media_relay_place,
            key: Some("media.relay".into()),
            found: Some("\"kernel\"".into()),
            expected: format!(
                "expected \"auto\" or \"sockets\" here, for the kernel cannot relay (it needs CAP_BPF, CAP_NET_ADMIN \
                 and a program compiled by clang): {why}"
            ),
        }),
    }
}
