//! The private key on disk: made once, and never replaced.
//!
//! It is written aside, flushed, and linked to its name, so that of many who start at once one
//! makes it and all have the same. A file that others may read, or that is damaged, is refused: who
//! made another one in its place would be a stranger to everybody. `ring` stops here.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the key's file")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::digest::Digest;

/// The name of the key's file.
pub const KEY: &str = "key";
/// No key is longer than this, in bytes.
const KEY_BYTES_MAX: u64 = 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing says where it lies.
    #[error(
        "nobody says where the identity lies: set `HOME`, or name a directory with `--identity`"
    )]
    NoPlace,
    /// The directory or a file in it cannot be used.
    #[error("cannot {step} `{}`", path.display())]
    Place {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others may read the key, or change what is beside it.
    #[error(
        "`{}` is open to other users (mode {mode:o}): they may know the key by now; if they do \
         not, `chmod {wanted:o}` it, else remove the directory and have the new id trusted again",
        path.display()
    )]
    Exposed {
        /// What.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// It is another user's.
    #[error(
        "`{}` belongs to user {owner}, not to user {us} who runs this: name a directory of your \
         own with `--identity`",
        path.display()
    )]
    Foreign {
        /// What.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is no key.
    #[error(
        "`{}` is damaged, it holds no key: bring it back from a copy, or remove it to have a new \
         identity, which others have to trust again",
        .0.display()
    )]
    Damaged(PathBuf),
    /// No key could be made.
    #[error("cannot make a key: the system's random numbers fail")]
    Random,
}

/// A private key as PKCS#8, and its public half. Says nothing of the private one when printed.
pub(super) struct Key {
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    pub(super) public: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Reads the key of a directory; makes both when they are not there.
pub(super) fn load_or_make(directory: &Path) -> Result<Key, IdentityError> {
    let place = |step| {
        let path = directory.to_owned();
        move |source| IdentityError::Place { step, path, source }
    };
    if let Some(above) = directory.parent() {
        fs::create_dir_all(above).map_err(place("make a directory for"))?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(place("make")(error));
        }
        _ => {}
    }
    let about = fs::metadata(directory).map_err(place("look at"))?;
    check(directory, &about, 0o022, 0o700)?;
    let path = directory.join(KEY);
    match load(&path) {
        Err(IdentityError::Place { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(directory, &path)?;
            load(&path)
        }
        loaded => loaded,
    }
}

/// Refuses what is another's, or open to others in one of these ways.
pub(super) fn check(
    path: &Path,
    about: &fs::Metadata,
    forbidden: u32,
    wanted: u32,
) -> Result<(), IdentityError> {
    let us = rustix::process::geteuid().as_raw();
    let (owner, mode) = (about.uid(), about.mode() & 0o7777);
    if owner != us {
        return Err(IdentityError::Foreign { path: path.to_owned(), owner, us });
    }
    if mode & forbidden != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

fn load(path: &Path) -> Result<Key, IdentityError> {
    let place = |step| move |source| IdentityError::Place { step, path: path.to_owned(), source };
    let file = File::open(path).map_err(place("open"))?;
    let about = file.metadata().map_err(place("look at"))?;
    check(path, &about, 0o077, 0o600)?;
    if !about.is_file() || about.len() > KEY_BYTES_MAX {
        return Err(IdentityError::Damaged(path.to_owned()));
    }
    // With room for all of it, so that no copy is left behind by a buffer that grew.
    let mut pkcs8 = Zeroizing::new(Vec::with_capacity(2 * KEY_BYTES_MAX as usize));
    file.take(KEY_BYTES_MAX).read_to_end(&mut pkcs8).map_err(place("read"))?;
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8);
    let pair = pair.map_err(|_| IdentityError::Damaged(path.to_owned()))?;
    let public = pair.public_key().as_ref().try_into();
    let public = public.map_err(|_| IdentityError::Damaged(path.to_owned()))?;
    Ok(Key { pkcs8, public })
}

/// Makes a key, unless somebody was faster.
fn make(directory: &Path, path: &Path) -> Result<(), IdentityError> {
    let random = SystemRandom::new();
    // With its public half, so that a damaged one is noticed.
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| IdentityError::Random)?;
    // No two write the same name, and who reads it learns nothing of the key.
    let mark = Digest::of(pkcs8.as_ref()).short();
    let aside = directory.join(format!(".{KEY}-{}-{mark}", std::process::id()));
    let place = |step| move |source| IdentityError::Place { step, path: path.to_owned(), source };
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(pkcs8.as_ref())?;
        file.sync_all()?;
        match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    // It has its name now, or is of no use.
    let _ = fs::remove_file(&aside);
    written.map_err(place("write"))?;
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(place("flush"))
}
