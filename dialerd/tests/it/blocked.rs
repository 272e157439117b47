//! A number that the network blocks, over real SIP: each refusal as a carrier writes it, until the number is left alone and
//! the leads have ended as they should.

use crate::harness::{Place, Setting, block_on, until};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FIRST: &str = "+12025550101";
const SECOND: &str = "+12025550102";

/// Status line and further headers of each refusal in turn; the last one again and again.
const REFUSALS: [(&str, &str); 6] = [
    // A person's.
    ("603 Decline", ""),
    ("603 Decline", "Reason: SIP;cause=603;text=\"Declined\"\r\n"),
    // ATIS-1000099: the text says of what it comes, and where one may complain.
    (
        "603 Network Blocked",
        "Reason: SIP;cause=603;text=\"v=analytics1;url=https://example.com/redress\";location=LN\r\n",
    ),
    // RFC 8197.
    ("607 Unwanted", ""),
    // RFC 8688 §3.1: whom to turn to.
    ("608 Rejected", "Call-Info: <https://example.com/jcard>;purpose=jcard\r\n"),
    ("486 Busy Here", ""),
];

/// A carrier that refuses: as little SIP as that needs, none of it the daemon's. It answers OPTIONS, else nobody dials
/// through it.
struct Carrier {
    /// The number called and the caller ID shown, once for each call.
    calls: Arc<Mutex<Vec<(String, String)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Carrier {
    fn listen(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            // A request that comes again gets the same answer.
            let mut refused: Vec<(String, String)> = Vec::new();
            let mut buffer = [0; 8192];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let answer = match text.split(' ').next() {
                    Some("OPTIONS") => response(&text, "200 OK", "", 0),
                    Some("INVITE") => {
                        let call_id = header(&text, "Call-ID");
                        let known = refused.iter().find(|(known, _)| *known == call_id);
                        known.map(|(_, answer)| answer.clone()).unwrap_or_else(|| {
                            let number = refused.len();
                            let (status, more) = REFUSALS[number.min(REFUSALS.len() - 1)];
                            let call = (user(&header(&text, "To")), user(&header(&text, "From")));
                            seen.lock().unwrap().push(call);
                            let answer = response(&text, status, more, number);
                            refused.push((call_id, answer.clone()));
                            answer
                        })
                    }
                    _ => continue,
                };
                socket.send_to(answer.as_bytes(), from).unwrap();
            }
        });
        Carrier { calls, stop, thread: Some(thread) }
    }

    fn calls(&self) -> Vec<(String, String)> {
        self.calls.lock().unwrap().clone()
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

/// The line of a header.
fn header(message: &str, name: &str) -> String {
    message.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap_or_default().to_owned()
}

/// The user part of the SIP URI in a header.
fn user(header: &str) -> String {
    let uri = header.split("sip:").nth(1).and_then(|rest| rest.split('@').next());
    uri.unwrap_or_default().to_owned()
}

fn response(request: &str, status: &str, more: &str, number: usize) -> String {
    let [via, from, to, call_id, cseq] =
        ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(request, name));
    format!(
        "SIP/2.0 {status}\r\n{via}\r\n{from}\r\n{to};tag=c{number}\r\n{call_id}\r\n{cseq}\r\n{more}\
         Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_number_that_is_blocked_is_left_alone_its_leads_end_as_configured_and_that_is_told() {
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
        // One call at a time: the order of the refusals is that of the leads.
        let campaign = json!({ "mode": "agentless", "caller_id_pool": pool,
            "concurrency": { "lines": 1, "cps": 20.0 }, "on_answer": { "play": "safe_harbour" },
            "retry": [{ "outcome": "blocked_by_analytics", "max": 0 },
                { "outcome": "rejected", "after": "2h", "max": 3 }] });
        let setting = Setting::make(&place, 0, 8, campaign).await;
        api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;
        until("all were dialled", async || api.all("/v1/cdrs?limit=100").await.len() >= 8).await;

        let calls = carrier.calls();
        let shown: Vec<&str> = calls.iter().map(|(_, shown)| shown.as_str()).collect();
        assert_eq!(
            shown,
            [[FIRST; 5].as_slice(), &[SECOND; 3]].concat(),
            "two that decline, three that block"
        );

        let records = api.all("/v1/cdrs?limit=100").await;
        let ends: Vec<(&str, u64)> = calls
            .iter()
            .map(|(called, _)| {
                let record = records.iter().find(|record| record["to"] == json!(called)).unwrap();
                (record["outcome"].as_str().unwrap(), record["sip_code"].as_u64().unwrap())
            })
            .collect();
        let blocked = "blocked_by_analytics";
        let expected = [
            ("rejected", 603),
            ("rejected", 603),
            (blocked, 603),
            (blocked, 607),
            (blocked, 608),
            ("busy", 486),
            ("busy", 486),
            ("busy", 486),
        ];
        assert_eq!(ends, expected);

        let leads = api.all(&format!("/v1/lists/{}/leads?limit=100", setting.list)).await;
        for ((called, _), (outcome, _)) in calls.iter().zip(expected) {
            let lead = leads.iter().find(|lead| lead["phones"][0]["number"] == json!(called)).unwrap();
            let state = if outcome == blocked { "exhausted" } else { "retry_wait" };
            assert_eq!((&lead["state"], &lead["last_outcome"]), (&json!(state), &json!(outcome)), "{lead}");
        }

        let events = api.events_up_to("caller_id.quarantined", "caller_id.quarantined").await;
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
        assert_eq!((&of(SECOND)["state"], &of(SECOND)["blocks"]), (&json!("active"), &json!(0)), "{report}");
        // Counters are given out now and then, not with each event.
        for code in [603, 607, 608] {
            until(&format!("one call is counted with {code}"), async || {
                let (_, metrics) = api.admin("/metrics").await.unwrap();
                metrics.lines().any(|line| {
                    line.starts_with("caller_id_blocked_total{")
                        && line.contains(&format!("code=\"{code}\""))
                        && line.ends_with(" 1")
                })
            })
            .await;
        }
        drop(daemon);
    });
}
