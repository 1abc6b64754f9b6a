//! What can wait until the engine is looked at by itself, so that nobody has to wake a shard for it.

use std::time::Duration;

use tickwire_core::engine::EngineConfig;
use tickwire_core::{Batch, InstrumentId};

use super::script;
use super::world::{World, config};

/// Runs a script and tells whether changes of `s.A` can wait then.
fn waits_after(script: &str) -> bool {
    waits_in(World::new(config()), script)
}

fn waits_in(mut world: World, script: &str) -> bool {
    world.clients.quiet = true;
    script::run(&mut world, "new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1\nopen a");
    script::run(&mut world, script);
    world.engine.lets_wait(InstrumentId(1))
}

#[test]
fn who_has_no_subscriber_can_wait_once_it_is_known() {
    assert!(waits_after(""));
    assert!(waits_after("sub a s.B@0"), "of another");
    assert!(!waits_after("sub a s.A@5000"), "the first change leaves at once");
    assert!(waits_after("sub a s.A@0; quote s.A 2 bid=2; unsub a s.A\nquote s.A 3 bid=3"), "nobody is left");
}

#[test]
fn a_lane_waits_from_its_second_change_to_the_end_of_its_interval() {
    let story =
        ["sub a s.A@100", "wait 30", "quote s.A 2 bid=2", "wait 10", "quote s.A 3 bid=3", "wait 50", "quote s.A 4 bid=4", "wait 41"];
    let after: Vec<bool> = (1..=story.len()).map(|n| waits_after(&story[..n].join("\n"))).collect();
    assert_eq!(
        after,
        [false, false, false, false, true, true, true, true],
        "until it is due, which an eighth may be later than the interval"
    );
    assert!(!waits_after(&[&story[..], &["wait 30"]].concat().join("\n")), "it has spoken");
}

#[test]
fn one_lane_that_does_not_wait_is_enough() {
    assert!(!waits_after("sub a s.A@100; open b; sub b s.A@0\nquote s.A 2 bid=2\nquote s.A 3 bid=3"));
    assert!(!waits_after("sub a s.A@100\nquote s.A 2 bid=2\nquote s.A 3 bid=3\nopen b; sub b s.A@250"), "a newcomer has had nothing yet");
}

#[test]
fn what_is_held_for_everyone_can_wait_from_beat_to_beat() {
    let waits = |script: &str| {
        let world = World::new(EngineConfig { paced: true, ..config() });
        waits_in(world, &format!("sub a s.A@100 s.B@100\nwait 1030\n{script}"))
    };
    assert!(!waits("wait 60"), "nobody was told anything since the beat");
    assert!(waits("quote s.B 2 bid=2\nwait 69"));
    assert!(!waits("quote s.B 2 bid=2\nwait 70"), "this is the next");
    let busy = "quote s.B 2 bid=2\nwait 10\nquote s.B 3 bid=3\nwait 60";
    assert!(waits(busy), "everyone was told something at the beat");
    assert!(waits(&format!("{busy}\nwait 99")));
    assert!(!waits(&format!("{busy}\nwait 100")), "and nothing at the next");
    assert!(!waits(&format!("{busy}\nopen b; sub b s.A@100")), "nobody knows what a newcomer was told");
    assert!(!waits(&format!("open b; sub b s.A@100\nwait 100\n{busy}")), "one who was silent is enough");
    assert!(waits(&format!("open b; sub b s.A@100 s.B@100\nwait 100\n{busy}")));
    assert!(!waits(&format!("open b; sub b s.A@0 s.B@0\nwait 100\n{busy}")), "who wants every change gets it");
}

#[test]
fn what_may_be_an_event_never_waits() {
    let waits = |script: &str| {
        let mut world = World::new(config());
        script::run(&mut world, "new s.A");
        for command in script.split(';') {
            script::push(&mut world, command);
        }
        std::mem::take(&mut world.batch).can_wait(|id| id == InstrumentId(1))
    };
    for script in [
        "quote s.A 2 bid=1",
        "quote s.A 2 clear=1 image",
        "trade s.A 2 price=1; position 3",
        "bar s.A 2 close=1",
        "score s.A 2 home=1",
        "odds s.A 2 1:back=5",
    ] {
        assert!(waits(script), "{script}");
    }
    for script in [
        "quote s.A 2 bid=1; status s.A 2 HALTED",
        "quote s.A 2 bid=1 event",
        "quote s.A 2 bid=1 corrects",
        "trade s.A 2 price=1 bust",
        "trade s.A 2 price=1 correction",
        "bar s.A 2 final",
        "score s.A 2 final=true",
        "score s.A 2 final=false",
        "score s.A 2 home=1 clear=7",
        "score s.A 2 home=1 image",
        "odds s.A 2 1:result=1",
        "odds s.A 2 1:active=true",
        "odds s.A 2 1:back=5 clear=24",
        "odds s.A 2 1:back=5 image",
        "feed f LIVE",
        "lost 1 3",
        "reset other",
        "synced",
        "new s.A price_scale=3",
        "events s.A event=1 trade=1",
    ] {
        assert!(!waits(script), "{script}");
    }
    assert!(Batch::default().can_wait(|_| false), "nothing can wait");
}

#[test]
fn a_copy_of_the_answers_is_kept_by_what_has_changed() {
    let mut world = World::new(config());
    world.clients.quiet = true;
    let symbols: Vec<String> = (1..=200).map(|n| format!("s.{n}")).collect();
    let names = symbols.iter().map(|symbol| format!("new {symbol}")).collect::<Vec<_>>().join("; ");
    script::run(&mut world, &format!("{names}\nopen a\nsub a s.7@50 s.70@100 s.170@0"));
    let mut copy = [0_u64; 4];
    for turn in 0..400_u64 {
        let symbol = &symbols[(turn * 37 % 200) as usize];
        script::run(&mut world, &format!("quote {symbol} {} bid={turn}; quote s.70 {} bid={turn}", turn + 1, turn + 1));
        world.wait(Duration::from_millis(turn % 9));
        world.engine.take_waits(&mut |word, bits| copy[word] = bits);
        for id in 1..=200_u32 {
            assert_eq!(
                copy[id as usize / 64] >> (id % 64) & 1 == 1,
                world.engine.lets_wait(InstrumentId(id)),
                "instrument {id} in turn {turn}"
            );
        }
    }
}
