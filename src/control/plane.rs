//! What the running server lets others see and do. The admin server, the metrics and the service manager all look
//! through here, and reach the workers and the main thread by it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::accounting;
use super::advert::Advert;
use super::auth_webhook;
use super::certs::CertStore;
use super::drain::{Order, Stage};
use super::explain::Decisions;
use super::news::News;
use super::reload::Reload;
use super::revoked::{RevokeError, Revoked};
use super::telling;
use super::utc::unix_now;
use crate::auth::Authenticator;
use crate::config::{self, Config};
use crate::net::ports::RelayPorts;
use crate::net::stream::Caps;
use crate::net::worker::{Clock, NetSettings, WorkerLine};
use crate::turn::{EndReason, Now, Output, Quota, Relay};

/// One for the whole server, shared by all who look.
pub struct Plane {
    workers: Box<[WorkerLine<Relay>]>,
    clock: Clock,
    quota: Arc<Quota>,
    ports: Arc<RelayPorts>,
    caps: Arc<Caps>,
    certificates: Option<Arc<CertStore>>,
    decisions: Arc<Decisions>,
    revoked: Revoked,
    tallies: Tallies,
    news: Sender<News>,
    stage: ArcSwap<Stage>,
    last_reload: ArcSwap<LastReload>,
    live: ArcSwap<Live>,
}

/// What came of the last reload; of the start, before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// Whether the configuration was taken into use.
    pub succeeded: bool,
    /// When one was last, in Unix seconds.
    pub in_use_since: u64,
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
    /// By which name TLS clients are told to connect.
    pub tls_name: Option<String>,
}

/// What threads count that talk to others than clients.
#[derive(Clone, Debug)]
pub struct Tallies {
    /// Records of allocations.
    pub accounting: Arc<accounting::Tally>,
    /// Questions about users.
    pub auth_webhook: Arc<auth_webhook::Tally>,
}

/// What a [`Plane`] is made of.
pub(super) struct Parts {
    pub(super) workers: Box<[WorkerLine<Relay>]>,
    pub(super) clock: Clock,
    pub(super) quota: Arc<Quota>,
    pub(super) ports: Arc<RelayPorts>,
    pub(super) caps: Arc<Caps>,
    pub(super) certificates: Option<Arc<CertStore>>,
    pub(super) decisions: Arc<Decisions>,
    pub(super) revoked: Revoked,
    pub(super) tallies: Tallies,
    pub(super) news: Sender<News>,
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
        let Parts {
            workers,
            clock,
            quota,
            ports,
            caps,
            certificates,
            decisions,
            revoked,
            tallies,
            news,
            live,
        } = parts;
        let last_reload = LastReload { succeeded: true, in_use_since: unix_now() };
        Self {
            workers,
            clock,
            quota,
            ports,
            caps,
            certificates,
            decisions,
            revoked,
            tallies,
            news,
            stage: ArcSwap::from_pointee(Stage::Serving),
            last_reload: ArcSwap::from_pointee(last_reload),
            live: ArcSwap::from_pointee(live),
        }
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

    /// How many connections of clients there are.
    pub fn connections(&self) -> u32 {
        self.caps.total()
    }

    /// What TLS clients see, if there are any.
    pub fn certificates(&self) -> Option<&CertStore> {
        self.certificates.as_deref()
    }

    /// What was counted about records, and about questions to the auth webhook.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// Where clients are told to find this server.
    pub fn client_urls(&self) -> Vec<String> {
        let live = self.live();
        live.advert.client_urls(&live.config.relay.external, live.tls_name.as_deref())
    }

    /// The last decisions about clients.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The configuration in use.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    pub(super) fn set_live(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// Who may log in by a configuration, less those who are revoked.
    pub(super) fn authenticator(&self, config: &Config) -> Arc<Authenticator> {
        self.revoked.authenticator(config)
    }

    /// What the server is doing as a whole.
    pub fn stage(&self) -> Stage {
        **self.stage.load()
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.store(Arc::new(stage));
    }

    /// What came of the last reload.
    pub fn last_reload(&self) -> LastReload {
        **self.last_reload.load()
    }

    pub(super) fn note_reload(&self, reload: &Reload) {
        let before = self.last_reload();
        let last = match reload {
            Ok(reloaded) => LastReload { succeeded: reloaded.missing.is_empty(), in_use_since: unix_now() },
            Err(_) => LastReload { succeeded: false, ..before },
        };
        self.last_reload.store(Arc::new(last));
    }

    /// Has the main thread read the configuration again. `None` when the server is on its way out.
    pub async fn reload(&self) -> Option<Reload> {
        self.send(News::Reload).await
    }

    /// Has the main thread take no new allocations.
    pub async fn drain(&self, order: Order) -> Option<Stage> {
        self.send(|answer| News::Drain(order, answer)).await
    }

    /// Has it take some again; says whether it does.
    pub async fn undrain(&self) -> Option<Stage> {
        self.send(News::Undrain).await
    }

    async fn send<T>(&self, news: impl FnOnce(oneshot::Sender<T>) -> News) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.news.send(news(answer)).ok()?;
        answered.await.ok()
    }

    /// Revokes a credential by its whole name, or a user by the part of it that stays, and ends what it holds; says how
    /// many allocations that were.
    pub async fn revoke(&self, name: &str) -> Result<usize, RevokeError> {
        let kept = self.revoked.add(name, &self.live().authenticator, unix_now());
        if let Err(RevokeError::Full) = kept {
            return Err(RevokeError::Full);
        }
        // What it holds ends, also when the revocation cannot be kept for after a restart.
        let ended = self.end_user(name, EndReason::Revoked).await;
        kept.and(ended.map_err(|Unanswered| RevokeError::Unanswered))
    }

    /// Takes a revocation back; says whether there was one.
    pub fn restore(&self, name: &str) -> Result<bool, RevokeError> {
        self.revoked.remove(name)
    }

    /// What is revoked, and until when; `None` is until it is taken back.
    pub fn revocations(&self) -> Vec<(Box<str>, Option<u64>)> {
        self.revoked.all()
    }

    /// Gives all workers other settings of the network. Returns the numbers of those who do not take them.
    pub(super) fn reconfigure(&self, settings: &NetSettings) -> Vec<usize> {
        let send = |_, worker: &WorkerLine<Relay>| worker.reconfigure(settings.clone());
        let late = telling::hand_out(&self.workers, Instant::now() + PATIENCE, send);
        if !late.is_empty() {
            tracing::error!(workers = ?late, "workers do not take new settings of the network");
        }
        late
    }

    /// Tells all workers the same, and waits until they know. Returns the numbers of those who do not yet.
    pub(super) fn tell_all(
        &self,
        what: &'static str,
        action: impl Fn(&mut Relay, Now, &mut dyn FnMut(Output<'static, '_>)) + Clone + Send + 'static,
    ) -> Vec<usize> {
        let late = telling::tell(&self.workers, Instant::now() + PATIENCE, action);
        if !late.is_empty() {
            tracing::error!(what, workers = ?late, "workers do not answer; they have not been told yet");
        }
        late
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
        ask_each(&self.workers, question).await
    }
}

/// Asks these workers the same, at the same time; their answers are in the same order.
pub(super) async fn ask_each<T: Send + 'static>(
    workers: &[WorkerLine<Relay>],
    question: impl Fn(&mut Relay, Now, &mut dyn FnMut(Output<'static, '_>)) -> T + Clone + Send + 'static,
) -> Vec<Result<T, Unanswered>> {
    let mut asked = Vec::with_capacity(workers.len());
    for worker in workers {
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
