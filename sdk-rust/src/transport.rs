//! Connections: a WebSocket or an event stream, opened under a deadline, giving frames one by one.

mod body;
mod dial;
mod event_stream;
mod http;
mod sse;
mod websocket;

use std::time::Duration;

use bytes::Bytes;
use tickwire_proto::wire::Encoding;

pub(crate) use dial::Tls;
use event_stream::EventStream;
use websocket::WebSocket;

use crate::endpoint::Endpoint;
use crate::error::TransportError;
use crate::token::Token;

/// How frames travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket: both ways, protobuf or JSON. The default.
    #[default]
    WebSocket,
    /// Server-sent events over HTTP/1.1: JSON, one way. For networks that let nothing else pass. A change of what is subscribed to
    /// makes a new request.
    Sse,
}

/// What a connection needs to be opened; the same for every try.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) encoding: Encoding,
    /// Set if the endpoint is secure.
    pub(crate) tls: Option<Tls>,
    /// Bytes of one message or event.
    pub(crate) frame_bytes_max: usize,
}

/// What one try needs beyond the route. A WebSocket says all this in its first frames.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) token: Option<Token>,
    pub(crate) resume: Option<String>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) enum Wire {
    WebSocket(Box<WebSocket>),
    EventStream(Box<EventStream>),
}

impl Wire {
    /// Opens a connection: name, TCP, TLS and HTTP, all within [`OPEN_WITHIN`].
    pub(crate) async fn open(route: Route, request: Request) -> Result<Self, Loss> {
        let opening = async {
            match route.transport {
                Transport::WebSocket => WebSocket::open(&route).await.map(|socket| Self::WebSocket(Box::new(socket))),
                Transport::Sse => EventStream::open(&route, &request).await.map(|stream| Self::EventStream(Box::new(stream))),
            }
        };
        let late = TransportError::TimedOut { what: "connecting", seconds: OPEN_WITHIN.as_secs() };
        tokio::time::timeout(OPEN_WITHIN, opening).await.unwrap_or_else(|_| Err(late.into()))
    }

    /// The next frame. Writes what [`Wire::send`] has queued on the way. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Loss> {
        match self {
            Self::WebSocket(socket) => socket.next().await,
            Self::EventStream(stream) => stream.next().await,
        }
    }

    /// Queues a frame, which leaves while [`Wire::next`] is awaited.
    pub(crate) fn send(&mut self, frame: Vec<u8>) -> Result<(), Loss> {
        match self {
            Self::WebSocket(socket) => socket.send(frame),
            // One way: the request has said everything.
            Self::EventStream(_) => Ok(()),
        }
    }

    /// Closes politely, within [`CLOSE_WITHIN`].
    pub(crate) async fn shut(self, code: u16) {
        if let Self::WebSocket(socket) = self {
            let _ = tokio::time::timeout(CLOSE_WITHIN, socket.shut(code)).await;
        }
    }
}

/// Why there is no connection (any more), as the session and as people want to know it.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) error: TransportError,
    /// WebSocket close code, or HTTP status. An error code in the body of a refusal counts as its close code.
    pub(crate) code: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
}

impl<E: Into<TransportError>> From<E> for Loss {
    fn from(error: E) -> Self {
        let error = error.into();
        let code = match &error {
            TransportError::Closed { code, .. } => Some(*code),
            TransportError::Status { status, .. } => Some(*status),
            _ => None,
        };
        Self { error, code, retry_after: None }
    }
}

/// Time to open a connection. A later one is given up and tried again.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Time for the closing handshake. Later the socket is just dropped.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
