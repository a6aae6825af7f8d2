//! Counts under a few names that are known when the program is built.

/// Up to `N` names and how often each was counted. Names are rules and reasons of ours, never anything a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally<const N: usize> {
    entries: [(&'static str, u64); N],
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self { entries: [("", 0); N] }
    }
}

impl<const N: usize> Tally<N> {
    /// Counts one more of this name. There is room for all there are; one more than that would not be counted.
    pub(super) fn count(&mut self, name: &'static str) {
        let place = self.entries.iter_mut().find(|(known, _)| *known == name || known.is_empty());
        if let Some(entry) = place {
            *entry = (name, entry.1 + 1);
        }
    }

    /// The names that were counted, in the order they first were.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.entries.iter().copied().take_while(|(name, _)| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_count_and_a_full_tally_keeps_what_it_has() {
        let mut tally = Tally::<2>::default();
        for name in ["a", "b", "a", "c"] {
            tally.count(name);
        }
        assert_eq!(tally.iter().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    }
}
