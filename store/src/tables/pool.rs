//! A few connections that only read.

use crate::error::StoreError;
use crate::sql::Connection;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};

/// Read connections, lent one at a time. A caller waits when all are lent.
pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Pool {
    /// Opens `size` connections (at least one).
    pub(crate) fn open(
        size: usize,
        open: impl Fn() -> Result<Connection, StoreError>,
    ) -> Result<Pool, StoreError> {
        let idle = (0..size.max(1)).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
        Ok(Pool { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    /// Lends a connection.
    pub(super) fn get(&self) -> Lent<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(conn) = idle.pop() {
                return Lent { pool: self, conn: Some(conn) };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A lent connection; goes back when dropped.
pub(crate) struct Lent<'p> {
    pool: &'p Pool,
    conn: Option<Connection>,
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("held until dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            self.pool.returned.notify_one();
        }
    }
}
