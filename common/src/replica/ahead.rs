//! A file's pieces in their order. Of a large one the next is read while one is worked on.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::io::Errno;

use crate::limits::PIECE_BYTES_MAX;
use crate::replica::disk::Handle;

/// From this size on a second thread is worth its start.
const LARGE_BYTES_MIN: u64 = 16 << 20;
/// One piece of a large file.
const LARGE_PIECE_BYTES: usize = 1 << 20;
/// Pieces of a large file in memory at once.
const PIECES_MAX: usize = 4;

/// Hands on the pieces of a file that is expected to have this size, until its end or until `take`
/// answers that it has enough. Reads without moving the file's position.
pub(super) fn each_piece(
    file: &Handle,
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    if size >= LARGE_BYTES_MIN {
        return read_ahead(file, take);
    }
    // With room for one byte more, so that the first read shows whether this is all.
    let room = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
    let mut piece = vec![0; room.clamp(4096, PIECE_BYTES_MAX)];
    let mut done = 0;
    loop {
        let n = read(file, &mut piece, done)?;
        done += n as u64;
        if n == 0 || !take(&piece[..n])? || (done == size && n < piece.len()) {
            return Ok(());
        }
    }
}

fn read_ahead(file: &Handle, take: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
    let (full, pieces) = sync_channel(PIECES_MAX);
    let (used, empty) = sync_channel(PIECES_MAX);
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Err(error) = read_all(file, &full, &empty) {
                drop(full.send(Err(error)));
            }
        });
        // Whoever reads ends when nobody takes any more: both ends here are dropped on the way out.
        let used = used;
        for piece in pieces {
            let (buffer, length) = piece?;
            if !take(&buffer[..length])? {
                break;
            }
            drop(used.send(buffer));
        }
        Ok(())
    })
}

/// A buffer, and how much of it is filled.
type Piece = (Vec<u8>, usize);

fn read_all(
    file: &Handle,
    full: &SyncSender<io::Result<Piece>>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut fresh = (0..PIECES_MAX).map(|_| vec![0; LARGE_PIECE_BYTES]);
    let mut done = 0;
    while let Some(mut buffer) = fresh.next().or_else(|| empty.recv().ok()) {
        let n = read(file, &mut buffer, done)?;
        done += n as u64;
        if n == 0 || full.send(Ok((buffer, n))).is_err() {
            break;
        }
    }
    Ok(())
}

fn read(file: &Handle, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn file_of(dir: &tempfile::TempDir, content: &[u8]) -> Handle {
        let path = dir.path().join("file");
        File::create(&path).and_then(|mut file| file.write_all(content)).expect("written");
        let above = Handle::open_directory(dir.path()).expect("opened");
        crate::replica::root::open_file_at(&above, b"file").expect("opened")
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 7 % 251) as u8).collect()
    }

    #[test]
    fn the_pieces_are_the_file_however_large_and_whatever_was_expected() {
        let dir = tempfile::tempdir().expect("a directory");
        let large = LARGE_BYTES_MIN as usize;
        for bytes in [0, 1, 4095, 4096, 4097, 300_000, large - 1, large, large + 12_345] {
            let content = content(bytes);
            let file = file_of(&dir, &content);
            for expected in [0, bytes as u64, bytes as u64 + 1, LARGE_BYTES_MIN] {
                let mut seen = Vec::new();
                each_piece(&file, expected, &mut |piece| {
                    seen.extend_from_slice(piece);
                    Ok(true)
                })
                .expect("read");
                assert!(seen == content, "{bytes} bytes, expected {expected}");
            }
        }
    }

    #[test]
    fn who_has_enough_or_fails_gets_no_more_and_everything_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file_of(&dir, &content(3 * LARGE_BYTES_MIN as usize));
        for expected in [10, LARGE_BYTES_MIN] {
            let mut pieces = 0;
            each_piece(&file, expected, &mut |_| {
                pieces += 1;
                Ok(pieces < 3)
            })
            .expect("read");
            assert_eq!(pieces, 3);
            let failed = each_piece(&file, expected, &mut |_| Err(io::ErrorKind::Other.into()));
            assert!(failed.is_err());
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_at_either_size() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Handle::open_directory(dir.path()).expect("opened");
        for expected in [10, LARGE_BYTES_MIN] {
            assert!(each_piece(&directory, expected, &mut |_| Ok(true)).is_err());
        }
    }
}
