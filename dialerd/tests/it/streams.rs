//! TCP, TLS, WebSocket and WebSocket over TLS with real sockets, and SIPp over TCP on either side.

use crate::harness::{Place, block_on, until_bound};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

pub fn options(transport: &str, id: &str) -> String {
    format!(
        "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.7:5060;rport;branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Reads until a whole response is there; gives it.
pub async fn response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") || text.len() < 10 {
        let byte = tokio::time::timeout(LONG, stream.read_u8()).await.expect("an answer in time");
        text.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text))));
    }
    String::from_utf8(text).expect("text")
}

/// Reads to the end.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await.expect("an end in time");
    assert!(read.is_ok(), "{read:?}");
    String::from_utf8(text).expect("text")
}

pub async fn asked(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), transport: &str, id: &str) {
    stream.write_all(options(transport, id).as_bytes()).await.expect("it reads");
    let answer = response(stream).await;
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("Call-ID: {id}\r\n")), "{answer}");
}

/// An authority, and certificates of it in files of the place.
pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(place: &Place, file: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of one name with what it certifies it would pass for self-signed.
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(place.folder.path().join(file), issuer.pem()).unwrap();
        Authority { issuer }
    }

    pub fn certify(&self, name: &str) -> (CertificateDer<'static>, KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pem = certificate.pem();
        (certificate.der().clone(), key, pem)
    }

    pub fn connector(&self, client: Option<&str>) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key, _) = self.certify(name);
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn configure(place: &Place) -> Authority {
    let authority = Authority::new(place, "ca.pem");
    let (_, key, certificate) = authority.certify("sip.example.test");
    std::fs::write(place.folder.path().join("sip.pem"), certificate).unwrap();
    std::fs::write(place.folder.path().join("sip.key"), key.serialize_pem()).unwrap();
    let files = "certificate = \"sip.pem\"\nkey = \"sip.key\"\n";
    let listener = |transport: &str, port: u16, more: &str| {
        format!(
            "[[sip.listeners]]\ntransport = \"{transport}\"\naddress = \"{}:{port}\"\n{more}",
            place.daemon
        )
    };
    place.configure(&format!(
        "{}{}{}{}{}",
        listener("tcp", 5060, ""),
        listener("tls", 5061, files),
        listener("tls", 5062, &format!("{files}ca = \"ca.pem\"\nclient_certificate = \"required\"\n")),
        listener("ws", 8088, ""),
        listener("wss", 8089, files),
    ));
    authority
}

/// A peer that has closed its side of a connection alone gets the answers to all it has asked, also those that take
/// longer; then we close ours.
#[test]
fn a_peer_that_says_no_more_is_still_answered() {
    block_on(async {
        let place = Place::new();
        configure(&place);
        let _daemon = place.start().await;
        let mut stream = TcpStream::connect((place.daemon, 5060)).await.unwrap();
        let all: String = (0..8).map(|number| options("TCP", &format!("half{number}"))).collect();
        stream.write_all(all.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let heard = rest(&mut stream).await;
        assert_eq!(heard.matches("SIP/2.0 200 OK\r\n").count(), 8, "{heard}");
    });
}

#[test]
fn every_transport_answers_and_broken_streams_are_ended() {
    block_on(async {
        let place = Place::new();
        let authority = configure(&place);
        let mut daemon = place.start().await;
        let connect = async |port: u16| TcpStream::connect((place.daemon.as_str(), port)).await.unwrap();

        // TCP: messages byte by byte, several at once, keep-alives between them.
        let mut tcp = connect(5060).await;
        for byte in options("TCP", "slow").bytes() {
            tcp.write_all(&[byte]).await.unwrap();
        }
        assert!(response(&mut tcp).await.contains("Call-ID: slow\r\n"));
        tcp.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!((tcp.read_u8().await.unwrap(), tcp.read_u8().await.unwrap()), (b'\r', b'\n'));
        let many: String = (0..50).map(|id| options("TCP", &format!("many{id}"))).collect();
        tcp.write_all(many.as_bytes()).await.unwrap();
        for id in 0..50 {
            assert!(response(&mut tcp).await.contains(&format!("Call-ID: many{id}\r\n")));
        }

        // What cannot be framed is answered where it can be, and ends its connection only.
        let mut broken = connect(5060).await;
        broken
            .write_all(options("TCP", "nolength").replace("Content-Length: 0\r\n", "").as_bytes())
            .await
            .unwrap();
        let told = rest(&mut broken).await;
        assert!(told.starts_with("SIP/2.0 400 Missing Content-Length\r\n"), "{told}");
        let mut web = connect(5060).await;
        web.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(rest(&mut web).await, "");
        asked(&mut tcp, "TCP", "after").await;

        // TLS, and TLS that asks for a certificate.
        let name = || ServerName::try_from("sip.example.test").unwrap();
        let plain = authority.connector(None);
        let mut tls = plain.connect(name(), connect(5061).await).await.unwrap();
        asked(&mut tls, "TLS", "tls").await;
        let known = authority.connector(Some("carrier.example.test"));
        let mut mutual = known.connect(name(), connect(5062).await).await.unwrap();
        asked(&mut mutual, "TLS", "mutual").await;
        let stranger = async {
            let mut refused = plain.connect(name(), connect(5062).await).await?;
            refused.write_all(options("TLS", "stranger").as_bytes()).await?;
            refused.read_u8().await
        };
        assert!(tokio::time::timeout(LONG, stranger).await.expect("an end in time").is_err());

        // WebSocket: only with the sub-protocol, each message in a frame of its own.
        let url = format!("ws://{}:8088/", place.daemon);
        let without = tokio_tungstenite::client_async(url.as_str(), connect(8088).await).await;
        assert!(matches!(without, Err(tungstenite::Error::Http(answer)) if answer.status() == 400));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        let (mut ws, answer) = tokio_tungstenite::client_async(request, connect(8088).await).await.unwrap();
        assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "sip");
        ws.send(Message::text(options("WS", "ws"))).await.unwrap();
        let told =
            tokio::time::timeout(LONG, ws.next()).await.unwrap().unwrap().unwrap().into_text().unwrap();
        assert!(told.starts_with("SIP/2.0 200 OK\r\n") && told.contains("Call-ID: ws\r\n"), "{told}");
        ws.send(Message::text("\r\n\r\n")).await.unwrap();
        let pong =
            tokio::time::timeout(LONG, ws.next()).await.unwrap().unwrap().unwrap().into_text().unwrap();
        assert_eq!(pong, "\r\n");
        let secure = plain.connect(name(), connect(8089).await).await.unwrap();
        let mut request = "wss://sip.example.test/".into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "chat, sip".parse().unwrap());
        let (mut wss, _) = tokio_tungstenite::client_async(request, secure).await.unwrap();
        wss.send(Message::binary(options("WSS", "wss"))).await.unwrap();
        let told =
            tokio::time::timeout(LONG, wss.next()).await.unwrap().unwrap().unwrap().into_text().unwrap();
        assert!(told.contains("Call-ID: wss\r\n"), "{told}");

        let shown = Command::new("openssl")
            .args(["s_client", "-connect", &format!("{}:5061", place.daemon), "-CAfile"])
            .arg(place.folder.path().join("ca.pem"))
            .args(["-verify_hostname", "sip.example.test", "-verify_return_error"])
            .stdin(Stdio::null())
            .output()
            .expect("openssl is there");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");

        daemon.terminate();
        assert!(daemon.ended().await.success());
    });
}

/// Runs SIPp; gives what it said when it ended.
pub fn sipp(place: &Place, arguments: &[&str]) -> std::process::Child {
    Command::new("sipp")
        .args(arguments)
        .args(["-nostdin", "-timeout", "180", "-timeout_error"])
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("sipp is there")
}

#[test]
fn sipp_calls_over_tcp_are_carried_to_udp_and_back() {
    block_on(async {
        let place = Place::new();
        place.configure(&format!(
            "[[sip.listeners]]\ntransport = \"tcp\"\naddress = \"{0}:5060\"\n\
             [[trunk]]\nname = \"plain\"\naddress = \"{1}:5080\"\noptions_interval_ms = 0\ncps_max = 100.0\n\
             [[trunk]]\nname = \"stream\"\naddress = \"{2}:5080\"\ntransport = \"tcp\"\noptions_interval_ms = 0\n\
             cps_max = 100.0\n\
             [[route]]\nfrom = \"plain\"\nto = \"stream\"\nmedia = \"bypass\"\n\
             [[route]]\nfrom = \"stream\"\nto = \"plain\"\nmedia = \"bypass\"\n",
            place.daemon, place.carrier, place.phones
        ));
        let daemon = place.start().await;
        let ours = format!("{}:5060", place.daemon);
        for (callee, callee_transport, caller, caller_transport) in [
            (&place.phones, "t1", &place.carrier, "u1"),
            (&place.carrier, "u1", &place.phones, "t1"),
            (&place.phones, "t1", &place.carrier, "u1"),
        ] {
            let mut uas =
                sipp(&place, &["-sn", "uas", "-i", callee, "-p", "5080", "-t", callee_transport, "-m", "20"]);
            until_bound(if callee_transport == "t1" { "tcp" } else { "udp" }, callee, 5080).await;
            let mut uac = sipp(
                &place,
                &[
                    "-sn",
                    "uac",
                    &ours,
                    "-i",
                    caller,
                    "-p",
                    "5090",
                    "-t",
                    caller_transport,
                    "-m",
                    "20",
                    "-r",
                    "20",
                    "-s",
                    "8001",
                    "-d",
                    "100",
                ],
            );
            let called = tokio::task::spawn_blocking(move || (uac.wait(), uas.wait())).await.unwrap();
            assert!(called.0.unwrap().success(), "the caller over {caller_transport}\n{}", daemon.log_text());
            assert!(called.1.unwrap().success(), "the callee over {callee_transport}\n{}", daemon.log_text());
        }
    });
}
