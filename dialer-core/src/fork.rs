//! Forks: the sound of a live call given to a bot or recogniser outside, and what that one says. Plain data for all
//! doors.
//!
//! ```text
//!   asked ──► started (the connection is up) ──► ended     ended comes on every path, once
//! ```

use crate::check::{invalid, range, text};
use crate::command::CommandError;
use crate::id::ForkId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Parameters of one fork at most.
const PARAMETERS_MAX: usize = 20;
/// Times in a row a broken connection is made anew, at most.
const RECONNECTS_MAX: u32 = 20;

/// In which words sound goes out and comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkFormat {
    /// Messages in JSON with µ-law at 8,000 Hz in base64, as Twilio Media Streams have them.
    Twilio,
    /// Binary messages of samples: signed 16 bits, little-endian; both tracks interleaved.
    L16,
}

impl ForkFormat {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ForkFormat::Twilio => "twilio",
            ForkFormat::L16 => "l16",
        }
    }
}

/// Which sound goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkTracks {
    /// What the customer says.
    Inbound,
    /// What the customer hears, but for what comes from the fork itself.
    Outbound,
    /// Both.
    Both,
}

impl ForkTracks {
    /// What the customer says is in it.
    #[must_use]
    pub const fn inbound(self) -> bool {
        !matches!(self, ForkTracks::Outbound)
    }

    /// What the customer hears is in it.
    #[must_use]
    pub const fn outbound(self) -> bool {
        !matches!(self, ForkTracks::Inbound)
    }

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ForkTracks::Inbound => "inbound",
            ForkTracks::Outbound => "outbound",
            ForkTracks::Both => "both",
        }
    }
}

/// How the customer hears what comes from a fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkSpeech {
    /// In place of the agent, as long as it speaks.
    #[default]
    Instead,
    /// Together with the agent.
    Over,
}

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A fork that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForkConfig {
    /// Where: `ws://…` or `wss://…`.
    pub url: String,
    /// In which words.
    pub format: ForkFormat,
    /// Samples a second: 8,000, with [`ForkFormat::L16`] also 16,000.
    pub sample_rate_hz: u32,
    /// Which sound.
    pub tracks: ForkTracks,
    /// How what comes back is heard.
    pub speech: ForkSpeech,
    /// With [`ForkFormat::L16`]: start, digits, marks and stop are told too, in JSON.
    pub control_messages: bool,
    /// Told at the start.
    pub parameters: BTreeMap<String, String>,
    /// The header `Authorization` of the handshake.
    pub authorization: Option<Hidden>,
    /// A connection that fails or breaks is made anew so often in a row.
    pub reconnects_max: u32,
}

impl ForkConfig {
    /// Checks it.
    ///
    /// # Errors
    /// Which field does not fit.
    pub fn check(&self) -> Result<(), CommandError> {
        let rest = self.url.strip_prefix("wss://").or_else(|| self.url.strip_prefix("ws://"));
        let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']));
        let plain = self.url.bytes().all(|byte| byte.is_ascii_graphic());
        if !host || !plain || self.url.len() > 2_048 || self.url.contains('#') {
            return invalid("/url", "ws://… or wss://… of at most 2,048 characters, without a fragment");
        }
        let rate_fits = match self.format {
            ForkFormat::Twilio => self.sample_rate_hz == 8_000,
            ForkFormat::L16 => matches!(self.sample_rate_hz, 8_000 | 16_000),
        };
        if !rate_fits {
            return invalid("/sample_rate_hz", "8000, or 16000 with the format l16");
        }
        if self.parameters.len() > PARAMETERS_MAX {
            return invalid("/parameters", "at most 20");
        }
        for (name, value) in &self.parameters {
            text("/parameters", name, 1, 64)?;
            text("/parameters", value, 0, 512)?;
        }
        if let Some(Hidden(value)) = &self.authorization
            && (value.is_empty()
                || value.len() > 4_096
                || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()))
        {
            return invalid("/authorization", "1 to 4,096 visible ASCII characters");
        }
        range("/reconnects_max", self.reconnects_max, 0, RECONNECTS_MAX)
    }

    /// Its address as it may be shown: what follows the path may hold keys.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let address = self.url.split('?').next().unwrap_or_default();
        match address.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = match rest.find('/') {
                    Some(at) => rest.split_at(at),
                    None => (rest, ""),
                };
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{path}")
            }
            None => address.to_owned(),
        }
    }
}

/// Why a fork ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkEnd {
    /// It was asked for.
    Stopped,
    /// The call is over.
    CallEnded,
    /// The other side closed it.
    Closed,
    /// It could not be connected, or broke and could not be made anew.
    Failed,
    /// The engine could not do it.
    Refused,
}

impl ForkEnd {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ForkEnd::Stopped => "stopped",
            ForkEnd::CallEnded => "call_ended",
            ForkEnd::Closed => "closed",
            ForkEnd::Failed => "failed",
            ForkEnd::Refused => "refused",
        }
    }
}

/// An order for the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForkOrder {
    /// Its name.
    pub fork: ForkId,
    /// What is wanted.
    pub config: ForkConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> ForkConfig {
        ForkConfig {
            url: url.into(),
            format: ForkFormat::L16,
            sample_rate_hz: 16_000,
            tracks: ForkTracks::Both,
            speech: ForkSpeech::Instead,
            control_messages: true,
            parameters: BTreeMap::new(),
            authorization: Some(Hidden("Bearer secret".into())),
            reconnects_max: 3,
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_secret_is_not() {
        let good = config("wss://user:key@bot.example/live?token=secret");
        assert!(good.check().is_ok());
        assert_eq!(good.shown_url(), "wss://bot.example/live");
        assert!(!format!("{good:?}").contains("Bearer"));
        for bad in ["", "http://bot.example", "ws://", "ws:///x", "ws://a b", "ws://bot#x"] {
            assert!(config(bad).check().is_err(), "{bad}");
        }
        assert!(ForkConfig { format: ForkFormat::Twilio, ..good.clone() }.check().is_err());
        assert!(ForkConfig { reconnects_max: 21, ..good.clone() }.check().is_err());
        let parameters = (0..21).map(|n| (n.to_string(), String::new())).collect();
        assert!(ForkConfig { parameters, ..good }.check().is_err());
    }
}
