//! Framing of both ends: how bytes are cut into pieces must not matter, and nothing is kept beyond the limit.
//!
//! Both parsers are private to their crates and stay so: their files are compiled into this crate as well.

use tickwire_proto::Moment;

use event_stream_file::{EventParser, TooLarge};
use server::websocket::{Inbound, Incoming};

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
