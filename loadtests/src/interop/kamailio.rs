//! Kamailio behind the daemon as the carrier's proxy, in front of it, and as the registrar a trunk registers with.

use super::{House, Way, until};
use crate::load::beside::{kamailio_modules, wait_until_it_answers};
use crate::load::daemon::{CORE, Kept, Place};
use crate::load::report::{Report, Row};
use crate::load::sipp::Sipp;
use std::process::Command;
use std::time::Duration;

const CONFIG: &str = include_str!("kamailio.cfg");
const CALLS: usize = 5;

/// All three over one transport.
pub(super) fn run(report: &mut Report, place: &Place, way: Way) -> anyhow::Result<()> {
    let name = format!("Kamailio over {}", way.name());
    let Some(modules) = kamailio_modules() else {
        report.check(format!("{name}: it is installed"), false, "apt-get install kamailio");
        return Ok(());
    };
    if way == Way::Tls && !std::path::Path::new(&modules).join("tls.so").exists() {
        report.check(format!("{name}: it is installed"), false, "apt-get install kamailio-tls-modules");
        return Ok(());
    }
    let mut kamailio = start(place, &modules, way)?;
    let (host, caller, callee) = (place.carrier(), place.caller(), place.callee());
    let trunk = |name: &str, address: &str, more: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\naddress = \"{address}\"\noptions_interval_ms = 0\ncps_max = 100.0\n{more}"
        )
    };
    let route = |from: &str, prefix: &str, to: &str| {
        format!("[[route]]\nfrom = \"{from}\"\nprefix = \"{prefix}\"\nto = \"{to}\"\nmedia = \"relay\"\n")
    };
    let at = format!("{host}:{}", way.port());
    let transport = format!("transport = \"{}\"\n", way.name());
    let login = "register = true\nusername = \"house\"\npassword = \"secret\"\nregister_expires_s = 120\n";
    let house = House::start(
        place,
        &format!("kamailio-{}", way.name()),
        &[
            trunk("callers", &format!("{caller}:5061"), ""),
            trunk("callees", &format!("{callee}:5071"), ""),
            trunk("kamailio", &at, &format!("{transport}{login}")),
            route("callers", "71", "kamailio"),
            route("kamailio", "7", "callees"),
            route("kamailio", "house", "callees"),
        ]
        .concat(),
    )?;
    let registered = until(|| Ok(house.api.metric("trunk_registered")? == 1.0))?;
    report.check(format!("{name}: the trunk registers by digest"), registered, "");
    // Behind: SIPp, daemon, Kamailio, SIPp.
    let target = format!("{}:5060", place.daemon());
    calls(report, place, &format!("{name}, behind us"), &target, "7100", 5070)?;
    // In front: SIPp, Kamailio, daemon, SIPp.
    let target = format!("{host}:5060");
    calls(report, place, &format!("{name}, in front of us"), &target, "7200", 5071)?;
    // It finds us by what we have registered.
    calls(report, place, &format!("{name}, by our registration"), &target, "7400", 5071)?;
    house.end(report, &name)?;
    kamailio.stop()?;
    Ok(())
}

fn start(place: &Place, modules: &str, way: Way) -> anyhow::Result<Kept> {
    let (host, folder) = (place.carrier(), place.folder.display());
    let tls = match way {
        Way::Udp | Way::Tcp => String::new(),
        Way::Tls => format!(
            "listen=tls:{host}:5061\nenable_tls=yes\nloadmodule \"{modules}tls.so\"\n\
             modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n\
             modparam(\"tls\", \"private_key\", \"{folder}/host.key\")\n\
             modparam(\"tls\", \"certificate\", \"{folder}/host.pem\")\n\
             modparam(\"tls\", \"ca_list\", \"{folder}/ca.pem\")\n"
        ),
    };
    let daemon = format!("{}:{};transport={}", place.daemon(), way.port(), way.name());
    let text = CONFIG
        .replace("@DAEMON_HOST@", &place.daemon())
        .replace("@DAEMON@", &daemon)
        .replace("@CALLEE@", &format!("{}:5070", place.callee()))
        .replace("@HOST@", &host)
        .replace("@MODULES@", modules)
        .replace("@TLS@", &tls);
    let file = place.folder.join(format!("kamailio-{}.cfg", way.name()));
    std::fs::write(&file, text)?;
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(&place.folder).arg("-f").arg(&file);
    let kamailio = Kept::start(&format!("kamailio-{}-proxy", way.name()), place, CORE, command)?;
    wait_until_it_answers(&place.phones(), format!("{host}:5060").parse()?)?;
    Ok(kamailio)
}

fn calls(
    report: &mut Report,
    place: &Place,
    name: &str,
    target: &str,
    number: &str,
    callee_port: u16,
) -> anyhow::Result<()> {
    let file = name.replace([' ', ','], "-");
    let count = CALLS.to_string();
    let more = ["-m", count.as_str()];
    let mut callee =
        Sipp::start(place, &format!("{file}-callee"), "uas", &place.callee(), callee_port, &more)?;
    let more = [target, "-s", number, "-r", "5", "-m", &count, "-recv_timeout", "20000"];
    let mut caller = Sipp::start(place, &format!("{file}-caller"), "uac", &place.caller(), 5061, &more)?;
    let limit = Duration::from_secs(60);
    let done = caller.wait(limit).is_ok() && callee.wait(Duration::from_secs(10)).is_ok();
    let counted = caller.counted()?;
    report.add(Row {
        name: name.to_owned(),
        calls: CALLS,
        failed: CALLS - counted.good.min(CALLS),
        ..Row::default()
    });
    report.check(
        format!("{name}: {CALLS} calls"),
        done && counted.good == CALLS,
        format!("{counted:?}, both sides done: {done}"),
    );
    Ok(())
}
