//! Reads of a protobuf `ServerFrame` what the ledger needs, without building messages.

use prost::Message as _;
use tickwire_proto::v1;

use super::{Record, Seen};

/// Tells what a frame says, in its order.
///
/// # Errors
/// Not a `ServerFrame`.
pub fn read_protobuf(bytes: &[u8], see: &mut impl FnMut(Seen<'_>)) -> Result<(), String> {
    // The number of the frame stands first, and a frame without one is not counted.
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next().map_err(|()| "not a protobuf frame".to_owned())? {
        match (field, value) {
            (1, Value::Number(cseq)) => see(Seen::Frame { cseq }),
            (4, Value::Bytes(update)) => see(Seen::Record(record(update).map_err(|()| "not a protobuf update".to_owned())?)),
            (field, Value::Bytes(part)) => rare(field, part, see).map_err(|error| error.to_string())?,
            _ => {}
        }
    }
    Ok(())
}

/// What comes seldom is decoded whole.
fn rare(field: u32, part: &[u8], see: &mut impl FnMut(Seen<'_>)) -> Result<(), prost::DecodeError> {
    match field {
        3 => {
            let info = v1::InstrumentInfo::decode(part)?;
            see(Seen::Info { id: info.id, symbol: &info.symbol });
        }
        8 => see(Seen::Window { bytes: v1::Welcome::decode(part)?.window_bytes }),
        9 => {
            for result in v1::SubscribeAck::decode(part)?.results.iter().filter(|result| result.code != 0) {
                see(Seen::Refused { symbol: &result.symbol, code: result.code });
            }
        }
        10 => see(Seen::Ready),
        14 => see(Seen::Gap),
        15 if v1::Notice::decode(part)?.kind() == v1::NoticeKind::Slow => see(Seen::Slow),
        16 => see(Seen::Ending { text: &v1::Error::decode(part)?.text }),
        18 => see(Seen::Ending { text: "the server says goodbye" }),
        _ => {}
    }
    Ok(())
}

fn record(bytes: &[u8]) -> Result<Record, ()> {
    let (mut fields, mut record) = (Fields(bytes), Record::default());
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Number(id)) => record.id = id as u32,
            (2, Value::Number(seq)) => record.seq = seq,
            (3, Value::Fixed(us)) => record.ts_event_us = us,
            (4, Value::Number(merged)) => record.merged = merged as u32,
            (6, Value::Number(flags)) => record.image = flags & v1::UpdateFlag::Image as u64 != 0,
            (10, Value::Bytes(quote)) => record.version = trades(quote)?,
            _ => {}
        }
    }
    Ok(record)
}

fn trades(quote: &[u8]) -> Result<Option<u64>, ()> {
    let mut fields = Fields(quote);
    while let Some((field, value)) = fields.next()? {
        if let (10, Value::Number(trades)) = (field, value) {
            return Ok(Some(trades));
        }
    }
    Ok(None)
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    #[inline]
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, ()> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                let (value, rest) = self.0.split_first_chunk().ok_or(())?;
                self.0 = rest;
                Value::Fixed(u64::from_le_bytes(*value))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(drop)?;
                let (value, rest) = self.0.split_at_checked(length).ok_or(())?;
                self.0 = rest;
                Value::Bytes(value)
            }
            5 => {
                let (value, rest) = self.0.split_first_chunk().ok_or(())?;
                self.0 = rest;
                Value::Fixed(u32::from_le_bytes(*value).into())
            }
            _ => return Err(()),
        };
        Ok(Some((u32::try_from(key >> 3).map_err(drop)?, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, ()> {
        let mut value = 0;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * place as u32).min(63);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_proto::v1::{server_frame::Control, update::Body};

    fn seen(frame: &v1::ServerFrame) -> Vec<String> {
        let mut all = Vec::new();
        read_protobuf(&frame.encode_to_vec(), &mut |seen| all.push(format!("{seen:?}"))).unwrap();
        all
    }

    #[test]
    fn what_counts_is_read_like_the_codec_reads_it() {
        let quote = v1::Quote { bid: Some(-5), last_ts_us: Some(9), trades: Some(300), ..Default::default() };
        let update = v1::Update {
            id: 300,
            seq: 1 << 40,
            ts_event_us: 77,
            merged: 2,
            flags: 3,
            body: Some(Body::Quote(quote)),
            ..Default::default()
        };
        let record = Record { id: 300, seq: 1 << 40, ts_event_us: 77, merged: 2, image: true, version: Some(300) };
        let info = v1::InstrumentInfo { id: 300, symbol: "bench.S7".into(), ..Default::default() };
        let complete = Control::SnapshotComplete(v1::SnapshotComplete { request_id: 2 });
        let frame = v1::ServerFrame {
            cseq: 9,
            ts_send_us: 5,
            infos: vec![info],
            updates: vec![update],
            control: Some(complete),
            ..Default::default()
        };
        let expected = [Seen::Frame { cseq: 9 }, Seen::Info { id: 300, symbol: "bench.S7" }, Seen::Record(record), Seen::Ready];
        assert_eq!(seen(&frame), expected.map(|seen| format!("{seen:?}")));
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [&[0x22, 9, 1][..], &[0x0f], &[0xff; 12], &[0x22, 1, 0x08]] {
            assert!(read_protobuf(bytes, &mut |_| ()).is_err(), "{bytes:?}");
        }
    }
}
