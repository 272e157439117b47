//! Dashboards and rules name metrics that exist.

use crate::harness::{Place, block_on};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Families that only show once something has happened, as docs/OPERATING.md names them.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(config("../docs/OPERATING.md")).unwrap();
    let words = text.split('`').skip(1).step_by(2);
    words.map(|word| word.split('{').next().unwrap().trim().to_owned()).collect()
}

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(path)
}

/// Names in an expression that could be metrics: words with an underscore or a colon, and `agents`, that no brace,
/// bracket or list of labels holds.
fn names(expression: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let mut depth = 0;
    let mut quoted = false;
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            c if depth == 0 && !quoted => plain.push(c),
            _ => {}
        }
    }
    let words = plain.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words
        .filter(|word| word.contains('_') || word.contains(':') || *word == "agents")
        .filter(|word| !["histogram_quantile", "group_left", "group_right"].contains(word))
        .map(ToOwned::to_owned)
        .collect()
}

/// `expr:` and `record:` of a rule file, which are written on one line each.
fn of_rules(file: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(config(file)).unwrap();
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(key)?.trim().to_owned())).collect()
}

#[test]
fn every_panel_and_rule_names_metrics_that_exist() {
    block_on(async {
        let place = Place::new();
        place.configure("[[trunk]]\nname = \"t\"\naddress = \"127.0.0.1:9\"\noptions_interval_ms = 0\n");
        let _daemon = place.start().await;
        let (status, text) = place.api().admin("/metrics").await.unwrap();
        assert_eq!(status, 200);
        let mut known = documented();
        known.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("# TYPE "))
                .map(|line| line.split(' ').next().unwrap().to_owned()),
        );
        let recorded: BTreeSet<String> =
            of_rules("prometheus/recording.yml", "record:").into_iter().collect();
        assert!(recorded.len() >= 4);
        let exists = |name: &str| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            recorded.contains(name) || known.contains(name) || base.is_some_and(|base| known.contains(base))
        };
        let mut looked_at = 0;
        let mut check = |place: &str, expression: &str| {
            let names = names(expression);
            assert!(!names.is_empty(), "{place}: nothing is asked for in {expression}");
            for name in names {
                assert!(exists(&name), "{place}: there is no metric {name}");
                looked_at += 1;
            }
        };
        for entry in std::fs::read_dir(config("grafana")).unwrap() {
            let file = entry.unwrap().path();
            let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            for panel in dashboard["panels"].as_array().unwrap() {
                for target in panel["targets"].as_array().into_iter().flatten() {
                    let title = format!("{} {}", file.display(), panel["title"]);
                    check(&title, target["expr"].as_str().unwrap());
                }
            }
        }
        for file in ["prometheus/recording.yml", "prometheus/alerts.yml"] {
            for expression in of_rules(file, "expr:") {
                check(file, &expression);
            }
        }
        assert!(looked_at > 40, "{looked_at}");
    });
}

#[test]
fn names_are_found_in_expressions() {
    let found = names("sum by (le) (rate(a_bucket{x_y=\"b_c\"}[5m])) / trunk:asr:x > 0.5");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a_bucket", "trunk:asr:x"]);
}
