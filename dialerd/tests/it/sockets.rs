//! Connections that are too many, do not read, write too slowly, or come over IPv6; requests too long for a datagram;
//! certificates that are exchanged. Real sockets, loopback addresses of the test's own.

use crate::harness::{Place, block_on, until};
use crate::streams::{Authority, LONG, asked, options, response};
use rustls::pki_types::ServerName;
use std::net::{Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

fn listener(place: &Place, transport: &str, port: u16, more: &str) -> String {
    format!("[[sip.listeners]]\ntransport = \"{transport}\"\naddress = \"{}:{port}\"\n{more}", place.daemon)
}

/// Connects from one of our addresses. The daemon is alive before it listens.
async fn connect_from(source: &str, to: &str) -> TcpStream {
    let mut stream = None;
    until("the daemon listens", async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        stream = socket.connect(to.parse().unwrap()).await.ok();
        stream.is_some()
    })
    .await;
    stream.unwrap()
}

/// Whether the daemon answers over this connection; false when it has closed it.
async fn is_served(stream: &mut TcpStream, id: &str) -> bool {
    if stream.write_all(options("TCP", id).as_bytes()).await.is_err() {
        return false;
    }
    let mut first = [0; 1];
    let read = timeout(LONG, stream.read(&mut first)).await.expect("an answer or an end in time");
    if !matches!(read, Ok(1)) {
        return false;
    }
    response(stream).await;
    true
}

#[test]
fn connections_of_one_source_and_in_all_have_their_limits() {
    block_on(async {
        let place = Place::new();
        let text = listener(&place, "tcp", 5060, "");
        place.configure(&text);
        let config = std::fs::read_to_string(place.config_file()).unwrap();
        let limits = "[sip]\nconnections_max = 5\nconnections_per_source_max = 3\n";
        std::fs::write(place.config_file(), config.replacen("[sip]\n", limits, 1)).unwrap();
        let _daemon = place.start().await;
        let ours = format!("{}:5060", place.daemon);
        let mut one = Vec::new();
        for n in 0..3 {
            let mut stream = connect_from(&place.carrier, &ours).await;
            assert!(is_served(&mut stream, &format!("one{n}")).await, "{n}");
            one.push(stream);
        }
        let mut fourth = connect_from(&place.carrier, &ours).await;
        assert!(!is_served(&mut fourth, "one3").await, "one source has three");
        let mut two = Vec::new();
        for n in 0..2 {
            let mut stream = connect_from(&place.phones, &ours).await;
            assert!(is_served(&mut stream, &format!("two{n}")).await, "{n}");
            two.push(stream);
        }
        let mut sixth = connect_from(&place.phones, &ours).await;
        assert!(!is_served(&mut sixth, "two2").await, "there are five in all");
        // Those that stand are not disturbed, and who leaves makes room.
        for stream in one.iter_mut().chain(&mut two) {
            assert!(is_served(stream, "again").await);
        }
        one.pop();
        until("there is room again", async || {
            let mut stream = connect_from(&place.carrier, &ours).await;
            is_served(&mut stream, "late").await
        })
        .await;
    });
}

#[test]
fn who_does_not_read_and_who_writes_too_slowly_is_left_while_others_are_served() {
    block_on(async {
        let place = Place::new();
        // A trunk: strangers who ask so much would not be answered at all.
        place.configure(&format!(
            "{}[[trunk]]\nname = \"deaf\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n",
            listener(&place, "tcp", 5060, ""),
            place.carrier
        ));
        let config = std::fs::read_to_string(place.config_file()).unwrap();
        let limits = "[sip]\nconnection_message_s = 1\nconnection_write_s = 1\n";
        std::fs::write(place.config_file(), config.replacen("[sip]\n", limits, 1)).unwrap();
        let daemon = place.start().await;
        let ours = format!("{}:5060", place.daemon);

        // Asks and asks, and never reads an answer.
        let stalled = async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4_096).unwrap();
            socket.bind(format!("{}:0", place.carrier).parse().unwrap()).unwrap();
            let mut stream = socket.connect(ours.parse().unwrap()).await.unwrap();
            let many: String = (0..200).map(|n| options("TCP", &format!("deaf{n}"))).collect();
            while stream.write_all(many.as_bytes()).await.is_ok() {}
        };
        // A byte now and then of a message that never ends.
        let slow = async {
            let mut stream = TcpStream::connect(ours.as_str()).await.unwrap();
            stream.write_all(b"OPTIONS sip:x@h SIP/2.0\r\nX: ").await.unwrap();
            let mut byte = [0; 1];
            loop {
                let pause = std::time::Duration::from_millis(200);
                match timeout(pause, stream.read(&mut byte)).await {
                    Ok(Ok(0) | Err(_)) => break,
                    Ok(Ok(_)) => panic!("nothing is owed"),
                    Err(_) => drop(stream.write_all(b"a").await),
                }
            }
        };
        let mut other = connect_from(&place.phones, &ours).await;
        let ends = timeout(LONG, async { tokio::join!(stalled, slow) });
        let mut asks = 0_u32;
        let ended = tokio::select! {
            ended = ends => ended,
            () = async {
                loop {
                    asked(&mut other, "TCP", &format!("other{asks}")).await;
                    asks += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            } => unreachable!("it asks for ever"),
        };
        assert!(ended.is_ok(), "both are given up\n{}", daemon.log_text());
        assert!(asks > 0, "others were served meanwhile");
        // (The last question of the other may be open still.)
        let mut after = connect_from(&place.phones, &ours).await;
        asked(&mut after, "TCP", "after").await;
    });
}

#[test]
fn streams_come_over_ipv6_too() {
    block_on(async {
        let place = Place::new();
        // A port of the system's choice: the one address of loopback is shared.
        let free = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let address: SocketAddr = free.local_addr().unwrap();
        drop(free);
        place.configure(&format!("[[sip.listeners]]\ntransport = \"tcp\"\naddress = \"{address}\"\n"));
        let _daemon = place.start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        asked(&mut stream, "TCP", "six").await;
        stream
            .write_all(options("TCP", "received").replace("192.0.2.7:5060", "[2001:db8::7]:5060").as_bytes())
            .await
            .unwrap();
        let answer = response(&mut stream).await;
        assert!(answer.contains(";received=::1"), "{answer}");
    });
}

/// A call of the carrier to 8001.
pub fn invite(place: &Place, id: &str) -> String {
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n",
        place.carrier
    );
    format!(
        "INVITE sip:8001@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {1}:5080;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:7001@{1}>;tag=1\r\nTo: <sip:8001@{0}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:7001@{1}:5080>\r\nContent-Type: application/sdp\r\nContent-Length: {2}\r\n\r\n{sdp}",
        place.daemon,
        place.carrier,
        sdp.len()
    )
}

/// The refusal of a request.
fn busy(request: &str) -> String {
    let line = |name: &str| {
        request.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {request}"))
    };
    format!(
        "SIP/2.0 486 Busy Here\r\n{}\r\n{}\r\n{};tag=2\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
        line("Via: "),
        line("From: "),
        line("To: "),
        line("Call-ID: "),
        line("CSeq: ")
    )
}

/// The first response that is not provisional.
pub async fn final_answer(callers: &UdpSocket) -> String {
    let mut answer = vec![0; 2_048];
    loop {
        let (length, _) = timeout(LONG, callers.recv_from(&mut answer)).await.expect("an end").unwrap();
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        if !text.starts_with("SIP/2.0 1") {
            return text;
        }
    }
}

/// On a node with several addresses.
#[test]
fn a_trunk_is_spoken_with_from_the_listener_it_names() {
    block_on(async {
        let place = Place::new();
        let inside = place.another(4);
        place.configure(&format!(
            "[[sip.listeners]]\ntransport = \"udp\"\naddress = \"{inside}:5060\"\n\
             [[trunk]]\nname = \"callers\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             [[trunk]]\nname = \"callees\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\n\
             listener = \"{inside}:5060\"\n\
             [[route]]\nfrom = \"callers\"\nto = \"callees\"\nmedia = \"bypass\"\n",
            place.carrier, place.phones,
        ));
        let daemon = place.start().await;
        let callers = UdpSocket::bind((place.carrier.as_str(), 5080)).await.unwrap();
        let callees = UdpSocket::bind((place.phones.as_str(), 5080)).await.unwrap();
        let ours = (place.daemon.as_str(), 5060);
        callers.send_to(invite(&place, "inside").as_bytes(), ours).await.unwrap();
        let mut request = vec![0; 4_096];
        let taken = timeout(LONG, callees.recv_from(&mut request)).await;
        let (length, from) = taken.unwrap_or_else(|_| panic!("no INVITE\n{}", daemon.log_text())).unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert_eq!(from.to_string(), format!("{inside}:5060"));
        assert!(request.contains(&format!("Via: SIP/2.0/UDP {inside}:5060;")), "{request}");
        assert!(request.contains(&format!("@{inside}:5060>\r\n")), "the Contact\n{request}");
        callees.send_to(busy(&request).as_bytes(), from).await.unwrap();
        assert!(final_answer(&callers).await.starts_with("SIP/2.0 486 "));
    });
}

#[test]
fn a_request_too_long_for_a_datagram_goes_over_a_connection() {
    block_on(async {
        let place = Place::new();
        let filling = "x".repeat(200);
        let lines = (0..6).map(|n| format!("\"X-Long-{n}: {filling}\"")).collect::<Vec<_>>().join(", ");
        place.configure(&format!(
            "{}[[trunk]]\nname = \"callers\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\ncps_max = 100.0\n\
             [[trunk]]\nname = \"callees\"\naddress = \"{}:5080\"\noptions_interval_ms = 0\ncps_max = 100.0\n\
             headers_add = [{lines}]\n\
             [[route]]\nfrom = \"callers\"\nto = \"callees\"\nmedia = \"bypass\"\n",
            listener(&place, "tcp", 5060, ""),
            place.carrier,
            place.phones,
        ));
        let daemon = place.start().await;
        let callers = UdpSocket::bind((place.carrier.as_str(), 5080)).await.unwrap();
        let callees = TcpListener::bind((place.phones.as_str(), 5080)).await.unwrap();
        let invite = invite(&place, "long");
        callers.send_to(invite.as_bytes(), (place.daemon.as_str(), 5060)).await.unwrap();
        let taken = timeout(LONG, callees.accept()).await;
        let (mut stream, _) =
            taken.unwrap_or_else(|_| panic!("no connection\n{}", daemon.log_text())).unwrap();
        let mut request = vec![0; 8_192];
        let mut length = 0;
        while !String::from_utf8_lossy(&request[..length]).contains("m=audio") {
            let read = timeout(LONG, stream.read(&mut request[length..])).await.expect("the INVITE in time");
            length += read.unwrap();
        }
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert!(request.starts_with("INVITE sip:8001@"), "{request}");
        assert!(request.len() > 1_300 && request.matches(&filling).count() == 6, "{request}");
        // RFC 3261 §18.1.1: the Via says by what it went.
        assert!(request.contains(&format!("Via: SIP/2.0/TCP {}:5060;", place.daemon)), "{request}");
        let busy = busy(&request);
        stream.write_all(busy.as_bytes()).await.unwrap();
        assert!(final_answer(&callers).await.starts_with("SIP/2.0 486 "));
    });
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody() {
    block_on(async {
        let place = Place::new();
        let (old, new) = (Authority::new(&place, "old.pem"), Authority::new(&place, "new.pem"));
        let write = |authority: &Authority| {
            let (_, key, certificate) = authority.certify("sip.example.test");
            std::fs::write(place.folder.path().join("sip.pem"), certificate).unwrap();
            std::fs::write(place.folder.path().join("sip.key"), key.serialize_pem()).unwrap();
        };
        write(&old);
        let files = "certificate = \"sip.pem\"\nkey = \"sip.key\"\n";
        place.configure(&listener(&place, "tls", 5061, files));
        let daemon = place.start().await;
        let shows = async |authority: &Authority| {
            let name = ServerName::try_from("sip.example.test").unwrap();
            let tcp = TcpStream::connect((place.daemon.as_str(), 5061)).await.unwrap();
            authority.connector(None).connect(name, tcp).await
        };
        let mut standing = shows(&old).await.expect("the first certificate");
        asked(&mut standing, "TLS", "before").await;

        write(&new);
        daemon.signal("-HUP");
        until("the new certificate is shown", async || shows(&new).await.is_ok()).await;
        assert!(shows(&old).await.is_err(), "the old one is shown no more");
        asked(&mut standing, "TLS", "standing").await;

        std::fs::write(place.folder.path().join("sip.pem"), "no certificate").unwrap();
        daemon.signal("-HUP");
        until("it is told", async || daemon.log_text().contains("cannot be used")).await;
        let mut after = shows(&new).await.expect("the one before stays in use");
        asked(&mut after, "TLS", "after").await;
        drop(after);
        let mut plain = TcpStream::connect((place.daemon.as_str(), 5061)).await.unwrap();
        plain.write_all(options("TCP", "plain").as_bytes()).await.unwrap();
        let mut told = Vec::new();
        // An alert of TLS at most, and the end.
        let _ = timeout(LONG, plain.read_to_end(&mut told)).await.expect("an end in time");
        assert!(!told.starts_with(b"SIP/2.0"), "{told:?}");
    });
}
