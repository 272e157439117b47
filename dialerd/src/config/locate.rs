//! Where a key stands in the text.

use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The place of each key's value and of the key itself.
#[derive(Debug, Default)]
pub struct Places {
    values: BTreeMap<String, Range<usize>>,
    keys: BTreeMap<String, Range<usize>>,
}

impl Places {
    /// Walks the text; of a text that is no TOML nothing is known.
    pub fn of(text: &str) -> Self {
        let mut places = Places::default();
        if let Ok(table) = DeTable::parse(text) {
            places.walk_table("", table.get_ref());
        }
        places
    }

    fn walk_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.keys.insert(path.clone(), key.span());
            self.values.insert(path.clone(), value.span());
            self.walk_value(&path, value.get_ref());
        }
    }

    fn walk_value(&mut self, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.walk_table(path, table),
            DeValue::Array(array) => {
                for (index, item) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.values.insert(path.clone(), item.span());
                    self.walk_value(&path, item.get_ref());
                }
            }
            _ => {}
        }
    }

    /// The value of a dotted key.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.values.get(key).cloned()
    }

    /// The innermost key whose name or value covers this place.
    pub fn key_at(&self, offset: usize) -> Option<String> {
        self.keys
            .iter()
            .chain(&self.values)
            .filter(|(_, span)| span.contains(&offset))
            .max_by_key(|(key, span)| (std::cmp::Reverse(span.len()), key.len()))
            .map(|(key, _)| key.clone())
    }
}

/// Line and column of a byte, both from 1, the column in characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The first line of what stands there, shortened.
pub fn snippet(text: &str, span: Range<usize>) -> Option<String> {
    let line = text.get(span)?.lines().next()?.trim();
    if line.is_empty() {
        return None;
    }
    let mut short: String = line.chars().take(60).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    Some(short)
}
