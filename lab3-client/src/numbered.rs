//! What a number means in the last list of trash or of conflict copies that this user was shown.
//!
//! One small file for each list and server, written whole once all rows are at hand. A row is kept
//! as whatever says exactly what was shown, so that a number never means anything else.
#![expect(clippy::disallowed_methods, reason = "what was shown is remembered in a file")]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::aside::Aside;
use crate::failure::Failure;

const MAGIC: &[u8] = b"lab3 numbered 1";

/// A list that numbers belong to.
#[derive(Clone, Debug)]
pub struct Numbered {
    file: PathBuf,
    command: &'static str,
}

impl Numbered {
    /// The list that this command prints of this server, remembered in this folder.
    #[must_use]
    pub fn of(folder: &Path, command: &'static str, server: &str) -> Numbered {
        let mut name = format!("{command}-");
        for byte in server.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => name.push(byte as char),
                byte => name.push_str(&format!("%{byte:02x}")),
            }
        }
        // An address may be longer than a file name may be.
        name.truncate(200);
        Numbered { file: folder.join(name), command }
    }

    /// Forgets the last list: its numbers mean nothing once another one is printed.
    pub fn forget(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unwritten(&error)),
            _ => Ok(()),
        }
    }

    /// Remembers rows, none of which holds a zero byte.
    pub fn remember(&self, rows: &[Vec<u8>]) -> Result<(), Failure> {
        self.write(rows).map_err(|error| self.unwritten(&error))
    }

    /// The row with this number.
    pub fn row(&self, number: u64) -> Result<Vec<u8>, Failure> {
        let text = match fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.refused("a number means nothing before a list was printed"));
            }
            Err(error) => return Err(self.refused(format!("cannot read the last list: {error}"))),
        };
        let mut rows = text.split(|&byte| byte == 0);
        // The end is marked, so that a file cut short is known as such.
        let whole = text.ends_with(b"\0\0") || text == [MAGIC, b"\0"].concat();
        if rows.next() != Some(MAGIC) || !whole {
            return Err(self.refused("what was listed last is damaged"));
        }
        let row = usize::try_from(number).ok().and_then(|number| rows.nth(number));
        row.filter(|row| !row.is_empty())
            .map(<[u8]>::to_vec)
            .ok_or_else(|| self.refused(format!("there is no number {number} in the last list")))
    }

    fn write(&self, rows: &[Vec<u8>]) -> io::Result<()> {
        let mut aside = Aside::begin(&self.file)?;
        aside.write_all(&[MAGIC, b"\0"].concat())?;
        for row in rows {
            aside.write_all(row)?;
            aside.write_all(b"\0")?;
        }
        if !rows.is_empty() {
            aside.write_all(b"\0")?;
        }
        aside.finish()
    }

    fn refused(&self, message: impl Into<String>) -> Failure {
        Failure::refused(message, format!("run `lab3 {}` first", self.command))
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        Failure::refused(
            format!("cannot remember the list: {error}"),
            "name a folder that can be written in `LAB3_CACHE_DIR`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_the_row_that_was_listed_under_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = Numbered::of(folder.path(), "trash", "127.0.0.1:1");
        assert!(list.row(0).is_err(), "nothing was listed");
        list.remember(&[b"one".to_vec(), b"two\xff".to_vec()]).expect("remembered");
        assert_eq!(list.row(1).expect("a row"), b"two\xff");
        assert!(list.row(2).is_err() && list.row(u64::MAX).is_err());
        let other = Numbered::of(folder.path(), "trash", "127.0.0.1:2");
        assert!(other.row(0).is_err(), "each server has its own list");
        fs::write(&list.file, b"lab3 numbered 1\0on").expect("written");
        assert!(list.row(0).is_err(), "cut short");
        list.remember(&[]).expect("remembered");
        assert!(list.row(0).is_err(), "an empty list has no number");
        list.forget().expect("forgotten");
        list.forget().expect("forgotten twice");
    }
}
