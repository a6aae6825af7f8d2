//! Opens the sockets, starts the workers, and runs until told to stop.

use super::acme;
use super::advert::Advert;
use super::certs::{Notice, Watch};
use super::events::EventLog;
use super::fallback;
use super::listeners;
use super::settings::settings;
use super::tide::Tide;
use super::utc::unix_now;
use crate::auth::Authenticator;
use crate::config::Config;
use crate::net::listener::{ListenError, ListenFailure};
use crate::net::ports::RelayPorts;
use crate::net::stream::{Caps, Patience, StreamOptions};
use crate::net::sys::{memory, open_files, udp::BufferSizes};
use crate::net::tls::TlsConfigs;
use crate::net::worker::{self, Clock, Report, Setup, Siblings, WorkerHandle};
use crate::turn::{Parts, Quota, Relay, RelayNumber};
use signal_hook::{consts::signal, iterator::Signals};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{fmt, io, net::IpAddr, sync::Arc, thread};

/// All that a server starts from.
#[derive(Debug)]
pub struct Start {
    /// The configuration, found good.
    pub config: Config,
    /// Who may log in: what `config.auth` says, or the server's own secret when that says nothing.
    pub authenticator: Arc<Authenticator>,
    /// Where to listen and where to relay from, as the host has these addresses now.
    pub advert: Advert,
    /// All addresses the host has now.
    pub host: Vec<IpAddr>,
    /// What TLS clients see.
    pub certificates: Option<Watch>,
    /// Where certificates come from by themselves, if they are to.
    pub acme: Option<acme::Setup>,
}

/// Why a server could not start or go on.
#[derive(Debug)]
pub enum ServeError {
    /// An address cannot be listened on.
    Listen(ListenError),
    /// There is nothing to relay from.
    NoRelayAddress,
    /// A worker has ended by itself.
    WorkerEnded,
    /// The system refuses something else.
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl ServeError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }

    /// What is in the way of listening, if that is the trouble.
    pub fn listen_failure(&self) -> Option<ListenFailure> {
        match self {
            Self::Listen(error) => Some(error.reason),
            Self::NoRelayAddress | Self::WorkerEnded | Self::System { .. } => None,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::NoRelayAddress => {
                f.write_str("this host has no address to relay from; set relay.addresses")
            }
            Self::WorkerEnded => f.write_str("a worker has ended by itself; its log line says why"),
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until the process is told to stop. `ready` is called once, when all sockets are open, with the addresses
/// that were really bound.
pub fn run(mut start: Start, ready: impl FnOnce(&Advert)) -> Result<(), ServeError> {
    let (news, incoming) = mpsc::channel();
    // Before anything is open: from here on a signal ends the server in good order.
    forward_signals(news.clone())?;
    check_open_files(&start.config);
    let (events, writer) = EventLog::start().map_err(ServeError::system("start a thread"))?;
    let quota = Arc::new(Quota::new(random()?));
    let (mut certificates, acme) = (start.certificates.take(), start.acme.take());
    let tls = certificates.as_ref().map(|watch| watch.store().tls_configs());
    let (workers, advert) = start_workers(start, tls, &quota, &events, &news)?;
    drop((events, news));
    ready(&advert);
    // The CA may come as soon as it is asked, so the listeners are open before it is.
    let acme =
        acme.map(acme::Setup::start).transpose().map_err(ServeError::system("start the ACME client"))?;
    let served = wait(&incoming, &quota, certificates.as_mut());
    drop(acme);
    stop(workers);
    writer.finish();
    served
}

/// What the server's main thread has to hear of.
enum News {
    Stop(&'static str),
    Reload,
    WorkerEnded,
}

/// Waits for what ends the server. Meanwhile gives back what a crowd has left behind, and looks after certificates.
fn wait(
    incoming: &Receiver<News>,
    quota: &Quota,
    mut certificates: Option<&mut Watch>,
) -> Result<(), ServeError> {
    const TICK: Duration = Duration::from_secs(1);
    let mut tide = Tide::default();
    loop {
        match incoming.recv_timeout(TICK) {
            Ok(News::Stop(signal)) => {
                tracing::info!(signal, "stopping");
                return Ok(());
            }
            Ok(News::Reload) => reload(certificates.as_deref_mut()),
            Ok(News::WorkerEnded) | Err(RecvTimeoutError::Disconnected) => {
                return Err(ServeError::WorkerEnded);
            }
            Err(RecvTimeoutError::Timeout) => {
                if tide.has_ebbed(quota.total()) {
                    memory::give_back();
                }
                if let Some(watch) = certificates.as_deref_mut() {
                    watch.look(Instant::now(), unix_now()).iter().for_each(Notice::log);
                }
            }
        }
    }
}

/// Reads again what can change while the server runs.
fn reload(certificates: Option<&mut Watch>) {
    let Some(watch) = certificates else {
        tracing::warn!(
            "nothing to reload: there are no certificates, and the configuration is read at start only"
        );
        return;
    };
    tracing::info!("reloading certificates");
    watch.reload(Instant::now(), unix_now()).iter().for_each(Notice::log);
}

/// Tells when the worker that holds it is gone, be it by a panic.
struct Alive(Sender<News>);

impl Drop for Alive {
    fn drop(&mut self) {
        // Nobody listens any more when all workers are stopped on purpose.
        let _ = self.0.send(News::WorkerEnded);
    }
}

fn forward_signals(news: Sender<News>) -> Result<(), ServeError> {
    let wanted = [signal::SIGTERM, signal::SIGINT, signal::SIGQUIT, signal::SIGHUP];
    let mut signals = Signals::new(wanted).map_err(ServeError::system("listen for signals"))?;
    let forward = move || {
        for number in signals.forever() {
            let name = signal_hook::low_level::signal_name(number).unwrap_or("unknown");
            let word = if number == signal::SIGHUP { News::Reload } else { News::Stop(name) };
            if news.send(word).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(forward)
        .map(drop)
        .map_err(ServeError::system("start a thread"))
}

/// Opens everything, then starts the workers: the group of listening sockets must be whole before the first packet.
fn start_workers(
    start: Start,
    tls: Option<TlsConfigs>,
    quota: &Arc<Quota>,
    events: &EventLog,
    news: &Sender<News>,
) -> Result<(Vec<WorkerHandle<Relay>>, Advert), ServeError> {
    let Start { config, authenticator, mut advert, host, certificates: _, acme: _ } = start;
    if advert.relays.is_empty() {
        return Err(ServeError::NoRelayAddress);
    }
    let count = config.server.workers.map_or_else(worker::worker_count, |count| usize::from(count.get()));
    let fallbacks = fallback::find(&config).map_err(ServeError::system("find the address of a fallback"))?;
    let groups = listeners::open(&config, &fallbacks, &mut advert, count).map_err(ServeError::Listen)?;
    let parts = Parts {
        settings: Arc::new(settings(&config, &advert, &host, count)),
        authenticator,
        quota: quota.clone(),
        nonce_key: random_bytes()?,
        seed: 0,
        number: RelayNumber::ALONE,
    };
    let ports = Arc::new(RelayPorts::new(&advert.relays, config.relay.ports.ports(), random_bytes()?));
    let streams = stream_options(&config, tls)?;
    let clock = Clock::new();
    let mut workers = Vec::with_capacity(count);
    for ((number, sockets), siblings) in groups.into_iter().enumerate().zip(Siblings::family(count)) {
        let relay_number = RelayNumber {
            own: u16::try_from(number).unwrap_or(u16::MAX),
            count: u16::try_from(count).unwrap_or(u16::MAX),
        };
        let relay = Relay::new(Parts { seed: random()?, number: relay_number, ..parts.clone() });
        let (alive, events) = (Alive(news.clone()), events.clone());
        let observer = move |report: Report<'_>| {
            let _until_the_worker_ends = &alive;
            events.report(report);
        };
        let setup = Setup {
            listeners: sockets.datagrams,
            stream_listeners: sockets.streams,
            streams: streams.clone(),
            siblings,
            ports: ports.clone(),
            relay_buffers: RELAY_BUFFERS,
            clock,
            observer: Box::new(observer),
        };
        let started = worker::start(&format!("worker-{number}"), setup, relay);
        workers.push(started.map_err(ServeError::system("start a worker"))?);
    }
    tracing::debug!(workers = count, "workers started");
    Ok((workers, advert))
}

fn stream_options(config: &Config, tls: Option<TlsConfigs>) -> Result<StreamOptions, ServeError> {
    let limits = &config.limits.streams;
    let unlimited = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
    let (total, per_ip) = (unlimited(limits.connections), unlimited(limits.connections_per_ip));
    Ok(StreamOptions {
        caps: Arc::new(Caps::new(total, per_ip, random()?)),
        patience: Patience {
            handshake: limits.handshake_timeout,
            first_request: limits.first_request_timeout,
            idle: limits.idle_timeout,
        },
        send_queue: limits.send_queue,
        tls,
    })
}

/// What one allocation's socket may buffer in the kernel. It is a limit, not a reservation: a flow of 100 Mbit/s fills
/// it in 40 ms.
const RELAY_BUFFERS: BufferSizes = BufferSizes { receive: Some(512 << 10), send: None };

/// Ends all allocations, so that each has its line in the log, and then the workers.
fn stop(workers: Vec<WorkerHandle<Relay>>) {
    for worker in &workers {
        // A worker that takes no commands has ended, or is stopped in a moment without these lines.
        if worker.with_core(|relay, now, mut out| relay.stop(now, &mut out)).is_err() {
            tracing::warn!("a worker is stopped without a log line for each of its allocations");
        }
    }
    for worker in workers {
        if worker.stop().is_err() {
            tracing::error!("a worker has panicked");
        }
    }
}

/// Raises the limit of open files, and warns if it is lower than what could be needed.
fn check_open_files(config: &Config) {
    let ports = config.relay.ports.ports();
    let ports = u64::from(ports.end() - ports.start()) + 1;
    let has_streams = config.listeners.iter().any(|listener| listener.transport.is_stream());
    let connections = config.limits.streams.connections.filter(|_| has_streams).map_or(0, u64::from);
    match open_files::raise() {
        Ok(limit) if limit < ports + connections => tracing::warn!(
            limit,
            ports,
            connections,
            "fewer files may be open than there are relay ports and limits.connections; raise LimitNOFILE or ulimit -n"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

fn random_bytes() -> Result<[u8; 32], ServeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServeError::System { what: "get random numbers", error: error.into() })?;
    Ok(bytes)
}

fn random() -> Result<u64, ServeError> {
    let [a, b, c, d, e, f, g, h, ..] = random_bytes()?;
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}
