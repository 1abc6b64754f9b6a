//! A bare lapin consumer in a process of its own: what nobody who reads the log can do without.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, Connection, ConnectionProperties};
use tickwire_load::Meter;
use tokio::time::{Duration, MissedTickBehavior, interval};

use crate::print;

/// Flags of the consumer.
#[derive(Args)]
pub(crate) struct Consume {
    /// The broker
    #[arg(long, value_name = "URL")]
    amqp: String,
    /// The stream to read, from its end on
    #[arg(long, value_name = "NAME")]
    log: String,
    /// Deliveries without acknowledgement, as the server has them
    #[arg(long, default_value_t = 1_000)]
    prefetch: u16,
}

impl Consume {
    /// Reads. Says `ready` when deliveries can come; then, for each number on a line of its input, `done` when so many more have come.
    /// Ends with its input.
    ///
    /// # Errors
    /// The broker or the input fails.
    pub(crate) fn run(&self) -> Result<()> {
        // lapin has a thread of its own for the socket; one more for us is the cheapest there is.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.read())
    }

    async fn read(&self) -> Result<()> {
        let connection = Connection::connect(&self.amqp, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("next".into()));
        let (log, options) = (ShortString::try_new(self.log.as_str())?, BasicConsumeOptions::default());
        let mut deliveries = channel.basic_consume(log, "".into(), options, arguments).await?;
        print("ready");
        let (mut unacked, mut newest) = (0, None::<Acker>);
        let mut ack_due = interval(ACK_INTERVAL);
        ack_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(count) = wish()? {
            let mut left = count;
            while left > 0 || newest.is_some() {
                tokio::select! {
                    delivery = deliveries.next() => {
                        let delivery = delivery.context("the log ended")??;
                        ensure!(left > 0, "more came than was asked for");
                        std::hint::black_box(&delivery.data);
                        left -= 1;
                        unacked += 1;
                        newest = Some(delivery.acker);
                        if unacked >= ACK_MESSAGES || left == 0 {
                            ack(&mut unacked, &mut newest).await?;
                        }
                    }
                    _ = ack_due.tick() => ack(&mut unacked, &mut newest).await?,
                }
            }
            print("done");
        }
        Ok(())
    }
}

async fn ack(unacked: &mut usize, newest: &mut Option<Acker>) -> Result<()> {
    *unacked = 0;
    if let Some(acker) = newest.take() {
        acker.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}

/// The next line of the input, as a number. Nothing else is to be done while it is waited for.
fn wish() -> Result<Option<u64>> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line)?;
    Ok(if read == 0 { None } else { Some(line.trim().parse()?) })
}

/// A consumer that runs. Ends when it drops.
pub(super) struct Bare {
    child: Child,
    wishes: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl Bare {
    /// Starts one, and waits until it reads.
    pub(super) fn start(url: &str, names: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["consume", "--amqp", url, "--log", &format!("{names}tickwire.feed.log")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the bare consumer does not start")?;
        let (wishes, told) = (child.stdin.take(), child.stdout.take().context("stdout is piped")?);
        let mut bare = Self { child, wishes, told: BufReader::new(told) };
        bare.hear("ready")?;
        Ok(bare)
    }

    /// So many messages are about to be published.
    pub(super) fn expect(&mut self, count: u64) -> Result<()> {
        writeln!(self.wishes.as_mut().context("it runs")?, "{count}")?;
        Ok(())
    }

    /// Waits until they have come. Blocks.
    pub(super) fn done(&mut self) -> Result<()> {
        self.hear("done")
    }

    /// Reads its CPU time.
    pub(super) fn meter(&self) -> Result<Meter> {
        Meter::new(vec![self.child.id()])
    }

    fn hear(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        ensure!(line.trim() == word, "the bare consumer says {line:?} instead of {word:?}");
        Ok(())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.wishes = None;
        let _ = self.told.read_to_string(&mut String::new());
        let _ = self.child.wait();
    }
}

/// As the server does: after so many messages ...
const ACK_MESSAGES: usize = 500;
/// ... or this time.
const ACK_INTERVAL: Duration = Duration::from_millis(250);
