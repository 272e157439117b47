//! A campaign's own past as a scenario: call records as the control API gives them.

use super::scenario::{Campaign, Lasts};
use dialer_core::Outcome;
use serde::Deserialize;

/// Durations kept per distribution at most; of more, every n-th.
const KEPT: usize = 20_000;
/// Fewer dials than this say nothing.
const DIALS_MIN: usize = 50;

/// What matters here of a call record. Other fields are let pass.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// What became of the call.
    pub outcome: String,
    /// Dialling to first ringing, milliseconds.
    #[serde(default)]
    pub pdd_ms: Option<u64>,
    /// First ringing to answer or end, milliseconds.
    #[serde(default)]
    pub ring_ms: Option<u64>,
    /// Bridge to end, milliseconds.
    #[serde(default)]
    pub talk_ms: u64,
    /// After-call work, milliseconds.
    #[serde(default)]
    pub wrap_up_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Recorded>,
}

/// Reads one page of records, several pages after each other, or one record per line.
///
/// # Errors
/// Where the text is not such JSON, with line and column.
pub fn read(text: &str) -> Result<Vec<Recorded>, String> {
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        let value = value.map_err(|error| format!("expected call records as JSON: {error}"))?;
        let read = if value.get("data").is_some() {
            serde_json::from_value::<Page>(value).map(|page| page.data)
        } else if value.is_array() {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(|record| vec![record])
        };
        let number = records.len() + 1;
        records.extend(read.map_err(|error| format!("record {number} or one after it: {error}"))?);
    }
    Ok(records)
}

fn lasting(seconds: Vec<f64>) -> Lasts {
    let step = seconds.len().div_ceil(KEPT).max(1);
    Lasts::Recorded { seconds: seconds.into_iter().step_by(step).collect() }
}

/// Puts what was recorded in the place of the campaign's assumptions; what no record shows stays as it is.
///
/// # Errors
/// There are too few dials to say anything.
pub fn teach(campaign: &mut Campaign, records: &[Recorded]) -> Result<(), String> {
    let seconds = |ms: u64| (ms as f64 / 1_000.0).min(36_000.0);
    let (mut live, mut machines, mut busy, mut sit, mut dials) =
        (0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    let (mut answer, mut machine, mut talk, mut wrap_up, mut delay) =
        (vec![], vec![], vec![], vec![], vec![]);
    for record in records {
        dials += 1;
        delay.extend(record.pdd_ms.map(seconds));
        let ring = record.ring_ms.map(seconds);
        let outcome = Outcome::from_name(&record.outcome)
            .ok_or_else(|| format!("{:?} is no outcome of a call", record.outcome))?;
        match outcome {
            Outcome::Machine | Outcome::Fax | Outcome::Screening => {
                machines += 1;
                machine.extend(ring);
            }
            Outcome::Busy | Outcome::InCall => busy += 1,
            Outcome::Connected | Outcome::Abandoned => {
                live += 1;
                answer.extend(ring);
            }
            Outcome::NoAnswer => {}
            // Never dialled, or given up by ourselves.
            Outcome::Cancelled | Outcome::Dnc | Outcome::OutOfWindow | Outcome::NodeRestart => {
                dials -= 1;
                continue;
            }
            _ => sit += 1,
        }
        if record.talk_ms > 0 {
            talk.push(seconds(record.talk_ms));
            wrap_up.extend(record.wrap_up_ms.map(seconds));
        }
    }
    if dials < DIALS_MIN {
        return Err(format!("{dials} dials are too few: expected {DIALS_MIN} or more"));
    }
    let others = (dials - live).max(1) as f64;
    campaign.answer = live as f64 / dials as f64;
    (campaign.machine, campaign.busy, campaign.sit) =
        (machines as f64 / others, busy as f64 / others, sit as f64 / others);
    if !delay.is_empty() {
        campaign.post_dial_delay_s = (delay.iter().sum::<f64>() / delay.len() as f64).min(60.0);
    }
    if !answer.is_empty() {
        campaign.ring = Some(lasting(answer));
    }
    if !machine.is_empty() {
        campaign.machine_ring = Some(lasting(machine));
    }
    if !talk.is_empty() {
        campaign.talk = lasting(talk);
    }
    if !wrap_up.is_empty() {
        campaign.wrap_up = lasting(wrap_up);
    }
    campaign.profile.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: &str, ring_ms: u64, talk_ms: u64) -> String {
        format!(
            r#"{{"call_id":"call_1","outcome":"{outcome}","pdd_ms":900,"ring_ms":{ring_ms},"talk_ms":{talk_ms},"wrap_up_ms":4000}}"#
        )
    }

    #[test]
    fn a_page_and_lines_teach_alike() {
        let mut all = Vec::new();
        for number in 0..100 {
            all.push(match number % 10 {
                0..=2 => record("connected", 6_000, 60_000 + number * 1_000),
                3..=5 => record("machine", 14_000, 0),
                6 => record("busy", 0, 0),
                _ => record("no_answer", 25_000, 0),
            });
        }
        let page = format!(r#"{{"data":[{}],"next_cursor":null}}"#, all.join(","));
        let (mut by_page, mut by_line) = (Campaign::default(), Campaign::default());
        teach(&mut by_page, &read(&page).expect("a page")).expect("enough");
        teach(&mut by_line, &read(&all.join("\n")).expect("lines")).expect("enough");
        assert_eq!(by_page, by_line);
        assert!((by_page.answer - 0.3).abs() < 1e-9 && (by_page.machine - 3.0 / 7.0).abs() < 1e-9);
        assert!((by_page.wrap_up.mean() - 4.0).abs() < 1e-9 && by_page.talk.mean() > 60.0);
        assert_eq!(by_page.ring.as_ref().map(Lasts::mean), Some(6.0));
        assert!((by_page.post_dial_delay_s - 0.9).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert!(read("{\"data\": 5}").is_err());
        assert!(read("connected,5").is_err_and(|error| error.contains("line 1")));
        let few = read(&record("busy", 0, 0)).expect("one record");
        assert!(teach(&mut Campaign::default(), &few).is_err_and(|error| error.contains("too few")));
    }
}
