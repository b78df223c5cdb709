//! The cases in `fixtures/reconcile`: three small trees and what becomes of them.
//!
//! A case is text: a title, the sections `archive`, `a`, `b` and `result` with a row per line
//! (`PATH file CONTENT [MODE] @SECONDS`, `PATH link TARGET @SECONDS`, `PATH dir [MODE]`), and how
//! many conflicts there are. `<x>` in a path is the short digest of the content `x`. `steps` and
//! `content` bound what is done: steps applied, and those of them that move a content. Every case
//! is run in several orders and, unless it says `mirrored: no`, with the sides exchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::digest::Digest;
use common::entry::Entry;
use common::path::RelPath;
use common::side::PerSide;
use common::tree::Tree;

use crate::world::{Rng, Run, World, dir, file, link, mirrored, path, same_tree};

#[derive(Default)]
struct Case {
    trees: BTreeMap<String, Tree>,
    facts: BTreeMap<String, String>,
}

impl Case {
    fn tree(&self, name: &str) -> Tree {
        self.trees.get(name).unwrap_or_else(|| panic!("no section `{name}`")).clone()
    }

    fn number(&self, fact: &str) -> Option<usize> {
        self.facts.get(fact).map(|text| text.parse().expect("a number"))
    }
}

fn parse(text: &str) -> Case {
    let mut case = Case::default();
    let mut section = String::new();
    assert!(text.starts_with("# "), "a case begins with its title");
    for line in text.lines().skip(1) {
        match (line.strip_prefix("  "), line.split_once(':')) {
            (Some(row), _) => {
                let (path, entry) = parse_row(row);
                let tree = case.trees.get_mut(&section).expect("a row is in a section");
                assert!(tree.set(&path, Some(entry)).is_none(), "{path} is there twice");
            }
            (None, Some((name, ""))) if ["archive", "a", "b", "result"].contains(&name) => {
                section = name.to_owned();
                assert!(case.trees.insert(section.clone(), Tree::default()).is_none());
            }
            (None, Some((name, value)))
                if ["conflicts", "steps", "content", "mirrored"].contains(&name) =>
            {
                case.facts.insert(name.to_owned(), value.trim().to_owned());
            }
            _ => panic!("what is `{line}`?"),
        }
    }
    assert!(case.trees.values().all(Tree::is_well_formed), "a row without its directory");
    case
}

fn parse_row(row: &str) -> (RelPath, Entry) {
    let words: Vec<&str> = row.split(' ').collect();
    let mode = |text: &str| u32::from_str_radix(text, 8).expect("an octal mode");
    let time = |text: &str| {
        text.strip_prefix('@').expect("a time begins with @").parse().expect("seconds")
    };
    let entry = match words[1..] {
        ["file", content, at] => file(content, 0o644, time(at)),
        ["file", content, bits, at] => file(content, mode(bits), time(at)),
        ["link", target, at] => link(target, time(at)),
        ["dir"] => dir(0o755),
        ["dir", bits] => dir(mode(bits)),
        _ => panic!("what is `{row}`?"),
    };
    (path(&with_digests(words[0])), entry)
}

fn with_digests(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('<') {
        let (content, after) = tail.split_once('>').expect("`<` has its `>`");
        out.push_str(before);
        out.push_str(&Digest::of(content.as_bytes()).short());
        rest = after;
    }
    out + rest
}

fn check(name: &str, case: &Case, start: &World, result: &Tree) {
    for seed in 0..20 {
        let mut world = start.clone();
        let mut run = Run::of(&world);
        run.settle(&mut world, &mut Rng(seed), |_| {});
        assert!(world.is_settled(), "{name}: {world:#?}");
        let wrong = format!("{name}, order {seed}: expected {result:#?}, came to {world:#?}");
        assert!(same_tree(&world.seen.a, result), "{wrong}");
        assert_eq!(Some(run.conflicts.len()), case.number("conflicts"), "{name}: conflicts");
        if let Some(steps) = case.number("steps") {
            assert_eq!(run.applied, steps, "{name}: steps");
        }
        if let Some(content) = case.number("content") {
            assert_eq!(run.with_content, content, "{name}: steps that move a content");
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reconcile")
}

/// All of the directory, so that no case can be forgotten.
fn names() -> BTreeSet<String> {
    fs::read_dir(directory())
        .expect("the cases are there")
        .map(|row| row.expect("readable").file_name().into_string().expect("a plain name"))
        .collect()
}

#[test]
fn every_case_comes_to_its_result_in_any_order_and_mirrored() {
    for name in names() {
        let text = fs::read_to_string(directory().join(&name)).expect("readable");
        let case = parse(&text);
        let seen = PerSide { a: case.tree("a"), b: case.tree("b") };
        let start = World { archive: case.tree("archive"), seen };
        let result = case.tree("result");
        check(&name, &case, &start, &result);
        if case.facts.get("mirrored").is_none_or(|value| value != "no") {
            check(&name, &case, &start.mirrored(), &mirrored(&result));
        }
    }
}

/// Those of the matrix that are not here are mirrors (M02, M07, M11, M14), need a path that cannot
/// be read (M31 to M35), or are the random trees (M40).
#[test]
fn every_row_of_the_matrix_that_is_about_trees_has_a_case() {
    let elsewhere: BTreeSet<usize> = [2, 7, 11, 14, 31, 32, 33, 34, 35].into();
    let names = names();
    for number in (1..40).filter(|number| !elsewhere.contains(number)) {
        let id = format!("m{number:02}-");
        assert!(names.iter().any(|name| name.starts_with(&id)), "no case {id}");
    }
    for name in names {
        let (id, _) = name.split_once('-').expect("an id, then words");
        let digits = id.trim_start_matches(|c: char| c.is_ascii_lowercase());
        assert!(digits.len() == 2 && digits.parse::<u8>().is_ok(), "{name} begins with no id");
        assert!(name.ends_with(".case"), "{name} is no case");
    }
}
