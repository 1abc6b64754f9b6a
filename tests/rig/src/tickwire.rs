//! The real `tickwire` program: built once, started on a free port, told to leave, killed, and its log shown when a test fails.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::narrow::{End, NarrowLink};

/// A running `tickwire`. Dropping it kills it; if the test has failed, its log is shown.
#[derive(Debug)]
pub struct Tickwire {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Tickwire {
    /// Starts `tickwire ARGS` on a free port of loopback, unless `args` say where to listen, and waits until it listens (at most 30 s).
    ///
    /// # Errors
    /// It does not build, or ends before it listens; says what it logged.
    pub fn start(args: &[&str]) -> Result<Self> {
        Self::start_with(args, &[])
    }

    /// [`Tickwire::start`] with environment variables.
    ///
    /// # Errors
    /// See [`Tickwire::start`].
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut command = command(&[program_text()?], args, environment);
        if !args.iter().any(|arg| arg.starts_with("--listen")) {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::launch(command)
    }

    /// Starts a `tickwire` that was built before, `program ARGS`, as [`Tickwire::start`] does.
    ///
    /// # Errors
    /// See [`Tickwire::start`].
    pub fn start_program(program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = command(&[program.to_string_lossy().into_owned()], args, &[]);
        if !args.iter().any(|arg| arg.starts_with("--listen")) {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::launch(command)
    }

    /// Starts `tickwire ARGS` at the server's end of a narrow link, on a free port of its address there.
    ///
    /// # Errors
    /// See [`Tickwire::start`].
    pub fn start_at(link: &NarrowLink, args: &[&str]) -> Result<Self> {
        let mut command = command(&link.words(End::Server, Self::program()?), args, &[]);
        command.arg(format!("--listen={}:0", End::Server.address()));
        Self::launch(command)
    }

    /// Starts it, and waits until it listens.
    fn launch(mut command: Command) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tickwire-{}-{}.log", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let log = std::env::temp_dir().join(name);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?).spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = tell.send(read.map(|_| line));
        });
        let line = told.recv_timeout(START_MAX).map_err(|_| anyhow!("says nothing")).and_then(|line| Ok(line?));
        let address = line.and_then(|line| {
            let url = line
                .trim()
                .strip_prefix("listening on ")
                .and_then(|url| url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")));
            let address = url.ok_or_else(|| anyhow!("says {line:?}"))?;
            Ok(address.parse::<SocketAddr>()?)
        });
        match address {
            Ok(address) => Ok(Self { child, address, log }),
            Err(error) => {
                let _ = child.kill();
                let status = child.wait()?;
                bail!("{command:?} {error} instead of its address, and ended with {status}:\n{}", fs::read_to_string(&log)?)
            }
        }
    }

    /// Runs `tickwire ARGS` to its end.
    ///
    /// # Errors
    /// It does not build.
    pub fn run(args: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        Ok(command(&[program_text()?], args, environment).stdin(Stdio::null()).output()?)
    }

    /// The program, built for the profile of the running test.
    ///
    /// # Errors
    /// It does not build.
    pub fn program() -> Result<&'static Path> {
        static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}"))).as_deref().map_err(|error| anyhow!("{error}"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of `path` for HTTP, such as `/readyz`.
    pub fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address for WebSockets.
    pub fn ws(&self) -> String {
        format!("ws://{}/v1/ws", self.address)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1_024)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to leave (SIGTERM).
    ///
    /// # Errors
    /// It has ended.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Sends it a signal, such as `HUP`.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("tickwire has ended already") }
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// It has ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end, at most for `within`.
    ///
    /// # Errors
    /// It still runs then.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let by = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > by {
                bail!("tickwire still runs after {within:?}:\n{}", self.log());
            }
            sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Tickwire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        #[expect(clippy::print_stderr, reason = "the log of the program under test belongs to the failure")]
        if std::thread::panicking() {
            eprintln!("---- log of tickwire at {} ----\n{}", self.address, self.log());
        }
        let _ = fs::remove_file(&self.log);
    }
}

fn program_text() -> Result<String> {
    Ok(Tickwire::program()?.to_string_lossy().into_owned())
}

/// The command of these words, the program among them.
fn command(words: &[String], args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    // What configures the one who runs the tests does not configure the program under test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKWIRE_") {
            command.env_remove(name);
        }
    }
    command.args(args).envs(environment.iter().copied());
    command
}

fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    // target/PROFILE/deps/test-0123 or target/PROFILE/xtask
    let this = std::env::current_exe()?;
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).context("the test has a folder")?.to_owned();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace is selected, as it is when the tests are built: each dependency then has one set of features, and is built once.
    cargo.current_dir(root).args(["build", "--quiet", "--workspace", "--bin", "tickwire"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.stdin(Stdio::null()).output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("tickwire does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder.join("tickwire"))
}

/// Time to listen.
const START_MAX: Duration = Duration::from_secs(30);
/// How often to look whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
