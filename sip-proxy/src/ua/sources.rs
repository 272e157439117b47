//! Who calls in as which trunk: by address, by network, by certificate.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use super::Trunk;
use crate::transport::{Network, Networks};

/// Whose requests a source sends. Where two trunks name the same, the first one keeps it.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Address and port, 0 for any.
    addresses: BTreeMap<(IpAddr, u16), u64>,
    networks: Vec<(Network, u64)>,
    /// All networks at once: says quickly of most strangers that they are in none.
    any_network: Networks,
    /// Names in certificates, in small letters.
    certificates: BTreeMap<String, u64>,
}

impl Sources {
    pub(super) fn add(&mut self, trunk: &Trunk) {
        for (ip, port) in &trunk.sources {
            self.addresses.entry((ip.to_canonical(), port.unwrap_or(0))).or_insert(trunk.key);
        }
        for network in &trunk.networks {
            if !self.networks.iter().any(|(known, _)| known == network) {
                self.networks.push((*network, trunk.key));
            }
        }
        if !trunk.networks.is_empty() {
            self.note_networks();
        }
        for name in &trunk.certificate_names {
            self.certificates.entry(name.to_ascii_lowercase()).or_insert(trunk.key);
        }
    }

    /// An address that a trunk's name has led to.
    pub(super) fn learn(&mut self, ip: IpAddr, trunk: u64) {
        self.addresses.entry((ip, 0)).or_insert(trunk);
    }

    pub(super) fn remove(&mut self, trunk: u64) {
        self.addresses.retain(|_, key| *key != trunk);
        self.networks.retain(|(_, key)| *key != trunk);
        self.certificates.retain(|_, key| *key != trunk);
        self.note_networks();
    }

    fn note_networks(&mut self) {
        let networks: Vec<Network> = self.networks.iter().map(|(network, _)| *network).collect();
        self.any_network = Networks::new(&networks);
    }

    /// The trunk of a source: an address with this port goes before one with any, a small network before a large one.
    ///
    /// * `any_port` the source is a connection's end, whose port says nothing
    /// * `names` in the certificate that was shown over the connection; they go before addresses
    pub(super) fn trunk_of(&self, source: SocketAddr, any_port: bool, names: &[String]) -> Option<u64> {
        if !self.certificates.is_empty() {
            let known = names.iter().find_map(|name| self.certificates.get(&name.to_ascii_lowercase()));
            if known.is_some() {
                return known.copied();
            }
        }
        let ip = source.ip().to_canonical();
        let known = self.addresses.get(&(ip, source.port())).or_else(|| self.addresses.get(&(ip, 0)));
        if let Some(known) = known {
            return Some(*known);
        }
        if any_port && let Some((_, trunk)) = self.addresses.range((ip, 0)..=(ip, u16::MAX)).next() {
            return Some(*trunk);
        }
        if self.any_network.is_empty() || !self.any_network.contains(ip) {
            return None;
        }
        let within = self.networks.iter().filter(|(network, _)| network.contains(ip));
        within.min_by_key(|(network, _)| network.size()).map(|(_, trunk)| *trunk)
    }
}
