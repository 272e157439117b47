//! Recordings on the wire.

use crate::time::Time;
use dialer_core::record::RecordingRow;
use serde::Serialize;
use utoipa::ToSchema;

/// A recording: a stereo WAV file, customer left, agent right.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Recording {
    /// Its name.
    #[schema(example = "rec_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// The call it is of.
    pub call_id: String,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The agent.
    pub agent_id: Option<String>,
    /// Length.
    pub duration_ms: u64,
    /// Size.
    pub bytes: u64,
    /// When it was complete.
    pub ready_at: Time,
    /// Where its sound is.
    pub download: String,
}

impl From<&RecordingRow> for Recording {
    fn from(row: &RecordingRow) -> Self {
        Recording {
            id: row.id.to_string(),
            call_id: row.call.to_string(),
            campaign_id: row.campaign.map(|id| id.to_string()),
            agent_id: row.agent.map(|id| id.to_string()),
            duration_ms: row.duration_ms,
            bytes: row.bytes,
            ready_at: row.at.into(),
            download: format!("/v1/recordings/{}/download", row.id),
        }
    }
}
