//! What is under way with a name in `stage/`, written before it begins.
//!
//! `NAME.intent` is written before an exchange or a removal and removed after `NAME` has left
//! `stage/`. It holds what recovery needs and cannot see: the path, what was expected there, and
//! the inode of the new version. The inode decides: while `NAME` is that inode, nothing has been
//! exchanged; once it is another, what lies there came out of the tree.

use std::io;

use rustix::fs::RenameFlags;

use crate::digest::Digest;
use crate::entry::{Entry, Kind};
use crate::path::RelPath;
use crate::replica::note;
use crate::replica::stage::Stage;
use crate::replica::step::{Step, StepError};

/// The end of an intent's name.
pub const SUFFIX: &[u8] = b".intent";

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// At which path.
    pub path: RelPath,
    /// What for.
    pub verb: Verb,
    /// What was expected at the path.
    pub before: Identity,
    /// Where a copy of that stands; without it, it does not go to the trash.
    pub copy: Option<RelPath>,
}

/// Why something leaves the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To make room for a new version, which is this inode (zero: it was never under this name).
    Replace(u64),
    /// To be deleted.
    Delete,
}

/// The kind and content of an entry, without its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What kind of entry.
    pub kind: Kind,
    /// The digest of a file's content or of a link's target; of nothing for a directory.
    pub digest: Digest,
}

impl Identity {
    /// The identity of an entry.
    #[must_use]
    pub fn of(entry: &Entry) -> Identity {
        let digest = match entry {
            Entry::File(file) => file.digest,
            Entry::Link(link) => Digest::of(&link.target),
            Entry::Dir { .. } => Digest::of(b""),
        };
        Identity { kind: entry.kind(), digest }
    }
}

impl Intent {
    /// Writes it down for a name in `stage/`.
    pub fn write(&self, stage: &Stage, name: &[u8]) -> Result<(), StepError> {
        self.note(stage, &name_for(name))
    }

    /// Writes it down in place of an earlier one.
    pub fn rewrite(&self, stage: &Stage, name: &[u8]) -> Result<(), StepError> {
        let fresh = stage.new_name();
        self.note(stage, &fresh)?;
        let to = name_for(name);
        let renamed = stage.handle().rename(&fresh, stage.handle(), &to, RenameFlags::empty());
        renamed.step("write down what is under way").inspect_err(|_| stage.discard(&fresh))
    }

    fn note(&self, stage: &Stage, name: &[u8]) -> Result<(), StepError> {
        note::write(stage.handle(), name, &self.record()).step("write down what is under way")
    }

    fn record(&self) -> Vec<u8> {
        let verb = match self.verb {
            Verb::Replace(inode) => format!("replace {inode}"),
            Verb::Delete => "delete 0".to_owned(),
        };
        let kind = match self.before.kind {
            Kind::File => "file",
            Kind::Link => "link",
            Kind::Dir => "dir",
        };
        let path = self.path.as_bytes();
        let (length, copy) = match &self.copy {
            Some(copy) => (format!(" {}", path.len()), copy.as_bytes()),
            None => (String::new(), [].as_slice()),
        };
        let head = format!("{verb} {kind} {}{length}\n", self.before.digest);
        [head.as_bytes(), path, copy].concat()
    }

    /// Says that nothing is under way with a name any more. Where the version went to the trash its
    /// intent went along, and nothing is left to be removed.
    pub fn clear(stage: &Stage, name: &[u8]) {
        // One that stays names something that is not there: recovery drops it.
        let _ = note::remove(stage.handle(), &name_for(name));
    }

    /// Reads it; `None` when it is not one.
    pub fn read(stage: &Stage, name: &[u8]) -> io::Result<Option<Intent>> {
        match note::read(stage.handle(), &name_for(name)) {
            Ok(record) => Ok(Intent::parse(&record)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads what was written; `None` when it is no intent.
    #[must_use]
    pub fn parse(record: &[u8]) -> Option<Intent> {
        let line = record.iter().position(|&b| b == b'\n')?;
        let head = std::str::from_utf8(&record[..line]).ok()?;
        let mut words = head.split(' ');
        let mut word = || words.next();
        let (verb, inode) = (word()?, word()?.parse().ok()?);
        let verb = match verb {
            "replace" => Verb::Replace(inode),
            "delete" => Verb::Delete,
            _ => return None,
        };
        let kind = match word()? {
            "file" => Kind::File,
            "link" => Kind::Link,
            "dir" => Kind::Dir,
            _ => return None,
        };
        let before = Identity { kind, digest: Digest::parse(word()?)? };
        let paths = &record[line + 1..];
        let (path, copy) = match word() {
            Some(length) => paths.split_at_checked(length.parse().ok()?)?,
            None => (paths, [].as_slice()),
        };
        let copy = if copy.is_empty() { None } else { Some(RelPath::new(copy).ok()?) };
        Some(Intent { path: RelPath::new(path).ok()?, verb, before, copy })
    }
}

/// The name of the intent of a name in `stage/`.
#[must_use]
pub fn name_for(name: &[u8]) -> Vec<u8> {
    [name, SUFFIX].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for an intent, and read again.
    fn kept(intent: &Intent) -> Option<Intent> {
        Intent::parse(&intent.record())
    }

    #[test]
    fn an_intent_is_read_as_it_was_written_with_any_names() {
        let path = |name: &str| RelPath::new(name).expect("a valid path");
        let before = Identity { kind: Kind::Link, digest: Digest::of(b"old") };
        for (at, copy) in [("d/f", None), ("d/\nf 7\n", Some("d/f.copy\n")), ("f", Some("g"))] {
            for verb in [Verb::Replace(0), Verb::Replace(u64::MAX), Verb::Delete] {
                let intent = Intent { path: path(at), verb, before, copy: copy.map(path) };
                assert_eq!(kept(&intent).as_ref(), Some(&intent));
            }
        }
    }

    #[test]
    fn what_is_cut_or_means_nothing_is_no_intent() {
        let path = RelPath::new("some/file").expect("a valid path");
        let before = Identity { kind: Kind::File, digest: Digest::of(b"old") };
        let copy = Some(path.clone());
        let record = Intent { path, verb: Verb::Replace(5), before, copy }.record();
        let head = record.iter().position(|&b| b == b'\n').expect("a line");
        for cut in 0..=head + "some/file".len() - 1 {
            assert_eq!(Intent::parse(&record[..cut]), None, "cut at {cut}");
        }
    }
}
