//! What happened, so that a test can tell whether the simulations see what they are for.

use std::collections::BTreeMap;

use turnbridge::wire::Method;

/// Counts of answers and of everything else that is worth a name.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By method and code; a success is 0.
    pub answers: BTreeMap<(u16, u16), u64>,
    pub deeds: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub fn answer(&mut self, method: Method, code: u16) {
        *self.answers.entry((method.number(), code)).or_default() += 1;
    }

    pub fn deed(&mut self, name: &'static str) {
        *self.deeds.entry(name).or_default() += 1;
    }
}
