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
    let text = String::from_utf8(output.stdout)?;
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
    let script = top().join("examples/python/watch.py");
    let output = Command::new(python(&top().join("target/python"))?).arg(script).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

fn cents(price: &str) -> Result<i64> {
    Ok(price.replace('.', "").parse()?)
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// More versions than the test can wait for.
const VERSIONS: u64 = 10_000;
