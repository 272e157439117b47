//! Questions about leads.

use super::codec::{LEAD_COLUMNS, blob, count, lead, state_code, state_of};
use crate::error::StoreError;
use crate::model::{
    CallbackQuery, ExpiredLeads, ExpiredQuery, FunnelCounts, LeadCounts, LeadPageQuery, LeadQuery,
    LoadedLeads, Page,
};
use crate::sql::{Connection, OptionalExtension};
use dialer_core::record::{Lead, LeadState};
use dialer_core::screen::{LeadOrder, Look, RANDOM_AMONG, Sequence};
use dialer_core::{LeadId, ListId};
use sansio::WallTime;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Priorities of waiting leads that are asked for one by one, best first, before all that are due are sorted
/// instead: cheap for the few priorities that people use, bounded for a list with millions of them.
const PRIORITY_LEVELS_MAX: usize = 64;

/// Leads per list that are looked at in one load to find some that pass a campaign's screen.
const SCREENED_MAX: i64 = 500_000;

/// A lead that may be dialled. Callbacks come first, those that are due longest before the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    promised: i64,
    priority: Reverse<i32>,
    no: i64,
}

/// Leads to dial.
pub(super) fn load(conn: &Connection, query: &LeadQuery) -> Result<LoadedLeads, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let mut excluded = BTreeSet::new();
    for lead in &query.exclude {
        let no: Option<i64> = txn
            .prepare_cached("SELECT no FROM lead WHERE id = ?1")?
            .query_row((blob(*lead),), |row| row.get(0))
            .optional()?;
        excluded.extend(no);
    }
    let limit = query.limit as usize;
    // One more than asked for tells whether there are more.
    let need = (limit + excluded.len() + 1) as i64;
    let due_at = query.due_at.unix_millis();
    let lists = list_numbers(&txn, &query.lists)?;
    let mut next_due = None;
    for list in &lists {
        next_due = [next_due, next_waiting(&txn, *list, due_at)?].into_iter().flatten().min();
    }
    let next_due = next_due.map(WallTime::from_unix_millis);
    let sequence = &query.screen.sequence;
    let by_chance = sequence.order == LeadOrder::Random;
    let shares = shares(&txn, sequence)?;
    let mut wanted = if by_chance { need.max(i64::from(RANDOM_AMONG)) } else { need };
    loop {
        let promised = promised(&txn, &lists, due_at, wanted)?;
        let mut all = (promised.len() as i64) < wanted;
        let mut queues: Vec<(u32, Vec<Candidate>)> = Vec::new();
        for list in &lists {
            let mut own = Vec::new();
            ready(&txn, *list, due_at, wanted, &mut own)?;
            let whole = (own.len() as i64) < wanted;
            if by_chance && !whole {
                scatter(&txn, *list, due_at, &mut own)?;
            }
            waiting(&txn, *list, due_at, wanted, &mut own)?;
            all &= whole && (own.len() as i64) < wanted;
            match queues.first_mut() {
                Some((_, queue)) if sequence.mix.is_empty() => queue.append(&mut own),
                _ => queues.push((shares.get(list).copied().unwrap_or(1), own)),
            }
        }
        let first: BTreeSet<i64> = promised.iter().map(|candidate| candidate.no).collect();
        for (_, queue) in &mut queues {
            queue.retain(|candidate| !first.contains(&candidate.no) && !excluded.contains(&candidate.no));
            match by_chance {
                true => queue.sort_unstable_by_key(|one| (one.priority, Sequence::chance(one.no as u64))),
                false => queue.sort_unstable(),
            }
        }
        let mut candidates = promised;
        candidates.retain(|candidate| !excluded.contains(&candidate.no));
        candidates.sort_unstable();
        candidates.extend(Sequence::mixed(queues));
        let (mut leads, opens) = screened(&txn, &candidates, query, limit + 1)?;
        if leads.len() > limit || all || wanted >= SCREENED_MAX {
            let more = leads.len() > limit;
            leads.truncate(limit);
            return Ok(LoadedLeads { leads, more, next_due: [next_due, opens].into_iter().flatten().min() });
        }
        wanted = (wanted * 8).min(SCREENED_MAX);
    }
}

/// Reads candidates, best first, until so many pass the screen. Also tells when the first of the others may pass.
fn screened(
    conn: &Connection,
    candidates: &[Candidate],
    query: &LeadQuery,
    most: usize,
) -> Result<(Vec<Lead>, Option<WallTime>), StoreError> {
    let mut rows = conn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead JOIN list ON list.no = lead.list_no WHERE lead.no = ?1"
    ))?;
    let mut screener = query.screen.at(query.due_at);
    let (mut leads, mut opens) = (Vec::with_capacity(most.min(candidates.len())), None::<WallTime>);
    for candidate in candidates {
        if leads.len() >= most {
            break;
        }
        let mut found = rows.query((candidate.no,))?;
        let Some(row) = found.next()? else { continue };
        let lead = lead(row)?;
        match screener.look(&lead) {
            Look::Take => leads.push(lead),
            Look::Window(at) | Look::Frequency(at) | Look::Owner(at) => {
                opens = Some(opens.map_or(at, |old| old.min(at)))
            }
            Look::ZoneUnknown | Look::Filtered => {}
        }
    }
    Ok((leads, opens))
}

/// The shares of lists by their numbers.
fn shares(conn: &Connection, sequence: &Sequence) -> Result<BTreeMap<i64, u32>, StoreError> {
    let mut shares = BTreeMap::new();
    for (list, share) in &sequence.mix {
        let no = list_numbers(conn, std::slice::from_ref(list))?.pop_first();
        shares.extend(no.map(|no| (no, *share)));
    }
    Ok(shares)
}

/// The numbers of lists, each once; unknown ones are passed over.
fn list_numbers(conn: &Connection, lists: &[ListId]) -> Result<BTreeSet<i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT no FROM list WHERE id = ?1")?;
    let mut numbers = BTreeSet::new();
    for list in lists {
        numbers.extend(statement.query_row((blob(*list),), |row| row.get::<_, i64>(0)).optional()?);
    }
    Ok(numbers)
}

fn candidates(
    conn: &Connection,
    sql: &str,
    params: impl crate::sql::Params,
    found: &mut Vec<Candidate>,
) -> Result<i64, StoreError> {
    let before = found.len();
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        found.push(Candidate { promised: i64::MAX, priority: Reverse(row.get(0)?), no: row.get(1)? });
    }
    Ok((found.len() - before) as i64)
}

/// Leads whose callback is due.
fn promised(
    conn: &Connection,
    lists: &BTreeSet<i64>,
    due_at: i64,
    need: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT callback_at, priority, no, list_no FROM lead INDEXED BY lead_callback_at \
         WHERE callback_at IS NOT NULL AND callback_at <= ?1 AND queue = 2 AND next_at <= ?1 \
         AND (expires_at IS NULL OR expires_at > ?1) ORDER BY callback_at, no",
    )?;
    let mut rows = statement.query_all((due_at,))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() as i64 >= need {
            break;
        }
        if lists.contains(&row.get(3)?) {
            found.push(Candidate { promised: row.get(0)?, priority: Reverse(row.get(1)?), no: row.get(2)? });
        }
    }
    Ok(found)
}

/// Leads that wait for nothing: straight down the index.
fn ready(
    conn: &Connection,
    list: i64,
    due_at: i64,
    need: i64,
    found: &mut Vec<Candidate>,
) -> Result<(), StoreError> {
    candidates(
        conn,
        "SELECT priority, no FROM lead INDEXED BY lead_ready WHERE list_no = ?1 AND queue = 1 \
         AND (expires_at IS NULL OR expires_at > ?2) ORDER BY priority DESC, no LIMIT ?3",
        (list, due_at, need),
        found,
    )?;
    Ok(())
}

/// Places all over a list where leads are picked up for an order by chance.
const SCATTER_PLACES: i64 = 128;

/// More leads of one priority wait for nothing than were read, and those were the ones imported first. Puts as many in their
/// place that stand all over the list: a few from each of many places, which are others at every load.
fn scatter(conn: &Connection, list: i64, due_at: i64, found: &mut Vec<Candidate>) -> Result<(), StoreError> {
    let Some(Candidate { priority: Reverse(priority), .. }) = found.last().copied() else { return Ok(()) };
    let end = |order: &str| {
        conn.prepare_cached(&format!(
            "SELECT no FROM lead INDEXED BY lead_ready WHERE list_no = ?1 AND queue = 1 AND priority = ?2 \
             ORDER BY no {order} LIMIT 1"
        ))?
        .query_row((list, priority), |row| row.get::<_, i64>(0))
        .optional()
    };
    let (Some(first), Some(last)) = (end("ASC")?, end("DESC")?) else { return Ok(()) };
    let before = found.len();
    found.retain(|candidate| candidate.priority != Reverse(priority));
    let wanted = (before - found.len()) as i64;
    let each = wanted / SCATTER_PLACES + 1;
    let width = (last - first) / SCATTER_PLACES + 1;
    let mut picked: BTreeSet<i64> = BTreeSet::new();
    let mut more = Vec::new();
    for place in 0..SCATTER_PLACES {
        let draw =
            Sequence::chance((due_at as u64).wrapping_mul(SCATTER_PLACES as u64).wrapping_add(place as u64));
        let from = first + place * width + (draw % width as u64) as i64;
        candidates(
            conn,
            "SELECT priority, no FROM lead INDEXED BY lead_ready WHERE list_no = ?1 AND queue = 1 AND priority = ?2 \
             AND no >= ?3 AND (expires_at IS NULL OR expires_at > ?4) ORDER BY no LIMIT ?5",
            (list, priority, from, due_at, each),
            &mut more,
        )?;
    }
    more.retain(|candidate| picked.insert(candidate.no));
    found.extend(more);
    Ok(())
}

/// Leads whose waiting is over. The index is read priority by priority, so that the many that are not due yet cost
/// nothing.
fn waiting(
    conn: &Connection,
    list: i64,
    due_at: i64,
    need: i64,
    found: &mut Vec<Candidate>,
) -> Result<(), StoreError> {
    let mut below = i64::from(i32::MAX) + 1;
    let mut missing = need;
    for _ in 0..PRIORITY_LEVELS_MAX {
        let level: Option<i64> = conn
            .prepare_cached(
                "SELECT priority FROM lead INDEXED BY lead_waiting WHERE list_no = ?1 AND queue = 2 \
                 AND priority < ?2 ORDER BY priority DESC LIMIT 1",
            )?
            .query_row((list, below), |row| row.get(0))
            .optional()?;
        let Some(level) = level else { return Ok(()) };
        missing -= candidates(
            conn,
            "SELECT priority, no FROM lead INDEXED BY lead_waiting WHERE list_no = ?1 AND queue = 2 \
             AND priority = ?2 AND next_at <= ?3 AND (expires_at IS NULL OR expires_at > ?3) \
             ORDER BY next_at, no LIMIT ?4",
            (list, level, due_at, missing),
            found,
        )?;
        if missing <= 0 {
            return Ok(());
        }
        below = level;
    }
    candidates(
        conn,
        "SELECT priority, no FROM lead INDEXED BY lead_waiting_until WHERE list_no = ?1 AND queue = 2 \
         AND next_at <= ?2 AND priority < ?3 AND (expires_at IS NULL OR expires_at > ?2) \
         ORDER BY priority DESC, next_at, no LIMIT ?4",
        (list, due_at, below, missing),
        found,
    )?;
    Ok(())
}

/// When the next waiting lead becomes due (and has not expired by then).
fn next_waiting(conn: &Connection, list: i64, after: i64) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT next_at FROM lead INDEXED BY lead_waiting_until WHERE list_no = ?1 AND queue = 2 \
             AND next_at > ?2 AND (expires_at IS NULL OR expires_at > next_at) ORDER BY next_at LIMIT 1",
        )?
        .query_row((list, after), |row| row.get(0))
        .optional()?)
}

/// Leads that wait although they have expired, and when the next will. The two ways of waiting have an index each.
pub(super) fn expired(conn: &Connection, query: &ExpiredQuery) -> Result<ExpiredLeads, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let at = query.at.unix_millis();
    let mut found = ExpiredLeads::default();
    for list in list_numbers(&txn, &query.lists)? {
        for (queue, index) in [(1, "lead_ready_expiry"), (2, "lead_waiting_expiry")] {
            let left = i64::from(query.limit) - found.leads.len() as i64;
            let mut expired = txn.prepare_cached(&format!(
                "SELECT {LEAD_COLUMNS} FROM lead INDEXED BY {index} JOIN list ON list.no = lead.list_no \
                 WHERE list_no = ?1 AND queue = {queue} AND expires_at IS NOT NULL AND expires_at <= ?2 \
                 ORDER BY expires_at LIMIT ?3"
            ))?;
            let mut rows = expired.query((list, at, left))?;
            while let Some(row) = rows.next()? {
                found.leads.push(lead(row)?);
            }
            let next: Option<i64> = txn
                .prepare_cached(&format!(
                    "SELECT min(expires_at) FROM lead INDEXED BY {index} WHERE list_no = ?1 AND queue = {queue} \
                     AND expires_at IS NOT NULL AND expires_at > ?2"
                ))?
                .query_row((list, at), |row| row.get(0))?;
            found.next = [found.next, next.map(WallTime::from_unix_millis)].into_iter().flatten().min();
        }
    }
    Ok(found)
}

/// Leads whose callback is due: those whose is not told first, then by time. And when the next that is not told falls due.
pub(super) fn callbacks_due(conn: &Connection, at: WallTime, limit: u32) -> Result<ExpiredLeads, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let mut found = ExpiredLeads::default();
    for told in [0, 1] {
        let left = i64::from(limit) - found.leads.len() as i64;
        let mut due = txn.prepare_cached(&format!(
            "SELECT {LEAD_COLUMNS} FROM lead INDEXED BY lead_callback_told JOIN list ON list.no = lead.list_no \
             WHERE callback_at IS NOT NULL AND callback_told = ?1 AND callback_at <= ?2 AND queue = 2 \
             ORDER BY callback_at LIMIT ?3"
        ))?;
        let mut rows = due.query((told, at.unix_millis(), left))?;
        while let Some(row) = rows.next()? {
            found.leads.push(lead(row)?);
        }
    }
    let next: Option<i64> = txn
        .prepare_cached(
            "SELECT min(callback_at) FROM lead INDEXED BY lead_callback_told WHERE callback_at IS NOT NULL \
             AND callback_told = 0 AND callback_at > ?1",
        )?
        .query_row((at.unix_millis(),), |row| row.get(0))?;
    found.next = next.map(WallTime::from_unix_millis);
    Ok(found)
}

/// Leads that are promised a callback, by its time.
pub(super) fn callbacks(conn: &Connection, query: &CallbackQuery) -> Result<Page<Lead>, StoreError> {
    let (after, after_no) = match &query.cursor {
        None => (i64::MIN, 0),
        Some(text) => text
            .split_once('-')
            .and_then(|(at, no)| Some((at.parse::<i64>().ok()?, no.parse::<i64>().ok()?)))
            .ok_or(StoreError::BadCursor)?,
    };
    let limit = super::page_limit(query.limit);
    let txn = conn.unchecked_transaction()?;
    let list = match query.list {
        None => None,
        Some(list) => match list_numbers(&txn, &[list])?.pop_first() {
            Some(no) => Some(no),
            None => return Err(StoreError::NotFound { what: "list" }),
        },
    };
    let of_lists = match &query.lists {
        None => String::new(),
        Some(lists) => {
            let numbers: Vec<String> = list_numbers(&txn, lists)?.iter().map(i64::to_string).collect();
            // An empty list would be no SQL.
            let numbers = if numbers.is_empty() { "NULL".to_owned() } else { numbers.join(",") };
            format!("AND list_no IN ({numbers})")
        }
    };
    // The index that knows the most about what is asked for.
    let index = match (query.agent, query.campaign) {
        (Some(_), _) => "lead_callback_agent",
        (None, Some(_)) => "lead_callback_campaign",
        (None, None) => "lead_callback_at",
    };
    let mut statement = txn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead INDEXED BY {index} JOIN list ON list.no = lead.list_no \
         WHERE callback_at IS NOT NULL {agent} {campaign} {of_lists} AND (CAST(?3 AS BIGINT) IS NULL OR list_no = ?3) \
         AND callback_at >= ?4 AND callback_at < ?5 AND (callback_at, lead.no) > (?6, ?7) \
         ORDER BY callback_at, lead.no LIMIT ?8",
        agent =
            if query.agent.is_some() { "AND callback_agent = ?1" } else { "AND CAST(?1 AS TEXT) IS NULL" },
        campaign = if query.campaign.is_some() {
            "AND callback_campaign = ?2"
        } else {
            "AND CAST(?2 AS TEXT) IS NULL"
        },
    ))?;
    let mut rows = statement.query(crate::sql::params![
        query.agent.map(|agent| agent.to_string()),
        query.campaign.map(|campaign| campaign.to_string()),
        list,
        query.from.map_or(after, |from| from.unix_millis().max(after)),
        query.to.map_or(i64::MAX, WallTime::unix_millis),
        after,
        after_no,
        limit as i64 + 1,
    ])?;
    let mut found: Vec<(String, Lead)> = Vec::new();
    while let Some(row) = rows.next()? {
        let lead = lead(row)?;
        let at = lead.progress.callback.as_ref().map_or(0, |promise| promise.at.unix_millis());
        found.push((format!("{at}-{}", row.get::<_, i64>("lead_no")?), lead));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|(cursor, _)| cursor.clone());
    Ok(Page { items: found.into_iter().map(|(_, lead)| lead).collect(), next_cursor })
}

/// One lead.
pub(super) fn one(conn: &Connection, id: LeadId) -> Result<Option<Lead>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead JOIN list ON list.no = lead.list_no WHERE lead.id = ?1"
    ))?
    .query((blob(id),))?
    .next()?
    .map(lead)
    .transpose()
}

/// A page of a list, in order of import. The cursor is the number of the last lead told.
pub(super) fn page(conn: &Connection, query: &LeadPageQuery) -> Result<Page<Lead>, StoreError> {
    let after: i64 = match &query.cursor {
        None => 0,
        Some(text) => text.parse().map_err(|_| StoreError::BadCursor)?,
    };
    let limit = super::page_limit(query.limit);
    let txn = conn.unchecked_transaction()?;
    let Some(list) = list_numbers(&txn, &[query.list])?.pop_first() else {
        return Err(StoreError::NotFound { what: "list" });
    };
    // Within one state the index is in order of import; all states are merged.
    let states: &[LeadState] = match &query.state {
        Some(state) => std::slice::from_ref(state),
        None => &LeadState::ALL,
    };
    let mut found: Vec<(i64, Lead)> = Vec::new();
    let mut statement = txn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead INDEXED BY lead_state JOIN list ON list.no = lead.list_no \
         WHERE list_no = ?1 AND state = ?2 AND lead.no > ?3 ORDER BY lead.no LIMIT ?4"
    ))?;
    for state in states {
        let mut rows = statement.query((list, state_code(*state), after, limit as i64 + 1))?;
        while let Some(row) = rows.next()? {
            found.push((row.get("lead_no")?, lead(row)?));
        }
    }
    found.sort_unstable_by_key(|(no, _)| *no);
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|(no, _)| no.to_string());
    Ok(Page { items: found.into_iter().map(|(_, lead)| lead).collect(), next_cursor })
}

/// How many leads of a list wait for a callback: few of all leads have one, and an index holds these alone.
pub(super) fn callback_count(conn: &Connection, list: ListId) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM lead INDEXED BY lead_callback_at JOIN list ON list.no = lead.list_no \
               WHERE callback_at IS NOT NULL AND list.id = ?1 AND state = ?2 AND queue = 2";
    let waiting = state_code(LeadState::RetryWait);
    Ok(count(conn.prepare_cached(sql)?.query_row((blob(list), waiting), |row| row.get(0))?))
}

/// How many leads of a list are in each state.
pub(super) fn counts(conn: &Connection, list: ListId) -> Result<LeadCounts, StoreError> {
    let txn = conn.unchecked_transaction()?;
    match list_numbers(&txn, &[list])?.pop_first() {
        Some(list) => count_states(&txn, list),
        None => Err(StoreError::NotFound { what: "list" }),
    }
}

fn count_states(conn: &Connection, list: i64) -> Result<LeadCounts, StoreError> {
    let mut counts = LeadCounts::default();
    let mut statement = conn.prepare_cached("SELECT state, n FROM lead_count WHERE list_no = ?1")?;
    let mut rows = statement.query((list,))?;
    while let Some(row) = rows.next()? {
        counts.add(state_of(row.get(0)?)?, count(row.get(1)?));
    }
    Ok(counts)
}

/// Where the leads of these lists stand.
pub(super) fn funnel(
    conn: &Connection,
    lists: &[ListId],
    now: WallTime,
    attempts_max: u32,
) -> Result<FunnelCounts, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let mut sum = FunnelCounts::default();
    for list in list_numbers(&txn, lists)? {
        let states = count_states(&txn, list)?;
        for state in LeadState::ALL {
            sum.by_state.add(state, states.of(state));
        }
        funnel_ready(&txn, list, now, attempts_max, &mut sum)?;
        funnel_waiting(&txn, list, now, attempts_max, &mut sum)?;
        let next = next_waiting(&txn, list, now.unix_millis())?.map(WallTime::from_unix_millis);
        sum.next_due = [sum.next_due, next].into_iter().flatten().min();
    }
    sum.expired += sum.by_state.expired;
    sum.total = sum.by_state.total();
    Ok(sum)
}

/// Leads that wait for nothing are counted by what is kept and by small partial indexes: there may be millions.
fn funnel_ready(
    conn: &Connection,
    list: i64,
    now: WallTime,
    attempts_max: u32,
    sum: &mut FunnelCounts,
) -> Result<(), StoreError> {
    let one = |sql: &str, params: &[&dyn crate::sql::Bind]| -> Result<u64, StoreError> {
        Ok(count(conn.prepare_cached(sql)?.query_row(params, |row| row.get(0))?))
    };
    let now = now.unix_millis();
    let ready = one(
        "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM lead_count WHERE list_no = ?1 AND queue = 1",
        &[&list],
    )?;
    let expired = one(
        "SELECT count(*) FROM lead INDEXED BY lead_ready_expiry WHERE list_no = ?1 AND queue = 1 \
         AND expires_at <= ?2",
        &[&list, &now],
    )?;
    let alive = ready.saturating_sub(expired);
    let spent = if attempts_max == 0 {
        alive
    } else {
        one(
            "SELECT count(*) FROM lead INDEXED BY lead_ready_tried WHERE list_no = ?1 AND queue = 1 \
             AND attempts > 0 AND attempts >= ?2 AND (expires_at IS NULL OR expires_at > ?3)",
            &[&list, &attempts_max, &now],
        )?
    };
    sum.expired += expired;
    sum.attempts_spent += spent;
    sum.due += alive.saturating_sub(spent);
    Ok(())
}

fn funnel_waiting(
    conn: &Connection,
    list: i64,
    now: WallTime,
    attempts_max: u32,
    sum: &mut FunnelCounts,
) -> Result<(), StoreError> {
    let (expired, spent, waiting, due) = conn
        .prepare_cached(
            "SELECT count(CASE WHEN stage = 0 THEN 1 END), count(CASE WHEN stage = 1 THEN 1 END), \
             count(CASE WHEN stage = 2 THEN 1 END), count(CASE WHEN stage = 3 THEN 1 END) FROM (SELECT CASE WHEN expires_at <= ?2 THEN 0 \
             WHEN attempts >= ?3 AND callback_at IS NULL THEN 1 WHEN next_at > ?2 THEN 2 ELSE 3 END AS stage \
             FROM lead INDEXED BY lead_waiting_until WHERE list_no = ?1 AND queue = 2) AS waiting",
        )?
        .query_row((list, now.unix_millis(), attempts_max), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    sum.expired += count(expired);
    sum.attempts_spent += count(spent);
    sum.waiting += count(waiting);
    sum.due += count(due);
    Ok(())
}
