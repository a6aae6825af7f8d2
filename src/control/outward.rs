//! What is served beside the clients: the figures for monitoring, and the admin API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::admin::{Admin, Doors};
use super::events::LostEvents;
use super::metrics::{Metrics, MetricsServer, Sockets};
use super::plane::Plane;
use super::server::ServeError;
use crate::config::Config;

/// The sockets, open and not served yet.
pub(super) struct Opened {
    doors: Doors,
    figures: Sockets,
}

/// The running servers. They end with their owner.
pub(super) struct Outward {
    _admin: Option<Admin>,
    _figures: Option<MetricsServer>,
}

impl Opened {
    pub(super) fn of(config: &Config) -> Result<Self, ServeError> {
        let doors = Doors::open(config).map_err(ServeError::Admin)?;
        let figures = Sockets::open(&config.metrics.listen).map_err(ServeError::Metrics)?;
        Ok(Self { doors, figures })
    }

    /// Where they listen, on a host with these addresses: clients must not get there through us.
    pub(super) fn services(&self, host: &[IpAddr]) -> Vec<SocketAddr> {
        [self.doors.services(host), self.figures.services(host)].concat()
    }

    /// Begins to serve.
    pub(super) fn start(self, plane: &Arc<Plane>, lost: LostEvents) -> Result<Outward, ServeError> {
        let Self { doors, figures } = self;
        let (records, questions) = (plane.tallies().accounting.clone(), plane.tallies().auth_webhook.clone());
        let metrics = Metrics::new(plane.clone())
            .with(move || lost.families())
            .with(move || records.families())
            .with(move || questions.families());
        let metrics = Arc::new(metrics);
        let figures = MetricsServer::start(figures, metrics.clone())
            .map_err(ServeError::system("start the metrics server"))?;
        let admin = (!doors.is_empty())
            .then(|| Admin::start(doors, plane.clone(), metrics))
            .transpose()
            .map_err(ServeError::system("start the admin server"))?;
        Ok(Outward { _admin: admin, _figures: figures })
    }
}
