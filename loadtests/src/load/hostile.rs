//! Datagrams made to be slow to read: what each costs by the byte.

use super::report::{Report, Row};
use bytes::Bytes;
use serde_json::json;
use sip_proxy::wire::{Limits, parse};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// Allowed: so much for each datagram …
const NS_PER_DATAGRAM: f64 = 2_000.0;
/// … and so much for each byte.
const NS_PER_BYTE: f64 = 20.0;
/// The fastest of so many tries counts: what others do on the machine only adds.
const TRIES: u32 = 200;

const HEAD: &str = "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";
/// The longest datagram.
const LONG: usize = 65_000;
/// The beginning of a header, and what it goes on with to the end of the datagram.
const ENDLESS: [(&str, &str); 24] = [
    ("X: ", ","),
    ("X: ", "\""),
    ("X: ", "\\"),
    ("X: ", "\t"),
    ("X: ", "\r\n "),
    ("", ":"),
    ("", "a:\r\n"),
    ("", "\n"),
    ("", "\r\n\r\n"),
    ("", "Via: SIP/2.0/UDP h\r\n"),
    ("", "Contact: <sip:a@h>\r\n"),
    ("Contact: ", "<sip:a@h>,"),
    ("Contact: ", "<"),
    ("Contact: ", "\""),
    ("Contact: <sip:a@h>", ";a"),
    ("Contact: <sip:a@h>", ";a=\"\\\"\""),
    ("Contact: <sip:", "%"),
    ("Via: ", "SIP/2.0/UDP h,"),
    ("Via: SIP/2.0/UDP h", ";branch=z"),
    ("Route: ", "<sip:p;lr>,"),
    ("Authorization: Digest ", "a=\"b\","),
    ("To: \"", "\\\""),
    ("Content-Length: ", "0"),
    ("Max-Forwards: ", "0"),
];

/// The worst over all of them, with the limits of the daemon and without.
pub fn run(report: &mut Report) {
    let wide = Limits {
        header_bytes_max: usize::MAX,
        headers_max: usize::MAX,
        vias_max: usize::MAX,
        ..Limits::default()
    };
    let corpus = corpus();
    let mut worst = (0.0, String::new());
    let mut count = 0;
    for limits in [&Limits::default(), &wide] {
        for (name, bytes) in &corpus {
            let allowed = NS_PER_DATAGRAM + NS_PER_BYTE * bytes.len() as f64;
            let share = fastest(bytes, limits).as_nanos() as f64 / allowed;
            count += 1;
            if share > worst.0 {
                worst = (share, format!("{name}, {} bytes", bytes.len()));
            }
        }
    }
    let (share, name) = worst;
    report.add(Row {
        name: format!("reading {count} hostile datagrams"),
        more: json!({ "worst_share": share, "worst": name }),
        note: format!("the worst takes {:.0} % of what is allowed", share * 100.0),
        ..Row::default()
    });
    let detail = format!("{:.0} % of {NS_PER_BYTE} ns a byte and 2 µs: {name}", share * 100.0);
    report.check("reading a hostile datagram: the worst", share <= 1.0, detail);
}

fn fastest(bytes: &Bytes, limits: &Limits) -> Duration {
    let once = || {
        let begun = Instant::now();
        let _ = black_box(parse(black_box(bytes).clone(), limits).is_ok());
        begun.elapsed()
    };
    (0..TRIES).map(|_| once()).min().unwrap_or_default()
}

/// Our own, and where the sources are at hand the messages of RFC 4475 and what fuzzing has kept.
fn corpus() -> Vec<(String, Bytes)> {
    let mut corpus: Vec<(String, Bytes)> = Vec::new();
    for (header, unit) in ENDLESS {
        for length in [700, LONG] {
            let times = length.saturating_sub(HEAD.len() + header.len() + 4) / unit.len();
            let text = format!("{HEAD}{header}{}\r\n\r\n", unit.repeat(times));
            corpus.push((format!("{header}{unit}…").escape_debug().to_string(), Bytes::from(text)));
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["sip-proxy/tests/data/rfc4475", "fuzz/corpus/sip"] {
        for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            if let Ok(bytes) = std::fs::read(entry.path()) {
                corpus.push((entry.file_name().to_string_lossy().into_owned(), Bytes::from(bytes)));
            }
        }
    }
    corpus
}
