//! A place of ours that stays the one that was opened, whatever has its name by now.
//!
//! `.lab3` lies in the root, so whoever may write there may rename it and put another one in its
//! place. What a server goes on to write by names, it writes beneath its open `.lab3`: the kernel
//! takes `/proc/self/fd/N` for that directory. The number is ours as long as a path of it is there.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Where our open files are, by their numbers.
const OPEN: &str = "/proc/self/fd";

/// A path of ours, which holds open what it leads through.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    path: PathBuf,
    _open: Option<Arc<OwnedFd>>,
}

impl Kept {
    /// A name in an open directory.
    #[must_use]
    pub fn within(directory: Arc<OwnedFd>, name: &str) -> Kept {
        let path = Path::new(OPEN).join(directory.as_raw_fd().to_string()).join(name);
        Kept { path, _open: Some(directory) }
    }
}

impl Deref for Kept {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl<P: AsRef<OsStr> + ?Sized> From<&P> for Kept {
    fn from(path: &P) -> Kept {
        PathBuf::from(path).into()
    }
}

impl From<PathBuf> for Kept {
    fn from(path: PathBuf) -> Kept {
        Kept { path, _open: None }
    }
}

/// A path as people know it: where the open directory is now, and what is in it.
#[must_use]
pub fn shown(path: &Path) -> PathBuf {
    let Ok(rest) = path.strip_prefix(OPEN) else { return path.to_owned() };
    let mut steps = rest.components();
    let Some(Component::Normal(number)) = steps.next() else { return path.to_owned() };
    match std::fs::read_link(Path::new(OPEN).join(number)) {
        Ok(place) => place.join(steps.as_path()),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_where_the_open_directory_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::create_dir(&old).expect("made");
        let open = Arc::new(OwnedFd::from(std::fs::File::open(&old).expect("opened")));
        let kept = Kept::within(open, "pending");
        std::fs::rename(&old, &new).expect("renamed");
        std::fs::create_dir(&old).expect("another one");
        std::fs::write(&*kept, "x").expect("written");
        assert!(new.join("pending").exists() && !old.join("pending").exists());
        assert_eq!(shown(&kept), new.canonicalize().expect("it is there").join("pending"));
        assert_eq!(shown(&kept.join("1.held")), shown(&kept).join("1.held"));
        assert_eq!(shown(&new), new);
        assert_eq!(&*Kept::from(&new), new);
    }
}
