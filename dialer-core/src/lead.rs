//! Leads: may one be dialled, who holds it, and how far it has come.

use crate::id::{CampaignId, LeadId};
use crate::record::{Lead, LeadProgress, LeadState, RECENT_ATTEMPTS_MAX};
use sansio::WallTime;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whether a lead may be dialled now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Yes.
    Dialable,
    /// Its state or its time says no; nothing to do about it.
    NotNow,
    /// It will never be dialled again, and does not say so yet: to be marked exhausted.
    Over,
    /// Its time has passed: to be marked expired.
    Expired,
}

/// Looks at a lead before it enters a hopper, and again before it is dialled.
pub(crate) fn verdict(lead: &Lead, attempts_max: u32, now: WallTime) -> Verdict {
    let progress = &lead.progress;
    match progress.state {
        LeadState::New | LeadState::RetryWait => {}
        LeadState::Dialing | LeadState::Done | LeadState::Exhausted | LeadState::Dnc | LeadState::Expired => {
            return Verdict::NotNow;
        }
    }
    if lead.expires_at.is_some_and(|at| at <= now) {
        return Verdict::Expired;
    }
    // Who asked to be called back is called once more, however often nobody was there.
    let spent = progress.attempts >= attempts_max && progress.callback.is_none();
    if spent || lead.phones.is_empty() {
        return Verdict::Over;
    }
    if progress.next_at.is_some_and(|at| at > now) {
        return Verdict::NotNow;
    }
    Verdict::Dialable
}

impl Lead {
    /// Whom its field `owner` names, if anyone.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.fields.get("owner").map(|name| name.trim()).filter(|name| !name.is_empty())
    }

    /// It is being dialled, once more.
    pub(crate) fn begin_attempt(&mut self, at: WallTime) {
        self.note_attempt(at);
        let progress = &mut self.progress;
        progress.attempts += 1;
        progress.state = LeadState::Dialing;
        progress.next_at = None;
    }

    /// Its number is called now: counts in the limits per time.
    pub(crate) fn note_attempt(&mut self, at: WallTime) {
        let progress = &mut self.progress;
        progress.last_attempt_at = Some(at);
        if progress.recent.len() >= RECENT_ATTEMPTS_MAX {
            progress.recent.remove(0);
        }
        progress.recent.push(at);
    }

    /// It is done with, and so is what was promised.
    pub(crate) fn close(&mut self, state: LeadState) {
        self.progress.state = state;
        self.progress.next_at = None;
        self.progress.callback = None;
    }
}

/// The number to dial next.
pub(crate) fn next_phone(lead: &Lead) -> usize {
    (lead.progress.next_phone as usize).min(lead.phones.len().saturating_sub(1))
}

/// Which leads are held (in one hopper, task or call each), and the newest progress of those that moved lately.
///
/// A load of leads may have been read before a change of ours was written; what is remembered here is newer than
/// what it says, because nobody else changes progress.
#[derive(Debug)]
pub(crate) struct LeadBook {
    held: BTreeMap<LeadId, CampaignId>,
    recent: BTreeMap<LeadId, (u64, LeadProgress)>,
    order: VecDeque<(u64, LeadId)>,
    stamp: u64,
    limit: usize,
    /// Erased: never held again.
    gone: BTreeSet<LeadId>,
}

impl LeadBook {
    pub(crate) fn with_limit(limit: usize) -> Self {
        LeadBook {
            held: BTreeMap::new(),
            recent: BTreeMap::new(),
            order: VecDeque::new(),
            stamp: 0,
            limit,
            gone: BTreeSet::new(),
        }
    }

    /// Forgets a lead for good: it is being erased.
    pub(crate) fn forget(&mut self, lead: LeadId) {
        self.held.remove(&lead);
        self.recent.remove(&lead);
        self.gone.insert(lead);
    }

    /// Takes a lead for a campaign; false if it is held already or erased.
    pub(crate) fn hold(&mut self, lead: LeadId, campaign: CampaignId) -> bool {
        if self.gone.contains(&lead) {
            return false;
        }
        match self.held.entry(lead) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(campaign);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    pub(crate) fn release(&mut self, lead: LeadId) {
        self.held.remove(&lead);
    }

    /// The campaign in whose hopper, task or call a lead is.
    pub(crate) fn holder(&self, lead: LeadId) -> Option<CampaignId> {
        self.held.get(&lead).copied()
    }

    pub(crate) fn is_held(&self, lead: LeadId) -> bool {
        self.held.contains_key(&lead)
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Remembers a lead's progress as newer than any load under way.
    pub(crate) fn moved(&mut self, progress: &LeadProgress) {
        self.stamp += 1;
        self.recent.insert(progress.lead, (self.stamp, progress.clone()));
        self.order.push_back((self.stamp, progress.lead));
        while self.order.len() > self.limit {
            let (stamp, lead) = self.order.pop_front().expect("longer than the limit");
            if self.recent.get(&lead).is_some_and(|(newest, _)| *newest == stamp) {
                self.recent.remove(&lead);
            }
        }
    }

    /// What is known of a lead beyond what a load says.
    pub(crate) fn newest(&self, lead: LeadId) -> Option<&LeadProgress> {
        self.recent.get(&lead).map(|(_, progress)| progress)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::id::ListId;
    use crate::record::Phone;

    pub(crate) fn lead() -> Lead {
        let id = LeadId::from_bits(1);
        Lead {
            id,
            list: ListId::from_bits(1),
            external_id: None,
            phones: vec![Phone { number: "+4912345".into(), raw: "012345".into(), kind: None }],
            priority: 0,
            time_zone: None,
            fields: BTreeMap::new(),
            expires_at: None,
            progress: LeadProgress::fresh(id),
        }
    }

    #[test]
    fn time_and_attempts_decide() {
        let at = WallTime::from_unix_millis;
        assert_eq!(verdict(&lead(), 3, at(1000)), Verdict::Dialable);
        let mut waiting = lead();
        waiting.progress.state = LeadState::RetryWait;
        waiting.progress.next_at = Some(at(1000));
        assert_eq!(verdict(&waiting, 3, at(999)), Verdict::NotNow);
        assert_eq!(verdict(&waiting, 3, at(1000)), Verdict::Dialable);
        waiting.progress.attempts = 3;
        assert_eq!(verdict(&waiting, 3, at(1000)), Verdict::Over);
        let mut expiring = lead();
        expiring.expires_at = Some(at(1000));
        assert_eq!(verdict(&expiring, 3, at(999)), Verdict::Dialable);
        assert_eq!(verdict(&expiring, 3, at(1000)), Verdict::Expired);
        let over =
            [LeadState::Dialing, LeadState::Done, LeadState::Exhausted, LeadState::Dnc, LeadState::Expired];
        for state in over {
            let mut lead = lead();
            lead.progress.state = state;
            assert_eq!(verdict(&lead, 3, at(1000)), Verdict::NotNow);
        }
    }

    #[test]
    fn the_book_holds_once_and_forgets_the_oldest() {
        let mut book = LeadBook::with_limit(2);
        let (lead, campaign) = (LeadId::from_bits(1), CampaignId::from_bits(1));
        assert!(book.hold(lead, campaign));
        assert!(!book.hold(lead, campaign));
        book.release(lead);
        assert!(!book.is_held(lead));
        for bits in [1, 2, 1, 3] {
            book.moved(&LeadProgress::fresh(LeadId::from_bits(bits)));
        }
        assert!(book.newest(LeadId::from_bits(1)).is_some());
        assert!(book.newest(LeadId::from_bits(2)).is_none());
        assert!(book.newest(LeadId::from_bits(3)).is_some());
    }
}
