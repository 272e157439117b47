//! A call centre at work for long: agents whose phones refresh their registrations, calls that are held and whose
//! sessions are refreshed. What is held is the same from beginning to end, so memory must be too.

use super::daemon::{BYPASS, Daemon, LOAD_CORE, Place};
use super::generator::{Plan, Shape};
use super::process::{Used, resident_kib};
use super::report::{Report, Row};
use super::transit::{finish, on_load_core, plan};
use crate::swarm::phones::{Order, Role, Running};
use anyhow::ensure;
use runtime::udp::pin_to_core;
use serde_json::json;
use std::time::{Duration, Instant};

/// Phones on one address.
const PHONES_PER_HOST: usize = 500;
/// First of their addresses.
const FIRST_HOST: u8 = 10;
const REGISTERED_WITHIN: Duration = Duration::from_secs(180);
/// Calls begun a second.
const RATE: f64 = 200.0;
/// Between the last call's beginning and the first look at memory: 64·T1 and all registrations once more.
const SETTLE: Duration = Duration::from_secs(70);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Memory may grow by so much from the first quarter of the time to the last: what the allocator has not given back.
const GROWTH_SHARE_MAX: f64 = 0.02;

/// Memory and processor time at one moment of the soak.
struct Look {
    at_s: f64,
    resident_kib: u64,
    used_s: f64,
}

/// `agents` registered, `calls` held, for `seconds`: nothing fails, nothing grows.
///
/// # Errors
/// When it cannot be played; what failed is in the report.
pub fn run(
    report: &mut Report,
    place: &Place,
    agents: usize,
    calls: usize,
    seconds: u64,
) -> anyhow::Result<()> {
    let timers = "[sip]\nsession_timer = \"always\"\nsession_expires_s = 90";
    // Five hundred phones share each address, and all come in the first minute.
    let guard = "[guard]\nrequests_per_s = 1000.0\nstrangers_per_s = 20000.0\n";
    let limits = format!("{guard}\n[limits]\nagents_max = {}", agents.max(1));
    let daemon = Daemon::start_with(place, "soak", &[("[sip]", timers), ("[limits]", &limits)])?;
    let logins = make_agents(&daemon, agents)?;
    let phones = start_phones(place, &logins)?;
    wait_until_registered(&daemon, agents)?;
    let plan = Plan {
        rate: RATE,
        calls,
        shape: Shape::Held { settle: SETTLE, window: Duration::from_secs(seconds), sound: false },
        sleeps: true,
        headers: "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nSupported: timer\r\n",
        ..plan(place, &daemon.process, BYPASS)?
    };
    let quiet_at = Instant::now() + Duration::from_secs_f64(calls as f64 / RATE) + SETTLE;
    let held = std::thread::spawn(move || on_load_core(plan));
    let mut looks = Vec::new();
    let mut least = f64::INFINITY;
    while !held.is_finished() {
        std::thread::sleep(LOOK);
        let now = Instant::now();
        if now >= quiet_at && now < quiet_at + Duration::from_secs(seconds) {
            least = least.min(daemon.api.metric("sip_registrations_active")?);
            looks.push(Look {
                at_s: now.duration_since(quiet_at).as_secs_f64(),
                resident_kib: resident_kib(&[daemon.process.id()])?,
                used_s: Used::of(daemon.process.id())?.us() / 1e6,
            });
        }
    }
    let figures = held.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    let name = format!("{agents} agents, {calls} calls, {seconds} s");
    let (first, last) = quarters(&looks);
    let growth = last / first - 1.0;
    let busy = figures.used.us() / 1e6 / figures.used_over_s.max(0.001);
    let mut row = Row {
        note: format!("{:.0} then {:.0} MiB, busy {busy:.2} of a core", first / 1024.0, last / 1024.0),
        ..Row::of(&name, &figures)
    };
    if let Some(more) = row.more.as_object_mut() {
        let minutes = looks.iter().step_by(12);
        let minutes = minutes.map(|look| json!([look.at_s.round(), look.resident_kib, look.used_s]));
        more.insert("seconds_resident_kib_used_s".into(), minutes.collect());
        more.insert("refreshes".into(), json!(figures.refreshes));
        more.insert("registered_least".into(), json!(least));
        more.insert("growth_share".into(), json!(growth));
        more.insert("daemon_busy_cores".into(), json!(busy));
    }
    report.add(row);
    judge(report, &name, (agents, calls, seconds), &figures, (least, growth));
    for phones in phones {
        let _ = phones.orders.try_send(Order::Stop);
        let _ = phones.thread.join();
    }
    finish(report, daemon, &name, calls)
}

fn judge(
    report: &mut Report,
    name: &str,
    (agents, calls, seconds): (usize, usize, u64),
    figures: &super::generator::Figures,
    (least, growth): (f64, f64),
) {
    report.check(
        format!("{name}: every call was held and ended well"),
        figures.failed == 0 && figures.held_max == calls,
        format!("{} failed, {} up at once, codes {:?}", figures.failed, figures.held_max, figures.codes),
    );
    report.check(
        format!("{name}: every agent stayed registered"),
        least >= agents as f64,
        format!("at least {least} of {agents}"),
    );
    // Half of 90 s, two legs; a late one is no fault of the session's.
    let expected = seconds / 45 * calls as u64 * 2 * 9 / 10;
    report.check(
        format!("{name}: sessions are refreshed"),
        figures.refreshes >= expected,
        format!("{} times, expected about {expected} or more", figures.refreshes),
    );
    report.check(
        format!("{name}: memory does not grow"),
        growth <= GROWTH_SHARE_MAX,
        format!("by {:.2} % from the first quarter to the last", growth * 100.0),
    );
}

/// Mean memory of the first and of the last quarter.
fn quarters(looks: &[Look]) -> (f64, f64) {
    let quarter = (looks.len() / 4).max(1).min(looks.len());
    let mean = |looks: &[Look]| {
        looks.iter().map(|look| look.resident_kib as f64).sum::<f64>() / looks.len().max(1) as f64
    };
    (mean(&looks[..quarter]), mean(&looks[looks.len() - quarter..]))
}

fn make_agents(daemon: &Daemon, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let make = |number: usize| {
        let (username, password) = (format!("agent{number}"), format!("secret-of-agent-{number}"));
        let body = json!({ "name": format!("Agent {number}"), "username": username, "password": password });
        daemon.api.post("/v1/agents", &body)?;
        Ok((username, password))
    };
    (1..=count).map(make).collect()
}

/// Phones on the core of the load, some hundred on each of several addresses.
fn start_phones(place: &Place, logins: &[(String, String)]) -> anyhow::Result<Vec<Running>> {
    let server = place.sip()?;
    let hosts = logins.chunks(PHONES_PER_HOST).zip(FIRST_HOST..);
    let roles: Vec<(String, Role)> = hosts
        .map(|(logins, host)| {
            (format!("{}:5060", place.host(host)), Role::Agents { server, logins: logins.to_vec() })
        })
        .collect();
    let started = std::thread::spawn(move || {
        // Their threads inherit it.
        let _ = pin_to_core(LOAD_CORE);
        // Each with a seed of its own, so that no two phones make the same names; one after the other, as they come to work.
        let start = |(seed, (address, role)): (u64, (String, Role))| {
            std::thread::sleep(Duration::from_millis(500));
            crate::swarm::start(address.parse()?, role, seed)
        };
        (1..).zip(roles).map(start).collect()
    });
    started.join().map_err(|_| anyhow::anyhow!("starting phones panicked"))?
}

fn wait_until_registered(daemon: &Daemon, agents: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let registered = daemon.api.metric("sip_registrations_active")?;
        if registered >= agents as f64 {
            return Ok(());
        }
        ensure!(begun.elapsed() < REGISTERED_WITHIN, "only {registered} of {agents} phones are registered");
        std::thread::sleep(Duration::from_secs(1));
    }
}
