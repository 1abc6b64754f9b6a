//! A proxy with a large buffer in front of a slow link: what it comes to hold, by its own account.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tickwire::{Change, Client, Subscription};
use tickwire_rig::Tickwire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval, timeout};

use crate::sdk::version;

/// A proxy that takes from the server whatever it gives, and gives to the client what the link takes.
struct SlowProxy {
    address: SocketAddr,
    held: Arc<Held>,
}

/// Bytes from the server.
#[derive(Default)]
struct Held {
    /// In the buffer now, and at most.
    now: AtomicU64,
    most: AtomicU64,
    /// Given to the client.
    passed: AtomicU64,
}

impl SlowProxy {
    async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { address: listener.local_addr()?, held: Arc::default() };
        let held = proxy.held.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, held.clone()));
            }
        });
        Ok(proxy)
    }
}

/// Carries one connection until either side leaves.
async fn pass(client: TcpStream, server: SocketAddr, held: Arc<Held>) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_server) = server.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut buffer, mut piece) = (VecDeque::new(), vec![0; 64 << 10]);
    let (start, mut beat, mut passed) = (Instant::now(), interval(Duration::from_millis(5)), 0);
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let allowed = start.elapsed().as_micros() as u64 * BYTES_PER_S / 1_000_000;
                let count = buffer.len().min((allowed - passed) as usize);
                // What was not used is not saved up: a link does not carry more later because it was idle before.
                passed = allowed;
                let leaving: Vec<u8> = buffer.drain(..count).collect();
                to_client.write_all(&leaving).await?;
                held.passed.fetch_add(count as u64, Relaxed);
            }
            read = from_server.read(&mut piece), if buffer.len() < BUFFER_BYTES => match read? {
                0 => return Ok(()),
                count => buffer.extend(&piece[..count]),
            }
        }
        held.now.store(buffer.len() as u64, Relaxed);
        held.most.fetch_max(buffer.len() as u64, Relaxed);
    }
}

/// Reads states, each right and every input accounted for, until `done`.
pub(crate) async fn read(
    subscription: &mut Subscription,
    versions: &mut HashMap<String, u64>,
    done: impl Fn(&HashMap<String, u64>) -> bool,
) -> Result<()> {
    let reads = async {
        while !done(versions) {
            let Some(Change::State(instrument)) = subscription.next().await else { bail!("not a state") };
            let version = version(&instrument)?;
            if let Some(before) = versions.insert(instrument.symbol.to_string(), version) {
                assert_eq!(version, before + 1 + u64::from(instrument.merged), "{instrument}: inputs since the last change");
            }
        }
        Ok(())
    };
    timeout(PATIENCE, reads).await.context("the condition did not come")?
}

/// A server with four times the data that the link takes, and one client behind the proxy.
async fn behind_proxy(credit_bytes_max: u32) -> Result<(Tickwire, SlowProxy, Client, Subscription)> {
    let credit = format!("limits.credit_bytes_max={credit_bytes_max}");
    let server = Tickwire::start(&["demo", "--steady", "20x4000", "--set", &credit])?;
    let proxy = SlowProxy::start(server.address()).await?;
    let client = timeout(PATIENCE, Client::builder(format!("http://{}", proxy.address)).connect()).await??;
    let all = client.subscribe(["bench.*"]).await?;
    Ok((server, proxy, client, all))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_takes_everything_is_given_little() -> Result<()> {
    let (server, proxy, _client, mut all) = behind_proxy(4 << 20).await?;
    let mut versions = HashMap::new();
    // The first window is wider: nothing was measured then.
    read(&mut all, &mut versions, |_| proxy.held.passed.load(Relaxed) > 150_000).await?;
    proxy.held.most.store(0, Relaxed);
    read(&mut all, &mut versions, |_| proxy.held.passed.load(Relaxed) > 500_000).await?;
    let most = proxy.held.most.load(Relaxed);
    assert!(most < HELD_MAX, "the proxy held up to {most} bytes");

    // What somebody has without a proxy in between, this client has soon after.
    let direct = timeout(PATIENCE, Client::builder(server.http("")).connect()).await??;
    let (mut quick, mut newest) = (direct.subscribe(["bench.*"]).await?, HashMap::new());
    read(&mut quick, &mut newest, |newest| newest.len() == 20).await?;
    read(&mut all, &mut versions, |versions| newest.iter().all(|(symbol, version)| versions.get(symbol) >= Some(version))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credit_the_same_proxy_fills_up() -> Result<()> {
    let (_server, proxy, _client, mut all) = behind_proxy(0).await?;
    read(&mut all, &mut HashMap::new(), |_| proxy.held.now.load(Relaxed) > 4 * HELD_MAX).await
}

/// 400 kbit/s.
const BYTES_PER_S: u64 = 50_000;
/// More than any test fills.
const BUFFER_BYTES: usize = 4 << 20;
/// What the proxy may hold: about a second of the link, six times what it holds on a quiet machine.
const HELD_MAX: u64 = 48 << 10;
/// For any condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
