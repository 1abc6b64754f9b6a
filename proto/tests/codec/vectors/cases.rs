//! What the golden vectors say.

use tickwire_proto::v1;
use tickwire_proto::v1::client_frame::Command;
use tickwire_proto::v1::server_frame::Control;
use tickwire_proto::v1::subscribe_item::Target;
use tickwire_proto::v1::update::Body;

/// 2026-03-02 14:30:00 UTC.
const NOW_US: u64 = 1_772_461_800_000_000;

const IMAGE: u32 = v1::UpdateFlag::Image as u32;
const CONFLATED: u32 = v1::UpdateFlag::Conflated as u32;
const CORRECTION: u32 = v1::UpdateFlag::Correction as u32;
const EVENT: u32 = v1::UpdateFlag::Event as u32;

pub(crate) fn server() -> Vec<(&'static str, v1::ServerFrame)> {
    let mut cases = Vec::new();
    cases.extend(updates().into_iter().map(|(name, update)| (name, v1::ServerFrame { updates: vec![update], ..Default::default() })));
    cases.extend(controls().into_iter().map(|(name, control)| (name, v1::ServerFrame { control: Some(control), ..Default::default() })));
    cases.push(("infos", v1::ServerFrame { infos: infos(), ..Default::default() }));
    let heartbeat = Control::Heartbeat(v1::Heartbeat { token: "e5f1:4711".into() });
    cases.push(("heartbeat_with_feeds", v1::ServerFrame { control: Some(heartbeat), feeds: feeds(), ..Default::default() }));
    let everything = v1::ServerFrame {
        infos: infos().into_iter().take(1).collect(),
        updates: updates().into_iter().take(2).map(|(_, update)| update).collect(),
        feeds: feeds(),
        control: Some(Control::Gap(v1::Gap { id: 7, from: 4_700, to: 4_705 })),
        ..Default::default()
    };
    cases.push(("everything_at_once", everything));
    for (cseq, (_, frame)) in (1..).zip(&mut cases) {
        frame.cseq = cseq;
        frame.ts_send_us = NOW_US + 1_000 * cseq;
    }
    cases
}

fn updates() -> Vec<(&'static str, v1::Update)> {
    let update = |id, flags, body| v1::Update { id, seq: 4_711, ts_event_us: NOW_US, flags, body: Some(body), ..Default::default() };
    let delta = v1::Quote { bid: Some(18_742), bid_quantity: Some(300), ask: Some(18_744), ask_quantity: Some(100), ..Default::default() };
    let merged = v1::Quote { last: Some(18_743), interval_high: Some(18_751), interval_low: Some(18_740), ..Default::default() };
    let score = v1::Score { home: Some(2), away: Some(1), clock_s: Some(3_120), clock_running: Some(true), ..Default::default() };
    vec![
        ("quote_delta", update(7, 0, Body::Quote(delta))),
        ("quote_image", update(7, IMAGE, Body::Quote(whole_quote()))),
        (
            "quote_conflated",
            v1::Update { merged: 41, seq: u64::MAX, ..update(7, CONFLATED, Body::Quote(v1::Quote { volume: Some(48_211_900), ..merged })) },
        ),
        (
            "quote_clear",
            v1::Update { clear: vec![1, 2, 7, 16], ..update(7, 0, Body::Quote(v1::Quote { ask: Some(-5), ..Default::default() })) },
        ),
        ("quote_image_of_nothing", update(7, IMAGE, Body::Quote(v1::Quote::default()))),
        (
            "quote_crypto",
            update(
                8,
                0,
                Body::Quote(v1::Quote {
                    bid: Some(6_712_345),
                    bid_quantity: Some(1),
                    ask_quantity: Some(150_000_000),
                    ..Default::default()
                }),
            ),
        ),
        (
            "trade",
            update(
                7,
                EVENT,
                Body::Trade(v1::Trade {
                    price: 18_743,
                    quantity: 50,
                    trade_id: "T-1".into(),
                    side: v1::Side::Buy as i32,
                    conditions: vec![37, 4],
                    ..Default::default()
                }),
            ),
        ),
        (
            "trade_correction",
            update(
                7,
                CORRECTION | EVENT,
                Body::Trade(v1::Trade { price: 18_700, quantity: 50, trade_id: "T-1".into(), correction: true, ..Default::default() }),
            ),
        ),
        ("trade_bust", update(7, CORRECTION | EVENT, Body::Trade(v1::Trade { trade_id: "T-1".into(), bust: true, ..Default::default() }))),
        ("bar", update(7, 0, Body::Bar(v1::Bar { r#final: false, ..bar() }))),
        ("bar_final", update(7, EVENT, Body::Bar(bar()))),
        (
            "status_halted",
            update(
                7,
                EVENT,
                Body::Status(v1::Status {
                    phase: v1::TradingPhase::Halted as i32,
                    reason: "volatility \"pause\"\u{2028}T1".into(),
                    resume_us: Some(NOW_US + 300_000_000),
                }),
            ),
        ),
        (
            "status_open_again",
            v1::Update {
                clear: vec![3],
                ..update(7, EVENT, Body::Status(v1::Status { phase: v1::TradingPhase::Open as i32, ..Default::default() }))
            },
        ),
        ("score_with_extra", update(20, 0, Body::Score(v1::Score { extra: extra(), ..score.clone() }))),
        (
            "score_final",
            v1::Update {
                clear: vec![4],
                ..update(20, EVENT, Body::Score(v1::Score { clock_s: None, clock_running: Some(false), r#final: Some(true), ..score }))
            },
        ),
        ("odds_image", update(21, IMAGE, Body::Odds(v1::Odds { outcomes: outcomes(), line: Some(250), matched: Some(123_456_789) }))),
        (
            "odds_result",
            update(
                21,
                EVENT,
                Body::Odds(v1::Odds {
                    outcomes: vec![
                        v1::Outcome { id: 1, active: Some(false), result: Some(1), ..Default::default() },
                        v1::Outcome { id: 2, active: Some(false), result: Some(2), ..Default::default() },
                    ],
                    ..Default::default()
                }),
            ),
        ),
        (
            // Outcome 1 keeps `lay` only; of outcome 3 only clears are said: 18 = 1 * 16 + 2, 50 = 3 * 16 + 2.
            "odds_outcome_clear",
            v1::Update {
                clear: vec![2, 18, 19, 50, 51],
                ..update(
                    21,
                    0,
                    Body::Odds(v1::Odds {
                        outcomes: vec![v1::Outcome { id: 1, lay: Some(212), ..Default::default() }],
                        ..Default::default()
                    }),
                )
            },
        ),
    ]
}

fn whole_quote() -> v1::Quote {
    v1::Quote {
        bid: Some(18_742),
        bid_quantity: Some(300),
        ask: Some(18_744),
        ask_quantity: Some(100),
        last: Some(18_743),
        last_quantity: Some(50),
        last_ts_us: Some(NOW_US - 2_000),
        volume: Some(48_211_900),
        turnover: Some(903_715_000_000),
        trades: Some(391_204),
        open: Some(18_500),
        high: Some(18_800),
        low: Some(18_455),
        previous_close: Some(18_499),
        settlement: Some(18_500),
        interval_high: None,
        interval_low: None,
    }
}

fn bar() -> v1::Bar {
    v1::Bar {
        start_us: NOW_US - 60_000_000,
        length_s: 60,
        open: 18_730,
        high: 18_751,
        low: 18_729,
        close: 18_743,
        volume: 120_400,
        trades: 912,
        r#final: true,
    }
}

fn extra() -> std::collections::BTreeMap<String, i64> {
    [("away_red_cards".into(), 1), ("corners".into(), 11)].into()
}

fn outcomes() -> Vec<v1::Outcome> {
    let outcome = |id, back, lay| v1::Outcome {
        id,
        back: Some(back),
        back_quantity: Some(50_000),
        lay: Some(lay),
        lay_quantity: Some(12_550),
        active: Some(true),
        ..Default::default()
    };
    vec![outcome(1, 210, 212), outcome(2, 340, 345), outcome(3, 380, 390)]
}

fn infos() -> Vec<v1::InstrumentInfo> {
    let info = |id, symbol: &str, asset_class: v1::AssetClass, scales: (u32, u32)| v1::InstrumentInfo {
        symbol: symbol.into(),
        id,
        asset_class: asset_class as i32,
        feed: symbol.split('.').next().unwrap_or_default().into(),
        price_scale: scales.0,
        quantity_scale: scales.1,
        ..Default::default()
    };
    vec![
        v1::InstrumentInfo {
            currency: "USD".into(),
            tick_size: Some(1),
            display_name: "Apple Inc.".into(),
            ..info(7, "stock.AAPL", v1::AssetClass::Stock, (2, 0))
        },
        info(8, "crypto.BTC-USD", v1::AssetClass::Crypto, (2, 8)),
        v1::InstrumentInfo {
            outcome_names: [(1, "Arsenal".into()), (2, "Draw".into()), (3, "Chelsea".into())].into(),
            ..info(21, "soccer.epl.ARS-CHE.1x2", v1::AssetClass::SportMarket, (2, 2))
        },
    ]
}

fn feeds() -> Vec<v1::FeedState> {
    vec![
        v1::FeedState {
            feed: "stock".into(),
            health: v1::FeedHealth::Live as i32,
            since_us: NOW_US,
            last_seq: 4_711,
            ..Default::default()
        },
        v1::FeedState {
            feed: "soccer".into(),
            health: v1::FeedHealth::Stale as i32,
            reason: "no sign of life for 3.5 s".into(),
            since_us: NOW_US,
            last_seq: 4_600,
        },
    ]
}

fn controls() -> Vec<(&'static str, Control)> {
    let limits =
        v1::Limits { subscriptions_max: 2_000, message_bytes_max: 65_536, commands_per_s: 10, commands_burst: 40, conflate_ms_min: 0 };
    let welcome = v1::Welcome {
        session: "c-17".into(),
        node: "a".into(),
        epoch: "e5f1".into(),
        limits: Some(limits),
        heartbeat_ms: 5_000,
        rate_classes: vec![0, 50, 100, 250, 500, 1_000, 2_000, 5_000],
        resume: v1::Resume::Fresh as i32,
        server_ts_us: NOW_US,
        window_bytes: 0,
    };
    let granted = v1::SubscribeResult { symbol: "stock.AAPL".into(), id: 7, conflate_ms: 250, ..Default::default() };
    let pattern = v1::SubscribeResult { symbol: "soccer.#".into(), conflate_ms: 250, matched: 2, ..Default::default() };
    let refused = v1::SubscribeResult {
        symbol: "stock.NOPE".into(),
        code: v1::ErrorCode::UnknownSymbol as i32,
        conflate_ms: 0,
        ..Default::default()
    };
    let ack = v1::SubscribeAck { request_id: 1, results: vec![granted, pattern, refused], images_follow: 3 };
    let error = v1::Error {
        request_id: 0,
        code: v1::ErrorCode::BadMessage as i32,
        text: "ping.nonce: is not an integer".into(),
        retry: v1::Retry::Never as i32,
        retry_after_ms: None,
        ..v1::Error::default()
    };
    let limited = v1::Error {
        request_id: 9,
        code: v1::ErrorCode::RateLimited as i32,
        text: "more than 10 commands per second".into(),
        retry: v1::Retry::Later as i32,
        retry_after_ms: Some(1_500),
        ..v1::Error::default()
    };
    vec![
        ("welcome", Control::Welcome(welcome)),
        ("subscribe_ack", Control::SubscribeAck(ack)),
        ("snapshot_complete", Control::SnapshotComplete(v1::SnapshotComplete { request_id: 1 })),
        ("unsubscribe_ack", Control::UnsubscribeAck(v1::UnsubscribeAck { request_id: 2, removed: 1 })),
        ("ack", Control::Ack(v1::Ack { request_id: 3, conflate_ms: 500 })),
        ("heartbeat", Control::Heartbeat(v1::Heartbeat { token: "e5f1:4711".into() })),
        ("gap", Control::Gap(v1::Gap { id: 7, from: 4_700, to: 4_705 })),
        ("notice", Control::Notice(v1::Notice { kind: v1::NoticeKind::Slow as i32, text: "the link is slow".into() })),
        ("error", Control::Error(error)),
        ("error_of_a_request", Control::Error(limited)),
        ("token_expiring", Control::TokenExpiring(v1::TokenExpiring { in_ms: 60_000 })),
        ("goodbye", Control::Goodbye(v1::Goodbye { code: v1::ErrorCode::ShuttingDown as i32, retry_after_ms: 500, spread_ms: 5_000 })),
        ("pong", Control::Pong(v1::Pong { nonce: 42, server_ts_us: NOW_US })),
    ]
}

pub(crate) fn client() -> Vec<(&'static str, v1::ClientFrame)> {
    let symbol = |name: &str| Some(Target::Symbol(name.into()));
    let items = vec![
        v1::SubscribeItem { target: symbol("stock.AAPL"), conflate_ms: Some(250), trades: false },
        v1::SubscribeItem { target: symbol("crypto.BTC-USD"), conflate_ms: Some(0), trades: true },
        v1::SubscribeItem { target: Some(Target::Pattern("soccer.epl.#".into())), conflate_ms: None, trades: false },
    ];
    let hello = v1::Hello { protocol: 1, sdk: "tickwire-rust/0.1.0".into(), ..Default::default() };
    let whole_hello = v1::Hello {
        token: Some("eyJhbGciOiJFZERTQSJ9.e30.c2ln".into()),
        resume: Some("e5f1:4711".into()),
        conflate_ms: Some(250),
        heartbeat_ms: Some(5_000),
        credit: true,
        ..hello.clone()
    };
    let commands = vec![
        ("hello", Command::Hello(hello)),
        ("hello_with_everything", Command::Hello(whole_hello)),
        ("subscribe", Command::Subscribe(v1::Subscribe { items, replace: false })),
        ("subscribe_nothing_else", Command::Subscribe(v1::Subscribe { items: Vec::new(), replace: true })),
        ("unsubscribe", Command::Unsubscribe(v1::Unsubscribe { symbols: vec!["stock.AAPL".into(), "soccer.epl.#".into()], all: false })),
        ("unsubscribe_all", Command::Unsubscribe(v1::Unsubscribe { symbols: Vec::new(), all: true })),
        ("configure", Command::Configure(v1::Configure { conflate_ms: Some(500), paused: None })),
        ("configure_paused", Command::Configure(v1::Configure { conflate_ms: None, paused: Some(true) })),
        ("authenticate", Command::Authenticate(v1::Authenticate { token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln".into() })),
        ("progress", Command::Progress(v1::Progress { cseq: 17 })),
        ("ping", Command::Ping(v1::Ping { nonce: 42 })),
    ];
    (0..).zip(commands).map(|(request_id, (name, command))| (name, v1::ClientFrame { request_id, command: Some(command) })).collect()
}

/// Name, scales of price and quantity, and what a feed wrote.
pub(crate) const FEED: [(&str, [u32; 2], &str); 13] = [
    ("short", [2, 0], r#"{"quote":{"bid":"187.42","ask":"187.44","last":"187.43"}}"#),
    ("short_with_numbers", [2, 0], r#"{"quote":{"bid":187.42,"ask":187.4400,"bid_quantity":1e2,"volume":"48211900"}}"#),
    (
        "short_with_head",
        [2, 0],
        r#"{"quote":{"last":"187.43"},"ts_event_us":"1772461800000000","ts_publish_us":1772461800000250,"publisher":"nyse-1","publisher_seq":"9"}"#,
    ),
    ("short_clear", [2, 0], r#"{"quote":{"bid":null,"bid_quantity":null}}"#),
    ("short_image", [2, 0], r#"{"flags":["IMAGE"],"quote":{"last":"187.43"}}"#),
    ("short_status", [2, 0], r#"{"status":{"phase":"HALTED","reason":"news","resume_us":"1772462100000000"}}"#),
    (
        "short_correction",
        [2, 0],
        r#"{"trade":{"price":"187.00","quantity":"50","trade_id":"T-1","side":"SELL","conditions":[37],"correction":true}}"#,
    ),
    (
        "short_bar",
        [2, 0],
        r#"{"bar":{"start_us":"1772461740000000","length_s":60,"open":"187.30","high":"187.51","low":"187.29","close":"187.43","volume":"120400","trades":"912","final":true}}"#,
    ),
    (
        "short_score",
        [0, 0],
        r#"{"score":{"home":2,"away":1,"period":2,"clock_s":3120,"clock_running":true,"in_play":true,"extra":{"corners":"11"}}}"#,
    ),
    (
        "short_odds",
        [2, 2],
        r#"{"odds":{"outcomes":[{"id":1,"back":"2.10","back_quantity":"500.00","active":true},{"id":2,"lay":null}],"line":"2.5"}}"#,
    ),
    (
        "full",
        [2, 0],
        r#"{"updates":[{"symbol":"stock.AAPL","quote":{"bid":"187.42"}},{"symbol":"stock.MSFT","quote":{"bid":"401.10","ask":null}}],"ts_publish_us":"1772461800000250"}"#,
    ),
    ("alive", [0, 0], r#"{"alive":{"publisher":"nyse-1","interval_ms":1000},"ts_publish_us":"1772461800000250"}"#),
    (
        "info",
        [2, 0],
        r#"{"info":{"symbol":"stock.AAPL","asset_class":"STOCK","price_scale":2,"quantity_scale":0,"currency":"USD","tick_size":"0.01","display_name":"Apple Inc."}}"#,
    ),
];

/// The same for what is refused.
pub(crate) const FEED_REFUSED: [(&str, [u32; 2], &str); 9] = [
    ("too_precise", [2, 0], r#"{"quote":{"bid":"187.425"}}"#),
    ("out_of_range", [2, 0], r#"{"quote":{"bid":1e400}}"#),
    ("not_a_number", [2, 0], r#"{"quote":{"bid":"NaN"}}"#),
    ("wrong_type", [2, 0], r#"{"quote":{"bid":true}}"#),
    ("negative_count", [2, 0], r#"{"score":{"home":-1}}"#),
    ("unknown_phase", [2, 0], r#"{"status":{"phase":"HALTD"}}"#),
    ("two_bodies", [2, 0], r#"{"quote":{"bid":"187.42"},"trade":{"price":"1","quantity":"1"}}"#),
    ("no_body", [2, 0], r#"{"updates":[{"symbol":"stock.AAPL"}]}"#),
    ("second_of_two", [2, 0], r#"{"updates":[{"quote":{"bid":1}},{"odds":{"outcomes":[{"id":1,"back":"x"}]}}]}"#),
];
