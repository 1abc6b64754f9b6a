//! The recorded day of the simulated market: it can be made again, it comes to the same book, and damage is told.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tickwire_rig::Tickwire;

fn day() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/market-day.twrec")
}

fn replay(file: &str, arguments: &[&str]) -> Result<Output> {
    Tickwire::run(&[&["replay", file], arguments].concat(), &[])
}

/// A line of the report.
fn line(output: &Output, name: &str) -> Result<String> {
    let text = String::from_utf8(output.stdout.clone())?;
    let found = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in {text}"))?;
    Ok(found.trim().to_owned())
}

#[test]
fn the_recorded_day_is_what_its_command_makes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let again = folder.path().join("again");
    let again = again.to_str().context("a path")?;
    let output = Tickwire::run(&["record", again, "--simulated", "1", "--for", "390m", "--sample", "1s/20m"], &[])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = |file: &str| replay(file, &["--list"]).map(|output| output.stdout);
    let day = day();
    let day = day.to_str().context("a path")?;
    assert!(list(again)? == list(day)?, "the market has changed: record tests/data/market-day.twrec anew");
    assert!(fs::metadata(day)?.len() <= 300_000);
    Ok(())
}

#[test]
fn the_recorded_day_comes_to_the_same_book() -> Result<()> {
    let day = day();
    let day = day.to_str().context("a path")?;
    let output = replay(day, &["--into-engine"])?;
    assert!(output.status.success());
    assert_eq!([line(&output, "messages ")?, line(&output, "updates ")?, line(&output, "refused ")?], [MESSAGES, UPDATES, "0"]);
    assert_eq!([line(&output, "instruments ")?, line(&output, "state ")?], [INSTRUMENTS, STATE]);
    assert!(line(&output, "updates/s ")?.parse::<u64>()? > 0);
    // A part of it is found by its time: the first second of its third hour.
    let part = replay(day, &["--into-engine", "--from", "2026-01-05T16:30:00Z", "--to", "2026-01-05T16:30:01Z"])?;
    assert_eq!(line(&replay(day, &["--into-engine", "--from", "+120m", "--to", "+7201s"])?, "messages ")?, line(&part, "messages ")?);
    let count: u64 = line(&part, "messages ")?.parse()?;
    assert!(count > 50 && count < MESSAGES.parse::<u64>()? / 20, "{count} messages in one second of the day");
    Ok(())
}

#[test]
fn damage_costs_a_block_and_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let damaged = folder.path().join("damaged");
    let mut bytes = fs::read(day())?;
    bytes[200] ^= 1;
    fs::write(&damaged, &bytes)?;
    let damaged = damaged.to_str().context("a path")?;
    let output = replay(damaged, &["--into-engine"])?;
    let said = String::from_utf8(output.stderr.clone())?;
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("replay: corrupt_block: block 0 at byte 16 is damaged: its checksum is another one; it had "), "{said}");
    assert!(line(&output, "messages ")?.parse::<u64>()? > 0, "the rest is kept");
    fs::write(damaged, "quote,bid\n")?;
    let output = replay(damaged, &["--into-engine"])?;
    assert!(output.status.code() == Some(1) && String::from_utf8(output.stderr)?.contains("not_a_recording: "));
    Ok(())
}

#[test]
fn a_server_plays_a_recording() -> Result<()> {
    let day = day();
    let day = day.to_str().context("a path")?;
    // Half a day in some seconds; the gaps between its pieces are no losses.
    let server = Tickwire::start(&["demo", "--recording", day, "--speed", "5000"])?;
    let by = Instant::now() + Duration::from_secs(60);
    loop {
        let page = get(&server, "/v1/instruments")?;
        let names = page.matches(r#""symbol":"#).count();
        if get(&server, "/readyz")?.starts_with("HTTP/1.1 200") && names == INSTRUMENTS.parse::<usize>()? {
            break;
        }
        assert!(Instant::now() < by, "{names} instruments");
        std::thread::sleep(Duration::from_millis(50));
    }
    // In the end it has applied what the recording has.
    let accepted = format!("tickwire_feed_updates_total {UPDATES}");
    while !get(&server, "/metrics")?.contains(&accepted) {
        assert!(Instant::now() < by, "not {accepted}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The whole answer to one request.
fn get(server: &Tickwire, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(server.address())?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

const MESSAGES: &str = "5128";
const UPDATES: &str = "7429";
const INSTRUMENTS: &str = "44";
/// The hash of names, scales and values in the end.
const STATE: &str = "fa62576e988b74f55f7fa854bb1b1afe1d26fdda";
