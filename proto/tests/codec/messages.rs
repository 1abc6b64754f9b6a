//! Any message of the schema, in the form that both encodings can say: a field is set or cleared, never both.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tickwire_proto::{Scale, v1};

/// Scales of an instrument, made from its id so that every test knows them.
pub(crate) fn scales(id: u32) -> (Scale, Scale) {
    (Scale::new(id % 13).unwrap(), Scale::new(id / 13 % 13).unwrap())
}

pub(crate) fn server_frame() -> impl Strategy<Value = v1::ServerFrame> {
    (any::<u64>(), any::<u64>(), vec(info(), 0..4), vec(update(), 0..6), vec(feed_state(), 0..3), option::of(control()))
        .prop_map(|(cseq, ts_send_us, infos, updates, feeds, control)| v1::ServerFrame { cseq, ts_send_us, infos, updates, feeds, control })
}

pub(crate) fn info() -> impl Strategy<Value = v1::InstrumentInfo> {
    let texts = (any::<String>(), any::<String>(), any::<String>(), any::<String>());
    let numbers = (any::<u32>(), named(), any::<Option<i64>>());
    (texts, numbers, btree_map(any::<u32>(), any::<String>(), 0..3)).prop_map(
        |((symbol, feed, currency, display_name), (id, asset_class, tick_size), outcome_names)| {
            let (price, quantity) = scales(id);
            let (price_scale, quantity_scale) = (price.places(), quantity.places());
            v1::InstrumentInfo {
                symbol,
                id,
                asset_class,
                feed,
                price_scale,
                quantity_scale,
                currency,
                tick_size,
                display_name,
                outcome_names,
            }
        },
    )
}

pub(crate) fn feed_state() -> impl Strategy<Value = v1::FeedState> {
    (any::<String>(), named(), any::<String>(), any::<u64>(), any::<u64>())
        .prop_map(|(feed, health, reason, since_us, last_seq)| v1::FeedState { feed, health, reason, since_us, last_seq })
}

/// An update as clients get it: its symbol is empty, and `clear` is in order.
pub(crate) fn update() -> impl Strategy<Value = v1::Update> {
    let body = prop_oneof![quote(), trade(), bar(), status(), score(), odds()];
    (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), option::weighted(0.95, body)).prop_map(
        |(id, seq, ts_event_us, merged, flags, body)| {
            let (body, mut clear) = body.map_or((None, Vec::new()), |(body, clear)| (Some(body), clear));
            clear.sort_unstable();
            v1::Update { id, seq, ts_event_us, merged, clear, flags, symbol: String::new(), body }
        },
    )
}

/// The number of an enum's value: most have a name in the schema, some do not.
fn named() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..9_i32, 2 => 1_001..1_006_i32, 1 => any::<i32>()]
}

type BodyAndClear = (v1::update::Body, Vec<u32>);

/// A field that is absent, cleared or set.
fn field<T: core::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = (Option<T>, bool)> {
    (option::of(value), any::<bool>()).prop_map(|(value, cleared)| (value.clone(), cleared && value.is_none()))
}

/// Numbers of the cleared ones among fields 1, 2, 3 ...
fn cleared<const N: usize>(flags: [bool; N]) -> Vec<u32> {
    (1..).zip(flags).filter_map(|(number, cleared)| cleared.then_some(number)).collect()
}

fn quote() -> impl Strategy<Value = BodyAndClear> {
    vec(field(any::<i64>()), 17).prop_map(|fields| {
        let value = |number: usize| fields[number - 1].0;
        let quote = v1::Quote {
            bid: value(1),
            bid_quantity: value(2),
            ask: value(3),
            ask_quantity: value(4),
            last: value(5),
            last_quantity: value(6),
            last_ts_us: value(7).map(|time| time as u64),
            volume: value(8),
            turnover: value(9),
            trades: value(10).map(|count| count as u64),
            open: value(11),
            high: value(12),
            low: value(13),
            previous_close: value(14),
            settlement: value(15),
            interval_high: value(16),
            interval_low: value(17),
        };
        let clear = (1..).zip(&fields).filter_map(|(number, (_, cleared))| cleared.then_some(number)).collect();
        (v1::update::Body::Quote(quote), clear)
    })
}

fn trade() -> impl Strategy<Value = BodyAndClear> {
    (any::<(i64, i64)>(), any::<String>(), named(), vec(any::<u32>(), 0..4), any::<(bool, bool)>()).prop_map(
        |((price, quantity), trade_id, side, conditions, (correction, bust))| {
            let trade = v1::Trade { price, quantity, trade_id, side, conditions, correction, bust };
            (v1::update::Body::Trade(trade), Vec::new())
        },
    )
}

fn bar() -> impl Strategy<Value = BodyAndClear> {
    any::<((u64, u32), [i64; 5], (u64, bool))>().prop_map(|((start_us, length_s), [open, high, low, close, volume], (trades, last))| {
        let bar = v1::Bar { start_us, length_s, open, high, low, close, volume, trades, r#final: last };
        (v1::update::Body::Bar(bar), Vec::new())
    })
}

fn status() -> impl Strategy<Value = BodyAndClear> {
    (named(), any::<String>(), field(any::<u64>())).prop_map(|(phase, reason, (resume_us, unknown))| {
        let status = v1::Status { phase, reason, resume_us };
        (v1::update::Body::Status(status), if unknown { vec![3] } else { Vec::new() })
    })
}

fn score() -> impl Strategy<Value = BodyAndClear> {
    let counts = (field(any::<u32>()), field(any::<u32>()), field(any::<u32>()), field(any::<u32>()));
    let flags = (field(any::<bool>()), field(any::<bool>()), field(any::<bool>()));
    (counts, flags, btree_map(any::<String>(), any::<i64>(), 0..4), any::<bool>()).prop_map(
        |((home, away, period, clock), (running, in_play, last), extra, no_extra)| {
            let no_extra = no_extra && extra.is_empty();
            let clear = cleared([home.1, away.1, period.1, clock.1, running.1, in_play.1, last.1, no_extra]);
            let score = v1::Score {
                home: home.0,
                away: away.0,
                period: period.0,
                clock_s: clock.0,
                clock_running: running.0,
                in_play: in_play.0,
                r#final: last.0,
                extra,
            };
            (v1::update::Body::Score(score), clear)
        },
    )
}

fn odds() -> impl Strategy<Value = BodyAndClear> {
    // An id below 2^28: a greater one has no numbers in `clear`.
    let outcomes = btree_map(1..1_u32 << 28, outcome(), 0..5);
    (outcomes, field(any::<i64>()), field(any::<i64>()), any::<bool>()).prop_map(|(outcomes, line, matched, none)| {
        let mut clear = cleared([none && outcomes.is_empty(), line.1, matched.1]);
        let mut listed = Vec::new();
        for (id, (outcome, fields)) in outcomes {
            clear.extend(fields.iter().map(|number| id * 16 + number));
            let empty = outcome == v1::Outcome::default();
            if !empty || fields.is_empty() {
                listed.push(v1::Outcome { id, ..outcome });
            }
        }
        (v1::update::Body::Odds(v1::Odds { outcomes: listed, line: line.0, matched: matched.0 }), clear)
    })
}

fn outcome() -> impl Strategy<Value = (v1::Outcome, Vec<u32>)> {
    (vec(field(any::<i64>()), 5), field(any::<bool>()), field(any::<u32>())).prop_map(|(prices, active, result)| {
        let clear = cleared([false, prices[0].1, prices[1].1, prices[2].1, prices[3].1, prices[4].1, active.1, result.1]);
        let outcome = v1::Outcome {
            id: 0,
            back: prices[0].0,
            back_quantity: prices[1].0,
            lay: prices[2].0,
            lay_quantity: prices[3].0,
            last: prices[4].0,
            active: active.0,
            result: result.0,
        };
        (outcome, clear)
    })
}

pub(crate) fn control() -> impl Strategy<Value = v1::server_frame::Control> {
    use v1::server_frame::Control;
    let result = (any::<String>(), any::<[u32; 3]>(), named()).prop_map(|(symbol, [id, conflate_ms, matched], code)| v1::SubscribeResult {
        symbol,
        id,
        code,
        conflate_ms,
        matched,
    });
    prop_oneof![
        welcome().prop_map(Control::Welcome),
        (any::<[u32; 2]>(), vec(result, 0..4)).prop_map(|([request_id, images_follow], results)| Control::SubscribeAck(v1::SubscribeAck {
            request_id,
            results,
            images_follow
        })),
        any::<u32>().prop_map(|request_id| Control::SnapshotComplete(v1::SnapshotComplete { request_id })),
        any::<[u32; 2]>().prop_map(|[request_id, removed]| Control::UnsubscribeAck(v1::UnsubscribeAck { request_id, removed })),
        any::<[u32; 2]>().prop_map(|[request_id, conflate_ms]| Control::Ack(v1::Ack { request_id, conflate_ms })),
        any::<String>().prop_map(|token| Control::Heartbeat(v1::Heartbeat { token })),
        any::<(u32, u64, u64)>().prop_map(|(id, from, to)| Control::Gap(v1::Gap { id, from, to })),
        (named(), any::<String>()).prop_map(|(kind, text)| Control::Notice(v1::Notice { kind, text })),
        (any::<u32>(), named(), any::<[String; 2]>(), named(), any::<Option<u32>>()).prop_map(
            |(request_id, code, [text, epoch], retry, retry_after_ms)| Control::Error(v1::Error {
                request_id,
                code,
                text,
                retry,
                retry_after_ms,
                epoch
            })
        ),
        any::<u32>().prop_map(|in_ms| Control::TokenExpiring(v1::TokenExpiring { in_ms })),
        (named(), any::<u32>(), any::<u32>()).prop_map(|(code, retry_after_ms, spread_ms)| Control::Goodbye(v1::Goodbye {
            code,
            retry_after_ms,
            spread_ms
        })),
        any::<(u64, u64)>().prop_map(|(nonce, server_ts_us)| Control::Pong(v1::Pong { nonce, server_ts_us })),
    ]
}

fn welcome() -> impl Strategy<Value = v1::Welcome> {
    let limits = any::<[u32; 5]>().prop_map(|[subscriptions_max, message_bytes_max, commands_per_s, commands_burst, conflate_ms_min]| {
        v1::Limits { subscriptions_max, message_bytes_max, commands_per_s, commands_burst, conflate_ms_min }
    });
    (any::<[String; 3]>(), option::of(limits), any::<[u32; 2]>(), vec(any::<u32>(), 0..9), (named(), any::<u64>())).prop_map(
        |([session, node, epoch], limits, [heartbeat_ms, window_bytes], rate_classes, (resume, server_ts_us))| v1::Welcome {
            session,
            node,
            epoch,
            limits,
            heartbeat_ms,
            rate_classes,
            resume,
            server_ts_us,
            window_bytes,
        },
    )
}

pub(crate) fn client_frame() -> impl Strategy<Value = v1::ClientFrame> {
    (any::<u32>(), command()).prop_map(|(request_id, command)| v1::ClientFrame { request_id, command: Some(command) })
}

fn command() -> impl Strategy<Value = v1::client_frame::Command> {
    use v1::client_frame::Command;
    use v1::subscribe_item::Target;
    let target = prop_oneof![any::<String>().prop_map(Target::Symbol), any::<String>().prop_map(Target::Pattern)];
    let item = (option::of(target), any::<Option<u32>>(), any::<bool>()).prop_map(|(target, conflate_ms, trades)| v1::SubscribeItem {
        target,
        conflate_ms,
        trades,
    });
    let hello = (any::<(u32, String)>(), any::<[Option<String>; 2]>(), any::<[Option<u32>; 2]>(), any::<bool>()).prop_map(
        |((protocol, sdk), [token, resume], [conflate_ms, heartbeat_ms], credit)| v1::Hello {
            protocol,
            sdk,
            token,
            resume,
            conflate_ms,
            heartbeat_ms,
            credit,
        },
    );
    prop_oneof![
        hello.prop_map(Command::Hello),
        (vec(item, 0..4), any::<bool>()).prop_map(|(items, replace)| Command::Subscribe(v1::Subscribe { items, replace })),
        (vec(any::<String>(), 0..4), any::<bool>()).prop_map(|(symbols, all)| Command::Unsubscribe(v1::Unsubscribe { symbols, all })),
        any::<(Option<u32>, Option<bool>)>().prop_map(|(conflate_ms, paused)| Command::Configure(v1::Configure { conflate_ms, paused })),
        any::<String>().prop_map(|token| Command::Authenticate(v1::Authenticate { token })),
        any::<u64>().prop_map(|cseq| Command::Progress(v1::Progress { cseq })),
        any::<u64>().prop_map(|nonce| Command::Ping(v1::Ping { nonce })),
    ]
}
