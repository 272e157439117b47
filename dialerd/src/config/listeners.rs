//! Where SIP is listened for: `sip.listen` (UDP) and `[[sip.listeners]]`.

use super::check::Faults;
use super::raw::{self, ClientCertificate, SipTransport};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A listener, checked.
#[derive(Debug, Clone)]
pub struct SipListener {
    pub transport: SipTransport,
    pub address: SocketAddr,
    /// Its key in the file, for messages.
    pub file_key: String,
    pub advertised: Option<String>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub authorities: Option<PathBuf>,
    pub client_certificate: ClientCertificate,
}

/// The certificate of the API.
#[derive(Debug, Clone)]
pub struct ApiTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Clients must show a certificate of one of these.
    pub authorities: Option<PathBuf>,
}

/// What `[api]` says of TLS; `None`: plain HTTP.
pub(super) fn check_api(api: &raw::Api, folder: &Path, faults: &mut Faults) -> Option<ApiTls> {
    let file =
        |path: &Option<String>| path.as_ref().filter(|path| !path.is_empty()).map(|path| folder.join(path));
    let (certificate, key, authorities) = (file(&api.certificate), file(&api.key), file(&api.ca));
    for (name, path) in [("api.certificate", &certificate), ("api.key", &key), ("api.ca", &authorities)] {
        faults.require(path.as_ref().is_none_or(|path| path.is_file()), name, "a file that is there");
    }
    faults.require(
        certificate.is_some() == key.is_some(),
        "api.certificate",
        "`certificate` and `key` together, or neither",
    );
    faults.require(
        authorities.is_none() || certificate.is_some(),
        "api.ca",
        "`certificate` and `key` beside it: clients show certificates only over TLS",
    );
    Some(ApiTls { certificate: certificate?, key: key?, authorities })
}

/// Listeners at once, of both sorts.
const LISTENERS_MAX: usize = 16;

/// UDP listeners first: those of `sip.listen`, then those of `[[sip.listeners]]`; then the others.
pub(super) fn check(sip: &raw::Sip, folder: &Path, faults: &mut Faults) -> Vec<SipListener> {
    let mut listeners = Vec::new();
    for (index, text) in sip.listen.iter().enumerate() {
        let file_key = format!("sip.listen[{index}]");
        listeners.push(SipListener {
            transport: SipTransport::Udp,
            address: faults.socket(text, &file_key),
            file_key,
            advertised: None,
            certificate: None,
            key: None,
            authorities: None,
            client_certificate: ClientCertificate::None,
        });
    }
    for (index, listener) in sip.listeners.iter().enumerate() {
        listeners.push(one(index, listener, folder, faults));
    }
    listeners.sort_by_key(|listener| listener.transport != SipTransport::Udp);
    faults.require(
        (1..=LISTENERS_MAX).contains(&listeners.len()),
        "sip.listen",
        "1 to 16 addresses, those of [[sip.listeners]] included",
    );
    faults.require(
        listeners.first().is_some_and(|listener| listener.transport == SipTransport::Udp),
        "sip.listen",
        "at least one UDP address, here or in [[sip.listeners]]",
    );
    faults.require((1..=1_000_000).contains(&sip.connections_max), "sip.connections_max", "1 to 1000000");
    faults.require(
        (1..=1_000_000).contains(&sip.connections_per_source_max),
        "sip.connections_per_source_max",
        "1 to 1000000",
    );
    faults.require(
        (10..=86_400).contains(&sip.connection_idle_s),
        "sip.connection_idle_s",
        "10 to 86400 seconds",
    );
    for (seconds, key) in [
        (sip.connection_message_s, "sip.connection_message_s"),
        (sip.connection_write_s, "sip.connection_write_s"),
    ] {
        faults.require((1..=300).contains(&seconds), key, "1 to 300 seconds");
    }
    listeners
}

fn one(index: usize, raw: &raw::SipListener, folder: &Path, faults: &mut Faults) -> SipListener {
    let key = |name: &str| format!("sip.listeners[{index}].{name}");
    let file =
        |path: &Option<String>| path.as_ref().filter(|path| !path.is_empty()).map(|path| folder.join(path));
    let listener = SipListener {
        transport: raw.transport,
        address: faults.socket(&raw.address, &key("address")),
        file_key: format!("sip.listeners[{index}]"),
        advertised: raw.advertised.clone().filter(|host| !host.is_empty()),
        certificate: file(&raw.certificate),
        key: file(&raw.key),
        authorities: file(&raw.ca),
        client_certificate: raw.client_certificate,
    };
    if let Some(host) = &listener.advertised {
        faults.require(
            is_host_port(host),
            &key("advertised"),
            "host or host:port, such as \"sip.example.com:5061\"",
        );
    }
    if matches!(raw.transport, SipTransport::Tls | SipTransport::Wss) {
        let both = listener.certificate.is_some() && listener.key.is_some();
        faults.require(
            both,
            &key("transport"),
            "`certificate` and `key` (PEM files) beside it, which TLS needs",
        );
        for (name, path) in [("certificate", &listener.certificate), ("key", &listener.key)] {
            let there = path.as_ref().is_none_or(|path| path.is_file());
            faults.require(there, &key(name), "a file that is there");
        }
        faults.require(
            listener.authorities.as_ref().is_none_or(|path| path.is_file()),
            &key("ca"),
            "a file that is there",
        );
    } else {
        for (name, path) in
            [("certificate", &listener.certificate), ("key", &listener.key), ("ca", &listener.authorities)]
        {
            faults.require(path.is_none(), &key(name), "nothing, as this transport has no TLS");
        }
    }
    faults.require(
        raw.client_certificate == ClientCertificate::None || listener.authorities.is_some(),
        &key("client_certificate"),
        "\"none\", or `ca` with the authorities that clients' certificates must come from",
    );
    listener
}

/// Letters, digits, dots and dashes, or an IPv6 address in brackets; a port may follow.
fn is_host_port(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound = bracketed.map_or_else(
        || !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
        |inner| inner.parse::<std::net::Ipv6Addr>().is_ok(),
    );
    sound && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}
