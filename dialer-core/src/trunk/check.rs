//! What a trunk's settings must be.

use super::headers;
use crate::check::{Checked, invalid, one_line, range, range_f64, text};
use crate::config::{NumberFormat, TrunkConfig, host_and_port};
use std::net::{IpAddr, SocketAddr};

pub(super) fn check(config: &TrunkConfig) -> Checked {
    text("/name", &config.name, 1, 64)?;
    if host_and_port(&config.address).is_none() {
        return invalid(
            "/address",
            "an address or a host name, with or without a port, e.g. 192.0.2.10:5060 or sip.example.com",
        );
    }
    for (place, source) in config.sources.iter().enumerate() {
        if source.parse::<IpAddr>().is_err() && !is_address(source) && !is_network(source) {
            return invalid(&format!("/sources/{place}"), SOURCE);
        }
    }
    for (place, name) in config.certificate_names.iter().enumerate() {
        one_line(&format!("/certificate_names/{place}"), name, 1, 255)?;
    }
    header_policy(config)?;
    if let Some(username) = &config.username {
        one_line("/username", username, 1, 128)?;
    }
    if let Some(password) = &config.password {
        one_line("/password", password, 1, 128)?;
    }
    if config.username.is_some() != config.password.is_some() {
        let missing = if config.username.is_some() { "/password" } else { "/username" };
        return invalid(missing, "username and password together, or neither");
    }
    if config.register && config.username.is_none() {
        return invalid("/username", "credentials, because the trunk is to register");
    }
    range("/register_expires_s", config.register_expires_s, 30, 86_400)?;
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(&config.country_code) {
        return invalid("/country_code", "up to 3 digits");
    }
    if config.number_format == NumberFormat::National && config.country_code.is_empty() {
        return invalid("/country_code", "the trunk's calling code, because numbers are to be national");
    }
    let dialled = |byte: u8| byte.is_ascii_digit() || b"+*#".contains(&byte);
    if config.prefix.len() > 16 || !config.prefix.bytes().all(dialled) {
        return invalid("/prefix", "up to 16 digits, +, * or #");
    }
    range("/channels_max", config.channels_max, 1, 1_000_000)?;
    range("/channels_elsewhere", config.channels_elsewhere, 0, 1_000_000)?;
    range_f64("/cps_max", config.cps_max, 0.01, 100_000.0)?;
    if config.options_interval_ms != 0 {
        range("/options_interval_ms", config.options_interval_ms, 100, 3_600_000)?;
    }
    if let Some(caller_id) = &config.caller_id {
        crate::check::caller_id("/caller_id", caller_id)?;
    }
    Ok(())
}

/// What a source is to be.
pub const SOURCE: &str = "an IP address, with or without a port, or a network such as 192.0.2.0/24";

fn header_policy(config: &TrunkConfig) -> Checked {
    let lists: [(&str, &[String], Fits, &str); 3] = [
        ("/headers_pass", &config.headers_pass, headers::is_pass_entry, headers::PASS),
        ("/headers_remove", &config.headers_remove, headers::is_name_entry, headers::REMOVE),
        ("/headers_add", &config.headers_add, |entry| headers::added(entry).is_some(), headers::ADD),
    ];
    for (list, entries, fits, expected) in lists {
        if entries.len() > headers::HEADERS_MAX {
            return invalid(list, "at most 32 entries");
        }
        if let Some(place) = entries.iter().position(|entry| !fits(entry)) {
            return invalid(&format!("{list}/{place}"), expected);
        }
    }
    Ok(())
}

/// Whether an entry is good.
type Fits = fn(&str) -> bool;

/// `address/bits`.
#[must_use]
pub fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0)
}
