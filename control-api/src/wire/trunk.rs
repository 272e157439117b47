//! Trunks on the wire.

use super::Srtp;
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::config::{self, TrunkConfig};
use dialer_core::view::TrunkView;
use dialer_core::{SOURCE, headers, is_network};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A trunk to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkRequest {
    /// Unique name, 1 to 100 characters.
    pub name: String,
    /// Where requests go: `address:port`, IPv6 in brackets; or a host name, with a port or without. A name without a port
    /// is looked up as a service (RFC 3263: NAPTR, SRV), one with a port as a host.
    #[schema(example = "203.0.113.10:5060")]
    pub address: String,
    /// How it is spoken with. Null: as the address says, which is `udp` for a numeric one. The node needs a listener
    /// of that transport.
    #[serde(default)]
    pub transport: Option<TrunkTransport>,
    /// Our end, on a node with several addresses: `address:port` of the listener that requests leave by. Without it the
    /// first that speaks the transport.
    #[serde(default)]
    #[schema(example = "192.0.2.1:5060")]
    pub listener: Option<String>,
    /// Trunks of a campaign with the lowest number are taken first.
    #[serde(default)]
    #[schema(default = 0)]
    pub priority: u16,
    /// Share of calls among trunks of one priority. All 0: the order of the campaign holds.
    #[serde(default)]
    #[schema(default = 0)]
    pub weight: u16,
    /// How called numbers are written.
    #[serde(default)]
    pub number_format: NumberFormat,
    /// Calling code of the trunk's country, 1 to 3 digits; needed for national numbers. Empty: none.
    #[serde(default)]
    pub country_code: String,
    /// Dialled before every number: up to 16 digits, `+`, `*`, `#`.
    #[serde(default)]
    pub prefix: String,
    /// Source addresses (with or without a port) and networks (`192.0.2.0/24`) whose requests are taken as this trunk's.
    /// Empty: the host of `address`, any port.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Names in client certificates whose connections are this trunk's. With names here and no `sources` the certificate
    /// alone decides.
    #[serde(default)]
    pub certificate_names: Vec<String>,
    /// In our trust domain (RFC 3325): whom it asserts as caller is believed, and it is told who calls even when the caller
    /// wants to stay unknown.
    #[serde(default = "trusted")]
    #[schema(default = true)]
    pub trusted: bool,
    /// How callers are named to it, beside From.
    #[serde(default)]
    pub identity: IdentityHeader,
    /// Headers of calls that pass through to it which go on: names, or beginnings with `*` behind. At most 32.
    #[serde(default)]
    #[schema(example = json!(["Diversion", "X-*"]))]
    pub headers_pass: Vec<String>,
    /// Headers that neither go on to it nor come in from it. At most 32.
    #[serde(default)]
    pub headers_remove: Vec<String>,
    /// Header lines of every call that goes out to it. At most 32.
    #[serde(default)]
    #[schema(example = json!(["X-Account: 4711"]))]
    pub headers_add: Vec<String>,
    /// Digest user name, when the carrier asks for credentials.
    #[serde(default)]
    pub username: Option<String>,
    /// Digest password. Write-only.
    #[serde(default)]
    #[schema(write_only)]
    pub password: Option<String>,
    /// Register with the carrier (needs credentials).
    #[serde(default)]
    pub register: bool,
    /// Registration lifetime asked for, whole seconds in milliseconds.
    #[serde(default = "register_expires_ms")]
    #[schema(default = 300_000, minimum = 60_000, maximum = 86_400_000)]
    pub register_expires_ms: u64,
    /// Calls at once, both directions.
    #[serde(default = "channels_max")]
    #[schema(default = 100, minimum = 1, maximum = 100_000)]
    pub channels_max: u32,
    /// Of these taken by others at the moment: what other servers on the same lines have told. This node takes the rest,
    /// and what they let go at once. Calls that are up are not ended for it.
    #[serde(default)]
    #[schema(default = 0, maximum = 100_000)]
    pub channels_elsewhere: u32,
    /// New calls per second; fractions allowed.
    #[serde(default = "cps_max")]
    #[schema(default = 30.0, minimum = 0.01, maximum = 10_000)]
    pub cps_max: f64,
    /// Time between OPTIONS pings; 0 sends none and takes the trunk as up.
    #[serde(default = "options_interval_ms")]
    #[schema(default = 30_000, maximum = 3_600_000)]
    pub options_interval_ms: u32,
    /// It may ask for a share of new calls to be left out while it is overloaded (RFC 7339); what is left out goes to its
    /// next target, or counts as 503.
    #[serde(default = "overload_control")]
    #[schema(default = true)]
    pub overload_control: bool,
    /// Caller ID for calls that name none.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Whether sound is encrypted. Calls that pass through go by our ports unless it is off on both sides.
    #[serde(default)]
    pub srtp: Srtp,
    /// False: takes and carries nothing new.
    #[serde(default = "enabled")]
    #[schema(default = true)]
    pub enabled: bool,
}

/// How called numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// As they come.
    #[default]
    AsIs,
    /// `+12025550123`.
    E164,
    /// `12025550123`.
    Digits,
    /// `2025550123` in the trunk's country, `0044…` abroad.
    National,
}

/// How callers are named, beside From.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHeader {
    /// P-Asserted-Identity.
    #[default]
    Asserted,
    /// P-Preferred-Identity.
    Preferred,
    /// Not at all.
    None,
}

impl From<IdentityHeader> for config::IdentityHeader {
    fn from(wire: IdentityHeader) -> Self {
        match wire {
            IdentityHeader::Asserted => Self::Asserted,
            IdentityHeader::Preferred => Self::Preferred,
            IdentityHeader::None => Self::None,
        }
    }
}

impl From<config::IdentityHeader> for IdentityHeader {
    fn from(core: config::IdentityHeader) -> Self {
        match core {
            config::IdentityHeader::Asserted => Self::Asserted,
            config::IdentityHeader::Preferred => Self::Preferred,
            config::IdentityHeader::None => Self::None,
        }
    }
}

impl From<NumberFormat> for config::NumberFormat {
    fn from(wire: NumberFormat) -> Self {
        match wire {
            NumberFormat::AsIs => Self::AsIs,
            NumberFormat::E164 => Self::E164,
            NumberFormat::Digits => Self::Digits,
            NumberFormat::National => Self::National,
        }
    }
}

impl From<config::NumberFormat> for NumberFormat {
    fn from(core: config::NumberFormat) -> Self {
        match core {
            config::NumberFormat::AsIs => Self::AsIs,
            config::NumberFormat::E164 => Self::E164,
            config::NumberFormat::Digits => Self::Digits,
            config::NumberFormat::National => Self::National,
        }
    }
}

/// What is spoken with a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkTransport {
    /// Datagrams; what is too long for one goes over TCP where a listener is there for it.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

impl From<TrunkTransport> for config::TrunkTransport {
    fn from(wire: TrunkTransport) -> Self {
        match wire {
            TrunkTransport::Udp => Self::Udp,
            TrunkTransport::Tcp => Self::Tcp,
            TrunkTransport::Tls => Self::Tls,
        }
    }
}

impl From<config::TrunkTransport> for TrunkTransport {
    fn from(core: config::TrunkTransport) -> Self {
        match core {
            config::TrunkTransport::Udp => Self::Udp,
            config::TrunkTransport::Tcp => Self::Tcp,
            config::TrunkTransport::Tls => Self::Tls,
        }
    }
}

fn register_expires_ms() -> u64 {
    u64::from(TrunkConfig::default().register_expires_s) * 1_000
}
fn channels_max() -> u32 {
    TrunkConfig::default().channels_max
}
fn cps_max() -> f64 {
    TrunkConfig::default().cps_max
}
fn options_interval_ms() -> u32 {
    TrunkConfig::default().options_interval_ms
}
fn overload_control() -> bool {
    TrunkConfig::default().overload_control
}
fn trusted() -> bool {
    TrunkConfig::default().trusted
}
fn enabled() -> bool {
    TrunkConfig::default().enabled
}

/// A caller ID as carriers take them: digits, perhaps behind a plus.
pub(crate) fn is_caller_id(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is expected of a caller ID.
pub(crate) const CALLER_ID: &str = "expected 1 to 20 digits, with or without a plus before them";

/// Whether an entry is good.
type Fits = fn(&str) -> bool;

fn header_policy(wire: &TrunkRequest, checks: &mut Checks) {
    let lists: [(&str, &[String], Fits, &str); 3] = [
        ("/headers_pass", &wire.headers_pass, headers::is_pass_entry, headers::PASS),
        ("/headers_remove", &wire.headers_remove, headers::is_name_entry, headers::REMOVE),
        ("/headers_add", &wire.headers_add, |entry| headers::added(entry).is_some(), headers::ADD),
    ];
    for (list, entries, fits, expected) in lists {
        checks.that(entries.len() <= headers::HEADERS_MAX, list, "expected at most 32 entries");
        for (at, entry) in entries.iter().enumerate() {
            checks.that(fits(entry), &format!("{list}/{at}"), &format!("expected {expected}"));
        }
    }
}

impl TryFrom<TrunkRequest> for TrunkConfig {
    type Error = Problem;

    fn try_from(wire: TrunkRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 100, "/name");
        checks.that(
            config::host_and_port(&wire.address).is_some(),
            "/address",
            "expected an address or a host name, with or without a port, for example 203.0.113.10:5060",
        );
        checks.that(wire.sources.len() <= 64, "/sources", "expected at most 64 addresses");
        for (at, source) in wire.sources.iter().enumerate() {
            let fits = source.parse::<std::net::IpAddr>().is_ok()
                || source.parse::<std::net::SocketAddr>().is_ok()
                || is_network(source)
                || (source.starts_with('[')
                    && source.ends_with(']')
                    && source[1..source.len() - 1].parse::<std::net::Ipv6Addr>().is_ok());
            checks.that(fits, &format!("/sources/{at}"), &format!("expected {SOURCE}"));
        }
        checks.that(wire.certificate_names.len() <= 64, "/certificate_names", "expected at most 64 names");
        for (at, name) in wire.certificate_names.iter().enumerate() {
            checks.text(name, 255, &format!("/certificate_names/{at}"));
        }
        header_policy(&wire, &mut checks);
        let code = &wire.country_code;
        checks.that(
            code.len() <= 3 && code.bytes().all(|byte| byte.is_ascii_digit()),
            "/country_code",
            "expected up to 3 digits",
        );
        checks.that(
            wire.number_format != NumberFormat::National || !code.is_empty(),
            "/country_code",
            "national numbers need the trunk's calling code",
        );
        checks.that(
            wire.prefix.len() <= 16
                && wire.prefix.bytes().all(|byte| byte.is_ascii_digit() || b"+*#".contains(&byte)),
            "/prefix",
            "expected up to 16 digits, +, * or #",
        );
        if let Some(username) = &wire.username {
            checks.text(username, 128, "/username");
        }
        if let Some(password) = &wire.password {
            checks.text(password, 256, "/password");
        }
        let credentials = wire.username.is_some() && wire.password.is_some();
        checks.that(!wire.register || credentials, "/register", "registering needs username and password");
        checks.range(wire.register_expires_ms, 60_000, 86_400_000, "/register_expires_ms");
        checks.that(
            wire.register_expires_ms.is_multiple_of(1_000),
            "/register_expires_ms",
            "expected whole seconds",
        );
        checks.range(wire.channels_max, 1, 100_000, "/channels_max");
        checks.range(wire.channels_elsewhere, 0, 100_000, "/channels_elsewhere");
        checks.range(wire.cps_max, 0.01, 10_000.0, "/cps_max");
        checks.range(wire.options_interval_ms, 0, 3_600_000, "/options_interval_ms");
        checks.that(
            wire.listener.as_deref().is_none_or(|text| text.parse::<std::net::SocketAddr>().is_ok()),
            "/listener",
            "expected address:port of a listener of ours",
        );
        let caller_id_fits = wire.caller_id.as_deref().is_none_or(is_caller_id);
        checks.that(caller_id_fits, "/caller_id", CALLER_ID);
        checks.finish()?;
        Ok(TrunkConfig {
            name: wire.name,
            address: wire.address,
            transport: wire.transport.map(Into::into),
            listener: wire.listener,
            priority: wire.priority,
            weight: wire.weight,
            number_format: wire.number_format.into(),
            country_code: wire.country_code,
            prefix: wire.prefix,
            sources: wire.sources,
            certificate_names: wire.certificate_names,
            trusted: wire.trusted,
            identity: wire.identity.into(),
            headers_pass: wire.headers_pass,
            headers_remove: wire.headers_remove,
            headers_add: wire.headers_add,
            username: wire.username,
            password: wire.password,
            register: wire.register,
            register_expires_s: (wire.register_expires_ms / 1_000) as u32,
            channels_max: wire.channels_max,
            channels_elsewhere: wire.channels_elsewhere,
            cps_max: wire.cps_max,
            options_interval_ms: wire.options_interval_ms,
            overload_control: wire.overload_control,
            caller_id: wire.caller_id,
            srtp: wire.srtp.into(),
            enabled: wire.enabled,
        })
    }
}

impl From<&TrunkConfig> for TrunkRequest {
    /// Without the password.
    fn from(config: &TrunkConfig) -> Self {
        TrunkRequest {
            name: config.name.clone(),
            address: config.address.clone(),
            transport: config.transport.map(Into::into),
            listener: config.listener.clone(),
            priority: config.priority,
            weight: config.weight,
            number_format: config.number_format.into(),
            country_code: config.country_code.clone(),
            prefix: config.prefix.clone(),
            sources: config.sources.clone(),
            certificate_names: config.certificate_names.clone(),
            trusted: config.trusted,
            identity: config.identity.into(),
            headers_pass: config.headers_pass.clone(),
            headers_remove: config.headers_remove.clone(),
            headers_add: config.headers_add.clone(),
            username: config.username.clone(),
            password: None,
            register: config.register,
            register_expires_ms: u64::from(config.register_expires_s) * 1_000,
            channels_max: config.channels_max,
            channels_elsewhere: config.channels_elsewhere,
            cps_max: config.cps_max,
            options_interval_ms: config.options_interval_ms,
            overload_control: config.overload_control,
            caller_id: config.caller_id.clone(),
            srtp: config.srtp.into(),
            enabled: config.enabled,
        }
    }
}

/// A trunk. To tenants, those that their campaigns go over, without what only the house and its carrier know (address,
/// sources, headers, names, others' calls: empty or 0).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trunk {
    /// Its name.
    #[schema(example = "trk_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Where requests go.
    pub address: String,
    /// How it is spoken with; null: as the address says.
    pub transport: Option<TrunkTransport>,
    /// The listener of ours that requests leave by.
    pub listener: Option<String>,
    /// Lower ones are taken first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// How called numbers are written.
    pub number_format: NumberFormat,
    /// Calling code of its country.
    pub country_code: String,
    /// Dialled before every number.
    pub prefix: String,
    /// Source addresses and networks taken as this trunk's.
    pub sources: Vec<String>,
    /// Names in client certificates taken as this trunk's.
    pub certificate_names: Vec<String>,
    /// In our trust domain.
    pub trusted: bool,
    /// How callers are named to it.
    pub identity: IdentityHeader,
    /// Headers that go on to it.
    pub headers_pass: Vec<String>,
    /// Headers that neither go on to it nor come in from it.
    pub headers_remove: Vec<String>,
    /// Header lines of every call that goes out to it.
    pub headers_add: Vec<String>,
    /// Digest user name.
    pub username: Option<String>,
    /// Whether a password is set. The password itself is never shown.
    pub has_password: bool,
    /// Registers with the carrier.
    pub register: bool,
    /// Registration lifetime asked for.
    pub register_expires_ms: u64,
    /// Calls at once.
    pub channels_max: u32,
    /// Of these taken by others.
    pub channels_elsewhere: u32,
    /// New calls per second.
    pub cps_max: f64,
    /// Time between OPTIONS pings.
    pub options_interval_ms: u32,
    /// It may ask for a share of new calls to be left out.
    pub overload_control: bool,
    /// Caller ID for calls that name none.
    pub caller_id: Option<String>,
    /// Whether sound is encrypted.
    pub srtp: Srtp,
    /// Takes and carries new calls.
    pub enabled: bool,
    /// How it is now.
    pub status: TrunkStatus,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

/// How a trunk is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TrunkStatus {
    /// It answers, or is not asked.
    pub up: bool,
    /// Why it is down.
    pub down_reason: Option<String>,
    /// Registered; null when it does not register.
    pub registered: Option<bool>,
    /// Last OPTIONS round trip, milliseconds.
    pub options_rtt_ms: Option<f64>,
    /// Share of new calls that it has asked not to be sent, 0 to 100 percent (RFC 7339).
    pub overload_loss_percent: u8,
    /// Calls on it.
    pub calls_active: u32,
}

impl Trunk {
    /// As the caller may see it.
    #[must_use]
    pub fn new(view: &TrunkView, mask: Masker) -> Self {
        let whole = Trunk::of_operator(view, mask);
        if crate::tenancy::tenant().is_some() { whole.without_carrier() } else { whole }
    }

    /// As a tenant sees it: what is between the house and its carrier, and what others have on it, is not told.
    fn without_carrier(self) -> Self {
        Trunk {
            address: String::new(),
            listener: None,
            prefix: String::new(),
            sources: Vec::new(),
            certificate_names: Vec::new(),
            headers_pass: Vec::new(),
            headers_remove: Vec::new(),
            headers_add: Vec::new(),
            username: None,
            has_password: false,
            caller_id: None,
            status: TrunkStatus { down_reason: None, calls_active: 0, ..self.status },
            ..self
        }
    }

    fn of_operator(view: &TrunkView, mask: Masker) -> Self {
        let config = &view.row.config;
        Trunk {
            id: view.row.id.to_string(),
            name: mask.text(&config.name),
            address: config.address.clone(),
            transport: config.transport.map(Into::into),
            listener: config.listener.clone(),
            priority: config.priority,
            weight: config.weight,
            number_format: config.number_format.into(),
            country_code: config.country_code.clone(),
            prefix: config.prefix.clone(),
            sources: config.sources.clone(),
            certificate_names: config.certificate_names.clone(),
            trusted: config.trusted,
            identity: config.identity.into(),
            headers_pass: config.headers_pass.clone(),
            headers_remove: config.headers_remove.clone(),
            headers_add: config.headers_add.clone(),
            username: mask.text_option(config.username.as_deref()),
            has_password: config.password.is_some(),
            register: config.register,
            register_expires_ms: u64::from(config.register_expires_s) * 1_000,
            channels_max: config.channels_max,
            channels_elsewhere: config.channels_elsewhere,
            cps_max: config.cps_max,
            options_interval_ms: config.options_interval_ms,
            overload_control: config.overload_control,
            caller_id: mask.number_option(config.caller_id.as_deref()),
            srtp: config.srtp.into(),
            enabled: config.enabled,
            status: TrunkStatus {
                up: view.up,
                down_reason: mask.text_option(view.down_reason.as_deref()),
                registered: view.registered,
                options_rtt_ms: view.options_rtt_ms,
                overload_loss_percent: view.overload_loss_percent,
                calls_active: view.calls_active,
            },
            version: view.row.version,
            created_at: view.row.created_at.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1:5060",
            "[::1]:5060",
            "sip.example.org:5060",
            "carrier:5080",
            "127.0.0.1",
            "carrier",
            "::1",
        ] {
            assert!(config::host_and_port(good).is_some(), "{good}");
        }
        for bad in ["", "127.0.0.1:0", "127.0.0.1:70000", "300.1.1.1:5060", ":5060", "a b:5060", "sip:x:5060"]
        {
            assert!(config::host_and_port(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_request_makes_the_config_it_came_from() {
        let config = TrunkConfig {
            name: "carrier".into(),
            address: "127.0.0.1:5060".into(),
            ..TrunkConfig::default()
        };
        assert_eq!(TrunkConfig::try_from(TrunkRequest::from(&config)).unwrap(), config);
        let problem = TrunkConfig::try_from(TrunkRequest {
            channels_max: 0,
            cps_max: f64::NAN,
            register: true,
            ..TrunkRequest::from(&config)
        })
        .unwrap_err();
        let pointers: Vec<_> = problem.errors().iter().filter_map(|error| error.pointer.as_deref()).collect();
        assert_eq!(pointers, ["/register", "/channels_max", "/cps_max"]);
    }
}
