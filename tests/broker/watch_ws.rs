//! A WebSocket client made from the schema alone: protobuf, no SDK.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use tickwire_proto::v1::{self, client_frame::Command, server_frame::Control, subscribe_item::Target, update::Body};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_websockets::{ClientBuilder, Message};

use super::view::View;

/// Watches a pattern for ever, connecting again whenever it has to, with the resume token it has.
pub(crate) fn watch(address: SocketAddr, pattern: &'static str, conflate_ms: u32, prove: bool) -> watch::Receiver<View> {
    let (view, seen) = watch::channel(View::default());
    tokio::spawn(async move {
        let mut token = None;
        while !view.is_closed() {
            // Whatever ended the connection, the next one follows.
            let _ = session(address, pattern, conflate_ms, prove, &view, &mut token).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    seen
}

async fn session(
    address: SocketAddr,
    pattern: &str,
    conflate_ms: u32,
    prove: bool,
    view: &watch::Sender<View>,
    token: &mut Option<String>,
) -> Result<(), tokio_websockets::Error> {
    let uri = format!("ws://{address}/v1/ws").parse().unwrap();
    let (mut socket, _) = ClientBuilder::from_uri(uri).connect().await?;
    let hello = v1::Hello { protocol: 1, sdk: "test".into(), resume: token.clone(), heartbeat_ms: Some(500), ..Default::default() };
    let item = v1::SubscribeItem { target: Some(Target::Pattern(pattern.into())), conflate_ms: Some(conflate_ms), trades: false };
    for command in [Command::Hello(hello), Command::Subscribe(v1::Subscribe { items: vec![item], replace: false })] {
        let frame = v1::ClientFrame { request_id: 1, command: Some(command) };
        socket.send(Message::binary(frame.encode_to_vec())).await?;
    }
    view.send_modify(|view| view.connections += 1);
    let mut names: HashMap<u32, String> = HashMap::new();
    while let Some(message) = socket.next().await {
        let message = message?;
        if !message.is_binary() {
            continue;
        }
        let frame = v1::ServerFrame::decode(message.as_payload().as_ref()).unwrap();
        names.extend(frame.infos.into_iter().map(|info| (info.id, info.symbol)));
        if let Some(Control::Heartbeat(heartbeat)) = &frame.control {
            *token = Some(heartbeat.token.clone());
        }
        view.send_modify(|view| {
            match &frame.control {
                Some(Control::Welcome(welcome)) => view.epoch(&welcome.epoch),
                Some(Control::Error(error)) if !error.epoch.is_empty() => view.epoch(&error.epoch),
                Some(Control::Gap(gap)) => view.gap(&names[&gap.id], gap.from, gap.to),
                _ => {}
            }
            frame.feeds.iter().for_each(|feed| view.health(&feed.feed, feed.health()));
            for update in frame.updates {
                let is_image = update.flags & v1::UpdateFlag::Image as u32 != 0;
                match update.body {
                    Some(Body::Quote(quote)) => view.quote(&names[&update.id], quote, prove),
                    Some(Body::Status(status)) => view.status(&names[&update.id], update.seq, &status, is_image),
                    _ => {}
                }
            }
            view.frame();
        });
    }
    Ok(())
}
