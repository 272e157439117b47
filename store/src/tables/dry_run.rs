//! What an import would do: the rules of [`super::import`] without the writer.

use super::dnc::Everywhere;
use super::holders::{Match, Question, Scope};
use super::import::{Names, by_external_id, list_no, scope};
use crate::error::StoreError;
use crate::model::{ImportOptions, ImportVerdict, MatchedBy, NewLead};
use crate::sql::Connection;
use dialer_core::{LeadId, ListId};
use std::collections::{BTreeMap, BTreeSet};

/// Leads that would be new come after all stored ones.
const FIRST_NEW: i64 = i64::MAX / 2;

/// What the rows before would have written.
#[derive(Default)]
struct Pretended {
    by_external_id: BTreeMap<String, Match>,
    /// Number, then lead in order of import.
    by_number: BTreeMap<String, BTreeMap<i64, Match>>,
    /// Numbers of each lead in `by_number`. Of stored leads that are in here the stored numbers no longer hold.
    numbers: BTreeMap<i64, BTreeSet<String>>,
    new: i64,
}

impl Pretended {
    fn find(
        &self,
        conn: &Connection,
        list_no: i64,
        row: &NewLead,
        scope: &Scope,
        holders: &mut Question<'_>,
    ) -> Result<Option<Match>, StoreError> {
        if let Some(found) = row.external_id.as_ref().and_then(|id| self.by_external_id.get(id)) {
            return Ok(Some(found.clone()));
        }
        if let Some(found) = by_external_id(conn, list_no, row)? {
            return Ok(Some(found));
        }
        if matches!(scope, Scope::None) {
            return Ok(None);
        }
        for phone in &row.phones {
            let stored = holders.ask(&phone.number, |no| !self.numbers.contains_key(&no))?;
            let pretended = self.by_number.get(&phone.number).and_then(|leads| leads.values().next());
            let first = match (stored, pretended) {
                (Some(stored), Some(pretended)) if pretended.place(scope) <= stored.place(scope) => {
                    Some(pretended.clone())
                }
                (stored, pretended) => stored.or_else(|| pretended.cloned()),
            };
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    fn write(&mut self, mut lead: Match, row: &NewLead) {
        for number in self.numbers.remove(&lead.no).unwrap_or_default() {
            if let Some(leads) = self.by_number.get_mut(&number) {
                leads.remove(&lead.no);
            }
        }
        lead.external_id = row.external_id.clone().or(lead.external_id);
        if let Some(id) = &lead.external_id {
            let by = MatchedBy::ExternalId;
            self.by_external_id.insert(id.clone(), Match { by, ..lead.clone() });
        }
        let numbers: BTreeSet<String> = row.phones.iter().map(|phone| phone.number.clone()).collect();
        for number in &numbers {
            let by = MatchedBy::Number;
            let leads = self.by_number.entry(number.clone()).or_default();
            leads.insert(lead.no, Match { by, ..lead.clone() });
        }
        self.numbers.insert(lead.no, numbers);
    }

    fn write_new(&mut self, id: LeadId, list_no: i64, row: &NewLead) {
        let no = FIRST_NEW + self.new;
        self.new += 1;
        self.write(Match { no, id, list_no, external_id: None, by: MatchedBy::Number }, row);
    }
}

/// Tells what an import would do. Only reads.
pub(super) fn dry_run(
    conn: &Connection,
    list: ListId,
    rows: &[NewLead],
    options: &ImportOptions,
    names: &mut Names,
) -> Result<Vec<ImportVerdict>, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let list_no = list_no(&txn, list)?.ok_or(StoreError::NotFound { what: "list" })?;
    let scope = scope(&txn, list_no, &options.dedupe_scope)?;
    let mut dnc = Everywhere::load(&txn, list, options.now)?;
    let mut holders = Question::new(&txn, &scope)?;
    let mut pretended = Pretended::default();
    let mut verdicts = Vec::with_capacity(rows.len());
    for row in rows {
        verdicts.push(if row.phones.is_empty() {
            ImportVerdict::NoPhone
        } else if dnc.holds(row)? {
            ImportVerdict::Dnc
        } else if let Some(found) = pretended.find(&txn, list_no, row, &scope, &mut holders)? {
            let (lead, by) = (found.id, found.by);
            if found.is_tried_out(&txn, options)? {
                ImportVerdict::TooManyAttempts { lead }
            } else if found.is_updated(list_no, row, options) {
                pretended.write(found, row);
                ImportVerdict::Updated { lead }
            } else {
                ImportVerdict::Duplicate { lead, by }
            }
        } else {
            let lead = names.next();
            pretended.write_new(lead, list_no, row);
            ImportVerdict::Accepted { lead }
        });
    }
    Ok(verdicts)
}
