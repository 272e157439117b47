//! Takes from the disk what was erased.

use super::SqliteStore;
use crate::error::StoreError;
use crate::sql;
use crate::tables::writer::Writer;
use sansio::pii::Spellings;
use std::io::Read;
use std::time::Duration;

/// Tries to cut the write-ahead log, and the wait between two: somebody may be reading.
const CUT_TRIES: u32 = 40;
const CUT_REST: Duration = Duration::from_millis(25);
/// A larger database is not written anew to be rid of what an earlier version left in unused parts of pages.
const VACUUM_BYTES_MAX: u64 = 1 << 30;

impl SqliteStore {
    /// Nothing of a number that was erased from the rows is left in the files, if it is told true.
    pub(super) fn wiped(&self, spellings: &Spellings) -> Result<bool, StoreError> {
        Ok(self.cut_log()? && self.clean_pages(spellings)?)
    }

    /// Takes from the disk what the write-ahead log held. False: somebody kept reading.
    fn cut_log(&self) -> Result<bool, StoreError> {
        for tries in 0..CUT_TRIES {
            if tries > 0 {
                std::thread::sleep(CUT_REST);
            }
            let busy = self.core.call(|writer| {
                let busy: i64 =
                    embedded(writer)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
                Ok(busy)
            })?;
            if busy == 0 {
                return Ok(true);
            }
        }
        tracing::warn!("what was erased is still in the write-ahead log: others keep reading it");
        Ok(false)
    }

    /// Looks for the number in all bytes of the database. What is deleted is overwritten, but earlier versions left it in
    /// unused parts of pages: then the database is written anew. False: it is too large for that.
    fn clean_pages(&self, spellings: &Spellings) -> Result<bool, StoreError> {
        let whole: Vec<String> =
            spellings.iter().filter(|digits| spellings.e164()[1..] == **digits).collect();
        if !self.file_has(&whole)? {
            return Ok(true);
        }
        let bytes = std::fs::metadata(&self.path).map_or(u64::MAX, |file| file.len());
        if bytes > VACUUM_BYTES_MAX {
            tracing::warn!(
                bytes,
                "an erased number may be in unused parts of the database; VACUUM it while the daemon is stopped"
            );
            return Ok(false);
        }
        self.core.call(|writer| {
            let conn = embedded(writer)?;
            // What is being put in order must not be held in memory.
            conn.pragma_update(None, "temp_store", "file")?;
            let done = conn.execute_batch("VACUUM");
            conn.pragma_update(None, "temp_store", "memory")?;
            Ok(done?)
        })?;
        Ok(self.cut_log()? && !self.file_has(&whole)?)
    }

    /// Whether digits are anywhere in the database's file, and not as part of a longer number.
    fn file_has(&self, wanted: &[String]) -> Result<bool, StoreError> {
        let fail = |source| StoreError::Open { path: self.path.clone(), source };
        let longest = wanted.iter().map(String::len).max().unwrap_or(0);
        let mut file = std::fs::File::open(&self.path).map_err(fail)?;
        let mut piece = vec![0; 1 << 20];
        let mut kept = 0;
        loop {
            let count = file.read(&mut piece[kept..]).map_err(fail)?;
            let seen = &piece[..kept + count];
            if wanted.iter().any(|digits| has_digits(seen, digits.as_bytes(), count == 0)) {
                return Ok(true);
            }
            if count == 0 {
                return Ok(false);
            }
            // A number that lies over the edge, with the byte before and after it.
            let rest = seen.len().min(longest + 1);
            let from = seen.len() - rest;
            piece.copy_within(from..from + rest, 0);
            kept = rest;
        }
    }
}

/// The writer's connection.
fn embedded(writer: &Writer) -> Result<&rusqlite::Connection, StoreError> {
    match writer.conn() {
        sql::Connection::Sqlite(conn) => Ok(conn),
        sql::Connection::Postgres(_) => Err(StoreError::Closed),
    }
}

/// Whether these digits are there with no further digit at either end.
fn has_digits(bytes: &[u8], digits: &[u8], at_end: bool) -> bool {
    bytes.windows(digits.len()).enumerate().any(|(at, window)| {
        let end = at + digits.len();
        window == digits
            && !at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_digit())
            && bytes.get(end).map_or(at_end, |after| !after.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_found_as_a_whole_number_only() {
        assert!(has_digits(b"\x00+49123\x01", b"49123", false) && has_digits(b"49123", b"49123", true));
        assert!(!has_digits(b"149123 491234 4912", b"49123", true));
        assert!(!has_digits(b"49123", b"49123", false), "more may come");
    }
}
