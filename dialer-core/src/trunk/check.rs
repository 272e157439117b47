//! What a trunk's settings must be.

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
        if source.parse::<IpAddr>().is_err() && !is_address(source) {
            return invalid(&format!("/sources/{place}"), "an IP address, with or without a port");
        }
    }
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
    range_f64("/cps_max", config.cps_max, 0.01, 100_000.0)?;
    if config.options_interval_ms != 0 {
        range("/options_interval_ms", config.options_interval_ms, 100, 3_600_000)?;
    }
    if let Some(caller_id) = &config.caller_id {
        crate::check::caller_id("/caller_id", caller_id)?;
    }
    Ok(())
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0)
}
