//! NGINX in front of a server, with the settings that Debian and NGINX itself choose, and the two lines that WebSockets need.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::narrow::{End, NarrowLink};

/// A running NGINX at the server's end of a [`NarrowLink`]. It ends when it drops.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Starts one that passes what comes to [`Nginx::PORT`] on to `server`, and waits until it listens (at most 10 s).
    ///
    /// # Errors
    /// It is not installed, or does not start; says what it logged.
    pub fn start(link: &NarrowLink, server: SocketAddr) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tickwire-nginx-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(&folder, End::Server.address(), server))?;
        let words = link.words(End::Server, Path::new("nginx"));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nginx does not start")?;
        let mut nginx = Self { child, folder };
        let address = SocketAddr::from((End::Server.address(), Self::PORT));
        let by = Instant::now() + START_MAX;
        while link.run(End::Server, || TcpStream::connect(address))?.is_err() {
            if nginx.child.try_wait()?.is_some() || Instant::now() > by {
                bail!("nginx does not listen:\n{}", nginx.log());
            }
            sleep(LOOK_EVERY);
        }
        Ok(nginx)
    }

    /// Where it listens, at the server's end.
    pub const PORT: u16 = 8_080;

    /// What went wrong, in its own words.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Debian's nginx.conf as far as it goes for one server, and paths of its own. Buffers and time-outs of the proxy are NGINX's defaults:
/// `proxy_buffering` is on.
fn configuration(folder: &Path, address: Ipv4Addr, server: SocketAddr) -> String {
    let (folder, port) = (folder.display(), Nginx::PORT);
    format!(
        "
        user root;
        worker_processes auto;
        daemon off;
        pid {folder}/nginx.pid;
        error_log {folder}/error.log;
        events {{ worker_connections 768; }}
        http {{
            sendfile on;
            tcp_nopush on;
            gzip on;
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            server {{
                listen {address}:{port};
                location / {{
                    proxy_pass http://{server};
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                }}
            }}
        }}
        "
    )
}

/// Time to listen.
const START_MAX: Duration = Duration::from_secs(10);
/// How often to look whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(20);
