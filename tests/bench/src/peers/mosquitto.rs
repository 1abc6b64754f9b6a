//! Mosquitto: MQTT 3.1.1, in WebSockets for subscribers, on TCP for the feed, without acknowledgements (QoS 0).

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tickwire_load::Conversation;

use super::peer::{Peer, Publisher, Running, Tools, connect, free_address, read_until, send};
use super::subscriber::{Heard, Protocol, Subscriber};

pub(super) struct Mosquitto;

impl Peer for Mosquitto {
    fn name(&self) -> &'static str {
        "Mosquitto WebSocket"
    }

    fn start(&self, tools: &Tools, folder: &Path) -> Result<Running> {
        let (subscribe, publish) = (free_address()?, free_address()?);
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "user root\npersistence false\nallow_anonymous true\nset_tcp_nodelay true\nlog_type none\nmax_queued_messages 0\n\
             listener {} 127.0.0.1\nprotocol websockets\nlistener {} 127.0.0.1\n",
            subscribe.port(),
            publish.port()
        );
        std::fs::write(&config, text)?;
        Running::start(Command::new(tools.find("mosquitto")?).arg("-c").arg(config), subscribe, publish)
    }

    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation> {
        Box::new(Subscriber::new(Session { indices: indices.to_vec() }, host, indices))
    }

    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>> {
        let stream = connect(running.publish)?;
        send(&stream, &hello())?;
        read_until(&stream, &[0x20, 2, 0, 0])?;
        Ok(Box::new(Feed { stream }))
    }
}

struct Session {
    indices: Vec<usize>,
}

impl Protocol for Session {
    fn request(&self) -> (String, &'static str) {
        ("/mqtt".to_owned(), "mqtt")
    }

    fn opened(&mut self, heard: &mut Heard<'_>) {
        heard.say(&hello());
    }

    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String> {
        let mut used = 0;
        while let Some((kind, body, length)) = first_packet(&bytes[used..]) {
            match kind >> 4 {
                2 if body.get(1) == Some(&0) => {
                    let mut request = vec![0, 1];
                    for index in std::mem::take(&mut self.indices) {
                        push_text(&mut request, &topic(index));
                        request.push(0);
                    }
                    heard.say(&packet(0x82, &request));
                }
                2 => return Err(format!("the connection was refused: {body:?}")),
                3 => {
                    let topic = body.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
                    heard.message(body.get(2 + topic..).ok_or("a message without a payload")?)?;
                }
                9 => heard.ready(),
                _ => {}
            }
            used += length;
        }
        Ok(used)
    }
}

struct Feed {
    stream: TcpStream,
}

impl Publisher for Feed {
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()> {
        let mut body = Vec::with_capacity(payload.len() + 16);
        push_text(&mut body, &topic(index));
        body.extend_from_slice(payload);
        send(&self.stream, &packet(0x30, &body))
    }
}

fn topic(index: usize) -> String {
    format!("bench/S{index}")
}

/// CONNECT: MQTT 3.1.1, a clean session, no keep-alive, a name that the server makes up.
fn hello() -> Vec<u8> {
    packet(0x10, &[0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0])
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (vec![kind], body.len());
    loop {
        let digit = (rest % 128) as u8;
        rest /= 128;
        out.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Kind, body and whole length of the first packet, if all of it is there.
fn first_packet(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (mut size, mut start) = (0_usize, 1);
    loop {
        let digit = *bytes.get(start)?;
        size |= usize::from(digit & 0x7f) << (7 * (start - 1));
        start += 1;
        if digit & 0x80 == 0 || start > 4 {
            break;
        }
    }
    Some((bytes[0], bytes.get(start..start + size)?, start + size))
}
