//! The processes of the demo: started here, and ended here whatever happens.

use super::{Place, TALK_MEAN_S, WRAP_UP_MEAN_S};
use crate::args::DemoArguments;
use anyhow::{Context, bail};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Time for a process to end after it was told to.
const END_WITHIN: Duration = Duration::from_secs(45);

/// All that run.
#[derive(Default)]
pub struct Processes {
    daemon: Option<Child>,
    carrier: Option<Child>,
    agents: Option<Child>,
}

impl Processes {
    /// Starts the daemon.
    pub fn daemon(&mut self, place: &Place, config: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(config);
        self.daemon = Some(start(command, place, "dialerd")?);
        Ok(())
    }

    /// Starts the carrier.
    pub fn carrier(&mut self, place: &Place, arguments: &DemoArguments) -> anyhow::Result<()> {
        let mut command = Command::new(swarm()?);
        command
            .args(["carrier", "--listen", &format!("{}:5080", place.carrier)])
            .args(["--seed", &arguments.seed.to_string(), "--speed", &arguments.speed.to_string()])
            .args(["--talk-mean-s", &TALK_MEAN_S.to_string()]);
        self.carrier = Some(start(command, place, "carrier")?);
        Ok(())
    }

    /// Starts the agents' phones, and the people at them.
    pub fn agents(
        &mut self,
        place: &Place,
        arguments: &DemoArguments,
        agents: &[Value],
    ) -> anyhow::Result<()> {
        let file = place.folder.join("agents.json");
        std::fs::write(&file, serde_json::to_vec(agents)?)?;
        let mut command = Command::new(swarm()?);
        command
            .args(["agents", "--listen", &place.phones, "--server", &format!("{}:5060", place.daemon)])
            .args(["--api", &format!("http://{}:8080", place.daemon), "--token", &place.token])
            .args(["--seed", &arguments.seed.to_string(), "--speed", &arguments.speed.to_string()])
            .args(["--wrap-up-mean-s", &WRAP_UP_MEAN_S.to_string(), "--agents"])
            .arg(&file);
        self.agents = Some(start(command, place, "agents")?);
        Ok(())
    }

    /// Fails when one has ended that should be running.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        for (name, child) in
            [("dialerd", &mut self.daemon), ("carrier", &mut self.carrier), ("agents", &mut self.agents)]
        {
            if let Some(child) = child
                && let Some(status) = child.try_wait()?
            {
                bail!("{name} ended ({status}); see {name}.log in the folder");
            }
        }
        Ok(())
    }

    /// The agents log out and go home.
    pub async fn stop_agents(&mut self) -> anyhow::Result<bool> {
        end("agents", self.agents.take()).await
    }

    /// The carrier ends.
    pub async fn stop_carrier(&mut self) -> anyhow::Result<bool> {
        end("carrier", self.carrier.take()).await
    }

    /// The daemon drains and ends.
    pub async fn stop_daemon(&mut self) -> anyhow::Result<bool> {
        end("dialerd", self.daemon.take()).await
    }
}

fn swarm() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("swarm");
    if !beside.exists() {
        bail!("{} is missing: build it with `make build` (it plays carrier and agents)", beside.display());
    }
    Ok(beside)
}

fn start(mut command: Command, place: &Place, name: &str) -> anyhow::Result<Child> {
    let log = File::create(place.folder.join(format!("{name}.log")))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {name}"))
}

async fn end(name: &str, child: Option<Child>) -> anyhow::Result<bool> {
    let Some(mut child) = child else { return Ok(true) };
    if let Some(process) = child.id() {
        terminate(process);
    }
    match tokio::time::timeout(END_WITHIN, child.wait()).await {
        Ok(status) => Ok(status?.success()),
        Err(_) => {
            eprintln!("{name} did not end within {} s", END_WITHIN.as_secs());
            child.kill().await?;
            Ok(false)
        }
    }
}

#[allow(unsafe_code, reason = "there is no safe way to send SIGTERM to a child")]
fn terminate(process: u32) {
    // SAFETY: kill has no memory effects; the process is our own child and not yet waited for.
    let _ = unsafe { libc::kill(process as libc::pid_t, libc::SIGTERM) };
}
