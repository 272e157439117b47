//! Forks on the wire: the sound of a live call to a bot or recogniser outside, and back.

use super::wire_enum;
use crate::time::Time;
use dialer_core::ForkId;
use dialer_core::fork::{ForkConfig, Hidden};
use dialer_core::view::ForkView;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A connection is made anew so often in a row where nothing else is asked for.
const RECONNECTS: u32 = 3;
/// Samples a second.
const SAMPLE_RATE_HZ: u32 = 8_000;

wire_enum! {
    /// In which words sound goes out and comes back.
    ForkFormat = dialer_core::fork::ForkFormat {
        /// JSON as of Twilio Media Streams: `connected`, `start`, `media`, `dtmf`, `mark`, `stop` go out, `media`, `mark`
        /// and `clear` are understood. Sound is µ-law at 8,000 Hz in base64.
        Twilio,
        /// Binary messages of samples, signed 16 bits, little-endian, 20 ms each; both tracks interleaved. Binary
        /// messages that come back are played, whatever their length. `start`, `dtmf`, `mark`, `clear` and `stop` in JSON
        /// beside them.
        L16,
    }
}

wire_enum! {
    /// Which sound goes out.
    ForkTracks = dialer_core::fork::ForkTracks {
        /// What the customer says.
        Inbound,
        /// What the customer hears: agent, prompts, music; not what comes from the fork itself.
        Outbound,
        /// Both.
        Both,
    }
}

wire_enum! {
    /// How the customer hears what comes back.
    ForkSpeech = dialer_core::fork::ForkSpeech {
        /// In place of the agent, as long as it speaks.
        Instead,
        /// Together with the agent.
        Over,
    }
}

/// Where the sound of a call is to go.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// `ws://…` or `wss://…`. Only what stands before a `?` is shown again.
    #[schema(max_length = 2_048, example = "wss://bot.example/live")]
    pub url: String,
    /// `twilio` if absent.
    #[serde(default)]
    pub format: Option<ForkFormat>,
    /// 8000 if absent; 16000 with the format `l16`, both ways.
    #[serde(default)]
    #[schema(minimum = 8_000, maximum = 16_000)]
    pub sample_rate_hz: Option<u32>,
    /// `inbound` if absent.
    #[serde(default)]
    pub tracks: Option<ForkTracks>,
    /// How the customer hears what comes back; `instead` (of the agent) if absent, `over`: both at once.
    #[serde(default)]
    pub speech: Option<ForkSpeech>,
    /// False: with the format `l16` nothing but sound goes out, for recognisers that take nothing else. True if absent.
    #[serde(default)]
    pub control_messages: Option<bool>,
    /// Told in `start` as `customParameters`: at most 20, names of 64 and values of 512 characters.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The header `Authorization` of the handshake. Never shown.
    #[serde(default)]
    #[schema(max_length = 4_096)]
    pub authorization: Option<String>,
    /// A connection that cannot be made or breaks is made anew so often in a row, after 250 ms, then each time twice as
    /// long; 3 if absent.
    #[serde(default)]
    #[schema(maximum = 20)]
    pub reconnects_max: Option<u32>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

impl From<ForkRequest> for ForkConfig {
    fn from(request: ForkRequest) -> Self {
        ForkConfig {
            url: request.url,
            format: request.format.unwrap_or(ForkFormat::Twilio).into(),
            sample_rate_hz: request.sample_rate_hz.unwrap_or(SAMPLE_RATE_HZ),
            tracks: request.tracks.unwrap_or(ForkTracks::Inbound).into(),
            speech: request.speech.map_or_else(Default::default, Into::into),
            control_messages: request.control_messages.unwrap_or(true),
            parameters: request.parameters,
            authorization: request.authorization.map(Hidden),
            reconnects_max: request.reconnects_max.unwrap_or(RECONNECTS),
        }
    }
}

/// Which fork is to end.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkStopRequest {
    /// This one and no other; the one there is, if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub fork_id: Option<ForkId>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// A fork was ordered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ForkAccepted {
    /// `fork_…`; the `streamSid` of its messages.
    pub fork_id: String,
    /// The call.
    pub call_id: String,
    /// Name of the command, told by `command.completed` or `command.failed`.
    pub command_id: String,
}

/// The fork of a live call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallFork {
    /// `fork_…`.
    pub fork_id: String,
    /// Where its sound goes, without what may be secret in it.
    pub url: String,
    /// In which words.
    pub format: ForkFormat,
    /// Which sound.
    pub tracks: ForkTracks,
    /// When it was asked for.
    pub asked_at: Time,
    /// When its connection was up first.
    pub started_at: Option<Time>,
}

impl CallFork {
    pub(crate) fn new(view: &ForkView) -> Self {
        CallFork {
            fork_id: view.fork.to_string(),
            url: view.url.clone(),
            format: view.format.into(),
            tracks: view.tracks.into(),
            asked_at: view.asked_at.into(),
            started_at: view.started_at.map(Time),
        }
    }
}
