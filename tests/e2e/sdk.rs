//! The Rust SDK against the real server: every value equals the market's own model, on every transport and encoding.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tickwire::{Builder, Change, Client, ConnectError, Encoding, ErrorCode, Event, Instrument, State, Subscription, Transport};
use tickwire_rig::Tickwire;
use tickwire_simulator::steady_price;
use tokio::time::timeout;

const DEMO: [&str; 3] = ["demo", "--steady", "10x200"];

/// Waits for `future`, but not for ever.
async fn within<T>(future: impl Future<Output = T>) -> Result<T> {
    timeout(Duration::from_secs(20), future).await.context("nothing happened within 20 s")
}

/// A client that reconnects fast.
fn builder(server: &Tickwire) -> Builder {
    Client::builder(server.http("")).backoff(Duration::from_millis(10), Duration::from_millis(200))
}

/// Version of a steady instrument, after checking its price against the model.
pub(crate) fn version(instrument: &Instrument) -> Result<u64> {
    let index: u64 = instrument.symbol.as_str().strip_prefix("bench.S").context("another symbol")?.parse()?;
    let quote = instrument.image.quote.context("no quote")?;
    let version = quote.trades.context("no version")?;
    assert_eq!(quote.last, Some(steady_price(index, version)), "{instrument} at version {version}");
    Ok(version)
}

/// Reads `count` states: each right, none backward, and no input unaccounted for.
async fn check_steady(subscription: &mut Subscription, count: usize) -> Result<()> {
    let mut versions = HashMap::new();
    for _ in 0..count {
        let Some(Change::State(instrument)) = within(subscription.next()).await? else { bail!("not a state") };
        let version = version(&instrument)?;
        if let Some(before) = versions.insert(instrument.symbol.clone(), version) {
            assert_eq!(version, before + 1 + u64::from(instrument.merged), "{instrument}: inputs since the last change");
        }
    }
    assert_eq!(versions.len(), 10, "instruments seen");
    Ok(())
}

async fn check(builder: Builder) -> Result<()> {
    let client = within(builder.connect()).await??;
    let mut all = client.subscribe(["bench.*"]).await?;
    check_steady(&mut all, 300).await?;
    // A slow reader: what it reads next stands for everything in between.
    tokio::time::sleep(Duration::from_millis(500)).await;
    check_steady(&mut all, 30).await?;
    assert!(client.stats().conflated > 0, "{:?}", client.stats());
    let newest = all.latest("bench.S3").context("no state of bench.S3")?;
    assert!(client.age(&newest).context("no age")? < Duration::from_secs(5));
    assert_eq!(client.state(), State::Live);
    within(client.close()).await?;
    while let Some(change) = within(all.next()).await? {
        version(change.instrument().context("no state")?)?;
    }
    assert_eq!(client.state(), State::Closed);
    Ok(())
}

#[tokio::test]
async fn values_are_right_on_every_transport() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    check(builder(&server).encoding(Encoding::Protobuf)).await?;
    check(builder(&server).encoding(Encoding::Json)).await?;
    check(builder(&server).transport(Transport::Sse)).await?;
    check(builder(&server).conflation(Duration::from_millis(100))).await
}

#[tokio::test]
async fn the_rate_can_be_changed_while_live() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    let client = within(builder(&server).connect()).await??;
    let mut one = client.subscribe(["bench.S1"]).await?;
    for conflate_ms in [0, 500, 0] {
        one.set_conflation(Duration::from_millis(conflate_ms));
        // 20 updates a second: at 500 ms a record stands for about ten of them, at 0 for one.
        let wanted = |merged: u32| if conflate_ms == 0 { merged == 0 } else { merged >= 5 };
        within(async {
            loop {
                match one.next().await {
                    Some(Change::State(instrument)) if wanted(instrument.merged) => break Ok(version(&instrument)?),
                    Some(_) => {}
                    None => bail!("stream ended"),
                }
            }
        })
        .await??;
    }
    Ok(())
}

#[tokio::test]
async fn clients_come_back_after_the_server_was_killed() -> Result<()> {
    for transport in [Transport::WebSocket, Transport::Sse] {
        let mut server = Tickwire::start(&DEMO)?;
        let listen = format!("--listen={}", server.address());
        let client = within(builder(&server).transport(transport).connect()).await??;
        let mut all = client.subscribe(["bench.*"]).await?;
        check_steady(&mut all, 50).await?;
        let mut events = client.events();
        server.kill()?;
        within(async { while client.state() != State::Backoff && events.next().await.is_some() {} }).await?;
        let held = client.latest("bench.S1").context("values stay")?;
        version(&held)?;

        let [demo, steady, size] = DEMO;
        let _server = Tickwire::start(&[demo, steady, size, &listen])?;
        within(async { while client.state() != State::Live && events.next().await.is_some() {} }).await?;
        // A new life of the market, whose versions begin anew: only the last of the old values may still be unread.
        let mut fresh = HashMap::new();
        within(async {
            while fresh.len() < 10 {
                let change = all.next().await.context("stream ended")?;
                if let Some(instrument) = change.instrument() {
                    let version = version(instrument)?;
                    if instrument.ts_event_us > held.ts_event_us + 1_000_000 {
                        fresh.insert(instrument.symbol.clone(), version);
                    }
                }
            }
            anyhow::Ok(())
        })
        .await??;
        check_steady(&mut all, 100).await?;
        assert!(client.stats().connects >= 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_leaves_says_goodbye() -> Result<()> {
    let mut server = Tickwire::start(&["demo", "--steady", "10x200", "--set", "drain.spread_ms=100"])?;
    let listen = format!("--listen={}", server.address());
    let client = within(builder(&server).connect()).await??;
    let mut all = client.subscribe(["bench.*"]).await?;
    check_steady(&mut all, 20).await?;
    let mut events = client.events();
    server.terminate()?;
    let told = within(async {
        loop {
            match events.next().await {
                Some(Event::State { state: State::Backoff, code, .. }) => break Ok(code),
                Some(_) => {}
                None => bail!("client has ended"),
            }
        }
    });
    assert_eq!(told.await??, Some(ErrorCode::ShuttingDown));
    assert!(server.wait(Duration::from_secs(15))?.success());
    let [demo, steady, size] = DEMO;
    let _server = Tickwire::start(&[demo, steady, size, &listen])?;
    within(async { while client.state() != State::Live && events.next().await.is_some() {} }).await?;
    Ok(())
}

#[tokio::test]
async fn unknown_symbols_are_refused_and_the_rest_is_served() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    for transport in [Transport::WebSocket, Transport::Sse] {
        let client = within(builder(&server).transport(transport).connect()).await??;
        let mut events = client.events();
        let mut some = client.subscribe(["bench.S0", "bench.S1000", "nobody.#"]).await?;
        for _ in 0..5 {
            let change = within(some.next()).await?.context("stream ended")?;
            version(change.instrument().context("no state")?)?;
        }
        let refused = within(async {
            loop {
                match events.next().await {
                    Some(Event::Refused { symbol, code, .. }) => break Ok((symbol, code)),
                    Some(_) => {}
                    None => bail!("client has ended"),
                }
            }
        });
        assert_eq!(refused.await??, ("bench.S1000".to_owned(), ErrorCode::UnknownSymbol));
        assert_eq!(some.refused().len(), 1);
        client.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_needed_token_is_told() -> Result<()> {
    let secret = "0123456789abcdef0123456789abcdef";
    let keyed = ["--set", "auth.anonymous.symbols=", "--set", "auth.jwt.keys[0].alg=HS256", "--set", "auth.jwt.keys[0].env=KEY"];
    let arguments: Vec<_> = DEMO.into_iter().chain(keyed).collect();
    let server = Tickwire::start_with(&arguments, &[("KEY", secret)])?;
    let token = |life_s: u64| -> Result<String> {
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let claims = serde_json::json!({ "sub": "me", "exp": now_s + life_s, "symbols": ["bench.S1", "bench.S2"] });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
    };
    for transport in [Transport::WebSocket, Transport::Sse] {
        let code = match transport {
            Transport::WebSocket => match within(builder(&server).connect()).await? {
                Err(ConnectError::Refused { code, .. }) => code,
                other => bail!("{other:?}"),
            },
            _ => {
                let client = builder(&server).transport(transport).connect().await?;
                let mut events = client.events();
                let _quotes = client.subscribe(["bench.S1"]).await?;
                loop {
                    match within(events.next()).await? {
                        Some(Event::State { state: State::Closed, code, .. }) => break code.context("no code")?,
                        Some(_) => {}
                        None => bail!("client has ended"),
                    }
                }
            }
        };
        assert_eq!(code, ErrorCode::AuthRequired);

        let client = within(builder(&server).transport(transport).token(token(3_600)?).connect()).await??;
        let mut mine = client.subscribe(["bench.S1", "bench.S3"]).await?;
        for _ in 0..5 {
            let change = within(mine.next()).await?.context("stream ended")?;
            assert_eq!(change.symbol().as_str(), "bench.S1");
        }
        assert_eq!(mine.refused(), [("bench.S3".to_owned(), ErrorCode::NotEntitled)]);
    }
    Ok(())
}

/// The example service, built as the program under test is: with the features of the whole workspace.
fn service() -> Result<std::process::Command> {
    let program = Tickwire::program()?.with_file_name("service");
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--workspace", "--bin", "service"]);
    if program.components().any(|part| part.as_os_str() == "release") {
        cargo.arg("--release");
    }
    assert!(cargo.status()?.success(), "the example does not build");
    // Should it fall silent, the test ends anyhow.
    let mut command = std::process::Command::new("timeout");
    command.arg("60").arg(program);
    Ok(command)
}

#[test]
fn the_example_service_shows_prices_and_what_is_wrong() -> Result<()> {
    use std::io::BufRead as _;

    let server = Tickwire::start(&DEMO)?;
    let mut command = service()?;
    command.env("TICKWIRE_URL", server.http("")).args(["bench.S1", "bench.S99"]).stdout(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    let lines = std::io::BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let (mut prices, mut refused) = (0, false);
    for line in lines {
        let line = line?;
        prices += usize::from(line.starts_with("bench.S1 bid ") && line.ends_with(" ms old)"));
        refused |= line == "no bench.S99: UNKNOWN_SYMBOL";
        if prices >= 10 && refused {
            break;
        }
    }
    // `timeout` passes it on.
    std::process::Command::new("kill").arg(child.id().to_string()).status()?;
    child.wait()?;
    assert!(prices >= 10 && refused, "{prices} prices, refused: {refused}");
    Ok(())
}
