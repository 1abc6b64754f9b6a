//! Placeholder.

#[cfg(feature = "publish")]
pub mod publish;
