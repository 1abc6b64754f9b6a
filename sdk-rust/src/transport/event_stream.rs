//! Server-sent events: one request, then JSON frames until somebody ends it.

use bytes::Bytes;
use tokio::io::AsyncBufReadExt;

use super::body::{Body, Malformed};
use super::dial::{Socket, dial};
use super::http::{self, Head};
use super::sse::EventParser;
use super::{Loss, Request, Route};
use crate::error::TransportError;

/// An open event stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    socket: Socket,
    body: Body,
    parser: EventParser,
    /// Content that was received but not parsed yet: what `at` has not passed. Bounded by the read buffer.
    content: Vec<u8>,
    at: usize,
    frame_bytes_max: usize,
}

impl EventStream {
    pub(super) async fn open(route: &Route, request: &Request) -> Result<Self, Loss> {
        let mut socket = dial(&route.endpoint, route.tls.as_ref()).await?;
        let target = format!("{}{}", route.endpoint.sse_path(), request.query);
        let bearer = request.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        let mut headers = vec![("Accept", "text/event-stream"), ("Cache-Control", "no-cache")];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend(request.resume.as_deref().map(|token| ("Last-Event-ID", token)));
        http::get(&mut socket, &route.endpoint, &target, &headers).await?;
        let head = Head::read(&mut socket).await?;
        if head.status != 200 {
            return Err(head.refusal(&mut socket).await);
        }
        if !head.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(TransportError::Protocol("answer is no event stream").into());
        }
        let body = head.body()?;
        let parser = EventParser::new(route.frame_bytes_max);
        Ok(Self { socket, body, parser, content: Vec::new(), at: 0, frame_bytes_max: route.frame_bytes_max })
    }

    /// The data of the next event. Cancel-safe: it awaits only where nothing has been taken.
    pub(super) async fn next(&mut self) -> Result<Bytes, Loss> {
        loop {
            let mut unread = &self.content[self.at..];
            let event = self.parser.next_event(&mut unread).map_err(|_| TransportError::TooLarge { max: self.frame_bytes_max })?;
            self.at = self.content.len() - unread.len();
            // The name repeats what the frame says, and the id what its heartbeat says.
            if let Some(event) = event {
                return Ok(event.data.into());
            }
            self.content.clear();
            self.at = 0;
            if self.body.is_over() {
                return Err(TransportError::Ended.into());
            }
            let read = self.socket.fill_buf().await.map_err(TransportError::from)?;
            if read.is_empty() {
                return Err(TransportError::Ended.into());
            }
            let taken = self.body.take(read, &mut self.content);
            let used = taken.map_err(|Malformed| TransportError::Protocol("chunked body is malformed"))?;
            self.socket.consume(used);
        }
    }
}
