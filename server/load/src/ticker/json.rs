//! Reads of a JSON `ServerFrame` what the ledger needs.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tickwire_proto::v1::{ErrorCode, UpdateFlag};

use crate::Seen;
use crate::ledger::Record;

/// Tells what a frame says, in its order.
pub(super) fn read(bytes: &[u8], see: &mut impl FnMut(Seen<'_>)) -> Result<(), String> {
    let frame: Frame<'_> = serde_json::from_slice(bytes).map_err(|error| format!("not a JSON frame: {error}"))?;
    see(Seen::Frame { cseq: number(frame.cseq)? });
    for info in &frame.infos {
        see(Seen::Info { id: info.id, symbol: &info.symbol });
    }
    if let Some(welcome) = frame.welcome {
        see(Seen::Window { bytes: welcome.window_bytes });
    }
    for result in frame.subscribe_ack.iter().flat_map(|ack| &ack.results) {
        if let Some(code) = &result.code {
            let code = ErrorCode::from_str_name(code).unwrap_or(ErrorCode::Unspecified);
            see(Seen::Refused { symbol: &result.symbol, code: code as i32 });
        }
    }
    for record in &frame.updates {
        see(Seen::Record(Record {
            id: record.id,
            seq: number(record.seq)?,
            ts_event_us: number(record.ts_event_us)?,
            merged: record.merged,
            image: record.flags.iter().any(|flag| *flag == UpdateFlag::Image.as_str_name()),
            version: record.quote.as_ref().and_then(|quote| quote.trades).map(number).transpose()?,
        }));
    }
    if frame.snapshot_complete.is_some() {
        see(Seen::Ready);
    }
    if frame.gap.is_some() {
        see(Seen::Gap);
    }
    if frame.notice.is_some_and(|notice| notice.kind == "SLOW") {
        see(Seen::Slow);
    }
    if let Some(error) = &frame.error {
        see(Seen::Ending { text: &error.text });
    }
    if frame.goodbye.is_some() {
        see(Seen::Ending { text: "the server says goodbye" });
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number in a text: {text:?}"))
}

#[derive(Deserialize)]
struct Frame<'a> {
    cseq: &'a str,
    #[serde(borrow, default)]
    infos: Vec<Info<'a>>,
    #[serde(borrow, default)]
    updates: Vec<Update<'a>>,
    welcome: Option<Welcome>,
    #[serde(borrow)]
    subscribe_ack: Option<SubscribeAck<'a>>,
    snapshot_complete: Option<IgnoredAny>,
    gap: Option<IgnoredAny>,
    #[serde(borrow)]
    notice: Option<Notice<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    goodbye: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(default)]
    id: u32,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(default)]
    id: u32,
    seq: &'a str,
    ts_event_us: &'a str,
    #[serde(default)]
    merged: u32,
    #[serde(borrow, default)]
    flags: Vec<&'a str>,
    #[serde(borrow)]
    quote: Option<Quote<'a>>,
}

#[derive(Deserialize)]
struct Quote<'a> {
    trades: Option<&'a str>,
}

#[derive(Deserialize)]
struct Welcome {
    #[serde(default)]
    window_bytes: u32,
}

#[derive(Deserialize)]
struct SubscribeAck<'a> {
    #[serde(borrow, default)]
    results: Vec<SubscribeResult<'a>>,
}

#[derive(Deserialize)]
struct SubscribeResult<'a> {
    #[serde(borrow, default)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_proto::wire::{Encoding, FrameWriter, Naming, encode_info, encode_update};
    use tickwire_proto::{Scale, v1};

    #[test]
    fn what_counts_is_read_from_what_the_codec_writes() {
        let quote = v1::Quote { last: Some(10_000), trades: Some(3), ..Default::default() };
        let update = v1::Update {
            id: 4,
            seq: 17,
            ts_event_us: 1_000,
            merged: 2,
            flags: UpdateFlag::Conflated as u32,
            body: Some(v1::update::Body::Quote(quote)),
            ..Default::default()
        };
        let info = v1::InstrumentInfo { id: 4, symbol: "bench.S3".into(), price_scale: 2, ..Default::default() };
        let (mut info_record, mut record, mut out) = (Vec::new(), Vec::new(), Vec::new());
        encode_info(Encoding::Json, &info, &mut info_record);
        let naming = Naming { symbol: "bench.S3", price_scale: Scale::new(2).unwrap(), quantity_scale: Scale::new(0).unwrap() };
        encode_update(Encoding::Json, &update, naming, &mut record);
        let mut writer = FrameWriter::begin(&mut out, Encoding::Json, 12, 99);
        writer.info(&info_record);
        writer.control(&v1::server_frame::Control::SnapshotComplete(v1::SnapshotComplete { request_id: 2 }));
        writer.update(&record);
        writer.finish();
        let mut all = Vec::new();
        read(&out, &mut |seen| all.push(format!("{seen:?}"))).unwrap();
        let expected = [
            Seen::Frame { cseq: 12 },
            Seen::Info { id: 4, symbol: "bench.S3" },
            Seen::Record(Record { id: 4, seq: 17, ts_event_us: 1_000, merged: 2, image: false, version: Some(3) }),
            Seen::Ready,
        ];
        assert_eq!(all, expected.map(|seen| format!("{seen:?}")));
    }
}
