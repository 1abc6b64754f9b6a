//! A client of our own, down to the bytes: it can say what no library would.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio_rustls::rustls::{self, ClientConnection};

/// A connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Its encryption, if it is encrypted.
    tls: Option<Box<ClientConnection>>,
    /// Read, but not yet looked at.
    pub(crate) buffer: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(':').filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
    }

    /// `code` of a refusal.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        assert!(body["text"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, tls: None, buffer: Vec::new() }
    }

    /// Connects and lets `tls` make its handshake.
    pub(crate) fn encrypted(address: SocketAddr, tls: ClientConnection) -> std::io::Result<Self> {
        let mut wire = Self::connect(address);
        let mut tls = Box::new(tls);
        while tls.is_handshaking() {
            tls.complete_io(&mut wire.stream)?;
        }
        Ok(Self { tls: Some(tls), ..wire })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            None => self.stream.write_all(bytes).unwrap(),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write_all(bytes).unwrap(),
        }
    }

    /// Sends without TLS; whether the server still takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request, and reads the answer with its body.
    pub(crate) fn ask(&mut self, request: &str, headers: &str) -> Response {
        self.send(format!("{request} HTTP/1.1\r\nHost: tickwire.test\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    /// Reads an answer; its body must have a length.
    pub(crate) fn response(&mut self) -> Response {
        let (status, head) = self.head();
        let mut response = Response { status, head, body: String::new() };
        let len = response.header("content-length").map_or(0, |len| len.parse().unwrap());
        response.body = String::from_utf8(self.take(len)).unwrap();
        response
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> (u16, String) {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(self.take(end + 4)).unwrap();
                return (head.split(' ').nth(1).unwrap().parse().unwrap(), head);
            }
            assert!(self.fill(), "the server left within a head: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Opens a WebSocket.
    pub(crate) fn upgrade(address: SocketAddr, headers: &str) -> Result<Self, Response> {
        Self::connect(address).upgraded(&address.to_string(), headers)
    }

    /// Makes this connection a WebSocket.
    pub(crate) fn upgraded(mut self, host: &str, headers: &str) -> Result<Self, Response> {
        let wire = &mut self;
        wire.send(format!("GET /v1/ws HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}{headers}\r\n").as_bytes());
        let (status, head) = wire.head();
        if status == 101 {
            assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
            return Ok(self);
        }
        let mut response = Response { status, head, body: String::new() };
        let len = response.header("content-length").map_or(0, |len| len.parse().unwrap());
        response.body = String::from_utf8(wire.take(len)).unwrap();
        Err(response)
    }

    /// Sends a masked frame that begins with `first` (FIN, RSV and opcode).
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&masked(first, payload));
    }

    /// Reads a frame: first byte and payload. `None` when the server has closed.
    pub(crate) fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        while self.buffer.len() < 2 {
            if !self.fill() {
                return None;
            }
        }
        let (first, short) = (self.buffer[0], self.buffer[1]);
        assert!(short & 0x80 == 0, "a server does not mask");
        let len_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = self.take(2 + len_bytes);
        let len = if len_bytes == 0 { short.into() } else { head[2..].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)) };
        Some((first, self.take(len)))
    }

    /// Reads to the Close frame; returns its code. The connection must end behind it.
    pub(crate) fn close_code(&mut self) -> u16 {
        while let Some((first, payload)) = self.next_frame() {
            if first == 0x88 {
                let code = payload.first_chunk().map_or(1_005, |bytes| u16::from_be_bytes(*bytes));
                assert!(!self.fill() && self.buffer.is_empty(), "something came behind Close");
                return code;
            }
        }
        panic!("the server left without Close");
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len {
            assert!(self.fill(), "the server left in the middle of something");
        }
        let rest = self.buffer.split_off(len);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Reads more; false at the end.
    pub(crate) fn fill(&mut self) -> bool {
        let mut piece = [0; 16_384];
        let read = match &mut self.tls {
            None => self.stream.read(&mut piece),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(&mut piece),
        };
        match read {
            Ok(len) => {
                self.buffer.extend_from_slice(&piece[..len]);
                len > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
        }
    }
}

/// A masked frame.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x5A, 0x01, 0xFF, 0x80];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The handshake of RFC 6455.
pub(crate) const UPGRADE: &str =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
