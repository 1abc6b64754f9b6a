//! When to report what has been processed: often enough that no window of the server starves, seldom enough to cost next to nothing.
//!
//! A report is worth its bytes when it makes room: after [`SHARE_BYTES`], a half of the smallest window. Less than that waits for more, and
//! leaves when a flow ends or after a second, so that the server never takes silence for a stall.

use core::time::Duration;

use crate::planted::{Fault, planted};
use crate::time::Moment;

/// Credit: what the server knows of our progress. Only if it holds data back for it.
#[derive(Debug)]
pub(super) struct Progress {
    /// The newest frame that was reported.
    told: u64,
    /// When; never before the first report, which leaves at once and tells the round trip.
    told_at: Option<Moment>,
    /// Bytes of the frames since.
    bytes: usize,
    /// When the newest of them came.
    heard_at: Moment,
    /// The last report was one of many bytes: when no more come, what is left of them is reported as well.
    flows: bool,
}

impl Progress {
    pub(super) fn new(now: Moment) -> Self {
        Self { told: 0, told_at: None, bytes: 0, heard_at: now, flows: false }
    }

    /// A frame has been processed.
    pub(super) fn took(&mut self, now: Moment, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.heard_at = now;
    }

    /// When `cseq`, the newest frame, is to be reported.
    pub(super) fn due_at(&self, cseq: u64) -> Option<Moment> {
        if cseq <= self.told || planted(Fault::ClientReportsNothing) {
            return None;
        }
        let Some(told_at) = self.told_at else { return Some(self.heard_at) };
        let soonest = told_at + EVERY;
        if self.bytes < SHARE_BYTES {
            let rest = self.flows.then(|| (self.heard_at + FLOW_ENDS).max(soonest));
            return rest.into_iter().chain([told_at + IDLE_EVERY]).min();
        }
        if self.bytes < BULK_BYTES {
            return Some(soonest);
        }
        // So much came so fast that a pause means that the window is used up.
        Some((told_at + BULK_EVERY).min((self.heard_at + BULK_ENDS).max(soonest)))
    }

    /// `cseq` is being reported.
    pub(super) fn tell(&mut self, now: Moment, cseq: u64) {
        self.flows = self.bytes >= SHARE_BYTES;
        (self.told, self.told_at, self.bytes) = (cseq, Some(now), 0);
    }
}

/// Bytes that are worth a report.
const SHARE_BYTES: usize = 2 << 10;
/// No two reports are closer than this.
const EVERY: Duration = Duration::from_millis(20);
/// Bytes between two reports that make a flow a bulk ...
const BULK_BYTES: usize = 16 << 10;
/// ... whose window is so large that it needs no more reports than these,
const BULK_EVERY: Duration = Duration::from_millis(50);
/// unless nothing comes for so long.
const BULK_ENDS: Duration = Duration::from_millis(5);
/// Silence that ends a flow: longer than a small frame takes on a slow link.
const FLOW_ENDS: Duration = Duration::from_millis(50);
/// A frame is reported at the latest after this.
const IDLE_EVERY: Duration = Duration::from_secs(1);
