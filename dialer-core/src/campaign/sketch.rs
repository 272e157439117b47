//! What a campaign's pacer has learned, kept over a restart.

use crate::dialer::{Cx, Dialer};
use crate::id::CampaignId;
use crate::record::Record;

/// Written down this often while the campaign dials, milliseconds. A crash loses at most so much of what was
/// learned; the counts that bind are in the ledger and lose nothing.
const SKETCH_EVERY_MS: u64 = 60_000;

impl Dialer {
    /// Writes down what was learned, if it is time and something was.
    pub(crate) fn sketch_if_due(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get(&id) else { return };
        let attempts = campaign.counts.attempts;
        let (at, before) = campaign.sketched.unwrap_or((sansio::Instant::ZERO, 0));
        if attempts != before && cx.now.millis_since(at) >= SKETCH_EVERY_MS {
            self.sketch_now(cx, id);
        }
    }

    pub(crate) fn sketch_now(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        campaign.sketched = Some((cx.now, campaign.counts.attempts));
        let Some(sketch) = self.pacer.sketch_of(campaign.number) else { return };
        // What cannot be written (a number that is none) is not worth keeping.
        if let Ok(sketch) = serde_json::to_vec(&sketch) {
            self.journal(cx, vec![Record::PacerSketch { campaign: id, sketch }]);
        }
    }

    /// Takes back what was learned before the restart; a sketch of another version is passed over.
    pub(crate) fn restore_sketches(&mut self, sketches: Vec<(CampaignId, Vec<u8>)>) {
        for (id, bytes) in sketches {
            if self.campaigns.contains_key(&id)
                && let Ok(sketch) = serde_json::from_slice(&bytes)
            {
                self.pacer.restore(sketch);
            }
        }
    }
}
