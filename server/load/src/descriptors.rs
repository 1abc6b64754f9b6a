//! The limit of open files, which is the limit of connections.

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Makes room for `connections` sockets. Returns what was done, if the soft limit had to be raised. Programs started later inherit it.
///
/// # Errors
/// The hard limit is lower; the text says how to raise it.
pub fn allow_descriptors(connections: u32) -> Result<Option<String>> {
    let needed = u64::from(connections) + DESCRIPTORS_SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(None);
    }
    if maximum.is_some_and(|maximum| maximum < needed) {
        let most = maximum.unwrap_or(0).saturating_sub(DESCRIPTORS_SPARE);
        bail!(
            "{connections} connections need {needed} file descriptors, and this system allows {}: ask for at most {most} connections, or \
             raise the hard limit (`ulimit -Hn`, or nofile in /etc/security/limits.conf)",
            maximum.unwrap_or(0)
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).context("cannot raise the limit of open files")?;
    Ok(Some(format!("raised the limit of open files from {} to {needed}", current.unwrap_or(0))))
}

/// Descriptors for everything but connections.
const DESCRIPTORS_SPARE: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_are_always_allowed_and_too_many_are_refused_in_words() {
        assert!(allow_descriptors(1).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some_and(|maximum| maximum < u64::from(u32::MAX)) {
            assert!(allow_descriptors(u32::MAX).unwrap_err().to_string().contains("ask for at most"));
        }
    }
}
