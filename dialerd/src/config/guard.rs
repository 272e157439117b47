//! Who is heard and who is believed: networks, rates, bans, digests, overload.

use super::check::Faults;
use super::raw;
use crate::hep::HepConfig;
use sip_proxy::Network;
use sip_proxy::ua::{Digest, Guarding, Overload};
use sip_proxy::wire::Algorithm;
use std::time::Duration;

/// Networks in one list.
const NETWORKS_MAX: usize = 100_000;

pub fn check_digest(sip: &raw::Sip, faults: &mut Faults) -> Digest {
    let expected = "\"SHA-512-256\", \"SHA-256\" or \"MD5\"";
    let mut algorithms = Vec::new();
    for (index, name) in sip.digest_algorithms.iter().enumerate() {
        let algorithm = Algorithm::from_bytes(name.as_bytes());
        let known = matches!(algorithm, Algorithm::Md5 | Algorithm::Sha256 | Algorithm::Sha512_256);
        let key = format!("sip.digest_algorithms[{index}]");
        faults.require(known && !algorithms.contains(&algorithm), &key, &format!("{expected}, each once"));
        algorithms.push(algorithm);
    }
    faults.require(!algorithms.is_empty(), "sip.digest_algorithms", &format!("at least one of {expected}"));
    faults.require(
        (10..=86_400).contains(&sip.nonce_lifetime_s),
        "sip.nonce_lifetime_s",
        "10 to 86400 seconds",
    );
    Digest {
        algorithms,
        integrity: sip.digest_integrity,
        nonce_lifetime: Duration::from_secs(sip.nonce_lifetime_s),
        ..Digest::default()
    }
}

pub fn check_guard(guard: raw::Guard, faults: &mut Faults) -> Guarding {
    let mut networks = |texts: &[String], key: &str| -> Vec<Network> {
        faults.require(texts.len() <= NETWORKS_MAX, key, &format!("at most {NETWORKS_MAX} networks"));
        let parsed = texts.iter().enumerate().filter_map(|(index, text)| {
            text.parse()
                .map_err(|error: sip_proxy::NetworkError| {
                    faults.require(
                        false,
                        &format!("{key}[{index}]"),
                        error.to_string().trim_start_matches("expected "),
                    );
                })
                .ok()
        });
        parsed.collect()
    };
    let (deny, allow) = (networks(&guard.deny, "guard.deny"), networks(&guard.allow, "guard.allow"));
    for (key, rate) in
        [("guard.requests_per_s", guard.requests_per_s), ("guard.strangers_per_s", guard.strangers_per_s)]
    {
        faults.require((0.0..=1_000_000.0).contains(&rate), key, "0 (no limit) to 1000000 a second");
    }
    for (index, name) in guard.scanners.iter().enumerate() {
        let good = (3..=64).contains(&name.len()) && name.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        faults.require(good, &format!("guard.scanners[{index}]"), "3 to 64 visible ASCII characters");
    }
    faults.require(guard.scanners.len() <= 100, "guard.scanners", "at most 100 names");
    faults.require(guard.ban_s <= 604_800, "guard.ban_s", "0 (no bans) to 604800 seconds");
    Guarding {
        deny,
        allow,
        requests_per_s: guard.requests_per_s,
        strangers_per_s: guard.strangers_per_s,
        scanners: guard.scanners,
        ban: Duration::from_secs(guard.ban_s),
        failures_max: guard.failures_max,
        dialogs_per_source_max: guard.dialogs_per_source_max,
    }
}

pub fn check_overload(overload: &raw::Overload, faults: &mut Faults) -> Overload {
    faults.require(
        overload.lag_ms == 0 || (10..=60_000).contains(&overload.lag_ms),
        "overload.lag_ms",
        "0 (never) or 10 to 60000 milliseconds",
    );
    faults.require(
        (0.0..=1_000_000.0).contains(&overload.cps_max),
        "overload.cps_max",
        "0 (no limit) to 1000000 calls a second",
    );
    Overload { lag: Duration::from_millis(overload.lag_ms), cps_max: overload.cps_max, ..Overload::default() }
}

pub fn check_hep(hep: raw::Hep, node: &str, faults: &mut Faults) -> Option<HepConfig> {
    let collector = hep.collector.filter(|text| !text.is_empty())?;
    let collector = faults.socket(&collector, "hep.collector");
    let password = hep.password.unwrap_or_default();
    faults.require(password.len() <= 256, "hep.password", "at most 256 bytes");
    Some(HepConfig { collector, capture_id: hep.capture_id, password, node: node.into() })
}
