//! A few fields of protobuf in a buffer of a known size, without a question for room at each of them.

/// At most `SIZE` bytes, of which the last [`Line::SPARE`] are never part of it.
#[derive(Debug)]
pub(super) struct Line<const SIZE: usize> {
    bytes: [u8; SIZE],
    end: usize,
}

/// A nested message that was opened, to be closed.
#[derive(Debug)]
pub(super) struct Opened(usize);

impl<const SIZE: usize> Default for Line<SIZE> {
    fn default() -> Self {
        Self { bytes: [0; SIZE], end: 0 }
    }
}

impl<const SIZE: usize> Line<SIZE> {
    /// Room behind the content, so that a short number can be written as one long word.
    pub(super) const SPARE: usize = 8;

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Appends a number, also when it is zero.
    #[inline]
    pub(super) fn number<const FIELD: u32>(&mut self, value: u64) {
        let key = FIELD << 3 | VARINT;
        if key >= 0x80 || value >> 49 != 0 {
            return self.long_number(key, value);
        }
        // Key and number are one word.
        let (spread, more) = spread(value);
        self.word((spread | MARKS & ((1 << (8 * more)) - 1)) << 8 | u64::from(key), more + 2);
    }

    #[cold]
    #[inline(never)]
    fn long_number(&mut self, key: u32, value: u64) {
        for value in [u64::from(key), value] {
            let (low, more) = spread(value);
            if value >> 56 == 0 {
                self.word(low | MARKS & ((1 << (8 * more)) - 1), more + 1);
            } else {
                self.word(low | MARKS, 8);
                let (high, more) = spread(value >> 56);
                self.word(high | MARKS & ((1 << (8 * more)) - 1), more + 1);
            }
        }
    }

    /// Appends a number unless it is zero.
    pub(super) fn present<const FIELD: u32>(&mut self, value: u64) {
        if value != 0 {
            self.number::<FIELD>(value);
        }
    }

    /// Appends a number of eight bytes.
    pub(super) fn fixed<const FIELD: u32>(&mut self, value: u64) {
        self.key::<FIELD>(FIXED);
        self.word(value, 8);
    }

    /// Appends a number with its sign in the lowest bit.
    pub(super) fn signed<const FIELD: u32>(&mut self, value: i64) {
        self.number::<FIELD>(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Begins a nested message.
    pub(super) fn open<const FIELD: u32>(&mut self) -> Opened {
        self.key::<FIELD>(NESTED);
        self.word(0, 1);
        Opened(self.end)
    }

    /// Ends a nested message: fills in its length, and moves it when that takes two bytes.
    pub(super) fn close(&mut self, opened: Opened) {
        const { assert!(SIZE < 1 << 14, "a length takes two bytes at most") };
        let Opened(start) = opened;
        let length = self.end - start;
        if length < 0x80 {
            self.bytes[start - 1] = length as u8;
            return;
        }
        self.bytes.copy_within(start..self.end, start + 1);
        self.bytes[start - 1] = length as u8 | 0x80;
        self.bytes[start] = (length >> 7) as u8;
        self.end += 1;
    }

    #[inline]
    fn key<const FIELD: u32>(&mut self, kind: u32) {
        let key = u64::from(FIELD << 3 | kind);
        if key < 0x80 { self.word(key, 1) } else { self.word(key & 0x7f | 0x80 | key >> 7 << 8, 2) }
    }

    /// Appends the first `length` bytes of `word`: written whole, and counted to its length, without a branch on that length.
    #[inline]
    fn word(&mut self, word: u64, length: usize) {
        self.bytes[self.end..self.end + 8].copy_from_slice(&word.to_le_bytes());
        self.end += length;
    }
}

/// The lower 56 bits of `value`, seven in each byte, and how many more bytes than one the whole value takes.
#[inline]
const fn spread(value: u64) -> (u64, usize) {
    // Halves of 28, quarters of 14, eighths of 7.
    let spread = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let spread = spread & 0x0000_3fff_0000_3fff | (spread & 0x0fff_c000_0fff_c000) << 2;
    let spread = spread & 0x007f_007f_007f_007f | (spread & 0x3f80_3f80_3f80_3f80) << 1;
    (spread, ((u64::BITS - 1 - (value | 1).leading_zeros()) / 7) as usize)
}

/// Wire types.
const VARINT: u32 = 0;
const FIXED: u32 = 1;
const NESTED: u32 = 2;
/// In every byte of a varint but its last.
const MARKS: u64 = 0x8080_8080_8080_8080;
