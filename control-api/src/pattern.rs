//! Which types of events: `call.ended`, `call.*`, `*`.

/// Whether a text can stand for types of events.
pub(crate) fn is_pattern(text: &str) -> bool {
    let stem = text.strip_suffix('*').unwrap_or(text);
    (!stem.is_empty() || text == "*")
        && stem.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
}

/// Whether one of the patterns stands for this type; none stands for all.
pub(crate) fn wants_type(patterns: &[String], name: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for good in ["call.*", "call.ended", "*", "agent.missed_offer", "call*"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "Call.*", "*.ended", "call.**", "a b"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    #[test]
    fn wanted() {
        let patterns = ["call.*".to_owned(), "agent.state".to_owned()];
        assert!(wants_type(&patterns, "call.ended") && wants_type(&patterns, "agent.state"));
        assert!(!wants_type(&patterns, "agent.logged_in") && wants_type(&[], "agent.logged_in"));
    }
}
