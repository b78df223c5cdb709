//! What was shown last: whatever the file holds, an index means a path of it or nothing, and a
//! listing that was remembered is found again.

use std::fs;

use common::path::RelPath;
use common::wire::client::{Generation, Target as Named};
use lab3_client::shown::{Shown, ShownError};

use crate::fuzzing::{Target, byte, directory};

/// An index, then the file; or paths with a zero byte between any two, which are remembered.
pub(crate) const TARGET: Target = Target { name: "shown", run, seeds, mutants: 1500 };

fn run(mut bytes: &[u8]) -> bool {
    let folder = directory();
    let shown = Shown::of(folder.path(), "127.0.0.1:4320");
    let which = byte(&mut bytes);
    let index = u64::from(which >> 1);
    match which % 2 {
        0 => {
            let name = {
                let listing = shown.begin(Generation { epoch: 1, number: 1 }).expect("begun");
                listing.finish().expect("finished");
                let file = fs::read_dir(folder.path()).expect("listed").next();
                file.expect("a file").expect("a file").path()
            };
            fs::write(name, bytes).expect("written");
            match shown.target(index) {
                Ok(Named::Shown { path, .. }) => {
                    let whole = [path.as_bytes(), b"\0"].concat();
                    assert!(bytes.windows(whole.len()).any(|part| part == whole), "{path}");
                    true
                }
                Ok(other) => panic!("{other:?}"),
                Err(ShownError::Beyond { count, .. }) => {
                    assert!(count <= index);
                    true
                }
                Err(ShownError::Damaged { .. } | ShownError::Read { .. }) => false,
                Err(error) => panic!("{error:?}"),
            }
        }
        _ => {
            let parts = bytes.split(|byte| *byte == 0);
            let paths: Vec<RelPath> = parts.filter_map(|part| RelPath::new(part).ok()).collect();
            let generation = Generation { epoch: u64::MAX, number: index };
            let mut listing = shown.begin(generation).expect("begun");
            paths.iter().for_each(|path| listing.add(path).expect("added"));
            listing.finish().expect("finished");
            for (n, path) in (0..).zip(&paths) {
                let named = Named::Shown { path: path.clone(), generation };
                assert_eq!(shown.target(n).expect("it was shown"), named);
            }
            let beyond = shown.target(paths.len() as u64);
            assert!(matches!(beyond, Err(ShownError::Beyond { .. })), "{beyond:?}");
            true
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x00lab3 shown 1 17 42\na/b\0c\0\0".to_vec(),
        b"\x02lab3 shown 1 18446744073709551615 0\na\nb\0c\0\0".to_vec(),
        b"\x08lab3 shown 1 1 1\n\0".to_vec(),
        b"\x03report.txt\0docs/\xff\xfe\0b".to_vec(),
    ]
}
