//! Staging: pieces at any offsets in any order write nothing beyond the announced size, and what
//! is finished has the announced digest.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt as _;

use common::digest::Digest;
use common::entry::File;
use common::replica::stage::{Flush, Stage};
use common::time::Timestamp;

use crate::fuzzing::{Target, byte, directory, number};

/// The size, then pieces: an offset, a length, a byte that fills it.
pub(crate) const TARGET: Target = Target { name: "staged", run, seeds, mutants: 800 };

/// Announced sizes are below this.
const SIZE_MAX: u64 = 256 * 1024;

thread_local! {
    static STAGE: RefCell<(tempfile::TempDir, Stage)> = RefCell::new({
        let dir = directory();
        let handle = std::fs::File::open(dir.path()).expect("opened").into();
        (dir, Stage::new(handle, 7))
    });
}

fn run(mut bytes: &[u8]) -> bool {
    let size = number(&mut bytes) % SIZE_MAX;
    let mut model = vec![0_u8; size as usize];
    let mut written = vec![false; size as usize];
    STAGE.with_borrow(|(dir, stage)| {
        let mut staged = stage.file(size).expect("a staged file");
        let name = staged.name().to_vec();
        let path = dir.path().join(std::ffi::OsStr::from_bytes(&name));
        let mut refused = false;
        while !bytes.is_empty() && !refused {
            // Most pieces are to lie within, some at the very end of all numbers.
            let offset = match byte(&mut bytes) {
                255 => u64::MAX - u64::from(byte(&mut bytes)),
                254 => size.saturating_sub(u64::from(byte(&mut bytes))),
                high => u64::from(high) << 10 | u64::from(byte(&mut bytes)) << 2,
            };
            let length = usize::from(byte(&mut bytes)) << (byte(&mut bytes) % 10);
            let piece = vec![byte(&mut bytes); length];
            let end = offset.checked_add(length as u64);
            if (offset..end.unwrap_or(offset)).any(|at| written.get(at as usize) == Some(&true)) {
                // The pieces of a plan never overlap, whatever its recipes say.
                continue;
            }
            match staged.write(offset, &piece) {
                Ok(()) => {
                    let end = end.expect("no number is beyond all numbers") as usize;
                    assert!(end <= model.len(), "nothing beyond the announced size");
                    written[offset as usize..end].fill(true);
                    model[offset as usize..end].copy_from_slice(&piece);
                }
                Err(_) => {
                    assert!(end.is_none_or(|end| end > size), "what lies within is taken");
                    refused = true;
                }
            }
            let on_disk = std::fs::metadata(&path).expect("it is there").len();
            assert!(on_disk <= size, "{on_disk} bytes of {size}");
        }
        let digest = Digest::of(&model);
        let is_honest = bytes.len().is_multiple_of(2);
        let announced = if is_honest { digest } else { Digest::of(b"another") };
        let file = File { digest: announced, size, mode: 0o644, modified: Timestamp::default() };
        let finished = staged.finish(&file, Flush::Together);
        assert_eq!(finished.is_ok(), is_honest, "{:?}", finished.err());
        if is_honest {
            assert!(std::fs::read(&path).expect("read") == model, "as it was written");
        }
        stage.discard(&name);
        !refused && size > 0
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let size = |size: u64| size.to_be_bytes().to_vec();
    let first = [0, 0, 255, 2, 7];
    vec![
        [size(1020), first.to_vec()].concat(),
        [size(200_000), first.to_vec(), vec![40, 3, 90, 9, 1, 20, 0, 255, 8, 0]].concat(),
        [size(200_000), vec![254, 1, 1, 0, 9], first.to_vec()].concat(),
        [size(100_000), vec![10, 0, 255, 8, 0], vec![0, 0, 255, 8, 1]].concat(),
    ]
}
