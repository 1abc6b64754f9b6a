//! Collects updates, so that one message carries many: a message costs the broker as much as fifty updates in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tickwire_proto::v1::Update;

/// Updates that wait for company, by the routing key that they can share.
#[derive(Debug)]
pub(crate) struct Batcher<U> {
    /// In the order of keys, which is as good as any: an instrument is always in the same batch.
    open: BTreeMap<String, Vec<(String, U)>>,
    /// When the oldest of them came.
    since: Option<Instant>,
    count: usize,
}

/// An update that can name its instrument itself.
pub(crate) trait Named {
    /// The same, named.
    fn named(self, symbol: String) -> Self;
}

impl Named for Update {
    fn named(self, symbol: String) -> Self {
        Self { symbol, ..self }
    }
}

/// In JSON, a checked object with at least one member.
impl Named for String {
    fn named(self, symbol: String) -> Self {
        format!("{{\"symbol\":\"{symbol}\",{}", &self[1..])
    }
}

impl<U> Default for Batcher<U> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), since: None, count: 0 }
    }
}

impl<U: Named> Batcher<U> {
    /// Adds an update of `symbol`. Returns the key of its batch if that is full now.
    pub(crate) fn add(&mut self, now: Instant, symbol: String, update: U) -> Option<String> {
        let key = shared_key(&symbol);
        let batch = self.open.entry(key.clone()).or_default();
        batch.push((symbol, update));
        self.count += 1;
        self.since.get_or_insert(now);
        (batch.len() >= UPDATES_MAX).then_some(key)
    }

    /// Closes the batch of `key`: a routing key, and the updates of one message.
    pub(crate) fn close(&mut self, key: &str) -> Option<(String, Vec<U>)> {
        let batch = self.open.remove(key)?;
        self.count -= batch.len();
        if self.open.is_empty() {
            self.since = None;
        }
        Some(message(key, batch))
    }

    /// Closes the next batch, whichever that is.
    pub(crate) fn close_any(&mut self) -> Option<(String, Vec<U>)> {
        let key = self.open.keys().next()?.clone();
        self.close(&key)
    }

    /// When the batches have to be closed at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + LINGER)
    }

    /// Updates that wait.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

/// A batch of one instrument goes by its symbol; a mixed one names each update.
fn message<U: Named>(key: &str, batch: Vec<(String, U)>) -> (String, Vec<U>) {
    let first = batch.first().map(|(symbol, _)| symbol.clone()).unwrap_or_default();
    if batch.iter().all(|(symbol, _)| *symbol == first) {
        return (first, batch.into_iter().map(|(_, update)| update).collect());
    }
    (key.to_owned(), batch.into_iter().map(|(symbol, update)| update.named(symbol)).collect())
}

/// The routing key of batches with `symbol`: the same words but the last, so that the batch belongs to the same feed.
fn shared_key(symbol: &str) -> String {
    match symbol.rsplit_once('.') {
        Some((parent, _)) if parent.len() + BATCH_WORD.len() <= tickwire_proto::symbol::SYMBOL_BYTES_MAX => format!("{parent}{BATCH_WORD}"),
        _ => symbol.to_owned(),
    }
}

/// Last word of the routing key of a batch.
const BATCH_WORD: &str = ".batch";
/// Updates in one message. A full batch leaves at once.
const UPDATES_MAX: usize = 50;
/// How long an update waits for company.
const LINGER: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn add(batcher: &mut Batcher<Update>, symbol: &str, seq: u64) -> Option<String> {
        batcher.add(Instant::now(), symbol.to_owned(), Update { seq, ..Default::default() })
    }

    fn close(batcher: &mut Batcher<Update>) -> String {
        let (key, updates) = batcher.close_any().unwrap();
        let updates: Vec<String> = updates.iter().map(|update| format!("{}{}", update.symbol, update.seq)).collect();
        format!("{key}: {}", updates.join(" "))
    }

    #[test]
    fn one_instrument_goes_by_its_own_key_and_several_name_themselves() {
        let mut batcher = Batcher::default();
        for (symbol, seq) in [("stock.A", 1), ("stock.B", 2), ("stock.A", 3), ("crypto.C", 4), ("crypto.C", 5), ("ALONE", 6)] {
            assert_eq!(add(&mut batcher, symbol, seq), None);
        }
        assert_eq!(close(&mut batcher), "ALONE: 6");
        assert_eq!(close(&mut batcher), "crypto.C: 4 5");
        assert_eq!(close(&mut batcher), "stock.batch: stock.A1 stock.B2 stock.A3");
        assert!(batcher.due().is_none() && batcher.len() == 0);
    }

    #[test]
    fn updates_in_json_name_themselves_in_front() {
        let mut batcher = Batcher::default();
        batcher.add(Instant::now(), "a.b".to_owned(), r#"{"quote":{"bid":1}}"#.to_owned());
        batcher.add(Instant::now(), "a.c".to_owned(), r#"{"quote":{"bid":2}}"#.to_owned());
        let named = [r#"{"symbol":"a.b","quote":{"bid":1}}"#.to_owned(), r#"{"symbol":"a.c","quote":{"bid":2}}"#.to_owned()];
        assert_eq!(batcher.close_any(), Some(("a.batch".to_owned(), named.to_vec())));
    }

    #[test]
    fn a_full_batch_leaves_at_once() {
        let mut batcher = Batcher::default();
        assert!((1..50).all(|seq| add(&mut batcher, "stock.A", seq).is_none()));
        assert_eq!(add(&mut batcher, "stock.B", 50).as_deref(), Some("stock.batch"));
        assert_eq!(batcher.close("stock.batch").unwrap().1.len(), 50);
    }

    #[test]
    fn a_key_stays_within_the_grammar() {
        let long = format!("{}.x", "a".repeat(126));
        assert_eq!(shared_key(&long), long);
    }
}
