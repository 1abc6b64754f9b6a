//! When a message was published, as it says itself: a stream does not say it, and what is read from its beginning comes all at once.

use prost::Message as _;
use tickwire_proto::json::FeedJson;
use tickwire_proto::v1;

use super::Recorded;
use crate::ingest::{BODY_BYTES_MAX, inflate};

/// Microseconds since 1970 UTC, if the body says when it was published or what it tells happened, or its publisher stamped it.
pub(super) fn of(message: &Recorded) -> Option<u64> {
    let stamped = message.timestamp_s.map(|seconds| seconds.saturating_mul(1_000_000));
    said(message).or(stamped).filter(|time_us| *time_us < YEAR_2200_US)
}

fn said(message: &Recorded) -> Option<u64> {
    let body = inflate(message.content_encoding.as_deref(), &message.body, BODY_BYTES_MAX).ok()?;
    let is_json = match message.content_type.as_deref() {
        Some(content_type) => content_type.contains("json"),
        None => body.first() == Some(&b'{'),
    };
    let (publish_us, happened_us) = if is_json {
        let json = FeedJson::parse(&body).ok()?;
        let times = json.updates().filter_map(|update| update.time_us());
        (json.head().ts_publish_us, times.max())
    } else {
        let message = v1::FeedMessage::decode(&*body).ok()?;
        (message.ts_publish_us, message.updates.iter().map(|update| update.ts_event_us).max())
    };
    [Some(publish_us), happened_us].into_iter().flatten().find(|time_us| *time_us > 0)
}

/// A time from here on is none: 2200-01-01.
const YEAR_2200_US: u64 = 7_258_118_400_000_000;
