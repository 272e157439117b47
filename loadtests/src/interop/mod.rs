//! The daemon among neighbours that share no line with it: Kamailio in front and behind and as registrar, baresip
//! that registers, calls and is called, with sound that is listened to, SIPp on both ends.

mod baresip;
mod kamailio;
mod sound;

use crate::load::api::Api;
use crate::load::daemon::{Kept, Place};
use crate::load::report::Report;
use anyhow::{Context, bail, ensure};
use std::process::Command;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const TOKEN: &str = "dlr_interop_0123456789abcdefghij";

/// Plays every neighbour; `short`: each once, over UDP and TCP.
///
/// # Errors
/// When a neighbour cannot be started. What it does wrong is in the report.
pub fn run(report: &mut Report, place: &Place, short: bool) -> anyhow::Result<()> {
    tls_files(place)?;
    let ways: &[Way] = if short { &[Way::Udp, Way::Tcp] } else { &[Way::Udp, Way::Tcp, Way::Tls] };
    for way in ways {
        kamailio::run(report, place, *way)?;
    }
    let ways: &[Way] = if short { &[Way::Udp] } else { &[Way::Udp, Way::Tcp, Way::Tls] };
    for way in ways {
        baresip::talks(report, place, *way)?;
        baresip::agent(report, place, *way)?;
    }
    Ok(())
}

/// A transport between the daemon and its neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Way::Udp => "udp",
            Way::Tcp => "tcp",
            Way::Tls => "tls",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Way::Udp | Way::Tcp => 5060,
            Way::Tls => 5061,
        }
    }
}

/// A daemon that listens on every transport, with more in its configuration.
struct House {
    process: Kept,
    api: Api,
}

impl House {
    fn start(place: &Place, name: &str, more: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("dialerd");
        ensure!(program.exists(), "{} is missing: run `make build`", program.display());
        let (host, folder) = (place.daemon(), place.folder.display());
        let file = place.folder.join(format!("{name}.toml"));
        std::fs::write(
            &file,
            format!(
                // No call is refused because this machine has other work.
                "[overload]\nlag_ms = 0\n[node]\ndata_dir = \"{name}\"\n[sip]\nlisten = [\"{host}:5060\"]\n\
                 [[sip.listeners]]\ntransport = \"tcp\"\naddress = \"{host}:5060\"\n\
                 [[sip.listeners]]\ntransport = \"tls\"\naddress = \"{host}:5061\"\n\
                 certificate = \"{folder}/host.pem\"\nkey = \"{folder}/host.key\"\nca = \"{folder}/ca.pem\"\n\
                 [media]\naddress = \"{host}\"\n[api]\nlisten = \"{host}:8080\"\ntoken = \"{TOKEN}\"\n\
                 [admin]\nlisten = \"{host}:9095\"\n[shutdown]\ndrain_s = 1\n{more}"
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&file);
        let mut process = Kept::start(name, place, crate::load::daemon::CORE, command)?;
        let api = Api::new(&host, TOKEN)?;
        let begun = Instant::now();
        while !api.ready() {
            let log =
                || std::fs::read_to_string(place.folder.join(format!("{name}.log"))).unwrap_or_default();
            if let Some(status) = process.ended()? {
                bail!("the daemon ended ({status}): {}", log());
            }
            ensure!(begun.elapsed() < READY_WITHIN, "the daemon did not get ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(House { process, api })
    }

    /// At rest nothing is left, and it ends when told to.
    fn end(mut self, report: &mut Report, name: &str) -> anyhow::Result<()> {
        let at_rest = until(|| Ok(self.api.metric("sip_dialogs_active")? == 0.0))?;
        report.check(format!("{name}: at rest no leg is left"), at_rest, "");
        let well = self.process.stop()?;
        report.check(format!("{name}: the daemon ended well"), well, "");
        Ok(())
    }
}

/// Asks until it is so; false after half a minute.
fn until(mut so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if so()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(false)
}

/// An authority and a certificate of it for every address of the place.
fn tls_files(place: &Place) -> anyhow::Result<()> {
    let names = [place.daemon(), place.caller(), place.callee(), place.phones(), place.carrier()];
    let names: Vec<String> = names.iter().map(|host| format!("IP:{host}")).collect();
    std::fs::write(place.folder.join("names.cnf"), format!("subjectAltName={}\n", names.join(",")))?;
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=interop-authority \
         -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=interop-host -keyout host.key \
         -out host.csr",
        "x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names.cnf -out host.pem",
    ] {
        let made = Command::new("openssl").args(line.split_whitespace()).current_dir(&place.folder).output();
        let made = made.context("is openssl installed?")?;
        ensure!(made.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&made.stderr));
    }
    let both = ["host.pem", "host.key"].map(|name| std::fs::read_to_string(place.folder.join(name)));
    let [certificate, key] = both;
    std::fs::write(place.folder.join("both.pem"), certificate? + &key?)?;
    Ok(())
}
