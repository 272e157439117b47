//! What people configure: trunks, agents, lists, campaigns. Plain data with defaults and checks.
//!
//! A field missing in a stored configuration takes its default, so that fields can be added.

use crate::agent::device::AgentDevice;
use crate::best_time::BestTimeConfig;
use crate::caller_id::OwnUse;
use crate::campaign::{OptOut, Schedule};
use crate::compliance::CallingWindows;
use crate::disposition::DispositionRule;
use crate::id::{CalendarId, CallerIdPoolId, CampaignId, DncListId, ListId, TrunkId};
use crate::outcome::Outcome;
use crate::screen::{Filter, Frequency, Sequence};
use crate::serving::{AfterPause, Membership, Serving};
use crate::tenant::Tenant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A carrier path.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TrunkConfig {
    /// Unique name.
    pub name: String,
    /// Where requests go: `address:port` (IPv4 or IPv6 in brackets), or a name, with a port or without. A name without a
    /// port is looked up as a service (RFC 3263).
    pub address: String,
    /// How it is spoken with; `None` as its address says, which is UDP for a numeric one.
    pub transport: Option<TrunkTransport>,
    /// Our end: the address of the listener that requests leave by (`192.0.2.1:5060`), on a node with several. `None`: the
    /// first that speaks the transport.
    pub listener: Option<String>,
    /// Trunks of a campaign with the lowest number are taken first; the others when those have no room or are down.
    pub priority: u16,
    /// Share of calls among trunks of one priority that have room. Among weights of 0 the order of the campaign holds;
    /// next to others a weight of 0 gets what they have no room for.
    pub weight: u16,
    /// How the called number is written.
    pub number_format: NumberFormat,
    /// Country of the trunk, digits of its calling code: for [`NumberFormat::National`].
    pub country_code: String,
    /// Dialled before every number.
    pub prefix: String,
    /// Source addresses (with or without a port) and networks (`192.0.2.0/24`) whose requests are taken as this
    /// trunk's. Empty: the host of `address`, any port.
    pub sources: Vec<String>,
    /// DNS names in client certificates whose connections are this trunk's.
    pub certificate_names: Vec<String>,
    /// Within our trust domain (RFC 3325 §2.3): whom it says a caller is, is believed and passed on, and it is told
    /// even of callers who want to stay unknown.
    pub trusted: bool,
    /// How callers are named to it, beside From.
    pub identity: IdentityHeader,
    /// Headers of calls that pass through to it which go on: names, or beginnings of names with `*` behind.
    pub headers_pass: Vec<String>,
    /// Headers that neither go on to it nor come in from it, even if they would be passed.
    pub headers_remove: Vec<String>,
    /// Header lines (`Name: value`) of all calls that go out to it.
    pub headers_add: Vec<String>,
    /// Digest user name, when the trunk asks for credentials.
    pub username: Option<String>,
    /// Digest password.
    pub password: Option<String>,
    /// Register with the trunk (needs credentials).
    pub register: bool,
    /// Registration lifetime asked for, seconds.
    pub register_expires_s: u32,
    /// Calls at once, both directions.
    pub channels_max: u32,
    /// Of these taken by others at the moment (other servers on the same lines), as they have told.
    pub channels_elsewhere: u32,
    /// New calls per second; fractions allowed.
    pub cps_max: f64,
    /// Time between OPTIONS pings, milliseconds; 0 sends none and takes the trunk as up.
    pub options_interval_ms: u32,
    /// It may ask for a share of new calls to be left out (RFC 7339): it is told that it may, and heeded.
    pub overload_control: bool,
    /// Caller ID for calls that name none.
    pub caller_id: Option<String>,
    /// Whether sound is encrypted.
    pub srtp: Srtp,
    /// False: takes and carries nothing new.
    pub enabled: bool,
}

impl Default for TrunkConfig {
    fn default() -> Self {
        TrunkConfig {
            name: String::new(),
            address: String::new(),
            transport: None,
            listener: None,
            priority: 0,
            weight: 0,
            number_format: NumberFormat::AsIs,
            country_code: String::new(),
            prefix: String::new(),
            sources: Vec::new(),
            certificate_names: Vec::new(),
            trusted: true,
            identity: IdentityHeader::Asserted,
            headers_pass: Vec::new(),
            headers_remove: Vec::new(),
            headers_add: Vec::new(),
            username: None,
            password: None,
            register: false,
            register_expires_s: 300,
            channels_max: 100,
            channels_elsewhere: 0,
            cps_max: 30.0,
            options_interval_ms: 30_000,
            overload_control: true,
            caller_id: None,
            srtp: Srtp::Off,
            enabled: true,
        }
    }
}

/// How a caller is named to a trunk, beside From.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHeader {
    /// P-Asserted-Identity (RFC 3325 §9.1).
    #[default]
    Asserted,
    /// P-Preferred-Identity (RFC 3325 §9.2): the trunk decides whether it believes us.
    Preferred,
    /// Not at all.
    None,
}

/// How a carrier wants called numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// As it came.
    #[default]
    AsIs,
    /// `+12025550123`.
    E164,
    /// `12025550123`.
    Digits,
    /// `2025550123` in the trunk's country, `0044…` abroad.
    National,
}

impl TrunkConfig {
    /// Calls that this node may have at once: what others leave of the channels.
    #[must_use]
    pub const fn channels(&self) -> u32 {
        self.channels_max.saturating_sub(self.channels_elsewhere)
    }

    /// A called number as this trunk wants it. Only what is in E.164 (`+` and digits) can be written otherwise; a
    /// short code or an extension stays as it is, but for the prefix.
    #[must_use]
    pub fn number_for(&self, number: &str) -> String {
        let international = number
            .strip_prefix('+')
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let written = match (self.number_format, international) {
            (NumberFormat::AsIs | NumberFormat::E164, _) | (_, None) => number.to_owned(),
            (NumberFormat::Digits, Some(digits)) => digits.to_owned(),
            (NumberFormat::National, Some(digits)) => {
                match digits
                    .strip_prefix(self.country_code.as_str())
                    .filter(|_| !self.country_code.is_empty())
                {
                    Some(national) => national.to_owned(),
                    None => format!("00{digits}"),
                }
            }
        };
        format!("{}{written}", self.prefix)
    }
}

/// Host and port of a trunk's address: `host`, `host:port`, an IPv4 address or an IPv6 one (in brackets before a port).
/// `None` when it is none of these.
#[must_use]
pub fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, None));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok().then_some((text, None));
    }
    let (host, named) = match text.rsplit_once(':') {
        Some((host, digits)) => (host, Some(port(digits)?)),
        None => (text, None),
    };
    if text.parse::<SocketAddr>().is_ok() {
        return Some((host, named));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = (1..=253).contains(&host.len())
        && host.split('.').all(label)
        // All digits and dots, yet not an address: a mistyped one.
        && !host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.then_some((host, named))
}

/// What is spoken with a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkTransport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// An encrypted connection, to a host that shows a certificate for its name.
    Tls,
}

/// Whether sound is encrypted under keys that the descriptions hold (SRTP by RFC 4568).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Srtp {
    /// Never: offers that ask for it alone are refused.
    #[default]
    Off,
    /// Where the other side takes it (RFC 8643).
    Optional,
    /// Always: who cannot is not spoken with.
    Required,
}

/// How the INVITE to an agent's phone asks to be answered by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoAnswer {
    /// `Call-Info` and `Alert-Info` together, which most phones obey.
    #[default]
    Default,
    /// `Call-Info: <sip:host>;answer-after=0`.
    CallInfo,
    /// `Alert-Info: <http://host>;info=alert-autoanswer;delay=0`.
    AlertInfo,
    /// Yealink's `Alert-Info: info=alert-autoanswer`.
    Yealink,
    /// Polycom's `Alert-Info: Auto Answer`.
    Polycom,
    /// RFC 5373 `Answer-Mode: Auto`.
    Rfc5373,
    /// `P-Auto-Answer: normal`.
    PAutoAnswer,
    /// The agent picks up by hand.
    None,
}

/// An agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentConfig {
    /// Shown name.
    pub name: String,
    /// SIP user of the phone; unique.
    pub username: String,
    /// SIP password of the phone; may be empty for a device that does not register.
    pub password: String,
    /// Whose agent it is.
    pub tenant: Tenant,
    /// What rings when the agent is called.
    pub device: AgentDevice,
    /// Groups this agent belongs to.
    pub groups: Vec<String>,
    /// Asking the phone to answer by itself.
    pub auto_answer: AutoAnswer,
    /// Wrap-up of this agent instead of the campaign's, milliseconds.
    pub wrap_up_ms: Option<u32>,
    /// Numbers that the phone may call and transfer to: their beginnings, `*` for all. None: none.
    pub destinations: Vec<String>,
    /// Calls of the phone's own at once, transfers to outside among them.
    pub calls_max: u32,
    /// What the agent can, each skill with its level, 0..=9.
    pub skills: BTreeMap<String, u8>,
    /// Rank in campaigns that have none in `memberships`, -9..=9.
    pub rank: i8,
    /// Place from the top in such campaigns.
    pub position: u32,
    /// Place in single campaigns.
    pub memberships: BTreeMap<CampaignId, Membership>,
    /// Ringing of this agent's phone instead of the campaign's, milliseconds.
    pub ring_ms: Option<u32>,
    /// Whether the phone's sound is encrypted.
    pub srtp: Srtp,
    /// A break lasts at most so long, milliseconds …
    pub pause_max_ms: Option<u32>,
    /// … then this follows.
    pub pause_then: AfterPause,
}

impl Default for AgentConfig {
    fn default() -> Self {
        AgentConfig {
            name: String::new(),
            username: String::new(),
            password: String::new(),
            tenant: Tenant::default(),
            device: AgentDevice::Registered,
            groups: Vec::new(),
            auto_answer: AutoAnswer::default(),
            wrap_up_ms: None,
            destinations: Vec::new(),
            calls_max: 2,
            skills: BTreeMap::new(),
            rank: 0,
            position: 0,
            memberships: BTreeMap::new(),
            ring_ms: None,
            srtp: Srtp::Off,
            pause_max_ms: None,
            pause_then: AfterPause::default(),
        }
    }
}

/// Whether an entry of [`AgentConfig::destinations`] is good: `*`, or the beginning of a number or name.
#[must_use]
pub fn is_destination(entry: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"+*#-_.".contains(&byte);
    (1..=32).contains(&entry.len()) && entry.bytes().all(sound)
}

/// A list of leads.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListConfig {
    /// Shown name.
    pub name: String,
    /// Whose it is.
    pub tenant: Tenant,
    /// Region (ISO 3166-1 alpha-2) for numbers without a country code.
    pub default_region: Option<String>,
    /// Countries (ISO 3166-1 alpha-2) whose numbers are taken in; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
}

/// A do-not-call list.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DncListConfig {
    /// Shown name.
    pub name: String,
    /// Whose it is; `None`: the operator's.
    pub tenant: Option<Tenant>,
    /// Holds for every campaign and every call (of its tenant, if it has one); else only for the campaigns that name it.
    pub everywhere: bool,
    /// Where it comes from (`internal`, `us_national` …), for people.
    pub source: Option<String>,
}

/// How a campaign dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialMode {
    /// The agent sees the lead first and dials by hand (or by a timer).
    Preview,
    /// One line per ready agent.
    #[default]
    Progressive,
    /// A fixed number of lines per ready agent.
    Ratio,
    /// As many lines as the forecast bears under the abandonment target.
    Predictive,
    /// No agents: so many lines are kept busy, and who answers hears a message.
    Agentless,
}

impl DialMode {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DialMode::Preview => "preview",
            DialMode::Progressive => "progressive",
            DialMode::Ratio => "ratio",
            DialMode::Predictive => "predictive",
            DialMode::Agentless => "agentless",
        }
    }
}

/// How the number of lines is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcurrencyKind {
    /// By the mode, from the agents there are.
    #[default]
    Dynamic,
    /// A fixed number of dials is kept in flight while anyone works.
    Fixed,
}

/// Limits on lines.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Concurrency {
    /// How their number is found.
    pub kind: ConcurrencyKind,
    /// Fixed: so many dials in flight. Agentless: so many calls at once; `None`: `lines_max`.
    pub lines: Option<u32>,
    /// At least so many dials in flight while an agent works and the abandonment budget is not spent (ratio and
    /// predictive), but never more than `max_lines_per_agent` allows.
    pub lines_min: u32,
    /// Most calls of this campaign at once (ringing and talking).
    pub lines_max: u32,
    /// New calls per second of this campaign.
    pub cps_max: f64,
    /// Dials in flight per agent that is ready or about to be.
    pub max_lines_per_agent: f64,
    /// Share against campaigns of the same priority that want the same agents or lines.
    pub weight: f64,
    /// Campaigns of a higher priority are served first.
    pub priority: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Concurrency {
            kind: ConcurrencyKind::Dynamic,
            lines: None,
            lines_min: 0,
            lines_max: 100,
            cps_max: 10.0,
            max_lines_per_agent: 4.0,
            weight: 100.0,
            priority: 50,
        }
    }
}

/// When a call gets its agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectAt {
    /// When the customer answers.
    #[default]
    Answer,
    /// When the customer's phone rings: a ready agent is joined and hears it ring; the phone of one without a nailed-up
    /// session is rung for it, and its leg kept until one conversation is over or nothing rings any more. Who answers
    /// without an agent gets the next free one, also one who listens to another line that still rings.
    Ringing,
}

/// How the abandonment cap binds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapStyle {
    /// Never above: only what has been earned is spent.
    Hard,
    /// At or under the cap when the window ends.
    #[default]
    Average,
    /// May run ahead early in the shift; what may be ahead shrinks to nothing at its end.
    Tapered,
}

/// The rule book a campaign is held to. Data only: what each one demands is in `compliance`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The campaign's own numbers.
    #[default]
    Custom,
    /// United States, FTC: 16 CFR 310.4(b).
    UsTsr,
    /// United States, FCC: 47 CFR 64.1200(a).
    UsFcc,
    /// United Kingdom, Ofcom: statement on persistent misuse.
    GbOfcom,
    /// Canada, CRTC: Unsolicited Telecommunications Rules.
    CaCrtc,
    /// Australia, ACMA: Telemarketing and Research Calls Industry Standard 2017.
    AuAcma,
    /// France: décret 2022-1313.
    #[serde(rename = "fr_2022")]
    Fr2022,
    /// China, MIIT: notice on call centres of June 2020.
    CnMiit,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 8] = [
        Policy::Custom,
        Policy::UsTsr,
        Policy::UsFcc,
        Policy::GbOfcom,
        Policy::CaCrtc,
        Policy::AuAcma,
        Policy::Fr2022,
        Policy::CnMiit,
    ];

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Policy::Custom => "custom",
            Policy::UsTsr => "us_tsr",
            Policy::UsFcc => "us_fcc",
            Policy::GbOfcom => "gb_ofcom",
            Policy::CaCrtc => "ca_crtc",
            Policy::AuAcma => "au_acma",
            Policy::Fr2022 => "fr_2022",
            Policy::CnMiit => "cn_miit",
        }
    }
}

/// What a campaign does while inbound calls wait for its agents. Each of these takes an idle agent out of the count in
/// any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldBack {
    /// No more than that.
    Off,
    /// Dials no call ahead.
    #[default]
    NoOverdial,
    /// Dials nothing.
    NoDial,
}

/// What a team that is too small for forecasts does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SmallTeam {
    /// With fewer working agents than this …
    pub below_agents: u32,
    /// … the campaign dials in this mode.
    pub mode: DialMode,
}

/// Over which time the abandonment rate is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonWindow {
    /// The last 24 hours.
    #[default]
    #[serde(rename = "24h")]
    Hours24,
    /// The last 30 days, and each of the successive 30 days since the campaign was made.
    #[serde(rename = "30d")]
    Days30,
    /// The calendar month, on the clock of the campaign's calling hours (without them: UTC).
    Month,
}

impl AbandonWindow {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AbandonWindow::Hours24 => "24h",
            AbandonWindow::Days30 => "30d",
            AbandonWindow::Month => "month",
        }
    }
}

/// The abandonment budget.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PacingConfig {
    /// The rate aimed at, 0..=1.
    pub abandon_target: f64,
    /// The rate never to be passed, 0..=1.
    pub abandon_cap: f64,
    /// Window of both.
    pub window: AbandonWindow,
    /// How the cap binds.
    pub style: CapStyle,
    /// The rule book.
    pub policy: Policy,
    /// Campaigns with the same name here share one abandonment budget.
    pub budget_group: Option<String>,
    /// Protection of small teams in predictive and ratio mode.
    pub small_team: Option<SmallTeam>,
    /// Calls that have rung for `ring_min_ms` may be given up when agents run short.
    pub cancel_ringing: bool,
    /// What is held back while inbound calls wait for the same agents (they go first in any case).
    pub hold_back: HoldBack,
    /// Share of people whom machine detection takes for machines, 0..=0.5, as measured; `None`: the rule book's
    /// estimate. They are live and abandoned in the eyes of the law.
    pub amd_false_machine: Option<f64>,
    /// Share of the calls passed on as a person's that are machines detection missed, 0..=0.5.
    pub amd_missed_machine: Option<f64>,
    /// Agents may wait so long between two calls on average, milliseconds: while they wait less, the risk of abandoned
    /// calls is lowered until they do. `None`: they wait as little as the budget allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_target_ms: Option<u32>,
}

impl Default for PacingConfig {
    fn default() -> Self {
        PacingConfig {
            abandon_target: 0.025,
            abandon_cap: 0.03,
            window: AbandonWindow::Hours24,
            style: CapStyle::Average,
            policy: Policy::Custom,
            budget_group: None,
            small_team: None,
            cancel_ringing: false,
            hold_back: HoldBack::NoOverdial,
            amd_false_machine: None,
            amd_missed_machine: None,
            wait_target_ms: None,
        }
    }
}

/// Timers of a campaign, all milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CampaignTimers {
    /// An unanswered call rings at least this long (law: 15 s or four rings).
    pub ring_min_ms: u32,
    /// … and at most this long.
    pub ring_max_ms: u32,
    /// An agent's phone rings at most this long.
    pub agent_ring_ms: u32,
    /// After-call work; the agent may end it sooner.
    pub wrap_up_ms: u32,
    /// A live answer without an agent for this long is abandoned.
    pub bridge_deadline_ms: u32,
    /// Preview: dial by itself after this long; 0 waits for the agent.
    pub preview_auto_dial_ms: u32,
    /// Longest call.
    pub call_max_ms: u32,
}

impl Default for CampaignTimers {
    fn default() -> Self {
        CampaignTimers {
            ring_min_ms: 15_000,
            ring_max_ms: 28_000,
            agent_ring_ms: 8_000,
            wrap_up_ms: 20_000,
            bridge_deadline_ms: 2_000,
            preview_auto_dial_ms: 0,
            call_max_ms: 4 * 3_600_000,
        }
    }
}

/// What answering-machine detection is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmdMode {
    /// Nothing.
    #[default]
    Off,
    /// Connect the agent at once and listen beside; a machine ends the call.
    Async,
    /// Listen first; connect when it is not a machine.
    BeforeBridge,
}

/// Whose tones are listened for before the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TonePlan {
    /// All that are known.
    #[default]
    Any,
    /// China's.
    Cn,
    /// Those of most of Europe.
    Eu,
    /// North America's.
    Us,
    /// The United Kingdom's.
    Gb,
    /// Japan's.
    Jp,
    /// Australia's.
    Au,
    /// India's.
    In,
    /// Spain's.
    Es,
    /// Brazil's.
    Br,
}

impl TonePlan {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    const fn is_any(&self) -> bool {
        matches!(self, TonePlan::Any)
    }
}

/// When and how often an outcome is tried again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RetryRule {
    /// For this outcome …
    pub outcome: Outcome,
    /// … try again after this many milliseconds …
    pub after_ms: u64,
    /// … at most this often (0: never).
    pub max: u32,
    /// Attempts with it count among those that the lead may have in all.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub counts: bool,
    /// The next try is in another part of the callee's day (until 12, until 17, until 24 o'clock).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_slot: bool,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_yes(value: &bool) -> bool {
    *value
}

impl RetryRule {
    /// Tries again after so long, at most so often; each attempt counts, at any time of the day.
    #[must_use]
    pub const fn new(outcome: Outcome, after_ms: u64, max: u32) -> Self {
        RetryRule { outcome, after_ms, max, counts: true, other_slot: false }
    }
}

/// Hours of the day in which a campaign may dial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallingHours {
    /// First minute of the day, 0..=1439.
    pub from_minute: u16,
    /// First minute no longer allowed, 1..=1440.
    pub to_minute: u16,
    /// Days, bit 0 is Monday … bit 6 is Sunday.
    pub days: u8,
    /// Offset from UTC of the callee's clock, minutes.
    pub utc_offset_minutes: i16,
}

/// Push mode: a campaign whose leads come one dial request at a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PushConfig {
    /// Where requests are kept, one of the campaign's lists; `None`: the first of them.
    pub list: Option<ListId>,
    /// A request that names no time is not dialled after this long, milliseconds.
    pub expires_in_ms: u64,
    /// Requests that wait to be dialled at most; more are refused.
    pub waiting_max: u32,
}

impl Default for PushConfig {
    fn default() -> Self {
        PushConfig { list: None, expires_in_ms: 60_000, waiting_max: 100_000 }
    }
}

/// A campaign.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CampaignConfig {
    /// Shown name.
    pub name: String,
    /// Whose it is.
    pub tenant: Tenant,
    /// How it dials.
    pub mode: DialMode,
    /// Lines per ready agent in ratio mode.
    pub ratio: f64,
    /// When a call gets its agent.
    pub connect_at: ConnectAt,
    /// Name of the prompt that is played to who answers in agentless mode.
    pub message_prompt: Option<String>,
    /// Agents of this group; `None`: all agents.
    pub agent_group: Option<String>,
    /// Which of these serve it, and who comes first.
    pub serving: Box<Serving>,
    /// Whose leads.
    pub lists: Vec<ListId>,
    /// Over these trunks, in order of preference; empty: any enabled trunk.
    pub trunks: Vec<TrunkId>,
    /// Caller ID shown.
    pub caller_id: Option<String>,
    /// Calls show numbers of this pool, and none is dialled while it has none to show.
    pub caller_id_pool: Option<CallerIdPoolId>,
    /// How it shows them, where that is not the pool's own way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_id_use: Option<Box<OwnUse>>,
    /// Limits on lines.
    pub concurrency: Concurrency,
    /// Abandonment budget.
    pub pacing: Box<PacingConfig>,
    /// Timers.
    pub timers: CampaignTimers,
    /// Name of the prompt played when no agent is free in time (safe-harbour message).
    pub safe_harbour_prompt: Option<String>,
    /// After an abandoned call a lead is dialled only with an agent guaranteed, for so many hours; 0: at once.
    pub lock_hours: u32,
    /// The key that takes who hears a message off the list; `None`: none does.
    pub opt_out: Option<OptOut>,
    /// Answering-machine detection.
    pub amd: AmdMode,
    /// What is done with machines and assistants.
    pub machine_policy: Box<crate::machine::MachinePolicy>,
    /// Listen to early media and give up on busy, congestion and SIT tones at once.
    pub early_media: bool,
    /// Whose tones are listened for.
    #[serde(skip_serializing_if = "TonePlan::is_any")]
    pub tone_plan: TonePlan,
    /// Retry rules; an outcome without one uses the built-in table.
    pub retry: Vec<RetryRule>,
    /// Most attempts per lead in all.
    pub attempts_max: u32,
    /// When it begins and ends.
    pub schedule: Schedule,
    /// When it may dial; `None`: always.
    pub calling_hours: Option<CallingHours>,
    /// When its callees may be called, by the clock where each of them is; `None`: as the rule book says.
    pub calling_windows: Option<Box<CallingWindows>>,
    /// … and as this calendar says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarId>,
    /// How often a lead may be dialled.
    pub frequency: Box<Frequency>,
    /// Only leads that match.
    pub filter: Option<Filter>,
    /// In which order its leads are dialled.
    pub sequence: Box<Sequence>,
    /// Do-not-call lists it respects beside those that hold everywhere.
    pub dnc_lists: Vec<DncListId>,
    /// Record bridged calls.
    pub record: bool,
    /// Dispositions an agent may set; empty: any word.
    pub dispositions: Vec<DispositionRule>,
    /// It takes dial requests.
    pub push: Option<Box<PushConfig>>,
    /// Preview: agents may give a lead back without dialling it.
    pub preview_skip: bool,
    /// It learns when to call whom.
    pub best_time: Option<Box<BestTimeConfig>>,
}

impl Default for CampaignConfig {
    fn default() -> Self {
        CampaignConfig {
            name: String::new(),
            tenant: Tenant::default(),
            mode: DialMode::default(),
            ratio: 1.5,
            connect_at: ConnectAt::Answer,
            message_prompt: None,
            agent_group: None,
            serving: Box::default(),
            lists: Vec::new(),
            trunks: Vec::new(),
            caller_id: None,
            caller_id_pool: None,
            caller_id_use: None,
            concurrency: Concurrency::default(),
            pacing: Box::default(),
            timers: CampaignTimers::default(),
            safe_harbour_prompt: Some("safe_harbour".into()),
            lock_hours: 72,
            opt_out: None,
            amd: AmdMode::Off,
            machine_policy: Box::default(),
            early_media: true,
            tone_plan: TonePlan::Any,
            retry: Vec::new(),
            attempts_max: 6,
            schedule: Schedule::default(),
            calling_hours: None,
            calling_windows: None,
            calendar: None,
            frequency: Box::default(),
            filter: None,
            sequence: Box::default(),
            dnc_lists: Vec::new(),
            record: true,
            dispositions: Vec::new(),
            push: None,
            preview_skip: true,
            best_time: None,
        }
    }
}

/// Life of a campaign.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Made or ended; dials nothing.
    #[default]
    Stopped,
    /// Dials.
    Running,
    /// Dials nothing new; live calls go on.
    Paused,
}

impl CampaignState {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CampaignState::Stopped => "stopped",
            CampaignState::Running => "running",
            CampaignState::Paused => "paused",
        }
    }
}

/// How an agent's voice path is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// One call to the phone stays up for the whole session; customers are joined to it at once.
    #[default]
    NailedUp,
    /// The phone is rung for each call.
    OnDemand,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_trunk_wants_them() {
        let check = |number_format, country_code: &str, prefix: &str, number: &str, expected: &str| {
            let (country_code, prefix) = (country_code.to_owned(), prefix.to_owned());
            let trunk = TrunkConfig { number_format, country_code, prefix, ..TrunkConfig::default() };
            assert_eq!(trunk.number_for(number), expected);
        };
        check(NumberFormat::AsIs, "", "", "+12025550123", "+12025550123");
        check(NumberFormat::E164, "", "99#", "+12025550123", "99#+12025550123");
        check(NumberFormat::Digits, "", "", "+12025550123", "12025550123");
        check(NumberFormat::National, "1", "", "+12025550123", "2025550123");
        check(NumberFormat::National, "1", "9", "+442079460123", "900442079460123");
        check(NumberFormat::National, "", "", "+12025550123", "0012025550123");
        check(NumberFormat::Digits, "", "7", "8001", "78001");
        check(NumberFormat::National, "1", "", "+", "+");
    }

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("192.0.2.1:5060", Some(("192.0.2.1", Some(5060)))),
            ("[2001:db8::1]:5060", Some(("[2001:db8::1]", Some(5060)))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("sip.example.com", Some(("sip.example.com", None))),
            ("_sip.example.com:5070", Some(("_sip.example.com", Some(5070)))),
            ("192.0.2.300", None),
            ("a b", None),
            ("h:0", None),
            ("h:99999", None),
            ("", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
