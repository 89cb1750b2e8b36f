//! Numbers that look random and are the same for the same seed.

use std::time::{Duration, SystemTime};

pub const SEED: &str = "NEARGATE_TORMENT_SEED";
pub const KILLS: &str = "NEARGATE_TORMENT_KILLS";

pub struct Dice {
    pub seed: u64,
    state: u64,
}

pub fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

impl Dice {
    /// From the environment, or of this moment.
    pub fn new() -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = number_of(SEED).unwrap_or(since.as_millis() as u64);
        Self { seed, state: seed }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn moment(&mut self, within_ms: usize) -> Duration {
        Duration::from_micros(self.below(within_ms * 1000) as u64)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
