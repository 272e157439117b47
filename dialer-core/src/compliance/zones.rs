//! Which time zones a phone number may be in, by its first digits.

/// See the head of the file for its origin.
const TABLE: &str = include_str!("../../data/number-zones.txt");

/// Longest prefix in the table.
const PREFIX_MAX: usize = 9;

/// The zones (IANA names) a number in E.164 may be in; nothing if the table knows none.
pub fn zones_of_number(number: &str) -> impl Iterator<Item = &'static str> + Clone {
    let digits = number.strip_prefix('+').unwrap_or_default();
    let known = (1..=digits.len().min(PREFIX_MAX)).rev().find_map(|length| row(digits.get(..length)?));
    known.unwrap_or_default().split(' ').filter(|zone| !zone.is_empty())
}

/// What the table has for exactly this prefix.
fn row(prefix: &str) -> Option<&'static str> {
    let bytes = TABLE.as_bytes();
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        // The line that the middle lies in.
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle].iter().rposition(|byte| *byte == b'\n').map_or(low, |at| low + at + 1);
        let end = bytes[middle..high].iter().position(|byte| *byte == b'\n').map_or(high, |at| middle + at);
        let line = &TABLE[start..end];
        let (found, zones) = line.split_once(' ').unwrap_or((line, ""));
        match prefix.cmp(found) {
            core::cmp::Ordering::Equal => return Some(zones),
            core::cmp::Ordering::Less => high = start,
            core::cmp::Ordering::Greater => low = end + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(number: &str) -> Vec<&'static str> {
        zones_of_number(number).collect()
    }

    #[test]
    fn the_longest_prefix_counts() {
        assert_eq!(zones("+12125550123"), ["America/New_York"]);
        assert_eq!(zones("+14155550123"), ["America/Los_Angeles"]);
        assert_eq!(zones("+12082010123"), ["America/Denver"]);
        assert_eq!(zones("+12082990123"), ["America/Boise", "America/Los_Angeles"]);
        assert_eq!(zones("+8613800138000"), ["Asia/Shanghai"]);
        assert!(zones("+442079460018").contains(&"Europe/London"));
        assert!(zones("+18005550123").len() > 10, "a free number may be anywhere in its plan");
    }

    #[test]
    fn what_is_not_known_has_no_zone() {
        for number in ["", "+", "+0", "+999123456", "12125550123", "+é1"] {
            assert!(zones(number).is_empty(), "{number}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_names_real_zones() {
        let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rows.len() > 3_000);
        assert!(rows.windows(2).all(|pair| pair[0].split(' ').next() < pair[1].split(' ').next()));
        for line in rows {
            let (prefix, list) = line.split_once(' ').unwrap();
            assert!(prefix.len() <= PREFIX_MAX && prefix.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
            assert_eq!(row(prefix), Some(list));
            for zone in list.split(' ') {
                assert!(super::super::clock::is_zone(zone), "{zone}");
            }
        }
    }
}
