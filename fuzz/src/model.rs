//! The core next to the model of the tests: the bytes are the choices that are otherwise random.

#[path = "../../tests/model/simulation/mod.rs"]
mod simulation;

use simulation::{Random, Simulation};

/// Plays a script to its end and beyond, until all that it made is over.
pub fn play(bytes: &[u8]) {
    let mut bytes = Vec::from(bytes).into_iter();
    let random = Random::new(move |count| {
        let taken: Vec<u8> = bytes.by_ref().take(count).collect();
        (!taken.is_empty()).then(|| taken.into_iter().fold(0, |word, byte| word << 8 | u64::from(byte)))
    });
    Simulation::new(random).play(u64::MAX);
}
