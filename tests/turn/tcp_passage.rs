//! What may pass of a spliced stream, and how it is counted. A stream waits where a datagram would be dropped.

use std::time::Duration;

use turnbridge::turn::{ConnectionId, Direction, Millis, Passage, Rate, Transport};

use crate::rig::*;

fn bound(change: impl FnOnce(&mut Setup)) -> (Rig, Client, ConnectionId) {
    let mut rig = Rig::with(change);
    let mut alice = Client::alice("192.0.2.1:1000").over(Transport::Tcp);
    rig.allocate_tcp(&mut alice);
    let connection = rig.connect(&mut alice, addr("9.9.9.9:9"));
    rig.bind_connection(&mut Client::alice("192.0.2.1:2000").over(Transport::Tcp), connection);
    (rig, alice, connection)
}

fn pass(rig: &mut Rig, connection: ConnectionId, direction: Direction, bytes: usize) -> Passage {
    let now = rig.now();
    rig.relay.pass(now, connection, direction, bytes)
}

/// Both ways, for the allocation and for the relay; streams have no packets.
#[test]
fn bytes_are_counted_both_ways() {
    let (mut rig, alice, connection) = bound(|_| {});
    for (direction, bytes) in [(Direction::Up, 100), (Direction::Down, 70_000), (Direction::Up, 1)] {
        assert_eq!(pass(&mut rig, connection, direction, bytes), Passage::Now(bytes));
    }
    let counters = rig.relay.counters();
    assert_eq!((counters.up.bytes, counters.down.bytes), (101, 70_000));
    let traffic = rig.disconnect(&alice).ended().unwrap().2;
    assert_eq!((traffic.up.bytes, traffic.up.packets, traffic.up.dropped), (101, 0, 0));
    assert_eq!((traffic.down.bytes, traffic.down.packets, traffic.down.dropped), (70_000, 0, 0));
}

/// What is not bound passes nothing.
#[test]
fn nothing_passes_without_a_splice() {
    let (mut rig, mut alice, connection) = bound(|_| {});
    let pending = rig.connect(&mut alice, addr("9.9.9.9:10"));
    let waiting = rig.ask_to_connect(&mut alice, addr("9.9.9.9:11"));
    for other in [pending, waiting, ConnectionId(connection.0 ^ 1)] {
        assert_eq!(pass(&mut rig, other, Direction::Down, 10), Passage::Never);
    }
    rig.hang_up(connection);
    assert_eq!(pass(&mut rig, connection, Direction::Down, 10), Passage::Never);
    assert_eq!(rig.relay.counters().down.bytes, 0);
}

/// Bandwidth is respected by waiting: in any ten seconds no more passes than the rate and the burst say, and no less
/// where always more is there.
#[test]
fn bandwidth_limits_make_a_stream_wait() {
    let rate = Rate { per_second: 10_000, burst: 5_000 };
    let limits: [fn(&mut Setup, Rate); 2] = [
        |setup, rate| setup.settings.bandwidth_per_allocation = Some(rate),
        |setup, rate| setup.settings.bandwidth = Some(rate),
    ];
    for limit in limits {
        let (mut rig, _, connection) = bound(|setup| limit(setup, rate));
        rig.advance(Duration::from_secs(1));
        let begun = rig.now().mono;
        let (mut passed, mut asked) = ([0, 0], 0);
        for (slot, direction) in [(0, Direction::Up), (1, Direction::Down)] {
            let until = begun.after(Duration::from_secs(10 * (slot as u64 + 1)));
            while rig.now().mono < until {
                asked += 1;
                match pass(&mut rig, connection, direction, 100_000) {
                    Passage::Now(0) | Passage::Never => panic!("neither some nor later"),
                    Passage::Now(bytes) => passed[slot] += bytes,
                    Passage::At(at) => {
                        assert!(at > rig.now().mono, "later is later");
                        rig.advance(at.since(rig.now().mono).min(until.since(rig.now().mono)));
                    }
                }
            }
        }
        assert!((103_000..=105_000).contains(&passed[0]), "{passed:?}");
        assert!((103_000..=105_000).contains(&passed[1]), "the other direction has its own: {passed:?}");
        assert!(asked < 400, "it is not asked for crumbs: {asked}");
    }
}

/// The least that is worth a wake-up may be more than a small burst can ever hold.
#[test]
fn a_small_burst_still_passes_everything() {
    let rate = Rate { per_second: 100, burst: 10 };
    let (mut rig, _, connection) = bound(|setup| setup.settings.bandwidth_per_allocation = Some(rate));
    let mut left = 100;
    let mut rounds = 0;
    while left > 0 {
        rounds += 1;
        assert!(rounds < 100);
        match pass(&mut rig, connection, Direction::Up, left) {
            Passage::Now(bytes) => left -= bytes,
            Passage::At(at) => drop(rig.advance(at.since(rig.now().mono))),
            Passage::Never => panic!(),
        }
    }
}

/// A rate of nothing lets nothing pass, ever, and does not make anybody ask without end.
#[test]
fn a_rate_of_nothing_is_far_away() {
    let rate = Rate { per_second: 0, burst: 0 };
    let (mut rig, _, connection) = bound(|setup| setup.settings.bandwidth_per_allocation = Some(rate));
    let Passage::At(Millis(at)) = pass(&mut rig, connection, Direction::Up, 10) else { panic!() };
    assert!(at >= rig.now().mono.0 + 1000);
}
