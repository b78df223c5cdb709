//! Many changes at speed, while they are being carried over.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::side::Side;

use crate::real::{Dice, agree, done, has, size};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees;

/// What an installer of packages does: files written aside and renamed, links, hard links,
/// directories that come and go.
fn install(root: &Path, seed: u64, steps: u64) {
    let mut dice = Dice(seed);
    for step in 0..steps {
        let package = root.join(format!("package-{}", dice.below(12)));
        let file = package.join(format!("lib/{}.js", dice.below(20)));
        fs::create_dir_all(package.join("lib")).expect("directories");
        match dice.below(10) {
            0..=4 => {
                let aside = package.join(format!(".tmp-{seed}-{step}"));
                let length = dice.below(9000) as usize;
                fs::write(&aside, dice.bytes(length)).expect("a file");
                fs::rename(&aside, &file).expect("renamed");
            }
            5 => drop(fs::remove_file(&file)),
            6 => drop(fs::hard_link(&file, package.join(format!("hard-{}", dice.below(5))))),
            7 => {
                let link = package.join(format!("link-{}", dice.below(5)));
                drop(fs::remove_file(&link));
                std::os::unix::fs::symlink("lib/1.js", link).expect("a link");
            }
            8 => {
                let aside = root.join(format!(".old-{seed}-{step}"));
                fs::rename(&package, &aside).expect("renamed");
                // What is just arriving there may keep it from going at once.
                until("a package is gone", || fs::remove_dir_all(&aside).is_ok());
            }
            _ => drop(fs::rename(&file, package.join(format!("moved-{}.js", dice.below(20))))),
        }
    }
}

#[test]
fn after_a_storm_of_installers_both_sides_are_equal() {
    let system = System::started();
    let steps = size(400, 20_000);
    thread::scope(|scope| {
        for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
            let root = if number == 2 { &system.b } else { &system.a };
            let root = root.join(name);
            scope.spawn(move || install(&root, 77 + number as u64, steps));
        }
    });
    agree(&system);
    let said = system.server(Side::A).said();
    assert!(!said.contains("conflict"), "nobody wrote the same file at both sides:\n{said}");
}

#[test]
fn a_build_inside_the_tree_arrives_and_runs() {
    if !has("cargo") {
        return skip("a_build_inside_the_tree_arrives_and_runs", "cargo is not installed");
    }
    let system = System::started();
    trees::put(&system.a, "hello/Cargo.toml", "[package]\nname = \"hello\"\nedition = \"2021\"\n");
    trees::put(&system.a, "hello/src/lib.rs", "pub fn word() -> &'static str { \"hello\" }\n");
    let main = "fn main() { println!(\"{}\", hello::word()) }\n";
    trees::put(&system.a, "hello/src/main.rs", main);
    let at = system.a.join("hello");
    let build = || {
        let mut command = Command::new("cargo");
        command.args(["build", "--offline", "-q"]).current_dir(&at);
        done(command.env("CARGO_TARGET_DIR", at.join("target")).env_remove("RUSTFLAGS"));
    };
    build();
    for round in 0..size(1, 10) {
        let word = format!("pub fn word() -> &'static str {{ \"hello {round}\" }}\n");
        trees::put(&system.a, "hello/src/lib.rs", word);
        build();
    }
    agree(&system);
    let said = done(&mut Command::new(system.b.join("hello/target/debug/hello")));
    assert_eq!(said, format!("hello {}\n", size(0, 9)));
}
