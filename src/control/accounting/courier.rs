//! Takes records to a web server in batches, and tries again until it has them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::receiver::{Answered, Receiver};
use super::record::Record;
use super::tally::{Delivery, Tally};
use crate::config::checked::Batches;

/// The way to a courier, which is a task of the accounting thread.
#[derive(Debug)]
pub(super) struct Courier {
    queue: mpsc::Sender<Arc<Record>>,
    /// Becomes true when there is not much time left.
    closing: watch::Sender<bool>,
    wants: fn(&Record) -> bool,
    task: JoinHandle<()>,
    to: Destination,
    tally: Arc<Tally>,
}

/// Which of the outlets it serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    /// The section of the configuration.
    pub(super) name: &'static str,
    pub(super) delivery: fn(&Tally) -> &Delivery,
}

struct Errand {
    receiver: Receiver,
    batches: Batches,
    queue: mpsc::Receiver<Arc<Record>>,
    closing: watch::Receiver<bool>,
    to: Destination,
    tally: Arc<Tally>,
    said: Option<Instant>,
}

/// How often it is said that records cannot be delivered.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Between attempts when there is not much time left.
const HURRY: Duration = Duration::from_millis(250);

impl Courier {
    pub(super) fn start(receiver: Receiver, batches: Batches, to: Destination, tally: Arc<Tally>) -> Self {
        let (sender, queue) = mpsc::channel(batches.queue);
        let (closing, watched) = watch::channel(false);
        let wants = receiver.wants();
        let errand =
            Errand { receiver, batches, queue, closing: watched, to, tally: tally.clone(), said: None };
        let task = tokio::spawn(errand.run());
        Self { queue: sender, closing, wants, task, to, tally }
    }

    /// Takes a record along, or counts it as lost when too many wait.
    pub(super) fn take(&self, record: &Arc<Record>) {
        if (self.wants)(record) {
            let taken = self.queue.try_send(record.clone()).is_ok();
            self.count(taken);
        }
    }

    /// The same, but waits for room up to this moment.
    pub(super) async fn take_by(&self, record: &Arc<Record>, deadline: Instant) {
        if (self.wants)(record) {
            let taken = timeout_at(deadline, self.queue.send(record.clone())).await;
            self.count(matches!(taken, Ok(Ok(()))));
        }
    }

    fn count(&self, taken: bool) {
        let delivery = (self.to.delivery)(&self.tally);
        if taken { delivery.waiting.add(1) } else { delivery.lost.add(1) }
    }

    /// Says that there is not much time left.
    pub(super) fn hurry(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until all is delivered, up to this moment.
    pub(super) async fn close(self, deadline: Instant) {
        self.hurry();
        let Self { queue, mut task, to, tally, .. } = self;
        drop(queue);
        if timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
        }
        let delivery = (to.delivery)(&tally);
        let records = delivery.waiting.get();
        if records > 0 {
            delivery.lose(records);
            tracing::error!(outlet = to.name, records, "there was no time left to deliver all records");
        }
    }
}

impl Errand {
    async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            self.deliver(&batch).await;
        }
    }

    /// `None` when nothing will come any more.
    async fn next_batch(&mut self) -> Option<Vec<Arc<Record>>> {
        let mut batch = vec![self.queue.recv().await?];
        let flush = Instant::now() + self.batches.flush;
        while batch.len() < self.batches.size
            && let Ok(Some(record)) = timeout_at(flush, self.queue.recv()).await
        {
            batch.push(record);
        }
        Some(batch)
    }

    async fn deliver(&mut self, batch: &[Arc<Record>]) {
        let records = batch.len() as u64;
        let tally = self.tally.clone();
        let delivery = (self.to.delivery)(&tally);
        let (id, body) = self.receiver.letter(batch);
        for attempt in 0.. {
            match self.receiver.send(&id, body.clone()).await {
                Answered::Taken { rejected } => {
                    let rejected = rejected.min(records);
                    delivery.deliver(records - rejected);
                    if rejected > 0 {
                        delivery.lose(rejected);
                        tracing::error!(
                            outlet = self.to.name,
                            records = rejected,
                            "some records are not wanted; they are lost"
                        );
                    }
                    if self.said.take().is_some() {
                        tracing::info!(outlet = self.to.name, "records are delivered again");
                    }
                    return;
                }
                Answered::Refused { reason } => {
                    delivery.failures.add(1);
                    delivery.lose(records);
                    tracing::error!(
                        outlet = self.to.name,
                        records,
                        reason,
                        "records are not wanted; they are lost"
                    );
                    return;
                }
                Answered::Later { reason, after } => {
                    delivery.failures.add(1);
                    self.complain(&reason);
                    self.pause(back_off(attempt).max(after)).await;
                }
            }
        }
    }

    fn complain(&mut self, reason: &str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            let delivery = (self.to.delivery)(&self.tally);
            let (waiting, lost) = (delivery.waiting.get(), delivery.lost.get());
            tracing::warn!(outlet = self.to.name, reason, waiting, lost, "records cannot be delivered");
        }
    }

    /// Waits, but not while the server is about to end.
    async fn pause(&mut self, time: Duration) {
        if *self.closing.borrow() {
            return sleep(HURRY).await;
        }
        tokio::select! {
            () = sleep(time) => {}
            // Also when the other end is gone: then there is even less time.
            _ = self.closing.changed() => {}
        }
    }
}

/// From a second to a minute, at random between half of it and all of it, so that servers that failed together do not
/// come back together.
fn back_off(attempt: u32) -> Duration {
    const LONGEST_MS: u64 = 60_000;
    let longest = 1000_u64.saturating_mul(1 << attempt.min(10)).min(LONGEST_MS);
    let random = getrandom::u64().unwrap_or_default();
    Duration::from_millis(longest / 2 + random % (longest / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_never_rare() {
        for (attempt, longest) in [(0, 1000), (1, 2000), (5, 32_000), (6, 60_000), (u32::MAX, 60_000)] {
            for _ in 0..20 {
                let wait = back_off(attempt).as_millis();
                assert!((longest / 2..longest).contains(&wait), "{attempt}: {wait}");
            }
        }
    }
}
