//! The daemon: it reads a configuration, sets the rooms on their ground, and stops as it is told.

mod args;
mod config;
mod pace;
mod simulate;

use args::{Arguments, Subcommands};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Subcommands::Run(arguments) => {
            let _ = arguments;
            ExitCode::SUCCESS
        }
        Subcommands::CheckConfig(arguments) => check_config(&arguments.file),
        Subcommands::Pace(arguments) => pace::run(&arguments),
        Subcommands::Simulate(arguments) => simulate::run(&arguments),
        Subcommands::Demo(arguments) => {
            let _ = arguments;
            ExitCode::SUCCESS
        }
    }
}

/// Says whether a configuration is good.
fn check_config(file: &std::path::Path) -> ExitCode {
    match config::load(file) {
        Ok(_) => {
            println!("{}: the configuration is good", file.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors {
                eprintln!("{error}");
            }
            ExitCode::from(2)
        }
    }
}
