//! Certificates of those who sign (RFC 8226): a chain from the signer up to somebody we trust.

use core::fmt;

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use super::numbers;

/// Certificates in one file, the signer's first.
const CHAIN_MAX: usize = 6;
/// Bytes of such a file.
const CHAIN_BYTES_MAX: usize = 65_536;

/// Why a chain is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainError {
    /// Not certificates in PEM (or one in DER), or too many.
    Malformed,
    /// Out of its time.
    Expired,
    /// Not signed as it says, or by a certificate that may not.
    BadSignature,
    /// Nobody we trust stands at its end.
    Untrusted,
    /// Not a key on the curve P-256, which ES256 needs.
    BadKey,
    /// It is for other telephone numbers (RFC 8226 §9), or its list of them cannot be read.
    OtherNumbers,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChainError::Malformed => "no certificate in PEM, or too many",
            ChainError::Expired => "a certificate is out of its time",
            ChainError::BadSignature => "a certificate is not signed as it says",
            ChainError::Untrusted => "it does not lead to a trusted certificate",
            ChainError::BadKey => "a key is not on the curve P-256",
            ChainError::OtherNumbers => "the certificate is not for the calling number",
        })
    }
}
impl core::error::Error for ChainError {}

/// The certificates of a signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<Vec<u8>>,
}

/// Certificates that are trusted to have signed others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    anchors: Vec<Vec<u8>>,
}

fn read(bytes: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, ChainError> {
    let mut certificates = Vec::new();
    for pem in Pem::iter_from_buffer(bytes) {
        let pem = pem.map_err(|_| ChainError::Malformed)?;
        if pem.label == "CERTIFICATE" {
            certificates.push(pem.contents);
        }
        if certificates.len() > limit {
            return Err(ChainError::Malformed);
        }
    }
    if certificates.is_empty() && X509Certificate::from_der(bytes).is_ok_and(|(rest, _)| rest.is_empty()) {
        certificates.push(bytes.to_vec());
    }
    let sound = |der: &Vec<u8>| X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
    if certificates.is_empty() || !certificates.iter().all(sound) {
        return Err(ChainError::Malformed);
    }
    Ok(certificates)
}

impl Chain {
    /// Reads certificates in PEM, the signer's first, or the signer's alone in DER.
    ///
    /// # Errors
    /// [`ChainError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, ChainError> {
        if bytes.len() > CHAIN_BYTES_MAX {
            return Err(ChainError::Malformed);
        }
        Ok(Chain { certificates: read(bytes, CHAIN_MAX)? })
    }

    /// The signer's key, if the chain leads to somebody trusted at this time (seconds since 1970).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn key(&self, trust: &Trust, now_s: u64) -> Result<VerifyingKey, ChainError> {
        let chain: Vec<X509Certificate<'_>> =
            self.certificates.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let leaf = chain.first().ok_or(ChainError::Malformed)?;
        let key = key_of(leaf)?;
        for (index, certificate) in chain.iter().enumerate() {
            if !is_in_time(certificate, now_s) {
                return Err(ChainError::Expired);
            }
            if trust.is_anchor(certificate) || trust.has_signed(certificate, now_s) {
                return Ok(key);
            }
            let Some(issuer) = chain.get(index + 1) else { break };
            if !may_sign(issuer) || !is_signed_by(certificate, issuer) {
                return Err(ChainError::BadSignature);
            }
        }
        Err(ChainError::Untrusted)
    }

    /// Whether the signer's certificate is for this number (canonical). One without a list is for any.
    ///
    /// # Errors
    /// [`ChainError::OtherNumbers`].
    pub(super) fn speaks_for(&self, number: &str) -> Result<(), ChainError> {
        let leaf = self.certificates.first().and_then(|der| Some(X509Certificate::from_der(der).ok()?.1));
        let leaf = leaf.ok_or(ChainError::Malformed)?;
        let mut lists =
            leaf.extensions().iter().filter(|extension| numbers::is_named(extension.oid.as_bytes()));
        if lists.all(|list| numbers::allows(list.value, number) == Some(true)) {
            Ok(())
        } else {
            Err(ChainError::OtherNumbers)
        }
    }
}

impl Trust {
    /// Adds certificates in PEM (or one in DER); gives how many there were.
    ///
    /// # Errors
    /// [`ChainError::Malformed`].
    pub fn add(&mut self, bytes: &[u8]) -> Result<usize, ChainError> {
        let found = read(bytes, 10_000)?;
        let count = found.len();
        self.anchors.extend(found);
        Ok(count)
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    fn is_anchor(&self, certificate: &X509Certificate<'_>) -> bool {
        self.anchors.iter().any(|der| der.as_slice() == certificate.as_raw())
    }

    fn has_signed(&self, certificate: &X509Certificate<'_>, now_s: u64) -> bool {
        self.anchors.iter().any(|der| {
            X509Certificate::from_der(der).is_ok_and(|(_, anchor)| {
                may_sign(&anchor) && is_in_time(&anchor, now_s) && is_signed_by(certificate, &anchor)
            })
        })
    }
}

fn is_in_time(certificate: &X509Certificate<'_>, now_s: u64) -> bool {
    let validity = certificate.validity();
    let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now_s)
}

fn may_sign(issuer: &X509Certificate<'_>) -> bool {
    issuer.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
}

fn key_of(certificate: &X509Certificate<'_>) -> Result<VerifyingKey, ChainError> {
    VerifyingKey::from_sec1_bytes(&certificate.public_key().subject_public_key.data)
        .map_err(|_| ChainError::BadKey)
}

fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let Ok(key) = key_of(issuer) else { return false };
    let Ok(signature) = Signature::from_der(&certificate.signature_value.data) else { return false };
    key.verify(certificate.tbs_certificate.as_ref(), &signature).is_ok()
}
