//! Where questions meet answers: remembered ones, those under way, and those of the web server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::answer::Decision;
use super::breaker::Breaker;
use super::cache::Cache;
use super::counterpart::Counterpart;
use super::failure::Failure;
use super::outbox::{Delivery, Outbox};
use super::question::{Question, Subject};
use super::tally::Tally;
use crate::config::choice::WhenDown;
use crate::control::plane::Plane;
use crate::control::utc::unix_now;
use crate::net::worker::Busy;
use crate::turn::{Grant, Verdict};

/// A word to the thread.
#[derive(Debug)]
pub(super) enum Word {
    /// Ask this one from now on.
    Ask(Box<Option<Counterpart>>),
}

pub(super) struct Desk {
    plane: Arc<Plane>,
    server: String,
    counterpart: Option<Counterpart>,
    cache: Option<Cache>,
    breaker: Breaker,
    /// Counts configurations.
    generation: u64,
    /// Requests under way, each with all that want to know the same.
    asked: HashMap<Subject, Vec<Question>>,
    requests: JoinSet<Reply>,
    /// Those that there is no place for yet, with when they came.
    waiting: VecDeque<(Instant, Question)>,
    outbox: Outbox,
    tally: Arc<Tally>,
    /// When it was last said that nobody answers.
    said: Option<Instant>,
    /// When it was last said that questions are rejected.
    said_rejected: Option<Instant>,
}

/// What came of a request.
struct Reply {
    generation: u64,
    subject: Subject,
    result: Result<Decision, Failure>,
}

/// Questions that may wait for their turn.
const WAITING: usize = 4096;
/// How often the same trouble is told.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How soon a worker that had no room is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

impl Desk {
    pub(super) fn new(
        plane: Arc<Plane>,
        server: String,
        counterpart: Option<Counterpart>,
        tally: Arc<Tally>,
    ) -> Self {
        let cache = counterpart.as_ref().map(|counterpart| Cache::new(counterpart.settings.cache));
        Self {
            plane,
            server,
            counterpart,
            cache,
            breaker: Breaker::default(),
            generation: 0,
            asked: HashMap::new(),
            requests: JoinSet::new(),
            waiting: VecDeque::new(),
            outbox: Outbox::default(),
            tally,
            said: None,
            said_rejected: None,
        }
    }

    /// Until nobody has any more words.
    pub(super) async fn run(
        mut self,
        mut questions: mpsc::Receiver<Question>,
        mut words: mpsc::UnboundedReceiver<Word>,
    ) {
        let mut again = tokio::time::interval(TRY_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What is to be asked is known before there is a question because of it.
                biased;
                word = words.recv() => match word {
                    Some(Word::Ask(counterpart)) => self.apply(*counterpart),
                    None => return,
                },
                // Before questions, of which there may always be more.
                _ = again.tick(), if !self.outbox.is_empty() => self.deliver(),
                Some(question) = questions.recv() => self.take(question),
                Some(Ok(reply)) = self.requests.join_next() => self.settle(reply),
            }
        }
    }

    fn apply(&mut self, counterpart: Option<Counterpart>) {
        self.cache = counterpart.as_ref().map(|counterpart| Cache::new(counterpart.settings.cache));
        self.counterpart = counterpart;
        self.breaker = Breaker::default();
        self.generation += 1;
    }

    fn take(&mut self, question: Question) {
        let address = question.client.client().ip();
        let remembered =
            self.cache.as_ref().and_then(|cache| cache.get(&question.user, address, Instant::now()));
        if let Some(verdict) = remembered {
            self.tally.remembered.add(1);
            return self.tell(&[question], &verdict);
        }
        if let Some(others) = self.asked.get_mut(&question.subject()) {
            return others.push(question);
        }
        self.place(Instant::now(), question);
    }

    /// Asks, or lets the question wait for its turn.
    fn place(&mut self, since: Instant, question: Question) {
        let Some(counterpart) = self.counterpart.clone() else {
            return self.decide_alone(&[question]);
        };
        if self.requests.len() < counterpart.settings.in_flight {
            if self.breaker.admits(Instant::now()) {
                self.ask(counterpart, question);
            } else {
                self.decide_alone(&[question]);
            }
        } else if self.waiting.len() < WAITING {
            self.waiting.push_back((since, question));
        } else {
            self.decide_alone(&[question]);
        }
    }

    fn ask(&mut self, counterpart: Counterpart, question: Question) {
        let live = self.plane.live();
        let realm = live.config.server.realm.clone();
        let letter = question.letter(live.authenticator.user_id(&question.user), &realm, &self.server);
        let (subject, generation) = (question.subject(), self.generation);
        self.asked.insert(subject.clone(), vec![question]);
        self.tally.in_flight.add(1);
        self.requests.spawn(async move {
            let result = counterpart.ask(letter.into(), &subject.0, &realm).await;
            Reply { generation, subject, result }
        });
    }

    /// Takes what came of a request to all who wait for it.
    fn settle(&mut self, Reply { generation, subject, result }: Reply) {
        self.tally.in_flight.subtract(1);
        let questions = self.asked.remove(&subject).unwrap_or_default();
        if generation != self.generation {
            // It was asked under another configuration.
            questions.into_iter().for_each(|question| self.take(question));
            return self.go_on();
        }
        match result {
            Ok(decision) => {
                self.breaker.succeed();
                if self.said.take().is_some() {
                    tracing::info!("the auth webhook answers again");
                }
                self.remember(&subject, decision, &questions);
            }
            Err(failure) => {
                self.tally.failures.add(1);
                self.bear(&failure, &questions);
            }
        }
        self.go_on();
    }

    /// Does without an answer. Only a web server that is down for everybody is left alone: what it says about one user
    /// must not keep it from being asked about others.
    fn bear(&mut self, failure: &Failure, questions: &[Question]) {
        match failure {
            Failure::Down(reason) => {
                self.breaker.fail(Instant::now());
                self.complain(reason);
                self.decide_alone(questions);
            }
            Failure::Useless(reason) => {
                self.breaker.succeed();
                self.complain(reason);
                self.decide_alone(questions);
            }
            Failure::Rejected(status) => {
                self.breaker.succeed();
                self.complain_of_rejection(*status);
                let reason = format!("the auth webhook answered {status}").into();
                self.tell(questions, &Arc::new(Verdict::Refused { reason }));
            }
        }
    }

    fn remember(&mut self, (user, address): &Subject, decision: Decision, questions: &[Question]) {
        let verdict = Arc::new(decision.verdict.clone());
        match &*verdict {
            Verdict::Granted(_) => self.tally.granted.add(1),
            Verdict::Refused { .. } => self.tally.refused.add(1),
        }
        if let Some(cache) = &mut self.cache {
            cache.put(user, *address, &decision, verdict.clone(), (Instant::now(), unix_now()));
        }
        self.tell(questions, &verdict);
    }

    /// Gives those their turn that wait for it, unless they have waited too long.
    fn go_on(&mut self) {
        while let Some(counterpart) = &self.counterpart
            && self.requests.len() < counterpart.settings.in_flight
            && let Some((since, question)) = self.waiting.pop_front()
        {
            if since.elapsed() < counterpart.settings.to.timeout {
                self.take(question);
            } else {
                self.decide_alone(&[question]);
            }
        }
    }

    /// Does what the configuration says for when nobody answers.
    fn decide_alone(&mut self, questions: &[Question]) {
        let when_down = self.counterpart.as_ref().map(|counterpart| counterpart.settings.when_down);
        let verdict = Arc::new(match when_down {
            Some(WhenDown::Refuse) => Verdict::Refused { reason: "the auth webhook does not answer".into() },
            // A reload may have left nobody to ask about questions that were on their way.
            Some(WhenDown::Local) | None => Verdict::Granted(Grant::default()),
        });
        self.tally.undecided.add(questions.len() as u64);
        self.tell(questions, &verdict);
    }

    /// Tells the workers, as soon as they have room for it: what has waited is worth more than what comes anew.
    fn tell(&mut self, questions: &[Question], verdict: &Arc<Verdict>) {
        for &Question { worker, query, .. } in questions {
            self.outbox.put(Instant::now(), Delivery { worker, query, verdict: verdict.clone() });
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        let plane = &self.plane;
        let lost = self.outbox.deliver(Instant::now(), |Delivery { worker, query, verdict }| {
            let worker = plane.workers().get(usize::from(*worker)).ok_or(Busy { ended: true })?;
            let (query, verdict) = (*query, verdict.clone());
            worker.with_core(move |relay, now, mut out| relay.decide(now, query, &verdict, &mut out))
        });
        self.tally.dropped.add(lost);
    }

    fn complain(&mut self, reason: &str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            let when_down = self.counterpart.as_ref().map(|counterpart| counterpart.settings.when_down);
            tracing::warn!(
                reason,
                when_down = when_down.map(tracing::field::display),
                left_alone = self.breaker.is_open(),
                "the auth webhook does not answer"
            );
        }
    }

    fn complain_of_rejection(&mut self, status: StatusCode) {
        if self.said_rejected.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said_rejected = Some(Instant::now());
            tracing::warn!(
                %status,
                expected = r#"status 200 with {"allow":false} for a user who may not log in, {"allow":true} to leave it to this server"#,
                "the auth webhook rejects a question; its user is refused"
            );
        }
    }
}
