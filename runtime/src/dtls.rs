//! The handshakes of DTLS-SRTP (RFC 5764): a library's state machines, fed with what comes to media ports and with time.

use sansio::{Instant, WallTime};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at handshakes that are under way.
const LOOK_EVERY: sansio::Duration = sansio::Duration::from_millis(50);
/// A handshake that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(30);
/// Handshakes and finished ones of one shard at once.
const OPEN_MAX: usize = 10_000;
/// Longest datagram that is made.
const PACKET_BYTES_MAX: usize = 2048;
/// A certificate holds from a day before it is made, so that clocks may differ, for so long …
const LASTS: Duration = Duration::from_secs(90 * DAY_S);
/// … and another one takes its place so long before its end.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * DAY_S);
const DAY_S: u64 = 86_400;

/// The certificate that we show to browsers, with its key. Its fingerprint is what counts.
#[derive(Clone)]
pub struct Identity {
    certificate: dimpl::DtlsCertificate,
    fingerprint: [u8; 32],
    made_at: WallTime,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:02X?}, ***)", &self.fingerprint[..4])
    }
}

impl Identity {
    /// A new one, which nobody has signed.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(now: WallTime) -> io::Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).map_err(io::Error::other)?;
        // Firefox wants serial numbers that are like no other's; a name says nothing here.
        let mut serial = [0_u8; 16];
        crate::entropy::fill(&mut serial)?;
        serial[0] &= 0x7F;
        parameters.serial_number = Some(serial.to_vec().into());
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "dialerd");
        let since_1970 = Duration::from_millis(u64::try_from(now.unix_millis()).unwrap_or(0));
        let today = rcgen::date_time_ymd(1970, 1, 1) + since_1970;
        parameters.not_before = today - Duration::from_secs(DAY_S);
        parameters.not_after = today + LASTS;
        let certificate = parameters.self_signed(&key).map_err(io::Error::other)?.der().to_vec();
        let fingerprint = sha256(&certificate);
        let certificate = dimpl::DtlsCertificate { certificate, private_key: key.serialize_der() };
        Ok(Identity { certificate, fingerprint, made_at: now })
    }

    /// Its end is near, or its beginning is to come: the clock was wrong when it was made.
    fn is_worn(&self, now: WallTime) -> bool {
        let age_ms = now.unix_millis() - self.made_at.unix_millis();
        let fresh_ms = (LASTS - RENEWED_BEFORE).as_millis() as i64;
        !(-1000 * DAY_S as i64..fresh_ms).contains(&age_ms)
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// What both sides protect their packets with (RFC 5764 §4.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Profile {
    Aes128CmSha1_80,
    AeadAes128Gcm,
    AeadAes256Gcm,
}

impl Profile {
    /// Bytes of a master key, and of its salt.
    const fn bytes(self) -> (usize, usize) {
        match self {
            Profile::Aes128CmSha1_80 => (16, 14),
            Profile::AeadAes128Gcm => (16, 12),
            Profile::AeadAes256Gcm => (32, 12),
        }
    }
}

/// What has become of a handshake.
pub enum Happened {
    /// This is to be sent to the far end.
    Send {
        /// The stream.
        stream: u64,
        /// What.
        packet: Vec<u8>,
    },
    /// It is done; the far end has shown the certificate it had named.
    Done {
        /// The stream.
        stream: u64,
        /// For what the keys are.
        profile: Profile,
        /// The far end's master key and salt, behind each other.
        inbound: Vec<u8>,
        /// Ours.
        outbound: Vec<u8>,
    },
    /// It has failed, or the far end has shown another certificate.
    Failed {
        /// The stream.
        stream: u64,
    },
}

struct Handshake {
    dtls: dimpl::Dtls,
    fingerprint: [u8; 32],
    active: bool,
    /// The certificate was the right one.
    shown: bool,
    done: bool,
}

/// The handshakes of one shard. Finished ones stay until they are closed: a far end may have missed our last words.
pub struct Handshakes {
    identity: Identity,
    /// The one before, for far ends whose description names it.
    former: Option<Identity>,
    config: Option<Arc<dimpl::Config>>,
    open: BTreeMap<u64, Handshake>,
    buffer: Vec<u8>,
    /// Handshakes under way.
    busy: usize,
    look_at: Instant,
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshakes({} open, {} under way)", self.open.len(), self.busy)
    }
}

impl Handshakes {
    /// None yet.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Handshakes {
            identity,
            former: None,
            config: None,
            open: BTreeMap::new(),
            buffer: vec![0; PACKET_BYTES_MAX],
            busy: 0,
            look_at: Instant::ZERO,
        }
    }

    fn config(&mut self) -> Option<Arc<dimpl::Config>> {
        if self.config.is_none() {
            let config = dimpl::Config::builder()
                .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
                // A check of the far end's has come before: nobody makes us answer to a forged address.
                .use_server_cookie(false)
                .handshake_timeout(LONGEST)
                .build();
            match config {
                Ok(config) => self.config = Some(Arc::new(config)),
                Err(error) => tracing::error!(%error, "no handshakes with browsers"),
            }
        }
        self.config.clone()
    }

    /// Makes a new certificate when the end of ours is near; gives its fingerprint then, for new descriptions. Handshakes
    /// that are under way or done are not touched.
    ///
    /// # Errors
    /// When there is no randomness; all is as before.
    pub fn renew(&mut self, now: WallTime) -> io::Result<Option<[u8; 32]>> {
        if !self.identity.is_worn(now) {
            return Ok(None);
        }
        let new = Identity::generate(now)?;
        let fingerprint = new.fingerprint;
        self.former = Some(std::mem::replace(&mut self.identity, new));
        Ok(Some(fingerprint))
    }

    fn identity_of(&self, fingerprint: [u8; 32]) -> Option<&Identity> {
        [Some(&self.identity), self.former.as_ref()]
            .into_iter()
            .flatten()
            .find(|identity| identity.fingerprint == fingerprint)
    }

    /// Makes a handshake ready.
    ///
    /// * `ours` which of our certificates the far end was told of
    /// * `fingerprint` of the certificate that it must show
    pub fn open(
        &mut self,
        now: Instant,
        stream: u64,
        ours: [u8; 32],
        fingerprint: [u8; 32],
        active: bool,
        happened: &mut Vec<Happened>,
    ) {
        self.close(stream);
        let config = self.config().filter(|_| self.open.len() < OPEN_MAX);
        let (Some(config), Some(identity)) = (config, self.identity_of(ours)) else {
            happened.push(Happened::Failed { stream });
            return;
        };
        let mut dtls = dimpl::Dtls::new_12(config, identity.certificate.clone(), std::time::Instant::now());
        dtls.set_active(active);
        self.open.insert(stream, Handshake { dtls, fingerprint, active, shown: false, done: false });
        self.busy += 1;
        self.look_at = self.look_at.min(now + LOOK_EVERY).max(now);
        self.turn(stream, None, happened);
    }

    /// Something came for it.
    pub fn packet(&mut self, stream: u64, packet: &[u8], happened: &mut Vec<Happened>) {
        self.turn(stream, Some(packet), happened);
    }

    /// Forgets a handshake.
    pub fn close(&mut self, stream: u64) {
        if let Some(gone) = self.open.remove(&stream)
            && !gone.done
        {
            self.busy -= 1;
        }
    }

    /// When to call [`Handshakes::handle_timeout`]; `None` while nothing is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.busy > 0).then_some(self.look_at)
    }

    /// Says again what was not answered.
    pub fn handle_timeout(&mut self, now: Instant, happened: &mut Vec<Happened>) {
        if self.busy == 0 || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        let under_way: Vec<u64> =
            self.open.iter().filter(|(_, handshake)| !handshake.done).map(|(stream, _)| *stream).collect();
        for stream in under_way {
            self.turn(stream, None, happened);
        }
    }

    /// Time, a packet, and all that follows from them.
    fn turn(&mut self, stream: u64, packet: Option<&[u8]>, happened: &mut Vec<Happened>) {
        let Some(handshake) = self.open.get_mut(&stream) else { return };
        let was_done = handshake.done;
        let mut sound = handshake.dtls.handle_timeout(std::time::Instant::now()).is_ok();
        sound &= drain(stream, handshake, &mut self.buffer, happened);
        if let Some(packet) = packet.filter(|_| sound) {
            sound = handshake.dtls.handle_packet(packet).is_ok();
            sound &= drain(stream, handshake, &mut self.buffer, happened);
        }
        if handshake.done && !was_done {
            self.busy -= 1;
        }
        if !sound {
            // What is agreed stays agreed: the keys of a finished handshake outlive it.
            if !handshake.done {
                happened.push(Happened::Failed { stream });
            }
            self.close(stream);
        }
    }
}

/// Carries out what the state machine wants. False: it is over.
fn drain(stream: u64, handshake: &mut Handshake, buffer: &mut Vec<u8>, happened: &mut Vec<Happened>) -> bool {
    loop {
        match handshake.dtls.poll_output(buffer) {
            dimpl::Output::Packet(packet) => {
                happened.push(Happened::Send { stream, packet: packet.to_vec() })
            }
            dimpl::Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            dimpl::Output::PeerCert(certificate) => {
                handshake.shown = sha256(certificate) == handshake.fingerprint;
                if !handshake.shown {
                    return false;
                }
            }
            dimpl::Output::KeyingMaterial(material, profile) => {
                let profile = match profile {
                    dimpl::SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1_80,
                    dimpl::SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
                    dimpl::SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
                    _ => return false,
                };
                let Some((inbound, outbound)) = split(&material, profile, handshake.active) else {
                    return false;
                };
                if !handshake.shown {
                    return false;
                }
                handshake.done = true;
                happened.push(Happened::Done { stream, profile, inbound, outbound });
            }
            dimpl::Output::Timeout(_) => return true,
            dimpl::Output::CloseNotify => return false,
            // Nobody sends data this way.
            _ => {}
        }
    }
}

/// RFC 5764 §4.2: the keys of client and server, then their salts. Gives the far end's key and ours, salts behind.
fn split(material: &[u8], profile: Profile, client: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, salt) = profile.bytes();
    let (keys, salts) = material.split_at_checked(2 * key).filter(|(_, salts)| salts.len() >= 2 * salt)?;
    let of = |side: usize| [&keys[side * key..][..key], &salts[side * salt..][..salt]].concat();
    let (of_client, of_server) = (of(0), of(1));
    Some(if client { (of_server, of_client) } else { (of_client, of_server) })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    <sha2::Sha256 as sha2::Digest>::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 22nd of July 2026.
    const TODAY: WallTime = WallTime::from_unix_millis(1_784_678_400_000);

    fn days_later(days: i64) -> WallTime {
        WallTime::from_unix_millis(TODAY.unix_millis() + days * 1000 * DAY_S as i64)
    }

    /// Both sides have the keys when the first, who begins, was told `named` of the second.
    fn is_done(sides: &mut [(Handshakes, [u8; 32]); 2], named: [u8; 32]) -> bool {
        let mut happened = [Vec::new(), Vec::new()];
        let first = sides[0].1;
        sides[1].0.open(Instant::ZERO, 1, named, first, false, &mut happened[1]);
        sides[0].0.open(Instant::ZERO, 1, first, named, true, &mut happened[0]);
        let results = play(sides, happened);
        results.iter().all(|side| matches!(side[..], [Happened::Done { .. }]))
    }

    #[test]
    fn a_certificate_holds_for_a_while_and_is_renewed_before_its_end() {
        let mut sides = pair();
        let first = sides[1].1;
        let der = sides[1].0.identity.certificate.certificate.clone();
        for named in [b"260721000000Z", b"261020000000Z"] {
            assert!(
                der.windows(named.len()).any(|there| there == named),
                "from the 21st of July to the 20th of October"
            );
        }
        let renewed = |sides: &mut [(Handshakes, [u8; 32]); 2], at| sides[1].0.renew(at).expect("randomness");
        assert_eq!(renewed(&mut sides, TODAY), None);
        assert_eq!(renewed(&mut sides, days_later(59)), None);
        let second = renewed(&mut sides, days_later(60)).expect("a month before its end");
        assert_eq!(renewed(&mut sides, days_later(60)), None);
        // Whoever was told of the one before is shown that.
        assert!(is_done(&mut sides, first));
        assert!(is_done(&mut sides, second));
        let third = renewed(&mut sides, days_later(-2)).expect("the clock was wrong");
        assert!(!is_done(&mut sides, first), "it is gone");
        assert!(is_done(&mut sides, second));
        assert!(is_done(&mut sides, third));
    }

    fn pair() -> [(Handshakes, [u8; 32]); 2] {
        [(); 2].map(|()| {
            let identity = Identity::generate(TODAY).expect("randomness");
            let fingerprint = identity.fingerprint();
            (Handshakes::new(identity), fingerprint)
        })
    }

    /// Carries packets to and fro until nothing is said any more; gives what both sides came to.
    fn play(sides: &mut [(Handshakes, [u8; 32]); 2], happened: [Vec<Happened>; 2]) -> [Vec<Happened>; 2] {
        let mut results = [Vec::new(), Vec::new()];
        let mut said = happened;
        for _ in 0..100 {
            let mut next = [Vec::new(), Vec::new()];
            for (side, happened) in said.into_iter().enumerate() {
                for one in happened {
                    match one {
                        Happened::Send { packet, .. } => {
                            sides[1 - side].0.packet(1, &packet, &mut next[1 - side])
                        }
                        other => results[side].push(other),
                    }
                }
            }
            said = next;
            if said.iter().all(Vec::is_empty) {
                break;
            }
        }
        results
    }

    #[test]
    fn both_sides_get_the_same_keys() {
        let mut sides = pair();
        let mut happened = [Vec::new(), Vec::new()];
        let (first, second) = (sides[0].1, sides[1].1);
        sides[1].0.open(Instant::ZERO, 1, second, first, false, &mut happened[1]);
        sides[0].0.open(Instant::ZERO, 1, first, second, true, &mut happened[0]);
        let [mut client, mut server] = play(&mut sides, happened);
        let (
            Some(Happened::Done { profile, inbound, outbound, .. }),
            Some(Happened::Done { profile: theirs, inbound: i, outbound: o, .. }),
        ) = (client.pop(), server.pop())
        else {
            panic!("both are done")
        };
        assert_eq!((profile, &inbound, &outbound), (theirs, &o, &i));
        assert_ne!(inbound, outbound);
        assert!(sides.iter().all(|side| side.0.poll_timeout().is_none()));
        sides[0].0.close(1);
        assert!(sides[0].0.open.is_empty());
    }

    #[test]
    fn another_certificate_than_named_is_not_taken() {
        let mut sides = pair();
        let mut happened = [Vec::new(), Vec::new()];
        let (first, second) = (sides[0].1, sides[1].1);
        sides[1].0.open(Instant::ZERO, 1, second, first, false, &mut happened[1]);
        sides[0].0.open(Instant::ZERO, 1, first, [7; 32], true, &mut happened[0]);
        let [client, server] = play(&mut sides, happened);
        assert!(matches!(client[..], [Happened::Failed { stream: 1 }]));
        assert!(!server.iter().any(|one| matches!(one, Happened::Done { .. })));
        assert!(sides[0].0.open.is_empty() && sides[0].0.poll_timeout().is_none());
    }

    #[test]
    fn rubbish_does_no_harm() {
        let (mut side, fingerprint) = pair().into_iter().next().expect("two");
        let mut happened = Vec::new();
        side.open(Instant::ZERO, 1, fingerprint, fingerprint, false, &mut happened);
        for first in 0..=255_u8 {
            side.packet(1, &[first; 40], &mut happened);
            side.packet(1, &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, first, 0, 2, 1, 0], &mut happened);
            side.packet(9, &[first], &mut happened);
        }
        assert!(!happened.iter().any(|one| matches!(one, Happened::Done { .. })));
    }
}
