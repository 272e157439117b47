//! What is listened to, and what who answers hears.

use super::yes;
use crate::extract::Checks;
use dialer_core::config as core;
use dialer_core::machine::{AssistantThen as CoreThen, MachinePolicy};
use dialer_core::{DncListId, OptOut};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What answering-machine detection is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmdMode {
    /// Nothing.
    Off,
    /// Connect the agent at once and listen beside; a machine ends the call.
    Async,
    /// Listen first; connect when it is not a machine. Also understood: `fast`.
    #[serde(alias = "fast")]
    BeforeBridge,
}

impl From<core::AmdMode> for AmdMode {
    fn from(mode: core::AmdMode) -> Self {
        match mode {
            core::AmdMode::Off => AmdMode::Off,
            core::AmdMode::Async => AmdMode::Async,
            core::AmdMode::BeforeBridge => AmdMode::BeforeBridge,
        }
    }
}

impl From<AmdMode> for core::AmdMode {
    fn from(mode: AmdMode) -> Self {
        match mode {
            AmdMode::Off => core::AmdMode::Off,
            AmdMode::Async => core::AmdMode::Async,
            AmdMode::BeforeBridge => core::AmdMode::BeforeBridge,
        }
    }
}

/// What follows the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterMessage {
    /// Hang up.
    #[default]
    Hangup,
}

/// What happens to a live answer when no agent is free in time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnNoAgent {
    /// Name of the prompt that is played (safe-harbour message); null plays nothing.
    pub play: Option<String>,
    /// What follows.
    pub then: AfterMessage,
    /// Who presses this key (0–9, `*`, `#`) while the message is played, or that of agentless mode, is not called again; null:
    /// no key is listened to. The message should say so.
    #[schema(example = "9")]
    pub collect_opt_out: Option<String>,
    /// The do-not-call list that the number is put on then: one that holds everywhere, or one of `dnc_lists`.
    /// Null with `collect_opt_out`: the first of `dnc_lists`.
    #[schema(value_type = Option<String>)]
    pub opt_out_list_id: Option<DncListId>,
    /// An abandoned lead is dialled again only with an agent who is surely there, for so many hours; 0: as any other.
    #[schema(maximum = 8_760)]
    pub lock_hours: u32,
}

impl OnNoAgent {
    pub(super) fn new(config: &core::CampaignConfig) -> Self {
        OnNoAgent {
            play: config.safe_harbour_prompt.clone(),
            then: AfterMessage::Hangup,
            collect_opt_out: config.opt_out.map(|opt_out| opt_out.digit.to_string()),
            opt_out_list_id: config.opt_out.map(|opt_out| opt_out.list),
            lock_hours: config.lock_hours,
        }
    }

    /// The key and the list: both or neither. A key without one means the first of the campaign's lists.
    pub(super) fn opt_out(&self, dnc_lists: &[DncListId], checks: &mut Checks) -> Option<OptOut> {
        checks.range(self.lock_hours, 0, 8_760, "/on_no_agent/lock_hours");
        let usual = self.collect_opt_out.as_ref().and_then(|_| dnc_lists.first().copied());
        let list = self.opt_out_list_id.or(usual);
        let key = |text: &String| {
            let mut characters = text.chars();
            let key = characters.next().filter(|key| key.is_ascii_digit() || matches!(key, '*' | '#'));
            key.filter(|_| characters.next().is_none())
        };
        let digit = self.collect_opt_out.as_ref().and_then(key);
        let wrong = self.collect_opt_out.is_some() && digit.is_none();
        checks.that(!wrong, "/on_no_agent/collect_opt_out", "expected one of 0 to 9, * and #");
        let alone = self.collect_opt_out.is_some() != list.is_some();
        checks.that(!alone, "/on_no_agent/opt_out_list_id", "expected together with collect_opt_out");
        Some(OptOut { digit: digit?, list: list? })
    }
}

impl Default for OnNoAgent {
    fn default() -> Self {
        OnNoAgent::new(&core::CampaignConfig::default())
    }
}

/// Answering-machine detection.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amd {
    /// What is done.
    pub mode: AmdMode,
    /// An undecided verdict counts as a person. Only true is supported.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub human_on_timeout: bool,
    /// Share of people it takes for machines, as measured; null: the estimate of `pacing.policy` (1 % under each rule
    /// book, none under `custom`). They are live and abandoned in the eyes of the law: the budget is reserved.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    pub false_machine_rate: Option<f64>,
    /// Share of the calls passed on as a person's that are machines it missed, as measured; null: none. They are no live
    /// answers.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    pub missed_machine_rate: Option<f64>,
}

impl Amd {
    pub(super) fn new(config: &core::CampaignConfig) -> Self {
        Amd {
            mode: config.amd.into(),
            human_on_timeout: true,
            false_machine_rate: config.pacing.amd_false_machine,
            missed_machine_rate: config.pacing.amd_missed_machine,
        }
    }

    fn check(&self, checks: &mut Checks) {
        checks.that(
            self.human_on_timeout,
            "/classify/amd/human_on_timeout",
            "only true is supported: an undecided verdict counts as a person",
        );
        for (share, pointer) in [
            (self.false_machine_rate, "/classify/amd/false_machine_rate"),
            (self.missed_machine_rate, "/classify/amd/missed_machine_rate"),
        ] {
            if let Some(share) = share {
                checks.range(share, 0.0, 0.5, pointer);
            }
        }
    }
}

/// What is done with a machine that answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnMachine {
    /// Name of the prompt that is left on it, behind its beep (or when it falls silent); null: hang up at once.
    pub leave: Option<String>,
}

/// What follows when an assistant has asked who is calling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssistantThen {
    /// Hang up.
    #[default]
    Hangup,
    /// Go on as with a person: an agent, or the message of an agentless campaign.
    Agent,
}

/// What is done with an assistant that answers and asks who is calling.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnScreening {
    /// Name of the prompt that answers it when it has asked; null: nothing is said.
    pub say: Option<String>,
    /// What follows.
    pub then: AssistantThen,
    /// A recording that ends without a beep and then is silent is an assistant. To know it the end of every recording is
    /// waited for, with the agent who was joined if `then` is `agent`; null: where `say` or `then` asks for something.
    /// Assistants that were taught are known by their sound anyway.
    pub by_silence: Option<bool>,
}

/// What happens to who answers in agentless mode.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnAnswer {
    /// Name of the prompt that is played.
    pub play: Option<String>,
    /// What follows.
    pub then: AfterMessage,
}

/// Whose tones are listened for. New plans get new names, so that what a name means stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub enum TonePlan {
    /// China's (GB/T 3380): 450 Hz.
    #[serde(rename = "cn_v1")]
    CnV1,
    /// Those of most of Europe (ITU-T E.180): 425 Hz.
    #[serde(rename = "eu_v1")]
    EuV1,
    /// North America's: 440+480 and 480+620 Hz.
    #[serde(rename = "us_v1")]
    UsV1,
    /// The United Kingdom's: 400+450 and 400 Hz.
    #[serde(rename = "gb_v1")]
    GbV1,
    /// Japan's: 400 Hz, also modulated by 16 Hz.
    #[serde(rename = "jp_v1")]
    JpV1,
    /// Australia's (AS/CA S002): 425 Hz and around.
    #[serde(rename = "au_v1")]
    AuV1,
    /// India's: 400 Hz, also modulated by 25 Hz.
    #[serde(rename = "in_v1")]
    InV1,
    /// Spain's: 425 Hz.
    #[serde(rename = "es_v1")]
    EsV1,
    /// Brazil's: 425 Hz.
    #[serde(rename = "br_v1")]
    BrV1,
}

/// Whether early media is listened to: true (all tones that are known), false, or the name of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected true, false, cn_v1, eu_v1, us_v1, gb_v1, jp_v1, au_v1, in_v1, es_v1 or br_v1"
)]
pub enum EarlyMediaChoice {
    /// All tones, or nothing.
    Flag(bool),
    /// The tones of one plan, and announcements.
    Plan(TonePlan),
}

impl EarlyMediaChoice {
    fn new(listens: bool, plan: core::TonePlan) -> Self {
        match (listens, plan) {
            (false, _) => EarlyMediaChoice::Flag(false),
            (true, core::TonePlan::Any) => EarlyMediaChoice::Flag(true),
            (true, core::TonePlan::Cn) => EarlyMediaChoice::Plan(TonePlan::CnV1),
            (true, core::TonePlan::Eu) => EarlyMediaChoice::Plan(TonePlan::EuV1),
            (true, core::TonePlan::Us) => EarlyMediaChoice::Plan(TonePlan::UsV1),
            (true, core::TonePlan::Gb) => EarlyMediaChoice::Plan(TonePlan::GbV1),
            (true, core::TonePlan::Jp) => EarlyMediaChoice::Plan(TonePlan::JpV1),
            (true, core::TonePlan::Au) => EarlyMediaChoice::Plan(TonePlan::AuV1),
            (true, core::TonePlan::In) => EarlyMediaChoice::Plan(TonePlan::InV1),
            (true, core::TonePlan::Es) => EarlyMediaChoice::Plan(TonePlan::EsV1),
            (true, core::TonePlan::Br) => EarlyMediaChoice::Plan(TonePlan::BrV1),
        }
    }

    /// Whether it is listened to, and for whose tones.
    pub(super) fn core(self) -> (bool, core::TonePlan) {
        match self {
            EarlyMediaChoice::Flag(listens) => (listens, core::TonePlan::Any),
            EarlyMediaChoice::Plan(TonePlan::CnV1) => (true, core::TonePlan::Cn),
            EarlyMediaChoice::Plan(TonePlan::EuV1) => (true, core::TonePlan::Eu),
            EarlyMediaChoice::Plan(TonePlan::UsV1) => (true, core::TonePlan::Us),
            EarlyMediaChoice::Plan(TonePlan::GbV1) => (true, core::TonePlan::Gb),
            EarlyMediaChoice::Plan(TonePlan::JpV1) => (true, core::TonePlan::Jp),
            EarlyMediaChoice::Plan(TonePlan::AuV1) => (true, core::TonePlan::Au),
            EarlyMediaChoice::Plan(TonePlan::InV1) => (true, core::TonePlan::In),
            EarlyMediaChoice::Plan(TonePlan::EsV1) => (true, core::TonePlan::Es),
            EarlyMediaChoice::Plan(TonePlan::BrV1) => (true, core::TonePlan::Br),
        }
    }
}

/// What is listened to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Classify {
    /// Listen to early media and give up on busy, congestion and special information tones at once.
    pub early_media: EarlyMediaChoice,
    /// Answering-machine detection.
    pub amd: Amd,
    /// What is done with a machine.
    pub machine: OnMachine,
    /// What is done with an assistant that asks who is calling.
    pub screening: OnScreening,
}

impl Classify {
    pub(super) fn new(config: &core::CampaignConfig) -> Self {
        let policy = &config.machine_policy;
        Classify {
            early_media: EarlyMediaChoice::new(config.early_media, config.tone_plan),
            amd: Amd::new(config),
            machine: OnMachine { leave: policy.leave.clone() },
            screening: OnScreening {
                say: policy.say.clone(),
                then: match policy.then {
                    CoreThen::Hangup => AssistantThen::Hangup,
                    CoreThen::Agent => AssistantThen::Agent,
                },
                by_silence: policy.by_silence,
            },
        }
    }

    pub(super) fn policy(&self) -> MachinePolicy {
        MachinePolicy {
            leave: self.machine.leave.clone(),
            say: self.screening.say.clone(),
            then: match self.screening.then {
                AssistantThen::Hangup => CoreThen::Hangup,
                AssistantThen::Agent => CoreThen::Agent,
            },
            by_silence: self.screening.by_silence,
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        self.amd.check(checks);
        let prompts = [
            ("/classify/machine/leave", &self.machine.leave),
            ("/classify/screening/say", &self.screening.say),
        ];
        for (pointer, prompt) in prompts {
            if let Some(prompt) = prompt {
                checks.text(prompt, 100, pointer);
            }
        }
        let acts = self.policy().awaits_turn();
        checks.that(
            !acts || self.amd.mode != AmdMode::Off,
            "/classify/amd/mode",
            "expected a mode other than off: without detection neither machines nor assistants are known",
        );
    }
}

impl Default for Classify {
    fn default() -> Self {
        Classify::new(&core::CampaignConfig::default())
    }
}
