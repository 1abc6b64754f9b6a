//! One measurement of a server: a crowd comes, reads, and is counted, and the server's process is looked at before and after.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{Conversation, Crowd, Encryption, Gathering, Meter, Pace, Percentiles, Progress, ServerFigures, Tally};

/// What is loaded, and for how long.
pub struct Probe<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// `None`: nothing is encrypted.
    pub encryption: Option<Encryption>,
    /// Its processes, if they may be looked at.
    pub meter: Option<&'a Meter>,
    /// What the n-th connection says.
    pub converse: &'a (dyn Fn(u32) -> Box<dyn Conversation> + Sync),
    /// Connections, of all groups.
    pub connections: u32,
    /// Called once everyone is ready, such as to start a feed.
    pub gathered: Option<&'a (dyn Fn() -> Result<()> + Sync)>,
    /// Before counting begins.
    pub warm_up: Duration,
    /// How long is counted.
    pub duration: Duration,
}

/// Connections that have one thread of this process for themselves.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// How many.
    pub connections: u32,
    /// How they read.
    pub pace: Pace,
    /// How many may be on their way to ready at a time.
    pub at_once: usize,
}

/// What a group counted.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Connections of the group.
    pub connections: u32,
    /// What was counted in `span`, but for the images, which came before.
    pub tally: Tally,
    /// How long it was counted.
    pub span: Duration,
    /// Of the server's process.
    pub server: Option<ServerFigures>,
    /// From dialling until ready, milliseconds.
    pub ready_ms: Percentiles,
}

impl Probe<'_> {
    /// Resident memory of the server without connections. What is allocated once is there after a first small crowd has come and gone.
    ///
    /// # Errors
    /// The server cannot be reached or looked at.
    pub fn empty(&self, progress: &mut Progress) -> Result<u64> {
        let mut crowd = Crowd::new(self.encryption.clone())?;
        let first = Group { connections: self.connections.min(FIRST_CONNECTIONS), pace: Pace::Free, at_once: FIRST_CONNECTIONS as usize };
        self.gather(&mut crowd, &first, progress)?;
        crowd.run(FIRST_STAY, |_, _| Ok(()))?;
        drop(crowd);
        std::thread::sleep(FIRST_LEAVES);
        self.rss()
    }

    /// Lets a group come, and counts. `empty` is what [`Probe::empty`] gave.
    ///
    /// # Errors
    /// The server cannot be reached or looked at.
    pub fn measure(&self, group: &Group, empty: u64, progress: &mut Progress) -> Result<Sample> {
        let mut crowd = Crowd::new(self.encryption.clone())?;
        self.gather(&mut crowd, group, progress)?;
        self.gathered.map_or(Ok(()), |gathered| gathered())?;
        let (images, ready_ms) = (crowd.tally().images, Percentiles::of(crowd.ready_after()));
        crowd.run(self.warm_up, |_, _| Ok(()))?;
        crowd.restart();
        let (cpu, start) = (self.cpu()?, Instant::now());
        let seconds = self.duration.as_secs();
        crowd.run(self.duration, |tally, past| {
            let (delivered, lost) = (tally.records as f64 / past.as_secs_f64().max(0.1), tally.faults.lost);
            progress.update(|| format!("{} of {seconds} s: {delivered:.0} updates/s, {lost} lost", past.as_secs()));
            Ok(())
        })?;
        let (span, used, full) = (start.elapsed(), self.cpu()?.saturating_sub(cpu), self.rss()?);
        let mut tally = crowd.tally().clone();
        tally.images = images;
        let server = self.meter.is_some().then(|| ServerFigures {
            cpu: used,
            rss_bytes: full,
            rss_bytes_per_connection: full.saturating_sub(empty) as f64 / f64::from(self.connections),
        });
        Ok(Sample { connections: group.connections, tally, span, server, ready_ms })
    }

    fn gather(&self, crowd: &mut Crowd, group: &Group, progress: &mut Progress) -> Result<()> {
        let Group { connections, pace, at_once } = *group;
        crowd.gather(self.address, Gathering { connections, at_once, within: READY_WITHIN, pace }, progress, self.converse)
    }

    fn cpu(&self) -> Result<Duration> {
        self.meter.map_or(Ok(Duration::ZERO), Meter::cpu)
    }

    fn rss(&self) -> Result<u64> {
        self.meter.map_or(Ok(0), Meter::resident_bytes)
    }
}

/// Time for all to be ready. After it, the measurement fails.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The small crowd that comes first.
const FIRST_CONNECTIONS: u32 = 20;
/// How long it stays.
const FIRST_STAY: Duration = Duration::from_millis(200);
/// Time to forget it.
const FIRST_LEAVES: Duration = Duration::from_millis(100);
