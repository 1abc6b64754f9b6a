//! Nchan: a module of NGINX. Subscribers come as WebSockets, the feed posts each message over HTTP.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tickwire_load::Conversation;

use super::peer::{Peer, Publisher, Running, Tools, connect, free_address, read_until, send};
use super::subscriber::{Heard, Protocol, Subscriber};

pub(super) struct Nchan;

impl Peer for Nchan {
    fn name(&self) -> &'static str {
        "Nchan (NGINX)"
    }

    fn start(&self, tools: &Tools, folder: &Path) -> Result<Running> {
        let module = MODULES.into_iter().find(|file| Path::new(file).is_file()).context("the module nchan of NGINX is not installed")?;
        let address = free_address()?;
        let config = folder.join("nginx.conf");
        let folder = folder.display();
        let text = format!(
            "load_module {module};\nuser root;\ndaemon off;\nworker_processes 1;\nworker_rlimit_nofile 65536;\n\
             pid {folder}/nginx.pid;\nerror_log /dev/null crit;\nevents {{ worker_connections 20000; }}\n\
             http {{\n access_log off;\n client_body_temp_path {folder}/body;\n proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi;\n uwsgi_temp_path {folder}/uwsgi;\n scgi_temp_path {folder}/scgi;\n\
             keepalive_requests 100000000;\n tcp_nodelay on;\n nchan_max_reserved_memory 256m;\n\
             server {{\n listen {address} backlog=4096;\n\
             location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 100; nchan_message_timeout 5s; }}\n\
             location = /sub {{ nchan_subscriber websocket; nchan_channel_id $arg_id; nchan_channel_id_split_delimiter \",\";\n\
             nchan_subscriber_first_message newest; }}\n }}\n}}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(tools.find("nginx")?);
        Running::start(command.arg("-c").arg(&config).arg("-e").arg("/dev/null"), address, address)
    }

    fn subscriber(&self, host: String, indices: &[usize]) -> Box<dyn Conversation> {
        Box::new(Subscriber::new(Session { indices: indices.to_vec() }, host, indices))
    }

    fn publisher(&self, running: &Running) -> Result<Box<dyn Publisher>> {
        Ok(Box::new(Feed { stream: connect(running.publish)?, address: running.publish }))
    }
}

struct Session {
    indices: Vec<usize>,
}

impl Protocol for Session {
    fn request(&self) -> (String, &'static str) {
        let names: Vec<String> = self.indices.iter().map(|index| format!("S{index}")).collect();
        (format!("/sub?id={}", names.join(",")), "")
    }

    fn opened(&mut self, heard: &mut Heard<'_>) {
        heard.ready();
    }

    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String> {
        heard.message(bytes)?;
        Ok(bytes.len())
    }
}

struct Feed {
    stream: TcpStream,
    address: SocketAddr,
}

impl Publisher for Feed {
    fn publish(&mut self, index: usize, payload: &[u8]) -> io::Result<()> {
        let head = format!(
            "POST /pub?id=S{index} HTTP/1.1\r\nHost: {}\r\nAccept: text/json\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            self.address,
            payload.len()
        );
        send(&self.stream, &[head.as_bytes(), payload].concat())?;
        // The answer is a head and a line of JSON.
        read_until(&self.stream, b"}").map(drop)
    }
}

/// Where Debian has it.
const MODULES: [&str; 1] = ["/usr/lib/nginx/modules/ngx_nchan_module.so"];
