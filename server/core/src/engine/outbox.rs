//! What one subscriber still has to be told because it cannot take data now: marks per instrument, and a bounded queue of events.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::v1::{self, server_frame::Control};
use tickwire_proto::wire::Encoding;

use super::book::Instrument;
use super::events::{Event, PastState};
use super::pending::Pending;
use crate::batch::InstrumentId;
use crate::scales::Rescale;

/// Exists only while there is something in it. Bounded by the subscription, never by how slow the subscriber is.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Instruments that it has not been told the newest state of.
    dirty: HashMap<InstrumentId, Pending>,
    /// The dirty ones, longest dirty first, and the ends of snapshots between them.
    turns: VecDeque<Turn>,
    /// Events that could not be written, in order. At most `EngineConfig::events_waiting_max`; more become gaps.
    waiting: VecDeque<Waiting>,
    /// Losses to report, at most one per instrument: first and last position lost.
    gaps: BTreeMap<InstrumentId, (u64, u64)>,
    /// Answers that could not be written. At most [`CONTROLS_MAX`].
    controls: VecDeque<Control>,
}

/// What comes next, when the subscriber takes data again.
#[derive(Debug)]
pub(super) enum Turn {
    /// The newest state of this instrument, if it is still dirty.
    Instrument(InstrumentId),
    /// The images before this one answered a Subscribe.
    Complete { request_id: u32 },
}

/// Something that must not be merged.
///
/// What waits of an instrument is at the scales of the info before it: of one that waits, or of the one that the client was told. A client
/// that was told none gets the newest before all of it: then it has to be brought to those scales ([`Outbox::rescale`]).
#[derive(Debug)]
pub(super) enum Waiting {
    Event(Arc<Event>),
    /// The state before an event.
    State(PastState),
    /// An instrument's info has changed, at this position.
    Info {
        info: Arc<v1::InstrumentInfo>,
        seq: u64,
    },
    /// A feed has changed its health.
    Feed(Box<[u8]>),
}

/// What did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Everything fits.
    None,
    /// Single trades were dropped and are reported as gaps.
    Trades,
    /// Events were dropped and are reported as gaps. Their instruments need infos and images again, and feeds have to be told again.
    Events,
}

impl Outbox {
    /// Bytes of memory that it holds, itself included; events are shared with their ring.
    pub(super) fn bytes_held(&self) -> usize {
        let texts = self.waiting.iter().map(|item| match item {
            Waiting::State(state) => state.record.len(),
            Waiting::Feed(text) => text.len(),
            Waiting::Event(_) | Waiting::Info { .. } => 0,
        });
        // A hash map has a byte beside each place, a tree some room in its nodes.
        let marks = self.dirty.capacity() * (size_of::<(InstrumentId, Pending)>() + 1);
        let gaps = self.gaps.len() * 2 * size_of::<(InstrumentId, (u64, u64))>();
        let queues = self.turns.capacity() * size_of::<Turn>()
            + self.waiting.capacity() * size_of::<Waiting>()
            + self.controls.capacity() * size_of::<Control>();
        size_of::<Self>() + texts.sum::<usize>() + marks + gaps + queues
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.waiting.is_empty() && self.gaps.is_empty() && self.controls.is_empty()
    }

    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.gaps.is_empty()
    }

    /// Merges what `instrument` has to tell. The first mark decides its turn.
    pub(super) fn mark(&mut self, instrument: InstrumentId, pending: &Pending) {
        match self.dirty.get_mut(&instrument) {
            Some(known) => known.merge(pending),
            None => {
                self.dirty.insert(instrument, *pending);
                let turn = Turn::Instrument(instrument);
                if planted(Fault::NewestDirtyFirst) { self.turns.push_front(turn) } else { self.turns.push_back(turn) }
            }
        }
    }

    /// Ends a snapshot after all that is dirty now.
    pub(super) fn end_snapshot(&mut self, request_id: u32) {
        let turn = Turn::Complete { request_id };
        if planted(Fault::CompleteBeforeImages) { self.turns.push_front(turn) } else { self.turns.push_back(turn) }
    }

    /// Takes the marks of `instrument`, out of turn.
    pub(super) fn settle(&mut self, instrument: InstrumentId) -> Option<Pending> {
        self.dirty.remove(&instrument)
    }

    /// Takes the next turn; one whose instrument is no longer dirty is passed over.
    pub(super) fn next_turn(&mut self) -> Option<(Turn, Pending)> {
        while let Some(turn) = self.turns.pop_front() {
            match turn {
                Turn::Complete { .. } => return Some((turn, Pending::default())),
                Turn::Instrument(instrument) => {
                    if let Some(pending) = self.dirty.remove(&instrument) {
                        return Some((turn, pending));
                    }
                }
            }
        }
        None
    }

    /// Queues something that must not be merged, at most `waiting_max` of them.
    pub(super) fn wait(&mut self, item: Waiting, waiting_max: usize) -> Overflow {
        if self.waiting.len() < waiting_max {
            self.waiting.push_back(item);
            return Overflow::None;
        }
        let is_trade = |item: &Waiting| matches!(item, Waiting::Event(event) if event.trade);
        let only_trades = self.waiting.iter().any(is_trade);
        let mut kept = VecDeque::new();
        for old in core::mem::take(&mut self.waiting).into_iter().chain([item]) {
            match &old {
                Waiting::Event(event) if event.trade || !only_trades => self.lose(event.instrument, event.seq, event.seq),
                Waiting::State(state) if !only_trades => self.lose(state.instrument, state.seq, state.seq),
                Waiting::Info { info, seq } if !only_trades => self.lose(InstrumentId(info.id), *seq, *seq),
                _ if only_trades => kept.push_back(old),
                _ => {}
            }
        }
        self.waiting = kept;
        if only_trades { Overflow::Trades } else { Overflow::Events }
    }

    /// Notes a loss to report.
    pub(super) fn lose(&mut self, instrument: InstrumentId, first: u64, last: u64) {
        if planted(Fault::UntoldGap) {
            return;
        }
        let (from, to) = self.gaps.entry(instrument).or_insert((first, last));
        (*from, *to) = ((*from).min(first), (*to).max(last));
    }

    /// Queues an answer. Returns whether there was room.
    pub(super) fn answer(&mut self, control: Control) -> bool {
        let room = self.controls.len() < CONTROLS_MAX;
        if room {
            self.controls.push_back(control);
        }
        room
    }

    pub(super) fn take_controls(&mut self) -> VecDeque<Control> {
        core::mem::take(&mut self.controls)
    }

    /// Instruments with a loss to report, and the first position lost.
    pub(super) fn lost(&self) -> Vec<(InstrumentId, u64)> {
        self.gaps.iter().map(|(id, (first, _))| (*id, *first)).collect()
    }

    pub(super) fn next_gap(&mut self) -> Option<(InstrumentId, (u64, u64))> {
        self.gaps.pop_first()
    }

    /// The instrument of what waits first; `Some(None)` if it belongs to none.
    pub(super) fn first_waiting(&self) -> Option<Option<InstrumentId>> {
        self.waiting.front().map(Waiting::instrument)
    }

    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Forgets an instrument that is no longer subscribed to.
    pub(super) fn forget(&mut self, instrument: InstrumentId) {
        self.dirty.remove(&instrument);
        self.gaps.remove(&instrument);
        self.waiting.retain(|item| item.instrument() != Some(instrument));
    }

    /// Brings everything that waits of `instrument` to the scales that it has now, as the client is told its newest info before all of it.
    /// What cannot be said there is a loss, and an image.
    ///
    /// Costs one visit per thing that waits.
    pub(super) fn rescale(&mut self, encoding: Encoding, instrument: &Instrument) {
        let mut lost: Option<(u64, u64)> = None;
        self.waiting.retain_mut(|item| match item {
            _ if item.instrument() != Some(instrument.id()) => true,
            Waiting::Event(event) => {
                let rescaled = event.at_scales_of(instrument);
                if rescaled.is_none() {
                    lost = Some((lost.map_or(event.seq, |(first, _)| first), event.seq));
                }
                rescaled.map(|rescaled| *event = rescaled).is_some()
            }
            // After a loss only an image tells the state.
            Waiting::State(state) => lost.is_none() && state.rescale(encoding, instrument),
            Waiting::Info { .. } | Waiting::Feed(_) => false,
        });
        if let Some((first, last)) = lost {
            self.lose(instrument.id(), first, last);
            self.mark(instrument.id(), &Pending::replaced(instrument, first));
        }
    }

    /// Brings what is marked of `instrument` to other scales.
    pub(super) fn rescale_mark(&mut self, instrument: InstrumentId, rescale: Rescale) {
        if let Some(pending) = self.dirty.get_mut(&instrument) {
            pending.rescale(rescale);
        }
    }

    /// The log has ended: what is left of it, and what was lost of it, means nothing behind the word of the new one.
    pub(super) fn end_log(&mut self) {
        self.gaps.clear();
        self.waiting.retain(|item| matches!(item, Waiting::Info { .. } | Waiting::Feed(_)));
    }

    /// Position of the oldest thing that was not told.
    pub(super) fn first_seq(&self) -> Option<u64> {
        let dirty = self.dirty.values().filter_map(|pending| pending.first_seq);
        let waiting = self.waiting.iter().filter_map(|item| match item {
            Waiting::Event(event) => Some(event.seq),
            Waiting::State(state) => Some(state.seq),
            Waiting::Info { .. } | Waiting::Feed(_) => None,
        });
        dirty.chain(waiting).chain(self.gaps.values().map(|(first, _)| *first)).min()
    }
}

impl Waiting {
    fn instrument(&self) -> Option<InstrumentId> {
        match self {
            Self::Event(event) => Some(event.instrument),
            Self::State(state) => Some(state.instrument),
            Self::Info { info, .. } => Some(InstrumentId(info.id)),
            Self::Feed(_) => None,
        }
    }
}

/// Answers that wait for a blocked client. With more it has stopped reading while it goes on asking: SLOW_CONSUMER.
const CONTROLS_MAX: usize = 64;
