//! `cargo xtask demo`: builds everything and shows it running.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tickwire_rig::Broker;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::test::cargo;
use crate::{setup, wasm};

/// Flags of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Demo {
    /// Feed through a private RabbitMQ node (installed from Debian's packages when missing) instead of in process.
    #[arg(long)]
    rabbitmq: bool,
    /// Where the page and the API are served.
    #[arg(long, default_value = "127.0.0.1:7447", value_name = "ADDR:PORT")]
    listen: String,
    /// Same seed, same market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimised build: takes longer to build, serves faster.
    #[arg(long)]
    release: bool,
}

impl Demo {
    /// Builds, starts, and runs until Ctrl-C.
    ///
    /// # Errors
    /// A build fails, RabbitMQ does not start, or a program ends by itself.
    pub(crate) fn run(self, root: &Path) -> Result<()> {
        wasm::build(root)?;
        crate::say("building the tickwire command");
        let profile: &[&str] = if self.release { &["--release"] } else { &[] };
        cargo(root, &[&["build", "--workspace", "--bin", "tickwire"], profile].concat())?;
        let program = root.join("target").join(if self.release { "release" } else { "debug" }).join("tickwire");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if self.rabbitmq { runtime.block_on(self.with_rabbitmq(root, &program)) } else { runtime.block_on(self.embedded(&program)) }
    }

    async fn embedded(&self, program: &Path) -> Result<()> {
        let demo = start(program, &["demo", "--listen", &self.listen, "--seed", &self.seed.to_string()])?;
        self.welcome();
        until_stopped(vec![("tickwire demo", demo)]).await
    }

    async fn with_rabbitmq(&self, root: &Path, program: &Path) -> Result<()> {
        setup::ensure(&[setup::RABBITMQ])?;
        let folder = root.join("target/demo");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        crate::say("starting a private RabbitMQ node (5 to 15 s)");
        let broker = Broker::start(&folder)?;
        let url = broker.url();
        let config = self.write_config(&folder)?;
        let feed = start(program, &["simulate", "--amqp", &url, "--seed", &self.seed.to_string()])?;
        let server = start(program, &["serve", "--listen", &self.listen, "--amqp", &url, "--config", &config.display().to_string()])?;
        self.welcome();
        // The broker goes last, when `broker` drops: nobody is left who would miss it.
        until_stopped(vec![("tickwire serve", server), ("tickwire simulate", feed)]).await
    }

    /// The settings in which this server differs from a real one: anyone on this machine may read, and the page is on.
    fn write_config(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("tickwire.toml");
        fs::write(&path, DEMO_CONFIG).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn welcome(&self) {
        crate::say(&format!("open http://{} in a browser; watch with `target/debug/tickwire watch 'stock.*'`; Ctrl-C ends", self.listen));
    }
}

fn start(program: &Path, words: &[&str]) -> Result<Child> {
    crate::say(&format!("starting tickwire {}", words.first().unwrap_or(&"")));
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))
}

/// Waits for Ctrl-C, a termination signal, or the first program to end; then ends all of them.
async fn until_stopped(mut programs: Vec<(&'static str, Child)>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break None,
            _ = terminate.recv() => break None,
            () = tokio::time::sleep(LOOK_EVERY) => {
                if let Some(ended) = first_ended(&mut programs)? {
                    break Some(ended);
                }
            }
        }
    };
    for (_, program) in &mut programs {
        terminate_and_wait(program).await;
    }
    match ended {
        Some((name, status)) if !status.success() => bail!("{name} ended: {status}"),
        _ => Ok(()),
    }
}

fn first_ended(programs: &mut [(&'static str, Child)]) -> Result<Option<(&'static str, std::process::ExitStatus)>> {
    for (name, program) in programs {
        if let Some(status) = program.try_wait()? {
            return Ok(Some((name, status)));
        }
    }
    Ok(None)
}

/// Asks a program to end, and ends it if it does not within [`PATIENCE`].
async fn terminate_and_wait(program: &mut Child) {
    if let Some(pid) = program.id() {
        // A program that has ended already needs no signal: the failure says nothing.
        let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    }
    if tokio::time::timeout(PATIENCE, program.wait()).await.is_err() {
        let _ = program.kill().await;
    }
}

const DEMO_CONFIG: &str = r##"# Written by `cargo xtask demo --rabbitmq`.
page = true

[auth.anonymous]
symbols = ["#"]

[[feed.rules]]
feed = "stock"
pattern = "stock.#"
silence_ms = 3000

[[feed.rules]]
feed = "crypto"
pattern = "crypto.#"
silence_ms = 3000

[[feed.rules]]
feed = "soccer"
pattern = "soccer.#"
silence_ms = 3000
"##;

/// How often running programs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Time for a program to drain. After it, the program is killed.
const PATIENCE: Duration = Duration::from_secs(15);
