//! Every fuzz target is a test, a program for libFuzzer and a folder of kept inputs: none of the
//! three is forgotten.

use std::collections::BTreeSet;
use std::fs;

use crate::tidy::{repository, rust};

#[test]
fn every_target_is_a_program_and_has_kept_inputs() {
    let mut targets = BTreeSet::new();
    for source in rust() {
        // Taken apart, so that this file does not find itself.
        for part in source.text.split(&["Target = Target { ", "name: \""].concat()).skip(1) {
            targets.insert(part.split('"').next().unwrap_or_default().to_owned());
        }
    }
    assert!(targets.contains("frames") && targets.len() > 10, "{targets:?}");
    let manifest = fs::read_to_string(repository().join("bench/fuzz/Cargo.toml")).expect("read");
    let programs = manifest.split("[[bin]]\nname = \"").skip(1);
    let programs = programs.map(|part| part.split('"').next().unwrap_or_default().to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), targets, "bench/fuzz/Cargo.toml");
    let folders = fs::read_dir(repository().join("fixtures/corpus")).expect("listed");
    let folders = folders.map(|folder| folder.expect("a folder").file_name());
    let folders = folders.map(|name| name.into_string().expect("a plain name"));
    assert_eq!(folders.collect::<BTreeSet<_>>(), targets, "fixtures/corpus");
    let sum: u64 = targets.iter().map(|target| bytes(target)).sum();
    assert!(sum < 1024 * 1024, "{sum} bytes of kept inputs");
}

fn bytes(target: &str) -> u64 {
    let folder = repository().join("fixtures/corpus").join(target);
    let length = |file: std::io::Result<fs::DirEntry>| {
        file.and_then(|file| file.metadata()).expect("an input").len()
    };
    fs::read_dir(folder).expect("listed").map(length).sum()
}
