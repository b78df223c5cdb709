//! What a stat call tells of a file: enough to see that it is still the one that was read.

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Identity, size and times of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode number; recycled by file systems, so never enough alone.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification; a user can set it.
    pub modified: Timestamp,
    /// Time of the last change of anything; nobody can set it. A rename changes it.
    pub changed: Timestamp,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Number of names.
    pub links: u64,
}

/// A stamp without the names of its fields, in their order.
type Fields = (u64, u64, u64, Timestamp, Timestamp, u32, u64);

impl From<Fields> for Stamp {
    fn from((dev, ino, size, modified, changed, mode, links): Fields) -> Stamp {
        Stamp { dev, ino, size, modified, changed, mode, links }
    }
}

impl From<Stamp> for Fields {
    fn from(s: Stamp) -> Fields {
        (s.dev, s.ino, s.size, s.modified, s.changed, s.mode, s.links)
    }
}

impl Stamp {
    /// Whether both are of one inode.
    #[must_use]
    pub fn same_inode(&self, other: &Stamp) -> bool {
        self.dev == other.dev && self.ino == other.ino
    }

    /// Whether nothing moved between the two but what our own rename moves: the time of change.
    #[must_use]
    pub fn same_but_renamed(&self, other: &Stamp) -> bool {
        let aligned = Stamp { changed: other.changed, links: other.links, ..*self };
        aligned == *other
    }

    /// Whether nothing of the file itself moved between the two: all but the number of names.
    #[must_use]
    pub fn same_version(&self, other: &Stamp) -> bool {
        let aligned = Stamp { links: other.links, ..*self };
        aligned == *other
    }

    /// What sort of thing it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode as _)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    /// The permission bits that are synchronized. Set-id and sticky bits stay what they are.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.mode & 0o777
    }
}
