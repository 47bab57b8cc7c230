//! Where the command writes: files, standard output, standard error.

use std::fmt::Arguments;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use crate::Failure;

/// Prints a line on standard output.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::output::say(format_args!($($text)*)) };
}

/// Prints a line on standard error, for people.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::tell(format_args!($($text)*)) };
}

/// Prints a line on standard output. A reader that has seen enough (`| head`) ends the
/// command, which is no failure.
pub fn say(text: Arguments) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(format!("the standard output cannot be written: {error}").into()),
        Ok(()) => Ok(()),
    }
}

/// Prints a line on standard error. If that cannot be written, there is no one to tell.
pub fn tell(text: Arguments) {
    let _ = writeln!(io::stderr().lock(), "clip: {}", one_line(&text.to_string()));
}

/// Text without what a terminal obeys: names of files may hold line ends, escape sequences
/// and marks that turn the direction of writing.
fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (text.chars())
        .flat_map(|c| match c.is_control() || turns(c) {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Time in seconds, as an argument.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Name of a file while it is written, and how long one rests before it may be an orphan.
const PART_PREFIX: &str = ".clip-";
const PART_SUFFIX: &str = ".part";
const ORPHAN_AGE: Duration = Duration::from_secs(1);

/// Removes the parts of files that commands left in a folder when they were killed.
fn remove_orphans(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX)) {
            continue;
        }
        // It has its lock a moment after it was made.
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let rested = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ORPHAN_AGE));
        let path = entry.path();
        let unlocked = || {
            fs::File::options()
                .write(true)
                .open(&path)?
                .try_lock()
                .map_err(io::Error::from)
        };
        if rested && unlocked().is_ok() {
            // It can stay if it cannot be removed.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Writes a file and the folders around it. The bytes go to a file beside it, are synced to
/// the disk and then moved into place: what was there stays whole until then, and a full
/// disk leaves no part of a file.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        remove_orphans(folder);
        let mut options = tempfile::Builder::new();
        // The usual permissions: `tempfile` gives none to others.
        #[cfg(unix)]
        options.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut part = options
            .prefix(PART_PREFIX)
            .suffix(PART_SUFFIX)
            .tempfile_in(folder)?;
        // So that no other command takes it for an orphan; where there are no locks, none does.
        let _ = part.as_file().try_lock();
        part.write_all(bytes)?;
        part.as_file().sync_all()?;
        part.persist(path).map_err(|error| error.error)?;
        // The move itself; only Unix can sync a folder.
        #[cfg(unix)]
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    };
    write().map_err(|error| {
        // With the name of the file beside it, there is no code of the system's.
        let reason = match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        };
        format!("{} cannot be written: {reason}", path.display()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let name = "a\nb\u{1b}[2J\u{202e}gnp.png 猫 שלום";
        let line = "a\\nb\\u{1b}[2J\\u{202e}gnp.png 猫 שלום";
        assert_eq!(one_line(name), line);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/head.safetensors");
        write_file(&file, b"first").unwrap();
        write_file(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let beside = fs::read_dir(folder.path().join("new")).unwrap().count();
        assert_eq!(beside, 1, "no other file is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::write(folder.path().join("usual"), b"").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&file), mode(&folder.path().join("usual")));
        }
        // What a command that was killed has left goes with the next file; what one writes stays.
        let beside = |name: &str| {
            let part = fs::File::create(folder.path().join("new").join(name)).unwrap();
            let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
            part.set_modified(hour_ago).unwrap();
            part
        };
        drop([beside(".clip-killed.part"), beside("own.part")]);
        let written = beside(".clip-written.part");
        written.try_lock().unwrap();
        write_file(&file, b"third").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("new"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [".clip-written.part", "head.safetensors", "own.part"]
        );
        // A folder stands in the way.
        fs::create_dir(folder.path().join("taken")).unwrap();
        let error = write_file(&folder.path().join("taken"), b"").unwrap_err();
        assert!(
            error.to_string().contains("taken cannot be written"),
            "{error}"
        );
        let error = write_file(&file.join("below"), b"").unwrap_err();
        assert!(
            error.to_string().contains("below cannot be written"),
            "{error}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
