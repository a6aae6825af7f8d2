//! The server's main thread: does what concerns the server as a whole, one thing at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::certs::Notice;
use super::drain::{self, Draining, Order, Stage};
use super::news::{News, Signal};
use super::plane::Plane;
use super::reload::{Reload, Reloader};
use super::server::ServeError;
use super::systemd::{Leaving, Service};
use super::tide::Tide;
use super::utc::unix_now;
use crate::net::sys::memory;
use crate::turn::Admission;

/// What the main thread has in hand.
pub(super) struct Keeper {
    plane: Arc<Plane>,
    reloader: Reloader,
    service: Service,
    draining: Option<Draining>,
    tide: Tide,
}

/// Whether the server goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    On,
    Out,
}

/// How often the main thread looks around when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// The same while it waits for the last allocation to end.
const LEAVING_TICK: Duration = Duration::from_millis(100);
impl Keeper {
    pub(super) fn new(plane: Arc<Plane>, reloader: Reloader, service: Service) -> Self {
        Self { plane, reloader, service, draining: None, tide: Tide::default() }
    }

    /// Runs until the server is to stop, and tells the service manager that it does.
    pub(super) fn run(mut self, incoming: &Receiver<News>) -> Result<(), ServeError> {
        loop {
            let now = Instant::now();
            let allocations = self.plane.quota().total();
            self.service.turn(now, self.plane.workers(), allocations);
            if self.draining.as_ref().is_some_and(|draining| draining.is_over(now, allocations)) {
                tracing::info!(allocations, "drained");
                break;
            }
            match incoming.recv_timeout(self.tick()) {
                Ok(news) => {
                    if self.hear(news)? == Going::Out {
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ServeError::WorkerEnded),
                Err(RecvTimeoutError::Timeout) => self.look_around(),
            }
        }
        self.service.stopping();
        Ok(())
    }

    fn tick(&self) -> Duration {
        let tick = if self.draining.is_some() { LEAVING_TICK } else { TICK };
        self.service.every(tick).min(tick)
    }

    fn hear(&mut self, news: News) -> Result<Going, ServeError> {
        match news {
            News::WorkerEnded => return Err(ServeError::WorkerEnded),
            News::Signal(signal, name) => return Ok(self.obey(signal, name)),
            News::Drain(order, answer) => {
                // Nobody takes back what the system wants.
                let stage =
                    if self.is_leaving() { self.plane.stage() } else { self.drain(order, "an operator") };
                // Whoever asked may have gone.
                let _ = answer.send(stage);
            }
            News::Undrain(answer) => {
                let _ = answer.send(self.undrain());
            }
            News::Reload(answer) => {
                let _ = answer.send(self.reload());
            }
        }
        Ok(Going::On)
    }

    fn obey(&mut self, signal: Signal, name: &'static str) -> Going {
        match signal {
            Signal::Stop => {
                tracing::info!(signal = name, "stopping");
                return Going::Out;
            }
            Signal::Leave if self.is_leaving() => {
                tracing::info!(signal = name, "stopping at once");
                return Going::Out;
            }
            Signal::Leave => {
                let timeout = self.plane.live().config.drain.timeout;
                self.drain(Order { timeout, stops: true, is_final: true }, name);
            }
            Signal::Drain if self.is_leaving() => {
                tracing::info!(signal = name, "the server is on its way out already");
            }
            // As coturn has it: until the last allocation is gone, however long that takes.
            Signal::Drain => {
                self.drain(Order { timeout: None, stops: true, is_final: false }, name);
            }
            Signal::Reload => {
                // All of it is in the log.
                let _ = self.reload();
            }
            Signal::Certificates => self.reloader.certificates(),
        }
        Going::On
    }

    /// Whether the system wants the server to end.
    fn is_leaving(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| draining.leave.is_final)
    }

    fn drain(&mut self, order: Order, reason: &'static str) -> Stage {
        let begun = Draining::begin(order, Instant::now(), unix_now());
        self.admit(&drain::admission(&self.plane.live().config.drain.alternates));
        tracing::info!(
            reason,
            allocations = self.plane.quota().total(),
            timeout_s = order.timeout.map(|timeout| timeout.as_secs()),
            stops = order.stops,
            "draining: no new allocations are taken"
        );
        let stage = Stage::Draining(begun.leave);
        let ends = if order.is_final { Leaving::ForGood } else { Leaving::Perhaps };
        self.service.leaving(ends, self.plane.quota().total());
        self.draining = Some(begun);
        self.plane.set_stage(stage);
        stage
    }

    /// Takes a drain back, unless the system wants the server to end.
    fn undrain(&mut self) -> Stage {
        if self.draining.is_some() && !self.is_leaving() {
            self.service.staying(self.plane.quota().total());
            self.draining = None;
            self.plane.set_stage(Stage::Serving);
            self.admit(&Admission::Open);
            tracing::info!("draining no more: new allocations are taken again");
        }
        self.plane.stage()
    }

    fn admit(&self, admission: &Admission) {
        let admission = admission.clone();
        self.plane.tell_all("whether new allocations are taken", move |relay, _, _| {
            relay.set_admission(admission.clone());
        });
    }

    fn reload(&mut self) -> Reload {
        self.service.reloading();
        let reload = self.reloader.reload(&self.plane);
        if self.draining.is_some() {
            self.admit(&drain::admission(&self.plane.live().config.drain.alternates));
        }
        self.service.reloaded(self.plane.quota().total());
        reload
    }

    /// Gives back what a crowd has left behind, and takes in files that have changed.
    fn look_around(&mut self) {
        if self.tide.has_ebbed(self.plane.quota().total()) {
            memory::give_back();
        }
        if let Some(watch) = self.reloader.watch() {
            watch.look(Instant::now(), unix_now()).iter().for_each(Notice::log);
        }
        if self.plane.live().config.server.reload_on_change && self.reloader.have_files_changed() {
            tracing::info!("the configuration's files have changed");
            // All of it is in the log.
            let _ = self.reload();
        }
    }
}
