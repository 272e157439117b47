//! What rings when an agent is called, on the wire.

use crate::mask::Masker;
use crate::problem::Problem;
use dialer_core::config::TrunkTransport;
use dialer_core::{AgentDevice, TrunkId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What rings when an agent is called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Device {
    /// The phone that has registered as the agent.
    #[default]
    Registered,
    /// A phone at a fixed address, without a registration.
    Address {
        /// `sip:user@host:port`; the user may be left out, the port is 5060 if absent. The host is an IP address. At
        /// the end there may be `;transport=udp` or `;transport=tcp`.
        #[schema(example = "sip:1001@192.0.2.40:5060")]
        uri: String,
    },
    /// A telephone number, dialled over a trunk. It has to begin with one of the agent's `destinations`. A nailed-up
    /// session dials it once, at login, and holds the call; when that ends, was not answered or was refused, the agent is
    /// logged out. An on-demand session dials it for each call: leave it time to ring (`ring_ms`).
    Number {
        /// Number, E.164; masked without `leads:pii`.
        #[schema(example = "+442079460123")]
        number: String,
        /// Over this trunk; null: any that can.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        trunk_id: Option<TrunkId>,
        /// Caller ID shown; null: the trunk's.
        #[serde(default)]
        caller_id: Option<String>,
        /// Whoever answers hears `[media] confirm_prompt` and has to press this key, `0` to `9`, `*` or `#`, within the time that
        /// it may ring, before the agent has the call or is logged in: a mailbox does not. Null: whoever answers is taken
        /// for the agent.
        #[serde(default)]
        #[schema(value_type = Option<String>, pattern = "^[0-9*#]$", example = "1")]
        confirm_key: Option<char>,
    },
}

const EXPECTED: &str =
    "expected sip:user@address:port, the address an IP address, with ;transport=udp or tcp or without";

impl Device {
    /// As the caller may see it.
    pub(super) fn shown(device: &AgentDevice, mask: Masker) -> Self {
        match Device::from(device) {
            Device::Number { number, trunk_id, caller_id, confirm_key } => {
                Device::Number { number: mask.number(&number), trunk_id, caller_id, confirm_key }
            }
            Device::Address { uri } => Device::Address { uri: mask.words(&uri) },
            Device::Registered => Device::Registered,
        }
    }
}

impl From<&AgentDevice> for Device {
    fn from(device: &AgentDevice) -> Self {
        match device {
            AgentDevice::Registered => Device::Registered,
            AgentDevice::Address { user, address, transport } => {
                let user = if user.is_empty() { String::new() } else { format!("{user}@") };
                let transport = match transport {
                    TrunkTransport::Udp => "",
                    TrunkTransport::Tcp => ";transport=tcp",
                    TrunkTransport::Tls => ";transport=tls",
                };
                Device::Address { uri: format!("sip:{user}{address}{transport}") }
            }
            AgentDevice::Number { number, trunk, caller_id, confirm_key } => Device::Number {
                number: number.clone(),
                trunk_id: *trunk,
                caller_id: caller_id.clone(),
                confirm_key: *confirm_key,
            },
        }
    }
}

impl TryFrom<Device> for AgentDevice {
    type Error = Problem;

    fn try_from(wire: Device) -> Result<Self, Problem> {
        match wire {
            Device::Registered => Ok(AgentDevice::Registered),
            Device::Address { uri } => {
                address_of(&uri).ok_or_else(|| Problem::field("/device/uri", EXPECTED))
            }
            Device::Number { number, trunk_id, caller_id, confirm_key } => {
                Ok(AgentDevice::Number { number, trunk: trunk_id, caller_id, confirm_key })
            }
        }
    }
}

fn address_of(uri: &str) -> Option<AgentDevice> {
    let rest = uri.strip_prefix("sip:").filter(|rest| rest.len() <= 160)?;
    let (rest, transport) = match rest.split_once(';') {
        None => (rest, TrunkTransport::Udp),
        Some((rest, "transport=udp")) => (rest, TrunkTransport::Udp),
        Some((rest, "transport=tcp")) => (rest, TrunkTransport::Tcp),
        Some(_) => return None,
    };
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*+".contains(&byte);
    if user.len() > 64 || !user.bytes().all(sound) || rest.starts_with('@') {
        return None;
    }
    let bare = |host: &str| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.parse().ok().map(|host| std::net::SocketAddr::new(host, 5060))
    };
    let address = host.parse::<std::net::SocketAddr>().ok().or_else(|| bare(host))?;
    let good = address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast();
    good.then(|| AgentDevice::Address { user: user.into(), address: address.to_string(), transport })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(uri: &str) -> Option<String> {
        match Device::from(&address_of(uri)?) {
            Device::Address { uri } => Some(uri),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_are_read_and_written() {
        for (uri, read) in [
            ("sip:1001@192.0.2.40:5070", "sip:1001@192.0.2.40:5070"),
            ("sip:192.0.2.40", "sip:192.0.2.40:5060"),
            ("sip:anna@[2001:db8::7];transport=tcp", "sip:anna@[2001:db8::7]:5060;transport=tcp"),
            ("sip:anna@192.0.2.1:5060;transport=udp", "sip:anna@192.0.2.1:5060"),
        ] {
            assert_eq!(there_and_back(uri).as_deref(), Some(read), "{uri}");
        }
        for wrong in [
            "",
            "sip:",
            "sips:a@192.0.2.1",
            "sip:a@host.example",
            "sip:a@192.0.2.1:0",
            "sip:@192.0.2.1",
            "sip:a b@192.0.2.1",
            "sip:a>@192.0.2.1",
            "sip:a@192.0.2.1;transport=ws",
            "sip:a@0.0.0.0",
            "sip:a@192.0.2.1:5060:5060",
            "sip:a@192.0.2.1;x=y;transport=tcp",
            "sip:a@224.0.0.1",
            "sip:a\r\nX: y@192.0.2.1",
        ] {
            assert_eq!(there_and_back(wrong), None, "{wrong}");
        }
    }
}
