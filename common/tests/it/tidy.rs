//! The house: sizes, pages, leftovers, and what lies where. Everything is read from the disk as it
//! stands; nothing here is built or run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// What may lie at the top, but for names that begin with a dot.
const TOP: [&str; 13] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "bench",
    "common",
    "docs",
    "fixtures",
    "lab3-client",
    "server-a",
    "server-b",
    // What is built.
    "target",
];

/// A text file of the repository.
pub(crate) struct Source {
    /// Its path below the repository, `common/src/lib.rs`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl Source {
    /// The text without the unit tests at its end.
    pub(crate) fn code(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a directory of the repository that end like this, in order.
pub(crate) fn files(below: &str, end: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![repository().join(below)];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.expect("the repository can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                // What was kept of fuzzing is no text.
                let text = fs::read(&path).expect("it can be read");
                let text = String::from_utf8_lossy(&text).into_owned();
                let path = path.strip_prefix(repository()).expect("it lies in the repository");
                found.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "there is no `{end}` file below `{below}`");
    found
}

/// All Rust files of the five packages.
pub(crate) fn rust() -> Vec<Source> {
    ["bench", "common", "server-a", "server-b", "lab3-client"]
        .iter()
        .flat_map(|package| files(package, ".rs"))
        .collect()
}

/// Fails with all complaints at once.
pub(crate) fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn files_lines_and_functions_are_short_enough_to_read() {
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > LINES_MAX {
            complaints.push(format!("{path}: {} lines, at most {LINES_MAX}", lines.len()));
        }
        for (i, line) in lines.iter().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                complaints.push(format!("{path}:{}: {columns} columns", i + 1));
            }
            if let Some(length) = function_lines(&lines[i..])
                && length > FUNCTION_LINES_MAX
            {
                complaints.push(format!("{path}:{}: a function of {length} lines", i + 1));
            }
        }
    }
    none(&complaints);
}

/// How many lines the function has that begins in the first line, if one does. In formatted code
/// it ends at the first line that is a brace as far indented as its beginning.
fn function_lines(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let code = first.trim_start();
    let indent = &first[..first.len() - code.len()];
    let mut words = code.split_whitespace().take_while(|word| {
        matches!(*word, "async" | "const" | "fn" | "unsafe") || word.starts_with("pub")
    });
    if !words.any(|word| word == "fn") || code.ends_with('}') {
        return None;
    }
    let end = format!("{indent}}}");
    let length = lines.iter().position(|line| *line == end)? + 1;
    // A declaration without a body ends before any brace opens.
    let body = lines[..length].iter().find(|line| line.ends_with('{') || line.ends_with(';'))?;
    body.ends_with('{').then_some(length)
}

#[test]
fn the_length_of_a_function_is_counted_to_its_own_brace() {
    let lines = ["    pub(super) fn a() {", "        if b {", "        }", "    }", "}"];
    assert_eq!(function_lines(&lines), Some(4));
    assert_eq!(function_lines(&lines[1..]), None);
    assert_eq!(function_lines(&["    fn a(", "    ) -> b;", "    fn c() {", "    }"]), None);
}

#[test]
fn every_module_opens_with_its_page() {
    let complaints: Vec<String> = rust()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: does not begin with `//!`", source.path))
        .collect();
    none(&complaints);
}

#[test]
fn nothing_is_left_unfinished() {
    // Taken apart, so that this file does not find itself.
    let words = [("to", "do!("), ("unimple", "mented!("), ("db", "g!("), ("#[ig", "nore")];
    let words = words.map(|(a, b)| [a, b].concat());
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        for word in words.iter().filter(|word| text.contains(word.as_str())) {
            complaints.push(format!("{path}: `{word}`"));
        }
    }
    none(&complaints);
}

#[test]
fn nothing_speaks_of_where_it_was_made() {
    let words = [("/wo", "rk/"), ("/tmp", "/t-"), ("DESIGN", ".md"), ("CORRECTNESS", ".md")];
    let words = words.map(|(a, b)| [a, b].concat());
    let mut texts = rust();
    for (below, end) in [("docs", ".md"), ("fixtures", ""), (".ci", ""), (".cargo", ".toml")] {
        if repository().join(below).is_dir() {
            texts.extend(files(below, end));
        }
    }
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", ".clippy.toml"] {
        let text = fs::read_to_string(repository().join(name)).expect("it is there");
        texts.push(Source { path: name.to_owned(), text });
    }
    let mut complaints = Vec::new();
    for Source { path, text } in texts {
        for word in words.iter().filter(|word| text.contains(word.as_str())) {
            complaints.push(format!("{path}: `{word}`"));
        }
    }
    none(&complaints);
}

#[test]
fn the_top_level_is_fixed() {
    let complaints: Vec<String> = names(&repository())
        .into_iter()
        .filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()))
        .collect();
    none(&complaints);
}

#[test]
fn no_test_file_is_forgotten() {
    let mut complaints = Vec::new();
    for package in ["bench", "common", "server-a", "server-b", "lab3-client"] {
        let tests = repository().join(package).join("tests");
        if !tests.is_dir() {
            continue;
        }
        let other = names(&tests).into_iter().filter(|name| name != "it");
        complaints.extend(other.map(|name| format!("{package}/tests/{name}: not in `it`")));
        let main = fs::read_to_string(tests.join("it/main.rs")).expect("every `it` has a main");
        for name in names(&tests.join("it")) {
            let module = name.trim_end_matches(".rs");
            if module != "main" && !main.contains(&format!("mod {module};\n")) {
                complaints.push(format!("{package}/tests/it/{name}: not in main.rs"));
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_fixture_is_forgotten() {
    let tests: String = rust().into_iter().map(|source| source.text).collect();
    let complaints: Vec<String> = names(&repository().join("fixtures"))
        .into_iter()
        .filter(|name| !tests.contains(&format!("fixtures/{name}")))
        .map(|name| format!("fixtures/{name}: no test reads it"))
        .collect();
    none(&complaints);
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .expect("it can be listed")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect()
}
