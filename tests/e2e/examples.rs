//! The examples run as they stand: what people copy from works.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use tickwire_rig::{Tickwire, python};
use tickwire_simulator::steady_price;

#[test]
fn a_python_client_is_made_from_the_schema_alone() -> Result<()> {
    let server = Tickwire::start(&["demo", "--steady", "4x40"])?;
    let output = run_python(&["--url", &server.ws(), "--conflate", "0", "--count", "20", "bench.S0", "bench.S1"])?;
    check_records(&String::from_utf8(output.stdout)?)
}

#[test]
fn a_python_client_makes_calls_over_grpc() -> Result<()> {
    let server = Tickwire::start(&["demo", "--steady", "4x40"])?;
    let address = server.address().to_string();
    let script = "watch_grpc.py";
    let output = python_script(script, &["--address", &address, "--conflate", "0", "--count", "20", "bench.S0", "bench.S1"])?;
    check_records(&succeeded(&output)?)?;
    // The time of a call ends it, and what it asked wrongly is said by item.
    let output = python_script(script, &["--address", &address, "--timeout", "2", "bench.S0", "bench.NONE"])?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(errors.contains("bench.NONE: UNKNOWN_SYMBOL") && errors.contains("DEADLINE_EXCEEDED"), "{errors}");
    Ok(())
}

#[test]
fn a_python_caller_is_told_why_it_is_refused() -> Result<()> {
    let secret = "correct horse battery staple, long enough";
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "auth.anonymous.symbols = []\n[[auth.jwt.keys]]\nalg = \"HS256\"\nenv = \"SECRET\"\n")?;
    let arguments = ["demo", "--steady", "4x40", "--config", file.to_str().context("a path of UTF-8")?];
    let server = Tickwire::start_with(&arguments, &[("SECRET", secret)])?;
    let address = server.address().to_string();
    let ask = |token: &[&str]| -> Result<Output> {
        python_script("watch_grpc.py", &[&["--address", &address, "--count", "3", "bench.S0"], token].concat())
    };
    for (token, code) in [(&[][..], "AUTH_REQUIRED"), (&["--token", "forged"], "AUTH_INVALID")] {
        let errors = String::from_utf8(ask(token)?.stderr)?;
        ensure!(errors.starts_with(code), "{errors}");
    }
    let claims = serde_json::json!({"sub": "u1", "exp": 4_000_000_000_u64, "symbols": ["bench.#"]});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?;
    ensure!(succeeded(&ask(&["--token", &token])?)?.lines().count() == 3, "who has a token is served");
    Ok(())
}

fn check_records(text: &str) -> Result<()> {
    ensure!(text.lines().count() == 20, "20 records were asked for: {text}");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [symbol, "bid", bid, "ask", ask, "last", last] = words[..] else { bail!("{line}: not what the example prints") };
        let index = symbol.strip_prefix("bench.S").context("a symbol that was asked for")?.parse()?;
        ensure!(index < 2, "{symbol} was not asked for");
        let last = cents(last)?;
        ensure!((0..VERSIONS).any(|version| steady_price(index, version) == last), "{line}: no version has this price");
        ensure!((cents(bid)?, cents(ask)?) == (last - 1, last + 1), "{line}: bid and ask are of another version");
    }
    Ok(())
}

#[test]
fn a_python_client_is_told_what_it_asked_wrongly() -> Result<()> {
    let server = Tickwire::start(&["demo", "--steady", "2x20"])?;
    let output = run_python(&["--url", &server.ws(), "--count", "3", "bench.S0", "bench.NONE", "no spaces"])?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(errors.contains("bench.NONE: UNKNOWN_SYMBOL"), "{errors}");
    ensure!(errors.contains("no spaces: BAD_SYMBOL"), "{errors}");
    ensure!(String::from_utf8(output.stdout)?.lines().count() == 3, "the rest is served");
    Ok(())
}

#[test]
fn curl_reads_server_sent_events() -> Result<()> {
    let server = Tickwire::start(&["demo", "--steady", "2x20"])?;
    // curl ends with code 28 when its time is over, which is how this stream ends.
    let url = server.http("/v1/sse?symbols=bench.S0&conflate_ms=0");
    let output =
        Command::new("curl").args(["--silent", "--no-buffer", "--max-time", "3", &url]).output().context("the Debian package is `curl`")?;
    let text = String::from_utf8(output.stdout)?;
    for wanted in [
        "event: welcome\n",
        "event: subscribe_ack\n",
        "event: snapshot_complete\n",
        "event: heartbeat\n",
        "\"symbol\":\"bench.S0\"",
        "\"last\":\"",
    ] {
        ensure!(text.contains(wanted), "{wanted:?} is missing in {text}");
    }
    Ok(())
}

fn run_python(arguments: &[&str]) -> Result<Output> {
    let output = python_script("watch.py", arguments)?;
    succeeded(&output)?;
    Ok(output)
}

pub(crate) fn python_script(name: &str, arguments: &[&str]) -> Result<Output> {
    let script = top().join("examples/python").join(name);
    Ok(Command::new(python(&top().join("target/python"))?).arg(script).args(arguments).output()?)
}

/// What a program printed that has ended well.
pub(crate) fn succeeded(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn cents(price: &str) -> Result<i64> {
    Ok(price.replace('.', "").parse()?)
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// More versions than the test can wait for.
const VERSIONS: u64 = 10_000;
