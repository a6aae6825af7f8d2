//! Tells all workers something, and finds out who has not heard it.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::net::worker::{Busy, WorkerLine};
use crate::turn::{Now, Output};

/// A queue that is full is empty in a moment, unless the worker is stuck.
const MOMENT: Duration = Duration::from_millis(1);

/// Has `send` put something into each worker's queue, again and again where it is full. Returns the numbers of those who
/// have not taken it until `deadline`.
pub(super) fn hand_out<C>(
    workers: &[WorkerLine<C>],
    deadline: Instant,
    send: impl Fn(usize, &WorkerLine<C>) -> Result<(), Busy>,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..workers.len()).collect();
    loop {
        // All others have it while one is stuck.
        left.retain(|&number| send(number, &workers[number]).is_err());
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(MOMENT);
    }
}

/// Has each worker do something with its core, and waits until it has. Returns the numbers of those who have not until
/// `deadline`.
pub(super) fn tell<C: 'static>(
    workers: &[WorkerLine<C>],
    deadline: Instant,
    action: impl Fn(&mut C, Now, &mut dyn FnMut(Output<'static, '_>)) + Clone + Send + 'static,
) -> Vec<usize> {
    let (told, answers) = mpsc::channel();
    hand_out(workers, deadline, |number, worker| {
        let (action, told) = (action.clone(), told.clone());
        worker.with_core(move |core, now, out| {
            action(core, now, out);
            // Whoever waits may have lost patience.
            let _ = told.send(number);
        })
    });
    drop(told);
    let mut unaware: Vec<usize> = (0..workers.len()).collect();
    while let Ok(number) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        unaware.retain(|&other| other != number);
    }
    unaware
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::worker::Puppet;
    use crate::turn::Millis;

    const NOW: Now = Now { mono: Millis(0), unix: 0 };

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Workers of whom the second has a full queue.
    fn crew() -> ([Puppet<u32>; 2], [WorkerLine<u32>; 2]) {
        let puppets = [Puppet::new(1), Puppet::new(1)];
        let lines = puppets.each_ref().map(|puppet| puppet.line.clone());
        lines[1].with_core(|core, _, _| *core += 1).unwrap();
        (puppets, lines)
    }

    #[test]
    fn a_full_queue_is_tried_again_until_there_is_room() {
        let ([first, second], lines) = crew();
        let unaware = thread::scope(|scope| {
            let telling = scope.spawn(|| tell(&lines, late(), |core, _, _| *core += 10));
            let done = [first, second].map(|puppet| {
                let mut core = 0;
                while core < 10 {
                    puppet.act(&mut core, NOW);
                }
                core
            });
            assert_eq!(done, [10, 11]);
            telling.join().unwrap()
        });
        assert_eq!(unaware, [0; 0]);
    }

    #[test]
    fn who_takes_nothing_and_who_does_nothing_is_named_and_all_others_know() {
        let (_stuck, lines) = crew();
        assert_eq!(hand_out(&lines, soon(), |_, line| line.with_core(|_, _, _| {})), [1]);
        let ([first, _stuck], lines) = crew();
        thread::scope(|scope| {
            let telling = scope.spawn(|| tell(&lines, soon(), |core, _, _| *core += 10));
            let mut core = 0;
            while !telling.is_finished() {
                first.act(&mut core, NOW);
            }
            assert_eq!((core, telling.join().unwrap()), (10, vec![1]));
        });
        let (_idle, lines) = crew();
        assert_eq!(tell(&lines[..1], soon(), |_, _, _| {}), [0]);
    }
}
