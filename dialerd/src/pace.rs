//! `dialerd pace --stdio`: the pacer for a dialer or a simulator outside, over lines of text.

use clap::{Args, ValueEnum};
use dialer_core::pacing::protocol::{LINE_MAX, LineProtocol, ProtocolOptions, answer};
use dialer_core::pacing::{CampaignPacing, CancelPolicy, CapStyle, Mode};
use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `pace`.
#[derive(Debug, Args)]
pub(crate) struct PaceArguments {
    /// Talk over stdin and stdout (the only way there is so far).
    #[arg(long, required = true)]
    pub(crate) stdio: bool,
    /// Greatest abandonment rate per campaign and day, 0 to 1.
    #[arg(long, default_value_t = 0.03, value_parser = share)]
    pub(crate) cap: f64,
    /// How the cap binds.
    #[arg(long, value_enum, default_value_t = Style::Average)]
    pub(crate) cap_style: Style,
    /// How every campaign is dialled.
    #[arg(long, value_enum, default_value_t = PaceMode::Predictive)]
    pub(crate) mode: PaceMode,
    /// Calls in flight per idle agent, for `--mode ratio`.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) ratio: f64,
    /// Calls in flight per working agent at most.
    #[arg(long, default_value_t = 12.0)]
    pub(crate) max_lines_per_agent: f64,
    /// Seconds from answer until a call without an agent counts as abandoned.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) patience: f64,
    /// Share of people whom machine detection hangs up on: abandoned calls nobody counts, reserved in the budget.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) false_machine: f64,
    /// Share of the answers resolved as Human that are machines: no live answers, left out of the budget.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) missed_machine: f64,
    /// Allow giving up calls that have rung for 15 seconds when agents run short.
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Say on stderr what every decision rests on, as JSON.
    #[arg(long)]
    pub(crate) explain: bool,
}

/// How a cap binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// Never above: only what has been earned is spent.
    Hard,
    /// At or under the cap when the day ends.
    Average,
    /// May run ahead early in the shift.
    Tapered,
}

/// How every campaign is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PaceMode {
    /// As many as the forecast and the budget bear.
    Predictive,
    /// One call per idle agent.
    Progressive,
    /// A fixed number of calls per idle agent.
    Ratio,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1, such as 0.03".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=60.0).contains(&value) => Ok(value),
        _ => Err("expected seconds from 0 to 60, such as 2".to_owned()),
    }
}

/// Runs until the end of input. 0; 2 for a line that cannot be understood; 1 if reading or writing fails.
pub(crate) fn run(arguments: &PaceArguments) -> ExitCode {
    let mode = match arguments.mode {
        PaceMode::Predictive => Mode::Predictive,
        PaceMode::Progressive => Mode::Progressive,
        PaceMode::Ratio => Mode::Ratio(arguments.ratio),
    };
    let style = match arguments.cap_style {
        Style::Hard => CapStyle::Hard,
        Style::Average => CapStyle::Average,
        Style::Tapered => CapStyle::Tapered,
    };
    let cancel = CancelPolicy { allowed: arguments.cancel, ring_min: Duration::from_secs(15) };
    let protocol = LineProtocol::new(ProtocolOptions {
        pacing: CampaignPacing {
            mode,
            cancel,
            patience: Duration::from_secs_f64(arguments.patience),
            false_machine: arguments.false_machine,
            missed_machine: arguments.missed_machine,
            ..CampaignPacing::default()
        },
        cap: arguments.cap,
        style,
        max_lines_per_agent: arguments.max_lines_per_agent,
    });
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    match talk(protocol, input, output, arguments.explain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Malformed(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        // The other side has hung up: nothing is left to decide.
        Err(Ended::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Ended::Io(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Ended {
    Malformed(String),
    Io(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Io(error)
    }
}

fn talk(
    mut protocol: LineProtocol,
    mut input: impl BufRead,
    mut output: impl Write,
    explain: bool,
) -> Result<(), Ended> {
    let mut bytes = Vec::with_capacity(256);
    let mut reply = String::new();
    loop {
        bytes.clear();
        // One byte more than a line may have, so that a longer one is seen to be longer.
        if input.by_ref().take(LINE_MAX as u64 + 2).read_until(b'\n', &mut bytes)? == 0 {
            return protocol.end().map_err(|error| Ended::Malformed(error.to_string()));
        }
        let text = String::from_utf8_lossy(&bytes);
        let decision = protocol
            .line(text.trim_end_matches(['\n', '\r']))
            .map_err(|error| Ended::Malformed(error.to_string()))?;
        if let Some(decision) = decision {
            reply.clear();
            let _ = writeln!(reply, "{}", answer(&decision));
            output.write_all(reply.as_bytes())?;
            output.flush()?;
            if explain {
                let numbers = serde_json::to_string(&decision.explain).unwrap_or_default();
                eprintln!("{} limited_by={} {numbers}", decision.dial, decision.limited_by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(input: &str) -> (String, Option<String>) {
        let protocol = LineProtocol::new(ProtocolOptions {
            pacing: CampaignPacing { mode: Mode::Predictive, ..CampaignPacing::default() },
            cap: 0.03,
            style: CapStyle::Average,
            max_lines_per_agent: 12.0,
        });
        let mut output = Vec::new();
        let error = match talk(protocol, input.as_bytes(), &mut output, false) {
            Ok(()) => None,
            Err(Ended::Malformed(error)) => Some(error),
            Err(Ended::Io(error)) => panic!("{error}"),
        };
        (String::from_utf8(output).expect("numbers only"), error)
    }

    #[test]
    fn it_answers_each_snapshot_and_stops_at_a_malformed_line() {
        let good = "E 0 day 0 1 1\r\n\nE 1 idle 0\nS 1 0 1 0 0 0 0 0 0 9 1 100\nA I 1 -1 1 0\nD\n";
        assert_eq!(play(good), ("1\n".to_owned(), None));
        let (output, error) = play(&format!("{good}E 2 oops\nS 3 0 1 0 0 0 0 0 0 9 1 100\nD\n"));
        assert_eq!(output, "1\n");
        assert!(error.is_some_and(|error| error.contains("line 7") && error.contains("oops")));
        let (output, error) = play(&"x".repeat(100_000));
        assert!(output.is_empty() && error.is_some());
    }
}
