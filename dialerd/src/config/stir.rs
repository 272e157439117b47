//! Signatures of calls: whose key signs which, whose are believed.

use super::check::Faults;
use super::raw;
use anyhow::Context;
use dialer_core::TrunkId;
use dialer_core::config::TrunkConfig;
use engine::{AttestRule, StirRules, StirSettings, VerifyRule};
use sip_proxy::stir::{Attestation, Signer, Trust};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The section, checked. Files are read when the daemon starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StirConfig {
    pub key_file: Option<PathBuf>,
    pub certificate_url: String,
    pub trust_dir: Option<PathBuf>,
    pub certificates_dir: Option<PathBuf>,
    pub fetch: bool,
    pub age_max_s: u64,
    /// Trunk (any if `None`), beginning of the caller ID, level (`None` leaves unsigned).
    pub attest: Vec<(Option<String>, String, Option<Attestation>)>,
    /// Trunk (any if `None`), whether what does not pass is refused.
    pub verify: Vec<(Option<String>, bool)>,
}

pub fn check(stir: raw::Stir, folder: &Path, trunks: &[TrunkConfig], faults: &mut Faults) -> StirConfig {
    let path = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| folder.join(text));
    let known = |name: &str| trunks.iter().any(|trunk| trunk.name == name);
    let expected = "\"\" or the name of a [[trunk]] of this file";
    let url = stir.certificate_url.unwrap_or_default();
    let key_file = path(stir.key_file);
    faults.require(
        key_file.is_none() || url.starts_with("https://"),
        "stir.certificate_url",
        "the https address of the key's certificate, when there is a key_file",
    );
    let attest: Vec<_> = stir
        .attest
        .into_iter()
        .enumerate()
        .map(|(index, rule)| {
            let key = |name: &str| format!("stir.attest[{index}].{name}");
            faults.require(rule.trunk.is_empty() || known(&rule.trunk), &key("trunk"), expected);
            let digits =
                rule.caller_id.bytes().all(|byte| byte.is_ascii_digit()) && rule.caller_id.len() <= 20;
            faults.require(digits, &key("caller_id"), "the first digits of caller IDs, without a plus");
            let attestation = Attestation::from_name(&rule.level);
            let good = attestation.is_some() || rule.level == "none";
            faults.require(good, &key("level"), "\"A\", \"B\", \"C\" or \"none\"");
            (Some(rule.trunk).filter(|name| !name.is_empty()), rule.caller_id, attestation)
        })
        .collect();
    faults.require(
        attest.is_empty() || key_file.is_some(),
        "stir.key_file",
        "the file of a key, when there are [[stir.attest]] rules",
    );
    let trust_dir = path(stir.trust_dir);
    let verify: Vec<_> = stir
        .verify
        .into_iter()
        .enumerate()
        .map(|(index, rule)| {
            let key = format!("stir.verify[{index}].trunk");
            faults.require(rule.trunk.is_empty() || known(&rule.trunk), &key, expected);
            let require = rule.policy == raw::VerifyPolicy::Require;
            (Some(rule.trunk).filter(|name| !name.is_empty()), require)
        })
        .collect();
    faults.require(
        verify.is_empty() || trust_dir.is_some(),
        "stir.trust_dir",
        "a folder of trusted certificates, when there are [[stir.verify]] rules",
    );
    faults.require((1..=3_600).contains(&stir.age_max_s), "stir.age_max_s", "1 to 3600 seconds");
    StirConfig {
        key_file,
        certificate_url: url,
        trust_dir,
        certificates_dir: path(stir.certificates_dir),
        fetch: stir.fetch,
        age_max_s: stir.age_max_s,
        attest,
        verify,
    }
}

impl StirConfig {
    /// Reads key and trusted certificates, and puts ids for names. `None` when nothing is signed or checked.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it should be; the message names it.
    pub fn rules(&self, trunks: &[(String, TrunkId)]) -> anyhow::Result<Option<StirRules>> {
        if self.attest.is_empty() && self.verify.is_empty() {
            return Ok(None);
        }
        let id_of = |name: &Option<String>| {
            name.as_ref().and_then(|name| trunks.iter().find(|(known, _)| known == name).map(|(_, id)| *id))
        };
        let signer = match &self.key_file {
            Some(file) => {
                let pem = std::fs::read_to_string(file)
                    .with_context(|| format!("stir.key_file: reading {}", file.display()))?;
                let signer = Signer::new(&pem, &self.certificate_url);
                Some(signer.with_context(|| format!("stir.key_file {}", file.display()))?)
            }
            None => None,
        };
        let mut trust = Trust::default();
        if let Some(folder) = &self.trust_dir {
            let entries = std::fs::read_dir(folder)
                .with_context(|| format!("stir.trust_dir: reading {}", folder.display()))?;
            for entry in entries {
                let file = entry?.path();
                if file
                    .extension()
                    .is_some_and(|ending| ending == "pem" || ending == "crt" || ending == "cer")
                {
                    let bytes =
                        std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
                    trust.add(&bytes).with_context(|| format!("stir.trust_dir: {}", file.display()))?;
                }
            }
        }
        Ok(Some(StirRules(Arc::new(StirSettings {
            signer,
            attest: self
                .attest
                .iter()
                .map(|(trunk, prefix, attestation)| AttestRule {
                    trunk: id_of(trunk),
                    caller_id_prefix: prefix.clone(),
                    attestation: *attestation,
                })
                .collect(),
            verify: self
                .verify
                .iter()
                .map(|(trunk, require)| VerifyRule { trunk: id_of(trunk), require: *require })
                .collect(),
            trust,
            age_max_s: self.age_max_s,
        }))))
    }
}
