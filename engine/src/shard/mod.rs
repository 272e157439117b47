//! One shard: a SIP user agent, a media plane, and the table that says which legs and streams are one call.

pub(crate) mod agents;
pub(crate) mod asks;
mod command;
pub(crate) mod counters;
pub(crate) mod counts;
mod event;
mod input;
mod owner;
mod recordings;
pub(crate) mod trunks;

pub(crate) use owner::{OWNERS_MAX, Owner};

use crate::call::{Call, OpenFork, Participant, Session, Sound, Transit};
use crate::doors::{Route, ShardConfig, ShardEffect, ShardEvent, ShardInput};
use crate::stir::Stir;
use crate::trace::{Trace, TracedMessage};
use crate::translate::browser::{self, LocalDtls};
use crate::translate::crypto::OurKeys;
use crate::translate::format::Format;
use crate::translate::sdp::{LocalSecurity, LocalSide};
use agents::Agents;
use bytes::Bytes;
use counters::ShardCounters;
use dialer_core::config::Srtp;
use dialer_core::{CallFact, CallId};
use media::srtp::KeySource;
use media::{IceCredentials, Plane};
use recordings::OpenRecordings;
use sansio::time::ClockBase;
use sansio::{Deadlines, Instant, Key, Machine, Outbox, Rng, Slab, TimerKey};
use sip_proxy::UserAgent;
use sip_proxy::ua;
use sip_proxy::wire::Transport;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use trunks::{TrunkKey, TrunkLoad, Trunks};

/// What a deadline of the shard is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    CustomerRingsTooLong(Key<Call>),
    CallTooLong(Key<Call>),
    AgentRingsTooLong(Key<Call>, ua::LegKey),
    GuestRingsTooLong(Key<Call>),
    ParticipantRingsTooLong(Key<Participant>),
    SessionRingsTooLong(Key<Session>),
    TransitTooLong(Key<Transit>),
    TellTransit,
    CertificateCame,
    TrunkOpens(TrunkKey),
}

/// Signalling, sound and calls of one shard. See the crate's description.
#[derive(Debug)]
pub struct CallShard {
    pub(crate) config: ShardConfig,
    pub(crate) clock: ClockBase,
    pub(crate) rng: Rng,
    pub(crate) key_source: KeySource,
    pub(crate) ua: UserAgent,
    pub(crate) plane: Plane,
    pub(crate) calls: Slab<Call>,
    pub(crate) call_keys: BTreeMap<CallId, Key<Call>>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) participants: Slab<Participant>,
    pub(crate) transits: Slab<Transit>,
    pub(crate) trunks: Trunks,
    pub(crate) agents: Agents,
    pub(crate) asks: asks::Asks,
    pub(crate) prompts: BTreeMap<String, Arc<[i16]>>,
    pub(crate) routes: Vec<Route>,
    /// Numbers of ours: calls to them are the dialer's.
    pub(crate) numbers: Arc<BTreeSet<String>>,
    pub(crate) admit_transit: bool,
    pub(crate) recordings: OpenRecordings,
    /// Forks by their number.
    pub(crate) forks: BTreeMap<u64, OpenFork>,
    pub(crate) deadlines: Deadlines<Why>,
    pub(crate) transit_facts: Vec<CallFact>,
    pub(crate) transit_facts_due: Option<TimerKey>,
    /// Called legs of transit calls that are over before the leg is, and the trunks whose channels they hold.
    pub(crate) cancelled_transits: BTreeMap<u64, TrunkKey>,
    pub(crate) play_tag: u64,
    pub(crate) counters: ShardCounters,
    pub(crate) trace: Trace,
    pub(crate) stir: Stir,
    /// `host:port` of each listener, as written into URIs.
    hosts: Vec<String>,
    /// The message that is being dealt with; empty between messages.
    pub(crate) heard: Bytes,
    /// What signalling and sound want done, until [`CallShard::settle`] has carried it on.
    pub(crate) sip_out: Outbox<ua::Output>,
    pub(crate) media_out: Outbox<media::Output>,
    /// Emptied outboxes, kept for their memory.
    sip_spare: Outbox<ua::Output>,
    media_spare: Outbox<media::Output>,
}

impl CallShard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        let rng = Rng::from_seed(config.seed);
        let mut ua = UserAgent::new(sip_config(&config), rng.child("sip"));
        ua.set_clock(config.clock);
        let plane = Plane::new(media_config(&config), rng.child("media"));
        CallShard {
            clock: config.clock,
            rng: rng.child("calls"),
            key_source: KeySource::new(&config.secret),
            ua,
            plane,
            calls: Slab::with_limit(config.calls_max.min(OWNERS_MAX)),
            call_keys: BTreeMap::new(),
            sessions: Slab::with_limit(config.sessions_max.min(OWNERS_MAX)),
            participants: Slab::with_limit(config.calls_max.min(OWNERS_MAX)),
            transits: Slab::with_limit(config.calls_max.min(OWNERS_MAX)),
            trunks: Trunks::new(config.reborn, config.shard),
            agents: Agents::new(),
            asks: asks::Asks::default(),
            prompts: BTreeMap::new(),
            routes: Vec::new(),
            numbers: Arc::default(),
            admit_transit: true,
            recordings: OpenRecordings::new(),
            forks: BTreeMap::new(),
            deadlines: Deadlines::new(),
            transit_facts: Vec::new(),
            transit_facts_due: None,
            cancelled_transits: BTreeMap::new(),
            play_tag: 0,
            counters: ShardCounters::default(),
            trace: Trace::new(config.trace),
            stir: Stir::default(),
            heard: Bytes::new(),
            hosts: sip_listeners(&config).into_iter().map(|listener| listener.advertised).collect(),
            sip_out: Outbox::default(),
            media_out: Outbox::default(),
            sip_spare: Outbox::default(),
            media_spare: Outbox::default(),
            config,
        }
    }

    /// Counts since the start, and gauges.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            calls_live: self.calls.len() as u64,
            sessions_live: self.sessions.len() as u64,
            transits_live: self.transits.len() as u64,
            channels_used: self.trunks.channels_used(),
            recordings_open: self.recordings.len() as u64,
            sip: *self.ua.counters(),
            media: self.plane.counters(),
            ..self.counters
        }
    }

    /// Tells how long messages waited before they were read.
    pub fn note_lag(&mut self, now: Instant, lag: sansio::Duration) {
        self.ua.note_lag(now, lag);
    }

    /// Directions of sound that are translated at this moment, by the codecs' names: from, to.
    #[must_use]
    pub fn translated(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let name = |(codec, coded)| Format::of(codec, coded).encoding();
        let mut counts = BTreeMap::new();
        for (from, to) in self.plane.translated() {
            *counts.entry((name(from), name(to))).or_default() += 1;
        }
        counts
    }

    /// SIP messages by method, status, transport and size.
    #[must_use]
    pub fn sip_traffic(&self) -> &sip_proxy::Traffic {
        self.ua.traffic()
    }

    /// What lives in signalling.
    #[must_use]
    pub fn sip_audit(&self) -> ua::Audit {
        self.ua.audit()
    }

    /// Trunks, and what each carries.
    pub fn trunk_loads(&self) -> impl Iterator<Item = (dialer_core::TrunkId, TrunkLoad)> {
        self.trunks.iter().map(|(key, trunk)| {
            let (incoming, outgoing) = self.ua.trunk_legs(key.to_bits());
            (trunk.id, TrunkLoad { begun: trunk.begun, incoming, outgoing })
        })
    }

    /// How a listener speaks and where it is, by its number: those of datagrams first, then those of streams.
    #[must_use]
    pub fn listener(&self, number: u8) -> Option<(sip_proxy::wire::Transport, SocketAddr)> {
        let number = usize::from(number);
        match self.config.listeners.get(number) {
            Some(address) => Some((sip_proxy::wire::Transport::Udp, *address)),
            None => {
                let listener = self.config.stream_listeners.get(number - self.config.listeners.len())?;
                Some((listener.transport, listener.address))
            }
        }
    }

    /// The messages of a call that are still kept, oldest first.
    #[must_use]
    pub fn trace(&self, call: CallId) -> Vec<TracedMessage> {
        self.trace.of_call(call, |at| self.clock.wall_at(at))
    }

    /// Whether what is sent to `peer` leaves at once, and does not wait for a connection that has yet to be made.
    #[must_use]
    pub fn leaves_at_once(&self, listener: u8, peer: std::net::SocketAddr) -> bool {
        self.ua.leaves_at_once(listener, peer)
    }

    /// Forgets the messages of calls in which a number is named.
    pub fn forget_traces(&mut self, number: &sansio::pii::Spellings) {
        self.trace.forget(number);
    }

    /// The call a message belongs to and the message read, where the configuration says that messages are named.
    #[must_use]
    pub fn call_of_message(&self, bytes: &bytes::Bytes) -> Option<(CallId, sip_proxy::wire::Message)> {
        self.trace.call_of(bytes)
    }

    /// What a new leg has for encryption.
    pub(crate) fn local_security(&mut self, srtp: Srtp) -> LocalSecurity {
        match srtp {
            Srtp::Off => LocalSecurity::Plain,
            Srtp::Optional | Srtp::Required => LocalSecurity::Sdes {
                required: srtp == Srtp::Required,
                keys: OurKeys::draw(&mut self.key_source),
            },
        }
    }

    /// What a browser's leg has for encryption, where the ground can.
    pub(crate) fn browser_security(&mut self) -> Option<LocalSecurity> {
        let fingerprint = self.config.dtls_fingerprint?;
        let ice = IceCredentials::draw(&mut self.key_source);
        Some(LocalSecurity::Dtls(LocalDtls { ice, fingerprint }))
    }

    /// What a leg to an agent's registered phone has: one that is reached over WebSocket is a browser (RFC 7118).
    pub(crate) fn phone_security(&mut self, listener: u8, srtp: Srtp) -> LocalSecurity {
        let transport = self.listener(listener).map(|(transport, _)| transport);
        if matches!(transport, Some(Transport::Ws | Transport::Wss))
            && let Some(browser) = self.browser_security()
        {
            return browser;
        }
        self.local_security(srtp)
    }

    /// What a leg has whose offer has come from an agent's phone.
    pub(crate) fn security_for(&mut self, offer: &[u8], srtp: Srtp) -> LocalSecurity {
        if browser::asks(offer)
            && let Some(browser) = self.browser_security()
        {
            return browser;
        }
        self.local_security(srtp)
    }

    /// The same with keys of their own, for someone else in the same place.
    pub(crate) fn renewed(&mut self, security: &LocalSecurity) -> LocalSecurity {
        match security {
            LocalSecurity::Plain => LocalSecurity::Plain,
            LocalSecurity::Dtls(dtls) => LocalSecurity::Dtls(LocalDtls {
                ice: IceCredentials::draw(&mut self.key_source),
                fingerprint: self.config.dtls_fingerprint.unwrap_or(dtls.fingerprint),
            }),
            LocalSecurity::Sdes { required, .. } => {
                LocalSecurity::Sdes { required: *required, keys: OurKeys::draw(&mut self.key_source) }
            }
        }
    }

    /// Opens a stream; `None` when ports or streams are used up.
    pub(crate) fn open_sound(&mut self, now: Instant, owner: u64, security: LocalSecurity) -> Option<Sound> {
        let stream = self.plane.open(now, owner, &mut self.media_out).ok()?;
        let rtp_port = self.plane.local_port(stream)?;
        let address = self.media_address();
        // 63 bits: some peers read the session id into a signed number.
        let session_id = self.rng.next_u64() >> 1;
        Some(Sound { stream, local: LocalSide { address, rtp_port, session_id, version: 1, security } })
    }

    /// The address peers are to send sound to. One that is bound to every interface is no address to write down
    /// (0.0.0.0 in SDP means hold): the first listener's stands in.
    fn media_address(&self) -> IpAddr {
        match (self.config.media_advertised, self.config.listeners.first()) {
            (Some(address), _) => address,
            (None, Some(listener)) if self.config.media_address.is_unspecified() => listener.ip(),
            (None, _) => self.config.media_address,
        }
    }

    /// `host:port` of a listener.
    pub(crate) fn host_text(&self, listener: u8) -> &str {
        self.hosts.get(usize::from(listener)).map_or("localhost", String::as_str)
    }

    pub(crate) fn tell(&mut self, fact: CallFact, out: &mut Outbox<ShardEffect>) {
        // A recording may be one of a transit call, whose own facts must be there before.
        if matches!(
            fact,
            CallFact::RecordingStarted { .. }
                | CallFact::RecordingReady { .. }
                | CallFact::RecordingFailed { .. }
        ) {
            self.flush_transit_facts(out);
        }
        out.push(ShardEffect::Event(ShardEvent::Call(fact)));
    }
}

impl Machine for CallShard {
    type Input<'a> = ShardInput<'a>;
    type Effect = ShardEffect;

    fn handle_input(&mut self, now: Instant, input: ShardInput<'_>, out: &mut Outbox<ShardEffect>) {
        self.take_input(now, input, out);
        self.settle(now, out);
        self.heard = Bytes::new();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.deadlines.next();
        [own, self.ua.poll_timeout(), self.plane.poll_timeout()].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<ShardEffect>) {
        if self.ua.poll_timeout().is_some_and(|at| at <= now) {
            self.ua.handle_timeout(now, &mut self.sip_out);
        }
        if self.plane.poll_timeout().is_some_and(|at| at <= now) {
            self.plane.handle_timeout(now, &mut self.media_out);
        }
        self.settle(now, out);
        while let Some((_, why)) = self.deadlines.pop_due(now) {
            self.deadline_passed(now, why, out);
        }
        self.settle(now, out);
    }
}

/// What peers are told to send SIP to. A socket bound to every interface has no address to write down: that of
/// media stands in, if it has one.
fn sip_host(config: &ShardConfig, listener: SocketAddr) -> String {
    let mut known = [config.media_advertised, Some(config.media_address)].into_iter().flatten();
    match known.find(|address| !address.is_unspecified()) {
        Some(address) if listener.ip().is_unspecified() => {
            SocketAddr::new(address, listener.port()).to_string()
        }
        _ => listener.to_string(),
    }
}

/// All listeners in the order of their numbers: UDP first.
fn sip_listeners(config: &ShardConfig) -> Vec<ua::Listener> {
    let named = |address: SocketAddr, advertised: Option<&String>| match advertised {
        Some(host) => host.clone(),
        None => sip_host(config, address),
    };
    let udp = config.listeners.iter().enumerate().map(|(index, address)| {
        let advertised = config.listeners_advertised.get(index).and_then(Option::as_ref);
        ua::Listener::udp(*address, named(*address, advertised))
    });
    let streams = config.stream_listeners.iter().map(|listener| ua::Listener {
        transport: listener.transport,
        address: listener.address,
        advertised: named(listener.address, listener.advertised.as_ref()),
    });
    udp.chain(streams).collect()
}

fn sip_config(config: &ShardConfig) -> ua::Config {
    let seconds = |s: u32| sansio::Duration::from_secs(u64::from(s));
    let calls = config.calls_max + config.sessions_max;
    ua::Config {
        listeners: sip_listeners(config),
        target_time_max: config.target_time_max,
        failures: config.failures.clone(),
        user_agent: config.user_agent.clone(),
        realm: config.realm.clone(),
        domains: config.domains.clone(),
        shard: config.shard,
        node_secret: config.node_secret,
        timers: ua::Timers { t1: config.sip_t1, ..ua::Timers::default() },
        session_timers: config.session_timers,
        reliable: config.reliable,
        redirects: config.redirects,
        limits: ua::Limits {
            // Two legs a call, and as many again that wait for their last answers.
            legs_max: calls.saturating_mul(4),
            // Transactions outlive their calls by 64·T1, so their number follows the calls per second and not
            // the calls at once: never less than the default, which is enough for 6,000 a second.
            client_transactions_max: calls
                .saturating_mul(8)
                .max(ua::Limits::default().client_transactions_max),
            server_transactions_max: calls
                .saturating_mul(8)
                .max(ua::Limits::default().server_transactions_max),
            sources_max: 65_536,
            ..ua::Limits::default()
        },
        digest: config.digest.clone(),
        guarding: config.guarding.clone(),
        overload: ua::Overload { legs_max: calls.saturating_mul(2), ..config.overload },
        register: ua::Register {
            expires_min: seconds(config.register_expires_min_s),
            expires_default: seconds(config.register_expires_max_s.min(300)),
            expires_max: seconds(config.register_expires_max_s),
            flow_timer: seconds(config.flow_timer_s),
        },
        probing: config.probing,
        ..ua::Config::default()
    }
}

fn media_config(config: &ShardConfig) -> media::Config {
    media::Config {
        ports: config.media_ports.clone(),
        ports_held: config.media_ports_held,
        local_address: config.media_address,
        streams_max: config.calls_max.saturating_mul(2).saturating_add(config.sessions_max),
        recordings_max: config.recordings_max,
        media_timeout: config.media_timeout,
        rtcp_interval: config.media_quality.rtcp_interval,
        no_packets_after: config.media_quality.no_packets_after,
        no_sound_after: config.media_quality.no_sound_after,
        in_band_digits: config.media_quality.in_band_digits,
        offload: config.media_offload,
        port_quarantine: config.media_port_quarantine,
        utterances: config.understands_words,
        ..media::Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_every_interface_is_not_written_down_as_such() {
        let config = ShardConfig {
            media_address: "0.0.0.0".parse().expect("an address"),
            media_advertised: Some("192.0.2.7".parse().expect("an address")),
            ..ShardConfig::default()
        };
        let host = |listener: &str| sip_host(&config, listener.parse().expect("an address"));
        assert_eq!(host("0.0.0.0:5060"), "192.0.2.7:5060");
        assert_eq!(host("192.0.2.1:5070"), "192.0.2.1:5070");
    }
}
