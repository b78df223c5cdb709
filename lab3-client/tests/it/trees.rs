//! What is in a directory, as users see it, and what users do there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::replica::trash::{Keep, Trash};
use common::side::Side;

use crate::server::until;

/// What stands at a name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File { content: Vec<u8>, mode: u32, modified: (i64, i64) },
    Dir { mode: u32 },
    Link { target: Vec<u8> },
    Other,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Node::File { content, mode, modified: (s, n) } => {
                let shown = String::from_utf8_lossy(&content[..content.len().min(40)]);
                write!(f, "file {shown:?} of {} bytes, {mode:o}, {s}.{n:09}", content.len())
            }
            Node::Dir { mode } => write!(f, "directory, {mode:o}"),
            Node::Link { target } => write!(f, "link to {:?}", OsStr::from_bytes(target)),
            Node::Other => f.write_str("something else"),
        }
    }
}

pub(crate) type Nodes = BTreeMap<Vec<u8>, Node>;

/// Everything in a directory that is at rest, but for `.lab3`.
#[track_caller]
pub(crate) fn read(root: &Path) -> Nodes {
    try_read(root).expect("a directory at rest")
}

/// Everything in a directory that somebody may be changing or removing, in a moment in which
/// nothing that was listed had gone.
#[track_caller]
pub(crate) fn read_moving(root: &Path) -> Nodes {
    let mut nodes = None;
    until("a directory holds still", || {
        nodes = match try_read(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && root.exists() => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Nodes::new()),
            read => Some(read.expect("a directory")),
        };
        nodes.is_some()
    });
    nodes.unwrap_or_default()
}

fn try_read(root: &Path) -> io::Result<Nodes> {
    let mut nodes = Nodes::new();
    walk(root, b"", &mut nodes)?;
    Ok(nodes)
}

fn walk(directory: &Path, prefix: &[u8], nodes: &mut Nodes) -> io::Result<()> {
    for item in fs::read_dir(directory)? {
        let item = item?;
        if prefix.is_empty() && item.file_name() == ".lab3" {
            continue;
        }
        let name = [prefix, item.file_name().as_bytes()].concat();
        let about = item.metadata()?;
        let mode = about.mode() & 0o7777;
        let node = if about.is_dir() {
            walk(&item.path(), &[&name, b"/".as_slice()].concat(), nodes)?;
            Node::Dir { mode }
        } else if about.is_symlink() {
            let target = fs::read_link(item.path())?;
            Node::Link { target: target.as_os_str().as_bytes().to_vec() }
        } else if about.is_file() {
            let content = fs::read(item.path())?;
            Node::File { content, mode, modified: (about.mtime(), about.mtime_nsec()) }
        } else {
            Node::Other
        };
        nodes.insert(name, node);
    }
    Ok(())
}

/// The names at which two directories differ.
pub(crate) fn differences<'n>(a: &'n Nodes, b: &'n Nodes) -> BTreeSet<&'n [u8]> {
    let names = a.keys().chain(b.keys());
    names.filter(|name| a.get(*name) != b.get(*name)).map(Vec::as_slice).collect()
}

/// Writes a file, and the directories above it.
#[track_caller]
pub(crate) fn put(root: &Path, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
    let path = root.join(name.as_ref());
    fs::create_dir_all(path.parent().expect("below a root")).expect("directories");
    fs::write(path, content).expect("a file is written");
}

/// Writes a file, and makes it look last modified so many seconds after the epoch.
#[track_caller]
pub(crate) fn put_at(root: &Path, name: &str, content: &str, seconds: u64) {
    put(root, name, content);
    set_modified(root, name, Duration::from_secs(seconds));
}

/// Makes a file look last modified so long after the epoch.
#[track_caller]
pub(crate) fn set_modified(root: &Path, name: &str, since_epoch: Duration) {
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + since_epoch);
    let file = File::open(root.join(name)).expect("a file");
    file.set_times(times).expect("its time is set");
}

/// Sets permission bits.
#[track_caller]
pub(crate) fn chmod(root: &Path, name: &str, mode: u32) {
    fs::set_permissions(root.join(name), Permissions::from_mode(mode)).expect("its mode is set");
}

/// Removes a file, a link or a directory with all that is in it.
#[track_caller]
pub(crate) fn remove(root: &Path, name: &str) {
    let path = root.join(name);
    let is_dir = fs::symlink_metadata(&path).expect("something").is_dir();
    if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
}

/// Renames.
#[track_caller]
pub(crate) fn rename(root: &Path, from: &str, to: &str) {
    fs::rename(root.join(from), root.join(to)).expect("renamed");
}

/// Makes a link.
#[track_caller]
pub(crate) fn link(root: &Path, target: impl AsRef<OsStr>, name: &str) {
    std::os::unix::fs::symlink(target.as_ref(), root.join(name)).expect("a link");
}

/// The text of a file, if it is there.
pub(crate) fn text(root: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(root.join(name)).ok()?;
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

/// What is in the trash of a root: path, why, and content.
pub(crate) fn trash(root: &Path) -> Vec<(String, String, String)> {
    let handle = File::open(root.join(".lab3/trash")).expect("a trash");
    let trash = Trash::new(handle.into(), Side::A, Keep::default(), 0);
    let folded = folded(root);
    let mut found = Vec::new();
    for trashed in trash.list().expect("records") {
        let content = fs::read(root.join(".lab3/trash").join(&trashed.id)).unwrap_or_default();
        let content = String::from_utf8_lossy(&content).into_owned();
        found.push((trashed.path.to_string(), trashed.reason.to_string(), content));
    }
    // It may have been unfolded meanwhile.
    found.extend(folded.into_iter().filter(|row| !found.contains(row)).collect::<Vec<_>>());
    found.sort();
    found
}

/// What lies in the trash in directories that went there whole.
fn folded(root: &Path) -> Vec<(String, String, String)> {
    let trash = root.join(".lab3/trash");
    let mut found = Vec::new();
    for top in fs::read_dir(&trash).into_iter().flatten().flatten() {
        let record = fs::read_link(trash.join(top.file_name()).with_extension("about"));
        let is_dir = top.file_type().is_ok_and(|kind| kind.is_dir());
        let (true, Ok(record)) = (is_dir, record) else { continue };
        let record = record.to_string_lossy().into_owned();
        let path = record.split_once('\n').expect("a record").1.to_owned();
        let mut work = vec![(top.path(), path)];
        while let Some((at, path)) = work.pop() {
            if let Ok(content) = fs::read(&at) {
                let content = String::from_utf8_lossy(&content).into_owned();
                found.push((path.clone(), "deleted".to_owned(), content));
            }
            for below in fs::read_dir(&at).into_iter().flatten().flatten() {
                let name = below.file_name().to_string_lossy().into_owned();
                work.push((below.path(), format!("{path}/{name}")));
            }
        }
    }
    found
}

/// Whether the trash holds this.
pub(crate) fn in_trash(root: &Path, name: &str, reason: &str, content: &str) -> bool {
    let wanted = (name.to_owned(), reason.to_owned(), content.to_owned());
    trash(root).contains(&wanted)
}
