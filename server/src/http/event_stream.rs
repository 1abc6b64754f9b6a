//! Server-sent events over HTTP/2: the session is at a shard like any other, and its bytes come through a pipe.

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use tonic::body::Body;

use crate::accept::{Head, Invitation, Refusal, Usher};
use crate::shard::{Carrier, Newcomer, pipe};

/// Answers a request for a session.
pub(super) async fn answer(head: &Head, usher: &Usher, peer: IpAddr) -> Response<Body> {
    let whole = |bytes: &[u8]| said(bytes).map(|rest| Body::new(Full::from(rest)));
    let invited = usher.reception().visitor(peer).and_then(|mut visitor| {
        let invitation = usher.invite(head, &mut visitor)?;
        Ok::<_, Refusal>((visitor, invitation))
    });
    let (visitor, Invitation { transport, arrival, preface }) = match invited {
        Ok(invited) => invited,
        Err(refusal) => return whole(&refusal.response()),
    };
    let Some(arrival) = arrival else { return whole(&preface) };
    let (writer, reader) = pipe();
    let carrier = Carrier::Pipe(writer);
    usher.reception().hand_over(Newcomer { carrier, visitor, transport, arrival, preface: Vec::new(), early: Vec::new() }).await;
    let events = stream::poll_fn(move |cx| reader.poll_next(cx).map(Result::ok));
    said(&preface).map(|start| {
        let bytes = stream::iter([start]).chain(events);
        Body::new(StreamBody::new(bytes.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)))))
    })
}

/// An answer of HTTP/1.1, for HTTP/2: without the headers of one connection. Its body is what follows the head.
pub(super) fn said(answer: &[u8]) -> Response<Bytes> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(len)) = parsed.parse(answer) else {
        let mut broken = Response::new(Bytes::new());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return broken;
    };
    let mut response = Response::new(Bytes::copy_from_slice(&answer[len..]));
    *response.status_mut() = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for header in parsed.headers.iter().filter(|header| !OF_ONE_CONNECTION.iter().any(|name| header.name.eq_ignore_ascii_case(name))) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_bytes(header.value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Headers that HTTP/2 has no place for.
const OF_ONE_CONNECTION: [&str; 3] = ["connection", "upgrade", "transfer-encoding"];
/// Headers of our own answers, which have fewer than ten.
const HEADERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_same_without_its_connection() {
        let response = said(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\nbody");
        assert_eq!((response.status(), response.headers().len(), &response.body()[..]), (StatusCode::SERVICE_UNAVAILABLE, 1, &b"body"[..]));
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
