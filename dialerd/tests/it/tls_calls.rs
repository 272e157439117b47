//! Calls over TLS from end to end: who calls, who is called, and an answer whose connection is gone. SIPp as Debian has it
//! speaks no TLS, so both sides are played here.

use crate::harness::{Place, block_on, until};
use crate::streams::{Authority, LONG};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, client, server};

/// Reads one message, its body too.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = timeout(LONG, stream.read_u8()).await.expect("a message in time");
        text.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text))));
    }
    let head = String::from_utf8(text).expect("text");
    let length = value(&head, "Content-Length").parse().expect("a length");
    let mut body = vec![0; length];
    timeout(LONG, stream.read_exact(&mut body)).await.expect("a body in time").expect("the whole body");
    head + &String::from_utf8(body).expect("text")
}

/// … the first that is no provisional response.
async fn final_message(stream: &mut (impl AsyncRead + Unpin)) -> String {
    loop {
        let text = message(stream).await;
        if !text.starts_with("SIP/2.0 1") {
            return text;
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.expect("it reads");
    stream.flush().await.expect("it reads");
}

/// The value of the first header of this name.
fn value<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// The URI of a Contact.
fn contact(text: &str) -> &str {
    value(text, "Contact").split(['<', '>']).nth(1).expect("a URI in brackets")
}

fn sdp(host: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
}

fn with_sdp(head: &str, host: &str) -> String {
    let sdp = sdp(host);
    format!("{head}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// A response to a request: its headers, a tag, and more lines.
fn response(request: &str, status: &str, more: &str) -> String {
    let vias = request.lines().filter(|line| line.starts_with("Via: ")).collect::<Vec<_>>().join("\r\n");
    let to = value(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
    format!(
        "SIP/2.0 {status}\r\n{vias}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}",
        value(request, "From"),
        value(request, "Call-ID"),
        value(request, "CSeq")
    )
}

const NO_BODY: &str = "Content-Length: 0\r\n\r\n";

/// The carrier that calls and the carrier that is called, both over TLS.
struct Scene {
    place: Place,
    authority: Authority,
    callee: TcpListener,
    callee_tls: TlsAcceptor,
}

impl Scene {
    async fn new() -> Scene {
        let place = Place::new();
        let authority = Authority::new(&place, "ca.pem");
        let (_, key, certificate) = authority.certify("sip.example.test");
        std::fs::write(place.folder.path().join("sip.pem"), certificate).unwrap();
        std::fs::write(place.folder.path().join("sip.key"), key.serialize_pem()).unwrap();
        place.configure(&format!(
            "[[sip.listeners]]\ntransport = \"tls\"\naddress = \"{}:5061\"\ncertificate = \"sip.pem\"\n\
             key = \"sip.key\"\nca = \"ca.pem\"\nclient_certificate = \"required\"\n\
             [[trunk]]\nname = \"callers\"\naddress = \"{1}:5061\"\nsources = [\"{1}\"]\ntransport = \"tls\"\n\
             options_interval_ms = 0\n\
             [[trunk]]\nname = \"callees\"\naddress = \"{2}:5061\"\nsources = [\"{2}\"]\ntransport = \"tls\"\n\
             options_interval_ms = 0\n\
             [[route]]\nfrom = \"callers\"\nto = \"callees\"\nmedia = \"bypass\"\n",
            place.daemon, place.carrier, place.phones,
        ));
        let callee = TcpListener::bind((place.phones.as_str(), 5061)).await.unwrap();
        // A trunk that is an address shows a certificate for it.
        let callee_tls = acceptor(&authority, &place.phones);
        Scene { place, authority, callee, callee_tls }
    }

    /// A connection of the carrier that calls.
    async fn connect(&self) -> client::TlsStream<tokio::net::TcpStream> {
        let mut stream = None;
        until("the daemon listens", async || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(format!("{}:0", self.place.carrier).parse().unwrap()).unwrap();
            stream = socket.connect(format!("{}:5061", self.place.daemon).parse().unwrap()).await.ok();
            stream.is_some()
        })
        .await;
        let name = ServerName::try_from("sip.example.test").unwrap();
        let connector = self.authority.connector(Some("carrier.example.test"));
        connector.connect(name, stream.unwrap()).await.expect("a handshake")
    }

    async fn accept(&self) -> server::TlsStream<tokio::net::TcpStream> {
        accept(&self.callee, &self.callee_tls).await
    }

    fn invite(&self, id: &str, scheme: &str, sent_by: &str) -> String {
        let (ours, host) = (&self.place.daemon, &self.place.carrier);
        let head = format!(
            "INVITE {scheme}:8001@{ours}:5061 SIP/2.0\r\nVia: SIP/2.0/TLS {sent_by};branch=z9hG4bK{id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:7001@{host}>;tag=caller\r\nTo: <{scheme}:8001@{ours}>\r\nCall-ID: {id}\r\n\
             CSeq: 1 INVITE\r\nContact: <{scheme}:7001@{host}:5061;transport=tls>\r\n"
        );
        with_sdp(&head, host)
    }

    /// ACK or BYE of the caller.
    fn within(&self, method: &str, cseq: u32, answer: &str) -> String {
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TLS {}:5061;branch=z9hG4bK{method}{}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{NO_BODY}",
            contact(answer),
            self.place.carrier,
            value(answer, "Call-ID"),
            value(answer, "From"),
            value(answer, "To"),
            value(answer, "Call-ID"),
        )
    }
}

/// A server that shows a certificate for this name or address, and wants one of its clients that the authority has signed.
fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let (certificate, key, _) = authority.certify(name);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: &TcpListener, tls: &TlsAcceptor) -> server::TlsStream<tokio::net::TcpStream> {
    let (stream, _) = timeout(LONG, listener.accept()).await.expect("a connection in time").unwrap();
    timeout(LONG, tls.accept(stream)).await.expect("a handshake in time").expect("a handshake")
}

/// Both legs over TLS, the certificates of all three looked at; hung up by either side; and by SIPS, where our Contact is one
/// too (RFC 3261 §12.1.1).
#[test]
fn calls_over_tls_on_both_sides() {
    block_on(async {
        let scene = Scene::new().await;
        let _daemon = scene.place.start().await;
        let mut caller = scene.connect().await;
        let (ours, phones) = (&scene.place.daemon, &scene.place.phones);
        let callee_contact = format!("Contact: <sip:8001@{phones}:5061;transport=tls>\r\n");
        let mut callee = None;
        for (id, scheme) in [("one", "sip"), ("two", "sips")] {
            let sent_by = format!("{}:5061", scene.place.carrier);
            send(&mut caller, &scene.invite(id, scheme, &sent_by)).await;
            let callee = match &mut callee {
                None => callee.insert(scene.accept().await),
                Some(callee) => callee,
            };
            let invite = message(callee).await;
            assert!(invite.starts_with("INVITE sip:8001@"), "{invite}");
            assert!(value(&invite, "Via").starts_with(&format!("SIP/2.0/TLS {ours}:5061;")), "{invite}");
            assert!(contact(&invite).ends_with(&format!("@{ours}:5061;transport=tls")), "{invite}");
            assert!(invite.ends_with(&sdp(&scene.place.carrier)), "{invite}");
            send(callee, &response(&invite, "180 Ringing", &format!("{callee_contact}{NO_BODY}"))).await;
            send(callee, &with_sdp(&response(&invite, "200 OK", &callee_contact), phones)).await;

            let answer = final_message(&mut caller).await;
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            assert!(answer.ends_with(&sdp(phones)), "{answer}");
            let expected = match scheme {
                "sips" => format!("@{ours}:5061"),
                _ => format!("@{ours}:5061;transport=tls"),
            };
            let contact = contact(&answer);
            assert!(contact.starts_with(&format!("{scheme}:")) && contact.ends_with(&expected), "{answer}");
            send(&mut caller, &scene.within("ACK", 1, &answer)).await;
            assert!(message(callee).await.starts_with("ACK "), "the ACK goes on");
            if scheme == "sip" {
                send(&mut caller, &scene.within("BYE", 2, &answer)).await;
                let bye = message(callee).await;
                assert!(bye.starts_with(&format!("BYE sip:8001@{phones}:5061;transport=tls ")), "{bye}");
                send(callee, &response(&bye, "200 OK", NO_BODY)).await;
                assert!(final_message(&mut caller).await.starts_with("SIP/2.0 200 "));
            } else {
                // The callee ends it: our BYE goes to a target of SIPS.
                let (from, to) = (value(&invite, "To"), value(&invite, "From"));
                let bye = format!(
                    "BYE {} SIP/2.0\r\nVia: SIP/2.0/TLS {phones}:5061;branch=z9hG4bKend\r\nMax-Forwards: 70\r\n\
                     From: {from};tag=callee\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n{NO_BODY}",
                    crate::tls_calls::contact(&invite),
                    value(&invite, "Call-ID"),
                );
                send(callee, &bye).await;
                assert!(final_message(callee).await.starts_with("SIP/2.0 200 "));
                let bye = message(&mut caller).await;
                assert!(bye.starts_with(&format!("BYE sips:7001@{}:5061", scene.place.carrier)), "{bye}");
                send(&mut caller, &response(&bye, "200 OK", NO_BODY)).await;
            }
        }
        until("both are in the records", async || {
            scene.place.api().all("/v1/cdrs?limit=10").await.len() == 2
        })
        .await;
    });
}

/// The caller's connection is gone when its call is refused: the refusal goes over a connection to where the caller takes them,
/// and only to who shows a certificate for the name in sent-by (RFC 3261 §18.2.2).
#[test]
fn an_answer_goes_back_over_a_connection_of_our_own() {
    block_on(async {
        let scene = Scene::new().await;
        let daemon = scene.place.start().await;
        let callers = TcpListener::bind((scene.place.carrier.as_str(), 5071)).await.unwrap();
        let mut callee = None;
        for (id, name, believed) in
            [("good", "caller.example.test", true), ("bad", "somebody.example.test", false)]
        {
            let mut caller = scene.connect().await;
            send(&mut caller, &scene.invite(id, "sip", "caller.example.test:5071")).await;
            let callee = match &mut callee {
                None => callee.insert(scene.accept().await),
                Some(callee) => callee,
            };
            let invite = message(callee).await;
            let open = async || {
                let text =
                    scene.place.api().admin("/metrics").await.map(|(_, text)| text).unwrap_or_default();
                let line = text.lines().find(|line| line.starts_with("sip_connections ")).unwrap_or("");
                line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or(f64::MAX)
            };
            let before = open().await;
            drop(caller);
            until("the connection is gone", async || open().await < before).await;
            send(callee, &response(&invite, "486 Busy Here", NO_BODY)).await;
            assert!(message(callee).await.starts_with("ACK "), "the refusal is acknowledged");
            let (stream, _) = timeout(LONG, callers.accept()).await.expect("a connection in time").unwrap();
            let made = timeout(LONG, acceptor(&scene.authority, name).accept(stream)).await.expect("in time");
            let refusal = match made {
                Ok(mut stream) => timeout(LONG, stream.read_u8()).await.expect("in time").ok(),
                Err(_) => None,
            };
            assert_eq!(refusal, believed.then_some(b'S'), "{name}\n{}", daemon.log_text());
        }
    });
}
