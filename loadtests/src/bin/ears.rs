//! Measures the ears on a corpus made by text-to-speech programs, and writes the page in `docs/`; or learns from it.

use anyhow::Context;
use clap::Parser;
use loadtests::ears::{
    Corpus, announcements, document, document_announcements, fit, measure, print_settings,
};
use sansio::Rng;
use std::path::PathBuf;

/// How well machine detection, beeps, tones and digits are heard.
#[derive(Parser)]
struct Arguments {
    /// The training voices instead of those that are measured with: look for settings on these only.
    #[arg(long)]
    train: bool,
    /// Calls.
    #[arg(long, default_value_t = 1600)]
    calls: usize,
    /// Names the calls: the same seed, the same calls.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Learn the weights of machine detection from the training voices, and write them as Rust source.
    #[arg(long, conflicts_with_all = ["train", "settings"])]
    fit: bool,
    /// Print what settings of machine detection trade, on the training voices.
    #[arg(long)]
    settings: bool,
    /// Only how announcements are known again.
    #[arg(long, conflicts_with_all = ["fit", "settings"])]
    announcements: bool,
    /// Where the page goes; to the terminal if not given.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let training = arguments.train || arguments.fit || arguments.settings;
    let corpus = Corpus::make(usize::from(!training))?;
    if arguments.settings {
        print_settings(&corpus, arguments.calls, arguments.seed);
        return Ok(());
    }
    let text = if arguments.announcements {
        let mut text = String::new();
        document_announcements(&mut text, &announcements(&corpus, &mut Rng::from_seed(arguments.seed)))?;
        text
    } else if arguments.fit {
        fit(&corpus, arguments.calls, arguments.seed)
    } else {
        document(&measure(&corpus, arguments.calls, arguments.seed))?
    };
    match arguments.write {
        Some(path) => std::fs::write(&path, text).with_context(|| path.display().to_string()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
