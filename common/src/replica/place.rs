//! Where a root is, so that one root inside the other is noticed before anything moves.
//!
//! A root and all directories above it, by device and inode: links, bind mounts and spellings of
//! a path make no difference. Told to the other end in the hello; compared only on one machine.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const FEATURE: &str = "place=";
/// Directories above a root that are told: a hello is short.
const LEVELS_MAX: usize = 64;

/// Which boot of which machine this is; none when that cannot be known.
pub(super) fn boot() -> Option<String> {
    std::fs::read_to_string(BOOT).ok().map(|id| id.trim().to_owned())
}

/// Where a root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    machine: String,
    /// The root first, then what is above it.
    lineage: Vec<(u64, u64)>,
}

/// How two roots lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// They are one directory.
    Same,
    /// Ours is inside theirs.
    Inside,
    /// Theirs is inside ours.
    Around,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clash::Same => "is the directory of the other server, too",
            Clash::Inside => "lies inside the directory of the other server",
            Clash::Around => "holds the directory of the other server",
        })
    }
}

impl Clash {
    /// What is wrong with our directory, and what to do.
    #[must_use]
    pub fn words(self, ours: &Path) -> String {
        format!("`{}` {self}: give one of the two another directory", ours.display())
    }
}

impl Place {
    /// The place of a directory on this machine; `None` where that cannot be told.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Place> {
        let machine = boot()?;
        let place = |path: &Path| path.metadata().ok().map(|stat| (stat.dev(), stat.ino()));
        let lineage = directory.ancestors().take(LEVELS_MAX).map(place).collect::<Option<_>>()?;
        Some(Place { machine, lineage })
    }

    /// As a feature of a hello.
    #[must_use]
    pub fn feature(&self) -> String {
        let steps: Vec<String> =
            self.lineage.iter().map(|(dev, ino)| format!("{dev:x}.{ino:x}")).collect();
        format!("{FEATURE}{}/{}", self.machine, steps.join("/"))
    }

    /// The place that a hello tells.
    #[must_use]
    pub fn told(features: &[String]) -> Option<Place> {
        let text = features.iter().find_map(|feature| feature.strip_prefix(FEATURE))?;
        let mut parts = text.split('/');
        let machine = parts.next()?.to_string();
        let step = |part: &str| {
            let (dev, ino) = part.split_once('.')?;
            Some((u64::from_str_radix(dev, 16).ok()?, u64::from_str_radix(ino, 16).ok()?))
        };
        let lineage = parts.take(LEVELS_MAX).map(step).collect::<Option<_>>()?;
        Some(Place { machine, lineage })
    }

    /// How this root lies to the other one, when they must not lie so.
    #[must_use]
    pub fn clash(&self, other: &Place) -> Option<Clash> {
        let (ours, theirs) = (self.lineage.first()?, other.lineage.first()?);
        if self.machine != other.machine {
            return None;
        }
        match () {
            () if ours == theirs => Some(Clash::Same),
            () if self.lineage.contains(theirs) => Some(Clash::Inside),
            () if other.lineage.contains(ours) => Some(Clash::Around),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_inside_another_is_told_apart_from_its_neighbour() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (outer, inner, next) =
            (dir.path().join("outer"), dir.path().join("outer/inner"), dir.path().join("next"));
        for path in [&outer, &inner, &next] {
            std::fs::create_dir(path).expect("made");
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&outer, &link).expect("made");
        let place = |path: &Path| {
            let place = Place::of(path).expect("this machine tells");
            Place::told(&[String::from("x"), place.feature()]).expect("what was told is read")
        };
        assert_eq!(place(&outer).clash(&place(&link)), Some(Clash::Same));
        assert_eq!(place(&inner).clash(&place(&outer)), Some(Clash::Inside));
        assert_eq!(place(&outer).clash(&place(&inner)), Some(Clash::Around));
        assert_eq!(place(&outer).clash(&place(&next)), None);
        let elsewhere = Place { machine: "another".into(), ..place(&outer) };
        assert_eq!(place(&outer).clash(&elsewhere), None);
    }
}
