//! `a=crypto` (RFC 4568): keys in session descriptions.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use media::srtp::{KeySource, MasterKey, SrtpKeys, Suite};
use sip_proxy::wire::sdp::{Media, SdpWriter};

/// Lines looked at in one section.
const LINES_MAX: usize = 16;

/// Some leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Our keys for one leg: one per suite, since none may serve two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OurKeys([MasterKey; Suite::ALL.len()]);

/// A line that both sides can go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chosen {
    tag: u32,
    pub(crate) keys: SrtpKeys,
}

impl OurKeys {
    pub(crate) fn draw(source: &mut KeySource) -> Self {
        OurKeys(Suite::ALL.map(|suite| source.master_key(suite)))
    }

    /// Offers all suites, numbered from 1.
    pub(crate) fn offer(&self, writer: &mut SdpWriter<'_>) {
        for (tag, key) in (1..).zip(&self.0) {
            write(writer, tag, key);
        }
    }

    /// The first line of an offer that we know.
    pub(crate) fn choose(&self, audio: &Media<'_>) -> Option<Chosen> {
        lines(audio).find_map(|(tag, inbound)| {
            let outbound = *self.0.iter().find(|key| key.suite() == inbound.suite())?;
            Some(Chosen { tag, keys: SrtpKeys { inbound, outbound } })
        })
    }

    /// What an answer has chosen of our offer: the same number with the same suite, and one line only.
    pub(crate) fn chosen(&self, audio: &Media<'_>) -> Option<Chosen> {
        let (tag, inbound) = lines(audio).next()?;
        let offered = (1..).zip(&self.0).find(|(number, _)| *number == tag)?.1;
        (offered.suite() == inbound.suite())
            .then_some(Chosen { tag, keys: SrtpKeys { inbound, outbound: *offered } })
    }
}

impl Chosen {
    /// Says so in an answer.
    pub(crate) fn answer(&self, writer: &mut SdpWriter<'_>) {
        write(writer, self.tag, &self.keys.outbound);
    }
}

fn write(writer: &mut SdpWriter<'_>, tag: u32, key: &MasterKey) {
    let text = format!("{tag} {} inline:{}", key.suite().name(), BASE64.encode(key.bytes()));
    writer.attribute("crypto", Some(&text));
}

/// The lines of a section that we can go by, in its order.
fn lines<'m>(audio: &'m Media<'_>) -> impl Iterator<Item = (u32, MasterKey)> + 'm {
    let lines = audio.attributes().filter(|(name, _)| *name == b"crypto");
    lines.take(LINES_MAX).filter_map(|(_, value)| read(value?))
}

/// `<tag> <suite> inline:<key and salt>[|<lifetime>] [<session parameter>…]`. `None` for one that asks for what we do
/// not do: several keys, master key identifiers, sound that is not encrypted or not authenticated.
fn read(value: &[u8]) -> Option<(u32, MasterKey)> {
    let mut words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let tag = std::str::from_utf8(words.next()?).ok()?;
    // RFC 4568 §9.1: one to nine digits, no sign.
    let tag =
        (tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit())).then(|| tag.parse().ok())??;
    let suite = Suite::named(words.next()?)?;
    let parameters = words.next()?;
    let (method, inline) = parameters.split_at_checked(7)?;
    if !method.eq_ignore_ascii_case(b"inline:") || inline.contains(&b';') {
        return None;
    }
    let mut parts = inline.split(|byte| *byte == b'|');
    let key = BASE64.decode(parts.next()?).ok()?;
    // A lifetime ("2^20" or a number) is longer than any call; what has a colon is a master key identifier.
    if parts.any(|part| part.contains(&b':')) {
        return None;
    }
    // RFC 4568 §6.3: what is not known must not be gone by. The window size hint changes nothing here.
    if !words.all(|word| word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"WSH="))) {
        return None;
    }
    Some((tag, MasterKey::new(suite, &key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_as_phones_write_them() {
        let good = |line: &str| read(line.as_bytes()).map(|(tag, key)| (tag, key.suite()));
        let cm80 = Some((1, Suite::AesCm128Sha1_80));
        // The example of RFC 4568 §5.1, and what is seen in the field.
        assert_eq!(
            good(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP")),
            None
        );
        assert_eq!(good(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")), cm80);
        assert_eq!(good(&format!("1  AES_CM_128_HMAC_SHA1_80  inline:{KEY}|2^48 WSH=128")), cm80);
        assert_eq!(good(&format!("1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}|1048576")), cm80);
        let gcm = "7 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(good(gcm), Some((7, Suite::AeadAes128Gcm)));
        assert_eq!(good(&format!("{gcm}==")), Some((7, Suite::AeadAes128Gcm)));
    }

    #[test]
    fn lines_that_are_not_gone_by() {
        for line in [
            "",
            "1",
            "x AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "+1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1 AES_256_CM_HMAC_SHA1_80 inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEYKEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY;inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 uri:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=1",
            "1 AEAD_AES_128_GCM inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:\u{e9}\u{e9}",
        ] {
            assert_eq!(read(line.replace("KEY", KEY).as_bytes()), None, "{line}");
        }
    }
}
