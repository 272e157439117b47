//! Plays the whole daemon under seeded worlds.

use clap::Parser;
use std::process::ExitCode;

/// The whole daemon under a seeded world: same seed, same story.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    world: sim::cli::WorldArguments,
}

fn main() -> ExitCode {
    sim::cli::play(Arguments::parse().world)
}
