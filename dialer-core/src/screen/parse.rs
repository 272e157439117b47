//! Reading a filter: words, then a descent by precedence (`or` below `and` below `not`).

use super::filter::{Comparison, FilterFault, Name, Node};
use crate::outcome::Outcome;

/// Most brackets and negations inside each other.
const DEPTH_MAX: u32 = 32;
/// Most values in one `in (…)`.
const VALUES_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Debug)]
enum Word<'t> {
    Name(&'t str),
    Text(String),
    Number(&'t str),
    Sign(&'static str),
    End,
}

pub(super) struct Parser<'t> {
    text: &'t str,
    /// Where the next word begins.
    at: usize,
    /// Where the word last taken began.
    taken: usize,
    depth: u32,
}

type Read<T> = Result<T, FilterFault>;

/// Longer signs before those they begin with.
const SIGNS: [&str; 13] = ["==", "!=", "<=", ">=", "&&", "||", "=", "<", ">", "!", "(", ")", ","];

pub(super) fn parse(mut parser: Parser<'_>) -> Read<Node> {
    let node = parser.any()?;
    match parser.peek()? {
        Word::End => Ok(node),
        _ => parser.fault("`and`, `or` or the end"),
    }
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Parser { text, at: 0, taken: 0, depth: 0 }
    }

    fn fault<T>(&self, expected: &str) -> Read<T> {
        let at = self.text[self.at..]
            .find(|c: char| !c.is_whitespace())
            .map_or(self.text.len(), |skip| self.at + skip);
        Err(FilterFault { at, expected: expected.into() })
    }

    fn fault_at<T>(at: usize, expected: impl Into<String>) -> Read<T> {
        Err(FilterFault { at, expected: expected.into() })
    }

    fn peek(&mut self) -> Read<Word<'t>> {
        let (at, taken) = (self.at, self.taken);
        let word = self.take();
        (self.at, self.taken) = (at, taken);
        word
    }

    fn take(&mut self) -> Read<Word<'t>> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        self.taken = start;
        let Some(first) = rest.chars().next() else {
            self.at = self.text.len();
            return Ok(Word::End);
        };
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.at = start + sign.len();
            return Ok(Word::Sign(sign));
        }
        if first == '"' || first == '\'' {
            return self.quoted(start, first);
        }
        let is_number = first.is_ascii_digit() || first == '-' || first == '+';
        let belongs = |c: char| c.is_alphanumeric() || "_.".contains(c) || (!is_number && c == '-');
        let skip = if is_number { 1 } else { 0 };
        let length = rest[skip..].find(|c: char| !belongs(c)).map_or(rest.len(), |at| at + skip);
        if length == 0 {
            return Self::fault_at(start, "a name, a value or a bracket");
        }
        self.at = start + length;
        let word = &rest[..length];
        if !is_number {
            return Ok(Word::Name(word));
        }
        if word.parse::<f64>().is_ok() { Ok(Word::Number(word)) } else { Self::fault_at(start, "a number") }
    }

    fn quoted(&mut self, start: usize, quote: char) -> Read<Word<'t>> {
        let mut value = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                c if c == quote => {
                    self.at = start + 1 + at + c.len_utf8();
                    return Ok(Word::Text(value));
                }
                c => value.push(c),
            }
        }
        Self::fault_at(start, format!("a text that ends with {quote}"))
    }

    fn takes(&mut self, words: [&str; 2]) -> Read<bool> {
        let found = match self.peek()? {
            Word::Name(name) => words.contains(&name.to_ascii_lowercase().as_str()),
            Word::Sign(sign) => words.contains(&sign),
            _ => false,
        };
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn any(&mut self) -> Read<Node> {
        let mut nodes = vec![self.all()?];
        while self.takes(["or", "||"])? {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Read<Node> {
        let mut nodes = vec![self.one()?];
        while self.takes(["and", "&&"])? {
            nodes.push(self.one()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self) -> Read<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault(&format!("at most {DEPTH_MAX} brackets inside each other"));
        }
        let node = if self.takes(["not", "!"])? {
            Node::Not(Box::new(self.one()?))
        } else if self.takes(["(", "("])? {
            let node = self.any()?;
            self.closes()?;
            node
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn closes(&mut self) -> Read<()> {
        if self.takes([")", ")"])? { Ok(()) } else { self.fault("`)`") }
    }

    fn comparison(&mut self) -> Read<Node> {
        let word = self.peek()?;
        let Word::Name(name) = word else { return self.fault("the name of a field, `not` or `(`") };
        self.take()?;
        let at = self.taken;
        if name.eq_ignore_ascii_case("exists") && self.takes(["(", "("])? {
            let Word::Name(name) = self.peek()? else { return self.fault("the name of a field") };
            self.take()?;
            let name = named(name, self.taken)?;
            self.closes()?;
            return Ok(Node::Exists(name));
        }
        let name = named(name, at)?;
        let comparison = match self.peek()? {
            Word::Sign("=" | "==") => Comparison::Equal,
            Word::Sign("!=") => Comparison::Unequal,
            Word::Sign("<") => Comparison::Less,
            Word::Sign("<=") => Comparison::LessOrEqual,
            Word::Sign(">") => Comparison::Greater,
            Word::Sign(">=") => Comparison::GreaterOrEqual,
            Word::Name(word) if word.eq_ignore_ascii_case("in") => Comparison::In,
            Word::Name(word) if word.eq_ignore_ascii_case("contains") => Comparison::Contains,
            Word::Name(word) if word.eq_ignore_ascii_case("starts_with") => Comparison::StartsWith,
            _ => return self.fault("=, !=, <, <=, >, >=, in, contains or starts_with"),
        };
        self.take()?;
        let values = if comparison == Comparison::In { self.values()? } else { vec![self.value()?] };
        Ok(Node::Compare(name, comparison, values))
    }

    fn values(&mut self) -> Read<Vec<String>> {
        if !self.takes(["(", "("])? {
            return self.fault("`(` and values");
        }
        let mut values = vec![self.value()?];
        while self.takes([",", ","])? {
            if values.len() >= VALUES_MAX {
                return self.fault(&format!("at most {VALUES_MAX} values"));
            }
            values.push(self.value()?);
        }
        self.closes()?;
        Ok(values)
    }

    fn value(&mut self) -> Read<String> {
        let value = match self.peek()? {
            Word::Text(text) => text,
            Word::Number(text) => text.to_owned(),
            Word::Name(word) if matches!(word, "true" | "false") => word.to_owned(),
            _ => return self.fault("a text in quotes or a number"),
        };
        self.take()?;
        Ok(value)
    }
}

fn named(name: &str, at: usize) -> Read<Name> {
    if let Some(field) = name.strip_prefix("fields.") {
        return if field.is_empty() {
            Parser::fault_at(at + name.len(), "the name of a field")
        } else {
            Ok(Name::Field(field.to_owned()))
        };
    }
    if let Some(outcome) = name.strip_prefix("outcomes.").and_then(Outcome::from_name) {
        return Ok(Name::Outcomes(outcome));
    }
    Ok(match name {
        "priority" => Name::Priority,
        "attempts" => Name::Attempts,
        "state" => Name::State,
        "last_outcome" => Name::LastOutcome,
        "external_id" => Name::ExternalId,
        "time_zone" => Name::TimeZone,
        "owner" => Name::Owner,
        "phone.number" => Name::Number,
        "phone.kind" => Name::PhoneKind,
        "list_id" => Name::ListId,
        _ => {
            return Parser::fault_at(
                at,
                "fields.<name>, priority, attempts, state, last_outcome, outcomes.<outcome>, external_id, time_zone, \
                 owner, phone.number, phone.kind or list_id",
            );
        }
    })
}
