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

async fn ask(api: &str, arguments: &[&str]) -> (i32, String, String) {
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

#[test]
fn wrong_use_is_told_without_a_daemon() {
    let (code, _, error) = ctl("https://dialer", TOKEN, &["why", "x"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("plain HTTP"), "{error}");
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
