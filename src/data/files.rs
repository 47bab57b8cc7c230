//! File access of data sets.

use super::DataError;

/// Source of a data set's files.
#[allow(async_fn_in_trait)] // one thread, in the worker and in the command
pub trait DataFiles {
    /// Display name of the data set.
    fn name(&self) -> String;

    /// Paths of all files, with `/` between folders. A possibly empty folder may be
    /// listed, too, with a trailing `/`.
    fn paths(&self) -> Vec<String>;

    /// Reads a file.
    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError>;
}

/// Files in memory, such as pictures of a webcam.
#[derive(Default)]
pub struct InMemory {
    /// Display name.
    pub name: String,
    /// Path and bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

impl DataFiles for InMemory {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn paths(&self) -> Vec<String> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
        (self.files.iter())
            .find(|(known, _)| known == path)
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| no_such_file(path))
    }
}

pub(super) fn no_such_file(path: &str) -> DataError {
    DataError::Read {
        file: path.into(),
        why: "no such file".into(),
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use directory::Directory;

#[cfg(not(target_arch = "wasm32"))]
mod directory {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{DataError, DataFiles};

    /// Folder on disk, recursively.
    pub struct Directory {
        root: PathBuf,
        paths: Vec<String>,
    }

    impl Directory {
        /// Folder `root`, with all files below it.
        pub fn open(root: &Path) -> Result<Self, DataError> {
            let mut directory = Self {
                root: root.into(),
                paths: Vec::new(),
            };
            directory.list("")?;
            Ok(directory)
        }

        fn list(&mut self, folder: &str) -> Result<(), DataError> {
            let path = self.root.join(folder);
            let failed = |error: std::io::Error| DataError::Read {
                file: path.display().to_string(),
                why: error.to_string(),
            };
            let mut entries = fs::read_dir(&path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(failed)?;
            // The same order on every machine.
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                // A name that is not UTF-8 cannot be shown or opened by name.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = format!("{folder}{name}");
                match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_dir() => {
                        let folder = format!("{path}/");
                        self.paths.push(folder.clone());
                        // Links that lead back up would recurse forever.
                        if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                            self.list(&folder)?;
                        }
                    }
                    // A broken link is reported when it is read.
                    _ => self.paths.push(path),
                }
            }
            Ok(())
        }
    }

    impl DataFiles for Directory {
        fn name(&self) -> String {
            self.root.display().to_string()
        }

        fn paths(&self) -> Vec<String> {
            self.paths.clone()
        }

        async fn read(&self, path: &str) -> Result<Vec<u8>, DataError> {
            fs::read(self.root.join(path)).map_err(|error| DataError::Read {
                file: path.into(),
                why: error.to_string(),
            })
        }
    }
}
