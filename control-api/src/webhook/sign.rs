//! Signatures by Standard Webhooks (standardwebhooks.com, specification 1.0): `v1,` and the base 64 of
//! HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sansio::WallTime;
use sha2::Sha256;
use store::WebhookSecret;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// A secret as its receiver gets it.
pub(crate) fn secret_text(key: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// The key of a secret's text; `None` unless it is `whsec_` and the base 64 of 24 to 64 bytes.
pub(crate) fn secret_key(text: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// The header `webhook-signature`: one signature for each secret that is in force, the newest first.
pub(super) fn signatures(
    secrets: &[WebhookSecret],
    now: WallTime,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> String {
    let signature = |secret: &WebhookSecret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.key).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let in_force = secrets.iter().filter(|secret| secret.until.is_none_or(|until| until > now));
    in_force.map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_millis(1_614_265_330_000);

    /// The example of the specification's reference libraries.
    #[test]
    fn the_published_example() {
        let key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secrets = [WebhookSecret { key, until: None }];
        let header = signatures(
            &secrets,
            NOW,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_replaced_secret_signs_until_its_end() {
        let old = WebhookSecret { key: vec![1; 24], until: Some(NOW.plus_millis(1)) };
        let new = WebhookSecret { key: vec![2; 24], until: None };
        let secrets = [new, old];
        assert_eq!(signatures(&secrets, NOW, "a", 1, b"").split(' ').count(), 2);
        assert_eq!(signatures(&secrets, NOW.plus_millis(1), "a", 1, b"").split(' ').count(), 1);
    }

    #[test]
    fn secrets_read_back() {
        let text = secret_text(&[7; 32]);
        assert_eq!(secret_key(&text).unwrap(), [7; 32]);
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%"] {
            assert!(secret_key(bad).is_none(), "{bad}");
        }
    }
}
