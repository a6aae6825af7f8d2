//! The figures that the server tells, for Prometheus and whoever else reads its format.
//!
//! Nothing is kept here: at each scrape the workers are asked for what they have counted, and the rest is read where it
//! is. Each file has the metrics of one area, as a function that gives [`Family`]s. Whoever has figures of its own
//! writes such a function too, and hands it to [`Metrics::with`].

mod allocations;
mod capacity;
mod certificates;
mod connections;
mod coturn;
mod datagrams;
mod exposition;
mod family;
mod format;
mod listener;
mod page;
mod process;
mod relaying;
mod requests;
mod snapshot;
mod sockets;
mod stage;
mod workers;

use std::sync::Arc;

use super::plane::Plane;
use super::utc::unix_now;
pub use family::{Family, Label, Number};
pub use format::Format;
pub(super) use listener::MetricsServer;
use snapshot::{Memory, Snapshot};
pub use sockets::MetricsListenError;
pub(super) use sockets::Sockets;

/// Gathers the figures of a running server.
pub struct Metrics {
    plane: Arc<Plane>,
    memory: Memory,
    started: u64,
    others: Vec<Source>,
}

/// Figures that are not this module's own.
type Source = Box<dyn Fn() -> Vec<Family> + Send + Sync>;

impl Metrics {
    /// The figures of this server, which has just started.
    pub fn new(plane: Arc<Plane>) -> Self {
        let memory = Memory::new(plane.workers().len());
        Self { plane, memory, started: unix_now(), others: Vec::new() }
    }

    /// With these figures too, asked for at each scrape.
    #[must_use]
    pub fn with(mut self, source: impl Fn() -> Vec<Family> + Send + Sync + 'static) -> Self {
        self.others.push(Box::new(source));
        self
    }

    /// The numbers of the workers that do not answer in time.
    pub async fn silent_workers(&self) -> Vec<usize> {
        let answers = self.plane.ask_all(|_, _, _| ()).await.into_iter().enumerate();
        answers.filter(|(_, answer)| answer.is_err()).map(|(number, _)| number).collect()
    }

    /// All figures as text, or nothing if the configuration in use says so. A worker that does not answer costs two
    /// seconds and leaves its last figures.
    pub async fn scrape(&self, format: Format) -> Option<String> {
        let live = self.plane.live();
        if !live.config.metrics.enabled {
            return None;
        }
        let snapshot = Snapshot::take(self.plane.workers(), self.plane.connections(), &self.memory).await;
        let mut families = vec![build()];
        families.extend(allocations::families(&snapshot));
        families.extend(requests::families(&snapshot));
        families.extend(relaying::families(&snapshot));
        families.extend(datagrams::families(&snapshot));
        families.extend(connections::families(&snapshot));
        families.extend(capacity::families(&self.plane));
        families.extend(workers::families(&snapshot));
        families.extend(stage::families(&self.plane));
        families.extend(certificates::families(self.plane.certificates()));
        families.extend(self.others.iter().flat_map(|source| source()));
        families.extend(process::families(self.started));
        if live.config.metrics.coturn_names {
            families.extend(coturn::families(&snapshot, &live.config.server.realm));
        }
        Some(exposition::text(&families, format))
    }
}

fn build() -> Family {
    Family::info(
        "turnbridge_build",
        "The program that runs.",
        [("version", env!("CARGO_PKG_VERSION").into()), ("arch", std::env::consts::ARCH.into())],
    )
}
