//! `docs/guarantees.md` has a row for every case, every way in which others lost data, and every
//! law of locks; a row names tests that exist, or says why it names none.

use std::collections::BTreeSet;

use crate::tidy::{none, repository, rust};

/// The groups of cases, and how many are in each.
const GROUPS: [(&str, usize); 18] = [
    ("M", 40),
    ("R", 18),
    ("D", 12),
    ("S", 12),
    ("PM", 12),
    ("X", 8),
    ("N", 16),
    ("Z", 12),
    ("T", 12),
    ("E", 22),
    ("W", 22),
    ("C", 20),
    ("A", 9),
    ("F", 16),
    ("K", 32),
    ("G", 16),
    ("H", 23),
    ("Q", 7),
];
const LOSSES: usize = 42;
const LAWS_OF_LOCKS: usize = 28;

/// What a last column begins with when it names no test.
const EXCUSES: [&str; 2] = ["not covered: ", "does not apply: "];

/// The part of the document under a heading of the second order.
fn part(heading: &str) -> String {
    let text = std::fs::read_to_string(repository().join("docs/guarantees.md"));
    let text = text.expect("the document is there");
    let head = format!("\n## {heading}\n");
    let part = text.split(&head).nth(1).unwrap_or_else(|| panic!("no part `{heading}`"));
    part.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The rows of the tables in a part: id, what it says, tests.
fn rows(part: &str) -> Vec<[&str; 3]> {
    part.lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| tests |"))
        .map(|line| {
            assert_eq!(line.matches(" | ").count(), 2, "not three columns: {line}");
            let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
            [(); 3].map(|()| cells.next().unwrap_or_default())
        })
        .collect()
}

/// The names of all tests in the sources, with their attribute.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in rust() {
        let mut is_test = false;
        for line in source.text.lines().map(str::trim) {
            if line == "#[test]" || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if is_test && !line.starts_with("#[") && !line.starts_with("//") {
                is_test = false;
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                found.extend(name.and_then(|name| name.split('(').next()).map(str::to_owned));
            }
        }
    }
    found
}

/// What is wrong with the last column of a row.
fn complaint(id: &str, cell: &str, tests: &BTreeSet<String>) -> Option<String> {
    let mut named = cell.split('`').skip(1).step_by(2).peekable();
    if EXCUSES.iter().any(|excuse| cell.len() > excuse.len() && cell.starts_with(excuse)) {
        return None;
    }
    if !cell.starts_with('`') || named.peek().is_none() {
        return Some(format!("{id}: neither a test nor a reason: {cell}"));
    }
    let missing: Vec<&str> = named.filter(|name| !tests.contains(*name)).collect();
    (!missing.is_empty()).then(|| format!("{id}: no such test: {}", missing.join(", ")))
}

/// The ids are these, in this order, and what each row names is there.
fn holds(part: &str, wanted: &[String]) {
    let rows = rows(part);
    let ids: Vec<&str> = rows.iter().map(|[id, ..]| *id).collect();
    assert_eq!(ids, wanted, "ids that are missing, twice, or out of order");
    let tests = tests();
    assert!(tests.len() > 300, "the sources have tests: {}", tests.len());
    let complaints: Vec<String> = rows
        .iter()
        .filter_map(|[id, what, cell]| {
            let untold = what.is_empty().then(|| format!("{id}: what is it?"));
            untold.or_else(|| complaint(id, cell, &tests))
        })
        .collect();
    none(&complaints);
}

#[test]
fn every_case_has_its_tests_or_a_reason() {
    let ids: Vec<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n:02}")))
        .collect();
    holds(&part("Cases"), &ids);
}

#[test]
fn every_way_to_lose_data_has_its_tests_or_a_reason() {
    let ids: Vec<String> = (1..=LOSSES).map(|n| n.to_string()).collect();
    holds(&part("How others lost data"), &ids);
}

#[test]
fn every_law_of_locks_has_its_tests_or_a_reason() {
    let ids: Vec<String> = (1..=LAWS_OF_LOCKS).map(|n| format!("L{n:02}")).collect();
    holds(&part("Locks, law by law"), &ids);
}

#[test]
fn a_row_without_test_or_reason_is_found() {
    let tests = BTreeSet::from(["a_law".to_owned()]);
    for good in ["`a_law`", "`a_law` `a_law`", "not covered: nobody has", "does not apply: no"] {
        assert_eq!(complaint("X01", good, &tests), None, "{good}");
    }
    for bad in ["", "a_law", "`no_law`", "`a_law` `no_law`", "not covered: ", "later"] {
        assert!(complaint("X01", bad, &tests).is_some(), "{bad}");
    }
}
