//! Who has which number, while leads are imported.
//!
//! Numbers of people follow each other without order, so that each row's would be on a page of its own. Therefore the
//! numbers of many rows are looked up together before, and written together after, in their order: neighbours share pages.

use super::codec::{NumberKey, id};
use super::known::Known;
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{MatchedBy, NewLead};
use crate::sql::{Connection, Rows, Statement};
use dialer_core::LeadId;
use dialer_core::compliance::number_key;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Within which lists numbers are compared, as the numbers of these lists.
pub(super) enum Scope {
    None,
    These(BTreeSet<i64>),
    All,
}

/// A lead that a row is a duplicate of.
#[derive(Clone)]
pub(super) struct Match {
    pub(super) no: i64,
    pub(super) id: LeadId,
    pub(super) list_no: i64,
    pub(super) external_id: Option<String>,
    pub(super) by: MatchedBy,
}

impl Match {
    /// Which of the leads that have a number counts: by list (if lists are named), then by order of import.
    pub(super) fn place(&self, scope: &Scope) -> (i64, i64) {
        match scope {
            Scope::All => (0, self.no),
            Scope::None | Scope::These(_) => (self.list_no, self.no),
        }
    }
}

/// Leads that have a number. Leads of deleted lists may still be there: the join leaves them out.
const HOLDERS: &str = "SELECT lead.no, lead.id, lead.list_no, lead.external_id FROM lead_number \
     JOIN list ON list.no = lead_number.list_no JOIN lead ON lead.no = lead_number.lead_no \
     WHERE number = ?1 ORDER BY lead_number.lead_no";
/// The same within one list: in the order of the table's key, so that nothing is sorted.
const HOLDERS_IN_LIST: &str = "SELECT lead.no, lead.id, lead.list_no, lead.external_id FROM lead_number \
     JOIN list ON list.no = lead_number.list_no JOIN lead ON lead.no = lead_number.lead_no \
     WHERE number = ?1 AND lead_number.list_no = ?2 ORDER BY lead_number.lead_no";

/// Whether a number is there at all: nearly all numbers of an import are new, and this takes no join.
const KNOWN: &str = "SELECT 1 FROM lead_number WHERE number = ?1 LIMIT 1";

/// Asks who has a number within a scope.
pub(super) struct Question<'c> {
    statement: Option<Statement<'c>>,
    known: Statement<'c>,
    lists: Vec<i64>,
}

impl<'c> Question<'c> {
    pub(super) fn new(conn: &'c Connection, scope: &Scope) -> Result<Question<'c>, StoreError> {
        let (text, lists) = match scope {
            Scope::None => (None, Vec::new()),
            Scope::All => (Some(HOLDERS), Vec::new()),
            Scope::These(lists) => (Some(HOLDERS_IN_LIST), lists.iter().copied().collect()),
        };
        let statement = text.map(|text| conn.prepare_cached(text)).transpose()?;
        Ok(Question { statement, known: conn.prepare_cached(KNOWN)?, lists })
    }

    /// The first lead within the scope that has a number, of those that count.
    pub(super) fn ask(
        &mut self,
        number: &str,
        counts: impl Fn(i64) -> bool,
    ) -> Result<Option<Match>, StoreError> {
        let Some(statement) = &mut self.statement else { return Ok(None) };
        if self.lists.is_empty() {
            return first(statement.query((NumberKey(number),))?, counts);
        }
        for list in &self.lists {
            let found = first(statement.query((NumberKey(number), list))?, &counts)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Question<'_> {
    /// The same for many numbers, of which all leads count.
    fn ask_all<'r>(&mut self, mut numbers: Vec<&'r str>) -> Result<HashMap<&'r str, Match>, StoreError> {
        let mut found = HashMap::new();
        let Some(statement) = &mut self.statement else { return Ok(found) };
        let mut known = Vec::new();
        self.known.query_each(numbers.iter().map(|number| (NumberKey(number),)), |place, mut rows| {
            if rows.next()?.is_some() {
                known.push(numbers[place]);
            }
            Ok(())
        })?;
        numbers = known;
        if self.lists.is_empty() {
            statement.query_each(numbers.iter().map(|number| (NumberKey(number),)), |place, rows| {
                found.extend(first(rows, |_| true)?.map(|lead| (numbers[place], lead)));
                Ok(())
            })?;
        }
        for list in &self.lists {
            statement.query_each(numbers.iter().map(|number| (NumberKey(number), list)), |place, rows| {
                found.extend(first(rows, |_| true)?.map(|lead| (numbers[place], lead)));
                Ok(())
            })?;
            numbers.retain(|number| !found.contains_key(number));
        }
        Ok(found)
    }
}

fn first(mut rows: Rows<'_>, counts: impl Fn(i64) -> bool) -> Result<Option<Match>, StoreError> {
    while let Some(found) = rows.next()? {
        let no = found.get(0)?;
        if counts(no) {
            return Ok(Some(Match {
                no,
                id: id(found, "id")?,
                list_no: found.get(2)?,
                external_id: found.get(3)?,
                by: MatchedBy::Number,
            }));
        }
    }
    Ok(None)
}

/// The numbers of some rows: who has them, and who is to have them.
pub(super) struct Holders<'r, 'c> {
    scope: &'r Scope,
    known: &'r mut Known,
    question: Question<'c>,
    /// Numbers that a stored lead has; nobody has the rows' others.
    stored: HashMap<&'r str, Match>,
    /// What was looked up of these no longer holds: an update has been there.
    touched: HashSet<String>,
    /// The first lead of those written since that has a number.
    new: HashMap<&'r str, Match>,
    /// Numbers with their leads, still to be written.
    unwritten: Vec<(&'r str, i64)>,
}

impl<'r, 'c> Holders<'r, 'c> {
    /// Looks the numbers of rows up.
    pub(super) fn look_up(
        conn: &'c Connection,
        scope: &'r Scope,
        known: &'r mut Known,
        rows: impl Iterator<Item = &'r NewLead>,
    ) -> Result<Holders<'r, 'c>, StoreError> {
        let mut question = Question::new(conn, scope)?;
        let mut stored = HashMap::new();
        if question.statement.is_some() {
            let numbers = rows.flat_map(|row| &row.phones).map(|phone| phone.number.as_str());
            let mut numbers: Vec<&str> = numbers.filter(|number| known.may_hold(number)).collect();
            numbers.sort_by_cached_key(|number| order(number));
            numbers.dedup();
            stored = question.ask_all(numbers)?;
        }
        Ok(Holders {
            scope,
            known,
            question,
            stored,
            touched: HashSet::new(),
            new: HashMap::new(),
            unwritten: Vec::new(),
        })
    }

    /// The lead found by the first of the row's numbers that somebody has.
    pub(super) fn find(&mut self, row: &NewLead) -> Result<Option<Match>, StoreError> {
        for phone in &row.phones {
            let number = phone.number.as_str();
            let stored = if !self.touched.is_empty() && self.touched.contains(number) {
                self.question.ask(number, |_| true)?
            } else {
                self.stored.get(number).cloned()
            };
            let found = match (stored, self.new.get(number)) {
                (Some(stored), Some(new)) if new.place(self.scope) < stored.place(self.scope) => {
                    Some(new.clone())
                }
                (stored, new) => stored.or_else(|| new.cloned()),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A stored lead is given numbers otherwise.
    pub(super) fn note(&mut self, row: &NewLead) {
        for phone in &row.phones {
            self.known.note(&phone.number);
        }
    }

    /// Where the leads held from now on begin, for [`Holders::forget`].
    pub(super) fn mark(&self) -> usize {
        self.unwritten.len()
    }

    /// The leads held since were not stored. Nothing was written meanwhile.
    pub(super) fn forget(&mut self, mark: usize) {
        for (number, lead) in self.unwritten.drain(mark..) {
            if self.new.get(number).is_some_and(|held| held.no == lead) {
                self.new.remove(number);
            }
        }
    }

    /// A new lead has its row's numbers from now on.
    pub(super) fn hold(&mut self, row: &'r NewLead, lead: (i64, LeadId), list_no: i64) {
        for phone in &row.phones {
            self.unwritten.push((&phone.number, lead.0));
            if !matches!(self.scope, Scope::None) {
                self.new.entry(&phone.number).or_insert_with(|| Match {
                    no: lead.0,
                    id: lead.1,
                    list_no,
                    external_id: row.external_id.clone(),
                    by: MatchedBy::Number,
                });
            }
        }
    }

    /// A stored lead is about to change its numbers: what is unwritten must be written before, and what was looked up of
    /// its numbers, old and new, is asked again from now on.
    pub(super) fn touch(
        &mut self,
        txn: &Txn<'_>,
        list_no: i64,
        numbers: impl Iterator<Item = String>,
    ) -> Result<(), StoreError> {
        self.write(txn, list_no)?;
        let new = std::mem::take(&mut self.new);
        self.touched.extend(new.into_keys().map(str::to_owned).chain(numbers));
        Ok(())
    }

    /// Writes who has which number.
    pub(super) fn write(&mut self, txn: &Txn<'_>, list_no: i64) -> Result<(), StoreError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        for (number, _) in &self.unwritten {
            self.known.note(number);
        }
        self.unwritten.sort_by_cached_key(|(number, lead)| (order(number), *lead));
        txn.write_each(
            "INSERT INTO lead_number (number, list_no, lead_no) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            self.unwritten.drain(..).map(|(number, lead)| (NumberKey(number), list_no, lead)),
        )
    }
}

/// The order in which numbers are kept: those of E.164 by their value.
fn order(number: &str) -> (u64, &str) {
    (number_key(number).unwrap_or(u64::MAX), number)
}
