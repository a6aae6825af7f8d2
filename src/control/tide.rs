//! When a crowd has left, so that its memory can be given back.

/// Follows the number of allocations.
#[derive(Debug, Default)]
pub(super) struct Tide {
    /// The most there were since memory was given back.
    most: u32,
}

/// Fewer than these take up too little to look after.
const CROWD: u32 = 128;

impl Tide {
    /// Takes in the number of allocations there are now; says whether half of a crowd has left since it said so before.
    pub(super) fn has_ebbed(&mut self, held: u32) -> bool {
        self.most = self.most.max(held);
        let ebbed = self.most >= CROWD && held <= self.most / 2;
        if ebbed {
            self.most = held;
        }
        ebbed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_halving_of_a_crowd_is_told_once() {
        let mut tide = Tide::default();
        let told: Vec<bool> =
            [0, 5000, 2501, 2500, 2500, 2600, 1300, 100, 0].map(|held| tide.has_ebbed(held)).into();
        assert_eq!(told, [false, false, false, true, false, false, true, true, false]);
        assert!([5000, 0].map(|held| tide.has_ebbed(held))[1], "another crowd");
        assert!([127, 0].iter().all(|held| !tide.has_ebbed(*held)), "too few to matter");
    }
}
