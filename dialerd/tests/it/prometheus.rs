//! A real Prometheus scrapes a running daemon, evaluates the shipped rules and takes every query of the dashboards.

use crate::harness::{Daemon, Place, Setting, block_on, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(path)
}

/// Says why a test is left out where Debian's `prometheus` package is not installed (`scripts/setup test` installs it).
fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("left out: {program} is not installed; `scripts/setup test` installs it");
    }
    found
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(shipped("prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn good(output: &Output) {
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", told(&output.stdout), told(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", told(&output.stderr));
}

#[test]
fn rules_are_good_and_do_what_their_tests_say() {
    if !there("promtool") {
        return;
    }
    let output = promtool(&["check", "rules", "recording.yml", "alerts.yml"], "");
    good(&output);
    let output = promtool(&["test", "rules", "rules-test.yml"], "");
    good(&output);
    // Each alert has a test that it fires: a rule without one would be a guess.
    let alerts = std::fs::read_to_string(shipped("prometheus/alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(shipped("prometheus/rules-test.yml")).unwrap();
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::trim).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
    }
}

/// What the linter finds is one name, which was agreed on with those who watch.
fn lint(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said.trim(),
        "rtp_ports_total non-counter metrics should not have \"_total\" suffix",
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// A Prometheus of the test's own; killed when it is dropped.
struct Prometheus {
    child: Child,
    base: String,
    http: reqwest::Client,
    log: PathBuf,
}

impl Prometheus {
    /// Scrapes the place's daemon five times a second.
    fn start(place: &Place) -> Self {
        let folder = place.folder.path();
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [ {0}/recording.yml, {0}/alerts.yml ]\n\
             scrape_configs:\n- job_name: dialerd\n  static_configs:\n  - targets: [ \"{1}:9095\" ]\n",
            shipped("prometheus").canonicalize().unwrap().display(),
            place.daemon
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let log = folder.join("prometheus.log");
        let file = std::fs::File::create(&log).unwrap();
        let address = format!("{}:9090", place.phones);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Prometheus { child, base: format!("http://{address}"), http, log }
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).query(query).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// The answer to an expression; fails where Prometheus refuses it.
    async fn query(&self, of: &str, expression: &str) -> Vec<Value> {
        let answer = self.ask("/api/v1/query", &[("query", expression)]).await.expect("it answers");
        assert_eq!(answer["status"], "success", "{of}: {expression}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Prometheus' log\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Title and expression of every query of the shipped dashboards.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(shipped("grafana")).unwrap() {
        let file = entry.unwrap().path();
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let title = format!("{} {}", file.display(), panel["title"]);
                found.push((title, target["expr"].as_str().unwrap().to_owned()));
            }
        }
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}

#[test]
fn a_real_prometheus_reads_everything() {
    if !there("prometheus") || !there("promtool") {
        return;
    }
    block_on(async {
        let place = Place::new();
        place.configure("");
        let daemon: Daemon = place.start().await;
        Setting::make(&place, 2, 10, json!({ "mode": "predictive" })).await;
        let api = place.api();
        until("the campaign and the agents are among the metrics", async || {
            let text = api.admin("/metrics").await.map(|(_, text)| text).unwrap_or_default();
            text.contains("dialer_campaign_state{") && text.contains("agents{")
        })
        .await;
        let (_, text) = api.admin("/metrics").await.unwrap();
        lint(&promtool(&["check", "metrics"], &text));

        let prometheus = Prometheus::start(&place);
        until("Prometheus has scraped", async || {
            let targets = prometheus.ask("/api/v1/targets", &[]).await.unwrap_or_default();
            let target = &targets["data"]["activeTargets"][0];
            assert_ne!(target["health"], "down", "{target}");
            target["health"] == "up"
        })
        .await;
        let told: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        until("Prometheus knows every family", async || {
            let known = prometheus.ask("/api/v1/metadata", &[]).await.unwrap_or_default();
            told.iter().all(|family| !known["data"][family].is_null())
        })
        .await;
        let up = prometheus.query("up", "up").await;
        assert_eq!(up[0]["value"][1], "1");
        for (title, expression) in queries() {
            prometheus.query(&title, &expression).await;
        }
        until("every rule was evaluated", async || {
            let rules = prometheus.ask("/api/v1/rules", &[]).await.unwrap_or_default();
            let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
            let all: Vec<Value> =
                groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap()).collect();
            for rule in &all {
                assert_ne!(rule["health"], "err", "{rule}");
            }
            !all.is_empty() && all.iter().all(|rule| rule["health"] == "ok")
        })
        .await;
        drop(daemon);
    });
}
