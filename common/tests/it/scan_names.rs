//! Every name that the kernel takes is told as it is.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use common::replica::observer::Settings;

use crate::observed::Side;

#[test]
fn every_byte_but_two_is_a_name() {
    let mut side = Side::with(Settings::default(), |dir| {
        for byte in (1..=127u8).filter(|&b| b != b'/' && b != b'.') {
            fs::write(dir.join(OsStr::from_bytes(&[byte])), [byte]).unwrap();
        }
    });
    for byte in 128..=255u8 {
        side.write(OsStr::from_bytes(&[byte]), [byte]);
    }
    side.assert_told();
    assert_eq!(side.told.rows.len(), 253);
}

#[test]
fn odd_names_are_told_byte_by_byte() {
    let mut side = Side::new();
    let long: Vec<u8> = "\u{1f600}".repeat(63).into_bytes();
    let names: Vec<&[u8]> = vec![
        b"\xff\xfe",
        b"new\nline",
        b"tab\t",
        b"\x1b[31m",
        b"-rf",
        b"--",
        b" ",
        b"trailing ",
        b"dot.",
        b"*",
        b"~",
        b"CON",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"a",
        b"A",
        b"..x",
        b"...",
        b".lab3x",
        b"\xe2\x80\xaex",
        &[b'x'; 255],
        &long,
    ];
    for name in &names {
        side.write(OsStr::from_bytes(name), name);
    }
    fs::create_dir(side.at("sub")).unwrap();
    fs::create_dir(side.at("sub/.lab3")).unwrap();
    side.write("sub/.lab3/f", "not ours");
    side.assert_told();
    assert_eq!(side.told.rows.len(), names.len() + 3);
}

#[test]
fn what_is_ours_is_never_told() {
    let mut side = Side::new();
    side.write(".lab3/secret", "x");
    side.assert_told();
    assert!(side.told.rows.is_empty() && side.told.news.is_empty());
}
