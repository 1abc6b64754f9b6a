//! An application: reads when it likes, and checks what it reads.

use std::collections::BTreeMap;

use tickwire_proto::session::{Change, Session, SubscriptionId};
use tickwire_proto::v1::update::Body;

/// What one subscription has read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) trades: bool,
    pub(crate) read: BTreeMap<String, Read>,
}

/// What was read of one instrument.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) bid: Option<i64>,
    statuses: Run,
    trades: Run,
}

/// Events by number: each once and in order, unless a gap was told.
#[derive(Debug, Default)]
pub(crate) struct Run {
    last: Option<u64>,
    gap: bool,
}

impl Run {
    fn read(&mut self, number: u64, what: &str) {
        if let Some(last) = self.last {
            assert!(number > last, "{what} {number} came after {last}");
            assert!(number == last + 1 || self.gap, "{what} {number} came after {last}, and no gap was told");
        }
        (self.last, self.gap) = (Some(number), false);
    }

    /// In the end nothing may be missing either.
    fn end(&self, number: u64, what: &str) {
        assert!(self.gap || self.last.is_none_or(|last| last == number), "{what} ended with {:?}, and {number} was the last", self.last);
    }
}

impl Reader {
    pub(crate) fn read(&mut self, session: &mut Session, id: SubscriptionId, most: usize) {
        for _ in 0..most {
            let Some(change) = session.next_change(id) else { return };
            let symbol = change.symbol().to_string();
            let read = self.read.entry(symbol.clone()).or_default();
            if let Some(bid) = change.instrument().and_then(|instrument| instrument.image.quote?.bid) {
                assert!(read.bid.is_none_or(|before| before <= bid), "{symbol} went back from {:?} to {bid}", read.bid);
                read.bid = Some(bid);
            }
            match change {
                Change::Gap { .. } => read.break_off(),
                Change::Event { update, .. } => match update.body {
                    Some(Body::Status(status)) => read.statuses.read(status.reason.parse().expect("a number"), &symbol),
                    Some(Body::Trade(trade)) => {
                        assert!(self.trades, "a trade for a subscription without trades");
                        read.trades.read(trade.trade_id.parse().expect("a number"), &symbol);
                    }
                    other => panic!("an event of {other:?}"),
                },
                _ => {}
            }
        }
    }

    /// The session said that events of any instrument may be missing.
    pub(crate) fn break_off(&mut self) {
        self.read.values_mut().for_each(Read::break_off);
    }

    pub(crate) fn end(&self, symbol: &str, statuses: u64, trades: u64) {
        let Some(read) = self.read.get(symbol) else { return };
        read.statuses.end(statuses, symbol);
        if self.trades {
            read.trades.end(trades, symbol);
        }
    }
}

impl Read {
    fn break_off(&mut self) {
        self.statuses.gap = true;
        self.trades.gap = true;
    }
}
