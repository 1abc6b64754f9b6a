//! Decisions read from bytes: what drives the stateful targets.

/// Bytes that are used up from the front. At its end it says 0 for ever.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
}

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((byte, rest)) => {
                self.bytes = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    /// Small numbers mostly; now and then one at an end of the range.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            250.. => u64::MAX - u64::from(self.byte()),
            240..=249 => u64::from(u32::MAX) - 3 + u64::from(self.byte() % 8),
            200..=239 => u64::from(self.byte()) << self.below(57),
            small => u64::from(small),
        }
    }

    pub(crate) fn signed(&mut self) -> i64 {
        self.number() as i64
    }

    /// A piece of up to 255 bytes, as they are.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        piece
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}
