//! The event stream: nothing missed, nothing twice.

use crate::house::{House, NOW, ROOT};
use axum::body::BodyDataStream;
use axum::http::{Method, Request, StatusCode};
use control_api::EventHub;
use dialer_core::{CampaignId, Event, EventEnvelope, EventId};
use futures_util::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use store::Store;
use tower::ServiceExt;

fn event(cursor: u64, event: Event, campaign: Option<u128>) -> EventEnvelope {
    EventEnvelope {
        id: EventId::from_bits(u128::from(cursor)),
        cursor,
        seq: None,
        occurred_at: NOW,
        call: None,
        campaign: campaign.map(CampaignId::from_bits),
        lead: None,
        agent: None,
        tenant: None,
        client_state: None,
        post_call: false,
        event,
    }
}

fn publish(house: &House, cursor: u64) {
    let one = event(cursor, Event::NodeStarted { calls_cut_off: cursor }, None);
    house.core.lock().unwrap().publish(one);
}

/// What a client reads, cut into messages.
pub(crate) struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(house: &House, path: &str, last: Option<&str>) -> Stream {
        Stream::open_as(house, ROOT, path, last).await
    }

    pub(crate) async fn open_as(house: &House, token: &str, path: &str, last: Option<&str>) -> Stream {
        let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response =
            house.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream { body: response.into_body().into_data_stream(), text: String::new() };
        let hello = stream.message().await.unwrap();
        assert!(hello.contains(": connected") && hello.contains("retry:"), "{hello}");
        stream
    }

    /// The next message, heartbeats too; `None` at the end.
    async fn message(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let message = self.text[..at].to_owned();
                self.text.drain(..at + 2);
                return Some(message);
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Id and data of the next event.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        loop {
            let message = self.message().await.expect("the stream goes on");
            let field = |name: &str| {
                message.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
            };
            if let Some(data) = field("data:") {
                return (field("id:").unwrap_or_default(), serde_json::from_str(&data).unwrap());
            }
        }
    }

    async fn cursor(&mut self) -> u64 {
        let (id, data) = self.event().await;
        assert_eq!(data["cursor"], id.as_str());
        id.rsplit('-').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn history_then_live_without_gap_or_double() {
    let house = House::new();
    let first = house.hub.latest() + 1;
    for cursor in first..first + 1_200 {
        publish(&house, cursor);
    }
    let mut stream = Stream::open(&house, &format!("/v1/events?after={}", first + 9), None).await;
    for expected in first + 10..first + 1_200 {
        assert_eq!(stream.cursor().await, expected);
        if expected % 100 == 0 {
            // While history is read, life goes on.
            publish(&house, house.hub.latest() + 1);
        }
    }
    for expected in first + 1_200..=house.hub.latest() {
        assert_eq!(stream.cursor().await, expected);
    }
    publish(&house, house.hub.latest() + 1);
    assert_eq!(stream.cursor().await, house.hub.latest());
    drop(stream);
    // Comes back by its id; what happened meanwhile is there.
    let last = house.hub.latest();
    publish(&house, last + 1);
    let id = format!("n1-{last:015}");
    let mut stream = Stream::open(&house, "/v1/events", Some(&id)).await;
    assert_eq!(stream.cursor().await, last + 1);
    // Without a cursor: from now on.
    let mut stream = Stream::open(&house, "/v1/events", None).await;
    publish(&house, last + 2);
    assert_eq!(stream.cursor().await, last + 2);
}

#[tokio::test]
async fn readers_and_a_writer_at_once() {
    let house = Arc::new(House::new());
    let first = house.hub.latest() + 1;
    publish(&house, first);
    let writer = Arc::clone(&house);
    let writing = tokio::task::spawn_blocking(move || {
        for cursor in first + 1..first + 600 {
            publish(&writer, cursor);
        }
    });
    for _ in 0..8 {
        let mut stream = Stream::open(&house, &format!("/v1/events?after={}", first - 1), None).await;
        for expected in first..first + 600 {
            assert_eq!(stream.cursor().await, expected);
        }
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn filters_let_through_what_is_asked_for() {
    let house = House::new();
    let mut cursor = house.hub.latest();
    for (told, campaign) in [
        (Event::CampaignCompleted, Some(1)),
        (Event::CallQueued, Some(1)),
        (Event::CallQueued, Some(2)),
        (Event::AgentLoggedIn, None),
    ] {
        cursor += 1;
        house.core.lock().unwrap().publish(event(cursor, told, campaign));
    }
    let after = cursor - 4;
    let mut stream =
        Stream::open(&house, &format!("/v1/events?after={after}&types=call.*,agent.logged_in"), None).await;
    for kind in ["call.queued", "call.queued", "agent.logged_in"] {
        assert_eq!(stream.event().await.1["type"], kind);
    }
    let campaign = CampaignId::from_bits(2);
    let mut stream =
        Stream::open(&house, &format!("/v1/events?after={after}&campaign={campaign}"), None).await;
    assert_eq!(stream.event().await.1["campaign_id"], campaign.to_string());
}

#[tokio::test]
async fn a_cursor_that_is_too_old_is_gone() {
    let house = House::new();
    let first = house.hub.latest() + 1;
    for cursor in first..first + 10 {
        let mut one = event(cursor, Event::NodeDrained, None);
        one.occurred_at = NOW.plus_millis(cursor as i64);
        house.core.lock().unwrap().publish(one);
    }
    house.store.prune_events(NOW.plus_millis((first + 5) as i64), u64::MAX).unwrap();
    let reply = house.get(&format!("/v1/events?after={first}")).await;
    reply.problem(410, "cursor_expired");
    assert_eq!(reply.json()["resync"], "/v1/calls?state=live");
    house.get("/v1/events?after=999999").await.problem(410, "cursor_expired");
    let mut stream = Stream::open(&house, &format!("/v1/events?after={}", first + 4), None).await;
    assert_eq!(stream.cursor().await, first + 5);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_cut_off() {
    let beat =
        |config: &mut control_api::ApiConfig| config.event_heartbeat = std::time::Duration::from_millis(20);
    let house = House::with(beat, EventHub::with_buffer(4));
    let after = house.hub.latest();
    let mut stream = Stream::open(&house, &format!("/v1/events?after={after}"), None).await;
    publish(&house, after + 1);
    assert_eq!(stream.cursor().await, after + 1);
    // A sign of life: it is live now. More than the buffer holds comes while nothing is read.
    assert!(stream.message().await.unwrap().contains(": heartbeat"));
    for cursor in after + 2..after + 50 {
        publish(&house, cursor);
    }
    let mut last = after + 1;
    loop {
        let (id, data) = stream.event().await;
        if data["code"] == "slow_consumer" {
            break;
        }
        last += 1;
        assert_eq!(id, format!("n1-{last:015}"));
    }
    assert!(stream.message().await.is_none(), "the stream is over");
    let mut stream = Stream::open(&house, "/v1/events", Some(&format!("n1-{last:015}"))).await;
    for expected in last + 1..after + 50 {
        assert_eq!(stream.cursor().await, expected);
    }
}

#[tokio::test]
async fn streams_are_limited_and_given_back() {
    let house = House::with(|config| config.event_streams_max = 1, EventHub::default());
    let stream = Stream::open(&house, "/v1/events", None).await;
    house.get("/v1/events").await.problem(429, "limit_reached");
    drop(stream);
    Stream::open(&house, "/v1/events", None).await;
}

#[tokio::test]
async fn a_quiet_stream_gives_signs_of_life_and_ends_with_its_token() {
    let beat =
        |config: &mut control_api::ApiConfig| config.event_heartbeat = std::time::Duration::from_millis(20);
    let house = House::with(beat, EventHub::default());
    publish(&house, house.hub.latest() + 1);
    let mut stream = Stream::open(&house, "/v1/events?types=call.*", None).await;
    let beat = stream.message().await.unwrap();
    assert!(beat.contains(": heartbeat") && beat.contains("id: n1-") || beat.contains("id:n1-"), "{beat}");
    let token = house.token(&["events:read"]).await;
    let request = Request::get("/v1/events").header("authorization", format!("Bearer {token}"));
    let response =
        house.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let mut stream = Stream { body: response.into_body().into_data_stream(), text: String::new() };
    stream.message().await.unwrap();
    let id = house.get("/v1/tokens").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    house.ask(ROOT, Method::DELETE, &format!("/v1/tokens/{id}"), None).await.is(204);
    loop {
        let message = stream.message().await.expect("it says why it ends");
        if message.contains("unauthorized") {
            break;
        }
        assert!(message.contains(": heartbeat"), "{message}");
    }
    assert!(stream.message().await.is_none());
}
