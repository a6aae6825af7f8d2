//! All connections of a worker that are passed on.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use foldhash::fast::FixedState;
use mio::{Interest, Registry};

use super::passage::{Passage, Step};
use super::pump::{End, Scratch};
use crate::net::counters::Counters;
use crate::net::socket_id::SocketId;
use crate::net::throttle::Throttle;
use crate::turn::Millis;

/// The passages of one worker, by the places of the connections they were made of.
#[derive(Default)]
pub(crate) struct Passages {
    by_place: HashMap<u32, Box<Passage>, FixedState>,
    /// Those that have something to do, each once.
    ready: VecDeque<u32>,
    /// Made with the first passage.
    scratch: Option<Scratch>,
    failed: Throttle,
}

/// Turns in one wake-up: a megabyte or less, which takes as long as a few hundred packets.
const TURNS: usize = 32;

impl Passages {
    /// Adds one; the near socket is known to the poll already.
    pub(crate) fn insert(&mut self, place: u32, mut passage: Passage, registry: &Registry) -> io::Result<()> {
        watch(place, &mut passage, registry)?;
        self.by_place.insert(place, Box::new(passage));
        self.enqueue(place);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Forgets all of them: the server stops.
    pub(crate) fn clear(&mut self) {
        self.by_place.clear();
    }

    /// The poll has reported a socket of one of them, if there is one at this place.
    pub(crate) fn note(&mut self, place: u32, end: End, hung_up: bool) {
        if let Some(passage) = self.by_place.get_mut(&place) {
            passage.note(end, hung_up);
            self.enqueue(place);
        }
    }

    /// Whether some have something to do.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Gives some of them a turn. Calls `free` with the place of each that is over.
    pub(crate) fn turn(
        &mut self,
        now: Millis,
        registry: &Registry,
        counters: &mut Counters,
        mut free: impl FnMut(u32),
    ) {
        for _ in 0..self.ready.len().min(TURNS) {
            let Some(place) = self.ready.pop_front() else { return };
            let Some(passage) = self.by_place.get_mut(&place) else { continue };
            passage.queued = false;
            let step = passage.turn(self.scratch.get_or_insert_default(), now);
            if self.take(place, step, now, registry, counters) {
                free(place);
            }
        }
    }

    /// Ends, or moves to the next backend, those whose time is over. Calls `free` with the place of each that is over.
    pub(crate) fn sweep(
        &mut self,
        idle: Duration,
        now: Millis,
        registry: &Registry,
        counters: &mut Counters,
        mut free: impl FnMut(u32),
    ) {
        let overdue =
            |(place, passage): (&u32, &mut Box<Passage>)| Some((*place, passage.overdue(idle, now)?));
        let overdue: Vec<_> = self.by_place.iter_mut().filter_map(overdue).collect();
        for (place, step) in overdue {
            if self.take(place, step, now, registry, counters) {
                free(place);
            }
        }
        if self.by_place.is_empty() {
            *self = Self { failed: std::mem::take(&mut self.failed), ..Self::default() };
        }
    }

    /// Does what a passage asks for. Whether it is over.
    fn take(
        &mut self,
        place: u32,
        step: Step,
        now: Millis,
        registry: &Registry,
        counters: &mut Counters,
    ) -> bool {
        match step {
            Step::Wait => return false,
            Step::Again => {
                self.enqueue(place);
                return false;
            }
            Step::Redirected => {
                let Some(passage) = self.by_place.get_mut(&place) else { return false };
                match watch(place, passage, registry) {
                    Ok(()) => return false,
                    Err(error) => self.fail(&error, now, counters),
                }
            }
            Step::Over => {}
            Step::Failed(error) => self.fail(&error, now, counters),
        }
        if let Some(passage) = self.by_place.remove(&place) {
            tracing::debug!(client = %passage.client(), reason = "passed on", "connection ended");
        }
        true
    }

    /// Counts a connection that could not be passed on, and says so once in a while.
    pub(crate) fn fail(&mut self, error: &io::Error, now: Millis, counters: &mut Counters) {
        counters.passages_failed += 1;
        if let Some(suppressed) = self.failed.pass(now) {
            tracing::warn!(%error, suppressed, "the fallback cannot be reached");
        }
    }

    fn enqueue(&mut self, place: u32) {
        if let Some(passage) = self.by_place.get_mut(&place)
            && !std::mem::replace(&mut passage.queued, true)
        {
            self.ready.push_back(place);
        }
    }
}

fn watch(place: u32, passage: &mut Passage, registry: &Registry) -> io::Result<()> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    registry.register(passage.far(), SocketId::far_end(place).token(), interest)
}
