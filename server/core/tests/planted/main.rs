//! Planted faults: whoever proves the engine and the session is put to the proof. Each fault of `tickwire_proto::planted` goes, one at a
//! time, through the tests that hold the promises, cheapest first; one that no test sees fails this test.
//!
//! `cargo test -p tickwire-core --features planted-faults --test planted`; `FAULT=DropEvent` tries one alone and tells all.
//!
//! The tests run in processes of their own (this binary again, with the fault's name in `PLANTED`): the switch is one for a whole process,
//! and a fault that makes it hang is cut off.

mod catcher;
mod table;

// What catches: the same stories and worlds that run without faults elsewhere.
#[path = "../scenarios/main.rs"]
mod engine_stories;
#[path = "../links/main.rs"]
#[allow(dead_code, reason = "links whose clients report are tried elsewhere")]
mod links;
#[path = "../../../../proto/tests/scenarios/main.rs"]
mod session_stories;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tickwire_proto::planted::Fault;

use catcher::{CATCHERS, Verdict};
use table::Row;

#[test]
fn every_planted_fault_is_caught() {
    let wanted = std::env::var("FAULT").ok();
    let faults: Vec<Fault> =
        Fault::ALL.iter().copied().filter(|fault| wanted.as_ref().is_none_or(|name| *name == table::name(*fault))).collect();
    assert!(!faults.is_empty(), "FAULT={wanted:?} names no fault");
    for catcher in &CATCHERS {
        let verdict = catcher.run("");
        assert!(matches!(verdict, Verdict::Content), "without a fault, {} fails: {verdict:?}", catcher.name);
    }
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = try_out(*fault, wanted.is_some());
                    rows.lock().expect("no thread panics with it").push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no thread panics with it");
    rows.sort_by_key(|row| row.fault as usize);
    table::print(&rows);
    let survivors: Vec<Fault> = rows.iter().filter(|row| row.caught.is_empty()).map(|row| row.fault).collect();
    assert!(survivors.is_empty(), "nothing sees these faults: {survivors:?}");
}

/// Lets the catchers at one fault until the first sees it, or until all have tried.
fn try_out(fault: Fault, by_all: bool) -> Row {
    let mut row = Row { fault, caught: Vec::new(), crashes: Vec::new() };
    for catcher in &CATCHERS {
        match catcher.run(&table::name(fault)) {
            Verdict::Content => {}
            Verdict::Caught(caught) => {
                row.caught.push((catcher.name, caught));
                if !by_all {
                    break;
                }
            }
            // A fault that breaks the product down is not the same as one that is seen.
            Verdict::Crashed(what) => row.crashes.push((catcher.name, what)),
        }
    }
    row
}

/// Faults that are tried at the same time.
const PROCESSES: usize = 2;
