//! What the kernel knows about a process: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time that `pid` has used so far, user and system, over all its threads. Resolution: one tick, 10 ms.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    // The name, in brackets, may hold blanks: count fields from behind it. utime and stime are fields 14 and 15 of proc(5).
    let (_, fields) = stat.rsplit_once(')').context("stat has a name in brackets")?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let mut next = || ticks.next().and_then(|text| text.parse::<u64>().ok()).context("stat has CPU times");
    Ok(TICK * u32::try_from(next()? + next()?)?)
}

/// Resident memory of `pid`, in bytes.
///
/// # Errors
/// There is no such process.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Unit of CPU times in /proc: USER_HZ is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);
