//! `loadtest short` and `loadtest full`: what the daemon carries, and what it costs.

use clap::{Parser, Subcommand};
use loadtests::interop;
use loadtests::load::daemon::Place;
use loadtests::load::report::Report;
use loadtests::load::{
    beside, campaign, events, flood, hostile, import, latency, leads, listening, parser, process, relays,
    sipp, soak, storage, transit, webhooks,
};
use std::process::ExitCode;

/// Loads a daemon of its own (`dialerd` beside this program) on loopback, prints one JSON line per run and one table
/// at the end. Exit code 0 only if everything that is asserted holds.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Everything, small: under a minute.
    Short,
    /// Everything, at the rates the project promises, and up to where it breaks.
    Full,
    /// Plain B2BUA at one rate.
    Flow {
        /// Calls started per second.
        #[arg(long, default_value_t = 1000.0)]
        rate: f64,
        /// For so long.
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
    },
    /// Many calls held at once: memory.
    Held {
        /// Calls.
        #[arg(long, default_value_t = 10_000)]
        calls: usize,
    },
    /// Plain B2BUA at one rate, with SIPp on both sides.
    Sipp {
        /// Calls started per second.
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        /// For so long.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
    /// Processor time per call and most calls per second beside Kamailio as a proxy and OpenSIPS as a B2BUA, on the same
    /// calls in the same run, with our own generator and with SIPp; and processor time by function.
    Beside {
        /// Calls started per second.
        #[arg(long, default_value_t = 1000.0)]
        rate: f64,
        /// For so long.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// So often.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// How long an INVITE takes through the daemon at half load.
    Latency {
        /// For so long.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// Scanners' OPTIONS and REGISTER while calls go on.
    Flood {
        /// Datagrams per second.
        #[arg(long, default_value_t = 100_000)]
        rate: u64,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Registered agents that refresh within 60 s and calls held with session timers: whether anything grows.
    Soak {
        /// Agents.
        #[arg(long, default_value_t = 10_000)]
        agents: usize,
        /// Calls.
        #[arg(long, default_value_t = 5_000)]
        calls: usize,
        /// For so long.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// The daemon among Kamailio, baresip and SIPp: registering, calling and being called, with sound that is listened to.
    Interop {
        /// Each once, over UDP and TCP.
        #[arg(long)]
        short: bool,
    },
    /// Instructions that reading an INVITE takes, counted by callgrind.
    Instructions,
    /// The same and the time it takes, and what hostile datagrams cost by the byte.
    Parser,
    /// Reads the INVITE so many times: what is counted.
    #[command(hide = true)]
    Read {
        /// So many times.
        times: u32,
        /// Every header typed, and the offer.
        #[arg(long)]
        all: bool,
    },
    /// Leads by NDJSON through the API, with deduplication and a do-not-call list.
    Import {
        /// Rows.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
    },
    /// The store by itself: attempts made durable, leads loaded from a long list, and a long do-not-call list asked.
    Storage {
        /// Leads in one list.
        #[arg(long, default_value_t = 10_000_000)]
        leads: u64,
        /// Numbers that are not to be called.
        #[arg(long, default_value_t = 10_000_000)]
        numbers: u64,
    },
    /// A campaign over a long list, which is put into the store directly: how soon the daemon is there after a restart and
    /// has leads ready, and how much memory it takes.
    Leads {
        /// Leads in one list.
        #[arg(long, default_value_t = 10_000_000)]
        leads: u64,
    },
    /// Events to many readers of the event stream: nobody may miss one.
    Events {
        /// Events a second.
        #[arg(long, default_value_t = 20_000)]
        rate: u64,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Readers.
        #[arg(long, default_value_t = 100)]
        clients: usize,
    },
    /// A receiver of webhooks that was away: all that gathered meanwhile must reach it, each call's events in order.
    Webhooks {
        /// Events that gather.
        #[arg(long, default_value_t = 100_000)]
        events: u64,
    },
    /// Campaigns with SIPp as the carrier and as the agents.
    Campaigns,
    /// The sound of many calls through sockets, through the kernel and through rtpengine: processor time per packet.
    Relays {
        /// Calls.
        #[arg(long, default_value_t = 1000)]
        calls: usize,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// What recording every call costs, on each ground: processor time beside relaying them alone.
    RelaysRecorded {
        /// Calls.
        #[arg(long, default_value_t = 500)]
        calls: usize,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// More calls than sockets could carry, relayed in the kernel on one core: no packet may be lost.
    RelayMany {
        /// Calls.
        #[arg(long, default_value_t = 4000)]
        calls: usize,
        /// For so long.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Memory of a call whose sound is relayed in the kernel, the kernel's own included.
    RelayMemory {
        /// Calls. What a daemon keeps of the last ones in any case (messages, events) is full with the first thousand.
        #[arg(long, default_value_t = 5000)]
        calls: usize,
    },
    /// What machine detection and digits cost on 500 calls at once.
    Listening,
    /// The sound of many calls carried through.
    Relay {
        /// Calls.
        #[arg(long, default_value_t = 500)]
        calls: usize,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let _ = runtime::udp::raise_file_limit();
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: &What) -> anyhow::Result<bool> {
    if let What::Read { times, all } = *what {
        parser::read(times, all);
        return Ok(true);
    }
    let place = Place::new()?;
    let mut report = Report::default();
    match *what {
        What::Short => {
            let us_max = transit::EXCHANGES_PER_CALL_MAX_SHORT * process::exchange_us()?;
            transit::flow(&mut report, &place, 300.0, 5.0, us_max)?;
            transit::held(&mut report, &place, 300, 300.0, false)?;
            transit::relay(&mut report, &place, 50, 3)?;
            sipp::transit(&mut report, &place, 100, 4, us_max)?;
            parser::instructions(&mut report)?;
            campaigns(&mut report, &place)?;
        }
        What::Full => {
            reading(&mut report)?;
            transit::flow(&mut report, &place, 1000.0, 20.0, transit::US_PER_CALL_MAX)?;
            transit::ramp(&mut report, &place, &[1500.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0], 10.0)?;
            transit::held(&mut report, &place, 10_000, 500.0, true)?;
            transit::relay(&mut report, &place, 500, 10)?;
            import::run(&mut report, &place, 1_000_000, true)?;
            storage::run(&mut report, &place, 10_000_000, 10_000_000)?;
            leads::run(&mut report, &place, 10_000_000)?;
            events::run(&mut report, &place, 20_000, 10, 100)?;
            webhooks::run(&mut report, &place, 100_000)?;
            sipp::transit(&mut report, &place, 1000, 20, transit::US_PER_CALL_MAX)?;
            campaigns(&mut report, &place)?;
            beside::run(&mut report, &place, 1000.0, 10.0, 3)?;
            relays::run(&mut report, 1000, 10)?;
            relays::recording(&mut report, 500, 10)?;
            relays::saturation(&mut report, 4000, 5)?;
            relays::memory(&mut report, 5000)?;
            listening::run(&mut report)?;
            beside::profile(&mut report, &place, 1000.0, 10.0)?;
            latency::run(&mut report, &place, 10.0)?;
            flood::run(&mut report, &place, 100_000, 10)?;
            soak::run(&mut report, &place, 10_000, 5_000, 600)?;
        }
        What::Flow { rate, seconds } => {
            transit::flow(&mut report, &place, rate, seconds, transit::US_PER_CALL_MAX)?;
        }
        What::Beside { rate, seconds, rounds } => {
            beside::run(&mut report, &place, rate, seconds, rounds)?;
            beside::profile(&mut report, &place, rate, seconds)?;
        }
        What::Latency { seconds } => latency::run(&mut report, &place, seconds)?,
        What::Flood { rate, seconds } => flood::run(&mut report, &place, rate, seconds)?,
        What::Soak { agents, calls, seconds } => soak::run(&mut report, &place, agents, calls, seconds)?,
        What::Interop { short } => interop::run(&mut report, &place, short)?,
        What::Instructions => parser::instructions(&mut report)?,
        What::Parser => reading(&mut report)?,
        What::Read { .. } => {}
        What::Held { calls } => transit::held(&mut report, &place, calls, 500.0, true)?,
        What::Sipp { rate, seconds } => {
            sipp::transit(&mut report, &place, rate, seconds, transit::US_PER_CALL_MAX)?;
        }
        What::Import { rows } => import::run(&mut report, &place, rows, rows >= 1_000_000)?,
        What::Storage { leads, numbers } => storage::run(&mut report, &place, leads, numbers)?,
        What::Leads { leads } => leads::run(&mut report, &place, leads)?,
        What::Events { rate, seconds, clients } => events::run(&mut report, &place, rate, seconds, clients)?,
        What::Webhooks { events } => webhooks::run(&mut report, &place, events)?,
        What::Campaigns => campaigns(&mut report, &place)?,
        What::Relays { calls, seconds } => relays::run(&mut report, calls, seconds)?,
        What::RelaysRecorded { calls, seconds } => relays::recording(&mut report, calls, seconds)?,
        What::RelayMany { calls, seconds } => relays::saturation(&mut report, calls, seconds)?,
        What::RelayMemory { calls } => relays::memory(&mut report, calls)?,
        What::Listening => listening::run(&mut report)?,
        What::Relay { calls, seconds } => transit::relay(&mut report, &place, calls, seconds)?,
    }
    let good = report.tell();
    if good {
        std::fs::remove_dir_all(&place.folder)?;
    } else {
        println!("logs: {}", place.folder.display());
    }
    Ok(good)
}

fn reading(report: &mut Report) -> anyhow::Result<()> {
    parser::times(report);
    hostile::run(report);
    parser::instructions(report)
}

fn campaigns(report: &mut Report, place: &Place) -> anyhow::Result<()> {
    campaign::PLAYS.into_iter().try_for_each(|play| campaign::run(report, place, play))
}
