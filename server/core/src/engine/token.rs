//! The resume token: `epoch:seq`, everything at or below `seq` has been given or superseded. Opaque to clients.

use alloc::format;
use alloc::string::String;

/// Writes a token.
pub(super) fn write(epoch: &str, seq: u64) -> String {
    format!("{epoch}:{seq}")
}

/// Reads a token of this epoch. `None` for a foreign or malformed one.
pub(super) fn read(token: &str, epoch: &str) -> Option<u64> {
    let (theirs, seq) = token.rsplit_once(':')?;
    // `parse` alone would take a sign.
    let plain = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    if theirs == epoch && !epoch.is_empty() && plain { seq.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_in_its_own_epoch_only() {
        assert_eq!(read(&write("log:1", 7), "log:1"), Some(7));
        for (token, epoch) in
            [("log:7", "other"), ("log:", "log"), ("log", "log"), ("log:+7", "log"), (":7", ""), ("log:99999999999999999999", "log")]
        {
            assert_eq!(read(token, epoch), None, "{token}");
        }
    }
}
