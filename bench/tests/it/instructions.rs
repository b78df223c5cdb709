//! The guard against code that has become slower: counts of instructions, which no load disturbs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{bench, number, rows, text};

/// What the sources say that each part may take.
fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/instructions.txt")
}

/// Without the counter, or with another compiler, there is nothing to be compared.
fn skipped(said: &str) -> bool {
    let line = said.lines().find(|line| line.contains("SKIPPED"));
    if let Some(line) = line {
        eprintln!("{}", line.trim());
    }
    line.is_some()
}

/// The reference, as if one part had taken half of what it takes.
fn halved() -> String {
    let accepted = fs::read_to_string(reference()).expect("the reference");
    let half = accepted.lines().map(|line| match line.strip_prefix("hash ") {
        Some(rest) => {
            let count = rest.split_whitespace().next().unwrap_or_default().replace('_', "");
            format!("hash {} 2%", count.parse::<u64>().expect("a count") / 2)
        }
        None => line.to_owned(),
    });
    half.collect::<Vec<_>>().join("\n")
}

/// Counts two parts and compares them with this reference; answers how that ends, and what it says.
fn against(reference: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("reference.txt");
    fs::write(&file, reference).expect("written");
    let mut command = bench();
    command.args(["--only", "instructions", "--parts", "hash,encode", "--dir"]).arg(dir.path());
    let run = command.arg("--reference").arg(&file).output().expect("it runs");
    (run.status.code(), text(&run.stdout) + &text(&run.stderr))
}

#[test]
fn no_part_takes_more_instructions_than_were_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("figures.json");
    let mut command = bench();
    command.args(["--only", "instructions", "--dir"]).arg(dir.path()).arg("--json").arg(&json);
    if std::env::var_os("LAB3_BLESS").is_some() {
        command.arg("--renew");
    }
    let run = command.output().expect("it runs");
    let said = text(&run.stdout);
    eprintln!("{said}");
    assert!(
        run.status.success(),
        "{said}{}\nif it must be so: LAB3_BLESS=1 cargo test -p bench --test it instructions",
        text(&run.stderr)
    );
    if skipped(&said) {
        return;
    }
    let document = fs::read_to_string(&json).expect("the document");
    let document = serde_json::from_str(&document).expect("JSON");
    let counts = rows(&document, "instructions");
    let named = fs::read_to_string(reference()).expect("the reference");
    let named = named.lines().filter(|line| line.ends_with('%')).count();
    assert_eq!(counts.len(), named, "every part is counted: {said}");
    assert!(counts.iter().all(|(_, row)| number(row, "value") > 1e6), "{said}");
}

#[test]
fn a_part_that_takes_more_than_was_accepted_is_named_and_fails() {
    let (code, said) = against(&halved());
    if skipped(&said) {
        return;
    }
    assert_eq!(code, Some(1), "{said}");
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("FAILED: ")).collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(failed[0].contains("`hash` takes "), "{said}");
}

#[test]
fn on_another_ground_the_counts_are_told_and_nothing_fails() {
    let halved = halved();
    let other = halved.lines().map(|line| match line.split_once(": ") {
        Some(("compiler", _)) => "compiler: another".to_owned(),
        _ => line.to_owned(),
    });
    let (code, said) = against(&other.collect::<Vec<_>>().join("\n"));
    assert_eq!(code, Some(0), "{said}");
    assert!(skipped(&said), "{said}");
    let installed = !said.contains("not installed");
    assert_eq!(said.contains("not another"), installed, "{said}");
    assert_eq!(said.contains(" instructions   reference "), installed, "{said}");
}
