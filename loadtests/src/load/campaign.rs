//! A real campaign through the API, with SIPp as the carrier and as the agents' phones.

use super::api::Api;
use super::daemon::{Daemon, Place};
use super::report::{Report, Row};
use super::sipp::Sipp;
use super::transit::finish;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How a campaign is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// For the table.
    pub name: &'static str,
    /// The carrier's scenario.
    pub carrier: &'static str,
    /// `nailed_up` or `on_demand`.
    pub session: &'static str,
    /// What every record must say.
    pub outcome: &'static str,
    /// Numbers to dial.
    pub leads: usize,
    /// Agents.
    pub agents: usize,
}

/// What is played: both kinds of sessions, both kinds of challenges, and refusals.
pub const PLAYS: [Play; 3] = [
    Play {
        name: "nailed-up, 401",
        carrier: "carrier_401",
        session: "nailed_up",
        outcome: "connected",
        leads: 8,
        agents: 4,
    },
    Play {
        name: "on demand, 407",
        carrier: "carrier_407",
        session: "on_demand",
        outcome: "connected",
        leads: 4,
        agents: 4,
    },
    Play {
        name: "busy",
        carrier: "carrier_busy",
        session: "nailed_up",
        outcome: "busy",
        leads: 8,
        agents: 2,
    },
];

/// The carrier's callees talk so long.
const TALK_MS: f64 = 1500.0;
/// Our side may take this much more or less of it.
const TALK_SLACK_MS: f64 = 500.0;
/// Answer to bridge on a nailed-up agent leg, milliseconds.
const BRIDGE_MS_MAX: f64 = 20.0;
/// The whole campaign must be over within.
const OVER_WITHIN: Duration = Duration::from_secs(40);
const PHONE_PORT: u16 = 5060;

/// Plays one campaign and checks its records.
///
/// # Errors
/// When it cannot be played; what went wrong in calls is in the report.
pub fn run(report: &mut Report, place: &Place, play: Play) -> anyhow::Result<()> {
    let daemon = Daemon::start(place, &format!("campaign-{}", play.name.replace([' ', ','], "-")))?;
    let api = &daemon.api;
    let carrier = Sipp::start(place, "sipp-carrier", play.carrier, &place.carrier(), 5080, &[])?;
    let agents = make_agents(api, play.agents)?;
    register(place, &agents)?;
    let phones = Sipp::start(place, "sipp-phones", "agent", &place.phones(), PHONE_PORT, &[])?;
    log_in(api, &agents, play.session)?;
    let begun = Instant::now();
    let campaign = make_campaign(api, place, play)?;
    api.post(&format!("/v1/campaigns/{campaign}:start"), &json!({}))?;
    let path = format!("/v1/cdrs?campaign={campaign}&limit=500");
    let mut records = Vec::new();
    while begun.elapsed() < OVER_WITHIN && records.len() < play.leads {
        std::thread::sleep(Duration::from_millis(200));
        records = api.get_all(&path)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    api.post(&format!("/v1/campaigns/{campaign}:stop"), &json!({}))?;
    for agent in &agents {
        api.post(&format!("/v1/agents/{}:logout", agent.id), &json!({}))?;
    }
    let name = format!("SIPp campaign, {}", play.name);
    judge(report, &name, play, &records, seconds);
    // SIPp writes its figures once a second.
    std::thread::sleep(Duration::from_millis(1200));
    let (carried, phoned) = (carrier.counted()?, phones.counted()?);
    report.check(
        format!("{name}: SIPp is content"),
        carried.failed == 0 && phoned.failed == 0 && carried.good == play.leads,
        format!("carrier {carried:?}, phones {phoned:?}"),
    );
    let calls = records.len();
    finish(report, daemon, &name, calls)
}

fn judge(report: &mut Report, name: &str, play: Play, records: &[Value], seconds: f64) {
    let good = records.iter().filter(|record| record["outcome"] == play.outcome).count();
    let mut bridge: Vec<f64> =
        records.iter().filter_map(|record| record["answer_to_bridge_ms"].as_f64()).collect();
    bridge.sort_by(f64::total_cmp);
    let most = bridge.last().copied();
    report.add(Row {
        name: name.to_owned(),
        sustained: records.len() as f64 / seconds,
        calls: records.len(),
        failed: play.leads - good.min(play.leads),
        more: json!({ "answer_to_bridge_max_ms": most }),
        note: most.map_or_else(String::new, |most| format!("answer to bridge at most {most:.0} ms")),
        ..Row::default()
    });
    let mut outcomes = BTreeMap::new();
    for record in records {
        *outcomes.entry(record["outcome"].as_str().unwrap_or("?")).or_insert(0) += 1;
    }
    report.check(
        format!("{name}: every number was dialled once and is {}", play.outcome),
        good == play.leads && records.len() == play.leads,
        format!("{} numbers, records say {outcomes:?}", play.leads),
    );
    if play.outcome == "connected" {
        let right = |record: &&Value| {
            record["talk_ms"].as_f64().is_some_and(|talk| (talk - TALK_MS).abs() < TALK_SLACK_MS)
                && record["ended_by"] == "customer"
                && !record["agent_id"].is_null()
        };
        let count = records.iter().filter(right).count();
        let wrong = records.iter().find(|record| !right(record));
        report.check(
            format!("{name}: records tell talk, agent and who hung up"),
            count == records.len() && count > 0,
            wrong.map_or_else(
                || format!("{count} of {}", records.len()),
                |wrong| format!("this one not: {wrong}"),
            ),
        );
    }
    if play.session == "nailed_up" && play.outcome == "connected" {
        let most = most.unwrap_or(f64::NAN);
        let detail = format!("{most:.0} ms, at most {BRIDGE_MS_MAX:.0}");
        report.check(format!("{name}: answer to bridge"), most <= BRIDGE_MS_MAX, detail);
    }
}

struct Agent {
    id: String,
    username: String,
    password: String,
}

fn id_of(made: &Value) -> anyhow::Result<String> {
    made["id"].as_str().map(str::to_owned).context("a made thing has an id")
}

fn make_agents(api: &Api, count: usize) -> anyhow::Result<Vec<Agent>> {
    (1..=count)
        .map(|number| {
            let (username, password) = (format!("agent{number}"), format!("secret-of-agent-{number}"));
            let body = json!({ "name": format!("Agent {number}"), "username": username,
                               "password": password, "groups": ["load"] });
            Ok(Agent { id: id_of(&api.post("/v1/agents", &body)?)?, username, password })
        })
        .collect()
}

/// All phones register, with digest.
fn register(place: &Place, agents: &[Agent]) -> anyhow::Result<()> {
    let mut table = String::from("SEQUENTIAL\n");
    for Agent { username, password, .. } in agents {
        table.push_str(&format!("{username};[authentication username={username} password={password}]\n"));
    }
    let file = place.folder.join("agents.csv");
    std::fs::write(&file, table)?;
    let (target, count, file) = (place.sip()?.to_string(), agents.len().to_string(), file.to_string_lossy());
    let more = [target.as_str(), "-inf", &*file, "-m", &count, "-r", "50"];
    let mut phones =
        Sipp::start(place, "sipp-register", "agent_register", &place.phones(), PHONE_PORT, &more)?;
    phones.wait(Duration::from_secs(20))?;
    let counted = phones.counted()?;
    ensure!(counted.good == agents.len(), "not every phone could register: {counted:?}");
    Ok(())
}

fn log_in(api: &Api, agents: &[Agent], session: &str) -> anyhow::Result<()> {
    for agent in agents {
        api.post(&format!("/v1/agents/{}:login", agent.id), &json!({ "session": session }))?;
    }
    for _ in 0..150 {
        let views = api.get_all("/v1/agents?limit=500")?;
        if views.iter().all(|view| view["state"] == "ready") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the agents did not get ready: {}", api.get("/v1/agents?limit=500")?)
}

fn make_campaign(api: &Api, place: &Place, play: Play) -> anyhow::Result<String> {
    let mut trunk = json!({ "name": "carrier", "address": format!("{}:5080", place.carrier()),
                            "channels_max": 100, "cps_max": 50.0, "options_interval_ms": 0,
                            "caller_id": "+12025550100" });
    if matches!(play.carrier, "carrier_401" | "carrier_407") {
        trunk["username"] = "carrier-user".into();
        trunk["password"] = "carrier-secret".into();
    }
    let trunk = id_of(&api.post("/v1/trunks", &trunk)?)?;
    let list = id_of(&api.post("/v1/lists", &json!({ "name": "numbers", "default_region": "US" }))?)?;
    let mut csv = String::from("phone\n");
    for lead in 0..play.leads {
        csv.push_str(&format!("(202) 555-01{lead:02}\n"));
    }
    api.post_text(&format!("/v1/lists/{list}/leads:import"), "text/csv", csv)?;
    let campaign = json!({
        "name": play.name, "mode": "progressive", "agent_group": "load", "lists": [list], "trunks": [trunk],
        "timers": { "wrap_up_ms": 200 },
        "classify": { "early_media": false, "amd": { "mode": "off" } },
        "retry": [ { "outcome": "busy", "after": "1h", "max": 1 } ]
    });
    id_of(&api.post("/v1/campaigns", &campaign)?)
}
