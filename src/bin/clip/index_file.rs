//! Index on disk: a file, parts of it while it grows, and a lock.
//!
//! Writing a large index anew for each handful of images would take ever longer. While it
//! grows, what is new goes into small files beside it (`NAME.part-1` and so on), each an
//! index of its own; at the end the whole is written and the parts are deleted. Every file
//! is moved into place when it is complete. Whenever the program ends, the parts that are
//! there are read over the file; one that is already in it changes nothing.

use std::fs::{self, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clip::library::{Index, ModelFingerprint};

use crate::Failure;
use crate::output::write_file;

pub struct IndexFile {
    path: PathBuf,
    /// Parts that are there.
    parts: usize,
}

impl IndexFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, parts: 0 }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn has_parts(&self) -> bool {
        self.parts > 0
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    fn part(&self, number: usize) -> PathBuf {
        self.beside(&format!(".part-{number}"))
    }

    /// Keeps other commands from changing the index until the file is closed. Where the file
    /// system has no locks, there is none.
    pub fn lock(&self) -> Result<Option<fs::File>, Failure> {
        let path = self.beside(".lock");
        // An index that cannot be written is noticed when it is.
        let file = (path.parent())
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::File::create(&path));
        let Ok(file) = file else {
            return Ok(None);
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::Error(_)) => Ok(None),
            Err(TryLockError::WouldBlock) => Err(format!(
                "{}: another clip is bringing this index up to date: wait until it is done, or look \
                 at what is indexed so far with clip search --no-update",
                self.path.display()
            )
            .into()),
        }
    }

    /// The index with its parts; `None` if there is none of `model`.
    pub fn read(&mut self, model: &ModelFingerprint) -> Result<Option<Index>, Failure> {
        let mut index = None;
        match fs::read(&self.path) {
            Ok(bytes) => {
                let found = Index::read(&bytes).map_err(|error| {
                    format!(
                        "{}: {error}. Delete the file to build the index again, or choose another with \
                         --index",
                        self.path.display()
                    )
                })?;
                index = Some(found);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", self.path.display()).into()),
        }
        self.parts = 0;
        while let Ok(bytes) = fs::read(self.part(self.parts + 1)) {
            self.parts += 1;
            // A damaged part, or one of another model, costs its images' encoding again.
            let Ok(part) = Index::read(&bytes) else {
                continue;
            };
            match &mut index {
                None if part.model().matches(model) => index = Some(part),
                Some(index) if part.model().matches(index.model()) => index.merge(part),
                _ => {}
            }
        }
        Ok(index)
    }

    /// Adds what is new.
    pub fn add(&mut self, new: &Index) -> Result<(), Failure> {
        write_file(&self.part(self.parts + 1), &new.write()?)?;
        self.parts += 1;
        Ok(())
    }

    /// Replaces the file and its parts by the whole index.
    pub fn replace(&mut self, index: &Index) -> Result<(), Failure> {
        write_file(&self.path, &index.write()?)?;
        // The last first: those before it are found without it.
        while self.parts > 0 {
            fs::remove_file(self.part(self.parts))?;
            self.parts -= 1;
        }
        Ok(())
    }
}
