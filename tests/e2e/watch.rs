//! `tickwire watch` as other programs use it: lines, exit codes, pipes that close.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tickwire_rig::Tickwire;
use tickwire_simulator::steady_price;

const DEMO: [&str; 3] = ["demo", "--steady", "10x200"];

fn watch(server: &Tickwire, args: &[&str]) -> Result<Child> {
    // Should it fall silent, the test ends anyhow. Signals and exit codes pass through.
    let mut command = Command::new("timeout");
    command.arg("60").arg(Tickwire::program()?).args(["watch", "--url", &server.http("")]).args(args);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// The first lines; afterwards nobody reads any more.
fn first_lines(child: &mut Child, count: usize) -> Result<Vec<String>> {
    let stdout = child.stdout.take().context("stdout is piped")?;
    Ok(BufReader::new(stdout).lines().take(count).collect::<Result<_, _>>()?)
}

/// Exit code and what was said on stderr.
fn ended(mut child: Child) -> Result<(Option<i32>, String)> {
    let by = Instant::now() + Duration::from_secs(20);
    while child.try_wait()?.is_none() {
        if Instant::now() > by {
            child.kill()?;
            bail!("watch still runs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

#[test]
fn json_lines_are_right_and_a_closed_pipe_ends_it_quietly() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    for transport in [&["--json", "bench.*"][..], &["--json", "--sse", "bench.*"]] {
        let mut child = watch(&server, transport)?;
        for line in first_lines(&mut child, 100)? {
            let change: Value = serde_json::from_str(&line)?;
            let text = |value: &Value| value.as_str().map(str::to_owned).context("not a string");
            assert_eq!(change["change"], "state", "{line}");
            let index: u64 = text(&change["symbol"])?.strip_prefix("bench.S").context("another symbol")?.parse()?;
            let version: u64 = text(&change["quote"]["trades"])?.parse()?;
            let cents = steady_price(index, version);
            assert_eq!(text(&change["quote"]["last"])?, format!("{}.{:02}", cents / 100, cents % 100), "{line}");
            assert!(change["merged"].is_u64() && change["age_ms"].is_u64() && change["seq"].is_string(), "{line}");
        }
        let (code, said) = ended(child)?;
        assert_eq!((code, said.contains("panicked")), (Some(0), false), "{said}");
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_it_well() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    let mut child = watch(&server, &["bench.S1"])?;
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
    stdout.read_line(&mut line)?;
    assert!(line.starts_with("bench.S1 bid "), "{line}");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    // Read to the end: a pipe that closes would end it as well.
    std::io::copy(&mut stdout, &mut std::io::sink())?;
    assert_eq!(ended(child)?.0, Some(0));
    Ok(())
}

#[test]
fn refusals_are_named_and_the_rest_is_shown() -> Result<()> {
    let server = Tickwire::start(&DEMO)?;
    let mut child = watch(&server, &["--json", "bench.S1", "bench.S77"])?;
    assert_eq!(first_lines(&mut child, 20)?.len(), 20);
    let (code, said) = ended(child)?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("refused: bench.S77 UNKNOWN_SYMBOL"), "{said}");

    let (code, said) = ended(watch(&server, &["--json", "bench.S77", "bench.S78"])?)?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing to watch: bench.S77 UNKNOWN_SYMBOL, bench.S78 UNKNOWN_SYMBOL"), "{said}");

    let (code, said) = ended(watch(&server, &["--json", "not a symbol"])?)?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has a character other than"), "{said}");
    Ok(())
}

#[test]
fn the_table_gives_the_terminal_back() -> Result<()> {
    use std::io::{Read as _, Write as _};

    let server = Tickwire::start(&DEMO)?;
    // `script` gives it a terminal. Its own input is a pipe, through which a key comes once the table stands.
    let line = format!(
        "stty cols 100 rows 16; timeout --foreground 60 {} watch --url {} 'bench.#'",
        Tickwire::program()?.display(),
        server.http("")
    );
    let mut child = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the Debian package is `bsdutils`")?;
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    let (mut screen, mut piece) = (String::new(), [0; 4_096]);
    let mut read = |screen: &mut String| -> Result<bool> {
        let length = stdout.read(&mut piece)?;
        screen.push_str(&String::from_utf8_lossy(&piece[..length]));
        Ok(length > 0)
    };
    while !(screen.contains("bench.S9") && screen.contains("LIVE") && screen.contains("1-10 of 10")) {
        if !read(&mut screen)? {
            bail!("ended before the table stood, after {} bytes", screen.len());
        }
    }
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(b"q")?;
    stdin.flush()?;
    while read(&mut screen)? {}
    let (enter, leave) = ("\x1b[?1049h", "\x1b[?1049l");
    assert!(screen.find(enter) < screen.rfind(leave) && screen.contains(enter), "the alternate screen was entered and left");
    assert!(screen.rfind("\x1b[?25l") < screen.rfind("\x1b[?25h"), "the cursor is shown again");
    assert_eq!(ended(child)?.0, Some(0));
    Ok(())
}
