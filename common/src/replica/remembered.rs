//! What an earlier run saved of the tree, as far as it still vouches for a content.
//!
//! A stamp stands for the bytes that were read under it. Within one life of a directory that holds,
//! also when a server was killed. Not after a power cut: bytes that somebody wrote in place may be
//! on the disk while the time of that is not, and no look at the stamp shows it. Which files these
//! are is written nowhere. So what was saved counts in the life in which it was saved, or when the
//! last run came to its orderly end; otherwise everything is read once more. Where a life cannot be
//! told, a boot stands for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::path::RelPath;
use crate::replica::known::Row;
use crate::store::{Batch, Store, StoreError};

const KEY: &str = "scan_of";

/// Whose rows the store has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Origin {
    life: Option<String>,
    ended: bool,
}

/// What counts of an earlier run; all else is forgotten. From now on the rows are this life's.
pub(super) fn load(
    store: &Store,
    life: Option<&str>,
) -> Result<BTreeMap<RelPath, Row>, StoreError> {
    let rows = store.load_scan()?.rows;
    let origin = store.get_doc::<Origin>(KEY)?.unwrap_or_default();
    let counts = origin.ended || origin.life.is_some() && origin.life.as_deref() == life;
    let mut batch = Batch::default();
    batch.doc(KEY, Some(&Origin { life: life.map(str::to_owned), ended: false }));
    if counts {
        store.save(&batch)?;
        return Ok(rows);
    }
    for path in rows.keys() {
        batch.scan::<Row>(path, None);
    }
    store.save(&batch)?;
    if !rows.is_empty() {
        tracing::info!(files = rows.len(), "the machine stopped without notice: all is read again");
    }
    Ok(BTreeMap::new())
}

/// An orderly end: every row is saved, and what it vouches for is on the disk.
pub(super) fn ended(store: &Store) -> Result<(), StoreError> {
    let origin = store.get_doc::<Origin>(KEY)?.unwrap_or_default();
    store.put_doc(KEY, &Origin { ended: true, ..origin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, open};

    fn row() -> Row {
        let root = crate::replica::root::Root::open(std::env::temp_dir()).expect("opened");
        let stamp = root.handle().stat().expect("a stamp");
        Row { stamp, entry: crate::entry::Entry::Dir { mode: 0o755 } }
    }

    #[test]
    fn what_was_saved_vouches_within_its_life_or_after_an_orderly_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir.path().join("store"), Durability::Strict).expect("opened").store;
        let path = RelPath::new("file").expect("a path");
        let save = || store.save_scan(&[(path.clone(), Some(row()))]).expect("saved");
        let count = |life| load(&store, life).expect("loaded").len();

        assert_eq!(count(Some("one")), 0);
        save();
        assert_eq!(count(Some("one")), 1, "a server that was killed knows it");
        assert_eq!(count(Some("two")), 0, "the power was cut");
        assert_eq!(count(Some("two")), 0, "what was forgotten stays forgotten");
        save();
        ended(&store).expect("saved");
        assert_eq!(count(Some("three")), 1, "the machine was restarted");
        assert_eq!(count(Some("four")), 0, "an end counts for one start");
        save();
        assert_eq!(count(None), 0, "nobody knows which life it is");
        save();
        assert_eq!(count(None), 0, "nobody knows which life it was");
    }
}
