//! What is built in: licences, sources and versions, against `.deny.toml`. It is what `cargo deny`
//! checks, too, but for the advisories; here it needs nothing but Rust.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::tidy::{none, repository};

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).expect("it is there")
}

/// The rules: what stands in a table of `.deny.toml` between the brackets after `key = [`.
fn list(rules: &str, table: &str, key: &str) -> String {
    let table = rules.split(&format!("\n[{table}]\n")).nth(1).expect("the table is there");
    let table = table.split("\n[").next().unwrap_or_default();
    let list = table.split(&format!("\n{key} = [")).nth(1).unwrap_or_else(|| panic!("no `{key}`"));
    let mut depth = 1;
    let end = list.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0
    });
    list[..end.expect("the list ends")].to_owned()
}

/// What stands between double quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// Whether an expression of licences can be satisfied. In old ones `/` stands for `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let is_allowed = any(&mut rest, allowed);
    is_allowed && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut is_allowed = all(words, allowed);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        is_allowed |= all(words, allowed);
    }
    is_allowed
}

fn all(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut is_allowed = one(words, allowed);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        is_allowed &= one(words, allowed);
    }
    is_allowed
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    match **words {
        ["(", ..] => {
            *words = &words[1..];
            let is_allowed = any(words, allowed);
            let is_closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            is_allowed && is_closed
        }
        [name, "WITH", exception, ..] => {
            *words = &words[3..];
            allowed.contains(format!("{name} WITH {exception}").as_str())
        }
        [name, ..] => {
            *words = &words[1..];
            allowed.contains(name)
        }
        [] => false,
    }
}

/// The packages that are built for this machine, and their licences.
fn licences() -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // All of it was downloaded to build this test.
    let arguments = ["tree", "--offline", "--locked", "--workspace", "--edges", "normal,build,dev"];
    let tree = Command::new(cargo)
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(repository())
        .output()
        .expect("cargo can be run");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let row = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let licence = licence.trim_end_matches("(*)").trim();
        Some((package.split_whitespace().next()?.to_owned(), licence.to_owned()))
    };
    String::from_utf8_lossy(&tree.stdout).lines().filter_map(row).collect()
}

#[test]
fn every_licence_is_allowed() {
    let rules = read(".deny.toml");
    let allowed = list(&rules, "licenses", "allow");
    let exceptions = list(&rules, "licenses", "exceptions");
    let mut complaints = Vec::new();
    let found = licences();
    assert!(found.len() > 50 && found.contains_key("blake3"), "{} packages", found.len());
    for (package, licence) in found {
        let mut allowed: BTreeSet<&str> = quoted(&allowed).collect();
        let named = format!("\"{package}\"");
        if let Some(exception) = exceptions.split('{').find(|text| text.contains(&named)) {
            allowed.extend(quoted(exception));
        }
        if !is_allowed(&licence, &allowed) {
            complaints.push(format!("`{package}` is under `{licence}`"));
        }
    }
    none(&complaints);
}

#[test]
fn an_expression_of_licences_needs_all_of_some() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for yes in ["MIT", "GPL-3.0 OR MIT", "Unlicense/MIT", "(GPL-3.0 OR ISC) AND MIT"] {
        assert!(is_allowed(yes, &allowed), "{yes}");
    }
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &allowed));
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT OR ISC) AND GPL-3.0", "(MIT"] {
        assert!(!is_allowed(no, &allowed), "{no}");
    }
    assert!(!is_allowed("MIT WITH something", &allowed));
}

/// The packages of `Cargo.lock`, for all systems: name, version, source.
fn locked() -> Vec<[String; 3]> {
    let text = read("Cargo.lock");
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let packages = text.split("[[package]]").skip(1);
    packages.map(|package| ["name", "version", "source"].map(|key| value(package, key))).collect()
}

#[test]
fn every_package_is_ours_or_of_the_one_registry() {
    let rules = read(".deny.toml");
    let registries = list(&rules, "sources", "allow-registry");
    let allowed: BTreeSet<String> =
        quoted(&registries).map(|registry| format!("registry+{registry}")).collect();
    let ours = ["bench", "common", "lab3-client", "server-a", "server-b"];
    let mut complaints = Vec::new();
    for [name, _, source] in locked() {
        let is_fine = match source.as_str() {
            "" => ours.contains(&name.as_str()),
            source => allowed.contains(source),
        };
        if !is_fine {
            complaints.push(format!("`{name}` is from `{source}`"));
        }
    }
    none(&complaints);
}

#[test]
fn no_package_is_there_in_two_versions_without_a_reason() {
    let rules = read(".deny.toml");
    let skipped = list(&rules, "bans", "skip");
    let banned = list(&rules, "bans", "deny");
    let skipped: BTreeSet<&str> = quoted(&skipped).filter(|text| text.contains('@')).collect();
    let banned: BTreeSet<&str> = quoted(&banned).collect();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for [name, version, _] in locked() {
        versions.entry(name).or_default().insert(version);
    }
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    for (name, versions) in versions {
        if banned.contains(name.as_str()) {
            complaints.push(format!("`{name}` is banned"));
        }
        let of = |version: &String| {
            let begins = |rule: &&&str| {
                let rule = rule.split_once('@').filter(|(package, _)| *package == name);
                rule.is_some_and(|(_, wanted)| {
                    format!("{version}.").starts_with(&format!("{wanted}."))
                })
            };
            skipped.iter().find(begins).copied()
        };
        let unskipped = versions.iter().filter(|version| of(version).is_none()).count();
        used.extend(versions.iter().filter_map(of));
        if unskipped > 1 {
            complaints.push(format!("`{name}` is there as {versions:?}"));
        }
    }
    for rule in skipped.difference(&used) {
        complaints.push(format!(".deny.toml: `{rule}` is not there any more"));
    }
    none(&complaints);
}
