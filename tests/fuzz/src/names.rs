//! Texts that name and count: symbols, patterns, decimals.

use tickwire_proto::decimal::{Decimal, push_decimal};
use tickwire_proto::{Pattern, Scale, Symbol};

/// A pattern on the first line, a symbol on the second, and a decimal on the third.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let [pattern, symbol, number] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let (pattern, symbol) = (Pattern::parse(pattern), Symbol::parse(symbol));
    if let Ok(symbol) = &symbol {
        let itself = Pattern::parse(symbol.as_str()).expect("a symbol is a pattern");
        assert!(itself.matches(symbol), "{symbol} names itself");
    }
    if let (Ok(pattern), Ok(symbol)) = (&pattern, &symbol) {
        let (words, names): (Vec<_>, Vec<_>) = (pattern.words().collect(), symbol.words().collect());
        assert_eq!(pattern.matches(symbol), matches_plainly(&words, &names), "{pattern} {symbol}");
    }
    if let Ok(decimal) = Decimal::parse(number) {
        at_every_scale(decimal);
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

/// What is written at a scale is read as the same number.
fn at_every_scale(decimal: Decimal) {
    let needed = decimal.places_needed();
    for places in 0..=Scale::MAX {
        let scale = Scale::new(places).expect("a scale");
        let Ok(mantissa) = decimal.at(scale) else { continue };
        assert!(needed <= places, "{decimal:?} was cut to {places} places");
        let mut text = String::new();
        push_decimal(&mut text, mantissa, scale);
        let again = Decimal::parse(&text).expect("what was written is a decimal");
        assert_eq!(again.at(scale), Ok(mantissa), "{text}");
        assert_eq!(again.places_needed(), needed, "{text}");
    }
}
