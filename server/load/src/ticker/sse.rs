//! Server-sent events over HTTP/1.1 chunks: the request, and the data of events.

/// Cuts chunks into events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Of an event whose end has not come. Empty, and without memory, between events.
    held: Vec<u8>,
}

impl Events {
    /// Gives the data of each event that ends in the whole chunks at the front of `bytes`; returns how many bytes those were.
    pub(super) fn take(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8]) -> Result<(), String>) -> Result<usize, String> {
        let mut used = 0;
        while let Some((start, size)) = chunk(&bytes[used..])? {
            let Some(body) = bytes[used..].get(start..start + size) else { break };
            if bytes.len() < used + start + size + 2 {
                break;
            }
            if size == 0 {
                return Err("the server ended the stream".to_owned());
            }
            if self.held.is_empty() {
                let rest = events(body, data)?;
                self.held.extend_from_slice(&body[rest..]);
            } else {
                self.held.extend_from_slice(body);
                let held = std::mem::take(&mut self.held);
                let rest = events(&held, data)?;
                self.held.extend_from_slice(&held[rest..]);
            }
            used += start + size + 2;
        }
        Ok(used)
    }
}

/// Where the body of the first chunk starts, and its size, once its first line is there.
fn chunk(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((start, size))) => Ok(Some((start, usize::try_from(size).map_err(|_| "a chunk is too large")?))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err("not HTTP/1.1 chunks".to_owned()),
    }
}

/// Gives the data of each whole event; returns where the first one starts that is not.
fn events(bytes: &[u8], data: &mut impl FnMut(&[u8]) -> Result<(), String>) -> Result<usize, String> {
    let (mut start, mut used) = (0, 0);
    while let Some(length) = bytes[start..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[start..start + length];
        start += length + 1;
        // The server writes the data of an event on one line.
        if let Some(text) = line.strip_prefix(b"data: ") {
            data(text)?;
        }
        if line.is_empty() {
            used = start;
        } else if line.starts_with(b"data: ") {
            // Its event ends with the empty line, of which nothing depends.
            used = start;
        }
    }
    Ok(used)
}

/// The request that subscribes to `symbols`.
pub(super) fn request(host: &str, symbols: &[String], conflate_ms: u32, heartbeat_ms: u32, headers: &str) -> String {
    let mut list = String::new();
    for letter in symbols.join(",").chars() {
        match letter {
            '#' => list.push_str("%23"),
            '+' => list.push_str("%2B"),
            '%' => list.push_str("%25"),
            letter => list.push(letter),
        }
    }
    format!(
        "GET /v1/sse?symbols={list}&conflate_ms={conflate_ms}&heartbeat_ms={heartbeat_ms} HTTP/1.1\r\nHost: {host}\r\n\
         Accept: text/event-stream\r\n{headers}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_from_pieces() {
        let stream = b"11\r\nretry: 1000\n\ndata\r\n9\r\n: {\"a\":1}\r\n2\r\n\n\n\r\n1c\r\nid: x\ndata: {}\n\ndata: []\n\n: \r\n0\r\n\r\n";
        for size in [1, 3, 7, 200] {
            let (mut events, mut held, mut found) = (Events::default(), Vec::new(), Vec::new());
            let mut end = None;
            for piece in stream.chunks(size) {
                held.extend_from_slice(piece);
                let mut keep = |data: &[u8]| {
                    found.push(String::from_utf8(data.to_vec()).unwrap());
                    Ok(())
                };
                match events.take(&held, &mut keep) {
                    Ok(used) => drop(held.drain(..used)),
                    Err(text) => end = Some(text),
                }
                if end.is_some() {
                    break;
                }
            }
            assert_eq!(end.as_deref(), Some("the server ended the stream"), "pieces of {size}");
            assert_eq!(found, ["{\"a\":1}", "{}", "[]"], "pieces of {size}");
        }
    }

    #[test]
    fn symbols_are_escaped() {
        let text = request("h", &["a.#".into(), "b".into()], 100, 5_000, "");
        assert!(text.starts_with("GET /v1/sse?symbols=a.%23,b&conflate_ms=100&heartbeat_ms=5000 HTTP/1.1\r\n"), "{text}");
    }
}
