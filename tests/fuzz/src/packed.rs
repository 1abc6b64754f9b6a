//! Bodies that publishers compressed, of any size when inflated: never more than the limit, and the limit alone decides.
//!
//! The file is private to the server and stays so: it is compiled into this crate as well.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tickwire_core::intake::Cause;

use inflate_file::inflate;

#[path = "../../../server/src/ingest/inflate.rs"]
mod inflate_file;

/// A body in the encoding that its first byte names: as it is, or packed here after it was repeated, which makes bombs.
pub(crate) fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let encoding = [None, Some("gzip"), Some("zstd"), Some("br"), Some(" ZSTD ")][usize::from(first & 7) % 5];
    as_it_is(encoding, bytes);
    if let Some(name) = encoding.filter(|name| *name != "br") {
        // Up to 16 times what is allowed.
        let plain = bytes.repeat(1 << (first >> 3 & 7)).repeat(usize::from(first >> 6) + 1);
        packed(name, &plain);
    }
}

fn as_it_is(encoding: Option<&str>, bytes: &[u8]) {
    let [small, large] = [LIMIT, 4 * LIMIT].map(|limit| inflate(encoding, bytes, limit));
    match (small, large) {
        (Ok(small), Ok(large)) => assert!(small == large && (encoding.is_none() || small.len() <= LIMIT)),
        (Err(poison), Ok(large)) => assert!(poison.cause == Cause::TooLarge && large.len() > LIMIT, "{poison:?}"),
        (Ok(small), Err(poison)) => panic!("{} bytes, and with more room {poison:?}", small.len()),
        (Err(poison), Err(_)) => assert!(!poison.detail.is_empty()),
    }
}

fn packed(name: &str, plain: &[u8]) {
    let packed = match name {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        }
        _ => zstd::bulk::compress(plain, 1).expect("memory takes it"),
    };
    match inflate(Some(name), &packed, LIMIT) {
        Ok(body) => assert!(plain.len() <= LIMIT && body == plain),
        Err(poison) => assert!(plain.len() > LIMIT && poison.cause == Cause::TooLarge, "{poison:?}"),
    }
    if let Some(cut) = packed.len().checked_sub(1) {
        assert!(plain.len() > LIMIT || inflate(Some(name), &packed[..cut], LIMIT).is_err(), "what is cut off is not whole");
    }
}

/// Bytes of a body.
const LIMIT: usize = 16 * 1_024;
