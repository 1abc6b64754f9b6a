//! A client that speaks the session protocol, in either encoding, over any transport.

use std::collections::HashMap;
use std::net::SocketAddr;

use tickwire_proto::Scale;
use tickwire_proto::v1::{self, client_frame::Command, server_frame::Control, subscribe_item::Target, update::Body};
use tickwire_proto::wire::{Encoding, decode_server, encode_client};

use crate::wire::{Response, Wire};

/// A session.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
    transport: Transport,
    scales: HashMap<u32, (Scale, Scale)>,
    pub(crate) symbols: HashMap<u32, String>,
    cseq: u64,
    requests: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Protobuf,
    Json,
    Sse,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Protobuf, Self::Json, Self::Sse];

    fn encoding(self) -> Encoding {
        if self == Self::Protobuf { Encoding::Protobuf } else { Encoding::Json }
    }
}

impl Peer {
    /// Opens a WebSocket; no Hello yet.
    pub(crate) fn open(address: SocketAddr, transport: Transport) -> Self {
        let protocol = if transport == Transport::Json { "tickwire.v1.json" } else { "tickwire.v1.pb" };
        let wire = Wire::upgrade(address, &format!("Sec-WebSocket-Protocol: {protocol}\r\n")).unwrap();
        Self::over(wire, transport)
    }

    /// A session on a connection that stands.
    pub(crate) fn begun(mut wire: Wire, transport: Transport, symbols: &[&str], conflate_ms: u32) -> Self {
        if transport == Transport::Sse {
            let query = format!("symbols={}&conflate_ms={conflate_ms}&heartbeat_ms=500", symbols.join(",").replace('#', "%23"));
            wire.send(format!("GET /v1/sse?{query} HTTP/1.1\r\nHost: tickwire.test\r\n\r\n").as_bytes());
            assert_eq!(wire.head().0, 200);
            return Self::over(wire, transport);
        }
        let protocol = if transport == Transport::Json { "tickwire.v1.json" } else { "tickwire.v1.pb" };
        let mut peer = Self::over(wire.upgraded("tickwire.test", &format!("Sec-WebSocket-Protocol: {protocol}\r\n")).unwrap(), transport);
        peer.hello(v1::Hello { conflate_ms: Some(conflate_ms), heartbeat_ms: Some(500), ..Default::default() });
        peer.subscribe(symbols);
        peer
    }

    /// Opens an event stream.
    pub(crate) fn stream(address: SocketAddr, query: &str, headers: &str) -> Result<Self, Response> {
        let mut wire = Wire::connect(address);
        wire.send(format!("GET /v1/sse?{query} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes());
        let (status, head) = wire.head();
        if status == 200 {
            return Ok(Self::over(wire, Transport::Sse));
        }
        let mut response = Response { status, head, body: String::new() };
        let len = response.header("content-length").unwrap().parse().unwrap();
        response.body = String::from_utf8(wire.take(len)).unwrap();
        Err(response)
    }

    /// A session that wants `symbols` at `conflate_ms`, over any transport.
    pub(crate) fn subscribed(address: SocketAddr, transport: Transport, symbols: &[&str], conflate_ms: u32) -> Self {
        Self::begun(Wire::connect(address), transport, symbols, conflate_ms)
    }

    pub(crate) fn over(wire: Wire, transport: Transport) -> Self {
        Self { wire, transport, scales: HashMap::new(), symbols: HashMap::new(), cseq: 0, requests: 0 }
    }

    pub(crate) fn hello(&mut self, hello: v1::Hello) {
        self.command(Command::Hello(v1::Hello { protocol: 1, sdk: "e2e".to_owned(), ..hello }));
    }

    pub(crate) fn subscribe(&mut self, symbols: &[&str]) {
        let item = |symbol: &&str| {
            let is_pattern = symbol.contains(['*', '#']);
            let target = if is_pattern { Target::Pattern((*symbol).to_owned()) } else { Target::Symbol((*symbol).to_owned()) };
            v1::SubscribeItem { target: Some(target), ..Default::default() }
        };
        self.command(Command::Subscribe(v1::Subscribe { items: symbols.iter().map(item).collect(), replace: false }));
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.requests += 1;
        let (frame, mut bytes) = (v1::ClientFrame { request_id: self.requests, command: Some(command) }, Vec::new());
        encode_client(self.transport.encoding(), &frame, &mut bytes);
        self.wire.frame(if self.transport == Transport::Json { 0x81 } else { 0x82 }, &bytes);
    }

    /// The next frame. Frames are numbered without holes.
    pub(crate) fn next(&mut self) -> v1::ServerFrame {
        let payload = self.payload();
        let scales = self.scales.clone();
        let frame = decode_server(self.transport.encoding(), &payload, &|id| scales.get(&id).copied())
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&payload)));
        self.cseq += 1;
        assert_eq!(frame.cseq, self.cseq, "frames are numbered without holes");
        for info in &frame.infos {
            let scale = |places| Scale::new(places).unwrap();
            self.scales.insert(info.id, (scale(info.price_scale), scale(info.quantity_scale)));
            self.symbols.insert(info.id, info.symbol.clone());
        }
        frame
    }

    fn payload(&mut self) -> Vec<u8> {
        loop {
            if self.transport == Transport::Sse {
                if let Some(data) = self.event() {
                    return data;
                }
                continue;
            }
            let (first, payload) = self.wire.next_frame().expect("the server left");
            match first {
                0x82 if self.transport == Transport::Protobuf => return payload,
                0x81 if self.transport == Transport::Json => return payload,
                0x8A => {}
                _ => panic!("frame {first:#x} with {payload:?}"),
            }
        }
    }

    /// The data of the next event, if it has any.
    fn event(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunk();
        let text = String::from_utf8(chunk).unwrap();
        assert!(text.ends_with("\n\n") && text.matches("\n\n").count() == 1, "one event in a chunk: {text:?}");
        text.lines().find_map(|line| line.strip_prefix("data: ")).map(|data| data.as_bytes().to_vec())
    }

    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let end = loop {
            match self.wire.buffer.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end,
                None => assert!(self.wire.fill(), "the server left"),
            }
        };
        let line = String::from_utf8(self.wire.take(end + 2)).unwrap();
        let len = usize::from_str_radix(line.trim(), 16).unwrap();
        let chunk = self.wire.take(len + 2);
        chunk[..len].to_vec()
    }

    /// Reads frames until `wanted` finds what it wants.
    pub(crate) fn until<T>(&mut self, mut wanted: impl FnMut(&v1::ServerFrame) -> Option<T>) -> T {
        loop {
            let frame = self.next();
            if let Some(found) = wanted(&frame) {
                return found;
            }
        }
    }

    /// Reads to the answer of a Subscribe.
    pub(crate) fn ack(&mut self) -> v1::SubscribeAck {
        self.until(|frame| match &frame.control {
            Some(Control::SubscribeAck(ack)) => Some(ack.clone()),
            _ => None,
        })
    }

    /// Reads to an Error frame.
    pub(crate) fn error(&mut self) -> v1::Error {
        self.until(|frame| match &frame.control {
            Some(Control::Error(error)) => Some(error.clone()),
            _ => None,
        })
    }

    /// The next quote of a record, with the record.
    pub(crate) fn quote(&mut self) -> (v1::Update, v1::Quote) {
        self.until(|frame| {
            frame.updates.iter().find_map(|update| match &update.body {
                Some(Body::Quote(quote)) => Some((update.clone(), *quote)),
                _ => None,
            })
        })
    }
}
