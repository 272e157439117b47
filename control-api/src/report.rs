//! Reports: call records added up by agent, campaign, hour, trunk, caller ID.

use crate::mask::Masker;
use dialer_core::Outcome;
use dialer_core::outcome::AmdVerdict;
use dialer_core::record::CallKindTag;
use dialer_core::view::{AgentState, AgentView};
use sansio::WallTime;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{AgentTime, AgentTimeQuery, CallRecordQuery, CallRow, Store, StoreError};

/// Most call records one report reads; a longer time is to be asked for in parts.
pub(crate) const RECORDS_MAX: u64 = 2_000_000;
/// Records read at once.
const PAGE_RECORDS: u32 = 1_000;

/// By what records are added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Agents,
    Campaigns,
    Hours,
    Trunks,
    CallerIds,
    Outcomes,
}

impl By {
    pub(crate) fn from_name(name: &str) -> Option<By> {
        Some(match name {
            "agents" => By::Agents,
            "campaigns" => By::Campaigns,
            "hours" => By::Hours,
            "trunks" => By::Trunks,
            "caller-ids" => By::CallerIds,
            "outcomes" => By::Outcomes,
            _ => return None,
        })
    }

    /// The column that names a row.
    pub(crate) const fn column(self) -> &'static str {
        match self {
            By::Agents => "agent_id",
            By::Campaigns => "campaign_id",
            By::Hours => "hour",
            By::Trunks => "trunk_id",
            By::CallerIds => "caller_id",
            By::Outcomes => "outcome",
        }
    }

    fn key(self, row: &CallRow, mask: Masker) -> Option<String> {
        let record = &row.record;
        match self {
            By::Agents => record.agent.map(|id| id.to_string()),
            By::Campaigns => record.campaign.map(|id| id.to_string()),
            By::Hours => {
                let hour = record.started_at.unix_millis().div_euclid(HOUR_MS) * HOUR_MS;
                Some(crate::time::rfc3339(WallTime::from_unix_millis(hour)))
            }
            By::Trunks => record.trunk.map(|id| id.to_string()),
            By::CallerIds => mask.number_option(record.caller_id.as_deref()),
            By::Outcomes => Some(record.outcome.as_str().to_owned()),
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// Columns of every report, behind the one that names the row.
pub(crate) const COLUMNS: [&str; 17] = [
    "calls",
    "answered",
    "human",
    "machine",
    "connected",
    "abandoned",
    "dispositions",
    "answer_ratio",
    "contact_ratio",
    "network_effectiveness_ratio",
    "abandonment_ratio",
    "talk_ms",
    "average_talk_ms",
    "wrap_up_ms",
    "average_pdd_ms",
    "average_ring_ms",
    "short_calls",
];

/// What an agent's row tells beyond the calls: time at work. Null in reports of one campaign, whose time it is not alone.
pub(crate) const TIME_COLUMNS: [&str; 12] = [
    "logged_in_ms",
    "occupancy",
    "state_ms.unreachable",
    "state_ms.ready",
    "state_ms.reserved",
    "state_ms.ringing",
    "state_ms.preview",
    "state_ms.talking",
    "state_ms.hold",
    "state_ms.wrap_up",
    "state_ms.paused",
    "state_ms.logged_out",
];

/// How long agents were in each state: what is kept, and the states they are in now.
#[derive(Default)]
pub(crate) struct Times(BTreeMap<String, [u64; 10]>);

impl Times {
    /// `kept` of those who may be seen, and what has not ended of `agents` within the time asked for.
    pub(crate) fn new(
        kept: &[AgentTime],
        agents: &[Arc<AgentView>],
        query: &AgentTimeQuery,
        now: WallTime,
    ) -> Times {
        let mut times = Times(kept.iter().map(|time| (time.agent.to_string(), time.state_ms)).collect());
        let until = query.to.map_or(now, |to| to.min(now));
        for view in agents.iter().filter(|view| query.agent.is_none_or(|agent| agent == view.row.id)) {
            let since = query.from.map_or(view.since, |from| from.max(view.since));
            let open = u64::try_from(until.millis_since(since)).unwrap_or(0);
            let place = AgentState::ALL.iter().position(|state| *state == view.state);
            let counts = view.state != AgentState::LoggedOut && open > 0;
            if let Some(place) = place.filter(|_| counts) {
                times.0.entry(view.row.id.to_string()).or_default()[place] += open;
            }
        }
        times
    }

    /// Who was at work.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Adds to the row of an agent how long they were at work; `None`: all agents together.
    pub(crate) fn add_to(&self, row: &mut Value, agent: Option<&str>) {
        let mut sum = [0_u64; 10];
        for (_, times) in self.0.iter().filter(|(name, _)| agent.is_none_or(|agent| agent == name.as_str())) {
            for (all, one) in sum.iter_mut().zip(times) {
                *all += one;
            }
        }
        let of = |states: &[AgentState]| -> u64 {
            let wanted = AgentState::ALL.iter().zip(sum).filter(|(state, _)| states.contains(state));
            wanted.map(|(_, ms)| ms).sum()
        };
        let busy = of(&[AgentState::Talking, AgentState::Hold, AgentState::WrapUp]);
        let free = of(&[AgentState::Ready, AgentState::Reserved, AgentState::Ringing, AgentState::Preview]);
        let out = of(&[AgentState::LoggedOut]);
        row["logged_in_ms"] = json!(sum.iter().sum::<u64>() - out);
        row["occupancy"] = json!((busy + free > 0).then(|| busy as f64 / (busy + free) as f64));
        row["state_ms"] = AgentState::ALL
            .iter()
            .zip(sum)
            .map(|(state, ms)| (state.as_str().to_owned(), json!(ms)))
            .collect();
    }
}

/// A call with an answer is short below this.
const SHORT_MS: u64 = 6_000;

/// What is added up for one row.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Sums {
    calls: u64,
    answered: u64,
    human: u64,
    machine: u64,
    connected: u64,
    abandoned: u64,
    dispositions: u64,
    effective: u64,
    talk_ms: u64,
    wrap_up_ms: u64,
    pdd: (u64, u64),
    ring: (u64, u64),
    short_calls: u64,
}

impl Sums {
    fn add(&mut self, row: &CallRow) {
        let record = &row.record;
        self.calls += 1;
        let answered = record.answered_at.is_some();
        self.answered += u64::from(answered);
        let machine = matches!(record.amd, Some(AmdVerdict::Machine))
            || matches!(record.outcome, Outcome::Machine | Outcome::Fax | Outcome::Screening);
        self.machine += u64::from(machine);
        self.human += u64::from(answered && !machine);
        self.connected += u64::from(record.bridged_at.is_some());
        self.abandoned += u64::from(record.abandoned);
        self.dispositions += u64::from(row.disposition.is_some());
        // The network did its work when the callee decided: answered, busy, rang out, declined, switched off.
        let callee = matches!(
            record.outcome,
            Outcome::Busy | Outcome::NoAnswer | Outcome::Rejected | Outcome::PowerOff
        );
        self.effective += u64::from(answered || callee);
        self.talk_ms += record.talk_ms;
        self.wrap_up_ms += row.wrap_up_ms.unwrap_or(0);
        for (sum, value) in [(&mut self.pdd, record.pdd_ms), (&mut self.ring, record.ring_ms)] {
            if let Some(value) = value {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
        let lasted = record.answered_at.map(|answer| record.ended_at.millis_since(answer).max(0) as u64);
        self.short_calls += u64::from(lasted.is_some_and(|lasted| lasted < SHORT_MS));
    }

    fn shown(&self, column: &str, key: &str) -> Value {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let mean = |(sum, count): (u64, u64)| sum.checked_div(count);
        let mut row = Map::new();
        row.insert(column.to_owned(), json!(key));
        let values = [
            json!(self.calls),
            json!(self.answered),
            json!(self.human),
            json!(self.machine),
            json!(self.connected),
            json!(self.abandoned),
            json!(self.dispositions),
            json!(ratio(self.answered, self.calls)),
            json!(ratio(self.human, self.calls)),
            json!(ratio(self.effective, self.calls)),
            json!(ratio(self.abandoned, self.human)),
            json!(self.talk_ms),
            json!(self.talk_ms.checked_div(self.connected)),
            json!(self.wrap_up_ms),
            json!(mean(self.pdd)),
            json!(mean(self.ring)),
            json!(self.short_calls),
        ];
        row.extend(COLUMNS.iter().map(|name| (*name).to_owned()).zip(values));
        Value::Object(row)
    }
}

/// A report: its rows by name, and all together.
pub(crate) struct Report {
    rows: BTreeMap<String, Sums>,
    total: Sums,
    /// There are more records than one report reads.
    pub(crate) too_many: bool,
}

impl Report {
    /// Reads the records and adds them up. Calls that pass through are not counted: they are nobody's work.
    pub(crate) fn of(
        store: &dyn Store,
        mut query: CallRecordQuery,
        by: By,
        mask: Masker,
    ) -> Result<Report, StoreError> {
        let mut report = Report { rows: BTreeMap::new(), total: Sums::default(), too_many: false };
        let mut read = 0_u64;
        query.limit = PAGE_RECORDS;
        loop {
            let page = store.records(&query)?;
            read += page.items.len() as u64;
            for row in page.items.iter().filter(|row| row.record.kind != CallKindTag::Transit) {
                report.total.add(row);
                if let Some(key) = by.key(row, mask) {
                    report.rows.entry(key).or_default().add(row);
                }
            }
            let Some(next) = page.next_cursor else { return Ok(report) };
            if read >= RECORDS_MAX {
                report.too_many = true;
                return Ok(report);
            }
            query.cursor = Some(next);
        }
    }

    /// The rows, sorted by name.
    pub(crate) fn rows(&self, by: By) -> Vec<Value> {
        self.rows.iter().map(|(key, sums)| sums.shown(by.column(), key)).collect()
    }

    /// The rows, and one for each of these names that has none.
    pub(crate) fn rows_with<'n>(&self, by: By, names: impl Iterator<Item = &'n String>) -> Vec<Value> {
        let mut rows = self.rows.clone();
        for name in names {
            rows.entry(name.clone()).or_default();
        }
        rows.iter().map(|(key, sums)| sums.shown(by.column(), key)).collect()
    }

    /// All rows together, with calls that belong to none.
    pub(crate) fn total(&self, by: By) -> Value {
        self.total.shown(by.column(), "total")
    }
}
