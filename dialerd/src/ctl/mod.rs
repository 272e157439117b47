//! `dialerd ctl`: asks a running daemon, over the same API as any other client.
//!
//! One file per question; each prints plain words for people, or the API's own JSON with `--json`.

mod client;
mod trace;
mod why;

use clap::{Args, Subcommand};
use client::{Client, Refusal};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `ctl`.
#[derive(Debug, Args)]
pub struct CtlArguments {
    /// Where the daemon's API is [default: $DIALERD_API, else http://127.0.0.1:8080].
    #[arg(long, value_name = "URL", global = true)]
    pub api: Option<String>,
    /// The API token [default: $DIALERD_TOKEN]. Others on this machine may see it; a file is safer.
    #[arg(long, value_name = "TOKEN", global = true, conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file that holds the token, such as admin.token in the data folder [default: $DIALERD_TOKEN_FILE].
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// Print the API's own answer (JSON) instead of words.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to ask.
    #[command(subcommand)]
    pub question: Question,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// Why does this campaign dial, or not?
    Why {
        /// Its id (`camp_…`) or its name.
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
    },
    /// The SIP messages of a call, live or recent, as a ladder with times.
    Trace {
        /// Its id (`call_…`).
        #[arg(value_name = "CALL")]
        call: String,
        /// Print each message whole below the ladder.
        #[arg(long)]
        full: bool,
    },
}

/// Asks and prints. Exit codes: 0 answered, 1 the daemon could not be asked or refused, 2 wrong use.
pub fn run(arguments: &CtlArguments) -> ExitCode {
    let client = match Client::new(arguments) {
        Ok(client) => client,
        Err(error) => return tell(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Refusal::Failed(error.to_string())),
    };
    let answer = runtime.block_on(async {
        match &arguments.question {
            Question::Trace { call, full } => trace::ask(&client, call, *full, arguments.json).await,
            Question::Why { campaign } => why::ask(&client, campaign, arguments.json).await,
        }
    });
    match answer {
        Ok(text) => print(&text),
        Err(error) => tell(&error),
    }
}

/// A reader that has seen enough and went away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => tell(&Refusal::Failed(error.to_string())),
        _ => ExitCode::SUCCESS,
    }
}

fn tell(error: &Refusal) -> ExitCode {
    eprintln!("dialerd ctl: {error}");
    match error {
        Refusal::WrongUse(_) => ExitCode::from(2),
        Refusal::Failed(_) => ExitCode::FAILURE,
    }
}
