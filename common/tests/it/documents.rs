//! What the documents say of the code is true of the code: names of tests, and the code map.

use std::collections::BTreeSet;

use crate::tidy::{files, none, repository, rust};

/// What stands between single backticks in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_law(name: &str) -> bool {
    name.contains('_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn document(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).expect("the document is there")
}

#[test]
fn every_test_that_proves_a_guarantee_exists() {
    let sources = rust();
    let text = document("docs/guarantees.md");
    let mut complaints = Vec::new();
    let mut proofs = 0;
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let name = quoted(row).next().unwrap_or_default();
        let place = quoted(row).nth(1).unwrap_or_default();
        let declared = format!("fn {name}(");
        let found = sources
            .iter()
            .any(|source| source.path.ends_with(place) && source.text.contains(&declared));
        if !is_law(name) || place.is_empty() || !found {
            complaints.push(format!("docs/guarantees.md: no test `{name}` in `{place}`"));
        }
        proofs += 1;
    }
    none(&complaints);
    assert!(proofs > 0, "no row names a test");
    for id in 1..=10 {
        let head = format!("\n## G{id} ");
        let part = text.split(&head).nth(1).expect("every guarantee has its part");
        let part = part.split("\n## ").next().unwrap_or_default();
        assert!(part.contains("\n| `"), "nothing proves G{id}");
    }
}

#[test]
fn the_code_map_names_every_module_and_no_other() {
    let modules: BTreeSet<String> = ["bench", "common", "server-a", "server-b", "lab3-client"]
        .iter()
        .flat_map(|package| files(&format!("{package}/src"), ".rs"))
        .map(|source| source.path)
        .filter(|path| !path.ends_with("lib.rs") && !path.ends_with("_tests.rs"))
        .collect();
    let text = document("docs/architecture.md");
    let map = text.split("\n## Code map").nth(1).expect("there is a code map");
    let map = map.split("\n## ").next().unwrap_or_default();
    let mut named = BTreeSet::new();
    let mut folder = String::new();
    for line in map.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            folder = quoted(heading).next().unwrap_or_default().to_owned();
        } else if line.starts_with("| `") {
            let cell = line.split('|').nth(1).unwrap_or_default();
            named.extend(quoted(cell).map(|name| format!("{folder}{name}.rs")));
        }
    }
    let missing = modules.difference(&named).map(|path| format!("{path}: not in the code map"));
    let gone = named.difference(&modules).map(|path| format!("{path}: only in the code map"));
    none(&missing.chain(gone).collect::<Vec<_>>());
}
