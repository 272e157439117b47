//! A person on the wire: what is kept about who has a number.

use super::call::Cdr;
use super::event::Event;
use super::lead::Lead;
use super::recording::Recording;
use crate::mask::Masker;
use crate::time::Time;
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use store::{ErasedPerson, PersonDnc};
use utoipa::ToSchema;

/// Whose data.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonExportRequest {
    /// The person's number.
    #[schema(example = "+8613800138000")]
    pub number: String,
    /// Region (ISO 3166-1 alpha-2) of a number without a country code.
    #[serde(default)]
    pub region: Option<String>,
}

/// Who is to be erased.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonEraseRequest {
    /// The person's number.
    #[schema(example = "+8613800138000")]
    pub number: String,
    /// Region (ISO 3166-1 alpha-2) of a number without a country code.
    #[serde(default)]
    pub region: Option<String>,
    /// The do-not-call lists that have the number keep a hash of it, so that nobody calls it after a new import. False: they
    /// forget it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub keep_do_not_call: bool,
    /// A hash of the number is put on this list as well.
    #[serde(default)]
    pub dnc_list_id: Option<String>,
    /// For the audit log: the case it is done for, at most 128 characters; not the number.
    #[serde(default)]
    pub reference: Option<String>,
}

fn yes() -> bool {
    true
}

/// A number on a do-not-call list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonDoNotCall {
    /// The list.
    pub dnc_list_id: String,
    /// Until when; null: for good.
    pub expires_at: Option<Time>,
    /// The list knows the number by its hash alone.
    pub hashed: bool,
}

/// All that is kept about a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonExport {
    /// The person's number, E.164.
    pub number: String,
    /// When this was put together.
    pub exported_at: Time,
    /// False: there are more than 10,000 calls or events, of which only so many are here.
    pub complete: bool,
    /// Leads with the number, with their fields, notes and history.
    pub leads: Vec<Lead>,
    /// Records of calls to and from the number, and of these leads.
    pub calls: Vec<Cdr>,
    /// Recordings of these calls; the sound is at their `download`.
    pub recordings: Vec<Recording>,
    /// Events about any of these.
    pub events: Vec<Event>,
    /// Do-not-call lists that have the number, or its hash.
    pub do_not_call: Vec<PersonDoNotCall>,
}

impl PersonExport {
    pub(crate) fn new(
        number: String,
        person: &store::Person,
        node: &str,
        now: WallTime,
        mask: Masker,
    ) -> Self {
        let listed = |entry: &PersonDnc| PersonDoNotCall {
            dnc_list_id: entry.list.to_string(),
            expires_at: entry.until.map(Time),
            hashed: entry.hashed,
        };
        PersonExport {
            number,
            exported_at: Time(now),
            complete: person.complete,
            leads: person.leads.iter().map(|lead| Lead::new(lead, mask)).collect(),
            calls: person.calls.iter().map(|row| Cdr::new(row, mask)).collect(),
            recordings: person.recordings.iter().map(Recording::from).collect(),
            events: person.events.iter().map(|event| Event::new(event, node, mask)).collect(),
            do_not_call: person.dnc.iter().map(listed).collect(),
        }
    }
}

/// What was erased.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonErased {
    /// Leads that are gone.
    pub leads: u64,
    /// Calls whose records tell of nobody any more (their figures stay).
    pub calls: u64,
    /// Recordings that are gone.
    pub recordings: u64,
    /// Events that tell of nobody any more (they keep their places in the stream).
    pub events: u64,
    /// Do-not-call lists that keep a hash of the number.
    pub do_not_call: u64,
    /// Prompts that said the number, and do not any more.
    pub prompts: u64,
    /// Settings that name the number in words of their own and were left as they are (`campaign_…`, `agt_…`): change them.
    pub named_in: Vec<String>,
    /// False: the number is still in the database's files: in settings (`named_in`), or in unused parts of them (somebody
    /// kept reading, or the file is larger than 1 GiB and was written by an earlier version). Ask again.
    pub complete: bool,
}

impl PersonErased {
    pub(crate) fn new(erased: ErasedPerson, recordings: u64, do_not_call: u64, prompts: u64) -> Self {
        let ErasedPerson { leads, calls, events, named_in, complete } = erased;
        PersonErased { leads, calls, recordings, events, do_not_call, prompts, named_in, complete }
    }
}
