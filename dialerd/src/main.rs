//! The daemon: it reads a configuration, sets the rooms on their ground, and stops as it is told.

#![allow(unreachable_pub, reason = "a program has no outside: pub means pub in the crate")]

mod args;
mod boot;
mod certificates;
mod config;
mod control_thread;
mod ctl;
mod demo;
mod hep;
mod logging;
mod metrics;
mod names;
mod pace;
mod prompts;
mod reload;
mod shard_thread;
mod shutdown;
mod simulate;
mod streams;
mod token;

/// A call is some hundred small allocations, all made and freed by its shard's thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use args::{Arguments, Subcommands};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Subcommands::Run(arguments) => run(&arguments.config),
        Subcommands::CheckConfig(arguments) => check_config(&arguments.file),
        Subcommands::Pace(arguments) => pace::run(&arguments),
        Subcommands::Simulate(arguments) => simulate::run(&arguments),
        Subcommands::Demo(arguments) => demo::run(&arguments),
        Subcommands::Ctl(arguments) => ctl::run(&arguments),
    }
}

/// Runs the daemon.
fn run(file: &std::path::Path) -> ExitCode {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(errors) => return tell_faults(&errors),
    };
    logging::start(&config);
    match boot::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell_faults(errors: &[config::ConfigError]) -> ExitCode {
    for error in errors {
        eprintln!("{error}");
    }
    ExitCode::from(2)
}

/// Says whether a configuration is good.
fn check_config(file: &std::path::Path) -> ExitCode {
    match config::load(file) {
        Ok(_) => {
            println!("{}: the configuration is good", file.display());
            ExitCode::SUCCESS
        }
        Err(errors) => tell_faults(&errors),
    }
}
