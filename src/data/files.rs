//! File access of data sets.

use super::{DataError, Problem};

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

    /// Files that are there, but cannot be read by name.
    fn unusable(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Assumptions about the names, for display.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The data set's own prompt templates, as written; none if it has none.
    fn templates(&self) -> Vec<String> {
        Vec::new()
    }

    /// Names of the classes by their number, in a layout that calls classes by numbers; none
    /// if the list is missing.
    fn class_names(&self) -> Option<Vec<String>> {
        None
    }
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
    use std::ffi::OsStr;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{DataError, DataFiles, Problem};

    /// Folder on disk, recursively.
    pub struct Directory {
        root: PathBuf,
        paths: Vec<String>,
        unusable: Vec<Problem>,
        /// Real paths of the folders around the one that is being listed.
        around: Vec<PathBuf>,
    }

    impl Directory {
        /// Folder `root`, with all files below it.
        pub fn open(root: &Path) -> Result<Self, DataError> {
            let mut directory = Self {
                root: root.into(),
                paths: Vec::new(),
                unusable: Vec::new(),
                around: Vec::new(),
            };
            directory.list("")?;
            Ok(directory)
        }

        fn list(&mut self, folder: &str) -> Result<(), DataError> {
            let path = self.root.join(folder);
            let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if self.around.contains(&real) {
                self.unusable.push(Problem::Ignored {
                    path: folder.into(),
                    why: "it is a link to a folder that it lies in".into(),
                });
                return Ok(());
            }
            self.around.push(real);
            let listed = self.list_entries(folder, &path);
            self.around.pop();
            listed
        }

        fn list_entries(&mut self, folder: &str, path: &Path) -> Result<(), DataError> {
            let failed = |error: std::io::Error| DataError::Read {
                file: path.display().to_string(),
                why: error.to_string(),
            };
            let mut entries = fs::read_dir(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(failed)?;
            // The same order on every machine.
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let metadata = fs::metadata(entry.path());
                let is_folder = metadata.as_ref().is_ok_and(fs::Metadata::is_dir);
                let Ok(name) = entry.file_name().into_string() else {
                    let slash = if is_folder { "/" } else { "" };
                    self.unusable.push(Problem::Ignored {
                        path: format!("{folder}{}{slash}", escaped(&entry.file_name())),
                        why: "its name is not UTF-8: rename it".into(),
                    });
                    continue;
                };
                let path = format!("{folder}{name}");
                match metadata {
                    Ok(metadata) if metadata.is_dir() => {
                        let folder = format!("{path}/");
                        self.paths.push(folder.clone());
                        self.list(&folder)?;
                    }
                    // Reading a pipe or a device may never end.
                    Ok(metadata) if !metadata.is_file() => self.unusable.push(Problem::Ignored {
                        path,
                        why: "it is a pipe or a device, not a file".into(),
                    }),
                    // A broken link is reported when it is read.
                    _ => self.paths.push(path),
                }
            }
            Ok(())
        }
    }

    /// Name with the bytes that are not UTF-8 as `\xE9`.
    fn escaped(name: &OsStr) -> String {
        (name.as_encoded_bytes().utf8_chunks())
            .map(|chunk| {
                let invalid = chunk.invalid().iter();
                let invalid: String = invalid.map(|byte| format!("\\x{byte:02X}")).collect();
                format!("{}{invalid}", chunk.valid())
            })
            .collect()
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

        fn unusable(&self) -> Vec<Problem> {
            self.unusable.clone()
        }
    }
}
