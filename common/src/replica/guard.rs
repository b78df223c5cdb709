//! Whether the root is still the root.
//!
//! A root that is gone, was replaced, lost its mark or is suddenly empty looks exactly like one in
//! which the user deleted everything. Nothing that was seen in such a root is told to anybody.

use std::collections::BTreeMap;

use crate::limits::RESERVED_NAME;
use crate::path::RelPath;
use crate::replica::known::Finding;
use crate::replica::listing::is_empty_but_for;
use crate::replica::root::Root;

/// Why nothing is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The root is not what it was. Over when it is again.
    Lost(String),
    /// The root is what it was, and empty. Over when somebody says that this is meant.
    Emptied(String),
}

impl Halt {
    /// The reason, for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Halt::Lost(reason) | Halt::Emptied(reason) => reason,
        }
    }
}

/// Looks at the root's identity.
pub fn identity(root: &Root) -> Result<(), Halt> {
    root.still_there().map_err(Halt::Lost)
}

/// Looks whether our own directory was found under another name: what is in it is nobody's affair.
pub fn ours(root: &Root, findings: &BTreeMap<RelPath, Finding>) -> Result<(), Halt> {
    let is_ours = |finding: &Finding| match finding {
        Finding::Present(row, _) => root.is_ours(&row.stamp),
        _ => false,
    };
    match findings.iter().find(|(_, finding)| is_ours(finding)) {
        Some((name, _)) => {
            let path = root.path().display();
            Err(Halt::Lost(format!("`.lab3` in `{path}` was renamed to `{name}`: rename it back")))
        }
        None => Ok(()),
    }
}

/// Looks whether everything has gone that was known.
pub fn emptied(root: &Root, known: usize) -> Result<(), Halt> {
    let empty = root.directory(None).and_then(|dir| is_empty_but_for(&dir, RESERVED_NAME));
    let path = root.path().display();
    match empty {
        Ok(false) => Ok(()),
        Ok(true) => Err(Halt::Emptied(format!("`{path}` is empty, but held {known} entries"))),
        Err(error) => Err(Halt::Lost(format!("cannot list `{path}`: {error}"))),
    }
}
