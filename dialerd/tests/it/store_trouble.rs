//! A full disk and a locked database under a running campaign: dialling stops and says so, live calls go on, nothing
//! is lost.

use crate::api::Api;
use crate::harness::{Place, Setting, block_on, until};
use loadtests::swarm::callee::Population;
use loadtests::swarm::people::{AgentLogin, Habits, People};
use loadtests::swarm::phones::{Order, Role, Running};
use loadtests::swarm::start;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use store::server::Server;

const LEADS: usize = 200;

/// A small file system of its own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where it may not be made.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Disk(at.to_owned()))
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Another program that holds the database's write lock until it is told to let go.
struct Holder(Child);

impl Holder {
    fn take(database: &Path) -> Self {
        let script = "import sqlite3, sys\n\
                      connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n\
                      connection.execute('BEGIN IMMEDIATE')\n\
                      print('held', flush=True)\n\
                      sys.stdin.read()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        assert_eq!(&word, b"held");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn ready(api: &Api) -> (u16, String) {
    api.admin("/readyz").await.unwrap_or_default()
}

fn dialled(carrier: &Running) -> u32 {
    carrier.counts().dialled.values().sum()
}

/// A database server that is gone until this is dropped.
struct Gone<'s>(&'s Server);

impl<'s> Gone<'s> {
    fn take(server: &'s Server) -> Self {
        server.stop().unwrap();
        Gone(server)
    }
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.resume().unwrap();
    }
}

/// What the API can be asked while the trouble lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Everything,
    /// Nothing that is read from the store.
    Nothing,
}

/// A campaign runs, `trouble` comes and ends when its return value is dropped.
async fn runs_through<T>(place: &Place, trouble: impl FnOnce() -> T, failure: &str, meanwhile: Meanwhile) {
    let population = Population { speed: 20.0, human: 0.6, machine: 0.0, ..Population::default() };
    let carrier_at: SocketAddr = format!("{}:5080", place.carrier).parse().unwrap();
    let carrier = start(carrier_at, Role::Carrier(population), 7).unwrap();
    let daemon = place.start().await;
    let campaign = json!({ "mode": "progressive", "timers": { "wrap_up_ms": 200 } });
    let setting = Setting::make(place, 4, LEADS, campaign).await;
    let agents: Vec<AgentLogin> =
        setting.agents.iter().map(|agent| serde_json::from_value(agent.clone()).unwrap()).collect();
    let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
    let logins = agents.iter().map(|agent| (agent.username.clone(), agent.password.clone())).collect();
    let phones_at = SocketAddr::new(place.phones.parse().unwrap(), 0);
    let phones = start(phones_at, Role::Agents { server, logins }, 8).unwrap();
    let habits = Habits { speed: 20.0, talk_mean_s: 60.0, wrap_up_mean_s: 5.0, nailed_up: true };
    let api = place.api();
    let people = People::new(&api.base, &api.token, agents, habits).unwrap();
    people.log_in().await.unwrap();
    let work = tokio::spawn(Arc::clone(&people).work(9));
    api.post(&format!("/v1/campaigns/{}:start", setting.campaign), json!({})).await;
    let path = format!("/v1/campaigns/{}/stats", setting.campaign);
    let attempts = async || api.get(&path).await["attempts"].as_u64().unwrap();
    until("it dials", async || attempts().await >= 10).await;

    let held = trouble();
    until("it says that nothing can be written", async || {
        let (status, text) = ready(&api).await;
        status == 503 && text.contains("store_not_writable")
    })
    .await;
    until("metrics say so", async || {
        let (_, metrics) = api.admin("/metrics").await.unwrap_or_default();
        metrics.lines().any(|line| line == "journal_healthy 0")
    })
    .await;
    assert!(daemon.log_text().contains(failure), "{}", daemon.log_text());
    let reads = meanwhile == Meanwhile::Everything;
    // The calls that were in the air end as calls do; those whose attempt is not written down wait, and no other is made.
    until("the calls in the air are over", async || {
        if !reads {
            // What was released before it was noticed has left by then.
            let before = dialled(&carrier);
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            return dialled(&carrier) == before;
        }
        let calls = api.get("/v1/calls?limit=100").await;
        calls["data"].as_array().unwrap().iter().all(|call| call["state"] == "queued")
    })
    .await;
    let made = async || if reads { attempts().await } else { 0 };
    let before = (made().await, dialled(&carrier));
    for _ in 0..10 {
        let (status, _) = ready(&api).await;
        assert_eq!(status, 503);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((made().await, dialled(&carrier)), before, "it dials on without a journal");

    drop(held);
    until("it is ready again", async || ready(&api).await.0 == 200).await;
    let kind = if reads { "sqlite" } else { "postgresql" };
    assert!(ready(&api).await.1.contains(&format!("\"store\":\"{kind}\"")), "it tells which store it is");
    until("it dials again", async || dialled(&carrier) >= before.1 + 10).await;
    api.post(&format!("/v1/campaigns/{}:stop", setting.campaign), json!({})).await;
    until("the last call is over", async || {
        api.get("/v1/calls?limit=1").await["data"].as_array().unwrap().is_empty()
    })
    .await;
    work.abort();
    until("a record of every attempt", async || {
        api.all("/v1/cdrs?limit=500").await.len() as u64 == attempts().await
    })
    .await;
    let mut by_number: BTreeMap<String, u32> = BTreeMap::new();
    for record in api.all("/v1/cdrs?limit=500").await {
        *by_number.entry(record["to"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(carrier.counts().dialled, by_number, "each INVITE has its record");
    let events = api.events_up_to("node.store_*", "node.store_recovered").await;
    assert_eq!(events[0]["type"], "node.store_failed", "{events:?}");
    assert_eq!(events.len(), 2, "{events:?}");
    drop(daemon);
    for running in [carrier, phones] {
        let _ = running.orders.send(Order::Stop).await;
        running.thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_full_disk_stops_dialling_and_loses_nothing() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let data = place.folder.path().join("data");
        let Some(disk) = Disk::mount(&data) else {
            println!("left out: a small file system may not be mounted here");
            return;
        };
        struct Filler(PathBuf);
        impl Drop for Filler {
            fn drop(&mut self) {
                std::fs::remove_file(&self.0).unwrap();
            }
        }
        runs_through(&place, || Filler(disk.fill()), "full", Meanwhile::Everything).await;
    });
}

#[test]
fn a_locked_database_stops_dialling_and_loses_nothing() {
    block_on(async {
        let place = Place::new();
        place.configure("");
        let database = place.folder.path().join("data/dialerd.db");
        runs_through(&place, || Holder::take(&database), "locked", Meanwhile::Everything).await;
    });
}

#[test]
fn a_database_server_that_is_gone_stops_dialling_and_loses_nothing() {
    let server = Server::start(&["fsync = off"]).unwrap_or_else(|why| panic!("{why}"));
    block_on(async {
        let place = Place::new();
        place.configure(&format!("[store]\nurl = \"{}\"\n", server.url()));
        runs_through(&place, || Gone::take(&server), "the journal cannot be written", Meanwhile::Nothing)
            .await;
    });
}
