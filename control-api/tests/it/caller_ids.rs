//! Pools of caller IDs, as an integrator uses them.

use crate::house::House;
use serde_json::json;

#[tokio::test]
async fn a_pool_lives() {
    let house = House::new();
    let body = json!({"name": "north", "numbers": ["+12125550100", "+14155550100"], "strategy": "local_presence",
        "per_number": {"per_hour": 30, "per_day": 80, "cooldown_ms": 1000},
        "experiment": {"strategy": "random", "share": 0.5}});
    let id = house.made(&house.post("/v1/caller-id-pools", body.clone()).await);
    let path = format!("/v1/caller-id-pools/{id}");
    let shown = house.get(&path).await.is(200).json();
    assert_eq!(
        (&shown["active"], &shown["numbers"], &shown["per_number"], &shown["version"]),
        (&json!(2), &body["numbers"], &body["per_number"], &json!(1))
    );
    assert_eq!(
        (&shown["quarantine"]["blocks_max"], &shown["quarantine"]["lasts_ms"]),
        (&json!(3), &json!(86_400_000))
    );
    let result = &shown["experiment_result"];
    assert_eq!(
        (&result["own"]["strategy"], &result["trial"]["calls"], &result["lift"], &result["difference"]),
        (&json!("local_presence"), &json!(0), &json!(null), &json!(null))
    );
    assert_eq!(house.post("/v1/caller-id-pools", body.clone()).await.problem(409, "conflict"), ["/name"]);

    let page = house.get(&format!("{path}/numbers?limit=1&include=total")).await.is(200).json();
    assert_eq!((&page["data"][0]["number"], &page["total"]), (&json!("+12125550100"), &json!(2)));
    let next = page["next_cursor"].as_str().unwrap();
    let page = house.get(&format!("{path}/numbers?limit=1&cursor={next}")).await.is(200).json();
    assert_eq!((&page["data"][0]["number"], &page["next_cursor"]), (&json!("+14155550100"), &json!(null)));

    let which = json!({"number": "+14155550100"});
    let number = house.post(&format!("{path}/numbers:quarantine"), which.clone()).await.is(200).json();
    assert_eq!((&number["state"], &number["reason"]), (&json!("quarantined"), &json!("by_hand")));
    assert_eq!(house.get(&path).await.is(200).json()["quarantined"], 1);
    house.post(&format!("{path}/numbers:quarantine"), which).await.is(409);
    let number = house.post(&format!("{path}/numbers:release"), json!({"place": 1})).await.is(200).json();
    assert_eq!((&number["state"], &number["reason"]), (&json!("active"), &json!(null)));
    house
        .post(&format!("{path}/numbers:release"), json!({"number": "+1999"}))
        .await
        .problem(404, "not_found");
    let both = json!({"number": "+14155550100", "place": 1});
    assert_eq!(
        house.post(&format!("{path}/numbers:release"), both).await.problem(400, "invalid_body"),
        ["/number"]
    );

    let said =
        json!({"reports": [{"number": "+14155550100", "source": "hiya", "score": 0.1, "label": "spam"}]});
    let report = format!("{path}/numbers:report");
    assert_eq!(house.post(&report, said).await.is(200).json(), json!({"changed": 1}));
    let number = house.get(&format!("{path}/numbers")).await.is(200).json()["data"][1].clone();
    assert_eq!((&number["state"], &number["reason"]), (&json!("quarantined"), &json!("reputation")));
    assert_eq!(
        (&number["reputation"][0]["source"], &number["reputation"][0]["score"]),
        (&json!("hiya"), &json!(0.1))
    );
    let cleared = json!({"reports": [{"number": "+14155550100", "source": "hiya", "score": 0.9}]});
    assert_eq!(house.post(&report, cleared).await.is(200).json(), json!({"changed": 1}));
    for (body, pointer) in [
        (json!({"reports": []}), "/reports"),
        (json!({"reports": [{"number": "+1999", "source": "hiya"}]}), "/reports/0/number"),
        (json!({"reports": [{"number": "+14155550100", "source": ""}]}), "/reports/0/source"),
        (json!({"reports": [{"number": "+14155550100", "source": "x", "score": -1}]}), "/reports/0/score"),
    ] {
        assert_eq!(house.post(&report, body.clone()).await.problem(400, "invalid_body"), [pointer], "{body}");
    }

    let list = house.list().await;
    let body = json!({"name": "c", "lists": [list], "caller_id_pool": id});
    let campaign = house.made(&house.post("/v1/campaigns", body).await);
    assert_eq!(
        house.get(&format!("/v1/campaigns/{campaign}")).await.is(200).json()["caller_id_pool"],
        json!(id)
    );
    house.delete(&path).await.is(409);
    house.patch(&format!("/v1/campaigns/{campaign}"), json!({"caller_id_pool": null})).await.is(200);
    let changed = house.patch(&path, json!({"strategy": "fixed", "experiment": null})).await.is(200).json();
    assert_eq!((&changed["version"], &changed["experiment_result"]), (&json!(2), &json!(null)));
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place() {
    let house = House::new();
    for (part, pointer) in [
        (json!({"numbers": []}), "/numbers"),
        (json!({"numbers": ["hello"]}), "/numbers/0"),
        (json!({"numbers": ["+12125550100", "+12125550100"]}), "/numbers/1"),
        (json!({"rotate_every": 0}), "/rotate_every"),
        (json!({"per_number": {"per_hour": 0}}), "/per_number/per_hour"),
        (json!({"per_number": {"cooldown_ms": -1}}), "/per_number/cooldown_ms"),
        (json!({"quarantine": {"answer_drop": 1.0}}), "/quarantine/answer_drop"),
        (json!({"experiment": {"strategy": "fixed", "share": 0.5}}), "/experiment/strategy"),
        (json!({"experiment": {"strategy": "random", "share": 1.0}}), "/experiment/share"),
        (json!({"strategy": "nearest"}), "/strategy"),
        (json!({"agents": ["agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"]}), "/agents/0"),
        (json!({"colour": "red"}), "/colour"),
    ] {
        let mut body = json!({"name": "p", "numbers": ["+12125550100"]});
        body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        let answer = house.post("/v1/caller-id-pools", body).await;
        assert_eq!(answer.problem(400, "invalid_body"), [pointer]);
    }
    let unknown = json!({"name": "c", "caller_id_pool": "cip_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"});
    assert_eq!(house.post("/v1/campaigns", unknown).await.problem(400, "invalid_body"), ["/caller_id_pool"]);
}
