//! What Tickwire's exchanges and queues are called.

use lapin::types::ShortString;

/// Names at the broker, with the configured prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Topic exchange that feeds publish to.
    pub(crate) feed: ShortString,
    /// Stream of everything that was published: the log.
    pub(crate) log: ShortString,
    /// Stream of checkpoints.
    pub(crate) checkpoint: ShortString,
    /// Queue of checkpoints, where there are no streams.
    pub(crate) checkpoint_queue: ShortString,
    /// Exchange and queue of refused messages.
    pub(crate) dead: ShortString,
}

impl Names {
    /// Names that begin with `prefix`. A prefix beyond AMQP's 255 bytes is cut, which the configuration's check does not let happen.
    pub(crate) fn new(prefix: &str) -> Self {
        let name = |rest: &str| short(&format!("{prefix}{rest}"));
        Self {
            feed: name("tickwire.feed"),
            log: name("tickwire.feed.log"),
            checkpoint: name("tickwire.checkpoint"),
            checkpoint_queue: name("tickwire.checkpoint.queue"),
            dead: name("tickwire.dead"),
        }
    }
}

/// A short string, cut where AMQP ends one.
pub(crate) fn short(text: &str) -> ShortString {
    let mut end = text.len().min(SHORT_STRING_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::try_new(&text[..end]).unwrap_or_default()
}

/// Bytes in an AMQP short string.
const SHORT_STRING_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_the_prefix_before_every_name() {
        assert_eq!(Names::new("prod.").log.as_str(), "prod.tickwire.feed.log");
        assert_eq!(Names::new(&"é".repeat(500)).dead.as_str().len(), 254);
    }
}
