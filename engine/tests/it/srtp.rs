//! Legs whose sound is encrypted under keys in the session descriptions (RFC 4568).

use crate::dialled::{bridge, dial, ring_agent};
use crate::transit::{FROM, TO};
use crate::world::{Callee, World};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use dialer_core::config::Srtp;
use dialer_core::outcome::{EndCause, Outcome};
use dialer_core::{AgentId, TrunkId};
use engine::{Route, ShardCommand, TransitMedia};
use media::srtp::{Inbound, MasterKey, Outbound, Suite};

/// The key of every peer that has one.
const KEY: [u8; 30] = *b"thirty bytes, sixteen a key +s";
const SUITE: Suite = Suite::AesCm128Sha1_80;
const CUSTOMER: usize = 0;
const AGENT: usize = 1;

/// A peer's end of an encrypted leg.
#[derive(Debug)]
pub(crate) struct Secured {
    outbound: Outbound,
    inbound: Inbound,
    theirs: MasterKey,
}

impl Secured {
    /// With the key that a description of the shard's holds.
    pub(crate) fn with(body: &[u8]) -> Option<Box<Secured>> {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().find(|line| line.starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "))?;
        let key = BASE64_STANDARD.decode(line.split_once("inline:")?.1).expect("base64");
        let theirs = MasterKey::new(SUITE, &key).expect("a key");
        let ours = MasterKey::new(SUITE, &KEY).expect("a key");
        Some(Box::new(Secured { outbound: Outbound::new(ours), inbound: Inbound::new(theirs), theirs }))
    }

    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut packet = BytesMut::from(plain);
        self.outbound.protect(&mut packet, 0).expect("a new number");
        packet.to_vec()
    }

    pub(crate) fn open(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.inbound
            .open(&mut packet)
            .expect("what a phone with keys is sent is protected with them")
            .to_vec()
    }
}

/// A description with this profile and a key, if a profile is given.
pub(crate) fn with_key(profile: Option<&str>, sdp: Bytes) -> Bytes {
    let Some(profile) = profile else { return sdp };
    let text = String::from_utf8(sdp.to_vec()).expect("text").replace("RTP/AVP", profile);
    let key = BASE64_STANDARD.encode(KEY);
    Bytes::from(format!("{text}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"))
}

fn transit(from: Srtp, to: Srtp, media: TransitMedia) -> World {
    let mut w = World::new(11);
    w.carrier("caller", FROM, |trunk| trunk.srtp = from);
    w.carrier("callee", TO, |trunk| trunk.srtp = to);
    w.peers[1].default = Callee::answers(200);
    let route =
        Route { from_trunk: Some(FROM), prefix: "0".into(), to_trunks: vec![TO], media, record: false };
    w.command(ShardCommand::SetRoutes(vec![route]));
    for peer in [0, 1] {
        w.peers[peer].speaks = true;
    }
    w
}

/// Every pair of settings, with peers that do what they are asked for: who hears whom, and on which legs in clear.
#[test]
fn relayed_between_plain_and_encrypted_legs() {
    const PROFILES: [(Srtp, Option<&str>); 4] = [
        (Srtp::Off, None),
        (Srtp::Optional, None),
        (Srtp::Optional, Some("RTP/AVP")),
        (Srtp::Required, Some("RTP/SAVP")),
    ];
    for (from, caller) in PROFILES {
        for (to, callee) in PROFILES {
            for media in [TransitMedia::Relay, TransitMedia::Bypass] {
                let mut w = transit(from, to, media);
                (w.peers[0].srtp, w.peers[1].srtp) = (caller, callee);
                w.call_in(0, "100", "0200");
                w.run_for(1000);
                let past_us = media == TransitMedia::Bypass && (from, to) == (Srtp::Off, Srtp::Off);
                assert_eq!(w.ports.is_empty(), past_us, "{from:?} {to:?}");
                if !past_us {
                    for peer in [0, 1] {
                        let leg = &w.peers[peer].legs[0];
                        assert!(leg.heard > 20, "{from:?} {to:?}: {peer} heard {}", leg.heard);
                        assert_eq!(leg.last_payload, [w.peers[1 - peer].voice; 160]);
                        assert_eq!(leg.secure.is_some(), [caller, callee][peer].is_some());
                    }
                    let media = w.shard.counters().media;
                    let encrypted = caller.is_some() || callee.is_some();
                    assert_eq!(media.srtp_in > 0 && media.srtp_out > 0, encrypted);
                    assert_eq!(media.dropped_srtp_forged + media.dropped_srtp_replayed, 0);
                }
                w.peer_hangup(0);
                w.run_for(1000);
                assert_eq!(w.transit_records()[0].outcome, Outcome::Connected);
                w.assert_at_rest();
            }
        }
    }
}

#[test]
fn who_cannot_encrypt_is_not_spoken_with_where_that_is_required() {
    // The caller is plain.
    let mut w = transit(Srtp::Required, Srtp::Off, TransitMedia::Relay);
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    assert_eq!(w.peers[0].ended[0].code, Some(488));
    assert!(w.peers[1].invites.is_empty());
    w.assert_at_rest();
    // The called side answers in clear.
    let mut w = transit(Srtp::Off, Srtp::Required, TransitMedia::Relay);
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    assert_eq!(w.peers[0].ended[0].code, Some(488));
    assert!(w.peers[1].invites[0].contains(" RTP/SAVP 0 "), "{}", w.peers[1].invites[0]);
    assert!(w.ports.is_empty());
    assert_eq!(w.transit_records()[0].cause, EndCause::Incompatible);
    w.assert_at_rest();
    // It is asked for, and we have it not.
    let mut w = transit(Srtp::Off, Srtp::Off, TransitMedia::Relay);
    w.peers[0].srtp = Some("RTP/SAVP");
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    assert_eq!(w.peers[0].ended[0].code, Some(488));
    w.assert_at_rest();
}

/// A dialled call: the carrier in clear, the agent's phone encrypted, joined, held and taken back.
#[test]
fn an_agents_phone_with_encryption() {
    let agent = AgentId::from_bits(1);
    let mut w = World::new(7);
    w.carrier("carrier", TrunkId::from_bits(1), |_| {});
    w.phone_with("anna", agent, |config| config.srtp = Srtp::Required);
    w.peers[AGENT].srtp = Some("RTP/SAVP");
    for peer in [CUSTOMER, AGENT] {
        w.peers[peer].speaks = true;
    }
    w.order(dial(), true);
    w.run_for(500);
    w.order(ring_agent(), false);
    w.run_for(500);
    w.order(bridge(), false);
    w.run_for(2000);
    let customer = &w.peers[CUSTOMER].legs[0];
    assert_eq!(customer.last_payload, [w.peers[AGENT].voice; 160]);
    assert!(customer.secure.is_none());
    assert_eq!(w.peers[AGENT].legs[0].last_payload, [w.peers[CUSTOMER].voice; 160]);
    let key = w.peers[AGENT].legs[0].secure.as_ref().expect("keys").theirs;
    assert!(w.peers[AGENT].invites[0].contains("a=crypto:2 AEAD_AES_128_GCM inline:"));
    // The same keys go on in a re-INVITE.
    w.peer_reinvite(AGENT, "sendonly");
    w.run_for(500);
    w.peer_reinvite(AGENT, "sendrecv");
    w.run_for(500);
    let before = w.peers[CUSTOMER].legs[0].heard;
    w.run_for(500);
    assert!(w.peers[CUSTOMER].legs[0].heard > before + 20);
    let trace = format!("{:?}", w.shard.trace(dialer_core::CallId::from_bits(1)));
    assert!(trace.contains("inline:****") && !trace.contains(&BASE64_STANDARD.encode(key.bytes())));
    assert!(!trace.contains(&BASE64_STANDARD.encode(KEY)));
    w.order(crate::dialled::hangup(), false);
    w.run_for(1000);
    w.assert_at_rest();
}
