//! The resume token: `epoch:seq`, everything at or below `seq` has been given or superseded. Opaque to clients.

use alloc::format;
use alloc::string::String;

use tickwire_proto::planted::{Fault, planted};

/// What a token says has been given: everything up to a position; `None` = nothing yet.
pub(super) type Told = Option<u64>;

/// Writes a token.
pub(super) fn write(epoch: &str, told: Told) -> String {
    match told {
        Some(seq) => format!("{epoch}:{seq}"),
        None => format!("{epoch}:{NOTHING}"),
    }
}

/// Reads a token of this epoch. `None` for a foreign or malformed one.
pub(super) fn read(token: &str, epoch: &str) -> Option<Told> {
    let (theirs, seq) = token.rsplit_once(':')?;
    if (theirs != epoch && !planted(Fault::AcceptForeignToken)) || epoch.is_empty() {
        return None;
    }
    if seq == NOTHING {
        return Some(None);
    }
    // `parse` alone would take a sign.
    let plain = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    if plain { seq.parse().ok().map(Some) } else { None }
}

/// In place of a position, before the first.
const NOTHING: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_in_its_own_epoch_only() {
        assert_eq!(read(&write("log:1", Some(7)), "log:1"), Some(Some(7)));
        assert_eq!(read(&write("log", None), "log"), Some(None));
        for (token, epoch) in
            [("log:7", "other"), ("log:", "log"), ("log", "log"), ("log:+7", "log"), (":7", ""), ("log:99999999999999999999", "log")]
        {
            assert_eq!(read(token, epoch), None, "{token}");
        }
    }
}
