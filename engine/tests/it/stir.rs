//! Calls that are signed, checked, refused, and that wait for a certificate.

use crate::transit::{FROM, TO, connect};
use crate::world::{Callee, World};
use engine::{AttestRule, ShardCommand, StirRules, StirSettings, TransitMedia, VerifyRule};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sip_proxy::stir::{Attestation, Signer, Trust};
use std::sync::Arc;

const URL: &str = "https://certificates.example.org/operator.pem";

/// A signer, its certificate, and whoever certified it.
struct Operator {
    signer: Signer,
    certificate: String,
    trust: Trust,
}

fn operator() -> Operator {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let params = CertificateParams::new(Vec::<String>::new()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &root).unwrap().pem();
    let mut trust = Trust::default();
    trust.add(root.pem().as_bytes()).unwrap();
    Operator { signer: Signer::new(&key.serialize_pem(), URL).unwrap(), certificate, trust }
}

fn attest(level: Option<Attestation>) -> Vec<AttestRule> {
    let rule = |prefix: &str, attestation| AttestRule {
        trunk: Some(TO),
        caller_id_prefix: prefix.into(),
        attestation,
    };
    vec![rule("999", None), rule("", level)]
}

/// A shard that signs what goes out and checks what comes in.
fn world(settings: StirSettings) -> World {
    let mut w = World::new(7);
    connect(&mut w, TransitMedia::Bypass, Callee::answers(200));
    w.command(ShardCommand::SetStir(StirRules(Arc::new(settings))));
    w
}

fn identity_of(invite: &str) -> Option<String> {
    invite.lines().find_map(|line| line.strip_prefix("Identity: ")).map(ToOwned::to_owned)
}

/// An Identity header for a call from 100 to 0200, as another node would sign it now.
fn signed_elsewhere(signer: Signer) -> String {
    signed_for(signer, "0200")
}

fn signed_for(signer: Signer, to: &str) -> String {
    let mut w = world(StirSettings {
        signer: Some(signer),
        attest: attest(Some(Attestation::B)),
        age_max_s: 60,
        ..StirSettings::default()
    });
    w.call_in(0, "100", to);
    w.run_for(100);
    identity_of(&w.peers[1].invites[0]).expect("signed")
}

#[test]
fn what_goes_out_is_signed_by_rule() {
    let operator = operator();
    let mut w = world(StirSettings {
        signer: Some(operator.signer),
        attest: attest(Some(Attestation::A)),
        age_max_s: 60,
        ..StirSettings::default()
    });
    w.call_in(0, "100", "0200");
    w.call_in(0, "9991", "0201");
    w.call_in(0, "anonymous", "0202");
    w.run_for(100);
    let signed: Vec<bool> = w.peers[1].invites.iter().map(|invite| identity_of(invite).is_some()).collect();
    assert_eq!(signed, [true, false, false]);
    let value = identity_of(&w.peers[1].invites[0]).unwrap();
    assert!(value.ends_with(&format!(";info=<{URL}>;alg=ES256;ppt=\"shaken\"")), "{value}");
}

#[test]
fn a_call_waits_for_its_signers_certificate_and_goes_on() {
    let operator = operator();
    let identity = signed_elsewhere(operator.signer);
    let mut w = world(StirSettings {
        verify: vec![VerifyRule { trunk: Some(FROM), require: true }],
        trust: operator.trust,
        age_max_s: 60,
        ..StirSettings::default()
    });
    w.identity = Some(identity.clone());
    w.call_in(0, "100", "0200");
    w.call_in(0, "100", "0200");
    w.run_for(500);
    assert!(w.peers[1].invites.is_empty(), "nothing goes on before the signature is checked");
    assert_eq!(w.fetches, [URL], "two calls wait for one certificate");
    w.certificate(URL, Some(operator.certificate));
    w.run_for(1000);
    assert_eq!(w.peers[1].invites.len(), 2);
    assert_eq!(identity_of(&w.peers[1].invites[0]).as_ref(), Some(&identity), "the caller's own goes on");
    // The certificate is known now.
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    assert_eq!((w.peers[1].invites.len(), w.fetches.len()), (3, 1));
    w.peer_hangup(0);
    w.run_for(1000);
    let records = w.transit_records();
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| record.verstat.as_deref() == Some("passed:B")), "{records:?}");
}

#[test]
fn what_does_not_pass_is_refused_or_written_down() {
    let good = operator();
    let identity = signed_elsewhere(good.signer);
    let stranger = operator();
    // Identity header, certificate at its address, trusted, status, verstat.
    type Case<'c> = (Option<String>, Option<&'c str>, &'c Trust, u16, &'c str);
    let diverted = identity.replace("ppt=\"shaken\"", "ppt=\"div\"");
    let cases: [Case<'_>; 6] = [
        (None, None, &good.trust, 428, "failed:absent"),
        (Some(diverted), None, &good.trust, 428, "failed:absent"),
        (Some(identity.clone()), None, &good.trust, 436, "failed:no_certificate"),
        (Some(identity.clone()), Some(&good.certificate), &stranger.trust, 437, "failed:bad_certificate"),
        (Some(identity.clone()), Some(&stranger.certificate), &stranger.trust, 438, "failed:bad_signature"),
        (Some("x.y.z;info=<https://a>".into()), None, &good.trust, 438, "failed:malformed"),
    ];
    for (identity, certificate, trust, status, verstat) in cases {
        for require in [true, false] {
            let mut w = world(StirSettings {
                verify: vec![VerifyRule { trunk: None, require }],
                trust: trust.clone(),
                age_max_s: 60,
                ..StirSettings::default()
            });
            w.identity = identity.clone();
            w.call_in(0, "100", "0200");
            w.run_for(10);
            for url in std::mem::take(&mut w.fetches) {
                w.certificate(&url, certificate.map(ToOwned::to_owned));
            }
            w.run_for(1000);
            if require {
                assert!(w.peers[1].invites.is_empty());
                assert!(w.ladder.contains(&format!("us -> caller: {status}")), "{status}\n{}", w.ladder);
                continue;
            }
            w.peer_hangup(0);
            w.run_for(1000);
            assert_eq!(w.transit_records()[0].verstat.as_deref(), Some(verstat));
        }
    }
}

/// Many callers wait for one certificate, and other programs have every other port: those of all are found in time.
#[test]
fn callers_who_waited_together_meet_no_port_of_others() {
    let operator = operator();
    let identity = signed_elsewhere(operator.signer);
    let mut w = World::with(7, |config| {
        (config.media_ports, config.media_ports_held) = (20_000..=20_127, 4);
    });
    w.ports_taken = (20_000..=20_127).step_by(4).collect();
    connect(&mut w, TransitMedia::Relay, Callee::answers(200));
    w.command(ShardCommand::SetStir(StirRules(Arc::new(StirSettings {
        verify: vec![VerifyRule { trunk: Some(FROM), require: true }],
        trust: operator.trust,
        age_max_s: 60,
        ..StirSettings::default()
    }))));
    w.identity = Some(identity);
    for _ in 0..12 {
        w.call_in(0, "100", "0200");
    }
    w.run_for(500);
    assert!(w.peers[1].invites.is_empty());
    w.certificate(URL, Some(operator.certificate));
    w.run_for(1000);
    assert_eq!(w.peers[1].invites.len(), 12);
    assert_eq!(w.peers[1].legs.iter().filter(|leg| leg.up).count(), 12);
}

/// A caller who gives up while the certificate is fetched is not called back to life.
#[test]
fn nobody_is_called_for_a_caller_who_has_gone() {
    let operator = operator();
    let identity = signed_elsewhere(operator.signer);
    let mut w = world(StirSettings {
        verify: vec![VerifyRule { trunk: None, require: false }],
        trust: operator.trust,
        age_max_s: 60,
        ..StirSettings::default()
    });
    w.identity = Some(identity);
    w.call_in(0, "100", "0200");
    w.run_for(100);
    w.peer_hangup(0);
    w.run_for(100);
    w.certificate(URL, Some(operator.certificate));
    w.run_for(1000);
    assert!(w.peers[1].invites.is_empty());
    w.assert_at_rest();
}

/// A call for one of our numbers is checked as those are that pass through; the dialer is told what became of it.
#[test]
fn calls_for_our_numbers_are_checked_too() {
    let operator = operator();
    let identity = signed_for(operator.signer, "0049301");
    for (require, identity, certificate, expected) in [
        (true, Some(identity.clone()), Some(operator.certificate.clone()), Some(Some("passed:B"))),
        (false, Some(identity), None, Some(Some("failed:no_certificate"))),
        (false, None, None, Some(Some("failed:absent"))),
        (true, None, None, None),
    ] {
        let mut w = world(StirSettings {
            verify: vec![VerifyRule { trunk: Some(FROM), require }],
            trust: operator.trust.clone(),
            age_max_s: 60,
            ..StirSettings::default()
        });
        w.command(ShardCommand::ServeNumbers(Arc::new(["+49301".to_owned()].into_iter().collect())));
        w.identity = identity.clone();
        w.call_in(0, "100", "0049301");
        w.run_for(200);
        if identity.is_some() {
            w.certificate(URL, certificate);
            w.run_for(200);
        }
        let arrived = w.facts.iter().find_map(|event| match event {
            engine::ShardEvent::Call(dialer_core::CallFact::InboundArrived { verstat, .. }) => {
                Some(verstat.as_deref())
            }
            _ => None,
        });
        assert_eq!(arrived, expected, "{}", w.ladder);
    }
}
