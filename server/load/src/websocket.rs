//! WebSocket framing (RFC 6455), the client's side, as far as a load generator needs it.

/// The request that opens a WebSocket. `subprotocol` and `headers` (whole lines, each with its end) may be empty.
pub fn request(host: &str, path: &str, subprotocol: &str, headers: &str) -> String {
    let protocol = if subprotocol.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {subprotocol}\r\n") };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGlja3dpcmUtYmVuY2gtMQ==\r\n{protocol}{headers}\r\n"
    )
}

/// Length of the answer's head at the front of `bytes` and its status, or `None` if it is not whole yet.
///
/// # Errors
/// Not HTTP, or too long.
pub fn answer(bytes: &[u8]) -> Result<Option<(usize, u16)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(Some((length, response.code.unwrap_or(0)))),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) => Err("the answer to the request is too long".to_owned()),
        Err(error) => Err(format!("the answer to the request is not HTTP: {error}")),
    }
}

/// One frame of a server.
#[derive(Debug)]
pub struct Frame<'a> {
    /// 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// The first frame in `bytes`, if all of it is there. Frames of servers carry no mask, and the servers measured here do not fragment.
pub fn first_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (start, size): (usize, usize) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let length = start.checked_add(size)?;
    Some(Frame { opcode: bytes[0] & 0x0f, payload: bytes.get(start..length)?, length })
}

/// Appends one whole frame of a client. The mask is zero: it is there for proxies on the way, and there is none.
pub fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend_from_slice(payload);
}

/// What a Close frame says, in words.
pub fn close_text(payload: &[u8]) -> String {
    match payload.first_chunk() {
        Some(code) => format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(&payload[2..])).trim_end().to_owned(),
        None => "no reason".to_owned(),
    }
}

/// Bytes of the answer's head. A longer one is no answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of the answer.
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_server_are_split() {
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x81, 126, 1, 0];
        assert_eq!(first_frame(&bytes[..4]).map(|frame| frame.length), None);
        let frame = first_frame(&bytes).unwrap();
        assert_eq!((frame.opcode, frame.payload, frame.length), (2, &[1, 2, 3][..], 5));
        assert!(first_frame(&bytes[5..]).is_none());
        bytes.extend([7; 256]);
        assert_eq!(first_frame(&bytes[5..]).unwrap().payload, [7; 256]);
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let text = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nrest";
        assert_eq!(answer(&text[..30]), Ok(None));
        assert_eq!(answer(text), Ok(Some((text.len() - 4, 101))));
        assert!(answer(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
