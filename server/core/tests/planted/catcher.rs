//! A catcher: some tests of this binary, run in another process with a fault planted, and what they made of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tests that hold promises.
pub(crate) struct Catcher {
    /// As the table names it.
    pub(crate) name: &'static str,
    /// What the names of its tests begin with.
    tests: &'static str,
}

/// What a catcher makes of a fault.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// All is well, as far as it can see.
    Content,
    /// One of its own checks failed.
    Caught(Caught),
    /// The product itself panicked, or never came back.
    Crashed(String),
}

/// How a fault was seen.
#[derive(Debug)]
pub(crate) struct Caught {
    /// The test.
    pub(crate) test: String,
    /// How many seeds it took, where there are seeds.
    pub(crate) seeds: Option<u64>,
    /// What the check said.
    pub(crate) message: String,
}

impl Catcher {
    /// Runs the tests with `fault` planted; an empty name plants none.
    pub(crate) fn run(&self, fault: &str) -> Verdict {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-{fault}.log"));
        match self.run_into(fault, &log) {
            Some(true) => Verdict::Content,
            Some(false) => judge(&std::fs::read_to_string(&log).expect("the log is text")),
            None => Verdict::Crashed(format!("did not end within {TIME_MAX:?}")),
        }
    }

    /// Whether all tests passed; `None` if they did not end in time.
    fn run_into(&self, fault: &str, log: &PathBuf) -> Option<bool> {
        let out = File::create(log).expect("the target folder can be written");
        let mut child = Command::new(std::env::current_exe().expect("this test has a file"))
            .args([self.tests, "--test-threads=1", "--include-ignored"])
            .env("PLANTED", fault)
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            // One failure is enough; the smallest is not asked for.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env_remove("UPDATE_EXPECT")
            .env_remove("SEED")
            .env_remove("SEEDS")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file can be shared"))
            .stderr(out)
            .spawn()
            .expect("this test can start itself");
        let until = Instant::now() + TIME_MAX;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return Some(status.success());
            }
            if Instant::now() >= until {
                child.kill().expect("a child can be ended");
                child.wait().expect("a killed child ends");
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads what the test harness printed about failed tests: the first whose own check failed counts.
fn judge(log: &str) -> Verdict {
    let mut crashed = String::from("the tests ended without a word");
    for section in log.split("\n---- ").skip(1) {
        let (test, text) = section.split_once(" stdout ----\n").unwrap_or(("", section));
        let (is_check, message) = cause(text);
        if is_check {
            let number = text.rsplit_once("SEED=").map(|(_, rest)| rest.split(|letter: char| !letter.is_ascii_digit()).next());
            let seeds = number.flatten().and_then(|number| number.parse().ok());
            let test = test.rsplit_once("::").map_or(test, |(_, name)| name).to_string();
            return Verdict::Caught(Caught { test, seeds, message });
        }
        crashed = message;
    }
    Verdict::Crashed(crashed)
}

/// Why a test failed: whether it was a check of the tests, and its message.
fn cause(text: &str) -> (bool, String) {
    let Some((_, panic)) = text.split_once(" panicked at ") else {
        return (text.contains("expect test failed"), difference(text));
    };
    let (place, message) = panic.split_once(":\n").unwrap_or((panic, ""));
    let is_check = place.contains("tests/");
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    // What the two sides of an `assert_eq!` are is in the lines after it.
    let sides: Vec<&str> = lines.take_while(|line| line.starts_with("left:") || line.starts_with("right:")).collect();
    let message = [&[first], sides.as_slice()].concat().join(" ");
    (is_check, if is_check { message } else { format!("{place}: {message}") })
}

/// The first line in which a story differs from what was expected; such tests fail without a panic.
fn difference(text: &str) -> String {
    let part = |name: &str| {
        let (_, part) = text.split_once(&format!("{name}\u{1b}[0m:\n----\n")).unwrap_or_default();
        part.split("\n----\n").next().unwrap_or_default().lines().map(str::to_string).chain([String::from("nothing")]).collect::<Vec<_>>()
    };
    let (expected, actual) = (part("Expect"), part("Actual"));
    let differs = expected.iter().zip(&actual).find(|(expected, actual)| expected != actual);
    differs.map_or(String::new(), |(expected, actual)| format!("`{actual}`, not `{expected}`"))
}

/// All of them, those first that see the whole.
pub(crate) const CATCHERS: [Catcher; 4] = [
    Catcher { name: "storms", tests: "engine_stories::properties::" },
    Catcher { name: "engine stories", tests: "engine_stories::" },
    Catcher { name: "session stories", tests: "session_stories::" },
    Catcher { name: "links", tests: "links::watched::" },
];

/// A catcher needs a few seconds.
const TIME_MAX: Duration = Duration::from_secs(60);
