//! How long agents were in each state, hour by hour: the sum of what `agent.state` tells, kept when the events are forgotten.

use super::codec::{blob, count, id};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{AgentTime, AgentTimeQuery};
use crate::sql::{Connection, OptionalExtension, Value, params_from_iter};
use dialer_core::AgentId;
use dialer_core::view::AgentState;
use sansio::WallTime;

const HOUR_MS: i64 = 3_600_000;
/// A state that lasted longer counts its last days only: 31 days.
const HOURS_MAX: i64 = 31 * 24;

/// An agent goes from one state to another. What the node was not there to see is not counted.
pub(super) fn moved(
    txn: &mut Txn<'_>,
    agent: AgentId,
    (from, to): (AgentState, AgentState),
    at: WallTime,
) -> Result<(), StoreError> {
    let at = at.unix_millis();
    let since: Option<(String, i64)> = txn
        .conn()
        .prepare_cached("SELECT state, at FROM agent_since WHERE agent = ?1")?
        .query_row((blob(agent),), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let began = since.filter(|(state, _)| state == from.as_str() && from != AgentState::LoggedOut);
    if let Some((_, began)) = began {
        for (hour, ms) in hours(began, at) {
            txn.write(
                "INSERT INTO agent_time (agent, hour, state, ms) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (agent, hour, state) DO UPDATE SET ms = agent_time.ms + excluded.ms",
                (blob(agent), hour, from.as_str(), ms),
            )?;
        }
    }
    txn.write(
        "INSERT INTO agent_since (agent, state, at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (agent) DO UPDATE SET state = excluded.state, at = excluded.at",
        (blob(agent), to.as_str(), at),
    )
}

/// The hours that a span touches, each with how much of it lies within.
fn hours(began: i64, ended: i64) -> impl Iterator<Item = (i64, i64)> {
    let last = (ended - 1).div_euclid(HOUR_MS);
    let first = began.div_euclid(HOUR_MS).max(last - HOURS_MAX + 1);
    // Empty when the clock was set back.
    (first..=last).filter_map(move |hour| {
        let within = ended.min((hour + 1) * HOUR_MS) - began.max(hour * HOUR_MS);
        (within > 0).then_some((hour, within))
    })
}

/// Sums by agent, in whole hours.
pub(super) fn load(conn: &Connection, query: &AgentTimeQuery) -> Result<Vec<AgentTime>, StoreError> {
    let (mut terms, mut values) = (String::from("WHERE true"), Vec::new());
    let mut term = |sql: &str, value: Value| {
        values.push(value);
        terms.push_str(&format!(" AND {sql} ?{}", values.len()));
    };
    if let Some(agent) = query.agent {
        term("agent =", Value::Blob(blob(agent).to_vec()));
    }
    if let Some(from) = query.from {
        term("hour >=", Value::Integer(from.unix_millis().div_euclid(HOUR_MS)));
    }
    if let Some(to) = query.to {
        term("hour <=", Value::Integer((to.unix_millis() - 1).div_euclid(HOUR_MS)));
    }
    let sql = format!(
        "SELECT agent, state, CAST(sum(ms) AS BIGINT) AS ms FROM agent_time {terms} \
         GROUP BY agent, state ORDER BY agent, state"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found: Vec<AgentTime> = Vec::new();
    while let Some(row) = rows.next()? {
        let agent: AgentId = id(row, "agent")?;
        let name: String = row.get("state")?;
        // A state of a later version is passed over.
        let Some(place) = AgentState::ALL.iter().position(|state| state.as_str() == name) else { continue };
        if found.last().is_none_or(|last| last.agent != agent) {
            found.push(AgentTime { agent, state_ms: [0; 10] });
        }
        found.last_mut().expect("just made").state_ms[place] = count(row.get("ms")?);
    }
    Ok(found)
}

/// Forgets hours before a time.
pub(super) fn prune(txn: &mut Txn<'_>, before: WallTime) -> Result<(), StoreError> {
    txn.write("DELETE FROM agent_time WHERE hour < ?1", (before.unix_millis().div_euclid(HOUR_MS),))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_at_full_hours() {
        let of = |began, ended| hours(began, ended).collect::<Vec<_>>();
        assert_eq!(of(0, HOUR_MS), [(0, HOUR_MS)]);
        assert_eq!(of(HOUR_MS - 1, 2 * HOUR_MS + 5), [(0, 1), (1, HOUR_MS), (2, 5)]);
        assert_eq!(of(7, 7), []);
        assert_eq!(of(HOUR_MS, 5), [], "a clock that was set back");
        assert_eq!(of(0, 2_000 * HOUR_MS).len(), 31 * 24);
    }
}
