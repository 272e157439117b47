use super::*;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router, routing::post};
use dialer_core::CallId;
use media::announcement::AnnouncementClass;
use sansio::{Rng, WallTime};
use std::net::SocketAddr;
use tokio::sync::Notify;

const CALL_SAMPLES: [i16; 1_600] = [1_000; 1_600];

fn call() -> CallId {
    CallId::generate(WallTime::from_unix_millis(1), &mut Rng::from_seed(1))
}

/// A server whose only route is the one that is asked.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.5.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn words(address: SocketAddr, timeout: Duration, concurrent_max: usize) -> (Words, Arc<RecogniserCounters>) {
    let url = format!("http://{address}/v1/");
    let engine = HttpRecogniser::new((&url, Some("secret")), ("small", Some("zh")), timeout).unwrap();
    let counters = Arc::new(RecogniserCounters::default());
    let phrases = Phrases::load(None).unwrap();
    let handle = tokio::runtime::Handle::current();
    (Words::new(Arc::new(engine), phrases, concurrent_max, Arc::clone(&counters), handle), counters)
}

/// Waits until so many pieces were counted in this way.
async fn counted(counter: &AtomicU64, count: u64) {
    while counter.load(Ordering::Relaxed) < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_server_understands_comes_back_as_what_it_means() {
    let understand = |headers: HeaderMap, body: Bytes| async move {
        let text = String::from_utf8_lossy(&body).into_owned();
        let kind = headers["content-type"].to_str().unwrap();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(headers["authorization"], "Bearer secret");
        assert_eq!((parts.len(), parts[0], parts[5]), (6, "", "--\r\n"));
        assert!(parts[1].contains("name=\"model\"\r\n\r\nsmall\r\n"), "{}", parts[1]);
        assert!(parts[2].contains("name=\"language\"\r\n\r\nzh\r\n"), "{}", parts[2]);
        assert!(parts[4].contains("filename=\"heard.wav\"") && parts[4].contains("RIFF"));
        let file = body.windows(4).position(|bytes| bytes == b"RIFF").unwrap();
        let end = file + 44 + 2 * CALL_SAMPLES.len();
        assert_eq!(media::wav::read_prompt(&body[file..end]).unwrap(), CALL_SAMPLES);
        Json(serde_json::json!({"text": "您好,您拨打的用户已关机。"}))
    };
    let address = serve(Router::new().route("/v1/audio/transcriptions", post(understand))).await;
    let (words, counters) = words(address, Duration::from_secs(10), 1);
    let (back, mut orders) = mailbox::bounded(4);
    words.ask(call(), CALL_SAMPLES.into(), back);
    let Some(ShardOrder::Command(ShardCommand::Meant { call: told, class, phrase })) = orders.recv().await
    else {
        panic!("nothing came back");
    };
    assert_eq!((told, class, &*phrase), (call(), AnnouncementClass::PowerOff, "关机"));
    counted(&counters.phrase, 1).await;
}

#[tokio::test]
async fn what_is_too_much_at_once_is_not_asked_about() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let hold = move || async move {
        wait.notified().await;
        Json(serde_json::json!({"text": "hello"}))
    };
    let address = serve(Router::new().route("/v1/audio/transcriptions", post(hold))).await;
    let (words, counters) = words(address, Duration::from_secs(60), 1);
    let (back, _orders) = mailbox::bounded(4);
    for _ in 0..3 {
        words.ask(call(), CALL_SAMPLES.into(), back.clone());
    }
    assert_eq!(counters.full.load(Ordering::Relaxed), 2);
    go.notify_one();
    counted(&counters.nothing, 1).await;
}

#[tokio::test]
async fn a_server_that_fails_is_counted_and_harms_nothing() {
    let refuse = || async { StatusCode::SERVICE_UNAVAILABLE };
    let refusing = serve(Router::new().route("/v1/audio/transcriptions", post(refuse))).await;
    let garbage = serve(Router::new().route("/v1/audio/transcriptions", post(|| async { "{" }))).await;
    let flood = || async { "x".repeat(1 << 20) };
    let flooding = serve(Router::new().route("/v1/audio/transcriptions", post(flood))).await;
    let silent = tokio::net::TcpListener::bind("127.5.0.1:0").await.unwrap();
    for address in [refusing, garbage, flooding, silent.local_addr().unwrap()] {
        let (words, counters) = words(address, Duration::from_millis(300), 4);
        let (back, mut orders) = mailbox::bounded(4);
        words.ask(call(), CALL_SAMPLES.into(), back);
        counted(&counters.failed, 1).await;
        assert!(orders.recv().await.is_none(), "{address}: nothing is told, and the way back is let go");
    }
}
