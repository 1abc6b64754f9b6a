//! Bodies that publishers compressed.

use std::borrow::Cow;
use std::io::{self, Read};

use tickwire_core::intake::{Cause, Poison};

/// The body as its publisher meant it, at most `bytes_max` of it.
///
/// Costs what the larger of both is long: a small body that stands for a huge one is given up at the limit.
///
/// # Errors
/// The encoding is not known, the body is not in it, or it is too large.
pub(crate) fn inflate<'a>(encoding: Option<&str>, body: &'a [u8], bytes_max: usize) -> Result<Cow<'a, [u8]>, Poison> {
    let encoding = encoding.map(str::trim).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    let Some(encoding) = encoding else { return Ok(Cow::Borrowed(body)) };
    let inflated = match encoding {
        name if name.eq_ignore_ascii_case("gzip") => read(flate2::read::MultiGzDecoder::new(body), bytes_max),
        name if name.eq_ignore_ascii_case("zstd") => zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            read(decoder, bytes_max)
        }),
        name => {
            let shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            return Err(Poison { cause: Cause::ContentEncoding, detail: format!("{shown:?} is not one of identity, gzip, zstd") });
        }
    };
    match inflated {
        Ok(inflated) if inflated.len() > bytes_max => {
            Err(Poison { cause: Cause::TooLarge, detail: format!("more than {bytes_max} bytes when inflated") })
        }
        Ok(inflated) => Ok(Cow::Owned(inflated)),
        Err(error) => Err(Poison { cause: Cause::Undecodable, detail: format!("is not {}: {error}", encoding.to_ascii_lowercase()) }),
    }
}

/// Reads one byte more than it should, to tell the limit from the end.
fn read(from: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut inflated = Vec::new();
    from.take(bytes_max as u64 + 1).read_to_end(&mut inflated)?;
    Ok(inflated)
}

/// Memory that a zstd body may ask for before it gives a byte: 2^23 bytes, what its own tool uses at most without being asked.
const WINDOW_LOG_MAX: u32 = 23;
/// Characters of a foreign encoding in an error.
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn fault(encoding: &str, body: &[u8]) -> (Cause, String) {
        let poison = inflate(Some(encoding), body, 1_000).unwrap_err();
        (poison.cause, poison.detail)
    }

    #[test]
    fn bodies_come_back_as_they_were() {
        let body = br#"{"quote":{"bid":"1"}}"#;
        for encoding in [None, Some(""), Some("identity"), Some(" Identity ")] {
            assert_eq!(inflate(encoding, body, 1_000).unwrap(), body.as_slice());
        }
        assert_eq!(inflate(Some("GZIP"), &gzip(body), 1_000).unwrap(), body.as_slice());
        let zstd = zstd::bulk::compress(body, 3).unwrap();
        assert_eq!(inflate(Some("zstd"), &zstd, 1_000).unwrap(), body.as_slice());
        assert_eq!(inflate(Some("zstd"), &zstd, body.len()).unwrap(), body.as_slice());
    }

    #[test]
    fn what_grows_too_large_is_given_up() {
        let zeros = vec![0; 100 << 20];
        assert_eq!(fault("gzip", &gzip(&zeros)).0, Cause::TooLarge);
        assert_eq!(fault("zstd", &zstd::bulk::compress(&zeros, 3).unwrap()).0, Cause::TooLarge);
    }

    #[test]
    fn damage_and_strange_names_are_told() {
        let whole = gzip(b"something that is long enough to be cut");
        assert_eq!(fault("gzip", &whole[..whole.len() / 2]).0, Cause::Undecodable);
        let mut damaged = whole.clone();
        damaged[15] ^= 1;
        assert_eq!(fault("gzip", &damaged).0, Cause::Undecodable);
        assert_eq!(fault("zstd", &whole).0, Cause::Undecodable);
        assert_eq!(fault("br", b"x"), (Cause::ContentEncoding, "\"br\" is not one of identity, gzip, zstd".to_owned()));
    }
}
