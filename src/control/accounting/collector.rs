//! Makes records of what the workers note, and hands them to the outlets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

use super::identity::{Identities, RecordId};
use super::interim::{Interims, Step};
use super::note::{Note, What};
use super::outlets::{LAST_WORDS, Open, Outlets};
use super::record::{Moment, Record, State};
use super::tally::Tally;
use crate::control::plane::{Live, Plane};
use crate::control::sessions::SessionId;
use crate::turn::{FiveTuple, Session};

/// A word to the thread.
#[derive(Debug)]
pub(super) enum Word {
    /// The file may have been moved away.
    Reopen,
    /// Use these outlets.
    Open(Box<Outlets>),
    /// Deliver what there is, and end.
    Finish,
}

pub(super) struct Collector {
    plane: Arc<Plane>,
    server: Arc<str>,
    identities: Identities,
    /// The addresses of dual allocations, because they can end one after the other.
    duals: HashMap<RecordId, [SocketAddr; 2]>,
    interims: Interims,
    outlets: Open,
    tally: Arc<Tally>,
    /// What was told of that.
    told_lost: [u64; OUTLETS],
}

/// What is known of an allocation, from wherever.
struct Facts {
    state: State,
    session: SessionId,
    at: SystemTime,
    client: FiveTuple,
    user: Box<str>,
    user_id: Box<str>,
    relay: Vec<SocketAddr>,
}

/// How long notes are gathered before they are looked at: to wake this thread costs a worker more than all else about
/// a note, so it is woken once for many.
const GATHER: Duration = Duration::from_millis(20);
/// Records that are handed over together.
const BATCH: usize = 1024;
/// Where records can be lost: before them all, and at each.
const OUTLETS: usize = 4;
/// How often it is told what was lost.
const TELL: Duration = Duration::from_secs(60);

impl Collector {
    pub(super) fn new(
        plane: Arc<Plane>,
        server: Arc<str>,
        identities: Identities,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            plane,
            server,
            identities,
            duals: HashMap::new(),
            interims: Interims::default(),
            outlets: Open::default(),
            tally,
            told_lost: [0; OUTLETS],
        }
    }

    /// Uses these outlets from now on.
    pub(super) async fn open(&mut self, outlets: Outlets) {
        self.interims.set(outlets.interim());
        let old = std::mem::replace(&mut self.outlets, outlets.open(&self.tally));
        old.close(Instant::now() + LAST_WORDS).await;
    }

    pub(super) async fn run(
        mut self,
        mut notes: mpsc::Receiver<Note>,
        mut words: mpsc::UnboundedReceiver<Word>,
    ) {
        let mut tell = interval(TELL);
        loop {
            tokio::select! {
                Some(note) = notes.recv() => {
                    sleep(GATHER).await;
                    let records = self.records(Some(note), &mut notes);
                    self.outlets.hand_over(&records);
                }
                word = words.recv() => match word {
                    Some(Word::Reopen) => self.outlets.reopen(),
                    Some(Word::Open(outlets)) => self.open(*outlets).await,
                    Some(Word::Finish) | None => break,
                },
                step = self.interims.wait() => match step {
                    Step::Make => self.make_interims().await,
                    Step::HandOver => {
                        // A record of its beginning stands before that of its going on.
                        let records = self.records(None, &mut notes);
                        self.outlets.hand_over(&records);
                        let records = self.interims.portion();
                        self.outlets.hand_over(&records);
                    }
                },
                _ = tell.tick() => self.tell_lost(),
            }
        }
        let deadline = Instant::now() + LAST_WORDS;
        while !notes.is_empty() {
            let records = self.records(None, &mut notes);
            self.outlets.hand_over_last(&records, deadline).await;
        }
        self.tell_lost();
        self.outlets.close(deadline).await;
    }

    /// Makes records of `first` and of what waits behind it, up to a batch.
    fn records(&mut self, first: Option<Note>, notes: &mut mpsc::Receiver<Note>) -> Vec<Arc<Record>> {
        let live = self.plane.live();
        let waiting = std::iter::from_fn(|| notes.try_recv().ok());
        let batch: Vec<_> = first.into_iter().chain(waiting).take(BATCH).collect();
        batch.into_iter().map(|note| Arc::new(self.record(note, &live))).collect()
    }

    fn record(&mut self, note: Note, live: &Live) -> Record {
        let Note { session, at, client, user, user_id, relay, what } = note;
        let id = self.identities.of(session);
        let (state, relay) = match what {
            What::Began { additional, lifetime } => {
                self.tally.started.add(1);
                if let Some(additional) = additional {
                    self.duals.insert(id, [relay, additional]);
                }
                (State::start(lifetime), [relay].into_iter().chain(additional).collect())
            }
            What::Ended { reason, age, traffic } => {
                self.tally.stopped.add(1);
                self.interims.forget(id);
                let relays = self.duals.remove(&id).map_or_else(|| vec![relay], Vec::from);
                (State::stop(reason, age, &traffic), relays)
            }
        };
        self.complete(live, Facts { state, session, at, client, user, user_id, relay })
    }

    /// Makes records of all allocations there are, to be handed over one after the other.
    async fn make_interims(&mut self) {
        let at = SystemTime::now();
        let sessions = match self.plane.sessions().await {
            Ok(sessions) => sessions,
            Err(reason) => {
                tracing::warn!(%reason, "interim accounting records are left out");
                Vec::new()
            }
        };
        self.tally.interim.add(sessions.len() as u64);
        let live = self.plane.live();
        let records = sessions.into_iter().map(|(session, found)| {
            let Session { client, user, user_id, relays, age, traffic, .. } = found;
            let state = State::interim(age, &traffic);
            let relay = relays.into_iter().flatten().collect();
            Arc::new(self.complete(&live, Facts { state, session, at, client, user, user_id, relay }))
        });
        let records: Vec<_> = records.collect();
        self.interims.put(records);
    }

    fn complete(&self, live: &Live, facts: Facts) -> Record {
        let Facts { state, session, at, client, user, user_id, relay } = facts;
        Record {
            state,
            id: self.identities.of(session),
            session,
            at: Moment(at),
            server: self.server.clone(),
            realm: live.config.server.realm.as_str().into(),
            user_id,
            user,
            client: client.client(),
            transport: client.listener().transport().name(),
            listener: live.advert.address_of(client.listener()),
            relay,
        }
    }

    /// Says what was lost since it was said before.
    fn tell_lost(&mut self) {
        let tally = &self.tally;
        let lost = [
            ("all", &tally.lost),
            ("accounting.file", &tally.file.lost),
            ("accounting.webhook", &tally.webhook.lost),
            ("accounting.otlp", &tally.otlp.lost),
        ];
        for ((outlet, lost), told) in lost.into_iter().zip(&mut self.told_lost) {
            let records = lost.get() - *told;
            if records > 0 {
                tracing::warn!(outlet, records, "accounting records were lost");
                *told += records;
            }
        }
    }
}
