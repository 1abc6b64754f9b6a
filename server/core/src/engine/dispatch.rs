//! What leaves with the next flush: encoded records, shared by all who get them, and per connection the list of what to splice.
//!
//! Everything here lives in buffers that are used again, from one flush to the next and, where connections are held until a beat, until
//! nobody is held any more; so a delivered record costs one list entry and one copy of its bytes.

use alloc::vec::Vec;
use core::ops::Range;

use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, server_frame::Control};
use tickwire_proto::wire::{Encoding, FrameWriter};

use super::credit::Credit;
use super::pace::Pace;
use super::rate::RateClass;
use super::{ConnectionKey, FRAME_RECORDS_MAX, FrameKind, FrameRef, Sink};

/// The lists of all connections, by slot.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// Encoded records.
    bytes: Vec<u8>,
    items: Vec<Item>,
    controls: Vec<(Control, FrameKind)>,
    lists: Vec<List>,
    /// Slots that the next flush has to look at, each once.
    touched: Vec<u32>,
    /// Lists that have something.
    listed: usize,
    /// Only if connections are paced.
    pace: Option<Pace>,
    /// One frame at a time.
    frame: Vec<u8>,
    /// Most that was in the buffers, and how often they were emptied, since they were last cut to size.
    most: Filled,
    emptied: u32,
}

/// How full the buffers are.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    items: usize,
    controls: usize,
    bytes: usize,
}

/// One piece of a frame.
#[derive(Clone, Copy, Debug)]
struct Item {
    next: u32,
    start: u32,
    end: u32,
    part: Part,
}

/// The parts of a frame, in the order in which they are written and read. An item that belongs before what the frame already has begins
/// the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Info,
    Control,
    Feed,
    Update,
}

/// What one connection gets.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    /// Bytes that the connection's credit leaves for data.
    room: u32,
    /// Records in the list; many more than are allowed count as [`u16::MAX`].
    records: u16,
    /// [`OPEN`], [`TOUCHED`] and [`JSON`].
    marks: u8,
    /// Rates at whose next beat it is released, a bit each.
    held: u8,
}

impl List {
    const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn mark(&mut self, mark: u8, set: bool) {
        self.marks = if set { self.marks | mark } else { self.marks & !mark };
    }
}

/// Bytes of one encoded record.
pub(super) type Record = Range<u32>;

/// When something is written, for deadlines and for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) moment: Moment,
    pub(super) unix_us: u64,
}

/// What writing a connection's frames came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
}

impl Dispatch {
    /// Nobody is there yet.
    pub(super) fn new(paced: bool) -> Self {
        Self { pace: paced.then(Pace::default), ..Self::default() }
    }

    /// Prepares `slot` for a new connection.
    pub(super) fn admit(&mut self, slot: u32, encoding: Encoding) {
        let marks = if encoding == Encoding::Json { JSON } else { 0 };
        let list = List { head: NONE, tail: NONE, room: u32::MAX, records: 0, marks, held: 0 };
        match self.lists.get_mut(slot as usize) {
            // It may still be in `touched` or held, from its last connection.
            Some(old) => *old = List { marks: old.marks & TOUCHED | marks, held: old.held, ..list },
            None => self.lists.push(list),
        }
        if let Some(pace) = &mut self.pace {
            pace.admit(slot);
        }
    }

    /// Forgets what `slot` would have got.
    pub(super) fn dismiss(&mut self, slot: u32) {
        let list = &mut self.lists[slot as usize];
        self.listed -= usize::from(list.head != NONE);
        (list.head, list.tail, list.records, list.room) = (NONE, NONE, 0, u32::MAX);
        list.mark(OPEN, false);
    }

    /// Encodes a record.
    pub(super) fn store(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Record {
        let start = self.bytes.len() as u32;
        encode(&mut self.bytes);
        start..self.bytes.len() as u32
    }

    /// Appends a piece to the list of `slot`, which leaves with the next flush.
    pub(super) fn push(&mut self, slot: u32, part: Part, record: Record) {
        self.give(slot, part, record, false);
    }

    /// Appends a piece to the list of `slot`, which leaves with the next flush, or when it is touched if `slot` is held.
    pub(super) fn give(&mut self, slot: u32, part: Part, record: Record, is_held: bool) {
        let index = self.items.len() as u32;
        self.items.push(Item { next: NONE, start: record.start, end: record.end, part });
        let list = &mut self.lists[slot as usize];
        if list.tail == NONE {
            list.head = index;
            self.listed += 1;
        } else {
            self.items[list.tail as usize].next = index;
        }
        list.tail = index;
        list.records = list.records.saturating_add(u16::from(part == Part::Update));
        list.room = list.room.saturating_sub(record.end - record.start);
        if !is_held && !list.is(TOUCHED) {
            list.mark(TOUCHED, true);
            self.touched.push(slot);
        }
    }

    /// Appends a control to the list of `slot`.
    pub(super) fn push_control(&mut self, slot: u32, control: Control) {
        let index = self.controls.len() as u32;
        let kind = kind_of(&control);
        self.controls.push((control, kind));
        self.push(slot, Part::Control, index..index);
    }

    /// Makes the next flush look at `slot`.
    pub(super) fn touch(&mut self, slot: u32) {
        let list = &mut self.lists[slot as usize];
        if !list.is(TOUCHED) {
            list.mark(TOUCHED, true);
            self.touched.push(slot);
        }
    }

    /// What is known of who is paced, if anybody is.
    pub(super) const fn pace(&self) -> Option<&Pace> {
        self.pace.as_ref()
    }

    /// Whether `slot` was told prices since `beat`, the newest of this rate, and so is held until the next, unless something else takes
    /// along what is listed.
    pub(super) fn hold(&mut self, now: Moment, slot: u32, class: RateClass, beat: Moment) -> bool {
        let list = &mut self.lists[slot as usize];
        let Some(pace) = self.pace.as_mut().filter(|pace| !list.is(TOUCHED) && pace.is_told(slot, beat)) else { return false };
        if list.held >> class.index() & 1 == 0 {
            list.held |= 1 << class.index();
            pace.hold(now, slot, class);
        }
        true
    }

    /// Makes the next flush look at those whose beat has come; at all that are held, if they hold too much.
    pub(super) fn release_held(&mut self, now: Moment) {
        let Some(mut pace) = self.pace.take() else { return };
        let all = self.items.len() > ITEMS_KEPT || self.bytes.len() > BYTES_KEPT || self.controls.len() > CONTROLS_KEPT;
        pace.release(now, all, |slot, class| {
            let list = &mut self.lists[slot as usize];
            list.held &= !(1 << class);
            if list.head != NONE {
                self.touch(slot);
            }
        });
        self.pace = Some(pace);
    }

    /// When somebody that is held is released.
    pub(super) fn held_until(&self) -> Option<Moment> {
        self.pace.as_ref().and_then(Pace::deadline)
    }

    pub(super) fn set_open(&mut self, slot: u32, open: bool) {
        self.lists[slot as usize].mark(OPEN, open);
    }

    /// Tells how many bytes the credit of `slot` leaves, for what is listed from now on.
    pub(super) fn set_room(&mut self, slot: u32, room: u32) {
        self.lists[slot as usize].room = room;
    }

    /// Bytes that credit leaves behind what is listed.
    pub(super) fn room(&self, slot: u32) -> u32 {
        self.lists[slot as usize].room
    }

    /// Whether `slot` takes a record right now, with fewer than `records_max` before it.
    pub(super) fn takes(&self, slot: u32, records_max: usize) -> bool {
        let list = &self.lists[slot as usize];
        list.is(OPEN) && list.room > 0 && usize::from(list.records) < records_max && self.bytes.len() < BYTES_MAX
    }

    /// Whether `slot`, open or not, has fewer than `records_max` records before the next.
    pub(super) fn has_room(&self, slot: u32, records_max: usize) -> bool {
        let list = &self.lists[slot as usize];
        list.room > 0 && usize::from(list.records) < records_max && self.bytes.len() < BYTES_MAX
    }

    pub(super) fn records(&self, slot: u32) -> usize {
        usize::from(self.lists[slot as usize].records)
    }

    pub(super) fn encoding(&self, slot: u32) -> Encoding {
        if self.lists[slot as usize].is(JSON) { Encoding::Json } else { Encoding::Protobuf }
    }

    pub(super) fn is_listed(&self, slot: u32) -> bool {
        self.lists[slot as usize].head != NONE
    }

    pub(super) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Takes the slots to look at. Each is touched again only after its [`Dispatch::release`].
    pub(super) fn take_touched(&mut self, out: &mut Vec<u32>) {
        out.append(&mut self.touched);
    }

    /// The flush is done with `slot`.
    pub(super) fn release(&mut self, slot: u32) {
        self.lists[slot as usize].mark(TOUCHED, false);
    }

    /// Cuts the list of `slot`, which is not empty, into frames and gives them to `sink`. They are accounted for in `credit`.
    pub(super) fn write(
        &mut self,
        now: Stamp,
        slot: u32,
        key: ConnectionKey,
        cseq: &mut u64,
        mut credit: Option<&mut Credit>,
        sink: &mut dyn Sink,
    ) -> Written {
        let bytes_max = credit.as_ref().map_or(FRAME_BYTES_MAX, |credit| credit.frame_bytes_max().min(FRAME_BYTES_MAX));
        let list = &mut self.lists[slot as usize];
        let (mut next, encoding) = (list.head, if list.is(JSON) { Encoding::Json } else { Encoding::Protobuf });
        self.listed -= 1;
        if let Some(pace) = self.pace.as_mut().filter(|_| list.records > 0) {
            pace.note(now.moment, slot);
        }
        (list.head, list.tail, list.records) = (NONE, NONE, 0);
        let mut written = Written::default();
        while next != NONE {
            self.frame.clear();
            *cseq += 1;
            let mut writer = FrameWriter::begin(&mut self.frame, encoding, *cseq, now.unix_us);
            let (mut last, mut records, mut bytes) = (Part::Info, 0, 0);
            let mut control = None;
            while let Some(item) = self.items.get(next as usize) {
                let misplaced = item.part < last || (item.part == Part::Control && control.is_some());
                if misplaced || (item.part == Part::Update && records == FRAME_RECORDS_MAX) || bytes >= bytes_max {
                    break;
                }
                last = item.part;
                bytes += (item.end - item.start) as usize;
                let record =
                    &self.bytes[item.start as usize * usize::from(item.part != Part::Control)..][..(item.end - item.start) as usize];
                match item.part {
                    Part::Info => writer.info(record),
                    Part::Feed => writer.feed(record),
                    Part::Update => {
                        writer.update(record);
                        records += 1;
                    }
                    Part::Control => {
                        control = self.controls.get(item.start as usize);
                        if let Some((control, _)) = control {
                            writer.control(control);
                        }
                    }
                }
                next = item.next;
            }
            writer.finish();
            let token = match control {
                Some((Control::Heartbeat(heartbeat), _)) if !heartbeat.token.is_empty() => Some(heartbeat.token.as_str()),
                _ => None,
            };
            let kind = control.map_or(FrameKind::Data, |(_, kind)| *kind);
            sink.frame(key, FrameRef { payload: &self.frame, kind, token });
            if let Some(credit) = &mut credit {
                credit.sent(now.moment, *cseq, self.frame.len());
            }
            written.frames += 1;
            written.bytes += self.frame.len() as u64;
            written.records += records as u64;
        }
        written
    }

    /// Empties the buffers after a flush, unless somebody is held. An outlier does not keep its memory.
    pub(super) fn clear(&mut self) {
        if self.listed > 0 {
            return;
        }
        let Filled { items, controls, bytes } = &mut self.most;
        *items = self.items.len().max(*items);
        *controls = self.controls.len().max(*controls);
        *bytes = self.bytes.len().max(*bytes);
        self.items.clear();
        self.controls.clear();
        self.bytes.clear();
        self.emptied += 1;
        // At once where it is much; otherwise when it has not been needed for a while, such as after many have connected.
        let is_large = self.bytes.capacity() > BYTES_KEPT || self.items.capacity() > ITEMS_KEPT || self.controls.capacity() > CONTROLS_KEPT;
        if is_large || self.emptied >= CUT_AFTER {
            self.cut();
        }
    }

    /// Gives back what the buffers have beyond twice of what was needed lately.
    fn cut(&mut self) {
        let Filled { items, controls, bytes } = core::mem::take(&mut self.most);
        self.emptied = 0;
        self.items.shrink_to((2 * items).min(ITEMS_KEPT));
        self.controls.shrink_to((2 * controls).min(CONTROLS_KEPT));
        self.bytes.shrink_to((2 * bytes).min(BYTES_KEPT));
    }
}

fn kind_of(control: &Control) -> FrameKind {
    match control {
        Control::Welcome(_) => FrameKind::Welcome,
        Control::SubscribeAck(_) => FrameKind::SubscribeAck,
        Control::SnapshotComplete(_) => FrameKind::SnapshotComplete,
        Control::UnsubscribeAck(_) => FrameKind::UnsubscribeAck,
        Control::Ack(_) => FrameKind::Ack,
        Control::Heartbeat(_) => FrameKind::Heartbeat,
        Control::Gap(_) => FrameKind::Gap,
        Control::Notice(_) => FrameKind::Notice,
        Control::Error(_) => FrameKind::Error,
        Control::TokenExpiring(_) => FrameKind::TokenExpiring,
        Control::Goodbye(_) => FrameKind::Goodbye,
        Control::Pong(_) => FrameKind::Pong,
    }
}

/// An error for a client, with the retry rule of its code.
pub(super) fn error(request_id: u32, code: v1::ErrorCode, text: &str, retry_after_ms: Option<u32>) -> Control {
    let retry = code.retry() as i32;
    Control::Error(v1::Error { request_id, code: code as i32, text: text.into(), retry, retry_after_ms, ..v1::Error::default() })
}

const NONE: u32 = u32::MAX;
/// Mark of a list: records may go straight into it, as the connection is live, not blocked, not paused, and nothing older waits.
const OPEN: u8 = 1;
/// Mark of a list: the next flush looks at it.
const TOUCHED: u8 = 2;
/// Mark of a list: it is written as JSON.
const JSON: u8 = 4;
/// Bytes of records after which a frame ends. What comes next begins another one.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Encoded records between two flushes. What would come beyond waits in the outboxes.
const BYTES_MAX: usize = 64 << 20;
/// Memory for encoded records that is kept from one flush to the next. With more, nobody is held.
const BYTES_KEPT: usize = 4 << 20;
/// Controls that are kept from one flush to the next. With more, nobody is held.
const CONTROLS_KEPT: usize = 1 << 10;
/// List entries that are kept from one flush to the next. With more, nobody is held.
const ITEMS_KEPT: usize = 1 << 18;
/// Times that the buffers are emptied until what was not needed of them in the meantime is given back.
const CUT_AFTER: u32 = 256;
