//! The parts of lab3 that do most of its work, each alone: fixed input from a seed, one thread, no
//! network. `micro` takes their time, `instructions` counts what the processor does.
//!
//! A part is made ready, which does not count, then runs. It answers how many things it has done,
//! and whoever runs it compares that with what it should be: a part that does nothing is fast.

mod content;
mod deciding;
mod disk;
mod made;
mod stepped;
mod talking;

use std::hint::black_box;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::dice::Dice;

/// Something that can be done again and again.
pub(crate) trait Work {
    /// Makes ready for the next run.
    fn ready(&mut self) -> Result<()> {
        Ok(())
    }

    /// Does it; answers how many things were done.
    fn run(&mut self) -> Result<usize>;
}

impl<F: FnMut() -> Result<usize>> Work for F {
    fn run(&mut self) -> Result<usize> {
        self()
    }
}

/// Where and with what a part works.
pub(crate) struct Ground {
    /// A fresh directory.
    pub(crate) place: PathBuf,
    /// Chooses everything.
    pub(crate) dice: Dice,
    /// Whether paths are walked step by step, for want of `openat2`.
    pub(crate) stepped: bool,
}

/// A part.
pub(crate) struct Part {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// How many things it does.
    pub(crate) count: usize,
    /// What these things are.
    pub(crate) things: &'static str,
    make: fn(&mut Ground, usize) -> Result<Box<dyn Work>>,
}

/// All of them.
pub(crate) static ALL: [Part; 14] = [
    Part {
        name: "decide",
        about: "deciding every path of three trees that differ in a quarter",
        count: 10_000,
        things: "paths",
        make: deciding::decide,
    },
    Part {
        name: "digest-tree",
        about: "the digest of a tree of 10,000 files after changes in it",
        count: 500,
        things: "changes",
        make: deciding::digest_tree,
    },
    Part {
        name: "scan-new",
        about: "a look at a tree of which nothing is known: everything is read",
        count: 2000,
        things: "files",
        make: disk::scan_new,
    },
    Part {
        name: "scan-known",
        about: "a look at the same tree when it is known",
        count: 2000,
        things: "files",
        make: disk::scan_known,
    },
    Part {
        name: "hash",
        about: "the digest of a content",
        count: 4 << 20,
        things: "bytes",
        make: content::hash,
    },
    Part {
        name: "cut",
        about: "a content into chunks, each with its mark",
        count: 4 << 20,
        things: "bytes",
        make: content::cut,
    },
    Part {
        name: "delta",
        about: "from two recipes, what is at hand and what must be fetched",
        count: 20_000,
        things: "chunks",
        make: content::delta,
    },
    Part {
        name: "encode",
        about: "orders and reports with 1 KiB of content as CBOR",
        count: 1000,
        things: "messages",
        make: talking::encode,
    },
    Part {
        name: "decode",
        about: "the same read",
        count: 1000,
        things: "messages",
        make: talking::decode,
    },
    Part {
        name: "list",
        about: "rows of a listing as CBOR",
        count: 5000,
        things: "rows",
        make: talking::list,
    },
    Part {
        name: "archive",
        about: "one transaction of the archive",
        count: 1000,
        things: "rows",
        make: disk::archive,
    },
    Part {
        name: "commit-new",
        about: "one group of new files of 1 KiB",
        count: 200,
        things: "files",
        make: disk::commit_new,
    },
    Part {
        name: "commit-replace",
        about: "one group that replaces them",
        count: 200,
        things: "files",
        make: disk::commit_replace,
    },
    Part {
        name: "commit-relaxed",
        about: "the same without flushing",
        count: 200,
        things: "files",
        make: disk::commit_relaxed,
    },
];

impl Part {
    /// The part of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Part> {
        ALL.iter().find(|part| part.name == name)
    }

    /// Makes it ready for its first run.
    pub(crate) fn make(&self, ground: &mut Ground) -> Result<Box<dyn Work>> {
        (self.make)(ground, self.count)
    }

    /// Runs it once, and sees that it has done everything.
    pub(crate) fn run(&self, work: &mut dyn Work) -> Result<()> {
        let done = counted(work)?;
        ensure!(done == self.count, "{}: {done} {} of {}", self.name, self.things, self.count);
        Ok(())
    }
}

/// What runs in here is counted, and nothing else. The counter knows this function by its name, so
/// it must stay one: the answer is used, lest the call become a jump.
#[inline(never)]
fn counted(work: &mut dyn Work) -> Result<usize> {
    black_box(work.run())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_part_does_all_that_it_says_again_and_again_and_on_either_way_in() {
        for part in &ALL {
            for stepped in [false, true] {
                let dir = tempfile::tempdir().expect("a directory");
                let place = dir.path().to_owned();
                let mut ground = Ground { place, dice: Dice(1), stepped };
                let mut work = part.make(&mut ground).expect(part.name);
                for _ in 0..2 {
                    work.ready().expect(part.name);
                    part.run(&mut *work).expect(part.name);
                }
            }
        }
    }

    #[test]
    fn every_part_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ALL.iter().map(|part| part.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| Part::named(name).is_some_and(|p| p.name == *name)));
        assert!(Part::named("nothing").is_none());
    }
}
