//! The READMEs' commands, run as they stand, on addresses of the test's own.

use crate::harness::Place;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The fenced blocks of one language.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn both_languages_show_the_same_commands() {
    for language in ["bash", "sh"] {
        let english = blocks("README.md", language);
        assert!(!english.is_empty());
        assert_eq!(english, blocks("README.zh-CN.md", language));
    }
}

#[test]
fn the_make_targets_exist() {
    for block in blocks("README.md", "sh") {
        for line in block.lines() {
            let target = line.strip_prefix("make ").expect("a make command");
            let status =
                Command::new("make").args(["-n", target]).current_dir(root()).output().unwrap().status;
            assert!(status.success(), "make {target}");
        }
    }
}

#[test]
fn the_tour_works() {
    let binaries = Path::new(env!("CARGO_BIN_EXE_dialerd")).parent().unwrap();
    // The load generator is another package's: built as this test was, so that mostly nothing is left to do.
    let profile = match binaries.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--workspace", "--bins", "--tests", "--profile", profile]);
    // What a test is told of its package makes build scripts that ask for it run anew, and all that stands on them. A job
    // server that make has told of is not there for a test.
    let told_tests = |name: &str| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if told_tests(&name) || ["MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS"].contains(&&*name) {
            build.env_remove(&*name);
        }
    }
    let built = build.current_dir(root()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let place = Place::new();
    let script = blocks("README.md", "bash")
        .join("\n")
        .replace("target/release", binaries.to_str().unwrap())
        .replace("127.0.0.1:5080", &format!("{}:5080", place.carrier))
        .replace("--listen 127.0.0.1 ", &format!("--listen {} ", place.phones))
        .replace("127.0.0.1", &place.daemon)
        // Where a new user has the defaults, the test has addresses of its own.
        .replace(
            "[api]\n",
            &format!(
                "[sip]\nlisten = [\"{0}:5060\"]\n[media]\naddress = \"{0}\"\n[admin]\nlisten = \"{0}:9095\"\n\
                 [api]\nlisten = \"{0}:8080\"\n",
                place.daemon
            ),
        );
    let script = format!(
        "set -euo pipefail\ntrap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT\n{script}\necho TOUR ENDED\n"
    );
    let output =
        Command::new("bash").arg("-c").arg(&script).current_dir(place.folder.path()).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(place.folder.path().join("tour.log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{out}\n{error}\n{log}", output.status);
    for expected in [
        "the configuration is good",
        "invalid_number",
        "\"accepted\":3",
        "call.dialing",
        "call.answered",
        "call.bridged",
        "\"outcome\":\"connected\"",
        "TOUR ENDED",
    ] {
        assert!(out.contains(expected), "the tour does not show {expected}\n{out}\n{error}\n{log}");
    }
    assert!(log.contains("stopped"), "the daemon drained and ended\n{log}");
}

/// Files named in the documents exist, and metrics named there are told.
#[test]
fn the_documents_name_files_that_exist() {
    for file in ["README.md", "docs/ARCHITECTURE.md", "docs/CALL.md", "docs/OPERATING.md", "docs/SOURCES.md"]
    {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let mut named = 0;
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = quoted.contains('/')
                && !quoted.starts_with('/')
                && quoted.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte));
            if is_path && !quoted.starts_with("target/") {
                named += 1;
                let exists = root().join(quoted).exists()
                    || ["dialer-core", "sip-proxy", "media", "engine"]
                        .iter()
                        .any(|room| root().join(room).join("src").join(quoted).exists());
                assert!(exists, "{file} names {quoted}, which is not there");
            }
        }
        assert!(named > 0 || file == "README.md", "{file} names no file");
    }
}

#[test]
fn the_metrics_of_the_documents_are_told() {
    crate::harness::block_on(async {
        let place = Place::new();
        place.configure("[[trunk]]\nname = \"t\"\naddress = \"127.0.0.1:9\"\n");
        let _daemon = place.start().await;
        let api = place.api();
        api.post("/v1/campaigns", serde_json::json!({ "name": "c" })).await;
        let (_, metrics) = api.admin("/metrics").await.unwrap();
        let text = std::fs::read_to_string(root().join("docs/OPERATING.md")).unwrap();
        let table = text.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
        // Told only once there is something to tell of.
        let later = [
            "sip_requests_total",
            "sip_responses_total",
            "sip_parse_errors_total",
            "trunk_options_rtt_seconds",
            "trunk_registered",
            "trunk_rejects_total",
            "recording_accesses_total",
            "caller_id_calls_total",
            "caller_id_numbers",
            "caller_id_blocked_total",
            "caller_id_quarantines_total",
            "call_attempts_total",
            "call_answers_total",
            "call_outcomes_total",
            "sip_final_codes_total",
            "q850_causes_total",
            "short_calls_total",
            "false_answer_suspected_total",
            "rtp_mos",
            "rtp_packet_loss_ratio",
            "rtp_jitter_seconds",
            "rtp_round_trip_seconds",
            "rtp_packets_lost_total",
            "transcoding_sessions_active",
            "dialer_target_dialing",
            "dialer_pacing_lines_per_agent",
            "dialer_predicted_answer_probability",
            "dialer_pacing_error",
            "dialer_limited_by",
            "dialer_abandon_ratio",
            "dialer_abandon_budget_remaining",
            "dialer_abandoned_total",
            "dialer_answers_total",
            "agents",
            "agent_state_seconds_total",
            "agent_offers_total",
            "agent_phone_changes_total",
            "import_rows_total",
            "dial_requests_total",
            "inbound_calls_total",
            "inbound_connected_total",
            "inbound_unanswered_total",
            "dialer_leads_expired_total",
            "dialer_opt_out_total",
            "webhook_deliveries_total",
            "webhook_delivery_seconds",
            "webhook_backlog",
        ];
        let source: String = ["mod.rs", "asked.rs", "dialer.rs", "shard.rs", "stream.rs", "traffic.rs"]
            .iter()
            .map(|file| std::fs::read_to_string(root().join("dialerd/src/metrics").join(file)).unwrap())
            .chain(
                [
                    "control-api/src/metrics.rs",
                    "control-api/src/hub.rs",
                    "dialerd/src/fork/mod.rs",
                    "dialerd/src/recogniser/mod.rs",
                    "dialerd/src/retention.rs",
                ]
                .map(|file| std::fs::read_to_string(root().join(file)).unwrap()),
            )
            .collect();
        let mut checked = 0;
        for line in table.lines().filter(|line| line.starts_with("| `")) {
            let names = line.split('|').nth(1).unwrap();
            for quoted in names.split('`').skip(1).step_by(2) {
                let name = quoted.split('{').next().unwrap();
                checked += 1;
                assert!(source.contains(&format!("\"{name}\"")), "{name} is not in the source");
                let told = metrics.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
                assert!(told || later.contains(&name), "{name} is not told:\n{metrics}");
            }
        }
        assert!(checked > 60, "{checked} metrics in the table");
    });
}
