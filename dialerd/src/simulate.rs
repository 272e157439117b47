//! `dialerd simulate`: a campaign's future for each mode and staffing, months in seconds.

use clap::Args;
use sim::business::report::{POLICIES, Policy, Row, csv, html, play, policy, table};
use sim::business::scenario::{NAMES, Scenario, named};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// A scenario file (TOML), or the name of one that is built in (see --list).
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["suite", "list", "example"])]
    pub(crate) scenario: Option<String>,
    /// Play every built-in scenario.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) suite: bool,
    /// List the built-in scenarios and the policies, and stop.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print a built-in scenario as TOML, to start a file of your own from.
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Option<String>,
    /// Numbers of agents to play, e.g. 5,20,100; default: the scenario's own.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) agents: Vec<u32>,
    /// Policies to play, e.g. predictive,progressive; default: all for a scenario, predictive and progressive for the
    /// suite.
    #[arg(long, value_delimiter = ',')]
    pub(crate) policies: Vec<String>,
    /// Days to play, history kept from one to the next; default: the scenario's own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub(crate) days: Option<u32>,
    /// Seeds to play; intervals are over seeds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: u64,
    /// Greatest abandonment rate per campaign and day; default: the scenario's own.
    #[arg(long)]
    pub(crate) cap: Option<f64>,
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

/// Plays, prints and writes. 0; 2 for a wrong scenario or policy; 1 if a file cannot be written.
pub(crate) fn run(arguments: &SimulateArguments) -> ExitCode {
    if arguments.list {
        println!("scenarios: {}", NAMES.join(" "));
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
    match plan(arguments) {
        Ok((scenarios, policies)) => {
            let rows = play_all(arguments, &scenarios, &policies);
            print!("{}", table(&rows));
            let cap = scenarios.first().map_or(0.03, |scenario| scenario.cap);
            match write_reports(arguments, &rows, cap) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("error: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => wrong(&error),
    }
}

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
    for base in bases {
        let staffings =
            if arguments.agents.is_empty() { vec![base.agents] } else { arguments.agents.clone() };
        for agents in staffings {
            let mut scenario = base.clone().with_agents(agents);
            scenario.days = arguments.days.unwrap_or(scenario.days);
            scenario.cap = arguments.cap.unwrap_or(scenario.cap);
            scenario.check().map_err(|error| error.to_string())?;
            scenarios.push(scenario);
        }
    }
    let names: Vec<&str> = if !arguments.policies.is_empty() {
        arguments.policies.iter().map(String::as_str).collect()
    } else if arguments.suite {
        vec!["predictive", "progressive"]
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

fn play_all(
    arguments: &SimulateArguments,
    scenarios: &[Scenario],
    policies: &[(&'static str, Policy)],
) -> Vec<Row> {
    let all: f64 = scenarios
        .iter()
        .map(|scenario| f64::from(scenario.days) * scenario.shift_h * f64::from(scenario.agents))
        .sum::<f64>()
        * arguments.seeds as f64
        * policies.len() as f64;
    let show = !arguments.quiet && std::io::stderr().is_terminal();
    let mut done = 0.0;
    let mut rows = Vec::new();
    for scenario in scenarios {
        for (name, policy) in policies {
            rows.push(play(scenario, name, *policy, arguments.seeds, &mut || {
                done += scenario.shift_h * f64::from(scenario.agents);
                if show {
                    let share = (done / all.max(1e-9)).clamp(0.0, 1.0);
                    let filled = (share * 30.0) as usize;
                    eprint!(
                        "\r[{}{}] {:>3.0} %  {} {name}          ",
                        "#".repeat(filled),
                        ".".repeat(30 - filled),
                        share * 100.0,
                        scenario.name
                    );
                }
            }));
        }
    }
    if show {
        eprint!("\r{}\r", " ".repeat(78));
    }
    rows
}

fn write_reports(arguments: &SimulateArguments, rows: &[Row], cap: f64) -> Result<(), String> {
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
        write(path, html(rows, cap))?;
    }
    Ok(())
}
