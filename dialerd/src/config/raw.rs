//! The file as written. Defaults stand here and, with their reasons, in `config/dialerd.example.toml`; a test
//! holds the two together.

use dialer_core::config::{IdentityHeader, NumberFormat, Srtp};
use serde::Deserialize;

/// Every key that may stand in the file, for the test that the example explains each.
#[cfg(test)]
pub const KEYS: &[&str] = &[
    "node.name",
    "node.data_dir",
    "node.shards",
    "node.pin_cores",
    "node.realtime_priority",
    "node.manual_only",
    "log.level",
    "log.format",
    "sip.listen",
    "sip.connections_max",
    "sip.connections_per_source_max",
    "sip.connection_idle_s",
    "sip.connection_message_s",
    "sip.connection_write_s",
    "sip.dns_servers",
    "sip.target_time_ms",
    "sip.listeners[0].transport",
    "sip.listeners[0].address",
    "sip.listeners[0].advertised",
    "sip.listeners[0].certificate",
    "sip.listeners[0].key",
    "sip.listeners[0].ca",
    "sip.listeners[0].client_certificate",
    "sip.realm",
    "sip.domains",
    "sip.user_agent",
    "sip.t1_ms",
    "sip.register_expires_min_s",
    "sip.register_expires_max_s",
    "sip.phone_options_interval_s",
    "sip.phone_options_misses_max",
    "sip.digest_algorithms",
    "sip.digest_integrity",
    "sip.nonce_lifetime_s",
    "guard.deny",
    "guard.allow",
    "guard.requests_per_s",
    "guard.strangers_per_s",
    "guard.scanners",
    "guard.ban_s",
    "guard.failures_max",
    "guard.dialogs_per_source_max",
    "trace.ring_bytes",
    "stir.key_file",
    "stir.certificate_url",
    "stir.trust_dir",
    "stir.certificates_dir",
    "stir.fetch",
    "stir.age_max_s",
    "hep.collector",
    "hep.capture_id",
    "hep.password",
    "overload.lag_ms",
    "overload.cps_max",
    "media.address",
    "media.advertised",
    "media.ports",
    "media.timeout_s",
    "media.rtcp_interval_ms",
    "media.no_packets_after_ms",
    "media.no_sound_after_ms",
    "media.in_band_digits",
    "media.waiting_prompt",
    "media.confirm_prompt",
    "media.hold_prompt",
    "media.prompts_dir",
    "media.announcements_dir",
    "media.recordings_dir",
    "media.recordings_format",
    "media.recordings_keys",
    "voice.engine",
    "voice.command",
    "voice.voice",
    "voice.url",
    "voice.key",
    "voice.model",
    "voice.timeout_s",
    "recogniser.engine",
    "recogniser.url",
    "recogniser.key",
    "recogniser.model",
    "recogniser.language",
    "recogniser.timeout_s",
    "recogniser.concurrent_max",
    "recogniser.phrases",
    "api.listen",
    "api.token",
    "api.certificate",
    "api.key",
    "api.ca",
    "admin.listen",
    "admin.token",
    "store.file",
    "store.url",
    "store.schema",
    "store.password_file",
    "store.authorities",
    "retention.recordings_days",
    "retention.records_days",
    "retention.audit_days",
    "retention.events_hours",
    "limits.calls_max",
    "limits.agents_max",
    "limits.cps_max",
    "limits.hopper_size",
    "shutdown.drain_s",
    "trunk[0].name",
    "trunk[0].address",
    "trunk[0].transport",
    "trunk[0].listener",
    "trunk[0].priority",
    "trunk[0].weight",
    "trunk[0].number_format",
    "trunk[0].country_code",
    "trunk[0].prefix",
    "trunk[0].sources",
    "trunk[0].certificate_names",
    "trunk[0].trusted",
    "trunk[0].identity",
    "trunk[0].headers_pass",
    "trunk[0].headers_remove",
    "trunk[0].headers_add",
    "trunk[0].username",
    "trunk[0].password",
    "trunk[0].register",
    "trunk[0].register_expires_s",
    "trunk[0].channels_max",
    "trunk[0].channels_elsewhere",
    "trunk[0].cps_max",
    "trunk[0].options_interval_ms",
    "trunk[0].overload_control",
    "trunk[0].caller_id",
    "trunk[0].srtp",
    "route[0].from",
    "route[0].prefix",
    "route[0].to",
    "route[0].media",
    "route[0].record",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    pub node: Node,
    pub log: Log,
    pub sip: Sip,
    pub guard: Guard,
    pub overload: Overload,
    pub trace: Trace,
    pub hep: Hep,
    pub stir: Stir,
    pub media: Media,
    pub voice: Voice,
    pub recogniser: Recogniser,
    pub api: Api,
    pub admin: Admin,
    pub store: Store,
    pub retention: Retention,
    pub limits: Limits,
    pub shutdown: Shutdown,
    pub trunk: Vec<Trunk>,
    pub route: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    pub name: String,
    pub data_dir: String,
    pub shards: u16,
    pub pin_cores: bool,
    pub realtime_priority: u8,
    pub manual_only: bool,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            name: "n1".into(),
            data_dir: "data".into(),
            shards: 1,
            pin_cores: false,
            realtime_priority: 0,
            manual_only: false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into(), format: LogFormat::Human }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionTimer {
    Off,
    Supported,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRefresher {
    Any,
    Local,
    Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReliableProvisional {
    Off,
    Required,
    Supported,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    pub listen: Vec<String>,
    pub listeners: Vec<SipListener>,
    pub connections_max: u32,
    pub connections_per_source_max: u32,
    pub connection_idle_s: u64,
    pub connection_message_s: u64,
    pub connection_write_s: u64,
    pub dns_servers: Vec<String>,
    pub target_time_ms: u64,
    pub realm: String,
    pub domains: Vec<String>,
    pub user_agent: Option<String>,
    pub t1_ms: u64,
    pub session_timer: SessionTimer,
    pub session_expires_s: u32,
    pub session_expires_min_s: u32,
    pub session_refresher: SessionRefresher,
    pub reliable_provisional: ReliableProvisional,
    pub redirect_targets_max: u8,
    pub redirect_anywhere: bool,
    pub register_expires_min_s: u32,
    pub register_expires_max_s: u32,
    pub phone_options_interval_s: u64,
    pub phone_options_misses_max: u32,
    pub digest_algorithms: Vec<String>,
    pub digest_integrity: bool,
    pub nonce_lifetime_s: u64,
}

impl Default for Sip {
    fn default() -> Self {
        Sip {
            listen: vec!["127.0.0.1:5060".into()],
            listeners: Vec::new(),
            connections_max: 20_000,
            connections_per_source_max: 1_000,
            connection_idle_s: 300,
            connection_message_s: 20,
            connection_write_s: 10,
            dns_servers: Vec::new(),
            target_time_ms: 4_000,
            realm: "dialerd".into(),
            domains: Vec::new(),
            user_agent: None,
            t1_ms: 500,
            session_timer: SessionTimer::Supported,
            session_expires_s: 1800,
            session_expires_min_s: 90,
            session_refresher: SessionRefresher::Any,
            reliable_provisional: ReliableProvisional::Supported,
            redirect_targets_max: 3,
            redirect_anywhere: false,
            register_expires_min_s: 30,
            register_expires_max_s: 3600,
            phone_options_interval_s: 60,
            phone_options_misses_max: 3,
            digest_algorithms: vec!["MD5".into()],
            digest_integrity: false,
            nonce_lifetime_s: 300,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipListener {
    pub transport: SipTransport,
    pub address: String,
    pub advertised: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub ca: Option<String>,
    #[serde(default)]
    pub client_certificate: ClientCertificate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SipTransport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    #[default]
    None,
    Optional,
    Required,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    pub deny: Vec<String>,
    pub allow: Vec<String>,
    pub requests_per_s: f32,
    pub strangers_per_s: f32,
    pub scanners: Vec<String>,
    pub ban_s: u64,
    pub failures_max: u32,
    pub dialogs_per_source_max: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            deny: Vec::new(),
            allow: Vec::new(),
            requests_per_s: 100.0,
            strangers_per_s: 2_000.0,
            scanners: sip_proxy::SCANNERS.iter().map(|name| (*name).into()).collect(),
            ban_s: 600,
            failures_max: 10,
            dialogs_per_source_max: 1_000,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    pub ring_bytes: usize,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { ring_bytes: 4 << 20 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stir {
    pub key_file: Option<String>,
    pub certificate_url: Option<String>,
    pub trust_dir: Option<String>,
    pub certificates_dir: Option<String>,
    pub fetch: bool,
    pub age_max_s: u64,
    pub attest: Vec<Attest>,
    pub verify: Vec<Verify>,
}

impl Default for Stir {
    fn default() -> Self {
        Stir {
            key_file: None,
            certificate_url: None,
            trust_dir: None,
            certificates_dir: None,
            fetch: true,
            age_max_s: 60,
            attest: Vec::new(),
            verify: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attest {
    #[serde(default)]
    pub trunk: String,
    #[serde(default)]
    pub caller_id: String,
    pub level: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    #[serde(default)]
    pub trunk: String,
    pub policy: VerifyPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyPolicy {
    Record,
    Require,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hep {
    pub collector: Option<String>,
    pub capture_id: u32,
    pub password: Option<String>,
}

impl Default for Hep {
    fn default() -> Self {
        Hep { collector: None, capture_id: 2001, password: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overload {
    pub lag_ms: u64,
    pub cps_max: f32,
}

impl Default for Overload {
    fn default() -> Self {
        Overload { lag_ms: 250, cps_max: 0.0 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    pub address: String,
    pub advertised: Option<String>,
    pub ports: [u16; 2],
    pub timeout_s: u64,
    pub rtcp_interval_ms: u64,
    pub no_packets_after_ms: u64,
    pub no_sound_after_ms: u64,
    pub in_band_digits: InBandDigits,
    pub relay: Relay,
    pub relay_interfaces: Vec<String>,
    pub waiting_prompt: Option<String>,
    pub confirm_prompt: Option<String>,
    pub hold_prompt: Option<String>,
    pub prompts_dir: Option<String>,
    pub announcements_dir: Option<String>,
    pub recordings_dir: Option<String>,
    pub recordings_format: RecordingFormat,
    pub recordings_keys: Vec<String>,
}

impl Default for Media {
    fn default() -> Self {
        Media {
            address: "127.0.0.1".into(),
            advertised: None,
            ports: [10_000, 32_767],
            timeout_s: 60,
            rtcp_interval_ms: 5_000,
            no_packets_after_ms: 5_000,
            no_sound_after_ms: 20_000,
            in_band_digits: InBandDigits::Auto,
            relay: Relay::Auto,
            relay_interfaces: Vec::new(),
            waiting_prompt: None,
            confirm_prompt: Some("comfort_tone".into()),
            hold_prompt: Some("hold_tune".into()),
            prompts_dir: None,
            announcements_dir: None,
            recordings_dir: None,
            recordings_format: RecordingFormat::Wav,
            recordings_keys: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingFormat {
    Wav,
    Ogg,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    pub engine: VoiceEngine,
    pub command: String,
    pub voice: String,
    pub url: String,
    pub key: String,
    pub model: String,
    pub timeout_s: u64,
}

impl Default for Voice {
    fn default() -> Self {
        Voice {
            engine: VoiceEngine::EspeakNg,
            command: "espeak-ng".into(),
            voice: "en-us".into(),
            url: String::new(),
            key: String::new(),
            model: "tts-1".into(),
            timeout_s: 20,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recogniser {
    pub engine: RecogniserEngine,
    pub url: String,
    pub key: String,
    pub model: String,
    pub language: String,
    pub timeout_s: u64,
    pub concurrent_max: usize,
    pub phrases: String,
}

impl Default for Recogniser {
    fn default() -> Self {
        Recogniser {
            engine: RecogniserEngine::None,
            url: String::new(),
            key: String::new(),
            model: "whisper-1".into(),
            language: String::new(),
            timeout_s: 5,
            concurrent_max: 16,
            phrases: String::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecogniserEngine {
    None,
    Http,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoiceEngine {
    EspeakNg,
    Http,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relay {
    Auto,
    Sockets,
    Kernel,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InBandDigits {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    pub listen: String,
    pub token: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub ca: Option<String>,
}

impl Default for Api {
    fn default() -> Self {
        Api { listen: "127.0.0.1:8080".into(), token: None, certificate: None, key: None, ca: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    pub listen: String,
    pub token: Option<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { listen: "127.0.0.1:9095".into(), token: None }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub file: Option<String>,
    pub url: Option<String>,
    pub schema: Option<String>,
    pub password_file: Option<String>,
    pub authorities: Option<String>,
}

/// How long things are kept; 0: until somebody deletes them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    pub recordings_days: u32,
    pub records_days: u32,
    pub audit_days: u32,
    pub events_hours: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { recordings_days: 0, records_days: 0, audit_days: 0, events_hours: 72 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub calls_max: u32,
    pub agents_max: u32,
    pub cps_max: f64,
    pub hopper_size: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { calls_max: 20_000, agents_max: 5_000, cps_max: 2_000.0, hopper_size: 500 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    pub drain_s: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { drain_s: 300 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    pub name: String,
    pub address: String,
    #[serde(default)]
    pub transport: TrunkTransport,
    pub listener: Option<String>,
    #[serde(default)]
    pub priority: u16,
    #[serde(default)]
    pub weight: u16,
    #[serde(default)]
    pub number_format: NumberFormat,
    #[serde(default)]
    pub country_code: String,
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub sources: Vec<String>,
    #[serde(default)]
    pub certificate_names: Vec<String>,
    #[serde(default = "yes")]
    pub trusted: bool,
    #[serde(default)]
    pub identity: IdentityHeader,
    #[serde(default)]
    pub headers_pass: Vec<String>,
    #[serde(default)]
    pub headers_remove: Vec<String>,
    #[serde(default)]
    pub headers_add: Vec<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    #[serde(default)]
    pub register: bool,
    pub register_expires_s: Option<u32>,
    pub channels_max: Option<u32>,
    pub channels_elsewhere: Option<u32>,
    pub cps_max: Option<f64>,
    pub options_interval_ms: Option<u32>,
    #[serde(default = "yes")]
    pub overload_control: bool,
    pub caller_id: Option<String>,
    #[serde(default)]
    pub srtp: Srtp,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkTransport {
    #[default]
    #[serde(rename = "")]
    Any,
    Udp,
    Tcp,
    Tls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub from: Option<String>,
    #[serde(default)]
    pub prefix: String,
    pub to: RouteTo,
    #[serde(default)]
    pub media: RouteMedia,
    #[serde(default)]
    pub record: bool,
}

/// A trunk, or a group of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum RouteTo {
    One(String),
    Group(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteMedia {
    #[default]
    Relay,
    Bypass,
}
