//! What an agent's screen is shown of a call before the phone rings.

use crate::check::{Checked, invalid};
use crate::id::ListId;
use crate::record::{Lead, PastAttempt, Phone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Longest template, bytes.
const TEMPLATE_BYTES_MAX: usize = 2_048;

/// Names that a template may use, beside `fields.NAME`.
const NAMES: [&str; 10] = [
    "call_id",
    "task_id",
    "campaign_id",
    "lead_id",
    "list_id",
    "external_id",
    "agent_id",
    "agent_username",
    "phone",
    "attempt",
];

/// Whom the agent is about to talk to. Numbers are whole; whoever shows them masks them by scope.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ScreenPop {
    /// The number dialled, or to be dialled.
    pub to: String,
    /// Which attempt of the lead, from 1; 0 without a lead.
    pub attempt: u32,
    /// SIP user of the agent's phone.
    pub agent_username: String,
    /// The lead.
    pub lead: Option<PopLead>,
    /// The campaign's template of an address, not filled in yet: what it is filled with depends on who looks.
    pub url: Option<String>,
}

/// A lead as an agent sees it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PopLead {
    /// Its list.
    pub list: ListId,
    /// The owner's own name of it.
    pub external_id: Option<String>,
    /// Its numbers.
    pub phones: Vec<Phone>,
    /// Its priority.
    pub priority: i32,
    /// IANA zone, if known.
    pub time_zone: Option<String>,
    /// The owner's fields.
    pub fields: BTreeMap<String, String>,
    /// Its last attempts that are over, oldest first, with what agents said and noted.
    pub history: Vec<PastAttempt>,
}

impl From<&Lead> for PopLead {
    fn from(lead: &Lead) -> Self {
        PopLead {
            list: lead.list,
            external_id: lead.external_id.clone(),
            phones: lead.phones.clone(),
            priority: lead.priority,
            time_zone: lead.time_zone.clone(),
            fields: lead.fields.clone(),
            history: lead.progress.history.clone(),
        }
    }
}

/// A part of a template.
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn parts(template: &str) -> Option<Vec<Part<'_>>> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let end = at + rest[at..].strip_prefix('{')?.find('}')? + 1;
        found.push(Part::Text(&rest[..at]));
        found.push(Part::Name(&rest[at + 1..end]));
        rest = &rest[end + 1..];
    }
    found.push(Part::Text(rest));
    Some(found)
}

/// Whether a template can be filled in: `http` or `https`, and only names that are known.
pub(crate) fn check_template(pointer: &str, template: &str) -> Checked {
    let is_web = template.starts_with("https://") || template.starts_with("http://");
    let sound = |c: char| c.is_ascii_graphic() && !"<>\"\\^`|".contains(c);
    if !is_web || template.len() > TEMPLATE_BYTES_MAX || !template.chars().all(sound) {
        return invalid(
            pointer,
            format_args!("an http or https address of at most {TEMPLATE_BYTES_MAX} bytes"),
        );
    }
    let Some(parts) = parts(template) else {
        return invalid(pointer, "an address with names in {} that are closed");
    };
    // Whom the browser asks is not for a lead's data to say.
    let host_ends = template[8..].find('/').map_or(template.len(), |at| at + 8);
    if template[..host_ends].contains('{') {
        return invalid(pointer, "an address whose host has no names in {}");
    }
    for part in parts {
        if let Part::Name(name) = part
            && !NAMES.contains(&name)
            && name.strip_prefix("fields.").is_none_or(str::is_empty)
        {
            return invalid(
                pointer,
                format_args!("one of {}, fields.NAME in {{}}, not {name:?}", NAMES.join(", ")),
            );
        }
    }
    Ok(())
}

/// Fills a template in. What has no value becomes nothing; values are percent-encoded (RFC 3986 §2.1), so that none can
/// add to the address.
#[must_use]
pub fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let Some(parts) = parts(template) else { return String::new() };
    let mut filled = String::with_capacity(template.len() + 64);
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Name(name) => {
                for byte in value(name).unwrap_or_default().bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        filled.push(char::from(byte));
                    } else {
                        // Writing to a String cannot fail.
                        let _ = write!(filled, "%{byte:02X}");
                    }
                }
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_add_to_the_address() {
        let value = |name: &str| match name {
            "phone" => Some("+86138".to_owned()),
            "fields.name" => Some("王 a&b=c/../?#".to_owned()),
            _ => None,
        };
        let template = "https://crm.example/p?n={fields.name}&t={phone}&x={external_id}";
        assert_eq!(
            fill(template, value),
            "https://crm.example/p?n=%E7%8E%8B%20a%26b%3Dc%2F..%2F%3F%23&t=%2B86138&x="
        );
    }

    #[test]
    fn only_sound_templates_are_taken() {
        for good in
            ["https://a/{lead_id}", "http://a.example:80/x?f={fields.last name}".replace(' ', "_").as_str()]
        {
            assert!(check_template("/pop_url", good).is_ok(), "{good}");
        }
        for bad in [
            "javascript://%0aalert(1)",
            "ftp://a/",
            "https://a/{lead}",
            "https://a/{fields.}",
            "https://a/{",
            "https://a/}",
            "https://a/{{lead_id}}",
            "https://{fields.host}/x",
            "https://a{phone}",
            "https://a/ b",
            "https://a/\"",
            "",
            &format!("https://a/{}", "x".repeat(2_048)),
        ] {
            assert!(check_template("/pop_url", bad).is_err(), "{bad}");
        }
    }
}
