//! Updates as protobuf, written in one pass.
//!
//! The generated code measures a message before it writes it, and a nested one twice. Here a length is filled in afterwards, and the
//! body that every tick has, the quote, is written field by field. The bytes are those of the generated code.

use alloc::vec::Vec;

use prost::Message;

use super::line::Line;
use super::tag;
use crate::v1::{self, update::Body};

/// Some fields of a quote, to be written from the newest state of its instrument.
#[derive(Clone, Copy, Debug)]
pub struct QuoteRecord<'a> {
    /// Instrument.
    pub id: u32,
    /// Position.
    pub seq: u64,
    /// When it happened, microseconds.
    pub ts_event_us: u64,
    /// Inputs that it stands for, apart from the newest.
    pub merged: u32,
    /// Bits of `UpdateFlag`.
    pub flags: u32,
    /// The newest state.
    pub state: &'a v1::Quote,
    /// The fields to write: bit n is field number n.
    pub fields: u32,
    /// Highest `last` of the interval.
    pub interval_high: Option<i64>,
    /// Lowest `last` of the interval.
    pub interval_low: Option<i64>,
}

/// Appends `record` as protobuf, as `encode_update` would. Returns whether the state has a value for all its fields; else nothing is
/// appended: what is unknown has to be named in `clear`.
pub fn encode_quote(record: &QuoteRecord<'_>, out: &mut Vec<u8>) -> bool {
    let mut line = Line::<RECORD_BYTES_MAX>::default();
    let whole = write_quote(record, &mut line) == record.fields;
    if whole {
        out.extend_from_slice(line.bytes());
    }
    whole
}

/// Appends `update` as a field of a `ServerFrame`.
pub(super) fn write(update: &v1::Update, out: &mut Vec<u8>) {
    match &update.body {
        Some(Body::Quote(state)) if update.clear.is_empty() && update.symbol.is_empty() => {
            let v1::Update { id, seq, ts_event_us, merged, flags, .. } = *update;
            let v1::Quote { interval_high, interval_low, .. } = *state;
            let record = QuoteRecord { id, seq, ts_event_us, merged, flags, state, fields: u32::MAX, interval_high, interval_low };
            let mut line = Line::<RECORD_BYTES_MAX>::default();
            write_quote(&record, &mut line);
            out.extend_from_slice(line.bytes());
        }
        _ => nested(out, |out| update.encode_raw(out)),
    }
}

/// Returns the fields that have a value.
fn write_quote(record: &QuoteRecord<'_>, line: &mut Line<RECORD_BYTES_MAX>) -> u32 {
    let QuoteRecord { id, seq, ts_event_us, merged, flags, state, fields, interval_high, interval_low } = *record;
    let update = line.open::<{ tag::UPDATES }>();
    line.present::<1>(id.into());
    line.present::<2>(seq);
    if ts_event_us != 0 {
        line.fixed::<3>(ts_event_us);
    }
    line.present::<4>(merged.into());
    line.present::<6>(flags.into());
    let quote = line.open::<10>();
    let mut written = 0;
    macro_rules! signed {
        ($number:literal, $value:expr) => {
            if fields & (1 << $number) != 0 {
                if let Some(value) = $value {
                    written |= 1 << $number;
                    line.signed::<$number>(value);
                }
            }
        };
    }
    signed!(1, state.bid);
    signed!(2, state.bid_quantity);
    signed!(3, state.ask);
    signed!(4, state.ask_quantity);
    signed!(5, state.last);
    signed!(6, state.last_quantity);
    if let Some(last_ts_us) = state.last_ts_us.filter(|_| fields & (1 << 7) != 0) {
        written |= 1 << 7;
        line.fixed::<7>(last_ts_us);
    }
    signed!(8, state.volume);
    signed!(9, state.turnover);
    if let Some(trades) = state.trades.filter(|_| fields & (1 << 10) != 0) {
        written |= 1 << 10;
        line.number::<10>(trades);
    }
    signed!(11, state.open);
    signed!(12, state.high);
    signed!(13, state.low);
    signed!(14, state.previous_close);
    signed!(15, state.settlement);
    if let Some(high) = interval_high {
        line.signed::<16>(high);
    }
    if let Some(low) = interval_low {
        line.signed::<17>(low);
    }
    line.close(quote);
    line.close(update);
    written
}

/// Appends an update whose content `write` appends.
fn nested(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    // Most lengths take one byte, and are filled in; a longer one moves the content.
    out.extend_from_slice(&[UPDATES_KEY, 0]);
    write(out);
    let length = out.len() - start - 2;
    if length < 0x80 {
        out[start + 1] = length as u8;
        return;
    }
    let mut bytes = [0; 10];
    let mut rest = &mut bytes[..];
    prost::encoding::encode_varint(length as u64, &mut rest);
    let unused = rest.len();
    let length = &bytes[..bytes.len() - unused];
    out.splice(start + 1..start + 2, length.iter().copied());
}

/// Key of a nested message as field `UPDATES`.
const UPDATES_KEY: u8 = (tag::UPDATES << 3 | 2) as u8;
/// Bytes of the longest quote: keys and lengths, five numbers before it, and 17 in it of at most twelve bytes.
const RECORD_BYTES_MAX: usize = 3 + (6 + 11 + 9 + 6 + 6) + 3 + 17 * 12 + Line::<0>::SPARE;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::Image;

    fn generated(update: &v1::Update) -> Vec<u8> {
        v1::ServerFrame { updates: alloc::vec![update.clone()], ..Default::default() }.encode_to_vec()
    }

    fn written(update: &v1::Update) -> Vec<u8> {
        let mut out = Vec::new();
        write(update, &mut out);
        out
    }

    /// Numbers of every length.
    fn long_and_short() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
    }

    fn maybe() -> impl Strategy<Value = Option<i64>> {
        proptest::option::of(
            (long_and_short(), any::<bool>()).prop_map(|(value, minus)| if minus { !(value as i64) } else { value as i64 }),
        )
    }

    fn quote(numbers: &[Option<i64>], last_ts_us: Option<u64>, trades: Option<u64>) -> v1::Quote {
        v1::Quote {
            bid: numbers[0],
            bid_quantity: numbers[1],
            ask: numbers[2],
            ask_quantity: numbers[3],
            last: numbers[4],
            last_quantity: numbers[5],
            last_ts_us,
            volume: numbers[6],
            turnover: numbers[7],
            trades,
            open: numbers[8],
            high: numbers[9],
            low: numbers[10],
            previous_close: numbers[11],
            settlement: numbers[12],
            interval_high: numbers[13],
            interval_low: numbers[14],
        }
    }

    proptest! {
        #[test]
        fn a_quote_is_written_as_by_the_generated_code(
            numbers in proptest::collection::vec(maybe(), 15),
            (id, seq, ts, merged, flags) in (any::<u32>(), long_and_short(), long_and_short(), 0..3_u32, 0..3_u32),
            (last_ts_us, trades) in (proptest::option::of(long_and_short()), proptest::option::of(long_and_short())),
            clear in proptest::collection::vec(1..16_u32, 0..3),
        ) {
            let body = Some(Body::Quote(quote(&numbers, last_ts_us, trades)));
            let update = v1::Update { id, seq, ts_event_us: ts, merged, flags, clear, body, ..Default::default() };
            prop_assert_eq!(written(&update), generated(&update));
        }

        #[test]
        fn a_quote_from_the_state_is_the_record_of_its_image_or_nothing(
            numbers in proptest::collection::vec(maybe(), 15),
            (id, seq, merged, flags) in (any::<u32>(), long_and_short(), 0..3_u32, 0..3_u32),
            (last_ts_us, trades) in (proptest::option::of(long_and_short()), proptest::option::of(long_and_short())),
            (touched, known_only) in (proptest::collection::vec(1..16_u32, 1..6), any::<bool>()),
        ) {
            let v1::Quote { interval_high, interval_low, .. } = quote(&numbers, None, None);
            let mut image = Image::default();
            let touch = |image: &mut Image, quote, clear| {
                image.apply(&v1::Update { body: Some(Body::Quote(quote)), clear, ..Default::default() })
            };
            let state = v1::Quote { interval_high: None, interval_low: None, ..quote(&numbers, last_ts_us, trades) };
            let set = touch(&mut image, state, Vec::new());
            // Of what was touched some is known, and some not any more.
            let changed = if known_only { set } else { touch(&mut image, v1::Quote::default(), touched) };
            let Some(fields) = changed.quote_fields() else { return Ok(()) };
            let mut expected = Vec::new();
            image.records(&changed, |_, mut update| {
                (update.id, update.seq, update.merged, update.flags) = (id, seq, merged, flags);
                if let Some(Body::Quote(quote)) = &mut update.body {
                    (quote.interval_high, quote.interval_low) = (interval_high, interval_low);
                }
                expected.push(update);
            });
            let state = image.quote.unwrap_or_default();
            let record = QuoteRecord { id, seq, ts_event_us: 0, merged, flags, state: &state, fields, interval_high, interval_low };
            let mut out = Vec::new();
            prop_assert_eq!(encode_quote(&record, &mut out), expected[0].clear.is_empty());
            prop_assert_eq!(out, if expected[0].clear.is_empty() { generated(&expected[0]) } else { Vec::new() });
        }

        #[test]
        fn a_long_body_gets_a_long_length(length in 0..40_000_usize) {
            let status = v1::Status { reason: "x".repeat(length), ..Default::default() };
            let update = v1::Update { id: 1, body: Some(Body::Status(status)), ..Default::default() };
            prop_assert_eq!(written(&update), generated(&update));
        }
    }
}
