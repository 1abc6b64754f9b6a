//! One connection of HTTP/2: many calls share it, each under the bounds of the connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tickwire_core::bucket::Bucket;
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::{HttpSide, event_stream};
use crate::accept::{Head, Refusal, is_session};
use crate::grpc::{self, Peer};

/// What is served on one connection, and to whom. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) http: HttpSide,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Whether the connection is encrypted. If not, only calls are answered: browsers speak HTTP/2 on no other connections.
    pub(super) secure: bool,
}

/// Serves until the client leaves, is idle for too long, or the node leaves and the last call has ended.
pub(super) async fn serve<S>(stream: S, side: Side, leaving: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Semaphore::new(STREAMS_MAX as usize));
    let (calls, budget) = (streams.clone(), Arc::new(Budget::new()));
    let handler = service_fn(move |request| answer(request, side.clone(), streams.clone(), budget.clone()));
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
    side: Side,
    streams: Arc<Semaphore>,
    budget: Arc<Budget>,
) -> Result<Response<Body>, Infallible> {
    let permit = streams.try_acquire_owned().ok();
    let response = if !budget.take() {
        let refusal = Refusal::new(ErrorCode::RateLimited, "too many requests on this connection");
        if grpc::is_call(&request) { tonic::Status::from(refusal).into_http() } else { told(&refusal.with(429, "Retry-After: 1\r\n")) }
    } else if grpc::is_call(&request) {
        request.extensions_mut().insert(Peer(side.peer.ip()));
        side.http.grpc.clone().answer(request).await
    } else if !side.secure {
        told(&Refusal::new(ErrorCode::Unsupported, "HTTP/2 without TLS is for gRPC; use HTTP/1.1").with(415, ""))
    } else {
        match Head::of(&request) {
            Err(error) => told(&Refusal::new(ErrorCode::BadMessage, error.to_string())),
            Ok(head) if is_session(&head) => event_stream::answer(&head, &side.http.usher, side.peer.ip()).await,
            Ok(_) => side.http.answer(request, side.local, side.peer).await.map(Body::new),
        }
    };
    Ok(held(response, permit))
}

/// Requests that a connection may still make: cancelling them as fast as they are made costs a client less than us.
#[derive(Debug)]
struct Budget {
    since: Instant,
    bucket: Mutex<Bucket>,
}

impl Budget {
    fn new() -> Self {
        Self { since: Instant::now(), bucket: Mutex::default() }
    }

    fn take(&self) -> bool {
        let now = Moment::ZERO + self.since.elapsed();
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now, REQUESTS_PER_S, REQUESTS_BURST).is_ok()
    }
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
    event_stream::said(&refusal.response()).map(|rest| Body::new(Full::from(rest)))
}

/// Calls and requests at once on one connection. The protocol tells clients, so that one more waits.
const STREAMS_MAX: u32 = 128;
/// Requests at once on one connection, of which many may have ended. More are refused (RATE_LIMITED).
const REQUESTS_BURST: u32 = 256;
/// The same in a second, in the long run.
const REQUESTS_PER_S: u32 = 50;
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
