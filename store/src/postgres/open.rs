//! Taking a schema: who may, which version, up to where.

use super::Run;
use super::place::Place;
use crate::error::StoreError;
use crate::sql::postgres::Session;
use crate::sql::{Connection, OptionalExtension};
use crate::tables::txn::transaction;
use std::time::{Duration, Instant};

/// Step n leads from schema n to n + 1. Forward only; a released step never changes.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001.sql"),
    include_str!("../../migrations/postgres/0002-tenants.sql"),
    include_str!("../../migrations/postgres/0003-direction.sql"),
    include_str!("../../migrations/postgres/0004-agent-time.sql"),
    include_str!("../../migrations/postgres/0005-calendars.sql"),
];

/// The oldest server, as it tells its version.
const SERVER_MIN: i64 = 150_000;

/// A daemon that was killed a moment ago may still have its lock: the server has to notice.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// `DIAL` in ASCII: tells our locks from those of other programs.
const LOCK_CLASS: i64 = 0x4449_414C;

fn refused(detail: String) -> StoreError {
    StoreError::Unfit { detail }
}

/// Refuses a server that is too old or has no room for all letters.
pub(super) fn check_server(conn: &Connection) -> Result<(), StoreError> {
    let setting = |name: &str| -> Result<String, StoreError> {
        Ok(conn.query_row("SELECT current_setting(?1)", (name,), |row| row.get(0))?)
    };
    let version = setting("server_version_num")?.parse().unwrap_or(0);
    if version < SERVER_MIN {
        return Err(refused(format!(
            "the server is PostgreSQL {}; 15 or newer is needed",
            setting("server_version")?
        )));
    }
    let encoding = setting("server_encoding")?;
    if encoding != "UTF8" {
        return Err(refused(format!("the database has the encoding {encoding}; UTF8 is needed")));
    }
    if setting("fsync")? == "off" {
        tracing::warn!("the server runs with fsync off: what is told durable may be lost with its power");
    }
    Ok(())
}

/// Takes the lock of the schema; while another has it, tries for `wait`.
pub(super) fn lock(conn: &Connection, place: &Place, wait: Duration) -> Result<(), StoreError> {
    let until = Instant::now() + wait;
    loop {
        let taken = conn.query_row(
            "SELECT pg_try_advisory_lock(CAST(?1 AS INT4), hashtext(?2))",
            (LOCK_CLASS, place.schema()),
            |row| row.get(0),
        )?;
        if taken {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(StoreError::Held { place: place.name().to_owned(), by: holder(conn, place)? });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who has the lock, as far as we may know.
fn holder(conn: &Connection, place: &Place) -> Result<Option<String>, StoreError> {
    let found = conn
        .query_row(
            "SELECT CAST(a.pid AS TEXT), a.application_name, CAST(a.client_addr AS TEXT) \
             FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database \
             WHERE datname = current_database()) AND CAST(l.classid AS INT8) = ?1 \
             AND CAST(CAST(l.objid AS INT8) AS BIT(32)) = CAST(CAST(hashtext(?2) AS INT8) AS BIT(32)) LIMIT 1",
            (LOCK_CLASS, place.schema()),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    Ok(found.map(|(pid, program, from): (String, Option<String>, Option<String>)| {
        let program = program.filter(|name| !name.is_empty()).unwrap_or_else(|| "a program".into());
        match from {
            Some(from) => format!("{program} at {from} (server process {pid})"),
            None => format!("{program} on the server's machine (server process {pid})"),
        }
    }))
}

/// Takes the schema from where it is to the end of `steps`, each step in its own transaction together with the number it
/// leads to.
pub(super) fn migrate(conn: &Connection, place: &Place, steps: &[&str]) -> Result<(), StoreError> {
    let Connection::Postgres(session) = conn else { return Ok(()) };
    session.set_migrating(true);
    let migrated = migrate_with(conn, session, place, steps);
    session.set_migrating(false);
    migrated
}

fn migrate_with(
    conn: &Connection,
    session: &Session,
    place: &Place,
    steps: &[&str],
) -> Result<(), StoreError> {
    let there: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = ?1)",
        (place.schema(),),
        |row| row.get(0),
    )?;
    if !there {
        session.command(&format!("CREATE SCHEMA \"{}\"", place.schema()))?;
    }
    let relations: i64 = conn.query_row(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1",
        (place.schema(),),
        |row| row.get(0),
    )?;
    let ours: bool = conn.query_row(
        "SELECT to_regclass(?1) IS NOT NULL",
        (format!("{}.dialerd_schema", place.schema()),),
        |row| row.get(0),
    )?;
    if !ours && relations > 0 {
        return Err(StoreError::Foreign { path: place.name().into() });
    }
    let found: u32 = match ours {
        true => conn.query_row("SELECT version FROM dialerd_schema", [], |row| row.get(0))?,
        false => 0,
    };
    let supported = u32::try_from(steps.len()).expect("a handful of steps");
    if found > supported {
        return Err(StoreError::NewerSchema { found, supported });
    }
    for (step, sql) in steps.iter().enumerate().skip(found as usize) {
        transaction(conn, |_| {
            if step == 0 {
                session.command(
                    "CREATE TABLE dialerd_schema (version bigint NOT NULL); INSERT INTO dialerd_schema VALUES (0)",
                )?;
            }
            session.command(sql)?;
            session.command(&format!("UPDATE dialerd_schema SET version = {}", step + 1))
        })?;
    }
    Ok(())
}

/// Puts this run's name down: whoever had the schema before has it no more.
pub(super) fn take(conn: &Connection) -> Result<Run, StoreError> {
    let mut run: Run = [0; 16];
    getrandom::fill(&mut run).expect("the system has entropy once it is up");
    transaction(conn, |txn| txn.run("UPDATE journal_owner SET run = ?1, seq = 0", (run,)))?;
    Ok(run)
}

/// Up to where this run's journal is durable. Refuses if another run has taken the schema.
pub(super) fn position(conn: &Connection, run: &Run) -> Result<u64, StoreError> {
    let (owner, seq): (Vec<u8>, i64) =
        conn.query_row("SELECT run, seq FROM journal_owner", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if owner != run {
        return Err(StoreError::TakenOver);
    }
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// Notes the position with what leads to it.
pub(super) fn mark(conn: &Connection, seq: u64) -> Result<(), StoreError> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    Ok(conn.write("UPDATE journal_owner SET seq = ?1", (seq,))?)
}

/// What the schema takes on the disk.
pub(super) fn size_bytes(conn: &Connection, place: &Place) -> Result<u64, StoreError> {
    let bytes: i64 = conn.query_row(
        "SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS INT8) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1 AND c.relkind = 'r'",
        (place.schema(),),
        |row| row.get(0),
    )?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
