//! Acknowledgements: many at once, and soon.

use std::time::Duration;

use lapin::Acker;
use lapin::options::BasicAckOptions;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::failure::Failure;

/// What has been received and not been acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    count: usize,
    newest: Option<Acker>,
}

impl Acks {
    /// So many more, and the last of them. Returns at once.
    pub(crate) fn add(&mut self, count: usize, newest: &Acker) {
        self.count += count;
        self.newest = Some(newest.clone());
    }

    /// Acknowledges everything if it is at least `count` messages. Never negatively: on a stream that ends the connection.
    pub(crate) async fn send(&mut self, count: usize) -> Result<(), Failure> {
        if self.count >= count {
            if let Some(acker) = self.newest.take() {
                acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            self.count = 0;
        }
        Ok(())
    }
}

/// How many deliveries an acknowledgement is due for: half of what may be under way at the most, or the broker would wait for the timer.
pub(crate) fn count_due(prefetch: u16) -> usize {
    ACK_MESSAGES.min(usize::from(prefetch) / 2).max(1)
}

/// When an acknowledgement is due, however few it is for.
pub(crate) fn due() -> Interval {
    let mut due = interval(ACK_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due
}

/// Messages after which an acknowledgement leaves ...
const ACK_MESSAGES: usize = 500;
/// ... or this time: the broker closes the channel of deliveries that wait for half an hour, so a quiet market may hold none.
const ACK_INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_credit_is_given_back_before_it_is_used_up() {
        assert_eq!([1_000, 128, 2, 1].map(count_due), [500, 64, 1, 1]);
    }
}
