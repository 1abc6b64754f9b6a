//! The field tables of the schema. A test holds them against the .proto files.

use serde_json::Value;

use super::JsonError;
use super::kind::{Bool, Enum, Extras, Flags, Info, Kind, Names, Nested, Price, Quantity, Text, U32, U64};
use super::read::{self, Reader};
use super::table::{self, Always, List, Merged, Optional, Plain, Rule, Unit, choice, table};
use super::write::Writer;
use crate::v1;

// ---- what is quoted ---------------------------------------------------------------------------------------------------------------------

table!(v1::InstrumentInfo {
    1 "symbol" symbol: Always Text,
    2 "id" id: Plain U32,
    3 "asset_class" asset_class: Plain Enum<v1::AssetClass>,
    4 "feed" feed: Plain Text,
    5 "price_scale" price_scale: Always U32,
    6 "quantity_scale" quantity_scale: Always U32,
    7 "currency" currency: Plain Text,
    8 "tick_size" tick_size: Optional Price,
    9 "display_name" display_name: Plain Text,
    10 "outcome_names" outcome_names: Plain Names,
});

table!(v1::Quote {
    1 "bid" bid: Optional Price,
    2 "bid_quantity" bid_quantity: Optional Quantity,
    3 "ask" ask: Optional Price,
    4 "ask_quantity" ask_quantity: Optional Quantity,
    5 "last" last: Optional Price,
    6 "last_quantity" last_quantity: Optional Quantity,
    7 "last_ts_us" last_ts_us: Optional U64,
    8 "volume" volume: Optional Quantity,
    9 "turnover" turnover: Optional Price,
    10 "trades" trades: Optional U64,
    11 "open" open: Optional Price,
    12 "high" high: Optional Price,
    13 "low" low: Optional Price,
    14 "previous_close" previous_close: Optional Price,
    15 "settlement" settlement: Optional Price,
    16 "interval_high" interval_high: Optional Price,
    17 "interval_low" interval_low: Optional Price,
});

table!(v1::Trade {
    1 "price" price: Always Price,
    2 "quantity" quantity: Always Quantity,
    3 "trade_id" trade_id: Plain Text,
    4 "side" side: Plain Enum<v1::Side>,
    5 "conditions" conditions: List U32,
    6 "correction" correction: Plain Bool,
    7 "bust" bust: Plain Bool,
});

table!(v1::Bar {
    1 "start_us" start_us: Always U64,
    2 "length_s" length_s: Always U32,
    3 "open" open: Always Price,
    4 "high" high: Always Price,
    5 "low" low: Always Price,
    6 "close" close: Always Price,
    7 "volume" volume: Always Quantity,
    8 "trades" trades: Always U64,
    9 "final" r#final: Plain Bool,
});

table!(v1::Status {
    1 "phase" phase: Always Enum<v1::TradingPhase>,
    2 "reason" reason: Plain Text,
    3 "resume_us" resume_us: Optional U64,
});

table!(v1::Score {
    1 "home" home: Optional U32,
    2 "away" away: Optional U32,
    3 "period" period: Optional U32,
    4 "clock_s" clock_s: Optional U32,
    5 "clock_running" clock_running: Optional Bool,
    6 "in_play" in_play: Optional Bool,
    7 "final" r#final: Optional Bool,
    8 "extra" extra: Merged Extras,
});

table!(v1::Outcome {
    1 "id" id: Always U32,
    2 "back" back: Optional Price,
    3 "back_quantity" back_quantity: Optional Quantity,
    4 "lay" lay: Optional Price,
    5 "lay_quantity" lay_quantity: Optional Quantity,
    6 "last" last: Optional Price,
    7 "active" active: Optional Bool,
    8 "result" result: Optional U32,
});

table!(v1::Odds {
    1 "outcomes" outcomes: ByOutcome Nested<v1::Outcome>,
    2 "line" line: Optional Price,
    3 "matched" matched: Optional Quantity,
});

choice!(v1::update::Body {
    "quote" Quote: Nested<v1::Quote>,
    "trade" Trade: Nested<v1::Trade>,
    "bar" Bar: Nested<v1::Bar>,
    "status" Status: Nested<v1::Status>,
    "score" Score: Nested<v1::Score>,
    "odds" Odds: Nested<v1::Odds>,
});

// `clear` is not here: it stands as `null` in the body.
table!(v1::Update {
    1 "id" id: Plain U32,
    7 "symbol" symbol: Named Text,
    2 "seq" seq: Always U64,
    3 "ts_event_us" ts_event_us: Always U64,
    4 "merged" merged: Plain U32,
    6 "flags" flags: Plain Flags,
} choice body);

table!(v1::FeedState {
    1 "feed" feed: Always Text,
    2 "health" health: Always Enum<v1::FeedHealth>,
    3 "reason" reason: Plain Text,
    4 "since_us" since_us: Always U64,
    5 "last_seq" last_seq: Always U64,
});

// ---- what feeds publish -----------------------------------------------------------------------------------------------------------------

table!(v1::Alive {
    1 "publisher" publisher: Plain Text,
    2 "interval_ms" interval_ms: Plain U32,
});

// `updates` is not here: each is read by itself, so that a bad one leaves the others alone.
table!(v1::FeedMessage {
    2 "info" info: Optional Info,
    3 "alive" alive: Optional Nested<v1::Alive>,
    4 "ts_publish_us" ts_publish_us: Plain U64,
    5 "publisher" publisher: Plain Text,
    6 "publisher_seq" publisher_seq: Plain U64,
});

// ---- client to server -------------------------------------------------------------------------------------------------------------------

table!(v1::Hello {
    1 "protocol" protocol: Always U32,
    2 "sdk" sdk: Plain Text,
    3 "token" token: Optional Text,
    4 "resume" resume: Optional Text,
    5 "conflate_ms" conflate_ms: Optional U32,
    6 "heartbeat_ms" heartbeat_ms: Optional U32,
    7 "credit" credit: Plain Bool,
});

choice!(v1::subscribe_item::Target {
    "symbol" Symbol: Text,
    "pattern" Pattern: Text,
});

table!(v1::SubscribeItem {
    3 "conflate_ms" conflate_ms: Optional U32,
    4 "trades" trades: Plain Bool,
} choice target);

table!(v1::Subscribe {
    1 "items" items: List Nested<v1::SubscribeItem>,
    2 "replace" replace: Plain Bool,
});

table!(v1::Unsubscribe {
    1 "symbols" symbols: List Text,
    2 "all" all: Plain Bool,
});

table!(v1::Configure {
    1 "conflate_ms" conflate_ms: Optional U32,
    2 "paused" paused: Optional Bool,
});

table!(v1::Authenticate {
    1 "token" token: Always Text,
});

table!(v1::Progress {
    1 "cseq" cseq: Always U64,
});

table!(v1::Ping {
    1 "nonce" nonce: Always U64,
});

choice!(v1::client_frame::Command {
    "hello" Hello: Nested<v1::Hello>,
    "subscribe" Subscribe: Nested<v1::Subscribe>,
    "unsubscribe" Unsubscribe: Nested<v1::Unsubscribe>,
    "configure" Configure: Nested<v1::Configure>,
    "authenticate" Authenticate: Nested<v1::Authenticate>,
    "progress" Progress: Nested<v1::Progress>,
    "ping" Ping: Nested<v1::Ping>,
});

table!(v1::ClientFrame {
    1 "request_id" request_id: Plain U32,
} choice command);

// ---- server to client -------------------------------------------------------------------------------------------------------------------

table!(v1::Limits {
    1 "subscriptions_max" subscriptions_max: Always U32,
    2 "message_bytes_max" message_bytes_max: Always U32,
    3 "commands_per_s" commands_per_s: Always U32,
    4 "commands_burst" commands_burst: Always U32,
    5 "conflate_ms_min" conflate_ms_min: Always U32,
});

table!(v1::Welcome {
    1 "session" session: Always Text,
    2 "node" node: Always Text,
    3 "epoch" epoch: Always Text,
    4 "limits" limits: Optional Nested<v1::Limits>,
    5 "heartbeat_ms" heartbeat_ms: Always U32,
    6 "rate_classes" rate_classes: List U32,
    7 "resume" resume: Always Enum<v1::Resume>,
    8 "server_ts_us" server_ts_us: Always U64,
    9 "window_bytes" window_bytes: Always U32,
});

table!(v1::SubscribeResult {
    1 "symbol" symbol: Always Text,
    2 "id" id: Plain U32,
    3 "code" code: Plain Enum<v1::ErrorCode>,
    4 "conflate_ms" conflate_ms: Always U32,
    5 "matched" matched: Plain U32,
});

table!(v1::SubscribeAck {
    1 "request_id" request_id: Always U32,
    2 "results" results: List Nested<v1::SubscribeResult>,
    3 "images_follow" images_follow: Always U32,
});

table!(v1::SnapshotComplete {
    1 "request_id" request_id: Always U32,
});

table!(v1::UnsubscribeAck {
    1 "request_id" request_id: Always U32,
    2 "removed" removed: Always U32,
});

table!(v1::Ack {
    1 "request_id" request_id: Always U32,
    2 "conflate_ms" conflate_ms: Always U32,
});

table!(v1::Heartbeat {
    1 "token" token: Always Text,
});

table!(v1::Gap {
    1 "id" id: Always U32,
    2 "from" from: Always U64,
    3 "to" to: Always U64,
});

table!(v1::Notice {
    1 "kind" kind: Always Enum<v1::NoticeKind>,
    2 "text" text: Plain Text,
});

table!(v1::Error {
    1 "request_id" request_id: Plain U32,
    2 "code" code: Always Enum<v1::ErrorCode>,
    3 "text" text: Always Text,
    4 "retry" retry: Always Enum<v1::Retry>,
    5 "retry_after_ms" retry_after_ms: Optional U32,
    6 "epoch" epoch: Plain Text,
});

table!(v1::TokenExpiring {
    1 "in_ms" in_ms: Always U32,
});

table!(v1::Goodbye {
    1 "code" code: Always Enum<v1::ErrorCode>,
    2 "retry_after_ms" retry_after_ms: Always U32,
    3 "spread_ms" spread_ms: Always U32,
});

table!(v1::Pong {
    1 "nonce" nonce: Always U64,
    2 "server_ts_us" server_ts_us: Always U64,
});

choice!(v1::server_frame::Control {
    "welcome" Welcome: Nested<v1::Welcome>,
    "subscribe_ack" SubscribeAck: Nested<v1::SubscribeAck>,
    "snapshot_complete" SnapshotComplete: Nested<v1::SnapshotComplete>,
    "unsubscribe_ack" UnsubscribeAck: Nested<v1::UnsubscribeAck>,
    "ack" Ack: Nested<v1::Ack>,
    "heartbeat" Heartbeat: Nested<v1::Heartbeat>,
    "gap" Gap: Nested<v1::Gap>,
    "notice" Notice: Nested<v1::Notice>,
    "error" Error: Nested<v1::Error>,
    "token_expiring" TokenExpiring: Nested<v1::TokenExpiring>,
    "goodbye" Goodbye: Nested<v1::Goodbye>,
    "pong" Pong: Nested<v1::Pong>,
});

// `updates` is not here: reading them needs the infos first.
table!(v1::ServerFrame {
    1 "cseq" cseq: Always U64,
    2 "ts_send_us" ts_send_us: Always U64,
    3 "infos" infos: List Info,
    5 "feeds" feeds: List Nested<v1::FeedState>,
} choice control);

// ---- rules that one field needs ---------------------------------------------------------------------------------------------------------

/// The symbol of an update: a record to clients has it from its instrument.
struct Named;

impl Rule<Text> for Named {
    type Rust = alloc::string::String;

    fn write(_value: &Self::Rust, key: &'static str, _number: u32, writer: &mut Writer<'_>) {
        writer.key(key);
        writer.text(writer.symbol);
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        *into = Text::read(value, reader)?;
        Ok(())
    }
}

/// Outcomes with their cleared fields, which stand in `Update.clear` as `outcome_id * 16 + field`.
struct ByOutcome;

impl Rule<Nested<v1::Outcome>> for ByOutcome {
    type Rust = alloc::vec::Vec<v1::Outcome>;
    const CLEARS: bool = true;
    const UNIT: Unit = Unit::Outcomes;

    fn write(outcomes: &Self::Rust, key: &'static str, number: u32, writer: &mut Writer<'_>) {
        let clear = writer.clear;
        let whole = core::mem::take(&mut writer.cleared);
        // Outcomes that have cleared fields only are not in the list.
        let mut rest = clear
            .chunk_by(|a, b| a / OUTCOME_FIELDS == b / OUTCOME_FIELDS)
            .filter(|fields| fields[0] >= OUTCOME_FIELDS && outcomes.iter().all(|outcome| outcome.id != fields[0] / OUTCOME_FIELDS))
            .peekable();
        if outcomes.is_empty() && rest.peek().is_none() {
            writer.cleared = whole;
            return table::write_null(key, number, writer);
        }
        writer.key(key);
        writer.open(b'[');
        for outcome in outcomes {
            writer.comma();
            writer.cleared = outcome_mask(clear, outcome.id);
            Nested::write(outcome, writer);
        }
        for fields in rest {
            writer.comma();
            let id = fields[0] / OUTCOME_FIELDS;
            writer.cleared = outcome_mask(fields, id);
            Nested::write(&v1::Outcome { id, ..Default::default() }, writer);
        }
        writer.close(b']');
        writer.cleared = whole;
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        for (index, element) in read::array(value)?.iter().enumerate() {
            let before = reader.clear.len();
            let outcome: v1::Outcome = Nested::read(element, reader).map_err(|error| error.within_element(index))?;
            let base = outcome.id.checked_mul(OUTCOME_FIELDS);
            let cleared = &mut reader.clear[before..];
            let only_cleared = !cleared.is_empty() && outcome == v1::Outcome { id: outcome.id, ..Default::default() };
            for number in cleared {
                // Outcome 0 shares its numbers with the fields of Odds, so it cannot be cleared.
                *number = match base {
                    Some(base) if base > 0 => base.saturating_add(*number),
                    _ => return Err(JsonError::new("has no id, or one whose fields cannot be cleared").within_element(index)),
                };
            }
            if !only_cleared {
                into.push(outcome);
            }
        }
        Ok(())
    }
}

/// Bits of the cleared fields of one outcome.
fn outcome_mask(clear: &[u32], id: u32) -> u64 {
    clear
        .iter()
        .filter(|number| **number >= OUTCOME_FIELDS && **number / OUTCOME_FIELDS == id)
        .fold(0, |mask, number| mask | 1 << (number % OUTCOME_FIELDS))
}

/// Field numbers per outcome in `Update.clear`.
pub(crate) const OUTCOME_FIELDS: u32 = 16;

/// Members of an update that are its body.
pub(crate) const BODIES: [&str; 6] = ["quote", "trade", "bar", "status", "score", "odds"];

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use super::super::table::{Field, Table};
    use super::*;

    /// Fields of each message as the .proto files say: number and name. Choices of oneofs are left out.
    fn schema() -> BTreeMap<&'static str, Vec<(u32, &'static str)>> {
        let mut messages = BTreeMap::new();
        let mut message = "";
        let mut in_oneof = false;
        for line in SCHEMA.iter().flat_map(|file| file.lines()).map(str::trim) {
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["//" | "syntax", ..] => {}
                ["message", name, "{"] => {
                    message = name;
                    messages.insert(message, Vec::new());
                }
                ["enum", ..] => message = "",
                ["oneof", ..] => in_oneof = true,
                ["}"] if in_oneof => in_oneof = false,
                [.., name, "=", number] if !message.is_empty() && !in_oneof => {
                    let number = number.trim_end_matches(';').parse().unwrap();
                    messages.entry(message).or_default().push((number, *name));
                }
                _ => {}
            }
        }
        messages
    }

    #[test]
    fn tables_say_what_the_schema_says() {
        macro_rules! tables {
            ($($message:ident)*) => { [$((stringify!($message), <v1::$message as Table>::FIELDS)),*] };
        }
        let tables: [(&str, &[Field]); 36] = tables!(InstrumentInfo Quote Trade Bar Status Score Outcome Odds Update FeedState Alive
            FeedMessage Hello SubscribeItem Subscribe Unsubscribe Configure Authenticate Progress Ping ClientFrame Limits Welcome
            SubscribeResult SubscribeAck SnapshotComplete UnsubscribeAck Ack Heartbeat Gap Notice Error TokenExpiring Goodbye Pong ServerFrame);
        let schema = schema();
        for (message, fields) in tables {
            let mut listed: Vec<_> = fields.iter().map(|field| (field.number, field.name)).collect();
            listed.sort_unstable();
            let elsewhere =
                |(_, name): &(u32, &str)| matches!((message, *name), ("Update", "clear") | ("FeedMessage" | "ServerFrame", "updates"));
            let expected: Vec<_> = schema[message].iter().copied().filter(|field| !elsewhere(field)).collect();
            assert_eq!(listed, expected, "{message}");
        }
        let mut bodies: Vec<_> = BODIES.to_vec();
        bodies.retain(|body| !SCHEMA[0].lines().any(|line| line.trim().split(' ').nth(1) == Some(body)));
        assert!(bodies.is_empty(), "not in the schema: {bodies:?}");
    }

    const SCHEMA: [&str; 3] = [
        include_str!("../../tickwire/v1/market.proto"),
        include_str!("../../tickwire/v1/feed.proto"),
        include_str!("../../tickwire/v1/session.proto"),
    ];
}
