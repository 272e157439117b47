//! The configuration as the daemon uses it: every value checked, every path absolute to the file's folder.

use super::guard;
use super::listeners::{self, ApiTls};
use super::raw::{self, LogFormat, Raw, ReliableProvisional, RouteMedia, SessionRefresher, SessionTimer};
use crate::retention::Retention;
use dialer_core::config::{NumberFormat, TrunkConfig, TrunkTransport, host_and_port};
use dialer_core::{SOURCE, headers, is_network};
use engine::{
    InBandDigits, MediaQuality, Probing, RecordingFormat, Redirects, Refresher, Reliability, SessionTimers,
    SessionUse,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::sealed::SealKey;

/// A checked configuration.
/// Where plain sound is relayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaRelay {
    /// In the kernel where that can be had, else through sockets.
    Auto,
    /// Through sockets.
    Sockets,
    /// In the kernel, or not at all.
    Kernel,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub node_name: String,
    pub data_dir: PathBuf,
    pub shards: u16,
    pub pin_cores: bool,
    /// 0: none.
    pub realtime_priority: u8,
    pub manual_only: bool,
    pub log_filter: String,
    pub log_json: bool,
    /// UDP listeners first, the others after them; in the order of the file otherwise.
    pub sip_listeners: Vec<SipListener>,
    pub connections_max: u32,
    pub connections_per_source_max: u32,
    pub connection_idle: Duration,
    pub connection_message_time_max: Duration,
    pub connection_write_time_max: Duration,
    pub dns_servers: Vec<SocketAddr>,
    pub target_time_max: Duration,
    pub realm: String,
    pub domains: Vec<String>,
    pub user_agent: String,
    pub sip_t1: Duration,
    pub session_timers: SessionTimers,
    pub reliable: Reliability,
    pub redirects: Redirects,
    pub register_expires_s: (u32, u32),
    pub probing: Probing,
    pub digest: sip_proxy::ua::Digest,
    pub guarding: sip_proxy::ua::Guarding,
    pub overload: sip_proxy::ua::Overload,
    pub trace_bytes: usize,
    pub hep: Option<crate::hep::HepConfig>,
    pub stir: super::stir::StirConfig,
    pub media_address: IpAddr,
    pub media_advertised: Option<IpAddr>,
    pub media_ports: (u16, u16),
    pub media_timeout: Duration,
    pub media_quality: MediaQuality,
    pub media_relay: MediaRelay,
    /// Line and column of that key, if it is in the file.
    pub media_relay_place: Option<(usize, usize)>,
    pub media_relay_interfaces: Vec<String>,
    /// The file itself.
    pub file: PathBuf,
    pub waiting_prompt: Option<String>,
    pub confirm_prompt: Option<String>,
    pub hold_prompt: Option<String>,
    pub prompts_dir: PathBuf,
    pub announcements_dir: PathBuf,
    pub voice: crate::voice::VoiceConfig,
    pub recogniser: Option<crate::recogniser::RecogniserConfig>,
    pub recordings_dir: PathBuf,
    pub recordings_format: RecordingFormat,
    /// The first seals, all open.
    pub recordings_keys: Vec<SealKey>,
    pub api_listen: SocketAddr,
    pub api_token: Option<String>,
    pub api_tls: Option<ApiTls>,
    pub admin_listen: SocketAddr,
    pub admin_token: Option<String>,
    pub store: StorePlace,
    pub retention: Retention,
    pub calls_max: u32,
    pub agents_max: u32,
    pub cps_max: f64,
    pub hopper_size: u32,
    pub drain: Duration,
    pub trunks: Vec<TrunkConfig>,
    pub routes: Vec<RouteConfig>,
}

pub use super::listeners::SipListener;
pub use super::raw::{ClientCertificate, SipTransport};
pub use super::store::StorePlace;

/// A static route between trunks, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    pub from: Option<String>,
    pub prefix: String,
    /// At least one.
    pub to: Vec<String>,
    pub bypass: bool,
    pub record: bool,
}

/// A bad value.
pub struct Fault {
    pub key: String,
    /// Shown instead of the file's text, when the fault is in a default.
    pub found: Option<String>,
    pub expected: String,
}

#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, key: impl Into<String>, expected: impl Into<String>) {
        self.0.push(Fault { key: key.into(), found: None, expected: expected.into() });
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn require(&mut self, good: bool, key: &str, expected: &str) {
        if !good {
            self.add(key, expected);
        }
    }

    pub(super) fn socket(&mut self, text: &str, key: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.add(key, "an address with a port, such as \"0.0.0.0:5060\" or \"[::]:5060\"");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn address(&mut self, text: &str, key: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| {
            self.add(key, "an IP address, such as \"192.0.2.10\" or \"2001:db8::10\"");
            IpAddr::from([127, 0, 0, 1])
        })
    }
}

/// "" in the file means: not set.
fn set(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Keys of recordings: the one in use and those before it.
const RECORDINGS_KEYS_MAX: usize = 16;

/// Checks everything.
pub fn check(raw: Raw, folder: &Path) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::default();
    let data_dir = folder.join(&raw.node.data_dir);
    let below = |text: Option<String>, default: &str| match set(text) {
        Some(path) => folder.join(path),
        None => data_dir.join(default),
    };
    let store_file = below(raw.store.file.clone(), "dialerd.db");
    check_ranges(&raw, &mut faults);
    let sip_listeners = listeners::check(&raw.sip, folder, &mut faults);
    let servers = raw.sip.dns_servers.iter().enumerate();
    let dns_servers =
        servers.map(|(index, text)| faults.socket(text, &format!("sip.dns_servers[{index}]"))).collect();
    faults.require(
        (100..=60_000).contains(&raw.sip.target_time_ms),
        "sip.target_time_ms",
        "100 to 60000 milliseconds",
    );
    let digest = guard::check_digest(&raw.sip, &mut faults);
    faults.require(raw.node.realtime_priority <= 99, "node.realtime_priority", "0 (none) to 99, of SCHED_RR");
    faults.require(raw.trace.ring_bytes <= 1 << 30, "trace.ring_bytes", "0 (keep none) to 1073741824 bytes");
    let node_name = raw.node.name.clone();
    let trunks = check_trunks(raw.trunk, &sip_listeners, &mut faults);
    let stir = super::stir::check(raw.stir, folder, &trunks, &mut faults);
    let routes = check_routes(raw.route, &trunks, &mut faults);
    let session_timers = session_timers(&raw.sip);
    let config = Config {
        node_name: raw.node.name,
        shards: raw.node.shards,
        pin_cores: raw.node.pin_cores,
        realtime_priority: raw.node.realtime_priority,
        manual_only: raw.node.manual_only,
        log_filter: raw.log.level,
        log_json: raw.log.format == LogFormat::Json,
        sip_listeners,
        connections_max: raw.sip.connections_max,
        connections_per_source_max: raw.sip.connections_per_source_max,
        connection_idle: Duration::from_secs(raw.sip.connection_idle_s),
        connection_message_time_max: Duration::from_secs(raw.sip.connection_message_s),
        connection_write_time_max: Duration::from_secs(raw.sip.connection_write_s),
        dns_servers,
        target_time_max: Duration::from_millis(raw.sip.target_time_ms),
        realm: raw.sip.realm,
        domains: raw.sip.domains,
        user_agent: set(raw.sip.user_agent)
            .unwrap_or_else(|| concat!("dialerd/", env!("CARGO_PKG_VERSION")).into()),
        sip_t1: Duration::from_millis(raw.sip.t1_ms),
        session_timers,
        reliable: reliability(raw.sip.reliable_provisional),
        redirects: Redirects {
            targets_max: raw.sip.redirect_targets_max,
            anywhere: raw.sip.redirect_anywhere,
        },
        digest,
        guarding: guard::check_guard(raw.guard, &mut faults),
        trace_bytes: raw.trace.ring_bytes,
        stir,
        hep: guard::check_hep(raw.hep, &node_name, &mut faults),
        overload: guard::check_overload(&raw.overload, &mut faults),
        probing: Probing {
            interval: (raw.sip.phone_options_interval_s > 0)
                .then(|| Duration::from_secs(raw.sip.phone_options_interval_s)),
            misses_max: raw.sip.phone_options_misses_max,
        },
        register_expires_s: (raw.sip.register_expires_min_s, raw.sip.register_expires_max_s),
        media_address: faults.address(&raw.media.address, "media.address"),
        media_advertised: set(raw.media.advertised).map(|text| faults.address(&text, "media.advertised")),
        media_ports: (raw.media.ports[0], raw.media.ports[1]),
        media_timeout: Duration::from_secs(raw.media.timeout_s),
        waiting_prompt: set(raw.media.waiting_prompt),
        confirm_prompt: set(raw.media.confirm_prompt),
        hold_prompt: set(raw.media.hold_prompt),
        media_quality: MediaQuality {
            rtcp_interval: Duration::from_millis(raw.media.rtcp_interval_ms),
            no_packets_after: Duration::from_millis(raw.media.no_packets_after_ms),
            no_sound_after: Duration::from_millis(raw.media.no_sound_after_ms),
            in_band_digits: match raw.media.in_band_digits {
                raw::InBandDigits::Auto => InBandDigits::Auto,
                raw::InBandDigits::Always => InBandDigits::Always,
                raw::InBandDigits::Never => InBandDigits::Never,
            },
        },
        media_relay: match raw.media.relay {
            raw::Relay::Auto => MediaRelay::Auto,
            raw::Relay::Sockets => MediaRelay::Sockets,
            raw::Relay::Kernel => MediaRelay::Kernel,
        },
        media_relay_place: None,
        media_relay_interfaces: raw.media.relay_interfaces,
        file: PathBuf::new(),
        prompts_dir: below(raw.media.prompts_dir, "prompts"),
        announcements_dir: below(raw.media.announcements_dir, "announcements"),
        voice: super::voice::check(raw.voice, &mut faults),
        recogniser: super::recogniser::check(raw.recogniser, folder, &mut faults),
        recordings_dir: below(raw.media.recordings_dir, "recordings"),
        recordings_format: match raw.media.recordings_format {
            raw::RecordingFormat::Wav => RecordingFormat::Wav,
            raw::RecordingFormat::Ogg => RecordingFormat::Ogg,
        },
        recordings_keys: recordings_keys(&raw.media.recordings_keys, &mut faults),
        api_listen: faults.socket(&raw.api.listen, "api.listen"),
        api_tls: listeners::check_api(&raw.api, folder, &mut faults),
        api_token: set(raw.api.token),
        admin_listen: faults.socket(&raw.admin.listen, "admin.listen"),
        admin_token: set(raw.admin.token),
        store: super::store::check(raw.store, store_file, folder, &mut faults),
        retention: retention(&raw.retention),
        calls_max: raw.limits.calls_max,
        agents_max: raw.limits.agents_max,
        cps_max: raw.limits.cps_max,
        hopper_size: raw.limits.hopper_size,
        drain: Duration::from_secs(raw.shutdown.drain_s),
        trunks,
        routes,
        data_dir,
    };
    // Port 0 is chosen by the system, each time another.
    let same = config.api_listen == config.admin_listen && config.api_listen.port() != 0;
    faults.require(!same, "admin.listen", "another address or port than api.listen");
    if let Some(token) = &config.api_token
        && !(token.starts_with("dlr_")
            && token.len() >= 24
            && token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        let secret = Some("a token (not shown)".to_owned());
        let expected = "\"dlr_\" followed by at least 20 visible characters".to_owned();
        faults.0.push(Fault { key: "api.token".into(), found: secret, expected });
    }
    if faults.0.is_empty() { Ok(config) } else { Err(faults.0) }
}

fn recordings_keys(texts: &[String], faults: &mut Faults) -> Vec<SealKey> {
    let keys: Vec<SealKey> = texts.iter().filter_map(|text| SealKey::from_hex(text)).collect();
    if keys.len() < texts.len() || keys.len() > RECORDINGS_KEYS_MAX {
        let found = Some("keys (not shown)".to_owned());
        let expected = "at most 16 texts of 64 hexadecimal digits".to_owned();
        faults.0.push(Fault { key: "media.recordings_keys".into(), found, expected });
    }
    keys
}

fn retention(raw: &raw::Retention) -> Retention {
    let days = |days: u32| (days > 0).then(|| Duration::from_secs(u64::from(days) * 24 * 3600));
    Retention {
        recordings: days(raw.recordings_days),
        records: days(raw.records_days),
        audit: days(raw.audit_days),
        events: Duration::from_secs(u64::from(raw.events_hours) * 3600),
    }
}

fn session_timers(sip: &raw::Sip) -> SessionTimers {
    SessionTimers {
        use_with: match sip.session_timer {
            SessionTimer::Off => SessionUse::Off,
            SessionTimer::Supported => SessionUse::Supported,
            SessionTimer::Always => SessionUse::Always,
        },
        interval: Duration::from_secs(u64::from(sip.session_expires_s)),
        interval_min: Duration::from_secs(u64::from(sip.session_expires_min_s)),
        refresher: match sip.session_refresher {
            SessionRefresher::Any => Refresher::Any,
            SessionRefresher::Local => Refresher::Local,
            SessionRefresher::Remote => Refresher::Remote,
        },
    }
}

fn reliability(policy: ReliableProvisional) -> Reliability {
    match policy {
        ReliableProvisional::Off => Reliability::Off,
        ReliableProvisional::Required => Reliability::Required,
        ReliableProvisional::Supported => Reliability::Supported,
        ReliableProvisional::Always => Reliability::Always,
    }
}

fn check_ranges(raw: &Raw, faults: &mut Faults) {
    let name = &raw.node.name;
    faults.require(
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        "node.name",
        "1 to 64 letters, digits, dots, dashes or underscores",
    );
    faults.require((1..=64).contains(&raw.node.shards), "node.shards", "1 to 64");
    faults.require(
        tracing_subscriber::EnvFilter::try_new(&raw.log.level).is_ok(),
        "log.level",
        "error, warn, info, debug, trace, or a filter such as \"info,engine=debug\"",
    );
    faults.require(
        !raw.sip.realm.is_empty() && raw.sip.realm.bytes().all(|b| b.is_ascii_graphic() && b != b'"'),
        "sip.realm",
        "a word without spaces or quotes",
    );
    let is_domain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    faults.require(
        raw.sip.domains.iter().all(is_domain),
        "sip.domains",
        "names such as \"pbx.example.com\", without ports",
    );
    if let Some(agent) = &raw.sip.user_agent {
        faults.require(
            agent.len() <= 128 && agent.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            "sip.user_agent",
            "at most 128 visible ASCII characters",
        );
    }
    faults.require((10..=10_000).contains(&raw.sip.t1_ms), "sip.t1_ms", "10 to 10000 milliseconds");
    // RFC 4028 §5: an interval below 90 s is not allowed.
    let (min, usual) = (raw.sip.session_expires_min_s, raw.sip.session_expires_s);
    faults.require((90..=86_400).contains(&min), "sip.session_expires_min_s", "90 to 86400 seconds");
    faults.require(
        (min..=86_400).contains(&usual),
        "sip.session_expires_s",
        "at least sip.session_expires_min_s and at most 86400 seconds",
    );
    faults.require(raw.sip.redirect_targets_max <= 20, "sip.redirect_targets_max", "0 to 20");
    let (min, max) = (raw.sip.register_expires_min_s, raw.sip.register_expires_max_s);
    faults.require((1..=86_400).contains(&min), "sip.register_expires_min_s", "1 to 86400 seconds");
    faults.require(
        (min..=86_400).contains(&max),
        "sip.register_expires_max_s",
        "at least sip.register_expires_min_s and at most 86400 seconds",
    );
    let interval = raw.sip.phone_options_interval_s;
    faults.require(
        interval == 0 || (1..=3_600).contains(&interval),
        "sip.phone_options_interval_s",
        "1 to 3600 seconds, or 0 for none",
    );
    faults.require(
        (1..=100).contains(&raw.sip.phone_options_misses_max),
        "sip.phone_options_misses_max",
        "1 to 100",
    );
    let [low, high] = raw.media.ports;
    faults.require(
        low >= 1024 && high > low && u32::from(high - low) + 1 >= 4 * u32::from(raw.node.shards.max(1)),
        "media.ports",
        "two port numbers, the lower first, with at least 4 ports between them",
    );
    faults.require(raw.media.timeout_s <= 86_400, "media.timeout_s", "0 to 86400 seconds");
    let interval = raw.media.rtcp_interval_ms;
    let fits = interval == 0 || (1_000..=60_000).contains(&interval);
    faults.require(fits, "media.rtcp_interval_ms", "1000 to 60000 milliseconds, or 0 for none");
    for (value, key) in [
        (raw.media.no_packets_after_ms, "media.no_packets_after_ms"),
        (raw.media.no_sound_after_ms, "media.no_sound_after_ms"),
    ] {
        let fits = value == 0 || (1_000..=3_600_000).contains(&value);
        faults.require(fits, key, "1000 to 3600000 milliseconds, or 0 for never");
    }
    let kept = &raw.retention;
    faults.require((1..=8760).contains(&kept.events_hours), "retention.events_hours", "1 to 8760 hours");
    for (days, key) in [
        (kept.recordings_days, "retention.recordings_days"),
        (kept.records_days, "retention.records_days"),
        (kept.audit_days, "retention.audit_days"),
    ] {
        faults.require(days <= 36_500, key, "1 to 36500 days, or 0 for ever");
    }
    faults.require((1..=1_000_000).contains(&raw.limits.calls_max), "limits.calls_max", "1 to 1000000");
    faults.require((1..=100_000).contains(&raw.limits.agents_max), "limits.agents_max", "1 to 100000");
    faults.require(
        raw.limits.cps_max > 0.0 && raw.limits.cps_max <= 100_000.0,
        "limits.cps_max",
        "a number above 0 and at most 100000",
    );
    faults.require((1..=100_000).contains(&raw.limits.hopper_size), "limits.hopper_size", "1 to 100000");
    faults.require(raw.shutdown.drain_s <= 86_400, "shutdown.drain_s", "0 to 86400 seconds");
}

fn check_trunks(trunks: Vec<raw::Trunk>, listeners: &[SipListener], faults: &mut Faults) -> Vec<TrunkConfig> {
    let mut names = BTreeSet::new();
    let defaults = TrunkConfig::default();
    let mut checked = Vec::new();
    for (index, trunk) in trunks.into_iter().enumerate() {
        let key = |name: &str| format!("trunk[{index}].{name}");
        faults.require(!trunk.name.is_empty(), &key("name"), "a name");
        faults.require(names.insert(trunk.name.clone()), &key("name"), "a name that no other trunk has");
        faults.require(
            host_and_port(&trunk.address).is_some(),
            &key("address"),
            "an address or a host name, with or without a port, such as \"192.0.2.10:5060\" or \"sip.example.com\"",
        );
        check_sources(&trunk, &key, faults);
        let code = &trunk.country_code;
        faults.require(
            code.len() <= 3
                && code.bytes().all(|byte| byte.is_ascii_digit())
                && (trunk.number_format != NumberFormat::National || !code.is_empty()),
            &key(if code.is_empty() { "number_format" } else { "country_code" }),
            "with \"national\" numbers the trunk's calling code in country_code: 1 to 3 digits",
        );
        faults.require(
            trunk.prefix.len() <= 16
                && trunk.prefix.bytes().all(|byte| byte.is_ascii_digit() || b"+*#".contains(&byte)),
            &key("prefix"),
            "up to 16 digits, +, * or #",
        );
        let needed = match trunk.transport {
            raw::TrunkTransport::Any => None,
            raw::TrunkTransport::Udp => Some(SipTransport::Udp),
            raw::TrunkTransport::Tcp => Some(SipTransport::Tcp),
            raw::TrunkTransport::Tls => Some(SipTransport::Tls),
        };
        faults.require(
            needed.is_none_or(|needed| listeners.iter().any(|listener| listener.transport == needed)),
            &key("transport"),
            "a transport that a listener in [[sip.listeners]] has",
        );
        let own = set(trunk.listener);
        let fits = |own: &String| {
            let own = own.parse::<SocketAddr>();
            let speaks = |listener: &&SipListener| needed.is_none_or(|needed| listener.transport == needed);
            own.is_ok_and(|own| listeners.iter().filter(speaks).any(|listener| listener.address == own))
        };
        faults.require(
            own.as_ref().is_none_or(fits),
            &key("listener"),
            "the address of a listener of ours that speaks the trunk's transport",
        );
        let config = TrunkConfig {
            name: trunk.name,
            address: trunk.address,
            transport: match trunk.transport {
                raw::TrunkTransport::Any => None,
                raw::TrunkTransport::Udp => Some(TrunkTransport::Udp),
                raw::TrunkTransport::Tcp => Some(TrunkTransport::Tcp),
                raw::TrunkTransport::Tls => Some(TrunkTransport::Tls),
            },
            listener: own,
            priority: trunk.priority,
            weight: trunk.weight,
            number_format: trunk.number_format,
            country_code: trunk.country_code,
            prefix: trunk.prefix,
            sources: trunk.sources,
            certificate_names: trunk.certificate_names,
            trusted: trunk.trusted,
            identity: trunk.identity,
            headers_pass: trunk.headers_pass,
            headers_remove: trunk.headers_remove,
            headers_add: trunk.headers_add,
            username: set(trunk.username),
            password: set(trunk.password),
            register: trunk.register,
            register_expires_s: trunk.register_expires_s.unwrap_or(defaults.register_expires_s),
            channels_max: trunk.channels_max.unwrap_or(defaults.channels_max),
            channels_elsewhere: trunk.channels_elsewhere.unwrap_or(defaults.channels_elsewhere),
            cps_max: trunk.cps_max.unwrap_or(defaults.cps_max),
            options_interval_ms: trunk.options_interval_ms.unwrap_or(defaults.options_interval_ms),
            overload_control: trunk.overload_control,
            caller_id: set(trunk.caller_id),
            srtp: trunk.srtp,
            enabled: true,
        };
        faults.require(
            !config.register || (config.username.is_some() && config.password.is_some()),
            &key("register"),
            "username and password beside it, or false",
        );
        faults.require(
            (60..=86_400).contains(&config.register_expires_s),
            &key("register_expires_s"),
            "60 to 86400 seconds",
        );
        faults.require((1..=1_000_000).contains(&config.channels_max), &key("channels_max"), "1 to 1000000");
        faults.require(config.channels_elsewhere <= 1_000_000, &key("channels_elsewhere"), "0 to 1000000");
        faults.require(
            config.cps_max > 0.0 && config.cps_max <= 100_000.0,
            &key("cps_max"),
            "a number above 0 and at most 100000",
        );
        faults.require(
            config.options_interval_ms == 0 || (1000..=3_600_000).contains(&config.options_interval_ms),
            &key("options_interval_ms"),
            "0 (none) or 1000 to 3600000 milliseconds",
        );
        checked.push(config);
    }
    checked
}

/// Whether an entry is good.
type Fits<'f> = &'f dyn Fn(&str) -> bool;

/// Where a trunk's requests come from, and its header policy.
fn check_sources(trunk: &raw::Trunk, key: &dyn Fn(&str) -> String, faults: &mut Faults) {
    let is_source =
        |text: &str| text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() || is_network(text);
    let is_name = |text: &str| (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    let lists: [(&str, &[String], Fits<'_>, &str); 5] = [
        ("sources", &trunk.sources, &is_source, SOURCE),
        ("certificate_names", &trunk.certificate_names, &is_name, "a name of 1 to 255 characters"),
        ("headers_pass", &trunk.headers_pass, &headers::is_pass_entry, headers::PASS),
        ("headers_remove", &trunk.headers_remove, &headers::is_name_entry, headers::REMOVE),
        ("headers_add", &trunk.headers_add, &|entry| headers::added(entry).is_some(), headers::ADD),
    ];
    for (name, entries, fits, expected) in lists {
        for (at, entry) in entries.iter().enumerate() {
            faults.require(fits(entry), &format!("{}[{at}]", key(name)), expected);
        }
        if name.starts_with("headers") {
            faults.require(entries.len() <= headers::HEADERS_MAX, &key(name), "at most 32 entries");
        }
    }
}

/// Trunks of one route.
const ROUTE_TRUNKS_MAX: usize = 16;

fn check_routes(routes: Vec<raw::Route>, trunks: &[TrunkConfig], faults: &mut Faults) -> Vec<RouteConfig> {
    let known = |name: &str| trunks.iter().any(|trunk| trunk.name == name);
    let mut checked = Vec::new();
    for (index, route) in routes.into_iter().enumerate() {
        let from = set(route.from);
        let to = match route.to {
            raw::RouteTo::One(name) => vec![name],
            raw::RouteTo::Group(names) => names,
        };
        let doubled = to.iter().enumerate().any(|(at, name)| to[..at].contains(name));
        let fits =
            !doubled && (1..=ROUTE_TRUNKS_MAX).contains(&to.len()) && to.iter().all(|name| known(name));
        if from.as_deref().is_some_and(|name| !known(name)) {
            faults.add(format!("route[{index}].from"), "the name of a [[trunk]] of this file");
        }
        if !fits {
            faults.add(
                format!("route[{index}].to"),
                "the name of a [[trunk]] of this file, or a list of up to 16 of them, each once",
            );
        }
        let bypass = route.media == RouteMedia::Bypass;
        if bypass && route.record {
            faults.add(
                format!("route[{index}].record"),
                "false where media is \"bypass\": there is nothing to record",
            );
        }
        checked.push(RouteConfig { from, prefix: route.prefix, to, bypass, record: route.record });
    }
    checked
}
