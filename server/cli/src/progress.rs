//! What commands that publish say on stderr while they do.

use std::time::{Duration, Instant};

use tickwire::publish::{Publisher, PublisherState};
use tokio::time::{sleep, timeout};
use tracing_subscriber::EnvFilter;

/// Lines of one command, each with its name in front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    command: &'static str,
    quiet: bool,
}

impl Progress {
    /// Lines of `command`; none but failures if `quiet`. Log lines of libraries go to stderr as `TICKWIRE_LOG` says.
    pub(crate) fn start(command: &'static str, quiet: bool) -> Self {
        let filter = EnvFilter::try_from_env("TICKWIRE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,lapin=off"));
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
        Self { command, quiet }
    }

    /// A line that is always said.
    #[expect(clippy::print_stderr, reason = "what a command says of itself belongs on the terminal")]
    pub(crate) fn say(self, line: &str) {
        eprintln!("{}: {line}", self.command);
    }

    /// A line of progress.
    pub(crate) fn tell(self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    /// Tells from time to time what `publisher` has done, and at once when the broker takes nothing any more. Does not end.
    pub(crate) async fn watch(self, publisher: &Publisher) {
        let (mut since, mut updates, mut messages) = (Instant::now(), 0, 0);
        let mut states = publisher.states();
        loop {
            if is_blocked(&publisher.state()) {
                sleep(EVERY).await;
            } else if let Ok(Err(_)) = timeout(EVERY, states.wait_for(is_blocked)).await {
                // The publisher has ended, and whoever publishes finds that out.
                std::future::pending::<()>().await;
            }
            let stats = publisher.stats();
            let rate = |now: u64, before: u64| (now - before) as f64 / since.elapsed().as_secs_f64().max(0.001);
            let (confirmed, total) = (stats.confirmed, stats.messages);
            let done = match stats.updates {
                0 => format!("{total} messages, {confirmed} confirmed, {:.0} messages/s", rate(total, messages)),
                all => format!("{all} updates in {total} messages, {confirmed} confirmed, {:.0} updates/s", rate(all, updates)),
            };
            (since, updates, messages) = (Instant::now(), stats.updates, stats.messages);
            self.tell(&format!("{done}{}", state(publisher)));
        }
    }

    /// Waits until the broker has confirmed everything, for as long as it blocks publishers, or for 5 s in which it says nothing.
    pub(crate) async fn settle(self, publisher: &Publisher) {
        let flushed = publisher.flush();
        tokio::pin!(flushed);
        while timeout(EVERY, &mut flushed).await.is_err() && is_blocked(&publisher.state()) {}
    }

    /// Waits until the broker has confirmed everything, at most for 10 s. Says what was published.
    ///
    /// # Errors
    /// It has not.
    pub(crate) async fn finish(self, publisher: &Publisher) -> anyhow::Result<()> {
        let flushed = timeout(FLUSH_WITHIN, publisher.flush()).await;
        let stats = publisher.stats();
        let what = if stats.updates > 0 { format!("{} updates in ", stats.updates) } else { String::new() };
        self.tell(&format!("ended: {what}{} messages, {} confirmed, {} sent again", stats.messages, stats.confirmed, stats.resent));
        match flushed {
            Ok(flushed) => Ok(flushed?),
            Err(_) => anyhow::bail!("the broker has not confirmed the last messages{}", state(publisher)),
        }
    }
}

fn is_blocked(state: &PublisherState) -> bool {
    matches!(state, PublisherState::Blocked(_))
}

/// What is wrong, if anything is.
fn state(publisher: &Publisher) -> String {
    match publisher.state() {
        PublisherState::Publishing => String::new(),
        PublisherState::Refused(why) => format!(" (the broker refuses us: {why})"),
        PublisherState::Blocked(reason) => format!(" (the broker takes nothing: {reason})"),
        _ => " (waits for the broker)".to_owned(),
    }
}

/// Between two lines.
const EVERY: Duration = Duration::from_secs(5);
/// Time for the last messages to be confirmed. Then the command fails.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
