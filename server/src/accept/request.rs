//! What a request for a session asks for: the WebSocket handshake, and the query of an event stream.

use tickwire_proto::v1::{self, ErrorCode, subscribe_item::Target};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Pattern, Symbol};

use super::head::Head;
use super::refusal::Refusal;
use crate::websocket::accept_key;

/// A WebSocket that may be opened.
#[derive(Debug)]
pub(super) struct WebSocketRequest {
    pub(super) encoding: Encoding,
    /// The 101 answer.
    pub(super) response: Vec<u8>,
}

impl WebSocketRequest {
    /// Checks the handshake.
    ///
    /// # Errors
    /// Says what is not as RFC 6455 wants it.
    pub(super) fn parse(head: &Head) -> Result<Self, Refusal> {
        let unsupported = |text: &str| Refusal::new(ErrorCode::Unsupported, text);
        if head.method != "GET" {
            return Err(unsupported("method is not GET").with(405, "Allow: GET\r\n"));
        }
        let is_upgrade = head.is_1_1
            && head.list("upgrade").any(|value| value.eq_ignore_ascii_case("websocket"))
            && head.list("connection").any(|value| value.eq_ignore_ascii_case("upgrade"));
        if !is_upgrade {
            return Err(unsupported("this is a WebSocket; upgrade the connection").with(426, "Upgrade: websocket\r\n"));
        }
        if head.one("sec-websocket-version") != Some("13") {
            return Err(unsupported("version of the WebSocket is not 13").with(426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
        }
        let accept = head.one("sec-websocket-key").and_then(accept_key);
        let accept = accept.ok_or_else(|| Refusal::new(ErrorCode::BadMessage, "Sec-WebSocket-Key is not 16 bytes in base64"))?;
        let offered = head.has("sec-websocket-protocol");
        let chosen = head.list("sec-websocket-protocol").find_map(|name| SUBPROTOCOLS.into_iter().find(|(own, _)| *own == name));
        let (protocol, encoding) = match chosen {
            Some((name, encoding)) => (format!("Sec-WebSocket-Protocol: {name}\r\n"), encoding),
            None if !offered => (String::new(), Encoding::Protobuf),
            None => return Err(unsupported("none of the subprotocols is known; offer tickwire.v1.pb or tickwire.v1.json")),
        };
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
        );
        Ok(Self { encoding, response: response.into_bytes() })
    }
}

/// What an event stream is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct StreamRequest {
    pub(super) hello: v1::Hello,
    pub(super) subscribe: v1::Subscribe,
}

impl StreamRequest {
    /// Reads method, query and `Last-Event-ID`. Parameters that are not known are skipped.
    ///
    /// # Errors
    /// Says which parameter is not as it should be.
    pub(super) fn parse(head: &Head, items_max: usize) -> Result<Self, Refusal> {
        if head.method != "GET" {
            return Err(Refusal::new(ErrorCode::Unsupported, "method is not GET").with(405, "Allow: GET\r\n"));
        }
        let mut hello = v1::Hello { protocol: 1, sdk: "sse".to_owned(), ..Default::default() };
        let (mut symbols, mut trades, mut seen) = (None, false, Vec::new());
        for pair in head.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value).ok_or_else(|| bad(format!("{name} is not percent-encoded UTF-8")))?;
            match name {
                "symbols" => symbols = Some(value),
                "conflate_ms" => hello.conflate_ms = Some(number(name, &value)?),
                "heartbeat_ms" => hello.heartbeat_ms = Some(number(name, &value)?),
                "resume" => hello.resume = Some(value),
                "trades" => trades = flag(name, &value)?,
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(bad(format!("{name} is there twice")));
            }
            seen.push(name);
        }
        // A browser that reconnects by itself repeats the address and adds the header: the header is newer.
        if let Some(id) = head.one("last-event-id").filter(|id| !id.is_empty()) {
            hello.resume = Some(id.to_owned());
        }
        let symbols = symbols.ok_or_else(|| bad("symbols is missing: ?symbols=stock.AAPL,crypto.*".to_owned()))?;
        let items = symbols.split(',').map(|text| item(text, trades)).collect::<Result<Vec<_>, _>>()?;
        if items.len() > items_max {
            return Err(bad(format!("symbols names more than {items_max}")));
        }
        Ok(Self { hello, subscribe: v1::Subscribe { items, replace: false } })
    }
}

fn item(text: &str, trades: bool) -> Result<v1::SubscribeItem, Refusal> {
    let is_wild = Pattern::is_wild(text);
    let checked = if is_wild { Pattern::parse(text).map(drop) } else { Symbol::parse(text).map(drop) };
    checked.map_err(|error| Refusal::new(ErrorCode::BadSymbol, format!("{text:?} {error}")))?;
    let target = if is_wild { Target::Pattern(text.to_owned()) } else { Target::Symbol(text.to_owned()) };
    Ok(v1::SubscribeItem { target: Some(target), conflate_ms: None, trades })
}

fn number(name: &str, value: &str) -> Result<u32, Refusal> {
    value.parse().map_err(|_| bad(format!("{name} is not a number of milliseconds")))
}

fn flag(name: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad(format!("{name} is not true or false"))),
    }
}

fn bad(text: String) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, text)
}

/// `+` stands for itself, since symbols may have it and never have a space.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Subprotocols and what they encode.
const SUBPROTOCOLS: [(&str, Encoding); 2] = [("tickwire.v1.pb", Encoding::Protobuf), ("tickwire.v1.json", Encoding::Json)];

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: &str, headers: &str) -> Head {
        Head::parse(format!("{request} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes()).unwrap().unwrap()
    }

    fn stream(query: &str, headers: &str) -> Result<String, String> {
        let parsed = StreamRequest::parse(&head(&format!("GET /v1/sse?{query}"), headers), 3);
        let name = |item: &v1::SubscribeItem| match &item.target {
            Some(Target::Symbol(symbol)) => format!("{symbol}{}", if item.trades { "+trades" } else { "" }),
            Some(Target::Pattern(pattern)) => format!("pattern {pattern}"),
            None => "nothing".to_owned(),
        };
        parsed
            .map(|StreamRequest { hello, subscribe }| {
                let items: Vec<_> = subscribe.items.iter().map(name).collect();
                format!("{} {:?} {:?}", items.join(", "), hello.conflate_ms, hello.resume)
            })
            .map_err(|refusal| format!("{} {} {}", refusal.status, refusal.code.name(), refusal.text))
    }

    #[test]
    fn queries_say_what_is_wanted_or_what_is_wrong() {
        assert_eq!(stream("symbols=a,b.*&conflate_ms=50&later=x", "").unwrap(), "a, pattern b.* Some(50) None");
        assert_eq!(stream("symbols=soccer.%23&resume=e1:5", "Last-Event-ID: e1:9\r\n").unwrap(), "pattern soccer.# None Some(\"e1:9\")");
        assert_eq!(stream("symbols=fx.EUR+USD&trades=true", "").unwrap(), "fx.EUR+USD+trades None None");
        for (query, expected) in [
            ("", "400 BAD_MESSAGE symbols is missing: ?symbols=stock.AAPL,crypto.*"),
            ("symbols=", "400 BAD_SYMBOL \"\" is empty"),
            ("symbols=a..b", "400 BAD_SYMBOL \"a..b\" has an empty word"),
            ("symbols=a%0D%0Ab", "400 BAD_SYMBOL \"a\\r\\nb\" has a character other than A-Z a-z 0-9 _ % : / + - and dots"),
            ("symbols=a,b,c,d", "400 BAD_MESSAGE symbols names more than 3"),
            ("symbols=%zz", "400 BAD_MESSAGE symbols is not percent-encoded UTF-8"),
            ("symbols=a&symbols=b", "400 BAD_MESSAGE symbols is there twice"),
            ("symbols=a&conflate_ms=-1", "400 BAD_MESSAGE conflate_ms is not a number of milliseconds"),
            ("symbols=a&trades=maybe", "400 BAD_MESSAGE trades is not true or false"),
        ] {
            assert_eq!(stream(query, ""), Err(expected.to_owned()), "{query}");
        }
    }

    #[test]
    fn handshakes_are_as_the_standard_wants_them() {
        let upgrade = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let ask = |method: &str, headers: &str| WebSocketRequest::parse(&head(&format!("{method} /v1/ws"), headers));
        let status = |method: &str, headers: &str| ask(method, headers).err().map(|refusal| refusal.status);
        assert_eq!(ask("GET", upgrade).unwrap().encoding, Encoding::Protobuf);
        let offering = |offer: &str| format!("{upgrade}Sec-WebSocket-Protocol: {offer}\r\n");
        let json = ask("GET", &offering("unknown, tickwire.v1.json, tickwire.v1.pb")).unwrap();
        assert_eq!(json.encoding, Encoding::Json);
        assert!(String::from_utf8(json.response).unwrap().contains("Sec-WebSocket-Protocol: tickwire.v1.json\r\n"));
        assert_eq!(status("GET", &offering("unknown")), Some(400));
        assert_eq!(status("POST", upgrade), Some(405));
        assert_eq!(status("GET", ""), Some(426));
        assert_eq!(status("GET", &upgrade.replace("13", "8")), Some(426));
        assert_eq!(status("GET", &upgrade.replace("dGhl", "")), Some(400));
    }
}
