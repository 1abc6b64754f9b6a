//! Small files of the operator: keys and certificates.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The bytes of a file.
///
/// # Errors
/// Says why it cannot be read, without its name.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(len) if len as u64 > FILE_BYTES_MAX => Err(format!("is larger than {FILE_BYTES_MAX} bytes")),
        Ok(_) => Ok(bytes),
    }
}

/// Bytes of a file with a key or certificates. A larger one is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
