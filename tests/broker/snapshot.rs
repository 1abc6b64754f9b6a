//! The whole state of a node at one position, as a new client gets it.

use std::collections::HashMap;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use tickwire_proto::v1::{self, Quote, client_frame::Command, server_frame::Control, subscribe_item::Target, update::Body};
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Message};

use super::house::WITHIN;

/// What a node knows of `stock.#`.
pub(crate) struct Snapshot {
    /// Position and quote of each instrument.
    pub(crate) quotes: HashMap<String, (u64, Quote)>,
}

impl Snapshot {
    /// The newest position in it.
    pub(crate) fn position(&self) -> u64 {
        self.quotes.values().map(|(seq, _)| *seq).max().unwrap_or_default()
    }
}

/// Asks the server at `address`.
pub(crate) async fn take(address: SocketAddr) -> Snapshot {
    timeout(WITHIN, ask(address)).await.expect("the snapshot is complete")
}

async fn ask(address: SocketAddr) -> Snapshot {
    let uri = format!("ws://{address}/v1/ws").parse().unwrap();
    let (mut socket, _) = ClientBuilder::from_uri(uri).connect().await.unwrap();
    let hello = v1::Hello { protocol: 1, sdk: "test".into(), ..Default::default() };
    let item = v1::SubscribeItem { target: Some(Target::Pattern("stock.#".into())), conflate_ms: Some(0), trades: false };
    for command in [Command::Hello(hello), Command::Subscribe(v1::Subscribe { items: vec![item], replace: false })] {
        let frame = v1::ClientFrame { request_id: 1, command: Some(command) };
        socket.send(Message::binary(frame.encode_to_vec())).await.unwrap();
    }
    let mut names = HashMap::new();
    let mut quotes = HashMap::new();
    loop {
        let message = socket.next().await.expect("the connection stays").unwrap();
        if !message.is_binary() {
            continue;
        }
        let frame = v1::ServerFrame::decode(message.as_payload().as_ref()).unwrap();
        names.extend(frame.infos.into_iter().map(|info| (info.id, info.symbol)));
        for update in frame.updates {
            if let Some(Body::Quote(quote)) = update.body {
                quotes.insert(names[&update.id].clone(), (update.seq, quote));
            }
        }
        if matches!(frame.control, Some(Control::SnapshotComplete(_))) {
            return Snapshot { quotes };
        }
    }
}
