//! What a replica remembers: the archive, the scan cache, locks and small documents.
//!
//! One file, one process, transactions. A batch is wholly on disk or not at all. The store decides
//! nothing, and it never answers with a row that it is not sure of: a damaged row counts as not
//! there, which for the archive means an empty base and so never a deletion. A store that cannot
//! be read is set aside, never deleted; one that a newer program wrote is not touched.

mod open;
mod row;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry::Entry;
use crate::path::RelPath;
use crate::tree::Tree;
use crate::wire::cbor;
use open::Reopening;
use row::Table;

pub use open::{Opened, open};

/// The format of the rows. A store with a higher number is refused.
pub const FORMAT: u64 = 2;

/// Saves that may wait for the next durable one.
const LAZY_SAVES_MAX: u32 = 256;

/// When a save counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Strict,
    /// Archive rows wait in memory until the next document, lock, [`Store::flush`], the close, or
    /// some hundred saves later. Documents and locks are on disk all the same.
    Relaxed,
}

/// The open store of one replica.
#[derive(Debug)]
pub struct Store {
    db: Reopening,
    path: PathBuf,
    durability: Durability,
    lazy_saves: AtomicU32,
}

/// The rows of a table that could be read, and the raw keys of those that could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What is there.
    pub rows: T,
    /// Keys of damaged rows; to be taken as not there.
    pub dropped: Vec<Vec<u8>>,
}

/// Why the store did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store `{}` is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it; it was not touched.
    #[error("the store `{}` has format {found}, this program knows {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: u64,
    },
    /// It cannot be opened, for a reason that is not its content.
    #[error("cannot open the store `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<redb::Error>,
    },
    /// A new file cannot be made, or a damaged one cannot be renamed.
    #[error("cannot put `{}` in place", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Rows cannot be read.
    #[error("cannot read the store `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<redb::Error>,
    },
    /// A batch cannot be written, and counts as not there; the next one may be.
    #[error("cannot write the store `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<redb::Error>,
    },
}

/// Rows that are saved together, or not at all. The last word on a key counts.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    rows: BTreeMap<Table, Rows>,
}

/// Sealed values by key; `None` removes the row.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Batch {
    /// An archive row: what both sides agreed on at a path.
    pub fn archive(&mut self, path: &RelPath, entry: Option<&Entry>) {
        self.put(Table::Archive, path.as_bytes(), entry);
    }

    /// A row of the scan cache.
    pub fn scan<T: Serialize>(&mut self, path: &RelPath, row: Option<&T>) {
        self.put(Table::Scan, path.as_bytes(), row);
    }

    /// A small document.
    pub fn doc<T: Serialize>(&mut self, key: &str, doc: Option<&T>) {
        self.put(Table::Docs, key.as_bytes(), doc);
    }

    /// A lock.
    pub fn lock<T: Serialize>(&mut self, id: u64, lock: Option<&T>) {
        self.put(Table::Locks, &id.to_be_bytes(), lock);
    }

    /// Whether there is nothing to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn put<T: Serialize>(&mut self, table: Table, key: &[u8], value: Option<&T>) {
        let sealed = value.map(|value| {
            let bytes = cbor::to_vec(value).expect("a vector takes every value of the model");
            row::seal(table, key, &bytes)
        });
        self.rows.entry(table).or_default().insert(key.to_vec(), sealed);
    }

    fn durability(&self, durability: Durability) -> Durability {
        let has = |table| self.rows.contains_key(&table);
        if has(Table::Docs) || has(Table::Locks) {
            Durability::Strict
        } else if has(Table::Archive) {
            durability
        } else {
            // The scan cache is only a cache.
            Durability::Relaxed
        }
    }
}

impl Store {
    /// The archive. A row that could not be read is missing from it.
    pub fn load_archive(&self) -> Result<Loaded<Tree>, StoreError> {
        let loaded = self.load_paths::<Entry>(Table::Archive)?;
        Ok(Loaded { rows: loaded.rows.into_iter().collect(), dropped: loaded.dropped })
    }

    /// The scan cache.
    pub fn load_scan<T: DeserializeOwned>(
        &self,
    ) -> Result<Loaded<BTreeMap<RelPath, T>>, StoreError> {
        let loaded = self.load_paths(Table::Scan)?;
        Ok(Loaded { rows: loaded.rows.into_iter().collect(), dropped: loaded.dropped })
    }

    /// The locks, by id.
    pub fn load_locks<T: DeserializeOwned>(&self) -> Result<Loaded<BTreeMap<u64, T>>, StoreError> {
        let mut loaded = Loaded { rows: BTreeMap::new(), dropped: Vec::new() };
        self.each(Table::Locks, |key, value| {
            let id = <[u8; 8]>::try_from(key).ok().map(u64::from_be_bytes);
            match (id, value.and_then(|value| cbor::from_slice(value).ok())) {
                (Some(id), Some(lock)) => drop(loaded.rows.insert(id, lock)),
                _ => loaded.dropped.push(key.to_vec()),
            }
        })?;
        Ok(loaded)
    }

    /// A document; `None` when there is none, or only a damaged one.
    pub fn get_doc<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let read = |db: &Database| -> Result<Option<T>, redb::Error> {
            let txn = db.begin_read()?;
            let table = match txn.open_table(definition(Table::Docs)) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other?,
            };
            let Some(sealed) = table.get(key.as_bytes())? else { return Ok(None) };
            let value = row::unseal(Table::Docs, key.as_bytes(), sealed.value());
            Ok(value.and_then(|value| cbor::from_slice(value).ok()))
        };
        self.db.with(&self.path, read).map_err(|source| self.read_error(source))
    }

    /// Saves one document.
    pub fn put_doc<T: Serialize>(&self, key: &str, doc: &T) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.doc(key, Some(doc));
        self.save(&batch)
    }

    /// Saves archive rows in one transaction.
    pub fn save_archive(&self, rows: &[(RelPath, Option<Entry>)]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (path, entry) in rows {
            batch.archive(path, entry.as_ref());
        }
        self.save(&batch)
    }

    /// Saves rows of the scan cache; they reach the disk with a later save.
    pub fn save_scan<T: Serialize>(&self, rows: &[(RelPath, Option<T>)]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (path, row) in rows {
            batch.scan(path, row.as_ref());
        }
        self.save(&batch)
    }

    /// Saves a batch in one transaction.
    pub fn save(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let lazy = batch.durability(self.durability) == Durability::Relaxed
            && self.lazy_saves.fetch_add(1, Ordering::Relaxed) < LAZY_SAVES_MAX;
        let written = self.db.with(&self.path, |db| write(db, batch, lazy));
        written.map_err(|source| self.write_error(source))?;
        if !lazy {
            self.lazy_saves.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Brings everything that was saved to disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.lazy_saves.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let written = self.db.with(&self.path, |db| write(db, &Batch::default(), false));
        written.map_err(|source| self.write_error(source))?;
        self.lazy_saves.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn load_paths<T: DeserializeOwned>(
        &self,
        table: Table,
    ) -> Result<Loaded<Vec<(RelPath, T)>>, StoreError> {
        let mut loaded = Loaded { rows: Vec::new(), dropped: Vec::new() };
        self.each(table, |key, value| {
            match (RelPath::new(key), value.and_then(|value| cbor::from_slice(value).ok())) {
                (Ok(path), Some(row)) => loaded.rows.push((path, row)),
                _ => loaded.dropped.push(key.to_vec()),
            }
        })?;
        Ok(loaded)
    }

    /// Shows every row in order; the value is `None` when its seal is broken.
    fn each(
        &self,
        table: Table,
        mut show: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), StoreError> {
        let read = |db: &Database| -> Result<(), redb::Error> {
            let txn = db.begin_read()?;
            let rows = match txn.open_table(definition(table)) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                other => other?,
            };
            for row in rows.iter()? {
                let (key, sealed) = row?;
                show(key.value(), row::unseal(table, key.value(), sealed.value()));
            }
            Ok(())
        };
        self.db.with(&self.path, read).map_err(|source| self.read_error(source))
    }

    fn read_error(&self, source: redb::Error) -> StoreError {
        StoreError::Read { path: self.path.clone(), source: Box::new(source) }
    }

    fn write_error(&self, source: redb::Error) -> StoreError {
        StoreError::Write { path: self.path.clone(), source: Box::new(source) }
    }
}

/// What waits for a flush reaches the disk when the store is closed.
impl Drop for Store {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; what is lost then was promised to nobody.
        let _ = self.flush();
    }
}

fn write(db: &Database, batch: &Batch, lazy: bool) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    if lazy {
        txn.set_durability(redb::Durability::None)?;
    }
    for (&table, rows) in &batch.rows {
        let mut table = txn.open_table(definition(table))?;
        for (key, value) in rows {
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
    }
    Ok(txn.commit()?)
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}
