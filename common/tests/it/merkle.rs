//! The digest of a tree: equal exactly where the trees are, however they came about.

use std::collections::BTreeSet;

use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::limits::PATH_BYTES_MAX;
use common::merkle::Question;
use common::path::RelPath;
use common::time::Timestamp;
use common::tree::Tree;
use proptest::prelude::*;

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn file(number: u8) -> Entry {
    let modified = Timestamp { seconds: i64::from(number / 4), nanos: 0 };
    let (digest, size) = (Digest::of(&[number % 4]), 1);
    Entry::from(File { digest, size, mode: 0o644, modified })
}

fn entry(number: u8) -> Entry {
    match number % 5 {
        0 | 1 => Entry::Dir { mode: 0o755 - u32::from(number % 5) },
        2 => Entry::from(Link {
            target: [b'a' + number % 3].as_slice().into(),
            modified: Timestamp { seconds: i64::from(number), nanos: 0 },
        }),
        _ => file(number),
    }
}

/// A change of a tree, as numbers.
type Step = (u8, Vec<u8>, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let names = proptest::collection::vec(0..3_u8, 1..4);
    proptest::collection::vec((0..8_u8, names, any::<u8>()), 0..40)
}

/// Names that sort between a directory and what is in it, too.
fn named(names: &[u8]) -> RelPath {
    let names: Vec<&str> = names.iter().map(|&n| ["a", "a-b", "a.c"][usize::from(n)]).collect();
    path(&names.join("/"))
}

fn apply(tree: &mut Tree, (kind, names, number): &Step) {
    let at = named(names);
    let parent = at.parent();
    let fits = parent.is_none_or(|parent| tree.get(&parent).is_some_and(Entry::is_dir));
    let empty = tree.below(&at).next().is_none();
    match kind {
        0 if empty => drop(tree.set(&at, None)),
        1 if tree.get(&at).is_some() => {
            let to = path(&format!("moved-{number}"));
            if tree.get(&to).is_none() {
                tree.rename(&at, &to);
            }
        }
        // A digest that is asked for in between is one that must be forgotten in time.
        2 => drop(tree.sum(&BTreeSet::new())),
        3 => drop(tree.sum(&[named(&names[..1])].into())),
        _ if fits && (empty || entry(*number).is_dir()) => {
            drop(tree.set(&at, Some(entry(*number))));
        }
        _ => {}
    }
}

fn is_same(a: &Tree, b: &Tree) -> bool {
    let rows = |tree: &Tree| -> Vec<(RelPath, Entry)> {
        tree.iter().map(|(p, e)| (p.clone(), e.clone())).collect()
    };
    let (a, b) = (rows(a), rows(b));
    a.len() == b.len() && a.iter().zip(&b).all(|((p, e), (q, f))| p == q && e.same(f))
}

fn anew(tree: &Tree) -> Tree {
    tree.iter().map(|(p, e)| (p.clone(), e.clone())).collect()
}

proptest! {
    #[test]
    fn trees_are_equal_exactly_when_their_digests_are(one in steps(), other in steps()) {
        let (mut a, mut b) = (Tree::default(), Tree::default());
        one.iter().for_each(|step| apply(&mut a, step));
        // Half of the time the other tree differs from the first in its last steps alone.
        if other.len() % 2 == 0 {
            one.iter().for_each(|step| apply(&mut b, step));
            other.iter().take(2).for_each(|step| apply(&mut b, step));
        } else {
            other.iter().for_each(|step| apply(&mut b, step));
        }
        let (sum_a, sum_b) = (a.sum(&BTreeSet::new()), b.sum(&BTreeSet::new()));
        prop_assert_eq!(sum_a == sum_b, is_same(&a, &b));
        prop_assert_eq!(sum_a.entries, a.len() as u64);
    }

    #[test]
    fn a_digest_that_was_kept_up_is_the_one_made_anew(all in steps()) {
        let mut tree = Tree::default();
        for step in &all {
            apply(&mut tree, step);
            prop_assert_eq!(tree.sum(&BTreeSet::new()), anew(&tree).sum(&BTreeSet::new()));
        }
    }

    #[test]
    fn what_is_excepted_is_as_if_it_were_not_there(all in steps(), out in steps()) {
        let mut tree = Tree::default();
        all.iter().for_each(|step| apply(&mut tree, step));
        let except: BTreeSet<RelPath> = out.iter().take(3).map(|(_, n, _)| named(n)).collect();
        let mut without = Tree::default();
        for (path, entry) in tree.iter() {
            let above = path.ancestors().any(|above| except.contains(&above));
            if !above && !except.contains(path) {
                without.set(path, Some(entry.clone()));
            }
        }
        prop_assert_eq!(tree.sum(&except), without.sum(&BTreeSet::new()));
        // What was remembered meanwhile is of the whole tree.
        prop_assert_eq!(tree.sum(&BTreeSet::new()), anew(&tree).sum(&BTreeSet::new()));
    }
}

#[test]
fn parts_of_a_large_directory_are_all_of_it_once_and_in_order() {
    let names: Vec<String> = (0..2500).map(|n| format!("d/{n:04}")).collect();
    let mut tree: Tree = names.iter().map(|name| (path(name), file(1))).collect();
    tree.set(&path("d"), Some(Entry::Dir { mode: 0o755 }));
    tree.set(&path("d/0007"), Some(Entry::Dir { mode: 0o755 }));
    tree.set(&path("d/0007/below"), Some(file(2)));
    let directory = Some(path("d"));
    let mut question = Question { except: vec![], directory, rows: true, after: None };
    let mut found = Vec::new();
    loop {
        let level = tree.level(&question, &BTreeSet::new());
        assert!(level.rows.len() <= 1000);
        question.after = level.rows.last().map(|row| row.path.clone());
        found.extend(level.rows.into_iter().map(|row| row.path.to_string()));
        if level.last {
            break;
        }
    }
    assert_eq!(found, names);
}

#[test]
fn a_tree_as_deep_as_a_path_can_be_is_no_danger() {
    let deep = "d/".repeat(PATH_BYTES_MAX / 2 - 1);
    let mut tree = Tree::default();
    let bottom = path(&format!("{deep}f"));
    // Every directory in between would take gigabytes of names: the bottom alone is enough.
    tree.set(&bottom, Some(file(1)));
    let one = tree.sum(&BTreeSet::new());
    tree.set(&bottom, Some(file(2)));
    assert_ne!(tree.sum(&BTreeSet::new()), one);
}

#[test]
fn a_file_below_which_all_is_excepted_is_that_file() {
    let mut plain = Tree::default();
    plain.set(&path("d"), Some(file(1)));
    let mut stale = plain.clone();
    stale.set(&path("d/a"), Some(file(2)));
    let except: BTreeSet<RelPath> = [path("d/a")].into();
    for rows in [false, true] {
        let question = Question { except: vec![path("d/a")], directory: None, rows, after: None };
        assert_eq!(stale.level(&question, &except), plain.level(&question, &except));
    }
}
