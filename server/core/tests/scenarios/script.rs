//! The language of the stories; see the crate's documentation.

use std::time::Duration;

use tickwire_core::{Entry, InstrumentId};
use tickwire_proto::Pattern;
use tickwire_proto::v1::{self, FeedHealth, TradingPhase, UpdateFlag, client_frame::Command, subscribe_item::Target, update::Body};
use tickwire_proto::wire::Encoding;

use super::world::{World, grant_of};

/// Runs a script. Panics on what it does not understand.
pub(crate) fn run(world: &mut World, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(ms) = line.strip_prefix("wait ") {
            world.wait(Duration::from_millis(ms.parse().expect("milliseconds")));
            continue;
        }
        for command in line.split(';') {
            let words: Vec<_> = command.split_whitespace().collect();
            self::command(world, &words);
        }
        world.flush();
    }
}

/// Adds an entry to the batch without applying it.
pub(crate) fn push(world: &mut World, command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let entry = entry(world, words[0], &words[1..]).unwrap_or_else(|| panic!("no entry: {command}"));
    world.batch.entries.push(entry);
}

fn command(world: &mut World, words: &[&str]) {
    let [verb, rest @ ..] = words else { panic!("empty command") };
    if let Some(entry) = entry(world, verb, rest) {
        world.batch.entries.push(entry);
        return;
    }
    // Entries that came before on this line happened before.
    world.apply();
    match (*verb, rest) {
        ("attach", [name, options @ ..]) => attach(world, name, options),
        ("open", [name, options @ ..]) => {
            let options = if options.iter().any(|option| option.starts_with("token=")) {
                options.to_vec()
            } else {
                [options, &["token=all"]].concat()
            };
            let json: Vec<_> = options.iter().copied().filter(|option| *option == "json").collect();
            attach(world, name, &json);
            send(world, name, Command::Hello(hello(&options)));
        }
        ("sse", [name, options @ ..]) => {
            let hello = hello(options);
            let items = options.iter().filter(|option| !option.contains('=')).map(|option| item(option)).collect();
            let grant = grant_of("all", 0);
            world.attach(name, Encoding::Json, grant, Some((hello, v1::Subscribe { items, replace: false })));
        }
        ("hello", [name, options @ ..]) => send(world, name, Command::Hello(hello(options))),
        ("sub", [name, options @ ..]) => {
            let items = options.iter().filter(|option| **option != "replace").map(|option| item(option)).collect();
            send(world, name, Command::Subscribe(v1::Subscribe { items, replace: options.contains(&"replace") }));
        }
        ("unsub", [name, "all"]) => send(world, name, Command::Unsubscribe(v1::Unsubscribe { all: true, ..Default::default() })),
        ("unsub", [name, symbols @ ..]) => {
            let symbols = symbols.iter().map(|symbol| symbol.to_string()).collect();
            send(world, name, Command::Unsubscribe(v1::Unsubscribe { symbols, all: false }));
        }
        ("configure", [name, options @ ..]) => {
            send(world, name, Command::Configure(v1::Configure { conflate_ms: option(options, "conflate"), paused: None }));
        }
        ("pause", [name]) => send(world, name, Command::Configure(v1::Configure { paused: Some(true), ..Default::default() })),
        ("go", [name]) => send(world, name, Command::Configure(v1::Configure { paused: Some(false), ..Default::default() })),
        ("auth", [name, token]) => send(world, name, Command::Authenticate(v1::Authenticate { token: token.to_string() })),
        ("ping", [name, nonce]) => send(world, name, Command::Ping(v1::Ping { nonce: nonce.parse().expect("a nonce") })),
        ("progress", [name]) => {
            let cseq = world.client(name).cseq;
            send(world, name, Command::Progress(v1::Progress { cseq }));
        }
        ("progress", [name, cseq]) => {
            send(world, name, Command::Progress(v1::Progress { cseq: cseq.parse().expect("a number of a frame") }));
        }
        ("watch", [name]) => assert!(world.engine.watch(world.now, world.key(name)), "there is credit for {name}"),
        ("unwatch", [name]) => world.engine.unwatch(world.now, world.key(name)),
        ("reached", [name]) => world.engine.reached(world.now, world.key(name), world.client(name).cseq),
        ("raw", [name, text]) => world.send_raw(name, text.as_bytes()),
        ("block", [name]) => world.client_mut(name).jammed = true,
        ("unblock", [name]) => world.unblock(name),
        ("detach", [name]) => world.engine.detach(world.key(name)),
        ("reject", [name]) => world.engine.reject(world.now, world.key(name), v1::ErrorCode::MessageTooLarge, "message is too large"),
        ("drain", []) => world.engine.drain(world.now, Duration::from_secs(1), Duration::from_secs(20)),
        _ => panic!("unknown command {words:?}"),
    }
}

fn attach(world: &mut World, name: &str, options: &[&str]) {
    let encoding = if options.contains(&"json") { Encoding::Json } else { Encoding::Protobuf };
    let grant = option::<String>(options, "token").map(|token| grant_of(&token, 1_000).expect("a known token"));
    world.attach(name, encoding, grant, None);
}

fn send(world: &mut World, name: &str, command: Command) {
    world.send(name, &v1::ClientFrame { request_id: 1, command: Some(command) });
}

fn hello(options: &[&str]) -> v1::Hello {
    v1::Hello {
        protocol: option(options, "protocol").unwrap_or(1),
        sdk: "story".into(),
        token: option(options, "token"),
        resume: option(options, "resume"),
        conflate_ms: Some(option(options, "conflate").unwrap_or(0)),
        heartbeat_ms: option(options, "heartbeat"),
        credit: option(options, "credit").unwrap_or(false),
    }
}

/// `SYMBOL`, `SYMBOL@100`, `PATTERN@100+trades`.
fn item(text: &str) -> v1::SubscribeItem {
    let (text, trades) = text.strip_suffix("+trades").map_or((text, false), |text| (text, true));
    let (name, conflate_ms) = text.split_once('@').map_or((text, None), |(name, ms)| (name, Some(ms.parse().expect("milliseconds"))));
    let target = if Pattern::is_wild(name) { Target::Pattern(name.into()) } else { Target::Symbol(name.into()) };
    v1::SubscribeItem { target: Some(target), conflate_ms, trades }
}

fn entry(world: &mut World, verb: &str, rest: &[&str]) -> Option<Entry> {
    Some(match (verb, rest) {
        ("new", [symbol, options @ ..]) => {
            let known = world.instruments.iter().position(|info| info.symbol == *symbol);
            let id = known.map_or(world.instruments.len(), |index| index) as u32 + 1;
            let price_scale = option(options, "price_scale").unwrap_or(2);
            let quantity_scale = option(options, "quantity_scale").unwrap_or(0);
            let info =
                v1::InstrumentInfo { symbol: symbol.to_string(), id, feed: "f".into(), price_scale, quantity_scale, ..Default::default() };
            match known {
                Some(index) => world.instruments[index] = info.clone(),
                None => world.instruments.push(info.clone()),
            }
            Entry::Instrument(info)
        }
        ("synced", []) => Entry::Synced,
        ("reset", [epoch]) => Entry::Reset { epoch: epoch.to_string() },
        ("lost", [from, to]) => Entry::Gap { from: from.parse().expect("a position"), to: to.parse().expect("a position") },
        ("position", [seq]) => Entry::Position(seq.parse().expect("a position")),
        ("events", [symbol, positions @ ..]) => {
            let newest = v1::EventPositions { event_seq: option(positions, "event"), trade_seq: option(positions, "trade") };
            Entry::Events { id: InstrumentId(world.id(symbol)), newest }
        }
        ("feed", [feed, health]) => {
            let health = FeedHealth::from_str_name(health).expect("a health") as i32;
            Entry::Feed(v1::FeedState { feed: feed.to_string(), health, ..Default::default() })
        }
        ("quote" | "status" | "score" | "odds" | "bar" | "trade", [symbol, seq, fields @ ..]) => {
            let mut update = v1::Update { id: world.id(symbol), seq: seq.parse().expect("a position"), ..Default::default() };
            update.ts_event_us = 1_000_000_000 + world.now.as_micros();
            update.clear = fields.iter().filter_map(|field| field.strip_prefix("clear=")).map(|n| n.parse().expect("a number")).collect();
            for (word, flag) in [("image", UpdateFlag::Image), ("event", UpdateFlag::Event), ("corrects", UpdateFlag::Correction)] {
                update.flags |= if fields.contains(&word) { flag as u32 } else { 0 };
            }
            update.body = Some(body(verb, fields));
            Entry::Update(update)
        }
        _ => return None,
    })
}

fn body(verb: &str, fields: &[&str]) -> Body {
    match verb {
        "quote" => Body::Quote(v1::Quote {
            bid: option(fields, "bid"),
            ask: option(fields, "ask"),
            last: option(fields, "last"),
            volume: option(fields, "volume"),
            ..Default::default()
        }),
        "status" => {
            let phase = TradingPhase::from_str_name(fields[0]).expect("a phase") as i32;
            Body::Status(v1::Status { phase, ..Default::default() })
        }
        "score" => Body::Score(v1::Score {
            home: option(fields, "home"),
            away: option(fields, "away"),
            period: option(fields, "period"),
            clock_s: option(fields, "clock"),
            r#final: option(fields, "final"),
            ..Default::default()
        }),
        "odds" => {
            let outcomes = fields.iter().filter_map(|field| field.split_once(':')).map(|(id, fields)| {
                let fields: Vec<_> = fields.split(',').collect();
                v1::Outcome {
                    id: id.parse().expect("an outcome id"),
                    back: option(&fields, "back"),
                    active: option(&fields, "active"),
                    result: option(&fields, "result"),
                    ..Default::default()
                }
            });
            Body::Odds(v1::Odds { outcomes: outcomes.collect(), ..Default::default() })
        }
        "bar" => Body::Bar(v1::Bar {
            length_s: option(fields, "length").unwrap_or(60),
            start_us: option(fields, "start").unwrap_or(0),
            close: option(fields, "close").unwrap_or(0),
            r#final: fields.contains(&"final"),
            ..Default::default()
        }),
        _ => Body::Trade(v1::Trade {
            price: option(fields, "price").unwrap_or(0),
            quantity: option(fields, "quantity").unwrap_or(1),
            correction: fields.contains(&"correction"),
            bust: fields.contains(&"bust"),
            ..Default::default()
        }),
    }
}

/// The value of `name=value` among the words.
fn option<T: std::str::FromStr>(words: &[&str], name: &str) -> Option<T> {
    let text = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not understood")))
}
