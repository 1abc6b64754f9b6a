//! Updates as protobuf, written in one pass.
//!
//! The generated code measures a message before it writes it, and a nested one twice. Here a length is filled in afterwards, and the
//! body that every tick has, the quote, is written field by field. The bytes are those of the generated code.

use alloc::vec::Vec;

use prost::Message;

use super::tag;
use crate::v1::{self, update::Body};

/// Appends `update` as a field of a `ServerFrame`.
pub(super) fn write(update: &v1::Update, out: &mut Vec<u8>) {
    nested::<{ tag::UPDATES }>(out, |out| match &update.body {
        Some(Body::Quote(body)) if update.clear.is_empty() && update.symbol.is_empty() => {
            present::<1>(u64::from(update.id), out);
            present::<2>(update.seq, out);
            if update.ts_event_us != 0 {
                fixed::<3>(update.ts_event_us, out);
            }
            present::<4>(u64::from(update.merged), out);
            present::<6>(u64::from(update.flags), out);
            nested::<10>(out, |out| quote(body, out));
        }
        _ => update.encode_raw(out),
    });
}

/// Appends a number, also when it is zero.
pub(super) fn number<const FIELD: u32>(value: u64, out: &mut Vec<u8>) {
    key::<FIELD>(VARINT, out);
    varint(value, out);
}

/// Appends a number of eight bytes.
pub(super) fn fixed<const FIELD: u32>(value: u64, out: &mut Vec<u8>) {
    key::<FIELD>(FIXED, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn quote(quote: &v1::Quote, out: &mut Vec<u8>) {
    signed::<1>(quote.bid, out);
    signed::<2>(quote.bid_quantity, out);
    signed::<3>(quote.ask, out);
    signed::<4>(quote.ask_quantity, out);
    signed::<5>(quote.last, out);
    signed::<6>(quote.last_quantity, out);
    if let Some(last_ts_us) = quote.last_ts_us {
        fixed::<7>(last_ts_us, out);
    }
    signed::<8>(quote.volume, out);
    signed::<9>(quote.turnover, out);
    if let Some(trades) = quote.trades {
        number::<10>(trades, out);
    }
    signed::<11>(quote.open, out);
    signed::<12>(quote.high, out);
    signed::<13>(quote.low, out);
    signed::<14>(quote.previous_close, out);
    signed::<15>(quote.settlement, out);
    signed::<16>(quote.interval_high, out);
    signed::<17>(quote.interval_low, out);
}

fn present<const FIELD: u32>(value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        number::<FIELD>(value, out);
    }
}

fn signed<const FIELD: u32>(value: Option<i64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        number::<FIELD>(((value << 1) ^ (value >> 63)) as u64, out);
    }
}

/// Appends a message that `write` appends the content of.
fn nested<const FIELD: u32>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    key::<FIELD>(NESTED, out);
    let place = out.len();
    out.push(0);
    write(out);
    let start = place + 1;
    let length = out.len() - start;
    if length < 0x80 {
        out[place] = length as u8;
        return;
    }
    // The length takes more than the byte that was left for it.
    let end = out.len();
    varint(length as u64, out);
    let longer = out.len() - end - 1;
    out[place..].rotate_right(longer + 1);
    // The byte that was left is behind the length now.
    out.remove(place + longer + 1);
}

fn key<const FIELD: u32>(kind: u32, out: &mut Vec<u8>) {
    let key = FIELD << 3 | kind;
    if key < 0x80 {
        out.push(key as u8);
    } else {
        out.extend_from_slice(&[key as u8 | 0x80, (key >> 7) as u8]);
    }
}

/// Appends a varint. Up to 56 bits become one word that is appended whole and cut to its length, without a branch on that length.
fn varint(value: u64, out: &mut Vec<u8>) {
    if value >> 56 != 0 {
        return prost::encoding::encode_varint(value, out);
    }
    // Seven bits to each byte: halves of 28, quarters of 14, eighths of 7.
    let spread = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let spread = spread & 0x0000_3fff_0000_3fff | (spread & 0x0fff_c000_0fff_c000) << 2;
    let spread = spread & 0x007f_007f_007f_007f | (spread & 0x3f80_3f80_3f80_3f80) << 1;
    // How many more bytes than one.
    let more = ((u64::BITS - 1 - (value | 1).leading_zeros()) / 7) as usize;
    let marks = 0x8080_8080_8080_8080 & ((1 << (8 * more)) - 1);
    let length = out.len() + more + 1;
    out.extend_from_slice(&(spread | marks).to_le_bytes());
    out.truncate(length);
}

/// Wire types.
const VARINT: u32 = 0;
const FIXED: u32 = 1;
const NESTED: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    proptest! {
        #[test]
        fn a_quote_is_written_as_by_the_generated_code(
            numbers in proptest::collection::vec(maybe(), 15),
            (id, seq, ts, merged, flags) in (any::<u32>(), long_and_short(), long_and_short(), 0..3_u32, 0..3_u32),
            (last_ts_us, trades) in (proptest::option::of(long_and_short()), proptest::option::of(long_and_short())),
            clear in proptest::collection::vec(1..16_u32, 0..3),
        ) {
            let quote = v1::Quote {
                bid: numbers[0], bid_quantity: numbers[1], ask: numbers[2], ask_quantity: numbers[3], last: numbers[4],
                last_quantity: numbers[5], last_ts_us, volume: numbers[6], turnover: numbers[7], trades, open: numbers[8],
                high: numbers[9], low: numbers[10], previous_close: numbers[11], settlement: numbers[12],
                interval_high: numbers[13], interval_low: numbers[14],
            };
            let body = Some(Body::Quote(quote));
            let update = v1::Update { id, seq, ts_event_us: ts, merged, flags, clear, body, ..Default::default() };
            prop_assert_eq!(written(&update), generated(&update));
        }

        #[test]
        fn a_long_body_gets_a_long_length(length in 0..40_000_usize) {
            let status = v1::Status { reason: "x".repeat(length), ..Default::default() };
            let update = v1::Update { id: 1, body: Some(Body::Status(status)), ..Default::default() };
            prop_assert_eq!(written(&update), generated(&update));
        }
    }
}
