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
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "-p", "loadtests", "--bin", "swarm"])
        .current_dir(root())
        .status()
        .unwrap();
    assert!(built.success());
    let binaries = Path::new(env!("CARGO_BIN_EXE_dialerd")).parent().unwrap();
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
