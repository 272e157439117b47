//! Between rows and types.

use crate::error::StoreError;
use crate::sql::{Any, Bind, Row, ValueRef};
use dialer_core::id::{Id, Kind};
use dialer_core::record::{Callback, Lead, LeadProgress, LeadState, PastAttempt, Phone};
use dialer_core::{ListId, Outcome};
use sansio::WallTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An id as its column holds it.
pub(super) fn blob<K>(id: Id<K>) -> [u8; 16] {
    id.to_bits().to_be_bytes()
}

/// An optional id as its column holds it.
pub(super) fn blob_opt<K>(id: Option<Id<K>>) -> Option<[u8; 16]> {
    id.map(blob)
}

/// The id in a column.
pub(super) fn id<K: Kind>(row: Row<'_>, column: &str) -> crate::sql::Result<Id<K>> {
    Ok(Id::from_bits(u128::from_be_bytes(row.get(column)?)))
}

/// The id in a column that may be null.
pub(super) fn id_opt<K: Kind>(row: Row<'_>, column: &str) -> crate::sql::Result<Option<Id<K>>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(|bytes| Id::from_bits(u128::from_be_bytes(bytes))))
}

/// Unsigned numbers beyond 63 bits are held at the largest that SQLite can hold.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count that cannot be negative.
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Milliseconds of an optional time.
pub(super) fn millis(at: Option<WallTime>) -> Option<i64> {
    at.map(WallTime::unix_millis)
}

/// An optional time in a column.
pub(super) fn time(row: Row<'_>, column: &str) -> crate::sql::Result<Option<WallTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(WallTime::from_unix_millis))
}

/// A value as JSON.
pub(super) fn encode<T: Serialize>(table: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Undecodable { table, detail: error.to_string() })
}

/// A value from JSON.
pub(super) fn decode<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Undecodable { table, detail: error.to_string() })
}

/// A value from the column `data`.
pub(super) fn data<T: DeserializeOwned>(table: &'static str, row: Row<'_>) -> Result<T, StoreError> {
    match row.get_ref("data")? {
        ValueRef::Text(text) => serde_json::from_str(text)
            .map_err(|error| StoreError::Undecodable { table, detail: error.to_string() }),
        other => Err(StoreError::Undecodable { table, detail: format!("data is {}", other.data_type()) }),
    }
}

/// The number stored for a lead's state. Never changes once released.
pub(super) const fn state_code(state: LeadState) -> i64 {
    match state {
        LeadState::New => 0,
        LeadState::RetryWait => 1,
        LeadState::Dialing => 2,
        LeadState::Done => 3,
        LeadState::Exhausted => 4,
        LeadState::Dnc => 5,
        LeadState::Expired => 6,
    }
}

/// The state of a stored number.
pub(super) fn state_of(code: i64) -> Result<LeadState, StoreError> {
    LeadState::ALL
        .into_iter()
        .find(|state| state_code(*state) == code)
        .ok_or_else(|| StoreError::Undecodable { table: "lead", detail: format!("state {code}") })
}

/// Where a lead queues, see the schema.
pub(super) const fn queue_of(state: LeadState, next_at: Option<WallTime>) -> i64 {
    match (state, next_at) {
        (LeadState::New | LeadState::RetryWait, None) => 1,
        (LeadState::New | LeadState::RetryWait, Some(_)) => 2,
        (
            LeadState::Dialing | LeadState::Done | LeadState::Exhausted | LeadState::Dnc | LeadState::Expired,
            _,
        ) => 0,
    }
}

/// A phone number as the key of `lead_number`: E.164 as an integer (half the space of its text), else text.
pub(super) struct NumberKey<'a>(pub(super) &'a str);

/// A number of E.164 as an integer; `None`: it is none.
pub(super) fn number_of_e164(number: &str) -> Option<i64> {
    let digits = number.strip_prefix('+').filter(|digits| {
        (1..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    digits?.parse().ok()
}

impl Bind for NumberKey<'_> {
    fn bind(&self) -> ValueRef<'_> {
        match number_of_e164(self.0) {
            Some(number) => ValueRef::Any(Any::Integer(number)),
            None => ValueRef::Any(Any::Text(self.0)),
        }
    }
}

/// Phones as stored: number, what the import said if that differs, kind.
type PhoneRow = (String, Option<String>, Option<String>);

/// Phones as JSON.
pub(super) fn encode_phones(phones: &[Phone]) -> Result<String, StoreError> {
    let rows: Vec<(&str, Option<&str>, Option<&str>)> = phones
        .iter()
        .map(|phone| {
            let raw = (phone.raw != phone.number).then_some(phone.raw.as_str());
            (phone.number.as_str(), raw, phone.kind.as_deref())
        })
        .collect();
    encode("lead", &rows)
}

/// Phones from JSON.
pub(super) fn decode_phones(text: &str) -> Result<Vec<Phone>, StoreError> {
    let rows: Vec<PhoneRow> = decode("lead", text)?;
    Ok(rows
        .into_iter()
        .map(|(number, raw, kind)| Phone { raw: raw.unwrap_or_else(|| number.clone()), number, kind })
        .collect())
}

/// A map as JSON, nothing if empty.
pub(super) fn encode_map<K: Serialize, V: Serialize>(
    map: &BTreeMap<K, V>,
) -> Result<Option<String>, StoreError> {
    if map.is_empty() { Ok(None) } else { encode("lead", map).map(Some) }
}

/// Times as JSON, milliseconds; nothing if there are none.
pub(super) fn encode_times(times: &[WallTime]) -> Result<Option<String>, StoreError> {
    let millis: Vec<i64> = times.iter().map(|at| at.unix_millis()).collect();
    if millis.is_empty() { Ok(None) } else { encode("lead", &millis).map(Some) }
}

fn decode_times(text: &str) -> Result<Vec<WallTime>, StoreError> {
    let millis: Vec<i64> = decode("lead", text)?;
    Ok(millis.into_iter().map(WallTime::from_unix_millis).collect())
}

/// The column `past`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Past {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<PastAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<Callback>,
}

/// Last attempts and promised callback as JSON; nothing if there is neither.
pub(super) fn encode_past(progress: &LeadProgress) -> Result<Option<String>, StoreError> {
    if progress.history.is_empty() && progress.callback.is_none() {
        return Ok(None);
    }
    let past = Past { history: progress.history.clone(), callback: progress.callback.clone() };
    encode("lead", &past).map(Some)
}

/// Columns of a lead's progress, for [`progress`].
pub(super) const PROGRESS_COLUMNS: &str = "lead.id AS lead_id, state, attempts, outcomes, last_outcome, \
     last_attempt_at, next_at, next_phone, recent, agent_guaranteed_until, past";

/// Columns of a lead, for [`lead`].
pub(super) const LEAD_COLUMNS: &str = "lead.no AS lead_no, lead.id AS lead_id, list.id AS list_id, external_id, \
     priority, time_zone, expires_at, phones, fields, state, attempts, outcomes, last_outcome, last_attempt_at, \
     next_at, next_phone, recent, agent_guaranteed_until, past";

/// A lead's progress from its row.
pub(super) fn progress(row: Row<'_>) -> Result<LeadProgress, StoreError> {
    let outcomes = match row.get_ref("outcomes")?.as_str_or_null()? {
        Some(text) => decode("lead", text)?,
        None => BTreeMap::new(),
    };
    let last_outcome =
        match row.get_ref("last_outcome")?.as_str_or_null()? {
            Some(name) => Some(Outcome::from_name(name).ok_or_else(|| StoreError::Undecodable {
                table: "lead",
                detail: format!("outcome {name}"),
            })?),
            None => None,
        };
    let recent = match row.get_ref("recent")?.as_str_or_null()? {
        Some(text) => decode_times(text)?,
        None => Vec::new(),
    };
    let past = match row.get_ref("past")?.as_str_or_null()? {
        Some(text) => decode("lead", text)?,
        None => Past::default(),
    };
    Ok(LeadProgress {
        lead: id(row, "lead_id")?,
        state: state_of(row.get("state")?)?,
        attempts: row.get("attempts")?,
        outcomes,
        last_outcome,
        last_attempt_at: time(row, "last_attempt_at")?,
        next_at: time(row, "next_at")?,
        next_phone: row.get("next_phone")?,
        recent,
        agent_guaranteed_until: time(row, "agent_guaranteed_until")?,
        history: past.history,
        callback: past.callback,
    })
}

/// A lead from its row.
pub(super) fn lead(row: Row<'_>) -> Result<Lead, StoreError> {
    let list: ListId = id(row, "list_id")?;
    let progress = progress(row)?;
    let phones = row.get_ref("phones")?.as_str()?;
    let fields = match row.get_ref("fields")?.as_str_or_null()? {
        Some(text) => decode("lead", text)?,
        None => BTreeMap::new(),
    };
    Ok(Lead {
        id: progress.lead,
        list,
        external_id: row.get("external_id")?,
        phones: decode_phones(phones)?,
        priority: row.get("priority")?,
        time_zone: row.get("time_zone")?,
        fields,
        expires_at: time(row, "expires_at")?,
        progress,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: &str) -> String {
        format!("{:?}", NumberKey(number).bind())
    }

    #[test]
    fn e164_numbers_are_integers_and_nothing_else_is() {
        assert!(key("+8613800138000").contains("Integer(8613800138000)"), "{}", key("+8613800138000"));
        for text in ["8613800138000", "+0123", "+1234567890123456", "1001", "+", "+12a", ""] {
            assert!(key(text).contains("Text"), "{text}: {}", key(text));
        }
    }

    #[test]
    fn states_have_their_codes() {
        for (code, state) in LeadState::ALL.into_iter().enumerate() {
            assert_eq!(state_code(state), code as i64);
            assert_eq!(state_of(code as i64).unwrap(), state);
        }
        assert!(state_of(7).is_err() && state_of(-1).is_err());
    }

    #[test]
    fn phones_read_back() {
        let phones = vec![
            Phone { number: "+8613800138000".into(), raw: "13800138000".into(), kind: Some("mobile".into()) },
            Phone { number: "+14155550100".into(), raw: "+14155550100".into(), kind: None },
        ];
        assert_eq!(decode_phones(&encode_phones(&phones).unwrap()).unwrap(), phones);
    }
}
