//! What a connection takes from memory.

use tickwire_proto::v1;

use super::connection::{Connection, PatternWant, Rare, Subscription};
use super::credit::Credit;
use super::{ConnectionKey, Engine};

impl Engine {
    /// Bytes of memory that are held for one connection, without what it shares with others; `None` if there is no such connection.
    ///
    /// The bound is that of a connection's worst case in docs/limits.md, without its place in each lane. Costs one visit per thing that
    /// waits for it: for diagnostics, not for the way of a tick.
    pub fn bytes_held(&self, connection: ConnectionKey) -> Option<usize> {
        self.roster.slot(connection).and_then(|slot| self.roster.get(slot)).map(Connection::bytes_held)
    }
}

impl Connection {
    fn bytes_held(&self) -> usize {
        let subscriptions = self.subscriptions.capacity() * size_of::<Subscription>();
        let texts: usize = self.patterns.iter().map(|want| want.pattern.as_str().len()).sum();
        let patterns = self.patterns.capacity() * size_of::<PatternWant>() + texts;
        let credit = self.credit.as_ref().map_or(0, |credit| size_of::<Credit>() + credit.bytes_held());
        let outbox = self.outbox.as_ref().map_or(0, |outbox| outbox.bytes_held());
        let held = |rare: &Rare| size_of::<Rare>() + rare.session.len() + rare.held.capacity() * size_of::<v1::ClientFrame>();
        size_of::<Self>() + subscriptions + patterns + credit + outbox + self.rare.as_deref().map_or(0, held)
    }
}
