//! Which packets come to the one socket of all reports.

use crate::world::alone;
use kernel_relay::{Options, Relay, Reports};
use std::net::{IpAddr, SocketAddr, UdpSocket};

const PORTS: (u16, u16) = (30_000, 30_008);

fn open(local: IpAddr) -> Option<(UdpSocket, Reports)> {
    let socket = UdpSocket::bind(SocketAddr::new(local, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    match Reports::open(PORTS, local, &socket) {
        Ok(reports) => Some((socket, reports)),
        // Where sound can be relayed in the kernel, this can be done, too.
        Err(why) => {
            let interfaces = vec!["lo".to_owned()];
            let options = Options { ports: PORTS, local, interfaces, clock_offset_ns: 0, by_filter: false };
            assert!(Relay::open(options).is_err(), "{why}");
            println!("skipped: {why}");
            None
        }
    }
}

/// Whether what is sent there comes to the socket. Loopback delivers within the send call.
fn comes(socket: &UdpSocket, to: SocketAddr) -> bool {
    let sender = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
    sender.send_to(b"report", to).unwrap();
    matches!(socket.recv_from(&mut [0; 10]), Ok((6, from)) if from == sender.local_addr().unwrap())
}

fn only_ports_of_reports_are_steered(local: &str, other: Option<&str>) {
    if !alone() {
        return;
    }
    let local: IpAddr = local.parse().unwrap();
    let Some((socket, reports)) = open(local) else { return };
    for port in [30_001, 30_003, 30_009] {
        assert!(comes(&socket, SocketAddr::new(local, port)), "{port}");
    }
    for port in [29_999, 30_000, 30_002, 30_008, 30_010, 30_011] {
        assert!(!comes(&socket, SocketAddr::new(local, port)), "{port}");
    }
    if let Some(other) = other {
        assert!(!comes(&socket, SocketAddr::new(other.parse().unwrap(), 30_001)), "another's address");
    }
    // Sound goes to whoever has the port; reports come here even when somebody has taken it.
    let sound = UdpSocket::bind(SocketAddr::new(local, 30_002)).unwrap();
    sound.set_nonblocking(true).unwrap();
    assert!(comes(&sound, SocketAddr::new(local, 30_002)));
    let _thief = UdpSocket::bind(SocketAddr::new(local, 30_003)).unwrap();
    assert!(comes(&socket, SocketAddr::new(local, 30_003)));
    drop(reports);
    assert!(!comes(&socket, SocketAddr::new(local, 30_001)), "it has ended");
}

#[test]
fn only_ports_of_reports_are_steered_over_ipv4() {
    only_ports_of_reports_are_steered("127.0.0.1", Some("127.0.0.2"));
}

#[test]
fn only_ports_of_reports_are_steered_over_ipv6() {
    only_ports_of_reports_are_steered("::1", None);
}

#[test]
fn every_address_is_ours_when_none_is_named() {
    if !alone() {
        return;
    }
    let Some((socket, _reports)) = open("0.0.0.0".parse().unwrap()) else { return };
    for host in ["127.0.0.1", "127.0.0.2"] {
        assert!(comes(&socket, SocketAddr::new(host.parse().unwrap(), 30_001)), "{host}");
    }
}

/// Two shards, or two daemons, each with ports of their own.
#[test]
fn two_share_a_namespace() {
    if !alone() {
        return;
    }
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let Some((one, _reports)) = open(local) else { return };
    let other = UdpSocket::bind(SocketAddr::new(local, 0)).unwrap();
    other.set_nonblocking(true).unwrap();
    let _more = Reports::open((40_000, 40_008), local, &other).unwrap();
    assert!(comes(&one, SocketAddr::new(local, 30_001)));
    assert!(comes(&other, SocketAddr::new(local, 40_001)));
    assert!(!comes(&one, SocketAddr::new(local, 40_001)));
}
