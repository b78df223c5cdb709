//! Names as the kernel allows them, deep trees, crowded directories, long listings.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use crate::real::{agree, peak_mib_of, settle, size};
use crate::system::System;
use crate::trees;

#[test]
fn every_byte_and_every_length_can_be_a_name() {
    let system = System::started();
    let mut names: Vec<Vec<u8>> =
        (1..=255).filter(|&byte| byte != b'/' && byte != b'.').map(|byte| vec![byte]).collect();
    names.push(vec![b'n'; 255]);
    names.push(vec![0xff; 255]);
    names.push("é".repeat(127).into_bytes());
    names.push("e\u{301}".into());
    names.push("\u{e9}".into());
    let odd =
        ["...", "..x", " ", "-rf", "~", "a\nb", "\x1b[31m", ".lab3x", "CON", "a:b", "*", "\\"];
    names.extend(odd.iter().map(|name| name.as_bytes().to_vec()));
    names.extend([vec![0xc3], b"cut\xe2\x82".to_vec(), b"\xf0\x28\x8c\x28".to_vec()]);
    names.sort();
    names.dedup();
    for (number, name) in names.iter().enumerate() {
        let root = if number % 2 == 0 { &system.a } else { &system.b };
        let name = std::ffi::OsString::from_vec(name.clone());
        trees::put(root, &name, format!("{number}"));
        trees::put(root, Path::new("in").join(&name).join("file"), format!("{number}"));
    }
    let nodes = system.agree();
    let files = nodes.values().filter(|node| matches!(node, trees::Node::File { .. })).count();
    assert_eq!(files, 2 * names.len());
}

/// Opens a directory below another, step by step.
fn open(at: &OwnedFd, name: &str) -> std::io::Result<OwnedFd> {
    Ok(openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_root(root: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).expect("a directory")
}

fn read_at(at: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let file = openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut fs::File::from(file), &mut content).ok()?;
    Some(content)
}

#[test]
fn paths_longer_than_the_kernel_takes_are_carried() {
    const LEVELS: u32 = 20;
    let system = System::holding(&[("beside", "so that the root is never empty")]);
    let name = "d".repeat(250);
    let mut at = open_root(&system.a);
    for _ in 0..LEVELS {
        mkdirat(&at, &*name, Mode::from_raw_mode(0o755)).expect("a directory");
        at = open(&at, &name).expect("a directory");
        write_at(&at, "file", b"deep");
    }
    settle(&system);
    let mut there = open_root(&system.b);
    for level in 0..LEVELS {
        there = open(&there, &name).unwrap_or_else(|error| panic!("level {level}: {error}"));
        assert_eq!(read_at(&there, "file").as_deref(), Some(&b"deep"[..]), "level {level}");
    }
    // Too deep to be watched by name, it is looked at from time to time; the other way, too.
    write_at(&there, "back", b"again");
    crate::server::until("the deepest edit comes back", || read_at(&at, "back").is_some());
    settle(&system);
    trees::remove(&system.a, &name);
    system.agree_on(&[("beside", "so that the root is never empty")]);
}

fn write_at(at: &OwnedFd, name: &str, content: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = openat(at, name, flags, Mode::from_raw_mode(0o644)).expect("a file");
    std::io::Write::write_all(&mut fs::File::from(file), content).expect("written");
}

#[test]
fn a_crowded_directory_arrives_and_is_listed_in_bounded_memory() {
    let mut system = System::new();
    let count = size(3000, 100_000);
    let crowd = system.a.join("crowd");
    fs::create_dir(&crowd).expect("a directory");
    for number in 0..count {
        let name = crowd.join(format!("{number:06}-{}", "n".repeat(40)));
        fs::File::create(name).expect("a file");
    }
    system.start();
    if count <= 10_000 {
        agree(&system);
    } else {
        settle(&system);
    }
    let mut command = system.client("ann@mill", &[]);
    let mut client = command.stdout(Stdio::piped()).spawn().expect("the client runs");
    let mut lines = BufReader::new(client.stdout.take().expect("its output")).lines();
    let first = lines.next().expect("a line").expect("text");
    let mut rows = usize::from(first.contains("-nnnn"));
    let mut peak = 0;
    for (number, line) in lines.enumerate() {
        rows += usize::from(line.expect("text").contains("-nnnn"));
        if number % 1000 == 0 && client.try_wait().expect("a child").is_none() {
            peak = peak_mib_of(client.id());
        }
    }
    assert!(client.wait().expect("a child").success());
    assert_eq!(rows, count);
    assert!(peak < 64, "the client took {peak} MiB");
}
