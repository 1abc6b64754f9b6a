//! One connection of HTTP/2: many calls share it, each under the bounds of the connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tickwire_proto::v1::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::accept::Refusal;
use crate::grpc::{self, GrpcSide, Peer};

/// Serves until the client leaves, is idle for too long, or the node leaves and the last call has ended.
pub(super) async fn serve<S>(stream: S, grpc: GrpcSide, peer: IpAddr, leaving: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Semaphore::new(STREAMS_MAX as usize));
    let (calls, handler) = (streams.clone(), service_fn(move |request| answer(request, grpc.clone(), peer, streams.clone())));
    let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), handler));
    let mut look = interval(IDLE_MAX);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut idle, mut ending) = (false, false);
    loop {
        tokio::select! {
            // A client that breaks the protocol has been told so.
            _ = connection.as_mut() => return,
            () = leaving.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = look.tick() => {
                let was_idle = std::mem::replace(&mut idle, calls.available_permits() == STREAMS_MAX as usize);
                if was_idle && idle && !ending {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        // Requests are small; a client that sends more waits for us to read it.
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(UNSENT_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

async fn answer(
    mut request: Request<Incoming>,
    grpc: GrpcSide,
    peer: IpAddr,
    streams: Arc<Semaphore>,
) -> Result<Response<Body>, Infallible> {
    let permit = streams.try_acquire_owned().ok();
    if !grpc::is_call(&request) {
        let refusal = Refusal::new(ErrorCode::Unsupported, "HTTP/2 without TLS is for gRPC; use HTTP/1.1").with(415, "");
        return Ok(held(told(&refusal), permit));
    }
    request.extensions_mut().insert(Peer(peer));
    Ok(held(grpc.answer(request).await, permit))
}

/// The response, which counts as a stream for as long as its body is there.
fn held(response: Response<Body>, permit: Option<OwnedSemaphorePermit>) -> Response<Body> {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &permit;
            frame
        }))
    })
}

/// A refusal, as HTTP/2 says it.
fn told(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(refusal.body())));
    *response.status_mut() = http::StatusCode::from_u16(refusal.status).unwrap_or(http::StatusCode::BAD_REQUEST);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Calls and requests at once on one connection. The protocol tells clients, so that one more waits.
const STREAMS_MAX: u32 = 128;
/// Bytes of the headers of a request. More are refused.
const HEADERS_BYTES_MAX: u32 = 16 * 1_024;
/// Bytes of requests that a connection takes before we have read them.
const WINDOW_BYTES: u32 = 64 * 1_024;
/// Bytes of a call that wait for the window of its client or for the socket. Behind them wait one batch of messages, and its pipe.
const UNSENT_BYTES_MAX: usize = 16 * 1_024;
/// How often a silent client is asked whether it is still there ...
const PING_EVERY: Duration = Duration::from_secs(20);
/// ... and how soon it has to answer. Then it is cut.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// A connection without a call is looked at this often, and asked to leave when it is idle twice in a row.
const IDLE_MAX: Duration = Duration::from_secs(30);
