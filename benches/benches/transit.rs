//! What one transit call costs the shard: parsing, transactions, dialogs, the call table, printing; no kernel.
//!
//! A call a millisecond, so that the tables hold what a thousand calls a second leave in them (every transaction
//! waits up to 32 s for late messages).

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use dialer_core::TrunkId;
use dialer_core::config::TrunkConfig;
use dialer_core::record::TrunkRow;
use engine::{CallShard, Route, ShardCommand, ShardConfig, ShardEffect, ShardInput, TransitMedia};
use sansio::{Duration, Instant, Machine, Outbox, WallTime};
use std::fmt::Write as _;
use std::net::SocketAddr;

const CALLER: &str = "192.0.2.10:5060";
const CALLEE: &str = "192.0.2.11:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
                   m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

struct Bench {
    shard: CallShard,
    out: Outbox<ShardEffect>,
    now: Instant,
    calls: u64,
    spent: std::time::Duration,
}

impl Bench {
    fn new(media: TransitMedia) -> Bench {
        let config = ShardConfig {
            listeners: vec!["192.0.2.1:5060".parse().expect("an address")],
            calls_max: 50_000,
            media_ports: 10_000..=59_999,
            ..ShardConfig::default()
        };
        let mut bench = Bench {
            shard: CallShard::new(config),
            out: Outbox::default(),
            now: Instant::from_millis(1),
            calls: 0,
            spent: std::time::Duration::ZERO,
        };
        for (id, address) in [(1, CALLER), (2, CALLEE)] {
            let config = TrunkConfig {
                address: address.into(),
                channels_max: 1_000_000,
                cps_max: 1e9,
                options_interval_ms: 0,
                ..TrunkConfig::default()
            };
            let id = TrunkId::from_bits(id);
            let row = TrunkRow { id, config, version: 1, created_at: WallTime::default() };
            bench.feed(ShardInput::Command(ShardCommand::ApplyTrunk(Box::new(row))));
        }
        let route = Route {
            from_trunk: None,
            prefix: String::new(),
            to_trunks: vec![TrunkId::from_bits(2)],
            media,
            record: false,
        };
        bench.feed(ShardInput::Command(ShardCommand::SetRoutes(vec![route])));
        bench
    }

    /// What the shard sends; only its own time counts.
    fn feed(&mut self, input: ShardInput<'_>) -> Vec<(SocketAddr, Bytes)> {
        let start = std::time::Instant::now();
        self.shard.handle_input(self.now, input, &mut self.out);
        self.spent += start.elapsed();
        self.sent()
    }

    fn sent(&mut self) -> Vec<(SocketAddr, Bytes)> {
        let sip = |effect| match effect {
            ShardEffect::SendSip { to, bytes, .. } => Some((to, bytes)),
            _ => None,
        };
        self.out.drain().filter_map(sip).collect()
    }

    fn datagram(&mut self, from: &str, text: String) -> Vec<(SocketAddr, Bytes)> {
        let source = from.parse().expect("an address");
        self.feed(ShardInput::Datagram { listener: 0, source, bytes: Bytes::from(text) })
    }

    fn call(&mut self) {
        self.calls += 1;
        let n = self.calls;
        self.now += Duration::from_millis(1);
        let start = std::time::Instant::now();
        self.shard.handle_timeout(self.now, &mut self.out);
        self.spent += start.elapsed();
        self.sent();

        let head = |method: &str, branch: &str, to_tag: &str| {
            format!(
                "{method} sip:0200@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{n}-{branch}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:100@{CALLER}>;tag=c{n}\r\nTo: <sip:0200@192.0.2.1:5060>{to_tag}\r\n\
                 Call-ID: {n}-load@{CALLER}\r\nContact: <sip:100@{CALLER}>\r\n"
            )
        };
        let invite = format!(
            "{}CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            head("INVITE", "i", ""),
            SDP.len()
        );
        let sent = self.datagram(CALLER, invite);
        let (_, carried) = sent.last().expect("the INVITE is carried on");
        let carried = carried.clone();
        let _ = self.datagram(CALLEE, answer(&carried, "180 Ringing", false));
        let sent = self.datagram(CALLEE, answer(&carried, "200 OK", true));
        let ok =
            sent.iter().find(|(to, _)| to.to_string() == CALLER).expect("the caller is answered").1.clone();
        let text = String::from_utf8_lossy(&ok);
        let to = text.lines().find(|line| line.starts_with("To:")).expect("a To");
        let tag = format!(";tag={}", to.rsplit("tag=").next().expect("a tag"));
        let end = "Content-Length: 0\r\n\r\n";
        let _ = self.datagram(CALLER, format!("{}CSeq: 1 ACK\r\n{end}", head("ACK", "a", &tag)));
        let sent = self.datagram(CALLER, format!("{}CSeq: 2 BYE\r\n{end}", head("BYE", "b", &tag)));
        let bye =
            sent.iter().find(|(to, _)| to.to_string() == CALLEE).expect("the callee is hung up").1.clone();
        let _ = self.datagram(CALLEE, answer(&bye, "200 OK", false));
    }
}

/// The callee's response to a request of the shard.
fn answer(request: &[u8], status: &str, with_sdp: bool) -> String {
    let text = String::from_utf8_lossy(request);
    let mut response = format!("SIP/2.0 {status}\r\n");
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" => {
                let _ = write!(response, "{line}\r\n");
            }
            "To" if line.contains("tag=") => {
                let _ = write!(response, "{line}\r\n");
            }
            "To" => {
                let _ = write!(response, "{line};tag=callee\r\n");
            }
            _ => {}
        }
    }
    response.push_str("Contact: <sip:0200@192.0.2.11:5060>\r\n");
    if with_sdp {
        let length = SDP.len();
        {
            let _ =
                write!(response, "Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}");
        }
    } else {
        response.push_str("Content-Length: 0\r\n\r\n");
    }
    response
}

fn transit(criterion: &mut Criterion) {
    for (name, media) in [("bypass", TransitMedia::Bypass), ("relay", TransitMedia::Relay)] {
        criterion.bench_function(&format!("transit call, {name}"), |bencher| {
            bencher.iter_custom(|times| {
                let mut bench = Bench::new(media);
                // The tables fill first.
                for _ in 0..5_000 {
                    bench.call();
                }
                bench.spent = std::time::Duration::ZERO;
                for _ in 0..times {
                    bench.call();
                }
                bench.spent
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = transit
}
criterion_main!(benches);
