//! Signing what we send.

use core::fmt;

use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;

use super::Attestation;
use super::passport::{Claims, Header, Many, One, encode_signature, signed_part};

/// Why a key cannot sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// Not a P-256 private key in PEM, neither PKCS#8 nor SEC1.
    NoKey,
    /// The address of the certificate is no https URL that fits into a header.
    BadUrl,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::NoKey => "expected a P-256 private key in PEM (PKCS#8 or SEC1)",
            KeyError::BadUrl => "expected an https URL of at most 1024 visible characters",
        })
    }
}
impl core::error::Error for KeyError {}

/// The operator's key and where its certificate is found.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    url: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A call to be signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedCall<'a> {
    /// How sure we are of the caller.
    pub attestation: Attestation,
    /// The calling number, canonical.
    pub from: &'a str,
    /// The called number, canonical.
    pub to: &'a str,
    /// Seconds since 1970.
    pub issued_at_s: u64,
    /// Names the call's origin to us (a UUID, RFC 8588 §5).
    pub origin: &'a str,
}

impl Signer {
    /// From a private key in PEM and the https address of its certificate.
    ///
    /// # Errors
    /// When one of them is not that.
    pub fn new(key_pem: &str, certificate_url: &str) -> Result<Self, KeyError> {
        let visible =
            certificate_url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\";,".contains(&byte));
        if !certificate_url.starts_with("https://") || certificate_url.len() > 1024 || !visible {
            return Err(KeyError::BadUrl);
        }
        let key = SecretKey::from_pkcs8_pem(key_pem)
            .or_else(|_| SecretKey::from_sec1_pem(key_pem))
            .map_err(|_| KeyError::NoKey)?;
        Ok(Signer { key: key.into(), url: certificate_url.into() })
    }

    /// The value of an Identity header.
    #[must_use]
    pub fn identity(&self, call: &SignedCall<'_>) -> String {
        let header = Header {
            alg: "ES256".into(),
            ppt: Some("shaken".into()),
            typ: "passport".into(),
            x5u: self.url.clone(),
        };
        let claims = Claims {
            attest: Some(call.attestation.as_str().into()),
            dest: Many { tn: vec![call.to.into()], uri: Vec::new() },
            iat: call.issued_at_s,
            orig: One { tn: Some(call.from.into()), uri: None },
            origid: Some(call.origin.into()),
        };
        let signed = signed_part(&header, &claims);
        let signature: Signature = self.key.sign(signed.as_bytes());
        let signature = encode_signature(&signature.to_bytes());
        format!("{signed}.{signature};info=<{}>;alg=ES256;ppt=\"shaken\"", self.url)
    }
}
