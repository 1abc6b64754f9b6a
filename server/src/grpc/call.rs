//! `Subscribe`: from a request to a session at a shard, and from its frames to the stream of the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;
use tokio::time::{Sleep, sleep};
use tonic::codegen::async_trait;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::codec::take_frame;
use super::generated::ticker_server::Ticker;
use super::status::status;
use super::{Peer, time_out};
use crate::accept::{Reception, bearer_of};
use crate::shard::{Carrier, Newcomer, PipeReader, TransportKind, pipe};

/// Begins the sessions of calls.
#[derive(Debug)]
pub(crate) struct Calls {
    reception: Arc<Reception>,
}

impl Calls {
    pub(super) fn new(reception: Arc<Reception>) -> Self {
        Self { reception }
    }
}

#[async_trait]
impl Ticker for Calls {
    type SubscribeStream = Frames;

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<Frames>, Status> {
        let Some(Peer(address)) = request.extensions().get::<Peer>().copied() else {
            return Err(status(ErrorCode::Internal, "the address of the caller is not known"));
        };
        let token = bearer(&request)?;
        let until = deadline(&request)?;
        let mut visitor = self.reception.visitor(address)?;
        let grant = self.reception.grant(token.as_deref())?;
        let v1::SubscribeRequest { items, conflate_ms, heartbeat_ms, resume } = request.into_inner();
        if items.len() > self.reception.items_max() {
            let text = format!("more than {} items", self.reception.items_max());
            return Err(status(ErrorCode::BadMessage, text));
        }
        let hello = v1::Hello { protocol: 1, sdk: "grpc".to_owned(), resume, conflate_ms, heartbeat_ms, ..Default::default() };
        let said = Some((hello, v1::Subscribe { items, replace: false }));
        let arrival = self.reception.admit(&mut visitor, Encoding::Protobuf, Some(grant), said)?;
        let (writer, reader) = pipe();
        let (transport, preface, early) = (TransportKind::Grpc, Vec::new(), Vec::new());
        self.reception.hand_over(Newcomer { carrier: Carrier::Pipe(writer), visitor, transport, arrival, preface, early }).await;
        Ok(Response::new(Frames { reader, given: Bytes::new(), until }))
    }
}

/// The frames of one call, until its session or its time ends. Dropping it ends the session.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: PipeReader,
    /// What is left of the newest that the shard gave.
    given: Bytes,
    /// When the caller stops waiting, if it said so.
    until: Option<Pin<Box<Sleep>>>,
}

impl Stream for Frames {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(Status::deadline_exceeded("the time that the caller gave this call is over"))));
        }
        loop {
            if let Some(frame) = take_frame(&mut self.given) {
                return Poll::Ready(Some(Ok(frame)));
            }
            match ready!(self.reader.poll_next(cx)) {
                Ok(given) => self.given = given,
                Err(Some(ending)) => return Poll::Ready(Some(Err(ending.into()))),
                Err(None) => return Poll::Ready(Some(Err(status(ErrorCode::ShuttingDown, "the node ended")))),
            }
        }
    }
}

/// The bearer token of a call.
fn bearer<T>(request: &Request<T>) -> Result<Option<String>, Status> {
    let mut values = request.metadata().get_all("authorization").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(bearer_of).filter(|_| values.next().is_none());
    match token {
        Some(token) => Ok(Some(token.to_owned())),
        None => Err(status(ErrorCode::AuthInvalid, "authorization is not one bearer token")),
    }
}

/// When the caller stops waiting.
fn deadline<T>(request: &Request<T>) -> Result<Option<Pin<Box<Sleep>>>, Status> {
    let Some(value) = request.metadata().get("grpc-timeout") else { return Ok(None) };
    match value.to_str().ok().and_then(time_out::parse) {
        Some(span) => Ok(Some(Box::pin(sleep(span)))),
        None => Err(status(ErrorCode::BadMessage, "grpc-timeout is not a number and a unit")),
    }
}
