//! Dialogs in full against SIPp, which shares no line with the daemon: each scenario of `loadtests/sipp/features` as
//! caller, carrier or callee.

use crate::harness::{Place, block_on};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Calls of each scenario.
const CALLS: &str = "5";

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../loadtests/sipp").join(format!("{name}.xml"))
}

/// Runs a scenario; what went wrong is in its error file.
fn sipp(place: &Place, name: &str, host: &str, port: &str, more: &[&str]) -> Child {
    Command::new("sipp")
        .arg("-sf")
        .arg(scenario(name))
        .args([
            "-i",
            host,
            "-p",
            port,
            "-mi",
            host,
            "-m",
            CALLS,
            "-nostdin",
            "-nd",
            "-trace_err",
            "-error_file",
        ])
        .arg(format!("{}-{port}.err", name.replace('/', "-")))
        .args(["-timeout", "20", "-timeout_error", "-recv_timeout", "30000"])
        .args(more)
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp is there")
}

/// A feature: how the number begins, who calls, who is called, and who may be called further.
const FEATURES: [(&str, &str, &str, Option<&str>); 6] = [
    ("70", "features/prack_caller", "features/prack_callee", None),
    ("71", "features/prack_caller", "features/prack_callee", None),
    ("70", "features/session_caller", "features/session_callee", None),
    ("71", "uac", "features/refer_callee", Some("uas")),
    ("70", "uac", "features/redirect_callee", None),
    ("71", "uac", "features/fork_callee", None),
];

#[test]
fn each_feature_with_sipp_on_both_sides() {
    block_on(async {
        let place = Place::new();
        let trunk = |name: &str, address: &str, port: u16| {
            format!(
                "[[trunk]]\nname = \"{name}\"\naddress = \"{address}:{port}\"\noptions_interval_ms = 0\n\
                 cps_max = 100.0\n"
            )
        };
        let route = |prefix: &str, to: &str, media: &str| {
            format!("[[route]]\nprefix = \"{prefix}\"\nto = \"{to}\"\nmedia = \"{media}\"\n")
        };
        place.configure(&format!(
            "{}{}{}{}{}{}",
            trunk("caller", &place.carrier, 5080),
            trunk("callee", &place.phones, 5080),
            trunk("third", &place.carrier, 5085),
            route("70", "callee", "bypass"),
            route("71", "callee", "relay"),
            route("72", "third", "relay"),
        ));
        let daemon = place.start().await;
        let ours = format!("{}:5060", place.daemon);
        for (prefix, caller, callee, third) in FEATURES {
            let third = third.map(|name| sipp(&place, name, &place.carrier, "5085", &[]));
            let called = sipp(&place, callee, &place.phones, "5080", &[]);
            let number = format!("{prefix}00");
            let more = [ours.as_str(), "-s", &number, "-r", "5"];
            let calling = sipp(&place, caller, &place.carrier, "5080", &more);
            let all = [Some(calling), Some(called), third];
            let ended = tokio::task::spawn_blocking(move || {
                all.map(|child| {
                    child.is_none_or(|mut child| child.wait().is_ok_and(|status| status.success()))
                })
            });
            let ended = ended.await.unwrap();
            let told: String = std::fs::read_dir(place.folder.path())
                .unwrap()
                .flatten()
                .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "err"))
                .map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default())
                .collect();
            assert_eq!(ended, [true; 3], "{caller} and {callee}\n{told}\n{}", daemon.log_text());
        }
    });
}
