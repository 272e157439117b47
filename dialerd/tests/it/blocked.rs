//! A number that the network blocks, over real SIP: 603 that says so (603+), 607 and 608, each refusal as a carrier writes it,
//! until the number is left alone; a plain 603 says nothing against it.

use crate::harness::{Place, Setting, block_on, until};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FIRST: &str = "+12025550101";
const SECOND: &str = "+12025550102";

/// Status line and further headers of each refusal in turn; the last one again and again.
const REFUSALS: [(&str, &str); 5] = [
    ("603 Decline", ""),
    (
        "603 Network Blocked",
        "Reason: SIP;cause=603;text=\"v=analytics1;url=https://example.com/redress\";location=LN\r\n",
    ),
    ("607 Unwanted", ""),
    ("608 Rejected", "Call-Info: <https://example.com/jcard>;purpose=jcard\r\n"),
    ("486 Busy Here", ""),
];

/// A carrier that refuses: as little SIP as that needs, none of it the daemon's.
struct Carrier {
    /// The caller IDs shown, one for each INVITE.
    shown: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Carrier {
    fn listen(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (Arc::clone(&shown), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut answers: Vec<(String, String)> = Vec::new();
            let mut buffer = [0; 8192];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if !text.starts_with("INVITE ") {
                    continue;
                }
                let header = |name: &str| {
                    let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")));
                    line.unwrap_or_default().to_owned()
                };
                let call_id = header("Call-ID");
                let known =
                    answers.iter().find(|(known, _)| *known == call_id).map(|(_, answer)| answer.clone());
                let answer = known.unwrap_or_else(|| {
                    let (status, more) = REFUSALS[answers.len().min(REFUSALS.len() - 1)];
                    let from = header("From");
                    let number = from.split("sip:").nth(1).and_then(|rest| rest.split('@').next());
                    seen.lock().unwrap().push(number.unwrap_or_default().to_owned());
                    let answer = format!(
                        "SIP/2.0 {status}\r\n{}\r\n{from}\r\n{};tag=c{}\r\n{call_id}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n",
                        header("Via"),
                        header("To"),
                        answers.len(),
                        header("CSeq"),
                    );
                    answers.push((call_id.clone(), answer.clone()));
                    answer
                });
                socket.send_to(answer.as_bytes(), from).unwrap();
            }
        });
        Carrier { shown, stop, thread: Some(thread) }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_number_that_is_blocked_is_left_alone_and_that_is_told() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let carrier = Carrier::listen(&format!("{}:5080", place.carrier));
        let daemon = place.start().await;
        let api = place.api();
        let pool = api
            .post(
                "/v1/caller-id-pools",
                json!({ "name": "north", "numbers": [FIRST, SECOND], "strategy": "fixed",
                    "quarantine": { "blocks_max": 3 } }),
            )
            .await;
        let pool = pool["id"].as_str().unwrap().to_owned();
        let campaign = json!({ "mode": "agentless", "caller_id_pool": pool,
            "concurrency": { "lines": 1, "cps": 20.0 }, "on_answer": { "play": "safe_harbour" } });
        let setting = Setting::make(&place, 0, 8, campaign).await;
        api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;
        until("six were dialled", async || api.all("/v1/cdrs?limit=100").await.len() >= 6).await;

        let shown = carrier.shown.lock().unwrap().clone();
        assert_eq!(shown[..4], [FIRST; 4], "the plain refusal, then three that block: {shown:?}");
        assert!(shown[4..].iter().all(|number| number == SECOND), "the other one from then on: {shown:?}");

        let records = api.all("/v1/cdrs?limit=100").await;
        let mut blocked: Vec<u64> = records
            .iter()
            .filter(|record| record["outcome"] == json!("blocked_by_analytics"))
            .map(|record| record["sip_code"].as_u64().unwrap())
            .collect();
        blocked.sort_unstable();
        assert_eq!(blocked, [603, 607, 608], "{records:?}");
        let declined = records.iter().filter(|record| record["outcome"] == json!("rejected")).count();
        assert_eq!(declined, 1, "a 603 that blames no analytics is a person's");

        let events = api.events_up_to("caller_id.quarantined", "caller_id.quarantined").await;
        assert_eq!(events.len(), 1, "{events:?}");
        let told = &events[0]["data"];
        assert_eq!(
            (&told["number"], &told["reason"], &told["caller_id_pool_id"]),
            (&json!(FIRST), &json!("blocked"), &json!(pool)),
            "{told}"
        );

        let report = api.get("/v1/reports/caller-ids").await;
        let of = |number: &str| -> Value {
            let rows = report["data"].as_array().unwrap();
            rows.iter().find(|row| row["caller_id"] == json!(number)).cloned().unwrap_or_default()
        };
        assert_eq!(
            (&of(FIRST)["state"], &of(FIRST)["reason"], &of(FIRST)["blocks"]),
            (&json!("quarantined"), &json!("blocked"), &json!(3)),
            "{report}"
        );
        assert_eq!(of(SECOND)["state"], json!("active"), "{report}");
        let (_, metrics) = api.admin("/metrics").await.unwrap();
        for code in [603, 607, 608] {
            let line = metrics
                .lines()
                .any(|line| line.contains("caller_id") && line.contains(&format!("code=\"{code}\"")));
            assert!(line, "{code} in\n{metrics}");
        }
        drop(daemon);
    });
}
