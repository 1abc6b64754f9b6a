//! Stories of the engine, in virtual time: a script of what happens, and what every client is told.
//!
//! A line of a script is one moment: its commands, separated by `;`, happen together, then the engine flushes. `wait 100` lets 100 ms
//! pass and flushes whenever the engine asks for it. The transcript says when (ms) and to whom each frame went.
//!
//! | command | what happens |
//! |---|---|
//! | `new SYMBOL [price_scale=2] [quantity_scale=0]` | an instrument is announced (again) |
//! | `quote SYMBOL SEQ bid=1 last=2 clear=3 image event` | an update; alike `status`, `score`, `odds`, `bar`, `trade` |
//! | `events SYMBOL event=5 trade=7` | the images before it, of a checkpoint, stand for no newer events |
//! | `feed NAME LIVE`, `position SEQ`, `lost FROM TO`, `reset EPOCH`, `synced` | other entries of a batch |
//! | `attach A [json] [token=T]`, `hello A conflate=100 heartbeat=1000 resume=log:7 token=T credit=true`, `open A …` for both | a client comes |
//! | `sse A SYMBOL… conflate=100 resume=log:7` | a one-way client comes |
//! | `sub A SYMBOL@100 PATTERN@0+trades [replace]`, `unsub A SYMBOL…`, `unsub A all` | it subscribes |
//! | `configure A conflate=500`, `pause A`, `go A`, `ping A 7`, `progress A [CSEQ]` (else the newest), `auth A T`, `raw A TEXT` | its other commands |
//! | `block A`, `unblock A`, `detach A`, `reject A`, `drain` | its socket, and the shell |
//!
//! Token `all` covers everything, `stock` covers `stock.#`, `slow` is clamped to 500 ms, `two` to two instruments, `other` is another
//! subject, `short` lives 10 s, `long` 1,000 s; anything else is refused. A world begins synced in epoch `log` unless told otherwise.

mod conflation;
mod credit;
mod decimals;
mod events;
mod limits;
mod merging;
mod paced;
mod pages;
mod patterns;
mod properties;
mod rates;
mod replay;
mod resume;
mod scales;
mod script;
mod session;
mod slow;
mod snapshots;
mod sports;
mod trades;
mod transcript;
mod waiting;
mod world;

use world::World;

/// Runs `script` in a synced world with the default settings and compares what the clients were told.
fn check(script: &str, expected: expect_test::Expect) {
    check_in(World::new(world::config()), script, expected);
}

/// Runs `script` in `world`.
fn check_in(mut world: World, script: &str, expected: expect_test::Expect) {
    script::run(&mut world, script);
    expected.assert_eq(&world.transcript());
}
