//! The relay's two grounds under the whole daemon: the same calls over each.

use crate::api::Api;
use crate::harness::{Place, block_on, until};
use loadtests::load::generator::{Figures, Plan, Shape, run};
use serde_json::Value;
use std::time::Duration;

const CALLS: usize = 12;

fn configure(place: &Place, ground: &str) {
    place.configure(&format!(
        "[[trunk]]\nname = \"callers\"\naddress = \"{0}:5061\"\nsources = [\"{0}\"]\nchannels_max = 100\ncps_max = 1000.0\n\
         options_interval_ms = 0\n\
         [[trunk]]\nname = \"callees\"\naddress = \"{1}:5070\"\nsources = [\"{1}\"]\nchannels_max = 100\ncps_max = 1000.0\n\
         options_interval_ms = 0\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"7\"\nto = \"callees\"\nmedia = \"relay\"\nrecord = true\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"8\"\nto = \"callees\"\nmedia = \"relay\"\n",
        place.phones, place.carrier
    ));
    let file = place.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replacen("[media]\n", &format!("[media]\nrelay = \"{ground}\"\n"), 1)).unwrap();
}

/// Calls with a second of sound both ways.
async fn talk(place: &Place, prefix: &str) -> Figures {
    let plan = Plan {
        target: format!("{}:5060", place.daemon).parse().unwrap(),
        caller: format!("{}:5061", place.phones).parse().unwrap(),
        callee: format!("{}:5070", place.carrier).parse().unwrap(),
        processes: vec![std::process::id()],
        rate: 50.0,
        calls: CALLS,
        shape: Shape::Held {
            settle: Duration::from_millis(200),
            window: Duration::from_secs(1),
            sound: true,
        },
        prefix: prefix.to_owned(),
        sleeps: false,
        headers: "",
        meter: None,
        wire: None,
        plateau: None,
    };
    tokio::task::spawn_blocking(move || run(plan)).await.unwrap().unwrap()
}

pub async fn metric(api: &Api, name: &str) -> f64 {
    let (_, text) = api.admin("/metrics").await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

/// Packets received and lost on all legs of all records.
async fn in_records(api: &Api, calls: usize) -> (u64, u64) {
    until("all calls are recorded", async || api.all("/v1/cdrs?limit=500").await.len() == calls).await;
    let records = api.all("/v1/cdrs?limit=500").await;
    let legs: Vec<&Value> =
        records.iter().flat_map(|record| record["media"].as_array().expect("legs")).collect();
    let sum = |key: &str| legs.iter().map(|leg| leg[key].as_u64().expect("a count")).sum();
    assert_eq!(legs.len(), 2 * calls);
    (sum("packets_received"), sum("packets_lost"))
}

/// Sound arrives whole, records tell all of it, nothing is left; a killed daemon leaves nothing that the next one stumbles
/// over.
async fn on_ground(ground: &str) {
    let place = Place::new();
    configure(&place, ground);
    let mut daemon = place.start().await;
    let api = place.api();
    let (_, ready) = api.admin("/readyz").await.unwrap();
    assert!(ready.contains(&format!("\"media\":\"{ground}\"")), "{ready}");
    assert_eq!(metric(&api, &format!("media_relay_ground{{ground=\"{ground}\"}}")).await, 1.0);
    let mut sent = 0;
    let mut calls = 0;
    for (prefix, killed) in [("8", false), ("7", true), ("8", false)] {
        let figures = talk(&place, prefix).await;
        let sound = figures.sound.unwrap();
        assert_eq!(figures.failed, 0, "{ground} {prefix}: {:?}", figures.codes);
        assert_eq!((sound.arrived, sound.foreign), (sound.sent, 0), "{ground} {prefix}");
        sent += sound.sent;
        calls += CALLS;
        assert_eq!(in_records(&api, calls).await, (sent, 0), "{ground} {prefix}");
        until("no port is left", async || metric(&api, "rtp_ports_in_use").await == 0.0).await;
        assert_eq!(metric(&api, "media_relay_kernel_streams").await, 0.0);
        let below = metric(&api, "media_relay_kernel_packets_total").await;
        match ground {
            // The first packets of each side show where it is.
            "kernel" => assert!(below > 0.9 * sound.sent as f64, "{below} of {} in the kernel", sound.sent),
            _ => assert_eq!(below, 0.0),
        }
        if killed {
            daemon.kill();
            daemon = place.start().await;
        }
    }
}

#[test]
fn sound_goes_over_sockets() {
    block_on(on_ground("sockets"));
}

#[test]
fn sound_goes_through_the_kernel() {
    block_on(async {
        if !can_relay_in_the_kernel().await {
            return;
        }
        on_ground("kernel").await;
    });
}

/// Asks a daemon that may choose.
pub async fn can_relay_in_the_kernel() -> bool {
    let place = Place::new();
    configure(&place, "auto");
    let daemon = place.start().await;
    let (_, ready) = place.api().admin("/readyz").await.unwrap();
    let can = ready.contains("\"media\":\"kernel\"");
    if !can {
        println!("skipped: the kernel cannot relay here\n{}", daemon.log_text());
    }
    can
}

/// Without the right to load programs: sockets when it may choose, a fault with its place when it may not.
#[test]
fn without_capabilities_it_says_so() {
    let place = Place::new();
    configure(&place, "kernel");
    let without = std::process::Command::new("setpriv")
        .args(["--bounding-set", "-bpf,-net_admin,-sys_admin", "--inh-caps", "-bpf,-net_admin,-sys_admin"])
        .arg(env!("CARGO_BIN_EXE_dialerd"))
        .args(["run", "--config"])
        .arg(place.config_file())
        .output();
    let Ok(output) = without else { return println!("skipped: setpriv is not there") };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in ["dialerd.toml:", "key `media.relay`", "found \"kernel\"", "\"sockets\""] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}
