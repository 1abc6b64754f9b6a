//! The event stream format, as the WHATWG standard ("Server-sent events", section 9.2.6) has it.

use std::mem;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// `message` if the stream named none.
    pub(crate) name: String,
    /// The lines of data, joined by LF.
    pub(crate) data: Vec<u8>,
    /// The last event id so far; it stays from event to event.
    pub(crate) id: String,
}

/// A parser for bytes in pieces of any size. Keeps at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct EventParser {
    limit: usize,
    /// Bytes of the byte order mark seen at the very start; `None` once it is behind.
    mark: Option<usize>,
    /// The last byte was a CR: a LF now belongs to it.
    after_cr: bool,
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    id: String,
    retry_ms: Option<u64>,
}

impl EventParser {
    /// A parser at the start of a stream. A line, or the data of an event, above `limit` bytes is refused.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            mark: Some(0),
            after_cr: false,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            id: String::new(),
            retry_ms: None,
        }
    }

    /// Reads from the front of `bytes` up to and including the next event; `None` when they are used up before.
    pub(crate) fn next_event(&mut self, bytes: &mut &[u8]) -> Result<Option<SseEvent>, TooLarge> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Some(seen) = self.mark {
                if byte == BYTE_ORDER_MARK[seen] {
                    *bytes = rest;
                    self.mark = if seen + 1 == BYTE_ORDER_MARK.len() { None } else { Some(seen + 1) };
                    continue;
                }
                // Not the mark after all: what looked like it belongs to the first line.
                self.line.extend_from_slice(&BYTE_ORDER_MARK[..seen]);
                self.mark = None;
            }
            if mem::take(&mut self.after_cr) && byte == b'\n' {
                *bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if self.line.len() + self.data.len() > self.limit {
                return Err(TooLarge);
            }
            let Some(end) = end else {
                *bytes = &[];
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            *bytes = &bytes[end + 1..];
            if let Some(event) = self.end_line() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// What a `retry:` field said last, milliseconds.
    #[cfg(test)]
    fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = mem::take(&mut self.line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            // A comment (no name before the colon), or a field of another time.
            _ => {}
        }
        // The line's buffer goes on being used.
        self.line = line;
        self.line.clear();
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let name = mem::take(&mut self.name);
        let mut data = mem::take(&mut self.data);
        // No `data` field at all: not even an empty event.
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(SseEvent { name, data, id: self.id.clone() })
    }
}

/// A line or event above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses `stream` in pieces of every size (cuts must not matter) and compares `name|data|id` of each event, separated by blanks.
    fn check_bytes(stream: &[u8], expected: &str) {
        for size in 1..=stream.len() {
            let mut parser = EventParser::new(4_096);
            let mut got = Vec::new();
            for mut piece in stream.chunks(size) {
                while let Some(event) = parser.next_event(&mut piece).unwrap() {
                    got.push(format!("{}|{}|{}", event.name, String::from_utf8_lossy(&event.data), event.id));
                }
            }
            assert_eq!(got.join(" "), expected, "{:?} in pieces of {size}", String::from_utf8_lossy(stream));
        }
    }

    fn check(stream: &str, expected: &str) {
        check_bytes(stream.as_bytes(), expected);
    }

    #[test]
    fn events_are_dispatched_as_the_standard_says() {
        check("data: 1\n\n", "message|1|");
        check("data:1\n\ndata: 2\n\n", "message|1| message|2|");
        check("event: add\ndata: 1\n\ndata: 2\n\n", "add|1| message|2|");
        // The examples of the standard.
        check("data: YHOO\ndata: +2\ndata: 10\n\n", "message|YHOO\n+2\n10|");
        check(": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n", "message|first|1 message|second|");
        check("data\n\ndata\ndata\n\ndata:\n", "message|| message|\n|");
        check("data:test\n\ndata: test\n\n", "message|test| message|test|");
    }

    #[test]
    fn lines_end_with_lf_cr_or_both() {
        check("data: 1\r\ndata: 2\r\n\r\n", "message|1\n2|");
        check("data: 1\rdata: 2\r\r", "message|1\n2|");
        check("data: 1\r\n\rdata: 2\n\r\n", "message|1| message|2|");
        check("data: 1\n\r", "message|1|");
    }

    #[test]
    fn one_byte_order_mark_is_skipped_at_the_start_only() {
        check_bytes(b"\xEF\xBB\xBFdata: 1\n\n", "message|1|");
        check_bytes(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: 1\n\ndata: 2\n\n", "message|2|");
        check_bytes(b"data: 1\n\n\xEF\xBB\xBFdata: 2\n\ndata: 3\n\n", "message|1| message|3|");
        check_bytes(b"\xEF\xBBdata: 1\n\ndata: 2\n\n", "message|2|");
    }

    #[test]
    fn ids_stay_and_bad_ones_are_skipped() {
        check("id: 7\ndata: 1\n\ndata: 2\n\n", "message|1|7 message|2|7");
        check("id: 7\n\ndata: 1\n\n", "message|1|7");
        check("id: 7\ndata: 1\n\nid: 8\0\ndata: 2\n\n", "message|1|7 message|2|7");
        check("id: 7\ndata: 1\n\nid:\ndata: 2\n\n", "message|1|7 message|2|");
    }

    #[test]
    fn what_is_no_field_is_skipped() {
        check(": comment\ndata: 1\n: another\n\n", "message|1|");
        check("dat: 0\n data: 0\nDATA: 0\ndata : 0\ndata: 1\n\n", "message|1|");
        check("event: lost\n\ndata: 1\n\n", "message|1|");
        check("data: never finished\n", "");
        check("data: a:b\n\n", "message|a:b|");
        check("data: \u{20AC}\n\n", "message|\u{20AC}|");
    }

    #[test]
    fn retry_takes_digits_only() {
        for (stream, expected) in [("retry: 1000\n", Some(1_000)), ("retry: 1s\n", None), ("retry: -1\n", None), ("retry\n", None)] {
            let mut parser = EventParser::new(4_096);
            assert_eq!(parser.next_event(&mut stream.as_bytes()), Ok(None));
            assert_eq!(parser.retry_ms(), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_endless_line_or_event_is_refused() {
        let mut parser = EventParser::new(10);
        assert_eq!(parser.next_event(&mut &b"data: 12345"[..]), Err(TooLarge));
        let mut parser = EventParser::new(10);
        assert_eq!(parser.next_event(&mut &b"data: 1\ndata: 2\ndata: 3\ndata: 4\n"[..]), Err(TooLarge));
    }
}
