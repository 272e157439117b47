//! Questions to the domain name system (hickory-resolver), answered by a callback.

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Services of a domain.
    Naptr,
    /// Hosts of a service.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// Order, preference, flags, service, replacement.
    Naptr(u16, u16, String, String, String),
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, String),
    /// An address.
    Address(IpAddr),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsAnswer {
    /// These records, to be believed for so long. None: there are none.
    Records(Vec<DnsRecord>, Duration),
    /// Nobody could say.
    Failed,
}

/// Asks on a runtime's threads.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    runtime: Handle,
    /// Questions at once.
    room: Arc<Semaphore>,
}

/// Questions under way at once; further ones are answered [`DnsAnswer::Failed`].
const QUESTIONS_MAX: usize = 256;
/// A server is asked again after so long …
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// … so often.
const ATTEMPTS: usize = 2;
/// That there is nothing is believed for so long, when the answer does not say.
const NOTHING_TTL: Duration = Duration::from_secs(30);

impl Dns {
    /// Asks these servers; with none, those of the system (`/etc/resolv.conf`).
    ///
    /// # Errors
    /// When the system's configuration cannot be read.
    pub fn new(servers: &[SocketAddr], runtime: Handle) -> io::Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            Resolver::builder(provider).map_err(io::Error::other)?
        } else {
            let server = |address: &SocketAddr| {
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                NameServerConfig::new(address.ip(), true, connections)
            };
            let servers = servers.iter().map(server).collect();
            Resolver::builder_with_config(ResolverConfig::from_parts(None, Vec::new(), servers), provider)
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        // What is known is kept by who asks.
        options.cache_size = 0;
        let resolver = builder.build().map_err(io::Error::other)?;
        Ok(Dns { resolver, runtime, room: Arc::new(Semaphore::new(QUESTIONS_MAX)) })
    }

    /// Asks; `answered` is called once, on another thread.
    pub fn ask<A>(
        &self,
        name: String,
        kind: RecordKind,
        answered: impl FnOnce(DnsAnswer) -> A + Send + 'static,
    ) where
        A: Future<Output = ()> + Send,
    {
        let (resolver, room) = (self.resolver.clone(), Arc::clone(&self.room));
        self.runtime.spawn(async move {
            let answer = match room.try_acquire() {
                Ok(_place) => look_up(&resolver, &name, kind).await,
                Err(_) => DnsAnswer::Failed,
            };
            answered(answer).await;
        });
    }
}

async fn look_up(resolver: &TokioResolver, name: &str, kind: RecordKind) -> DnsAnswer {
    let record_type = match kind {
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
    };
    // The dot at the end keeps the system's search list out of it.
    match resolver.lookup(format!("{name}."), record_type).await {
        Ok(found) => {
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            let records = found.answers().iter().filter_map(|record| read(&record.data)).collect();
            DnsAnswer::Records(records, ttl)
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let ttl = nothing.negative_ttl.map_or(NOTHING_TTL, |ttl| Duration::from_secs(ttl.into()));
            DnsAnswer::Records(Vec::new(), ttl)
        }
        Err(error) => {
            tracing::debug!(%error, name, "a name could not be looked up");
            DnsAnswer::Failed
        }
    }
}

fn read(data: &RData) -> Option<DnsRecord> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match data {
        RData::A(address) => Some(DnsRecord::Address(IpAddr::V4(address.0))),
        RData::AAAA(address) => Some(DnsRecord::Address(IpAddr::V6(address.0))),
        RData::SRV(srv) => Some(DnsRecord::Srv(srv.priority, srv.weight, srv.port, srv.target.to_ascii())),
        RData::NAPTR(naptr) => Some(DnsRecord::Naptr(
            naptr.order,
            naptr.preference,
            text(&naptr.flags),
            text(&naptr.services),
            naptr.replacement.to_ascii(),
        )),
        _ => None,
    }
}
