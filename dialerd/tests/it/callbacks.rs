//! A customer calls back, over real sockets: the agent who last spoke with them, the lead's owner, the group, a message.

use crate::api::Api;
use crate::harness::{Place, Setting, block_on, until};
use loadtests::swarm::callee::Population;
use loadtests::swarm::people::{AgentLogin, Habits, People};
use loadtests::swarm::phones::{Order, Role, Running};
use loadtests::swarm::start;
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const OURS: &str = "+12025550100";

/// A caller's phone of one call: as little SIP as a call needs, none of it the daemon's.
struct Caller {
    socket: UdpSocket,
    server: String,
    here: String,
    from: String,
    to: String,
    call_id: String,
    answer: String,
}

impl Caller {
    /// Calls; the final response has come when this returns: its code, and those before it.
    fn call_at(carrier: &str, daemon: &str, number: &str, from: &str, to: &str) -> (Self, Vec<u16>) {
        let socket = UdpSocket::bind(format!("{carrier}:0")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let here = socket.local_addr().unwrap().to_string();
        let mut caller = Caller {
            socket,
            server: format!("{daemon}:5060"),
            from: format!("<sip:{from}@{here}>;tag=c1"),
            to: format!("<sip:{to}@{daemon}:5060>"),
            call_id: format!("{number}@{here}"),
            here,
            answer: String::new(),
        };
        let (host, port) = caller.here.split_once(':').unwrap();
        let media: u16 = port.parse::<u16>().unwrap() & !1;
        let sdp = format!(
            "v=0\r\no=c 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {media} RTP/AVP 0 8\r\n"
        );
        let uri = format!("sip:{to}@{}", caller.server);
        caller.send("INVITE", &uri, 1, "z9hG4bKinvite", "", &sdp);
        let mut codes = Vec::new();
        loop {
            let text = caller.receive();
            let Some(code) = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest[..3].parse().ok()) else {
                continue;
            };
            codes.push(code);
            if code >= 200 {
                caller.answer = text;
                break;
            }
        }
        let (uri, branch) = if codes.last() == Some(&200) {
            (caller.contact(), "z9hG4bKack")
        } else {
            (uri, "z9hG4bKinvite")
        };
        caller.to = caller.header("To");
        caller.send("ACK", &uri, 1, branch, "", "");
        (caller, codes)
    }

    fn send(&self, method: &str, uri: &str, cseq: u32, branch: &str, more: &str, body: &str) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch={branch}{cseq}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:c@{here}>\r\nMax-Forwards: 70\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.from,
            self.to,
            self.call_id,
            body.len(),
            here = self.here,
        );
        self.socket.send_to(text.as_bytes(), &self.server).unwrap();
    }

    fn receive(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("the daemon answers");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn header(&self, name: &str) -> String {
        let line = self.answer.lines().find(|line| line.starts_with(&format!("{name}: ")));
        line.expect("it is there")[name.len() + 2..].to_owned()
    }

    fn contact(&self) -> String {
        let contact = self.header("Contact");
        contact[contact.find('<').unwrap() + 1..contact.find('>').unwrap()].to_owned()
    }

    /// Hangs up, and waits for the word that this was heard.
    fn hang_up(self) {
        self.send("BYE", &self.contact(), 2, "z9hG4bKbye", "", "");
        while !self.receive().contains("2 BYE") {}
    }

    /// Waits for the daemon to hang up, and says that this was heard.
    fn hung_up(self) {
        loop {
            let text = self.receive();
            if text.starts_with("BYE ") {
                let kept = |line: &&str| {
                    ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "]
                        .iter()
                        .any(|name| line.starts_with(name))
                };
                let lines: Vec<&str> = text.lines().filter(kept).collect();
                let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"));
                self.socket.send_to(answer.as_bytes(), &self.server).unwrap();
                return;
            }
        }
    }
}

struct Scene {
    place: Place,
    api: Api,
    agents: Vec<String>,
    campaign: String,
    customer: String,
    people: std::sync::Arc<People>,
    running: [Running; 2],
}

impl Scene {
    async fn new() -> (Self, crate::harness::Daemon) {
        let place = Place::new();
        place.configure("");
        let population = Population {
            speed: 20.0,
            human: 1.0,
            machine: 0.0,
            busy: 0.0,
            invalid: 0.0,
            talk_mean_s: 60_000.0,
            ..Population::default()
        };
        let carrier_at: SocketAddr = format!("{}:5080", place.carrier).parse().unwrap();
        let carrier = start(carrier_at, Role::Carrier(population), 3).unwrap();
        let daemon = place.start().await;
        let campaign = json!({ "mode": "progressive", "caller_id": OURS, "record": false,
            "timers": { "wrap_up_ms": 0 } });
        let setting = Setting::make(&place, 3, 0, campaign).await;
        let api = place.api();
        let lead = json!({ "phone": "+12022000000", "fields": { "owner": "agent1" } });
        api.post(&format!("/v1/lists/{}/leads", setting.list), lead).await;
        let logins: Vec<AgentLogin> =
            setting.agents.iter().map(|agent| serde_json::from_value(agent.clone()).unwrap()).collect();
        let names = logins.iter().map(|agent| (agent.username.clone(), agent.password.clone())).collect();
        let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
        let phones_at = SocketAddr::new(place.phones.parse().unwrap(), 0);
        let phones = start(phones_at, Role::Agents { server, logins: names }, 4).unwrap();
        let habits = Habits { speed: 1.0, talk_mean_s: 3600.0, wrap_up_mean_s: 1.0, nailed_up: true };
        let people = People::new(&api.base, &api.token, logins, habits).unwrap();
        people.log_in().await.unwrap();
        let agents = setting.agents.iter().map(|agent| agent["id"].as_str().unwrap().to_owned()).collect();
        let scene = Scene {
            api,
            agents,
            campaign: setting.campaign,
            customer: "+12022000000".into(),
            people,
            running: [carrier, phones],
            place,
        };
        for agent in 0..3 {
            scene.is(agent, "ready").await;
        }
        (scene, daemon)
    }

    async fn agent(&self, agent: usize) -> Value {
        self.api.get(&format!("/v1/agents/{}", self.agents[agent])).await
    }

    async fn is(&self, agent: usize, state: &str) {
        until(&format!("agent{agent} is {state}"), async || self.agent(agent).await["state"] == state).await;
    }

    async fn pause(&self, agent: usize) {
        let path = format!("/v1/agents/{}:pause", self.agents[agent]);
        self.api.post(&path, json!({ "code": "tea" })).await;
        self.is(agent, "paused").await;
    }

    async fn ready(&self, agent: usize) {
        self.api.post(&format!("/v1/agents/{}:ready", self.agents[agent]), json!({})).await;
        self.is(agent, "ready").await;
    }

    /// Calls back and tells which agent is there, and by which steps the call came.
    async fn call_back(&self, number: u32) -> (usize, Vec<String>) {
        let place = (self.place.carrier.clone(), self.place.daemon.clone());
        let customer = self.customer.clone();
        let caller = tokio::task::spawn_blocking(move || {
            Caller::call_at(&place.0, &place.1, &format!("back{number}"), &customer, OURS)
        });
        let (caller, codes) = caller.await.unwrap();
        assert_eq!(codes.last(), Some(&200), "{codes:?}");
        assert!(codes.contains(&180), "it rings before: {codes:?}");
        let mut call = Value::Null;
        until("the call is bridged", async || {
            let calls = self.api.get("/v1/calls?state=bridged").await;
            call = calls["data"][0].clone();
            !call.is_null()
        })
        .await;
        assert_eq!((&call["kind"], &call["to"]), (&json!("inbound"), &json!(OURS)), "{call}");
        assert_eq!(call["caller_id"], json!(self.customer));
        let agent =
            self.agents.iter().position(|id| call["agent_id"] == json!(id)).expect("an agent of ours");
        tokio::task::spawn_blocking(move || caller.hang_up()).await.unwrap();
        let id = call["id"].as_str().unwrap().to_owned();
        self.ended(&id).await;
        let record = self.record(&id).await;
        assert_eq!(
            (&record["kind"], &record["outcome"]),
            (&json!("inbound"), &json!("connected")),
            "{record}"
        );
        assert_eq!(record["lead_id"], call["lead_id"], "it is linked to the lead");
        assert!(record["lead_id"].is_string(), "{record}");
        (agent, self.steps(&id).await)
    }

    async fn ended(&self, id: &str) {
        until("the call is over", async || {
            let calls = self.api.get("/v1/calls").await;
            calls["data"].as_array().unwrap().iter().all(|call| call["id"] != json!(id))
        })
        .await;
    }

    async fn record(&self, id: &str) -> Value {
        let mut found = Value::Null;
        until("the record is there", async || {
            let records = self.api.all("/v1/cdrs?limit=100").await;
            let of_call: Vec<_> =
                records.into_iter().filter(|record| record["call_id"] == json!(id)).collect();
            assert!(of_call.len() <= 1, "one record per call");
            found = of_call.into_iter().next().unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
    }

    /// The places that a call was taken to, up to its end.
    async fn steps(&self, id: &str) -> Vec<String> {
        let wanted = format!("call.routed,call.ended&call={id}");
        let events = self.api.events_up_to(&wanted, "call.ended").await;
        let routed = events.iter().filter(|event| event["type"] == "call.routed");
        routed.map(|event| event["data"]["to"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_customer_who_calls_back_reaches_whom_the_route_says() {
    block_on(async {
        let (scene, daemon) = Scene::new().await;
        let steps = json!([
            { "to": "last_agent" }, { "to": "owner" },
            { "to": "group", "wait_ms": 1_500 }, { "to": "message", "play": "safe_harbour" }
        ]);
        let route = json!({ "name": "callbacks", "numbers": [OURS], "steps": steps });
        let route = scene.api.post("/v1/inbound-routes", route).await;
        assert_eq!(route["version"], json!(1), "{route}");

        // The campaign calls the customer: agent2 is the one who is free.
        scene.pause(0).await;
        scene.pause(1).await;
        scene.api.post(&format!("/v1/campaigns/{}:start", scene.campaign), json!({})).await;
        let mut first = Value::Null;
        until("the customer is called", async || {
            let calls = scene.api.get("/v1/calls?state=bridged").await;
            first = calls["data"][0].clone();
            !first.is_null()
        })
        .await;
        assert_eq!(first["agent_id"], json!(scene.agents[2]));
        scene.api.post(&format!("/v1/calls/{}/hangup", first["id"].as_str().unwrap()), json!({})).await;
        scene.ended(first["id"].as_str().unwrap()).await;
        scene.record(first["id"].as_str().unwrap()).await;
        scene.is(2, "ready").await;
        scene.ready(0).await;
        scene.ready(1).await;

        assert_eq!(scene.call_back(1).await, (2, vec!["last_agent".to_owned()]), "who last spoke with them");
        scene.is(2, "ready").await;
        scene.pause(2).await;
        assert_eq!(scene.call_back(2).await, (1, vec!["owner".to_owned()]), "the lead's owner");
        scene.is(1, "ready").await;
        scene.pause(1).await;
        assert_eq!(scene.call_back(3).await, (0, vec!["group".to_owned()]), "the campaign's group");
        scene.is(0, "ready").await;

        // What is remembered is in the store.
        daemon.kill();
        let daemon = scene.place.start().await;
        scene.is(0, "ready").await;
        scene.ready(1).await;
        scene.ready(2).await;
        assert_eq!(scene.call_back(4).await, (0, vec!["last_agent".to_owned()]), "remembered over a crash");

        // Nobody: the queue as long as the route says, then the message, then the end.
        for agent in 0..3 {
            scene.is(agent, "ready").await;
            scene.pause(agent).await;
        }
        let place = (scene.place.carrier.clone(), scene.place.daemon.clone());
        let customer = scene.customer.clone();
        let heard = tokio::task::spawn_blocking(move || {
            let (caller, codes) = Caller::call_at(&place.0, &place.1, "back5", &customer, OURS);
            caller.hung_up();
            codes
        });
        assert_eq!(heard.await.unwrap().last(), Some(&200));
        let records = scene.api.all("/v1/cdrs?limit=100").await;
        until("the last record", async || scene.api.all("/v1/cdrs?limit=100").await.len() == 6).await;
        let last = scene.api.get("/v1/cdrs?limit=1").await["data"][0].clone();
        assert_eq!(
            (&last["outcome"], &last["kind"]),
            (&json!("no_answer"), &json!("inbound")),
            "{records:?}"
        );
        let steps = scene.steps(last["call_id"].as_str().unwrap()).await;
        assert_eq!(steps, ["group", "message"]);

        let (_, metrics) = scene.api.admin("/metrics").await.unwrap();
        assert!(metrics.contains("audit_findings 0"), "{metrics}");
        assert!(
            metrics.contains("inbound_calls_total{route=\"callbacks\"} 2"),
            "since the restart: {metrics}"
        );
        let mut daemon = daemon;
        daemon.terminate();
        assert!(daemon.ended().await.success());
        for running in scene.running {
            let _ = running.orders.send(Order::Stop).await;
            running.thread.join().unwrap().unwrap();
        }
        drop(scene.people);
    });
}
