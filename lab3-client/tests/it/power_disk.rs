//! A disk of its own, in a file, that can lose its power at any moment.
//!
//! The file system is shut down by its own request for that: nothing reaches the disk from then on.
//! After that it is mounted again as after a power cut, with what had reached the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::server::until;
use crate::system::is_root;

/// What the file system did in its last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// Nothing: all is lost that nobody had flushed.
    Nothing,
    /// It wrote down all names, but no content: names without content are what is to be feared.
    Names,
}

impl Last {
    pub(crate) const BOTH: [Last; 2] = [Last::Nothing, Last::Names];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Last::Nothing => "nothing",
            Last::Names => "names",
        }
    }
}

/// A mounted ext4 of its own. Unmounted when dropped, whatever happened.
pub(crate) struct Disk {
    place: PathBuf,
    image: PathBuf,
    _dir: TempDir,
}

impl Disk {
    /// A new one; why not, where there can be none.
    pub(crate) fn new(mib: u64, options: &[&str]) -> Result<Disk, String> {
        if !is_root() {
            return Err("needs root".to_owned());
        }
        let dir = TempDir::with_prefix("lab3-disk-").expect("a directory");
        let (place, image) = (dir.path().join("place"), dir.path().join("image"));
        fs::create_dir(&place).expect("a directory");
        let file = fs::File::create(&image).expect("an image");
        file.set_len(mib * 1024 * 1024).expect("its size");
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).args(options).arg(&image))?;
        let disk = Disk { place, image, _dir: dir };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Mounts it.
    pub(crate) fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.place))
    }

    /// Unmounts it, as soon as nobody uses it any more.
    pub(crate) fn unmount(&self) {
        until("the disk is unmounted", || run(Command::new("umount").arg(&self.place)).is_ok());
    }

    /// Takes it out of the tree of names under whoever uses it.
    pub(crate) fn pull(&self) {
        run(Command::new("umount").arg("-l").arg(&self.place)).expect("unmounted");
    }

    /// Makes it read-only, or writable again.
    pub(crate) fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.place)).expect("remounted");
    }

    /// The power goes.
    pub(crate) fn cut(&self, last: Last) {
        let what = match last {
            Last::Nothing => 2,
            Last::Names => 1,
        };
        // `_IOR('X', 125, u32)`; a request that no safe function makes.
        let program = "open(F, '<', $ARGV[0]) or die; my $what = pack('L', $ARGV[1]); \
                       ioctl(F, 0x8004587d, $what) or die \"shutdown: $!\"";
        let mut perl = Command::new("perl");
        perl.args(["-e", program]).arg(&self.place).arg(what.to_string());
        run(&mut perl).expect("the power is cut");
    }

    /// The power is back.
    pub(crate) fn back(&self) {
        self.unmount();
        self.mount().expect("mounted again");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).output();
    }
}

/// Runs a program; what it complained of, when it failed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            Err(format!("{command:?}: {}", said.trim()))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
