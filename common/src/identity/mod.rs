//! Who we are, and whom we trust with what.
//!
//! Each user has one key pair for all programs, made at the first start. Whoever proves the same
//! key is ourselves and may do everything; others may do what the file `trusted` beside the key
//! grants them, and whoever is not in it may do nothing.
#![expect(clippy::disallowed_methods, reason = "where the identity lies")]

pub mod book;
pub mod id;
pub mod key;
pub mod proof;
pub mod trusted;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};

use self::book::{Book, BookError};
use self::id::Id;
use self::key::{IdentityError, load_or_make};
use self::proof::Proof;
use self::trusted::{Grant, Standing};

/// A key pair and what is beside it. Its private half is never printed.
pub struct Identity {
    directory: PathBuf,
    id: Id,
    proof: Proof,
    book: Book,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where the identity lies unless it is said: in the user's configuration.
#[must_use]
pub fn usual_place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join("lab3"))
}

impl Identity {
    /// The identity in this directory, or in the user's own; made when there is none. From now on
    /// the process leaves no image of its memory when it crashes.
    pub fn open(directory: Option<&Path>) -> Result<Identity, IdentityError> {
        let usual = || usual_place(|name| std::env::var_os(name));
        let directory = directory.map(Path::to_owned).or_else(usual);
        let directory = directory.ok_or(IdentityError::NoPlace)?;
        // A limit may always be lowered.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let key = load_or_make(&directory)?;
        let proof = Proof::with(&key).map_err(|_| IdentityError::Damaged(directory.join("key")))?;
        let book = Book::of(&directory);
        Ok(Identity { id: Id::of(&key.public), proof, book, directory })
    }

    /// The printable id of the public key.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How this identity dials.
    #[must_use]
    pub fn dialling(&self) -> Arc<rustls::ClientConfig> {
        self.proof.dialling.clone()
    }

    /// How this identity is dialled.
    #[must_use]
    pub fn dialled(&self) -> Arc<rustls::ServerConfig> {
        self.proof.dialled.clone()
    }

    /// What somebody may do here, at this moment; nothing when there is no grant.
    pub fn grant(&self, id: &Id) -> Result<Option<Grant>, BookError> {
        if *id == self.id {
            return Ok(Some(Grant { id: *id, standing: Standing::Own, name: None }));
        }
        self.book.grant(id)
    }

    /// Everybody who was granted something.
    pub fn grants(&self) -> Result<Arc<Vec<Grant>>, BookError> {
        self.book.grants()
    }

    /// Grants something to somebody, instead of what he had.
    pub fn trust(&self, grant: &Grant) -> Result<(), BookError> {
        self.book.add(grant)
    }

    /// Takes everything from somebody; answers whether he had anything.
    pub fn distrust(&self, id: &Id) -> Result<bool, BookError> {
        self.book.remove(id)
    }

    /// Lets in who may do at least this much.
    ///
    /// # Errors
    ///
    /// The refusal, for people at both ends.
    pub fn admit(&self, id: &Id, least: Standing) -> Result<Grant, String> {
        match self.grant(id) {
            Ok(Some(grant)) if grant.standing >= least => Ok(grant),
            Ok(Some(grant)) => Err(format!(
                "{id} has the role `{}` at this end and needs `{least}`, which its user can grant \
                 with `lab3 trust {id} --role {least}`",
                grant.standing
            )),
            Ok(None) => Err(format!(
                "{id} is not trusted at this end, which its user can change with \
                 `lab3 trust {id} --role {least}`"
            )),
            // What exactly is wrong with it is not for strangers to read.
            Err(_) => Err(format!(
                "{id} is not trusted at this end, whose file of the trusted has an error"
            )),
        }
    }
}
