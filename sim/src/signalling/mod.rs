//! The signalling depth of the simulation: real SIP bytes between the daemon's own machines and a seeded world.
//!
//! ```text
//!   operator, agents (people)
//!        │ Command      ▲ View, Event                 check: book (what was written and told)
//!   ┌────▼──────────────┴───┐
//!   │ ControlCore ↔ CallShard│ ◄──► disk: commits late, stalls, forgets in a crash
//!   └────┬──────────────▲───┘
//!        │ SIP, RTP     │                             check: wire (what was said, and whether it was allowed)
//!       net: delay, loss, duplicates, reordering, cuts
//!        │              │
//!     carriers and callees, phones                    SIP of their own, apart from the daemon's stack
//! ```
//!
//! One seed makes one world: its size, its people, and which faults exist in it. Everything that goes into the
//! daemon and comes out of it is hashed; the same seed gives the same hash.

mod caller;
mod carrier;
mod change;
mod check;
mod disk;
mod endpoint;
mod ground;
mod happening;
mod lives;
mod net;
mod people;
mod phone;
mod pipes;
mod rest;
mod road;
mod scene;
mod script;
mod setup;
mod sip;
mod trace;
mod world;
mod zone;

pub use check::Violation;

use sansio::{Duration, Instant};
use world::World;

/// A lie told to the checker, to see that it notices. Never part of a real run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// The store says that entries are durable before they are.
    EarlyDurable,
    /// The store forgets every ended call.
    ForgetsEnds,
    /// ACKs of the daemon are hidden from the checker.
    HidesAcks,
}

/// How to run a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Print the ladder as it grows.
    pub watch: bool,
    /// What is to go wrong in the checks themselves.
    pub sabotage: Sabotage,
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Of the seed.
    pub seed: u64,
    /// Hash of all that went in and out.
    pub hash: u64,
    /// Broken promises; empty when all is well.
    pub violations: Vec<Violation>,
    /// The last lines of the ladder.
    pub ladder: Vec<String>,
    /// Faults that existed.
    pub faults: Vec<&'static str>,
    /// Virtual time played.
    pub played: Duration,
    /// Attempts made durable.
    pub attempts: u64,
    /// Calls that ended joined to an agent.
    pub connected: u64,
    /// Live answers nobody was there for.
    pub abandoned: u64,
    /// SIP messages the daemon sent.
    pub messages: u64,
    /// Of these ringing calls cancelled.
    pub cancels: u64,
    /// Times the daemon was started.
    pub lives: u32,
}

/// Lines of the ladder in a report.
const LADDER_LINES: usize = 80;
/// Time within which everything must have come to rest after the drain: its deadline, both ends' 64·T1, and what
/// the media plane keeps open behind it.
const REST: Duration = Duration::from_secs(240);

/// Plays the world of a seed to its end.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = World::new(seed, options.watch);
    world.sabotage = options.sabotage;
    let end = world.scene.end() + Duration::from_secs(60);
    world.run_until(end);
    world.come_to_rest(REST);
    report(seed, &world)
}

/// Plays a seed twice, and says so if the two differ.
#[must_use]
pub fn run_twice(seed: u64) -> Report {
    let mut first = run(seed, Options::default());
    let second = run(seed, Options::default());
    if first.hash != second.hash {
        let detail = format!("{:016x} and {:016x}", first.hash, second.hash);
        let at = Instant::ZERO + first.played;
        first.violations.push(Violation { at, rule: "the same seed gives the same trace", detail });
    }
    first
}

fn report(seed: u64, world: &World) -> Report {
    let outcomes = world.book.outcomes();
    let count = |outcome| outcomes.get(&outcome).copied().unwrap_or(0);
    Report {
        seed,
        hash: world.trace.hash(),
        violations: world.found.list.clone(),
        ladder: world.trace.tail(LADDER_LINES),
        faults: world.scene.faults.clone(),
        played: world.now.since(Instant::ZERO),
        attempts: world.book.attempts(),
        connected: count(dialer_core::Outcome::Connected),
        abandoned: count(dialer_core::Outcome::Abandoned),
        messages: world.wire.messages,
        cancels: world.wire.cancels,
        lives: world.life,
    }
}
