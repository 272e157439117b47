//! Who says who calls: signing what we send and checking what comes in (STIR/SHAKEN), by the operator's rules.

use crate::doors::ShardEffect;
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Why};
use bytes::Bytes;
use dialer_core::TrunkId;
use sansio::{Duration, Instant, Outbox, Rng};
use sip_proxy::stir::{
    Attestation, Chain, Failure, Identity, ReceivedCall, SignedCall, Signer, Trust, canonical_number,
};
use sip_proxy::ua::LegKey;
use sip_proxy::wire::{HeaderName, Message};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Certificates remembered.
const CHAINS_MAX: usize = 1_000;
/// A certificate is fetched again after so long, seconds.
const CHAIN_LASTS_S: u64 = 3_600;
/// One that could not be had is asked for again after so long, seconds.
const MISS_LASTS_S: u64 = 60;
/// Between two batches of calls that go on with a certificate that has come: time for ports to be held anew.
const CERTIFIED_EVERY: Duration = Duration::from_millis(1);
/// Calls that may wait for certificates at once.
pub(crate) const WAITING_MAX: usize = 1_000;

/// What is signed and what is checked. The first rule that fits is taken.
#[derive(Debug, Default)]
pub struct StirSettings {
    /// The operator's key; without it nothing is signed.
    pub signer: Option<Signer>,
    /// Which calls are signed, and how.
    pub attest: Vec<AttestRule>,
    /// Which calls are checked.
    pub verify: Vec<VerifyRule>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// How far the time in a signature may be from now, seconds.
    pub age_max_s: u64,
}

/// Calls that go out on a trunk with a caller ID that begins so are signed with this attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestRule {
    /// On this trunk; `None` any.
    pub trunk: Option<TrunkId>,
    /// Digits, without a plus; empty any.
    pub caller_id_prefix: String,
    /// How sure we are; `None` leaves the call unsigned.
    pub attestation: Option<Attestation>,
}

/// Calls that come in on a trunk are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRule {
    /// On this trunk; `None` any.
    pub trunk: Option<TrunkId>,
    /// Refuse what does not pass (428, 436, 437, 438, 403), or only write it down.
    pub require: bool,
}

/// A certificate's file, as the edge has it.
#[derive(Debug)]
struct Known {
    chain: Option<Chain>,
    until_s: u64,
}

/// What a shard knows of signatures.
#[derive(Debug, Default)]
pub(crate) struct Stir {
    settings: Option<Arc<StirSettings>>,
    chains: BTreeMap<String, Known>,
    pub(crate) waiting: Vec<Waiting>,
    /// Calls whose signer's certificate has come, and that go on when their turn comes.
    pub(crate) certified: VecDeque<Waiting>,
}

/// A call that waits for its signer's certificate.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) url: String,
    pub(crate) leg: LegKey,
    pub(crate) from: TrunkKey,
    pub(crate) request: Box<Message>,
}

/// What is to be done with a call that came in.
pub(crate) enum Verdict {
    /// Carry it on, with this in its record.
    Go(Option<String>),
    /// Refuse it.
    Refuse(u16),
    /// Its signer's certificate has to be fetched first.
    Wait(String),
}

impl Stir {
    pub(crate) fn set(&mut self, settings: Arc<StirSettings>) {
        self.settings = Some(settings);
    }

    /// Whether any call that comes in is to be checked.
    pub(crate) fn checks(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| !settings.verify.is_empty())
    }

    /// The Identity header of a call we send; `None` when no rule wants it signed.
    pub(crate) fn sign(
        &self,
        trunk: TrunkId,
        from: Option<&str>,
        to: &str,
        now_s: u64,
        rng: &mut Rng,
    ) -> Option<String> {
        let settings = self.settings.as_ref()?;
        let signer = settings.signer.as_ref()?;
        let (from, to) = (canonical_number(from?)?, canonical_number(to)?);
        let fits = |rule: &&AttestRule| {
            rule.trunk.is_none_or(|wanted| wanted == trunk) && from.starts_with(&rule.caller_id_prefix)
        };
        let attestation = settings.attest.iter().find(fits)?.attestation?;
        let origin = uuid(rng);
        Some(signer.identity(&SignedCall {
            attestation,
            from: &from,
            to: &to,
            issued_at_s: now_s,
            origin: &origin,
        }))
    }

    /// Looks at the signature of a call that came in on a trunk.
    pub(crate) fn judge(
        &self,
        trunk: TrunkId,
        request: &Message,
        from: &str,
        to: &str,
        now_s: u64,
    ) -> Verdict {
        let Some(settings) = &self.settings else { return Verdict::Go(None) };
        let fits = |rule: &&VerifyRule| rule.trunk.is_none_or(|wanted| wanted == trunk);
        let Some(rule) = settings.verify.iter().find(fits) else { return Verdict::Go(None) };
        let outcome = self.check(settings, request, &ReceivedCall { from, to }, now_s);
        match outcome {
            Ok(Ok(passed)) => Verdict::Go(Some(format!("passed:{passed}"))),
            Ok(Err(failure)) if rule.require => Verdict::Refuse(failure.status()),
            Ok(Err(failure)) => Verdict::Go(Some(format!("failed:{}", failure.as_str()))),
            Err(url) => Verdict::Wait(url),
        }
    }

    /// The attestation or what is wrong; the outer error names a certificate that is not known yet.
    fn check(
        &self,
        settings: &StirSettings,
        request: &Message,
        call: &ReceivedCall<'_>,
        now_s: u64,
    ) -> Result<Result<&'static str, Failure>, String> {
        let mut failure = Failure::Absent;
        // Several may stand there (RFC 8224 §4): one that is good is enough.
        for value in request.headers(HeaderName::Identity) {
            let identity = match Identity::parse(value) {
                Ok(identity) => identity,
                Err(Failure::OtherKind) => continue,
                Err(wrong) => {
                    failure = wrong;
                    continue;
                }
            };
            let Some(known) = self.chains.get(identity.url()).filter(|known| now_s < known.until_s) else {
                return Err(identity.url().into());
            };
            failure = match &known.chain {
                None => Failure::NoCertificate,
                Some(chain) => {
                    match identity.check(call, chain, &settings.trust, now_s, settings.age_max_s) {
                        Ok(checked) => return Ok(Ok(checked.attestation.as_str())),
                        Err(wrong) => wrong,
                    }
                }
            };
        }
        Ok(Err(failure))
    }

    /// The edge has a certificate's file, or cannot have it.
    fn learn(&mut self, url: String, file: Option<&[u8]>, now_s: u64) {
        let chain = file.and_then(|file| Chain::read(file).ok());
        if self.chains.len() >= CHAINS_MAX && !self.chains.contains_key(&url) {
            let oldest =
                self.chains.iter().min_by_key(|(_, known)| known.until_s).map(|(url, _)| url.clone());
            if let Some(oldest) = oldest {
                self.chains.remove(&oldest);
            }
        }
        let lasts_s = if chain.is_some() { CHAIN_LASTS_S } else { MISS_LASTS_S };
        self.chains.insert(url, Known { chain, until_s: now_s + lasts_s });
    }
}

impl CallShard {
    /// Seconds since 1970.
    pub(crate) fn wall_s(&self, now: Instant) -> u64 {
        u64::try_from(self.clock.wall_at(now).unix_millis() / 1000).unwrap_or(0)
    }

    /// A certificate's file has come, or cannot be had: the calls that wait for it go on.
    pub(crate) fn certificate_came(
        &mut self,
        now: Instant,
        url: String,
        file: Option<Bytes>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let now_s = self.wall_s(now);
        self.stir.learn(url.clone(), file.as_deref(), now_s);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.stir.waiting).into_iter().partition(|call: &Waiting| call.url == url);
        self.stir.waiting = waiting;
        // Others that go on already have a deadline for the rest of them.
        let first = self.stir.certified.is_empty();
        self.stir.certified.extend(ready);
        if first {
            self.carry_on_certified(now, out);
        }
    }

    /// Carries on calls whose certificate has come: not more at once than there are ports held for, two pairs a call, so
    /// that none of them meets a port which another program has.
    pub(crate) fn carry_on_certified(&mut self, now: Instant, out: &mut Outbox<ShardEffect>) {
        for _ in 0..(self.config.media_ports_held / 2).max(1) {
            let Some(call) = self.stir.certified.pop_front() else { return };
            // A caller who has hung up meanwhile waits for nothing.
            if self.ua.owner(call.leg).is_some() {
                self.transit_incoming(now, call.leg, call.from, call.request, out);
            }
        }
        if !self.stir.certified.is_empty() {
            self.deadlines.arm(now + CERTIFIED_EVERY, Why::CertificateCame);
        }
    }
}

/// The rules as an order carries them: equal when they are the same ones.
#[derive(Debug, Clone)]
pub struct StirRules(pub Arc<StirSettings>);

impl PartialEq for StirRules {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid(rng: &mut Rng) -> String {
    let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_one() {
        let text = uuid(&mut Rng::from_seed(1));
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]), "{text}");
    }
}
