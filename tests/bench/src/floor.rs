//! The floor: what a server of live data cannot do without. One epoll loop that takes in each update of a steady market at its time, and
//! writes the same bytes as Tickwire to the same connections.
//!
//! Without a tick each update is one write to each of its subscribers. With a tick each connection gets one write per tick, with the newest
//! state of what has changed. There is nothing else: no limits, no resume, no heartbeats, no clients that are slow, one encoding. It understands
//! `Hello` and `Subscribe` as far as the load generator needs it, so that the same conversation, with every update accounted for, measures both.

mod client;
mod market;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use tickwire_load::{Stamp, allow_descriptors};
use tickwire_proto::wire::{Encoding, FrameWriter};

use client::{Client, push_frame};
pub(crate) use market::Market;

/// Flags of the floor server.
#[derive(clap::Args)]
pub(crate) struct Floor {
    /// Instruments, bench.S0 ...
    #[arg(long)]
    market: u32,
    /// Updates a second, over all of them
    #[arg(long)]
    rate: u32,
    /// Milliseconds from one write to the next; 0: each update is a write
    #[arg(long, default_value_t = 0)]
    tick: u64,
    /// Threads, each with a market, a loop and connections of its own
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

impl Floor {
    /// Serves until the process is killed.
    ///
    /// # Errors
    /// The system refuses a socket or a poll.
    pub(crate) fn run(&self) -> Result<()> {
        // What does not fit is refused by the system; who loads the floor sees it.
        let _ = allow_descriptors(CONNECTIONS_USUAL);
        let mut listeners = Vec::new();
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        for _ in 0..self.threads.max(1) {
            let listener = listen(address)?;
            address = listener.local_addr()?;
            listeners.push(listener);
        }
        crate::print(&format!("listening on http://{address}"));
        std::thread::scope(|scope| {
            let loops: Vec<_> = listeners.into_iter().map(|listener| scope.spawn(|| Loop::new(listener, self)?.run())).collect();
            for one in loops {
                match one.join() {
                    Ok(ended) => ended?,
                    Err(_) => anyhow::bail!("a thread of the floor panicked"),
                }
            }
            Ok(())
        })
    }
}

/// A listener that others on the same port share the connections with.
fn listen(address: SocketAddr) -> Result<TcpListener> {
    let bind = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from_std(socket.into()))
    };
    bind().with_context(|| format!("cannot listen on {address}"))
}

/// One thread of the floor.
struct Loop {
    poll: Poll,
    listener: TcpListener,
    market: Market,
    clients: Vec<Option<Client>>,
    /// Clients of each instrument. Those that have left stay listed: their place is empty.
    subscribers: Vec<Vec<usize>>,
    tick: Option<Duration>,
    start: Instant,
    ticks: u32,
    /// What is read lands here, whoever sent it.
    buffer: Vec<u8>,
    /// The frame of the client that is being written.
    frame: Vec<u8>,
    out: Vec<u8>,
}

impl Loop {
    fn new(mut listener: TcpListener, floor: &Floor) -> Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            market: Market::new(floor.market, floor.rate),
            clients: Vec::new(),
            subscribers: vec![Vec::new(); floor.market as usize],
            tick: (floor.tick > 0).then(|| Duration::from_millis(floor.tick)),
            start: Instant::now(),
            ticks: 0,
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
            out: Vec::new(),
        })
    }

    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let due = self.tick.map(|tick| self.start + tick * (self.ticks + 1));
            let wake_at = due.map_or(self.market.due(), |due| due.min(self.market.due()));
            match self.poll.poll(&mut events, Some(wake_at.saturating_duration_since(Instant::now()))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(key) => self.serve(key),
                }
            }
            let now = Instant::now();
            while self.market.due() <= now {
                let index = self.market.step(Stamp::now());
                if self.tick.is_none() {
                    self.tell(index);
                    // Who comes is not to wait for more than this when the loop is behind.
                    break;
                }
            }
            if due.is_some_and(|due| due <= now) {
                self.ticks += 1;
                self.tell_all();
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a connection cannot be accepted"),
            };
            self.poll.registry().register(&mut socket, Token(self.clients.len()), Interest::READABLE | Interest::WRITABLE)?;
            self.clients.push(Some(Client::new(socket)));
        }
    }

    /// A socket has something to read, or takes bytes again.
    fn serve(&mut self, key: usize) {
        let Some(Some(client)) = self.clients.get_mut(key) else { return };
        let Ok(wanted) = client.receive(&mut self.buffer) else {
            self.clients[key] = None;
            return;
        };
        if wanted.is_empty() {
            return;
        }
        self.out.clear();
        self.frame.clear();
        self.market.snapshot(&wanted, client.next_cseq(), Stamp::now(), &mut self.frame);
        push_frame(&mut self.out, &self.frame);
        for index in wanted {
            if let Some(subscribers) = self.subscribers.get_mut(index) {
                subscribers.push(key);
                client.subscribed.push(index as u32);
            }
        }
        if client.send(&self.out).is_err() {
            self.clients[key] = None;
        }
    }

    /// One update: one write to each of its subscribers.
    fn tell(&mut self, index: usize) {
        let now = Stamp::now();
        let record = self.market.record(index);
        for &key in &self.subscribers[index] {
            let Some(client) = &mut self.clients[key] else { continue };
            self.out.clear();
            self.frame.clear();
            let mut writer = FrameWriter::begin(&mut self.frame, Encoding::Protobuf, client.next_cseq(), now.0);
            writer.update(record);
            writer.finish();
            push_frame(&mut self.out, &self.frame);
            if client.send(&self.out).is_err() {
                self.clients[key] = None;
            }
        }
        self.market.settle();
    }

    /// One tick: one write to each connection, with everything of its that has changed.
    fn tell_all(&mut self) {
        let now = Stamp::now();
        self.market.encode_changed();
        for slot in &mut self.clients {
            let Some(client) = slot else { continue };
            self.out.clear();
            self.frame.clear();
            let mut changed = client.subscribed.iter().filter_map(|&index| self.market.changed(index as usize)).peekable();
            if changed.peek().is_none() {
                continue;
            }
            client.cseq += 1;
            let mut writer = FrameWriter::begin(&mut self.frame, Encoding::Protobuf, client.cseq, now.0);
            changed.for_each(|record| writer.update(record));
            writer.finish();
            push_frame(&mut self.out, &self.frame);
            if client.send(&self.out).is_err() {
                *slot = None;
            }
        }
        self.market.settle();
    }
}

/// Connections that there should be room for.
const CONNECTIONS_USUAL: u32 = 20_000;
/// Token of the listener. Clients count from 0.
const LISTENER: Token = Token(usize::MAX);
/// Connections that the kernel keeps while the loop is busy.
const BACKLOG: i32 = 4_096;
/// Events taken from the system at once. More come with the next turn.
const EVENTS_MAX: usize = 1_024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tickwire_load::{Conversation, Group, Manner, Pace, Probe, Progress, Sample, Ticker, Wire};

    use super::*;

    /// What ten connections, each with all four instruments, count in a second.
    fn measure(tick: u64) -> Sample {
        let floor = Floor { market: 4, rate: 400, tick, threads: 1 };
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the process of the test.
        std::thread::spawn(move || Loop::new(listener, &floor).unwrap().run());
        let manner =
            Arc::new(Manner { host: address.to_string(), token: None, wire: Wire::Protobuf, conflate_ms: 0, credit: false, steady: true });
        let symbols: Vec<String> = (0..4).map(|index| format!("bench.S{index}")).collect();
        let converse = |_| -> Box<dyn Conversation> { Box::new(Ticker::new(manner.clone(), symbols.clone())) };
        let (warm_up, duration) = (Duration::ZERO, Duration::from_secs(1));
        let probe =
            Probe { address, encryption: None, meter: None, converse: &converse, connections: 10, gathered: None, warm_up, duration };
        let group = Group { connections: 10, pace: Pace::Free, at_once: 10 };
        probe.measure(&group, 0, &mut Progress::silent()).unwrap()
    }

    #[test]
    fn every_update_is_a_write_or_merged_into_one_of_its_tick() {
        let each = measure(0).tally;
        assert!(each.faults.is_none(), "{:?}", each.faults);
        assert!(each.records > 0 && each.merged == 0 && each.checked > 0);
        let ticking = measure(100).tally;
        assert!(ticking.faults.is_none(), "{:?}", ticking.faults);
        assert!(ticking.merged > ticking.records && ticking.frames < ticking.records, "{ticking:?}");
    }
}
