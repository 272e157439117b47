//! Lead filters: a small language of comparisons, never SQL.
//!
//! ```text
//! fields.segment = "gold" and (attempts < 3 or priority >= 50)
//! last_outcome in ("busy", "no_answer") and not fields.city contains "York"
//! fields.balance > 1000 and exists(external_id) and phone.kind = "mobile"
//! ```
//!
//! Two texts that are both numbers are compared as numbers, others letter by letter. A field that a lead does not have
//! equals nothing, is unequal to everything, and is neither less nor greater.

use super::parse::{Parser, parse};
use crate::record::Lead;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Longest filter, bytes.
const FILTER_MAX: usize = 4_096;

/// A filter that has been understood. Written as its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    text: String,
    root: Node,
}

/// Why a text is no filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterFault {
    /// Where, bytes from the start.
    pub at: usize,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: expected {}", self.at, self.expected)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Exists(Name),
    Compare(Name, Comparison, Vec<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
}

/// What of a lead is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Field(String),
    Priority,
    Attempts,
    State,
    LastOutcome,
    /// Attempts that ended with this outcome.
    Outcomes(crate::outcome::Outcome),
    ExternalId,
    TimeZone,
    Owner,
    Number,
    PhoneKind,
    ListId,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it is wrong and what is expected there.
    pub fn parse(text: &str) -> Result<Self, FilterFault> {
        if text.len() > FILTER_MAX {
            return Err(FilterFault { at: FILTER_MAX, expected: format!("at most {FILTER_MAX} bytes") });
        }
        Ok(Filter { text: text.to_owned(), root: parse(Parser::new(text))? })
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a lead is one of those meant.
    #[must_use]
    pub fn matches(&self, lead: &Lead) -> bool {
        self.root.holds(lead)
    }
}

impl Node {
    fn holds(&self, lead: &Lead) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.holds(lead)),
            Node::Any(nodes) => nodes.iter().any(|node| node.holds(lead)),
            Node::Not(node) => !node.holds(lead),
            Node::Exists(name) => name.of(lead).is_some(),
            Node::Compare(name, comparison, values) => match name.of(lead) {
                Some(found) => comparison.holds(&found, values),
                None => *comparison == Comparison::Unequal,
            },
        }
    }
}

impl Comparison {
    fn holds(self, found: &str, values: &[String]) -> bool {
        use core::cmp::Ordering::{Equal, Greater, Less};
        let first = values.first().map_or("", String::as_str);
        let order = || compare(found, first);
        match self {
            Comparison::Equal => order() == Some(Equal),
            Comparison::Unequal => order() != Some(Equal),
            Comparison::Less => order() == Some(Less),
            Comparison::LessOrEqual => matches!(order(), Some(Less | Equal)),
            Comparison::Greater => order() == Some(Greater),
            Comparison::GreaterOrEqual => matches!(order(), Some(Greater | Equal)),
            Comparison::In => values.iter().any(|value| compare(found, value) == Some(Equal)),
            Comparison::Contains => found.contains(first),
            Comparison::StartsWith => found.starts_with(first),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    text.parse::<f64>().ok().filter(|_| plain)
}

fn compare(a: &str, b: &str) -> Option<core::cmp::Ordering> {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => Some(a.cmp(b)),
    }
}

impl Name {
    fn of<'l>(&self, lead: &'l Lead) -> Option<Cow<'l, str>> {
        let progress = &lead.progress;
        let phone = || lead.phones.get(crate::lead::next_phone(lead));
        let text = |text: &'l str| Some(Cow::Borrowed(text));
        match self {
            Name::Field(name) => text(lead.fields.get(name)?),
            Name::Priority => Some(lead.priority.to_string().into()),
            Name::Attempts => Some(progress.attempts.to_string().into()),
            Name::State => text(progress.state.as_str()),
            Name::LastOutcome => text(progress.last_outcome?.as_str()),
            Name::Outcomes(outcome) => {
                Some(progress.outcomes.get(outcome).copied().unwrap_or(0).to_string().into())
            }
            Name::ExternalId => text(lead.external_id.as_deref()?),
            Name::TimeZone => text(lead.time_zone.as_deref()?),
            Name::Owner => text(lead.fields.get("owner")?),
            Name::Number => text(&phone()?.number),
            Name::PhoneKind => text(phone()?.kind.as_deref()?),
            Name::ListId => Some(lead.list.to_string().into()),
        }
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Filter::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::tests::lead;
    use crate::outcome::Outcome;

    fn gold() -> Lead {
        let mut lead = lead();
        lead.priority = 50;
        lead.external_id = Some("crm-1".into());
        lead.phones[0].kind = Some("mobile".into());
        for (name, value) in [("segment", "gold"), ("balance", "1000.5"), ("city", "New York")] {
            lead.fields.insert(name.into(), value.into());
        }
        lead.progress.attempts = 2;
        lead.progress.last_outcome = Some(Outcome::Busy);
        lead.progress.outcomes.insert(Outcome::Busy, 2);
        lead
    }

    #[test]
    fn filters_match_what_they_say() {
        for (text, expected) in [
            (r#"fields.segment = "gold""#, true),
            (r#"fields.segment == 'gold' && attempts < 3"#, true),
            (r#"fields.segment = "silver" or priority >= 50"#, true),
            (r#"fields.segment = "silver" or priority > 50 or attempts = 3"#, false),
            ("fields.balance > 999", true),
            ("fields.balance > 1000.5", false),
            ("fields.balance <= 1000.50", true),
            (r#"last_outcome in ("busy", "no_answer") and not fields.city contains "York""#, false),
            (r#"last_outcome in ("no_answer")"#, false),
            ("outcomes.busy = 2 and outcomes.no_answer = 0", true),
            ("exists(external_id) and not exists(fields.nothing)", true),
            (r#"fields.nothing = """#, false),
            (r#"fields.nothing != "x" and not (fields.nothing < 3)"#, true),
            (r#"phone.kind = "mobile" and phone.number starts_with "+49""#, true),
            (r#"state = "new" && !(time_zone = "Asia/Shanghai")"#, true),
            ("attempts = 1 or attempts = 2 and priority = 1", false),
        ] {
            let filter = Filter::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(filter.matches(&gold()), expected, "{text}");
            assert_eq!(filter.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_filter_says_where() {
        for (text, at) in [
            ("", 0),
            ("attempts", 8),
            ("attempts <", 10),
            ("attempts < 3 and", 16),
            ("attempts < 3 priority = 1", 13),
            ("salary > 3", 0),
            ("outcomes.sunny = 1", 0),
            ("fields. = 1", 7),
            (r#"fields.a = "x"#, 11),
            ("(attempts < 3", 13),
            ("attempts in ()", 13),
            ("attempts < 3; drop table lead", 12),
            ("exists(attempts", 15),
        ] {
            assert_eq!(Filter::parse(text).unwrap_err().at, at, "{text}");
        }
        let deep = format!("{}attempts < 3{}", "(".repeat(500), ")".repeat(500));
        assert!(Filter::parse(&deep).is_err());
        assert!(Filter::parse(&"a".repeat(5_000)).is_err());
    }

    proptest::proptest! {
        /// Whatever is typed is understood or refused.
        #[test]
        fn any_text_is_read(text in "[a-z_.()\"'<>=!&| 0-9é]{0,60}") {
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.matches(&gold());
            }
        }
    }
}
