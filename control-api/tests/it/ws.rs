//! The WebSocket: events as frames, requests over the same connection.

use crate::house::{House, ROOT};
use axum::http::Method;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<tokio::net::TcpStream>;

async fn served(house: &House) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.6.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = house.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn open(address: std::net::SocketAddr, query: &str, token: &str) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{address}/v1/ws{query}").into_client_request().unwrap();
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn text(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn events_come_as_frames_and_can_be_gone_on_with() {
    let house = House::new();
    let address = served(&house).await;
    let mut socket = open(address, "?types=campaign.*", ROOT).await.unwrap();
    house.campaign(&[]).await;
    let first = text(&mut socket).await;
    assert_eq!(first["type"], "campaign.created");
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    drop(socket);
    let other = json!({"name": "Other", "lists": [], "mode": "progressive"});
    house.post("/v1/campaigns", other).await.is(201);
    let mut socket = open(address, &format!("?types=campaign.*&after={cursor}"), ROOT).await.unwrap();
    let missed = text(&mut socket).await;
    assert_eq!(missed["type"], "campaign.created");
    assert_ne!(missed["id"], first["id"]);
}

#[tokio::test]
async fn requests_go_over_the_same_connection() {
    let house = House::new();
    let address = served(&house).await;
    let mut socket = open(address, "?types=retention.*", ROOT).await.unwrap();
    let mut ask = async |value: Value| {
        socket.send(Message::text(value.to_string())).await.unwrap();
        text(&mut socket).await
    };
    let made = ask(json!({"request_id": "1", "method": "POST", "path": "/v1/agents",
        "body": {"name": "Ada", "username": "ada", "password": "secret-ada"}}))
    .await;
    assert_eq!(
        (&made["type"], &made["request_id"], &made["status"]),
        (&json!("response"), &json!("1"), &json!(201))
    );
    let id = made["body"]["id"].as_str().unwrap();
    let shown = ask(json!({"request_id": "2", "method": "GET", "path": format!("/v1/agents/{id}")})).await;
    assert_eq!(shown["body"]["name"], "Ada");
    let refused = ask(json!({"request_id": "3", "method": "GET", "path": "/v1/agents/x"})).await;
    assert_eq!((&refused["status"], &refused["body"]["code"]), (&json!(404), &json!("not_found")));
    for bad in [
        json!("text"),
        json!({"request_id": "4", "method": "GET"}),
        json!({"request_id": "4", "method": "GET", "path": "/v1/events"}),
        json!({"request_id": "4", "method": "GET", "path": "no path"}),
        json!({"request_id": "4", "method": "GET", "path": "/v1/agents", "colour": "red"}),
    ] {
        assert_eq!(ask(bad).await["status"], 400);
    }
}

#[tokio::test]
async fn who_may_open_one() {
    let house = House::new();
    let address = served(&house).await;
    let status = |opened: Result<Socket, tungstenite::Error>| match opened {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{:?}", other.map(drop)),
    };
    assert_eq!(status(open(address, "", "dlr_unknown").await), 401);
    let reader = house.token(&["calls:read"]).await;
    assert_eq!(status(open(address, "", &reader).await), 403);
    assert_eq!(status(open(address, "?after=n9-1", ROOT).await), 400);
    house.ask(ROOT, Method::GET, "/v1/ws", None).await.problem(400, "invalid_header");
    // A frame that is no text ends it with a reason.
    let mut socket = open(address, "", ROOT).await.unwrap();
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1003);
                break;
            }
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
