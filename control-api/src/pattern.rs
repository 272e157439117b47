//! Which types of events: `call.ended`, `call.*`, `*`.

use dialer_core::event::TYPE_NAMES;

/// Whether a text can stand for types of events.
pub(crate) fn is_pattern(text: &str) -> bool {
    let stem = text.strip_suffix('*').unwrap_or(text);
    (!stem.is_empty() || text == "*")
        && stem.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
}

/// Whether one of the patterns stands for this type; none stands for all.
pub(crate) fn wants_type(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| stands_for(pattern, name))
}

fn stands_for(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// What to say of the first pattern that stands for no event there is, and its place.
pub(crate) fn unknown_type(patterns: &[String]) -> Option<(usize, String)> {
    let known = |pattern: &String| TYPE_NAMES.iter().any(|name| stands_for(pattern, name));
    let place = patterns.iter().position(|pattern| !known(pattern))?;
    Some((place, format!("no event is called {}; there are {}", patterns[place], TYPE_NAMES.join(", "))))
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

    #[test]
    fn what_stands_for_no_event_is_found() {
        let place = |patterns: &[&str]| {
            unknown_type(&patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
                .map(|(place, _)| place)
        };
        assert_eq!(place(&[]), None);
        assert_eq!(place(&["*", "call.*", "webhook.disabled"]), None);
        assert_eq!(place(&["call.*", "call.endd", "calls.*"]), Some(1));
        assert_eq!(place(&["calls.*"]), Some(0));
    }
}
