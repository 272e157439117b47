//! A real browser as an agent's phone: headless Chromium with JsSIP over WebSocket, a tone for a microphone, an analyser
//! for an ear, and SIPp behind the trunk, which sends back what it hears.

use crate::harness::{Place, block_on, until, until_bound};
use crate::streams::sipp;
use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What the softphone says, hertz.
const TONE_HZ: f64 = 1000.0;

/// What the page has told, and what it is to do next.
#[derive(Clone, Default)]
struct Desk {
    told: Arc<Mutex<Vec<Value>>>,
    orders: Arc<Mutex<VecDeque<Value>>>,
}

impl Desk {
    fn order(&self, name: &str, value: &str) {
        self.orders.lock().unwrap().push_back(json!({ "name": name, "value": value }));
    }

    fn count(&self, fact: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|told| told["fact"] == fact).count()
    }

    async fn told(&self, fact: &str, times: usize) {
        until(&format!("the page tells {fact}"), async || {
            let errors: Vec<Value> =
                self.told.lock().unwrap().iter().filter(|told| told["fact"] == "error").cloned().collect();
            assert!(errors.is_empty(), "{errors:?}");
            self.count(fact) >= times
        })
        .await;
    }

    /// Waits until the page hears the tone, three times in a row from now on.
    async fn hears_the_tone(&self) {
        let from = self.told.lock().unwrap().len();
        until("the page hears the tone", async || {
            let told = self.told.lock().unwrap();
            let heard: Vec<bool> = told[from..]
                .iter()
                .filter(|told| told["fact"] == "hears")
                .map(|told| {
                    let off = told["hertz"].as_f64().unwrap_or_default() - TONE_HZ;
                    off.abs() < 30.0 && told["above"].as_f64().unwrap_or_default() > 20.0
                })
                .collect();
            heard.windows(3).any(|three| three == [true; 3])
        })
        .await;
    }
}

/// Serves the page on the phones' address; gives where it is.
async fn serve(place: &Place, script: &Path, desk: Desk) -> String {
    let script = std::fs::read_to_string(script).unwrap();
    let page = "<!doctype html><title>softphone</title><script src=\"/softphone.js\"></script>";
    let router = axum::Router::new()
        .route("/", get(move || async move { Html(page) }))
        .route("/softphone.js", get(move || async move { ([("content-type", "text/javascript")], script) }))
        .route(
            "/tell",
            post(async |State(desk): State<Desk>, body: String| {
                desk.told.lock().unwrap().push(serde_json::from_str(&body).unwrap());
            }),
        )
        .route(
            "/order",
            get(async |State(desk): State<Desk>| {
                axum::Json(desk.orders.lock().unwrap().pop_front().unwrap_or(json!({})))
            }),
        )
        .with_state(desk);
    let listener = tokio::net::TcpListener::bind((place.phones.as_str(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A browser that is ended when it is dropped.
struct Browser(Child);

impl Browser {
    fn open(place: &Place, url: &str) -> Self {
        let profile = place.folder.path().join("profile");
        let log = std::fs::File::create(place.folder.path().join("chromium.log")).unwrap();
        let browser = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"])
            .args(["--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"])
            .args(["--disable-features=WebRtcHideLocalIpsWithMdns", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("chromium is there");
        Browser(browser)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        for _ in 0..100 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bundle that `scripts/setup interop` makes.
fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/browser/bundle.js")
}

#[test]
fn a_browser_registers_is_called_calls_speaks_hears_and_hangs_up() {
    let script = script();
    if !script.exists() || Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("left out: no chromium or no bundle of the softphone; scripts/setup interop makes them");
        return;
    }
    block_on(async {
        let place = Place::new();
        place.configure(&format!(
            "[[sip.listeners]]\ntransport = \"ws\"\naddress = \"{0}:8088\"\n\
             [[trunk]]\nname = \"echo\"\naddress = \"{1}:5080\"\noptions_interval_ms = 0\n\
             [[route]]\nto = \"echo\"\n",
            place.daemon, place.carrier
        ));
        let daemon = place.start().await;
        let api = place.api();
        let echo =
            ["-sn", "uas", "-i", &place.carrier, "-p", "5080", "-rtp_echo", "-mi", &place.carrier, "-m", "2"];
        let mut echo = sipp(&place, &echo);
        until_bound("udp", &place.carrier, 5080).await;
        let agent =
            json!({ "name": "1001", "username": "1001", "password": "secret", "destinations": ["*"] });
        let agent = api.post("/v1/agents", agent).await["id"].as_str().unwrap().to_owned();
        let desk = Desk::default();
        let page = serve(&place, &script, desk.clone()).await;
        let url = format!("{page}/?server=ws://{0}:8088&uri=sip:1001@{0}&password=secret", place.daemon);
        let browser = Browser::open(&place, &url);
        desk.told("registered", 1).await;

        // It is called for the agent's session, and a customer is joined to it.
        api.post(&format!("/v1/agents/{agent}:login"), json!({ "session": "nailed_up" })).await;
        desk.told("confirmed", 1).await;
        api.post(
            "/v1/calls",
            json!({ "agent_id": agent, "to": "+12025550123", "compliance_override": "a test" }),
        )
        .await;
        desk.hears_the_tone().await;
        desk.order("digit", "5");
        until("the digit is heard", async || metric(&api, "rtp_dtmf_digits_total").await >= 1.0).await;
        desk.order("restart", "");
        desk.told("renegotiated", 1).await;
        desk.hears_the_tone().await;
        desk.order("hangup", "");
        desk.told("ended", 1).await;
        // Else it would be called again at once: the agent is at work.
        api.post(&format!("/v1/agents/{agent}:logout"), json!({})).await;
        until("nothing is left", async || metric(&api, "rtp_sessions_active").await == 0.0).await;
        assert!(metric(&api, "srtp_packets_total").await > 200.0);
        assert!(metric(&api, "dtls_handshakes_total").await >= 1.0);

        // It calls, and speaks nothing but Opus; the other side has never heard of that.
        let (confirmed, ended) = (desk.count("confirmed"), desk.count("ended"));
        assert_eq!(metric(&api, "rtp_transcoded_packets_total").await, 0.0, "both spoke G.711");
        desk.order("only", "opus");
        desk.order("call", "+12025550124");
        desk.told("confirmed", confirmed + 1).await;
        desk.hears_the_tone().await;
        assert!(metric(&api, "rtp_transcoded_packets_total").await > 0.0);
        desk.order("hangup", "");
        desk.told("ended", ended + 1).await;
        until("nothing is left", async || metric(&api, "rtp_sessions_active").await == 0.0).await;
        drop(browser);
        let _ = echo.kill();
        let _ = echo.wait();
        daemon.terminate();
    });
}

async fn metric(api: &crate::api::Api, name: &str) -> f64 {
    let Some((_, text)) = api.admin("/metrics").await else { return f64::NAN };
    let values =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
