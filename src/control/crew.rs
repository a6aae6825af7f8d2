//! The workers: all are started together, and end together.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::accounting::Accounting;
use super::address_book::AddressBook;
use super::advert::Advert;
use super::auth_webhook::Asker;
use super::events::EventLog;
use super::listeners;
use super::neighbours;
use super::network::{Network, stream_options};
use super::news::{Alive, News};
use super::server::{ServeError, Start};
use super::settings::{Former, settings};
use super::systemd::InheritedSockets;
use crate::auth::Authenticator;
use crate::net::sys::udp::BufferSizes;
use crate::net::tls::TlsConfigs;
use crate::net::worker::{self, Clock, Report, Setup, Siblings, WorkerHandle, WorkerLine};
use crate::turn::{Parts, Quota, Relay, RelayNumber};

/// The running workers, and what they share.
pub(super) struct Crew {
    workers: Vec<WorkerHandle<Relay>>,
    pub(super) clock: Clock,
    pub(super) quota: Arc<Quota>,
    pub(super) network: Network,
    /// Where they really listen, and relay from.
    pub(super) advert: Advert,
}

/// Who hears what workers report.
#[derive(Clone, Debug)]
pub(super) struct Ears {
    pub(super) events: EventLog,
    pub(super) accounting: Accounting,
    pub(super) asker: Asker,
}

/// What one allocation's socket may buffer in the kernel. It is a limit, not a reservation: a flow of 100 Mbit/s fills
/// it in 40 ms.
const RELAY_BUFFERS: BufferSizes = BufferSizes { receive: Some(512 << 10), send: None };

impl Crew {
    /// Opens everything, then starts the workers: the group of listening sockets must be whole before the first packet.
    pub(super) fn start(
        start: &Start,
        authenticator: &Arc<Authenticator>,
        sockets: InheritedSockets,
        tls: Option<TlsConfigs>,
        ears: &Ears,
        news: &Sender<News>,
    ) -> Result<Self, ServeError> {
        let Start { config, host, .. } = start;
        let mut advert = start.advert.clone();
        if advert.relays.is_empty() {
            return Err(ServeError::NoRelayAddress);
        }
        let count = config.server.workers.map_or_else(worker::worker_count, |count| usize::from(count.get()));
        let book = AddressBook::new();
        let neighbours =
            neighbours::find(config, &book).map_err(ServeError::system("find the address of a fallback"))?;
        let opened =
            listeners::open(config, &neighbours, sockets, &mut advert, count).map_err(ServeError::Listen)?;
        let quota = Arc::new(Quota::new(random()?));
        let parts = Parts {
            settings: Arc::new(settings(config, &advert, host, count, &Former::default())),
            authenticator: authenticator.clone(),
            quota: quota.clone(),
            nonce_key: random_bytes()?,
            seed: 0,
            number: RelayNumber::ALONE,
        };
        let network = Network::new(config, &advert, opened.streams, book, (random_bytes()?, random()?));
        let streams = stream_options(config, tls);
        let clock = Clock::new();
        let mut workers = Vec::with_capacity(count);
        for ((number, sockets), siblings) in
            opened.groups.into_iter().enumerate().zip(Siblings::family(count))
        {
            let own = u16::try_from(number).unwrap_or(u16::MAX);
            let relay_number = RelayNumber { own, count: u16::try_from(count).unwrap_or(u16::MAX) };
            let relay = Relay::new(Parts { seed: random()?, number: relay_number, ..parts.clone() });
            let (alive, ears) = (Alive(news.clone()), ears.clone());
            let mut events = ears.events.reporter(own);
            let observer = move |report: Report<'_>| {
                let _until_the_worker_ends = &alive;
                match &report {
                    Report::Core(event) => ears.accounting.note(own, event),
                    Report::FindKey { query, client, user } => ears.asker.ask(own, *query, *client, user),
                    Report::Tls { .. } => {}
                }
                events.report(report);
            };
            let setup = Setup {
                listeners: sockets.datagrams,
                stream_listeners: sockets.streams,
                streams: streams.clone(),
                caps: network.caps.clone(),
                siblings,
                ports: network.ports.clone(),
                relay_buffers: RELAY_BUFFERS,
                clock,
                observer: Box::new(observer),
            };
            let started = worker::start(&format!("worker-{number}"), setup, relay);
            workers.push(started.map_err(ServeError::system("start a worker"))?);
        }
        tracing::debug!(workers = count, "workers started");
        Ok(Self { workers, clock, quota, network, advert })
    }

    /// The ways to the workers, in the order of their numbers.
    pub(super) fn lines(&self) -> Box<[WorkerLine<Relay>]> {
        self.workers.iter().map(|worker| worker.line().clone()).collect()
    }

    /// Ends all allocations, so that each has its line in the log, and then the workers.
    pub(super) fn stop(self) {
        for worker in &self.workers {
            // A worker that takes no commands has ended, or is stopped in a moment without these lines.
            if worker.line().with_core(|relay, now, mut out| relay.stop(now, &mut out)).is_err() {
                tracing::warn!("a worker is stopped without a log line for each of its allocations");
            }
        }
        for worker in self.workers {
            if worker.stop().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
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
