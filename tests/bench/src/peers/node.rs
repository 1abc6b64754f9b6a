//! Servers in Node: with `ws`, the library of most of them, and with uWebSockets.js. `peers/ws.cjs` and `peers/uws.cjs` are what one writes
//! with these.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use tickwire_load::Conversation;
use tickwire_load::websocket::{push_frame, request};

use super::peer::{Peer, Publisher, Running, Tools, connect, free_address, read_until, send};
use super::subscriber::{Heard, Protocol, Subscriber};

/// One of them.
pub(super) struct Node {
    name: &'static str,
    /// The npm package, and the folder in it that the script wants.
    package: &'static str,
    folder: &'static str,
    script: &'static str,
}

impl Node {
    pub(super) const WS: Self = Self { name: "Node ws", package: "ws", folder: "", script: "peers/ws.cjs" };
    pub(super) const UWS: Self =
        Self { name: "uWebSockets.js", package: "@trufflesuite/uws-js-unofficial", folder: "binaries", script: "peers/uws.cjs" };
}

impl Peer for Node {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self, tools: &Tools, _folder: &Path) -> Result<Running> {
        let modules = tools.0.join("node_modules");
        let package = modules.join(self.package);
        if !package.is_dir() {
            bail!("the npm package {} is not installed in {}", self.package, modules.display());
        }
        let address = free_address()?;
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(self.script);
        let mut command = Command::new(tools.find("node")?);
        command.arg(script).arg(address.port().to_string()).arg(package.join(self.folder)).env("NODE_PATH", modules);
        Running::start(&mut command, address, address)
    }

    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation> {
        Box::new(Subscriber::new(Session { indices: indices.to_vec(), granted: false }, host, indices))
    }

    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>> {
        let stream = connect(running.publish)?;
        send(&stream, request(&running.publish.to_string(), "/publish", "", "").as_bytes())?;
        read_until(&stream, b"\r\n\r\n")?;
        Ok(Box::new(Feed { stream }))
    }
}

struct Session {
    indices: Vec<usize>,
    granted: bool,
}

impl Protocol for Session {
    fn request(&self) -> (String, &'static str) {
        ("/".to_owned(), "")
    }

    fn opened(&mut self, heard: &mut Heard<'_>) {
        let names: Vec<String> = std::mem::take(&mut self.indices).iter().map(usize::to_string).collect();
        heard.say_text(&names.join(","));
    }

    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String> {
        if std::mem::replace(&mut self.granted, true) {
            heard.message(bytes)?;
        } else {
            heard.ready();
        }
        Ok(bytes.len())
    }
}

struct Feed {
    stream: TcpStream,
}

impl Publisher for Feed {
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 16);
        push_frame(&mut frame, 2, &[&(index as u32).to_be_bytes(), payload].concat());
        send(&self.stream, &frame)
    }
}
