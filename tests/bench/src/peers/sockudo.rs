//! Sockudo: the Pusher protocol. Its messages are JSON, so each record travels as base64. The feed is a client too: it publishes to private
//! channels, which costs the server less than a signed request over HTTP for each update.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tickwire_load::Conversation;
use tickwire_load::websocket::{push_frame, request};

use super::peer::{Peer, Publisher, Running, Tools, connect, free_address, read_until, send};
use super::subscriber::{Heard, Protocol, Subscriber};

pub(super) struct Sockudo;

impl Peer for Sockudo {
    fn name(&self) -> &'static str {
        "Sockudo (Pusher)"
    }

    fn start(&self, tools: &Tools, folder: &Path) -> Result<Running> {
        let address = free_address()?;
        let mut command = Command::new(tools.find("sockudo")?);
        // It looks for a configuration below the folder it is started in, and makes one for nobody.
        command.current_dir(folder).envs(SETTINGS).env("HOST", "127.0.0.1").env("PORT", address.port().to_string());
        Running::start(&mut command, address, address)
    }

    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation> {
        Box::new(Subscriber::new(Session { indices: indices.to_vec(), granted: 0 }, host, indices))
    }

    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>> {
        let stream = connect(running.publish)?;
        send(&stream, request(&running.publish.to_string(), PATH, "", "").as_bytes())?;
        let greeting = read_until(&stream, b"activity_timeout")?;
        let socket_id = socket_id(&String::from_utf8_lossy(&greeting)).context("no socket id in its greeting")?;
        Ok(Box::new(Feed { stream, socket_id, joined: Vec::new() }))
    }
}

struct Session {
    indices: Vec<usize>,
    granted: usize,
}

impl Protocol for Session {
    fn request(&self) -> (String, &'static str) {
        (PATH.to_owned(), "")
    }

    fn opened(&mut self, _heard: &mut Heard<'_>) {}

    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "a message that is not text")?;
        match value(text, "event").ok_or("a message without an event")? {
            EVENT => {
                let data = value(text, "data").ok_or("a message without data")?;
                heard.message(&STANDARD.decode(data).map_err(|error| format!("not base64: {error}"))?)?;
            }
            "pusher:connection_established" => {
                let socket_id = socket_id(text).ok_or("no socket id in the greeting")?;
                self.indices.iter().for_each(|index| heard.say_text(&subscribe(&socket_id, *index)));
            }
            "pusher_internal:subscription_succeeded" => {
                self.granted += 1;
                if self.granted == self.indices.len() {
                    heard.ready();
                }
            }
            "pusher:ping" => heard.say_text(r#"{"event":"pusher:pong","data":{}}"#),
            "pusher:error" | "pusher:subscription_error" => return Err(text.to_owned()),
            _ => {}
        }
        Ok(bytes.len())
    }
}

struct Feed {
    stream: TcpStream,
    socket_id: String,
    /// Channels that it has joined: it has to, to publish there.
    joined: Vec<usize>,
}

impl Publisher for Feed {
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()> {
        if !self.joined.contains(&index) {
            self.say(&subscribe(&self.socket_id, index))?;
            read_until(&self.stream, b"subscription_succeeded")?;
            self.joined.push(index);
        }
        let data = STANDARD.encode(payload);
        self.say(&format!(r#"{{"event":"{EVENT}","channel":"{}","data":"{data}"}}"#, channel(index)))
    }
}

impl Feed {
    fn say(&self, text: &str) -> io::Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 16);
        push_frame(&mut frame, 1, text.as_bytes());
        send(&self.stream, &frame)
    }
}

fn channel(index: usize) -> String {
    format!("private-S{index}")
}

/// The request for a private channel, signed as the application's own server does it for its users.
fn subscribe(socket_id: &str, index: usize) -> String {
    let channel = channel(index);
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key may have any length");
    mac.update(format!("{socket_id}:{channel}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{KEY}:{signature}"}}}}"#)
}

/// The text value of a member. No value that is asked for has an escaped character.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("\"{name}\":\""))? + name.len() + 4;
    text[start..].split('"').next()
}

/// The greeting's data are JSON in a text of JSON.
fn socket_id(text: &str) -> Option<String> {
    let rest = text.split_once("socket_id")?.1;
    let digits = rest.trim_start_matches(['\\', '"', ':', ' ']);
    Some(digits.chars().take_while(|char| char.is_ascii_digit() || *char == '.').collect()).filter(|id: &String| !id.is_empty())
}

const KEY: &str = "bench-key";
const SECRET: &str = "bench-secret";
const PATH: &str = "/app/bench-key?protocol=7";
const EVENT: &str = "client-q";
/// What it needs to take this many clients and messages, and to do nothing beside. Its queue of 1,000 messages for each client stays: it is
/// allocated at once, 92 bytes a message.
const SETTINGS: [(&str, &str); 10] = [
    ("SOCKUDO_DEFAULT_APP_ID", "bench"),
    ("SOCKUDO_DEFAULT_APP_KEY", KEY),
    ("SOCKUDO_DEFAULT_APP_SECRET", SECRET),
    ("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", "100000"),
    ("SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND", "1000000"),
    ("SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", "true"),
    ("SOCKUDO_ENABLE_CLIENT_MESSAGES", "true"),
    ("METRICS_ENABLED", "false"),
    ("RATE_LIMITER_ENABLED", "false"),
    ("RUST_LOG", "error"),
];
