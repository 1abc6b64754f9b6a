//! One line per change, for pipes and logs.

use std::io::{self, ErrorKind, Write};

use anyhow::Result;
use futures_util::FutureExt;
use tickwire::{Change, Client, Events};

use super::{Watched, complain, describe};

/// Prints until the user ends it, nobody reads any more, or there is nothing left to watch.
pub(super) async fn run(mut watched: Watched, mut events: Events, line: impl Fn(&Client, &Change) -> String) -> Result<()> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut said = String::new();
    loop {
        tokio::select! {
            change = watched.subscription.next() => {
                // The end is told by an event, with its reason.
                let Some(change) = change else { break };
                let mut text = line(&watched.client, &change) + "\n";
                // What is there already shares the write.
                while text.len() < WRITE_BYTES {
                    let Some(Some(change)) = watched.subscription.next().now_or_never() else { break };
                    text += &line(&watched.client, &change);
                    text.push('\n');
                }
                let written = tokio::select! {
                    written = write(text) => written,
                    _ = &mut interrupted => return Ok(()),
                };
                match written {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    written => written?,
                }
            }
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                watched.judge(&event)?;
                // A server that is away is worth one line, not one for each try.
                if let Some(text) = describe(&event).filter(|text| *text != said) {
                    complain(&text);
                    said = text;
                }
            }
            _ = &mut interrupted => return Ok(()),
        }
    }
    while let Some(event) = events.next().await {
        watched.judge(&event)?;
    }
    Ok(())
}

/// Writes where waiting is fine: a full pipe must hold up neither Ctrl-C nor the client, which conflates meanwhile.
async fn write(text: String) -> io::Result<()> {
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    });
    writing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// About how much one write takes along.
const WRITE_BYTES: usize = 64 * 1024;
