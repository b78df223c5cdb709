//! Ending the process at every step of a directory's way out of the tree, then recovering.
//!
//! Each case runs in a child: this very test binary, told by its environment where to end itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::change::Operation;
use crate::merkle::{Merkle, Question};
use crate::path::RelPath;
use crate::replica::commit::{Committer, Durability, Job};
use crate::replica::crash_tests::{Nowhere, open};
use crate::replica::examine::{Seen, examine};
use crate::replica::known::{Known, Row};
use crate::replica::publish::Publisher;
use crate::replica::recover::Recovered;
use crate::replica::trash::Reason;
use crate::wire::message::{Content, OrderId};

const CHILD: &str = "replica::clear_tests::child";
const FILES: [&str; 3] = ["d/a", "d/b", "d/sub/c"];

fn path(name: &str) -> RelPath {
    RelPath::new(name).expect("a path")
}

fn see(publisher: &Publisher, name: &str) -> (RelPath, Row) {
    let at = path(name);
    let (dir, last) = publisher.root.parent(&at).unwrap();
    match examine(&dir, last, None).unwrap() {
        Seen::There(row) => (at.clone(), row),
        other => panic!("{name}: {other:?}"),
    }
}

/// What the child does: a directory goes, and is unfolded, and it ends on the way.
/// Without a tree to work in it is not a child, and there is nothing to do.
#[test]
fn child() {
    let Some(tree) = std::env::var_os("LAB3_TEST_CLEARED").map(PathBuf::from) else { return };
    let (_claim, publisher) = open(&tree);
    let publisher = Arc::new(publisher);
    let names = ["d", "d/sub"].into_iter().chain(FILES);
    let rows: BTreeMap<RelPath, Row> = names.map(|name| see(&publisher, name)).collect();
    let directory = Some(path("d"));
    let question = Question { except: Vec::new(), directory, rows: false, after: None };
    let below = Merkle::default().level(&rows, &question, &BTreeSet::new()).sum;
    let before = rows[&path("d")].entry.clone();
    let committer = Committer {
        publisher: publisher.clone(),
        known: Arc::new(Known::new(rows, Box::new(|_| {}))),
        durability: Durability::Relaxed,
        supplier: Arc::new(Nowhere),
        dirty: Box::new(|_| {}),
        follow: Box::new(|_| {}),
        turn: Default::default(),
    };
    let operation = Operation::Clear { path: path("d"), before, below };
    committer.commit_all(vec![Job::new(OrderId(1), operation, Content::None)]);
    publisher.unfold(usize::MAX);
}

/// A tree in which a directory was to go, until the process ended at `place`.
fn crashed_at(place: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("d/sub")).unwrap();
    for name in FILES {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env("LAB3_TEST_CLEARED", dir.path())
        .env("LAB3_TEST_ABORT_AT", place)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), None, "it must end at {place}: {text}");
    dir
}

/// What is in the trash after a new start.
fn trashed(tree: &Path) -> (Vec<Recovered>, Vec<(String, Reason)>) {
    let (_claim, publisher) = open(tree);
    let (done, failed) = publisher.recover().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(publisher.stage.names().unwrap().is_empty(), "nothing stays in stage");
    publisher.unfold(usize::MAX);
    let listed = publisher.trash.list().unwrap().into_iter();
    let mut listed: Vec<_> = listed.map(|it| (it.path.to_string(), it.reason)).collect();
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    (done, listed)
}

#[test]
fn a_directory_whose_way_out_ended_anywhere_is_there_whole_or_in_the_trash_file_by_file() {
    for place in ["intended", "quarantined", "parted", "trashed", "unfolded"] {
        let dir = crashed_at(place);
        let (_, listed) = trashed(dir.path());
        let stays = ["intended", "quarantined"].contains(&place);
        for name in FILES {
            let now = fs::read_to_string(dir.path().join(name)).ok();
            assert_eq!(now.as_deref(), stays.then_some(name), "{place}");
        }
        let gone = if stays { &[][..] } else { &FILES[..] };
        let gone: Vec<_> = gone.iter().map(|it| (it.to_string(), Reason::Deleted)).collect();
        assert_eq!(listed, gone, "{place}");
        assert_eq!(dir.path().join("d").exists(), stays, "{place}");
    }
}

#[test]
fn a_directory_that_was_on_its_way_out_is_beside_a_newcomer() {
    let dir = crashed_at("quarantined");
    fs::write(dir.path().join("d"), "newcomer").unwrap();
    let (done, listed) = trashed(dir.path());
    let [Recovered::Aside(_, copy)] = &done[..] else { panic!("{done:?}") };
    let copy = dir.path().join(copy.to_string());
    assert_eq!(fs::read_to_string(copy.join("sub/c")).unwrap(), "d/sub/c");
    assert_eq!(
        (fs::read_to_string(dir.path().join("d")).unwrap().as_str(), listed.len()),
        ("newcomer", 0)
    );
}
