//! Reads the configuration again and takes it into use, whole or not at all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::acme::{self, AcmeThread};
use super::advert::Advert;
use super::certs::{Notice, Prepared, Watch};
use super::config_files::ConfigFiles;
use super::counterparts::{Counterparts, Difference};
use super::credentials;
use super::difference::{self, Change};
use super::listeners;
use super::logging;
use super::network::Network;
use super::plane::{Live, Plane};
use super::server::check_open_files;
use super::settings::{Former, settings};
use super::utc::unix_now;
use crate::auth::Authenticator;
use crate::config::checked::Server;
use crate::config::{Config, ConfigError, Loaded, raw};
use crate::net::sys::interfaces;
use crate::net::worker::NetSettings;

/// Reads the configuration from where it came from when the server started.
pub type Load = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send>;

/// What came of a reload: what has changed, or why nothing has.
pub type Reload = Result<Reloaded, Problems>;

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Each key that has another value, and is in force.
    pub changes: Vec<Change>,
    /// Each key whose new value waits for a restart.
    pub at_restart: Vec<Change>,
    /// What is allowed but probably not wanted.
    pub warnings: Vec<String>,
    /// What of it is not in force yet, although it should be.
    pub missing: Vec<String>,
}

/// Why a configuration was not taken into use: all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

/// What can be read again.
pub(super) struct Reloader {
    load: Load,
    files: ConfigFiles,
    network: Network,
    watch: Option<Watch>,
    acme: Option<AcmeThread>,
    counterparts: Arc<Counterparts>,
    former: Former,
}

/// A configuration that was found good, and all that comes of it.
struct Next {
    live: Live,
    host: Vec<IpAddr>,
    net: NetSettings,
    certificates: Option<Prepared>,
    counterparts: Difference,
    /// What orders certificates from now on, if that changes.
    acme: Option<Option<acme::Setup>>,
    reloaded: Reloaded,
}

impl Reloader {
    pub(super) fn new(
        (load, files): (Load, ConfigFiles),
        network: Network,
        watch: Option<Watch>,
        acme: Option<AcmeThread>,
        counterparts: Arc<Counterparts>,
    ) -> Self {
        Self { load, files, network, watch, acme, counterparts, former: Former::default() }
    }

    /// The certificates, if there are any.
    pub(super) fn watch(&mut self) -> Option<&mut Watch> {
        self.watch.as_mut()
    }

    /// Whether what a reload reads has changed since.
    pub(super) fn have_files_changed(&mut self) -> bool {
        self.files.have_changed(Instant::now())
    }

    /// Reads the certificates again, and nothing else.
    pub(super) fn certificates(&mut self) {
        match &mut self.watch {
            Some(watch) => {
                tracing::info!("reloading certificates");
                watch.reload(Instant::now(), unix_now()).iter().for_each(Notice::log);
            }
            None => tracing::warn!("there are no certificates to reload: no listener has TLS"),
        }
    }

    /// Reads everything again. What is wrong changes nothing, and is told.
    pub(super) fn reload(&mut self, plane: &Plane) -> Reload {
        self.counterparts.reopen();
        let loaded = self.files.follow(&self.load).map_err(Problems::of_config);
        let reload = match loaded.and_then(|loaded| self.prepare(plane, loaded)) {
            Ok(next) => Ok(self.apply(plane, next)),
            Err(problems) => Err(problems),
        };
        plane.note_reload(&reload);
        match &reload {
            Ok(reloaded) => reloaded.log(),
            Err(Problems(problems)) => {
                for problem in problems {
                    tracing::error!(reason = %problem, "configuration not reloaded; what ran goes on");
                }
            }
        }
        reload
    }

    fn prepare(&self, plane: &Plane, loaded: Loaded) -> Result<Next, Problems> {
        let old = plane.live();
        let Loaded { mut raw, mut config, warnings, secret_files: _ } = loaded;
        let all_changes = difference::between(&old.raw, &raw);
        keep_what_is_open(&old, &mut raw, &mut config);
        let changes = difference::between(&old.raw, &raw);
        let at_restart = all_changes.into_iter().filter(|change| !changes.contains(change)).collect();
        credentials::complete(&mut config).map_err(|error| Problems(vec![error.to_string()]))?;
        let certificates = match &self.watch {
            Some(watch) => Some(watch.prepare(&config.tls, unix_now()).map_err(Problems)?),
            None => None,
        };
        let host = interfaces::local_addresses()
            .map_err(|error| Problems(vec![format!("the host's addresses cannot be found: {error}")]))?;
        let (listeners, services) = (old.advert.listeners.clone(), old.advert.services.clone());
        let advert = Advert { listeners, services, ..Advert::of(&config, &host) };
        if advert.relays.is_empty() {
            let problem = "this host has no address to relay from; set relay.addresses";
            return Err(Problems(vec![problem.to_owned()]));
        }
        let tls = certificates.as_ref().map(Prepared::tls_configs);
        let net = self
            .network
            .settings(&config, tls)
            .map_err(|error| Problems(vec![format!("the address of a fallback cannot be found: {error}")]))?;
        let counterparts =
            Difference::between(&old.config, &config).map_err(|problem| Problems(vec![problem]))?;
        let acme = self.another_acme(&old.config, &config)?;
        let authenticator = plane.authenticator(&config);
        let tls_name = old.tls_name.clone();
        let live = Live { config, raw, advert, authenticator, tls_name };
        Ok(Next {
            live,
            host,
            net,
            certificates,
            counterparts,
            acme,
            reloaded: Reloaded { changes, at_restart, warnings, missing: Vec::new() },
        })
    }

    fn apply(&mut self, plane: &Plane, next: Next) -> Reloaded {
        let Next { mut live, host, net, certificates, counterparts, acme, mut reloaded } = next;
        let old = plane.live();
        // Before anybody asks because of it.
        self.counterparts.apply(counterparts);
        self.former.note(&old.config, &old.advert);
        let workers = plane.workers().len();
        let settings = Arc::new(settings(&live.config, &live.advert, &host, workers, &self.former));
        let authenticator: Arc<Authenticator> = live.authenticator.clone();
        self.network.change(&live.config, &live.advert);
        let mut late: BTreeSet<usize> = plane.reconfigure(&net).into_iter().collect();
        late.extend(plane.tell_all("the new configuration", move |relay, now, mut out| {
            relay.set_settings(now, settings.clone(), &mut out);
            relay.set_authenticator(now, authenticator.clone(), &mut out);
        }));
        reloaded.missing.extend(late.into_iter().map(not_told));
        if let (Some(watch), Some(prepared)) = (&mut self.watch, certificates) {
            watch.take(prepared, unix_now()).iter().for_each(Notice::log);
            watch.reload(Instant::now(), unix_now()).iter().for_each(Notice::log);
            live.tls_name = watch.name();
        }
        check_open_files(&live.config);
        reloaded.missing.extend(acme.and_then(|setup| self.restart_acme(setup).err()));
        if old.config.log_level != live.config.log_level {
            logging::set_level(live.config.log_level);
        }
        plane.set_live(live);
        reloaded
    }

    /// Another order, or another CA, is for another client, and so is one that could not be started.
    fn another_acme(&self, old: &Config, new: &Config) -> Result<Option<Option<acme::Setup>>, Problems> {
        let Some(watch) = &self.watch else { return Ok(None) };
        if old.tls.acme == new.tls.acme && new.tls.acme.is_some() == self.acme.is_some() {
            return Ok(None);
        }
        let setup = acme::Setup::of(new, watch.store());
        setup.map(Some).map_err(|error| Problems(vec![error.to_string()]))
    }

    fn restart_acme(&mut self, setup: Option<acme::Setup>) -> Result<(), String> {
        // It may have a port open that the next one needs.
        self.acme = None;
        let started = setup.map(acme::Setup::start).transpose();
        self.acme = started.map_err(|error| {
            format!("the ACME client cannot be started, and no certificate is renewed: {error}; mend that and reload again")
        })?;
        Ok(())
    }
}

fn not_told(worker: usize) -> String {
    format!(
        "worker {worker} does not answer and has not taken the new configuration yet; reload again once it does"
    )
}

/// Sockets that are open stay what they are: what is written about them waits for a restart.
fn keep_what_is_open(old: &Live, raw: &mut raw::Config, config: &mut Config) {
    config.listeners = listeners::carry_over(&old.config.listeners, &config.listeners);
    let wanted = std::mem::take(&mut raw.listener);
    let same = |open: &raw::Listener| {
        let is_same =
            |wanted: &&raw::Listener| (wanted.address, wanted.transport) == (open.address, open.transport);
        wanted.iter().find(is_same).unwrap_or(open).clone()
    };
    raw.listener = old.raw.listener.iter().map(same).collect();
    let pairs = |raw: &raw::Config| (raw.nat_discovery.addresses.clone(), raw.nat_discovery.alternate_port);
    if pairs(&old.raw) != pairs(raw) {
        raw.nat_discovery.clone_from(&old.raw.nat_discovery);
        config.nat_discovery.clone_from(&old.config.nat_discovery);
    }
    raw.server.name.clone_from(&old.raw.server.name);
    raw.admin.listen.clone_from(&old.raw.admin.listen);
    config.admin.listen.clone_from(&old.config.admin.listen);
    raw.metrics.listen.clone_from(&old.raw.metrics.listen);
    config.metrics.listen.clone_from(&old.config.metrics.listen);
    raw.server.workers = old.raw.server.workers;
    raw.server.receive_buffer = old.raw.server.receive_buffer;
    raw.server.send_buffer = old.raw.server.send_buffer;
    raw.server.state_dir.clone_from(&old.raw.server.state_dir);
    raw.log.format = old.raw.log.format;
    let Server { realm, urls, reload_on_change, .. } = config.server.clone();
    config.server = Server { realm, urls, reload_on_change, ..old.config.server.clone() };
}

impl Problems {
    fn of_config(error: ConfigError) -> Self {
        Self(error.problems.iter().map(ToString::to_string).collect())
    }
}

impl Reloaded {
    fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!(detail = %warning, "configuration can be improved");
        }
        for Change { key, old, new } in &self.changes {
            tracing::info!(key, old = old.as_deref(), new = new.as_deref(), "configuration changed");
        }
        for Change { key, old, new } in &self.at_restart {
            tracing::warn!(
                key,
                old = old.as_deref(),
                new = new.as_deref(),
                "this change waits for a restart of the server"
            );
        }
        for reason in &self.missing {
            tracing::error!(reason, "the new configuration is not wholly in force");
        }
        tracing::info!(changes = self.changes.len(), "configuration reloaded");
    }
}
