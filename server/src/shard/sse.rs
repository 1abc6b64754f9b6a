//! Server-sent events, as chunks of an HTTP/1.1 body.

use std::io::Write as _;

use tickwire_core::engine::{FrameKind, FrameRef};

/// Appends one frame as an event.
pub(super) fn push_event(out: &mut Vec<u8>, frame: FrameRef<'_>, chunked: bool) {
    let name = event_name(frame.kind);
    // The token holds the name of the log, which comes from outside: it must not end the line.
    let token = frame.token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let len = name.map_or(0, |name| "event: \n".len() + name.len())
        + token.map_or(0, |token| "id: \n".len() + token.len())
        + "data: \n\n".len()
        + frame.payload.len();
    begin_chunk(out, len, chunked);
    if let Some(name) = name {
        push_all(out, [b"event: ", name.as_bytes(), b"\n"]);
    }
    if let Some(token) = token {
        push_all(out, [b"id: ", token.as_bytes(), b"\n"]);
    }
    push_all(out, [b"data: ", frame.payload, b"\n\n"]);
    end_chunk(out, chunked);
}

/// The head of the answer, and how soon a browser reconnects by itself.
pub(crate) fn preface(chunked: bool, cors: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    push_all(
        &mut out,
        [
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n",
            cors.as_bytes(),
            if chunked { b"Transfer-Encoding: chunked\r\n\r\n" } else { b"Connection: close\r\n\r\n" },
        ],
    );
    let retry = b"retry: 1000\n\n";
    begin_chunk(&mut out, retry.len(), chunked);
    out.extend_from_slice(retry);
    end_chunk(&mut out, chunked);
    out
}

/// The end of the body.
pub(super) fn push_end(out: &mut Vec<u8>, chunked: bool) {
    if chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

/// Frames with data have the default name, so that `onmessage` gets them.
fn event_name(kind: FrameKind) -> Option<&'static str> {
    Some(match kind {
        FrameKind::Data => return None,
        FrameKind::Welcome => "welcome",
        FrameKind::SubscribeAck => "subscribe_ack",
        FrameKind::SnapshotComplete => "snapshot_complete",
        FrameKind::UnsubscribeAck => "unsubscribe_ack",
        FrameKind::Ack => "ack",
        FrameKind::Heartbeat => "heartbeat",
        FrameKind::Gap => "gap",
        FrameKind::Notice => "notice",
        FrameKind::Error => "error",
        FrameKind::TokenExpiring => "token_expiring",
        FrameKind::Goodbye => "goodbye",
        FrameKind::Pong => "pong",
    })
}

fn begin_chunk(out: &mut Vec<u8>, len: usize, chunked: bool) {
    if chunked {
        // Writing to a Vec does not fail.
        let _ = write!(out, "{len:x}\r\n");
    }
}

fn end_chunk(out: &mut Vec<u8>, chunked: bool) {
    if chunked {
        out.extend_from_slice(b"\r\n");
    }
}

fn push_all<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_chunk() {
        let frame = FrameRef { payload: b"{\"cseq\":\"1\"}", kind: FrameKind::Heartbeat, token: Some("e1:7") };
        let mut out = Vec::new();
        push_event(&mut out, frame, true);
        assert_eq!(String::from_utf8(out).unwrap(), "2e\r\nevent: heartbeat\nid: e1:7\ndata: {\"cseq\":\"1\"}\n\n\r\n");
        let mut plain = Vec::new();
        push_event(&mut plain, FrameRef { kind: FrameKind::Data, token: None, ..frame }, false);
        assert_eq!(plain, b"data: {\"cseq\":\"1\"}\n\n");
        let mut hostile = Vec::new();
        push_event(&mut hostile, FrameRef { kind: FrameKind::Data, token: Some("e\ndata: x"), ..frame }, false);
        assert_eq!(hostile, plain);
    }
}
