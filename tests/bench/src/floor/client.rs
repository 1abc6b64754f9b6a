//! One connection of the floor: the handshake, what it subscribes to, and what its socket has not taken.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::net::TcpStream;
use prost::Message as _;
use tickwire_proto::v1::{self, client_frame::Command, subscribe_item::Target};

pub(super) struct Client {
    socket: TcpStream,
    /// The answer to its request was sent.
    upgraded: bool,
    /// What was read and is not whole. Empty, and without memory, once it has subscribed.
    held: Vec<u8>,
    unsent: Vec<u8>,
    pub(super) cseq: u64,
    /// Instruments.
    pub(super) subscribed: Vec<u32>,
}

impl Client {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, upgraded: false, held: Vec::new(), unsent: Vec::new(), cseq: 0, subscribed: Vec::new() }
    }

    pub(super) fn next_cseq(&mut self) -> u64 {
        self.cseq += 1;
        self.cseq
    }

    /// Sends what is unsent, and reads what is there. Gives the numbers of the instruments that it wants from now on.
    ///
    /// # Errors
    /// It has left, or says something else than the load generator does.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Vec<usize>> {
        self.send(&[])?;
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.held.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut used = 0;
        if !self.upgraded {
            let Some(end) = self.held.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) else { return Ok(Vec::new()) };
            used = end + HEAD_END.len();
            self.upgraded = true;
            self.send(SWITCHING)?;
        }
        let mut wanted = Vec::new();
        while let Some((payload, length)) = first_frame(&self.held[used..]) {
            let frame = v1::ClientFrame::decode(payload).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if let Some(Command::Subscribe(subscribe)) = frame.command {
                wanted.extend(subscribe.items.iter().filter_map(|item| match &item.target {
                    Some(Target::Symbol(symbol)) => symbol.strip_prefix("bench.S")?.parse::<usize>().ok(),
                    _ => None,
                }));
            }
            used += length;
        }
        self.held.drain(..used);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        Ok(wanted)
    }

    /// Writes `bytes` behind what is unsent.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unsent.is_empty() {
            let taken = write_some(&mut self.socket, bytes)?;
            self.unsent.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        self.unsent.extend_from_slice(bytes);
        let taken = write_some(&mut self.socket, &self.unsent)?;
        self.unsent.drain(..taken);
        Ok(())
    }
}

/// Writes until the socket is full or everything is out.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match socket.write(&bytes[taken..]) {
            Ok(length) => taken += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Payload and whole length of the first frame of a client, whose mask is zero, if all of it is there.
fn first_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (start, size): (usize, usize) = match *bytes.get(1)? & 0x7f {
        126 => (8, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (14, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (6, usize::from(short)),
    };
    let length = start.checked_add(size)?;
    Some((bytes.get(start..length)?, length))
}

/// Appends one binary WebSocket frame.
pub(super) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x82);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

const HEAD_END: &[u8] = b"\r\n\r\n";
/// The key of the load generator is always the same, and so is the answer.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: eH2GfxHVAbxMSbVJ0p5bKvUCGZ8=\r\nSec-WebSocket-Protocol: tickwire.v1.pb\r\n\r\n";
