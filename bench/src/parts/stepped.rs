//! The way into a tree where there is no `openat2`: valgrind does not know that call. Names are
//! opened one after the other, never following a link; all else is what the handle does.
//!
//! Only what is counted goes this way. It trusts that nobody exchanges anything meanwhile.

use std::any::Any;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use common::replica::disk::{Asked, Handle, Node, Open};
use common::replica::stamp::Stamp;
use common::time::Timestamp;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

/// A handle that walks step by step.
#[derive(Debug)]
struct Stepped(Handle);

/// The same handle, walking step by step.
pub(super) fn stepped(handle: Handle) -> Handle {
    Handle::new(Stepped(handle))
}

/// What the kernel knows of a handle.
fn inner(handle: &Handle) -> &Handle {
    handle.as_any().downcast_ref::<Stepped>().map_or(handle, |stepped| &stepped.0)
}

impl Node for Stepped {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.descriptor()
    }

    fn stat(&self) -> Result<Stamp, Errno> {
        self.0.stat()
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        self.0.set_mode(mode)
    }

    fn set_modified(&self, modified: Timestamp) -> Result<(), Errno> {
        self.0.set_modified(modified)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.0.sync()
    }

    fn sync_data(&self) -> Result<(), Errno> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> Result<(), Errno> {
        self.0.sync_all()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, size: u64) -> Result<(), Errno> {
        self.0.set_len(size)
    }

    fn take_blocks(&self, other: &Handle) -> Result<(), Errno> {
        self.0.take_blocks(inner(other))
    }

    fn ask_lease(&self) -> Asked {
        self.0.ask_lease()
    }

    fn holds_lease(&self) -> bool {
        self.0.holds_lease()
    }

    fn end_lease(&self) {
        self.0.end_lease();
    }

    fn open_beneath(&self, path: &[u8], how: Open) -> Result<Handle, Errno> {
        let mut names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let last = names.pop().unwrap_or(b".");
        let mut at = self.0.clone();
        for name in names {
            at = at.open_at(name, Open::Passage)?;
        }
        Ok(stepped(at.open_at(last, how)?))
    }

    fn open_at(&self, name: &[u8], how: Open) -> Result<Handle, Errno> {
        Ok(stepped(self.0.open_at(name, how)?))
    }

    fn stat_at(&self, name: &[u8]) -> Result<Stamp, Errno> {
        self.0.stat_at(name)
    }

    fn is_mount_at(&self, name: &[u8]) -> Result<bool, Errno> {
        self.0.is_mount_at(name)
    }

    fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.0.names()
    }

    fn make_directory(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        self.0.make_directory(name, mode)
    }

    fn make_link(&self, target: &[u8], name: &[u8]) -> Result<(), Errno> {
        self.0.make_link(target, name)
    }

    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.0.read_link(name)
    }

    fn rename(
        &self,
        name: &[u8],
        to: &Handle,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.0.rename(name, inner(to), new, flags)
    }

    fn link(&self, name: &[u8], to: &Handle, new: &[u8]) -> Result<(), Errno> {
        self.0.link(name, inner(to), new)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.0.remove(name)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.0.remove_directory(name)
    }

    fn set_mode_at(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        self.0.set_mode_at(name, mode)
    }

    fn set_modified_at(&self, name: &[u8], modified: Timestamp) -> Result<(), Errno> {
        self.0.set_modified_at(name, modified)
    }

    fn stat_path(&self, path: &Path) -> Result<Stamp, Errno> {
        self.0.stat_path(path)
    }

    fn pause(&self, time: Duration) {
        self.0.pause(time);
    }
}
