//! Writing JSON by hand: straight into the caller's buffer, without a tree in between.

use alloc::vec::Vec;

use crate::decimal::{Scale, write_decimal};

/// Where JSON is written to, and what values need to be written.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Decimal places of prices.
    pub(crate) price: Scale,
    /// Decimal places of quantities.
    pub(crate) quantity: Scale,
    /// Name of the instrument that is written.
    pub(crate) symbol: &'a str,
    /// `Update.clear` of the update that is written.
    pub(crate) clear: &'a [u32],
    /// One bit for each field number of the current message that is written as `null`.
    pub(crate) cleared: u64,
}

impl<'a> Writer<'a> {
    /// Appends to `out`, at scale 0 and with nothing cleared.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, price: Scale::default(), quantity: Scale::default(), symbol: "", clear: &[], cleared: 0 }
    }

    /// Begins an object or array with `{` or `[`.
    pub(crate) fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
    }

    /// Ends an object or array with `}` or `]`.
    pub(crate) fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
    }

    /// Writes a member's name. `key` is `,"name":`; the comma is left out after an opening bracket.
    pub(crate) fn key(&mut self, key: &'static str) {
        // Every value ends with a quote, a digit, a letter or a closing bracket, so the last byte tells where we are.
        let text = if self.at_start() { &key[1..] } else { key };
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes a member's name that is not known beforehand.
    pub(crate) fn key_text(&mut self, name: &str) {
        self.comma();
        self.text(name);
        self.out.push(b':');
    }

    /// Separates an element from the one before it.
    pub(crate) fn comma(&mut self) {
        if !self.at_start() {
            self.out.push(b',');
        }
    }

    /// Writes a word of JSON, or a number as it stands.
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes an integer as a number.
    pub(crate) fn integer(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes an integer as a string.
    pub(crate) fn integer_text(&mut self, value: impl itoa::Integer) {
        self.out.push(b'"');
        self.integer(value);
        self.out.push(b'"');
    }

    /// Writes a decimal as a string, with all places of its scale.
    pub(crate) fn decimal(&mut self, mantissa: i64, scale: Scale) {
        self.out.push(b'"');
        write_decimal(self.out, mantissa, scale);
        self.out.push(b'"');
    }

    /// Writes a string. What JSON or an old JavaScript parser does not take as it stands is escaped.
    pub(crate) fn text(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut done = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..=0x1f => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
                // U+2028 and U+2029 end a line in JavaScript before 2019.
                0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => b"\\u2028",
                0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => b"\\u2029",
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[done..at]);
            self.out.extend_from_slice(escape);
            done = at + if byte == 0xe2 { 3 } else { 1 };
        }
        self.out.extend_from_slice(&bytes[done..]);
        self.out.push(b'"');
    }

    fn at_start(&self) -> bool {
        matches!(self.out.last(), None | Some(b'{' | b'['))
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out).text(text);
        out
    }

    #[test]
    fn escapes_what_breaks_a_line_or_a_string() {
        let text = String::from_utf8(written("a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}é\u{2027}\u{2028}\u{2029}")).unwrap();
        assert_eq!(text, "\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2027}\\u2028\\u2029\"");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            let bytes = written(&text);
            prop_assert!(!bytes.iter().any(|byte| *byte < 0x20), "a control character would break an SSE line");
            prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
        }
    }
}
