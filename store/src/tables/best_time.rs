//! What campaigns learn of the hours of their leads.

use super::codec::{blob, count, id};
use super::txn::Txn;
use crate::error::StoreError;
use crate::sql::{Connection, Row};
use dialer_core::CampaignId;
use dialer_core::best_time::{BestTimeRow, ExperimentArm};

/// The number stored for an arm. Never changes once released.
const fn code(arm: ExperimentArm) -> i64 {
    match arm {
        ExperimentArm::None => 0,
        ExperimentArm::Chosen => 1,
        ExperimentArm::HeldOut => 2,
    }
}

pub(super) fn seen(
    txn: &mut Txn<'_>,
    campaign: CampaignId,
    (segment, hour, arm): (&str, u8, ExperimentArm),
    answered: bool,
) -> Result<(), StoreError> {
    txn.write(
        "INSERT INTO best_time (campaign, segment, hour, arm, tries, answers) VALUES (?1, ?2, ?3, ?4, 1, ?5) \
         ON CONFLICT (campaign, segment, hour, arm) DO UPDATE SET tries = best_time.tries + 1, \
         answers = best_time.answers + excluded.answers",
        (blob(campaign), segment, hour, code(arm), answered),
    )?;
    Ok(())
}

/// What was tried in an experiment counts for none any more.
pub(super) fn reset(txn: &mut Txn<'_>, campaign: CampaignId) -> Result<(), StoreError> {
    txn.write(
        "INSERT INTO best_time (campaign, segment, hour, arm, tries, answers) \
         SELECT campaign, segment, hour, 0, sum(tries), sum(answers) FROM best_time \
         WHERE campaign = ?1 AND arm <> 0 GROUP BY campaign, segment, hour \
         ON CONFLICT (campaign, segment, hour, arm) DO UPDATE SET tries = best_time.tries + excluded.tries, \
         answers = best_time.answers + excluded.answers",
        (blob(campaign),),
    )?;
    txn.write("DELETE FROM best_time WHERE campaign = ?1 AND arm <> 0", (blob(campaign),))?;
    Ok(())
}

fn read(row: Row<'_>) -> crate::sql::Result<BestTimeRow> {
    let place: i64 = row.get("arm")?;
    let arm = ExperimentArm::ALL.into_iter().find(|arm| code(*arm) == place);
    Ok(BestTimeRow {
        campaign: id(row, "campaign")?,
        segment: row.get("segment")?,
        hour: row.get("hour")?,
        arm: arm.unwrap_or(ExperimentArm::None),
        tries: count(row.get("tries")?),
        answers: count(row.get("answers")?),
    })
}

/// Of all campaigns.
pub(super) fn load(conn: &Connection) -> Result<Vec<BestTimeRow>, StoreError> {
    let mut rows = conn.prepare_cached("SELECT * FROM best_time ORDER BY campaign, segment, hour, arm")?;
    Ok(rows.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// Of one campaign.
pub(super) fn of_campaign(conn: &Connection, campaign: CampaignId) -> Result<Vec<BestTimeRow>, StoreError> {
    let mut rows =
        conn.prepare_cached("SELECT * FROM best_time WHERE campaign = ?1 ORDER BY segment, hour, arm")?;
    Ok(rows.query_map((blob(campaign),), read)?.collect::<Result<_, _>>()?)
}
