//! A link of 400 kbit/s between two network namespaces, with four times as much data: directly, and behind NGINX. What is fast is not
//! asserted; what is right is.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tickwire::{Client, Encoding, Transport};
use tickwire_rig::{End, NarrowLink, Nginx, Tickwire};
use tokio::time::timeout;

use crate::slow_proxy::{PATIENCE, read};
use crate::wire::Wire;

#[test]
fn a_narrow_link_hides_nothing() -> Result<()> {
    // An event stream cannot report, but the server sees how far the kernel has got; behind a proxy it does not.
    for (transport, behind_nginx) in [(Transport::WebSocket, false), (Transport::WebSocket, true), (Transport::Sse, false)] {
        let link = match NarrowLink::new(400_000, None) {
            Ok(link) => link,
            Err(error) => {
                // Not by a macro that the test harness silences: nobody shall believe that this was tested.
                writeln!(std::io::stderr(), "\nNOT TESTED: a_narrow_link_hides_nothing cannot make its link here: {error:#}\n")?;
                return Ok(());
            }
        };
        let server = Tickwire::start_at(&link, &["demo", "--allow-remote", "--steady", "20x4000", "--set", "metrics=on"])?;
        let nginx = behind_nginx.then(|| Nginx::start(&link, server.address())).transpose()?;
        let port = if behind_nginx { Nginx::PORT } else { server.address().port() };
        let outcome = link.run(End::Client, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(watch(&link, &server, SocketAddr::from((End::Server.address(), port)), transport))
        })?;
        outcome
            .with_context(|| format!("{transport:?}, behind NGINX: {behind_nginx} {}", nginx.as_ref().map_or(String::new(), Nginx::log)))?;
    }
    Ok(())
}

/// Reads a while: no update is missing, and little is under way. In the end the client has what the server had not long before.
async fn watch(link: &NarrowLink, server: &Tickwire, address: SocketAddr, transport: Transport) -> Result<()> {
    let builder = Client::builder(format!("http://{address}")).allow_insecure().conflation(Duration::ZERO);
    let client = timeout(PATIENCE, builder.encoding(Encoding::Protobuf).transport(transport).connect()).await??;
    let (mut all, mut versions, mut most) = (client.subscribe(["bench.*"]).await?, HashMap::new(), 0);
    // Those of an event stream are five times as large.
    let records = if transport == Transport::WebSocket { 500 } else { 100 };
    for round in 1..=10 {
        read(&mut all, &mut versions, |_| client.stats().records > round * records).await?;
        let written = link.run(End::Server, || written(server.address()))??;
        // The first window is wider: nothing was measured then.
        most = if round < 4 { 0 } else { most.max(written.saturating_sub(client.stats().bytes)) };
    }
    assert!(most < UNDER_WAY_MAX, "{most} bytes were under way");

    let newest = link.run(End::Server, || -> Result<HashMap<String, u64>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let near = timeout(PATIENCE, Client::builder(server.http("")).allow_insecure().connect()).await??;
            let (mut quick, mut newest) = (near.subscribe(["bench.*"]).await?, HashMap::new());
            read(&mut quick, &mut newest, |newest| newest.len() == 20).await?;
            Ok(newest)
        })
    })??;
    read(&mut all, &mut versions, |versions| newest.iter().all(|(symbol, version)| versions.get(symbol) >= Some(version))).await?;
    assert_eq!(client.stats().connects, 1, "the connection held");
    Ok(())
}

/// Bytes of frames that the server has written.
fn written(server: SocketAddr) -> Result<u64> {
    let metrics = Wire::connect(server).ask("GET /metrics", "Connection: close\r\n").body;
    let Some(line) = metrics.lines().find(|line| line.starts_with("tickwire_frame_bytes_total")) else {
        bail!("no such metric in:\n{metrics}")
    };
    line.rsplit(' ').next().and_then(|bytes| bytes.parse::<f64>().ok()).map(|bytes| bytes as u64).context("no number")
}

/// What may be under way in all buffers together: about a second of the link.
const UNDER_WAY_MAX: u64 = 48 << 10;
