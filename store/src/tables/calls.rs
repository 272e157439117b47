//! Questions about calls that are over, and their recordings.

use super::codec::{blob, count, data, decode, time};
use crate::error::StoreError;
use crate::model::{AttemptTotals, CallRecordQuery, CallRow, Direction, Disposition, Page, RecordingQuery};
use crate::sql::{Connection, Row, Value, params_from_iter};
use dialer_core::record::RecordingRow;
use dialer_core::{CallId, CampaignId, Outcome, RecordingId};
use sansio::WallTime;
use std::collections::BTreeMap;

/// Where the next page begins: below this time, or at it and below this number.
#[derive(Clone, Copy)]
struct Place {
    at: i64,
    no: i64,
}

impl Place {
    fn parse(text: &str) -> Result<Place, StoreError> {
        let (at, no) = text.split_once('.').ok_or(StoreError::BadCursor)?;
        let number = |text: &str| text.parse().map_err(|_| StoreError::BadCursor);
        Ok(Place { at: number(at)?, no: number(no)? })
    }

    fn text(self) -> String {
        format!("{}.{}", self.at, self.no)
    }
}

/// A WHERE clause in the making.
#[derive(Default)]
struct Filter {
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    /// Adds `term`, in which `?` stands for `value`.
    fn term(&mut self, term: &str, value: Value) {
        self.values.push(value);
        self.terms.push(term.replacen('?', &format!("?{}", self.values.len()), 1));
    }

    /// Adds equality of each column that is asked for. The first one chooses the index: the list begins with
    /// those that leave the fewest rows.
    fn columns(&mut self, columns: &[(&str, Option<Value>)]) {
        let mut chosen = false;
        for (column, value) in columns {
            if let Some(value) = value {
                // A unary plus keeps SQLite from using the column's index.
                let plus = if chosen { "+" } else { "" };
                self.term(&format!("{plus}{column} = ?"), value.clone());
                chosen = true;
            }
        }
    }

    fn after(&mut self, column: &str, cursor: Option<&String>) -> Result<(), StoreError> {
        if let Some(cursor) = cursor {
            let place = Place::parse(cursor)?;
            self.term(&format!("{column} <= ?"), Value::Integer(place.at));
            self.values.push(Value::Integer(place.no));
            let (no, at) = (self.values.len(), self.values.len() - 1);
            self.terms.push(format!("({column} < ?{at} OR no < ?{no})"));
        }
        Ok(())
    }

    fn clause(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }
}

fn key<K>(id: Option<dialer_core::id::Id<K>>) -> Option<Value> {
    id.map(|id| Value::Blob(blob(id).to_vec()))
}

/// Reads one page of rows that hold `at` and `no`, newest first.
fn page<T>(
    conn: &Connection,
    sql: &str,
    filter: Filter,
    limit: usize,
    read: impl Fn(Row<'_>) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(filter.values))?;
    let mut items = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            return Ok(Page { items, next_cursor: last.map(Place::text) });
        }
        last = Some(Place { at: row.get("at")?, no: row.get("no")? });
        items.push(read(row)?);
    }
    Ok(Page { items, next_cursor: None })
}

/// What is read of a call: its record and what came after it. `page` names the rows.
macro_rules! call_columns {
    () => {
        "call_record.no AS no, call_record.started_at AS at, call_record.data AS data, disposition.code, \
         disposition.notes, disposition.callback_at, disposition.at AS said_at, \
         disposition.callback_by_agent, disposition.fields AS said_fields, wrap_up.wrap_up_ms"
    };
}

macro_rules! call_joins {
    () => {
        "LEFT JOIN disposition ON disposition.call = call_record.call \
         LEFT JOIN wrap_up ON wrap_up.call = call_record.call"
    };
}

fn said_fields(row: Row<'_>) -> Result<BTreeMap<String, String>, StoreError> {
    match row.get_ref("said_fields")?.as_str_or_null()? {
        Some(text) => decode("disposition", text),
        None => Ok(BTreeMap::new()),
    }
}

/// Adds to calls which recordings there are of them, in the order in which they were completed.
fn with_recordings(conn: &Connection, calls: &mut [CallRow]) -> Result<(), StoreError> {
    let names: Vec<[u8; 16]> = calls.iter().map(|call| blob(call.record.call)).collect();
    let mut statement = conn.prepare_cached("SELECT id FROM recording WHERE call = ?1 ORDER BY at, no")?;
    statement.query_each(names.iter().map(|name| (name,)), |place, mut rows| {
        while let Some(row) = rows.next()? {
            calls[place].recordings.push(super::codec::id(row, "id")?);
        }
        Ok(())
    })?;
    Ok(())
}

fn call_row(row: Row<'_>) -> Result<CallRow, StoreError> {
    let disposition = match row.get::<_, Option<String>>("code")? {
        Some(code) => Some(Disposition {
            code,
            notes: row.get("notes")?,
            callback_at: time(row, "callback_at")?,
            callback_by_agent: row.get("callback_by_agent")?,
            fields: said_fields(row)?,
            at: WallTime::from_unix_millis(row.get("said_at")?),
        }),
        None => None,
    };
    Ok(CallRow {
        record: data("call_record", row)?,
        disposition,
        recordings: Vec::new(),
        wrap_up_ms: row.get::<_, Option<i64>>("wrap_up_ms")?.map(count),
    })
}

/// What the index of the directions is made of, word for word: anything else would be looked for in every row.
pub(super) const DIRECTION: &str =
    "(CASE json_extract(data, '$.kind') WHEN 'inbound' THEN 1 WHEN 'transit' THEN 2 ELSE 0 END)";

const fn direction_code(direction: Direction) -> i64 {
    match direction {
        Direction::Outbound => 0,
        Direction::Inbound => 1,
        Direction::Transit => 2,
    }
}

/// Which rows of `call_record`.
fn chosen(query: &CallRecordQuery) -> Result<Filter, StoreError> {
    let mut filter = Filter::default();
    filter.columns(&[
        ("lead", key(query.lead)),
        ("number", query.number.clone().map(Value::Text)),
        ("agent", key(query.agent)),
        ("campaign", key(query.campaign)),
        ("tenant", query.tenant.as_ref().map(|tenant| Value::Text(tenant.as_str().into()))),
    ]);
    if let Some(outcome) = query.outcome {
        filter.term("outcome = ?", Value::Text(outcome.as_str().into()));
    }
    if let Some(direction) = query.direction {
        // The others leave fewer rows: with one of them the index of the directions is not used.
        let plus = if filter.terms.is_empty() { "" } else { "+" };
        filter.terms.push(format!("{plus}{DIRECTION} = {}", direction_code(direction)));
    }
    if let Some(from) = query.from {
        filter.term("started_at >= ?", Value::Integer(from.unix_millis()));
    }
    if let Some(to) = query.to {
        filter.term("started_at < ?", Value::Integer(to.unix_millis()));
    }
    filter.after("started_at", query.cursor.as_ref())?;
    Ok(filter)
}

/// Call records, the call started last first.
pub(super) fn records(conn: &Connection, query: &CallRecordQuery) -> Result<Page<CallRow>, StoreError> {
    let (filter, limit) = (chosen(query)?, super::page_limit(query.limit));
    // The page is cut before the joins, so that what is filtered out is not joined.
    let sql = format!(
        concat!(
            "SELECT ",
            call_columns!(),
            " FROM (SELECT no, call, started_at, data FROM call_record {} ORDER BY started_at DESC, no DESC \
             LIMIT {}) AS call_record ",
            call_joins!(),
            " ORDER BY call_record.started_at DESC, call_record.no DESC"
        ),
        filter.clause(),
        limit + 1
    );
    let mut page = page(conn, &sql, filter, limit, call_row)?;
    with_recordings(conn, &mut page.items)?;
    Ok(page)
}

/// The record of one call.
pub(super) fn record(conn: &Connection, call: CallId) -> Result<Option<CallRow>, StoreError> {
    let mut found = conn
        .prepare_cached(concat!(
            "SELECT ",
            call_columns!(),
            " FROM call_record ",
            call_joins!(),
            " WHERE call_record.call = ?1"
        ))?
        .query((blob(call),))?
        .next()?
        .map(call_row)
        .transpose()?;
    with_recordings(conn, found.as_mut_slice())?;
    Ok(found)
}

/// What became of a campaign's attempts.
pub(super) fn totals(conn: &Connection, campaign: CampaignId) -> Result<AttemptTotals, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let open: i64 = txn
        .prepare_cached("SELECT count(*) FROM attempt_open WHERE campaign = ?1")?
        .query_row((blob(campaign),), |row| row.get(0))?;
    let mut totals = AttemptTotals { open: count(open), ..AttemptTotals::default() };
    let mut statement = txn.prepare_cached(
        "SELECT outcome, ended, answered, bridged, abandoned, talk_ms FROM campaign_total WHERE campaign = ?1",
    )?;
    let mut rows = statement.query((blob(campaign),))?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?;
        let outcome = Outcome::from_name(name).ok_or_else(|| StoreError::Undecodable {
            table: "campaign_total",
            detail: format!("outcome {name}"),
        })?;
        let ended = count(row.get(1)?);
        totals.ended += ended;
        totals.answered += count(row.get(2)?);
        totals.bridged += count(row.get(3)?);
        totals.abandoned += count(row.get(4)?);
        totals.talk_ms = totals.talk_ms.saturating_add(count(row.get(5)?));
        totals.outcomes.insert(outcome, ended);
    }
    Ok(totals)
}

/// That the call of a row of this table is over and was a tenant's: whose a call is stands in its record.
pub(super) fn of_tenant(table: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM call_record WHERE call_record.call = {table}.call AND call_record.tenant = ?)"
    )
}

/// Recordings, newest first.
pub(super) fn recordings(
    conn: &Connection,
    query: &RecordingQuery,
) -> Result<Page<RecordingRow>, StoreError> {
    let mut filter = Filter::default();
    filter.columns(&[
        ("call", key(query.call)),
        ("agent", key(query.agent)),
        ("campaign", key(query.campaign)),
    ]);
    if let Some(tenant) = &query.tenant {
        filter.term(&of_tenant("recording"), Value::Text(tenant.as_str().into()));
    }
    filter.after("at", query.cursor.as_ref())?;
    let limit = super::page_limit(query.limit);
    let sql = format!(
        "SELECT no, at, data FROM recording {} ORDER BY at DESC, no DESC LIMIT {}",
        filter.clause(),
        limit + 1
    );
    page(conn, &sql, filter, limit, |row| data("recording", row))
}

/// One recording.
pub(super) fn recording(conn: &Connection, id: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
    conn.prepare_cached("SELECT data FROM recording WHERE id = ?1")?
        .query((blob(id),))?
        .next()?
        .map(|row| data("recording", row))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, SqliteStore};

    /// How SQLite would look for a page, in its own words.
    fn plan(conn: &rusqlite::Connection, query: &CallRecordQuery) -> String {
        let filter = chosen(query).unwrap();
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT no FROM call_record {} ORDER BY started_at DESC, no DESC LIMIT 101",
            filter.clause()
        );
        let mut statement = conn.prepare(&sql).unwrap();
        let values = filter.values.iter().map(|_| 1_i64);
        let steps =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>("detail"));
        steps.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    #[test]
    fn a_page_of_one_direction_is_read_in_order_from_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.db");
        drop(SqliteStore::open(&path, Options::new(Box::new(|_| {}))).unwrap());
        let conn = rusqlite::Connection::open(&path).unwrap();
        for direction in [Direction::Outbound, Direction::Inbound, Direction::Transit] {
            let query = CallRecordQuery { direction: Some(direction), ..CallRecordQuery::default() };
            let told = plan(&conn, &query);
            assert!(told.contains("call_record_direction (<expr>=?)"), "{told}");
            assert!(!told.contains("B-TREE"), "it is in order as it is read: {told}");
            let of_agent = CallRecordQuery { agent: Some(dialer_core::id::Id::from_bits(1)), ..query };
            let told = plan(&conn, &of_agent);
            assert!(told.contains("call_record_agent") && !told.contains("B-TREE"), "{told}");
        }
    }
}
