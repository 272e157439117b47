//! Measures the ears on a corpus made by espeak-ng, and writes the page in `docs/`.

use anyhow::Context;
use clap::Parser;
use loadtests::ears::{Corpus, document, measure};
use std::path::PathBuf;

/// How well machine detection, beeps, tones and digits are heard.
#[derive(Parser)]
struct Arguments {
    /// The training voices instead of those that are measured with: look for settings on these only.
    #[arg(long)]
    train: bool,
    /// Calls.
    #[arg(long, default_value_t = 500)]
    calls: usize,
    /// Names the calls: the same seed, the same calls.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the page goes; to the terminal if not given.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let corpus = Corpus::make(usize::from(!arguments.train))?;
    let text = document(&measure(&corpus, arguments.calls, arguments.seed))?;
    match arguments.write {
        Some(path) => std::fs::write(&path, text).with_context(|| path.display().to_string()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
