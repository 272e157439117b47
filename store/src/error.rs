//! What can go wrong with a store.

use std::fmt;
use std::path::PathBuf;

/// Why the store refuses or fails.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has this database open.
    InUse {
        /// The database.
        path: PathBuf,
        /// The other process, if its lock file tells.
        pid: Option<u32>,
    },
    /// Another daemon has this schema.
    Held {
        /// Database and schema.
        place: String,
        /// The other's connection, if the server tells.
        by: Option<String>,
    },
    /// Another daemon took the schema while the connection was lost: this one must not write any more.
    TakenOver,
    /// The server cannot hold a store.
    Unfit {
        /// What is wrong with it.
        detail: String,
    },
    /// A newer version of this program wrote the database.
    NewerSchema {
        /// The database's schema.
        found: u32,
        /// The newest this program knows.
        supported: u32,
    },
    /// The file is a SQLite database of another program.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be opened or made.
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such thing.
    NotFound {
        /// What sort: `list`.
        what: &'static str,
    },
    /// A page cursor that this store did not give out.
    BadCursor,
    /// A stored row cannot be read back.
    Undecodable {
        /// Table.
        table: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The database failed.
    Database {
        /// What sort of failure.
        fault: Fault,
        /// The database's words.
        detail: String,
    },
    /// The store is closed.
    Closed,
}

/// Sort of a database failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The disk or the configured size is full.
    Full,
    /// The file cannot be read or written.
    Io,
    /// Someone else holds the file's lock.
    Locked,
    /// The file is damaged, or not a database at all.
    Corrupt,
    /// No memory.
    Memory,
    /// Anything else; a defect of ours.
    Other,
}

impl Fault {
    /// Whether the same statement may succeed later without a change on our side.
    #[must_use]
    pub const fn passes(self) -> bool {
        !matches!(self, Fault::Other)
    }

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Full => "full",
            Fault::Io => "io",
            Fault::Locked => "locked",
            Fault::Corrupt => "corrupt",
            Fault::Memory => "memory",
            Fault::Other => "other",
        }
    }
}

impl StoreError {
    /// The sort of database failure, if it is one.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        match self {
            StoreError::Database { fault, .. } => Some(*fault),
            _ => None,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { path, pid: Some(pid) } => {
                write!(f, "{} is in use by process {pid}", path.display())
            }
            StoreError::InUse { path, pid: None } => {
                write!(f, "{} is in use by another process", path.display())
            }
            StoreError::Held { place, by: Some(by) } => write!(f, "{place} is in use by {by}"),
            StoreError::Held { place, by: None } => write!(f, "{place} is in use by another daemon"),
            StoreError::TakenOver => f.write_str(
                "another daemon has taken the schema while the connection was lost; this one must be restarted",
            ),
            StoreError::Unfit { detail } => f.write_str(detail),
            StoreError::NewerSchema { found, supported } => write!(
                f,
                "the database has schema {found}, written by a newer version; this one knows up to {supported}"
            ),
            StoreError::Foreign { path } => {
                write!(f, "{} is a database of another program", path.display())
            }
            StoreError::Open { path, source } => write!(f, "{}: {source}", path.display()),
            StoreError::NotFound { what } => write!(f, "no such {what}"),
            StoreError::BadCursor => f.write_str("not a cursor of this store"),
            StoreError::Undecodable { table, detail } => {
                write!(f, "unreadable row in table {table}: {detail}")
            }
            StoreError::Database { fault: Fault::Corrupt, detail } => {
                write!(f, "the database file is damaged or is not a database: {detail}")
            }
            StoreError::Database { fault, detail } => {
                write!(f, "database failure ({}): {detail}", fault.as_str())
            }
            StoreError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Open { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let fault = match error.sqlite_error_code() {
            Some(Code::DiskFull) => Fault::Full,
            Some(
                Code::SystemIoFailure
                | Code::CannotOpen
                | Code::ReadOnly
                | Code::PermissionDenied
                | Code::FileLockingProtocolFailed,
            ) => Fault::Io,
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Fault::Locked,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Fault::Corrupt,
            Some(Code::OutOfMemory) => Fault::Memory,
            _ => Fault::Other,
        };
        StoreError::Database { fault, detail: error.to_string() }
    }
}
