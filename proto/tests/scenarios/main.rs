//! Stories of the client session: a small language, virtual time, and the real session with frames of the real codec.
//!
//! Each story runs in both encodings and must tell the same.

mod world;

mod bad_input;
mod connecting;
mod contiguity;
mod one_way;
mod progress;
mod properties;
mod reading;
mod subscribing;
mod tokens;

use expect_test::Expect;
use tickwire_proto::session::SessionConfig;
use tickwire_proto::wire::Encoding;

use world::World;

/// Runs a story and compares what the session did, line by line: `seconds what`.
fn check(story: &str, expected: Expect) {
    check_with(SessionConfig::default(), story, expected);
}

fn check_with(config: SessionConfig, story: &str, expected: Expect) {
    let tell = |encoding| World::new(SessionConfig { encoding, ..config.clone() }).play(story);
    let told = if config.two_way {
        let told = tell(Encoding::Protobuf);
        assert_eq!(told, tell(Encoding::Json), "the encodings tell different stories");
        told
    } else {
        tell(Encoding::Json)
    };
    expected.assert_eq(&told);
}
