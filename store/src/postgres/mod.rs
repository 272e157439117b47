//! The store in PostgreSQL: a schema of its own, which one daemon at a time may have.
//!
//! ```text
//!   lock the schema ─► bring it up to date ─► put our run's name down ─► write
//!        ▲                                                                 │ connection lost
//!        └── still our run's name? up to where is it durable? ◄── connect ─┘
//! ```
//!
//! The lock (an advisory one) belongs to the writer's connection. When that is lost, another daemon may have taken the
//! schema meanwhile: then its run's name is there, and this one never writes again. A COMMIT whose answer was lost has
//! happened or not; the journal's position, written in the same transaction, tells.

mod open;
pub(crate) mod place;
#[cfg(feature = "server")]
pub mod server;

use crate::error::{Fault, StoreError};
use crate::model::StoreStats;
use crate::sql::Connection;
use crate::sql::postgres::Session;
use crate::tables::pool::Pool;
use crate::tables::writer::Upkeep;
use crate::tables::{Core, Kept, Options};
use place::{Place, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection that was not used for so long is asked whether it still lives before it is relied on.
const STALE: Duration = Duration::from_millis(200);

/// After an attempt to connect that failed, others fail at once for so long: who asks meanwhile need not wait for a
/// server that is silent.
const FAILED_WAIT: Duration = Duration::from_millis(15);

/// How often the server is asked for a sign of life while nothing is written.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How often the size on the disk is asked for.
const SIZE_INTERVAL: Duration = Duration::from_secs(60);

/// A store in a schema of a PostgreSQL database. Dropping it writes what is queued.
pub struct PostgresStore {
    core: Core,
    size_bytes: Arc<AtomicU64>,
}

impl PostgresStore {
    /// Takes the schema, makes it if it is not there, and brings it up to date. Refuses a schema that another daemon has, that
    /// a newer version wrote, or that belongs to another program; and a server older than 15 or not in UTF-8.
    ///
    /// # Errors
    /// Those, and when the server cannot be reached.
    pub fn open(place: Place, options: Options) -> Result<PostgresStore, StoreError> {
        let place = Arc::new(place);
        let conn = Connection::Postgres(Box::new(Session::open(Arc::clone(&place), Role::Writer)?));
        open::check_server(&conn)?;
        open::lock(&conn, &place, open::LOCK_WAIT)?;
        open::migrate(&conn, &place, open::MIGRATIONS)?;
        let run = open::take(&conn)?;
        let readers = Pool::open(options.readers, || {
            Ok(Connection::Postgres(Box::new(Session::open(Arc::clone(&place), Role::Reader)?)))
        })?;
        let size_bytes = Arc::new(AtomicU64::new(open::size_bytes(&conn, &place)?));
        let keeper = Keeper {
            place: Arc::clone(&place),
            run,
            alive_at: Instant::now(),
            taken_over: false,
            failed: None,
            sized_at: Instant::now(),
            size_bytes: Arc::clone(&size_bytes),
        };
        let core = Core::start(conn, readers, Box::new(keeper), options)
            .map_err(|source| StoreError::Open { path: place.name().into(), source })?;
        Ok(PostgresStore { core, size_bytes })
    }
}

impl Kept for PostgresStore {
    fn core(&self) -> &Core {
        &self.core
    }

    fn kind(&self) -> &'static str {
        "postgresql"
    }

    /// What PostgreSQL keeps of rows that are gone (dead rows until VACUUM, its log, its backups) is its keeper's matter.
    fn wiped(&self, _number: &sansio::pii::Spellings) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn measure(&self, stats: &mut StoreStats) {
        stats.journal_bytes = self.size_bytes.load(Ordering::Relaxed);
    }
}

/// The name that a run of the daemon puts down.
type Run = [u8; 16];

/// Keeps the writer's connection and its right to the schema.
struct Keeper {
    place: Arc<Place>,
    run: Run,
    /// When the connection last was known to live.
    alive_at: Instant,
    /// Another run has the schema: this one gets it no more, and does not ask for its lock, which is that one's.
    taken_over: bool,
    /// Until when no other attempt to connect is made, and why the last one failed.
    failed: Option<(Instant, String)>,
    sized_at: Instant,
    size_bytes: Arc<AtomicU64>,
}

impl Upkeep for Keeper {
    fn mend(&mut self, conn: &Connection) -> Result<Option<u64>, StoreError> {
        let Connection::Postgres(session) = conn else { return Ok(None) };
        // What an idle connection met is only noticed when it is used.
        if !session.is_lost() && self.alive_at.elapsed() >= STALE && session.command("").is_err() {
            session.lose();
        }
        let mut durable = None;
        if session.is_lost() {
            if self.taken_over {
                return Err(StoreError::TakenOver);
            }
            let begun = Instant::now();
            if let Some((_, why)) = self.failed.as_ref().filter(|(until, _)| begun < *until) {
                return Err(StoreError::Database { fault: Fault::Io, detail: why.clone() });
            }
            let taken = session
                .connect()
                .and_then(|()| open::lock(conn, &self.place, Duration::ZERO))
                .and_then(|()| open::position(conn, &self.run));
            if let Err(StoreError::Database { detail, .. }) = &taken {
                // As long as it took, at least.
                let wait = begun.elapsed().max(FAILED_WAIT);
                self.failed = Some((Instant::now() + wait, detail.clone()));
            }
            self.taken_over = matches!(taken, Err(StoreError::TakenOver));
            // Half of it is not enough: it begins anew next time.
            durable = Some(taken.inspect_err(|_| session.lose())?);
            tracing::info!(store = self.place.name(), "connected to the database again");
        }
        self.failed = None;
        self.alive_at = Instant::now();
        Ok(durable)
    }

    fn mark(&mut self, conn: &Connection, seq: u64) -> Result<(), StoreError> {
        open::mark(conn, seq)
    }

    fn look(&mut self, conn: &Connection) {
        self.alive_at = Instant::now();
        if self.sized_at.elapsed() >= SIZE_INTERVAL {
            self.sized_at = Instant::now();
            match open::size_bytes(conn, &self.place) {
                Ok(bytes) => self.size_bytes.store(bytes, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "the size of the database is not known"),
            }
        }
    }

    fn import_rows_per_ms(&self) -> usize {
        8
    }

    fn probe_interval(&self) -> Option<Duration> {
        Some(PROBE_INTERVAL)
    }
}
