//! The server's door: request heads, and what they ask for. A head is whole or not there, wherever the bytes end.
//!
//! Its files are private to the server and stay so: they are compiled into this crate as well.

use tickwire_proto::v1::subscribe_item::Target;
use tickwire_proto::{Pattern, Symbol};

use head::{HEAD_BYTES_MAX, Head};
use refusal::Refusal;
use request::{StreamRequest, WebSocketRequest};

#[allow(dead_code, reason = "what the server does with a head is not of interest here")]
#[path = "../../../server/src/accept/head.rs"]
mod head;
#[allow(dead_code, reason = "not every refusal is met here")]
#[path = "../../../server/src/accept/refusal.rs"]
mod refusal;
#[allow(dead_code, reason = "what an answer says is checked, not what follows from it")]
#[path = "../../../server/src/accept/request.rs"]
mod request;

/// What a stranger sends first.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(Some(head)) = Head::parse(bytes) else { return };
    assert!(head.len <= bytes.len() && head.len <= HEAD_BYTES_MAX);
    assert_eq!(Head::parse(&bytes[..head.len]), Head::parse(bytes), "what follows a head does not matter");
    assert_eq!(Head::parse(&bytes[..head.len - 1]), Ok(None), "a head is there only when it is whole");
    match WebSocketRequest::parse(&head) {
        Ok(request) => one_head(&request.response),
        Err(refusal) => refused(&refusal),
    }
    match StreamRequest::parse(&head, ITEMS_MAX) {
        Ok(request) => {
            let items = &request.subscribe.items;
            assert!(!items.is_empty() && items.len() <= ITEMS_MAX);
            for item in items {
                match &item.target {
                    Some(Target::Symbol(symbol)) => assert!(Symbol::parse(symbol).is_ok()),
                    Some(Target::Pattern(pattern)) => assert!(Pattern::parse(pattern).is_ok()),
                    None => panic!("an item names something"),
                }
            }
        }
        Err(refusal) => refused(&refusal),
    }
}

/// An answer that is one head and one body, whatever was quoted in it.
fn refused(refusal: &Refusal) {
    let response = refusal.response();
    one_head(&response);
    let start = response.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
    assert!(serde_json::from_slice::<serde_json::Value>(&response[start..]).is_ok(), "{}", String::from_utf8_lossy(&response));
}

fn one_head(response: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let parsed = httparse::Response::new(&mut headers).parse(response);
    assert!(parsed.is_ok_and(|status| status.is_complete()), "{}", String::from_utf8_lossy(response));
}

/// Symbols of one request.
const ITEMS_MAX: usize = 3;
