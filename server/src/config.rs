//! Configuration, in two lives: as the operator wrote it, then as checked. File < environment (`TICKWIRE_…`) < flags.

use std::path::PathBuf;

use crate::ingest::FeedConfig;

/// Checked settings, ready to use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Feeds and where they come from.
    pub feed: FeedConfig,
}

/// What flags say; the strongest source.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--listen`, as `listen`; `--amqp`, as `feed.amqp.url`; and any other key by its dotted name.
    pub keys: Vec<(String, String)>,
}

impl Config {
    /// Reads file, environment and flags, and checks everything.
    ///
    /// # Errors
    /// Every problem at once, each with its key and where it was written.
    pub fn load(overrides: &Overrides, environment: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let _ = (overrides, environment);
        unimplemented!()
    }
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, such as `auth.jwt.keys[0].file`.
    pub key: String,
    /// Where it was written: file with line, environment variable, or flag.
    pub origin: String,
    /// What is wrong and what would be right.
    pub text: String,
}
