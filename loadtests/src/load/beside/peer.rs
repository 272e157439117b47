//! The others: how each is found, started and asked whether it serves.

use crate::load::daemon::{CORE, Kept, Place};
use crate::load::process::family;
use anyhow::ensure;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time for one to answer.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// A server that calls go through besides the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// Stateful proxy, in the path of the dialog. It does less than a B2BUA: it makes no second call and keeps no dialog.
    Kamailio,
    /// B2BUA that hides the topology (`b2b_entities`, `b2b_logic`), without a record of the call.
    OpenSips,
}

impl Peer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Peer::Kamailio => "kamailio",
            Peer::OpenSips => "opensips",
        }
    }

    const fn config(self) -> &'static str {
        match self {
            Peer::Kamailio => include_str!("kamailio.cfg"),
            Peer::OpenSips => include_str!("opensips.cfg"),
        }
    }

    /// Where its modules are, when it is installed.
    pub(super) fn modules(self) -> Option<String> {
        match self {
            Peer::Kamailio => kamailio_modules(),
            Peer::OpenSips => modules("opensips", "-V", "b2b_logic.so"),
        }
    }

    /// Starts it on the core of the system under test; gives it with all its processes once it answers.
    pub(super) fn start(self, place: &Place) -> anyhow::Result<(Kept, Vec<u32>)> {
        let name = self.name();
        let modules = self.modules().unwrap_or_default();
        let text = self
            .config()
            .replace("@DAEMON@", &place.daemon())
            .replace("@CALLEE@", &place.callee())
            .replace("@MODULES@", &modules);
        let file = place.folder.join(format!("{name}.cfg"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(name);
        match self {
            Peer::Kamailio => command.args(["-DD", "-E", "-m", "512", "-M", "32", "-Y"]).arg(&place.folder),
            Peer::OpenSips => command.args(["-F", "-E", "-m", "1024", "-M", "32"]),
        };
        command.arg("-f").arg(&file);
        let kept = Kept::start(name, place, CORE, command)?;
        wait_until_it_answers(&place.phones(), place.sip()?)?;
        let processes = family(kept.id())?;
        Ok((kept, processes))
    }
}

/// Where Debian puts the modules, when Kamailio is installed.
pub(crate) fn kamailio_modules() -> Option<String> {
    modules("kamailio", "-v", "tm.so")
}

/// The folder of a program's modules that holds this one; `None` when the program is not installed.
fn modules(program: &str, tells: &str, module: &str) -> Option<String> {
    let there = Command::new(program).arg(tells).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return None;
    }
    let multiarch = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"].map(PathBuf::from);
    let folders = multiarch.chain(roots).map(|root| root.join(program).join("modules"));
    let found = folders.into_iter().find(|path| path.join(module).exists());
    found.map(|path| format!("{}/", path.display()))
}

/// An in-dialog OPTIONS that fits nothing is answered as soon as it serves.
pub(crate) fn wait_until_it_answers(from: &str, target: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let own = socket.local_addr()?;
    let begun = Instant::now();
    let text = format!(
        "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready\r\nFrom: <sip:r@{own}>;tag=r\r\n\
         To: <sip:r@{target}>;tag=r\r\nCall-ID: ready@{own}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    loop {
        ensure!(begun.elapsed() < READY_WITHIN, "{target} did not get ready");
        socket.send_to(text.as_bytes(), target)?;
        if socket.recv(&mut [0; 1500]).is_ok() {
            return Ok(());
        }
    }
}
