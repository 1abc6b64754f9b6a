//! Programs to copy from: see `src/bin` for Rust, and the folders beside for other languages.
