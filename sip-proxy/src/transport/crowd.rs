//! Dialogs that each source has made and that live.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;

/// How many live dialogs each source has: an IPv4 address, a /64 of IPv6. Never longer than there are dialogs.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    counts: BTreeMap<IpAddr, u32>,
}

impl Crowd {
    /// Whether a source may make one more. `max` 0: no limit.
    pub(crate) fn has_room(&self, source: IpAddr, max: u32) -> bool {
        max == 0 || self.counts.get(&source_of(source)).is_none_or(|count| *count < max)
    }

    /// A dialog of this source begins.
    pub(crate) fn add(&mut self, source: IpAddr) {
        *self.counts.entry(source_of(source)).or_default() += 1;
    }

    /// … is gone.
    pub(crate) fn remove(&mut self, source: IpAddr) {
        let source = source_of(source);
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
    }
}

fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_and_gets_room_back() {
        let mut crowd = Crowd::default();
        let (one, near, far): (IpAddr, IpAddr, IpAddr) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            "2001:db8:0:1::1".parse().unwrap(),
        );
        crowd.add(one);
        assert!(crowd.has_room(near, 2) && !crowd.has_room(near, 1) && crowd.has_room(far, 1));
        assert!(crowd.has_room(near, 0), "0 is no limit");
        crowd.add(near);
        crowd.remove(one);
        assert!(!crowd.has_room(near, 1));
        crowd.remove(near);
        crowd.remove(near);
        assert!(crowd.has_room(one, 1) && crowd.counts.is_empty());
        crowd.add("::ffff:192.0.2.1".parse().unwrap());
        assert!(!crowd.has_room("192.0.2.1".parse().unwrap(), 1));
    }
}
