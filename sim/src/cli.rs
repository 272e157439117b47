//! The command line that plays the whole daemon under seeded worlds.

use crate::signalling::{self, Options, Report};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The whole daemon under a seeded world: same seed, same story.
#[derive(Debug, Args)]
pub struct WorldArguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Plays one seed, twice, and tells what came of it.
    Run {
        /// The seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print every message, order and fact as it happens.
        #[arg(long)]
        ladder: bool,
    },
    /// Plays many seeds, each twice unless told otherwise.
    Swarm {
        /// How many.
        #[arg(long, default_value_t = 500)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Threads; by default as many as there are processors.
        #[arg(long)]
        threads: Option<usize>,
        /// Every so many seeds one is played again, to see that it comes out the same.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        twice_every: u64,
    },
    /// Plays the seeds of a file again (one per line: the seed, then why it is kept), or one seed.
    Replay {
        /// The file.
        file: Option<PathBuf>,
        /// One seed instead.
        #[arg(long, conflicts_with = "file")]
        seed: Option<u64>,
    },
}

/// Plays what was asked for, prints what came of it, and fails if a promise was broken.
#[must_use]
pub fn play(arguments: WorldArguments) -> ExitCode {
    let good = match arguments.command {
        What::Run { seed, ladder } => run(seed, ladder),
        What::Swarm { seeds, from, threads, twice_every } => {
            swarm(&(from..from.saturating_add(seeds)).collect::<Vec<_>>(), threads, twice_every)
        }
        What::Replay { seed: Some(seed), .. } => run(seed, true),
        What::Replay { file: Some(file), .. } => replay(&file),
        What::Replay { .. } => {
            eprintln!("name a file or --seed N");
            false
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(seed: u64, ladder: bool) -> bool {
    let report = if ladder {
        signalling::run(seed, Options { watch: true, ..Options::default() })
    } else {
        signalling::run_twice(seed)
    };
    println!("{}", in_one_line(&report));
    tell_violations(&report, !ladder);
    report.violations.is_empty()
}

fn in_one_line(report: &Report) -> String {
    format!(
        "seed {}: {} attempts, {} connected, {} abandoned, {} cancelled, {} messages, {} lives, {:.0} min, hash {:016x} [{}]",
        report.seed,
        report.attempts,
        report.connected,
        report.abandoned,
        report.cancels,
        report.messages,
        report.lives,
        report.played.as_secs_f64() / 60.0,
        report.hash,
        report.faults.join(", "),
    )
}

fn tell_violations(report: &Report, with_ladder: bool) {
    if report.violations.is_empty() {
        return;
    }
    if with_ladder {
        for line in &report.ladder {
            println!("    {line}");
        }
    }
    for violation in &report.violations {
        println!("  BROKEN: {} at {:?}: {}", violation.rule, violation.at, violation.detail);
    }
    println!("  again: dialerd world run --seed {} --ladder", report.seed);
}

fn replay(file: &Path) -> bool {
    match crate::seeds::read(file) {
        Ok(seeds) => swarm(&seeds.iter().map(|kept| kept.seed).collect::<Vec<_>>(), None, 1),
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            false
        }
    }
}

/// Plays all of them, and every so many again.
fn swarm(seeds: &[u64], threads: Option<usize>, twice_every: u64) -> bool {
    let threads =
        threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1).max(1);
    let started = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(place as usize) else { break };
                    let again = place.is_multiple_of(twice_every);
                    let report = if again {
                        signalling::run_twice(*seed)
                    } else {
                        signalling::run(*seed, Options::default())
                    };
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(&report, seeds.len());
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} seeds, {} twice, in {:.1} s: {} attempts, {} connected, {} abandoned, {} messages, {:.1} hours played",
        total.runs,
        if twice_every == 1 { "each".into() } else { format!("every {twice_every}th") },
        started.elapsed().as_secs_f64(),
        total.attempts,
        total.connected,
        total.abandoned,
        total.messages,
        total.hours,
    );
    if total.failed.is_empty() {
        println!("all promises held");
    } else {
        println!("broken by {} seeds:", total.failed.len());
        for (seed, rule) in &total.failed {
            println!("  {seed} {rule}");
        }
    }
    total.failed.is_empty()
}

#[derive(Default)]
struct Total {
    runs: u64,
    attempts: u64,
    connected: u64,
    abandoned: u64,
    messages: u64,
    hours: f64,
    failed: Vec<(u64, &'static str)>,
}

impl Total {
    fn add(&mut self, report: &Report, of: usize) {
        self.runs += 1;
        self.attempts += report.attempts;
        self.connected += report.connected;
        self.abandoned += report.abandoned;
        self.messages += report.messages;
        self.hours += report.played.as_secs_f64() / 3600.0;
        if let Some(violation) = report.violations.first() {
            self.failed.push((report.seed, violation.rule));
            println!("{}", in_one_line(report));
            tell_violations(report, true);
        } else if self.runs.is_multiple_of(20) {
            println!("{} of {of} seeds", self.runs);
        }
    }
}
