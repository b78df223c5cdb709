//! Every kind of operation, when `before` holds and when it does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use common::change::{Operation, Outcome};
use common::entry::{Entry, File};
use common::replica::commit::Durability;
use common::wire::message::Content;

use crate::replica_bench::{Bench, Shelf, change, dir, done, file, inline, link, mode_of, path};

#[test]
fn a_created_file_has_content_mode_and_time_and_is_no_news() {
    let bench = Bench::new();
    assert_eq!(bench.create("a", b"hello"), done(Some(file(b"hello"))));
    assert_eq!(bench.see("a"), Some(file(b"hello")));
    assert!(bench.is_quiet("a"), "our own publication is known to the stamp");
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn nothing_is_ever_created_over_something() {
    let bench = Bench::new();
    let there = bench.write("a", b"a user's");
    assert_eq!(bench.create("a", b"ours"), Outcome::Stale { now: Some(there) });
    assert_eq!(bench.read("a"), b"a user's");
    assert_eq!(bench.dirty(), [path("a")], "what was not known is looked at");
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn an_operation_sent_twice_changes_nothing_the_second_time() {
    let bench = Bench::new();
    bench.create("a", b"one");
    let inode = fs::metadata(bench.tree.join("a")).unwrap().ino();
    assert_eq!(bench.create("a", b"one"), done(Some(file(b"one"))));
    assert_eq!(fs::metadata(bench.tree.join("a")).unwrap().ino(), inode);
    assert_eq!(bench.delete("a", &file(b"one")), done(None));
    assert_eq!(bench.delete("a", &file(b"one")), done(None));
}

#[test]
fn a_replaced_version_is_in_the_trash() {
    let bench = Bench::new();
    let before = bench.write("a", b"old");
    assert_eq!(bench.replace("a", &before, b"new"), done(Some(file(b"new"))));
    assert_eq!(bench.read("a"), b"new");
    assert_eq!(bench.trashed(), [b"old".to_vec()]);
    assert!(bench.is_quiet("a"));
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn a_version_that_was_not_expected_is_not_replaced() {
    let bench = Bench::new();
    let before = bench.write("a", b"old");
    let now = bench.write("a", b"edited");
    assert_eq!(bench.replace("a", &before, b"new"), Outcome::Stale { now: Some(now) });
    assert_eq!(bench.read("a"), b"edited");
}

/// What an outcome tells is known from then on. Otherwise a user who undoes it before the next look
/// makes no news, and the other side would never hear of it.
#[test]
fn an_outcome_tells_nothing_that_is_not_known() {
    let bench = Bench::new();
    let now = bench.write("a", b"a user's");
    assert_eq!(bench.create("a", b"ours"), Outcome::Stale { now: Some(now.clone()) });
    assert_eq!(bench.knows("a"), Some(now.clone()));
    assert_eq!(bench.dirty(), [path("a")]);
    fs::remove_file(bench.tree.join("a")).unwrap();
    // Where it went only a look sees, perhaps to another name.
    assert_eq!(
        bench.replace("a", &file(b"old"), b"new"),
        Outcome::Stale { now: Some(now.clone()) }
    );
    assert_eq!(bench.knows("a"), Some(now));
    assert_eq!(bench.dirty(), [path("a")]);
    fs::create_dir(bench.tree.join("d")).unwrap();
    assert_eq!(bench.create("d", b"ours"), Outcome::Stale { now: None });
    assert_eq!((bench.knows("d"), bench.dirty()), (None, vec![path("d")]));
    assert_eq!(bench.names(), ["d"]);
}

#[test]
fn a_file_that_is_open_for_writing_is_left_alone() {
    let bench = Bench::new();
    let before = bench.write("a", b"old");
    let writer = fs::OpenOptions::new().append(true).open(bench.tree.join("a")).unwrap();
    assert_eq!(bench.replace("a", &before, b"new"), Outcome::Busy);
    assert_eq!(bench.delete("a", &before), Outcome::Busy);
    drop(writer);
    assert_eq!(bench.replace("a", &before, b"new"), done(Some(file(b"new"))));
}

#[test]
fn a_deleted_version_is_in_the_trash_and_an_edited_one_stays() {
    let bench = Bench::new();
    let before = bench.write("a", b"old");
    let now = bench.write("a", b"edited");
    assert_eq!(bench.delete("a", &before), Outcome::Stale { now: Some(now.clone()) });
    assert_eq!(bench.read("a"), b"edited");
    assert_eq!(bench.delete("a", &now), done(None));
    assert_eq!(bench.names(), Vec::<String>::new());
    assert_eq!(bench.trashed(), [b"edited".to_vec()]);
    let trash = &bench.committer.publisher.trash;
    assert_eq!(trash.list().unwrap()[0].path, path("a"));
    assert!(trash.find(now.as_file().unwrap().digest).unwrap().is_some());
}

#[test]
fn a_directory_goes_only_when_it_is_empty() {
    let bench = Bench::new();
    assert_eq!(
        bench.commit(change("d", None, Some(dir(0o750))), Content::None),
        done(Some(dir(0o750)))
    );
    bench.write("d/unknown", b"x");
    assert!(matches!(bench.delete("d", &dir(0o750)), Outcome::Failed(_)));
    assert_eq!(bench.read("d/unknown"), b"x");
    let onto = change("d", Some(dir(0o750)), Some(file(b"f")));
    assert!(matches!(bench.commit(onto.clone(), inline(b"f")), Outcome::Failed(_)));
    assert_eq!(bench.read("d/unknown"), b"x");
    fs::remove_file(bench.tree.join("d/unknown")).unwrap();
    assert_eq!(bench.commit(onto, inline(b"f")), done(Some(file(b"f"))));
    assert_eq!(bench.read("d"), b"f");
}

#[test]
fn an_empty_directory_is_removed() {
    let bench = Bench::new();
    fs::create_dir(bench.tree.join("d")).unwrap();
    let before = bench.see("d").unwrap();
    assert_eq!(bench.delete("d", &before), done(None));
    assert_eq!(bench.knows("d"), None);
    assert_eq!(bench.names(), Vec::<String>::new());
}

#[test]
fn types_change_into_each_other_both_ways() {
    let bench = Bench::new();
    let kinds = [file(b"f"), link("over/there"), dir(0o755)];
    let mut before = None;
    for round in [0, 1, 2, 0, 2, 1, 0] {
        let after = kinds[round].clone();
        let content = if round == 0 { inline(b"f") } else { Content::None };
        let change = change("x", before.clone(), Some(after.clone()));
        assert_eq!(bench.commit(change, content), done(Some(after.clone())), "to {after:?}");
        assert_eq!(bench.see("x"), Some(after.clone()));
        assert!(bench.is_quiet("x"));
        before = Some(after);
    }
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn a_link_is_created_replaced_and_deleted_as_a_link() {
    let bench = Bench::new();
    fs::write(bench.tree.join("target"), "kept").unwrap();
    let create = change("l", None, Some(link("target")));
    assert_eq!(bench.commit(create, Content::None), done(Some(link("target"))));
    let turn = change("l", Some(link("target")), Some(link("/dev/null")));
    assert_eq!(bench.commit(turn, Content::None), done(Some(link("/dev/null"))));
    fs::remove_file(bench.tree.join("l")).unwrap();
    symlink("elsewhere", bench.tree.join("l")).unwrap();
    assert!(matches!(bench.delete("l", &link("/dev/null")), Outcome::Stale { now: Some(_) }));
    assert_eq!(bench.delete("l", &link("elsewhere")), done(None));
    assert_eq!(bench.read("target"), b"kept");
}

#[test]
fn metadata_changes_without_a_new_inode() {
    let bench = Bench::new();
    let before = bench.write("a", b"same");
    let inode = fs::metadata(bench.tree.join("a")).unwrap().ino();
    let set = change("a", Some(before), Some(file(b"same")));
    assert_eq!(bench.commit(set, Content::None), done(Some(file(b"same"))));
    assert_eq!(bench.see("a"), Some(file(b"same")));
    assert_eq!(fs::metadata(bench.tree.join("a")).unwrap().ino(), inode);
    assert!(bench.is_quiet("a"));

    bench.commit(change("d", None, Some(dir(0o755))), Content::None);
    let close = change("d", Some(dir(0o755)), Some(dir(0o500)));
    assert_eq!(bench.commit(close, Content::None), done(Some(dir(0o500))));
    assert_eq!(mode_of(&bench.tree.join("d")), 0o500);
}

#[test]
fn a_read_only_directory_arrives_as_one() {
    let bench = Bench::new();
    let create = change("d", None, Some(dir(0o555)));
    assert_eq!(bench.commit(create, Content::None), done(Some(dir(0o555))));
    assert_eq!(mode_of(&bench.tree.join("d")), 0o555);
    assert!(bench.is_quiet("d"));
}

#[test]
fn set_id_bits_never_come_from_the_other_side_and_stay_where_they_are() {
    let bench = Bench::new();
    let mut wanted = file(b"tool");
    if let Entry::File(file) = &mut wanted {
        std::sync::Arc::make_mut(file).mode = 0o6755;
    }
    bench.commit(change("a", None, Some(wanted)), inline(b"tool"));
    assert_eq!(mode_of(&bench.tree.join("a")), 0o755);
    fs::set_permissions(bench.tree.join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
    let before = bench.see("a").unwrap();
    bench.commit(change("a", Some(before), Some(file(b"tool"))), Content::None);
    assert_eq!(mode_of(&bench.tree.join("a")), 0o4640);
}

#[test]
fn a_rename_moves_what_is_known_below_and_takes_no_name() {
    let bench = Bench::new();
    bench.commit(change("d", None, Some(dir(0o755))), Content::None);
    bench.create("d/f", b"inside");
    bench.write("d/ignored", b"moves along");
    let rename =
        |from: &str, to: &str, before| Operation::Rename { from: path(from), to: path(to), before };
    let outcome = bench.commit(rename("d", "e", dir(0o700)), Content::None);
    assert_eq!(outcome, done(Some(dir(0o755))));
    assert_eq!((bench.knows("d/f"), bench.knows("e/f")), (None, Some(file(b"inside"))));
    assert_eq!(bench.read("e/ignored"), b"moves along");
    assert!(bench.is_quiet("e/f"));

    bench.create("g", b"taken");
    let outcome = bench.commit(rename("e/f", "g", file(b"inside")), Content::None);
    assert_eq!(outcome, Outcome::Stale { now: Some(file(b"inside")) });
    assert_eq!(bench.read("g"), b"taken");
    let outcome = bench.commit(rename("e/f", "h", file(b"other")), Content::None);
    assert_eq!(outcome, Outcome::Stale { now: Some(file(b"inside")) });
    for _ in 0..2 {
        let outcome = bench.commit(rename("e/f", "h", file(b"inside")), Content::None);
        assert_eq!(outcome, done(Some(file(b"inside"))), "also when it is sent twice");
    }
    assert!(bench.is_quiet("h"));
    let outcome = bench.commit(rename("none", "i", dir(0o755)), Content::None);
    assert_eq!(outcome, Outcome::Stale { now: None });
}

#[test]
fn a_missing_directory_is_said_and_looked_at() {
    let bench = Bench::new();
    assert!(matches!(bench.create("no/such/a", b"x"), Outcome::Failed(_)));
    assert_eq!(bench.dirty(), [path("no/such")]);
    assert_eq!(bench.delete("no/such/a", &file(b"x")), done(None));
}

#[test]
fn one_bad_job_stops_no_other_and_many_are_flushed_together() {
    let bench = Bench::new();
    let contents: Vec<Vec<u8>> = (0..100).map(|i| format!("content {i}").into_bytes()).collect();
    fs::create_dir(bench.tree.join("f50")).unwrap();
    let jobs = contents.iter().enumerate();
    let jobs = jobs.map(|(i, c)| (change(&format!("f{i}"), None, Some(file(c))), inline(c)));
    let outcomes = bench.commit_all(jobs.collect());
    for (i, outcome) in outcomes.iter().enumerate() {
        if i == 50 {
            assert_eq!(*outcome, Outcome::Stale { now: None }, "a directory is only looked at");
        } else {
            assert_eq!(*outcome, done(Some(file(&contents[i]))));
            assert_eq!(bench.read(&format!("f{i}")), contents[i]);
        }
    }
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn content_is_pulled_copied_and_never_believed() {
    let large: Vec<u8> = (0..700_000u32).flat_map(|i| i.to_le_bytes()).collect();
    let mut shelf = Shelf::default();
    let Entry::File(wanted) = file(&large) else { unreachable!() };
    shelf.0.insert(wanted.digest, large.clone());
    let Entry::File(lied) = file(b"announced") else { unreachable!() };
    shelf.0.insert(lied.digest, b"delivered".to_vec());
    let Entry::File(cut) = file(b"cut in the middle") else { unreachable!() };
    shelf.0.insert(cut.digest, b"cut in".to_vec());
    let bench = Bench::with(tempfile::tempdir().unwrap(), shelf, Durability::Relaxed);
    let create = |name: &str, content: &[u8]| change(name, None, Some(file(content)));

    let pull = Content::Pull(path("there"));
    assert_eq!(bench.commit(create("a", &large), pull.clone()), done(Some(file(&large))));
    assert!(bench.read("a") == large);
    let copy = Content::Local(path("a"));
    assert_eq!(bench.commit(create("b", &large), copy.clone()), done(Some(file(&large))));
    assert!(bench.read("b") == large);
    let moved = [
        (create("c", b"announced"), pull.clone()),
        (create("d", b"gone"), pull.clone()),
        (create("i", b"cut in the middle"), pull),
        (create("e", b"another size"), copy),
        (create("f", b"no"), inline(b"xx")),
        (create("g", b"no"), Content::None),
        (create("h", b"no"), Content::Local(path("missing"))),
    ];
    for outcome in bench.commit_all(moved.into()) {
        assert_eq!(outcome, Outcome::Moved);
    }
    assert_eq!(bench.names(), ["a", "b"]);
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn a_large_old_version_is_recognised_without_being_read_or_by_reading() {
    let old = vec![7u8; 3 << 20];
    let bench = Bench::new();
    let before = bench.write("a", &old);
    assert_eq!(bench.replace("a", &before, b"new"), done(Some(file(b"new"))));
    assert!(bench.trashed() == [old]);
}

#[test]
fn a_read_only_directory_of_ours_is_written_to_and_stays_read_only() {
    // Matters for who is not root; that is tried in a process of its own.
    crate::replica_hostile::as_nobody(
        "replica_commit::a_read_only_directory_of_ours_is_written_to_and_stays_read_only",
        || {
            let bench = Bench::new();
            let seal = |mode| {
                let permissions = fs::Permissions::from_mode(mode);
                fs::set_permissions(bench.tree.join("d"), permissions).unwrap();
            };
            fs::create_dir(bench.tree.join("d")).unwrap();
            seal(0o555);
            assert_eq!(bench.create("d/a", b"1"), done(Some(file(b"1"))));
            assert_eq!(bench.replace("d/a", &file(b"1"), b"2"), done(Some(file(b"2"))));
            let rename = Operation::Rename { from: path("d/a"), to: path("b"), before: file(b"2") };
            assert_eq!(bench.commit(rename, Content::None), done(Some(file(b"2"))));
            bench.create("d/a", b"3");
            assert_eq!(bench.delete("d/a", &file(b"3")), done(None));
            let sub = change("d/s", None, Some(dir(0o555)));
            assert_eq!(bench.commit(sub, Content::None), done(Some(dir(0o555))));
            let rename = Operation::Rename { from: path("d/s"), to: path("s"), before: dir(0o555) };
            assert_eq!(bench.commit(rename, Content::None), done(Some(dir(0o555))));
            assert_eq!(mode_of(&bench.tree.join("d")), 0o555);
            assert_eq!(mode_of(&bench.tree.join("s")), 0o555);
            seal(0o755);
        },
    );
}

#[test]
fn what_we_may_not_read_can_still_be_opened_up() {
    crate::replica_hostile::as_nobody(
        "replica_commit::what_we_may_not_read_can_still_be_opened_up",
        || {
            let bench = Bench::new();
            let shut = |entry: Entry| match entry {
                Entry::File(file) => File { mode: 0, ..*file }.into(),
                other => other,
            };
            let before = shut(file(b"secret"));
            let create = change("a", None, Some(before.clone()));
            assert_eq!(bench.commit(create, inline(b"secret")), done(Some(before.clone())));
            let open = change("a", Some(before), Some(file(b"secret")));
            assert_eq!(bench.commit(open, Content::None), done(Some(file(b"secret"))));
            assert_eq!(bench.read("a"), b"secret");
            bench.commit(change("d", None, Some(dir(0))), Content::None);
            let open = change("d", Some(dir(0)), Some(dir(0o755)));
            assert_eq!(bench.commit(open, Content::None), done(Some(dir(0o755))));
        },
    );
}
