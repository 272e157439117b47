//! Leads on the wire.

use super::pop::PastAttempt;
use super::{Outcome, wire_enum};
use crate::mask::Masker;
use crate::numbers::{normalise, region_of};
use crate::problem::FieldError;
use crate::time::Time;
use dialer_core::record::{Lead as CoreLead, Phone as CorePhone};
use sansio::pii::mask_number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::NewLead;
use utoipa::ToSchema;

/// Most numbers of a lead.
pub const PHONES_MAX: usize = 10;
/// Most fields of a lead.
pub const FIELDS_MAX: usize = 100;
/// Longest field, bytes.
pub const FIELD_BYTES_MAX: usize = 4_096;
/// Longest name of a field and longest external id, characters.
pub const NAME_LENGTH_MAX: usize = 200;

wire_enum! {
    /// Where a lead stands.
    LeadState = dialer_core::record::LeadState {
        /// Never dialled.
        New,
        /// Waits for its next try.
        RetryWait,
        /// Being dialled or talking.
        Dialing,
        /// Reached.
        Done,
        /// No attempts left.
        Exhausted,
        /// On a do-not-call list.
        Dnc,
        /// Its time has passed.
        Expired,
    }
}

/// A number of a lead.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhoneRequest {
    /// As written; made E.164 with the region of request or list.
    #[schema(example = "13800138000")]
    pub number: String,
    /// `mobile`, `work`, …
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

/// A lead to be added: a line of an NDJSON import, or a member of a batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadRequest {
    /// The owner's own name of it; unique in the list.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The number, if there is one only. Either this or `phones`.
    #[serde(default)]
    pub phone: Option<String>,
    /// Numbers in dial order.
    #[serde(default)]
    pub phones: Vec<PhoneRequest>,
    /// Higher is dialled sooner.
    #[serde(default)]
    pub priority: i32,
    /// IANA zone.
    #[serde(default, alias = "tz")]
    #[schema(example = "Asia/Shanghai")]
    pub time_zone: Option<String>,
    /// The owner's fields: texts, numbers or truth values.
    #[serde(default, deserialize_with = "crate::strict::unique_members")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub fields: BTreeMap<String, FieldValue>,
    /// Not dialled after this.
    #[serde(default)]
    pub expires_at: Option<Time>,
}

/// The value of a field; kept as text.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Truth(bool),
    /// Nothing.
    Nothing(()),
}

impl FieldValue {
    fn into_text(self) -> String {
        match self {
            FieldValue::Text(text) => text,
            FieldValue::Whole(number) => number.to_string(),
            FieldValue::Number(number) => number.to_string(),
            FieldValue::Truth(truth) => truth.to_string(),
            FieldValue::Nothing(()) => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldValueVisitor)
    }
}

struct FieldValueVisitor;

impl serde::de::Visitor<'_> for FieldValueVisitor {
    type Value = FieldValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<FieldValue, E> {
        Ok(FieldValue::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<FieldValue, E> {
        Ok(FieldValue::Text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<FieldValue, E> {
        Ok(FieldValue::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<FieldValue, E> {
        Ok(i64::try_from(number).map_or(FieldValue::Number(number as f64), FieldValue::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<FieldValue, E> {
        Ok(FieldValue::Number(number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<FieldValue, E> {
        Ok(FieldValue::Truth(truth))
    }

    fn visit_unit<E>(self) -> Result<FieldValue, E> {
        Ok(FieldValue::Nothing(()))
    }
}

/// Why a lead is refused: the verdict's words, a finer code, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeadFault {
    /// `invalid_number`, `blocked_country` or `invalid_row`.
    pub result: RowResult,
    /// Finer: `not_in_plan`, `unknown_time_zone`, …
    pub code: &'static str,
    /// JSON pointer into the row.
    pub pointer: String,
    /// Words.
    pub detail: String,
}

impl LeadFault {
    fn row(code: &'static str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        LeadFault { result: RowResult::InvalidRow, code, pointer: pointer.into(), detail: detail.into() }
    }

    /// As the error of a member of a batch.
    #[must_use]
    pub fn field_error(&self, before: &str) -> FieldError {
        FieldError {
            pointer: Some(format!("{before}{}", self.pointer)),
            parameter: None,
            detail: self.detail.clone(),
        }
    }
}

/// Refuses a lead with a number of another country than these (ISO 3166-1 alpha-2); no countries: all.
///
/// # Errors
/// Which number is of another country, or of none that is known.
pub fn check_countries(lead: &NewLead, countries: &[String]) -> Result<(), LeadFault> {
    if countries.is_empty() {
        return Ok(());
    }
    let blocked = lead
        .phones
        .iter()
        .position(|phone| region_of(&phone.number).is_none_or(|region| !countries.contains(&region)));
    blocked.map_or(Ok(()), |at| {
        Err(LeadFault {
            result: RowResult::BlockedCountry,
            code: "country",
            pointer: format!("/phones/{at}/number"),
            detail: format!("this list takes numbers of {}", countries.join(", ")),
        })
    })
}

/// A time zone of this name exists.
#[must_use]
pub fn is_time_zone(name: &str) -> bool {
    name.len() <= 64 && dialer_core::compliance::is_zone(name)
}

impl LeadRequest {
    /// Checks it and makes its numbers E.164.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn into_lead(self, region: Option<&str>) -> Result<NewLead, LeadFault> {
        if self.phone.is_some() && !self.phones.is_empty() {
            return Err(LeadFault::row("ambiguous_phone", "/phones", "expected phone or phones, not both"));
        }
        self.without_control_characters()?;
        let phones = self.phones_in(region)?;
        if let Some(id) = &self.external_id
            && !(1..=NAME_LENGTH_MAX).contains(&id.chars().count())
        {
            return Err(LeadFault::row(
                "invalid_external_id",
                "/external_id",
                "expected 1 to 200 characters",
            ));
        }
        if let Some(zone) = &self.time_zone
            && !is_time_zone(zone)
        {
            return Err(LeadFault::row(
                "unknown_time_zone",
                "/time_zone",
                "expected an IANA zone like Asia/Shanghai",
            ));
        }
        if self.fields.len() > FIELDS_MAX {
            return Err(LeadFault::row("too_many_fields", "/fields", "expected at most 100 fields"));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in self.fields {
            let text = value.into_text();
            if name.is_empty() || name.chars().count() > NAME_LENGTH_MAX || text.len() > FIELD_BYTES_MAX {
                let mut pointer = String::from("/fields");
                crate::extract::push_key(&mut pointer, &name);
                return Err(LeadFault::row(
                    "field_too_long",
                    pointer,
                    "names have 1 to 200 characters, values at most 4096 bytes",
                ));
            }
            fields.insert(name, text);
        }
        Ok(NewLead {
            external_id: self.external_id,
            phones,
            priority: self.priority,
            time_zone: self.time_zone,
            fields,
            expires_at: self.expires_at.map(|time| time.0),
        })
    }

    /// Texts that break lines where they are shown, or end them early, are refused. Values of fields may have lines.
    fn without_control_characters(&self) -> Result<(), LeadFault> {
        let fault = |pointer: String| {
            LeadFault::row("control_character", pointer, "expected a text without control characters")
        };
        let has_any = |text: &str| text.chars().any(char::is_control);
        if self.external_id.as_deref().is_some_and(has_any) {
            return Err(fault("/external_id".into()));
        }
        for (at, phone) in self.phones.iter().enumerate() {
            if phone.kind.as_deref().is_some_and(has_any) {
                return Err(fault(format!("/phones/{at}/type")));
            }
        }
        for (name, value) in &self.fields {
            let breaks = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
            let in_value = matches!(value, FieldValue::Text(text) if text.chars().any(breaks));
            if in_value || has_any(name) {
                let mut pointer = String::from("/fields");
                crate::extract::push_key(&mut pointer, name);
                return Err(fault(pointer));
            }
        }
        Ok(())
    }

    fn phones_in(&self, region: Option<&str>) -> Result<Vec<CorePhone>, LeadFault> {
        let count = self.phones.len() + usize::from(self.phone.is_some());
        if count == 0 {
            return Err(LeadFault {
                result: RowResult::InvalidNumber,
                code: "empty",
                pointer: "/phones".into(),
                detail: "a number is expected".into(),
            });
        }
        if count > PHONES_MAX {
            return Err(LeadFault::row("too_many_phones", "/phones", "expected at most 10 numbers"));
        }
        let one = self.phone.as_deref().map(|number| (None, number, None));
        let many = self.phones.iter().enumerate();
        let many = many.map(|(at, phone)| (Some(at), phone.number.as_str(), phone.kind.as_ref()));
        let mut phones: Vec<CorePhone> = Vec::with_capacity(count);
        for (at, raw, kind) in one.into_iter().chain(many) {
            let number = normalise(raw, region).map_err(|fault| LeadFault {
                result: RowResult::InvalidNumber,
                code: fault.as_str(),
                pointer: at.map_or_else(|| "/phone".into(), |at| format!("/phones/{at}/number")),
                detail: fault.detail().into(),
            })?;
            if kind.is_some_and(|kind| kind.chars().count() > 32) {
                return Err(LeadFault::row(
                    "invalid_type",
                    at.map_or_else(|| "/phone".into(), |at| format!("/phones/{at}/type")),
                    "expected at most 32 characters",
                ));
            }
            if !phones.iter().any(|known| known.number == number) {
                phones.push(CorePhone { number, raw: raw.trim().to_owned(), kind: kind.cloned() });
            }
        }
        Ok(phones)
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowResult {
    /// A new lead.
    Accepted,
    /// A known lead was changed.
    Updated,
    /// It is there already.
    Duplicate,
    /// All its numbers are on do-not-call lists that hold everywhere; it was not taken.
    Dnc,
    /// A number cannot be dialled.
    InvalidNumber,
    /// A number is of a country that the list does not take (`countries`).
    BlockedCountry,
    /// A lead with its number or external id has been tried `attempts_max` times or more; it was not taken.
    TooManyAttempts,
    /// The row cannot be read.
    InvalidRow,
}

impl RowResult {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RowResult::Accepted => "accepted",
            RowResult::Updated => "updated",
            RowResult::Duplicate => "duplicate",
            RowResult::Dnc => "dnc",
            RowResult::InvalidNumber => "invalid_number",
            RowResult::BlockedCountry => "blocked_country",
            RowResult::TooManyAttempts => "too_many_attempts",
            RowResult::InvalidRow => "invalid_row",
        }
    }
}

/// Verdict on a row: one line of an import's answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RowVerdict {
    /// Line of the body where the row begins, from 1 (a CSV's header is line 1). In a batch: place, from 1.
    pub line: u64,
    /// The owner's own name of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What became of it.
    pub result: RowResult,
    /// The lead that was made, changed or found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<String>,
    /// Its time zone, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Finer: why it is invalid, or by what a duplicate was recognised (`external_id`, `number`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// JSON pointer into the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Words for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The last line of an import's answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ImportSummaryLine {
    /// Figures of the whole import.
    pub summary: ImportSummary,
}

/// A line of an import's answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ImportLine {
    /// Verdict on a row.
    Verdict(RowVerdict),
    /// The last line.
    Summary(ImportSummaryLine),
}

/// How an import stands that goes on by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Under way.
    Running,
    /// All rows have their verdict.
    Completed,
    /// It broke off: rows without a verdict were not looked at, those with one are as it says.
    Failed,
}

/// An import that was asked for with `Prefer: respond-async`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Import {
    /// Its name.
    #[schema(example = "imp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Into which list.
    pub list_id: String,
    /// How it stands.
    pub state: ImportState,
    /// When it was taken.
    pub created_at: Time,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// How far it is.
    pub summary: ImportSummary,
    /// Where its verdicts are when it is over, for seven days from its beginning.
    pub result: String,
}

impl Import {
    pub(crate) fn new(row: &crate::import_jobs::JobRow, state: ImportState) -> Self {
        let time = |ms| Time(sansio::WallTime::from_unix_millis(ms));
        Import {
            id: row.id.clone(),
            list_id: row.list.clone(),
            state,
            created_at: time(row.created_at_ms),
            ended_at: row.ended_at_ms.map(time),
            summary: row.summary.clone(),
            result: format!("/v1/imports/{}/result", row.id),
        }
    }
}

/// Figures of an import.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportSummary {
    /// Rows seen, without header and empty lines.
    pub lines: u64,
    /// New leads.
    pub accepted: u64,
    /// Known leads that were changed.
    pub updated: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows whose numbers are on do-not-call lists.
    pub dnc: u64,
    /// Rows refused: invalid ones, those of do-not-call lists, and duplicates under `on_duplicate=error`.
    pub rejected: u64,
    /// How long it took.
    pub ms: u64,
    /// Nothing was written (`dry_run=true`).
    pub dry_run: bool,
    /// False: the import broke off; rows without a verdict were not looked at.
    pub complete: bool,
    /// Why it broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One lead or a batch of them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadBatch {
    /// At most 10,000.
    pub leads: Vec<LeadRequest>,
}

/// Verdicts on a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LeadBatchResult {
    /// One per lead, in order.
    pub data: Vec<RowVerdict>,
    /// Figures.
    pub summary: ImportSummary,
}

/// What became of leads that were added.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LeadsAdded {
    /// One was changed.
    Lead(Box<Lead>),
    /// Verdicts on a batch.
    Batch(LeadBatchResult),
    /// Verdict on one, with `dry_run=true`.
    Verdict(RowVerdict),
}

/// A number of a lead, as shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Phone {
    /// E.164.
    pub number: String,
    /// As it was written.
    pub raw: String,
    /// `mobile`, `work`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl Phone {
    /// As the caller may see it.
    #[must_use]
    pub fn new(phone: &CorePhone, mask: Masker) -> Self {
        Phone { number: mask.number(&phone.number), raw: mask.number(&phone.raw), kind: phone.kind.clone() }
    }
}

/// A lead.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Lead {
    /// Its name.
    #[schema(example = "lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Its list.
    pub list_id: String,
    /// The owner's own name of it.
    pub external_id: Option<String>,
    /// Numbers in dial order.
    pub phones: Vec<Phone>,
    /// Higher is dialled sooner.
    pub priority: i32,
    /// IANA zone, if known.
    pub time_zone: Option<String>,
    /// The owner's fields.
    pub fields: BTreeMap<String, String>,
    /// Not dialled after this.
    pub expires_at: Option<Time>,
    /// Where it stands.
    pub state: LeadState,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<String, u32>,
    /// Outcome of the last attempt.
    pub last_outcome: Option<Outcome>,
    /// When the last attempt began.
    pub last_attempt_at: Option<Time>,
    /// Not dialled before this.
    pub next_at: Option<Time>,
    /// Its last attempts that are over, oldest first, at most 10.
    pub history: Vec<PastAttempt>,
}

/// The owner's name of a lead may itself be its number.
#[must_use]
pub(crate) fn shown_external_id(id: Option<&str>, phones: &[CorePhone], mask: Masker) -> Option<String> {
    let id = id?;
    if mask == Masker::new(true) {
        return Some(id.to_owned());
    }
    let digits: String = id.chars().filter(char::is_ascii_digit).collect();
    let is_number = digits.len() >= 7
        && phones.iter().any(|phone| {
            let raw: String = phone.raw.chars().filter(char::is_ascii_digit).collect();
            let tail = &digits[digits.len() - 7..];
            phone.number.ends_with(tail) || raw.ends_with(tail)
        });
    Some(if is_number { mask_number(id) } else { id.to_owned() })
}

impl Lead {
    /// As the caller may see it.
    #[must_use]
    pub fn new(lead: &CoreLead, mask: Masker) -> Self {
        let progress = &lead.progress;
        Lead {
            id: lead.id.to_string(),
            list_id: lead.list.to_string(),
            external_id: shown_external_id(lead.external_id.as_deref(), &lead.phones, mask),
            phones: lead.phones.iter().map(|phone| Phone::new(phone, mask)).collect(),
            priority: lead.priority,
            time_zone: lead.time_zone.clone(),
            fields: lead.fields.iter().map(|(name, text)| (mask.text(name), mask.text(text))).collect(),
            expires_at: lead.expires_at.map(Time),
            state: progress.state.into(),
            attempts: progress.attempts,
            outcomes: progress
                .outcomes
                .iter()
                .map(|(outcome, n)| (outcome.as_str().to_owned(), *n))
                .collect(),
            last_outcome: progress.last_outcome.map(Outcome::from),
            last_attempt_at: progress.last_attempt_at.map(Time),
            next_at: progress.next_at.map(Time),
            history: progress.history.iter().map(|past| PastAttempt::new(past, mask)).collect(),
        }
    }
}
