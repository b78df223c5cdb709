//! Whose lock was broken, until its holder has heard of it.
//!
//! Pure, and small: each holder hears of a broken lock once, with the next command, whatever that
//! is. Who never comes back is forgotten when others have lost more locks than are remembered.

use common::path::RelPath;
use common::time::Timestamp;
use common::wire::client::BrokenRow;
use serde::{Deserialize, Serialize};

/// Broken locks that are remembered; the oldest go first.
const BROKEN_MAX: usize = 1000;

/// Broken locks, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    holder: String,
    path: RelPath,
    by: String,
    at: Timestamp,
}

impl Broken {
    /// Remembers that a holder's lock was broken.
    pub fn add(&mut self, holder: &str, path: &RelPath, by: &str, at: Timestamp) {
        let (holder, by) = (holder.to_owned(), by.to_owned());
        self.rows.push(Row { holder, path: path.clone(), by, at });
        let over = self.rows.len().saturating_sub(BROKEN_MAX);
        self.rows.drain(..over);
    }

    /// What a holder has not heard of yet; it has now.
    pub fn take(&mut self, holder: &str) -> Vec<BrokenRow> {
        let (theirs, rest) =
            std::mem::take(&mut self.rows).into_iter().partition(|row| row.holder == holder);
        self.rows = rest;
        let theirs: Vec<Row> = theirs;
        theirs.into_iter().map(|Row { path, by, at, .. }| BrokenRow { path, by, at }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_hears_of_a_broken_lock_once_and_the_oldest_are_forgotten() {
        let mut broken = Broken::default();
        let path = |n: usize| RelPath::new(format!("f{n}")).expect("a valid path");
        let at = Timestamp::default();
        broken.add("ann", &path(0), "bob", at);
        broken.add("eve", &path(1), "bob", at);
        assert_eq!(broken.take("bob"), []);
        assert_eq!(broken.take("ann"), [BrokenRow { path: path(0), by: "bob".into(), at }]);
        assert_eq!(broken.take("ann"), []);
        for n in 0..BROKEN_MAX {
            broken.add("ann", &path(n), "bob", at);
        }
        assert_eq!(broken.take("eve"), [], "forgotten");
        assert_eq!(broken.take("ann").len(), BROKEN_MAX);
    }
}
