//! A client that costs little: it counts records without decoding them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use tickwire_proto::v1::{self, client_frame::Command};
use tickwire_proto::wire::{self, Encoding};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Counters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Clients whose snapshot is complete.
    pub(crate) complete: AtomicU64,
    /// Records received.
    pub(crate) records: AtomicU64,
    /// Bytes received, WebSocket headers included.
    pub(crate) bytes: AtomicU64,
}

/// One WebSocket connection with its subscriptions.
#[derive(Debug)]
pub(crate) struct Client {
    socket: TcpStream,
}

impl Client {
    /// Connects, says Hello and subscribes to `symbols` at `conflate_ms`.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) async fn connect(address: SocketAddr, symbols: &[String], conflate_ms: u32) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGlja3dpcmUtYmVuY2gtMQ==\r\nSec-WebSocket-Protocol: tickwire.v1.pb\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.context("the server closed during the handshake")?);
            if head.len() > HEAD_BYTES_MAX {
                bail!("the answer to the handshake is too long");
            }
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the server refused: {}", String::from_utf8_lossy(&head).lines().next().unwrap_or(""));
        }
        let mut client = Self { socket };
        let hello = v1::Hello {
            protocol: 1,
            sdk: "tickwire-bench".into(),
            conflate_ms: Some(conflate_ms),
            heartbeat_ms: Some(30_000),
            ..Default::default()
        };
        client.send(1, Command::Hello(hello)).await?;
        let items = symbols
            .iter()
            .map(|symbol| v1::SubscribeItem { target: Some(v1::subscribe_item::Target::Symbol(symbol.clone())), ..Default::default() });
        client.send(2, Command::Subscribe(v1::Subscribe { items: items.collect(), replace: false })).await?;
        Ok(client)
    }

    /// Reads and counts until the server closes.
    ///
    /// # Errors
    /// The connection breaks.
    pub(crate) async fn count(self, tally: &Tally) -> Result<()> {
        // Frames that arrived in part. Grows to the largest frame and keeps that size.
        let mut held: Vec<u8> = Vec::new();
        loop {
            self.socket.readable().await?;
            let before = held.len();
            held.resize(before + READ_BYTES, 0);
            match self.socket.try_read(&mut held[before..]) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    held.truncate(before + read);
                    tally.bytes.fetch_add(read as u64, Ordering::Relaxed);
                    let used = count_frames(&held, tally)?;
                    held.drain(..used);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => held.truncate(before),
                Err(error) => return Err(error.into()),
            }
            if held.is_empty() {
                // An idle client holds no buffer: the generator shares its machine with the server.
                held = Vec::new();
            }
        }
    }

    async fn send(&mut self, request_id: u32, command: Command) -> Result<()> {
        let mut body = Vec::new();
        wire::encode_client(Encoding::Protobuf, &v1::ClientFrame { request_id, command: Some(command) }, &mut body);
        // A mask of zeros is a valid mask (RFC 6455 5.3) and leaves the bytes as they are.
        let mut frame = vec![0x82];
        match u8::try_from(body.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&u16::try_from(body.len()).context("the message is too long")?.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&body);
        self.socket.write_all(&frame).await?;
        Ok(())
    }
}

/// Counts the whole frames at the start of `bytes`; returns how many bytes they take.
fn count_frames(bytes: &[u8], tally: &Tally) -> Result<usize> {
    let mut used = 0;
    while let Some((opcode, payload, length)) = split_frame(&bytes[used..]) {
        match opcode {
            0x2 => count_records(payload, tally),
            0x8 => bail!("the server closed with code {}", payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
            _ => {}
        }
        used += length;
    }
    Ok(used)
}

/// Opcode, payload and whole length of the first frame, if all of it is there.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (start, size) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    Some((bytes[0] & 0x0f, bytes.get(start..start + size)?, start + size))
}

/// Walks the fields of a `ServerFrame`: 4 is an update, 10 the end of a snapshot.
fn count_records(mut bytes: &[u8], tally: &Tally) {
    let mut records = 0;
    while let Some(key) = varint(&mut bytes) {
        match (key >> 3, key & 7) {
            (field, 2) => {
                let Some(length) = varint(&mut bytes) else { break };
                let Some(rest) = usize::try_from(length).ok().and_then(|length| bytes.get(length..)) else { break };
                bytes = rest;
                match field {
                    4 => records += 1,
                    10 => {
                        tally.complete.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
            (_, 0) => {
                varint(&mut bytes);
            }
            (_, 1) => bytes = bytes.get(8..).unwrap_or(&[]),
            _ => break,
        }
    }
    tally.records.fetch_add(records, Ordering::Relaxed);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Bytes of the server's answer to the handshake. A longer one is no answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes asked for in one read.
const READ_BYTES: usize = 64 * 1024;
