//! Prices that prove themselves: every field of a quote follows from its symbol and its version, so that whoever sees one knows whether it was ever
//! said, and whether another is newer. What feeds of tests and measurements publish.

use alloc::format;
use alloc::string::String;

use tickwire_proto::v1::Quote;

/// The quote of symbol `index` of `symbols` at `version`, in mantissas at scales 2 and 0.
pub fn proven_quote(symbols: i64, index: i64, version: i64) -> Quote {
    let last = version * symbols + index;
    Quote { bid: Some(last - 1), ask: Some(last + 1), last: Some(last), volume: Some(version), ..Default::default() }
}

/// Index and version of a quote of `stock.S{index}`.
///
/// # Errors
/// It was never said: it belongs to another symbol, or is made of several.
pub fn prove(symbols: i64, symbol: &str, seen: &Quote) -> Result<(i64, i64), String> {
    let index = symbol.strip_prefix("stock.S").and_then(|index| index.parse().ok()).ok_or_else(|| format!("{symbol} is not ours"))?;
    let version = seen.volume.ok_or_else(|| format!("{symbol} has no volume: {seen:?}"))?;
    let told = Quote { bid: seen.bid, ask: seen.ask, last: seen.last, volume: seen.volume, ..Default::default() };
    if told == proven_quote(symbols, index, version) { Ok((index, version)) } else { Err(format!("{symbol} is torn: {told:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_proves_its_symbol_and_its_version() {
        let quote = proven_quote(40, 7, 12);
        assert_eq!(prove(40, "stock.S7", &quote), Ok((7, 12)));
        let later = proven_quote(40, 7, 13);
        for torn in [Quote { ask: later.ask, ..quote }, Quote { volume: later.volume, ..quote }, Quote { bid: None, ..quote }] {
            assert!(prove(40, "stock.S7", &torn).unwrap_err().contains("torn"));
        }
        assert!(prove(40, "stock.S8", &quote).is_err() && prove(40, "fx.S7", &quote).is_err());
        assert!(prove(40, "stock.S7", &Quote { volume: None, ..quote }).unwrap_err().contains("no volume"));
    }
}
