//! A daemon of a test's own, on loopback addresses of its own.

use crate::api::Api;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const TOKEN: &str = "dlr_test_0123456789abcdefghij";

/// Where a test's daemon, carrier and phones live.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub daemon: String,
    pub carrier: String,
    pub phones: String,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = |last: u32| {
            format!("127.{}.{}.{}", 128 + (process >> 8 & 63), process & 255, 10 * (number % 25) + last)
        };
        Place {
            folder: tempfile::tempdir().unwrap(),
            daemon: address(1),
            carrier: address(2),
            phones: address(3),
        }
    }

    /// Another address of the place, 4..=10.
    pub fn another(&self, last: u32) -> String {
        let (network, first) = self.daemon.rsplit_once('.').unwrap();
        format!("{network}.{}", first.parse::<u32>().unwrap() - 1 + last)
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("dialerd.toml")
    }

    /// Writes the configuration, with more at its end.
    pub fn configure(&self, more: &str) {
        // Tests share their processors with other tests and with builds: no call is refused for that.
        let text = format!(
            "[overload]\nlag_ms = 0\n[sip]\nlisten = [\"{0}:5060\"]\n[media]\naddress = \"{0}\"\n[api]\nlisten = \"{0}:8080\"\n\
             token = \"{TOKEN}\"\n[admin]\nlisten = \"{0}:9095\"\n{more}",
            self.daemon
        );
        std::fs::write(self.config_file(), text).unwrap();
    }

    pub fn api(&self) -> Api {
        Api::new(&self.daemon, TOKEN)
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        self.start_with(&[]).await
    }

    /// … with these variables in its environment.
    pub async fn start_with(&self, variables: &[(&str, &Path)]) -> Daemon {
        let daemon = Daemon::spawn(&self.config_file(), &self.folder.path().join("dialerd.log"), variables);
        let api = self.api();
        until("the daemon is up", async || matches!(api.admin("/healthz").await, Some((200, _)))).await;
        daemon
    }
}

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn spawn(config: &Path, log: &Path, variables: &[(&str, &Path)]) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dialerd"))
            .args(["run", "--config"])
            .arg(config)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Daemon { child, log: log.to_owned() }
    }

    /// kill -9, and gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal, named as `kill` wants it.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// The exit status, within a minute.
    pub async fn ended(&mut self) -> ExitStatus {
        for _ in 0..1200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the daemon did not end\n{}", self.log_text());
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.log_text());
        }
    }
}

/// Asks until it is so; fails after two minutes.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..2400 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited too long: {what}");
}

/// Waits until somebody has this port: what is called before it is there refuses at once (proc(5), `net/udp`).
///
/// * `transport` `udp` or `tcp`
pub async fn until_bound(transport: &str, host: &str, port: u16) {
    let host: std::net::Ipv4Addr = host.parse().expect("an IPv4 address");
    let local = format!(" {:08X}:{port:04X} ", u32::from_ne_bytes(host.octets()));
    let table = format!("/proc/net/{transport}");
    let there = async || std::fs::read_to_string(&table).is_ok_and(|sockets| sockets.contains(&local));
    until(&format!("{host}:{port} is bound"), there).await;
}

/// A runtime for a test that talks to processes.
pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// Trunk, agents, list with leads, campaign: what most tests need.
pub struct Setting {
    pub agents: Vec<Value>,
    pub list: String,
    pub campaign: String,
}

impl Setting {
    pub async fn make(place: &Place, agents: usize, leads: usize, campaign: Value) -> Self {
        let api = place.api();
        let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
        let trunk = api
            .post(
                "/v1/trunks",
                json!({ "name": "carrier", "address": format!("{}:5080", place.carrier), "cps_max": 50.0 }),
            )
            .await;
        let mut logins = Vec::new();
        for number in 0..agents {
            let (username, password) = (format!("agent{number}"), format!("secret-{number}"));
            let made = api
                .post("/v1/agents", json!({ "name": username, "username": username, "password": password }))
                .await;
            logins.push(json!({ "id": id(&made), "username": username, "password": password }));
        }
        let list = id(&api.post("/v1/lists", json!({ "name": "leads", "default_region": "US" })).await);
        let mut csv = String::from("external_id,phone\n");
        for lead in 0..leads {
            csv.push_str(&format!("l{lead},+1202{}\n", 2_000_000 + lead));
        }
        let summary = api.import_csv(&list, csv).await;
        assert_eq!(summary["summary"]["accepted"], json!(leads), "{summary}");
        let mut settings = json!({ "name": "test", "lists": [list], "trunks": [id(&trunk)] });
        for (key, value) in campaign.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let campaign = id(&api.post("/v1/campaigns", settings).await);
        Setting { agents: logins, list, campaign }
    }
}
