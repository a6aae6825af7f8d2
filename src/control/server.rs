//! Opens the sockets, starts the workers, and runs until told to stop.

use super::accounting::{self, Bookkeeper, Outlets};
use super::acme;
use super::advert::Advert;
use super::auth_webhook::{self, Counterpart};
use super::certs::{Notice, Watch};
use super::crew::{Crew, Ears};
use super::events::EventLog;
use super::explain::Decisions;
use super::news::{News, forward_signals};
use super::plane::{Live, Parts, Plane};
use super::systemd::{InheritedSockets, Service};
use super::tide::Tide;
use super::utc::unix_now;
use crate::auth::Authenticator;
use crate::config::{Config, raw};
use crate::net::listener::{ListenError, ListenFailure};
use crate::net::sys::{host_name::host_name, memory, open_files};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fmt, io, net::IpAddr, sync::Arc};

/// All that a server starts from.
#[derive(Debug)]
pub struct Start {
    /// The configuration, found good.
    pub config: Config,
    /// The same as it was written, to be shown.
    pub raw: raw::Config,
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
    /// Somebody whom the configuration names as a counterpart, or a file for records, cannot be had.
    Counterpart(String),
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
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }

    /// What is in the way of listening, if that is the trouble.
    pub fn listen_failure(&self) -> Option<ListenFailure> {
        match self {
            Self::Listen(error) => Some(error.reason),
            Self::NoRelayAddress | Self::Counterpart(_) | Self::WorkerEnded | Self::System { .. } => None,
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
            Self::Counterpart(reason) => f.write_str(reason),
            Self::WorkerEnded => f.write_str("a worker has ended by itself; its log line says why"),
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until the process is told to stop. `ready` is called once, when all sockets are open, with the addresses
/// that were really bound.
pub fn run(mut start: Start, ready: impl FnOnce(&Advert)) -> Result<(), ServeError> {
    // Before anything is opened, so that their numbers are still theirs.
    let sockets = InheritedSockets::of_this_process()
        .map_err(ServeError::system("take over the sockets that LISTEN_FDS announces"))?;
    let mut service = Service::of_this_process();
    let (news, incoming) = mpsc::channel();
    // Before anything is open: from here on a signal ends the server in good order.
    forward_signals(news.clone()).map_err(ServeError::system("listen for signals"))?;
    check_open_files(&start.config);
    let decisions = Arc::new(Decisions::default());
    let (events, writer) =
        EventLog::start(decisions.clone()).map_err(ServeError::system("start a thread"))?;
    let (mut certificates, acme) = (start.certificates.take(), start.acme.take());
    let tls = certificates.as_ref().map(|watch| watch.store().tls_configs());
    let outlets = Outlets::prepare(&start.config.accounting).map_err(ServeError::Counterpart)?;
    let (accounting, inbox) = accounting::queue(&outlets);
    let counterpart = start.config.auth.webhook.as_ref().map(Counterpart::prepare).transpose();
    let counterpart = counterpart.map_err(ServeError::Counterpart)?;
    let (asker, questions) = auth_webhook::queue();
    let ears = Ears { events, accounting, asker };
    let crew = Crew::start(&start, sockets, tls, &ears, &news)?;
    drop((ears, news));
    let name = start.config.server.name.clone().unwrap_or_else(host_name);
    let plane = Arc::new(Plane::new(Parts {
        workers: crew.lines(),
        clock: crew.clock,
        quota: crew.quota.clone(),
        ports: crew.ports.clone(),
        certificates: certificates.as_ref().map(|watch| watch.store().clone()),
        decisions,
        live: Live {
            config: start.config,
            raw: start.raw,
            advert: crew.advert.clone(),
            authenticator: start.authenticator,
        },
    }));
    let books = inbox
        .start(plane.clone(), &name, outlets)
        .map_err(ServeError::system("start the accounting thread"))?;
    let clerk = questions
        .start(plane.clone(), &name, counterpart)
        .map_err(ServeError::system("start the thread of the auth webhook"))?;
    ready(&crew.advert);
    service.ready(&crew.advert);
    // The CA may come as soon as it is asked, so the listeners are open before it is.
    let acme =
        acme.map(acme::Setup::start).transpose().map_err(ServeError::system("start the ACME client"))?;
    let served = wait(&incoming, &plane, certificates.as_mut(), &books, &mut service);
    service.stopping();
    drop((acme, clerk));
    crew.stop();
    books.finish();
    writer.finish();
    served
}

/// Waits for what ends the server. Meanwhile gives back what a crowd has left behind, and looks after certificates.
fn wait(
    incoming: &Receiver<News>,
    plane: &Plane,
    mut certificates: Option<&mut Watch>,
    books: &Bookkeeper,
    service: &mut Service,
) -> Result<(), ServeError> {
    const TICK: Duration = Duration::from_secs(1);
    let mut tide = Tide::default();
    let tick = service.every(TICK);
    loop {
        service.turn(Instant::now(), plane.workers(), plane.quota().total());
        match incoming.recv_timeout(tick) {
            Ok(News::Stop(signal)) => {
                tracing::info!(signal, "stopping");
                return Ok(());
            }
            Ok(News::Reload) => {
                service.reloading();
                books.reopen();
                reload(certificates.as_deref_mut());
                service.reloaded(plane.quota().total());
            }
            Ok(News::WorkerEnded) | Err(RecvTimeoutError::Disconnected) => {
                return Err(ServeError::WorkerEnded);
            }
            Err(RecvTimeoutError::Timeout) => {
                if tide.has_ebbed(plane.quota().total()) {
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
