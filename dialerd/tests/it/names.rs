//! A trunk's name that leads to hosts that are dead, refuse, say nothing, and one that is good.

use crate::harness::{Daemon, Place, block_on, until, until_bound};
use crate::streams::sipp;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers questions about `carrier.test`: its service has these ports, in this order, all at one host.
fn zone(address: String, ports: [u16; 4]) -> SocketAddr {
    let socket = UdpSocket::bind((address.as_str(), 0)).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let Ok(asked) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(query) = asked.queries.first().cloned() else { continue };
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            let name = query.name().clone();
            let mut add = |data| {
                answer.add_answer(Record::from_rdata(name.clone(), 300, data));
            };
            match (query.name().to_string().as_str(), query.query_type()) {
                ("_sip._udp.carrier.test.", RecordType::SRV) => {
                    for (priority, port) in ports.into_iter().enumerate() {
                        let host = Name::from_ascii("host.carrier.test.").unwrap();
                        add(RData::SRV(SRV::new(priority as u16, 10, port, host)));
                    }
                }
                ("host.carrier.test.", RecordType::A) => {
                    add(RData::A(address.parse::<std::net::Ipv4Addr>().unwrap().into()));
                }
                _ => answer.metadata.response_code = ResponseCode::NXDomain,
            }
            let _ = socket.send_to(&answer.to_vec().unwrap(), from);
        }
    });
    at
}

/// Says 503 to each INVITE; counts them.
fn refusing(address: &str, invites: Arc<AtomicUsize>) -> u16 {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let Some(rest) = text.strip_prefix("INVITE ") else { continue };
            invites.fetch_add(1, Ordering::SeqCst);
            let headers: String = rest
                .lines()
                .filter(|line| {
                    ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
                })
                .map(|line| format!("{line}\r\n"))
                .collect();
            let to = rest.lines().find(|line| line.starts_with("To:")).unwrap();
            let answer = format!(
                "SIP/2.0 503 Service Unavailable\r\n{headers}{to};tag=x\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    });
    port
}

/// A trunk whose name leads to these ports, another one whose calls go there.
fn configure(place: &Place, ports: [u16; 4], target_time_ms: u32) {
    let server = zone(place.phones.clone(), ports);
    place.configure(&format!(
        "[[trunk]]\nname = \"plain\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
         [[trunk]]\nname = \"named\"\naddress = \"carrier.test\"\noptions_interval_ms = 0\n\
         [[route]]\nfrom = \"plain\"\nto = \"named\"\nmedia = \"bypass\"\n",
        place.carrier
    ));
    let text = std::fs::read_to_string(place.config_file()).unwrap();
    let more = format!("[sip]\ndns_servers = [\"{server}\"]\ntarget_time_ms = {target_time_ms}\n");
    std::fs::write(place.config_file(), text.replacen("[sip]\n", &more, 1)).unwrap();
}

/// A port that nobody has any more.
fn closed(place: &Place) -> u16 {
    let gone = UdpSocket::bind((place.phones.as_str(), 0)).unwrap();
    gone.local_addr().unwrap().port()
}

/// Two calls, one after the other, from where `plain` is to the callee at port 5080 of the phones.
async fn two_calls(place: &Place, daemon: &Daemon) {
    let ours = format!("{}:5060", place.daemon);
    let mut uas = sipp(place, &["-sn", "uas", "-i", &place.phones, "-p", "5080", "-m", "2"]);
    until_bound("udp", &place.phones, 5080).await;
    let from = ["-i", &place.carrier, "-p", "5090"];
    let calls = ["-m", "2", "-l", "1", "-s", "8001", "-d", "100"];
    let mut uac = sipp(place, &[&["-sn", "uac", &ours][..], &from, &calls].concat());
    let called = tokio::task::spawn_blocking(move || (uac.wait(), uas.wait())).await.unwrap();
    assert!(called.0.unwrap().success(), "the caller\n{}", daemon.log_text());
    assert!(called.1.unwrap().success(), "the callee\n{}", daemon.log_text());
}

/// Nobody would wait for a silent host as long as this test's daemon does: the kernel says that nobody is there.
#[test]
fn a_host_without_anybody_is_left_at_once() {
    block_on(async {
        let place = Place::new();
        let ports = [closed(&place), closed(&place), 5080, closed(&place)];
        configure(&place, ports, 30_000);
        let daemon = place.start().await;
        two_calls(&place, &daemon).await;
        let told = "sip_requests_undelivered_total 2";
        until(told, async || {
            let shown = place.api().admin("/metrics").await.map(|(_, text)| text).unwrap_or_default();
            shown.lines().any(|line| line == told)
        })
        .await;
    });
}

#[test]
fn a_call_finds_the_good_one_of_four_hosts() {
    block_on(async {
        let place = Place::new();
        let invites = Arc::new(AtomicUsize::new(0));
        let refuses = refusing(&place.phones, Arc::clone(&invites));
        // Bound, and never read.
        let silent = UdpSocket::bind((place.phones.as_str(), 0)).unwrap();
        let ports = [closed(&place), refuses, silent.local_addr().unwrap().port(), 5080];
        configure(&place, ports, 300);
        let daemon = place.start().await;
        for _ in 0..2 {
            two_calls(&place, &daemon).await;
        }
        assert_eq!(invites.load(Ordering::SeqCst), 1, "who said 503 with Retry-After is left alone");
    });
}
