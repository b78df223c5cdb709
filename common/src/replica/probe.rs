//! What the file system under a root can do, tried out in `stage/` at start.
//!
//! What it lacks has a fallback in `publish`, and a line in the status: nobody should have to guess
//! why a guarantee is weaker on one disk than on another.

use std::io;

use rustix::fs::RenameFlags;

use crate::replica::disk::{Handle, Lease, Leased, Open};
use crate::replica::root::open_file_at;
use crate::replica::stage::Stage;
use crate::sys::ignore_sigio;

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
            (self.exchange, "exchange of two names: a replaced name is free for an instant"),
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

fn try_out(dir: &Handle, one: &[u8], two: &[u8]) -> io::Result<Abilities> {
    for name in [one, two] {
        dir.open_at(name, Open::New)?;
    }
    let exchange = dir.rename(one, dir, two, RenameFlags::EXCHANGE).is_ok();
    let lease = matches!(Lease::take(&open_file_at(dir, one)?), Leased::Granted(_));
    dir.remove(two)?;
    let noreplace = dir.rename(one, dir, two, RenameFlags::NOREPLACE).is_ok();
    Ok(Abilities { exchange, noreplace, lease })
}
