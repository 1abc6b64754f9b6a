//! The subscriber's side of a peer: a WebSocket, in which one protocol or another carries what the feed publishes.

use tickwire_load::websocket::{answer, close_text, first_frame, push_frame, request};
use tickwire_load::{Conversation, Ledger, Seen, Stamp, Tally, read_protobuf};

/// What a peer speaks inside a WebSocket.
pub(super) trait Protocol {
    /// Path and subprotocol of the request.
    fn request(&self) -> (String, &'static str);

    /// The socket stands.
    fn opened(&mut self, heard: &mut Heard<'_>);

    /// Takes the whole messages at the front of `bytes`; returns how many bytes they were. What is left comes again with more behind it.
    ///
    /// # Errors
    /// The server refuses, or is not understood.
    fn take(&mut self, bytes: &[u8], heard: &mut Heard<'_>) -> Result<usize, String>;
}

/// What a [`Protocol`] may do.
pub(super) struct Heard<'a> {
    ledger: &'a mut Ledger,
    ready: &'a mut bool,
    now: Stamp,
    tally: &'a mut Tally,
    out: &'a mut Vec<u8>,
}

impl Heard<'_> {
    /// Sends a text message.
    pub(super) fn say_text(&mut self, text: &str) {
        push_frame(self.out, 1, text.as_bytes());
    }

    /// Sends a binary message.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        push_frame(self.out, 2, bytes);
    }

    /// Everything that was subscribed to is granted.
    pub(super) fn ready(&mut self) {
        *self.ready = true;
    }

    /// The feed's message has arrived: one update, as Tickwire's frames carry it.
    pub(super) fn message(&mut self, payload: &[u8]) -> Result<(), String> {
        self.tally.frames += 1;
        read_protobuf(payload, &mut |seen| {
            if let Seen::Record(mut record) = seen {
                // Peers have no images: what comes first is where counting begins.
                record.image = !self.ledger.holds(record.id);
                self.ledger.count_record(&record, self.now, self.tally);
            }
        })
    }
}

/// One connection to a peer.
pub(super) struct Subscriber<P> {
    protocol: P,
    host: String,
    ledger: Ledger,
    upgraded: bool,
    ready: bool,
    /// A message of the protocol whose end has not come. Empty, and without memory, between messages.
    held: Vec<u8>,
}

impl<P: Protocol> Subscriber<P> {
    /// Will hold the instruments `bench.S<index>`, whose ids are `index + 1`.
    pub(super) fn new(protocol: P, host: String, indices: &[usize]) -> Self {
        let mut ledger = Ledger::new(true);
        for &index in indices {
            ledger.introduce(index as u32 + 1, &format!("bench.S{index}"));
        }
        Self { protocol, host, ledger, upgraded: false, ready: false, held: Vec::new() }
    }
}

impl<P: Protocol> Conversation for Subscriber<P> {
    fn open(&mut self, out: &mut Vec<u8>) {
        let (path, subprotocol) = self.protocol.request();
        out.extend_from_slice(request(&self.host, &path, subprotocol, "").as_bytes());
    }

    fn take(&mut self, bytes: &[u8], now: Stamp, tally: &mut Tally, out: &mut Vec<u8>) -> Result<usize, String> {
        let Self { protocol, ledger, upgraded, ready, held, .. } = self;
        let mut heard = Heard { ledger, ready, now, tally, out };
        let mut used = 0;
        if !*upgraded {
            match answer(bytes)? {
                None => return Ok(0),
                Some((length, 101)) => used = length,
                Some((_, status)) => return Err(format!("refused with HTTP {status}")),
            }
            *upgraded = true;
            protocol.opened(&mut heard);
        }
        while let Some(frame) = first_frame(&bytes[used..]) {
            match frame.opcode {
                8 => return Err(format!("the server closed: {}", close_text(frame.payload))),
                9 => push_frame(heard.out, 10, frame.payload),
                0..=2 if held.is_empty() => {
                    let taken = protocol.take(frame.payload, &mut heard)?;
                    held.extend_from_slice(&frame.payload[taken..]);
                }
                0..=2 => {
                    held.extend_from_slice(frame.payload);
                    let taken = protocol.take(held, &mut heard)?;
                    held.drain(..taken);
                    if held.is_empty() {
                        *held = Vec::new();
                    }
                }
                _ => {}
            }
            used += frame.length;
        }
        Ok(used)
    }

    fn is_ready(&self) -> bool {
        self.ready
    }
}
