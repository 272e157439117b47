//! Signed by us, checked by us; and everything that must not pass.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};

const URL: &str = "https://certificates.example.org/operator.pem";
const NOW: u64 = 1_790_000_000;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str, ca: bool) -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
}

/// Key and certificate of an operator, certified by somebody.
fn operator(by: &Authority, days: (i32, i32)) -> (String, String) {
    operator_for(by, days, None)
}

/// The same for the telephone numbers of a list.
fn operator_for(by: &Authority, days: (i32, i32), numbers: Option<&[u8]>) -> (String, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.distinguished_name.push(rcgen::DnType::CommonName, "SHAKEN 709J");
    if let Some(numbers) = numbers {
        let list = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 26], numbers.to_vec());
        params.custom_extensions.push(list);
    }
    params.not_before = rcgen::date_time_ymd(days.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(days.1, 1, 1);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = params.signed_by(&key, &by.issuer).expect("a certificate");
    (key.serialize_pem(), certificate.pem())
}

fn call() -> SignedCall<'static> {
    SignedCall {
        attestation: Attestation::A,
        from: "12155551212",
        to: "12155551213",
        issued_at_s: NOW,
        origin: "123e4567-e89b-12d3-a456-426655440000",
    }
}

const RECEIVED: ReceivedCall<'static> = ReceivedCall { from: "+1 (215) 555-1212", to: "+12155551213" };

fn trusting(authority: &Authority) -> Trust {
    let mut trust = Trust::default();
    assert_eq!(trust.add(authority.issuer.pem().as_bytes()), Ok(1));
    trust
}

#[test]
fn a_signed_call_is_checked() {
    let root = authority("Root", true);
    let (key, certificate) = operator(&root, (2020, 2040));
    let signer = Signer::new(&key, URL).expect("a signer");
    let value = signer.identity(&call());
    assert_eq!(value, signer.identity(&call()), "the same call is signed the same way");
    assert!(value.ends_with(&format!(";info=<{URL}>;alg=ES256;ppt=\"shaken\"")), "{value}");
    let identity = Identity::parse(value.as_bytes()).expect("an identity");
    assert_eq!(identity.url(), URL);
    let chain = Chain::read(certificate.as_bytes()).expect("a chain");
    let trust = trusting(&root);
    let checked = identity.check(&RECEIVED, &chain, &trust, NOW + 60, 60).expect("good");
    assert_eq!(checked.attestation, Attestation::A);
    assert_eq!(checked.origin, call().origin);
    assert_eq!(identity.check(&RECEIVED, &chain, &trust, NOW + 61, 60), Err(Failure::Stale));
    assert_eq!(identity.check(&RECEIVED, &chain, &trust, NOW - 61, 60), Err(Failure::Stale));
    for other in
        [ReceivedCall { from: "12155551214", ..RECEIVED }, ReceivedCall { to: "anonymous", ..RECEIVED }]
    {
        assert_eq!(identity.check(&other, &chain, &trust, NOW, 60), Err(Failure::OtherCall));
    }
    let other = trusting(&authority("Somebody", true));
    let untrusted = Err(Failure::BadCertificate(ChainError::Untrusted));
    assert_eq!(identity.check(&RECEIVED, &chain, &other, NOW, 60), untrusted);
    assert_eq!(identity.check(&RECEIVED, &chain, &Trust::default(), NOW, 60), untrusted);
    // The same name over another key.
    let twin = trusting(&authority("Root", true));
    assert_eq!(identity.check(&RECEIVED, &chain, &twin, NOW, 60), untrusted);
    let (_, certificate) = operator(&root, (2020, 2040));
    let another = Chain::read(certificate.as_bytes()).expect("a chain");
    assert_eq!(identity.check(&RECEIVED, &another, &trust, NOW, 60), Err(Failure::BadSignature));
    let (key, certificate) = operator(&root, (2020, 2022));
    let old = Identity::parse(Signer::new(&key, URL).expect("a signer").identity(&call()).as_bytes());
    let chain = Chain::read(certificate.as_bytes()).expect("a chain");
    assert_eq!(
        old.expect("an identity").check(&RECEIVED, &chain, &trust, NOW, 60),
        Err(Failure::BadCertificate(ChainError::Expired))
    );
}

#[test]
fn a_chain_leads_over_those_who_may_sign() {
    let root = authority("Root", true);
    for (ca, good) in [(true, true), (false, false)] {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Between");
        params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let between =
            Authority { issuer: CertifiedIssuer::signed_by(params, key, &root.issuer).expect("signed") };
        let (key, certificate) = operator(&between, (2020, 2040));
        let pem = format!("{certificate}{}", between.issuer.pem());
        let chain = Chain::read(pem.as_bytes()).expect("a chain");
        let identity =
            Identity::parse(Signer::new(&key, URL).expect("a signer").identity(&call()).as_bytes());
        let verdict = identity.expect("an identity").check(&RECEIVED, &chain, &trusting(&root), NOW, 60);
        assert_eq!(verdict.is_ok(), good, "{verdict:?}");
        // Without the one between there is no way up.
        let short = Chain::read(certificate.as_bytes()).expect("a chain");
        assert!(short.key(&trusting(&root), NOW).is_err());
    }
}

/// Any byte of the header changed: it is malformed, about another call, or its signature does not fit.
#[test]
fn a_certificate_for_numbers_speaks_for_no_others() {
    let root = authority("Root", true);
    // One number; a provider's code; what is no list.
    for (list, good) in [
        (&b"\x30\x0F\xA2\x0D\x16\x0B12155551212"[..], true),
        (b"\x30\x0F\xA2\x0D\x16\x0B12155551214", false),
        (b"\x30\x08\xA0\x06\x16\x04709J", true),
        (b"\x30\x00", false),
    ] {
        let (key, certificate) = operator_for(&root, (2020, 2040), Some(list));
        let value = Signer::new(&key, URL).expect("a signer").identity(&call());
        let identity = Identity::parse(value.as_bytes()).expect("an identity");
        let chain = Chain::read(certificate.as_bytes()).expect("a chain");
        let verdict = identity.check(&RECEIVED, &chain, &trusting(&root), NOW, 60).map(|_| ());
        let expected = if good { Ok(()) } else { Err(Failure::BadCertificate(ChainError::OtherNumbers)) };
        assert_eq!(verdict, expected, "{list:02x?}");
    }
}

#[test]
fn no_byte_can_be_changed() {
    let root = authority("Root", true);
    let (key, certificate) = operator(&root, (2020, 2040));
    let value = Signer::new(&key, URL).expect("a signer").identity(&call()).into_bytes();
    let (chain, trust) = (Chain::read(certificate.as_bytes()).expect("a chain"), trusting(&root));
    let token = value.iter().position(|byte| *byte == b';').expect("parameters");
    for at in 0..token {
        for to in [b'A', b'_', b'.', b'{', 0, 0xff] {
            let mut changed = value.clone();
            if changed[at] == to {
                continue;
            }
            changed[at] = to;
            let verdict =
                Identity::parse(&changed).and_then(|it| it.check(&RECEIVED, &chain, &trust, NOW, 60));
            assert!(verdict.is_err(), "byte {at} as {to}");
        }
    }
}

#[test]
fn what_is_no_identity() {
    let (key, _) = operator(&authority("Root", true), (2020, 2040));
    let good = Signer::new(&key, URL).expect("a signer").identity(&call());
    let token = good.split(';').next().expect("a token");
    let compact = format!("..{};info=<{URL}>", token.rsplit('.').next().expect("a signature"));
    for value in [
        "",
        ";",
        "a.b.c",
        token,
        &compact,
        &good.replace("ES256", "none"),
        &good.replace("info=<https", "info=<http"),
        &good.replace('<', ""),
        &good.replace(";info", ";x"),
        &format!("{}.{}", "A".repeat(9_000), token),
        &"a;".repeat(5_000),
    ] {
        assert_eq!(Identity::parse(value.as_bytes()), Err(Failure::Malformed), "{value}");
    }
    assert_eq!(Identity::parse(&[0xff, 0xfe]), Err(Failure::Malformed));
    // What is passed over, and not held against the call (RFC 8224 §6.2.2).
    for kind in ["ppt=\"div\"", "PPT = rph"] {
        let other = good.replace("ppt=\"shaken\"", kind);
        assert_eq!(Identity::parse(other.as_bytes()), Err(Failure::OtherKind), "{kind}");
    }
    let unquoted = good.replace("\"shaken\"", "shaken");
    assert!(Identity::parse(unquoted.as_bytes()).is_ok());
}

#[test]
fn what_is_no_key_and_no_certificate() {
    let (key, certificate) = operator(&authority("Root", true), (2020, 2040));
    for url in ["", "http://a/b.pem", "https://a/b>.pem", "https://a/b c.pem"] {
        assert_eq!(Signer::new(&key, url).map(|_| ()), Err(KeyError::BadUrl), "{url}");
    }
    for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", certificate.as_str()] {
        assert_eq!(Signer::new(text, URL).map(|_| ()), Err(KeyError::NoKey));
    }
    for text in ["", "x", key.as_str(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(Chain::read(text.as_bytes()), Err(ChainError::Malformed), "{text}");
    }
    assert_eq!(Chain::read(certificate.repeat(7).as_bytes()), Err(ChainError::Malformed));
    assert_eq!(canonical_number("+86 (21) 5555-6666*1#").as_deref(), Some("862155556666*1#"));
    for text in ["", "+", "anonymous", "12a", &"1".repeat(33)] {
        assert_eq!(canonical_number(text), None, "{text}");
    }
}
