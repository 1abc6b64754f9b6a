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
    /// Exchange and queue of refused messages.
    pub(crate) dead: ShortString,
}

impl Names {
    /// Names that begin with `prefix`. A prefix beyond AMQP's 255 bytes is cut, which the configuration's check does not let happen.
    pub(crate) fn new(prefix: &str) -> Self {
        let name = |rest: &str| {
            let mut name = format!("{prefix}{rest}");
            while name.len() > SHORT_STRING_BYTES_MAX {
                name.pop();
            }
            ShortString::try_new(name).unwrap_or_default()
        };
        Self {
            feed: name("tickwire.feed"),
            log: name("tickwire.feed.log"),
            checkpoint: name("tickwire.checkpoint"),
            dead: name("tickwire.dead"),
        }
    }
}

/// Bytes in an AMQP short string.
pub(crate) const SHORT_STRING_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_the_prefix_before_every_name() {
        assert_eq!(Names::new("prod.").log.as_str(), "prod.tickwire.feed.log");
        assert_eq!(Names::new(&"é".repeat(500)).dead.as_str().len(), 254);
    }
}
