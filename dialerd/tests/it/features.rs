//! Feature by feature against SIPp, which shares no line with the daemon: each scenario of `loadtests/sipp/features` as
//! caller, callee, carrier, phone or stranger. All of them at once, each between trunks of its own.

use crate::harness::{Place, block_on, until, until_bound};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use std::net::{Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Calls of each scenario, unless the environment says how many (`make interop` asks for more).
const CALLS: &str = "2";

fn calls() -> String {
    std::env::var("DIALERD_FEATURE_CALLS").unwrap_or_else(|_| CALLS.to_owned())
}

fn number(count: &str) -> u32 {
    count.parse().expect("a number of calls")
}

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../loadtests/sipp").join(format!("{name}.xml"))
}

/// Runs a scenario; what went wrong is in its error file.
pub fn sipp(place: &Place, name: &str, host: &str, port: u16, more: &[&str]) -> Child {
    // SIPp gives up if the port it is controlled by is taken at any address; by itself it tries sixty, too few here.
    let free = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr());
    let control = free.expect("a port is free").port().to_string();
    Command::new("sipp")
        .arg("-sf")
        .arg(scenario(name))
        .args(["-i", host, "-p", &port.to_string(), "-mi", host, "-nostdin", "-nd", "-trace_err"])
        .args(["-cp", &control])
        // Where one names the calls of others in URIs, an @ in them is in the way.
        .args(["-cid_str", "%u-%p"])
        .args(["-error_file", &format!("{}-{port}.err", name.replace('/', "-"))])
        .args(["-timeout", "60", "-timeout_error", "-recv_timeout", "45000"])
        .args(more)
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp is there")
}

/// By what a row's calls come in and go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Udp,
    /// The caller is at this address of the place: a connection comes from a port that nobody knows before.
    Tcp(u32),
    /// UDP to us, and on by TCP.
    Large,
    /// IPv6 to IPv4.
    Six,
}

/// Who calls, who is called, who may be called further, how sound goes, and more lines for the callee's trunk.
struct Row {
    caller: &'static str,
    callee: Option<&'static str>,
    third: Option<&'static str>,
    way: Way,
    media: &'static str,
    trunk: &'static str,
    /// Its callee is the last of a group of trunks, of which the first is not there and the second has no room.
    group: bool,
}

const fn row(caller: &'static str, callee: &'static str) -> Row {
    Row { caller, callee: Some(callee), third: None, way: Way::Udp, media: "bypass", trunk: "", group: false }
}

const ROWS: &[Row] = &[
    // Reliable provisional responses, offers and answers in every place, hold and resume, glare.
    row("features/prack_caller", "features/prack_callee"),
    Row { media: "relay", ..row("features/prack_caller", "features/prack_callee") },
    Row { way: Way::Tcp(4), ..row("features/prack_caller", "features/prack_callee") },
    row("features/session_caller", "features/session_callee"),
    row("features/reinvite_caller", "features/reinvite_callee"),
    // What is relayed is held by us alone.
    Row { media: "relay", ..row("features/hung_up_caller", "features/reinvite_callee") },
    Row { media: "relay", ..row("features/hold_caller", "uas") },
    Row { way: Way::Tcp(9), ..row("features/reinvite_caller", "features/reinvite_callee") },
    row("features/update_caller", "features/update_callee"),
    row("features/late_offer_caller", "uas"),
    row("features/hold_caller", "features/glare_callee"),
    // Forks, redirection, transfer, giving up.
    Row { media: "relay", ..row("uac", "features/fork_callee") },
    row("uac", "features/redirect_callee"),
    Row { media: "relay", third: Some("uas"), ..row("uac", "features/refer_callee") },
    row("features/attended_caller", ATTENDED),
    Row { media: "relay", ..row("features/replaces_caller", "uas") },
    row("features/cancel_caller", "features/cancel_callee"),
    Row { media: "relay", ..row("features/cancel_caller", "features/answer_meets_cancel_callee") },
    row("features/merged_caller", "features/cancel_callee"),
    // Session timers: 422 from either side, either side refreshes.
    row("features/session_timer_caller", "uas"),
    row("features/hung_up_caller", "features/session_timer_callee"),
    // Who calls, which headers go on, how numbers are written.
    row("features/identity_caller", "features/identity_trusted_callee"),
    Row {
        trunk: "trusted = false\n",
        ..row("features/identity_caller", "features/identity_untrusted_callee")
    },
    Row {
        media: "relay",
        trunk: "headers_pass = [\"Diversion\", \"History-Info\", \"X-*\"]\nheaders_remove = [\"X-Secret\"]\n\
                headers_add = [\"X-Account: 4711\"]\n",
        ..row("features/headers_caller", "features/headers_callee")
    },
    Row { trunk: "prefix = \"0098\"\n", ..row("uac", "features/number_callee") },
    row("features/number_caller", "features/stir_callee"),
    row("features/two_identities_caller", "features/two_identities_callee"),
    Row { callee: None, ..row(UNSIGNED, "") },
    // Where calls go: the next trunk of a group, a stream for what is too long for a datagram.
    Row { group: true, ..row("uac", "uas") },
    Row { group: true, media: "relay", ..row("uac", "uas") },
    Row { way: Way::Large, ..row("features/large_caller", "features/large_callee") },
    // What makes no call.
    row("features/page_caller", "features/page_callee"),
    row("features/requests_caller", "features/requests_callee"),
    Row { media: "relay", ..row("features/requests_caller", "features/requests_callee") },
    // Refusals, reasons, challenges.
    row("features/reason_caller", "features/reason_callee"),
    row("features/busy_caller", "features/busy_callee"),
    row("features/unavailable_caller", UNAVAILABLE),
    row("uac", "features/overload_callee"),
    row("features/overload_caller", "uas"),
    Row { trunk: LOGIN, ..row("uac", "features/challenge_sha256_callee") },
    Row { trunk: LOGIN, ..row("uac", "features/challenge_md5_callee") },
    Row { callee: None, media: "relay", ..row("features/refusals_caller", "") },
    Row { callee: None, media: "relay", ..row("features/limits_caller", "") },
    row("features/expires_caller", "features/cancel_callee"),
    // Old peers, peers behind NAT, IPv6.
    row("features/old_caller", "uas"),
    Row { callee: None, ..row("features/nat_caller", "") },
    Row { way: Way::Six, ..row("uac", "uas") },
];

/// It says for how long it has no room, and is not called again meanwhile (Retry-After): one call.
const UNAVAILABLE: &str = "features/unavailable_callee";
/// Each of its caller's calls is two of its own, which are joined.
const ATTENDED: &str = "features/attended_callee";
/// Its calls have to be signed.
const UNSIGNED: &str = "features/unsigned_caller";
const LOGIN: &str = "username = \"house\"\npassword = \"secret\"\n";
/// The first port of the rows' callers and callees.
const FIRST_PORT: u16 = 5100;
/// The transferred are called here.
const THIRD_PORT: u16 = 5085;
const REGISTRAR_PORT: u16 = 5086;
/// Half of these calls are not wanted.
const HALF_PORT: u16 = 5087;
const HALF_CALLS: usize = 120;
const HALF_LOG: &str = "half.log";

impl Row {
    const fn by_tcp(&self) -> bool {
        matches!(self.way, Way::Tcp(_))
    }

    /// Where its caller is.
    fn caller_host(&self, place: &Place) -> String {
        match self.way {
            Way::Udp | Way::Large => place.carrier.clone(),
            Way::Tcp(host) => place.another(host),
            Way::Six => "::1".to_owned(),
        }
    }

    /// Its two trunks and the route between them.
    fn config(&self, place: &Place, port: u16) -> String {
        let Row { media, trunk: more, way, .. } = self;
        let (caller, callee) = (self.caller_host(place), format!("{}:{port}", place.phones));
        let caller = if *way == Way::Six { format!("[{caller}]:{port}") } else { format!("{caller}:{port}") };
        let source = if self.by_tcp() { self.caller_host(place) } else { caller.clone() };
        let transport = if self.by_tcp() { "tcp" } else { "udp" };
        let (before, to) = if self.group {
            let trunk = |name: &str, host: String, priority: u32| {
                format!(
                    "[[trunk]]\nname = \"{name}{port}\"\naddress = \"{host}:{port}\"\npriority = {priority}\n\
                     sources = [\"{host}:{port}\"]\n\
                     options_interval_ms = 0\ncps_max = 100.0\n"
                )
            };
            let (nobody, full) = (trunk("nobody", place.another(9), 0), trunk("full", place.another(10), 1));
            (nobody + &full, format!("[\"callee{port}\", \"full{port}\", \"nobody{port}\"]"))
        } else {
            (String::new(), format!("\"callee{port}\""))
        };
        let priority = if self.group { "priority = 2\n" } else { "" };
        let verify = if self.caller == UNSIGNED {
            format!("[[stir.verify]]\ntrunk = \"caller{port}\"\npolicy = \"require\"\n")
        } else {
            String::new()
        };
        format!(
            "[[trunk]]\nname = \"caller{port}\"\naddress = \"{caller}\"\nsources = [\"{source}\"]\n\
             options_interval_ms = 0\ncps_max = 100.0\ntransport = \"{transport}\"\n\
             [[trunk]]\nname = \"callee{port}\"\naddress = \"{callee}\"\nsources = [\"{callee}\"]\n\
             options_interval_ms = 0\ncps_max = 100.0\ntransport = \"{transport}\"\n{priority}{more}{before}\
             [[route]]\nfrom = \"caller{port}\"\nprefix = \"81\"\nto = {to}\nmedia = \"{media}\"\n{verify}"
        )
    }

    async fn start(&self, place: &Place, port: u16, six: u16) -> Vec<Child> {
        let count = if self.callee == Some(UNAVAILABLE) { "1".to_owned() } else { calls() };
        let way = if self.by_tcp() { "t1" } else { "u1" };
        let mut started = Vec::new();
        if let Some(callee) = self.callee {
            let called = if callee == ATTENDED { format!("{}", 2 * number(&count)) } else { count.clone() };
            let by_tcp = self.by_tcp() || self.way == Way::Large;
            let to = if by_tcp { "t1" } else { "u1" };
            started.push(sipp(place, callee, &place.phones, port, &["-m", &called, "-t", to]));
            until_bound(if by_tcp { "tcp" } else { "udp" }, &place.phones, port).await;
        }
        if self.group {
            // It says for how long it has no room, and is not called again meanwhile.
            started.push(sipp(place, UNAVAILABLE, &place.another(10), port, &["-m", "1"]));
            until_bound("udp", &place.another(10), port).await;
        }
        let ours =
            if self.way == Way::Six { format!("[::1]:{six}") } else { format!("{}:5060", place.daemon) };
        let more = [ours.as_str(), "-s", "8100", "-r", "10", "-m", &count, "-t", way];
        started.push(sipp(place, self.caller, &self.caller_host(place), port, &more));
        started
    }
}

/// Everything that the rows and the single scenarios need; `six` is our port of IPv6.
fn configure(place: &Place, six: u16) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(place.folder.path().join("house.key"), key.serialize_pem()).unwrap();
    std::fs::create_dir(place.folder.path().join("trust")).unwrap();
    let ports = FIRST_PORT..;
    let rows: String = ROWS.iter().zip(ports).map(|(row, port)| row.config(place, port)).collect();
    place.configure(&format!(
        "[guard]\ndeny = [\"{}\"]\n\
         [stir]\nkey_file = \"house.key\"\ntrust_dir = \"trust\"\ncertificate_url = \"https://cr.example.org/house.pem\"\n\
         [[stir.attest]]\nlevel = \"A\"\n\
         [[sip.listeners]]\ntransport = \"tcp\"\naddress = \"{}:5060\"\n\
         [[sip.listeners]]\ntransport = \"udp\"\naddress = \"[::1]:{six}\"\n\
         [[trunk]]\nname = \"third\"\naddress = \"{2}:{THIRD_PORT}\"\nsources = [\"{2}:{THIRD_PORT}\"]\n\
         options_interval_ms = 0\ncps_max = 100.0\n\
         [[trunk]]\nname = \"registrar\"\naddress = \"{2}:{REGISTRAR_PORT}\"\nregister = true\n\
         sources = [\"{2}:{REGISTRAR_PORT}\"]\noptions_interval_ms = 0\n{LOGIN}\
         [[trunk]]\nname = \"half\"\naddress = \"{2}:{HALF_PORT}\"\nsources = [\"{2}:{HALF_PORT}\"]\n\
         options_interval_ms = 0\ncps_max = 1000.0\n\
         [[trunk]]\nname = \"asks\"\naddress = \"{3}:{HALF_PORT}\"\nsources = [\"{3}:{HALF_PORT}\"]\n\
         options_interval_ms = 0\ncps_max = 1000.0\n\
         {rows}[[route]]\nprefix = \"72\"\nto = \"third\"\nmedia = \"relay\"\n\
         [[route]]\nfrom = \"asks\"\nto = \"half\"\nmedia = \"bypass\"\n",
        place.another(5),
        place.daemon,
        place.carrier,
        place.phones,
    ));
}

/// A carrier asks for half of the calls to be left out (RFC 7339): who called, and the carrier, which nobody can tell how
/// many will come and which is ended by the test.
async fn half(place: &Place) -> (Child, Child) {
    let carrier = sipp(place, "features/half_callee", &place.carrier, HALF_PORT, &[]);
    until_bound("udp", &place.carrier, HALF_PORT).await;
    let (ours, count) = (format!("{}:5060", place.daemon), HALF_CALLS.to_string());
    let more = [&ours, "-s", "8100", "-r", "60", "-m", &count, "-trace_logs", "-log_file", HALF_LOG];
    (sipp(place, "features/half_caller", &place.phones, HALF_PORT, &more), carrier)
}

/// How many of those calls were carried; a fair lot leaves these bounds once in ten million times.
fn assert_half(place: &Place) {
    let log = std::fs::read_to_string(place.folder.path().join(HALF_LOG)).unwrap_or_default();
    let count = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    let (carried, refused) = (count("carried"), count("refused"));
    assert_eq!(carried + refused, HALF_CALLS, "{log}");
    assert!(
        (HALF_CALLS / 4..=HALF_CALLS * 3 / 4).contains(&carried),
        "{carried} of {HALF_CALLS} were carried"
    );
}

/// A phone that registers, one that calls, a scanner, somebody who is denied, a stranger who calls, and one who guesses.
async fn others(place: &Place) -> Vec<Child> {
    let agent = json!({ "name": "phone", "username": "phone", "password": "secret-phone" });
    place.api().post("/v1/agents", agent).await;
    let login = "SEQUENTIAL\nphone;[authentication username=phone password=secret-phone]\n";
    std::fs::write(place.folder.path().join("phone.csv"), login).unwrap();
    let agent =
        json!({ "name": "caller", "username": "caller", "password": "secret", "destinations": ["72"] });
    place.api().post("/v1/agents", agent).await;
    for (file, password) in [("caller.csv", "secret"), ("guesser.csv", "guessed")] {
        let login = format!("SEQUENTIAL\ncaller;[authentication username=caller password={password}]\n");
        std::fs::write(place.folder.path().join(file), login).unwrap();
    }
    let ours = format!("{}:5060", place.daemon);
    let one = |name: &str, (host, port): (u32, u16), more: &[&str]| {
        let more: Vec<&str> = [ours.as_str(), "-m", "1"].iter().chain(more).copied().collect();
        sipp(place, name, &place.another(host), port, &more)
    };
    vec![
        one("features/phone_register", (6, 5061), &["-inf", "phone.csv"]),
        one("features/scanner", (7, 5061), &["-s", "8100"]),
        one("features/denied", (5, 5061), &["-s", "8100"]),
        one("features/stranger_caller", (8, 5061), &["-s", "8100"]),
        one("features/phone_caller", (8, 5062), &["-inf", "caller.csv"]),
        one("features/guesser", (10, 5061), &["-inf", "guesser.csv"]),
    ]
}

#[test]
fn each_feature_with_sipp_on_both_sides() {
    block_on(async {
        let place = Place::new();
        let six = {
            let free = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        configure(&place, six);
        let registrar = sipp(&place, "features/registrar", &place.carrier, REGISTRAR_PORT, &["-m", "1"]);
        until_bound("udp", &place.carrier, REGISTRAR_PORT).await;
        let daemon = place.start().await;
        let mut all = vec![("registrar", registrar)];

        let (asks, mut half_carrier) = half(&place).await;
        all.push(("half", asks));
        let thirds = ROWS.iter().filter_map(|row| row.third);
        // And the phone that calls.
        let count = (number(&calls()) + 1).to_string();
        all.extend(
            thirds.map(|third| (third, sipp(&place, third, &place.carrier, THIRD_PORT, &["-m", &count]))),
        );
        until_bound("udp", &place.carrier, THIRD_PORT).await;
        all.extend(others(&place).await.into_iter().map(|child| ("by itself", child)));
        for (row, port) in ROWS.iter().zip(FIRST_PORT..) {
            let started = row.start(&place, port, six).await;
            all.extend(started.into_iter().map(|child| (row.callee.unwrap_or(row.caller), child)));
        }
        let ended = tokio::task::spawn_blocking(move || {
            let failed = |(name, mut child): (&'static str, Child)| {
                let well = child.wait().is_ok_and(|status| status.success());
                (!well).then_some(name)
            };
            all.into_iter().filter_map(failed).collect::<Vec<_>>()
        });
        let failed = ended.await.unwrap();
        assert!(failed.is_empty(), "{failed:?}\n{}\n{}", told(&place), daemon.log_text());
        let _ = half_carrier.kill().and_then(|()| half_carrier.wait());
        assert_half(&place);
        let left = async || {
            let told = place.api().admin("/metrics").await.map(|(_, text)| text).unwrap_or_default();
            told.lines().find(|line| line.starts_with("sip_dialogs_active")).unwrap_or("").to_owned()
        };
        until("nothing is left", async || left().await.ends_with(" 0")).await;
    });
}

/// What SIPp found wrong.
fn told(place: &Place) -> String {
    let entries = std::fs::read_dir(place.folder.path()).unwrap().flatten();
    let errors = entries.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "err"));
    errors
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            format!("--- {}\n{text}\n", entry.file_name().to_string_lossy())
        })
        .collect()
}
