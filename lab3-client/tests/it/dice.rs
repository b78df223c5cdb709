//! Chance from a seed, and how much of it is asked for.

/// A small generator: the same seed, the same choices.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From the seed of this run, which is printed.
    pub(crate) fn from_environment() -> Dice {
        eprintln!("LAB3_SEED={}", seed());
        Dice(seed())
    }

    /// A number below another.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.0 >> 33) % most
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// The seed of this run: `LAB3_SEED`, or always the same.
pub(crate) fn seed() -> u64 {
    std::env::var("LAB3_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Whether every case is asked for: `LAB3_FULL=1`.
pub(crate) fn is_full() -> bool {
    std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1")
}
