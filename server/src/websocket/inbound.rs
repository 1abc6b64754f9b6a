//! Frames from a client: unmasked, put together and checked, under limits on size, number of fragments and control frames.

use tickwire_core::bucket::Bucket;
use tickwire_proto::Moment;

use super::{CONTROL_BYTES_MAX, Opcode};

/// The incoming half of one connection. Holds bytes only while a frame or a message is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// Start of an incomplete frame. Bounded by the largest message and one read.
    partial: Vec<u8>,
    /// The fragments of an incomplete message.
    message: Option<Box<Fragments>>,
    /// Pings and pongs that it may still send.
    controls: Bucket,
    /// When the frame or message that is incomplete began.
    unfinished_since: Option<Moment>,
    /// Whether a violation or a Close ended the conversation: everything later is skipped.
    ended: bool,
}

/// Something that a client said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A whole message.
    Message { text: bool, payload: &'a [u8] },
    /// To be answered by a Pong with the same payload.
    Ping(&'a [u8]),
    /// The client leaves; the code is to be echoed.
    Close(Option<u16>),
}

/// What a client may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Not RFC 6455.
    Protocol(&'static str),
    /// A text that is not UTF-8.
    Text,
    /// A message beyond the limit, or in too many fragments.
    TooLarge(&'static str),
    /// Too many control frames.
    ControlFlood,
}

impl Violation {
    /// The close code and reason, for violations of the framing. `TooLarge` has a code of the session protocol instead.
    pub(crate) fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(text) => (1_002, text),
            Self::Text => (1_007, "text is not UTF-8"),
            Self::TooLarge(text) => (1_009, text),
            Self::ControlFlood => (1_008, "too many control frames"),
        }
    }
}

impl Inbound {
    /// Takes what was read, and hands out what is complete. After a violation or a Close, everything is skipped.
    ///
    /// `bytes` serves as the place to unmask in. Costs a copy only for what is incomplete.
    ///
    /// # Errors
    /// The first violation; what came before it was handed out.
    pub(crate) fn take(
        &mut self,
        now: Moment,
        bytes: &mut [u8],
        message_bytes_max: usize,
        on: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        if self.partial.is_empty() {
            let used = self.take_frames(now, bytes, message_bytes_max, on)?;
            if !self.ended {
                self.partial.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let used = self.take_frames(now, &mut joined, message_bytes_max, on)?;
            if !self.ended && used < joined.len() {
                joined.drain(..used);
                self.partial = joined;
            }
        }
        let is_unfinished = !self.partial.is_empty() || self.message.is_some();
        self.unfinished_since = is_unfinished.then(|| self.unfinished_since.unwrap_or(now));
        Ok(())
    }

    /// When the frame or message began that is not complete yet. It begins anew with each message that is.
    pub(crate) fn unfinished_since(&self) -> Option<Moment> {
        self.unfinished_since
    }

    fn take_frames(
        &mut self,
        now: Moment,
        bytes: &mut [u8],
        message_bytes_max: usize,
        on: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<usize, Violation> {
        let mut used = 0;
        while !self.ended {
            let outcome = match self.header(&bytes[used..], message_bytes_max) {
                Ok(Some(frame)) if bytes.len() - used >= frame.head + frame.len => {
                    let (start, end) = (used + frame.head, used + frame.head + frame.len);
                    unmask(&mut bytes[start..end], frame.mask);
                    used = end;
                    self.frame(now, &frame, &bytes[start..end], on)
                }
                Ok(_) => return Ok(used),
                Err(violation) => Err(violation),
            };
            outcome.inspect_err(|_| self.end())?;
        }
        Ok(bytes.len())
    }

    /// Reads a frame's header and checks it before anything of the frame is kept.
    fn header(&self, bytes: &[u8], message_bytes_max: usize) -> Result<Option<Frame>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits are set"));
        }
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::Protocol("unknown opcode"))?;
        let last = first & 0x80 != 0;
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("frame is not masked"));
        }
        let (len, len_bytes) = match second & 0x7F {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
                _ => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        if opcode.is_control() && (!last || len > CONTROL_BYTES_MAX as u64) {
            return Err(Violation::Protocol("control frame is fragmented or too long"));
        }
        match (opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(Violation::Protocol("continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::Protocol("new message inside another")),
            _ => {}
        }
        let held = self.message.as_ref().map_or(0, |message| message.bytes.len());
        if len > (message_bytes_max - held.min(message_bytes_max)) as u64 && !opcode.is_control() {
            return Err(Violation::TooLarge("message is larger than the limit"));
        }
        let Some(mask) = rest[len_bytes..].first_chunk() else { return Ok(None) };
        Ok(Some(Frame { opcode, last, head: 2 + len_bytes + mask.len(), len: len as usize, mask: *mask }))
    }

    fn frame(&mut self, now: Moment, frame: &Frame, payload: &[u8], on: &mut dyn FnMut(Incoming<'_>)) -> Result<(), Violation> {
        match frame.opcode {
            Opcode::Text | Opcode::Binary if frame.last => {
                self.unfinished_since = None;
                message(frame.opcode == Opcode::Text, payload, on)
            }
            Opcode::Text | Opcode::Binary => {
                self.message = Some(Box::new(Fragments { text: frame.opcode == Opcode::Text, count: 1, bytes: payload.to_vec() }));
                Ok(())
            }
            Opcode::Continuation => {
                let Some(mut fragments) = self.message.take() else { return Err(Violation::Protocol("continuation of nothing")) };
                fragments.bytes.extend_from_slice(payload);
                fragments.count += 1;
                if frame.last {
                    self.unfinished_since = None;
                    return message(fragments.text, &fragments.bytes, on);
                }
                if fragments.count >= FRAGMENTS_MAX {
                    return Err(Violation::TooLarge("message has too many fragments"));
                }
                self.message = Some(fragments);
                Ok(())
            }
            Opcode::Ping | Opcode::Pong => {
                if self.controls.take(now, CONTROLS_PER_S, CONTROLS_BURST).is_err() {
                    return Err(Violation::ControlFlood);
                }
                if frame.opcode == Opcode::Ping {
                    on(Incoming::Ping(payload));
                }
                Ok(())
            }
            Opcode::Close => {
                let code = close_code(payload)?;
                self.end();
                on(Incoming::Close(code));
                Ok(())
            }
        }
    }

    fn end(&mut self) {
        *self = Self { ended: true, ..Self::default() };
    }
}

struct Frame {
    opcode: Opcode,
    last: bool,
    head: usize,
    len: usize,
    mask: [u8; 4],
}

/// Parts of an incomplete message.
#[derive(Debug)]
struct Fragments {
    text: bool,
    count: usize,
    /// Bounded by the largest message.
    bytes: Vec<u8>,
}

fn message(text: bool, payload: &[u8], on: &mut dyn FnMut(Incoming<'_>)) -> Result<(), Violation> {
    if text && std::str::from_utf8(payload).is_err() {
        return Err(Violation::Text);
    }
    on(Incoming::Message { text, payload });
    Ok(())
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("close code is cut")) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999) {
        return Err(Violation::Protocol("close code is not one to send"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::Text);
    }
    Ok(Some(code))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for chunk in words {
        *chunk = (u32::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Fragments of one message. More are MESSAGE_TOO_LARGE, however small they are.
const FRAGMENTS_MAX: usize = 64;
/// Pings and pongs at once. More end the connection.
const CONTROLS_BURST: u32 = 20;
/// The same in a second, in the long run.
const CONTROLS_PER_S: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64 * 1_024;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut frame = Vec::new();
        super::super::push_frame(&mut frame, Opcode::Binary, payload);
        let head = frame.len() - payload.len();
        frame[0] = first;
        frame[1] |= 0x80;
        unmask(&mut frame[head..], mask);
        frame.splice(head..head, mask);
        frame
    }

    /// What `bytes` say when they arrive in pieces of `step` bytes.
    fn hear(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut inbound, mut heard) = (Inbound::default(), Vec::new());
        for piece in bytes.chunks(step) {
            let mut piece = piece.to_vec();
            let result = inbound.take(Moment::ZERO, &mut piece, MAX, &mut |incoming| {
                heard.push(match incoming {
                    Incoming::Message { text, payload } => format!("{} {}", if text { "text" } else { "binary" }, payload.len()),
                    Incoming::Ping(payload) => format!("ping {}", payload.len()),
                    Incoming::Close(code) => format!("close {code:?}"),
                });
            });
            if let Err(violation) = result {
                heard.push(format!("{} {}", violation.close().0, violation.close().1));
            }
        }
        heard
    }

    #[track_caller]
    fn check(frames: &[(u8, &[u8])], expected: &[&str]) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect();
        for step in [1, 3, 7, bytes.len()] {
            assert_eq!(hear(&bytes, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        check(
            &[(0x82, b"abc"), (0x81, b""), (0x02, b"ab"), (0x89, b"hi"), (0x00, b"cd"), (0x80, b"e")],
            &["binary 3", "text 0", "ping 2", "binary 5"],
        );
        check(&[(0x82, &[7; 1_000])], &["binary 1000"]);
    }

    #[test]
    fn violations_end_the_conversation_once() {
        check(&[(0xC2, b"x"), (0x82, b"later")], &["1002 reserved bits are set"]);
        check(&[(0x83, b"x")], &["1002 unknown opcode"]);
        check(&[(0x80, b"x")], &["1002 continuation of nothing"]);
        check(&[(0x02, b"x"), (0x82, b"y")], &["1002 new message inside another"]);
        check(&[(0x09, b"x")], &["1002 control frame is fragmented or too long"]);
        check(&[(0x81, b"\xFF")], &["1007 text is not UTF-8"]);
        check(&[(0x88, b"\x03\xE8bye"), (0x82, b"later")], &["close Some(1000)"]);
        check(&[(0x88, b"")], &["close None"]);
        check(&[(0x88, b"\x03")], &["1002 close code is cut"]);
        check(&[(0x88, b"\x03\xED")], &["1002 close code is not one to send"]);
        assert_eq!(hear(&[0x82, 0x01, b'x'], 3), ["1002 frame is not masked"]);
    }

    #[test]
    fn size_is_refused_by_the_header_alone() {
        let huge = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(hear(&huge, 10), ["1009 message is larger than the limit"]);
        let part = [7; 40_000];
        check(&[(0x02, &part), (0x80, &part)], &["1009 message is larger than the limit"]);
        let mut frames: Vec<(u8, &[u8])> = vec![(0x02, b"")];
        frames.extend(std::iter::repeat_n((0x00, &b""[..]), 1_000));
        check(&frames, &["1009 message has too many fragments"]);
    }

    #[test]
    fn pings_have_a_budget_that_grows_again() {
        let mut inbound = Inbound::default();
        let mut burst = |at: u64| {
            (0..100).take_while(|_| inbound.take(Moment::from_millis(at), &mut masked(0x89, b"p"), MAX, &mut |_| {}).is_ok()).count()
        };
        assert_eq!(burst(10_000), 20);
        // The flood ended the conversation: whatever follows is skipped without an answer.
        assert_eq!(burst(20_000), 100);
        let mut steady = Inbound::default();
        assert!((0..1_000).all(|n| steady.take(Moment::from_millis(n * 100), &mut masked(0x89, b"p"), MAX, &mut |_| {}).is_ok()));
    }

    #[test]
    fn what_is_unfinished_began_with_its_own_first_byte() {
        let (mut inbound, whole, part) = (Inbound::default(), masked(0x82, b"abc"), masked(0x02, b"abc"));
        let mut since = |at: u64, bytes: &[u8]| {
            inbound.take(Moment::from_millis(at), &mut bytes.to_vec(), MAX, &mut |_| {}).unwrap();
            inbound.unfinished_since().map(|since| since.as_micros() / 1_000)
        };
        assert_eq!(since(1, &whole), None);
        assert_eq!(since(2, &whole[..4]), Some(2));
        assert_eq!(since(3, &whole[4..5]), Some(2));
        assert_eq!(since(4, &[&whole[5..], &whole[..1]].concat()), Some(4));
        assert_eq!(since(5, &whole[1..]), None);
        assert_eq!(since(6, &part), Some(6));
        assert_eq!(since(7, &masked(0x89, b"ping")), Some(6));
        assert_eq!(since(8, &masked(0x80, b"")), None);
    }
}
