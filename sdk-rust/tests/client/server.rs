//! The other end: a server whose every word the test says.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tickwire::v1::client_frame::Command;
use tickwire::v1::server_frame::Control;
use tickwire::v1::subscribe_item::Target;
use tickwire::v1::update::Body;
use tickwire::v1::{self, ErrorCode, UpdateFlag};
use tickwire::{Builder, Client, Encoding};
use tickwire_proto::wire::{FrameWriter, Naming, decode_client, encode_info, encode_update};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("nothing happened within 10 s")
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) struct Server {
    listener: TcpListener,
    encoding: Encoding,
}

impl Server {
    pub(crate) async fn start(encoding: Encoding) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), encoding }
    }

    /// A server at the address of one that has ended.
    pub(crate) async fn start_at(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("an url of a server here");
        Self { listener: TcpListener::bind(address).await.unwrap(), encoding: Encoding::Protobuf }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// A builder for this server that reconnects fast.
    pub(crate) fn client(&self) -> Builder {
        let (first, last) = (Duration::from_millis(1), Duration::from_millis(10));
        Client::builder(self.url()).encoding(self.encoding).backoff(first, last)
    }

    /// Takes the next connection and its handshake.
    pub(crate) async fn accept(&self) -> Peer {
        let name = match self.encoding {
            Encoding::Protobuf => "tickwire.v1.pb",
            Encoding::Json => "tickwire.v1.json",
        };
        let tcp = self.accept_raw().await;
        let builder = ServerBuilder::new().add_header(http::header::SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(name));
        let (request, stream) = within(builder.unwrap().accept(tcp)).await.unwrap();
        assert_eq!(request.uri().path(), "/v1/ws");
        assert_eq!(request.headers()["sec-websocket-protocol"], name);
        assert!(!request.headers().contains_key("authorization"));
        Peer { stream, encoding: self.encoding, cseq: 0 }
    }

    /// Takes the next connection, and its Hello; welcomes it.
    pub(crate) async fn welcome(&self) -> (Peer, v1::Hello) {
        let mut peer = self.accept().await;
        let hello = match peer.command().await {
            (_, Command::Hello(hello)) => hello,
            (_, other) => panic!("expected hello, got {other:?}"),
        };
        peer.control(welcome(v1::Resume::Fresh)).await;
        (peer, hello)
    }

    /// Takes the next connection and answers its request with `response`, word for word. Returns the request's head.
    pub(crate) async fn respond(&self, response: &str) -> (TcpStream, String) {
        let mut tcp = self.accept_raw().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(tcp.read_u8()).await.unwrap());
        }
        tcp.write_all(response.as_bytes()).await.unwrap();
        (tcp, String::from_utf8(head).unwrap())
    }

    async fn accept_raw(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }
}

/// One connection.
pub(crate) struct Peer {
    stream: WebSocketStream<TcpStream>,
    encoding: Encoding,
    cseq: u64,
}

impl Peer {
    /// The next command, and its request id. Pings and progress are the session's own business.
    pub(crate) async fn command(&mut self) -> (u32, Command) {
        loop {
            let message = within(self.stream.next()).await.expect("connection ended").unwrap();
            assert_eq!(message.is_text(), self.encoding == Encoding::Json, "{message:?}");
            let frame = decode_client(self.encoding, message.as_payload()).unwrap();
            match frame.command.unwrap() {
                Command::Ping(_) | Command::Progress(_) => {}
                command => return (frame.request_id, command),
            }
        }
    }

    /// Waits for a subscribe and serves all of it: acknowledgement, infos, images, and the end of the snapshot. Ids go by the number in
    /// the symbol: `s7` has id 7. Symbols called `no…` are unknown.
    pub(crate) async fn serve_subscribe(&mut self, seq: u64) -> Vec<String> {
        let (request_id, subscribe) = match self.command().await {
            (request_id, Command::Subscribe(subscribe)) => (request_id, subscribe),
            (_, other) => panic!("expected subscribe, got {other:?}"),
        };
        let symbols = subscribe.items.into_iter().map(|item| match item.target.unwrap() {
            Target::Symbol(target) | Target::Pattern(target) => target,
        });
        let symbols: Vec<String> = symbols.collect();
        self.serve(request_id, &symbols, seq).await;
        symbols
    }

    async fn serve(&mut self, request_id: u32, symbols: &[String], seq: u64) {
        let result = |symbol: &String| {
            let code = if symbol.starts_with("no") { ErrorCode::UnknownSymbol } else { ErrorCode::Unspecified };
            v1::SubscribeResult { symbol: symbol.clone(), id: id_of(symbol), code: code as i32, ..v1::SubscribeResult::default() }
        };
        let results = symbols.iter().map(result).collect();
        self.control(Control::SubscribeAck(v1::SubscribeAck { request_id, results, images_follow: symbols.len() as u32 })).await;
        for symbol in symbols.iter().filter(|symbol| id_of(symbol) > 0) {
            self.image(symbol, seq, 100).await;
        }
        self.control(Control::SnapshotComplete(v1::SnapshotComplete { request_id })).await;
    }

    /// Sends an info and an image whose bid is `cents`.
    pub(crate) async fn image(&mut self, symbol: &str, seq: u64, cents: i64) {
        let frame = image_frame(self.encoding, self.next_cseq(), symbol, seq, cents);
        self.write(frame).await;
    }

    /// Sends a delta: another bid.
    pub(crate) async fn bid(&mut self, symbol: &str, seq: u64, cents: i64) {
        let quote = v1::Quote { bid: Some(cents), ..v1::Quote::default() };
        self.update(symbol, v1::Update { seq, body: Some(Body::Quote(quote)), ..v1::Update::default() }).await;
    }

    /// Sends an event: a halt with `reason`.
    pub(crate) async fn halt(&mut self, symbol: &str, seq: u64, reason: &str) {
        let status = v1::Status { phase: v1::TradingPhase::Halted as i32, reason: reason.to_owned(), resume_us: None };
        let body = Some(Body::Status(status));
        self.update(symbol, v1::Update { seq, flags: UpdateFlag::Event as u32, body, ..v1::Update::default() }).await;
    }

    async fn update(&mut self, symbol: &str, update: v1::Update) {
        let (mut frame, mut record) = (Vec::new(), Vec::new());
        encode_update(self.encoding, &v1::Update { id: id_of(symbol), ..update }, naming(symbol), &mut record);
        let mut writer = FrameWriter::begin(&mut frame, self.encoding, self.next_cseq(), 1);
        writer.update(&record);
        writer.finish();
        self.write(frame).await;
    }

    pub(crate) async fn control(&mut self, control: Control) {
        let frame = control_frame(self.encoding, self.next_cseq(), &control);
        self.write(frame).await;
    }

    /// Sends bytes that may or may not be a frame.
    pub(crate) async fn write(&mut self, frame: Vec<u8>) {
        let message = if self.encoding == Encoding::Json { Message::text(frame) } else { Message::binary(frame) };
        within(self.stream.send(message)).await.unwrap();
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let _ = self.stream.send(Message::close(Some(CloseCode::try_from(code).unwrap()), reason)).await;
        let _ = within(self.stream.close()).await;
    }

    /// Waits for the client's end, and returns its close code if it gave one.
    pub(crate) async fn ended(mut self) -> Option<u16> {
        loop {
            match within(self.stream.next()).await {
                Some(Ok(message)) if message.is_close() => return message.as_close().map(|(code, _)| code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    fn next_cseq(&mut self) -> u64 {
        self.cseq += 1;
        self.cseq
    }
}

pub(crate) fn welcome(resume: v1::Resume) -> Control {
    let limits = v1::Limits { message_bytes_max: 65_536, commands_per_s: 1_000, commands_burst: 1_000, ..v1::Limits::default() };
    Control::Welcome(v1::Welcome {
        session: "s".to_owned(),
        node: "n".to_owned(),
        epoch: "e".to_owned(),
        limits: Some(limits),
        heartbeat_ms: 30_000,
        resume: resume as i32,
        server_ts_us: 1_700_000_000_000_000,
        ..v1::Welcome::default()
    })
}

pub(crate) fn control_frame(encoding: Encoding, cseq: u64, control: &Control) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::begin(&mut frame, encoding, cseq, 1);
    writer.control(control);
    writer.finish();
    frame
}

pub(crate) fn image_frame(encoding: Encoding, cseq: u64, symbol: &str, seq: u64, cents: i64) -> Vec<u8> {
    let (mut frame, mut info, mut record) = (Vec::new(), Vec::new(), Vec::new());
    let described = v1::InstrumentInfo { symbol: symbol.to_owned(), id: id_of(symbol), price_scale: 2, ..v1::InstrumentInfo::default() };
    encode_info(encoding, &described, &mut info);
    let quote = v1::Quote { bid: Some(cents), ..v1::Quote::default() };
    let flags = UpdateFlag::Image as u32;
    let update = v1::Update { id: id_of(symbol), seq, flags, body: Some(Body::Quote(quote)), ..v1::Update::default() };
    encode_update(encoding, &update, naming(symbol), &mut record);
    let mut writer = FrameWriter::begin(&mut frame, encoding, cseq, 1);
    writer.info(&info);
    writer.update(&record);
    writer.finish();
    frame
}

fn id_of(symbol: &str) -> u32 {
    symbol.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(0)
}

fn naming(symbol: &str) -> Naming<'_> {
    let two = tickwire::Scale::new(2).unwrap();
    Naming { symbol, price_scale: two, quantity_scale: tickwire::Scale::default() }
}
