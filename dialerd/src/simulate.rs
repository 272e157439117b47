//! `dialerd simulate`: a campaign's future for each mode and staffing, months in seconds.

use clap::Args;
use dialer_core::pacing::erlang::greatest_load;
use sim::business::best_time;
use sim::business::html::html;
use sim::business::play::{Effort, KNOWN_TRIES, POLICIES, Policy, Row, compare, policy};
use sim::business::recorded;
use sim::business::report::{answer, csv, table, verdict};
use sim::business::scenario::{NAMES, Scenario, named};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// A scenario file (TOML), or the name of one that is built in (see --list). `best-time` plays a campaign that learns
    /// when to call whom against a part of its leads that is dialled in the usual order (--seeds, --days).
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["suite", "list", "example"])]
    pub(crate) scenario: Option<String>,
    /// Play every built-in scenario, the standard one with 5, 20 and 100 agents, and hold the predictive mode against
    /// what is asked of it; exit 1 if it is missed.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) suite: bool,
    /// Call records of the campaign, as GET /v1/cdrs gives them (a page, several pages, or one record per line): the
    /// first campaign of the scenario takes its answer rate, ring times, talk and wrap-up times from them.
    #[arg(long, value_name = "FILE")]
    pub(crate) recorded: Option<PathBuf>,
    /// Conversations a day that are wanted: how many agents does it take? Without --agents, numbers around the answer
    /// are tried.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) conversations: Option<f64>,
    /// List the built-in scenarios and the policies, and stop.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print a built-in scenario as TOML, to start a file of your own from.
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Option<String>,
    /// Numbers of agents to play, e.g. 5,20,100; default: the scenario's own.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) agents: Vec<u32>,
    /// Policies to play, e.g. predictive,progressive; default: all for a scenario; predictive, known and progressive for
    /// the suite.
    #[arg(long, value_delimiter = ',')]
    pub(crate) policies: Vec<String>,
    /// Days to play, history kept from one to the next; default: the scenario's own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub(crate) days: Option<u32>,
    /// Seeds to play; intervals are over seeds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: u64,
    /// The first of the seeds: other seeds are another choice of callees and agents.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// Hold what was played against what is asked of the predictive mode, as the suite does; exit 1 if it is missed.
    #[arg(long)]
    pub(crate) check: bool,
    /// Greatest abandonment rate per campaign and day; default: the scenario's own.
    #[arg(long)]
    pub(crate) cap: Option<f64>,
    /// Seeds played side by side; default: as many as there are processors.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Also write the figures as CSV.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write a report as one HTML page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// No progress bar.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Plays, prints and writes. 0; 2 for a wrong scenario or policy; 1 if a file cannot be written, or if the suite misses
/// what is asked.
pub(crate) fn run(arguments: &SimulateArguments) -> ExitCode {
    if arguments.list {
        println!("scenarios: {} {BEST_TIME}", NAMES.join(" "));
        let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
        println!("policies:  {}", names.join(" "));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &arguments.example {
        let example = named(name).ok_or_else(|| format!("no built-in scenario is called {name}"));
        let text = example.and_then(|scenario| toml::to_string(&scenario).map_err(|error| error.to_string()));
        return match text {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => wrong(&error),
        };
    }
    if arguments.scenario.as_deref() == Some(BEST_TIME) {
        let seeds = arguments.first_seed..arguments.first_seed.saturating_add(arguments.seeds);
        print!("{}", best_time::table(seeds, arguments.days));
        return ExitCode::SUCCESS;
    }
    match plan(arguments) {
        Ok((scenarios, policies)) => {
            let rows = play_all(arguments, &scenarios, &policies);
            print!("{}", table(&rows));
            println!("\n{}", answer(&rows, arguments.conversations));
            if let Err(error) = write_reports(arguments, &rows) {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
            if arguments.suite || arguments.check {
                let (text, met) = verdict(&rows);
                print!("\n{text}");
                return if met { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    }
}

/// The scenario in which a campaign learns when to call whom; played by the dialer itself, not by a pacing policy.
const BEST_TIME: &str = "best-time";

fn wrong(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

/// Scenarios, and policies by name.
type Plan = (Vec<Scenario>, Vec<(&'static str, Policy)>);

/// What is to be played.
fn plan(arguments: &SimulateArguments) -> Result<Plan, String> {
    let bases: Vec<Scenario> = match &arguments.scenario {
        None => NAMES.iter().filter_map(|name| named(name)).collect(),
        Some(name) => match named(name) {
            Some(scenario) => vec![scenario],
            None => {
                let text = std::fs::read_to_string(name)
                    .map_err(|error| format!("{name}: {error}; built-in scenarios: {}", NAMES.join(" ")))?;
                vec![Scenario::from_toml(&text).map_err(|error| format!("{name}: {error}"))?]
            }
        },
    };
    let mut scenarios = Vec::new();
    for mut base in bases {
        if let Some(path) = &arguments.recorded {
            learn_from(&mut base, path)?;
        }
        base.days = arguments.days.unwrap_or(base.days);
        base.cap = arguments.cap.unwrap_or(base.cap);
        base.check().map_err(|error| error.to_string())?;
        for agents in staffings(arguments, &base) {
            let scenario = base.clone().with_agents(agents);
            scenario.check().map_err(|error| error.to_string())?;
            scenarios.push(scenario);
        }
    }
    let names: Vec<&str> = if !arguments.policies.is_empty() {
        arguments.policies.iter().map(String::as_str).collect()
    } else if arguments.suite {
        vec!["predictive", "known", "progressive"]
    } else {
        POLICIES.iter().map(|(name, _)| *name).collect()
    };
    let mut policies = Vec::new();
    for name in names {
        let known = POLICIES.iter().find(|(known, _)| *known == name);
        let (name, _) = known.ok_or_else(|| format!("no policy is called {name} (see --list)"))?;
        policies.push((*name, policy(name).expect("it was found above")));
    }
    Ok((scenarios, policies))
}

/// Gives the scenario's first campaign what was recorded.
fn learn_from(scenario: &mut Scenario, path: &PathBuf) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let records = recorded::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let campaign = scenario.campaigns.first_mut().ok_or("the scenario has no campaign")?;
    recorded::teach(campaign, &records).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    scenario.name = format!("{} as recorded in {name}", scenario.name);
    Ok(())
}

/// Numbers of agents to play.
fn staffings(arguments: &SimulateArguments, base: &Scenario) -> Vec<u32> {
    if !arguments.agents.is_empty() {
        return arguments.agents.clone();
    }
    if let Some(wanted) = arguments.conversations {
        return around(base, wanted);
    }
    if arguments.suite && base.name == "standard" { vec![5, 20, 100] } else { vec![base.agents] }
}

/// Numbers of agents around the one that has `wanted` conversations a day if busy for between 65 and 95 of 100; the
/// greatest is what Erlang C asks for: it plans for calls that come at random, and no dialler needs more.
fn around(base: &Scenario, wanted: f64) -> Vec<u32> {
    let cycle_s =
        base.campaigns.first().map_or(100.0, |campaign| campaign.talk.mean() + campaign.wrap_up.mean());
    let away = base.break_min / (base.break_min + 60.0 * base.break_every_h.max(0.1));
    let working_s = base.shift_h * 3_600.0 * if base.break_every_h > 0.0 { 1.0 - away } else { 1.0 };
    let busiest = wanted.clamp(1.0, 1e7) * cycle_s / working_s;
    let mut agents: Vec<u32> = [0.95, 0.90, 0.85, 0.80, 0.75, 0.70, 0.65]
        .iter()
        .map(|busy| ((busiest / busy).ceil() as u32).clamp(1, 20_000))
        .collect();
    let most = agents.last().copied().unwrap_or(1);
    let carries =
        |agents: &u32| greatest_load(*agents, base.patience_s, cycle_s, base.cap.max(1e-3)) >= busiest;
    agents.extend((most..most.saturating_mul(4).min(20_000)).find(carries));
    agents.dedup();
    agents
}

/// Agent-hours of a comparison.
fn work(scenario: &Scenario, policies: &[(&'static str, Policy)], seeds: u64) -> f64 {
    let plays: u32 = policies
        .iter()
        .map(|(_, policy)| if matches!(policy, Policy::Known(None)) { KNOWN_TRIES } else { 1 })
        .sum();
    f64::from(plays) * f64::from(scenario.days) * scenario.shift_h * f64::from(scenario.agents) * seeds as f64
}

fn play_all(
    arguments: &SimulateArguments,
    scenarios: &[Scenario],
    policies: &[(&'static str, Policy)],
) -> Vec<Row> {
    let all: f64 = scenarios.iter().map(|scenario| work(scenario, policies, arguments.seeds)).sum();
    let show = !arguments.quiet && std::io::stderr().is_terminal();
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    // Agent-seconds played so far.
    let done = AtomicU64::new(0);
    let mut rows = Vec::new();
    for scenario in scenarios {
        let day = (scenario.shift_h * 3_600.0 * f64::from(scenario.agents)) as u64;
        let progress = || {
            let done = done.fetch_add(day, Ordering::Relaxed) + day;
            if show {
                let share = (done as f64 / 3_600.0 / all.max(1e-9)).clamp(0.0, 1.0);
                let filled = (share * 30.0) as usize;
                eprint!(
                    "\r[{}{}] {:>3.0} %  {}, {} agents          ",
                    "#".repeat(filled),
                    ".".repeat(30 - filled),
                    share * 100.0,
                    scenario.name,
                    scenario.agents,
                );
            }
        };
        let effort =
            Effort { seeds: arguments.seeds, first_seed: arguments.first_seed, threads, progress: &progress };
        rows.extend(compare(scenario, policies, &effort));
    }
    if show {
        eprint!("\r{}\r", " ".repeat(78));
    }
    rows
}

fn write_reports(arguments: &SimulateArguments, rows: &[Row]) -> Result<(), String> {
    let write = |path: &PathBuf, text: String| {
        let written = std::fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &arguments.csv {
        write(path, csv(rows))?;
    }
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(rows).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &arguments.html {
        write(path, html(rows, arguments.conversations))?;
    }
    Ok(())
}
