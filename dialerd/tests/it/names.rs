//! A trunk's name that leads to hosts that are dead, refuse, say nothing, and one that is good.

use crate::harness::{Place, block_on, until_bound};
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

#[test]
fn a_call_finds_the_good_one_of_four_hosts() {
    block_on(async {
        let place = Place::new();
        let invites = Arc::new(AtomicUsize::new(0));
        let refuses = refusing(&place.phones, Arc::clone(&invites));
        // Bound, and never read.
        let silent = UdpSocket::bind((place.phones.as_str(), 0)).unwrap();
        let dead = {
            let gone = UdpSocket::bind((place.phones.as_str(), 0)).unwrap();
            gone.local_addr().unwrap().port()
        };
        let ports = [dead, refuses, silent.local_addr().unwrap().port(), 5080];
        let server = zone(place.phones.clone(), ports);
        place.configure(&format!(
            "[[trunk]]\nname = \"plain\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             [[trunk]]\nname = \"named\"\naddress = \"carrier.test\"\noptions_interval_ms = 0\n\
             [[route]]\nfrom = \"plain\"\nto = \"named\"\nmedia = \"bypass\"\n",
            place.carrier
        ));
        let text = std::fs::read_to_string(place.config_file()).unwrap();
        let more = format!("[sip]\ndns_servers = [\"{server}\"]\ntarget_time_ms = 300\n");
        std::fs::write(place.config_file(), text.replacen("[sip]\n", &more, 1)).unwrap();
        let daemon = place.start().await;
        let ours = format!("{}:5060", place.daemon);
        for _ in 0..2 {
            let mut uas = sipp(&place, &["-sn", "uas", "-i", &place.phones, "-p", "5080", "-m", "2"]);
            until_bound("udp", &place.phones, 5080).await;
            let mut uac = sipp(
                &place,
                &[
                    "-sn",
                    "uac",
                    &ours,
                    "-i",
                    &place.carrier,
                    "-p",
                    "5090",
                    "-m",
                    "2",
                    "-l",
                    "1",
                    "-s",
                    "8001",
                    "-d",
                    "100",
                ],
            );
            let called = tokio::task::spawn_blocking(move || (uac.wait(), uas.wait())).await.unwrap();
            assert!(called.0.unwrap().success(), "the caller\n{}", daemon.log_text());
            assert!(called.1.unwrap().success(), "the callee\n{}", daemon.log_text());
        }
        assert_eq!(invites.load(Ordering::SeqCst), 1, "who said 503 with Retry-After is left alone");
    });
}
