//! The body of a response in any of its three forms: as long as it says, in chunks, or until the connection ends.

/// Where in its body a response is.
#[derive(Debug)]
pub(crate) enum Body {
    Chunked(Chunks),
    /// Bytes still to come.
    Length(u64),
    UntilEnd,
}

impl Body {
    /// Appends the content in `bytes` to `out`; returns how many bytes were used. All of them, unless the body ends before.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        match self {
            Self::Chunked(chunks) => chunks.take(bytes, out),
            Self::Length(left) => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[..used]);
                *left -= used as u64;
                Ok(used)
            }
            Self::UntilEnd => {
                out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    /// Whether nothing more can come.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Chunked(chunks) => chunks.state == ChunkState::Over,
            Self::Length(left) => *left == 0,
            Self::UntilEnd => false,
        }
    }
}

/// A chunked body is not as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The chunked transfer coding (RFC 9112, section 7.1), byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the hexadecimal size; `digits` read so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// In an extension, which is skipped.
    Extension {
        value: u64,
        length: usize,
    },
    /// After the CR of the size line.
    SizeEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// In the trailer: bytes of this line, and of the whole.
    Trailer {
        line: usize,
        length: usize,
    },
    Over,
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && self.state != ChunkState::Over {
            if let ChunkState::Data { left } = self.state {
                let used = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[at..at + used]);
                at += used;
                let left = left - used as u64;
                self.state = if left == 0 { ChunkState::DataCr } else { ChunkState::Data { left } };
                continue;
            }
            self.state = self.state.step(bytes[at]).ok_or(Malformed)?;
            at += 1;
        }
        Ok(at)
    }
}

impl ChunkState {
    /// The state after a byte outside the data; `None` if it may not stand here.
    fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from((byte as char).to_digit(16)?);
                (digits < SIZE_DIGITS_MAX).then_some(Self::Size { value: value * 16 + digit, digits: digits + 1 })
            }
            (Self::Size { digits: 0, .. }, _) => None,
            (Self::Size { value, .. }, b'\r') => Some(Self::SizeEnd { value }),
            (Self::Size { value, .. }, b';' | b' ' | b'\t') => Some(Self::Extension { value, length: 1 }),
            (Self::Extension { value, .. }, b'\r') => Some(Self::SizeEnd { value }),
            (Self::Extension { .. }, b'\n') => None,
            (Self::Extension { value, length }, _) => {
                (length < EXTENSION_BYTES_MAX).then_some(Self::Extension { value, length: length + 1 })
            }
            (Self::SizeEnd { value: 0 }, b'\n') => Some(Self::Trailer { line: 0, length: 0 }),
            (Self::SizeEnd { value }, b'\n') => Some(Self::Data { left: value }),
            (Self::DataCr, b'\r') => Some(Self::DataLf),
            (Self::DataLf, b'\n') => Some(Self::default()),
            (Self::Trailer { line: 0, .. }, b'\n') => Some(Self::Over),
            (Self::Trailer { length, .. }, b'\n') => Some(Self::Trailer { line: 0, length }),
            (Self::Trailer { line, length }, b'\r') => Some(Self::Trailer { line, length }),
            (Self::Trailer { line, length }, _) => {
                (length < TRAILER_BYTES_MAX).then_some(Self::Trailer { line: line + 1, length: length + 1 })
            }
            _ => None,
        }
    }
}

/// Digits of a chunk size: more than any real one needs, few enough not to overflow.
const SIZE_DIGITS_MAX: u8 = 15;
/// Bytes of a chunk extension. A longer one is refused.
const EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of all trailer lines. Longer ones are refused.
const TRAILER_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of every size: the cuts must not matter.
    fn check(wire: &str, expected: Option<&str>) {
        for size in 1..=wire.len() {
            let (mut body, mut out) = (Body::Chunked(Chunks::default()), Vec::new());
            let fed = wire.as_bytes().chunks(size).try_for_each(|piece| body.take(piece, &mut out).map(|_| ()));
            let got = fed.is_ok().then(|| format!("{}{}", String::from_utf8_lossy(&out), if body.is_over() { "." } else { "" }));
            assert_eq!(got.as_deref(), expected, "{wire:?} in pieces of {size}");
        }
    }

    #[test]
    fn chunked_bodies_are_put_together() {
        check("3\r\nabc\r\n", Some("abc"));
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Some("abcde."));
        check("A;name=value\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n", Some("0123456789."));
        check("0\r\n\r\nthe next response", Some("."));
        check("00003\r\nabc\r\n", Some("abc"));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        check("\r\nabc", None);
        check("g\r\nabc", None);
        check("-1\r\nabc", None);
        check("3\nabc", None);
        check("3\r\nabcd", None);
        check("1000000000000000\r\n", None);
    }
}
