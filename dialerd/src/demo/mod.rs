//! `dialerd demo`: the main job, shown on one machine.
//!
//! A daemon with an embedded store, a carrier and agents' phones run as processes of their own on loopback, over
//! real SIP and RTP. This process only drives the API as any client would, watches, and at the end checks what
//! it says: every figure of the summary is read back from the daemon's records.

mod api;
mod figures;
mod processes;
mod recording;
mod view;

use crate::args::DemoArguments;
use anyhow::{Context, bail, ensure};
use api::Api;
use figures::Figures;
use processes::Processes;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use view::{Look, View};

/// The share of live answers that may meet no agent.
const ABANDON_CAP: f64 = 0.03;
/// What the pacer aims at.
const ABANDON_TARGET: f64 = 0.025;
/// Agents must be busy for more than this share of their time …
const BUSY_SHARE_MIN: f64 = 0.60;
/// … if they worked for so many minutes of life together: in less, one long ring decides.
const BUSY_JUDGED_MIN: f64 = 30.0;
/// Talk and wrap-up in life, seconds; divided by the speed.
const TALK_MEAN_S: f64 = 180.0;
const WRAP_UP_MEAN_S: f64 = 18.0;

/// Runs the demo. Exit code 0 only if everything it checks is true.
pub fn run(arguments: &DemoArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo(arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where everything is.
struct Place {
    folder: PathBuf,
    /// Loopback addresses of daemon, carrier and agents, apart so that no port can clash.
    daemon: String,
    carrier: String,
    phones: String,
    token: String,
}

impl Place {
    fn new(folder: Option<&Path>) -> anyhow::Result<Self> {
        let process = std::process::id();
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => std::env::temp_dir().join(format!("dialerd-demo-{process}")),
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        ensure!(
            !folder.join("data/dialerd.db").exists(),
            "{} holds an earlier demo; give another folder",
            folder.display()
        );
        // A network of 127/8 of our own: two demos at once do not meet.
        let (high, low) = (64 + (process >> 8 & 63), process & 255);
        let address = |last: u32| format!("127.{high}.{low}.{last}");
        let mut secret = [0_u8; 16];
        runtime::entropy::fill(&mut secret)?;
        let token = secret.iter().fold(String::from("dlr_demo_"), |text, byte| format!("{text}{byte:02x}"));
        Ok(Place { folder, daemon: address(1), carrier: address(2), phones: address(3), token })
    }

    fn config(&self) -> String {
        format!(
            "[node]\nname = \"demo\"\n\n[sip]\nlisten = [\"{0}:5060\"]\n\n[media]\naddress = \"{0}\"\n\n\
             [api]\nlisten = \"{0}:8080\"\ntoken = \"{1}\"\n\n[admin]\nlisten = \"{0}:9095\"\n\n\
             [shutdown]\ndrain_s = 30\n",
            self.daemon, self.token
        )
    }
}

async fn demo(arguments: &DemoArguments) -> anyhow::Result<bool> {
    ensure!(
        (0.05..=600.0).contains(&arguments.minutes) && (0.5..=50.0).contains(&arguments.speed),
        "--minutes must be 0.05 to 600, --speed 0.5 to 50"
    );
    let place = Place::new(arguments.folder.as_deref())?;
    let config = place.folder.join("dialerd.toml");
    std::fs::write(&config, place.config())?;
    println!(
        "dialerd demo: {} agents, {} leads, seed {}, people {}x as fast as in life",
        arguments.agents, arguments.leads, arguments.seed, arguments.speed
    );
    println!("folder: {}", place.folder.display());

    let mut processes = Processes::default();
    processes.daemon(&place, &config)?;
    let api = Api::new(&place)?;
    api.wait_until_up(&mut processes).await?;
    processes.carrier(&place, arguments)?;

    let setting = set_up(&api, &place, arguments).await?;
    processes.agents(&place, arguments, &setting.agents)?;
    wait_for_agents(&api, &mut processes, arguments.agents).await?;
    api.post(&format!("/v1/campaigns/{}:start", setting.campaign), &json!({})).await?;

    let mut view = View::new(arguments.plain);
    let started = Instant::now();
    let limit = Duration::from_secs_f64(arguments.minutes * 60.0);
    while started.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(500)).await;
        processes.check_alive()?;
        let stats = api.get(&format!("/v1/campaigns/{}/stats", setting.campaign)).await?;
        let pacing = api.get(&format!("/v1/campaigns/{}/pacing", setting.campaign)).await?;
        let agents = api.get("/v1/agents?limit=500").await?;
        let bridge_ms = mean_bridge_ms(&api).await?;
        view.show(started.elapsed(), &Look { stats: &stats, pacing: &pacing, agents: &agents, bridge_ms });
        if pacing["decision"]["limited_by"] == "hopper" && nothing_left(&api, &setting.campaign).await? {
            println!("every lead is done");
            break;
        }
    }
    view.end();
    let agent_minutes =
        started.elapsed().as_secs_f64() / 60.0 * arguments.speed * f64::from(arguments.agents);
    finish(&api, &place, &setting, processes, agent_minutes >= BUSY_JUDGED_MIN).await
}

/// Mean time from answer to bridge so far, if there was any.
async fn mean_bridge_ms(api: &Api) -> anyhow::Result<Option<f64>> {
    let count = api.metric("dialer_answer_to_bridge_seconds_count").await?;
    let sum = api.metric("dialer_answer_to_bridge_seconds_sum").await?;
    Ok((count > 0.0).then(|| 1000.0 * sum / count))
}

/// True when no lead may be dialled any more, now or later.
async fn nothing_left(api: &Api, campaign: &str) -> anyhow::Result<bool> {
    let leads = &api.get(&format!("/v1/campaigns/{campaign}/diagnostics")).await?["leads"];
    Ok(["dialing", "due", "retry_wait", "hopper"].iter().all(|stage| leads[stage] == 0))
}

/// What was made through the API.
struct Setting {
    campaign: String,
    agents: Vec<Value>,
}

async fn set_up(api: &Api, place: &Place, arguments: &DemoArguments) -> anyhow::Result<Setting> {
    let id = |made: &Value| made["id"].as_str().map(str::to_owned).context("a made thing has an id");
    let trunk = api
        .post(
            "/v1/trunks",
            &json!({ "name": "carrier", "address": format!("{}:5080", place.carrier), "channels_max": 200,
                     "cps_max": 50.0, "options_interval_ms": 5000, "caller_id": "+12025550100" }),
        )
        .await?;
    let mut agents = Vec::new();
    for number in 1..=arguments.agents {
        let (username, password) = (format!("agent{number}"), format!("secret-{number}-{}", arguments.seed));
        let made = api
            .post(
                "/v1/agents",
                &json!({ "name": format!("Agent {number}"), "username": username, "password": password,
                         "groups": ["demo"] }),
            )
            .await?;
        agents.push(json!({ "id": id(&made)?, "username": username, "password": password }));
    }
    let list = id(&api.post("/v1/lists", &json!({ "name": "demo leads", "default_region": "US" })).await?)?;
    let verdicts = api
        .post_text(&format!("/v1/lists/{list}/leads:import"), "text/csv", leads_csv(arguments.leads))
        .await?;
    let summary: Value = verdicts
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .context("the import ends with a summary")?;
    println!("imported {} leads", summary["summary"]["accepted"]);
    ensure!(
        summary["summary"]["accepted"] == json!(arguments.leads),
        "not every lead was accepted: {summary}"
    );
    let wrap_up_ms = (4.0 * WRAP_UP_MEAN_S / arguments.speed * 1000.0) as u64;
    let campaign = api
        .post(
            "/v1/campaigns",
            &json!({
                "name": "demo", "mode": "predictive", "agent_group": "demo", "lists": [list],
                "trunks": [id(&trunk)?],
                "concurrency": { "max": 60, "cps": 20.0, "max_lines_per_agent": 4.0 },
                "pacing": { "abandon_target": ABANDON_TARGET, "abandon_cap": ABANDON_CAP, "window": "24h" },
                "timers": { "wrap_up_ms": wrap_up_ms },
                "classify": { "early_media": true, "amd": { "mode": "async" } },
                "retry": [ { "outcome": "busy", "after": "30s", "max": 2 },
                           { "outcome": "no_answer", "after": "1m", "max": 1 } ]
            }),
        )
        .await?;
    Ok(Setting { campaign: id(&campaign)?, agents })
}

/// A list as an operator would upload it: fictional numbers of the 555-01xx kind in many area codes.
fn leads_csv(leads: u32) -> String {
    let area_codes = ["202", "212", "312", "415", "503", "617", "702", "713", "818", "917"];
    let mut csv = String::from("external_id,phone,name,priority\n");
    for lead in 0..leads {
        let area = area_codes[lead as usize / 100 % area_codes.len()];
        let exchange = 200 + lead / 1000;
        let _ = std::fmt::Write::write_fmt(
            &mut csv,
            format_args!("crm-{lead},({area}) {exchange}-0{:03},Customer {lead},{}\n", lead % 1000, lead % 3),
        );
    }
    csv
}

async fn wait_for_agents(api: &Api, processes: &mut Processes, wanted: u32) -> anyhow::Result<()> {
    for _ in 0..300 {
        processes.check_alive()?;
        let agents = api.get("/v1/agents?limit=500").await?;
        let ready =
            agents["data"].as_array().into_iter().flatten().filter(|agent| agent["state"] == "ready").count();
        if ready as u32 >= wanted {
            println!("{ready} agents are registered, logged in and ready");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the agents did not get ready within 30 s; see the logs in the folder")
}

/// Stops everything in order, reads the figures back and checks them.
async fn finish(
    api: &Api,
    place: &Place,
    setting: &Setting,
    mut processes: Processes,
    long_enough: bool,
) -> anyhow::Result<bool> {
    // Busy time is looked at before the agents run out of work.
    let agents = api.get("/v1/agents?limit=500").await?;
    api.post(&format!("/v1/campaigns/{}:stop", setting.campaign), &json!({})).await?;
    println!("campaign stopped; waiting for the last calls");
    for _ in 0..600 {
        let calls = api.get("/v1/calls?limit=1").await?;
        if calls["data"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    processes.stop_agents().await?;
    let mut figures = Figures::read(api, &setting.campaign, &agents, long_enough).await?;
    figures.left_over(api).await?;
    figures.recordings(api, &place.folder.join("data/recordings")).await?;
    processes.stop_carrier().await?;
    let ended_well = processes.stop_daemon().await?;
    figures.check("the daemon drained and ended by itself", ended_well, String::new());
    Ok(figures.tell(place, &setting.campaign))
}
