//! Frames from spliced records.

use alloc::vec::Vec;

use super::line::Line;
use super::{Encoding, tag};
use crate::json::{Choice, Writer};
use crate::v1;

/// Writes one `ServerFrame` into a caller's buffer. The calls come in the order infos, control, feeds, updates; each may be left out.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
    part: Part,
}

/// What was written last; in JSON, infos, feeds and updates are arrays that stay open until the next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Head,
    Infos,
    Control,
    Feeds,
    Updates,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>, encoding: Encoding, cseq: u64, ts_send_us: u64) -> Self {
        match encoding {
            Encoding::Protobuf => {
                let mut line = Line::<HEAD_BYTES_MAX>::default();
                line.number::<{ tag::CSEQ }>(cseq);
                line.fixed::<{ tag::TS_SEND_US }>(ts_send_us);
                out.extend_from_slice(line.bytes());
            }
            Encoding::Json => {
                let mut writer = Writer::new(out);
                writer.raw("{\"cseq\":");
                writer.integer_text(cseq);
                writer.key(",\"ts_send_us\":");
                writer.integer_text(ts_send_us);
            }
        }
        Self { out, encoding, part: Part::Head }
    }

    /// Splices an instrument info.
    pub fn info(&mut self, record: &[u8]) {
        self.splice(Part::Infos, record);
    }

    /// Writes the control part. At most one per frame.
    pub fn control(&mut self, control: &v1::server_frame::Control) {
        self.enter(Part::Control);
        match self.encoding {
            Encoding::Protobuf => control.encode(self.out),
            Encoding::Json => control.write(&mut Writer::new(self.out)),
        }
    }

    /// Splices a feed state.
    pub fn feed(&mut self, record: &[u8]) {
        self.splice(Part::Feeds, record);
    }

    /// Splices an update.
    pub fn update(&mut self, record: &[u8]) {
        self.splice(Part::Updates, record);
    }

    /// Ends the frame.
    pub fn finish(self) {
        if self.encoding == Encoding::Json {
            self.out.extend_from_slice(if self.part.is_array() { b"]}" } else { b"}" });
        }
    }

    fn splice(&mut self, part: Part, record: &[u8]) {
        if self.part != part {
            self.enter(part);
        } else if self.encoding == Encoding::Json {
            self.out.push(b',');
        }
        self.out.extend_from_slice(record);
    }

    /// Ends the part before, and begins this one up to its first value.
    fn enter(&mut self, part: Part) {
        debug_assert!(self.part < part, "parts of a frame come in order, and only one control: {part:?} after {:?}", self.part);
        if self.encoding == Encoding::Json {
            if self.part.is_array() {
                self.out.push(b']');
            }
            let opening: &[u8] = match part {
                Part::Infos => b",\"infos\":[",
                Part::Feeds => b",\"feeds\":[",
                Part::Updates => b",\"updates\":[",
                Part::Head | Part::Control => b"",
            };
            self.out.extend_from_slice(opening);
        }
        self.part = part;
    }
}

impl Part {
    fn is_array(self) -> bool {
        matches!(self, Self::Infos | Self::Feeds | Self::Updates)
    }
}

/// Bytes of the head of a frame: two keys, and a number of ten and one of eight bytes.
const HEAD_BYTES_MAX: usize = 2 + 10 + 8 + Line::<0>::SPARE;
