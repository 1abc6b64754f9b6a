//! A server of others: how it is started, subscribed to and fed.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tickwire_load::Conversation;

/// One kind of server.
pub(super) trait Peer: Sync {
    /// As in the table.
    fn name(&self) -> &'static str;

    /// Starts it; files of its own go into `folder`.
    ///
    /// # Errors
    /// It is not installed, or does not listen; the text says why it is missing from the table.
    fn start(&self, tools: &Tools, folder: &Path) -> Result<Running>;

    /// A connection that subscribes to the instruments of these numbers.
    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation>;

    /// The feed's connection to it.
    ///
    /// # Errors
    /// It cannot be reached.
    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>>;
}

/// Gives a server one update after the other.
pub(super) trait Publisher: Send {
    /// Publishes one update of instrument `index`.
    ///
    /// # Errors
    /// The server has gone.
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()>;
}

/// Where programs are that were installed for this.
pub(super) struct Tools(pub(super) PathBuf);

impl Tools {
    /// A program in the folder of tools or on the path.
    pub(super) fn find(&self, program: &str) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = vec![self.0.clone(), self.0.join("bin"), self.0.join(program).join("bin")];
        folders.extend(std::env::split_paths(&path));
        // Where Debian has servers that are not for everyone's path.
        folders.push("/usr/sbin".into());
        let found = folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file());
        found.with_context(|| format!("{program} is not installed"))
    }
}

/// A server that runs; ends when it drops.
pub(super) struct Running {
    child: Child,
    /// Where subscribers come.
    pub(super) subscribe: SocketAddr,
    /// Where the feed comes.
    pub(super) publish: SocketAddr,
}

impl Running {
    /// Starts `command`, and waits until both addresses are listened on.
    pub(super) fn start(command: &mut Command, subscribe: SocketAddr, publish: SocketAddr) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Self { child: child.with_context(|| format!("{program} does not start"))?, subscribe, publish };
        let start = Instant::now();
        for address in [subscribe, publish] {
            while TcpStream::connect(address).is_err() {
                if let Some(status) = running.child.try_wait()? {
                    bail!("{program} ended at once: {status}");
                }
                if start.elapsed() > START_MAX {
                    bail!("{program} does not listen on {address}");
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(running)
    }

    /// Its processes: the one that was started, and those that it started itself.
    pub(super) fn pids(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first: NGINX takes its worker with it only then.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let start = Instant::now();
        while start.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine on which nobody listens.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Connects for the feed.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("the feed cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PUBLISH_MAX))?;
    stream.set_read_timeout(Some(PUBLISH_MAX))?;
    Ok(stream)
}

/// Writes one message.
pub(super) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}

/// Reads until `end` has come; returns everything up to then.
pub(super) fn read_until(mut stream: &TcpStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let (mut held, mut buffer) = (Vec::new(), [0; 4_096]);
    while !held.windows(end.len()).any(|bytes| bytes == end) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => held.extend_from_slice(&buffer[..length]),
        }
        if held.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(held)
}

/// Time to listen. After it, the server is missing from the table.
const START_MAX: Duration = Duration::from_secs(10);
/// Time to end when asked. Then it is killed.
const END_MAX: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the feed waits for the server to take one message. Then it ends.
const PUBLISH_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer to the feed. A longer one is none.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
