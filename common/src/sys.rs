//! The few calls that have no safe wrapper: file leases, the signal that comes with them, the order
//! to begin writing, how memory is kept, and an end without ceremony.
//!
//! A read lease is granted only while nobody has the file open for writing, not even through
//! another name or a mapping. That answers the one question that no stat call answers. While a
//! lease is held, who wants to open for writing waits. This is the one module that may use
//! `unsafe`.
#![allow(unsafe_code, reason = "leases, signal dispositions and `_exit` have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;

/// Takes a read lease on a file that is open for reading only; `false` when somebody has it open
/// for writing. Closing the file gives the lease back.
pub fn take_lease(file: BorrowedFd<'_>) -> io::Result<bool> {
    match set_lease(file, libc::F_RDLCK) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether nobody tried to open the file for writing since the lease was taken.
#[must_use]
pub fn holds_lease(file: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GETLEASE takes no argument, and the descriptor is open while it is borrowed.
    let kind = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
    kind == libc::F_RDLCK
}

/// Gives a lease back.
pub fn end_lease(file: BorrowedFd<'_>) {
    // Nothing to be done when it fails: closing the file gives the lease back, too.
    let _ = set_lease(file, libc::F_UNLCK);
}

/// A broken lease sends SIGIO, which by default ends the process. We look at the lease instead.
pub fn ignore_sigio() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SIG_IGN installs no handler, so no code of ours runs in signal context.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    });
}

/// One heap for all threads, which keeps what it will need again. To be called before there are
/// threads.
///
/// By itself glibc gives each thread a heap, which is memory that nobody else can use, and returns
/// every large buffer to the kernel, so that the next one costs a fault for each of its pages.
pub fn keep_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes numbers and changes nothing that was allocated.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 << 20);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

/// Gives the kernel what the heap has free. For moments of rest: it goes through the whole heap.
pub fn return_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and changes nothing that is allocated.
    unsafe {
        libc::malloc_trim(1 << 20);
    }
}

/// Orders the kernel to write a file's content, and waits for it or not. That is no flush: neither
/// the disk's own memory nor names are written, so it costs little.
pub fn write_out(file: BorrowedFd<'_>, wait: bool) {
    let after = if wait { libc::SYNC_FILE_RANGE_WAIT_AFTER } else { 0 };
    write_range(file, (0, 0), libc::SYNC_FILE_RANGE_WRITE | after);
}

/// The same for a part of it, by its offset and length, without waiting.
pub fn write_part_out(file: BorrowedFd<'_>, offset: u64, length: usize) {
    if let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) {
        write_range(file, (offset, length), libc::SYNC_FILE_RANGE_WRITE);
    }
}

/// A length of 0 means all that follows.
fn write_range(file: BorrowedFd<'_>, (offset, length): (i64, i64), how: libc::c_uint) {
    // A failure is found by the flush, where there is one.
    // SAFETY: the call takes numbers only, and the descriptor is open while `file` is borrowed.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, how) };
}

/// Ends the process as a kill would, but with this exit code: nothing is unwound or flushed, and no
/// memory is written to a file.
pub fn end_now(code: i32) -> ! {
    // SAFETY: the call takes a number and does not come back.
    unsafe { libc::_exit(code) }
}

fn set_lease(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes an int, and the descriptor is open while it is borrowed.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
