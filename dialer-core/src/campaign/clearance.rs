//! May this lead be dialled now? Asked when leads are loaded, and again at the last moment before a dial.

use crate::command::CommandError;
use crate::compliance::{Opening, screen_of, zones_of};
use crate::config::CampaignConfig;
use crate::dialer::{About, Cx, Dialer};
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId, DncListId};
use crate::lead::{Verdict, next_phone, verdict};
use crate::record::{Lead, LeadState, Record};
use crate::screen::{Look, Screener, opening_of_all};
use crate::tenant::Tenant;
use sansio::WallTime;

/// What stands between a lead and being dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clearance {
    /// Nothing.
    Dial,
    /// Its state, its time, its windows or its limits say: not before then; `None`: nobody knows when.
    NotBefore(Option<WallTime>),
    /// It is not one of those the campaign dials (filter), or its clock is not known.
    Passed,
    /// All its numbers are on do-not-call lists, this one among them.
    Dnc(DncListId),
    /// It will never be dialled again, and does not say so yet.
    Over,
    /// Its time has passed.
    Expired,
}

/// A rule that a call from the API would break.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Breach {
    pub(crate) rule: &'static str,
    pub(crate) detail: String,
}

impl Dialer {
    /// Looks at a lead. One whose next number is on a do-not-call list goes on to its next that is not.
    pub(crate) fn clear(
        &self,
        id: CampaignId,
        screener: &mut Screener<'_>,
        lead: &mut Lead,
        now: WallTime,
    ) -> Clearance {
        let config = &self.campaigns[&id].row.config;
        match verdict(lead, config.attempts_max, now) {
            Verdict::Dialable => {}
            Verdict::Over => return Clearance::Over,
            Verdict::Expired => return Clearance::Expired,
            Verdict::NotNow => {
                let waits = lead.progress.state == LeadState::RetryWait;
                return Clearance::NotBefore(lead.progress.next_at.filter(|_| waits));
            }
        }
        if let Some(list) = self.skip_dnc(config, lead, now) {
            return Clearance::Dnc(list);
        }
        let most = screener.frequency().per_number_24h;
        if let (Some(most), Some(phone)) = (most, lead.phones.get(next_phone(lead)))
            && let Some(at) = self.dialled_numbers.not_before(&config.tenant, &phone.number, most, now)
        {
            return Clearance::NotBefore(Some(at));
        }
        match screener.look(lead) {
            Look::Take => Clearance::Dial,
            Look::Window(at) | Look::Frequency(at) | Look::Owner(at) => Clearance::NotBefore(Some(at)),
            Look::ZoneUnknown | Look::Filtered => Clearance::Passed,
        }
    }

    fn skip_dnc(&self, config: &CampaignConfig, lead: &mut Lead, now: WallTime) -> Option<DncListId> {
        let mut first = None;
        for place in next_phone(lead)..lead.phones.len() {
            match self.dnc.hit(Some(&config.tenant), &config.dnc_lists, &lead.phones[place].number, now) {
                None => {
                    lead.progress.next_phone = u32::try_from(place).unwrap_or(0);
                    return None;
                }
                Some(list) => first = first.or(Some(list)),
            }
        }
        first
    }

    /// A lead that is on a do-not-call list is told to be so, and is not dialled any more.
    pub(crate) fn mark_dnc(&mut self, cx: &mut Cx<'_>, id: CampaignId, mut lead: Lead, list: DncListId) {
        lead.close(LeadState::Dnc);
        self.leads.moved(&lead.progress);
        self.counters.rule_hit("dnc");
        let about = About { campaign: Some(id), lead: Some(lead.id), ..About::default() };
        self.journal(cx, vec![Record::LeadChanged(lead.progress)]);
        self.tell(cx, about, Event::LeadDnc { list });
    }

    /// Takes what is left of a campaign's leads as looked at by its present settings.
    pub(crate) fn renew_screen(&mut self, id: CampaignId) {
        if let Some(campaign) = self.campaigns.get_mut(&id) {
            let calendar = campaign.row.config.calendar.and_then(|id| self.calendars.get(&id));
            campaign.screen = screen_of(&campaign.row.config, calendar.map(|row| &row.config.windows));
        }
    }

    /// The rule that a call to this number would break now, for a campaign or for none, by somebody of this tenant.
    pub(crate) fn breach(
        &self,
        (id, tenant): (Option<CampaignId>, Option<&Tenant>),
        number: &str,
        now: WallTime,
    ) -> Option<Breach> {
        self.breach_in_zone((id, tenant), None, number, now)
    }

    /// The same of a number whose owner is in this time zone, where that is known.
    fn breach_in_zone(
        &self,
        (id, tenant): (Option<CampaignId>, Option<&Tenant>),
        zone: Option<&str>,
        number: &str,
        now: WallTime,
    ) -> Option<Breach> {
        let campaign = id.and_then(|id| self.campaigns.get(&id));
        let named = campaign.map_or(&[][..], |campaign| campaign.row.config.dnc_lists.as_slice());
        let tenant = campaign.map(|campaign| &campaign.row.config.tenant).or(tenant);
        if let Some(list) = self.dnc.hit(tenant, named, number, now) {
            let name = &self.dnc.lists[&list].row.config.name;
            return Some(Breach {
                rule: "dnc",
                detail: format!("the number is on the do-not-call list {name:?}"),
            });
        }
        let campaign = campaign?;
        if !super::is_open(campaign.row.config.calling_hours.as_ref(), now) {
            let detail = "outside the campaign's calling hours".to_owned();
            return Some(Breach { rule: "calling_window", detail });
        }
        if campaign.screen.windows.is_empty() {
            return None;
        }
        match opening_of_all(&campaign.screen.windows, &zones_of(zone, number), now) {
            Opening::Open => None,
            Opening::ZoneUnknown => Some(Breach {
                rule: "time_zone_unknown",
                detail: "the number's time zone is not known, so its calling windows count as closed".into(),
            }),
            Opening::Opens(_) | Opening::Closed => Some(Breach {
                rule: "calling_window",
                detail: "outside the calling windows where the number is".into(),
            }),
        }
    }

    /// The rule that forbids what an agent's phone has dialled: it may be written with or without the plus, or with what
    /// international calls begin with.
    #[must_use]
    pub fn forbids(&self, agent: AgentId, dialled: &str, now: WallTime) -> Option<&'static str> {
        let tenant = self.tenant_of(None, Some(agent));
        let bare = dialled.strip_prefix('+');
        let bare = bare.or_else(|| dialled.strip_prefix("00")).or_else(|| dialled.strip_prefix("011"));
        let numbers =
            [format!("+{}", bare.unwrap_or(dialled)), format!("+{}", dialled.trim_start_matches('+'))];
        let breach = numbers.iter().find_map(|number| self.breach((None, tenant.as_ref()), number, now));
        breach.map(|breach| breach.rule)
    }

    /// The rule that a call to a lead by hand would break now: one of the campaign that it is made for, and where that one does
    /// not dial the lead, one of those that do. So nobody escapes a rule by naming no campaign, or another.
    pub(crate) fn breach_by_hand(
        &self,
        (campaign, tenant): (Option<CampaignId>, Option<&Tenant>),
        lead: Option<&Lead>,
        number: &str,
        now: WallTime,
    ) -> Option<Breach> {
        let zone = lead.and_then(|lead| lead.time_zone.as_deref());
        let bound = self.bound_by(campaign, tenant, lead);
        if bound.is_empty() {
            return self.breach_in_zone((None, tenant), zone, number, now);
        }
        bound.into_iter().find_map(|id| {
            let breach = self.breach_in_zone((Some(id), tenant), zone, number, now);
            let breach = breach.or_else(|| self.too_often(id, lead?, now));
            breach.or_else(|| self.number_too_often(id, number, now))
        })
    }

    /// Whose rules hold for a call to a lead by hand.
    pub(crate) fn bound_by(
        &self,
        campaign: Option<CampaignId>,
        tenant: Option<&Tenant>,
        lead: Option<&Lead>,
    ) -> Vec<CampaignId> {
        let mut bound: Vec<CampaignId> = campaign.into_iter().collect();
        let Some(lead) = lead else { return bound };
        let dials = |config: &CampaignConfig| config.lists.contains(&lead.list);
        if campaign.and_then(|id| self.campaigns.get(&id)).is_some_and(|named| dials(&named.row.config)) {
            return bound;
        }
        let theirs = self.campaigns.iter().filter(|(_, other)| {
            dials(&other.row.config) && tenant.is_none_or(|tenant| *tenant == other.row.config.tenant)
        });
        bound.extend(theirs.map(|(id, _)| *id));
        bound
    }

    fn too_often(&self, id: CampaignId, lead: &Lead, now: WallTime) -> Option<Breach> {
        let mut lead = lead.clone();
        if let Some(newest) = self.leads.newest(lead.id) {
            lead.progress = newest.clone();
        }
        self.campaigns.get(&id)?.screen.frequency.not_before(&lead, now)?;
        let detail = "the lead has been called as often as the campaign allows by now".to_owned();
        Some(Breach { rule: "frequency", detail })
    }

    fn number_too_often(&self, id: CampaignId, number: &str, now: WallTime) -> Option<Breach> {
        let campaign = self.campaigns.get(&id)?;
        let most = campaign.screen.frequency.per_number_24h?;
        self.dialled_numbers.not_before(&campaign.row.config.tenant, number, most, now)?;
        let detail = "the number has been called as often in 24 hours as the campaign allows".to_owned();
        Some(Breach { rule: "frequency", detail })
    }

    /// Refuses a call that would break a rule; one that may break it is told to have done so.
    pub(crate) fn refuse_breach(
        &mut self,
        whose: (Option<CampaignId>, Option<&Tenant>),
        number: &str,
        may_override: bool,
        now: WallTime,
    ) -> Result<Option<Breach>, CommandError> {
        let breach = self.breach(whose, number, now);
        self.refuse(breach, may_override)
    }

    /// Refuses what would break this rule, unless it may be broken.
    pub(crate) fn refuse(
        &mut self,
        breach: Option<Breach>,
        may_override: bool,
    ) -> Result<Option<Breach>, CommandError> {
        let Some(breach) = breach else { return Ok(None) };
        self.counters.rule_hit(breach.rule);
        if may_override {
            return Ok(Some(breach));
        }
        Err(CommandError::Compliance { rule: breach.rule, detail: breach.detail })
    }

    pub(crate) fn tell_override(&mut self, cx: &mut Cx<'_>, call: CallId, breach: &Breach, reason: String) {
        self.counters.overrides += 1;
        self.tell_call(cx, call, Event::ComplianceOverridden { rule: breach.rule.into(), reason });
    }
}
