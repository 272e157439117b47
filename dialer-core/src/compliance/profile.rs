//! The rule books as data: what each one demands of a campaign.
//!
//! | policy | source |
//! |---|---|
//! | `us_tsr` | 16 CFR 310.4(b)(1)(iv), (b)(4) |
//! | `us_fcc` | 47 CFR 64.1200(a)(6), (7) |
//! | `gb_ofcom` | Ofcom, statement of policy on persistent misuse: 3 % per campaign and 24 hours, 2 s |
//! | `ca_crtc` | CRTC Unsolicited Telecommunications Rules, part IV: 5 % per calendar month, 2 s |
//!
//! The operator is responsible for obeying the law; these are the numbers of common rules, not legal advice.

use crate::check::{Checked, invalid};
use crate::config::{AbandonWindow, CampaignConfig, DialMode, Policy};

/// What a rule book demands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Profile {
    /// The greatest abandonment rate.
    pub cap: f64,
    /// Over this time.
    pub window: AbandonWindow,
    /// From answer to agent at most, milliseconds.
    pub bridge_deadline_ms: u32,
    /// Rings at least so long, milliseconds.
    pub ring_min_ms: u32,
    /// Share of people that machine detection is taken to mistake for machines where the campaign has not
    /// measured it. (Ofcom asks for a reasoned estimate; the others count what happened, whoever saw it.)
    pub false_machine: f64,
    /// Who meets no agent hears a message that says who called (16 CFR 310.4(b)(4)(iii), 47 CFR 64.1200(a)(7)(i), Ofcom's
    /// information message).
    pub message_needed: bool,
    /// … and can press a key not to be called again (47 CFR 64.1200(a)(7)(i)(B)).
    pub opt_out_needed: bool,
}

/// Estimated false positives of machine detection, where a rule book counts them and nobody has measured.
const FALSE_MACHINE: f64 = 0.01;

/// What the rule book demands; nothing for a campaign with numbers of its own.
#[must_use]
pub const fn profile(policy: Policy) -> Option<Profile> {
    let us = Profile {
        cap: 0.03,
        window: AbandonWindow::Days30,
        bridge_deadline_ms: 2_000,
        ring_min_ms: 15_000,
        false_machine: FALSE_MACHINE,
        message_needed: true,
        opt_out_needed: false,
    };
    match policy {
        // These say nothing of abandoned calls.
        Policy::Custom | Policy::AuAcma | Policy::Fr2022 | Policy::CnMiit => None,
        Policy::UsTsr => Some(us),
        Policy::UsFcc => Some(Profile { opt_out_needed: true, ..us }),
        Policy::GbOfcom => Some(Profile { window: AbandonWindow::Hours24, ..us }),
        Policy::CaCrtc => Some(Profile {
            cap: 0.05,
            window: AbandonWindow::Month,
            ring_min_ms: 0,
            message_needed: false,
            ..us
        }),
    }
}

/// Refuses settings that the campaign's rule book forbids.
pub(crate) fn check_policy(config: &CampaignConfig) -> Checked {
    let policy = config.pacing.policy;
    let Some(profile) = profile(policy) else { return Ok(()) };
    let name = policy.as_str();
    if config.pacing.abandon_cap > profile.cap {
        return invalid("/pacing/abandon_cap", format_args!("at most {} under {name}", profile.cap));
    }
    if config.pacing.window != profile.window {
        return invalid("/pacing/window", format_args!("{} under {name}", profile.window.as_str()));
    }
    if config.timers.bridge_deadline_ms > profile.bridge_deadline_ms {
        let most = profile.bridge_deadline_ms;
        return invalid("/timers/bridge_deadline_ms", format_args!("at most {most} under {name}"));
    }
    if config.timers.ring_min_ms < profile.ring_min_ms {
        let least = profile.ring_min_ms;
        return invalid("/timers/ring_min_ms", format_args!("at least {least} under {name}"));
    }
    // Where an agent asks for each call nobody waits for one.
    if config.mode == DialMode::Preview {
        return Ok(());
    }
    if profile.message_needed && config.mode != DialMode::Agentless && config.safe_harbour_prompt.is_none() {
        return invalid("/on_no_agent/play", format_args!("a message under {name}"));
    }
    if profile.opt_out_needed && config.opt_out.is_none() {
        let key = "a key, and opt_out_list_id, by which who hears the message is not called again";
        return invalid("/on_no_agent/collect_opt_out", format_args!("{key}, under {name}"));
    }
    Ok(())
}

/// Share of people whom machine detection takes for machines: as measured, else the rule book's estimate.
pub(crate) fn false_machine(config: &CampaignConfig) -> f64 {
    if config.amd == crate::config::AmdMode::Off {
        return 0.0;
    }
    let estimate = profile(config.pacing.policy).map_or(0.0, |profile| profile.false_machine);
    config.pacing.amd_false_machine.unwrap_or(estimate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::OptOut;
    use crate::command::CommandError;
    use crate::config::AmdMode;
    use crate::id::DncListId;

    fn refused(change: impl FnOnce(&mut CampaignConfig)) -> Option<String> {
        let mut config = CampaignConfig::default();
        config.pacing.policy = Policy::UsTsr;
        config.pacing.window = AbandonWindow::Days30;
        change(&mut config);
        match check_policy(&config) {
            Err(CommandError::Invalid { pointer, .. }) => Some(pointer),
            _ => None,
        }
    }

    #[test]
    fn each_number_is_held_on_both_sides() {
        assert_eq!(refused(|_| {}), None);
        let cap = "/pacing/abandon_cap".to_owned();
        assert_eq!(refused(|config| config.pacing.abandon_cap = 0.030_01), Some(cap.clone()));
        assert_eq!(refused(|config| config.timers.bridge_deadline_ms = 2_000), None);
        let late = Some("/timers/bridge_deadline_ms".to_owned());
        assert_eq!(refused(|config| config.timers.bridge_deadline_ms = 2_001), late);
        let short = Some("/timers/ring_min_ms".to_owned());
        assert_eq!(refused(|config| config.timers.ring_min_ms = 14_999), short);
        let day = Some("/pacing/window".to_owned());
        assert_eq!(refused(|config| config.pacing.window = AbandonWindow::Hours24), day);
        assert_eq!(refused(|config| config.pacing.policy = Policy::GbOfcom), day);
        assert_eq!(
            refused(|config| {
                config.pacing.policy = Policy::CaCrtc;
                config.pacing.window = AbandonWindow::Month;
                config.pacing.abandon_cap = 0.05;
                config.timers.ring_min_ms = 0;
            }),
            None
        );
        let silence = |mode| {
            refused(|config| {
                config.mode = mode;
                config.safe_harbour_prompt = None;
            })
        };
        assert_eq!(silence(DialMode::Predictive), Some("/on_no_agent/play".into()));
        assert_eq!((silence(DialMode::Preview), silence(DialMode::Agentless)), (None, None));
        let key = Some("/on_no_agent/collect_opt_out".to_owned());
        assert_eq!(refused(|config| config.pacing.policy = Policy::UsFcc), key);
        let with_key = refused(|config| {
            config.pacing.policy = Policy::UsFcc;
            config.opt_out = Some(OptOut { digit: '9', list: DncListId::from_bits(1) });
        });
        assert_eq!(with_key, None);
        let custom = refused(|config| {
            config.pacing.policy = Policy::Custom;
            config.pacing.abandon_cap = 1.0;
        });
        assert_eq!(custom, None);
    }

    #[test]
    fn false_positives_count_only_where_machines_are_detected() {
        let mut config = CampaignConfig::default();
        config.pacing.policy = Policy::GbOfcom;
        assert_eq!(false_machine(&config), 0.0);
        config.amd = AmdMode::BeforeBridge;
        assert_eq!(false_machine(&config), FALSE_MACHINE);
        config.pacing.amd_false_machine = Some(0.004);
        assert_eq!(false_machine(&config), 0.004);
        config.pacing.amd_false_machine = None;
        config.pacing.policy = Policy::Custom;
        assert_eq!(false_machine(&config), 0.0);
    }
}
