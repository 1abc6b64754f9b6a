//! Lines of a file or of standard input, read on a thread of their own: a pipe that says nothing must not keep the command from ending.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::line::Refusal;

/// A line with its number, from 1, or why it cannot be read.
type Line = (u64, Result<String, Refusal>);

/// Gives lines.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<io::Result<Line>>,
}

impl Input {
    /// Reads `file`, or standard input.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread starts.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let from: Box<dyn Read + Send> = match file {
            Some(path) if path != Path::new("-") => Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?),
            _ => Box::new(io::stdin()),
        };
        let (tell, lines) = mpsc::channel(LINES_AHEAD_MAX);
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || read_all(BufReader::with_capacity(BUFFER_BYTES, from), &tell))?;
        Ok(Self { lines })
    }

    /// The next line; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// Reading failed.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>> {
        self.lines.recv().await.transpose().context("cannot read on")
    }
}

/// Reads until the end, or until nobody listens any more.
fn read_all(mut from: impl BufRead, tell: &mpsc::Sender<io::Result<Line>>) {
    for number in 1.. {
        let line = match read_line(&mut from) {
            Ok(None) => return,
            Ok(Some(line)) => Ok((number, line)),
            Err(error) => Err(error),
        };
        let failed = line.is_err();
        if tell.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// The next line without its end. What is too long is skipped up to its end.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Result<String, Refusal>>> {
    let mut line = Vec::new();
    if from.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > LINE_BYTES_MAX {
        skip_line(from)?;
        return Ok(Some(Err(Refusal::new("too_long", format!("is longer than {LINE_BYTES_MAX} bytes")))));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| Refusal::new("bad_text", "is not UTF-8"))))
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        from.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

/// Bytes of a line: those of a feed message. A longer one cannot be published.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Lines that are read before they can leave. Then reading waits.
const LINES_AHEAD_MAX: usize = 256;
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_they_like_and_bad_ones_cost_no_other() {
        let mut bytes = b"one\r\ntwo\n\n\xff\xfe\n".to_vec();
        bytes.extend(vec![b'x'; LINE_BYTES_MAX + 1]);
        bytes.extend(b"\n");
        bytes.extend(vec![b'y'; LINE_BYTES_MAX]);
        bytes.extend(b"\nlast");
        let mut from = BufReader::with_capacity(1_000, &bytes[..]);
        let lines: Vec<Result<String, &str>> =
            std::iter::from_fn(|| read_line(&mut from).unwrap()).map(|line| line.map_err(|refusal| refusal.code)).collect();
        let long = "y".repeat(LINE_BYTES_MAX);
        let expected: [Result<&str, &str>; 7] = [Ok("one"), Ok("two"), Ok(""), Err("bad_text"), Err("too_long"), Ok(&long), Ok("last")];
        assert_eq!(lines, expected.map(|line| line.map(str::to_owned)));
    }
}
