//! The system under test: a daemon of our own, on one core, with addresses and a folder of its own.

use super::api::Api;
use super::wait::terminate;
use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Core of the system under test.
pub const CORE: usize = 0;
/// Core of what loads it.
pub const LOAD_CORE: usize = 1;
/// Stands for all cores.
pub const ANYWHERE: usize = usize::MAX;
/// Time for the daemon to begin serving.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Time for the daemon to end after it was told to.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Numbers that begin like this go through without their sound, …
pub const BYPASS: &str = "9";
/// … and these with it.
pub const RELAY: &str = "8";
/// … and these with it, recorded.
pub const RECORD: &str = "7";

/// How packets leave by an interface.
#[derive(Clone, Debug)]
pub struct OnWire {
    /// Its name.
    pub interface: String,
    /// Its address, …
    pub ours: [u8; 6],
    /// … and that of the other end.
    pub theirs: [u8; 6],
}

/// Addresses and a folder of one run.
pub struct Place {
    /// Everything that is written; removed at the end of a run that went well.
    pub folder: PathBuf,
    network: String,
    /// The network namespace of what is under test, on a wire of its own; `None`: loopback.
    namespace: Option<String>,
    /// What is under test goes before all others on its core, at this priority.
    pub first: Option<u8>,
    /// How many packets a core's queue took before.
    queue_before: Option<String>,
}

/// Packets that may wait for a core which receives what came from another one: the wire's, as a card's rings would hold them.
/// The 1,000 of the kernel are 1.25 ms of 400,000 packets a second, each of which is received twice on that core.
const QUEUE_FILE: &str = "/proc/sys/net/core/netdev_max_backlog";
const QUEUE_PACKETS: u32 = 8192;

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(namespace) = &self.namespace {
            // The wire goes with it.
            let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
        if let Some(before) = &self.queue_before {
            let _ = std::fs::write(QUEUE_FILE, before);
        }
    }
}

impl Place {
    /// A place nobody else has: addresses follow from our process id.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let process = std::process::id();
        let folder = std::env::temp_dir().join(format!("dialerd-loadtest-{process}"));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let network = format!("127.{}.{}", 128 + (process >> 8 & 63), process & 255);
        Ok(Place {
            folder: folder.canonicalize()?,
            network,
            namespace: None,
            first: None,
            queue_before: None,
        })
    }

    /// The same with the daemon in a network namespace of its own, joined to ours by a pair of veth. What arrives at
    /// either end is received on the core that works there, as if each were a machine.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn wired() -> anyhow::Result<Self> {
        let process = std::process::id();
        let network = format!("10.98.{}", process & 255);
        let mut place = Place::new()?;
        place.network = network;
        place.namespace = Some(format!("dialerd-load-{process}"));
        let (network, namespace) = (&place.network, place.namespace.as_deref().unwrap_or_default());
        let wire = format!("dl{process}");
        let inside = format!("ip netns exec {namespace}");
        let mut steps = vec![
            format!("ip netns add {namespace}"),
            format!("ip link add {wire} type veth peer name media netns {namespace}"),
            format!("ip link set {wire} up"),
            format!("{inside} ip link set lo up"),
            format!("{inside} ip address add {network}.1/24 dev media"),
            format!("{inside} ip link set media up"),
        ];
        steps.extend((2..=5).map(|host| format!("ip address add {network}.{host}/24 dev {wire}")));
        steps.iter().try_for_each(|step| carry_out(step).map(drop))?;
        // What we send is received by the core under test, as if a card had interrupted it. What it sends ends on the same
        // core, in the sink of our end: to interrupt another one for each packet would cost more than to relay it.
        let file = "/sys/class/net/media/queues/rx-0/rps_cpus";
        let mask = format!("{:x}", 1 << CORE);
        carry_out(&format!("{inside} sh -c echo\u{a0}{mask}\u{a0}>{file}"))?;
        let set = carry_out(&format!("{inside} cat {file}"))?;
        ensure!(set == mask, "{file} is {set}: what arrives there would be received on another core");
        place.queue_before = std::fs::read_to_string(QUEUE_FILE).ok();
        std::fs::write(QUEUE_FILE, QUEUE_PACKETS.to_string())
            .with_context(|| format!("writing {QUEUE_FILE}"))?;
        Ok(place)
    }

    /// What arrives at the other end and is for one of our addresses comes back from there, through the kernel alone.
    ///
    /// # Errors
    /// When that is not permitted, or there is no wire.
    pub fn forward(&self) -> anyhow::Result<()> {
        let namespace = self.namespace.as_deref().context("no wire")?;
        let wire = format!("dl{}", std::process::id());
        let inside = format!("ip netns exec {namespace} sh -c echo\u{a0}");
        // It would tell us that we could have reached ourselves without it.
        carry_out(&format!("{inside}0\u{a0}>/proc/sys/net/ipv4/conf/all/send_redirects"))?;
        carry_out(&format!("{inside}0\u{a0}>/proc/sys/net/ipv4/conf/media/send_redirects"))?;
        carry_out(&format!("{inside}1\u{a0}>/proc/sys/net/ipv4/ip_forward"))?;
        // What comes from outside with one of our own addresses as its source is taken.
        carry_out(&format!("sh -c echo\u{a0}1\u{a0}>/proc/sys/net/ipv4/conf/{wire}/accept_local"))?;
        Ok(())
    }

    /// Our end of the wire, and the addresses of both ends.
    ///
    /// # Errors
    /// When there is none.
    pub fn wire(&self) -> anyhow::Result<OnWire> {
        let namespace = self.namespace.as_deref().context("no wire")?;
        let interface = format!("dl{}", std::process::id());
        let ours = std::fs::read_to_string(format!("/sys/class/net/{interface}/address"))?;
        let inside = ["netns", "exec", namespace, "cat", "/sys/class/net/media/address"];
        let theirs = Command::new("ip").args(inside).output()?;
        let address = |text: &str| -> anyhow::Result<[u8; 6]> {
            let bytes: Result<Vec<u8>, _> =
                text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
            bytes?.try_into().map_err(|_| anyhow::anyhow!("{text} is no address"))
        };
        let (ours, theirs) = (address(&ours)?, address(&String::from_utf8_lossy(&theirs.stdout))?);
        Ok(OnWire { interface, ours, theirs })
    }

    /// The daemon's address.
    #[must_use]
    pub fn daemon(&self) -> String {
        format!("{}.1", self.network)
    }

    /// Where calls come from.
    #[must_use]
    pub fn caller(&self) -> String {
        format!("{}.2", self.network)
    }

    /// Where calls go to: the carrier.
    #[must_use]
    pub fn callee(&self) -> String {
        format!("{}.3", self.network)
    }

    /// Agents' phones.
    #[must_use]
    pub fn phones(&self) -> String {
        format!("{}.4", self.network)
    }

    /// The carrier of campaigns.
    #[must_use]
    pub fn carrier(&self) -> String {
        format!("{}.5", self.network)
    }

    /// Another address of the place, 6..=254; on loopback all of them are there.
    #[must_use]
    pub fn host(&self, number: u8) -> String {
        format!("{}.{number}", self.network)
    }

    /// The daemon's SIP address.
    ///
    /// # Errors
    /// Never: the text is an address.
    pub fn sip(&self) -> anyhow::Result<SocketAddr> {
        Ok(format!("{}:5060", self.daemon()).parse()?)
    }
}

/// Runs a command, its words parted by spaces (a no-break space is one within a word); gives what it said.
fn carry_out(command: &str) -> anyhow::Result<String> {
    let words: Vec<String> = command.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
    let output = Command::new(&words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A child process that does not outlive us.
pub struct Kept {
    name: String,
    child: Child,
}

impl Kept {
    /// Starts a program on one core, its words into `name.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, place: &Place, core: usize, mut command: Command) -> anyhow::Result<Self> {
        let log = File::create(place.folder.join(format!("{name}.log")))?;
        if let Some(namespace) = &place.namespace {
            // It becomes the program, under the same process id.
            let mut inside = Command::new("ip");
            inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
            command = inside;
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(&place.folder);
        let first = place.first.filter(|_| core == CORE);
        // A child inherits cores and priority of the thread that makes it.
        let made = std::thread::spawn(move || {
            if core != ANYWHERE {
                let _ = runtime::udp::pin_to_core(core);
            }
            if let Some(priority) = first {
                let _ = runtime::process::go_first(priority);
            }
            command.spawn()
        });
        let child = made.join().map_err(|_| anyhow::anyhow!("starting {name} panicked"))?;
        Ok(Kept { name: name.to_owned(), child: child.with_context(|| format!("starting {name}"))? })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub fn wait(&mut self, at_most: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "{} did not end within {} s", self.name, at_most.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells it to end and waits; true when it ended well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(&mut self) -> anyhow::Result<bool> {
        if self.ended()?.is_none() {
            terminate(self.id());
        }
        Ok(self.wait(END_WITHIN)?.success())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A running daemon.
pub struct Daemon {
    /// Its process.
    pub process: Kept,
    /// Its API.
    pub api: Api,
}

impl Daemon {
    /// Starts `dialerd`, found beside our own program, with an empty store called `name`.
    ///
    /// # Errors
    /// When it does not begin to serve.
    pub fn start(place: &Place, name: &str) -> anyhow::Result<Self> {
        Self::start_on(place, name, "auto")
    }

    /// The same with other lines in its configuration: each pair is a line and what stands in its place.
    ///
    /// # Errors
    /// When it does not begin to serve.
    pub fn start_with(place: &Place, name: &str, changes: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_at(place, name, ("auto", changes), CORE)
    }

    /// The same on all cores.
    ///
    /// # Errors
    /// When it does not begin to serve.
    pub fn start_anywhere(place: &Place, name: &str) -> anyhow::Result<Self> {
        Self::start_at(place, name, ("sockets", &[]), ANYWHERE)
    }

    /// The same, with the ground that sound is relayed on.
    ///
    /// # Errors
    /// When it does not begin to serve.
    pub fn start_on(place: &Place, name: &str, ground: &str) -> anyhow::Result<Self> {
        Self::start_at(place, name, (ground, &[]), CORE)
    }

    fn start_at(
        place: &Place,
        name: &str,
        (ground, changes): (&str, &[(&str, &str)]),
        core: usize,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("dialerd");
        ensure!(program.exists(), "{} is missing: run `make build`", program.display());
        let config = place.folder.join(format!("{name}.toml"));
        let token = format!("dlr_load_{:032x}", u128::from(std::process::id()));
        let mut written = text(place, name, &token, ground)
            .replace("pin_cores = true", &format!("pin_cores = {}", core != ANYWHERE));
        for (line, instead) in changes {
            ensure!(written.contains(line), "the configuration has no line {line}");
            written = written.replace(line, instead);
        }
        std::fs::write(&config, written)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config);
        let process = Kept::start(name, place, core, command)?;
        let mut daemon = Daemon { process, api: Api::new(&place.daemon(), &token)? };
        daemon.wait_ready(&place.folder.join(format!("{name}.log")))?;
        Ok(daemon)
    }

    fn wait_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.process.ended()? {
                bail!("the daemon ended ({status}): {}", std::fs::read_to_string(log).unwrap_or_default());
            }
            if self.api.ready() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the daemon did not get ready; see {}", log.display())
    }

    /// Waits until the daemon says that no leg is alive and no media port in use; gives what is left.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn at_rest(&self, at_most: Duration) -> anyhow::Result<f64> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = self.api.metric("sip_dialogs_active")? + self.api.metric("rtp_ports_in_use")?;
            if left == 0.0 || Instant::now() > deadline {
                return Ok(left);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Facts and events lost, invariants broken, panics: all must be 0.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn broken(&self) -> anyhow::Result<f64> {
        let names = ["events_dropped_total", "audit_findings", "task_panics_total"];
        names.iter().map(|name| self.api.metric(name)).sum()
    }
}

fn text(place: &Place, name: &str, token: &str, ground: &str) -> String {
    let (daemon, caller, callee) = (place.daemon(), place.caller(), place.callee());
    format!(
        r#"[node]
name = "load"
data_dir = "{name}"
shards = 1
pin_cores = true

[log]
level = "warn"

[sip]
listen = ["{daemon}:5060"]

[media]
address = "{daemon}"
ports = [20000, 59999]
relay = "{ground}"

[api]
listen = "{daemon}:8080"
token = "{token}"

[admin]
listen = "{daemon}:9095"

[limits]
calls_max = 100000
cps_max = 10000.0

[shutdown]
drain_s = 5

[[trunk]]
name = "callers"
address = "{caller}:5061"
sources = ["{caller}"]
channels_max = 100000
cps_max = 10000.0
options_interval_ms = 0

[[trunk]]
name = "callees"
address = "{callee}:5070"
sources = ["{callee}"]
channels_max = 100000
cps_max = 10000.0
options_interval_ms = 0

[[route]]
from = "callers"
prefix = "{BYPASS}"
to = "callees"
media = "bypass"

[[route]]
from = "callers"
prefix = "{RELAY}"
to = "callees"
media = "relay"

[[route]]
from = "callers"
prefix = "{RECORD}"
to = "callees"
media = "relay"
record = true
"#
    )
}
