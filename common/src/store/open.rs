//! Opening a store: whose it is, whether it is whole, and what is left of it when it is not.
//!
//! A file that is no store, or a damaged one, is renamed and a new store takes its place; nothing
//! is deleted. What the damaged one still says for certain (rows with a whole seal, in order and in
//! the right number) moves into the new one, so that one flipped bit costs one row and not the
//! locks. Of a store that was killed *and* damaged nothing is certain: it costs the last save, or
//! everything; then `Opened::set_aside` is to be shown to people. An error of the disk or of
//! permissions is no damage: then nothing is touched.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the file that holds the store"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, PoisonError};

use redb::{
    Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError,
};

use super::row::{self, Table};
use super::{Batch, Durability, FORMAT, Rows, Store, StoreError, definition};
use crate::takeover::wait_for;
use crate::time::Timestamp;

/// Holds the format number, which is written when the file is made.
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("lab3");
/// The key of the format number.
const FORMAT_KEY: &str = "format";
/// Memory that the store may keep pages in.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// The part of the file that opening writes to, even when nothing is changed.
const HEADER_BYTES: u64 = 4096;

/// What [`open`] found.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Where a damaged store, or a file that was none, is now.
    pub set_aside: Option<PathBuf>,
}

/// Why a file did not become a database.
enum Failure {
    /// Its content is to blame.
    Damaged,
    /// Something else is.
    Error(StoreError),
}

/// Opens the store, or makes one where there is none.
pub fn open(path: &Path, durability: Durability) -> Result<Opened, StoreError> {
    let is_held = |error: &StoreError| matches!(error, StoreError::InUse { .. });
    wait_for(|| open_now(path, durability), is_held)
}

fn open_now(path: &Path, durability: Durability) -> Result<Opened, StoreError> {
    let place = |source| StoreError::Place { path: path.to_owned(), source };
    let finish = |db, set_aside| {
        let path = path.to_owned();
        let db = Reopening(Mutex::new(Some(db)));
        let store = Store { db, path, durability, lazy_saves: AtomicU32::new(0) };
        Opened { store, set_aside }
    };
    if !fs::exists(path).map_err(place)? {
        return Ok(finish(create(path, &Batch::default(), None)?, None));
    }
    let header = header(path).map_err(place)?;
    let found = match look(path)? {
        // Opening it would make a store of it, in place.
        _ if header.is_empty() => Err(Failure::Damaged),
        Look::Damaged => Err(Failure::Damaged),
        Look::Unclear => existing(path),
    };
    match found {
        Ok(db) => Ok(finish(db, None)),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Damaged) => {
            // Back to how it was found: a failed check marks the file as not closed.
            restore(path, &header).map_err(place)?;
            let rows = salvage(path);
            let aside = free_name(path);
            let db = create(path, &rows, Some(&aside))?;
            Ok(finish(db, Some(aside)))
        }
    }
}

fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    file(path)?.take(HEADER_BYTES).read_to_end(&mut header)?;
    Ok(header)
}

fn restore(path: &Path, found: &[u8]) -> io::Result<()> {
    if header(path)? != found {
        file(path)?.write_all_at(found, 0)?;
    }
    Ok(())
}

fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Opens a file that is there and checks all of it.
fn existing(path: &Path) -> Result<Database, Failure> {
    let file = file(path)
        .map_err(|source| Failure::Error(StoreError::Place { path: path.to_owned(), source }))?;
    // A damaged file may break an assertion of the library; that is a finding like any other.
    let checked = catch_unwind(AssertUnwindSafe(|| -> Result<Database, Failure> {
        let failure = |error: redb::Error| blame(path, error);
        let mut db = builder().create_file(file).map_err(|error| failure(error.into()))?;
        let txn = db.begin_read().map_err(|error| failure(error.into()))?;
        let found = format(&txn).map_err(failure)?;
        drop(txn);
        match found {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(Failure::Error(newer(path, found))),
            _ => return Err(Failure::Damaged),
        }
        // What the check rolls back is at most the last save, as if a kill had come before it.
        db.check_integrity().map_err(|error| failure(error.into()))?;
        Ok(db)
    }));
    checked.unwrap_or(Err(Failure::Damaged))
}

/// An open database. After an error of the disk it takes no more writes until it was closed and
/// opened again, which is how it finds back to its last whole state: it is, when it is needed next.
#[derive(Debug)]
pub(super) struct Reopening(Mutex<Option<Database>>);

impl Reopening {
    pub(super) fn with<T>(
        &self,
        path: &Path,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let mut db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match db.take() {
            Some(open) => open,
            None => again(path)?,
        };
        let done = act(&open)?;
        *db = Some(open);
        Ok(done)
    }
}

/// Opens a store once more that was open before. One that is not whole now is left to the next
/// start.
fn again(path: &Path) -> Result<Database, redb::Error> {
    let damaged = || redb::Error::Corrupted("it is not whole any more".to_owned());
    if header(path)?.is_empty() {
        return Err(damaged());
    }
    existing(path).map_err(|failure| match failure {
        Failure::Damaged => damaged(),
        Failure::Error(StoreError::Open { source, .. }) => *source,
        Failure::Error(StoreError::Place { source, .. }) => source.into(),
        Failure::Error(StoreError::InUse { .. }) => redb::Error::DatabaseAlreadyOpen,
        Failure::Error(_) => damaged(),
    })
}

/// What a look at the format tells.
enum Look {
    /// This is no store, or not one that can be used.
    Damaged,
    /// It may be whole: our format, or one that was not closed and has to be recovered first.
    Unclear,
}

/// Looks at the format without writing a byte: a newer store is to stay as it is, a damaged one is
/// to be set aside as it was found.
fn look(path: &Path) -> Result<Look, StoreError> {
    let looked = catch_unwind(AssertUnwindSafe(|| -> Result<Option<u64>, redb::Error> {
        format(&ReadOnlyDatabase::open(path)?.begin_read()?)
    }));
    match looked {
        Ok(Ok(Some(FORMAT))) | Ok(Err(redb::Error::RepairAborted)) => Ok(Look::Unclear),
        Ok(Ok(Some(found))) if found > FORMAT => Err(newer(path, found)),
        Ok(Ok(_)) | Err(_) => Ok(Look::Damaged),
        Ok(Err(error)) => match blame(path, error) {
            Failure::Damaged => Ok(Look::Unclear),
            Failure::Error(error) => Err(error),
        },
    }
}

fn newer(path: &Path, found: u64) -> StoreError {
    StoreError::Newer { path: path.to_owned(), found }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Tells damage from what a person must look at.
fn blame(path: &Path, error: redb::Error) -> Failure {
    use redb::Error as E;
    let path = path.to_owned();
    match error {
        E::Corrupted(_) | E::RepairAborted | E::TableTypeMismatch { .. } => Failure::Damaged,
        // No store of ours ever had the older file format that this would be.
        E::UpgradeRequired(_) => Failure::Damaged,
        E::Io(error) if is_content(&error) => Failure::Damaged,
        E::DatabaseAlreadyOpen => Failure::Error(StoreError::InUse { path }),
        other => Failure::Error(StoreError::Open { path, source: Box::new(other) }),
    }
}

fn is_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn format(txn: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    match txn.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(table?.get(FORMAT_KEY)?.map(|found| found.value())),
    }
}

/// What a damaged store still says for certain. The scan cache is made anew instead. Nothing is
/// said by one that was not closed: its pages may be of different times.
fn salvage(path: &Path) -> Batch {
    let read = catch_unwind(AssertUnwindSafe(|| -> Result<Batch, redb::Error> {
        let txn = ReadOnlyDatabase::open(path)?.begin_read()?;
        let mut batch = Batch::default();
        if format(&txn)? != Some(FORMAT) {
            return Ok(batch);
        }
        for table in [Table::Archive, Table::Docs, Table::Locks] {
            // A table with a hole may show rows of a time long past; it is not believed at all.
            if let Ok(Ok(rows)) = catch_unwind(AssertUnwindSafe(|| sound_rows(&txn, table))) {
                batch.rows.insert(table, rows);
            }
        }
        Ok(batch)
    }));
    match read {
        Ok(Ok(batch)) => batch,
        _ => Batch::default(),
    }
}

/// Rows with a whole seal, of a table that has as many rows as it says, in order.
fn sound_rows(txn: &ReadTransaction, table: Table) -> Result<Rows, redb::Error> {
    let mut rows = Rows::new();
    let rows_on_disk = match txn.open_table(definition(table)) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(rows),
        other => other?,
    };
    let mut seen = 0;
    for row in rows_on_disk.iter()? {
        let (key, sealed) = row?;
        seen += 1;
        if row::unseal(table, key.value(), sealed.value()).is_none() {
            continue;
        }
        if rows.last_key_value().is_some_and(|(last, _)| last.as_slice() >= key.value()) {
            return Err(redb::Error::Corrupted("rows out of order".to_owned()));
        }
        rows.insert(key.value().to_vec(), Some(sealed.value().to_vec()));
    }
    if seen != rows_on_disk.len()? {
        return Err(redb::Error::Corrupted("another number of rows".to_owned()));
    }
    Ok(rows)
}

/// Makes a store aside and puts it in place, in one step where there was one before.
fn create(path: &Path, rows: &Batch, aside: Option<&Path>) -> Result<Database, StoreError> {
    let place = |source| StoreError::Place { path: path.to_owned(), source };
    let fresh = with_suffix(path, ".new");
    // Left by a crash before it was in place: it never held anything that was promised.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place(error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(place)?;
    let db = fill(file, rows)
        .map_err(|source| StoreError::Open { path: fresh.clone(), source: Box::new(source) })?;
    if let Some(aside) = aside {
        // A second name first, so that at no moment there is no store under its own.
        fs::hard_link(path, aside).or_else(|_| fs::rename(path, aside)).map_err(place)?;
    }
    fs::rename(&fresh, path).map_err(place)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new("."))).and_then(|d| d.sync_all()).map_err(place)?;
    Ok(db)
}

fn fill(file: File, rows: &Batch) -> Result<Database, redb::Error> {
    let db = builder().create_file(file)?;
    let txn = db.begin_write()?;
    txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    for (&table, rows) in &rows.rows {
        let mut table = txn.open_table(definition(table))?;
        for (key, value) in rows {
            if let Some(value) = value {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
    }
    txn.commit()?;
    Ok(db)
}

/// `NAME.corrupt-TIME`, with a number when that is taken.
fn free_name(path: &Path) -> PathBuf {
    let base = with_suffix(path, &format!(".corrupt-{}", Timestamp::now().compact()));
    let taken = |name: &PathBuf| fs::symlink_metadata(name).is_ok();
    std::iter::once(base.clone())
        .chain((2_u32..).map(|n| with_suffix(&base, &format!("-{n}"))))
        .find(|name| !taken(name))
        .unwrap_or(base)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
