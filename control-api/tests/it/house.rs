//! A dialer, a store and the API over them, without network and without clocks of their own.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use control_api::{ApiConfig, CommandRequest, EventHub, Gateway, GatewayParts, NodeInfo, ReadModel, router};
use dialer_core::{CallFact, Effect, EventEnvelope, Input, Record};
use dialer_core::{Dialer, DialerConfig};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng, WallTime};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use store::{Options, SqliteStore, Store};
use tokio::sync::mpsc;
use tower::ServiceExt;

/// The token with every scope.
pub(crate) const ROOT: &str = "dlr_root_of_the_tests";
/// 2026-10-01T02:03:04.000Z, a Thursday.
pub(crate) const NOW: WallTime = WallTime::from_unix_millis(1_790_820_184_000);

/// What the daemon's loop does, in the simplest form: every effect at once, every record flushed.
pub(crate) struct Loop {
    dialer: Dialer,
    store: Arc<SqliteStore>,
    read_model: Arc<ReadModel>,
    hub: Arc<EventHub>,
    replies: Vec<(u64, Result<dialer_core::Reply, dialer_core::CommandError>)>,
    appended: u64,
    now: Instant,
    /// Orders the engine would have got.
    pub(crate) orders: Vec<Effect>,
}

impl Loop {
    pub(crate) fn append(&mut self, records: Vec<Record>) {
        self.appended += 1;
        self.store.append(self.appended, records);
        assert!(self.store.flush(Duration::from_secs(30)));
    }

    pub(crate) fn publish(&mut self, event: EventEnvelope) {
        let shown = control_api::wire::event::Event::new(&event, "n1", control_api::Masker::new(true));
        crate::schema::check_event(&serde_json::to_value(shown).unwrap());
        self.append(vec![Record::Event(Box::new(event.clone()))]);
        self.hub.publish(Arc::new(event));
    }

    pub(crate) fn input(&mut self, input: Input) {
        let mut out = Outbox::with_limit(100_000);
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.dialer.handle_input(self.now, input, &mut out);
            inputs.extend(self.carry_out(&mut out));
        }
    }

    fn carry_out(&mut self, out: &mut Outbox<Effect>) -> Vec<Input> {
        let mut inputs = Vec::new();
        let mut effects: Vec<Effect> = out.drain().collect();
        // One input, one transaction: as the engine does it.
        let mut records = Vec::new();
        for effect in &mut effects {
            if let Effect::Journal(more) = effect {
                records.append(more);
            }
        }
        if !records.is_empty() {
            self.append(records);
        }
        for effect in effects {
            match effect {
                Effect::Journal(_) => {}
                Effect::Event(event) => self.publish(*event),
                Effect::View(change) => self.read_model.apply(change),
                Effect::Reply { tag, result } => self.replies.push((tag, result)),
                Effect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                    let query = store::LeadQuery { lists, limit, due_at, exclude: vec![], screen: *screen };
                    let loaded = self.store.load_leads(&query).unwrap();
                    inputs.push(Input::LeadsLoaded {
                        campaign,
                        leads: loaded.leads,
                        more: loaded.more,
                        next_due: loaded.next_due,
                    });
                }
                Effect::FindCallbacks { at, limit } => {
                    let found = self.store.callbacks_due(at, limit).unwrap();
                    inputs.push(Input::CallbacksFound { leads: found.leads, next: found.next });
                }
                Effect::FindExpired { campaign, lists, at, limit } => {
                    let query = store::ExpiredQuery { lists, at, limit };
                    let found = self.store.expired_leads(&query).unwrap();
                    inputs.push(Input::ExpiredFound { campaign, leads: found.leads, next: found.next });
                }
                other => self.orders.push(other),
            }
        }
        inputs
    }

    /// Puts records into the store, as an earlier life of the node would have.
    pub(crate) fn write(&mut self, records: Vec<Record>) {
        self.append(records);
    }

    /// Lets time pass for the dialer, waking it whenever it wants.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.dialer.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut out = Outbox::with_limit(100_000);
            self.dialer.handle_timeout(self.now, &mut out);
            let inputs = self.carry_out(&mut out);
            inputs.into_iter().for_each(|input| self.input(input));
        }
        self.now = until;
    }

    pub(crate) fn fact(&mut self, fact: CallFact) {
        self.input(Input::Call(fact));
    }
}

/// The house.
pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) core: Arc<Mutex<Loop>>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) hub: Arc<EventHub>,
    pub(crate) recordings: PathBuf,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Checks that it is a problem of this status and code, and gives its pointers.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:dialerd:problem:{code}"));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| {
            let place = error.get("pointer").or_else(|| error.get("parameter"));
            place.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        errors.iter().map(place).collect()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, EventHub::default())
    }

    pub(crate) fn with(change: impl FnOnce(&mut ApiConfig), hub: EventHub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("store.db"), Options::new(Box::new(|_| ()))).unwrap();
        let store = Arc::new(store);
        let (read_model, hub) = (Arc::new(ReadModel::new()), Arc::new(hub));
        let mut core = Loop {
            dialer: Dialer::new(DialerConfig::default(), Rng::from_seed(7)),
            store: Arc::clone(&store),
            read_model: Arc::clone(&read_model),
            hub: Arc::clone(&hub),
            replies: vec![],
            appended: 0,
            now: Instant::ZERO,
            orders: vec![],
        };
        core.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: NOW }));
        core.input(Input::Restore(Box::default()));
        let core = Arc::new(Mutex::new(core));
        let (commands, mut wishes) = mpsc::channel::<CommandRequest>(64);
        let control = Arc::clone(&core);
        std::thread::spawn(move || {
            for tag in 1.. {
                let Some(wish) = wishes.blocking_recv() else { return };
                let mut core = control.lock().unwrap();
                core.input(Input::Command { tag, command: wish.command });
                let at = core.replies.iter().position(|(of, _)| *of == tag).expect("one reply per command");
                let _ = wish.reply.send(core.replies.swap_remove(at).1);
            }
        });
        let recordings = folder.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        let mut config = ApiConfig {
            recordings_dir: recordings.clone(),
            recordings_keys: vec![store::sealed::SealKey::from_hex(&"1".repeat(64)).unwrap()],
            default_region: Some("CN".into()),
            ..ApiConfig::default()
        };
        change(&mut config);
        let gateway = Gateway::new(GatewayParts {
            commands,
            store: Arc::clone(&store) as Arc<dyn Store>,
            read_model: Arc::clone(&read_model),
            events: Arc::clone(&hub),
            node: NodeInfo { name: "n1".into(), version: "0.1.0".into(), started_at: NOW },
            config,
            clock: Arc::new(|| NOW),
        });
        gateway.register_bootstrap_token(ROOT);
        House { router: router(Arc::clone(&gateway)), gateway, core, store, hub, recordings, _folder: folder }
    }

    /// Every event that was told so far.
    pub(crate) fn store_events(&self) -> Vec<EventEnvelope> {
        self.store.events_since(0, 10_000).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let kind = parts.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        if method != Method::HEAD {
            crate::schema::check(method.as_str(), &path, parts.status.as_u16(), kind, &text);
        }
        Reply { status: parts.status, headers: parts.headers, text }
    }

    /// A request with a token and perhaps a JSON body.
    pub(crate) async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.ask_with(token, method, path, body, &[]).await
    }

    pub(crate) async fn ask_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(ROOT, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask(ROOT, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Reply {
        self.ask(ROOT, Method::POST, path, None).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.ask(ROOT, Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask(ROOT, Method::DELETE, path, None).await
    }

    /// Makes something and gives its name.
    #[track_caller]
    pub(crate) fn made(&self, reply: &Reply) -> String {
        assert_eq!(reply.status.as_u16(), 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn trunk(&self) -> String {
        let reply = self
            .post(
                "/v1/trunks",
                json!({"name": "carrier", "address": "127.0.0.1:5070",
                       "username": "user", "password": "trunk-secret", "caller_id": "+862155550000"}),
            )
            .await;
        self.made(&reply)
    }

    pub(crate) async fn agent(&self, username: &str) -> String {
        let body = json!({"name": format!("Agent {username}"), "username": username, "password": "agent-secret", "groups": ["sales"]});
        self.made(&self.post("/v1/agents", body).await)
    }

    pub(crate) async fn list(&self) -> String {
        self.made(&self.post("/v1/lists", json!({"name": "October", "default_region": "CN"})).await)
    }

    pub(crate) async fn campaign(&self, lists: &[&str]) -> String {
        self.made(
            &self
                .post("/v1/campaigns", json!({"name": "Renewals", "lists": lists, "mode": "progressive"}))
                .await,
        )
    }

    /// A token with these scopes.
    pub(crate) async fn token(&self, scopes: &[&str]) -> String {
        let reply = self.post("/v1/tokens", json!({"name": "test", "scopes": scopes})).await.is(201);
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// Imports a text and gives its lines.
    pub(crate) async fn import(&self, path: &str, kind: &str, text: impl Into<Body>) -> Vec<Value> {
        let reply = self.import_as(ROOT, path, kind, text).await.is(200);
        reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) async fn import_as(
        &self,
        token: &str,
        path: &str,
        kind: &str,
        text: impl Into<Body>,
    ) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind)
            .body(text.into())
            .unwrap();
        self.send(request).await
    }
}
