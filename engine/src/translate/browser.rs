//! A browser's session description (RFC 8829): a way found by connectivity checks (ICE-lite, RFC 8445 and 8839), keys by
//! a handshake (DTLS-SRTP, RFC 5763 and 8842), all on one port.

use super::sdp::LocalSide;
use media::{Dtls, IceCredentials};
use sip_proxy::wire::sdp::{Media, SdpWriter, Session};
use std::fmt::Write as _;

/// What browsers offer and answer (RFC 5764 §8, RFC 8829 §5.1.2).
pub(crate) const PROFILE: &str = "UDP/TLS/RTP/SAVPF";
/// The same without timely feedback.
pub(crate) const PROFILE_WITHOUT_FEEDBACK: &str = "UDP/TLS/RTP/SAVP";
/// Our one section's name in offers.
pub(crate) const OUR_MID: &str = "0";
/// The highest priority of RFC 8445 §5.1.2.1 for a host's own address: we have one.
const PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// Our part of a browser's leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LocalDtls {
    pub(crate) ice: IceCredentials,
    /// SHA-256 of our certificate.
    pub(crate) fingerprint: [u8; 32],
}

/// Who begins the handshake (RFC 4145 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Setup {
    Either,
    Active,
    Passive,
}

impl Setup {
    const fn name(self) -> &'static str {
        match self {
            Setup::Either => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        }
    }
}

/// True for an offer that only a browser makes.
pub(crate) fn asks(offer: &[u8]) -> bool {
    memchr::memmem::find(offer, b" UDP/TLS/RTP/SAVP").is_some()
}

/// The lines before the section: we only answer checks, and there is one section in the bundle, if there is one.
pub(crate) fn session_lines(writer: &mut SdpWriter<'_>, bundled: Option<&str>) {
    writer.attribute("ice-lite", None);
    if let Some(mid) = bundled {
        writer.attribute("group", Some(&format!("BUNDLE {mid}")));
    }
}

/// The lines of the section.
pub(crate) fn lines(
    writer: &mut SdpWriter<'_>,
    local: &LocalSide,
    ours: &LocalDtls,
    mid: Option<&str>,
    setup: Setup,
) {
    if let Some(mid) = mid {
        writer.attribute("mid", Some(mid));
    }
    let mut fingerprint = String::from("sha-256 ");
    for (at, byte) in ours.fingerprint.iter().enumerate() {
        // A write to a String cannot fail.
        let _ = write!(fingerprint, "{}{byte:02X}", if at > 0 { ":" } else { "" });
    }
    let candidate = format!("1 1 udp {PRIORITY} {} {} typ host", local.address, local.rtp_port);
    writer
        .attribute("ice-ufrag", Some(ours.ice.fragment()))
        .attribute("ice-pwd", Some(ours.ice.password()))
        .attribute("fingerprint", Some(&fingerprint))
        .attribute("setup", Some(setup.name()))
        .attribute("candidate", Some(&candidate))
        .attribute("end-of-candidates", None);
}

/// What a browser's section means; `None` unless it has all that is needed: checks, a certificate of SHA-256, reports on
/// the port of sound.
pub(crate) fn read(session: &Session<'_>, audio: &Media<'_>, ours: &LocalDtls) -> Option<Dtls> {
    let known = [PROFILE, PROFILE_WITHOUT_FEEDBACK];
    if !known.iter().any(|profile| audio.proto.eq_ignore_ascii_case(profile.as_bytes())) || !audio.rtcp_mux()
    {
        return None;
    }
    let attribute = |name: &str| audio.attribute(name).or_else(|| session.attribute(name));
    attribute("ice-ufrag").and(attribute("ice-pwd"))?;
    let own = audio.attributes().filter(|(name, _)| *name == b"fingerprint").filter_map(|(_, value)| value);
    let fingerprint = own.chain(session.attribute("fingerprint")).find_map(sha256)?;
    let active = match attribute("setup") {
        Some(b"passive") => true,
        Some(b"active" | b"actpass") | None => false,
        Some(_) => return None,
    };
    Some(Dtls { ice: ours.ice, ours: ours.fingerprint, fingerprint, active })
}

/// `sha-256 AB:CD:…` (RFC 8122 §5).
fn sha256(value: &[u8]) -> Option<[u8; 32]> {
    let value = value.trim_ascii();
    let (name, digits) = value.split_at_checked(8)?;
    if !name.eq_ignore_ascii_case(b"sha-256 ") {
        return None;
    }
    let mut bytes = [0; 32];
    let mut pairs = digits.trim_ascii().split(|byte| *byte == b':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit))?;
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}
