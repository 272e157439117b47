//! Importing leads: rows in, verdicts out, memory bounded whatever the client does.
//!
//! ```text
//!   body ──▶ Splitter ──▶ batches of rows ──▶ parse, normalise, store ──▶ verdicts ──▶ spool ──▶ response
//! ```

use crate::auth::Caller;
use crate::extract::parse_json;
use crate::gateway::Gateway;
use crate::import_jobs::Progress;
use crate::mask::Masker;
use crate::pieces::{PieceFault, Pieces};
use crate::problem::{Code, Problem};
use crate::rows::{RawRow, Splitter, csv_fields};
use crate::spool::SpoolWriter;
use crate::wire::lead::{
    FieldValue, ImportSummary, ImportSummaryLine, LeadFault, LeadRequest, PhoneRequest, RowResult,
    RowVerdict, check_countries, shown_external_id,
};
use dialer_core::{Command, ListId};
use sansio::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use store::{DedupeScope, ImportOptions, ImportVerdict, MatchedBy, NewLead, OnDuplicate};
use tokio::time::Instant;

/// Rows parsed and stored together: one commit costs as much as the rows of many.
const BATCH_ROWS: usize = 20_000;
/// A batch ends when its rows have so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// A batch waits no longer than this for more rows.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// The client may be silent no longer than this.
const BODY_IDLE_MAX: Duration = Duration::from_secs(60);
/// The dialer is told of new leads at least this often, in rows.
const TELL_ROWS: u64 = 5_000;
/// Most columns of a CSV.
const COLUMNS_MAX: usize = 200;

/// How to import into which list.
#[derive(Clone, Debug)]
pub(crate) struct ImportPlan {
    pub(crate) list: ListId,
    pub(crate) region: Option<String>,
    /// Zone of rows that name none.
    pub(crate) time_zone: Option<String>,
    pub(crate) on_duplicate: OnDuplicate,
    pub(crate) dedupe_scope: DedupeScope,
    /// Leads that have been tried so often are not taken again.
    pub(crate) attempts_max: Option<u32>,
    /// Countries that the list takes; none: all.
    pub(crate) countries: Vec<String>,
    pub(crate) dry_run: bool,
    pub(crate) mask: Masker,
    /// Where its figures are shown while it runs.
    pub(crate) progress: Option<Progress>,
}

impl ImportPlan {
    pub(crate) fn options(&self, api: &Gateway) -> ImportOptions {
        ImportOptions {
            on_duplicate: self.on_duplicate,
            dedupe_scope: self.dedupe_scope.clone(),
            attempts_max: self.attempts_max,
            dry_run: self.dry_run,
            now: api.now(),
        }
    }

    /// A lead as the list takes it.
    pub(crate) fn settled(&self, mut lead: NewLead) -> Result<NewLead, LeadFault> {
        check_countries(&lead, &self.countries)?;
        if lead.time_zone.is_none() {
            lead.time_zone.clone_from(&self.time_zone);
        }
        Ok(lead)
    }
}

/// What a CSV column holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Column {
    Phone,
    ExternalId,
    Priority,
    TimeZone,
    ExpiresAt,
    Field,
}

/// A CSV's header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    delimiter: u8,
    columns: Vec<(String, Column)>,
}

impl Header {
    fn read(text: &str) -> Result<Self, Problem> {
        let delimiter = delimiter_of(text);
        let names = csv_fields(text, delimiter);
        let wrong = |detail: String| Problem::new(Code::InvalidBody, format!("line 1: {detail}"));
        if names.len() > COLUMNS_MAX {
            return Err(wrong(format!("expected at most {COLUMNS_MAX} columns")));
        }
        let mut columns: Vec<(String, Column)> = Vec::with_capacity(names.len());
        for name in names {
            let name = name.trim().to_owned();
            if name.is_empty() || columns.iter().any(|(known, _)| *known == name) {
                return Err(wrong(format!(
                    "column {} has no name, or one that is there already",
                    columns.len() + 1
                )));
            }
            let column = column_of(&name);
            columns.push((name, column));
        }
        if !columns.iter().any(|(_, column)| *column == Column::Phone) {
            return Err(wrong("expected a header with a column named phone or number".into()));
        }
        let once = [Column::ExternalId, Column::Priority, Column::TimeZone, Column::ExpiresAt];
        for kind in once {
            if columns.iter().filter(|(_, column)| *column == kind).count() > 1 {
                return Err(wrong(
                    "two columns have the same meaning (time_zone and tz are the same)".into(),
                ));
            }
        }
        Ok(Header { delimiter, columns })
    }

    /// A row of cells as a lead. The pointer of a fault names the column.
    fn lead(&self, text: &str, region: Option<&str>) -> (Option<String>, Result<NewLead, LeadFault>) {
        let cells = csv_fields(text, self.delimiter);
        if cells.len() != self.columns.len() {
            let detail = format!("found {} columns, expected {}", cells.len(), self.columns.len());
            return (None, Err(row_fault("wrong_columns", "", detail)));
        }
        let mut lead = LeadRequest::default();
        let mut phone_columns: Vec<&str> = Vec::new();
        let mut zone_column = "time_zone";
        for ((name, column), cell) in self.columns.iter().zip(cells) {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            match column {
                Column::Phone => {
                    lead.phones.push(PhoneRequest { number: cell.to_owned(), kind: None });
                    phone_columns.push(name);
                }
                Column::ExternalId => lead.external_id = Some(cell.to_owned()),
                Column::Priority => match cell.parse() {
                    Ok(priority) => lead.priority = priority,
                    Err(_) => {
                        let fault =
                            row_fault("invalid_priority", "/priority", "expected a whole number".into());
                        return (lead.external_id, Err(fault));
                    }
                },
                Column::TimeZone => {
                    zone_column = name;
                    lead.time_zone = Some(cell.to_owned());
                }
                Column::ExpiresAt => match crate::time::parse_rfc3339(cell) {
                    Some(at) => lead.expires_at = Some(at.into()),
                    None => {
                        let detail = "expected a time like 2026-10-31T00:00:00Z".into();
                        return (lead.external_id, Err(row_fault("invalid_time", "/expires_at", detail)));
                    }
                },
                Column::Field => {
                    lead.fields.insert(name.clone(), FieldValue::Text(cell.to_owned()));
                }
            }
        }
        let external_id = lead.external_id.clone();
        let lead = lead.into_lead(region).map_err(|mut fault| {
            fault.pointer = match fault.pointer.strip_prefix("/phones/") {
                Some(rest) => {
                    let place = rest.split('/').next().and_then(|place| place.parse::<usize>().ok());
                    format!("/{}", place.and_then(|place| phone_columns.get(place)).unwrap_or(&"phone"))
                }
                None if fault.pointer == "/phones" => "/phone".into(),
                None if fault.pointer == "/time_zone" => format!("/{zone_column}"),
                None => fault.pointer.replacen("/fields/", "/", 1),
            };
            fault
        });
        (external_id, lead)
    }
}

fn row_fault(code: &'static str, pointer: &str, detail: String) -> LeadFault {
    LeadFault { result: RowResult::InvalidRow, code, pointer: pointer.to_owned(), detail }
}

/// Comma, unless there is none and another usual delimiter is.
fn delimiter_of(header: &str) -> u8 {
    [b',', b';', b'\t'].into_iter().find(|delimiter| header.as_bytes().contains(delimiter)).unwrap_or(b',')
}

fn column_of(name: &str) -> Column {
    let lower = name.to_lowercase();
    let stem = lower.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    match (lower.as_str(), stem) {
        (_, "phone" | "number" | "phone_number") => Column::Phone,
        ("external_id", _) => Column::ExternalId,
        ("priority", _) => Column::Priority,
        ("time_zone" | "tz", _) => Column::TimeZone,
        ("expires_at", _) => Column::ExpiresAt,
        _ => Column::Field,
    }
}

/// A line that fits, read at once. What does not is read again step by step, to say where; so is what has an array in an
/// array, or as the whole, because derived readers would take that for an object.
fn quick_lead(text: &str) -> Option<LeadRequest> {
    let mut bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let mut before = bytes.next().filter(|byte| *byte == b'{')?;
    for byte in bytes {
        if byte == b'[' && matches!(before, b'[' | b',') {
            return None;
        }
        before = byte;
    }
    serde_json::from_str(text).ok()
}

/// A line of JSON as a lead.
fn json_lead(text: &str, region: Option<&str>) -> (Option<String>, Result<NewLead, LeadFault>) {
    if let Some(request) = quick_lead(text) {
        return (request.external_id.clone(), request.into_lead(region));
    }
    match parse_json::<LeadRequest>(text.as_bytes()) {
        Ok(request) => (request.external_id.clone(), request.into_lead(region)),
        Err(problem) => {
            let found = problem.errors().first();
            let pointer = found.and_then(|error| error.pointer.clone()).unwrap_or_default();
            let code = if problem.code() == Code::InvalidJson { "invalid_json" } else { "invalid_field" };
            let detail = found.map_or_else(|| problem.detail().to_owned(), |error| error.detail.clone());
            // The parser saw one line; which one of the body it is says the verdict.
            let detail = detail.replace(" at line 1 column ", " at column ");
            (None, Err(row_fault(code, &pointer, detail)))
        }
    }
}

/// What the rows are written in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Lines of JSON.
    Ndjson,
    /// CSV with this header.
    Csv(Header),
}

/// A row with its fate so far.
pub(crate) struct Read {
    pub(crate) line: u64,
    pub(crate) external_id: Option<String>,
    pub(crate) lead: Result<NewLead, LeadFault>,
}

impl Format {
    fn read(&self, row: RawRow, plan: &ImportPlan) -> Read {
        let region = plan.region.as_deref();
        let (external_id, lead) = match (&row.text, self) {
            (Err(fault), _) => (None, Err(row_fault(fault.code(), "", fault.detail().into()))),
            (Ok(text), Format::Ndjson) => json_lead(text, region),
            (Ok(text), Format::Csv(header)) => header.lead(text, region),
        };
        Read { line: row.line, external_id, lead: lead.and_then(|lead| plan.settled(lead)) }
    }
}

/// What is told of a row besides its fate.
pub(crate) struct Told {
    line: u64,
    external_id: Option<String>,
    time_zone: Option<String>,
    /// Why it is not stored.
    fault: Option<LeadFault>,
}

/// Parts the leads to be stored from what is told of each row.
pub(crate) fn part(rows: Vec<Read>, mask: Masker) -> (Vec<NewLead>, Vec<Told>) {
    let mut leads = Vec::with_capacity(rows.len());
    let told = rows.into_iter().map(|row| match row.lead {
        Ok(lead) => {
            let external_id = shown_external_id(lead.external_id.as_deref(), &lead.phones, mask);
            let told = Told { line: row.line, external_id, time_zone: lead.time_zone.clone(), fault: None };
            leads.push(lead);
            told
        }
        Err(fault) => Told {
            line: row.line,
            external_id: mask.text_option(row.external_id.as_deref()),
            time_zone: None,
            fault: Some(fault),
        },
    });
    let told = told.collect();
    (leads, told)
}

/// The verdict on each row, from the fates of those that were to be stored.
pub(crate) fn verdicts(told: Vec<Told>, fates: Vec<ImportVerdict>, mask: Masker) -> Vec<RowVerdict> {
    let mut fates = fates.into_iter();
    told.into_iter()
        .map(|mut row| match row.fault.take() {
            None => stored_verdict(row, fates.next().unwrap_or(ImportVerdict::NoPhone)),
            Some(fault) => fault_verdict(row, fault, mask),
        })
        .collect()
}

/// Stores leads and tells the fate of each. Blocks.
fn store_leads(
    store: &dyn store::Store,
    leads: Vec<NewLead>,
    list: ListId,
    options: &ImportOptions,
) -> Result<Vec<ImportVerdict>, store::StoreError> {
    if leads.is_empty() { Ok(Vec::new()) } else { store.import_leads(list, leads, options) }
}

/// Stores the good ones among rows and tells the verdict on each. Blocks.
pub(crate) fn judge(
    store: &dyn store::Store,
    rows: Vec<Read>,
    plan: &ImportPlan,
    options: &ImportOptions,
) -> Result<Vec<RowVerdict>, store::StoreError> {
    let (leads, told) = part(rows, plan.mask);
    Ok(verdicts(told, store_leads(store, leads, plan.list, options)?, plan.mask))
}

fn stored_verdict(row: Told, fate: ImportVerdict) -> RowVerdict {
    let (result, id, code) = match fate {
        ImportVerdict::Accepted { lead } => (RowResult::Accepted, Some(lead), None),
        ImportVerdict::Updated { lead } => (RowResult::Updated, Some(lead), None),
        ImportVerdict::Duplicate { lead, by } => {
            let by = match by {
                MatchedBy::ExternalId => "external_id",
                MatchedBy::Number => "number",
            };
            (RowResult::Duplicate, Some(lead), Some(by))
        }
        ImportVerdict::Dnc => (RowResult::Dnc, None, None),
        ImportVerdict::TooManyAttempts { lead } => (RowResult::TooManyAttempts, Some(lead), None),
        ImportVerdict::NoPhone => (RowResult::InvalidNumber, None, Some("empty")),
    };
    RowVerdict {
        line: row.line,
        external_id: row.external_id,
        result,
        lead_id: id.map(|id| id.to_string()),
        time_zone: row.time_zone,
        code: code.map(str::to_owned),
        pointer: None,
        detail: None,
    }
}

fn fault_verdict(row: Told, fault: LeadFault, mask: Masker) -> RowVerdict {
    RowVerdict {
        line: row.line,
        external_id: row.external_id,
        result: fault.result,
        lead_id: None,
        time_zone: None,
        code: Some(fault.code.to_owned()),
        pointer: Some(fault.pointer),
        detail: Some(mask.text(&fault.detail)),
    }
}

/// Counts verdicts.
pub(crate) fn count(summary: &mut ImportSummary, verdicts: &[RowVerdict], on_duplicate: OnDuplicate) {
    for verdict in verdicts {
        summary.lines += 1;
        match verdict.result {
            RowResult::Accepted => summary.accepted += 1,
            RowResult::Updated => summary.updated += 1,
            RowResult::Duplicate => {
                summary.duplicates += 1;
                summary.rejected += u64::from(on_duplicate == OnDuplicate::Error);
            }
            RowResult::Dnc => {
                summary.dnc += 1;
                summary.rejected += 1;
            }
            RowResult::InvalidNumber
            | RowResult::BlockedCountry
            | RowResult::TooManyAttempts
            | RowResult::InvalidRow => summary.rejected += 1,
        }
    }
}

/// How many rows had which result.
fn count_results(verdicts: &[RowVerdict]) -> BTreeMap<RowResult, u64> {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.result).or_default() += 1;
    }
    counts
}

/// The body of an import, cut into rows as it arrives.
pub(crate) struct Rows {
    body: Pieces,
    splitter: Splitter,
    ended: bool,
}

/// Why no further rows come.
enum Broken {
    /// The client hung up, or sent a body that cannot be unpacked.
    Body(PieceFault),
    /// The client fell silent.
    Idle,
}

impl Rows {
    pub(crate) fn lines(body: Pieces) -> Self {
        Rows { body, splitter: Splitter::lines(), ended: false }
    }

    /// A CSV: reads its header.
    pub(crate) async fn csv(body: Pieces) -> Result<(Self, Header), Problem> {
        let mut rows = Rows { body, splitter: Splitter::csv(b','), ended: false };
        loop {
            if let Some(row) = rows.splitter.next() {
                let text = row.text.map_err(|fault| {
                    Problem::new(Code::InvalidBody, format!("line 1: {}", fault.detail()))
                })?;
                let header = Header::read(&text)?;
                rows.splitter.set_delimiter(header.delimiter);
                return Ok((rows, header));
            }
            if rows.ended {
                return Err(Problem::new(
                    Code::InvalidBody,
                    "line 1: expected a header with a column named phone or number",
                ));
            }
            rows.fill().await.map_err(|broken| match broken {
                Broken::Body(PieceFault::Broken) | Broken::Idle => {
                    Problem::new(Code::InvalidBody, "the body broke off")
                }
                Broken::Body(fault) => fault.problem(),
            })?;
        }
    }

    /// Waits for more of the body.
    async fn fill(&mut self) -> Result<(), Broken> {
        match tokio::time::timeout(BODY_IDLE_MAX, self.body.next()).await {
            Ok(Some(Ok(bytes))) => self.splitter.push(&bytes),
            Ok(Some(Err(fault))) => return Err(Broken::Body(fault)),
            Ok(None) => {
                self.ended = true;
                self.splitter.end();
            }
            Err(_) => return Err(Broken::Idle),
        }
        Ok(())
    }

    /// Rows to work on: a full batch, or what came until the client paused. Empty at the end.
    async fn batch(&mut self) -> (Vec<RawRow>, Option<Broken>) {
        let mut batch: Vec<RawRow> = Vec::new();
        let mut bytes = 0;
        let mut deadline = None;
        loop {
            while batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                match self.splitter.next() {
                    Some(row) => {
                        bytes += row.text.as_ref().map_or(0, String::len);
                        batch.push(row);
                    }
                    None => break,
                }
            }
            if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES || self.ended {
                return (batch, None);
            }
            if batch.is_empty() {
                if let Err(broken) = self.fill().await {
                    return (batch, Some(broken));
                }
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + BATCH_WAIT);
            match tokio::time::timeout_at(deadline, self.fill()).await {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => return (batch, Some(broken)),
                Err(_) => return (batch, None),
            }
        }
    }
}

/// Imports everything and writes the verdicts and the summary. While a batch is stored, the next is read, and the
/// verdicts on the one before are written: the store need not wait for either.
pub(crate) async fn run(
    api: Arc<Gateway>,
    mut rows: Rows,
    format: Format,
    plan: ImportPlan,
    out: SpoolWriter,
    caller: Caller,
) {
    let began = Instant::now();
    let format = Arc::new(format);
    let summary = ImportSummary { dry_run: plan.dry_run, ..ImportSummary::default() };
    let out = Out::Ready(out, summary);
    let mut work = Work { api, plan, out, untold: 0, told: false, broken: None, storing: None };
    'rows: loop {
        let (batch, broken) = {
            let mut next = std::pin::pin!(rows.batch());
            loop {
                tokio::select! {
                    next = &mut next => break next,
                    // The client may wait for its verdicts before it sends more.
                    before = work.stored(), if work.storing.is_some() => match work.written(before).await {
                        Ok(true) => {}
                        Ok(false) => break 'rows,
                        Err(Lost) => return,
                    },
                }
            }
        };
        let at_end = batch.is_empty();
        if !at_end {
            let (format, plan) = (Arc::clone(&format), work.plan.clone());
            let read = tokio::task::spawn_blocking(move || {
                part(batch.into_iter().map(|row| format.read(row, &plan)).collect(), plan.mask)
            });
            // A panic (a defect) in reading ends the answer without a summary.
            let Ok((leads, told)) = read.await else { return };
            let before = work.stored().await;
            if matches!(before, Stored::On(_)) {
                work.store(leads, told);
            }
            match work.written(before).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(Lost) => return,
            }
        }
        if let Some(broken) = broken {
            work.broken = Some(match broken {
                Broken::Body(fault) => fault.detail().into(),
                Broken::Idle => "nothing came for 60 seconds".into(),
            });
            break;
        }
        if at_end {
            break;
        }
    }
    let last = work.stored().await;
    if work.written(last).await.is_ok() {
        work.finish(began, &caller).await;
    }
}

/// What became of a batch: the fates of its leads, and what is told of its rows.
type Fates = (Vec<ImportVerdict>, Vec<Told>);

/// How the batch before went.
enum Stored {
    /// Well, with its verdicts still to be written. Nothing, if there was none.
    On(Option<Fates>),
    /// It could not be stored: the summary says so.
    Failed(String),
    /// Storing it broke off by a defect: the answer ends without a summary.
    Lost,
}

/// The verdicts cannot be kept: the answer ends without a summary.
struct Lost;

/// Where verdicts go, and where they are counted.
enum Out {
    Ready(SpoolWriter, ImportSummary),
    /// Lent to a batch whose verdicts are being written.
    Writing(tokio::task::JoinHandle<std::io::Result<(SpoolWriter, ImportSummary)>>),
    Gone,
}

impl Out {
    /// Waits until the verdicts before are written.
    async fn ready(&mut self) -> Result<(SpoolWriter, ImportSummary), Lost> {
        match std::mem::replace(self, Out::Gone) {
            Out::Ready(out, summary) => Ok((out, summary)),
            Out::Writing(writing) => match writing.await {
                Ok(Ok(ready)) => Ok(ready),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the verdicts of an import could not be kept");
                    Err(Lost)
                }
                Err(_) => Err(Lost),
            },
            Out::Gone => Err(Lost),
        }
    }
}

/// An import under way.
struct Work {
    api: Arc<Gateway>,
    plan: ImportPlan,
    out: Out,
    /// Leads the dialer was not told of.
    untold: u64,
    /// The dialer was told of some.
    told: bool,
    /// Why it broke off.
    broken: Option<String>,
    storing: Option<tokio::task::JoinHandle<Result<Fates, Problem>>>,
}

impl Work {
    /// Begins to store a batch. The one before must be done.
    fn store(&mut self, leads: Vec<NewLead>, told: Vec<Told>) {
        let (api, list, options) = (Arc::clone(&self.api), self.plan.list, self.plan.options(&self.api));
        self.storing = Some(tokio::spawn(async move {
            let fates = api.store(move |store| store_leads(store, leads, list, &options)).await?;
            Ok((fates, told))
        }));
    }

    /// Waits for the batch that is being stored. Nothing is lost if it is not awaited to its end.
    async fn stored(&mut self) -> Stored {
        let Some(storing) = &mut self.storing else { return Stored::On(None) };
        let stored = storing.await;
        self.storing = None;
        match stored {
            Ok(Ok(fates)) => Stored::On(Some(fates)),
            Ok(Err(problem)) => Stored::Failed(problem.detail().to_owned()),
            Err(_) => Stored::Lost,
        }
    }

    /// Begins to count and write the verdicts on the batch before, and tells the dialer. False: it could not be stored.
    async fn written(&mut self, stored: Stored) -> Result<bool, Lost> {
        let (fates, told) = match stored {
            Stored::On(None) => return Ok(true),
            Stored::On(Some(fates)) => fates,
            Stored::Failed(detail) => {
                self.broken = Some(detail);
                return Ok(false);
            }
            Stored::Lost => return Err(Lost),
        };
        let stored = fates.iter().filter(|fate| fate.is_stored()).count() as u64;
        let (mut out, mut summary) = self.out.ready().await?;
        let (api, mask, on_duplicate) = (Arc::clone(&self.api), self.plan.mask, self.plan.on_duplicate);
        let progress = self.plan.progress.clone();
        self.out = Out::Writing(tokio::task::spawn_blocking(move || {
            let verdicts = verdicts(told, fates, mask);
            count(&mut summary, &verdicts, on_duplicate);
            show(progress.as_ref(), &summary);
            for (result, rows) in count_results(&verdicts) {
                api.metrics.import_rows.with_label_values(&[result.as_str()]).inc_by(rows);
            }
            out.write(&lines(&verdicts))?;
            Ok((out, summary))
        }));
        self.untold += stored;
        if self.untold >= TELL_ROWS || (!self.told && self.untold > 0) {
            self.told = true;
            tell(&self.api, &self.plan, std::mem::take(&mut self.untold)).await;
        }
        Ok(true)
    }

    async fn finish(mut self, began: Instant, caller: &Caller) {
        if self.untold > 0 {
            tell(&self.api, &self.plan, self.untold).await;
        }
        let Ok((mut out, mut summary)) = self.out.ready().await else { return };
        summary.complete = self.broken.is_none();
        summary.error = self.broken;
        summary.ms = began.elapsed().as_millis() as u64;
        show(self.plan.progress.as_ref(), &summary);
        put_down(&self.api, &self.plan, caller, &summary).await;
        tracing::info!(
            list = %self.plan.list, lines = summary.lines, accepted = summary.accepted, updated = summary.updated,
            rejected = summary.rejected, complete = summary.complete, ms = summary.ms, "leads imported"
        );
        let mut line = serde_json::to_vec(&ImportSummaryLine { summary }).expect("figures have string keys");
        line.push(b'\n');
        let written = tokio::task::spawn_blocking(move || {
            out.write(&line)?;
            out.finish();
            std::io::Result::Ok(())
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "the verdicts of an import could not be kept");
        }
    }
}

/// Shows how far it is to who asks.
fn show(progress: Option<&Progress>, summary: &ImportSummary) {
    if let Some(progress) = progress {
        progress.lock().unwrap_or_else(PoisonError::into_inner).clone_from(summary);
    }
}

/// Puts down who has brought leads into a list.
async fn put_down(api: &Gateway, plan: &ImportPlan, caller: &Caller, summary: &ImportSummary) {
    if plan.dry_run {
        return;
    }
    let ImportSummary { lines, accepted, updated, rejected, complete, .. } = summary;
    let particulars = serde_json::json!({
        "lines": lines, "accepted": accepted, "updated": updated, "rejected": rejected, "complete": complete,
    });
    api.put_down(caller, "list.imported", plan.list.to_string(), Some(particulars)).await;
}

/// Verdicts as lines of JSON.
fn lines(verdicts: &[RowVerdict]) -> Vec<u8> {
    let mut text = Vec::with_capacity(verdicts.len() * 128);
    for verdict in verdicts {
        serde_json::to_writer(&mut text, verdict).expect("a verdict has string keys");
        text.push(b'\n');
    }
    text
}

/// Tells the dialer that there are new leads.
pub(crate) async fn tell(api: &Gateway, plan: &ImportPlan, accepted: u64) {
    if plan.dry_run {
        return;
    }
    // The leads are stored; a dialer that does not take the hint finds them at its next look.
    if let Err(problem) = api.command(Command::LeadsImported { list: plan.list, accepted }).await {
        tracing::warn!(detail = problem.detail(), "the dialer did not take note of an import");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = Header::read("Phone;external_id;Name;phone2;tz").unwrap();
        assert_eq!(header.delimiter, b';');
        let kinds: Vec<_> = header.columns.iter().map(|(_, column)| column.clone()).collect();
        assert_eq!(
            kinds,
            [Column::Phone, Column::ExternalId, Column::Field, Column::Phone, Column::TimeZone]
        );
        for bad in ["", "name,city", "phone,phone", "phone,", "phone,tz,time_zone"] {
            assert!(Header::read(bad).is_err(), "{bad}");
        }
        for good in ["number", "phone_number", "phone1,phone_2", "\"phone\",\"a,b\""] {
            assert!(Header::read(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn cells_become_a_lead_or_say_which_column() {
        let header = Header::read("external_id,phone1,phone2,priority,tz,name").unwrap();
        let (id, lead) = header.lead("crm-1,13800138000,,7,Asia/Shanghai,\"王, 五\"", Some("CN"));
        let lead = lead.unwrap();
        assert_eq!((id.as_deref(), lead.priority, lead.phones.len()), (Some("crm-1"), 7, 1));
        assert_eq!(lead.phones[0].number, "+8613800138000");
        assert_eq!(lead.fields["name"], "王, 五");
        for (row, code, pointer) in [
            ("crm-1,13800138000,12,7,,", "wrong_length", "/phone2"),
            ("crm-1,,,7,,", "empty", "/phone"),
            ("crm-1,13800138000,,high,,", "invalid_priority", "/priority"),
            ("crm-1,13800138000,,,Mars/Base,", "unknown_time_zone", "/tz"),
            ("crm-1,13800138000", "wrong_columns", ""),
            ("crm-1,13800138000,,,,,,", "wrong_columns", ""),
        ] {
            let fault = header.lead(row, Some("CN")).1.unwrap_err();
            assert_eq!((fault.code, fault.pointer.as_str()), (code, pointer), "{row}");
        }
    }

    #[test]
    fn a_line_of_json_becomes_a_lead_or_says_where() {
        let (_, lead) = json_lead(
            r#"{"external_id":"crm-1","phones":[{"number":"13800138000","type":"mobile"},{"number":"021-55556666","type":"work"}],"priority":50,"tz":"Asia/Shanghai","fields":{"name":"王","age":4},"expires_at":"2026-10-31T00:00:00Z"}"#,
            Some("CN"),
        );
        let lead = lead.unwrap();
        assert_eq!(lead.phones[1].number, "+862155556666");
        assert_eq!(lead.fields["age"], "4");
        for (row, code, pointer) in [
            ("{", "invalid_json", ""),
            ("[]", "invalid_field", ""),
            (r#"{"phone":"x"}"#, "not_e164", "/phone"),
            (r#"{"phones":[{"number":"13800138000"},{"number":"12"}]}"#, "wrong_length", "/phones/1/number"),
            (r#"{"phone":"13800138000","colour":"red"}"#, "invalid_field", "/colour"),
            (r#"{"phone":13800138000}"#, "invalid_field", "/phone"),
            (r#"{"phone":"13800138000","fields":{"a":[]}}"#, "invalid_field", "/fields/a"),
            (r#"{"external_id":"x"}"#, "empty", "/phones"),
            (r#"{"phones":[["13800138000", null]]}"#, "invalid_field", "/phones/0"),
            (r#"{"phones":[{"number":"13800138000"}, ["12", null]]}"#, "invalid_field", "/phones/1"),
            (r#"{"phone":"13800138000","phones":[{"number":"13900139000"}]}"#, "ambiguous_phone", "/phones"),
            (r#"{"phone":"13800138000","phone":"13900139000"}"#, "invalid_field", "/phone"),
            (r#"{"phone":"13800138000","fields":{"a":"1","a":"2"}}"#, "invalid_field", "/fields/a"),
            (
                r#"{"phone":"13800138000","time_zone":"Asia/Tokyo","tz":"Asia/Tokyo"}"#,
                "invalid_field",
                "/time_zone",
            ),
            (
                "{\"phone\":\"13800138000\",\"fields\":{\"a\":\"x\\u0000y\"}}",
                "control_character",
                "/fields/a",
            ),
            (
                "{\"phone\":\"13800138000\",\"fields\":{\"a\\u0007\":\"x\"}}",
                "control_character",
                "/fields/a\u{7}",
            ),
            ("{\"phone\":\"13800138000\",\"external_id\":\"a\\nb\"}", "control_character", "/external_id"),
            (
                r#"{"phones":[{"number":"13800138000","type":"a\u0000"}]}"#,
                "control_character",
                "/phones/0/type",
            ),
        ] {
            let fault = json_lead(row, Some("CN")).1.unwrap_err();
            assert_eq!((fault.code, fault.pointer.as_str()), (code, pointer), "{row}");
        }
        let fault = json_lead(r#"{"phone":"#, Some("CN")).1.unwrap_err();
        assert_eq!(fault.detail, "EOF while parsing a value at column 9");
        let (_, lead) =
            json_lead("{\"phone\":\"13800138000\",\"fields\":{\"a\":\"two\\n\\tlines\"}}", Some("CN"));
        assert_eq!(lead.unwrap().fields["a"], "two\n\tlines");
    }
}
