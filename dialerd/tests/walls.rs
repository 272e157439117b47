//! The walls of the house: who may know whom, and under which licences. Compared with `docs/walls.txt` and
//! `deny.toml`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rooms that compute: nothing in them may reach a socket, a file, a clock or a thread through a dependency.
const QUIET: [&str; 5] = ["sansio", "dialer-core", "sip-proxy", "media", "engine"];
/// What would be a door to the world.
const WORLD: [&str; 14] = [
    "tokio",
    "mio",
    "socket2",
    "tokio-uring",
    "io-uring",
    "async-std",
    "hyper",
    "reqwest",
    "rusqlite",
    "libsqlite3-sys",
    "getrandom",
    "crossbeam-channel",
    "jiff",
    "chrono",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

struct Graph {
    names: BTreeMap<String, String>,
    /// Normal dependencies by package id.
    normal: BTreeMap<String, Vec<String>>,
    members: BTreeMap<String, String>,
}

impl Graph {
    fn of(metadata: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let names: BTreeMap<String, String> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let normal = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let dependencies = list(&node["deps"])
                    .iter()
                    .filter(|dependency| {
                        list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
                    })
                    .map(|dependency| text(&dependency["pkg"]))
                    .collect();
                (text(&node["id"]), dependencies)
            })
            .collect();
        let members = list(&metadata["workspace_members"])
            .iter()
            .map(|id| (names[&text(id)].clone(), text(id)))
            .collect();
        Graph { names, normal, members }
    }

    /// Names of all that `room` reaches, not looking behind packages called `behind`.
    fn reach(&self, room: &str, behind: &[&str]) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([self.members[room].as_str()]);
        while let Some(id) = queue.pop_front() {
            let name = self.names[id].as_str();
            if !seen.insert(name) || behind.contains(&name) {
                continue;
            }
            queue.extend(self.normal[id].iter().map(String::as_str));
        }
        seen
    }
}

#[test]
fn no_quiet_room_reaches_the_world() {
    let graph = Graph::of(&metadata());
    for room in QUIET {
        // `rtp` and the traits of its types in `webrtc-util` pull a runtime behind them that is never started.
        // `x509-parser` reaches `ring` only where the certificates of tests switch its `verify` on; the room does not.
        // So does `crypto-common`, beneath the ciphers: it reaches `getrandom` only where handshakes at the edge want it.
        let reached = graph.reach(room, &["rtp", "webrtc-util", "x509-parser", "crypto-common"]);
        let doors: Vec<&&str> = WORLD.iter().filter(|door| reached.contains(**door)).collect();
        assert!(doors.is_empty(), "{room} reaches {doors:?}");
        assert!(room == "media" || room == "engine" || !reached.contains("rtp"), "{room} reaches rtp");
    }
}

#[test]
fn who_knows_whom_is_as_written() {
    let graph = Graph::of(&metadata());
    let mut written =
        String::from("# Normal dependencies of each room. Changed by hand, with the reason in the commit.\n");
    for (room, id) in &graph.members {
        let mut known: Vec<&str> = graph.normal[id].iter().map(|id| graph.names[id].as_str()).collect();
        known.sort_unstable();
        written.push_str(&format!("{room}: {}\n", known.join(" ")));
    }
    let file = root().join("docs/walls.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &written).expect("docs/walls.txt can be written");
    }
    let committed = std::fs::read_to_string(&file).expect("docs/walls.txt is there");
    assert_eq!(
        written, committed,
        "a wall moved: if it is meant, run with UPDATE_EXPECT=1 and commit docs/walls.txt"
    );
}

#[test]
fn every_quiet_room_bans_clocks_sockets_files_and_threads_by_lint() {
    for room in QUIET {
        let file = root().join(room).join("clippy.toml");
        let lints =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for banned in ["std::time::Instant::now", "std::net::UdpSocket", "std::fs", "std::thread::spawn"] {
            assert!(lints.contains(banned), "{} does not ban {banned}", file.display());
        }
    }
}

#[test]
fn licences_are_those_of_deny_toml() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let rules: toml::Table = toml::from_str(&text).expect("deny.toml is TOML");
    let allowed: BTreeSet<&str> = rules["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|licence| licence.as_str().expect("text"))
        .collect();
    // Licences of packages that carry the text and do not name it.
    let clarified: BTreeMap<&str, &str> = rules["licenses"]["clarify"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rule| (rule["crate"].as_str().expect("text"), rule["expression"].as_str().expect("text")))
        .collect();
    let metadata = metadata();
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().expect("a list") {
        let name = package["name"].as_str().expect("text");
        let named = package["license"].as_str().or(clarified.get(name).copied());
        let licence = named.unwrap_or("").replace('/', " OR ");
        if !satisfied(&licence, &allowed) {
            refused.push(format!("{name}: {licence:?}"));
        }
    }
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:#?}");
}

/// An SPDX expression of AND, OR and parentheses, by recursive descent.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "\u{1}WITH\u{1}");
    let mut tokens = spaced.split_whitespace().peekable();
    fn any<'a>(
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        allowed: &BTreeSet<&str>,
    ) -> bool {
        let mut good = all(tokens, allowed);
        while tokens.next_if_eq(&"OR").is_some() {
            good |= all(tokens, allowed);
        }
        good
    }
    fn all<'a>(
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        allowed: &BTreeSet<&str>,
    ) -> bool {
        let mut good = one(tokens, allowed);
        while tokens.next_if_eq(&"AND").is_some() {
            good &= one(tokens, allowed);
        }
        good
    }
    fn one<'a>(
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
        allowed: &BTreeSet<&str>,
    ) -> bool {
        match tokens.next() {
            Some("(") => {
                // Boxed through a function pointer so that the types stay finite.
                let good = any(tokens, allowed);
                tokens.next_if_eq(&")");
                good
            }
            Some(licence) => allowed.contains(licence.replace('\u{1}', " ").as_str()),
            None => false,
        }
    }
    any(&mut tokens, allowed)
}

#[test]
fn licence_expressions_are_read_right() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
    for (expression, good) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
        ("", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), good, "{expression}");
    }
}
