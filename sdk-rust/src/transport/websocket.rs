//! The WebSocket: an own handshake, for the sake of refusals and their `Retry-After`, then tokio-websockets.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use sha1_smol::Sha1;
use tickwire_proto::wire::Encoding;
use tokio_websockets::{ClientBuilder, CloseCode, Config, Limits, Message, WebSocketStream};

use super::dial::{Socket, dial};
use super::http::{self, Head};
use super::{Loss, Route};
use crate::error::TransportError;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: WebSocketStream<Socket>,
    encoding: Encoding,
    /// Bytes queued since everything had last left: commands, and answers to pings. At most [`UNSENT_BYTES_MAX`].
    unsent_bytes: usize,
    frame_bytes_max: usize,
}

impl WebSocket {
    pub(super) async fn open(route: &Route) -> Result<Self, Loss> {
        let mut socket = dial(&route.endpoint, route.tls.as_ref()).await?;
        let key = nonce()?;
        let subprotocol = match route.encoding {
            Encoding::Protobuf => "tickwire.v1.pb",
            Encoding::Json => "tickwire.v1.json",
        };
        // The token is not among the headers: Hello carries it, where no log of a proxy sees it.
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key.as_str()),
            ("Sec-WebSocket-Protocol", subprotocol),
        ];
        http::get(&mut socket, &route.endpoint, &route.endpoint.ws_path(), &headers).await?;
        let head = Head::read(&mut socket).await?;
        if head.status != 101 {
            return Err(head.refusal(&mut socket).await);
        }
        if !head.has("upgrade", "websocket") || head.get("sec-websocket-accept") != Some(accept(&key).as_str()) {
            return Err(TransportError::Protocol("answer to the websocket handshake is wrong").into());
        }
        if head.get("sec-websocket-protocol") != Some(subprotocol) {
            return Err(TransportError::Protocol("subprotocol tickwire.v1 was not accepted").into());
        }
        let stream = ClientBuilder::new()
            // Frames are queued without waiting and leave while the next one is awaited; `send` has its own bound.
            .config(Config::default().flush_threshold(usize::MAX))
            .limits(Limits::default().max_payload_len(Some(route.frame_bytes_max)))
            .take_over(socket);
        Ok(Self { stream, encoding: route.encoding, unsent_bytes: 0, frame_bytes_max: route.frame_bytes_max })
    }

    /// The next frame, while what was queued leaves. Cancel-safe: all progress is kept in the stream.
    pub(super) async fn next(&mut self) -> Result<Bytes, Loss> {
        loop {
            let received = poll_fn(|context| {
                let mut stream = Pin::new(&mut self.stream);
                if self.unsent_bytes > 0 {
                    match stream.as_mut().poll_flush(context) {
                        Poll::Ready(Ok(())) => self.unsent_bytes = 0,
                        Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Poll::Pending => {}
                    }
                }
                stream.poll_next(context)
            });
            let message = match received.await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.explain(error).into()),
                None => return Err(TransportError::Ended.into()),
            };
            if let Some((code, reason)) = message.as_close() {
                let (code, reason) = (u16::from(code), reason.to_owned());
                return Err(TransportError::Closed { code, reason }.into());
            }
            if message.is_ping() {
                self.reserve(message.as_payload().len() + FRAME_HEAD_BYTES)?;
            } else if message.is_text() || message.is_binary() {
                return Ok(message.into_payload().into());
            }
        }
    }

    pub(super) fn send(&mut self, frame: Vec<u8>) -> Result<(), Loss> {
        self.reserve(frame.len() + FRAME_HEAD_BYTES)?;
        let message = match self.encoding {
            Encoding::Protobuf => Message::binary(frame),
            Encoding::Json => Message::text(frame),
        };
        Pin::new(&mut self.stream).start_send(message).map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub(super) async fn shut(mut self, code: u16) {
        let code = CloseCode::try_from(code).ok().filter(|code| !code.is_reserved()).unwrap_or(CloseCode::NORMAL_CLOSURE);
        if self.stream.send(Message::close(Some(code), "")).await.is_ok() {
            let _ = self.stream.close().await;
        }
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), TransportError> {
        self.unsent_bytes += bytes;
        if self.unsent_bytes > UNSENT_BYTES_MAX {
            return Err(TransportError::WebSocket("server does not read".to_owned()));
        }
        Ok(())
    }

    fn explain(&self, error: tokio_websockets::Error) -> TransportError {
        match error {
            tokio_websockets::Error::Io(error) => TransportError::Io(error),
            tokio_websockets::Error::AlreadyClosed => TransportError::Ended,
            tokio_websockets::Error::PayloadTooLong { .. } => TransportError::TooLarge { max: self.frame_bytes_max },
            error => TransportError::WebSocket(error.to_string()),
        }
    }
}

/// A fresh `Sec-WebSocket-Key`.
fn nonce() -> Result<String, TransportError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| TransportError::Io(std::io::Error::other(error.to_string())))?;
    Ok(BASE64.encode(bytes))
}

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455, section 4.2.2).
fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(hash.digest().bytes())
}

/// Bytes that may wait for a server that does not read. More end the connection.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a frame's head, at most.
const FRAME_HEAD_BYTES: usize = 14;

#[cfg(test)]
mod tests {
    #[test]
    fn the_accept_value_is_that_of_the_standard() {
        assert_eq!(super::accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
