//! A client of server-sent events made with a socket and a JSON parser.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tickwire::v1::{FeedHealth, Quote, Status};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::view::View;

/// Watches symbols or a pattern for ever, connecting again with `Last-Event-ID` as a browser does.
pub(crate) fn watch(address: SocketAddr, symbols: &'static str, prove: bool) -> watch::Receiver<View> {
    let (view, seen) = watch::channel(View::default());
    tokio::spawn(async move {
        let mut last_id = None;
        while !view.is_closed() {
            // Whatever ended the connection, the next one follows.
            let _ = session(address, symbols, prove, &view, &mut last_id).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    seen
}

async fn session(
    address: SocketAddr,
    symbols: &str,
    prove: bool,
    view: &watch::Sender<View>,
    last_id: &mut Option<String>,
) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let resume = last_id.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let path = format!("/v1/sse?symbols={}&conflate_ms=100&heartbeat_ms=500", symbols.replace('#', "%23"));
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{resume}\r\n").as_bytes()).await?;
    view.send_modify(|view| view.connections += 1);
    let mut names = HashMap::new();
    let mut lines = BufReader::new(socket).lines();
    // Chunk sizes stand on lines of their own between the events; only what has a field name counts.
    while let Some(line) = lines.next_line().await? {
        if let Some(id) = line.strip_prefix("id: ") {
            *last_id = Some(id.to_owned());
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let frame: Value = serde_json::from_str(data).unwrap();
            for info in list(&frame["infos"]) {
                names.insert(info["id"].as_u64().unwrap(), info["symbol"].as_str().unwrap().to_owned());
            }
            view.send_modify(|view| note(view, &frame, &names, prove));
        }
    }
    Ok(())
}

fn note(view: &mut View, frame: &Value, names: &HashMap<u64, String>, prove: bool) {
    if frame["welcome"].is_object() {
        view.epoch(frame["welcome"]["epoch"].as_str().unwrap_or_default());
    }
    if let Some(epoch) = frame["error"]["epoch"].as_str().filter(|epoch| !epoch.is_empty()) {
        view.epoch(epoch);
    }
    if let Some(id) = frame["gap"]["id"].as_u64() {
        view.gap(&names[&id], number(&frame["gap"]["from"]), number(&frame["gap"]["to"]));
    }
    for update in list(&frame["updates"]).iter().filter(|update| update["status"].is_object()) {
        let status = Status { reason: update["status"]["reason"].as_str().unwrap_or_default().to_owned(), ..Default::default() };
        let is_image = list(&update["flags"]).iter().any(|flag| flag == "IMAGE");
        view.status(update["symbol"].as_str().unwrap(), number(&update["seq"]), &status, is_image);
    }
    for feed in list(&frame["feeds"]) {
        let health = FeedHealth::from_str_name(feed["health"].as_str().unwrap()).unwrap();
        view.health(feed["feed"].as_str().unwrap(), health);
    }
    for update in list(&frame["updates"]).iter().filter(|update| update["quote"].is_object()) {
        let quote = &update["quote"];
        let (price, quantity) = (|name: &str| mantissa(&quote[name], 2), |name: &str| mantissa(&quote[name], 0));
        let quote = Quote { bid: price("bid"), ask: price("ask"), last: price("last"), volume: quantity("volume"), ..Default::default() };
        view.quote(update["symbol"].as_str().unwrap(), quote, prove);
    }
    view.frame();
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// 64-bit integers are texts.
fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

/// `"187.42"` at 2 places is 18742.
fn mantissa(value: &Value, places: usize) -> Option<i64> {
    let text = value.as_str()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert_eq!(fraction.len(), places, "{text}");
    Some(format!("{whole}{fraction}").parse().unwrap())
}
