//! Checking what others have signed (RFC 8224 §6.2).

use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier as _;

use super::certificate::{Chain, ChainError, Trust};
use super::passport::{self, Claims};
use super::{Attestation, canonical_number};
use crate::wire::Params;

/// Why an Identity header proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is none.
    Absent,
    /// It is of another kind than SHAKEN (`ppt`), which whoever does not know it passes over (RFC 8224 §6.2.2 step 1).
    OtherKind,
    /// It is no PASSporT of SHAKEN, or not in full form.
    Malformed,
    /// Too old, or from the future.
    Stale,
    /// It is about another call.
    OtherCall,
    /// The certificate cannot be had.
    NoCertificate,
    /// The certificate is not good.
    BadCertificate(ChainError),
    /// The signature does not fit.
    BadSignature,
}

impl Failure {
    /// The status a call is refused with for it (RFC 8224 §6.2.2).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Failure::Absent | Failure::OtherKind => 428,
            Failure::Stale => 403,
            Failure::NoCertificate => 436,
            Failure::BadCertificate(_) => 437,
            Failure::Malformed | Failure::OtherCall | Failure::BadSignature => 438,
        }
    }

    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Absent => "absent",
            Failure::OtherKind => "other_kind",
            Failure::Malformed => "malformed",
            Failure::Stale => "stale",
            Failure::OtherCall => "other_call",
            Failure::NoCertificate => "no_certificate",
            Failure::BadCertificate(_) => "bad_certificate",
            Failure::BadSignature => "bad_signature",
        }
    }
}

/// What a good signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How sure the signer is.
    pub attestation: Attestation,
    /// The signer's name of the origin.
    pub origin: String,
}

/// The call an Identity header came with.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedCall<'a> {
    /// The calling number as it stands in P-Asserted-Identity or From.
    pub from: &'a str,
    /// The called number as it stands in To or the Request-URI.
    pub to: &'a str,
}

/// An Identity header taken apart, nothing of it believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    url: String,
    claims: Claims,
    attestation: Attestation,
    signed: String,
    signature: Signature,
}

impl Identity {
    /// Takes a header value apart.
    ///
    /// # Errors
    /// [`Failure::Malformed`], and [`Failure::OtherKind`] for one that says in its header line that it is of another.
    pub fn parse(value: &[u8]) -> Result<Self, Failure> {
        let fault = if is_of_other_kind(value) { Failure::OtherKind } else { Failure::Malformed };
        Self::read(value).ok_or(fault)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let value = core::str::from_utf8(value).ok()?.trim();
        let (token, parameters) = value.split_once(';')?;
        let token = passport::parse(token.trim())?;
        let (mut url, mut known) = (None, true);
        for parameter in parameters.split(';') {
            let (name, text) = parameter.split_once('=')?;
            let text = text.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "info" => url = Some(text.strip_prefix('<')?.strip_suffix('>')?),
                "alg" => known &= text == "ES256",
                "ppt" => known &= text == "shaken",
                _ => {}
            }
        }
        let header = &token.header;
        let shaken =
            header.alg == "ES256" && header.typ == "passport" && header.ppt.as_deref() == Some("shaken");
        // RFC 8224 §6.2 step 3: the address in the header is the one that is signed.
        let same = url.is_some_and(|url| url == header.x5u) && header.x5u.len() <= 1024;
        if !shaken || !known || !same {
            return None;
        }
        let attestation = Attestation::from_name(token.claims.attest.as_deref()?)?;
        token.claims.origid.as_ref().filter(|origin| (1..=128).contains(&origin.len()))?;
        Some(Identity {
            url: header.x5u.clone(),
            attestation,
            signed: token.signed.into(),
            signature: Signature::from_slice(&token.signature).ok()?,
            claims: token.claims,
        })
    }

    /// Where the signer's certificate is said to be.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Checks it against the call, the signer's certificates and the time.
    ///
    /// * `now_s` seconds since 1970
    /// * `age_max_s` how far the time in it may be from now, either way (RFC 8224 §4.1 recommends 60)
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        call: &ReceivedCall<'_>,
        chain: &Chain,
        trust: &Trust,
        now_s: u64,
        age_max_s: u64,
    ) -> Result<Checked, Failure> {
        if self.claims.iat.abs_diff(now_s) > age_max_s {
            return Err(Failure::Stale);
        }
        let same = |said: &str, is: &str| {
            let (said, is) = (canonical_number(said), canonical_number(is));
            said.is_some() && said == is
        };
        let from = self.claims.orig.tn.as_deref().is_some_and(|said| same(said, call.from));
        if !from || !self.claims.dest.tn.iter().any(|said| same(said, call.to)) {
            return Err(Failure::OtherCall);
        }
        let key = chain.key(trust, now_s).map_err(Failure::BadCertificate)?;
        let number = canonical_number(call.from).ok_or(Failure::OtherCall)?;
        chain.speaks_for(&number).map_err(Failure::BadCertificate)?;
        key.verify(self.signed.as_bytes(), &self.signature).map_err(|_| Failure::BadSignature)?;
        Ok(Checked { attestation: self.attestation, origin: self.claims.origid.clone().unwrap_or_default() })
    }
}

/// Whether an Identity says in `ppt` that it is none of SHAKEN (RFC 8946 `div`, RFC 8443 `rph` and others).
fn is_of_other_kind(value: &[u8]) -> bool {
    let kind = Params::of(value).value("ppt");
    kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(b"shaken"))
}
