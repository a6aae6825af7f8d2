//! The core, next to a model of it.
//!
//! Random operations of several clients, peers and users with a clock of their own; after each of them the core
//! must have done what a naive model of RFC 8656 says, no more and no less. This holds the five invariants of
//! the design: data passes only between a client and a permitted peer that the policy allows; nothing of one
//! allocation shows up in another; nothing is kept for strangers; everything is given back; nothing panics.
//!
//! `TURNBRIDGE_MODEL_OPERATIONS` asks for more operations, `TURNBRIDGE_MODEL_SEED` for one simulation again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a failure is only worth something with what led to it")]

#[allow(unreachable_pub, reason = "it is shared with the fuzz target of the core")]
mod simulation;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use simulation::{Random, Seen, Simulation};

/// Operations of one simulation, before all its clients go away.
const OPERATIONS: u64 = 4_000;
/// What a run goes on to while something rare has not happened yet.
const AT_MOST: u64 = 4_000_000;

#[test]
fn the_core_does_what_the_model_says() {
    if let Some(seed) = number("TURNBRIDGE_MODEL_SEED") {
        println!("{:#?}", simulate(seed));
        return;
    }
    let wanted = number("TURNBRIDGE_MODEL_OPERATIONS").unwrap_or(1_000_000);
    let first = fresh_seed();
    let simulations = AtomicU64::new(0);
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = simulations.fetch_add(1, Ordering::Relaxed);
                    if number >= wanted.div_ceil(OPERATIONS)
                        && (never_seen(&seen.lock().unwrap()).is_none()
                            || number >= AT_MOST.div_ceil(OPERATIONS))
                    {
                        break;
                    }
                    let happened = simulate(first.wrapping_add(number));
                    add(&mut seen.lock().unwrap(), happened);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{seen:#?}");
    // A model that agrees because nothing ever happens is worth nothing.
    assert_eq!(never_seen(&seen), None);
}

fn simulate(seed: u64) -> Seen {
    let _told = Told(seed);
    let mut state = seed;
    let random = Random::new(move |_| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(word ^ (word >> 31))
    });
    Simulation::new(random).play(OPERATIONS)
}

fn add(sum: &mut Seen, seen: Seen) {
    for (answer, count) in seen.answers {
        *sum.answers.entry(answer).or_default() += count;
    }
    for (deed, count) in seen.deeds {
        *sum.deeds.entry(deed).or_default() += count;
    }
}

/// What should have happened by now, and has not.
fn never_seen(seen: &Seen) -> Option<String> {
    let mut answers = ANSWERS.iter().flat_map(|(method, codes)| codes.iter().map(|code| (*method, *code)));
    let answer = answers.find(|answer| !seen.answers.contains_key(answer));
    let deed = DEEDS.iter().find(|deed| !seen.deeds.contains_key(**deed));
    answer
        .map(|(method, code)| format!("{code} for method {method:#x}"))
        .or_else(|| deed.map(|deed| (*deed).to_owned()))
}

/// All codes that each method can have; 0 is success.
const ANSWERS: &[(u16, &[u16])] = &[
    (0x001, &[0, 400, 420]),
    (0x003, &[0, 400, 401, 403, 420, 437, 438, 440, 442, 486, 508]),
    (0x004, &[0, 400, 401, 420, 437, 438, 441, 443]),
    (0x008, &[0, 400, 401, 403, 420, 437, 438, 441, 443, 508]),
    (0x009, &[0, 400, 401, 403, 420, 437, 438, 441, 443, 508]),
    (0x00A, &[0, 400, 401, 403, 420, 437, 438, 441, 443, 446, 447, 508]),
    (0x00B, &[0, 400, 401, 420, 437, 438, 441]),
];

const DEEDS: &[&str] = &[
    "allocation",
    "allocation without a connection",
    "channel data down",
    "channel down",
    "channel up",
    "connect",
    "connected too late",
    "connection attempt",
    "connection closed",
    "peer accepted",
    "peer closed",
    "splice",
    "data indication",
    "dual allocation",
    "half of a dual allocation",
    "icmp indication",
    "opened too late",
    "reservation",
    "retransmission",
    "token presented",
    "up",
    "up, unfragmented",
];

/// Says how to see a failure again.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("again: TURNBRIDGE_MODEL_SEED={} cargo test --test model", self.0);
        }
    }
}

/// Every run sees other simulations; a failure names its own.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::from(now.subsec_nanos()) << 32 | now.as_secs()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}
