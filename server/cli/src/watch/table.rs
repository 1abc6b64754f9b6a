//! What the terminal shows, as text with tones: pure, so that a test can read it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tickwire::v1::{FeedHealth, FeedState, TradingPhase};
use tickwire::{Change, Instrument, Price, State, Stats};

use super::printable;

/// How a piece of text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Bold,
    Dim,
    Up,
    Down,
    Alert,
}

/// One line: pieces of text with their tones.
pub(super) type Line = Vec<(Tone, String)>;

/// The instruments on show and how they changed last.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Row>,
    /// First row on the screen.
    top: usize,
    /// The newest thing worth telling, such as a refusal.
    pub(super) message: String,
}

#[derive(Debug)]
struct Row {
    instrument: Instrument,
    /// Where `last`, or the bid if there is none, went with its newest change.
    direction: Ordering,
    changed_at: Instant,
}

/// What the head of the table says.
pub(super) struct Head<'a> {
    pub(super) url: &'a str,
    pub(super) state: State,
    pub(super) feeds: &'a [FeedState],
    pub(super) records_per_s: u64,
    pub(super) merged_per_s: u64,
}

impl Table {
    /// Takes a change.
    pub(super) fn apply(&mut self, now: Instant, change: Change) {
        let instrument = match change {
            Change::State(instrument) => instrument,
            Change::Event { ref instrument, .. } => {
                self.message = printable(&change.to_string());
                instrument.clone()
            }
            other => {
                self.message = printable(&other.to_string());
                return;
            }
        };
        let key = instrument.symbol.as_str().to_owned();
        let before = self.rows.get(&key);
        let moved = match (before.and_then(|row| leading(&row.instrument)), leading(&instrument)) {
            (Some(before), Some(after)) => after.mantissa.cmp(&before.mantissa),
            _ => Ordering::Equal,
        };
        let row = match (moved, before) {
            // The arrow stays until the price goes another way.
            (Ordering::Equal, Some(row)) => Row { instrument, direction: row.direction, changed_at: row.changed_at },
            (direction, _) => Row { instrument, direction, changed_at: now },
        };
        self.rows.insert(key, row);
    }

    /// Moves the window by `rows`, within what there is.
    pub(super) fn scroll(&mut self, rows: isize) {
        self.top = self.top.saturating_add_signed(rows).min(self.rows.len().saturating_sub(1));
    }

    /// The screen: exactly `height` lines of at most `width` characters.
    pub(super) fn render(
        &self,
        now: Instant,
        head: &Head<'_>,
        age: impl Fn(&Instrument) -> Option<Duration>,
        width: usize,
        height: usize,
    ) -> Vec<Line> {
        let columns = Columns::fit(self.rows.keys().map(String::len).max().unwrap_or(0), width);
        let mut lines = vec![head.summary(), head.feeds(), vec![(Tone::Bold, columns.heading())]];
        let visible = height.saturating_sub(lines.len() + 1);
        let top = self.top.min(self.rows.len().saturating_sub(visible));
        let current = matches!(head.state, State::Live | State::Degraded);
        lines.extend(self.rows.values().skip(top).take(visible).map(|row| row.line(&columns, now, current, age(&row.instrument))));
        lines.resize_with(height.saturating_sub(1), Vec::new);
        lines.push(self.foot(top, visible));
        lines.truncate(height);
        lines.into_iter().map(|line| cut(line, width)).collect()
    }

    fn foot(&self, top: usize, visible: usize) -> Line {
        let bottom = (top + visible).min(self.rows.len());
        let place = match self.rows.len() {
            0 => "nothing yet".to_owned(),
            all => format!("{}-{bottom} of {all}", top + 1),
        };
        vec![(Tone::Dim, format!("{place}  arrows scroll, q quits  ")), (Tone::Alert, self.message.clone())]
    }
}

impl Head<'_> {
    fn summary(&self) -> Line {
        let state = format!("{:?}", self.state).to_uppercase();
        let tone = match self.state {
            State::Live => Tone::Up,
            State::Degraded | State::Syncing | State::Connecting | State::Idle => Tone::Bold,
            State::Stalled | State::Backoff | State::Closed => Tone::Alert,
        };
        let rates = format!("  {} records/s  {} merged/s", self.records_per_s, self.merged_per_s);
        vec![(Tone::Bold, format!("{}  ", printable(self.url))), (tone, state), (Tone::Dim, rates)]
    }

    fn feeds(&self) -> Line {
        let mut line = vec![(Tone::Dim, "feeds".to_owned())];
        for feed in self.feeds {
            let tone = if feed.health() == FeedHealth::Live { Tone::Dim } else { Tone::Alert };
            let reason = if feed.reason.is_empty() { String::new() } else { format!(" ({})", feed.reason) };
            line.push((tone, printable(&format!("  {} {}{reason}", feed.feed, feed.health().as_str_name()))));
        }
        line
    }
}

impl Row {
    fn line(&self, columns: &Columns, now: Instant, current: bool, age: Option<Duration>) -> Line {
        let tone = match (current, self.direction, now.saturating_duration_since(self.changed_at) < FLASH) {
            (false, ..) => Tone::Dim,
            (true, Ordering::Greater, true) => Tone::Up,
            (true, Ordering::Less, true) => Tone::Down,
            _ => Tone::Plain,
        };
        let arrow = match self.direction {
            Ordering::Greater => "▲",
            Ordering::Less => "▼",
            Ordering::Equal => " ",
        };
        let instrument = &self.instrument;
        let values = details(instrument).unwrap_or_else(|| {
            let [bid, ask, last] = [instrument.bid(), instrument.ask(), instrument.last()].map(text);
            let volume = if columns.volume { format!("{:>15}", text(instrument.volume())) } else { String::new() };
            format!("{bid:>12} {ask:>12} {last:>12} {arrow}{volume}")
        });
        let phase = match instrument.phase() {
            TradingPhase::Unspecified => "",
            phase => phase.as_str_name(),
        };
        let calm = matches!(instrument.phase(), TradingPhase::Unspecified | TradingPhase::Open);
        let age = age.map(shown_age).unwrap_or_default();
        vec![
            (if current { Tone::Plain } else { Tone::Dim }, columns.symbol(instrument.symbol.as_str())),
            (tone, columns.values(&values)),
            (if calm || !current { Tone::Dim } else { Tone::Alert }, format!(" {phase:<9}")),
            (Tone::Dim, format!(" {age:>7}")),
        ]
    }
}

/// Records and merged inputs per second, from counters a while apart.
pub(super) fn rates(before: Stats, after: Stats, span: Duration) -> (u64, u64) {
    let per_second = |count: u64| (count as f64 / span.as_secs_f64().max(0.001)).round() as u64;
    let merged = |stats: Stats| stats.merged + stats.conflated;
    (per_second(after.records.saturating_sub(before.records)), per_second(merged(after).saturating_sub(merged(before))))
}

/// The price whose moves are shown.
fn leading(instrument: &Instrument) -> Option<Price> {
    instrument.last().or_else(|| instrument.bid())
}

/// Score, clock and odds, for what has them.
fn details(instrument: &Instrument) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(score) = &instrument.image.score {
        let goals = |side: Option<u32>| side.map_or_else(|| "?".to_owned(), |goals| goals.to_string());
        parts.push(format!("{} - {}", goals(score.home), goals(score.away)));
        parts.extend(score.clock_s.map(|clock_s| format!("{:02}:{:02}", clock_s / 60, clock_s % 60)));
        parts.extend((score.r#final == Some(true)).then(|| "final".to_owned()));
    }
    for outcome in instrument.image.odds.iter().flat_map(|odds| &odds.outcomes) {
        let name = instrument.outcome_name(outcome.id).map_or_else(|| format!("#{}", outcome.id), printable);
        let name = if name.chars().count() > OUTCOME_WIDTH_MAX { fitted(&name, OUTCOME_WIDTH_MAX) } else { name };
        let [back, lay] = [outcome.back, outcome.lay].map(|odds| odds.map(|odds| instrument.price(odds)));
        parts.push(match lay {
            Some(lay) => format!("{name} {}/{lay}", text(back)),
            None => format!("{name} {}", text(back)),
        });
    }
    (!parts.is_empty()).then(|| parts.join("  "))
}

fn text(price: Option<Price>) -> String {
    price.map_or_else(|| "-".to_owned(), |price| price.to_string())
}

fn shown_age(age: Duration) -> String {
    match age.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms => format!("{} min", ms / 60_000),
    }
}

/// What fits beside each other.
struct Columns {
    /// Characters of the symbols.
    symbol: usize,
    volume: bool,
}

impl Columns {
    /// As wide as the symbols need; the volume goes first when there is little room.
    fn fit(symbol: usize, width: usize) -> Self {
        let symbol = symbol.clamp(SYMBOL_WIDTH_MIN, SYMBOL_WIDTH_MAX);
        Self { symbol, volume: width >= symbol + VALUES_WIDTH + REST_WIDTH }
    }

    fn heading(&self) -> String {
        let volume = if self.volume { format!("{:>15}", "VOLUME") } else { String::new() };
        let values = format!("{:>12} {:>12} {:>12}  {volume}", "BID", "ASK", "LAST");
        format!("{}{} {:<9} {:>7}", self.symbol("SYMBOL"), self.values(&values), "PHASE", "AGE")
    }

    fn symbol(&self, symbol: &str) -> String {
        format!("{} ", fitted(symbol, self.symbol))
    }

    fn values(&self, values: &str) -> String {
        fitted(values, if self.volume { VALUES_WIDTH } else { VALUES_WIDTH_SMALL })
    }
}

/// `text` in exactly `width` characters; what is cut away shows as `…`.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Cuts a line at `width` characters.
fn cut(line: Line, width: usize) -> Line {
    let mut left = width;
    let mut out = Line::new();
    for (tone, text) in line {
        let text: String = text.chars().take(left).collect();
        left -= text.chars().count();
        if !text.is_empty() {
            out.push((tone, text));
        }
    }
    out
}

/// How long a change is shown in colour.
const FLASH: Duration = Duration::from_millis(700);
/// Characters of the column of symbols. A longer symbol is cut.
const SYMBOL_WIDTH_MIN: usize = 6;
const SYMBOL_WIDTH_MAX: usize = 24;
/// Characters of the values: wide enough for three outcomes, or for prices and volume. More is cut.
const VALUES_WIDTH: usize = 58;
/// The same without the volume.
const VALUES_WIDTH_SMALL: usize = 41;
/// Characters of phase, age and blanks.
const REST_WIDTH: usize = 19;
/// Characters of the name of an outcome. A longer one is cut.
const OUTCOME_WIDTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tickwire::Symbol;
    use tickwire::v1::{InstrumentInfo, Odds, Outcome, Quote, Score};
    use tickwire_proto::image::Image;

    use super::*;

    fn state(symbol: &str, image: Image) -> Change {
        let symbol = Symbol::parse(symbol).unwrap();
        let info = Arc::new(InstrumentInfo { price_scale: 2, ..InstrumentInfo::default() });
        Change::State(Instrument { symbol, info, image, seq: 1, ts_event_us: 1, merged: 0 })
    }

    fn last(symbol: &str, last: i64) -> Change {
        let quote = Quote { last: Some(last), ..Quote::default() };
        state(symbol, Image { quote: Some(quote), ..Image::default() })
    }

    fn render(table: &Table, state: State, width: usize, height: usize) -> Vec<Line> {
        let head = Head { url: "http://x", state, feeds: &[], records_per_s: 3, merged_per_s: 4 };
        table.render(Instant::now(), &head, |_| Some(Duration::from_millis(1_250)), width, height)
    }

    fn flat(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect::<String>().trim_end().to_owned()).collect()
    }

    #[test]
    fn a_row_shows_value_direction_and_age() {
        let mut table = Table::default();
        table.apply(Instant::now(), last("stock.AAPL", 18_742));
        table.apply(Instant::now(), last("stock.AAPL", 18_743));
        let lines = render(&table, State::Live, 120, 5);
        assert_eq!(flat(&lines)[0], "http://x  LIVE  3 records/s  4 merged/s");
        assert_eq!(flat(&lines)[3], "stock.AAPL            -            -       187.43 ▲              -                1.2 s");
        assert_eq!(lines[3][1].0, Tone::Up);
        table.apply(Instant::now(), last("stock.AAPL", 18_740));
        assert_eq!(render(&table, State::Live, 120, 5)[3][1].0, Tone::Down);
        // Old values must not look like new ones.
        assert!(render(&table, State::Stalled, 120, 5)[3].iter().all(|(tone, _)| *tone == Tone::Dim));
    }

    #[test]
    fn matches_show_score_clock_and_odds() {
        let mut table = Table::default();
        let score = Score { home: Some(1), away: Some(0), clock_s: Some(754), ..Score::default() };
        table.apply(Instant::now(), state("soccer.epl.ARS-CHE", Image { score: Some(score), ..Image::default() }));
        let outcome = Outcome { id: 1, back: Some(210), ..Outcome::default() };
        let odds = Some(Odds { outcomes: vec![outcome, Outcome { id: 2, lay: Some(330), ..outcome }], ..Odds::default() });
        table.apply(Instant::now(), state("soccer.epl.ARS-CHE.1x2", Image { odds, ..Image::default() }));
        let lines = flat(&render(&table, State::Live, 120, 6));
        assert!(lines[3].starts_with("soccer.epl.ARS-CHE     1 - 0  12:34"), "{}", lines[3]);
        assert!(lines[4].contains("#1 2.10  #2 2.10/3.30"), "{}", lines[4]);
    }

    #[test]
    fn the_screen_is_never_overrun() {
        let mut table = Table::default();
        for n in 0..50 {
            table.apply(Instant::now(), last(&format!("s{n:02}"), n));
        }
        for (width, height) in [(0, 0), (1, 1), (7, 3), (40, 10), (200, 60)] {
            let lines = render(&table, State::Live, width, height);
            assert_eq!(lines.len(), height);
            assert!(lines.iter().all(|line| line.iter().map(|(_, text)| text.chars().count()).sum::<usize>() <= width));
        }
    }

    #[test]
    fn a_narrow_screen_does_without_the_volume() {
        let mut table = Table::default();
        table.apply(Instant::now(), last("stock.AAPL", 18_742));
        let narrow = flat(&render(&table, State::Live, 80, 5));
        assert_eq!(narrow[2], "SYMBOL              BID          ASK         LAST    PHASE         AGE");
        assert_eq!(narrow[3], "stock.AAPL            -            -       187.42                1.2 s");
        assert!(flat(&render(&table, State::Live, 90, 5))[2].contains("VOLUME"));
    }

    #[test]
    fn scrolling_stays_within_the_rows() {
        let mut table = Table::default();
        for n in 0..50 {
            table.apply(Instant::now(), last(&format!("s{n:02}"), n));
        }
        let first = |table: &Table| flat(&render(table, State::Live, 120, 14))[3].split(' ').next().unwrap_or_default().to_owned();
        table.scroll(5);
        assert_eq!(first(&table), "s05");
        table.scroll(1_000);
        assert_eq!((first(&table), flat(&render(&table, State::Live, 120, 14))[13].starts_with("41-50 of 50")), ("s40".to_owned(), true));
        table.scroll(-2_000);
        assert_eq!(first(&table), "s00");
    }

    #[test]
    fn text_from_the_network_cannot_steer_the_terminal() {
        let table = Table { message: printable("\x1b[2J\nboo"), ..Table::default() };
        let shown = flat(&render(&table, State::Live, 120, 6)).join("");
        assert!(!shown.contains(['\x1b', '\n']), "{shown:?}");
    }
}
