//! A directory that goes with all that is in it: on a real disk, with users who are in the way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use common::change::{Operation, Outcome};
use common::digest::Digest;
use common::merkle::Question;
use common::replica::probe::Abilities;
use common::tree::Tree;
use common::wire::message::Content;

use crate::observed::skipped;
use crate::replica_bench::{Bench, change, dir, done, names, path};

const FILES: [&str; 4] = ["d/a", "d/b", "d/sub/c", "d/sub/in/e"];

/// What a user does, in a word and in fact.
type Deed<'d> = (&'static str, &'d dyn Fn(&Bench));

/// A directory whose files have their names as content, and something beside it.
fn bench() -> Bench {
    let bench = Bench::new();
    for name in ["d", "d/sub", "d/sub/in", "d/empty"] {
        let made = bench.commit(change(name, None, Some(dir(0o755))), Content::None);
        assert!(matches!(made, Outcome::Done { .. }), "{made:?}");
    }
    for name in FILES.into_iter().chain(["beside"]) {
        let made = bench.create(name, name.as_bytes());
        assert!(matches!(made, Outcome::Done { .. }), "{made:?}");
    }
    bench.dirty();
    bench
}

fn clear(bench: &Bench) -> Outcome {
    let (known, top) = (&bench.committer.known, path("d"));
    let row = |at| Some((known.row(&at)?.entry, at));
    let rows = known.below(&top).into_iter().filter_map(row);
    let mut tree: Tree = rows.map(|(entry, at)| (at, entry)).collect();
    let directory = Some(top.clone());
    let question = Question { except: Vec::new(), directory, rows: false, after: None };
    let below = tree.level(&question, &BTreeSet::new()).sum;
    let before = known.row(&top).map_or(dir(0o755), |row| row.entry);
    bench.commit(Operation::Clear { path: top, before, below }, Content::None)
}

/// What is in the trash, by the path that it had.
fn trashed(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let publisher = &bench.committer.publisher;
    publisher.unfold(usize::MAX);
    let content = |id: &str| fs::read(bench.tree.join(".lab3/trash").join(id)).unwrap();
    let listed = publisher.trash.list().unwrap();
    listed.into_iter().map(|version| (version.path.to_string(), content(&version.id))).collect()
}

fn all_files() -> BTreeMap<String, Vec<u8>> {
    FILES.iter().map(|name| (name.to_string(), name.as_bytes().to_vec())).collect()
}

/// Nothing moved, and nothing is left of the try.
fn assert_kept(bench: &Bench, outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Stale { .. } | Outcome::Busy), "{outcome:?}");
    assert_eq!(bench.names(), ["beside", "d"]);
    assert_eq!(bench.staged(), Vec::<String>::new());
    assert!(trashed(bench).is_empty());
    assert!(bench.knows("d/sub/c").is_some());
}

#[test]
fn a_directory_goes_and_each_file_of_it_can_be_found_in_the_trash() {
    let bench = bench();
    assert_eq!(clear(&bench), done(None));
    assert_eq!(bench.names(), ["beside"]);
    assert!(bench.staged().is_empty() && bench.dirty().is_empty());
    assert!(["d", "d/sub", "d/sub/c", "d/empty"].iter().all(|name| bench.knows(name).is_none()));
    assert_eq!(clear(&bench), done(None), "sent twice, it changes nothing");
    assert_eq!(trashed(&bench), all_files());
    let publisher = &bench.committer.publisher;
    let found = publisher.trash.find(Digest::of(b"d/sub/c")).unwrap();
    assert!(found.is_some(), "it can be found by its content");
    let left = names(&bench.tree.join(".lab3/trash"));
    assert!(left.iter().all(|name| !name.starts_with("q-")), "{left:?}");
}

#[test]
fn it_is_unfolded_little_by_little() {
    let bench = bench();
    clear(&bench);
    let publisher = &bench.committer.publisher;
    assert_eq!((publisher.unfold(3), publisher.trash.list().unwrap().len()), (3, 3));
    assert_eq!((publisher.unfold(3), publisher.trash.list().unwrap().len()), (1, 4));
    assert_eq!(trashed(&bench), all_files());
}

#[test]
fn what_a_user_did_that_nobody_had_seen_keeps_all_where_it_is() {
    let in_tree = |bench: &Bench, name: &str| bench.tree.join(name);
    let deeds: [Deed<'_>; 5] = [
        ("edited", &|bench| fs::write(in_tree(bench, "d/sub/c"), "an edit").unwrap()),
        ("added", &|bench| fs::write(in_tree(bench, "d/sub/in/new"), "new").unwrap()),
        ("made", &|bench| fs::create_dir(in_tree(bench, "d/empty/new")).unwrap()),
        ("took", &|bench| fs::remove_file(in_tree(bench, "d/a")).unwrap()),
        ("exchanged", &|bench| {
            fs::rename(in_tree(bench, "d/sub"), in_tree(bench, "d/sub-1")).unwrap();
            fs::create_dir(in_tree(bench, "d/sub")).unwrap();
        }),
    ];
    for (what, deed) in deeds {
        let bench = bench();
        deed(&bench);
        let outcome = clear(&bench);
        assert!(matches!(outcome, Outcome::Stale { .. }), "{what}: {outcome:?}");
        assert_kept(&bench, &outcome);
        assert!(!bench.dirty().is_empty(), "{what}: it is looked at again");
    }
}

#[test]
fn a_file_that_somebody_writes_to_keeps_all_where_it_is() {
    let bench = bench();
    let writer = fs::OpenOptions::new().append(true).open(bench.tree.join("d/sub/in/e")).unwrap();
    assert_eq!(clear(&bench), Outcome::Busy);
    assert_kept(&bench, &Outcome::Busy);
    (&writer).write_all(b"!").unwrap();
    drop(writer);
    assert_eq!(bench.read("d/sub/in/e"), b"d/sub/in/e!");
}

#[test]
fn another_file_system_in_it_keeps_all_where_it_is() {
    let bench = bench();
    let at = bench.tree.join("d/empty");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&at).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        return skipped("nothing can be mounted here");
    }
    fs::write(at.join("other"), "on the mount").unwrap();
    let outcome = clear(&bench);
    let there = fs::read(at.join("other")).ok();
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    assert_kept(&bench, &outcome);
    assert_eq!(there.as_deref(), Some(b"on the mount".as_slice()));
}

#[test]
fn who_works_in_a_directory_that_goes_loses_nothing() {
    let bench = bench();
    let open = fs::File::open(bench.tree.join("d/sub")).unwrap();
    let inside = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    assert_eq!(clear(&bench), done(None));
    fs::write(inside.join("new"), "made later").unwrap();
    fs::write(inside.join("c"), "written later").unwrap();
    let trashed = trashed(&bench);
    assert_eq!(trashed.keys().collect::<Vec<_>>(), ["d/a", "d/b", "d/sub/in/e"]);
    assert_eq!(bench.read("new"), b"made later", "in the nearest directory that is left");
    assert_eq!(bench.read("c"), b"written later");
}

#[test]
fn where_nothing_could_be_brought_back_it_is_refused() {
    for lacking in [
        Abilities { exchange: true, noreplace: false, lease: true },
        Abilities { exchange: true, noreplace: true, lease: false },
    ] {
        let mut bench = bench();
        Arc::get_mut(&mut bench.committer.publisher).unwrap().abilities = lacking;
        let outcome = clear(&bench);
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert_eq!(bench.names(), ["beside", "d"]);
    }
}
