//! `dialerd ctl` against a running daemon, as an operator types it.

use crate::harness::{Place, TOKEN, block_on};
use serde_json::{Value, json};
use std::process::Command;

fn ctl(api: &str, token: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dialerd"))
        .args(["ctl", "--api", api, "--token", token])
        .args(arguments)
        .env_remove("DIALERD_API")
        .env_remove("DIALERD_TOKEN")
        .env_remove("DIALERD_TOKEN_FILE")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub async fn ask(api: &str, arguments: &[&str]) -> (i32, String, String) {
    let (api, arguments): (String, Vec<String>) =
        (api.to_owned(), arguments.iter().map(|argument| (*argument).to_owned()).collect());
    let asked = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ctl(&api, TOKEN, &arguments)
    };
    tokio::task::spawn_blocking(asked).await.unwrap()
}

/// A day of the week that is not today, whatever the time is when the test asks.
fn in_three_days() -> &'static str {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    // 1970-01-01 was a Thursday.
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][(days as usize + 3 + 3) % 7]
}

/// Noon so many days from now.
fn in_days(days: i64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let noon = since.as_secs() as i64 / 86_400 * 86_400 + 43_200;
    control_api::rfc3339(sansio::WallTime::from_unix_millis((noon + days * 86_400) * 1_000))
}

#[test]
fn wrong_use_is_told_without_a_daemon() {
    let (code, _, error) = ctl("ftp://dialer", TOKEN, &["why", "x"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("expected http://host:port"), "{error}");
    let (code, _, error) = ctl("http://127.0.0.1:1", TOKEN, &["why", "x"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("cannot be reached at http://127.0.0.1:1"), "{error}");
    let output = Command::new(env!("CARGO_BIN_EXE_dialerd"))
        .args(["ctl", "why", "x"])
        .env_remove("DIALERD_TOKEN")
        .env_remove("DIALERD_TOKEN_FILE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no token"), "{output:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_dialerd"))
        .args(["ctl", "--token-file", "/nonexistent/token", "why", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/token"), "{output:?}");
}

#[test]
fn why_says_in_plain_words_what_keeps_a_campaign_from_dialing() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let (api, base) = (place.api(), place.api().base);
        let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
        let (code, _, error) = ask(&base, &["why", "renewals"]).await;
        assert_eq!(code, 1);
        assert!(error.contains("there is no campaign of the name (or id) \"renewals\""), "{error}");
        let wrong = base.clone();
        let (code, _, error) = tokio::task::spawn_blocking(move || {
            ctl(&wrong, "dlr_wrong_0123456789abcdef", &["why", "renewals"])
        })
        .await
        .unwrap();
        assert_eq!(code, 1);
        assert!(error.contains("does not know this token"), "{error}");

        let list = id(&api.post("/v1/lists", json!({ "name": "l", "default_region": "US" })).await);
        let trunk =
            json!({ "name": "t", "address": format!("{}:5080", place.carrier), "options_interval_ms": 0 });
        api.post("/v1/trunks", trunk).await;
        let campaign = json!({ "name": "renewals", "mode": "predictive", "lists": [list] });
        let campaign = id(&api.post("/v1/campaigns", campaign).await);
        let why = async |wanted: &str| {
            let (code, told, error) = ask(&base, &["why", "renewals"]).await;
            assert_eq!(code, 0, "{error}");
            assert!(told.contains(wanted), "{wanted:?} is missing:\n{told}");
            told
        };
        why("The campaign is stopped; start it to dial. [paused]").await;
        api.post(&format!("/v1/campaigns/{campaign}:start"), json!({})).await;
        why("The campaign's lists have no leads. [leads]").await;
        api.import_csv(&list, "phone\n+12025550101\n+12025550102\n".into()).await;
        why("There is no agent. [agents]").await;
        api.post("/v1/agents", json!({ "name": "a", "username": "a", "password": "secret-a" })).await;
        let told = why("None of the 1 agents is logged in. [agents]").await;
        for wanted in
            ["renewals (camp_", "running, predictive mode", "leads      2: 2 due now", "hours      open"]
        {
            assert!(told.contains(wanted), "{wanted:?} is missing:\n{told}");
        }
        let hours = json!({ "from": "00:00", "to": "24:00", "utc_offset": "Z", "days": [in_three_days()] });
        let change = json!({ "calling_hours": hours });
        let (status, body) = api.send("PATCH", &format!("/v1/campaigns/{campaign}"), Some(change)).await;
        assert_eq!(status, 200, "{body}");
        why("It is outside the campaign's calling hours. [window]").await;
        api.post(&format!("/v1/campaigns/{campaign}:pause"), json!({})).await;
        why("The campaign is paused; resume it to dial. [paused]").await;
        let (code, told, _) = ask(&base, &["--json", "why", &campaign]).await;
        assert_eq!(code, 0);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["limited_by"], "paused");
    });
}

#[test]
fn an_operator_works_on_a_terminal() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let (api, base) = (place.api(), place.api().base);
        let good = async |arguments: &[&str]| {
            let (code, told, error) = ask(&base, arguments).await;
            assert_eq!(code, 0, "{arguments:?}: {error}");
            told
        };
        api.post("/v1/agents", json!({ "name": "Ada", "username": "a", "password": "secret-a" })).await;
        let list = api.post("/v1/lists", json!({ "name": "leads", "default_region": "US" })).await;
        let list = list["id"].as_str().unwrap().to_owned();
        let trunk =
            json!({ "name": "t", "address": format!("{}:5080", place.carrier), "options_interval_ms": 0 });
        api.post("/v1/trunks", trunk).await;
        let campaign = json!({ "name": "renewals", "mode": "predictive", "lists": [list] });
        api.post("/v1/campaigns", campaign).await;

        let told = good(&["agents"]).await;
        assert!(told.contains("Ada") && told.contains("logged_out"), "{told}");
        let told = good(&["agents", "login", "Ada", "--on-demand"]).await;
        assert!(told.starts_with("Ada (agt_") && told.trim_end().ends_with("unreachable"), "{told}");
        let told = good(&["agents", "pause", "Ada", "lunch"]).await;
        assert!(told.trim_end().ends_with("paused"), "{told}");
        let told = good(&["campaigns", "start", "renewals"]).await;
        assert!(told.trim_end().ends_with("running"), "{told}");
        assert!(good(&["campaigns"]).await.contains("running"));
        assert!(good(&["calls", "--campaign", "renewals"]).await.starts_with("CALL"));

        let file = place.folder.path().join("leads.csv");
        std::fs::write(&file, "phone,name\n+12025550101,Grace\nnonsense,Nobody\n").unwrap();
        let told = good(&["import", "leads", file.to_str().unwrap()]).await;
        let refused = "line 3: invalid_number not_e164: /phone: expected digits, perhaps with a plus";
        assert!(told.contains(refused) && told.contains("accepted 1"), "{told}");
        let (code, _, error) = ask(&base, &["import", "leads", "leads.xlsx"]).await;
        assert_eq!(code, 2, "{error}");

        let told = good(&["tokens", "create", "crm", "calls:read", "leads:read"]).await;
        let secret = told.lines().next().unwrap().to_owned();
        assert!(secret.starts_with("dlr_"), "{told}");
        let listed: Value = serde_json::from_str(&good(&["--json", "tokens"]).await).unwrap();
        let crm = listed.as_array().unwrap().iter().find(|token| token["name"] == "crm").expect("just made");
        let id = crm["id"].as_str().unwrap().to_owned();
        good(&["tokens", "delete", &id]).await;
        assert!(!good(&["tokens"]).await.contains(&id));
        good(&["tokens", "create", "erp", "calls:read"]).await;
        good(&["tokens", "delete", "erp"]).await;
        assert!(!good(&["tokens"]).await.contains("erp"));

        let leads = api.get(&format!("/v1/lists/{list}/leads")).await;
        let lead = leads["data"][0]["id"].as_str().unwrap().to_owned();
        let (then, later) = (in_days(30), in_days(60));
        let told = good(&["callbacks", "create", &lead, &then, "--agent", "Ada"]).await;
        assert!(told.contains(&then) && told.contains("agt_"), "{told}");
        let told = good(&["callbacks", "move", &lead, &later]).await;
        assert!(told.contains(&later), "{told}");
        assert!(good(&["callbacks", "--agent", "Ada"]).await.contains(&lead));
        assert!(!good(&["callbacks", "--due"]).await.contains(&lead));
        good(&["callbacks", "delete", &lead]).await;
        let told = good(&["audit", "--action", "callback.*", "--limit", "2"]).await;
        assert!(told.contains("callback.deleted") && told.contains("callback.changed"), "{told}");
        assert!(!told.contains("callback.created"), "the newest two: {told}");
        assert!(good(&["audit", "--action", "list.imported"]).await.contains(&list));
        let told = good(&["best-time", "renewals"]).await;
        assert!(told.starts_with("SEGMENT"), "{told}");
        let told = good(&["events", "--types", "lead.callback_*", "--after", "0", "--limit", "2"]).await;
        assert_eq!(told.matches("lead.callback_set").count(), 2, "made, and moved: {told}");
        let (code, _, error) = ask(&base, &["events", "--types", "lead.calback_set"]).await;
        assert_eq!(code, 1);
        assert!(error.contains("422") && error.contains("lead.callback_set"), "{error}");
        let pool =
            json!({ "name": "pool", "numbers": ["+12025550199"], "quarantine": { "reputation_min": 0.5 } });
        api.post("/v1/caller-id-pools", pool).await;
        let report = ["caller-ids", "report", "pool", "+12025550199", "--source", "check", "--score"];
        let told = good(&[&report[..], &["0.1"]].concat()).await;
        assert!(told.contains("quarantine"), "{told}");
        assert!(good(&["caller-ids", "pool"]).await.contains("quarantine"));
        let told = good(&["persons", "export", "+12025550101"]).await;
        assert!(told.contains("Grace"), "{told}");
        let (code, _, error) = ask(&base, &["persons", "erase", "+12025550101"]).await;
        assert_eq!(code, 2, "{error}");
        let told = good(&["persons", "erase", "+12025550101", "--yes"]).await;
        assert!(told.starts_with("erased: 1 leads"), "{told}");

        let hook = json!({ "name": "hook", "url": "http://127.6.0.3:1/", "types": ["call.*"] });
        api.post("/v1/webhooks", hook).await;
        assert!(good(&["webhooks"]).await.contains("http://127.6.0.3:1/"));
        let (code, _, error) = ask(&base, &["webhooks", "test", "hook"]).await;
        assert_eq!(code, 1);
        assert!(error.contains("no connection"), "{error}");
        good(&["webhooks", "replay", "hook", "--dead-letters"]).await;

        let copy = place.folder.path().join("copy.db");
        let output = Command::new(env!("CARGO_BIN_EXE_dialerd"))
            .args(["backup", "--config", place.config_file().to_str().unwrap(), copy.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(copy.metadata().unwrap().len() > 0);
        assert!(good(&["drain", "--wait"]).await.contains("drained"));
        assert!(good(&["undrain"]).await.contains("takes new work"));
    });
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dialerd")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (completion, manual) = (run(&["completion", "bash"]), run(&["man"]));
    for command in ["run", "check-config", "ctl", "backup", "restore", "simulate", "demo"] {
        assert!(completion.contains(command), "{command}");
        assert!(manual.contains(&format!("DIALERD {}", command.to_uppercase())), "{command}");
    }
    assert!(manual.starts_with(".ie") || manual.contains(".TH dialerd"), "{}", &manual[..200]);
}
