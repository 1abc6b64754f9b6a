//! The WASM package: compiled, bound and packed.

use std::path::Path;

use anyhow::Result;

/// Builds the npm package into `sdk-wasm/pkg`, and what the demo page needs into `server/page/sdk`.
pub(crate) fn build(root: &Path) -> Result<()> {
    let _ = root;
    unimplemented!()
}
