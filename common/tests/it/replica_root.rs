//! The way in, the claim, and what is noticed when the ground moves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;

use common::replica::claim::{Claim, ClaimError, Terms};
use common::replica::root::{Root, RootError};
use common::wire::message::ReplicaId;
use tempfile::tempdir;

use crate::replica_bench::{mode_of, names, path};

#[test]
fn what_is_no_directory_is_no_root() {
    let dir = tempdir().unwrap();
    let missing = Root::open(dir.path().join("no"));
    assert!(matches!(missing, Err(RootError::Missing(_))));
    fs::write(dir.path().join("f"), "").unwrap();
    assert!(matches!(Root::open(dir.path().join("f")), Err(RootError::NotADirectory(_))));
}

#[test]
fn no_way_leads_out_of_the_root() {
    let dir = tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("real")).unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    fs::write(tree.join("real/f"), "inside").unwrap();
    symlink("..", tree.join("up")).unwrap();
    symlink("real", tree.join("same")).unwrap();
    symlink("f", tree.join("real/l")).unwrap();
    let root = Root::open(&tree).unwrap();
    for out in ["up/secret", "same/f", "real/f/x", "none/x"] {
        assert_eq!(root.stat(&path(out)).unwrap(), None, "{out} is not in our tree");
        assert!(root.open_file(&path(out)).is_err());
    }
    assert!(root.directory(Some(&path("up"))).is_err());
    assert!(root.open_file(&path("real/l")).is_err(), "a link is not followed");
    assert_eq!(root.read_link(&path("real/l")).unwrap(), b"f");
    assert_eq!(root.stat(&path("real/f")).unwrap().unwrap().size, 6);
}

#[test]
fn a_claim_makes_a_place_of_its_own_and_keeps_its_id() {
    let dir = tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let first = Claim::take(&root, Terms::default()).unwrap();
    assert!(first.is_new());
    assert_eq!(names(dir.path()), [".lab3"]);
    assert_eq!(mode_of(&dir.path().join(".lab3")), 0o700);
    assert_eq!(mode_of(&dir.path().join(".lab3/id")), 0o600);
    let id = first.id();
    drop(first);
    let expected = Some(id);
    let again = Claim::take(&root, Terms { expected, ..Terms::default() }).unwrap();
    assert!(!again.is_new() && again.id() == id);
}

#[test]
fn a_second_process_is_told_who_was_first() {
    let dir = tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let first = Claim::take(&root, Terms::default()).unwrap();
    match Claim::take(&root, Terms::default()) {
        Err(ClaimError::Taken { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(first);
    assert!(Claim::take(&root, Terms::default()).is_ok(), "no lock outlives its holder");
}

#[test]
fn a_root_that_lost_its_mark_or_is_another_is_refused_until_approved() {
    let dir = tempdir().unwrap();
    let state = tempdir().unwrap();
    let terms = Terms { state_dir: Some(state.path()), ..Terms::default() };
    let root = Root::open(dir.path()).unwrap();
    drop(Claim::take(&root, terms).unwrap());
    assert!(names(state.path()).contains(&"replica".to_owned()));
    fs::remove_file(dir.path().join(".lab3/id")).unwrap();
    assert!(matches!(Claim::take(&root, terms), Err(ClaimError::Unmarked { .. })));
    assert!(Claim::take(&root, Terms { approved: true, ..terms }).unwrap().is_new());
    assert!(Claim::take(&root, terms).is_ok(), "approved once is approved");
    let expected = Some(ReplicaId(7));
    let other = Claim::take(&root, Terms { expected, ..Terms::default() });
    assert!(matches!(other, Err(ClaimError::Another { .. })));
}

#[test]
fn state_goes_elsewhere_and_trash_only_where_a_rename_reaches() {
    let dir = tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let near = tempdir().unwrap();
    let terms = Terms { state_dir: Some(near.path()), ..Terms::default() };
    drop(Claim::take(&root, terms).unwrap().trash().unwrap());
    assert!(!dir.path().join(".lab3/trash").exists());
    let Ok(far) = tempfile::tempdir_in("/dev/shm") else { return };
    if fs::metadata(far.path()).unwrap().dev() == root.device() {
        return;
    }
    let terms = Terms { state_dir: Some(far.path()), ..Terms::default() };
    let claim = Claim::take(&root, terms).unwrap();
    claim.trash().unwrap();
    assert!(dir.path().join(".lab3/trash").exists());
    assert!(names(&dir.path().join(".lab3/stage")).is_empty());
}

#[test]
fn a_root_that_moved_or_lost_its_mark_is_noticed() {
    let dir = tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let root = Root::open(&tree).unwrap();
    let _claim = Claim::take(&root, Terms::default()).unwrap();
    assert_eq!(root.still_there(), Ok(()));
    fs::rename(tree.join(".lab3/id"), dir.path().join("id")).unwrap();
    assert!(root.still_there().unwrap_err().contains("lost"));
    fs::rename(dir.path().join("id"), tree.join(".lab3/id")).unwrap();
    fs::rename(&tree, dir.path().join("away")).unwrap();
    assert!(root.still_there().unwrap_err().contains("gone"));
    fs::create_dir(&tree).unwrap();
    assert!(root.still_there().unwrap_err().contains("another directory"));
}

use std::os::unix::fs::MetadataExt;
