//! The world around a dialer: `swarm carrier` and `swarm agents`.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use loadtests::swarm::callee::Population;
use loadtests::swarm::people::{AgentLogin, Habits, People};
use loadtests::swarm::phones::{Order, Role};
use loadtests::swarm::start;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Plays a carrier with its callees, or agents at their phones, over real SIP and RTP. Loopback only.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// A carrier: every number that is called rings, is busy, answers, talks and hangs up as the seed says.
    Carrier(Carrier),
    /// Agents: phones that register and pick up, and people who log in, talk, wrap up and go on.
    Agents(Agents),
}

#[derive(Args)]
struct Carrier {
    /// Where it takes calls.
    #[arg(long)]
    listen: SocketAddr,
    /// Seed of every fate.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than life callees ring and talk.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Share of dials that a person answers.
    #[arg(long, default_value_t = Population::default().human)]
    human: f64,
    /// … a machine.
    #[arg(long, default_value_t = Population::default().machine)]
    machine: f64,
    /// … that are busy.
    #[arg(long, default_value_t = Population::default().busy)]
    busy: f64,
    /// … whose number does not exist. What is left rings out.
    #[arg(long, default_value_t = Population::default().invalid)]
    invalid: f64,
    /// Mean ringing before an answer, seconds of life.
    #[arg(long, default_value_t = Population::default().ring_mean_s)]
    ring_mean_s: f64,
    /// Mean talk, seconds of life.
    #[arg(long, default_value_t = Population::default().talk_mean_s)]
    talk_mean_s: f64,
}

#[derive(Args)]
struct Agents {
    /// Address of the phones.
    #[arg(long)]
    listen: IpAddr,
    /// Where they register.
    #[arg(long)]
    server: SocketAddr,
    /// The control API, `http://address:port`.
    #[arg(long)]
    api: String,
    /// Its token.
    #[arg(long)]
    token: String,
    /// JSON file: a list of {"id", "username", "password"}.
    #[arg(long)]
    agents: PathBuf,
    /// Seed of talk and wrap-up times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than life they work.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Mean time after which an agent ends a talk, seconds of life.
    #[arg(long, default_value_t = 300.0)]
    talk_mean_s: f64,
    /// Mean wrap-up, seconds of life.
    #[arg(long, default_value_t = 20.0)]
    wrap_up_mean_s: f64,
    /// Ring the phone for each call instead of one nailed-up session.
    #[arg(long)]
    on_demand: bool,
}

fn main() -> anyhow::Result<()> {
    let _ = runtime::udp::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Arguments::parse().command {
        What::Carrier(arguments) => runtime.block_on(carrier(arguments)),
        What::Agents(arguments) => runtime.block_on(agents(arguments)),
    }
}

async fn told_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn carrier(arguments: Carrier) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.listen.ip().is_loopback(), "--listen must be a loopback address");
    let population = Population {
        speed: arguments.speed,
        human: arguments.human,
        machine: arguments.machine,
        busy: arguments.busy,
        invalid: arguments.invalid,
        ring_mean_s: arguments.ring_mean_s,
        talk_mean_s: arguments.talk_mean_s,
        ..Population::default()
    };
    let running = start(arguments.listen, Role::Carrier(population), arguments.seed)?;
    eprintln!("carrier on {}", running.address);
    told_to_end().await?;
    end(running).await
}

async fn agents(arguments: Agents) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.listen.is_loopback(), "--listen must be a loopback address");
    let text = std::fs::read_to_string(&arguments.agents)
        .with_context(|| format!("reading {}", arguments.agents.display()))?;
    let agents: Vec<AgentLogin> = serde_json::from_str(&text).context("--agents")?;
    let logins = agents.iter().map(|agent| (agent.username.clone(), agent.password.clone())).collect();
    let role = Role::Agents { server: arguments.server, logins };
    let running = start(SocketAddr::new(arguments.listen, 0), role, arguments.seed)?;
    eprintln!("{} phones on {}", agents.len(), running.address);
    let habits = Habits {
        speed: arguments.speed,
        talk_mean_s: arguments.talk_mean_s,
        wrap_up_mean_s: arguments.wrap_up_mean_s,
        nailed_up: !arguments.on_demand,
    };
    let people = People::new(&arguments.api, &arguments.token, agents, habits)?;
    let work = tokio::spawn(std::sync::Arc::clone(&people).work(arguments.seed));
    people.log_in().await?;
    eprintln!("all are logged in");
    tokio::select! {
        ended = work => { ended??; }
        told = told_to_end() => told?,
    }
    people.log_out().await;
    // The daemon ends its sessions; the phones must have heard it before they leave.
    for _ in 0..100 {
        if running.counts().legs == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    end(running).await
}

async fn end(running: loadtests::swarm::phones::Running) -> anyhow::Result<()> {
    let _ = running.orders.send(Order::GoHome).await;
    // Time for the answers to what has just been sent.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let counts = running.counts();
    let _ = running.orders.send(Order::Stop).await;
    let ended = tokio::task::spawn_blocking(move || running.thread.join()).await?;
    println!("{}", serde_json::to_string(&counts)?);
    match ended {
        Ok(result) => Ok(result?),
        Err(_) => anyhow::bail!("the phones' thread panicked"),
    }
}
