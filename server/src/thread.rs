//! Threads that a node cannot do without.

use std::io;
use std::thread::{Builder, JoinHandle};

use tracing::error;

/// Starts one. A panic there ends the process: a node without one of its parts must not look alive.
///
/// # Errors
/// The system refuses a thread.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(move || {
        let _guard = Guard;
        work();
    })
}

/// Ends the process, since one of its threads cannot go on.
pub(crate) fn end_process() -> ! {
    std::process::exit(PANIC_EXIT_CODE)
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(thread = std::thread::current().name(), "a thread panicked; the process ends");
            end_process();
        }
    }
}

/// Exit code after the end of a thread that nobody asked for.
const PANIC_EXIT_CODE: i32 = 70;
