//! Schemathesis (a generator of requests from an OpenAPI document) against a running daemon: it never says 5xx, answers
//! what its document says, and refuses what its document forbids.

use crate::harness::{Place, Setting, block_on};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Asked of every answer. What the document cannot say (a name must be unique, a region must exist) may be refused,
/// so that valid requests are accepted is not among them.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      missing_required_header,unsupported_method,ignored_auth,use_after_free";

/// Where `scripts/setup test` puts it, beside the folder of this program's build.
fn program() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_dialerd")).ancestors().nth(2).unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    [target, &manifest].iter().map(|folder| folder.join("python/bin/st")).find(|path| path.exists())
}

#[test]
fn the_daemon_keeps_to_its_document() {
    let Some(program) = program() else {
        println!("left out: schemathesis is not installed; `scripts/setup test` installs it");
        return;
    };
    block_on(async {
        let place = Place::new();
        place.configure("");
        let daemon = place.start().await;
        let setting = Setting::make(&place, 2, 20, json!({ "mode": "predictive" })).await;
        let api = place.api();
        let first = async |path: &str| {
            let all = api.get(path).await;
            all["data"][0]["id"].as_str().expect("an id").to_owned()
        };
        let dnc = api.post("/v1/dnc-lists", json!({ "name": "own" })).await;
        let webhook = json!({ "name": "w", "url": "http://127.0.0.1:9/", "types": ["call.*"] });
        let webhook = api.post("/v1/webhooks", webhook).await;
        let (trunk, agent) = (first("/v1/trunks").await, first("/v1/agents").await);
        let lead = first(&format!("/v1/lists/{}/leads", setting.list)).await;
        let known = [
            ("agents", agent.as_str()),
            ("campaigns", &setting.campaign),
            ("dnc-lists", dnc["id"].as_str().unwrap()),
            ("lists", &setting.list),
            ("trunks", &trunk),
            ("webhooks", webhook["id"].as_str().unwrap()),
        ];
        // So that not everything ends at 404: things that are there. (DELETE takes what the run itself has made.)
        let mut config = String::new();
        for (kind, id) in known {
            config.push_str(&format!(
                "[[operations]]\ninclude-path-regex = \"^/v1/{kind}/\\\\{{id\\\\}}\"\nexclude-method = [\"DELETE\"]\n\
                 parameters = {{ \"path.id\" = \"{id}\", \"path.lead_id\" = \"{lead}\" }}\n"
            ));
        }
        let file = place.folder.path().join("schemathesis.toml");
        std::fs::write(&file, config).unwrap();

        let run = |paths: &[&str], checks: &str| {
            let output = Command::new(&program)
                .arg("--config-file")
                .arg(&file)
                .args(["run", &format!("{}/v1/openapi.json", api.base), "--no-color"])
                .args(["--header", &format!("Authorization: Bearer {}", api.token)])
                .args(paths)
                .args(["--phases", "examples,coverage,fuzzing,stateful", "--checks", checks])
                .args(["--generation-deterministic", "--max-examples", "8", "--continue-on-failure"])
                .args(["--request-timeout", "10", "--warnings", "off"])
                .current_dir(place.folder.path())
                .output()
                .unwrap();
            let (out, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{out}\n{error}");
            let cases =
                out.lines().find_map(|line| line.trim().split_once(" generated,")?.0.parse::<u32>().ok());
            cases.unwrap_or_else(|| panic!("no number of cases\n{out}"))
        };
        // Streams do not end.
        let cases = run(&["--exclude-path-regex", "^/v1/(events|ws)$|:import$"], CHECKS);
        assert!(cases > 2000, "{cases} cases");
        // Of a text anything is a text: what is wrong in the lines of an import is told line by line.
        let of_texts = CHECKS.replace("negative_data_rejection,", "");
        let cases = run(&["--include-path-regex", ":import$"], &of_texts);
        assert!(cases > 50, "{cases} cases of imports");
        // Nothing of it has hurt: it works on, and nothing panicked.
        let (status, metrics) = api.admin("/metrics").await.unwrap();
        assert_eq!(status, 200);
        for quiet in ["audit_findings 0", "events_dropped_total"] {
            assert!(metrics.contains(quiet), "{quiet}");
        }
        let panics = metrics.lines().filter(|line| line.starts_with("task_panics_total"));
        assert!(panics.clone().count() > 0 && panics.clone().all(|line| line.ends_with(" 0")), "{metrics}");
        assert!(!daemon.log_text().contains("panicked"), "{}", daemon.log_text());
        tokio::time::timeout(Duration::from_secs(30), api.get("/v1/node")).await.unwrap();
    });
}
