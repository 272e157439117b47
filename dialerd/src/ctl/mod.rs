//! `dialerd ctl`: asks a running daemon, over the same API as any other client.
//!
//! One file per question; each prints plain words for people, or the API's own JSON with `--json`.

mod calls;
mod client;
mod events;
mod import;
mod lists;
mod node;
mod people;
mod prompts;
mod table;
mod trace;
mod why;

use calls::CallAct;
use clap::{Args, Subcommand};
use client::{Client, Refusal};
use events::EventArguments;
use people::{AuditArguments, CallbackAct, PersonAct};
use prompts::PromptAct;
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
    /// Certificates (PEM) of authorities to believe beside the system's, for an API over HTTPS [default: $DIALERD_CA].
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
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
    /// Live calls; or supervise one, add a third party, hold, mute, press digits, play, transfer.
    Calls {
        /// Only of this campaign (id or name).
        #[arg(long, value_name = "CAMPAIGN")]
        campaign: Option<String>,
        /// What to do with one.
        #[command(subcommand)]
        act: Option<CallAct>,
    },
    /// End a call.
    Hangup {
        /// Its id (`call_…`).
        #[arg(value_name = "CALL")]
        call: String,
    },
    /// Agents and what they do; or log one in or out, send one on a break, call one back to work.
    Agents {
        /// What to do with one.
        #[command(subcommand)]
        act: Option<AgentAct>,
    },
    /// Campaigns and their states; or start, pause, resume, stop, copy one, or dial its leads anew.
    Campaigns {
        /// What to do with one.
        #[command(subcommand)]
        act: Option<CampaignAct>,
    },
    /// Pools of caller IDs; or the numbers of one and how they fare; or report what others say of a number.
    #[command(args_conflicts_with_subcommands = true)]
    CallerIds {
        /// Its id (`cip_…`) or its name.
        #[arg(value_name = "POOL")]
        pool: Option<String>,
        /// What to do with a number of one.
        #[command(subcommand)]
        act: Option<CallerIdAct>,
    },
    /// Promised callbacks, the next first; or make, move, delete one.
    Callbacks {
        /// Only those this agent (id or name) is to make.
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Only those whose time has come.
        #[arg(long)]
        due: bool,
        /// What to do with one.
        #[command(subcommand)]
        act: Option<CallbackAct>,
    },
    /// Export or erase all that is kept about a person.
    Persons {
        /// What to do.
        #[command(subcommand)]
        act: PersonAct,
    },
    /// What a campaign has learned of the hours in which people answer; or why a lead is dialled now or later.
    BestTime {
        /// Its id (`camp_…`) or its name.
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
        /// Of this lead.
        #[arg(long, value_name = "LEAD")]
        lead: Option<String>,
    },
    /// Print events as they come.
    Events(EventArguments),
    /// Who changed or saw what, newest first.
    Audit(AuditArguments),
    /// What can be played to callers; or upload a sound, have a text spoken, delete one.
    Prompts {
        /// What to do with one.
        #[command(subcommand)]
        act: Option<PromptAct>,
    },
    /// Take no new work; live calls may finish.
    Drain {
        /// Live calls are hung up after so many seconds [default: the daemon's].
        #[arg(long, value_name = "SECONDS")]
        deadline_s: Option<u64>,
        /// Wait until the last call is over.
        #[arg(long)]
        wait: bool,
    },
    /// Take new work again.
    Undrain,
    /// API tokens; or make or delete one.
    Tokens {
        /// What to do with one.
        #[command(subcommand)]
        act: Option<TokenAct>,
    },
    /// Import leads from a file (.csv, .ndjson or .jsonl), with a progress bar.
    Import(ImportArguments),
    /// Webhooks and their backlogs; or look at deliveries, test one, tell events again.
    Webhooks {
        /// What to do with one.
        #[command(subcommand)]
        act: Option<WebhookAct>,
    },
}

/// What can be done with a number of a caller-ID pool.
#[derive(Debug, Subcommand)]
pub enum CallerIdAct {
    /// Report what a label check or a reputation service says of a number.
    #[command(group = clap::ArgGroup::new("said").required(true).multiple(true))]
    Report {
        /// The pool (id or name).
        #[arg(value_name = "POOL")]
        pool: String,
        /// The number, as it stands in the pool.
        #[arg(value_name = "NUMBER")]
        number: String,
        /// Who says so.
        #[arg(long, value_name = "SOURCE")]
        source: String,
        /// Reputation, 0 (worst) to 1.
        #[arg(long, value_name = "SCORE", group = "said")]
        score: Option<f64>,
        /// How phones label it.
        #[arg(long, value_name = "LABEL", group = "said")]
        label: Option<String>,
        /// It has no label any more.
        #[arg(long, group = "said", conflicts_with = "label")]
        no_label: bool,
    },
}

/// What can be done with an agent (id or name).
#[derive(Debug, Subcommand)]
pub enum AgentAct {
    /// Log in.
    Login {
        #[arg(value_name = "AGENT")]
        agent: String,
        /// Ring the phone for each call instead of keeping one call to it up.
        #[arg(long)]
        on_demand: bool,
    },
    /// Log out, after the call under way.
    Logout {
        #[arg(value_name = "AGENT")]
        agent: String,
    },
    /// End a break or after-call work.
    Ready {
        #[arg(value_name = "AGENT")]
        agent: String,
    },
    /// Take a break, after the call under way.
    Pause {
        #[arg(value_name = "AGENT")]
        agent: String,
        /// Why.
        #[arg(value_name = "CODE")]
        code: String,
    },
}

/// What can be done with a campaign (id or name).
#[derive(Debug, Subcommand)]
pub enum CampaignAct {
    /// Start it.
    Start {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
    },
    /// Dial nothing new for now.
    Pause {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
    },
    /// Go on after a pause.
    Resume {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
    },
    /// Stop it.
    Stop {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
    },
    /// Dial leads anew that are done with.
    Recycle {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
        /// Those that stand so: exhausted (the default), done, dnc, retry_wait. May be given more than once.
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<String>,
        /// Those whose last attempt came to this, such as busy. May be given more than once.
        #[arg(long = "outcome", value_name = "OUTCOME")]
        outcomes: Vec<String>,
    },
    /// Take leads back from agents who have not called them (preview).
    TakeBack {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
        /// From this agent (id or name) [default: from all].
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
    },
    /// Make a stopped campaign with the same settings.
    Copy {
        #[arg(value_name = "CAMPAIGN")]
        campaign: String,
        /// Its name.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

/// What can be done with a token.
#[derive(Debug, Subcommand)]
pub enum TokenAct {
    /// Make one; its secret is printed this once.
    Create {
        /// Shown name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do: calls:read, leads:write, …
        #[arg(value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// When it stops working, such as 2027-01-01T00:00:00Z [default: never].
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Whose it is [default: the operator's, which reaches everything].
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Delete one.
    Delete {
        /// Its id (`tok_…`) or name.
        // Not `token`: that is the global option, whose place it would take.
        #[arg(value_name = "TOKEN")]
        which: String,
    },
}

/// What can be done with a webhook (id or name).
#[derive(Debug, Subcommand)]
pub enum WebhookAct {
    /// Its last tries, what waits for another, or the dead letters.
    Deliveries {
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// tried, waiting or dead.
        #[arg(long, default_value = "tried", value_parser = ["tried", "waiting", "dead"])]
        state: String,
    },
    /// Send a message now and print what the receiver answers.
    Test {
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
    },
    /// Tell events again.
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Replay {
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// All after this cursor; 0: from the oldest that is kept.
        #[arg(long, value_name = "CURSOR", group = "what")]
        from_cursor: Option<String>,
        /// The dead letters.
        #[arg(long, group = "what")]
        dead_letters: bool,
    },
}

/// How to import.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Into this list (id or name).
    #[arg(value_name = "LIST")]
    pub list: String,
    /// The file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to do with a row that is there already.
    #[arg(long, default_value = "skip", value_parser = ["skip", "update", "error"])]
    pub on_duplicate: String,
    /// Where an equal number makes a duplicate.
    #[arg(long, default_value = "list", value_parser = ["none", "list", "campaign", "tenant"])]
    pub dedupe_scope: String,
    /// Region for numbers without a country code [default: the list's].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Tell the verdicts, write nothing.
    #[arg(long)]
    pub dry_run: bool,
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
        let json = arguments.json;
        match &arguments.question {
            Question::Calls { act: Some(act), .. } => calls::act(&client, act, json).await,
            Question::Calls { campaign, act: None } => lists::calls(&client, campaign.as_deref(), json).await,
            Question::Hangup { call } => lists::hangup(&client, call, json).await,
            Question::Agents { act } => lists::agents(&client, act.as_ref(), json).await,
            Question::Campaigns { act } => lists::campaigns(&client, act.as_ref(), json).await,
            Question::CallerIds { act: Some(act), .. } => lists::report(&client, act, json).await,
            Question::CallerIds { pool, act: None } => {
                lists::caller_ids(&client, pool.as_deref(), json).await
            }
            Question::Callbacks { agent, due, act } => {
                people::callbacks(&client, agent.as_deref(), *due, act.as_ref(), json).await
            }
            Question::Persons { act } => people::persons(&client, act, json).await,
            Question::BestTime { campaign, lead } => {
                people::best_time(&client, campaign, lead.as_deref(), json).await
            }
            Question::Events(asked) => events::tail(&client, asked, json).await,
            Question::Audit(asked) => people::audit(&client, asked, json).await,
            Question::Prompts { act } => prompts::ask(&client, act.as_ref(), json).await,
            Question::Tokens { act } => lists::tokens(&client, act.as_ref(), json).await,
            Question::Webhooks { act } => lists::webhooks(&client, act.as_ref(), json).await,
            Question::Import(how) => import::ask(&client, how, json).await,
            Question::Drain { deadline_s, wait } => node::drain(&client, *deadline_s, *wait, json).await,
            Question::Undrain => node::undrain(&client, json).await,
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
    if text.is_empty() {
        return ExitCode::SUCCESS;
    }
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
