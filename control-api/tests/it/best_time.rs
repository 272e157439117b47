//! When to call whom: settings, what was learned, what an experiment finds, and of one lead why.

use crate::house::House;
use dialer_core::Record;
use dialer_core::best_time::ExperimentArm;
use serde_json::json;

#[tokio::test]
async fn a_campaign_tells_what_it_learned_and_what_its_experiment_found() {
    let house = House::new();
    let list = house.made(&house.post("/v1/lists", json!({"name": "people"})).await);
    let lead = json!({"phones": [{"number": "+4930123456", "type": "mobile"}], "time_zone": "Europe/Berlin"});
    let lead = house.made(&house.post(&format!("/v1/lists/{list}/leads"), lead).await);
    let campaign = json!({
        "name": "hours", "lists": [list],
        "best_time": {"segment_by": ["phone_type"], "experiment": {"hold_out_share": 0.3, "seed": 7}},
    });
    let made = house.post("/v1/campaigns", campaign).await;
    let id = house.made(&made);
    assert_eq!(made.json()["best_time"]["window"], 5_000);
    let path = format!("/v1/campaigns/{id}");
    let empty = house.get(&format!("{path}/best-time")).await.is(200).json();
    assert_eq!(empty["segments"], json!([]));
    assert_eq!(empty["experiment"]["difference"], json!(null));

    let campaign = id.parse().unwrap();
    let seen = |arm, hour, answered| Record::BestTimeSeen {
        campaign,
        segment: "mobile".into(),
        hour,
        arm,
        answered,
    };
    let mut records = Vec::new();
    for n in 0..100 {
        records.push(seen(ExperimentArm::Chosen, 9, n < 40));
        records.push(seen(ExperimentArm::HeldOut, 19, n < 20));
    }
    house.core.lock().unwrap().write(records);
    let told = house.get(&format!("{path}/best-time?lead_id={lead}")).await.is(200).json();
    let found = &told["experiment"];
    assert_eq!(found["chosen"], json!({"tries": 100, "answers": 40, "answer_rate": 0.4}));
    assert_eq!(found["held_out"], json!({"tries": 100, "answers": 20, "answer_rate": 0.2}));
    let number = |name: &str| found[name].as_f64().unwrap();
    assert!((number("difference") - 0.2).abs() < 1e-9);
    assert!(number("difference_low") > 0.0 && number("difference_high") < 0.4);
    assert!((number("lift") - 1.0).abs() < 1e-9);
    let chances = told["segments"][0]["answer_chances"].as_array().unwrap().clone();
    assert_eq!((chances.len(), &told["segments"][0]["segment"]), (168, &json!("mobile")));
    assert!(chances[9].as_f64() > chances[19].as_f64());
    let of_lead = &told["lead"];
    assert_eq!((&of_lead["segment"], &of_lead["best_hour_of_week"]), (&json!("mobile"), &json!(9)));
    // 2026-10-01T02:03:04Z, a Thursday: five past four in Berlin.
    assert_eq!(of_lead["hour_of_week"], 3 * 24 + 4);
    assert!(of_lead["sentence"].as_str().unwrap().len() > 20);

    // Another seed begins another experiment; what was learned of hours stays.
    house
        .patch(&path, json!({"best_time": {"experiment": {"hold_out_share": 0.3, "seed": 8}}}))
        .await
        .is(200);
    let anew = house.get(&format!("{path}/best-time")).await.is(200).json();
    assert_eq!(anew["experiment"]["chosen"]["tries"], 0);
    assert_eq!(anew["segments"][0]["total"]["tries"], 200);
    house.patch(&path, json!({"best_time": null})).await.is(200);
    assert_eq!(house.get(&format!("{path}/best-time")).await.is(200).json()["experiment"], json!(null));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let house = House::new();
    for (best_time, at) in [
        (json!({"segment_by": ["zodiac"]}), "/best_time/segment_by/0"),
        (json!({"segment_by": ["list", "area", "phone_type", "field:a"]}), "/best_time/segment_by"),
        (json!({"window": 99}), "/best_time/window"),
        (json!({"experiment": {"hold_out_share": 1.0}}), "/best_time/experiment/hold_out_share"),
        (json!({"experiment": {"hold_out_share": "half"}}), "/best_time/experiment/hold_out_share"),
        (json!({"hold": 1}), "/best_time/hold"),
    ] {
        let campaign = json!({"name": "c", "best_time": best_time});
        assert_eq!(house.post("/v1/campaigns", campaign).await.problem(400, "invalid_body"), [at]);
    }
    let id = house.made(&house.post("/v1/campaigns", json!({"name": "c"})).await);
    let path = format!("/v1/campaigns/{id}/best-time");
    house.get(&format!("{path}?lead_id=camp_1")).await.problem(400, "invalid_parameter");
    let ulid = "01J0000000000000000000000Z";
    house.get(&format!("{path}?lead_id=lead_{ulid}")).await.problem(404, "not_found");
}
