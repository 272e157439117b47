//! Where a host name leads (RFC 3263): NAPTR, SRV with priorities and weights, addresses; what is not there is asked
//! for, what has failed is passed over for a while.
//!
//! Nothing waits in here. [`Locator::locate`] goes through the steps of RFC 3263 §4 with the answers it has; where
//! one is missing it names the question, and its caller tries again when [`Locator::answer`] has been told.

mod cache;
mod failures;
mod loads;
mod order;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use sansio::{Instant, Rng};

use crate::wire::{Transport, host_ip};
use cache::{Cache, Known};
pub use failures::Failures;

/// What is asked of the domain name system. Names are in small letters, without a dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Which services a domain has.
    Naptr(String),
    /// Which hosts have a service: `_sip._udp.example.com`.
    Srv(String),
    /// Which IPv4 addresses a host has.
    A(String),
    /// Which IPv6 addresses a host has.
    Aaaa(String),
}

/// A NAPTR record (RFC 3403 §4.1), as far as RFC 3263 uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones go first …
    pub order: u16,
    /// … and among equals these.
    pub preference: u16,
    /// `S` for "replacement is the name of SRV records"; others are not used.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// The name to ask next.
    pub replacement: String,
}

/// A SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones go first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// The host; `.` says that there is no such service.
    pub target: String,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::A`] and [`Question::Aaaa`].
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no such records.
    Nothing,
    /// Nobody answered, or the answer was that it cannot be told now. What was known before holds on.
    Failed,
}

/// What a URI says of where it leads (RFC 3263 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A host name, or an address.
    pub host: String,
    /// The port, if one is named: then no service is looked for.
    pub port: Option<u16>,
    /// The transport, if one is named.
    pub transport: Option<Transport>,
}

/// One place to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Over this …
    pub transport: Transport,
    /// … to there.
    pub address: SocketAddr,
}

/// Where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// To these, best first; never empty.
    To(Vec<Target>),
    /// Not known yet: answers are missing.
    Waiting,
    /// Nowhere: the names do not exist, or we have no listener that reaches them.
    Nowhere,
}

/// Targets of one name; further ones are not tried.
const TARGETS_MAX: usize = 32;

/// What is known of names and of how their hosts behave.
#[derive(Debug, Default)]
pub struct Locator {
    cache: Cache,
    failures: Failures,
}

/// Which transports and families our listeners have, in the order in which we prefer the transports.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Each with IPv4 (true) or IPv6.
    pub outlets: Vec<(Transport, bool)>,
}

impl Reach {
    fn has(&self, transport: Transport, ipv4: bool) -> bool {
        self.outlets.contains(&(transport, ipv4))
    }

    fn transports(&self) -> impl Iterator<Item = Transport> + '_ {
        let any = |transport: &Transport| self.has(*transport, true) || self.has(*transport, false);
        [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().filter(any)
    }
}

impl Locator {
    /// One that knows no name yet, and of hosts what the others know who share `failures`.
    #[must_use]
    pub fn new(failures: Failures) -> Self {
        Locator { cache: Cache::default(), failures }
    }

    /// Where something wanted leads now; what has to be asked for that is added to `ask`, each question once.
    pub fn locate(
        &mut self,
        now: Instant,
        wanted: &Wanted,
        reach: &Reach,
        rng: &mut Rng,
        ask: &mut Vec<Question>,
    ) -> Located {
        let mut walk =
            Walk { now, cache: &mut self.cache, reach, rng, ask, waiting: false, found: Vec::new() };
        walk.wanted(wanted);
        let (waiting, mut found) = (walk.waiting, walk.found);
        if waiting {
            return Located::Waiting;
        }
        found.truncate(TARGETS_MAX);
        if found.is_empty() {
            return Located::Nowhere;
        }
        // Those that have failed go last, in the order in which their time ends: when all have failed it is better
        // to try one than none.
        found.sort_by_key(|target| self.failures.passed_over(now, target));
        Located::To(found)
    }

    /// What the domain name system says, to a question of ours or of another shard. `ttl` is how long it may be believed.
    pub fn answer(&mut self, now: Instant, question: &Question, answer: Answer, ttl: Duration) {
        self.cache.answer(now, question, answer, ttl);
    }

    /// A target did not answer, refused the connection, or said 503 (with `retry_after`).
    pub fn target_failed(&self, now: Instant, target: Target, retry_after: Option<Duration>) {
        self.failures.add(now, &target, retry_after);
    }

    /// A target has answered.
    pub fn target_answered(&self, target: Target) {
        self.failures.remove(&target);
    }

    /// Whether a target has failed a short while ago.
    #[must_use]
    pub fn is_passed_over(&self, now: Instant, target: &Target) -> bool {
        self.failures.passed_over(now, target).is_some()
    }

    /// Targets passed over now.
    #[must_use]
    pub fn failed(&self, now: Instant) -> usize {
        self.failures.count(now)
    }

    /// Questions that wait for their answers.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.cache.asked()
    }
}

/// One way through RFC 3263 §4.
struct Walk<'w> {
    now: Instant,
    cache: &'w mut Cache,
    reach: &'w Reach,
    rng: &'w mut Rng,
    ask: &'w mut Vec<Question>,
    waiting: bool,
    found: Vec<Target>,
}

impl Walk<'_> {
    fn wanted(&mut self, wanted: &Wanted) {
        let named = wanted.transport;
        // §4.2: an address needs no question, and a port says that no service is to be looked for.
        if let Some(ip) = host_ip(wanted.host.as_bytes()) {
            let transport = named.unwrap_or(Transport::Udp);
            return self.add(transport, ip, wanted.port.unwrap_or(transport.default_port()));
        }
        let host = wanted.host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(port) = wanted.port {
            return self.host(named.unwrap_or(Transport::Udp), &host, port);
        }
        match named {
            Some(transport) => {
                if !self.service(transport, &service_name(transport, &host)) {
                    self.host(transport, &host, transport.default_port());
                }
            }
            None => self.domain(&host),
        }
    }

    /// §4.1: the domain says which transports it speaks.
    fn domain(&mut self, host: &str) {
        let naptr = self.known(Question::Naptr(host.to_owned()));
        let Some(naptr) = naptr else { return };
        let mut services: Vec<(u16, u16, Transport, String)> = Vec::new();
        if let Known::Naptr(records) = naptr {
            for record in records.iter().filter(|record| record.flags.eq_ignore_ascii_case("s")) {
                let transport = match record.service.to_ascii_uppercase().as_str() {
                    "SIP+D2U" => Transport::Udp,
                    "SIP+D2T" => Transport::Tcp,
                    "SIPS+D2T" => Transport::Tls,
                    _ => continue,
                };
                if self.reach.transports().any(|ours| ours == transport) {
                    let name = record.replacement.trim_end_matches('.').to_ascii_lowercase();
                    services.push((record.order, record.preference, transport, name));
                }
            }
        }
        services.sort_by_key(|(order, preference, ..)| (*order, *preference));
        if !services.is_empty() {
            for (_, _, transport, name) in services {
                self.service(transport, &name);
            }
            return;
        }
        let mut any = false;
        for transport in self.reach.transports().collect::<Vec<_>>() {
            any |= self.service(transport, &service_name(transport, host));
        }
        // Only a domain without any service is taken for a host: a host of the same name may be its web server.
        if !any && !self.waiting {
            self.host(Transport::Udp, host, Transport::Udp.default_port());
        }
    }

    /// The hosts of a service; false when there are no records for it.
    fn service(&mut self, transport: Transport, name: &str) -> bool {
        let Some(known) = self.known(Question::Srv(name.to_owned())) else { return true };
        let Known::Srv(records) = known else { return false };
        for record in order::in_order(records, self.rng) {
            let host = record.target.trim_end_matches('.').to_ascii_lowercase();
            if !host.is_empty() {
                match host_ip(host.as_bytes()) {
                    Some(ip) => self.add(transport, ip, record.port),
                    None => self.host(transport, &host, record.port),
                }
            }
        }
        true
    }

    /// The addresses of a host.
    fn host(&mut self, transport: Transport, host: &str, port: u16) {
        for (ipv4, question) in
            [(true, Question::A as fn(String) -> Question), (false, Question::Aaaa as fn(String) -> Question)]
        {
            if !self.reach.has(transport, ipv4) {
                continue;
            }
            if let Some(Known::Addresses(addresses)) = self.known(question(host.to_owned())) {
                for ip in addresses {
                    self.add(transport, ip, port);
                }
            }
        }
    }

    fn add(&mut self, transport: Transport, ip: IpAddr, port: u16) {
        let target = Target { transport, address: SocketAddr::new(ip, port) };
        if self.reach.has(transport, ip.is_ipv4()) && port != 0 && !self.found.contains(&target) {
            self.found.push(target);
        }
    }

    /// `None` when the answer has to be waited for.
    fn known(&mut self, question: Question) -> Option<Known> {
        let known = self.cache.known(self.now, &question, self.ask);
        self.waiting |= known.is_none();
        known
    }
}

/// `_sip._udp.example.com` (RFC 3263 §4.1).
fn service_name(transport: Transport, host: &str) -> String {
    match transport {
        Transport::Tls => format!("_sips._tcp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        _ => format!("_sip._udp.{host}"),
    }
}

#[cfg(test)]
mod tests;
