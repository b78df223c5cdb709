//! Ending the process at every step of a publication, then recovering.
//!
//! Each case runs in a child: this very test binary, told by its environment where to end itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::change::{Change, Operation};
use crate::digest::Digest;
use crate::entry::{Entry, File};
use crate::path::RelPath;
use crate::replica::claim::{Claim, Terms};
use crate::replica::commit::{Committer, Durability, Job};
use crate::replica::examine::{Seen, examine};
use crate::replica::known::Known;
use crate::replica::probe::Abilities;
use crate::replica::publish::Publisher;
use crate::replica::recover::Recovered;
use crate::replica::root::Root;
use crate::replica::source::{Source, SourceError, Supplier};
use crate::replica::trash::{Keep, Reason};
use crate::side::Side;
use crate::time::Timestamp;
use crate::wire::message::{Content, OrderId};

const CHILD: &str = "replica::crash_tests::child";
const OLD: &[u8] = b"the old version";
const NEW: &[u8] = b"the new version";
const EDIT: &[u8] = b"a user's edit";
/// Without exchange and noreplace, so that the fallbacks are walked through.
const BARE: Abilities = Abilities { exchange: false, noreplace: false, lease: true };

pub(super) struct Nowhere;

impl Supplier for Nowhere {
    fn source(&self, _: &Content, _: &File) -> Result<Box<dyn Source>, SourceError> {
        Err(SourceError::Gone)
    }
}

/// A tree in a temporary directory, with `f` as the only path of interest.
struct Case {
    _dir: tempfile::TempDir,
    tree: PathBuf,
    verb: &'static str,
}

fn f() -> RelPath {
    RelPath::new("f").expect("a path")
}

pub(super) fn open(tree: &Path) -> (Claim, Publisher) {
    let root = Arc::new(Root::open(tree).unwrap());
    let claim = Claim::take(&root, Terms::default()).unwrap();
    let publisher = Publisher::open(root, &claim, Side::A, Keep::default()).unwrap();
    (claim, publisher)
}

fn see(publisher: &Publisher) -> Option<Entry> {
    match examine(publisher.root.handle(), b"f", None).unwrap() {
        Seen::There(row) => Some(row.entry),
        _ => None,
    }
}

fn new_file() -> Entry {
    let modified = Timestamp { seconds: 1, nanos: 0 };
    Entry::from(File { digest: Digest::of(NEW), size: NEW.len() as u64, mode: 0o600, modified })
}

/// What the child does: one operation on `f`, and it ends on the way.
/// Without a tree to work in it is not a child, and there is nothing to do.
#[test]
fn child() {
    let Some(tree) = std::env::var_os("LAB3_TEST_TREE").map(PathBuf::from) else { return };
    let verb = std::env::var("LAB3_TEST_VERB").expect("run as a child");
    let (_claim, mut publisher) = open(&tree);
    if verb.ends_with("-bare") {
        publisher.abilities = BARE;
    }
    let before = see(&publisher);
    let after = (!verb.starts_with("delete")).then(new_file);
    let content =
        after.as_ref().map_or(Content::None, |_| Content::Inline(serde_bytes::ByteBuf::from(NEW)));
    let committer = Committer {
        publisher: Arc::new(publisher),
        known: Arc::new(Known::new(BTreeMap::new(), Box::new(|_| {}))),
        durability: Durability::Relaxed,
        supplier: Arc::new(Nowhere),
        dirty: Box::new(|_| {}),
        follow: Box::new(|_| {}),
        turn: Default::default(),
    };
    let operation = Operation::Change(Change { path: f(), before, after, copy: None });
    committer.commit_all(vec![Job::new(OrderId(1), operation, content)]);
}

impl Case {
    fn new(verb: &'static str, old: Option<&[u8]>) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        if let Some(old) = old {
            fs::write(tree.join("f"), old).unwrap();
        }
        Case { _dir: dir, tree, verb }
    }

    /// Runs the operation in a child that ends at `place`.
    fn crash_at(self, place: &str) -> Case {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture"])
            .env("LAB3_TEST_TREE", &self.tree)
            .env("LAB3_TEST_VERB", self.verb)
            .env("LAB3_TEST_ABORT_AT", place)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{} must end at {place}: {text}", self.verb);
        self
    }

    fn recover(&self) -> Vec<Recovered> {
        let (_claim, publisher) = open(&self.tree);
        let (done, failed) = publisher.recover().unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        let left = publisher.stage.names().unwrap();
        assert!(left.is_empty(), "nothing stays in stage: {left:?}");
        assert_eq!(publisher.recover().unwrap().0, [], "recovering again finds nothing");
        done
    }

    fn at(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.tree.join(name)).ok()
    }

    /// Every content in the tree and in the trash.
    fn contents(&self) -> Vec<Vec<u8>> {
        let trash = self.tree.join(".lab3/trash");
        [self.tree.as_path(), &trash]
            .iter()
            .flat_map(|dir| fs::read_dir(dir).unwrap())
            .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file())
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect()
    }

    /// What lies in `stage/` and came out of the tree.
    fn displaced(&self) -> PathBuf {
        let stage = fs::read_dir(self.tree.join(".lab3/stage")).unwrap();
        let mut names = stage.map(|entry| entry.unwrap().path());
        names.find(|p| !p.to_string_lossy().ends_with(".intent")).expect("something is staged")
    }

    /// What the trash says that it has.
    fn trashed(&self) -> Vec<(RelPath, Reason)> {
        let (_claim, publisher) = open(&self.tree);
        let listed = publisher.trash.list().unwrap();
        listed.into_iter().map(|trashed| (trashed.path, trashed.reason)).collect()
    }

    fn copies(&self) -> Vec<Vec<u8>> {
        let names = fs::read_dir(&self.tree).unwrap().map(|entry| entry.unwrap().path());
        let copies = names.filter(|p| p.to_string_lossy().contains("/f.conflict-A-"));
        copies.map(|p| fs::read(p).unwrap()).collect()
    }
}

#[test]
fn a_creation_that_ended_anywhere_left_nothing_or_all() {
    for place in ["filled", "staged", "created", "published"] {
        let case = Case::new("create", None).crash_at(place);
        case.recover();
        let published = ["created", "published"].contains(&place);
        assert_eq!(case.at("f"), published.then(|| NEW.to_vec()), "{place}");
    }
}

#[test]
fn a_replacement_that_ended_anywhere_left_the_old_or_the_new_and_kept_the_old() {
    let places =
        ["filled", "staged", "intended", "exchanged", "judged", "parted", "trashed", "published"];
    for verb in ["replace", "replace-bare"] {
        for (step, place) in places.iter().enumerate() {
            let case = Case::new(verb, Some(OLD));
            if verb == "replace-bare" && *place == "intended" {
                continue;
            }
            let case = case.crash_at(place);
            case.recover();
            let expected = if step < 3 { OLD } else { NEW };
            assert_eq!(case.at("f").as_deref(), Some(expected), "{verb} {place}");
            assert!(case.contents().contains(&OLD.to_vec()), "{verb} {place}");
            assert_eq!(case.copies(), Vec::<Vec<u8>>::new(), "{verb} {place}");
            let trashed = if step < 3 { vec![] } else { vec![(f(), Reason::Replaced)] };
            assert_eq!(case.trashed(), trashed, "{verb} {place}");
        }
    }
    let case = Case::new("replace-bare", Some(OLD)).crash_at("taken");
    assert_eq!(case.recover(), [Recovered::Dropped, Recovered::Restored(f())]);
    assert_eq!(case.at("f").as_deref(), Some(OLD));
}

#[test]
fn an_edit_that_was_displaced_before_the_crash_is_beside_its_name() {
    for verb in ["replace", "replace-bare"] {
        let case = Case::new(verb, Some(OLD)).crash_at("exchanged");
        fs::write(case.displaced(), EDIT).unwrap();
        assert!(matches!(case.recover()[..], [Recovered::Aside(..)]));
        assert_eq!(case.at("f").as_deref(), Some(NEW));
        assert_eq!(case.copies(), [EDIT.to_vec()]);
    }
}

#[test]
fn a_displaced_version_that_is_still_written_to_is_beside_its_name() {
    let case = Case::new("replace", Some(OLD)).crash_at("exchanged");
    let writer = fs::OpenOptions::new().append(true).open(case.displaced()).unwrap();
    case.recover();
    std::io::Write::write_all(&mut &writer, b"!").unwrap();
    assert_eq!(case.copies(), [[OLD, b"!"].concat()], "the inode is kept");
}

#[test]
fn an_edit_after_the_crash_stays_where_it_is() {
    for (place, kept) in [("intended", OLD), ("exchanged", OLD), ("trashed", OLD)] {
        let case = Case::new("replace", Some(OLD)).crash_at(place);
        fs::write(case.tree.join("f"), EDIT).unwrap();
        case.recover();
        assert_eq!(case.at("f").as_deref(), Some(EDIT), "{place}");
        let overwritten_by_user = place == "intended";
        assert_eq!(case.contents().contains(&kept.to_vec()), !overwritten_by_user, "{place}");
        fs::remove_file(case.tree.join("f")).unwrap();
        assert_eq!(case.recover(), [], "{place}");
        assert_eq!(case.at("f"), None, "nothing comes back");
    }
}

#[test]
fn a_name_that_was_deleted_after_the_crash_stays_deleted() {
    for place in ["intended", "exchanged"] {
        let case = Case::new("replace", Some(OLD)).crash_at(place);
        fs::remove_file(case.tree.join("f")).unwrap();
        case.recover();
        assert_eq!(case.at("f"), None, "{place}");
    }
}

#[test]
fn a_deletion_that_ended_anywhere_kept_the_version() {
    for place in ["intended", "quarantined", "judged", "parted", "trashed", "published"] {
        let case = Case::new("delete", Some(OLD)).crash_at(place);
        case.recover();
        let expected = (place == "intended").then(|| OLD.to_vec());
        assert_eq!(case.at("f"), expected, "{place}");
        assert_eq!(case.contents(), [OLD.to_vec()], "{place}");
        let trashed = if place == "intended" { vec![] } else { vec![(f(), Reason::Deleted)] };
        assert_eq!(case.trashed(), trashed, "{place}");
    }
}

#[test]
fn an_edit_that_was_to_be_deleted_goes_back_or_beside_a_newcomer() {
    let case = Case::new("delete", Some(OLD)).crash_at("quarantined");
    fs::write(case.displaced(), EDIT).unwrap();
    assert_eq!(case.recover(), [Recovered::Restored(f())]);
    assert_eq!(case.at("f").as_deref(), Some(EDIT));

    let case = Case::new("delete", Some(OLD)).crash_at("quarantined");
    fs::write(case.displaced(), EDIT).unwrap();
    fs::write(case.tree.join("f"), "newcomer").unwrap();
    case.recover();
    assert_eq!(case.at("f").as_deref(), Some(b"newcomer".as_slice()));
    assert_eq!(case.copies(), [EDIT.to_vec()]);
}

#[test]
fn a_directory_that_got_something_before_the_crash_returns() {
    for verb in ["replace", "replace-bare"] {
        let case = Case::new(verb, None);
        fs::create_dir(case.tree.join("f")).unwrap();
        let case = case.crash_at("exchanged");
        fs::write(case.displaced().join("inside"), EDIT).unwrap();
        case.recover();
        let returned = case.at("f/inside");
        let beside = fs::read_dir(&case.tree).unwrap().any(|entry| {
            fs::read(entry.unwrap().path().join("inside")).is_ok_and(|content| content == EDIT)
        });
        assert!(returned.as_deref() == Some(EDIT) || beside, "{verb}");
    }
}

#[test]
fn what_came_out_of_a_directory_that_is_gone_goes_to_the_nearest_one() {
    let case = Case::new("replace", Some(OLD)).crash_at("exchanged");
    let displaced = case.displaced();
    fs::write(&displaced, EDIT).unwrap();
    let intent = PathBuf::from(format!("{}.intent", displaced.display()));
    let record = fs::read_link(&intent).unwrap();
    let record = record.to_string_lossy().replace("\nf", "\ngone/away/f");
    fs::remove_file(&intent).unwrap();
    std::os::unix::fs::symlink(record, &intent).unwrap();
    case.recover();
    assert_eq!(case.copies(), [EDIT.to_vec()]);
}

#[test]
fn what_nobody_can_explain_is_kept() {
    let case = Case::new("create", None);
    drop(open(&case.tree));
    fs::write(case.tree.join(".lab3/stage/q-unknown"), EDIT).unwrap();
    fs::write(case.tree.join(".lab3/stage/foreign"), OLD).unwrap();
    fs::write(case.tree.join(".lab3/stage/n-unfinished"), NEW).unwrap();
    case.recover();
    let mut contents = case.contents();
    contents.sort();
    assert_eq!(contents, [EDIT.to_vec(), OLD.to_vec()]);
}
