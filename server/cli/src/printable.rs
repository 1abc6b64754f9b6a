//! Text of others on a terminal.

/// The same, with control characters spelled out: nothing in it steers a terminal or ends a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_spelled_out_and_nothing_else_is() {
        assert_eq!(printable("\"a\" is 7 €\u{1b}[31m\r\n\u{9b}"), "\"a\" is 7 €\\u{1b}[31m\\r\\n\\u{9b}");
    }
}
