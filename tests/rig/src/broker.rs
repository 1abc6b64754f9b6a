//! A private RabbitMQ node: own name, ports, cookie and folder, on loopback only.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A RabbitMQ node that belongs to the one who started it. Dropping it ends the node and removes its data; so does the end of the
/// program that started it, however it ends.
#[derive(Debug)]
pub struct Broker {
    home: PathBuf,
    ports: Ports,
    /// Erlang's name server, private to this node and those that joined it. Lives as long as the broker, through kills and restarts of the
    /// node. `None` in those that joined.
    epmd: Option<Guarded>,
    /// Besides what every node gets.
    environment: &'static [(&'static str, &'static str)],
    /// `None` between `kill` and `restart`.
    node: Option<Guarded>,
}

impl Broker {
    /// Starts a node with its data below `folder`, on free ports, and waits until it takes connections (at most 3 min).
    ///
    /// # Errors
    /// RabbitMQ is not installed, or does not start; says where its log is.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "")
    }

    /// [`Broker::start`] with further lines for `rabbitmq.conf`.
    ///
    /// # Errors
    /// See [`Broker::start`].
    pub fn start_with(folder: &Path, settings: &str) -> Result<Self> {
        Self::start_in(folder, settings, &[])
    }

    /// [`Broker::start`] of a node on which the feature "streams" is switched off, as on one that was upgraded from an older version.
    ///
    /// # Errors
    /// See [`Broker::start`].
    pub fn without_streams(folder: &Path) -> Result<Self> {
        Self::start_in(folder, "", WITHOUT_STREAMS)
    }

    fn start_in(folder: &Path, settings: &str, environment: &'static [(&'static str, &'static str)]) -> Result<Self> {
        let ports = Ports::free()?;
        let home = make_home(folder, &ports, settings)?;
        let epmd = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Erlang's `epmd` is not installed: `apt-get install rabbitmq-server` brings it")?;
        let mut broker = Self { epmd: Some(Guarded::new(epmd, &home)?), home, ports, environment, node: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts a further node, with its data below `folder`, that forms a cluster with this one. It needs this one's name server: drop it
    /// first, or both at once.
    ///
    /// # Errors
    /// See [`Broker::start`].
    pub fn join(&self, folder: &Path) -> Result<Self> {
        let ports = Ports { epmd: self.ports.epmd, ..Ports::free()? };
        let formation = "cluster_formation.peer_discovery_backend = classic_config\ncluster_formation.classic_config.nodes";
        let home = make_home(folder, &ports, &format!("{formation}.1 = {}\n{formation}.2 = {}\n", self.ports.node(), ports.node()))?;
        // Nodes trust each other by a common secret. The copy keeps the permissions that Erlang insists on.
        fs::copy(self.home.join(COOKIE), home.join(COOKIE))?;
        let mut broker = Self { epmd: None, home, ports, environment: self.environment, node: None };
        broker.restart()?;
        Ok(broker)
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2f`
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The port that AMQP is spoken on; the same after a restart.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Process id of the node.
    ///
    /// # Errors
    /// The node does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.node.as_ref().context("the node does not run")?.child.id())
    }

    /// Ends the node at once, as a crash would (`kill -9`). Its data stays.
    ///
    /// # Errors
    /// The node has ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.node.take().context("the node does not run")?.end();
        Ok(())
    }

    /// Asks the node to leave (`SIGTERM`), as an upgrade does, and waits for its end. Its data stays.
    ///
    /// # Errors
    /// It does not run, or not leave within 3 min.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        let mut node = self.node.take().context("the node does not run")?;
        let give_up = Instant::now() + START_WITHIN;
        while node.child.try_wait()?.is_none() {
            ensure!(Instant::now() < give_up, "RabbitMQ does not leave; its logs are in {}", self.log().display());
            sleep(LOOK_EVERY);
        }
        node.end();
        Ok(())
    }

    /// Starts the node again on the same ports and data, and waits until it takes connections.
    ///
    /// # Errors
    /// See [`Broker::start`].
    pub fn restart(&mut self) -> Result<()> {
        if let Some(node) = self.node.take() {
            node.end();
        }
        self.start_again()?;
        self.wait()
    }

    /// Starts the node like [`Broker::restart`] and returns before it takes connections.
    ///
    /// # Errors
    /// RabbitMQ is not installed.
    pub fn start_again(&mut self) -> Result<()> {
        let output = fs::File::create(self.home.join("output.txt"))?;
        let server = server_script()?;
        let node =
            self.command(&server).stdout(output.try_clone()?).stderr(output).spawn().with_context(|| format!("{}", server.display()))?;
        self.node = Some(Guarded::new(node, &self.home)?);
        Ok(())
    }

    /// Stops the node in its tracks (`SIGSTOP`): its connections stay open and silent.
    ///
    /// # Errors
    /// The node does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// The node does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Runs `rabbitmqctl` on the node, for instance `["set_vm_memory_high_watermark", "0"]`. Takes some seconds.
    ///
    /// # Errors
    /// The command fails; says what it printed.
    pub fn control(&self, words: &[&str]) -> Result<String> {
        let Output { status, stdout, stderr } = self.command(&sibling_of_server("rabbitmqctl")?).args(words).output()?;
        ensure!(status.success(), "rabbitmqctl {words:?}: {}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Where the node writes its log.
    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid()?;
        ensure!(Command::new("kill").args([signal, &pid.to_string()]).status()?.success(), "kill {signal} {pid}");
        Ok(())
    }

    /// A program of RabbitMQ with the environment of this node.
    fn command(&self, program: &Path) -> Command {
        let (home, ports) = (&self.home, &self.ports);
        let mut command = Command::new(program);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(key);
            }
        }
        command
            .stdin(Stdio::null())
            .current_dir(home)
            .env("HOME", home) // the Erlang cookie lives here
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", ports.node())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("RABBITMQ_CONF_ENV_FILE", home.join("etc/rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", home.join("etc/rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", home.join("etc/advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("etc/enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("node.pid"))
            // Lets the script replace itself with the node, so that the child's pid is the node's.
            .env("RUNNING_UNDER_SYSTEMD", "1")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().copied());
        command
    }

    /// Waits until the node speaks AMQP: the port alone opens too early.
    fn wait(&mut self) -> Result<()> {
        let give_up = Instant::now() + START_WITHIN;
        while !speaks_amqp(self.ports.amqp) {
            let node = self.node.as_mut().context("the node does not run")?;
            if let Some(status) = node.child.try_wait()? {
                let output = fs::read_to_string(self.home.join("output.txt")).unwrap_or_default();
                bail!("RabbitMQ ended ({status}); its logs are in {}:\n{output}", self.home.join("log").display());
            }
            ensure!(Instant::now() < give_up, "RabbitMQ does not answer; its logs are in {}", self.home.join("log").display());
            sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.end();
        }
        if let Some(epmd) = self.epmd.take() {
            epmd.end();
        }
        // What cannot be removed lies below a folder that the caller chose, and its name will not be used again.
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A child that ends with this program, even if this program is killed: a shell waits on a pipe that only this program holds open.
#[derive(Debug)]
struct Guarded {
    child: Child,
    guard: Child,
}

impl Guarded {
    fn new(child: Child, home: &Path) -> Result<Self> {
        let guard = Command::new("sh")
            .args(["-c", "read _; kill -9 $1 && sleep 1; rm -rf \"$2\"", "guard", &child.id().to_string()])
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, guard })
    }

    fn end(mut self) {
        self.end_now();
    }

    /// Kills guard and child, in this order, so that the guard cannot meet another process of the same number. Both may have ended.
    fn end_now(&mut self) {
        for process in [&mut self.guard, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The ports of a node, all on loopback.
#[derive(Debug)]
struct Ports {
    amqp: u16,
    distribution: u16,
    epmd: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        // All three at once: one after the other would give the same port thrice.
        let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut ports = Vec::new();
        for listener in listeners {
            ports.push(listener?.local_addr()?.port());
        }
        Ok(Self { amqp: ports[0], distribution: ports[1], epmd: ports[2] })
    }

    /// The node's name among Erlang's nodes.
    fn node(&self) -> String {
        format!("tickwire-{}@localhost", self.amqp)
    }
}

/// Makes the folder of a node, with its configuration.
fn make_home(folder: &Path, ports: &Ports, settings: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let home = folder.canonicalize()?.join(format!("rabbitmq-{}", ports.amqp));
    fs::create_dir_all(home.join("etc"))?;
    fs::write(home.join("etc/rabbitmq.conf"), format!("{SETTINGS}{settings}\n"))?;
    fs::write(home.join("etc/enabled_plugins"), "[].\n")?;
    Ok(home)
}

fn speaks_amqp(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LOOK_EVERY) else { return false };
    let mut answer = [0];
    socket.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && socket.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && socket.read_exact(&mut answer).is_ok()
        && answer[0] == METHOD_FRAME
}

/// The start script behind Debian's wrapper: the wrapper changes to another user when root calls it.
fn server_script() -> Result<PathBuf> {
    sibling_of_server("rabbitmq-server")
}

fn sibling_of_server(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/lib/rabbitmq/bin".into(), "/usr/local/sbin".into()].into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|folder: PathBuf| folder.join(name)).find(|script| script.is_file());
    found.with_context(|| {
        format!("RabbitMQ's `{name}` is not installed: the Debian package is `rabbitmq-server` (apt-get install rabbitmq-server)")
    })
}

/// The node is one of several programs on a small machine: no second guesses about memory and disk, no statistics.
const SETTINGS: &str = "\
log.file.level = info
disk_free_limit.absolute = 50MB
collect_statistics_interval = 60000
";
/// What a node may switch on when it starts for the first time: all that this version has, but streams.
const WITHOUT_STREAMS: &[(&str, &str)] =
    &[("RABBITMQ_FEATURE_FLAGS", "quorum_queue,implicit_default_bindings,virtual_host_metadata,maintenance_mode_status,user_limits")];
/// Where Erlang keeps the secret of a cluster, below the folder of its user.
const COOKIE: &str = ".erlang.cookie";
/// First byte of a broker's answer to the protocol header, when it takes the connection.
const METHOD_FRAME: u8 = 1;
/// Time for the node to come up. A machine with a load of twenty on two cores needs more than a minute.
const START_WITHIN: Duration = Duration::from_secs(180);
/// Between two looks at whether the node has come up.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_port_through_a_crash_and_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("tickwire-rig-{}", std::process::id()));
        let mut broker = Broker::start(&folder).unwrap();
        let (port, home) = (broker.port(), broker.home.clone());
        assert!(speaks_amqp(port));
        broker.kill().unwrap();
        assert!(!speaks_amqp(port));
        broker.restart().unwrap();
        assert!(speaks_amqp(port));
        drop(broker);
        assert!(!speaks_amqp(port));
        assert!(!home.exists());
        fs::remove_dir(&folder).unwrap();
    }
}
