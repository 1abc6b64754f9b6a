//! Mutations from a seed: what the bounded run does instead of a coverage-guided fuzzer.

/// A generator of mutations: the same seed gives the same ones everywhere.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Mutations of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// A few changes to one of `corpus`, or none if that is empty.
    pub fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(corpus).to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.below(256) as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'0', b'\n'][self.below(8)],
            4 if at < bytes.len() => drop(bytes.remove(at)),
            // A piece of another input, or of the same one again.
            _ => {
                let other = self.one_of(corpus);
                let start = self.below(other.len() + 1);
                let end = start + self.below(other.len() - start + 1);
                bytes.splice(at..at, other[start..end].iter().copied());
            }
        }
    }

    fn one_of<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        if corpus.is_empty() { &[] } else { &corpus[self.below(corpus.len())] }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// Bytes of one mutation. A longer one is cut.
const BYTES_MAX: usize = 16 * 1_024;
