//! What the kernel knows about processes: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Reads the CPU time of the processes of one server.
#[derive(Clone, Debug)]
pub struct Meter {
    pids: Vec<u32>,
}

impl Meter {
    /// Of `pids`, summed up.
    ///
    /// # Errors
    /// One of them does not run, or may not be looked at.
    pub fn new(pids: Vec<u32>) -> Result<Self> {
        let meter = Self { pids };
        meter.cpu().and_then(|_| meter.resident_bytes()).context("--pid")?;
        Ok(meter)
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// One of the processes has ended.
    pub fn cpu(&self) -> Result<Duration> {
        self.pids.iter().map(|&pid| cpu_time(pid)).sum()
    }

    /// Resident memory.
    ///
    /// # Errors
    /// One of the processes has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.pids.iter().map(|&pid| resident_bytes(pid)).sum()
    }
}

/// Nanoseconds that the scheduler counted for each thread; ticks of 10 ms where it does not count.
fn cpu_time(pid: u32) -> Result<Duration> {
    threads_time(pid).map_or_else(|| ticks_time(pid), Ok)
}

/// The sum over the threads that live. A thread that ends takes its time with it: servers keep theirs.
fn threads_time(pid: u32) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let path = task.ok()?.path().join("schedstat");
        let text = fs::read_to_string(path).ok()?;
        total += Duration::from_nanos(text.split_ascii_whitespace().next()?.parse().ok()?);
    }
    (total > Duration::ZERO).then_some(total)
}

fn ticks_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    // The name, in brackets, may hold blanks: count fields from behind it. utime and stime are fields 14 and 15 of proc(5).
    let (_, fields) = stat.rsplit_once(')').context("stat has a name in brackets")?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let mut next = || ticks.next().and_then(|text| text.parse::<u64>().ok()).context("stat has CPU times");
    Ok(TICK * u32::try_from(next()? + next()?)?)
}

/// Resident memory of `pid`, in bytes.
fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Unit of CPU times in /proc/PID/stat: USER_HZ is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);
