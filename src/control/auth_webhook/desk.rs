//! Where questions meet answers: remembered ones, those under way, and those of the web server.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::answer::Decision;
use super::breaker::Breaker;
use super::cache::Cache;
use super::question::{Question, Subject};
use super::tally::Tally;
use crate::config::checked::AuthWebhook;
use crate::config::choice::WhenDown;
use crate::control::accounting::random_uuid;
use crate::control::https::HttpsClient;
use crate::control::plane::Plane;
use crate::control::utc::unix_now;
use crate::control::webhook_signature::{Signer, headers};
use crate::turn::{Grant, Verdict};

/// A word to the thread.
#[derive(Debug)]
pub(super) enum Word {
    /// Ask this one from now on.
    Ask(Box<Option<Counterpart>>),
}

/// The web server that is asked, as configured.
#[derive(Clone)]
pub struct Counterpart {
    client: HttpsClient,
    signer: Option<Signer>,
    settings: Arc<AuthWebhook>,
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
    tally: Arc<Tally>,
    said: Option<Instant>,
}

/// What came of a request.
struct Reply {
    generation: u64,
    subject: Subject,
    result: Result<Decision, String>,
}

/// The longest answer that is read: a thousand ranges of peers fit.
const ANSWER: usize = 64 << 10;
/// Questions that may wait for their turn.
const WAITING: usize = 4096;
/// How often it is said that nobody answers.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Counterpart {
    /// Gets ready to ask; what is in the way says which key it is about.
    pub fn prepare(settings: &AuthWebhook) -> Result<Self, String> {
        let to = &settings.to;
        let client = HttpsClient::new(to.ca_file.as_deref(), to.timeout, ANSWER)
            .map_err(|reason| format!("auth.webhook: {reason}"))?;
        let signer = to.secret.as_ref().and_then(Signer::new);
        Ok(Self { client, signer, settings: Arc::new(settings.clone()) })
    }

    /// Asks, and understands the answer or says why not.
    async fn ask(self, letter: Bytes, user: &str, realm: &str) -> Result<Decision, String> {
        let headers = headers(self.signer.as_ref(), &random_uuid(), unix_now(), &letter);
        let answered = self.client.post(&self.settings.to.url, headers, letter).await;
        let answer = answered.map_err(|failure| failure.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("the answer was {}", answer.status));
        }
        Decision::read(&answer.body, user, realm)
            .map_err(|reason| format!("the answer cannot be understood: {reason}"))
    }
}

impl fmt::Debug for Counterpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counterpart({})", self.settings.to.url)
    }
}

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
            tally,
            said: None,
        }
    }

    /// Until nobody has any more words.
    pub(super) async fn run(
        mut self,
        mut questions: mpsc::Receiver<Question>,
        mut words: mpsc::UnboundedReceiver<Word>,
    ) {
        loop {
            tokio::select! {
                // What is to be asked is known before there is a question because of it.
                biased;
                word = words.recv() => match word {
                    Some(Word::Ask(counterpart)) => self.apply(*counterpart),
                    None => return,
                },
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
            return self.tell(&question, verdict);
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
            Err(reason) => {
                self.tally.failures.add(1);
                self.breaker.fail(Instant::now());
                self.complain(&reason);
                self.decide_alone(&questions);
            }
        }
        self.go_on();
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
        for question in questions {
            self.tell(question, verdict.clone());
        }
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
        for question in questions {
            self.tally.undecided.add(1);
            self.tell(question, verdict.clone());
        }
    }

    /// Tells the worker. One that takes no commands now gets the request again, and asks again.
    fn tell(&self, question: &Question, verdict: Arc<Verdict>) {
        let Some(worker) = self.plane.workers().get(usize::from(question.worker)) else { return };
        let query = question.query;
        let told = worker.with_core(move |relay, now, mut out| relay.decide(now, query, &verdict, &mut out));
        if told.is_err() {
            self.tally.dropped.add(1);
        }
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
}
