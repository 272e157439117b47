//! Networks in CIDR notation, and sets of them.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// An address range: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: u128,
    last: u128,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32")
    }
}
impl core::error::Error for NetworkError {}

/// IPv4 as the IPv6 addresses it is mapped to, so that both are on one line of numbers.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse::<u32>().ok().filter(|length| *length <= bits).ok_or(NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => bits,
        };
        let open = bits - length;
        let mask = if open == 128 { u128::MAX } else { (1 << open) - 1 };
        let first = number(ip) & !mask;
        Ok(Network { first, last: first | mask })
    }
}

impl Network {
    /// Whether an address lies in it. An IPv4 address written as an IPv6 one is the IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        (self.first..=self.last).contains(&number(ip))
    }

    /// One less than the number of its addresses.
    pub(crate) const fn size(&self) -> u128 {
        self.last - self.first
    }
}

/// Any number of networks; a look-up takes the logarithm of their number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Networks {
    /// Sorted, without overlap.
    ranges: Vec<Network>,
}

impl Networks {
    pub(crate) fn new(networks: &[Network]) -> Self {
        let mut sorted = networks.to_vec();
        sorted.sort_unstable();
        let mut ranges: Vec<Network> = Vec::with_capacity(sorted.len());
        for network in sorted {
            match ranges.last_mut() {
                Some(before) if network.first <= before.last => before.last = before.last.max(network.last),
                _ => ranges.push(network),
            }
        }
        Networks { ranges }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ip = number(ip);
        let after = self.ranges.partition_point(|range| range.first <= ip);
        after > 0 && ip <= self.ranges[after - 1].last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn what_is_a_network() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.77/24", "192.0.2.0", "192.0.1.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "192.0.2.1", ""),
        ] {
            assert!(network(text).contains(inside.parse().expect("an address")), "{inside} in {text}");
            if let Ok(ip) = outside.parse() {
                assert!(!network(text).contains(ip), "{outside} not in {text}");
            }
        }
        for text in [
            "",
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2/24",
            "x/8",
            "1.2.3.4/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }

    #[test]
    fn many() {
        let networks: Vec<Network> = (0..10_000_u32)
            .map(|index| network(&format!("10.{}.{}.0/25", index / 256, index % 256)))
            .chain([network("10.0.0.0/23"), network("2001:db8::/64")])
            .collect();
        let set = Networks::new(&networks);
        assert!(!set.is_empty() && Networks::default().is_empty());
        for text in ["10.0.0.200", "10.0.1.255", "10.39.15.127", "2001:db8::ffff"] {
            assert!(set.contains(text.parse().expect("an address")), "{text}");
        }
        for text in ["9.255.255.255", "10.0.2.128", "10.39.15.128", "10.39.16.0", "2001:db8:0:1::"] {
            assert!(!set.contains(text.parse().expect("an address")), "{text}");
        }
    }
}
