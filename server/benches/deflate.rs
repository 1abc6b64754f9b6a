//! What permessage-deflate would cost and save: `cargo bench -p tickwire-server --bench deflate`.
//!
//! Takes frames of the built-in market from a real server, as a WebSocket client gets them, and compresses them as RFC 7692 would: with a window
//! that lives as long as its connection, and with one that starts anew with every frame.
#![expect(clippy::print_stdout, reason = "its output is the table")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails to unwrap has failed")]

use std::alloc::System;
use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tickwire_proto::Scale;
use tickwire_proto::v1::{self, client_frame::Command, subscribe_item::Target};
use tickwire_proto::wire::{Encoding, decode_server, encode_client};
use tickwire_server::Server;
use tickwire_server::config::{Config, Overrides};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = runtime.block_on(async {
        let server = Server::start(config(), CancellationToken::new()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.stopped());
        address
    });
    // Both at once, so that they get the same updates.
    let captures = [Encoding::Protobuf, Encoding::Json].map(|encoding| std::thread::spawn(move || capture(address, encoding)));
    let captures = captures.map(|capture| capture.join().unwrap());
    println!("| encoding | compression | bytes per frame | saved | CPU per frame | CPU per update | memory per connection |");
    println!("|---|---|---|---|---|---|---|");
    for (name, capture) in ["protobuf", "JSON"].iter().zip(&captures) {
        let bytes: usize = capture.frames.iter().map(Vec::len).sum();
        println!("| {name} | none | {} | | | | |", bytes / capture.frames.len());
        for way in WAYS {
            println!("| {name} | {} |", row(way, capture, bytes));
        }
    }
    let [protobuf, _] = &captures;
    println!(
        "\n{} frames with {} updates of 50 instruments at 250 ms, from {CAPTURE:?} of the market",
        protobuf.frames.len(),
        protobuf.updates
    );
}

/// One way to compress.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    level: u32,
    window_bits: u8,
    /// The window lives as long as the connection.
    shared: bool,
}

const fn way(name: &'static str, level: u32, window_bits: u8, shared: bool) -> Way {
    Way { name, level, window_bits, shared }
}

const WAYS: [Way; 6] = [
    way("level 1, window kept", 1, 15, true),
    way("level 6, window kept", 6, 15, true),
    way("level 6, window of 4 KiB kept", 6, 12, true),
    way("level 6, window of 512 bytes kept", 6, 9, true),
    way("level 1, window anew", 1, 15, false),
    way("level 6, window anew", 6, 15, false),
];

/// What a client got.
struct Capture {
    frames: Vec<Vec<u8>>,
    updates: usize,
}

fn row(way: Way, capture: &Capture, bytes: usize) -> String {
    let region = Region::new(ALLOCATOR);
    let mut compress = Compress::new_with_window_bits(Compression::new(way.level), false, way.window_bits);
    let mut out = Vec::with_capacity(OUT_BYTES);
    squeeze(&mut compress, &capture.frames[0], &mut out);
    let change = region.change();
    let memory = change.bytes_allocated.saturating_sub(change.bytes_deallocated).saturating_sub(OUT_BYTES);
    let (mut compressed, mut rounds, start) = (0, 0, cpu());
    while cpu() - start < MEASURE {
        rounds += 1;
        compress.reset();
        for frame in &capture.frames {
            if !way.shared {
                compress.reset();
            }
            compressed += squeeze(&mut compress, frame, &mut out);
        }
    }
    let spent = (cpu() - start).as_secs_f64() * 1e6 / f64::from(rounds);
    let compressed = compressed / rounds as usize;
    // Windows that start anew live in one place for all connections of a shard.
    let memory = if way.shared { format!("{} KiB", memory / 1_024) } else { "none".to_owned() };
    format!(
        "{} | {} | {:.0} % | {:.1} µs | {:.2} µs | {memory}",
        way.name,
        compressed / capture.frames.len(),
        100.0 - 100.0 * compressed as f64 / bytes as f64,
        spent / capture.frames.len() as f64,
        spent / capture.updates as f64,
    )
}

/// Compresses one message as RFC 7692 has it; returns its bytes.
fn squeeze(compress: &mut Compress, frame: &[u8], out: &mut Vec<u8>) -> usize {
    out.clear();
    compress.compress_vec(frame, out, FlushCompress::Sync).unwrap();
    assert!(out.len() < OUT_BYTES, "the message fits");
    // The empty block at the end of a flush is left out.
    out.len().saturating_sub(4)
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn config() -> Config {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let defaults = own(&[("feed.source", "simulated"), ("auth.anonymous.symbols", "#"), ("listen", "127.0.0.1:0"), ("shards", "1")]);
    Config::load(&Overrides { defaults, ..Overrides::default() }, &[]).unwrap()
}

/// Frames with updates, from the end of the snapshot on.
fn capture(address: SocketAddr, encoding: Encoding) -> Capture {
    let mut socket = TcpStream::connect(address).unwrap();
    let protocol = if encoding == Encoding::Json { "tickwire.v1.json" } else { "tickwire.v1.pb" };
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(&mut socket));
    }
    let hello = v1::Hello { protocol: 1, sdk: "bench".to_owned(), conflate_ms: Some(250), ..Default::default() };
    let item = |pattern: &str| v1::SubscribeItem { target: Some(Target::Pattern(pattern.to_owned())), ..Default::default() };
    let items = ["stock.*", "crypto.*", "soccer.#"].map(item).to_vec();
    for command in [Command::Hello(hello), Command::Subscribe(v1::Subscribe { items, replace: false })] {
        let mut body = Vec::new();
        encode_client(encoding, &v1::ClientFrame { request_id: 1, command: Some(command) }, &mut body);
        // A mask of zeros leaves the bytes as they are.
        let mut frame = vec![if encoding == Encoding::Json { 0x81 } else { 0x82 }, 0x80 | 126];
        frame.extend_from_slice(&(body.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&body);
        socket.write_all(&frame).unwrap();
    }
    let (mut capture, mut by, mut scales) = (Capture { frames: Vec::new(), updates: 0 }, None, HashMap::new());
    while by.is_none_or(|by| Instant::now() < by) {
        let payload = message(&mut socket);
        let frame = decode_server(encoding, &payload, &|id| scales.get(&id).copied()).unwrap();
        let scale = |places| Scale::new(places).unwrap();
        scales.extend(frame.infos.iter().map(|info| (info.id, (scale(info.price_scale), scale(info.quantity_scale)))));
        if by.is_none() {
            by = matches!(frame.control, Some(v1::server_frame::Control::SnapshotComplete(_))).then(|| Instant::now() + CAPTURE);
        } else if !frame.updates.is_empty() {
            capture.updates += frame.updates.len();
            capture.frames.push(payload);
        }
    }
    capture
}

fn message(socket: &mut TcpStream) -> Vec<u8> {
    let (_first, short) = (byte(socket), byte(socket));
    let len = match short {
        126 => usize::from(u16::from_be_bytes([byte(socket), byte(socket)])),
        127 => (0..8).fold(0, |len, _| len << 8 | usize::from(byte(socket))),
        short => usize::from(short),
    };
    let mut payload = vec![0; len];
    socket.read_exact(&mut payload).unwrap();
    payload
}

fn byte(socket: &mut TcpStream) -> u8 {
    let mut byte = [0];
    socket.read_exact(&mut byte).unwrap();
    byte[0]
}

/// How long frames are taken from the server.
const CAPTURE: Duration = Duration::from_secs(20);
/// CPU time of one row.
const MEASURE: Duration = Duration::from_secs(2);
/// Room for a compressed message.
const OUT_BYTES: usize = 1 << 20;
