//! What the running server lets others see and do. The admin server, the metrics and the service manager all look
//! through here, and reach the workers and the main thread by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::advert::Advert;
use super::certs::CertStore;
use super::explain::Decisions;
use crate::auth::Authenticator;
use crate::config::{self, Config};
use crate::net::ports::RelayPorts;
use crate::net::worker::{Clock, WorkerLine};
use crate::turn::{Now, Output, Quota, Relay};

/// One for the whole server, shared by all who look.
pub struct Plane {
    workers: Box<[WorkerLine<Relay>]>,
    clock: Clock,
    quota: Arc<Quota>,
    ports: Arc<RelayPorts>,
    certificates: Option<Arc<CertStore>>,
    decisions: Arc<Decisions>,
    live: ArcSwap<Live>,
}

/// The configuration in use, and what came of it on this host. A reload swaps it.
#[derive(Debug)]
pub struct Live {
    /// What is meant.
    pub config: Config,
    /// All keys with their values, to be shown.
    pub raw: config::raw::Config,
    /// Where the server really listens, and relays from.
    pub advert: Advert,
    /// Who may log in.
    pub authenticator: Arc<Authenticator>,
}

/// What a [`Plane`] is made of.
pub(super) struct Parts {
    pub(super) workers: Box<[WorkerLine<Relay>]>,
    pub(super) clock: Clock,
    pub(super) quota: Arc<Quota>,
    pub(super) ports: Arc<RelayPorts>,
    pub(super) certificates: Option<Arc<CertStore>>,
    pub(super) decisions: Arc<Decisions>,
    pub(super) live: Live,
}

/// A worker has not answered in time: it is stuck, overwhelmed, or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a worker does not answer")
    }
}

impl std::error::Error for Unanswered {}

/// How long a worker may take to answer. It looks at its commands after a few packets, so this is very long.
const PATIENCE: Duration = Duration::from_secs(2);

impl Plane {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { workers, clock, quota, ports, certificates, decisions, live } = parts;
        Self { workers, clock, quota, ports, certificates, decisions, live: ArcSwap::from_pointee(live) }
    }

    /// The ways to the workers, in the order of their numbers.
    pub fn workers(&self) -> &[WorkerLine<Relay>] {
        &self.workers
    }

    /// The time, as the workers have it.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// How many allocations there are.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The relay ports.
    pub fn ports(&self) -> &RelayPorts {
        &self.ports
    }

    /// What TLS clients see, if there are any.
    pub fn certificates(&self) -> Option<&CertStore> {
        self.certificates.as_deref()
    }

    /// The last decisions about clients.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The configuration in use.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Asks one worker's core something, on its thread and between two packets.
    pub async fn ask<T: Send + 'static>(
        &self,
        worker: &WorkerLine<Relay>,
        question: impl FnOnce(&mut Relay, Now, &mut dyn FnMut(Output<'static, '_>)) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let asked = worker.with_core(move |relay, now, out| {
            // Whoever asked may have lost patience.
            let _ = answer.send(question(relay, now, out));
        });
        asked.map_err(|_| Unanswered)?;
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        answered.map_err(|_| Unanswered)?.map_err(|_| Unanswered)
    }

    /// Asks all workers the same, at the same time; their answers are in the order of their numbers.
    pub async fn ask_all<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Relay, Now, &mut dyn FnMut(Output<'static, '_>)) -> T + Clone + Send + 'static,
    ) -> Vec<Result<T, Unanswered>> {
        let mut asked = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (answer, answered) = oneshot::channel();
            let question = question.clone();
            let sent = worker.with_core(move |relay, now, out| {
                let _ = answer.send(question(relay, now, out));
            });
            asked.push(sent.map(|()| answered));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut answers = Vec::with_capacity(asked.len());
        for sent in asked {
            answers.push(match sent {
                Ok(answered) => match tokio::time::timeout_at(deadline, answered).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(_)) | Err(_) => Err(Unanswered),
                },
                Err(_) => Err(Unanswered),
            });
        }
        answers
    }
}
