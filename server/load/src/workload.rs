//! The workloads of `tickwire bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::ticker::Manner;
use crate::{Conversation, Figures, Group, Meter, Pace, Probe, Progress, Sample, Server, Target, Ticker, Wire, allow_descriptors};

/// Where the load goes.
#[derive(Clone, Debug)]
pub enum Host {
    /// A server that runs already, and its processes, if they may be looked at.
    Running {
        /// Where it is.
        target: Target,
        /// Its processes.
        pids: Vec<u32>,
    },
    /// A server of our own with a steady market, new for each measurement.
    Own {
        /// A program that says where it listens, and speaks Tickwire.
        program: PathBuf,
        /// Its arguments, such as those of [`Server::demo`].
        args: Vec<String>,
        /// Instruments of the market.
        market: u32,
        /// Updates a second, over all of them.
        updates_per_s: u32,
    },
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the load goes.
    pub host: Host,
    /// Connections.
    pub connections: u32,
    /// Symbols and patterns to choose from. Empty: those of our own market.
    pub symbols: Vec<String>,
    /// How many of them each connection takes, spread evenly; `None`: all.
    pub per_connection: Option<u32>,
    /// How frames travel.
    pub wire: Wire,
    /// Rate asked for.
    pub conflate_ms: u32,
    /// Bearer token.
    pub token: Option<String>,
    /// File with the roots (PEM) by which a server of our own is trusted, if it encrypts.
    pub ca: Option<PathBuf>,
    /// Before counting begins.
    pub warm_up: Duration,
    /// How long is counted.
    pub duration: Duration,
}

/// Everyone reads as fast as data comes.
///
/// # Errors
/// The server cannot be started, reached or looked at.
pub fn fanout(settings: &Settings, progress: &mut Progress) -> Result<Figures> {
    let run = Run::begin(settings, "fanout", progress)?;
    run.measure(&[(settings.connections, Pace::Free)], GATHER_AT_ONCE, progress).map(only)
}

/// All at once, as after a restart: measured is how long it takes until each has its snapshot.
///
/// # Errors
/// As for [`fanout`].
pub fn storm(settings: &Settings, progress: &mut Progress) -> Result<Figures> {
    let run = Run::begin(settings, "storm", progress)?;
    let mut figures = only(run.measure(&[(settings.connections, Pace::Free)], usize::MAX, progress)?);
    let expected = u64::from(settings.connections) * u64::from(figures.symbols);
    if run.steady && figures.tally.images < expected {
        let (missing, faults) = (expected - figures.tally.images, &mut figures.tally.faults);
        faults.lost += missing;
        faults.note(|| format!("{missing} images of {expected} never came"));
    }
    Ok(figures)
}

/// A tenth of the connections (at least one) reads slowly. Gives first what the others measured, then what the slow ones did.
///
/// # Errors
/// As for [`fanout`].
pub fn slow(settings: &Settings, bytes_per_s: u32, progress: &mut Progress) -> Result<Vec<Figures>> {
    let run = Run::begin(settings, "slow", progress)?;
    let slow = settings.connections.div_ceil(10);
    let groups = [(settings.connections - slow, Pace::Free), (slow, Pace::Slow { bytes_per_s })];
    let mut all = run.measure(&groups, GATHER_AT_ONCE, progress)?;
    for (figures, name) in all.iter_mut().zip(["slow: the others", "slow: the slow"]) {
        name.clone_into(&mut figures.name);
    }
    Ok(all)
}

/// One measurement under way.
struct Run<'a> {
    settings: &'a Settings,
    name: &'static str,
    target: Target,
    meter: Option<Meter>,
    symbols: Vec<String>,
    steady: bool,
    /// Ends with the measurement.
    _server: Option<Server>,
}

impl<'a> Run<'a> {
    fn begin(settings: &'a Settings, name: &'static str, progress: &mut Progress) -> Result<Self> {
        if let Some(done) = allow_descriptors(settings.connections)? {
            progress.step(&done);
        }
        match &settings.host {
            Host::Running { target, pids } => {
                let meter = if pids.is_empty() { None } else { Some(Meter::new(pids.clone())?) };
                let symbols = if settings.symbols.is_empty() { vec!["#".to_owned()] } else { settings.symbols.clone() };
                Ok(Self { settings, name, target: target.clone(), meter, symbols, steady: false, _server: None })
            }
            Host::Own { program, args, market, .. } => {
                progress.step("starting a server");
                let server = Server::start(program, args)?;
                let meter = Some(Meter::new(vec![server.pid()])?);
                let symbols = if settings.symbols.is_empty() {
                    (0..*market).map(|n| format!("bench.S{n}")).collect()
                } else {
                    settings.symbols.clone()
                };
                let target = Target::parse(&server.url, settings.ca.as_deref())?;
                Ok(Self { settings, name, target, meter, symbols, steady: true, _server: Some(server) })
            }
        }
    }

    /// Gathers a crowd for each group, lets all of them run together, and gives the figures of each.
    fn measure(&self, groups: &[(u32, Pace)], at_once: usize, progress: &mut Progress) -> Result<Vec<Figures>> {
        let settings = self.settings;
        let manner = Arc::new(Manner {
            host: self.target.host.clone(),
            token: settings.token.clone(),
            wire: settings.wire,
            conflate_ms: settings.conflate_ms,
            credit: groups.len() > 1,
            steady: self.steady,
        });
        let converse = |n: u32| -> Box<dyn Conversation> { Box::new(Ticker::new(manner.clone(), self.chosen(n))) };
        let probe = Probe {
            address: self.target.address,
            encryption: self.target.encryption.clone(),
            meter: self.meter.as_ref(),
            converse: &converse,
            connections: settings.connections,
            gathered: None,
            warm_up: settings.warm_up,
            duration: settings.duration,
        };
        let empty = probe.empty(progress)?;

        // One thread for each group, so that reading slowly is not reading late.
        let group = |(connections, pace): (u32, Pace), progress: &mut Progress| -> Result<Figures> {
            Ok(self.figures(probe.measure(&Group { connections, pace, at_once }, empty, progress)?))
        };
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let (first, rest) = groups.split_first().context("a workload has a group")?;
            let others: Vec<_> = rest
                .iter()
                .map(|&other| {
                    let group = &group;
                    scope.spawn(move || group(other, &mut Progress::silent()))
                })
                .collect();
            all.push(group(*first, progress)?);
            for other in others {
                match other.join() {
                    Ok(figures) => all.push(figures?),
                    Err(_) => bail!("a thread of the load generator panicked"),
                }
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The symbols of the n-th connection: evenly spread, so that a connection has neighbours with none of its symbols.
    fn chosen(&self, n: u32) -> Vec<String> {
        let (all, each) = (self.symbols.len(), self.each());
        if each >= all { self.symbols.clone() } else { spread(n, all, each).map(|index| self.symbols[index].clone()).collect() }
    }

    /// Symbols of one connection.
    fn each(&self) -> usize {
        self.settings.per_connection.map_or(self.symbols.len(), |each| (each as usize).clamp(1, self.symbols.len()))
    }

    fn figures(&self, sample: Sample) -> Figures {
        let Sample { connections, tally, span, server, ready_ms } = sample;
        let settings = self.settings;
        let published = match settings.host {
            Host::Own { updates_per_s, .. } => Some(f64::from(updates_per_s) * span.as_secs_f64()),
            // Everyone has the same symbols, and so each got everything, if all of them are there.
            Host::Running { .. } if self.each() == self.symbols.len() && tally.faults.cut + tally.faults.refused == 0 => {
                Some((tally.records + tally.merged) as f64 / f64::from(connections))
            }
            Host::Running { .. } => None,
        };
        Figures {
            name: self.name.to_owned(),
            connections,
            symbols: self.each() as u32,
            encoding: settings.wire.name(),
            conflate_ms: settings.conflate_ms,
            tally,
            span,
            published,
            server,
            ready_ms,
        }
    }
}

/// Which `each` of `all` symbols the n-th connection takes.
pub fn spread(n: u32, all: usize, each: usize) -> impl Iterator<Item = usize> {
    let stride = all / each.max(1);
    (0..each).map(move |k| (n as usize + k * stride) % all)
}

fn only(mut all: Vec<Figures>) -> Figures {
    all.swap_remove(0)
}

/// Connections on their way at a time, when it is not the coming that is measured.
const GATHER_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_spread_evenly() {
        let mut holders = [0; 500];
        (0..1_000).for_each(|n| spread(n, 500, 20).for_each(|index| holders[index] += 1));
        assert_eq!(holders, [40; 500]);
    }
}
