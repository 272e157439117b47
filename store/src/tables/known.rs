//! Which numbers leads may have: a filter in memory, so that an import need not ask the database for each of its numbers,
//! of which nearly all are new.
//!
//! ```text
//!   number ─▶ beyond what was read yet ─────────────▶ ask the database
//!          └▶ read ─▶ filter ─▶ may be there ───────▶ ask the database
//!                           └─▶ is not there
//! ```
//!
//! What is in the database is read into it little by little by large imports, in the order of the numbers; what is written
//! since is noted at once. Numbers that are gone stay in it: they are only asked for in vain.

use super::codec::number_of_e164;
use crate::error::StoreError;
use crate::sql::{Any, Connection, ValueRef};
use fastbloom::BloomFilter;

/// Imports of fewer rows do without: the filter would cost more than they ask.
const ROWS_MIN: usize = 1_000;
/// Numbers read for each row of an import, at most.
const READ_PER_ROW: usize = 4;
/// Numbers that a filter is made for at first.
const NUMBERS_MIN: usize = 1 << 20;
/// Bits for a number. With [`HASHES`] one of 80 that are not there is asked for all the same.
const BITS_PER_NUMBER: usize = 10;
const HASHES: u32 = 4;

/// How far the database has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    /// All numbers up to this one.
    UpTo(i64),
    All,
}

/// What is known of the numbers in the database.
pub(super) struct Known {
    /// `None`: no large import was there yet.
    filter: Option<BloomFilter>,
    /// Numbers it is made for, and numbers put in.
    room: usize,
    held: usize,
    read: Read,
}

impl Known {
    pub(super) fn new() -> Known {
        Known { filter: None, room: NUMBERS_MIN, held: 0, read: Read::UpTo(0) }
    }

    /// Reads on, for an import that is about to look up the numbers of so many rows.
    pub(super) fn read_on(&mut self, conn: &Connection, rows: usize) -> Result<(), StoreError> {
        if rows < ROWS_MIN {
            return Ok(());
        }
        if self.filter.is_none() || self.held > self.room {
            while self.held > self.room {
                self.room *= 2;
            }
            let filter = BloomFilter::with_num_bits(self.room * BITS_PER_NUMBER);
            self.filter = Some(filter.seed(&0).hashes(HASHES));
            (self.held, self.read) = (0, Read::UpTo(0));
        }
        let (Read::UpTo(last), Some(filter)) = (self.read, &mut self.filter) else { return Ok(()) };
        let most = rows * READ_PER_ROW;
        // Numbers come before all texts.
        let mut statement = conn.prepare_cached(
            "SELECT number FROM lead_number WHERE number > ?1 AND number < ?2 ORDER BY number LIMIT ?3",
        )?;
        let mut found = statement.query((Any::Integer(last), Any::Text(""), most as i64))?;
        let mut count = 0;
        while let Some(row) = found.next()? {
            let ValueRef::Integer(number) = row.get_any(0)? else { continue };
            filter.insert(&number);
            self.read = Read::UpTo(number);
            count += 1;
        }
        self.held += count;
        if count < most {
            self.read = Read::All;
        }
        Ok(())
    }

    /// A lead may have it. False: none has.
    pub(super) fn may_hold(&self, number: &str) -> bool {
        match (&self.filter, number_of_e164(number)) {
            (Some(filter), Some(number)) => {
                let is_read = match self.read {
                    Read::UpTo(last) => number <= last,
                    Read::All => true,
                };
                !is_read || filter.contains(&number)
            }
            _ => true,
        }
    }

    /// A lead is given it.
    pub(super) fn note(&mut self, number: &str) {
        if let (Some(filter), Some(number)) = (&mut self.filter, number_of_e164(number)) {
            filter.insert(&number);
            self.held += 1;
        }
    }
}
