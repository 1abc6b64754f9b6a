//! How a price moves: at random around an anchor that moves slowly itself.

use crate::random::Random;

/// A fair value, in thousandths of the price's mantissa so that small steps add up.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    fair: i64,
    anchor: i64,
    start: i64,
    /// Size of a usual step, in millionths of the value.
    volatility_ppm: i64,
}

impl Walk {
    /// Starts at `mantissa`.
    pub(crate) fn new(mantissa: i64, volatility_ppm: i64) -> Self {
        let start = mantissa * FINE;
        Self { fair: start, anchor: start, start, volatility_ppm }
    }

    /// One step.
    pub(crate) fn step(&mut self, random: &mut Random) {
        self.fair += self.shock(self.fair, random) + (self.anchor - self.fair) / REVERSION;
        self.anchor += self.shock(self.anchor, random) / 4;
        // A demo that runs for a month should not end at a price of a cent.
        self.anchor = self.anchor.clamp(self.start / 2, self.start * 2);
        self.fair = self.fair.clamp(self.start / 3, self.start * 3);
    }

    /// The value as a mantissa of the price's scale, at least 1.
    pub(crate) fn mantissa(&self) -> i64 {
        (self.fair / FINE).max(1)
    }

    fn shock(&self, value: i64, random: &mut Random) -> i64 {
        let size = i128::from(value) * i128::from(self.volatility_ppm) * i128::from(random.bell());
        (size / 1_000_000_000) as i64
    }
}

/// Thousandths.
const FINE: i64 = 1_000;
/// Steps to lose most of the distance to the anchor.
const REVERSION: i64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_but_never_leaves_for_good() {
        let (mut walk, mut random) = (Walk::new(18_742, 80), Random::of(1, 1));
        let mut seen = alloc::collections::BTreeSet::new();
        for _ in 0..200_000 {
            walk.step(&mut random);
            seen.insert(walk.mantissa());
        }
        assert!(seen.len() > 100, "{} prices", seen.len());
        assert!(seen.first() >= Some(&(18_742 / 3)) && seen.last() <= Some(&(18_742 * 3)));
    }
}
