//! Copies of messages for a collector (HEPv3 over UDP, as Homer takes it).

use crate::harness::{Place, block_on};
use crate::sockets::{final_answer, invite};
use crate::streams::LONG;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A call in, which is to go on to where no datagram of ours can leave for: its caller is told so at once, and the
/// collector sees what was said with the caller, and no INVITE that nobody has ever sent.
#[test]
fn a_collector_gets_what_left_and_nothing_else() {
    block_on(async {
        let place = Place::new();
        let collector = UdpSocket::bind((place.another(4).as_str(), 0)).await.unwrap();
        // Nothing leaves a loopback address for a network.
        place.configure(&format!(
            "[hep]\ncollector = \"{}\"\n\
             [[trunk]]\nname = \"callers\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             [[trunk]]\nname = \"away\"\naddress = \"192.0.2.1:5060\"\noptions_interval_ms = 0\n\
             [[route]]\nfrom = \"callers\"\nto = \"away\"\nmedia = \"bypass\"\n",
            collector.local_addr().unwrap(),
            place.carrier,
        ));
        let _daemon = place.start().await;
        let callers = UdpSocket::bind((place.carrier.as_str(), 5080)).await.unwrap();
        let ours = (place.daemon.as_str(), 5060);
        callers.send_to(invite(&place, "copied").as_bytes(), ours).await.unwrap();
        let answer = final_answer(&callers).await;
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        let mut copies: Vec<String> = Vec::new();
        let mut packet = vec![0; 4_096];
        while !copies.last().is_some_and(|copy| copy.contains("SIP/2.0 503 ")) {
            let received = timeout(LONG, collector.recv_from(&mut packet)).await.expect("a copy in time");
            let (length, _) = received.unwrap();
            assert!(packet.starts_with(b"HEP3"));
            copies.push(String::from_utf8_lossy(&packet[..length]).into_owned());
        }
        let with = |text: &str| copies.iter().filter(|copy| copy.contains(text)).count();
        assert_eq!(with(&format!("INVITE sip:8001@{} SIP/2.0", place.daemon)), 1, "{copies:#?}");
        assert_eq!((with("SIP/2.0 100 "), with("INVITE sip:8001@192.0.2.1")), (1, 0), "{copies:#?}");
    });
}
