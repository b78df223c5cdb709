//! Held edits: any file in the pending directory is a held edit, or is set aside as it was found,
//! or stops the start; never is one lost or its place given out again.

use std::fs;

use common::digest::Digest;
use common::entry::{Entry, File};
use common::path::RelPath;
use common::time::Timestamp;
use server_a::pending::directory::{PendingDirectory, PendingError};
use server_a::pending::header;
use server_a::pending::queue::{HeldEdit, HeldLimits, PendingQueue};

use crate::fuzzing::{Target, byte, directory};

/// A whole file; or the CBOR of a header, which gets a whole head, and content of that many bytes.
pub(crate) const TARGET: Target = Target { name: "held", run, seeds, mutants: 600 };

const SEQ: u64 = 5;

fn run(mut bytes: &[u8]) -> bool {
    let file = match byte(&mut bytes) % 2 {
        0 => bytes.to_vec(),
        _ => {
            let content = usize::from(byte(&mut bytes)) % 32;
            sealed(bytes, content)
        }
    };
    let root = directory();
    let dir = root.path().join("pending");
    PendingDirectory::create(&dir).expect("made");
    let name = dir.join(format!("{SEQ:020}.held"));
    fs::write(&name, &file).expect("written");
    let opened = match PendingDirectory::open(&dir, 0) {
        Ok(opened) => opened,
        Err(PendingError::Newer { found, .. }) => {
            assert!(found > header::FORMAT);
            assert_eq!(fs::read(&name).expect("it is there"), file, "as it was found");
            return false;
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(opened.next_seq, SEQ + 1, "no place is given out again");
    assert_eq!(opened.edits.len() + opened.problems.len(), 1);
    let Some(edit) = opened.edits.first() else {
        let aside = &opened.problems[0].path;
        assert_eq!(fs::read(aside).expect("it is kept"), file, "as it was found");
        return false;
    };
    assert_eq!(edit.seq, SEQ);
    let (_, length) = opened.directory.open_content(SEQ).expect("its content");
    assert_eq!(length, edit.content_bytes());
    let queue = PendingQueue::rebuild(opened.edits.clone(), opened.next_seq, HeldLimits::default());
    // Written again, it is the same edit.
    let again = [header::bytes(edit), vec![0; edit.content_bytes() as usize]].concat();
    fs::write(&name, again).expect("written");
    let reopened = PendingDirectory::open(&dir, 0).expect("opened again");
    assert_eq!(reopened.edits, opened.edits);
    let rebuilt = PendingQueue::rebuild(reopened.edits, reopened.next_seq, HeldLimits::default());
    assert_eq!(rebuilt, queue);
    opened.directory.discard(SEQ).expect("discarded");
    let emptied = PendingDirectory::open(&dir, 0).expect("opened again");
    assert_eq!((emptied.edits.len(), emptied.next_seq), (0, SEQ + 1));
    true
}

/// A file with a whole head before these bytes.
fn sealed(cbor: &[u8], content: usize) -> Vec<u8> {
    let mut file = b"lab3held".to_vec();
    file.extend(header::FORMAT.to_be_bytes());
    file.extend((cbor.len() as u32).to_be_bytes());
    let check = Digest::of(&[file.as_slice(), cbor].concat());
    file.extend(&check.0[..8]);
    file.extend(cbor);
    file.resize(file.len() + content, 0);
    file
}

fn seeds() -> Vec<Vec<u8>> {
    let path = RelPath::new("report.txt").expect("a path");
    let modified = Timestamp { seconds: 1_795_255_800, nanos: 5 };
    let file = |size| Entry::from(File { digest: Digest([0xd1; 32]), size, mode: 0o644, modified });
    let edit = |before, after| HeldEdit {
        seq: SEQ,
        lock: 3,
        path: path.clone(),
        before,
        after,
        received: modified,
    };
    let mut seeds = Vec::new();
    for (edit, content) in [
        (edit(None, Some(file(7))), 7),
        (edit(Some(file(7)), None), 0),
        (edit(Some(Entry::Dir { mode: 0o755 }), Some(file(0))), 0),
    ] {
        let head = header::bytes(&edit);
        seeds.push([&[0], head.as_slice(), &vec![0; content]].concat());
        seeds.push([&[1, content as u8], &head[24..]].concat());
    }
    seeds
}
