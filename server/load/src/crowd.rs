//! Many connections on one thread.

mod line;
mod member;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use crate::{Conversation, Encryption, Progress, Stamp, Tally};
use line::Line;
use member::{Member, dial};

/// Connections, and what they counted.
pub struct Crowd {
    poll: Poll,
    /// `None`: nothing is encrypted.
    encryption: Option<Encryption>,
    members: Vec<Member>,
    /// What is read lands here, whoever sent it.
    buffer: Vec<u8>,
    /// Answers of the connection that is being read. Empty between connections.
    answers: Vec<u8>,
    tally: Tally,
    ready: usize,
    ended: usize,
    /// Time from dialling until ready, microseconds.
    ready_after: Histogram<u64>,
    /// The member whose ages are sampled next, and when.
    sampled: usize,
    sample_at: Instant,
    pace_at: Instant,
    /// Whether any member reads slowly.
    paced: bool,
}

/// How fast a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as data comes.
    Free,
    /// At most so many bytes a second, through small buffers of the kernel.
    Slow {
        /// Bytes read in a second.
        bytes_per_s: u32,
    },
}

/// How a crowd comes together.
#[derive(Clone, Copy, Debug)]
pub struct Gathering {
    /// How many.
    pub connections: u32,
    /// How many may be on their way to ready at a time.
    pub at_once: usize,
    /// Time for all of them.
    pub within: Duration,
    /// How they read.
    pub pace: Pace,
}

impl Crowd {
    /// Nobody yet. All connections are encrypted, or none is.
    ///
    /// # Errors
    /// The system refuses a poll.
    pub fn new(encryption: Option<Encryption>) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            encryption,
            members: Vec::new(),
            buffer: vec![0; READ_BYTES],
            answers: Vec::new(),
            tally: Tally::default(),
            ready: 0,
            ended: 0,
            ready_after: Tally::default().latency,
            sampled: 0,
            sample_at: Instant::now(),
            pace_at: Instant::now(),
            paced: false,
        })
    }

    /// Connects more, the n-th with `converse(n)`, until all are ready. Those that the server refuses are counted as faults.
    ///
    /// # Errors
    /// The server cannot be reached at all, or some are not ready in time.
    pub fn gather(
        &mut self,
        address: SocketAddr,
        gathering: Gathering,
        progress: &mut Progress,
        mut converse: impl FnMut(u32) -> Box<dyn Conversation>,
    ) -> Result<()> {
        let (start, before) = (Instant::now(), self.settled());
        let mut dialled: u32 = 0;
        self.paced |= gathering.pace != Pace::Free;
        loop {
            let settled = self.settled() - before;
            while dialled < gathering.connections && (dialled as usize) < settled.saturating_add(gathering.at_once) {
                self.dial(address, converse(dialled), gathering.pace)?;
                dialled += 1;
                // Events in between, so that no socket waits for all the others to be made.
                if dialled.is_multiple_of(DIALS_PER_TURN) {
                    break;
                }
            }
            if self.ready == 0 && self.ended > 0 {
                bail!("the server at {address} cannot be used: {}", self.tally.faults.first.as_deref().unwrap_or("it ends connections"));
            }
            if settled == gathering.connections as usize {
                break;
            }
            if start.elapsed() > gathering.within {
                bail!("after {} s only {settled} of {} connections are ready", gathering.within.as_secs(), gathering.connections);
            }
            progress.update(|| format!("connecting: {settled} of {}", gathering.connections));
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Reads and counts for `span`. `watch` is called a few times a second.
    ///
    /// # Errors
    /// The poll fails, or `watch` does.
    pub fn run(&mut self, span: Duration, mut watch: impl FnMut(&Tally, Duration) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        let mut watch_at = start;
        loop {
            let now = Instant::now();
            if now >= start + span {
                return Ok(());
            }
            if now >= watch_at {
                watch(&self.tally, now - start)?;
                watch_at = now + WATCH_EVERY;
            }
            self.turn((start + span).min(watch_at) - now)?;
        }
    }

    /// What was counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts from 0 again, but for the faults.
    pub fn restart(&mut self) {
        self.tally.restart();
    }

    /// Connections that are ready and not ended.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Time from dialling until ready, of each connection, microseconds.
    pub fn ready_after(&self) -> &Histogram<u64> {
        &self.ready_after
    }

    /// Connections whose outcome is known.
    fn settled(&self) -> usize {
        self.ready + self.ended
    }

    fn dial(&mut self, address: SocketAddr, conversation: Box<dyn Conversation>, pace: Pace) -> Result<()> {
        let mut socket = dial(address, pace)?;
        self.poll.registry().register(&mut socket, Token(self.members.len()), Interest::READABLE | Interest::WRITABLE)?;
        let line = Line::new(socket, self.encryption.as_ref())?;
        self.members.push(Member::new(line, conversation, pace));
        Ok(())
    }

    /// Waits for sockets, at most for `patience`, and serves them.
    fn turn(&mut self, patience: Duration) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let patience = if self.paced { patience.min(PACE_EVERY) } else { patience };
        match self.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let key = event.token().0;
            if event.is_writable() || event.is_error() {
                self.write(key);
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(key);
            }
        }
        if self.paced && self.pace_at <= Instant::now() {
            self.pace_at = Instant::now() + PACE_EVERY;
            for key in 0..self.members.len() {
                if self.members[key].refill(PACE_EVERY) {
                    self.read(key);
                }
            }
        }
        self.sample_ages();
        Ok(())
    }

    fn write(&mut self, key: usize) {
        let member = &mut self.members[key];
        if let Err(error) = member.writable() {
            self.end(key, &format!("cannot connect: {error}"));
        }
    }

    /// Reads what is there, as far as the member's pace allows.
    fn read(&mut self, key: usize) {
        loop {
            let member = &mut self.members[key];
            let allowed = member.allowance().min(self.buffer.len());
            if allowed == 0 || member.ended {
                return;
            }
            let length = match member.line.read(&mut self.buffer[..allowed]) {
                Ok(0) => return self.end(key, "the server closed the connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::NotConnected => return self.emptied(key),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return self.end(key, &format!("the connection broke: {error}")),
            };
            member.spend(length);
            self.tally.bytes += length as u64;
            let was_ready = member.conversation.is_ready();
            let outcome = member.received(&self.buffer[..length], Stamp::now(), &mut self.tally, &mut self.answers);
            let ready = member.conversation.is_ready();
            if !was_ready && ready {
                self.ready += 1;
                self.ready_after.saturating_record(member.since.elapsed().as_micros() as u64);
            }
            let is_emptied = member.line.is_emptied_by(length, allowed);
            let sent = member.send(&self.answers);
            self.answers.clear();
            match (outcome, sent) {
                (Err(text), _) => return self.end(key, &text),
                (_, Err(error)) => return self.end(key, &format!("the connection broke: {error}")),
                _ if is_emptied => return self.emptied(key),
                _ => {}
            }
        }
    }

    /// Nothing is left to read: what comes now is another edge.
    fn emptied(&mut self, key: usize) {
        let member = &mut self.members[key];
        member.drained();
        if member.is_slow() {
            member.conversation.acknowledge(&mut self.answers);
        }
        // Also what waited for a handshake.
        let sent = member.send(&self.answers);
        self.answers.clear();
        if let Err(error) = sent {
            self.end(key, &format!("the connection broke: {error}"));
        }
    }

    /// A connection has ended, whoever wanted it.
    fn end(&mut self, key: usize, why: &str) {
        let member = &mut self.members[key];
        if std::mem::replace(&mut member.ended, true) {
            return;
        }
        // Registration ends with the socket; there is nothing to do if it had gone before.
        let _ = self.poll.registry().deregister(member.line.socket());
        self.ready -= usize::from(member.conversation.is_ready());
        self.ended += 1;
        self.tally.faults.cut += 1;
        self.tally.faults.note(|| why.to_owned());
    }

    /// Looks at some members' values. Who is looked at changes, and so all have their turn.
    fn sample_ages(&mut self) {
        let now = Instant::now();
        if now < self.sample_at || self.members.is_empty() {
            return;
        }
        self.sample_at = now + SAMPLE_EVERY;
        for _ in 0..SAMPLE_MEMBERS.min(self.members.len()) {
            self.sampled = (self.sampled + 1) % self.members.len();
            let member = &self.members[self.sampled];
            if !member.ended {
                member.conversation.ages(Stamp::now(), &mut self.tally.age);
            }
        }
    }
}

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// Events taken from the system at once. More come with the next turn.
const EVENTS_MAX: usize = 1_024;
/// Sockets made in one turn.
const DIALS_PER_TURN: u32 = 64;
/// How often `run` tells how it goes.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// How often slow members read.
const PACE_EVERY: Duration = Duration::from_millis(20);
/// How often ages are looked at, and of how many members then.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const SAMPLE_MEMBERS: usize = 50;
