//! The Identity header (RFC 8224): whatever is read is within the bytes, and only what was signed is believed.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sip_proxy::stir::{Attestation, Chain, Failure, Identity, ReceivedCall, SignedCall, Signer, Trust};

/// Made for this target alone; nothing trusts it.
const KEY: &str = include_str!("../identity/key.pem");
const CERTIFICATE: &[u8] = include_bytes!("../identity/certificate.pem");
const URL: &str = "https://certificates.example.org/operator.pem";
const NOW: u64 = 1_800_000_000;
const CALL: SignedCall<'static> = SignedCall {
    attestation: Attestation::B,
    from: "12155551212",
    to: "12155551213",
    issued_at_s: NOW,
    origin: "123e4567-e89b-12d3-a456-426655440000",
};
const RECEIVED: ReceivedCall<'static> = ReceivedCall { from: "+1 (215) 555-1212", to: "+12155551213" };

/// An operator, whom we trust, and a header it has signed.
struct Operator {
    chain: Chain,
    trust: Trust,
    value: Vec<u8>,
}

fn operator() -> &'static Operator {
    static OPERATOR: OnceLock<Operator> = OnceLock::new();
    OPERATOR.get_or_init(|| {
        let mut trust = Trust::default();
        trust.add(CERTIFICATE).expect("the committed certificate");
        let operator = Operator {
            chain: Chain::read(CERTIFICATE).expect("the committed certificate"),
            trust,
            value: Signer::new(KEY, URL).expect("the committed key").identity(&CALL).into_bytes(),
        };
        // Else nothing below could ever pass, and the target would prove nothing.
        assert!(believed(&operator.value, &operator).is_ok(), "what was signed is believed");
        operator
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => stranger(data),
        1 => stranger(&assembled(data)),
        2 => tampered(data),
        _ => certificates(data),
    }
});

/// Checks a header against the call at hand; gives how sure its signer is and the name of the origin.
fn believed(value: &[u8], operator: &Operator) -> Result<(Attestation, String), Failure> {
    let identity = Identity::parse(value)?;
    assert!(identity.url().len() <= value.len());
    let checked = identity.check(&RECEIVED, &operator.chain, &operator.trust, NOW, 60)?;
    Ok((checked.attestation, checked.origin))
}

/// A header by anybody: if it is believed, it says what the operator has signed.
fn stranger(value: &[u8]) {
    if let Ok((attestation, origin)) = believed(value, operator()) {
        assert_eq!((attestation, origin.as_str()), (CALL.attestation, CALL.origin), "nobody else can sign");
    }
}

/// A header whose token has these lines as its header, its claims and its signature, and the rest as parameters, so
/// that changes reach the JSON behind the base64.
fn assembled(data: &[u8]) -> Vec<u8> {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut value = Vec::new();
    for separator in [".", ".", ";"] {
        value.extend(base64url(lines.next().unwrap_or_default()));
        value.extend_from_slice(separator.as_bytes());
    }
    value.extend_from_slice(lines.next().unwrap_or_default());
    value
}

/// The operator's header with bytes changed: pairs of a place and what is written there.
fn tampered(data: &[u8]) {
    let mut value = operator().value.clone();
    for change in data.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % value.len();
        value[place] = change[2];
    }
    let signed = |value: &[u8]| value.iter().position(|byte| *byte == b';').map(|end| value[..end].to_vec());
    stranger(&value);
    let (before, after) = (signed(&operator().value), signed(&value));
    // Without the last point and what follows it, the token's bytes are what the signature covers.
    let covered = |token: Option<Vec<u8>>| {
        token.and_then(|token| token.iter().rposition(|byte| *byte == b'.').map(|end| token[..end].to_vec()))
    };
    if covered(before) != covered(after) {
        assert!(believed(&value, operator()).is_err(), "a changed token is not believed");
    }
}

/// Any bytes as the signer's certificates, and as those we trust.
fn certificates(data: &[u8]) {
    let operator = operator();
    let identity = Identity::parse(&operator.value).expect("the operator's own");
    if let Ok(chain) = Chain::read(data) {
        let _ = identity.check(&RECEIVED, &chain, &operator.trust, NOW, 60);
        let nobody = identity.check(&RECEIVED, &chain, &Trust::default(), NOW, 60);
        assert!(matches!(nobody, Err(Failure::BadCertificate(_))), "nobody is trusted");
    }
    let mut trust = Trust::default();
    if let Ok(count) = trust.add(data) {
        assert_eq!(trust.is_empty(), count == 0);
        let _ = identity.check(&RECEIVED, &operator.chain, &trust, NOW, 60);
    }
}

/// RFC 4648 §5 without padding.
fn base64url(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..=group.len() {
            out.push(ALPHABET[(word >> (18 - 6 * index)) as usize & 63]);
        }
    }
    out
}
