//! `ctl calls …`: what is done with a live call.

use super::client::{Client, Refusal, escape};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

/// What can be done with a live call (`call_…`). WHOM is an agent (id or name) or a number that begins with +.
#[derive(Debug, Subcommand)]
pub enum CallAct {
    /// Let a supervisor listen, whisper, barge in, or take over; the same agent once more changes the mode.
    Supervise {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "WHOM")]
        whom: String,
        #[arg(value_name = "MODE")]
        mode: Mode,
    },
    /// End the supervision of a call.
    Unsupervise {
        #[arg(value_name = "CALL")]
        call: String,
        /// Only this one (`leg_…`).
        #[arg(value_name = "LEG")]
        leg: Option<String>,
    },
    /// Call a third party into it.
    Add {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "WHOM")]
        whom: String,
    },
    /// Hang up on a third party.
    Remove {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "LEG")]
        leg: String,
    },
    /// Give the customer to someone else.
    Transfer {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "WHOM")]
        whom: String,
    },
    /// Give the call's sound to a bot or recogniser (ws:// or wss://), and play what comes back.
    Fork {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "URL")]
        url: String,
        /// twilio (JSON, µ-law) or l16 (plain samples).
        #[arg(long, value_name = "FORMAT", default_value = "twilio", value_parser = ["twilio", "l16"])]
        format: String,
        /// Samples a second: 8000, or 16000 with l16.
        #[arg(long, value_name = "HZ", default_value_t = 8_000)]
        rate: u32,
        /// inbound (what the customer says), outbound (what the customer hears) or both.
        #[arg(long, value_name = "TRACKS", default_value = "inbound", value_parser = ["inbound", "outbound", "both"])]
        tracks: String,
        /// The customer hears the agent and what comes back at once, not one in place of the other.
        #[arg(long)]
        over: bool,
    },
    /// No longer.
    Unfork {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Record the talk from now on.
    Record {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Keep nothing of what is said in the recording from now on.
    PauseRecording {
        #[arg(value_name = "CALL")]
        call: String,
        /// Leave the time out of the file instead of keeping silence for it.
        #[arg(long)]
        skip: bool,
    },
    /// Keep what is said in the recording again.
    ResumeRecording {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// End the recording; the call goes on.
    StopRecording {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Put the customer on hold.
    Hold {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Take the customer back from hold.
    Unhold {
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Let nobody hear the agent, or the customer.
    Mute {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "PARTY", default_value = "agent")]
        party: Side,
    },
    /// Let all hear the agent, or the customer, again.
    Unmute {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "PARTY", default_value = "agent")]
        party: Side,
    },
    /// Press digits for the customer, or the agent, to hear.
    Dtmf {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "DIGITS")]
        digits: String,
        #[arg(long, value_name = "PARTY", default_value = "customer")]
        to: Side,
    },
    /// Play a prompt.
    Play {
        #[arg(value_name = "CALL")]
        call: String,
        #[arg(value_name = "PROMPT")]
        prompt: String,
        /// customer, agent or both.
        #[arg(long, value_name = "WHOM", default_value = "customer", value_parser = ["customer", "agent", "both"])]
        to: String,
    },
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// Hears both sides.
    Listen,
    /// Is heard by the agent alone.
    Whisper,
    /// Is heard by all.
    Barge,
    /// Takes the agent's seat.
    TakeOver,
}

/// A side of a call.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Side {
    Customer,
    Agent,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Listen => "listen",
            Mode::Whisper => "whisper",
            Mode::Barge => "barge",
            Mode::TakeOver => "take_over",
        }
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Customer => "customer",
            Side::Agent => "agent",
        }
    }
}

/// Does it.
pub async fn act(client: &Client, act: &CallAct, as_json: bool) -> Result<String, Refusal> {
    let path = |call: &str, rest: &str| format!("/v1/calls/{}/{rest}", escape(call));
    let (call, verb, body) = match act {
        CallAct::Supervise { call, whom, mode } => {
            let mut body = target(client, whom).await?;
            body["mode"] = json!(mode.name());
            (call, "supervise", body)
        }
        CallAct::Add { call, whom } => (call, "participants", target(client, whom).await?),
        CallAct::Transfer { call, whom } => (call, "transfer", target(client, whom).await?),
        CallAct::Fork { call, url, format, rate, tracks, over } => {
            let speech = if *over { "over" } else { "instead" };
            let body = json!({"url": url, "format": format, "sample_rate_hz": rate, "tracks": tracks,
                "speech": speech});
            (call, "fork_start", body)
        }
        CallAct::Unfork { call } => (call, "fork_stop", json!({})),
        CallAct::Record { call } => (call, "record", json!({})),
        CallAct::PauseRecording { call, skip } => {
            let behavior = if *skip { "skip" } else { "silence" };
            (call, "record_pause", json!({ "pause_behavior": behavior }))
        }
        CallAct::ResumeRecording { call } => (call, "record_resume", json!({})),
        CallAct::StopRecording { call } => (call, "record_stop", json!({})),
        CallAct::Hold { call } => (call, "hold", json!({})),
        CallAct::Unhold { call } => (call, "unhold", json!({})),
        CallAct::Mute { call, party } => (call, "mute", json!({ "party": party.name() })),
        CallAct::Unmute { call, party } => (call, "unmute", json!({ "party": party.name() })),
        CallAct::Dtmf { call, digits, to } => (call, "dtmf", json!({ "digits": digits, "to": to.name() })),
        CallAct::Play { call, prompt, to } => (call, "play", json!({ "prompt": prompt, "to": to })),
        CallAct::Unsupervise { call, leg } => {
            let rest = leg.as_ref().map_or_else(String::new, |leg| format!("/{}", escape(leg)));
            client.delete(&path(call, &format!("supervise{rest}"))).await?;
            return Ok(format!("{call}: no longer supervised"));
        }
        CallAct::Remove { call, leg } => {
            client.delete(&path(call, &format!("participants/{}", escape(leg)))).await?;
            return Ok(format!("{call}: {leg} is told to leave"));
        }
    };
    let answer = client.post(&path(call, verb), &body).await?;
    if as_json {
        return Ok(serde_json::to_string_pretty(&answer).unwrap_or_default());
    }
    let made = ["leg_id", "fork_id", "recording_id"].into_iter().find_map(|key| answer[key].as_str());
    let leg = made.map_or_else(String::new, |leg| format!(" ({leg})"));
    Ok(format!("{call}: {verb} accepted{leg}"))
}

/// An agent, by id or name, or a number.
async fn target(client: &Client, whom: &str) -> Result<Value, Refusal> {
    if whom.starts_with('+') {
        return Ok(json!({ "to": whom }));
    }
    let agent = client.named("/v1/agents", "agt_", "agent", whom).await?;
    Ok(json!({ "agent_id": agent["id"] }))
}
