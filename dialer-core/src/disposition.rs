//! What agents say of calls, and what it means for the lead.

use crate::check::{Checked, invalid, text};
use crate::record::LeadState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Dispositions of one campaign at most.
const RULES_MAX: usize = 200;
/// Fields of one disposition at most.
pub const FIELDS_MAX: usize = 32;
/// Longest value of a field, characters.
const FIELD_CHARS_MAX: usize = 1_024;

/// Whether something has to be said with a disposition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// May be said.
    #[default]
    Optional,
    /// Has to be said.
    Required,
    /// May not be said.
    Forbidden,
}

/// A disposition that a campaign's agents may set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Form")]
pub struct DispositionRule {
    /// The word.
    pub code: String,
    /// Shown name.
    pub label: Option<String>,
    /// Names of fields that have to be filled in.
    pub required_fields: Vec<String>,
    /// Notes.
    pub notes: Demand,
    /// A callback.
    pub callback: Demand,
    /// The lead goes to this state: `done`, `exhausted` or `dnc`; `None`: where the call's outcome has taken it.
    pub lead: Option<LeadState>,
    /// Who was called has said not to be called: not dialled for as long as the campaign's rule book asks for.
    pub refusal: bool,
}

/// As stored: in older versions the code alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Code(String),
    Rule {
        code: String,
        #[serde(default)]
        label: Option<String>,
        #[serde(default)]
        required_fields: Vec<String>,
        #[serde(default)]
        notes: Demand,
        #[serde(default)]
        callback: Demand,
        #[serde(default)]
        lead: Option<LeadState>,
        #[serde(default)]
        refusal: bool,
    },
}

impl From<Form> for DispositionRule {
    fn from(form: Form) -> Self {
        match form {
            Form::Code(code) => DispositionRule::from(code.as_str()),
            Form::Rule { code, label, required_fields, notes, callback, lead, refusal } => {
                DispositionRule { code, label, required_fields, notes, callback, lead, refusal }
            }
        }
    }
}

impl From<&str> for DispositionRule {
    /// A word that asks for nothing.
    fn from(code: &str) -> Self {
        DispositionRule { code: code.to_owned(), ..DispositionRule::default() }
    }
}

/// What an agent says of a call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// The code.
    pub code: String,
    /// Free text.
    pub notes: Option<String>,
    /// Fields filled in.
    pub fields: BTreeMap<String, String>,
    /// Call the customer again then …
    pub callback_at: Option<sansio::WallTime>,
    /// … and only by the agent who talked.
    pub callback_by_agent: bool,
    /// Who or what answered, as the agent heard it.
    pub answered_by: Option<crate::outcome::AmdVerdict>,
}

pub(crate) fn check_rules(rules: &[DispositionRule]) -> Checked {
    if rules.len() > RULES_MAX {
        return invalid("/dispositions", format_args!("at most {RULES_MAX} dispositions"));
    }
    let mut seen = BTreeSet::new();
    for (place, rule) in rules.iter().enumerate() {
        let at = |field: &str| format!("/dispositions/{place}{field}");
        text(&at("/code"), &rule.code, 1, 64)?;
        if !seen.insert(&rule.code) {
            return invalid(&at("/code"), "each disposition once");
        }
        if let Some(label) = &rule.label {
            text(&at("/label"), label, 1, 128)?;
        }
        if rule.required_fields.len() > FIELDS_MAX {
            return invalid(&at("/required_fields"), format_args!("at most {FIELDS_MAX} fields"));
        }
        for (field, name) in rule.required_fields.iter().enumerate() {
            field_name(&at(&format!("/required_fields/{field}")), name)?;
        }
        if !matches!(rule.lead, None | Some(LeadState::Done | LeadState::Exhausted | LeadState::Dnc)) {
            return invalid(&at("/lead_state"), "done, exhausted or dnc");
        }
        if rule.lead.is_some() && rule.callback == Demand::Required {
            return invalid(
                &at("/lead_state"),
                "nothing where a callback is required: the lead waits for it",
            );
        }
    }
    Ok(())
}

fn field_name(pointer: &str, name: &str) -> Checked {
    if name.contains(['/', '~']) {
        return invalid(pointer, "a name without / and ~");
    }
    text(pointer, name, 1, 64)
}

impl Said {
    /// Whether it is what a campaign's dispositions ask for; any word will do if there are none.
    pub(crate) fn check<'a>(
        &self,
        rules: &'a [DispositionRule],
    ) -> Result<Option<&'a DispositionRule>, crate::CommandError> {
        if self.fields.len() > FIELDS_MAX {
            return invalid("/fields", format_args!("at most {FIELDS_MAX} fields"));
        }
        for (name, value) in &self.fields {
            field_name("/fields", name)?;
            text(&format!("/fields/{name}"), value, 0, FIELD_CHARS_MAX)?;
        }
        let rule = rules.iter().find(|rule| rule.code == self.code);
        let Some(rule) = rule else {
            if rules.is_empty() {
                return Ok(None);
            }
            let known: Vec<&str> = rules.iter().map(|rule| rule.code.as_str()).collect();
            return invalid("/code", format_args!("one of: {}", known.join(", ")));
        };
        for name in &rule.required_fields {
            if self.fields.get(name).is_none_or(|value| value.trim().is_empty()) {
                return invalid(
                    &format!("/fields/{name}"),
                    format_args!("a value: the disposition {:?} asks for it", self.code),
                );
            }
        }
        let noted = self.notes.as_deref().is_some_and(|notes| !notes.trim().is_empty());
        for (pointer, demand, there) in
            [("/notes", rule.notes, noted), ("/callback_at", rule.callback, self.callback_at.is_some())]
        {
            match demand {
                Demand::Required if !there => {
                    return invalid(
                        pointer,
                        format_args!("a value: the disposition {:?} asks for it", self.code),
                    );
                }
                Demand::Forbidden if there => {
                    return invalid(
                        pointer,
                        format_args!("nothing: the disposition {:?} has none", self.code),
                    );
                }
                _ => {}
            }
        }
        Ok(Some(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_older_versions_are_words() {
        let rules: Vec<DispositionRule> =
            serde_json::from_str(r#"["sale",{"code":"later","callback":"required"}]"#).unwrap();
        assert_eq!(rules[0], DispositionRule::from("sale"));
        assert_eq!((rules[1].code.as_str(), rules[1].callback), ("later", Demand::Required));
        let written = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Vec<DispositionRule>>(&written).unwrap(), rules);
    }
}
