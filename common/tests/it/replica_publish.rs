//! The moment between looking and moving: somebody is always faster.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;

use common::change::{Change, Operation, Outcome};
use common::entry::Entry;
use common::replica::commit::Durability;
use common::replica::known::Row;
use common::replica::publish::{Published, Publisher, Spot};
use common::replica::stage::{Flush, Staged};
use common::replica::trash::{Keep, Trash};
use common::side::Side;
use common::wire::message::Content;

use crate::replica_bench::{Bench, Shelf, change, dir, done, file, inline, names, path};

fn staged(publisher: &Publisher, content: &[u8]) -> Staged {
    let Entry::File(wanted) = file(content) else { unreachable!() };
    let mut staged = publisher.stage.file(wanted.size).unwrap();
    staged.write(0, content).unwrap();
    staged.finish(&wanted, Flush::Begun).unwrap()
}

/// What was known of `f` before somebody was faster.
fn known(bench: &Bench) -> Row {
    let f = path("f");
    let stamp = bench.committer.publisher.root.stat(&f).unwrap().unwrap();
    Row { stamp, entry: bench.see("f").unwrap() }
}

fn replace(bench: &Bench, before: &Row) -> Published {
    let publisher = &bench.committer.publisher;
    let f = path("f");
    let spot: Spot<'_> = publisher.spot(&f).unwrap().unwrap();
    let new = staged(publisher, b"new");
    let published = publisher.replace(&spot, &new, &before.stamp, &before.entry, None).unwrap();
    publisher.discard(&new);
    published
}

fn remove(bench: &Bench, before: &Row) -> Published {
    let f = path("f");
    let spot = bench.committer.publisher.spot(&f).unwrap().unwrap();
    bench.committer.publisher.remove(&spot, &before.stamp, &before.entry).unwrap()
}

fn aside(published: Published) -> String {
    let Published::Done(Some(copy)) = published else { panic!("{published:?}") };
    String::from_utf8(copy.as_bytes().to_vec()).unwrap()
}

#[test]
fn an_edit_faster_than_the_exchange_is_beside_its_name() {
    for size in [10, 1 << 20] {
        let bench = Bench::new();
        bench.write("f", &vec![b'x'; size]);
        let before = known(&bench);
        let edited = vec![b'y'; size];
        bench.write("f", &edited);
        let copy = aside(replace(&bench, &before));
        assert!(copy.starts_with("f.conflict-B-"), "{copy}");
        assert!(bench.read(&copy) == edited);
        assert_eq!(bench.read("f"), b"new");
        assert!(bench.trashed().is_empty() && bench.staged().is_empty());
    }
}

#[test]
fn what_cannot_go_to_the_trash_now_goes_there_later() {
    let mut bench = Bench::new();
    bench.write("f", b"old");
    let before = known(&bench);
    // Nothing can be moved to another file system.
    let elsewhere = fs::File::open("/proc").unwrap();
    let nowhere = Trash::new(elsewhere.into(), Side::B, Keep::default(), 1);
    let mine = |bench: &mut Bench, trash| std::mem::replace(&mut bench.publisher().trash, trash);
    let trash = mine(&mut bench, nowhere);
    assert_eq!(replace(&bench, &before), Published::Done(None));
    assert_eq!(bench.read("f"), b"new");
    let why = bench.committer.publisher.settle_left().unwrap();
    assert!(why.contains("cannot move the old version to the trash"), "{why}");
    mine(&mut bench, trash);
    assert_eq!(bench.committer.publisher.settle_left(), None);
    assert!(bench.trashed() == [b"old"] && bench.staged().is_empty());
}

#[test]
fn a_version_that_waits_for_the_trash_stays_away_when_its_copy_is_deleted() {
    for exchange in [true, false] {
        let mut bench = Bench::new();
        bench.publisher().abilities.exchange = exchange;
        let before = bench.write("f", b"old");
        bench.write("copy", b"old");
        let elsewhere = fs::File::open("/proc").unwrap();
        let nowhere = Trash::new(elsewhere.into(), Side::B, Keep::default(), 1);
        let trash = std::mem::replace(&mut bench.publisher().trash, nowhere);
        let outcome = replace_copied(&bench, &before);
        assert!(matches!(outcome, Outcome::Done { aside: None, .. }), "{outcome:?}");
        fs::remove_file(bench.tree.join("copy")).unwrap();
        bench.publisher().trash = trash;
        assert_eq!(bench.committer.publisher.settle_left(), None);
        assert_eq!(bench.names(), ["f"], "exchange: {exchange}");
        assert_eq!(bench.read("f"), b"new");
        assert!(bench.trashed() == [b"old"] && bench.staged().is_empty());
    }
}

#[test]
fn a_file_that_was_saved_over_with_the_same_content_is_no_edit() {
    for size in [10, 1 << 20] {
        let bench = Bench::new();
        let content = vec![b'x'; size];
        bench.write("f", &content);
        let before = known(&bench);
        bench.write("g", &content);
        fs::rename(bench.tree.join("g"), bench.tree.join("f")).unwrap();
        assert_eq!(replace(&bench, &before), Published::Done(None));
        assert_eq!(bench.names(), ["f"]);
        assert!(bench.trashed() == [content]);
    }
}

/// Replaces `f`, of which a copy should stand at `copy`.
fn replace_copied(bench: &Bench, before: &Entry) -> Outcome {
    let (path, copy) = (path("f"), Some(path("copy")));
    let (before, after) = (Some(before.clone()), Some(file(b"new")));
    let change = Change { path, before, after, copy };
    bench.commit(Operation::Change(change), inline(b"new"))
}

#[test]
fn what_loses_its_name_goes_to_the_trash_only_while_its_copy_stands() {
    for is_link in [false, true] {
        let put = |bench: &Bench, name: &str| match is_link {
            true => std::os::unix::fs::symlink("old", bench.tree.join(name)).unwrap(),
            false => drop(bench.write(name, b"old")),
        };
        let bench = Bench::new();
        put(&bench, "f");
        put(&bench, "copy");
        let before = bench.see("f").unwrap();
        assert!(matches!(replace_copied(&bench, &before), Outcome::Done { aside: None, .. }));
        assert_eq!(bench.names(), ["copy", "f"]);
        assert!(bench.staged().is_empty());

        // Its user says in this moment that it shall win.
        let bench = Bench::new();
        put(&bench, "f");
        put(&bench, "copy");
        fs::rename(bench.tree.join("copy"), bench.tree.join("f")).unwrap();
        let before = bench.see("f").unwrap();
        let outcome = replace_copied(&bench, &before);
        let Outcome::Done { aside: Some(aside), .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(bench.names().len(), 2, "{:?}", bench.names());
        assert!(bench.see(&aside.to_string()).unwrap().same_content(&before));
        assert!(bench.trashed().is_empty() && bench.staged().is_empty());
    }
}

#[test]
fn two_edits_of_one_content_and_time_have_two_names() {
    let bench = Bench::new();
    for _ in 0..2 {
        fs::remove_file(bench.tree.join("f")).ok();
        bench.write("f", b"old");
        let before = known(&bench);
        bench.write("f", b"edited");
        let open = fs::File::options().write(true).open(bench.tree.join("f")).unwrap();
        open.set_modified(std::time::UNIX_EPOCH).unwrap();
        drop(open);
        aside(replace(&bench, &before));
    }
    assert_eq!(bench.names().len(), 3, "{:?}", bench.names());
}

#[test]
fn an_edit_faster_than_the_deletion_stays_at_its_name_with_its_inode() {
    let bench = Bench::new();
    bench.write("f", b"old");
    let before = known(&bench);
    bench.write("f", b"edited");
    let stamp = known(&bench).stamp;
    assert_eq!(remove(&bench, &before), Published::Stale);
    assert_eq!(bench.read("f"), b"edited");
    assert!(known(&bench).stamp.same_inode(&stamp));
    assert!(bench.staged().is_empty() && bench.trashed().is_empty());
}

#[test]
fn a_reader_delays_nothing_and_a_writer_everything() {
    let bench = Bench::new();
    bench.write("f", b"old");
    let before = known(&bench);
    let _reader = fs::File::open(bench.tree.join("f")).unwrap();
    let mut writer = fs::File::options().append(true).open(bench.tree.join("f")).unwrap();
    assert_eq!(replace(&bench, &before), Published::Busy);
    assert_eq!(remove(&bench, &before), Published::Busy);
    writer.write_all(b"er").unwrap();
    drop(writer);
    let before = known(&bench);
    assert_eq!(replace(&bench, &before), Published::Done(None));
    assert_eq!(bench.trashed(), [b"older".to_vec()]);
}

#[test]
fn a_directory_that_was_filled_in_the_last_moment_stays() {
    let bench = Bench::new();
    fs::create_dir(bench.tree.join("f")).unwrap();
    let before = known(&bench);
    bench.write("f/unseen", b"kept");
    assert_eq!(replace(&bench, &before), Published::NotEmpty);
    assert_eq!(bench.read("f/unseen"), b"kept");
    assert!(bench.staged().is_empty());
}

#[test]
fn something_of_another_kind_in_the_last_moment_is_kept_whole() {
    let bench = Bench::new();
    bench.write("f", b"old");
    let before = known(&bench);
    fs::remove_file(bench.tree.join("f")).unwrap();
    fs::create_dir(bench.tree.join("f")).unwrap();
    bench.write("f/inside", b"kept");
    let copy = aside(replace(&bench, &before));
    assert_eq!(bench.read(&format!("{copy}/inside")), b"kept");
    assert_eq!(bench.read("f"), b"new");
}

#[test]
fn a_name_that_vanished_in_the_last_moment_is_not_made_again() {
    let bench = Bench::new();
    bench.write("f", b"old");
    let before = known(&bench);
    fs::remove_file(bench.tree.join("f")).unwrap();
    assert_eq!(replace(&bench, &before), Published::Stale);
    assert_eq!(remove(&bench, &before), Published::Stale);
    assert_eq!(bench.names(), Vec::<String>::new());
    assert!(bench.staged().is_empty());
}

#[test]
fn memory_file_systems_do_as_well() {
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else { return };
    let bench = Bench::with(shm, Shelf::default(), Durability::Strict);
    assert_eq!(bench.create("a", b"1"), done(Some(file(b"1"))));
    assert!(bench.is_quiet("a"));
    assert_eq!(bench.replace("a", &file(b"1"), b"2"), done(Some(file(b"2"))));
    let to_dir = change("a", Some(file(b"2")), Some(dir(0o755)));
    assert_eq!(bench.commit(to_dir, Content::None), done(Some(dir(0o755))));
    let to_file = change("a", Some(dir(0o755)), Some(file(b"3")));
    assert_eq!(bench.commit(to_file, inline(b"3")), done(Some(file(b"3"))));
    assert_eq!(bench.delete("a", &file(b"3")), done(None));
    assert_eq!(names(&bench.tree.join(".lab3/stage")), Vec::<String>::new());
}

#[test]
fn a_hard_linked_file_is_replaced_at_one_name_only() {
    let bench = Bench::new();
    bench.write("f", b"old");
    fs::hard_link(bench.tree.join("f"), bench.tree.join("other")).unwrap();
    let before = known(&bench);
    assert_eq!(replace(&bench, &before), Published::Done(None));
    assert_eq!((bench.read("f"), bench.read("other")), (b"new".to_vec(), b"old".to_vec()));
}
