//! What goes wrong in the pending directory is said, and nothing is taken for an empty queue.

use std::fs;

use server_a::pending::directory::{PendingDirectory, PendingError};

use crate::pending_directory::{edit, fresh, put, reopen};

#[test]
fn a_part_was_never_promised_and_goes() {
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 1, b"whole");
    let whole = fs::read(dir.join("00000000000000000001.held")).expect("read");
    for (n, cut) in [0, 5, 24, 60, whole.len()].into_iter().enumerate() {
        fs::write(dir.join(format!("{:020}.part", n + 2)), &whole[..cut]).expect("written");
    }
    let opened = reopen(&dir);
    assert_eq!((opened.edits.len(), opened.problems.len(), opened.next_seq), (1, 0, 2));
    assert!(
        fs::read_dir(&dir).expect("listed").all(|item| {
            !item.expect("an item").file_name().to_string_lossy().ends_with(".part")
        })
    );
}

#[test]
fn a_start_that_was_killed_does_not_stop_the_next_one() {
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 1, b"whole");
    // What a start tries out, before it took it away again.
    fs::write(dir.join("00000000000000000000.part"), "").expect("written");
    let opened = reopen(&dir);
    assert_eq!((opened.edits.len(), opened.problems.len()), (1, 0));
    assert!(!fs::exists(dir.join("00000000000000000000.part")).expect("looked"));
}

#[test]
fn every_flipped_bit_of_a_header_and_every_cut_is_found_and_set_aside() {
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 5, b"content");
    let name = dir.join("00000000000000000005.held");
    let whole = fs::read(&name).expect("read");
    let header = whole.len() - b"content".len();
    let flips = (0..header * 8).step_by(5).map(|bit| {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    });
    let cuts = (0..whole.len()).step_by(7).map(|cut| whole[..cut].to_vec());
    let longer = [whole.as_slice(), b"!"].concat();
    let mut refused = 0;
    for damaged in flips.chain(cuts).chain([longer]) {
        let (_root, dir) = fresh();
        fs::write(dir.join("00000000000000000005.held"), &damaged).expect("written");
        match PendingDirectory::open(&dir, 0) {
            Ok(opened) => {
                assert!(opened.edits.is_empty());
                assert_eq!(opened.problems.len(), 1);
                let aside = &opened.problems[0].path;
                assert!(aside.ends_with("00000000000000000005.bad"));
                assert_eq!(fs::read(aside).expect("kept"), damaged);
                assert_eq!(opened.next_seq, 6);
            }
            Err(PendingError::Newer { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused < 10, "only a flip in the format number looks like a newer program");
}

#[test]
fn what_is_set_aside_never_replaces_what_was_set_aside_before() {
    let (_root, dir) = fresh();
    for text in ["first", "second", "third"] {
        fs::write(dir.join("00000000000000000005.held"), text).expect("written");
        let opened = reopen(&dir);
        assert_eq!(fs::read_to_string(&opened.problems[0].path).expect("kept"), text);
    }
    assert_eq!(fs::read_dir(&dir).expect("listed").count(), 4);
}

#[test]
fn a_file_under_another_place_is_not_believed() {
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 5, b"content");
    fs::rename(dir.join("00000000000000000005.held"), dir.join("00000000000000000006.held"))
        .expect("renamed");
    let opened = reopen(&dir);
    assert_eq!((opened.edits.len(), opened.problems.len(), opened.next_seq), (0, 1, 7));
}

#[test]
fn strange_names_are_left_alone_and_named() {
    let (_root, dir) = fresh();
    for name in ["notes.txt", "5.held", "00000000000000000005.other"] {
        fs::write(dir.join(name), "mine").expect("written");
    }
    fs::create_dir(dir.join("00000000000000000007.held")).expect("made");
    std::os::unix::fs::symlink("/etc/passwd", dir.join("00000000000000000008.held")).expect("made");
    let opened = reopen(&dir);
    assert_eq!((opened.edits.len(), opened.problems.len(), opened.next_seq), (0, 5, 9));
    assert!(fs::exists(dir.join("notes.txt")).expect("looked"));
    assert!(opened.problems.iter().all(|p| fs::symlink_metadata(&p.path).is_ok()));
}

#[test]
fn a_newer_held_edit_stops_the_start_and_nothing_is_touched() {
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 1, b"content");
    let name = dir.join("00000000000000000001.held");
    let mut bytes = fs::read(&name).expect("read");
    bytes[11] = 3;
    fs::write(&name, &bytes).expect("written");
    fs::write(dir.join("00000000000000000002.part"), "half").expect("written");
    let result = PendingDirectory::open(&dir, 0);
    assert!(matches!(result, Err(PendingError::Newer { found: 3, .. })));
    assert_eq!(fs::read(&name).expect("kept"), bytes);
    assert!(fs::exists(dir.join("00000000000000000002.part")).expect("looked"));
}

#[test]
fn a_directory_that_is_missing_or_none_is_an_error() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let missing = root.path().join("pending");
    let error = PendingDirectory::open(&missing, 0).expect_err("missing");
    assert!(matches!(error, PendingError::Directory { .. }));
    assert!(!fs::exists(&missing).expect("looked"), "opening makes nothing");
    fs::write(&missing, "a file").expect("written");
    for dir in [missing.clone(), missing.join("below")] {
        assert!(matches!(PendingDirectory::open(&dir, 0), Err(PendingError::Directory { .. })));
    }
    let below = PendingDirectory::create(&missing.join("below"));
    assert!(matches!(below, Err(PendingError::Directory { .. })));
}

#[test]
fn when_the_directory_goes_away_nothing_counts_as_held_read_or_discarded() {
    let (root, dir) = fresh();
    let directory = reopen(&dir).directory;
    put(&directory, 1, b"content");
    put(&directory, 2, b"content");
    fs::rename(&dir, root.path().join("elsewhere")).expect("moved");
    let held = directory.put(&edit(3, None), &mut std::io::empty());
    assert!(matches!(held, Err(PendingError::Write { .. })));
    assert!(matches!(directory.open_content(1), Err(PendingError::Read { .. })));
    assert!(matches!(directory.discard(1), Err(PendingError::Directory { .. })));
    assert!(directory.discard(2).is_err());
    fs::rename(root.path().join("elsewhere"), &dir).expect("moved back");
    directory.discard(1).expect("discarded");
    assert_eq!(reopen(&dir).edits.len(), 1);
}

#[test]
fn the_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_root, dir) = fresh();
    put(&reopen(&dir).directory, 1, b"content");
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(dir.clone()), 0o700);
    assert_eq!(mode(dir.join("00000000000000000001.held")), 0o600);
    PendingDirectory::create(&dir).expect("once more is no error");
    assert_eq!(reopen(&dir).edits.len(), 1);
}
