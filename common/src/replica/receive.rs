//! Getting the content of a new version into `stage/`, from wherever it is.

use std::io::ErrorKind;

use crate::change::Change;
use crate::entry::{self, Entry};
use crate::limits::{PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX};
use crate::replica::commit::Committer;
use crate::replica::disk::Handle;
use crate::replica::failpoint::reach;
use crate::replica::rebuild::{is_worth_it, rebuild};
use crate::replica::source::{Source, SourceError};
use crate::replica::stage::{Flush, StageError, Staged, StagedFile};
use crate::replica::step::{Step, StepError};
use crate::wire::message::Content;

/// Pieces that are asked for in one call: enough that the pauses between calls do not matter.
const PIECES_PER_CALL_MAX: usize = 64 * PIECES_IN_FLIGHT_MAX;

/// Why content did not come.
#[derive(Debug)]
pub(super) enum NotReceived {
    /// It is not, or no longer, where it was said to be.
    Moved,
    /// A step failed.
    Failed(StepError),
}

impl NotReceived {
    /// Whether there was no room for it.
    fn is_for_room(&self) -> bool {
        matches!(self, NotReceived::Failed(e) if e.source.kind() == ErrorKind::StorageFull)
    }
}

impl From<StepError> for NotReceived {
    fn from(error: StepError) -> NotReceived {
        NotReceived::Failed(error)
    }
}

impl From<SourceError> for NotReceived {
    fn from(error: SourceError) -> NotReceived {
        match error {
            // A link that broke is no fault of the disk: it is tried again when the link is back.
            SourceError::Gone | SourceError::Lost => NotReceived::Moved,
            SourceError::Io(source) => {
                NotReceived::Failed(StepError { step: "take the content over", source })
            }
        }
    }
}

impl Committer {
    /// Stages an entry, whatever it is.
    pub(super) fn receive(
        &self,
        change: &Change,
        after: &Entry,
        content: &Content,
        flush: Flush,
    ) -> Result<Staged, NotReceived> {
        let staged = match after {
            Entry::Dir { mode } => self.publisher.stage.directory(*mode)?,
            Entry::Link(link) => self.publisher.stage.link(link)?,
            Entry::File(file) => self.receive_file(change, file, content, flush)?,
        };
        reach("staged");
        Ok(staged)
    }

    fn receive_file(
        &self,
        change: &Change,
        file: &entry::File,
        content: &Content,
        flush: Flush,
    ) -> Result<Staged, NotReceived> {
        let stage = &self.publisher.stage;
        stage.room().begin(&file.digest).step("receive it")?;
        let mut staged = match content {
            Content::Held(_) => stage.file_of_ours(file.size)?,
            _ => stage.file(file.size)?,
        };
        let name = staged.name().to_vec();
        let filled = self.fill(&mut staged, change, file, content);
        if filled.as_ref().is_err_and(NotReceived::is_for_room) {
            stage.room().gave_up(file.digest, staged.written());
        }
        let received = filled.and_then(|()| {
            reach("filled");
            staged.finish(file, flush).map_err(|e| match e {
                StageError::Other => NotReceived::Moved,
                StageError::Step(e) => NotReceived::Failed(e),
            })
        });
        if received.is_err() {
            stage.discard(&name);
        }
        received
    }

    fn fill(
        &self,
        staged: &mut StagedFile,
        change: &Change,
        file: &entry::File,
        content: &Content,
    ) -> Result<(), NotReceived> {
        match content {
            Content::None if file.size == 0 => Ok(()),
            Content::None => Err(NotReceived::Moved),
            Content::Inline(bytes) if bytes.len() as u64 != file.size => Err(NotReceived::Moved),
            Content::Inline(bytes) => Ok(staged.write(0, bytes).step("write the staged file")?),
            Content::Local(path) => match self.publisher.root.open_file(path) {
                Ok(from) => copy(staged, file, &from),
                Err(_) => Err(NotReceived::Moved),
            },
            Content::Trash => {
                self.publisher.unfold(usize::MAX);
                let found = self.publisher.trash.find(file.digest).step("look into the trash")?;
                copy(staged, file, &found.ok_or(NotReceived::Moved)?)
            }
            Content::Trashed(name) => match self.publisher.trash.open(name.as_str()) {
                Ok(from) => copy(staged, file, &from),
                Err(_) => Err(NotReceived::Moved),
            },
            Content::Pull(_) | Content::Held(_) => {
                let mut source = self.supplier.source(content, file)?;
                if is_worth_it(file.size)
                    && let Some(old) = self.old_version(change)
                    && rebuild(source.as_mut(), &old, staged, file.size)?
                {
                    return Ok(());
                }
                fetch_whole(source.as_mut(), staged, file.size)
            }
        }
    }

    /// The version that is to be replaced, when it is large enough to be of use.
    fn old_version(&self, change: &Change) -> Option<Handle> {
        let before = change.before.as_ref()?.as_file()?;
        if !is_worth_it(before.size) {
            return None;
        }
        self.publisher.root.open_file(&change.path).ok()
    }
}

/// Takes the content of another file of this replica: its blocks where the file system shares
/// them, its bytes otherwise. Either way the digest is verified.
fn copy(staged: &mut StagedFile, file: &entry::File, from: &Handle) -> Result<(), NotReceived> {
    let stamp = from.stat().step("look at the file to copy")?;
    if !stamp.is_file() || stamp.size != file.size {
        return Err(NotReceived::Moved);
    }
    if staged.file().take_blocks(from).is_ok() {
        staged.filled();
        return Ok(());
    }
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    let mut offset = 0;
    while offset < file.size {
        let n = from.read_at(&mut buffer, offset).step("read the file to copy")?;
        if n == 0 {
            return Err(NotReceived::Moved);
        }
        let n = n.min(usize::try_from(file.size - offset).unwrap_or(n));
        staged.write(offset, &buffer[..n]).step("write the staged file")?;
        offset += n as u64;
    }
    Ok(())
}

/// Takes a whole content over, in order.
fn fetch_whole(
    source: &mut dyn Source,
    staged: &mut StagedFile,
    size: u64,
) -> Result<(), NotReceived> {
    let mut offset = 0;
    while offset < size {
        let mut ranges = Vec::new();
        while offset < size && ranges.len() < PIECES_PER_CALL_MAX {
            let length = (size - offset).min(PIECE_BYTES_MAX as u64);
            ranges.push((offset, length as u32));
            offset += length;
        }
        source.fetch(&ranges, &mut |at, piece| staged.write(at, piece))?;
    }
    Ok(())
}
