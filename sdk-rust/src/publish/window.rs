//! What has been published and is not known to be stored, in order.
//!
//! A message that came back, or whose connection was lost, is sent again **with everything behind it**, so that the log ends with the
//! newest value of everything. Until a connection has stored its first message, one message at a time is under way: while a broker
//! starts, it returns messages until the log is up, and the first that it stores must be the first of ours.

use std::collections::VecDeque;

/// Messages in order; a prefix of them is under way.
#[derive(Debug)]
pub(crate) struct Window<T> {
    entries: VecDeque<Entry<T>>,
    /// Number of the front entry. Numbers go up by one and are not used again.
    first: u64,
    /// How many entries, from the front, have been sent on this connection.
    sent: usize,
    /// Whether this connection has stored a message.
    proven: bool,
    /// Counts the times that sending started over, so that what is heard of earlier sendings can be told apart.
    round: u32,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<T> {
    message: T,
    is_stored: bool,
    /// The round in which it was sent last.
    round: u32,
}

/// Names one sending of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    /// Of the message.
    pub(crate) number: u64,
    round: u32,
}

impl<T> Window<T> {
    /// Holds at most `capacity` messages.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), first: 1, sent: 0, proven: false, round: 0, capacity }
    }

    /// Puts a message behind all others. The caller has asked [`Window::room`].
    pub(crate) fn push(&mut self, message: T) {
        self.entries.push_back(Entry { message, is_stored: false, round: 0 });
    }

    /// The next message to send, if one may be sent now.
    pub(crate) fn next(&mut self) -> Option<(Sending, &T)> {
        if !self.proven && self.sent > 0 {
            return None;
        }
        let entry = self.entries.get_mut(self.sent)?;
        entry.round = self.round;
        let sending = Sending { number: self.first + self.sent as u64, round: self.round };
        self.sent += 1;
        Some((sending, &entry.message))
    }

    /// The broker has stored it.
    pub(crate) fn stored(&mut self, sending: Sending) {
        let Some(at) = self.position(sending) else { return };
        self.proven = true;
        self.entries[at].is_stored = true;
        while self.entries.front().is_some_and(|entry| entry.is_stored) {
            self.entries.pop_front();
            self.first += 1;
            self.sent -= 1;
        }
    }

    /// The broker has not stored it: it came back, or was refused. It and everything behind it is sent again. Returns how many that are.
    pub(crate) fn failed(&mut self, sending: Sending) -> usize {
        self.position(sending).map_or(0, |at| self.start_over(at))
    }

    /// The connection is lost, and nobody knows what was stored. Everything is sent again. Returns how many messages that are.
    pub(crate) fn disconnected(&mut self) -> usize {
        self.start_over(0)
    }

    /// Messages that are not known to be stored.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many more messages fit.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.entries.len())
    }

    /// Number that the next message will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether every message before `number` is stored.
    pub(crate) fn is_stored_before(&self, number: u64) -> bool {
        self.first >= number
    }

    fn start_over(&mut self, at: usize) -> usize {
        let again = self.sent - at;
        (self.sent, self.proven) = (at, false);
        self.round += 1;
        self.entries.iter_mut().skip(at).for_each(|entry| entry.is_stored = false);
        again
    }

    /// Where a message is, if this is its last sending.
    fn position(&self, sending: Sending) -> Option<usize> {
        let at = usize::try_from(sending.number.checked_sub(self.first)?).ok()?;
        (at < self.sent && self.entries[at].round == sending.round).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window with the messages 1 to `count`, and a connection that has proven itself with an earlier one.
    fn window(count: u64) -> Window<u64> {
        let mut window = Window::new(10);
        window.push(0);
        let first = send(&mut window)[0];
        window.stored(first);
        (1..=count).for_each(|message| window.push(message));
        window
    }

    fn send(window: &mut Window<u64>) -> Vec<Sending> {
        std::iter::from_fn(|| window.next().map(|(sending, _)| sending)).collect()
    }

    fn sent(window: &mut Window<u64>) -> Vec<u64> {
        std::iter::from_fn(|| window.next().map(|(_, message)| *message)).collect()
    }

    #[test]
    fn sends_in_order_and_forgets_what_is_stored() {
        let mut window = window(3);
        let sendings = send(&mut window);
        assert_eq!(window.len(), 3);
        window.stored(sendings[1]);
        assert_eq!(window.len(), 3, "the first is still unknown");
        window.stored(sendings[0]);
        assert_eq!((window.len(), window.room()), (1, 9));
        assert!(window.is_stored_before(4) && !window.is_stored_before(window.next_number()));
    }

    #[test]
    fn sends_one_message_on_a_new_connection_until_it_is_stored() {
        let mut window = window(3);
        assert_eq!(sent(&mut window), [1, 2, 3]);
        assert_eq!(window.disconnected(), 3);
        let first = send(&mut window);
        assert_eq!(first.len(), 1);
        window.failed(first[0]);
        let again = send(&mut window);
        assert_eq!(again.len(), 1, "it came back: the log is not up yet");
        window.stored(again[0]);
        assert_eq!(sent(&mut window), [2, 3]);
    }

    #[test]
    fn a_message_that_came_back_takes_all_behind_it_along() {
        let mut window = window(4);
        let sendings = send(&mut window);
        window.stored(sendings[2]);
        assert_eq!(window.failed(sendings[1]), 3);
        window.stored(sendings[3]);
        assert_eq!(window.len(), 4, "what is heard of the sending before does not count");
        window.stored(sendings[0]);
        assert_eq!(sent(&mut window), [2, 3, 4]);
    }

    #[test]
    fn news_of_a_lost_connection_does_not_count() {
        let mut window = window(1);
        let before = send(&mut window)[0];
        window.disconnected();
        window.stored(before);
        assert_eq!(window.len(), 1);
        let after = send(&mut window)[0];
        window.stored(before);
        assert_eq!(window.len(), 1);
        window.stored(after);
        assert_eq!(window.len(), 0);
    }
}
