//! The daemon under seeded worlds, at the signalling depth.

use sim::signalling::{self, Options, Report, Sabotage};
use std::collections::BTreeSet;
use std::path::Path;

fn assert_good(report: &Report) {
    let ladder = report.ladder.join("\n");
    assert!(report.violations.is_empty(), "seed {}: {:#?}\n{ladder}", report.seed, report.violations);
}

#[test]
fn the_first_seeds_keep_their_promises_and_repeat_themselves() {
    let mut attempts = 0;
    // Unoptimised worlds turn some twenty times slower; the swarm plays the many.
    let seeds = if cfg!(debug_assertions) { 4 } else { 20 };
    for seed in 1..=seeds {
        let report = signalling::run_twice(seed);
        assert_good(&report);
        attempts += report.attempts;
    }
    assert!(attempts > 300, "worlds in which hardly anybody is dialled prove little: {attempts}");
}

#[test]
fn different_seeds_are_different_worlds() {
    let hashes: BTreeSet<u64> =
        (11..=12).map(|seed| signalling::run(seed, Options::default()).hash).collect();
    assert_eq!(hashes.len(), 2);
}

#[test]
fn kept_seeds_stay_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        for kept in sim::seeds::read(file).unwrap() {
            assert_good(&signalling::run(kept.seed, Options::default()));
        }
    }
}

/// The checks are worth something only if they notice a lie.
fn rules_broken_by(sabotage: Sabotage) -> Vec<&'static str> {
    let mut rules = Vec::new();
    for seed in 1..=3 {
        let report = signalling::run(seed, Options { sabotage, ..Options::default() });
        rules.extend(report.violations.iter().map(|violation| violation.rule));
    }
    rules
}

#[test]
fn a_store_that_lies_about_what_is_durable_is_found_out() {
    let rules = rules_broken_by(Sabotage::EarlyDurable);
    let about_it = [
        "an attempt is durable before its INVITE, and dialled once",
        "an event is durable before it is told",
    ];
    assert!(rules.iter().any(|rule| about_it.contains(rule)), "{rules:?}");
}

#[test]
fn a_store_that_forgets_how_calls_ended_is_found_out() {
    let rules = rules_broken_by(Sabotage::ForgetsEnds);
    assert!(rules.contains(&"the record is written with the event"), "{rules:?}");
}

#[test]
fn a_daemon_that_does_not_acknowledge_is_found_out() {
    let rules = rules_broken_by(Sabotage::HidesAcks);
    let about_it = ["every 2xx gets an ACK", "every final refusal gets an ACK"];
    assert!(rules.iter().any(|rule| about_it.contains(rule)), "{rules:?}");
}
