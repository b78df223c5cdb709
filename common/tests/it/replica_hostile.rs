//! Names, paths and links that are meant to lead astray, and a process without privileges.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::change::Outcome;
use common::replica::probe::Abilities;
use common::wire::message::Content;

use crate::replica_bench::{Bench, change, dir, done, file, inline, names, path};

/// Runs a test's body without root's privileges: in a process of its own when we have them.
pub(crate) fn as_nobody(test: &str, body: impl FnOnce()) {
    if !rustix::process::geteuid().is_root() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .uid(65534)
        .gid(65534)
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn nothing_is_touched_behind_a_link_that_stands_for_a_directory() {
    let bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("decoy"), "untouched").unwrap();
    symlink(outside.path(), bench.tree.join("d")).unwrap();
    let decoy = file(b"untouched");

    assert!(matches!(bench.create("d/new", b"x"), Outcome::Failed(_)));
    assert!(matches!(bench.create("d/decoy", b"x"), Outcome::Failed(_)));
    assert_eq!(bench.replace("d/decoy", &decoy, b"x"), Outcome::Stale { now: None });
    assert_eq!(bench.delete("d/decoy", &decoy), done(None));
    let from = common::change::Operation::Rename {
        from: path("d/decoy"),
        to: path("mine"),
        before: decoy,
    };
    assert_eq!(bench.commit(from, Content::None), Outcome::Stale { now: None });
    let copy = change("copy", None, Some(file(b"untouched")));
    assert_eq!(bench.commit(copy, Content::Local(path("d/decoy"))), Outcome::Moved);
    assert_eq!(names(outside.path()), ["decoy"]);
    assert_eq!(fs::read(outside.path().join("decoy")).unwrap(), b"untouched");
    assert_eq!(bench.names(), ["d"]);
}

#[test]
fn every_byte_that_a_name_may_have_is_kept() {
    let bench = Bench::new();
    let all: Vec<u8> = (1..=255u8).filter(|&b| b != b'/').collect();
    let names: Vec<Vec<u8>> = all.iter().map(|&b| vec![b'x', b]).chain([vec![b'y'; 255]]).collect();
    for name in &names {
        let path = path(name);
        let change =
            common::change::Change { path, before: None, after: Some(file(b"1")), copy: None };
        let change = common::change::Operation::Change(change);
        assert_eq!(bench.commit(change, inline(b"1")), done(Some(file(b"1"))));
    }
    assert_eq!(bench.names().len(), names.len());
    let long = String::from_utf8(vec![b'y'; 255]).unwrap();
    assert_eq!(bench.replace(&long, &file(b"1"), b"2"), done(Some(file(b"2"))));
    assert_eq!(bench.delete(&long, &file(b"2")), done(None));
}

#[test]
fn paths_longer_than_the_kernel_takes_are_reached() {
    let bench = Bench::new();
    let mut deep = String::new();
    for level in 0..50 {
        deep = format!("{deep}{}{level:0200}", if level == 0 { "" } else { "/" });
        let create = change(&deep, None, Some(dir(0o755)));
        assert_eq!(bench.commit(create, Content::None), done(Some(dir(0o755))));
    }
    let leaf = format!("{deep}/leaf");
    assert!(leaf.len() > 2 * 4096);
    assert_eq!(bench.create(&leaf, b"1"), done(Some(file(b"1"))));
    assert_eq!(bench.replace(&leaf, &file(b"1"), b"2"), done(Some(file(b"2"))));
    assert_eq!(bench.delete(&leaf, &file(b"2")), done(None));
    assert_eq!(bench.committer.publisher.trash.list().unwrap()[0].path, path(&leaf));
    assert_eq!(bench.staged(), Vec::<String>::new());
}

#[test]
fn a_fifo_is_neither_opened_nor_replaced() {
    let bench = Bench::new();
    let fifo = rustix::fs::FileType::Fifo;
    let at = bench.tree.join("p");
    rustix::fs::mknodat(rustix::fs::CWD, &at, fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(bench.create("p", b"x"), Outcome::Failed(_)));
    assert!(matches!(bench.delete("p", &file(b"x")), Outcome::Failed(_)));
    assert_eq!(bench.names(), ["p"]);
}

#[test]
fn without_exchange_leases_and_noreplace_everything_still_works() {
    for exchange in [false, true] {
        let mut bench = Bench::new();
        let publisher = std::sync::Arc::get_mut(&mut bench.committer.publisher).unwrap();
        publisher.abilities = Abilities { exchange, noreplace: false, lease: false };
        assert_eq!(publisher.abilities.lacks().len(), if exchange { 2 } else { 3 });
        assert_eq!(bench.create("a", b"1"), done(Some(file(b"1"))));
        assert!(bench.is_quiet("a"));
        assert_eq!(bench.replace("a", &file(b"1"), b"2"), done(Some(file(b"2"))));
        assert_eq!(bench.trashed(), [b"1".to_vec()]);
        let to_dir = change("a", Some(file(b"2")), Some(dir(0o755)));
        assert_eq!(bench.commit(to_dir, Content::None), done(Some(dir(0o755))));
        bench.write("a/inside", b"kept");
        let to_file = change("a", Some(dir(0o755)), Some(file(b"3")));
        assert!(matches!(bench.commit(to_file.clone(), inline(b"3")), Outcome::Failed(_)));
        assert_eq!(bench.read("a/inside"), b"kept");
        fs::remove_file(bench.tree.join("a/inside")).unwrap();
        assert_eq!(bench.commit(to_file, inline(b"3")), done(Some(file(b"3"))));
        let there = bench.write("b", b"taken");
        assert_eq!(bench.create("b", b"x"), Outcome::Stale { now: Some(there) });
        assert_eq!(bench.delete("a", &file(b"3")), done(None));
        assert_eq!(bench.staged(), Vec::<String>::new());
    }
}
