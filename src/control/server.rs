//! Opens the sockets, starts the workers, and runs until told to stop.

use super::accounting;
use super::acme;
use super::admin::AdminListenError;
use super::advert::Advert;
use super::auth_webhook;
use super::certs::Watch;
use super::config_files::ConfigFiles;
use super::counterparts::{Counterparts, Ready};
use super::crew::{Crew, Ears};
use super::events::EventLog;
use super::explain::Decisions;
use super::keeper::Keeper;
use super::metrics::MetricsListenError;
use super::news::forward_signals;
use super::outward::Opened;
use super::plane::{Live, Parts, Plane, Tallies};
use super::reload::{Load, Reloader};
use super::revoked::Revoked;
use super::systemd::{InheritedSockets, Service};
use crate::config::{Config, raw};
use crate::net::listener::{ListenError, ListenFailure};
use crate::net::sys::{host_name::host_name, open_files};
use std::sync::{Arc, mpsc};
use std::{fmt, io, net::IpAddr};

/// All that a server starts from.
pub struct Start {
    /// Reads the configuration again.
    pub load: Load,
    /// The files it is read from.
    pub files: ConfigFiles,
    /// The configuration, found good. It lets somebody log in: where what was written does not, by the server's own secret.
    pub config: Config,
    /// The same as it was written, to be shown.
    pub raw: raw::Config,
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
    /// An address of the admin server cannot be listened on.
    Admin(AdminListenError),
    /// There is nothing to relay from.
    NoRelayAddress,
    /// Somebody whom the configuration names as a counterpart, or a file for records, cannot be had.
    Counterpart(String),
    /// There is no place to tell the figures.
    Metrics(MetricsListenError),
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
            Self::Admin(error) => Some(error.reason),
            Self::Metrics(error) => Some(error.reason()),
            Self::NoRelayAddress | Self::Counterpart(_) | Self::WorkerEnded | Self::System { .. } => None,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Admin(error) => error.fmt(f),
            Self::Metrics(error) => error.fmt(f),
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
    let counterparts = Ready::of(&start.config).map_err(ServeError::Counterpart)?;
    let (accounting, notes) = accounting::queue(&counterparts.outlets);
    let (asker, questions) = auth_webhook::queue();
    let tallies = Tallies { accounting: accounting.tally().clone(), auth_webhook: asker.tally().clone() };
    let watch = start.certificates.take();
    let revoked = Revoked::of(&start.config.server.state_dir);
    let authenticator = revoked.authenticator(&start.config);
    let tls = watch.as_ref().map(|watch| watch.store().tls_configs());
    let outward = Opened::of(&start.config)?;
    start.advert.services.extend(outward.services(&start.host));
    let ears = Ears { events, accounting, asker };
    let crew = Crew::start(&start, &authenticator, sockets, tls, &ears, &news)?;
    drop(ears);
    let name = start.config.server.name.clone().unwrap_or_else(host_name);
    let plane = Arc::new(Plane::new(Parts {
        workers: crew.lines(),
        clock: crew.clock,
        quota: crew.quota.clone(),
        ports: crew.network.ports.clone(),
        caps: crew.network.caps.clone(),
        certificates: watch.as_ref().map(|watch| watch.store().clone()),
        decisions,
        tallies,
        revoked,
        news,
        live: Live {
            tls_name: watch.as_ref().and_then(Watch::name),
            config: start.config,
            raw: start.raw,
            advert: crew.advert.clone(),
            authenticator,
        },
    }));
    let counterparts = Counterparts::start(counterparts, (notes, questions), &plane, &name)
        .map_err(ServeError::system("start the threads of accounting and the auth webhook"))?;
    let counterparts = Arc::new(counterparts);
    let outward = outward.start(&plane, writer.lost())?;
    ready(&crew.advert);
    service.ready(&crew.advert);
    // The CA may come as soon as it is asked, so the listeners are open before it is.
    let acme = start
        .acme
        .map(acme::Setup::start)
        .transpose()
        .map_err(ServeError::system("start the ACME client"))?;
    let reloader =
        Reloader::new((start.load, start.files), crew.network.clone(), watch, acme, counterparts.clone());
    let served = Keeper::new(plane, reloader, service).run(&incoming);
    drop(outward);
    crew.stop();
    // Whoever else had it has gone with the main thread's work.
    if let Some(counterparts) = Arc::into_inner(counterparts) {
        counterparts.finish();
    }
    writer.finish();
    served
}

/// Raises the limit of open files, and warns if it is lower than what could be needed. Worth a look whenever the number
/// of relay ports or connections changes.
pub(super) fn check_open_files(config: &Config) {
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
