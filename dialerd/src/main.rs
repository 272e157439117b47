//! The daemon: it reads a configuration, sets the rooms on their ground, and stops as it is told.

#![allow(unreachable_pub, reason = "a program has no outside: pub means pub in the crate")]

mod announcements;
mod api_listener;
mod args;
mod backup;
mod boot;
mod certificates;
mod config;
mod control_thread;
mod ctl;
mod demo;
mod dtls;
mod fork;
mod hep;
mod logging;
mod metrics;
mod names;
mod offload;
mod pace;
mod prompts;
mod recogniser;
mod recordings;
mod relay;
mod reload;
mod retention;
mod shard_thread;
mod shelf;
mod shutdown;
mod simulate;
mod streams;
mod token;
mod voice;

/// A call is some hundred small allocations, all made and freed by its shard's thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use args::{Arguments, Subcommands};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Subcommands::Run(arguments) => run(&arguments.config),
        Subcommands::CheckConfig(arguments) => check_config(&arguments.file),
        Subcommands::Pace(arguments) => pace::run(&arguments),
        Subcommands::Simulate(arguments) => simulate::run(&arguments),
        Subcommands::World(arguments) => sim::cli::play(arguments),
        Subcommands::Demo(arguments) => demo::run(&arguments),
        Subcommands::Ctl(arguments) => ctl::run(&arguments),
        Subcommands::TeachAnnouncement(arguments) => announcements::teach(&arguments),
        Subcommands::Backup(arguments) => backup::backup(&arguments),
        Subcommands::Restore(arguments) => backup::restore(&arguments),
        Subcommands::Completion { shell } => completion(shell),
        Subcommands::Man => manual(),
    }
}

/// Prints completions for a shell.
fn completion(shell: clap_complete::Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "dialerd", &mut text);
    printed(&text)
}

/// Prints the manual page: the program and, as sections of their own, what it can do.
fn manual() -> ExitCode {
    let mut text = Vec::new();
    match manual_of(&Arguments::command(), &mut text) {
        Ok(()) => printed(&text),
        Err(_) => ExitCode::FAILURE,
    }
}

fn manual_of(command: &clap::Command, out: &mut Vec<u8>) -> std::io::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for sub in command.get_subcommands() {
        let name = sub.get_name().to_owned();
        out.extend_from_slice(format!(".SH \"DIALERD {}\"\n", name.to_uppercase()).as_bytes());
        let sub = sub.clone().display_name(format!("dialerd {name}"));
        let page = clap_mangen::Man::new(sub);
        page.render_description_section(out)?;
        page.render_options_section(out)?;
        page.render_subcommands_section(out)?;
        page.render_extra_section(out)?;
    }
    Ok(())
}

/// A reader that has seen enough and went away (`| head`) is no failure.
fn printed(text: &[u8]) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Runs the daemon.
fn run(file: &std::path::Path) -> ExitCode {
    if !runtime::process::small_pages() {
        eprintln!("dialerd: huge pages cannot be refused; now and then a call may wait for one");
    }
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
