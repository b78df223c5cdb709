//! The identities in a test: that of the servers, and those of the people who ask.
//!
//! Everybody has a directory of his own below the test's, and nobody the one of who runs the test.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use common::identity::Identity;
use common::identity::id::Id;
use common::identity::trusted::{Grant, Standing};
use tempfile::TempDir;

/// The name of the servers' identity.
pub(crate) const SERVERS: &str = "servers";

/// Directories of identities, by name, apart from all that a test does to its own directories.
pub(crate) struct People {
    home: TempDir,
}

impl People {
    /// The servers, and nobody else yet.
    pub(crate) fn new() -> People {
        let home = TempDir::with_prefix("lab3-home-").expect("a directory");
        DirBuilder::new().mode(0o700).create(home.path().join("run")).expect("a directory");
        let people = People { home };
        people.identity(SERVERS);
        people
    }

    /// Where sockets of this machine's users lie.
    pub(crate) fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// Where somebody's identity lies.
    pub(crate) fn place(&self, who: &str) -> PathBuf {
        self.home.path().join(who)
    }

    /// Somebody, trusted by nobody as long as nobody says so.
    pub(crate) fn identity(&self, who: &str) -> Identity {
        Identity::open(Some(&self.place(who))).expect("an identity")
    }

    /// Somebody whom the servers know by this name, and who knows the servers.
    pub(crate) fn client(&self, who: &str) -> PathBuf {
        self.known(who, Standing::Client)
    }

    /// The same, with another role.
    pub(crate) fn known(&self, who: &str, standing: Standing) -> PathBuf {
        let place = self.place(who);
        if who != SERVERS && !place.join("trusted").exists() {
            let theirs = self.identity(who);
            trust(&self.identity(SERVERS), theirs.id(), standing, Some(who));
            trust(&theirs, self.identity(SERVERS).id(), Standing::Peer, None);
        }
        place
    }

    /// A server of another user of this machine, and the servers' identity as its peer.
    pub(crate) fn of_user(&self, id: u32) -> PathBuf {
        let place = self.known(&format!("user-{id}"), Standing::Peer);
        fs::set_permissions(self.home.path(), Permissions::from_mode(0o755)).expect("ours");
        for path in [place.clone(), place.join("key"), place.join("trusted")] {
            chown(path, Some(id), Some(id)).expect("root may");
        }
        place
    }
}

/// One identity trusts another.
pub(crate) fn trust(who: &Identity, whom: &Id, standing: Standing, name: Option<&str>) {
    let grant = Grant { id: *whom, standing, name: name.map(str::to_owned) };
    who.trust(&grant).expect("written");
}

/// The one identity of all that need nobody else, kept from run to run.
pub(crate) fn shared() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("identity");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    Identity::open(Some(&place)).expect("an identity");
    place
}
