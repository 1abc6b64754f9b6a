//! Sockets whose clients cannot report: the kernel is asked how much of what was written their other end has.
//!
//! When to look is decided by [`Progress`].

mod kernel;

use std::collections::VecDeque;
use std::net::SocketAddr;

use tickwire_core::watch::{Pace, Progress};
use tickwire_proto::Moment;

use super::connection::Appointment;
use kernel::Kernel;
pub(super) use kernel::Way;

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) way: Way,
    pub(super) progress: Progress,
}

/// When to look at which connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// `None`: not asked yet, or it does not tell.
    kernel: Option<Kernel>,
    refused: bool,
    /// Connections with much under way, each once. Bounded by the connections.
    busy: Vec<Appointment>,
    /// Those with little under way, the oldest first; each once.
    resting: VecDeque<Appointment>,
    /// When the busy ones are looked at again.
    busy_at: Moment,
}

/// What a look at a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// So many bytes have not been acknowledged.
    Outstanding(u32),
    /// The kernel does not know the connection, or does not tell.
    Unknown,
}

impl Watch {
    /// The way between two addresses, if the kernel can be asked about it. Whether it answers shows when it is asked.
    pub(super) fn way(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<Way> {
        if self.kernel.is_none() && !self.refused {
            match Kernel::open() {
                Ok(kernel) => self.kernel = Some(kernel),
                Err(error) => {
                    self.refused = true;
                    tracing::info!(%error, "the kernel does not tell how far sockets have got: event streams on slow links will be older");
                }
            }
        }
        self.kernel.as_ref().map(|_| Way::new(local, peer))
    }

    /// Has a connection looked at.
    pub(super) fn plan(&mut self, now: Moment, key: u32, serial: u64, pace: Pace) {
        match pace {
            Pace::Busy => {
                if self.busy.is_empty() {
                    self.busy_at = now + pace.wait();
                }
                self.busy.push(Appointment { key, serial, until: now });
            }
            Pace::Resting => self.resting.push_back(Appointment { key, serial, until: now + pace.wait() }),
        }
    }

    /// When [`Watch::take_due`] has something to do.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let busy = Some(self.busy_at).filter(|_| !self.busy.is_empty());
        let resting = self.resting.front().map(|rest| rest.until);
        busy.into_iter().chain(resting).min()
    }

    /// Takes the connections that are due.
    pub(super) fn take_due(&mut self, now: Moment) -> Vec<(Appointment, Pace)> {
        let mut due = Vec::new();
        if self.busy_at <= now {
            due.extend(self.busy.drain(..).map(|busy| (busy, Pace::Busy)));
        }
        while let Some(rest) = self.resting.pop_front_if(|rest| rest.until <= now) {
            due.push((rest, Pace::Resting));
        }
        due
    }

    /// Asks the kernel about these ways, and tells what it says of each.
    pub(super) fn ask(&mut self, ways: &[Way], tell: &mut dyn FnMut(usize, Look)) {
        match &mut self.kernel {
            Some(kernel) => kernel.ask(ways, tell),
            None => (0..ways.len()).for_each(|n| tell(n, Look::Unknown)),
        }
    }
}
