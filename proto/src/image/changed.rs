//! What an update touched: a mask, so that many updates of one instrument can be remembered in a few bytes.

/// A kind of body that is state. Trades are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the schema")]
pub enum Kind {
    Quote,
    Score,
    Odds,
    Bar,
    Status,
}

impl Kind {
    /// All kinds, in the order in which their records leave.
    pub const ALL: [Self; 5] = [Self::Quote, Self::Score, Self::Odds, Self::Bar, Self::Status];

    /// 0 to 4, for tables by kind.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The kind of a body; `None` for a trade.
    pub const fn of(body: &crate::v1::update::Body) -> Option<Self> {
        use crate::v1::update::Body;
        match body {
            Body::Quote(_) => Some(Self::Quote),
            Body::Score(_) => Some(Self::Score),
            Body::Odds(_) => Some(Self::Odds),
            Body::Bar(_) => Some(Self::Bar),
            Body::Status(_) => Some(Self::Status),
            Body::Trade(_) => None,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(0b1_1111);

    /// One kind.
    pub const fn only(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    /// Whether `kind` is in the set.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether the set has no kind.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Puts `kind` in if `wanted`.
    pub const fn set(&mut self, kind: Kind, wanted: bool) {
        if wanted {
            self.0 |= 1 << kind as u8;
        }
    }

    /// The kinds in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What was touched in an image, by one update or by many. Costs the same whatever their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Fields of the quote: bit n is field number n.
    pub(super) quote: u32,
    /// Fields of the score: bit n is field number n.
    pub(super) score: u16,
    /// Fields of the odds themselves (line, matched): bit n is field number n.
    pub(super) odds: u8,
    /// Fields of outcomes, over all touched outcomes: bit n is field number n.
    pub(super) outcome_fields: u16,
    /// Touched outcomes: bit n stands for those whose id is n modulo 64. Positions would shift; this only sends too much now and then.
    pub(super) outcomes: u64,
    /// Whether a field of an outcome became unknown, so that a record has to name the unknown ones.
    pub(super) outcomes_cleared: bool,
    /// Touched bars: a bit stands for those whose length has this hash.
    pub(super) bars: u16,
    /// Whether bars went away, so that a record has to empty them first.
    pub(super) bars_emptied: bool,
    /// Whether the status was touched.
    pub(super) status: bool,
    /// Kinds that were replaced as a whole.
    images: Kinds,
}

impl Changed {
    /// Everything of these kinds: their records are images.
    pub const fn images(kinds: Kinds) -> Self {
        let mut changed = Self::NOTHING;
        changed.images = kinds;
        changed
    }

    /// Everything of these kinds, for a holder whose image may have what this one has lost: bars are emptied first.
    pub const fn replaced(kinds: Kinds) -> Self {
        let mut changed = Self::images(kinds);
        changed.bars_emptied = kinds.has(Kind::Bar);
        changed
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        *self == Self::NOTHING
    }

    /// Whether `kind` leaves as an image.
    pub const fn is_image(&self, kind: Kind) -> bool {
        self.images.has(kind)
    }

    /// The touched fields of the quote (bit n is field number n), if it was touched as a delta and nothing else was.
    pub fn quote_fields(&self) -> Option<u32> {
        (self.quote != 0 && *self == Self { quote: self.quote, ..Self::NOTHING }).then_some(self.quote)
    }

    /// Adds what `later` touched.
    pub fn merge(&mut self, later: &Self) {
        self.quote |= later.quote;
        self.score |= later.score;
        self.odds |= later.odds;
        self.outcome_fields |= later.outcome_fields;
        self.outcomes |= later.outcomes;
        self.outcomes_cleared |= later.outcomes_cleared;
        self.bars |= later.bars;
        self.bars_emptied |= later.bars_emptied;
        self.status |= later.status;
        self.images = self.images.union(later.images);
    }

    /// Adds the fields that `later` touched in one body: of a quote, a score or odds. Other bodies are told whole anyway.
    pub fn merge_fields(&mut self, later: &Self, kind: Kind) {
        match kind {
            Kind::Quote => self.quote |= later.quote,
            Kind::Score => self.score |= later.score,
            Kind::Odds => {
                self.odds |= later.odds;
                self.outcome_fields |= later.outcome_fields;
                self.outcomes |= later.outcomes;
                self.outcomes_cleared |= later.outcomes_cleared;
            }
            Kind::Bar | Kind::Status => return,
        }
        self.images.set(kind, later.images.has(kind));
    }

    pub(super) const fn mark_image(&mut self, kind: Kind) {
        self.images.set(kind, true);
    }

    pub(super) const fn mark_outcome(&mut self, id: u32) {
        self.outcomes |= 1 << (id % u64::BITS);
    }

    pub(super) const fn touches_outcome(&self, id: u32) -> bool {
        self.outcomes & (1 << (id % u64::BITS)) != 0
    }

    pub(super) const fn mark_bar(&mut self, length_s: u32) {
        self.bars |= bar_bit(length_s);
    }

    pub(super) const fn touches_bar(&self, length_s: u32) -> bool {
        self.bars & bar_bit(length_s) != 0
    }

    pub(super) const fn has_odds(&self) -> bool {
        self.odds != 0 || self.outcomes != 0
    }

    const NOTHING: Self = Self {
        quote: 0,
        score: 0,
        odds: 0,
        outcome_fields: 0,
        outcomes: 0,
        outcomes_cleared: false,
        bars: 0,
        bars_emptied: false,
        status: false,
        images: Kinds::NONE,
    };
}

/// Fibonacci hashing: usual lengths (60, 300, 900, 3,600 ...) get bits of their own.
const fn bar_bit(length_s: u32) -> u16 {
    1 << (length_s.wrapping_mul(0x9E37_79B9) >> 28)
}
