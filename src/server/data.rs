//! What is where in the data folder.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::ServerError;

/// The folder of the record store in the data folder `data_dir`.
#[must_use]
pub(crate) fn store_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("store")
}

/// Makes `folder` and those above it where they are not there; a new one is its owner's alone.
///
/// # Errors
/// [`ServerError::DataDir`].
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), ServerError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(folder)
        .map_err(|source| ServerError::DataDir {
            path: folder.to_owned(),
            source,
        })
}
