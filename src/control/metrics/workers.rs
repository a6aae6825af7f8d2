//! The worker threads: whether they turn, and what their system calls cost.

use super::family::Family;
use super::snapshot::Snapshot;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let Snapshot { workers, .. } = snapshot;
    let total = |name, help, number: fn(&crate::net::counters::Counters) -> u64| {
        Family::counter(name, help).only(snapshot.net(number))
    };
    let numbered = || workers.iter().enumerate().map(|(number, worker)| (number.to_string(), worker));
    vec![
        Family::gauge("turnbridge_workers", "Worker threads.")
            .only(u64::try_from(workers.len()).unwrap_or(u64::MAX)),
        Family::gauge(
            "turnbridge_worker_unresponsive",
            "1 if the worker has not answered this scrape in time: it is stuck or overwhelmed, and what it counts is of \
             an earlier scrape.",
        )
        .by("worker", numbered().map(|(number, worker)| (number, worker.is_unresponsive))),
        Family::counter("turnbridge_worker_wakeups", "Times a worker woke up.")
            .by("worker", numbered().map(|(number, worker)| (number, worker.net.wakeups))),
        Family::counter("turnbridge_worker_cpu_seconds", "CPU time of a worker's thread.")
            .by("worker", snapshot.cpu.iter().map(|(number, seconds)| (number.to_string(), *seconds))),
        total("turnbridge_receive_calls", "System calls that receive datagrams.", |it| it.receive_calls),
        total("turnbridge_send_calls", "System calls that send datagrams.", |it| it.send_calls),
        total(
            "turnbridge_received_messages",
            "Datagrams received, with those counted once that the kernel joined (GRO).",
            |it| it.messages_received,
        ),
        total(
            "turnbridge_sent_messages",
            "Datagrams sent, with those counted once that the kernel cut apart (GSO).",
            |it| it.messages_sent,
        ),
        total(
            "turnbridge_segmentation_refused",
            "Runs of datagrams that the kernel did not cut apart, so they were sent one by one.",
            |it| it.segmentation_refused,
        ),
    ]
}
