//! baresip, a phone: it calls and is called through the daemon with files of sound, and registers as an agent's.

use super::{House, Way, sound, until};
use crate::load::daemon::{Kept, LOAD_CORE, Place};
use crate::load::report::{Report, Row};
use anyhow::{Context, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the caller plays, hertz, and what the callee does.
const TONES: [f64; 2] = [440.0, 1000.0];
/// How long both talk, seconds, from the start of the caller on.
const TALK_S: u64 = 7;

struct Phone {
    process: Kept,
    folder: PathBuf,
}

impl Phone {
    fn start(
        place: &Place,
        name: &str,
        host: &str,
        account: &str,
        tone: f64,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = place.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let tone_file = folder.join("tone.wav");
        sound::write_tone(&tone_file, tone)?;
        std::fs::write(folder.join("accounts"), format!("{account}\n"))?;
        std::fs::write(folder.join("contacts"), "")?;
        let modules = modules().context("baresip's modules")?;
        // The sink is named after the phone: two phones that share one would hear each other without us.
        std::fs::write(
            folder.join("config"),
            format!(
                "poll_method epoll\nsip_listen {host}:5060\nsip_certificate {all}/both.pem\nsip_cafile {all}/ca.pem\n\
                 net_interface {host}\naudio_source aufile,{tone}\naudio_player aubridge,{name}\n\
                 audio_alert aubridge,{name}\nausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\n\
                 auplay_channels 1\nrtp_ports 40000-40100\nmodule_path {modules}\nmodule g711.so\nmodule aufile.so\n\
                 module aubridge.so\nmodule sndfile.so\nmodule srtp.so\nsnd_path {own}\nmodule_tmp uuid.so\nmodule_tmp account.so\n\
                 module_app contact.so\nmodule_app menu.so\n",
                all = place.folder.display(),
                tone = tone_file.display(),
                own = folder.display(),
                modules = modules.display(),
            ),
        )?;
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&folder).args(more);
        let process = Kept::start(name, place, LOAD_CORE, command).context("is baresip installed?")?;
        Ok(Phone { process, folder })
    }

    /// Lets it run to its end and gives what it heard.
    fn heard(&mut self) -> anyhow::Result<Vec<i16>> {
        self.process.wait(Duration::from_secs(60))?;
        let dumps = std::fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let mut dumps: Vec<PathBuf> =
            dumps.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect();
        dumps.sort();
        match dumps.last() {
            Some(file) => sound::read(file),
            None => Ok(Vec::new()),
        }
    }
}

/// Where Debian puts baresip's modules.
fn modules() -> Option<PathBuf> {
    let folders = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"];
    folders.iter().map(Path::new).find(|folder| folder.join("g711.so").exists()).map(Path::to_path_buf)
}

fn parameter(way: Way) -> String {
    format!(";transport={}", way.name())
}

/// Whose sound is encrypted under keys in the descriptions (RFC 4568), the caller's and the callee's.
const fn encrypted(way: Way) -> [bool; 2] {
    match way {
        Way::Udp => [false, false],
        Way::Tcp => [true, false],
        Way::Tls => [true, true],
    }
}

const fn srtp(encrypted: bool) -> &'static str {
    if encrypted { "required" } else { "off" }
}

/// One baresip calls another through the daemon; each must hear the other's tone.
pub(super) fn talks(report: &mut Report, place: &Place, way: Way) -> anyhow::Result<()> {
    let name = format!("baresip to baresip over {}", way.name());
    let (caller, callee, daemon) = (place.caller(), place.callee(), place.daemon());
    let (port, transport) = (way.port(), way.name());
    let secure = encrypted(way);
    let house = House::start(
        place,
        &format!("baresip-{transport}"),
        &format!(
            "[[trunk]]\nname = \"callers\"\naddress = \"{caller}:{port}\"\ntransport = \"{transport}\"\n\
             options_interval_ms = 0\nsources = [\"{caller}\", \"127.0.0.1\"]\nsrtp = \"{}\"\n\
             [[trunk]]\nname = \"callees\"\naddress = \"{callee}:{port}\"\ntransport = \"{transport}\"\n\
             options_interval_ms = 0\nsrtp = \"{}\"\n\
             [[route]]\nfrom = \"callers\"\nprefix = \"7\"\nto = \"callees\"\nmedia = \"relay\"\n",
            srtp(secure[0]),
            srtp(secure[1]),
        ),
    )?;
    let account = |user: &str, host: &str, encrypted: bool| {
        let encryption = if encrypted { ";mediaenc=srtp-mand" } else { "" };
        format!(
            "<sip:{user}@{host}{}>;regint=0;answermode=auto;audio_codecs=PCMA,PCMU{encryption}",
            parameter(way)
        )
    };
    let seconds = [TALK_S + 4, TALK_S].map(|seconds| seconds.to_string());
    let callee_name = format!("phone-b-{transport}");
    let mut called = Phone::start(
        place,
        &callee_name,
        &callee,
        &account("700", &callee, secure[1]),
        TONES[1],
        &["-t", &seconds[0]],
    )?;
    // It has no door to knock at: its log says when it is ready.
    let log = place.folder.join(format!("{callee_name}.log"));
    let ready = until(|| Ok(std::fs::read_to_string(&log)?.contains("baresip is ready")))?;
    ensure!(ready, "baresip did not get ready; see {}", log.display());
    // It adds the transport of its account, and connects from whatever address the system picks.
    let dial = format!("/dial sip:700@{daemon}:{port}");
    let more = ["-t", seconds[1].as_str(), "-e", &dial];
    let caller_name = format!("phone-a-{transport}");
    let mut calling =
        Phone::start(place, &caller_name, &caller, &account("100", &caller, secure[0]), TONES[0], &more)?;
    let heard = [calling.heard()?, called.heard()?];
    if secure != [false, false] {
        let packets = house.api.metric("srtp_packets_total")?;
        let expected = 50.0
            * (TALK_S - 2) as f64
            * secure.map(|secure| if secure { 2.0 } else { 0.0 }).iter().sum::<f64>();
        report.check(
            format!("{name}: encrypted where it is to be"),
            packets >= expected,
            format!("{packets} SRTP packets of at least {expected}"),
        );
    }
    let right = [sound::share_of(&heard[0], TONES[1]), sound::share_of(&heard[1], TONES[0])];
    let wrong = [sound::share_of(&heard[0], TONES[0]), sound::share_of(&heard[1], TONES[1])];
    let good = right.iter().all(|share| *share > 0.9) && wrong.iter().all(|share| *share < 0.05);
    report.add(Row { name: name.clone(), calls: 1, failed: usize::from(!good), ..Row::default() });
    let detail = format!(
        "{} and {} samples; the other's tone {right:.2?}, the own {wrong:.2?}",
        heard[0].len(),
        heard[1].len()
    );
    report.check(format!("{name}: each hears the other"), good, detail);
    let records = house.api.get_all("/v1/cdrs?limit=10")?;
    report.check(format!("{name}: one record"), records.len() == 1, format!("{}", records.len()));
    house.end(report, &name)
}

/// baresip registers as an agent's phone and is called for the agent's session.
pub(super) fn agent(report: &mut Report, place: &Place, way: Way) -> anyhow::Result<()> {
    let transport = way.name();
    let name = format!("baresip as an agent's phone over {transport}");
    let house = House::start(place, &format!("agent-{transport}"), "")?;
    let made = house
        .api
        .post("/v1/agents", &json!({ "name": "1001", "username": "1001", "password": "secret-1001" }))?;
    let id = made["id"].as_str().context("an agent has an id")?.to_owned();
    let (host, daemon) = (place.phones(), place.daemon());
    let account = format!(
        "<sip:1001@{daemon}:{}{}>;auth_user=1001;auth_pass=secret-1001;regint=60;answermode=auto;audio_codecs=PCMA,PCMU",
        way.port(),
        parameter(way)
    );
    let seconds = (TALK_S + 8).to_string();
    let phone_name = format!("phone-agent-{transport}");
    let mut phone = Phone::start(place, &phone_name, &host, &account, TONES[0], &["-t", &seconds])?;
    let registered = until(|| Ok(house.api.metric("sip_registrations_active")? == 1.0))?;
    report.check(format!("{name}: it registers by digest"), registered, "");
    house.api.post(&format!("/v1/agents/{id}:login"), &json!({ "session": "nailed_up" }))?;
    let ready = until(|| {
        let agent = house.api.get(&format!("/v1/agents/{id}"))?;
        Ok(matches!(agent["state"].as_str(), Some("ready" | "not_ready"))
            && house.api.metric("sip_dialogs_active")? == 1.0)
    })?;
    report.check(format!("{name}: it is called and answers"), ready, "");
    house.api.post(&format!("/v1/agents/{id}:logout"), &json!({}))?;
    report.add(Row {
        name: name.clone(),
        calls: 1,
        failed: usize::from(!(registered && ready)),
        ..Row::default()
    });
    phone.process.wait(Duration::from_secs(60))?;
    house.end(report, &name)
}
