//! The pacer over lines of text, for a dialer or a simulator outside.
//!
//! Times are seconds and begin again at each day. Campaigns are numbered from 0, and so are agents: the n-th `A` line
//! of a snapshot is agent n.
//!
//! ```text
//! in   E t day D AGENTS CAMPAIGNS
//!      E t login|logout|idle|break AGENT
//!      E t dialed CALL CAMPAIGN
//!      E t resolved CALL CAMPAIGN Human|Machine|Busy|Sit|NoAnswer|Cancelled DUR
//!      E t connected CALL CAMPAIGN AGENT WAITED
//!      E t abandoned CALL CAMPAIGN WAITED
//!      E t talkend|wrapend AGENT CAMPAIGN DUR
//!      E t inbound
//!      E t inconnected AGENT
//!      E t intalkend|inwrapend AGENT DUR
//!
//!      S t CAMPAIGN IDLE TALKING WRAPPING ON_BREAK INFLIGHT WAITING INBOUND_WAITING LINES_FREE CAMPAIGNS SHIFT_LEFT
//!      A STATE SINCE CAMPAIGN MASK LEAVING        one per agent; STATE I T W B O i w; MASK its campaigns as bits
//!      C ID CAMPAIGN DIAL_T ALERT_T|NaN ANSWER_T|NaN   one per call in flight or waiting
//!      D
//! out  N [CALL ids to cancel]                     after each D
//! ```
//!
//! A number that is not finite or out of range is taken as the nearest that makes sense; a line that is not of this
//! form is an error, and nothing is decided.

use super::ledger::{Ledger, WindowKind, WindowRule};
use super::{
    AgentRef, AgentState, AgentView, CallRef, CallView, CampaignPacing, CampaignRef, CapStyle, Decision,
    DialLimits, DialTraits, Floor, Outcome, Pacer, PacingEvent, PacingView, WindowCount, limits,
};
use core::fmt;
use core::time::Duration;
use sansio::{Instant, WallTime};
use std::collections::BTreeMap;

/// Longest line, bytes.
pub const LINE_MAX: usize = 4_096;
/// Campaigns that a mask can name.
pub const MASK_CAMPAIGNS: u32 = 64;
/// A day of the inner clock begins so many seconds after the last, or a multiple of that where a day was longer.
const DAY_S: f64 = 86_400.0;
/// What is known of the time before a day began reaches back so far, seconds.
const NIGHT_S: f64 = 3_600.0;
/// Latest time of day that is believed, seconds.
const TIME_MAX_S: f64 = 1e7;

/// A line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// Its number, from 1.
    pub line: u64,
    /// What it says, cut at 120 characters.
    pub found: String,
    /// What would have been understood.
    pub expected: &'static str,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: expected {}", self.line, self.found, self.expected)
    }
}

impl std::error::Error for ProtocolError {}

/// How the pacer behind the lines is set.
#[derive(Clone, Copy, Debug)]
pub struct ProtocolOptions {
    /// Every campaign is dialled so.
    pub pacing: CampaignPacing,
    /// Greatest abandonment rate per campaign and day, 0..=1.
    pub cap: f64,
    /// How the cap binds.
    pub style: CapStyle,
    /// Calls in flight per working agent.
    pub max_lines_per_agent: f64,
}

#[derive(Clone, Debug)]
struct Snapshot {
    campaign: CampaignRef,
    now: Instant,
    inbound_waiting: u32,
    lines_free: u32,
    shift_left: Option<Duration>,
    /// State, since, campaign, mask, leaving.
    agents: Vec<(AgentState, Instant, Option<CampaignRef>, u64, bool)>,
    calls: Vec<CallView>,
}

/// One conversation over lines.
#[derive(Clone, Debug)]
pub struct LineProtocol {
    floor: Floor,
    options: ProtocolOptions,
    ledgers: BTreeMap<CampaignRef, Ledger>,
    /// Calls dialled or answered: when dialled.
    calls: BTreeMap<CallRef, Instant>,
    /// Answered and not yet with an agent.
    answered: BTreeMap<CallRef, CampaignRef>,
    base_s: f64,
    last_s: f64,
    lines: u64,
    snapshot: Option<Snapshot>,
}

type Parsed<T> = Result<T, &'static str>;

struct Words<'a>(core::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self, expected: &'static str) -> Parsed<&'a str> {
        self.0.next().ok_or(expected)
    }

    fn number(&mut self, expected: &'static str) -> Parsed<f64> {
        self.word(expected)?.parse().map_err(|_| expected)
    }

    /// A count; written as any number, taken as the nearest that can be.
    fn count(&mut self, expected: &'static str) -> Parsed<u32> {
        Ok(self.number(expected)? as u32)
    }

    fn id(&mut self, expected: &'static str) -> Parsed<u64> {
        self.word(expected)?.parse().map_err(|_| expected)
    }

    fn agent(&mut self) -> Parsed<AgentRef> {
        let expected = "AGENT, a whole number";
        self.word(expected)?.parse().map(AgentRef).map_err(|_| expected)
    }

    fn campaign(&mut self) -> Parsed<CampaignRef> {
        let expected = "CAMPAIGN, a whole number";
        self.word(expected)?.parse().map(CampaignRef).map_err(|_| expected)
    }

    fn call(&mut self) -> Parsed<CallRef> {
        self.id("CALL, a whole number").map(CallRef)
    }

    fn end(mut self) -> Parsed<()> {
        if self.0.next().is_some() { Err("nothing more on this line") } else { Ok(()) }
    }
}

/// A duration as written; `None` if it makes no sense.
fn duration(seconds: f64) -> Option<Duration> {
    if seconds.is_finite() && seconds >= 0.0 {
        Some(Duration::from_secs_f64(seconds.min(TIME_MAX_S)))
    } else {
        None
    }
}

impl LineProtocol {
    /// Before the first line.
    #[must_use]
    pub fn new(options: ProtocolOptions) -> Self {
        LineProtocol {
            floor: Floor::new(),
            options,
            ledgers: BTreeMap::new(),
            calls: BTreeMap::new(),
            answered: BTreeMap::new(),
            base_s: 0.0,
            last_s: 0.0,
            lines: 0,
            snapshot: None,
        }
    }

    /// Reads one line without its end; a decision if it was a `D`.
    ///
    /// # Errors
    /// The line cannot be understood; nothing was changed by it.
    pub fn line(&mut self, line: &str) -> Result<Option<Decision>, ProtocolError> {
        self.lines += 1;
        let parsed = if line.len() > LINE_MAX { Err("a shorter line") } else { self.understand(line) };
        parsed.map_err(|expected| ProtocolError {
            line: self.lines,
            found: line.chars().take(120).collect(),
            expected,
        })
    }

    /// The input ended.
    ///
    /// # Errors
    /// It ended within a snapshot.
    pub fn end(&self) -> Result<(), ProtocolError> {
        match self.snapshot {
            None => Ok(()),
            Some(_) => Err(ProtocolError {
                line: self.lines + 1,
                found: String::new(),
                expected: "D before the end of input",
            }),
        }
    }

    fn understand(&mut self, line: &str) -> Parsed<Option<Decision>> {
        let mut words = Words(line.split_ascii_whitespace());
        let Some(first) = words.0.next() else { return Ok(None) };
        match (first, self.snapshot.is_some()) {
            ("E", false) => self.event(words).map(|()| None),
            ("S", false) => self.begin(words).map(|()| None),
            ("A", true) => self.agent(words).map(|()| None),
            ("C", true) => self.call(words).map(|()| None),
            ("D", true) => {
                words.end()?;
                Ok(self.snapshot.take().map(|snapshot| self.decide(&snapshot)))
            }
            (_, false) => Err("E or S"),
            (_, true) => Err("A, C or D"),
        }
    }

    /// The inner time of `t` seconds in this day; nonsense is the latest time seen.
    fn at(&mut self, t: f64) -> Instant {
        let second = if t.is_finite() { t.clamp(0.0, TIME_MAX_S) } else { self.last_s };
        self.last_s = self.last_s.max(second);
        self.inner(second)
    }

    /// Exact to the nanosecond for times written with as many digits.
    fn inner(&self, second: f64) -> Instant {
        let since_start = Duration::from_secs_f64(second.abs());
        let start = Instant::ZERO + Duration::from_secs_f64(self.base_s);
        if second < 0.0 { start - since_start } else { start + since_start }
    }

    /// A time that only describes something; does not move the clock.
    fn past(&self, t: f64, otherwise: Instant) -> Instant {
        if t.is_finite() { self.inner(t.clamp(-NIGHT_S, TIME_MAX_S)) } else { otherwise }
    }

    fn campaign(&mut self, campaign: CampaignRef) {
        if self.ledgers.len() < limits::CAMPAIGNS_MAX && !self.ledgers.contains_key(&campaign) {
            self.floor.set_campaign(campaign, self.options.pacing);
            let rule = WindowRule {
                kind: WindowKind::Campaign,
                cap: self.options.cap,
                style: self.options.style,
                of_group: false,
            };
            if let Some(ledger) = Ledger::new(&[rule], WallTime::default()) {
                self.ledgers.insert(campaign, ledger);
            }
        }
    }

    fn event(&mut self, mut words: Words<'_>) -> Parsed<()> {
        let t = words.number("E t …, t in seconds")?;
        let kind = words.word("the kind of event")?;
        let event = match kind {
            "day" => return self.day(t, words),
            "login" => PacingEvent::AgentLoggedIn(words.agent()?),
            "logout" => PacingEvent::AgentLoggedOut(words.agent()?),
            "idle" => PacingEvent::AgentIdle(words.agent()?),
            "break" => PacingEvent::AgentOnBreak(words.agent()?),
            "dialed" => PacingEvent::Dialed {
                call: words.call()?,
                campaign: words.campaign()?,
                traits: DialTraits::default(),
            },
            "resolved" => return self.resolved(t, words),
            "connected" => PacingEvent::Connected {
                call: words.call()?,
                campaign: words.campaign()?,
                agent: words.agent()?,
                waited: duration(words.number("WAITED, seconds")?).unwrap_or_default(),
            },
            "abandoned" => PacingEvent::Abandoned {
                call: words.call()?,
                campaign: words.campaign()?,
                waited: duration(words.number("WAITED, seconds")?).unwrap_or_default(),
            },
            "talkend" | "wrapend" => {
                let (agent, campaign) = (words.agent()?, words.campaign()?);
                let lasted = duration(words.number("DUR, seconds")?);
                words.end()?;
                let Some(lasted) = lasted else { return Ok(()) };
                let event = if kind == "talkend" {
                    PacingEvent::TalkEnded { agent, campaign, lasted }
                } else {
                    PacingEvent::WrapUpEnded { agent, campaign, lasted }
                };
                self.happened(t, &event);
                return Ok(());
            }
            "inbound" => PacingEvent::InboundArrived,
            "inconnected" => PacingEvent::InboundConnected(words.agent()?),
            "intalkend" | "inwrapend" => {
                let agent = words.agent()?;
                let lasted = duration(words.number("DUR, seconds")?);
                words.end()?;
                let Some(lasted) = lasted else { return Ok(()) };
                let event = if kind == "intalkend" {
                    PacingEvent::InboundTalkEnded { agent, lasted }
                } else {
                    PacingEvent::InboundWrapUpEnded { agent, lasted }
                };
                self.happened(t, &event);
                return Ok(());
            }
            _ => {
                return Err(
                    "day, login, logout, idle, break, dialed, resolved, connected, abandoned, talkend, \
                            wrapend, inbound, inconnected, intalkend or inwrapend",
                );
            }
        };
        words.end()?;
        self.happened(t, &event);
        Ok(())
    }

    fn happened(&mut self, t: f64, event: &PacingEvent) {
        let now = self.at(t);
        match *event {
            PacingEvent::Dialed { call, campaign, .. } => {
                self.campaign(campaign);
                if self.calls.len() >= limits::CALLS_MAX {
                    self.calls.pop_first();
                }
                self.calls.insert(call, now);
            }
            PacingEvent::Resolved { call, campaign, outcome, .. } => {
                self.campaign(campaign);
                let known = self.calls.remove(&call).is_some();
                if known && outcome == Outcome::Human {
                    self.answered.insert(call, campaign);
                    if let Some(ledger) = self.ledgers.get_mut(&campaign) {
                        ledger.live(WallTime::default());
                    }
                }
            }
            PacingEvent::Connected { call, .. } => {
                self.answered.remove(&call);
            }
            PacingEvent::Abandoned { call, .. } => {
                let campaign = self.answered.remove(&call);
                if let Some(ledger) = campaign.and_then(|campaign| self.ledgers.get_mut(&campaign)) {
                    ledger.abandoned(WallTime::default());
                }
            }
            PacingEvent::TalkEnded { campaign, .. } | PacingEvent::WrapUpEnded { campaign, .. } => {
                self.campaign(campaign);
            }
            _ => {}
        }
        self.floor.observe(now, event);
    }

    fn resolved(&mut self, t: f64, mut words: Words<'_>) -> Parsed<()> {
        let (call, campaign) = (words.call()?, words.campaign()?);
        let expected = "Human, Machine, Busy, Sit, NoAnswer or Cancelled";
        let outcome = match words.word(expected)? {
            "Human" => Outcome::Human,
            "Machine" => Outcome::Machine,
            "Busy" => Outcome::Busy,
            "Sit" => Outcome::Sit,
            "NoAnswer" => Outcome::NoAnswer,
            "Cancelled" => Outcome::Cancelled,
            _ => return Err(expected),
        };
        let after = duration(words.number("DUR, seconds")?);
        words.end()?;
        let now = self.at(t);
        let after = after
            .unwrap_or_else(|| self.calls.get(&call).map_or(Duration::ZERO, |dialed| now.since(*dialed)));
        self.happened(t, &PacingEvent::Resolved { call, campaign, outcome, after });
        Ok(())
    }

    fn day(&mut self, t: f64, mut words: Words<'_>) -> Parsed<()> {
        let day = words.count("D, the number of the day")?;
        words.count("AGENTS")?;
        let campaigns = words.count("CAMPAIGNS")?;
        words.end()?;
        self.base_s += DAY_S * ((self.last_s + NIGHT_S) / DAY_S).ceil();
        self.last_s = 0.0;
        self.ledgers.clear();
        self.calls.clear();
        self.answered.clear();
        for campaign in 0..campaigns.min(MASK_CAMPAIGNS) {
            self.campaign(CampaignRef(campaign));
        }
        self.happened(t, &PacingEvent::DayStarted { day });
        Ok(())
    }

    fn begin(&mut self, mut words: Words<'_>) -> Parsed<()> {
        let t = words.number("S t …, t in seconds")?;
        let campaign = words.campaign()?;
        for expected in ["IDLE", "TALKING", "WRAPPING", "ON_BREAK", "INFLIGHT", "WAITING"] {
            words.count(expected)?;
        }
        let inbound_waiting = words.count("INBOUND_WAITING")?;
        let lines_free = words.count("LINES_FREE")?;
        words.count("CAMPAIGNS")?;
        let shift_left = duration(words.number("SHIFT_LEFT, seconds")?);
        words.end()?;
        let now = self.at(t);
        self.campaign(campaign);
        let (agents, calls) = (Vec::new(), Vec::new());
        self.snapshot =
            Some(Snapshot { campaign, now, inbound_waiting, lines_free, shift_left, agents, calls });
        Ok(())
    }

    fn agent(&mut self, mut words: Words<'_>) -> Parsed<()> {
        let expected = "STATE, one of I T W B O i w";
        let state = match words.word(expected)? {
            "I" => AgentState::Idle,
            "T" => AgentState::Talking,
            "W" => AgentState::WrapUp,
            "B" => AgentState::OnBreak,
            "O" => AgentState::LoggedOut,
            "i" => AgentState::InboundTalking,
            "w" => AgentState::InboundWrapUp,
            _ => return Err(expected),
        };
        let since = words.number("SINCE, seconds")?;
        let campaign = words.number("CAMPAIGN, negative for none")?;
        let campaign =
            (0.0..=f64::from(u32::MAX)).contains(&campaign).then_some(CampaignRef(campaign as u32));
        let expected = "MASK, the campaigns as bits";
        let mask = words.word(expected)?;
        let mask: u64 = match mask.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| expected)?,
            None => mask.parse().map_err(|_| expected)?,
        };
        let leaving = match words.word("LEAVING, 0 or 1")? {
            "0" | "false" => false,
            "1" | "true" => true,
            _ => return Err("LEAVING, 0 or 1"),
        };
        words.end()?;
        let snapshot = self.snapshot.as_ref().ok_or("S before A")?;
        if snapshot.agents.len() >= limits::AGENTS_MAX {
            return Err("fewer agents");
        }
        let since = self.past(since, snapshot.now);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.agents.push((state, since, campaign, mask, leaving));
        }
        Ok(())
    }

    fn call(&mut self, mut words: Words<'_>) -> Parsed<()> {
        let (call, campaign) = (words.call()?, words.campaign()?);
        let dialed = words.number("DIAL_T, seconds")?;
        let alerting = words.number("ALERT_T, seconds or NaN")?;
        let answered = words.number("ANSWER_T, seconds or NaN")?;
        words.end()?;
        let snapshot = self.snapshot.as_ref().ok_or("S before C")?;
        if snapshot.calls.len() >= limits::CALLS_MAX {
            return Err("fewer calls");
        }
        let now = snapshot.now;
        let view = CallView {
            call,
            campaign,
            dialed_at: self.past(dialed, now),
            alerting_at: (!alerting.is_nan()).then(|| self.past(alerting, now)),
            detecting_since: None,
            answered_at: (!answered.is_nan()).then(|| self.past(answered, now)),
            traits: DialTraits::default(),
            answer_probability: None,
        };
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.calls.push(view);
        }
        Ok(())
    }

    fn decide(&mut self, snapshot: &Snapshot) -> Decision {
        let all: Vec<CampaignRef> = (0..MASK_CAMPAIGNS).map(CampaignRef).collect();
        // Agents with the same mask share one list.
        let mut lists: BTreeMap<u64, Vec<CampaignRef>> = BTreeMap::new();
        for &(_, _, _, mask, _) in &snapshot.agents {
            lists
                .entry(mask)
                .or_insert_with(|| all.iter().filter(|c| mask >> c.0 & 1 == 1).copied().collect());
        }
        let agents: Vec<AgentView<'_>> = (0_u32..)
            .zip(&snapshot.agents)
            .map(|(number, &(state, since, campaign, mask, leaving))| AgentView {
                agent: AgentRef(number),
                state,
                since,
                campaign,
                serves: &lists[&mask],
                leaving,
                free_at: None,
                busy_until: None,
                leaves_at: None,
            })
            .collect();
        let mut windows: Vec<WindowCount> = Vec::new();
        if let Some(ledger) = self.ledgers.get(&snapshot.campaign) {
            windows.extend(ledger.counts().map(|(rule, count)| WindowCount {
                live: count.live,
                abandoned: count.abandoned,
                cap: rule.cap,
                style: rule.style,
                left: snapshot.shift_left,
                of_group: false,
            }));
        }
        let view = PacingView {
            campaign: snapshot.campaign,
            agents: &agents,
            calls: &snapshot.calls,
            inbound_waiting: snapshot.inbound_waiting,
            limits: DialLimits {
                lines_free: snapshot.lines_free,
                cps_allowance: u32::MAX,
                hopper: u32::MAX,
                max_lines_per_agent: self.options.max_lines_per_agent,
            },
            leads_left: None,
            idle_share: None,
            next: DialTraits::default(),
            next_answer: None,
            shift_left: snapshot.shift_left,
            windows: &windows,
            hold: None,
        };
        self.floor.decide(snapshot.now, &view)
    }
}

/// The answer to a `D`, without the end of line.
#[must_use]
pub fn answer(decision: &Decision) -> String {
    let mut line = decision.dial.to_string();
    for call in &decision.cancel {
        line.push(' ');
        line.push_str(&call.0.to_string());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pacing::Mode;

    fn protocol() -> LineProtocol {
        LineProtocol::new(ProtocolOptions {
            pacing: CampaignPacing { mode: Mode::Predictive, ..CampaignPacing::default() },
            cap: 0.03,
            style: CapStyle::Average,
            max_lines_per_agent: 12.0,
        })
    }

    fn play(text: &str) -> Result<Vec<String>, ProtocolError> {
        let mut protocol = protocol();
        let mut answers = Vec::new();
        for line in text.lines() {
            answers.extend(protocol.line(line.trim()).map(|decision| decision.map(|d| answer(&d)))?);
        }
        protocol.end()?;
        Ok(answers)
    }

    #[test]
    fn a_conversation() {
        let answers = play(
            "E 0 day 0 3 1
             E 1.5 login 0
             E 1.5 idle 0
             E 2 idle 1
             S 3 0 2 0 0 0 0 0 0 60 1 28797
             A I 1.5 -1 1 0
             A I 2 -1 1 0
             A O 0 -1 1 0
             D
             E 3 dialed 1 0
             E 3 dialed 2 0
             S 4 0 2 0 0 0 2 0 0 58 1 28796
             A I 1.5 -1 1 0
             A I 2 -1 1 0
             A O 0 -1 1 0
             C 1 0 3 NaN NaN
             C 2 0 3 3.5 NaN
             D
             E 9 resolved 1 0 Human 6
             E 9 connected 1 0 0 0
             E 12 resolved 2 0 Busy 9
             E 60 talkend 0 0 51
             E 70 wrapend 0 0 10
             E 70 idle 0
             E 71 inbound
             E 71 inconnected 0
             E 90 intalkend 0 19
             E 95 inwrapend 0 5
             E 100 break 1
             E 110 logout 0",
        );
        assert_eq!(answers, Ok(vec!["2".to_owned(), "0".to_owned()]));
    }

    #[test]
    fn nonsense_numbers_are_bounded() {
        let answers = play(
            "E NaN day 0 2 1
             E inf login 0
             E -5 idle 0
             E 1 resolved 77 0 Human NaN
             E 1 abandoned 77 0 inf
             E 1 talkend 99 5 -3
             S NaN 0 2 0 0 0 0 0 -1 1e30 1 NaN
             A I NaN NaN 0xffffffffffffffff 0
             A T inf 1e99 18446744073709551615 1
             C 5 9 NaN inf -inf
             D
             S -1 63 0 0 0 0 0 0 0 0 1 -7
             D",
        );
        assert_eq!(answers, Ok(vec!["0".to_owned(), "0".to_owned()]));
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, line) in [
            ("hello", 1),
            ("E 0 day 0 1 1\nE 5 danced 3", 2),
            ("E x idle 1", 1),
            ("E 0 idle", 1),
            ("E 0 idle 1 2", 1),
            ("E 0 resolved 1 0 Maybe 3", 1),
            ("A I 0 0 1 0", 1),
            ("D", 1),
            ("S 0 0 1 0 0 0 0 0 0 1 1 100\nA X 0 0 1 0", 2),
            ("S 0 0 1 0 0 0 0 0 0 1 1 100\nA I 0 0 1 2", 2),
            ("S 0 0 1 0 0 0 0 0 0 1 1 100\nE 0 idle 1", 2),
            ("S 0 0 1 0 0 0 0 0 0 1 1", 1),
            ("S 0 0 1 0 0 0 0 0 0 1 1 100", 2),
        ] {
            let error = play(text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {error}");
        }
        // Every kind of line: each word spoilt, one missing, one too many.
        let snapshot = "S 5 0 1 0 0 0 0 0 0 9 1 100";
        let lines = [
            "E 0 day 0 1 1",
            "E 1 login 0",
            "E 1 logout 0",
            "E 1 idle 0",
            "E 1 break 0",
            "E 1 dialed 1 0",
            "E 1 resolved 1 0 Human 5",
            "E 1 connected 1 0 0 0.5",
            "E 1 abandoned 1 0 2",
            "E 1 talkend 0 0 60",
            "E 1 wrapend 0 0 9",
            "E 1 inbound",
            "E 1 inconnected 0",
            "E 1 intalkend 0 60",
            "E 1 inwrapend 0 9",
            snapshot,
            "A T 0 0 1 0",
            "C 1 0 3 NaN NaN",
            "D",
        ];
        for line in lines {
            let before = if "ACD".contains(&line[..1]) { vec![snapshot] } else { Vec::new() };
            let after = if line == "D" || line.starts_with('E') { Vec::new() } else { vec!["D"] };
            let with = |line: &str| [before.clone(), vec![line], after.clone()].concat().join("\n");
            play(&with(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
            let words: Vec<&str> = line.split(' ').collect();
            let mut spoilt = vec![format!("{line} more"), words[..words.len() - 1].join(" ")];
            spoilt.extend((0..words.len()).map(|place| {
                let mut words = words.clone();
                words[place] = "?";
                words.join(" ")
            }));
            // A blank line says nothing and is none too many.
            for text in spoilt.iter().filter(|text| !text.is_empty()) {
                let error = play(&with(text)).expect_err(text);
                assert_eq!(
                    (error.line, error.found.as_str()),
                    (before.len() as u64 + 1, text.as_str()),
                    "{error}"
                );
                assert!(!error.expected.is_empty());
            }
        }
        let long = "E ".repeat(4_000);
        assert!(protocol().line(&long).is_err());
    }
}
