//! The table of faults, as docs/testing.md shows it.

use std::io::Write;

use tickwire_proto::planted::Fault;

use super::catcher::Caught;

/// What became of one fault.
pub(crate) struct Row {
    pub(crate) fault: Fault,
    /// Who saw it, and how; as a rule the first alone.
    pub(crate) caught: Vec<(&'static str, Caught)>,
    /// Catchers under which the product broke down instead.
    pub(crate) crashes: Vec<(&'static str, String)>,
}

/// Prints the table, also where the test harness keeps the output of tests to itself.
pub(crate) fn print(rows: &[Row]) {
    let mut out = std::io::stdout().lock();
    let mut line = |text: String| writeln!(out, "{text}").expect("there is an output");
    line(String::from("\n| fault | promise | caught by | seeds | what the check said |\n|---|---|---|---|---|"));
    for Row { fault, caught, crashes } in rows {
        let head = format!("| `{fault:?}`: {} | {:?} |", fault.what().trim().trim_end_matches('.'), fault.promise());
        if caught.is_empty() {
            line(format!("{head} **nothing** | – | |"));
        }
        for (catcher, Caught { test, seeds, message }) in caught {
            let seeds = seeds.map_or(String::from("–"), |seeds| seeds.to_string());
            line(format!("{head} {catcher}: `{test}` | {seeds} | {} |", short(message)));
        }
        for (catcher, what) in crashes {
            line(format!("| | | {catcher} broke down | – | {} |", short(what)));
        }
    }
    line(format!("\n{} of {} faults are caught.", rows.iter().filter(|row| !row.caught.is_empty()).count(), rows.len()));
}

pub(crate) fn name(fault: Fault) -> String {
    format!("{fault:?}")
}

/// As much of a message as a table bears.
fn short(message: &str) -> String {
    let message = message.replace('|', "/");
    match message.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// Letters of a message.
const MESSAGE_MAX: usize = 110;
