//! The door: one listener for everything. Sessions go to a shard with their raw socket, every other request to the HTTP side.

mod admission;
mod head;
mod origin;
mod reception;
mod refusal;
mod request;
mod stream;
mod usher;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tickwire_proto::v1::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub(crate) use admission::{Admission, Visitor};
pub(crate) use head::Head;
pub(crate) use reception::{Reception, authorize, bearer_of};
pub(crate) use refusal::{Refusal, retry_after_s};
pub(crate) use stream::Stream;
pub(crate) use usher::{Invitation, Usher};

use crate::http::HttpSide;
use crate::shard::Newcomer;
use crate::tls::Tls;
use head::{HEAD_BYTES_MAX, HeadError};

/// What the door needs to know.
#[derive(Debug)]
pub(crate) struct Door {
    /// From the first byte to the end of the first request's head, a TLS handshake included.
    pub(crate) head_within: Duration,
    /// `None`: connections are not encrypted.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) usher: Arc<Usher>,
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

    async fn greet(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let by = Instant::now() + self.head_within;
        let visitor = self.usher.reception().visitor(peer.ip());
        let explanation = visitor.is_err().then(|| self.explanations.clone().try_acquire_owned());
        if matches!(explanation, Some(Err(_))) {
            return;
        }
        let mut socket = match timeout_at(by, self.encrypt(socket)).await {
            Ok(Ok(stream)) => stream,
            // Too late, or gone, or told in an alert what is wrong.
            Err(_) | Ok(Err(None)) => return,
            Ok(Err(Some(socket))) => {
                let refusal = Refusal::new(ErrorCode::Unsupported, "connections to this port are encrypted; use https:// or wss://");
                return refuse(Stream::Plain(socket), &refusal).await;
            }
        };
        let mut bytes = Vec::new();
        let read = timeout_at(by, read_opening(&mut socket, &mut bytes)).await;
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

    /// Makes the TLS handshake, if connections are encrypted. Hands a socket back that begins with something else.
    async fn encrypt(&self, socket: TcpStream) -> Result<Stream, Option<TcpStream>> {
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1) if first[0] == TLS_HANDSHAKE => {}
            Ok(1) => return Err(Some(socket)),
            _ => return Err(None),
        }
        match Box::pin(tls.acceptor().accept(socket).into_fallible()).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err((error, socket)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                // An alert has said why.
                Box::pin(answer(Stream::Plain(socket), b"")).await;
                Err(None)
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        socket: Stream,
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

    async fn begin_session(&self, socket: Stream, mut visitor: Visitor, head: Head, mut bytes: Vec<u8>) {
        let invitation = match self.usher.invite(&head, &mut visitor) {
            Ok(invitation) => invitation,
            Err(refusal) => return refuse(socket, &refusal).await,
        };
        let Invitation { transport, arrival, preface } = invitation;
        let Some(arrival) = arrival else {
            return Box::pin(answer(socket, &preface)).await;
        };
        bytes.drain(..head.len);
        match socket.into_carrier() {
            Ok(carrier) => {
                self.usher.reception().hand_over(Newcomer { carrier, visitor, transport, arrival, preface, early: bytes }).await;
            }
            Err(error) => tracing::warn!(%error, "a socket could not be handed over"),
        }
    }
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
async fn read_opening(socket: &mut Stream, bytes: &mut Vec<u8>) -> Result<Option<Opening>, HeadError> {
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

async fn refuse(socket: Stream, refusal: &Refusal) {
    Box::pin(answer(socket, &refusal.response())).await;
}

/// Writes the last answer, and lets the client read it: a reset would take it away.
async fn answer(mut socket: Stream, response: &[u8]) {
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

/// First byte of a TLS connection: its record type (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn accepted_sockets_have_the_options_of_the_listener() {
        for lowat in [None, Some(16_384)] {
            let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), lowat).unwrap();
            let _client = Client::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let socket = SockRef::from(&accepted);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(socket.tcp_notsent_lowat().unwrap() == 16_384, lowat.is_some());
        }
    }

    #[tokio::test]
    async fn a_storm_waits_in_the_kernel_while_nobody_accepts() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        let address = listener.local_addr().unwrap();
        // Who does not fit is not refused, but has to ask again after a second.
        let within = Duration::from_millis(900);
        let waiting: Vec<_> = (0..STORM).map_while(|_| Client::connect_timeout(&address, within).ok()).collect();
        assert_eq!(waiting.len(), STORM);
    }

    /// More than the usual backlog of 128, and fewer than the descriptors that a process may have.
    const STORM: usize = 500;
}
