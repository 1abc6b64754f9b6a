//! The door: one listener for everything. Sessions go to a shard with their raw socket, every other request to the HTTP side.

mod admission;
mod head;
mod origin;
mod reception;
mod refusal;
mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tickwire_core::engine::Arrival;
use tickwire_proto::v1::ErrorCode;
use tickwire_proto::wire::Encoding;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) use admission::{Admission, Visitor};
pub(crate) use head::Head;
pub(crate) use reception::{Reception, authorize, bearer_of};
pub(crate) use refusal::{Refusal, retry_after_s};

use crate::http::HttpSide;
use crate::shard::{Carrier, Newcomer, TransportKind, sse_preface};
use head::{HEAD_BYTES_MAX, HeadError};
use request::{StreamRequest, WebSocketRequest};

/// What the door needs to know.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) origins: Vec<String>,
    pub(crate) head_within: Duration,
    pub(crate) reception: Arc<Reception>,
    pub(crate) http: HttpSide,
    /// Permits to tell somebody beyond the limit of one address why.
    pub(crate) explanations: Arc<Semaphore>,
}

/// Binds the listener. Accepted sockets inherit its options.
pub(crate) fn bind(address: SocketAddr, notsent_lowat_bytes: Option<u32>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = notsent_lowat_bytes {
        // The kernel takes only so much more than it can send, so that what waits, waits here, where it is merged.
        socket.set_tcp_notsent_lowat(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Door {
    /// Accepts until `closed`.
    pub(crate) async fn stay_open(self: Arc<Self>, listener: TcpListener, closed: CancellationToken) {
        let greetings = Arc::new(Semaphore::new(GREETINGS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = closed.cancelled() => return,
            };
            match accepted {
                // Without a permit the socket is dropped: a flood of silent ones must not grow anything.
                Ok((socket, peer)) => {
                    if let Ok(permit) = greetings.clone().try_acquire_owned() {
                        tokio::spawn(self.clone().greet(socket, peer, permit));
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those who leave make room.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn greet(self: Arc<Self>, mut socket: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let visitor = self.reception.visitor(peer.ip());
        let explanation = visitor.is_err().then(|| self.explanations.clone().try_acquire_owned());
        if matches!(explanation, Some(Err(_))) {
            return;
        }
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(self.head_within, read_opening(&mut socket, &mut bytes)).await;
        let opening = match read {
            Ok(Ok(Some(opening))) => opening,
            // Too late, or gone: nobody to answer to.
            Err(_) | Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                let status = if error == HeadError::TooLarge { 431 } else { 400 };
                return refuse(socket, &Refusal::new(ErrorCode::BadMessage, error.to_string()).with(status, "")).await;
            }
        };
        match (opening, visitor) {
            (Opening::Request(head), Ok(visitor)) => self.serve(socket, peer, visitor, head, bytes, permit).await,
            (Opening::Request(_), Err(refusal)) => refuse(socket, &refusal).await,
            (Opening::Http2, Ok(_visitor)) => {
                drop(permit);
                Box::pin(self.http.serve_http2(socket, peer, bytes)).await;
            }
            // What could be said would be said in frames; the end says enough.
            (Opening::Http2, Err(_)) => {}
        }
    }

    async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        visitor: Visitor,
        head: Head,
        bytes: Vec<u8>,
        greeting: OwnedSemaphorePermit,
    ) {
        if is_session(&head) {
            return self.begin_session(socket, visitor, head, bytes).await;
        }
        // What follows may take as long as it likes to say its next request; it has a bound of its own.
        drop(greeting);
        // Boxed: a greeting that becomes a session must not carry the room for it.
        match Box::pin(self.http.serve(socket, peer, &head, bytes)).await {
            Ok(None) => {}
            // A browser uses a kept connection for an event stream as well.
            Ok(Some((socket, head, bytes))) => self.begin_session(socket, visitor, head, bytes).await,
            Err((socket, refusal)) => refuse(socket, &refusal).await,
        }
    }

    async fn begin_session(&self, socket: TcpStream, mut visitor: Visitor, head: Head, mut bytes: Vec<u8>) {
        let invitation = match self.invite(&head, &mut visitor) {
            Ok(invitation) => invitation,
            Err(refusal) => return refuse(socket, &refusal).await,
        };
        let Invitation { transport, arrival, preface } = invitation;
        let Some(arrival) = arrival else {
            return Box::pin(answer(socket, &preface)).await;
        };
        bytes.drain(..head.len);
        match socket.into_std() {
            Ok(socket) => {
                let carrier = Carrier::Socket(socket);
                self.reception.hand_over(Newcomer { carrier, visitor, transport, arrival, preface, early: bytes }).await;
            }
            Err(error) => tracing::warn!(%error, "a socket could not be handed over"),
        }
    }

    /// What a request for a session gets.
    fn invite(&self, head: &Head, visitor: &mut Visitor) -> Result<Invitation, Refusal> {
        let cors = origin::check(head, &self.origins)?;
        if head.path == SSE_PATH && head.method == "OPTIONS" && head.has("access-control-request-method") {
            return Ok(Invitation::preflight(&cors));
        }
        let (transport, encoding, request, preface) = if head.path == WS_PATH {
            let WebSocketRequest { encoding, response } = WebSocketRequest::parse(head)?;
            (TransportKind::WebSocket { text: encoding == Encoding::Json }, encoding, None, response)
        } else {
            let with_cors = |refusal: Refusal| Refusal { headers: format!("{}{cors}", refusal.headers), ..refusal };
            let StreamRequest { hello, subscribe } = StreamRequest::parse(head, self.reception.items_max()).map_err(with_cors)?;
            (TransportKind::Sse { chunked: head.is_1_1 }, Encoding::Json, Some((hello, subscribe)), sse_preface(head.is_1_1, &cors))
        };
        let token = bearer(head)?;
        // A WebSocket without a token in its head brings it in Hello; an event stream has no other chance.
        let grant = match (token, &request) {
            (None, None) => None,
            (token, _) => Some(self.reception.grant(token)?),
        };
        let arrival = self.reception.admit(visitor, encoding, grant, request)?;
        Ok(Invitation { transport, arrival: Some(arrival), preface })
    }
}

/// A session that may begin, or an answer that is all there is.
struct Invitation {
    transport: TransportKind,
    arrival: Option<Arrival>,
    preface: Vec<u8>,
}

impl Invitation {
    /// The answer to a browser that asks whether it may send headers of its own.
    fn preflight(cors: &str) -> Self {
        let preface = format!(
            "HTTP/1.1 204 No Content\r\n{cors}Access-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: authorization, last-event-id\r\nAccess-Control-Max-Age: 600\r\nConnection: close\r\n\r\n"
        );
        Self { transport: TransportKind::Sse { chunked: false }, arrival: None, preface: preface.into_bytes() }
    }
}

/// The bearer token of a request.
fn bearer(head: &Head) -> Result<Option<&str>, Refusal> {
    if !head.has("authorization") {
        return Ok(None);
    }
    let value = head.one("authorization").and_then(|value| bearer_of(value));
    value.map(Some).ok_or_else(|| Refusal::new(ErrorCode::AuthInvalid, "Authorization is not one bearer token"))
}

/// Whether a request belongs to a shard.
pub(crate) fn is_session(head: &Head) -> bool {
    matches!(head.path.as_str(), WS_PATH | SSE_PATH)
}

/// How a connection begins.
enum Opening {
    /// With a request of HTTP/1.x.
    Request(Head),
    /// With the preface of HTTP/2.
    Http2,
}

/// Reads until it is clear how the connection begins: a head is whole, or the preface of HTTP/2. `None`: the client left before.
async fn read_opening(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<Opening>, HeadError> {
    loop {
        let mut piece = [0; 2_048];
        let Ok(len @ 1..) = socket.read(&mut piece).await else { return Ok(None) };
        bytes.extend_from_slice(&piece[..len]);
        if bytes.starts_with(HTTP2_PREFACE) {
            return Ok(Some(Opening::Http2));
        }
        if HTTP2_PREFACE.starts_with(bytes) {
            continue;
        }
        if let Some(head) = Head::parse(bytes)? {
            return Ok(Some(Opening::Request(head)));
        }
    }
}

async fn refuse(socket: TcpStream, refusal: &Refusal) {
    Box::pin(answer(socket, &refusal.response())).await;
}

/// Writes the last answer, and lets the client read it: a reset would take it away.
async fn answer(mut socket: TcpStream, response: &[u8]) {
    let farewell = async {
        socket.write_all(response).await?;
        socket.shutdown().await?;
        let (mut piece, mut discarded) = ([0; 2_048], 0);
        while discarded < HEAD_BYTES_MAX {
            match socket.read(&mut piece).await? {
                0 => break,
                len => discarded += len,
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL_MAX, farewell).await;
}

/// What a client that speaks HTTP/2 says first (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const WS_PATH: &str = "/v1/ws";
const SSE_PATH: &str = "/v1/sse";
/// Connections that the kernel keeps for us while we are busy, enough for a storm after a restart.
const BACKLOG: i32 = 4_096;
/// Connections whose first request is on its way: room for everyone who comes back at once after a restart. One more is dropped.
const GREETINGS_MAX: usize = 16_384;
/// Connections beyond the limit of their address that are told so. One more is dropped without a word, so that one address holds no more.
pub(crate) const EXPLANATIONS_MAX: usize = 64;
/// Pause after a failed accept.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Time for a refused client to read why. Then it is cut.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
