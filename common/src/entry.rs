//! What can stand at a path. Absence is `Option::None`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::time::Timestamp;

/// A file, a directory or a symbolic link.
///
/// A clone shares what it is of: trees that have the same entry have it once in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A regular file.
    File(Arc<File>),
    /// A symbolic link, never followed.
    Link(Arc<Link>),
    /// A directory; its times are its own and not compared.
    Dir {
        /// Permission bits, `0o777` at most.
        #[serde(deserialize_with = "permissions")]
        mode: u32,
    },
}

/// A regular file: its content by digest, and its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct File {
    /// Identity of the content.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits, `0o777` at most.
    pub mode: u32,
    /// Time of the last modification.
    pub modified: Timestamp,
}

/// A file without the names of its fields: digest, size, mode, time of modification. There are very
/// many of them.
type Fields = (Digest, u64, u32, Timestamp);

impl From<Fields> for File {
    fn from((digest, size, mode, modified): Fields) -> File {
        File { digest, size, mode: mode & PERMISSIONS, modified }
    }
}

impl From<File> for Fields {
    fn from(file: File) -> Fields {
        (file.digest, file.size, file.mode, file.modified)
    }
}

/// The permission bits of a mode that somebody told. Set-id and sticky bits, and whatever else one
/// may say, never come from elsewhere: two sides that cannot have them would never agree on them.
fn permissions<'de, D: Deserializer<'de>>(de: D) -> Result<u32, D::Error> {
    Ok(u32::deserialize(de)? & PERMISSIONS)
}

const PERMISSIONS: u32 = 0o777;

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it points: any bytes, never interpreted.
    #[serde(with = "bytes_arc")]
    pub target: Arc<[u8]>,
    /// Time of the last modification; carried, not compared.
    pub modified: Timestamp,
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory.
    Dir,
}

impl Entry {
    /// Which kind of entry it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Entry::File(_) => Kind::File,
            Entry::Link(_) => Kind::Link,
            Entry::Dir { .. } => Kind::Dir,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self, Entry::Dir { .. })
    }

    /// The file, when it is one.
    #[must_use]
    pub fn as_file(&self) -> Option<&File> {
        match self {
            Entry::File(file) => Some(file),
            _ => None,
        }
    }

    /// Size in bytes as a listing shows it: of a link, its target's length.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Entry::File(file) => file.size,
            Entry::Link(link) => link.target.len() as u64,
            Entry::Dir { .. } => 0,
        }
    }

    /// Time of the last modification; directories have none that we keep.
    #[must_use]
    pub fn modified(&self) -> Option<Timestamp> {
        match self {
            Entry::File(file) => Some(file.modified),
            Entry::Link(link) => Some(link.modified),
            Entry::Dir { .. } => None,
        }
    }

    /// Whether both have the same content; metadata may differ.
    #[must_use]
    pub fn same_content(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::File(a), Entry::File(b)) => a.digest == b.digest,
            (Entry::Link(a), Entry::Link(b)) => a.target == b.target,
            (Entry::Dir { .. }, Entry::Dir { .. }) => true,
            _ => false,
        }
    }

    /// Whether nothing that is synchronized differs: all but the time of a link.
    #[must_use]
    pub fn same(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::Link(a), Entry::Link(b)) => a.target == b.target,
            _ => self == other,
        }
    }
}

impl From<File> for Entry {
    fn from(file: File) -> Entry {
        Entry::File(Arc::new(file))
    }
}

impl From<Link> for Entry {
    fn from(link: Link) -> Entry {
        Entry::Link(Arc::new(link))
    }
}

/// So that rows of different maps are compared alike.
impl AsRef<Entry> for Entry {
    fn as_ref(&self) -> &Entry {
        self
    }
}

/// [`Entry::same`] for entries that may be absent.
#[must_use]
pub fn same(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same(b),
        (None, None) => true,
        _ => false,
    }
}

mod bytes_arc {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::limits::LINK_BYTES_MAX;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Arc<[u8]>, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(de)?;
        if bytes.is_empty() || bytes.len() > LINK_BYTES_MAX || bytes.contains(&0) {
            return Err(serde::de::Error::custom("not a link target"));
        }
        Ok(bytes.as_slice().into())
    }
}
