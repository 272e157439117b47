//! What a user agent is told once, at its start.

use core::net::SocketAddr;
use core::time::Duration;

use crate::transport::locate::Failures;
use crate::wire::Transport;

/// Settings of one user agent (one per shard).
#[derive(Debug, Clone)]
pub struct Config {
    /// Where we are heard, in the order of their numbers.
    pub listeners: Vec<Listener>,
    /// Text of our User-Agent and Server headers.
    pub user_agent: String,
    /// Realm of our digest challenges.
    pub realm: String,
    /// Domains that phones may register in, besides the realm and our addresses (RFC 3261 §10.3); empty for any.
    pub domains: Vec<String>,
    /// Mark of this shard in branches, tags and Call-IDs, 0 to 32,767.
    pub shard: u16,
    /// What the shards of one node know and nobody else: one may call another to take the place of a leg there. 0 for
    /// a shard that is alone.
    pub node_secret: u64,
    /// Timers of RFC 3261 §17.
    pub timers: Timers,
    /// What everything is bounded by.
    pub limits: Limits,
    /// What the registrar grants.
    pub register: Register,
    /// Who is heard at all.
    pub guarding: Guarding,
    /// When new calls are refused because we have enough to do.
    pub overload: Overload,
    /// How phones show their passwords.
    pub digest: Digest,
    /// An INVITE, ours or the peer's, without a final response is given up after this time, as a net under whoever
    /// forgot to hang up. (Without any response ours is given up after 64·T1.) Longer than any ring time.
    pub ringing_max: Duration,
    /// Retry-After of the 503 that is sent when a limit is reached or the house drains; in whole seconds.
    pub retry_after: Duration,
    /// While a trunk's name leads to further targets, one that gives no sign of life for so long is left for the next.
    pub target_time_max: Duration,
    /// OPTIONS without a good answer after which a trunk counts as down.
    pub options_misses_max: u32,
    /// Whether registered phones are asked if they are still there.
    pub probing: Probing,
    /// Wait before a failed trunk registration is tried again: first time, doubled each time …
    pub registration_retry_min: Duration,
    /// … up to this.
    pub registration_retry_max: Duration,
    /// Session timers (RFC 4028).
    pub session_timers: SessionTimers,
    /// Reliable provisional responses (RFC 3262).
    pub reliable: Reliability,
    /// What becomes of a 3xx to an INVITE of ours.
    pub redirects: Redirects,
    /// Hosts that have failed; shards that share it pass over what one of them has found out.
    pub failures: Failures,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listeners: Vec::new(),
            user_agent: "dialerd".into(),
            realm: "dialerd".into(),
            domains: Vec::new(),
            shard: 0,
            node_secret: 0,
            timers: Timers::default(),
            limits: Limits::default(),
            register: Register::default(),
            guarding: Guarding::default(),
            overload: Overload::default(),
            digest: Digest::default(),
            ringing_max: Duration::from_secs(300),
            retry_after: Duration::from_secs(10),
            target_time_max: Duration::from_secs(4),
            options_misses_max: 3,
            probing: Probing::default(),
            registration_retry_min: Duration::from_secs(5),
            registration_retry_max: Duration::from_secs(600),
            session_timers: SessionTimers::default(),
            reliable: Reliability::default(),
            redirects: Redirects::default(),
            failures: Failures::default(),
        }
    }
}

/// OPTIONS to registered phones (RFC 3261 §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probing {
    /// From one to the next, give or take a tenth; `None`: none are sent.
    pub interval: Option<Duration>,
    /// Those without a good answer, one after the other, after which a phone counts as gone.
    pub misses_max: u32,
}

impl Default for Probing {
    fn default() -> Self {
        Probing { interval: None, misses_max: 3 }
    }
}

/// Session timers (RFC 4028): a session is refreshed from time to time, and ended when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// With whom.
    pub use_with: SessionUse,
    /// The interval we ask for, and the longest we grant; in whole seconds.
    pub interval: Duration,
    /// The shortest interval we accept: less is answered 422. RFC 4028 §5: not below 90 s.
    pub interval_min: Duration,
    /// Who is to refresh, where the choice is ours.
    pub refresher: Refresher,
}

impl Default for SessionTimers {
    fn default() -> Self {
        SessionTimers {
            use_with: SessionUse::default(),
            interval: Duration::from_secs(1800),
            interval_min: Duration::from_secs(90),
            refresher: Refresher::default(),
        }
    }
}

/// With which peers sessions have a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionUse {
    /// With nobody; one that a peer asks for is not heard of.
    Off,
    /// With those who know them.
    #[default]
    Supported,
    /// With everybody: a peer that knows no timers is refreshed all the same, which shows whether it still lives.
    Always,
}

/// Who refreshes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresher {
    /// As caller we leave it to the peer to choose, as callee we do it.
    #[default]
    Any,
    /// We.
    Local,
    /// The peer.
    Remote,
}

/// Following 3xx (RFC 3261 §8.1.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirects {
    /// Targets tried for one call, whatever number of 3xx names them; 0 follows none.
    pub targets_max: u8,
    /// Also to addresses that are not the trunk's own. A host that is only a name is looked for at the trunk.
    pub anywhere: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Redirects { targets_max: 3, anywhere: false }
    }
}

/// When provisional responses are reliable (RFC 3262): in both directions each is then acknowledged by PRACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Never: a caller that requires it gets 420.
    Off,
    /// Ours, where the caller requires it.
    Required,
    /// Ours, also those that carry a session description to a caller that knows PRACK.
    #[default]
    Supported,
    /// We require it: our INVITEs say so, a caller that does not know PRACK gets 421.
    Always,
}

/// Who is heard at all (trunks are, unless their network is denied). Its default is in `transport/guard.rs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarding {
    /// Nothing from these networks is read.
    pub deny: Vec<crate::Network>,
    /// Where not empty: nothing from other networks is read, but from trunks.
    pub allow: Vec<crate::Network>,
    /// Requests of one source (an IPv4 address, a /64 of IPv6) in a second, on average; five seconds' worth may come
    /// at once. Twentyfold for one that has shown a password. 0 for no limit.
    pub requests_per_s: f32,
    /// New requests of all sources together that have not shown a password. 0 for no limit.
    pub strangers_per_s: f32,
    /// Parts of User-Agent or From, in any case, that mark a scanner: it gets no answer and is banned.
    pub scanners: Vec<String>,
    /// How long a scanner, and who guesses passwords, is not heard.
    pub ban: Duration,
    /// Wrong passwords, each soon after the other, for which a source is banned; 0 for never.
    pub failures_max: u32,
    /// Dialogs at once that INVITEs of one source, which is no trunk, have made. 0 for no limit.
    pub dialogs_per_source_max: u32,
}

/// When new calls are refused with 503 and Retry-After before anything is made of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overload {
    /// Messages wait so long before they are read: some are refused from here on, all at twice this. Zero: never.
    pub lag: Duration,
    /// Legs at once.
    pub legs_max: usize,
    /// New INVITEs in a second, a fifth of a second's worth at once. 0 for no limit.
    pub cps_max: f32,
}

impl Default for Overload {
    fn default() -> Self {
        Overload { lag: Duration::from_millis(250), legs_max: usize::MAX, cps_max: 0.0 }
    }
}

/// Digest authentication of agents' phones (RFC 7616, RFC 8760). Its default is in `digest/challenger.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Hashes offered, one challenge for each, the most wanted first. Empty would offer nothing.
    pub algorithms: Vec<crate::wire::Algorithm>,
    /// Offer `auth-int` beside `auth`: the body under protection.
    pub integrity: bool,
    /// How long a nonce of ours is good; after that the client is told `stale=true`.
    pub nonce_lifetime: Duration,
    /// Nonces remembered that were used with a right password. Beyond: the oldest count as used up.
    pub nonces_max: usize,
}

/// One socket of ours that others reach us at.
#[derive(Debug, Clone)]
pub struct Listener {
    /// How it speaks. Over all but UDP a peer's address names a connection with it.
    pub transport: Transport,
    /// The address it is bound to.
    pub address: SocketAddr,
    /// What peers are to send to, `host` or `host:port`; written into Via and Contact.
    pub advertised: String,
}

impl Listener {
    /// A UDP socket.
    #[must_use]
    pub fn udp(address: SocketAddr, advertised: String) -> Self {
        Listener { transport: Transport::Udp, address, advertised }
    }
}

/// Timers of RFC 3261 §17.1.1.1 (table in annex A), all others are made of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round-trip time.
    pub t1: Duration,
    /// Longest interval between retransmissions of a non-INVITE request or an INVITE response.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// With values under which nothing spins: T1 at least a millisecond, T2 and T4 at least T1.
    #[must_use]
    pub fn bounded(self) -> Timers {
        let t1 = self.t1.max(Duration::from_millis(1));
        Timers { t1, t2: self.t2.max(t1), t4: self.t4.max(t1) }
    }

    /// 64·T1: timers B, D, F, H, J, L and M.
    #[must_use]
    pub fn transaction(self) -> Duration {
        self.t1 * 64
    }
}

/// What everything is bounded by. At each limit newcomers are refused, those inside go on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What one message may cost.
    pub message: crate::wire::Limits,
    /// Bytes of a Request-URI. Beyond: 414.
    pub uri_bytes_max: usize,
    /// Bytes of a request's body. Beyond: 413.
    pub body_bytes_max: usize,
    /// Legs at once, those included that have ended and wait for their last answers. Beyond: INVITE gets 503.
    pub legs_max: usize,
    /// Client transactions at once. Beyond: no new leg, no ping; a BYE is sent once and not repeated.
    pub client_transactions_max: usize,
    /// Server transactions at once. Beyond: INVITE gets 503; other requests are answered, but not remembered.
    pub server_transactions_max: usize,
    /// Contacts of one account. Beyond: the one that was refreshed longest ago goes.
    pub contacts_max: usize,
    /// Bytes of one Contact URI in a REGISTER. Beyond: 400.
    pub contact_bytes_max: usize,
    /// Sources (addresses of strangers) whose rates and bans are remembered.
    pub sources_max: usize,
    /// Addresses remembered for wrong passwords. Beyond: the one remembered longest goes.
    pub slowed_sources_max: usize,
    /// Times an INVITE of one leg may be sent again after a challenge.
    pub challenges_max: u8,
    /// Times a re-INVITE of ours that met another one (491) is tried again.
    pub glare_retries_max: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message: crate::wire::Limits::default(),
            uri_bytes_max: 2048,
            body_bytes_max: 32_768,
            legs_max: 100_000,
            client_transactions_max: 400_000,
            server_transactions_max: 400_000,
            contacts_max: 4,
            contact_bytes_max: 1024,
            sources_max: 4096,
            slowed_sources_max: 4096,
            challenges_max: 2,
            glare_retries_max: 3,
        }
    }
}

/// What the registrar grants (RFC 3261 §10.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// Shorter wishes get 423 with Min-Expires.
    pub expires_min: Duration,
    /// Granted to who asks for nothing.
    pub expires_default: Duration,
    /// Longer wishes get this.
    pub expires_max: Duration,
    /// Phones that register by RFC 5626 are asked to keep their way open at least this often.
    pub flow_timer: Duration,
}

impl Default for Register {
    fn default() -> Self {
        Register {
            expires_min: Duration::from_secs(30),
            expires_default: Duration::from_secs(300),
            expires_max: Duration::from_secs(3600),
            flow_timer: Duration::from_secs(120),
        }
    }
}
