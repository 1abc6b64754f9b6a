//! What happened, for people: kept only while somebody will read it.

use std::collections::VecDeque;

use tickwire_proto::Moment;
use tickwire_proto::v1;
use tickwire_proto::wire::Encoding;

pub(crate) struct Trace {
    lines: VecDeque<String>,
    /// More lines than these push the oldest out. 0: nothing is kept, and no line is made.
    lines_max: usize,
}

impl Trace {
    pub(crate) fn new(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), lines_max }
    }

    pub(crate) fn note(&mut self, now: Moment, line: impl FnOnce() -> String) {
        if self.lines_max == 0 {
            return;
        }
        if self.lines.len() >= self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} {}", now.as_micros() as f64 / 1e6, line()));
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("    {line}\n")).collect()
    }
}

/// A frame of a server.
pub(crate) fn describe(encoding: Encoding, payload: &[u8]) -> String {
    use prost::Message as _;
    match encoding {
        Encoding::Json => String::from_utf8_lossy(payload).into_owned(),
        Encoding::Protobuf => {
            let frame = v1::ServerFrame::decode(payload).expect("a frame");
            let updates: Vec<String> =
                frame.updates.iter().map(|u| format!("[{} @{} flags {} {:?}]", u.id, u.seq, u.flags, u.body)).collect();
            let infos: Vec<String> = frame.infos.iter().map(|info| format!("{}={}", info.id, info.symbol)).collect();
            format!("{} infos {infos:?} {:?} {}", frame.cseq, frame.control, updates.join(" "))
        }
    }
}
