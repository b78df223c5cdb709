//! What the file system under a root can do, tried out in `stage/` at start.
//!
//! What it lacks has a fallback in `publish`, and a line in the status: nobody should have to guess
//! why a guarantee is weaker on one disk than on another.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use crate::replica::root::open_file_at;
use crate::replica::stage::Stage;
use crate::sys::{Lease, Leased, ignore_sigio};

/// What publishing may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Two names can be exchanged in one step.
    pub exchange: bool,
    /// A rename can refuse to replace.
    pub noreplace: bool,
    /// Read leases tell whether somebody writes.
    pub lease: bool,
}

impl Abilities {
    /// What is missing, for people.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let all = [
            (self.exchange, "exchange of two names: a replaced file is linked aside first"),
            (self.noreplace, "rename without replacing: a new file is linked into place"),
            (self.lease, "leases: files that are open for writing are not recognised"),
        ];
        all.iter().filter(|(has, _)| !has).map(|(_, what)| (*what).to_owned()).collect()
    }
}

/// Tries everything out.
pub fn probe(stage: &Stage) -> io::Result<Abilities> {
    ignore_sigio();
    let (one, two) = (stage.new_name(), stage.new_name());
    let answer = try_out(stage.handle(), &one, &two);
    stage.discard(&one);
    stage.discard(&two);
    answer
}

fn try_out(dir: BorrowedFd<'_>, one: &[u8], two: &[u8]) -> io::Result<Abilities> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for name in [one, two] {
        drop(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?);
    }
    let exchange = rustix::fs::renameat_with(dir, one, dir, two, RenameFlags::EXCHANGE).is_ok();
    let lease = matches!(Lease::take(&open_file_at(dir, one)?), Leased::Granted(_));
    rustix::fs::unlinkat(dir, two, AtFlags::empty())?;
    let noreplace = rustix::fs::renameat_with(dir, one, dir, two, RenameFlags::NOREPLACE).is_ok();
    Ok(Abilities { exchange, noreplace, lease })
}
