//! What a campaign does when a machine or an assistant answers, and not a person.

use crate::check::{Checked, text};
use serde::{Deserialize, Serialize};

/// What follows when an assistant has asked who is calling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssistantThen {
    /// Hang up.
    #[default]
    Hangup,
    /// Go on as with a person: an agent, or the message of an agentless campaign.
    Agent,
}

/// What is done with machines and assistants.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MachinePolicy {
    /// Name of the prompt that is left on a machine, behind its beep; `None`: hang up at once.
    pub leave: Option<String>,
    /// Name of the prompt that answers an assistant when it has asked.
    pub say: Option<String>,
    /// What follows.
    pub then: AssistantThen,
    /// A recording that asks something, ends without a beep and then is silent is an assistant; `None`: where something
    /// is done with assistants. To know it the end of the recording must be waited for.
    pub by_silence: Option<bool>,
}

impl MachinePolicy {
    /// Something else is done with assistants than with machines.
    const fn serves_assistants(&self) -> bool {
        self.say.is_some() || matches!(self.then, AssistantThen::Agent)
    }

    /// Assistants that are not known by their sound are looked for.
    #[must_use]
    pub fn looks_for_assistants(&self) -> bool {
        self.by_silence.unwrap_or(self.serves_assistants())
    }

    /// The end of a recording must be known.
    #[must_use]
    pub fn awaits_turn(&self) -> bool {
        self.leave.is_some() || self.serves_assistants() || self.looks_for_assistants()
    }

    pub(crate) fn check(&self) -> Checked {
        for (pointer, prompt) in
            [("/classify/machine/leave", &self.leave), ("/classify/screening/say", &self.say)]
        {
            if let Some(prompt) = prompt {
                text(pointer, prompt, 1, 128)?;
            }
        }
        Ok(())
    }
}
