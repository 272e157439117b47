//! Setting the rooms on their ground: store, shards, control thread, API, in that order; and down again.

use crate::api_listener::ApiListener;
use crate::certificates::Certificates;
use crate::config::check::SipTransport;
use crate::config::store::StorePlace;
use crate::config::{Config, check::RouteConfig};
use crate::control_thread::{self, ControlGauges, ControlMessage, ControlParts, DurableWord};
use crate::fork::{ForkCounters, ForkWays};
use crate::hep::{HepCounters, HepSender};
use crate::metrics::{self, Edges, Metrics};
use crate::names::Names;
use crate::recogniser::RecogniserCounters;
use crate::retention::{Keeper, RetentionCounters};
use crate::shard_thread::{Shard, ShardGauges, ShardOrder, ShardWays};
use crate::shelf::Shelf;
use crate::streams::{self, BoundStreams};
use crate::{announcements, prompts, recogniser, relay, shutdown, token, voice};
use anyhow::{Context, anyhow};
use control_api::wire::trace::{TraceEraser, Tracer};
use control_api::{ApiConfig, CommandRequest, EventHub, Gateway, GatewayParts, NodeInfo, ReadModel};
use dialer_core::limits::DialerConfig;
use dialer_core::record::Actor;
use dialer_core::{Command, Reply, TrunkId};
use engine::{
    ControlConfig, ControlCore, RecordingFormat, Route, Secret, ShardCommand, ShardConfig, StreamListener,
    TransitMedia,
};
use media::ogg::RecordingWriter;
use runtime::dns::Dns;
use runtime::dtls::Identity;
use runtime::recorder::{FileEncoder, FileFormat, FileSeal, NewEncoder, NewSeal};
use runtime::stream::{StreamCounters, StreamLimits};
use runtime::{Clock, KernelRelay, Mailbox, ShardOptions, mailbox, spawn_shard};
use sip_proxy::transport::locate::Failures;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use store::sealed::{SealKey, Sealer};
use store::{PostgresStore, SqliteStore, Store};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// Receive and send buffer of a SIP listener.
const SIP_SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// Port pairs that each shard has bound ahead: those of the calls that may come at once.
const PORTS_HELD: usize = 16;
/// Ring between a shard and the control thread, each way.
const RING_ITEMS: usize = 65_536;
/// What may wait beyond the ring before it is lost.
const BACKLOG_ITEMS: usize = 1_000_000;
/// Effects that may wait for the journal at once.
const WAITING_EFFECTS: usize = 1_000_000;
/// Recording bytes of one shard that may wait for the disk.
const RECORDING_BYTES_WAITING: usize = 64 << 20;
/// Wait for a shard to look up a call's messages.
const TRACE_WAIT: Duration = Duration::from_secs(5);
/// Wait for the store to write what is queued, at the very end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When a folder, file, port or thread cannot be had; the message says which.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("edge")
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(Daemon::start(config));
    match result {
        Ok(daemon) => runtime.block_on(daemon.serve()),
        Err(error) => Err(error),
    }
}

fn open_store(place: StorePlace, options: store::Options) -> anyhow::Result<Arc<dyn Store>> {
    let name = place.to_string();
    let opened = match place {
        StorePlace::File(file) => {
            SqliteStore::open(&file, options).map(|store| Arc::new(store) as Arc<dyn Store>)
        }
        StorePlace::Postgres(place) => {
            PostgresStore::open(*place, options).map(|store| Arc::new(store) as Arc<dyn Store>)
        }
    };
    opened.with_context(|| format!("opening the store {name}"))
}

struct Daemon {
    config: Config,
    store: Arc<dyn Store>,
    commands: mpsc::Sender<CommandRequest>,
    to_control: mailbox::Sender<ControlMessage>,
    to_shards: Vec<mailbox::Sender<ShardOrder>>,
    control: JoinHandle<()>,
    shards: Vec<JoinHandle<std::io::Result<()>>>,
    streams: StreamThread,
    drained: watch::Receiver<bool>,
    gateway: Arc<Gateway>,
    metrics: Arc<Metrics>,
    api: ApiListener,
    kept: Arc<RetentionCounters>,
    admin: TcpListener,
}

impl Daemon {
    async fn start(config: Config) -> anyhow::Result<Self> {
        let files = runtime::udp::raise_file_limit();
        for folder in [&config.data_dir, &config.prompts_dir, &config.recordings_dir] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making the folder {}", folder.display()))?;
        }
        let clock = Clock::new();
        let durable = Arc::new(DurableWord::default());
        let word = Arc::clone(&durable);
        let options = store::Options::new(Box::new(move |told| word.tell(told)));
        let (place, wall) = (config.store.clone(), clock.wall());
        let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let store = open_store(place, options)?;
            let snapshot = store.load(wall).context("reading the store")?;
            Ok((store, snapshot))
        });
        let (store, mut snapshot) = opened.await.context("opening the store")??;
        tracing::info!(
            store = %config.store,
            store_kind = store.kind(),
            open_attempts = snapshot.open_attempts.len(),
            campaigns = snapshot.campaigns.len(),
            files,
            "starting"
        );
        let snapshot_trunks: Vec<(String, TrunkId)> =
            snapshot.trunks.iter().map(|row| (row.config.name.clone(), row.id)).collect();
        // Ports first: a second daemon must fail before it changes anything.
        let listeners = bind_listeners(&config)?;
        let streams = streams::bind(&config.sip_listeners)?;
        let api = TcpListener::bind(config.api_listen)
            .await
            .with_context(|| format!("api.listen: binding {}", config.api_listen))?;
        let admin = TcpListener::bind(config.admin_listen)
            .await
            .with_context(|| format!("admin.listen: binding {}", config.admin_listen))?;
        let (folder, keys) = (config.recordings_dir.clone(), config.recordings_keys.clone());
        let mut cut = std::mem::take(&mut snapshot.cut_recordings);
        snapshot.cut_recordings = tokio::task::spawn_blocking(move || {
            crate::recordings::mend_all(&folder, &keys, &mut cut);
            cut
        })
        .await
        .context("mending recordings")?;
        let kernel_relay = relay::choose(&config, clock)?;
        let api_tls = crate::api_listener::context(config.api_tls.as_ref())?;
        let mut secured = streams.secured.clone();
        secured.extend(api_tls.clone());
        let api = ApiListener::new(api, api_tls).context("api.listen")?;
        let identity =
            Identity::generate(clock.wall()).context("making a certificate for handshakes with browsers")?;
        let first_token = token::first_token(config.api_token.as_deref(), &config.data_dir)?;

        let (to_control, messages) = mailbox::bounded(RING_ITEMS);
        let prompts = all_prompts(&config).await?;
        for (key, name) in prompts_named(&config) {
            prompts::must_be_there(key, &name, &prompts, &config.prompts_dir)?;
        }
        let load = |(name, kept): (&String, &prompts::Kept)| ShardCommand::LoadPrompt {
            name: name.clone(),
            samples: Arc::clone(&kept.samples),
        };
        let mut setup: Vec<ShardCommand> = prompts.iter().map(load).collect();
        setup.push(announcements::of_folder(config.announcements_dir.clone()).await?);
        tokio::spawn(announcements::watch(config.announcements_dir.clone(), to_control.clone()));
        let mut to_shards = Vec::new();
        let mut shards = Vec::new();
        let mut shard_gauges = Vec::new();
        let mut receivers = Vec::new();
        for _ in &listeners {
            let (sender, receiver) = mailbox::belled(RING_ITEMS).context("making a shard's mailbox")?;
            to_shards.push(sender);
            receivers.push(receiver);
        }
        let stream_counters = Arc::new(StreamCounters::default());
        let hep_counters = Arc::new(HepCounters::default());
        let fork_counters = Arc::new(ForkCounters::default());
        let forks = ForkWays {
            trust: runtime::websocket::Trust::of_system().context("setting TLS up")?,
            counters: Arc::clone(&fork_counters),
        };
        let stream_listeners = streams.listeners.clone();
        let reloaded_at = Arc::new(AtomicU64::new(crate::reload::unix_seconds(clock)));
        tokio::spawn(crate::reload::watch(secured, clock, Arc::clone(&reloaded_at)));
        let recogniser_counters = Arc::new(RecogniserCounters::default());
        let (mut ways, stream_thread) =
            serve_streams(&config, streams, &listeners, &to_shards, (&stream_counters, forks))?;
        ways.words = recogniser::of_config(config.recogniser.as_ref(), &recogniser_counters)?;
        let failures = Failures::default();
        for (number, (sockets, receiver)) in listeners.into_iter().zip(receivers).enumerate() {
            let gauges = Arc::new(ShardGauges::default());
            let parts = ShardParts {
                number: number as u16,
                sockets,
                stream_listeners: stream_listeners.clone(),
                receiver,
                ways: ways.clone(),
                gauges: Arc::clone(&gauges),
                hep_counters: Arc::clone(&hep_counters),
                kernel_relay: kernel_relay.clone(),
                failures: failures.clone(),
                identity: identity.clone(),
            };
            shards.push(start_shard(&config, parts, clock, &to_control)?);
            shard_gauges.push(gauges);
        }
        drop(ways);
        let (commands, command_requests) = mpsc::channel(1024);
        let (drained_sender, drained) = watch::channel(false);
        let read_model = Arc::new(ReadModel::default());
        let events = Arc::new(EventHub::default());
        let gauges = Arc::new(ControlGauges::default());
        let core = ControlCore::new(ControlConfig {
            shards: config.shards,
            seed: runtime::entropy::seed().context("no randomness")?,
            waiting_max: WAITING_EFFECTS,
            dialer: DialerConfig {
                manual_only: config.manual_only,
                calls_max: config.calls_max,
                agents_max: config.agents_max as usize,
                cps_max: config.cps_max,
                hopper_max: config.hopper_size as usize,
                hopper_low: (config.hopper_size as usize).div_ceil(2),
                ..DialerConfig::default()
            },
        });
        let mut ways: Vec<Mailbox<ShardOrder>> =
            to_shards.iter().map(|sender| Mailbox::new(sender.clone(), BACKLOG_ITEMS)).collect();
        for way in &mut ways {
            for command in &setup {
                way.send(ShardOrder::Command(command.clone()));
            }
        }
        let (restored, in_place) = oneshot::channel();
        let control = control_thread::spawn(ControlParts {
            core,
            clock,
            snapshot: Box::new(snapshot),
            restored,
            store: Arc::clone(&store),
            durable,
            commands: command_requests,
            messages,
            to_self: to_control.clone(),
            shards: ways,
            shard_setup: std::mem::take(&mut setup),
            read_model: Arc::clone(&read_model),
            events: Arc::clone(&events),
            gauges: Arc::clone(&gauges),
            drained: drained_sender,
            blocking: tokio::runtime::Handle::current(),
        })
        .context("starting the control thread")?;
        in_place.await.context("the control thread has stopped")?;

        let gateway = Gateway::new(GatewayParts {
            commands: commands.clone(),
            store: Arc::clone(&store),
            read_model: Arc::clone(&read_model),
            events,
            node: NodeInfo {
                name: config.node_name.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                started_at: clock.wall(),
            },
            config: ApiConfig {
                recordings_dir: config.recordings_dir.clone(),
                recordings_keys: config.recordings_keys.clone(),
                drain_deadline: config.drain,
                prompts_named: prompts_named(&config),
                ..ApiConfig::default()
            },
            clock: control_api::system_clock(),
        });
        gateway.register_bootstrap_token(&first_token);
        gateway.set_tracer(tracer(to_shards.clone()));
        gateway.set_trace_eraser(trace_eraser(to_shards.clone()));
        let (folder, cache) = (config.prompts_dir.clone(), config.data_dir.join("voice"));
        let shelf = Shelf::new(folder, cache, config.voice.clone(), prompts, to_control.clone());
        gateway.set_prompts(Arc::new(shelf));
        let kept = Arc::new(RetentionCounters::default());
        let metrics = Arc::new(Metrics::new(
            &config,
            &gateway,
            read_model,
            gauges,
            shard_gauges,
            Edges {
                streams: stream_counters,
                hep: hep_counters,
                kept: Arc::clone(&kept),
                forks: fork_counters,
                recogniser: recogniser_counters,
                reloaded_at,
            },
            Arc::clone(&store),
        )?);
        let daemon = Daemon {
            config,
            store,
            commands,
            to_control,
            to_shards,
            control,
            shards,
            streams: stream_thread,
            drained,
            gateway,
            metrics,
            api,
            admin,
            kept,
        };
        let trunks = daemon.apply_trunks(&snapshot_trunks).await?;
        daemon.apply_routes(&trunks).await?;
        daemon.apply_stir(&trunks).await?;
        daemon.gateway.start_webhooks().await.context("reading the webhooks")?;
        Ok(daemon)
    }

    /// Puts the trunks of the configuration in place; gives the names' ids.
    async fn apply_trunks(&self, known: &[(String, TrunkId)]) -> anyhow::Result<Vec<(String, TrunkId)>> {
        let mut ids = Vec::new();
        for wanted in &self.config.trunks {
            let found = known.iter().find(|(name, _)| *name == wanted.name);
            let command = match found {
                Some((_, trunk)) => {
                    Command::UpdateTrunk { trunk: *trunk, config: wanted.clone(), if_version: None }
                }
                None => Command::CreateTrunk(wanted.clone()),
            };
            let by = Actor { token: None, name: "configuration file".into(), tenant: None };
            let command = Command::By { by, command: Box::new(command) };
            match self.command(command).await? {
                Reply::Trunk(id, _) => ids.push((wanted.name.clone(), id)),
                other => return Err(anyhow!("trunk {}: unexpected answer {other:?}", wanted.name)),
            }
        }
        Ok(ids)
    }

    async fn apply_routes(&self, trunks: &[(String, TrunkId)]) -> anyhow::Result<()> {
        let id_of = |name: &str| trunks.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
        let route = |wanted: &RouteConfig| {
            Some(Route {
                from_trunk: match &wanted.from {
                    Some(name) => Some(id_of(name)?),
                    None => None,
                },
                prefix: wanted.prefix.clone(),
                to_trunks: wanted.to.iter().map(|name| id_of(name)).collect::<Option<_>>()?,
                media: if wanted.bypass { TransitMedia::Bypass } else { TransitMedia::Relay },
                record: wanted.record,
            })
        };
        let routes: Vec<Route> = self.config.routes.iter().filter_map(route).collect();
        self.to_control
            .send(ControlMessage::ShardSetup(ShardCommand::SetRoutes(routes)))
            .await
            .map_err(|_| anyhow!("the control thread has stopped"))
    }

    /// Hands the rules of signatures to the shards.
    async fn apply_stir(&self, trunks: &[(String, TrunkId)]) -> anyhow::Result<()> {
        let Some(rules) = self.config.stir.rules(trunks)? else { return Ok(()) };
        self.to_control
            .send(ControlMessage::ShardSetup(ShardCommand::SetStir(rules)))
            .await
            .map_err(|_| anyhow!("the control thread has stopped"))
    }

    async fn command(&self, command: Command) -> anyhow::Result<Reply> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(CommandRequest { command, reply })
            .await
            .map_err(|_| anyhow!("the control thread has stopped"))?;
        Ok(answer.await.context("the control thread has stopped")??)
    }

    async fn serve(self) -> anyhow::Result<()> {
        let (stop_serving, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // An error means the sender is gone, which ends serving too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let api_router = control_api::router(Arc::clone(&self.gateway));
        let admin_router = metrics::admin_router(Arc::clone(&self.metrics));
        let api_server = tokio::spawn(
            axum::serve(self.api, api_router).with_graceful_shutdown(until(stopped.clone())).into_future(),
        );
        let admin_server = tokio::spawn(
            axum::serve(self.admin, admin_router)
                .with_graceful_shutdown(until(stopped.clone()))
                .into_future(),
        );
        tracing::info!(
            sip = ?self.config.sip_listeners.iter().map(|l| (l.transport, l.address)).collect::<Vec<_>>(),
            api = %self.config.api_listen,
            admin = %self.config.admin_listen,
            "ready"
        );
        let keeper = Keeper {
            retention: self.config.retention,
            store: Arc::clone(&self.store),
            gateway: Arc::clone(&self.gateway),
            counters: Arc::clone(&self.kept),
        };
        let housekeeping = tokio::spawn(keeper.run());
        shutdown::wait_and_drain(&self.commands, self.drained.clone(), self.config.drain).await;

        // Records are written first, then the ways are closed.
        let _ = self.to_control.send(ControlMessage::Stop).await;
        let control = self.control;
        let joined = tokio::task::spawn_blocking(move || control.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the control thread ended badly");
        }
        for shard in &self.to_shards {
            let _ = shard.send(ShardOrder::Stop).await;
        }
        for shard in self.shards {
            match tokio::task::spawn_blocking(move || shard.join()).await {
                Ok(Ok(Ok(()))) => {}
                other => tracing::error!(?other, "a shard ended badly"),
            }
        }
        // Its ports went with the shards' machines.
        drop(self.to_shards);
        if let Some(streams) = self.streams
            && !matches!(tokio::task::spawn_blocking(move || streams.join()).await, Ok(Ok(Ok(()))))
        {
            tracing::error!("the thread of connections ended badly");
        }
        housekeeping.abort();
        self.gateway.stop_webhooks().await;
        let store = Arc::clone(&self.store);
        let flushed = tokio::task::spawn_blocking(move || store.flush(FLUSH_DEADLINE)).await.unwrap_or(false);
        stop_serving.send_replace(true);
        // Clients that keep a stream open do not keep us.
        let goodbye = Duration::from_secs(1);
        let _ = tokio::time::timeout(goodbye, api_server).await;
        let _ = tokio::time::timeout(goodbye, admin_server).await;
        if !flushed {
            return Err(anyhow!("not everything could be written to the store before the end"));
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Prompts that the configuration names: the key, and the name.
fn prompts_named(config: &Config) -> Vec<(&'static str, String)> {
    let named = [
        ("media.waiting_prompt", &config.waiting_prompt),
        ("media.confirm_prompt", &config.confirm_prompt),
        ("media.hold_prompt", &config.hold_prompt),
    ];
    named.into_iter().filter_map(|(key, name)| Some((key, name.clone()?))).collect()
}

/// Prompts from files and texts, and those built in. Texts wait for the engine that speaks them, so on a thread that may.
async fn all_prompts(config: &Config) -> anyhow::Result<BTreeMap<String, prompts::Kept>> {
    let (voice, folder) = (config.voice.clone(), config.prompts_dir.clone());
    let cache = config.data_dir.join("voice");
    let load = move || prompts::load(&folder, voice::speak_folder(&voice, &folder, &cache));
    tokio::task::spawn_blocking(load).await.context("loading prompts")
}

/// Binds every shard's UDP listeners: all shards share each address.
///
/// A port is shared only among us: another daemon that has it is found out by a socket that does not share.
fn bind_listeners(config: &Config) -> anyhow::Result<Vec<Vec<UdpSocket>>> {
    let mut shards: Vec<Vec<UdpSocket>> = (0..config.shards).map(|_| Vec::new()).collect();
    for listener in config.sip_listeners.iter().filter(|listener| listener.transport == SipTransport::Udp) {
        let failed = |address: SocketAddr| format!("{}: binding UDP {address}", listener.file_key);
        let only = runtime::udp::bind(listener.address, SIP_SOCKET_BUFFER_BYTES)
            .with_context(|| failed(listener.address))?;
        if config.shards == 1 {
            shards[0].push(only);
            continue;
        }
        let address = only.local_addr().with_context(|| failed(listener.address))?;
        drop(only);
        for shard in &mut shards {
            let socket = runtime::udp::bind_shared(address, SIP_SOCKET_BUFFER_BYTES)
                .with_context(|| failed(address))?;
            shard.push(socket);
        }
    }
    Ok(shards)
}

/// Asks every shard for the messages of a call.
fn tracer(to_shards: Vec<mailbox::Sender<ShardOrder>>) -> Tracer {
    let to_shards = Arc::new(to_shards);
    Arc::new(move |call| {
        let to_shards = Arc::clone(&to_shards);
        Box::pin(async move {
            let mut messages = Vec::new();
            for shard in to_shards.iter() {
                let (reply, answer) = oneshot::channel();
                // A shard that has stopped has no messages.
                if shard.send(ShardOrder::Trace { call, reply }).await.is_ok()
                    && let Ok(Ok(found)) = tokio::time::timeout(TRACE_WAIT, answer).await
                {
                    messages.extend(found);
                }
            }
            messages
        })
    })
}

/// Has every shard forget the messages of calls in which a number is named.
fn trace_eraser(to_shards: Vec<mailbox::Sender<ShardOrder>>) -> TraceEraser {
    let to_shards = Arc::new(to_shards);
    Arc::new(move |number| {
        let to_shards = Arc::clone(&to_shards);
        Box::pin(async move {
            for shard in to_shards.iter() {
                let (reply, answer) = oneshot::channel();
                // A shard that has stopped has no messages.
                if shard.send(ShardOrder::ForgetTraces { number: number.clone(), reply }).await.is_ok() {
                    let _ = tokio::time::timeout(TRACE_WAIT, answer).await;
                }
            }
        })
    })
}

/// The thread of connections, if there is a listener for it.
type StreamThread = Option<JoinHandle<std::io::Result<()>>>;

fn serve_streams(
    config: &Config,
    streams: BoundStreams,
    listeners: &[Vec<UdpSocket>],
    to_shards: &[mailbox::Sender<ShardOrder>],
    (counters, forks): (&Arc<StreamCounters>, ForkWays),
) -> anyhow::Result<(ShardWays, StreamThread)> {
    let dns = Dns::new(&config.dns_servers, tokio::runtime::Handle::current())
        .inspect_err(|error| tracing::warn!(%error, "names of trunks cannot be looked up"))
        .ok();
    let udp_listeners = listeners.first().map_or(0, Vec::len);
    let mut ways = ShardWays {
        shards: to_shards.to_vec(),
        node_secret: runtime::entropy::seed().context("the system gives no randomness")?,
        streams: None,
        udp_listeners: udp_listeners as u8,
        names: Names::new(dns, to_shards.to_vec()),
        certificates: (
            Certificates::new(config.stir.certificates_dir.as_deref(), config.stir.fetch)?,
            tokio::runtime::Handle::current(),
        ),
        forks,
        words: None,
    };
    if streams.listeners.is_empty() {
        return Ok((ways, None));
    }
    let limits = StreamLimits {
        connections_max: config.connections_max as usize,
        connections_per_source_max: config.connections_per_source_max as usize,
        idle: config.connection_idle,
        message_time_max: config.connection_message_time_max,
        write_time_max: config.connection_write_time_max,
        ..StreamLimits::default()
    };
    let (port, thread) = streams.serve(udp_listeners, limits, to_shards.to_vec(), Arc::clone(counters))?;
    ways.streams = Some(port);
    Ok((ways, Some(thread)))
}

/// What one shard is made of.
struct ShardParts {
    number: u16,
    sockets: Vec<UdpSocket>,
    stream_listeners: Vec<StreamListener>,
    receiver: mailbox::BelledReceiver<ShardOrder>,
    ways: ShardWays,
    gauges: Arc<ShardGauges>,
    hep_counters: Arc<HepCounters>,
    kernel_relay: Option<KernelRelay>,
    failures: Failures,
    identity: Identity,
}

fn start_shard(
    config: &Config,
    parts: ShardParts,
    clock: Clock,
    to_control: &mailbox::Sender<ControlMessage>,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let ShardParts { number, sockets: listeners, stream_listeners, receiver, ways, gauges, .. } = parts;
    let (hep_counters, kernel_relay, identity) = (parts.hep_counters, parts.kernel_relay, parts.identity);
    let addresses =
        listeners.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>().context("sip.listen")?;
    let (low, high) = config.media_ports;
    let share = ((u32::from(high - low) + 1) / u32::from(config.shards)) & !1;
    let first = u32::from(low) + (u32::from(low) & 1) + share * u32::from(number);
    let last = (first + share - 1).min(u32::from(high));
    let shard_config = ShardConfig {
        shard: number,
        listeners: addresses,
        target_time_max: config.target_time_max,
        failures: parts.failures,
        stream_listeners,
        dtls_fingerprint: Some(identity.fingerprint()),
        listeners_advertised: config.sip_listeners.iter().map(|one| one.advertised.clone()).collect(),
        realm: config.realm.clone(),
        domains: config.domains.clone(),
        user_agent: config.user_agent.clone(),
        calls_max: config.calls_max as usize,
        sessions_max: config.agents_max as usize,
        media_address: config.media_address,
        media_advertised: config.media_advertised,
        media_ports: first as u16..=last as u16,
        media_ports_held: PORTS_HELD,
        media_timeout: config.media_timeout,
        recording_format: config.recordings_format,
        media_quality: config.media_quality,
        media_offload: kernel_relay.is_some(),
        understands_words: config.recogniser.is_some(),
        waiting_prompt: config.waiting_prompt.clone(),
        confirm_prompt: config.confirm_prompt.clone(),
        hold_prompt: config.hold_prompt.clone(),
        sip_t1: config.sip_t1,
        session_timers: config.session_timers,
        reliable: config.reliable,
        redirects: config.redirects,
        register_expires_min_s: config.register_expires_s.0,
        register_expires_max_s: config.register_expires_s.1,
        // Well before a connection that carries nothing is closed.
        flow_timer_s: (config.connection_idle.as_secs() / 2).min(120) as u32,
        probing: config.probing,
        digest: config.digest.clone(),
        guarding: config.guarding.clone(),
        trace: engine::TraceConfig { bytes_max: config.trace_bytes, correlate: config.hep.is_some() },
        // Each shard takes its share of the node's calls.
        overload: sip_proxy::ua::Overload {
            cps_max: config.overload.cps_max / f32::from(config.shards),
            ..config.overload
        },
        ..ShardConfig::default()
    };
    let options = ShardOptions {
        name: format!("shard-{number}"),
        core: config.pin_cores.then_some(usize::from(number)),
        realtime_priority: (config.realtime_priority > 0).then_some(config.realtime_priority),
        listeners,
        media_address: config.media_address,
        kernel_relay: kernel_relay.map(|relay| KernelRelay { ports: (first as u16, last as u16), ..relay }),
        recordings: config.recordings_dir.clone(),
        recording_format: {
            let mend = Some(crate::recordings::mending(config.recordings_keys.clone()));
            match config.recordings_format {
                RecordingFormat::Wav => FileFormat { header_of: wav_header, encoder: None, mend },
                RecordingFormat::Ogg => {
                    FileFormat { header_of: |_| Vec::new(), encoder: Some(ogg_encoder()), mend }
                }
            }
        },
        seal: config.recordings_keys.first().cloned().map(seal_with),
        recording_bytes_waiting_max: RECORDING_BYTES_WAITING,
        turns: Arc::clone(&gauges.turns),
    };
    let to_control = to_control.clone();
    let hep = config.hep.clone();
    spawn_shard(options, clock, receiver, move |panics| {
        gauges.panics.store(u64::from(panics), Ordering::Relaxed);
        let seed = runtime::entropy::seed().unwrap_or_else(|_| clock.now().as_nanos());
        let mut secret = Secret::default();
        runtime::entropy::fill(&mut secret.0).expect("the system gave randomness at the start");
        let config = ShardConfig {
            seed,
            secret,
            reborn: panics > 0,
            node_secret: ways.node_secret,
            ..shard_config.clone()
        };
        let events = Mailbox::new(to_control.clone(), BACKLOG_ITEMS);
        let hep = hep.clone().and_then(|hep| match HepSender::new(hep, Arc::clone(&hep_counters)) {
            Ok(sender) => Some(sender),
            Err(error) => {
                tracing::warn!(%error, "no copies can be sent to the collector");
                None
            }
        });
        let more = (hep, Some(identity.clone()));
        let mut shard = Shard::new(config, clock, events, Arc::clone(&gauges), ways.clone(), more);
        if panics > 0 {
            shard.tell_restart();
        }
        shard
    })
    .context("starting a shard")
}

/// How recordings are sealed with a key.
fn seal_with(key: SealKey) -> NewSeal {
    Arc::new(move |head_bytes| Ok(Box::new(Seal(Sealer::new(&key, head_bytes)?)) as Box<dyn FileSeal>))
}

struct Seal(Sealer);

impl FileSeal for Seal {
    fn head(&self, head: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.head(head)
    }

    fn append(&mut self, plain: &[u8]) -> std::io::Result<(u64, Vec<u8>)> {
        self.0.append(plain)
    }
}

/// Recordings as Opus in Ogg.
fn ogg_encoder() -> NewEncoder {
    Arc::new(|| {
        let serial = runtime::entropy::seed().unwrap_or(1) as u32;
        let writer = RecordingWriter::new(serial).map_err(std::io::Error::other)?;
        Ok(Box::new(OggFile(writer)) as Box<dyn FileEncoder>)
    })
}

struct OggFile(RecordingWriter);

impl FileEncoder for OggFile {
    fn append(&mut self, samples: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.append(samples).map_err(std::io::Error::other)
    }

    fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        self.0.finish().map_err(std::io::Error::other)
    }
}

/// The header of a recording with so many bytes of samples.
fn wav_header(data_bytes: u64) -> Vec<u8> {
    media::wav::header(data_bytes / 4).to_vec()
}
