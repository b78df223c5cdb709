//! The disk in memory behind the calls that a replica makes.

use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::replica::disk::{Asked, Handle, Node, Open};
use common::replica::stamp::Stamp;
use common::time::Timestamp;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::disk::files::{Body, Files, ROOT, Uid};
use crate::disk::{Killed, Verdict};

const READ: u32 = 0o400;
const WRITE: u32 = 0o200;
const SEARCH: u32 = 0o100;

/// A disk in memory; a clone is the same disk.
#[derive(Clone)]
pub(crate) struct Disk(pub(crate) Arc<Mutex<Files>>);

/// An open file or directory.
struct Descriptor {
    disk: Disk,
    uid: Uid,
    how: Open,
    boot: u64,
}

impl Disk {
    pub(crate) fn new(files: Files) -> Disk {
        Disk(Arc::new(Mutex::new(files)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a directory by its path from the root.
    pub(crate) fn open(&self, path: &[u8]) -> Handle {
        let uid = self.lock().at(path).expect("the directory is there");
        self.descriptor(&mut self.lock(), uid, Open::Directory)
    }

    fn descriptor(&self, files: &mut Files, uid: Uid, how: Open) -> Handle {
        let opened = files.opened.entry(uid).or_default();
        opened.all += 1;
        opened.writers += u32::from(matches!(how, Open::New | Open::Write));
        Handle::new(Descriptor { disk: self.clone(), uid, how, boot: files.boot })
    }
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}", self.how, self.uid)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let mut files = self.disk.lock();
        if self.boot != files.boot {
            return;
        }
        if let Some(opened) = files.opened.get_mut(&self.uid) {
            opened.all -= 1;
            opened.writers -= u32::from(matches!(self.how, Open::New | Open::Write));
        }
        files.forget(self.uid);
    }
}

impl Descriptor {
    /// Every call begins here: anything may happen before it.
    fn enter(&self, call: &'static str) -> Result<MutexGuard<'_, Files>, Errno> {
        let mut files = self.disk.lock();
        if self.boot != files.boot {
            return Err(Errno::BADF);
        }
        files.tick();
        files.calls += 1;
        let Some(mut whim) = files.whim.take() else { return Ok(files) };
        let verdict = whim(&mut files, call);
        files.whim = Some(whim);
        match verdict {
            Verdict::Go => Ok(files),
            Verdict::Fail(error) => {
                match call {
                    "sync" | "sync_data" => files.fail_flush(Some(self.uid)),
                    "sync_all" => files.fail_flush(None),
                    _ => {}
                }
                Err(error)
            }
            Verdict::Stop => {
                drop(files);
                resume_unwind(Box::new(Killed));
            }
        }
    }

    fn other(&self, handle: &Handle) -> Result<Uid, Errno> {
        let other = handle.as_any().downcast_ref::<Descriptor>().ok_or(Errno::XDEV)?;
        if Arc::ptr_eq(&self.disk.0, &other.disk.0) { Ok(other.uid) } else { Err(Errno::XDEV) }
    }

    fn open_found(&self, files: &mut Files, uid: Uid, how: Open) -> Result<Handle, Errno> {
        let is_dir = matches!(files.get(uid).body, Body::Dir(_));
        let is_link = matches!(files.get(uid).body, Body::Link(_));
        match how {
            Open::Directory | Open::Passage if !is_dir => return Err(Errno::NOTDIR),
            Open::Read | Open::Write if is_link => return Err(Errno::LOOP),
            Open::Write if is_dir => return Err(Errno::ISDIR),
            Open::New => return Err(Errno::EXIST),
            Open::Read | Open::Directory => may(files, uid, READ)?,
            Open::Write => may(files, uid, READ | WRITE)?,
            _ => {}
        }
        Ok(self.disk.descriptor(files, uid, how))
    }
}

fn may(files: &Files, uid: Uid, bits: u32) -> Result<(), Errno> {
    if files.get(uid).mode & bits == bits { Ok(()) } else { Err(Errno::ACCESS) }
}

fn step(files: &Files, dir: Uid, name: &[u8]) -> Result<Uid, Errno> {
    files.names(dir)?;
    may(files, dir, SEARCH)?;
    if name == b"." { Ok(dir) } else { files.find(dir, name) }
}

/// Whether what is in a directory may be changed.
fn may_change(files: &Files, dir: Uid) -> Result<(), Errno> {
    files.names(dir)?;
    may(files, dir, WRITE | SEARCH)
}

impl Node for Descriptor {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stat(&self) -> Result<Stamp, Errno> {
        Ok(self.enter("stat")?.stamp(self.uid))
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mut files = self.enter("set_mode")?;
        if self.how == Open::Passage {
            return Err(Errno::BADF);
        }
        files.chmod(self.uid, mode);
        Ok(())
    }

    fn set_modified(&self, modified: Timestamp) -> Result<(), Errno> {
        self.enter("set_modified")?.utimens(self.uid, modified);
        Ok(())
    }

    fn sync(&self) -> Result<(), Errno> {
        let mut files = self.enter("sync")?;
        if self.how == Open::Passage {
            return Err(Errno::BADF);
        }
        files.fsync(self.uid);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Errno> {
        self.enter("sync_data")?.fsync(self.uid);
        Ok(())
    }

    fn sync_all(&self) -> Result<(), Errno> {
        self.enter("sync_all")?.syncfs();
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let files = self.enter("read_at")?;
        if matches!(files.get(self.uid).body, Body::Dir(_)) {
            return Err(Errno::ISDIR);
        }
        let content = files.content(self.uid);
        let from = content.len().min(offset as usize);
        let n = buffer.len().min(content.len() - from);
        buffer[..n].copy_from_slice(&content[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let mut files = self.enter("write_at")?;
        let mut content = files.content(self.uid).to_vec();
        let (from, end) = (offset as usize, offset as usize + bytes.len());
        content.resize(content.len().max(end), 0);
        content[from..end].copy_from_slice(bytes);
        files.set_content(self.uid, content)?;
        Ok(bytes.len())
    }

    fn set_len(&self, size: u64) -> Result<(), Errno> {
        let mut files = self.enter("set_len")?;
        let mut content = files.content(self.uid).to_vec();
        content.resize(size as usize, 0);
        files.set_content(self.uid, content)
    }

    fn take_blocks(&self, other: &Handle) -> Result<(), Errno> {
        drop(self.enter("take_blocks")?);
        self.other(other)?;
        Err(Errno::OPNOTSUPP)
    }

    fn ask_lease(&self) -> Asked {
        let Ok(mut files) = self.enter("ask_lease") else { return Asked::Unsupported };
        if !files.features.lease || files.get(self.uid).body != Body::File {
            return Asked::Unsupported;
        }
        if files.opened.get(&self.uid).is_some_and(|opened| opened.writers > 0) {
            return Asked::Hot;
        }
        files.leases.insert(self.uid, false);
        Asked::Granted
    }

    fn holds_lease(&self) -> bool {
        let Ok(files) = self.enter("holds_lease") else { return false };
        files.leases.get(&self.uid) == Some(&false)
    }

    fn end_lease(&self) {
        let mut files = self.disk.lock();
        if self.boot == files.boot {
            files.end_lease(self.uid);
        }
    }

    fn open_beneath(&self, path: &[u8], how: Open) -> Result<Handle, Errno> {
        let mut files = self.enter("open_beneath")?;
        let mut uid = self.uid;
        for name in path.split(|&b| b == b'/') {
            uid = step(&files, uid, name)?;
            if matches!(files.get(uid).body, Body::Link(_)) {
                return Err(Errno::LOOP);
            }
        }
        self.open_found(&mut files, uid, how)
    }

    fn open_at(&self, name: &[u8], how: Open) -> Result<Handle, Errno> {
        let mut files = self.enter("open_at")?;
        match step(&files, self.uid, name) {
            Err(Errno::NOENT) if how == Open::New => {
                may_change(&files, self.uid)?;
                let uid = files.make(self.uid, name, Body::File, 0o600)?;
                Ok(self.disk.descriptor(&mut files, uid, how))
            }
            found => self.open_found(&mut files, found?, how),
        }
    }

    fn stat_at(&self, name: &[u8]) -> Result<Stamp, Errno> {
        let files = self.enter("stat_at")?;
        Ok(files.stamp(step(&files, self.uid, name)?))
    }

    fn is_mount_at(&self, _: &[u8]) -> Result<bool, Errno> {
        self.enter("is_mount_at").map(|_| false)
    }

    fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let files = self.enter("names")?;
        if self.how == Open::Passage {
            return Err(Errno::BADF);
        }
        Ok(files.names(self.uid)?.keys().cloned().collect())
    }

    fn make_directory(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        let mut files = self.enter("make_directory")?;
        may_change(&files, self.uid)?;
        files.make(self.uid, name, Body::Dir(BTreeMap::new()), mode).map(drop)
    }

    fn make_link(&self, target: &[u8], name: &[u8]) -> Result<(), Errno> {
        let mut files = self.enter("make_link")?;
        may_change(&files, self.uid)?;
        files.make(self.uid, name, Body::Link(target.to_vec()), 0o777).map(drop)
    }

    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let files = self.enter("read_link")?;
        match &files.get(step(&files, self.uid, name)?).body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    fn rename(
        &self,
        name: &[u8],
        to: &Handle,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let mut files = self.enter("rename")?;
        let to = self.other(to)?;
        may_change(&files, self.uid)?;
        may_change(&files, to)?;
        let moved = [Ok(files.find(self.uid, name)?), files.find(to, new)];
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        for uid in moved.into_iter().take(if exchange { 2 } else { 1 }).flatten() {
            let is_dir = matches!(files.get(uid).body, Body::Dir(_));
            if is_dir && self.uid != to {
                may(&files, uid, WRITE)?;
            }
        }
        files.rename((self.uid, name), (to, new), flags)
    }

    fn link(&self, name: &[u8], to: &Handle, new: &[u8]) -> Result<(), Errno> {
        let mut files = self.enter("link")?;
        let to = self.other(to)?;
        may_change(&files, to)?;
        files.link(self.uid, name, to, new)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let mut files = self.enter("remove")?;
        may_change(&files, self.uid)?;
        files.unlink(self.uid, name)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        let mut files = self.enter("remove_directory")?;
        may_change(&files, self.uid)?;
        files.rmdir(self.uid, name)
    }

    fn set_mode_at(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        let mut files = self.enter("set_mode_at")?;
        let uid = step(&files, self.uid, name)?;
        files.chmod(uid, mode);
        Ok(())
    }

    fn set_modified_at(&self, name: &[u8], modified: Timestamp) -> Result<(), Errno> {
        let mut files = self.enter("set_modified_at")?;
        let uid = step(&files, self.uid, name)?;
        files.utimens(uid, modified);
        Ok(())
    }

    fn stat_path(&self, _: &Path) -> Result<Stamp, Errno> {
        Ok(self.enter("stat_path")?.stamp(ROOT))
    }

    fn pause(&self, time: Duration) {
        if let Ok(mut files) = self.enter("pause") {
            files.clock += time.as_nanos() as i64;
        }
    }
}
