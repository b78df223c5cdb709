//! A small file of ours that is written aside and takes its place when it is whole.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it is a file")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What is being written. Nothing is left of it unless it is finished.
#[derive(Debug)]
pub struct Aside {
    out: BufWriter<File>,
    aside: PathBuf,
    place: PathBuf,
    finished: bool,
}

impl Aside {
    /// Begins a file for this place; makes the folder that it is in.
    ///
    /// # Errors
    ///
    /// When the folder or the file beside the place cannot be made.
    pub fn begin(place: &Path) -> io::Result<Aside> {
        if let Some(folder) = place.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut aside = place.to_path_buf().into_os_string();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let mut how = OpenOptions::new();
        how.write(true).create(true).truncate(true).mode(0o600);
        let out = BufWriter::new(how.open(&aside)?);
        Ok(Aside { out, aside, place: place.to_path_buf(), finished: false })
    }

    /// It is whole, and takes its place.
    ///
    /// # Errors
    ///
    /// When the last bytes cannot be written, or the place not be taken.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        fs::rename(&self.aside, &self.place)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.finished {
            // A leftover is small and of no effect; the next one of this process id takes it.
            let _ = fs::remove_file(&self.aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_leaves_the_old_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("new folder/list");
        for (text, finishes) in [("old", true), ("half", false)] {
            let mut aside = Aside::begin(&place).expect("begun");
            aside.write_all(text.as_bytes()).expect("written");
            if finishes {
                aside.finish().expect("finished");
            }
        }
        assert_eq!(fs::read_to_string(&place).expect("read"), "old");
        let beside = fs::read_dir(place.parent().expect("a folder")).expect("a folder");
        assert_eq!(beside.count(), 1);
    }
}
