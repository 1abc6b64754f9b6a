//! Names: a `Symbol` is an instrument's text name, a `Pattern` names many of them. Both are checked once, when they are parsed.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The text name of an instrument: the routing key of its messages, such as `stock.AAPL`.
///
/// 1 to 8 words joined by dots, at most 128 bytes, case-sensitive; a word is one or more of `A-Z a-z 0-9 _ % : / + -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(String);

impl Symbol {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule of the grammar is broken.
    pub fn parse(text: &str) -> Result<Self, SymbolError> {
        check_shape(text)?;
        match text.split('.').find(|word| !is_name(word)) {
            Some(word) => Err(SymbolError::of_word(word)),
            None => Ok(Self(text.to_string())),
        }
    }

    /// The text, as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words between the dots.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }
}

/// A name of many instruments, in AMQP's topic grammar: `*` is one word, `#` is zero or more.
///
/// Bounded like a [`Symbol`]. A text without wildcards is a valid pattern that matches one symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule of the grammar is broken.
    pub fn parse(text: &str) -> Result<Self, SymbolError> {
        check_shape(text)?;
        match text.split('.').find(|word| !matches!(*word, "*" | "#") && !is_name(word)) {
            Some(word) => Err(SymbolError::of_word(word)),
            None => Ok(Self(text.to_string())),
        }
    }

    /// Whether `text` has a wildcard word, so that it is a pattern and not a symbol.
    pub fn is_wild(text: &str) -> bool {
        text.split('.').any(|word| matches!(word, "*" | "#"))
    }

    /// The text, as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words between the dots.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }

    /// Whether `symbol` is one of those named. Costs at most (words of the pattern) × (words of the symbol) comparisons.
    pub fn matches(&self, symbol: &Symbol) -> bool {
        // reached[n]: the words of the pattern so far can stand for the first n words of the symbol.
        let mut reached = [false; WORDS_MAX + 1];
        reached[0] = true;
        for word in self.words() {
            let mut next = [false; WORDS_MAX + 1];
            if word == "#" {
                let mut open = false;
                for (here, there) in reached.iter().zip(next.iter_mut()) {
                    open |= *here;
                    *there = open;
                }
            } else {
                for (n, name) in symbol.words().enumerate() {
                    next[n + 1] = reached[n] && (word == "*" || word == name);
                }
            }
            reached = next;
        }
        reached[symbol.words().count()]
    }
}

/// Why a text is not a symbol or pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// No text at all.
    #[error("is empty")]
    Empty,
    /// More than [`SYMBOL_BYTES_MAX`] bytes.
    #[error("is longer than {SYMBOL_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`WORDS_MAX`] words.
    #[error("has more than {WORDS_MAX} words")]
    TooManyWords,
    /// Two dots beside each other, or a dot at an end.
    #[error("has an empty word")]
    EmptyWord,
    /// A wildcard in a symbol, or in the middle of a word.
    #[error("has a wildcard where a name is needed")]
    Wildcard,
    /// A character outside the alphabet.
    #[error("has a character other than A-Z a-z 0-9 _ % : / + - and dots")]
    Character,
}

impl SymbolError {
    fn of_word(word: &str) -> Self {
        match word {
            "" => Self::EmptyWord,
            _ if word.contains(['*', '#']) => Self::Wildcard,
            _ => Self::Character,
        }
    }
}

macro_rules! text_like {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl core::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = SymbolError;

            fn from_str(text: &str) -> Result<Self, SymbolError> {
                Self::parse(text)
            }
        }
    };
}
text_like!(Symbol);
text_like!(Pattern);

/// The rules that symbols and patterns share.
fn check_shape(text: &str) -> Result<(), SymbolError> {
    if text.is_empty() {
        return Err(SymbolError::Empty);
    }
    if text.len() > SYMBOL_BYTES_MAX {
        return Err(SymbolError::TooLong);
    }
    if text.split('.').count() > WORDS_MAX {
        return Err(SymbolError::TooManyWords);
    }
    Ok(())
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_%:/+-".contains(&byte))
}

/// Bytes in a symbol or pattern. A longer one is refused.
pub const SYMBOL_BYTES_MAX: usize = 128;
/// Words in a symbol or pattern. One with more is refused.
pub const WORDS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn check_symbol(text: &str, expected: Result<(), SymbolError>) {
        assert_eq!(Symbol::parse(text).map(|symbol| assert_eq!(symbol.as_str(), text)), expected, "{text}");
    }

    #[test]
    fn a_symbol_is_up_to_eight_words_in_128_bytes() {
        check_symbol("stock.AAPL", Ok(()));
        check_symbol("crypto.BTC-USD", Ok(()));
        check_symbol("a.%2f:x/y+z_0", Ok(()));
        check_symbol("1.2.3.4.5.6.7.8", Ok(()));
        check_symbol("1.2.3.4.5.6.7.8.9", Err(SymbolError::TooManyWords));
        check_symbol(&"a".repeat(128), Ok(()));
        check_symbol(&"a".repeat(129), Err(SymbolError::TooLong));
        check_symbol("", Err(SymbolError::Empty));
        check_symbol(".", Err(SymbolError::EmptyWord));
        check_symbol("stock.", Err(SymbolError::EmptyWord));
        check_symbol("stock..AAPL", Err(SymbolError::EmptyWord));
        check_symbol("stock.*", Err(SymbolError::Wildcard));
        check_symbol("stock.A#", Err(SymbolError::Wildcard));
        check_symbol("stock.A B", Err(SymbolError::Character));
        check_symbol("stock.A\n", Err(SymbolError::Character));
        check_symbol("stock.Ä", Err(SymbolError::Character));
    }

    #[test]
    fn a_pattern_has_whole_words_as_wildcards() {
        for good in ["#", "*", "stock.*", "soccer.epl.#", "#.1x2", "*.#.*", "stock.AAPL"] {
            assert!(Pattern::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Pattern::parse("stock.A*"), Err(SymbolError::Wildcard));
        assert_eq!(Pattern::parse("stock.##"), Err(SymbolError::Wildcard));
        assert_eq!(Pattern::parse("stock..#"), Err(SymbolError::EmptyWord));
        assert!(Pattern::is_wild("a.#.b") && Pattern::is_wild("*") && !Pattern::is_wild("a.b"));
    }

    #[test]
    fn wildcards_match_as_in_amqp() {
        let matches = |pattern: &str, symbol: &str| Pattern::parse(pattern).unwrap().matches(&Symbol::parse(symbol).unwrap());
        for (pattern, symbol) in [
            ("#", "a"),
            ("a.#", "a"),
            ("a.#", "a.b.c"),
            ("#.c", "a.b.c"),
            ("a.#.c", "a.c"),
            ("*.*", "a.b"),
            ("#.*", "a"),
            ("#.#", "a"),
            ("a", "a"),
        ] {
            assert!(matches(pattern, symbol), "{pattern} matches {symbol}");
        }
        for (pattern, symbol) in [("*", "a.b"), ("a.*", "a"), ("a.*.c", "a.c"), ("#.b", "a"), ("a", "A"), ("a.#.c", "a.b"), ("*.#.*", "a")]
        {
            assert!(!matches(pattern, symbol), "{pattern} does not match {symbol}");
        }
    }

    /// AMQP's grammar, said plainly.
    fn matches_plainly(pattern: &[&str], symbol: &[&str]) -> bool {
        match (pattern, symbol) {
            ([], []) => true,
            (["#", rest @ ..], _) => (0..=symbol.len()).any(|skipped| matches_plainly(rest, &symbol[skipped..])),
            ([word, rest @ ..], [name, names @ ..]) => (*word == "*" || word == name) && matches_plainly(rest, names),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_grammar_says(pattern in "[ab*#](\\.[ab*#]){0,7}", symbol in "[ab](\\.[ab]){0,7}") {
            let (words, names): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), symbol.split('.').collect());
            let expected = matches_plainly(&words, &names);
            prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&Symbol::parse(&symbol).unwrap()), expected);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (Symbol::parse(&text), Pattern::parse(&text), Pattern::is_wild(&text));
        }
    }
}
