//! `tickwire replay`: a recording to RabbitMQ as it was, or into an engine to see how fast that takes it.

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tickwire::publish::{Header, Publisher, RawMessage};
use tickwire_server::ingest::default_intake;
use tickwire_server::recording::{Book, Messages, Reader, Recorded, RecordedHeader, RecordingError, header_value::Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep_until;

use crate::broker::BrokerFlags;
use crate::pace::{Pace, Speed, parse_speed};
use crate::progress::Progress;
use crate::runtime::block_on;
use crate::settings::print;
use crate::when::When;

/// Flags of `tickwire replay`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Replay {
    /// File that `tickwire record` made
    file: PathBuf,
    #[command(flatten)]
    broker: BrokerFlags,
    /// The exchange to publish to
    #[arg(long, default_value = "tickwire.feed")]
    exchange: String,
    /// Apply the messages to an engine in this process instead, and print how many updates that is a second
    #[arg(long)]
    into_engine: bool,
    /// Print the messages, a JSON object on each line with bodies in hexadecimal, instead of publishing them
    #[arg(long, conflicts_with = "into_engine")]
    list: bool,
    /// How fast: 1x as it was, 10x, 0.5x, or max [default: 1x, into an engine max]
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    speed: Option<Speed>,
    /// Begin at this time: 2026-11-24T14:30:00Z, or +30m after the first message
    #[arg(long, value_name = "TIME")]
    from: Option<When>,
    /// End at this time, inclusive
    #[arg(long, value_name = "TIME")]
    to: Option<When>,
    /// No progress lines
    #[arg(long)]
    quiet: bool,
}

/// What came of reading.
#[derive(Default)]
struct Read {
    messages: u64,
    damaged: u64,
}

impl Replay {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let progress = Progress::start("replay", self.quiet);
        match block_on(self.replay(progress)) {
            Ok(0) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::from(DAMAGED),
            Err(error) => {
                progress.say(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    /// Returns how many blocks were damaged.
    async fn replay(&self, progress: Progress) -> Result<u64> {
        let messages = self.open(progress)?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut read = Read::default();
        let stop = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        if self.list {
            list(messages, &mut read, progress)?;
            return Ok(read.damaged);
        }
        if self.into_engine {
            let mut book = Book::new(default_intake());
            let start = Instant::now();
            tokio::select! {
                ended = self.apply(messages, &mut book, &mut read, progress) => ended?,
                () = stop => progress.tell("interrupted"),
            }
            print(&report(&book, start.elapsed()));
            return Ok(read.damaged);
        }
        let publisher = self.broker.publisher().name("replay").exchange(&self.exchange).start()?;
        tokio::select! {
            ended = async {
                let ended = self.publish(messages, &publisher, &mut read, progress).await;
                progress.settle(&publisher).await;
                ended
            } => ended?,
            () = progress.watch(&publisher) => {}
            () = stop => progress.tell("interrupted: waits for the last confirms"),
        }
        progress.finish(&publisher).await?;
        Ok(read.damaged)
    }

    fn open(&self, progress: Progress) -> Result<Messages> {
        let shown = self.file.display().to_string();
        let reader = match Reader::open(&self.file) {
            Ok(reader) => reader,
            Err(error @ RecordingError::Io(_)) => return Err(anyhow::anyhow!("{}: cannot read {shown}: {error}", error.code())),
            Err(error) => return Err(anyhow::anyhow!("{}: {shown} {error}", error.code())),
        };
        if reader.cut_bytes() > 0 {
            progress.say(&format!("{shown} was cut off: its last {} bytes are no whole block", reader.cut_bytes()));
        }
        let (first_us, last_us) = reader.times_us().unwrap_or_default();
        progress.tell(&format!("{shown} has {} messages over {:.1} s", reader.messages_len(), (last_us - first_us) as f64 / 1e6));
        let from_us = self.from.map_or(0, |from| from.us(first_us));
        let to_us = self.to.map_or(u64::MAX, |to| to.us(first_us));
        Ok(reader.messages(from_us, to_us))
    }

    async fn publish(&self, messages: Messages, publisher: &Publisher, read: &mut Read, progress: Progress) -> Result<()> {
        let mut pace = Pace::of_speed(self.speed.unwrap_or(Speed::Times(1.0)));
        for found in messages {
            let Some(message) = read.note(found, progress) else { continue };
            if let Some(due) = pace.due(Instant::now(), Some(message.time_us)) {
                sleep_until(due.into()).await;
            }
            let key = message.routing_key.clone();
            publisher.raw(raw(message)).await.with_context(|| format!("cannot publish under {key:?}"))?;
        }
        Ok(())
    }

    async fn apply(&self, messages: Messages, book: &mut Book, read: &mut Read, progress: Progress) -> Result<()> {
        let mut pace = Pace::of_speed(self.speed.unwrap_or(Speed::Max));
        let mut batch: Vec<Recorded> = Vec::with_capacity(BATCH_MESSAGES_MAX);
        let mut told = Instant::now();
        for found in messages {
            let Some(message) = read.note(found, progress) else { continue };
            if let Some(due) = pace.due(Instant::now(), Some(message.time_us)) {
                book.take(&batch);
                batch.clear();
                sleep_until(due.into()).await;
            }
            batch.push(message);
            if batch.len() == BATCH_MESSAGES_MAX {
                book.take(&batch);
                batch.clear();
                // Lets Ctrl-C through.
                tokio::task::yield_now().await;
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                progress.tell(&format!("{} messages, {} updates", book.messages(), book.updates()));
            }
        }
        book.take(&batch);
        Ok(())
    }
}

impl Read {
    /// A message, or `None` after saying what is damaged.
    fn note(&mut self, found: Result<Recorded, RecordingError>, progress: Progress) -> Option<Recorded> {
        match found {
            Ok(message) => {
                self.messages += 1;
                Some(message)
            }
            Err(error) => {
                self.damaged += 1;
                progress.say(&format!("{}: {error}; goes on with the next block", error.code()));
                None
            }
        }
    }
}

/// Prints every message. Whoever reads us may have seen enough.
fn list(messages: Messages, read: &mut Read, progress: Progress) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let write = |out: &mut BufWriter<io::StdoutLock<'_>>, read: &mut Read| -> io::Result<()> {
        for found in messages {
            let Some(message) = read.note(found, progress) else { continue };
            let headers: serde_json::Map<String, serde_json::Value> = message.headers.iter().map(shown_header).collect();
            let line = serde_json::json!({
                "body": hex(&message.body),
                "content_encoding": message.content_encoding,
                "content_type": message.content_type,
                "app_id": message.app_id,
                "correlation_id": message.correlation_id,
                "headers": headers,
                "message_id": message.message_id,
                "priority": message.priority,
                "reply_to": message.reply_to,
                "timestamp_s": message.timestamp_s,
                "type": message.kind,
            });
            let (seq, time_us, key) = (message.seq, message.time_us, serde_json::Value::from(message.routing_key));
            let rest = line.to_string();
            writeln!(out, r#"{{"seq":{seq},"time_us":"{time_us}","routing_key":{key},{}"#, &rest[1..])?;
        }
        out.flush()
    };
    match write(&mut out, read) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A number says what it is if it is not of 64 bits: `i32 -7`.
fn shown_header(header: &RecordedHeader) -> (String, serde_json::Value) {
    let value = match header_of(header) {
        None | Some(Header::Void) => serde_json::Value::Null,
        Some(Header::Text(text)) => hex(&text).into(),
        Some(Header::Bytes(bytes)) => format!("bytes {}", hex(&bytes)).into(),
        Some(Header::Number(number)) => number.into(),
        Some(Header::Flag(flag)) => flag.into(),
        Some(Header::I8(number)) => format!("i8 {number}").into(),
        Some(Header::U8(number)) => format!("u8 {number}").into(),
        Some(Header::I16(number)) => format!("i16 {number}").into(),
        Some(Header::U16(number)) => format!("u16 {number}").into(),
        Some(Header::I32(number)) => format!("i32 {number}").into(),
        Some(Header::U32(number)) => format!("u32 {number}").into(),
        Some(Header::F32(fraction)) => format!("f32 {fraction:?}").into(),
        Some(Header::F64(fraction)) => format!("f64 {fraction:?}").into(),
        Some(Header::Time(seconds)) => format!("time {seconds}").into(),
        Some(_) => "?".into(),
    };
    (header.name.clone(), value)
}

/// The value of a header as it was published; nothing if it is of a kind that a newer recorder has written.
fn header_of(header: &RecordedHeader) -> Option<Header> {
    let letter = u8::try_from(header.amqp_type).ok()?;
    Some(match (&header.value, letter) {
        (Some(Value::Text(text)), 0) => Header::Text(text.clone()),
        (Some(Value::Text(bytes)), b'x') => Header::Bytes(bytes.clone()),
        (Some(Value::Flag(flag)), 0) => Header::Flag(*flag),
        (Some(Value::Number(number)), 0) => Header::Number(*number),
        (Some(Value::Number(number)), b'b') => Header::I8((*number).try_into().ok()?),
        (Some(Value::Number(number)), b'B') => Header::U8((*number).try_into().ok()?),
        (Some(Value::Number(number)), b's') => Header::I16((*number).try_into().ok()?),
        (Some(Value::Number(number)), b'u') => Header::U16((*number).try_into().ok()?),
        (Some(Value::Number(number)), b'I') => Header::I32((*number).try_into().ok()?),
        (Some(Value::Number(number)), b'i') => Header::U32((*number).try_into().ok()?),
        (Some(Value::Number(seconds)), b'T') => Header::Time((*seconds).try_into().ok()?),
        (Some(Value::Number(bits)), b'f') => Header::F32(f32::from_bits((*bits).try_into().ok()?)),
        (Some(Value::Number(bits)), b'd') => Header::F64(f64::from_bits(bits.cast_unsigned())),
        (None, b'V') => Header::Void,
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn raw(message: Recorded) -> RawMessage {
    let headers = message.headers.iter().filter_map(|header| Some((header.name.clone(), header_of(header)?))).collect();
    RawMessage {
        routing_key: message.routing_key,
        content_type: message.content_type,
        content_encoding: message.content_encoding,
        message_id: message.message_id,
        correlation_id: message.correlation_id,
        reply_to: message.reply_to,
        kind: message.kind,
        app_id: message.app_id,
        priority: message.priority.and_then(|priority| priority.try_into().ok()),
        timestamp_s: message.timestamp_s,
        headers,
        body: message.body,
    }
}

fn report(book: &Book, elapsed: Duration) -> String {
    let (instruments, hash) = book.state();
    let (messages, updates, refused, busy) = (book.messages(), book.updates(), book.refused(), book.busy().as_secs_f64());
    let rate = updates as f64 / busy.max(1e-9);
    format!(
        "messages     {messages}\nupdates      {updates}\nrefused      {refused}\ninstruments  {instruments}\nstate        {hash}\n\
         elapsed      {:.3} s, of which decoding and applying {busy:.3} s\nupdates/s    {rate:.0}\n",
        elapsed.as_secs_f64()
    )
}

/// Exit code when parts of the recording were damaged and the rest was replayed.
const DAMAGED: u8 = 3;
/// Messages applied at once, as the feed task does.
const BATCH_MESSAGES_MAX: usize = 500;
/// Between two progress lines.
const TELL_EVERY: Duration = Duration::from_secs(5);
const EXAMPLES: &str = "\
Examples:
  tickwire replay day.twrec --speed 10x                       to the broker, ten times as fast as it was
  tickwire replay day.twrec --from +30m --to +45m             a quarter of an hour of it
  tickwire replay day.twrec --into-engine                     updates a second of one engine, and the hash of the state in the end

Exit codes: 0 all was replayed, 1 it failed, 3 damaged blocks were left out.";
