//! Framing of both ends: how bytes are cut into pieces must not matter, and nothing is kept beyond the limit.
//!
//! The parsers are private to their crates and stay so: their files are compiled into this crate as well.

use tickwire_proto::Moment;

use body_file::{Body, Chunks, Malformed};
use event_stream_file::{EventParser, TooLarge};
use server::websocket::{Inbound, Incoming};

#[allow(dead_code, reason = "only chunks are of interest here")]
#[path = "../../../sdk-rust/src/transport/body.rs"]
mod body_file;
#[allow(dead_code, reason = "only the parser is of interest here")]
#[path = "../../../sdk-rust/src/transport/sse.rs"]
mod event_stream_file;
#[allow(dead_code, unused_imports, reason = "only what clients send is of interest here")]
#[path = "../../../server/src"]
pub(crate) mod server {
    pub(crate) mod websocket;
}

/// An event stream as the Rust SDK reads it; the first byte says in which pieces it comes.
pub(crate) fn event_stream(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let hear = |step: usize| {
        let (mut parser, mut heard) = (EventParser::new(LIMIT), Vec::new());
        for mut piece in bytes.chunks(step) {
            loop {
                match parser.next_event(&mut piece) {
                    Ok(Some(event)) => {
                        assert!(event.data.len() <= LIMIT);
                        assert!(!event.name.contains(['\r', '\n']) && !event.id.contains(['\r', '\n', '\0']));
                        heard.push(Ok(event));
                    }
                    Ok(None) => break,
                    Err(TooLarge) => {
                        heard.push(Err(TooLarge));
                        return heard;
                    }
                }
            }
            assert!(piece.is_empty(), "nothing is left unread without an event");
        }
        heard
    };
    assert_eq!(hear(usize::from(*first).max(1)), hear(bytes.len().max(1)), "pieces of {first}");
}

/// A response in chunks as the Rust SDK reads it: what the bytes are, and what they are in chunks of a size that the first byte names, in
/// pieces of that size.
pub(crate) fn chunks(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let step = usize::from(*first).max(1);
    let hear = |bytes: &[u8], step: usize| {
        let (mut body, mut out, mut used) = (Body::Chunked(Chunks::default()), Vec::new(), 0);
        for piece in bytes.chunks(step) {
            match body.take(piece, &mut out) {
                Ok(taken) => used += taken,
                Err(Malformed) => return (out, Err(Malformed)),
            }
            assert!(used == bytes.len().min(used) && (used.is_multiple_of(step) || used == bytes.len() || body.is_over()));
            if body.is_over() {
                break;
            }
        }
        (out, Ok((used, body.is_over())))
    };
    let (content, end) = hear(bytes, step);
    assert!(content.len() <= bytes.len());
    assert_eq!((content, end), hear(bytes, bytes.len().max(1)), "pieces of {first}");
    let mut wire: Vec<u8> =
        bytes.chunks(step).flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).collect();
    wire.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(hear(&wire, step), (bytes.to_vec(), Ok((wire.len(), true))), "chunks of {first}");
}

/// What a client writes into a WebSocket; the first byte says in which pieces it comes.
pub(crate) fn websocket(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let hear = |step: usize| {
        let (mut inbound, mut heard) = (Inbound::default(), Vec::new());
        for piece in bytes.chunks(step) {
            let mut piece = piece.to_vec();
            let taken = inbound.take(Moment::ZERO, &mut piece, LIMIT, &mut |incoming| {
                heard.push(match incoming {
                    Incoming::Message { text, payload } => {
                        assert!(payload.len() <= LIMIT, "a message of {} bytes", payload.len());
                        assert!(!text || std::str::from_utf8(payload).is_ok());
                        format!("{text} {payload:?}")
                    }
                    Incoming::Ping(payload) => {
                        assert!(payload.len() <= 125);
                        format!("ping {payload:?}")
                    }
                    Incoming::Close(code) => format!("close {code:?}"),
                });
            });
            if let Err(violation) = taken {
                heard.push(format!("{:?}", violation.close()));
            }
        }
        heard
    };
    assert_eq!(hear(usize::from(*first).max(1)), hear(bytes.len().max(1)), "pieces of {first}");
}

/// Bytes of one message or event.
const LIMIT: usize = 1_024;
