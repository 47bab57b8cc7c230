//! Files that the command writes.

use std::fs;
use std::path::Path;

use crate::Failure;

/// Writes beside the file and moves it into place: what was there stays whole if this is interrupted.
pub fn write_whole(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    let part = file.with_extension("part");
    fs::write(&part, bytes).map_err(named)?;
    fs::rename(part, file).map_err(named)?;
    Ok(())
}
