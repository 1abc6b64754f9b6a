//! NATS: its text protocol, in WebSockets for subscribers, on TCP for the feed.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tickwire_load::Conversation;

use super::peer::{Peer, Publisher, Running, Tools, connect, free_address, read_until, send};
use super::subscriber::{Heard, Protocol, Subscriber};

pub(super) struct Nats;

impl Peer for Nats {
    fn name(&self) -> &'static str {
        "NATS WebSocket"
    }

    fn start(&self, tools: &Tools, folder: &Path) -> Result<Running> {
        let (subscribe, publish) = (free_address()?, free_address()?);
        let config = folder.join("nats.conf");
        let text = format!(
            "host: 127.0.0.1\nport: {}\nwebsocket {{ host: 127.0.0.1, port: {}, no_tls: true, compression: false }}\n",
            publish.port(),
            subscribe.port()
        );
        std::fs::write(&config, text)?;
        Running::start(Command::new(tools.find("nats-server")?).arg("-c").arg(config), subscribe, publish)
    }

    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation> {
        Box::new(Subscriber::new(Session { indices: indices.to_vec(), greeted: false }, host, indices))
    }

    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>> {
        let stream = connect(running.publish)?;
        read_until(&stream, b"\r\n")?;
        send(&stream, format!("{CONNECT}PING\r\n").as_bytes())?;
        read_until(&stream, b"PONG\r\n")?;
        Ok(Box::new(Feed { stream, message: Vec::new() }))
    }
}

struct Session {
    indices: Vec<usize>,
    /// The answer to the first INFO was given. The server sends another one in reply.
    greeted: bool,
}

impl Protocol for Session {
    fn request(&self) -> (String, &'static str) {
        ("/".to_owned(), "")
    }

    fn opened(&mut self, _heard: &mut Heard<'_>) {}

    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String> {
        let mut used = 0;
        while let Some(length) = bytes[used..].windows(2).position(|pair| pair == b"\r\n") {
            let line = &bytes[used..used + length];
            let mut end = used + length + 2;
            if line.starts_with(b"MSG ") {
                let size = line.rsplit(|byte| *byte == b' ').next().and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                let size: usize = size.ok_or("a message without a size")?;
                let Some(payload) = bytes.get(end..end + size).filter(|_| bytes.len() >= end + size + 2) else { break };
                heard.message(payload)?;
                end += size + 2;
            } else if line.starts_with(b"INFO") && !std::mem::replace(&mut self.greeted, true) {
                let mut text = CONNECT.to_owned();
                for index in std::mem::take(&mut self.indices) {
                    text.push_str(&format!("SUB bench.S{index} {index}\r\n"));
                }
                heard.say(format!("{text}PING\r\n").as_bytes());
            } else if line == b"PONG" {
                heard.ready();
            } else if line == b"PING" {
                heard.say(b"PONG\r\n");
            } else if line.starts_with(b"-ERR") {
                return Err(String::from_utf8_lossy(line).into_owned());
            }
            used = end;
        }
        Ok(used)
    }
}

struct Feed {
    stream: TcpStream,
    message: Vec<u8>,
}

impl Publisher for Feed {
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()> {
        self.message.clear();
        self.message.extend_from_slice(format!("PUB bench.S{index} {}\r\n", payload.len()).as_bytes());
        self.message.extend_from_slice(payload);
        self.message.extend_from_slice(b"\r\n");
        send(&self.stream, &self.message)
    }
}

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"lang\":\"bench\",\"version\":\"1\"}\r\n";
