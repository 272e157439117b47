//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A SIP B2BUA and predictive dialer.
#[derive(Debug, Parser)]
#[command(name = "dialerd", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Subcommands,
}

/// What dialerd can do.
#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Run the daemon until it is told to stop (SIGTERM drains, a second one stops at once).
    #[command(
        after_help = "Exit codes: 0 stopped as told, 1 failed while running, 2 the configuration is wrong."
    )]
    Run(RunArguments),
    /// Read a configuration, say what is wrong with it, and do nothing else.
    #[command(
        after_help = "Exit codes: 0 the configuration is good, 2 it is not (file, line and key are printed)."
    )]
    CheckConfig(CheckConfigArguments),
    /// Show the main job on this machine: a predictive campaign over real SIP and RTP on loopback.
    #[command(
        after_help = "Starts a daemon with an embedded store, a carrier and agents' phones as processes of their own, \
                      dials 300 leads, and ends with a summary. Exit code 0 only if everything it checks is true."
    )]
    Demo(DemoArguments),
    /// Let an outside dialer or simulator use the pacer over stdin and stdout.
    #[command(
        after_help = "One line each: E … for what happened, S … A … C … D for what is true; after each D one line \
                      with the number of calls to dial. Exit codes: 0 end of input, 2 a malformed line (named)."
    )]
    Pace(crate::pace::PaceArguments),
    /// Play a campaign's future: how many agents, which mode, what utilisation and abandonment.
    #[command(
        after_help = "Prints a table; --csv, --json and --html write it too. Exit codes: 0 played, 1 a report could \
                      not be written, 2 the scenario or a policy is wrong."
    )]
    Simulate(crate::simulate::SimulateArguments),
    /// Play the whole daemon under seeded worlds of lost, late and contrary messages, and check its promises.
    #[command(
        after_help = "Exit codes: 0 every promise held, 1 one was broken (seed and ladder are printed)."
    )]
    World(sim::cli::WorldArguments),
    /// Ask a running daemon over its API: why does a campaign dial, or not?
    #[command(
        after_help = "Exit codes: 0 answered, 1 the daemon could not be asked or refused, 2 wrong use. Needs a token \
                      (--token-file, --token, DIALERD_TOKEN or DIALERD_TOKEN_FILE)."
    )]
    Ctl(crate::ctl::CtlArguments),
    /// Teach a network's announcement (空号, 关机, 停机, …), so that calls that hear it end at once with the right outcome.
    #[command(
        after_help = "FILE is what one call heard: only the announcement, 2 to 60 seconds. Class screening, an assistant that \
                      asks who is calling, is known behind the answer too. A running \
                      daemon knows it after SIGHUP or its next start. Exit codes: 0 taught, or known already; 1 it cannot \
                      be taught (why is printed), 2 wrong use or configuration."
    )]
    TeachAnnouncement(crate::announcements::TeachArguments),
    /// Copy the embedded store, whole and as of one moment, while the daemon runs (PostgreSQL: use pg_dump).
    #[command(after_help = "Exit codes: 0 copied and checked, 1 it failed, 2 the configuration is wrong.")]
    Backup(crate::backup::BackupArguments),
    /// Put a copy of the store in its place; the daemon must not run.
    #[command(after_help = "Exit codes: 0 restored, 1 it failed, 2 the configuration is wrong.")]
    Restore(crate::backup::RestoreArguments),
    /// Print completions for a shell: `dialerd completion bash > /etc/bash_completion.d/dialerd`.
    Completion {
        /// Which shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page: `dialerd man | man -l -`.
    Man,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The configuration file (TOML); see config/dialerd.example.toml.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
}

/// Arguments of `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArguments {
    /// The configuration file (TOML).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `demo`.
#[derive(Debug, Args, Clone)]
pub struct DemoArguments {
    /// Seed of everything that happens by chance: who answers, after how long, how long they talk.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Agents at work.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub agents: u32,
    /// Dial for at most so many minutes.
    #[arg(long, default_value_t = 2.0)]
    pub minutes: f64,
    /// How much faster than life people ring, talk and wrap up.
    #[arg(long, default_value_t = 8.0)]
    pub speed: f64,
    /// Leads in the list.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub leads: u32,
    /// Keep the working folder (database, recordings, logs) here instead of a temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// One line every few seconds instead of a live view.
    #[arg(long)]
    pub plain: bool,
}
