//! What is traded and who plays: names and starting values.

use tickwire_proto::v1::AssetClass;

/// Something that trades.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) symbol: &'static str,
    pub(crate) name: &'static str,
    pub(crate) asset_class: AssetClass,
    pub(crate) price_scale: u32,
    pub(crate) quantity_scale: u32,
    /// First price, as a mantissa.
    pub(crate) price: i64,
    /// Usual step, millionths.
    pub(crate) volatility_ppm: i64,
    /// Usual distance of bid and ask, in ticks.
    pub(crate) spread: i64,
    /// Usual size of a trade, as a mantissa.
    pub(crate) lot: i64,
    /// Usual time between updates, milliseconds.
    pub(crate) gap_ms: u64,
}

/// Two teams of a league.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) symbol: &'static str,
    pub(crate) market: &'static str,
    pub(crate) home: &'static str,
    pub(crate) away: &'static str,
    /// Goals in a whole match that are usual for each, in thousandths.
    pub(crate) home_milligoals: u64,
    pub(crate) away_milligoals: u64,
}

const fn stock(symbol: &'static str, name: &'static str, price: i64, volatility_ppm: i64, spread: i64, gap_ms: u64) -> Spec {
    let asset_class = AssetClass::Stock;
    Spec { symbol, name, asset_class, price_scale: 2, quantity_scale: 0, price, volatility_ppm, spread, lot: 100, gap_ms }
}

#[expect(clippy::too_many_arguments, reason = "the columns of a table")]
const fn crypto(
    symbol: &'static str,
    name: &'static str,
    price_scale: u32,
    quantity_scale: u32,
    price: i64,
    volatility_ppm: i64,
    spread: i64,
    lot: i64,
    gap_ms: u64,
) -> Spec {
    let asset_class = AssetClass::Crypto;
    Spec { symbol, name, asset_class, price_scale, quantity_scale, price, volatility_ppm, spread, lot, gap_ms }
}

/// Prices are plausible, not real.
pub(crate) const STOCKS: [Spec; 24] = [
    stock("stock.AAPL", "Apple", 18_742, 40, 1, 60),
    stock("stock.MSFT", "Microsoft", 41_518, 38, 2, 80),
    stock("stock.NVDA", "NVIDIA", 12_476, 75, 1, 50),
    stock("stock.AMZN", "Amazon.com", 18_033, 48, 1, 100),
    stock("stock.GOOGL", "Alphabet", 16_590, 44, 1, 150),
    stock("stock.META", "Meta Platforms", 50_211, 55, 4, 150),
    stock("stock.TSLA", "Tesla", 24_805, 95, 2, 70),
    stock("stock.AMD", "Advanced Micro Devices", 15_622, 80, 1, 160),
    stock("stock.NFLX", "Netflix", 65_144, 60, 8, 250),
    stock("stock.INTC", "Intel", 3_087, 70, 1, 200),
    stock("stock.ORCL", "Oracle", 13_951, 42, 2, 300),
    stock("stock.IBM", "IBM", 18_266, 30, 2, 400),
    stock("stock.JPM", "JPMorgan Chase", 20_419, 32, 2, 250),
    stock("stock.V", "Visa", 27_384, 28, 3, 400),
    stock("stock.WMT", "Walmart", 6_775, 26, 1, 300),
    stock("stock.XOM", "Exxon Mobil", 11_530, 36, 1, 350),
    stock("stock.JNJ", "Johnson & Johnson", 14_872, 22, 2, 500),
    stock("stock.PG", "Procter & Gamble", 16_613, 21, 2, 500),
    stock("stock.KO", "Coca-Cola", 6_249, 20, 1, 400),
    stock("stock.PEP", "PepsiCo", 16_907, 22, 2, 600),
    stock("stock.DIS", "Walt Disney", 10_164, 40, 1, 350),
    stock("stock.BA", "Boeing", 17_838, 58, 3, 400),
    stock("stock.CAT", "Caterpillar", 33_290, 38, 5, 600),
    stock("stock.GE", "GE Aerospace", 16_105, 40, 2, 500),
];

/// Round the clock.
pub(crate) const CRYPTOS: [Spec; 8] = [
    crypto("crypto.BTC-USD", "Bitcoin / US Dollar", 2, 8, 6_743_215, 60, 120, 2_500_000, 50),
    crypto("crypto.ETH-USD", "Ether / US Dollar", 2, 8, 352_418, 75, 12, 40_000_000, 60),
    crypto("crypto.SOL-USD", "Solana / US Dollar", 3, 6, 152_340, 110, 15, 12_000_000, 120),
    crypto("crypto.XRP-USD", "XRP / US Dollar", 5, 4, 52_170, 120, 8, 8_000_000, 180),
    crypto("crypto.ADA-USD", "Cardano / US Dollar", 5, 4, 45_890, 120, 10, 6_000_000, 250),
    crypto("crypto.DOGE-USD", "Dogecoin / US Dollar", 6, 2, 123_450, 160, 20, 500_000, 200),
    crypto("crypto.LTC-USD", "Litecoin / US Dollar", 2, 6, 8_423, 90, 2, 9_000_000, 300),
    crypto("crypto.ETH-BTC", "Ether / Bitcoin", 6, 6, 52_262, 50, 3, 3_000_000, 220),
];

const fn pairing(
    symbol: &'static str,
    market: &'static str,
    home: &'static str,
    away: &'static str,
    home_milligoals: u64,
    away_milligoals: u64,
) -> Pairing {
    Pairing { symbol, market, home, away, home_milligoals, away_milligoals }
}

/// Two leagues. When a match is settled the same teams meet again, so that instruments do not pile up.
pub(crate) const PAIRINGS: [Pairing; 6] = [
    pairing("soccer.epl.ARS-CHE", "soccer.epl.ARS-CHE.1x2", "Arsenal", "Chelsea", 2_000, 1_300),
    pairing("soccer.epl.LIV-EVE", "soccer.epl.LIV-EVE.1x2", "Liverpool", "Everton", 2_300, 1_000),
    pairing("soccer.epl.MCI-TOT", "soccer.epl.MCI-TOT.1x2", "Manchester City", "Tottenham", 2_500, 1_400),
    pairing("soccer.liga.RMA-BAR", "soccer.liga.RMA-BAR.1x2", "Real Madrid", "Barcelona", 2_100, 1_900),
    pairing("soccer.liga.ATM-SEV", "soccer.liga.ATM-SEV.1x2", "Atlético Madrid", "Sevilla", 1_800, 900),
    pairing("soccer.liga.VAL-BET", "soccer.liga.VAL-BET.1x2", "Valencia", "Real Betis", 1_500, 1_400),
];

/// Feeds, and the interval of their signs of life.
pub(crate) const FEEDS: [&str; 3] = ["stock.alive", "crypto.alive", "soccer.alive"];
/// See [`FEEDS`].
pub(crate) const ALIVE_INTERVAL_MS: u32 = 1_000;
