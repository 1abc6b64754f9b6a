//! Every request that is not a session on a socket of its own: health, instruments, metrics and the page by salvo, and calls by gRPC.

mod api;
mod event_stream;
mod http2;
mod page;
mod requests;
mod rewound;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use salvo::http::ResBody;
use salvo::{ConnCtrl, Service};
use tickwire_proto::v1::ErrorCode;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accept::{Head, Refusal, Stream, Usher};
use crate::grpc::GrpcSide;
pub(crate) use api::Api;
use http2::Side;
use requests::Requests;
use rewound::Rewound;

/// The HTTP side. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpSide {
    service: Arc<Service>,
    grpc: GrpcSide,
    usher: Arc<Usher>,
    /// Cancelled when the node leaves.
    leaving: CancellationToken,
    connections: Arc<Semaphore>,
}

impl std::fmt::Debug for HttpSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpSide")
    }
}

/// A connection whose next request is for a session: its socket, the head, and all bytes from the head on.
pub(crate) type Session = (Stream, Head, Vec<u8>);

impl HttpSide {
    /// Serves `api` and `grpc`; `usher` knows who may have an event stream over HTTP/2.
    pub(crate) fn new(api: Api, grpc: GrpcSide, usher: Arc<Usher>) -> Self {
        let (leaving, connections) = (api.leaving.clone(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        Self { service: Arc::new(api.service()), grpc, usher, leaving, connections }
    }

    /// Serves the request that begins with `bytes`, and those that follow it on the same connection. Ends with the connection, or with a
    /// request for a session, which is handed back.
    ///
    /// # Errors
    /// Hands the socket back with a refusal: there are too many such connections.
    pub(crate) async fn serve(
        &self,
        socket: Stream,
        peer: SocketAddr,
        head: &Head,
        bytes: Vec<u8>,
    ) -> Result<Option<Session>, (Stream, Refusal)> {
        let Ok(_permit) = self.connections.try_acquire() else {
            return Err((socket, Refusal::new(ErrorCode::ServerFull, "too many requests at once")));
        };
        let Ok(local) = socket.local_addr() else { return Ok(None) };
        let handler = handler(&self.service, local, peer, if socket.is_secure() { Scheme::HTTPS } else { Scheme::HTTP });
        let io = TokioIo::new(Requests::new(socket, head, bytes));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(io, handler);
        Ok(connection.without_shutdown().await.ok().and_then(|parts| parts.io.into_inner().into_session()))
    }

    /// Serves a connection of HTTP/2 that begins with `bytes`. Ends with the connection.
    pub(crate) async fn serve_http2(&self, socket: Stream, peer: SocketAddr, bytes: Vec<u8>) {
        let Ok(_permit) = self.connections.try_acquire() else { return };
        let Ok(local) = socket.local_addr() else { return };
        let side = Side { http: self.clone(), local, peer, secure: socket.is_secure() };
        http2::serve(Rewound::new(socket, bytes), side, self.leaving.clone()).await;
    }

    /// Answers one request as salvo does.
    async fn answer(&self, request: http::Request<Incoming>, local: SocketAddr, peer: SocketAddr) -> http::Response<ResBody> {
        use hyper::service::Service as _;
        match handler(&self.service, local, peer, Scheme::HTTPS).call(request).await {
            Ok(response) => response,
            Err(_) => {
                let mut failed = http::Response::new(ResBody::None);
                *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                failed
            }
        }
    }

    /// Waits until every connection has ended, at most for `within`: what was said last is on its way then.
    pub(crate) async fn emptied(&self, within: Duration) {
        let _ = tokio::time::timeout(within, self.connections.acquire_many(CONNECTIONS_MAX as u32)).await;
    }
}

/// Hidden from salvo's documentation, but public: the one place where it is used.
fn handler(
    service: &Service,
    local: SocketAddr,
    peer: SocketAddr,
    scheme: Scheme,
) -> impl hyper::service::Service<http::Request<Incoming>, Response = http::Response<ResBody>, Error = hyper::Error, Future: Send> + use<> {
    service.hyper_handler(local.into(), peer.into(), scheme, None, ConnCtrl::new(), None)
}

/// Connections with requests other than sessions. One more is refused (503).
const CONNECTIONS_MAX: usize = 1_024;
/// Time for the next request to arrive on a kept connection. Then it is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Bytes of hyper's buffers.
const BUFFER_BYTES_MAX: usize = 64 * 1_024;
