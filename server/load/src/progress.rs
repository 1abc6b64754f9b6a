//! What is said while it runs: one line that changes on a terminal, otherwise a line now and then.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Says on stderr how far it is.
#[derive(Debug)]
pub struct Progress {
    prefix: &'static str,
    terminal: bool,
    told_at: Option<Instant>,
    /// Whether an unfinished line stands on the terminal.
    open: bool,
}

impl Progress {
    /// Lines begin with `prefix`.
    pub fn new(prefix: &'static str) -> Self {
        Self { prefix, terminal: stderr().is_terminal(), told_at: None, open: false }
    }

    /// Says nothing.
    pub fn silent() -> Self {
        Self { prefix: "", terminal: false, told_at: None, open: false }
    }

    /// A step of its own: always said, on a line of its own unless the terminal's line changes.
    pub fn step(&mut self, line: &str) {
        self.write(line);
    }

    /// How it goes. Said often on a terminal, otherwise every 5 s.
    pub fn update(&mut self, line: impl FnOnce() -> String) {
        let every = if self.terminal { TERMINAL_EVERY } else { LINE_EVERY };
        if self.told_at.is_none_or(|at| at.elapsed() >= every) {
            self.write(&line());
        }
    }

    /// Ends the line that changes, so that something else can be printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.open) {
            // Nobody to tell is no reason to stop measuring.
            let _ = stderr().write_all(b"\r\x1b[K");
        }
    }

    fn write(&mut self, line: &str) {
        self.told_at = Some(Instant::now());
        if self.prefix.is_empty() {
            return;
        }
        let prefix = self.prefix;
        let text = if self.terminal { format!("\r\x1b[K{prefix}: {line}") } else { format!("{prefix}: {line}\n") };
        self.open = self.terminal;
        let _ = stderr().write_all(text.as_bytes()).and_then(|()| stderr().flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How often the line on a terminal changes.
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(5);
