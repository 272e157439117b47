//! How many requests a token may make.

use crate::house::House;
use axum::http::Method;
use control_api::{EventHub, RateLimits};

#[tokio::test]
async fn a_token_that_asks_too_much_waits_and_others_do_not() {
    // The window is so long that no test fills a bucket again.
    let limits = RateLimits { requests_per_s: 1, originates_per_s: 1, window_s: 3 };
    let house = House::with(|config| config.rate_limits = limits, EventHub::default());
    let first = house.get("/v1/agents").await.is(200);
    assert_eq!(first.header("ratelimit-policy"), "\"requests\";q=3;w=3");
    assert_eq!(first.header("ratelimit"), "\"requests\";r=2;t=1");
    let other = house.token(&["supervise"]).await;
    let mut refused = None;
    for _ in 0..100 {
        let reply = house.get("/v1/agents").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("the bucket empties faster than it fills");
    refused.problem(429, "limit_reached");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.header("ratelimit").contains("r=0"));
    house.ask(&other, Method::GET, "/v1/agents", None).await.is(200);
    // Who has no token is told so, without a count.
    let nobody = house.ask("", Method::GET, "/v1/agents", None).await;
    nobody.problem(401, "unauthorized");
    assert!(nobody.headers.get("ratelimit").is_none());
}
