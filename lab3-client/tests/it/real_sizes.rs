//! Files of every size, and files that change while they are sent.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use common::side::Side;

use crate::real::{Dice, agree, peak_mib, size};
use crate::system::System;
use crate::trees;

const MIB: u64 = 1 << 20;
/// So much more memory than at the start is never needed, however large the files are.
const GROWTH_MIB: u64 = 200;

#[test]
fn files_of_every_size_arrive_in_bounded_memory() {
    let mut system = System::started();
    let start = Side::BOTH.map(|side| peak_mib(&system, side));
    let mut dice = Dice(11);
    let edges = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145];
    for length in edges.into_iter().chain([1_048_575, 1_048_576, 1_048_577, 5_000_001]) {
        trees::put(&system.b, format!("{length}"), dice.bytes(length));
    }
    let dense = File::create(system.b.join("dense")).expect("a file");
    let piece = dice.bytes(MIB as usize);
    for number in 0..size(48, 1024) {
        let (head, tail) = piece.split_at((number * 1021 % MIB) as usize);
        dense.write_all_at(tail, number * MIB).expect("written");
        dense.write_all_at(head, number * MIB + tail.len() as u64).expect("written");
    }
    drop(dense);
    agree(&system);
    // A small edit of a large file goes the other way.
    let dense = OpenOptions::new().write(true).open(system.a.join("dense")).expect("a file");
    dense.write_all_at(b"in the middle", size(24, 512) * MIB).expect("written");
    drop(dense);
    agree(&system);
    for (side, start) in Side::BOTH.into_iter().zip(start) {
        let growth = peak_mib(&system, side) - start;
        assert!(growth < GROWTH_MIB, "{side} grew by {growth} MiB");
    }
    system.stop(&Side::BOTH);
}

#[test]
fn a_sparse_file_stays_sparse() {
    let system = System::started();
    let length = size(96 * MIB, 3072 * MIB);
    let aside = system.dir.path().join("sparse");
    let file = File::create(&aside).expect("a file");
    file.set_len(length).expect("its size");
    let mut dice = Dice(5);
    for offset in [0, length / 2 + 12_345, length - 70_000] {
        file.write_all_at(&dice.bytes(70_000), offset).expect("written");
    }
    file.sync_all().expect("on disk: only then are its blocks known");
    let blocks = file.metadata().expect("metadata").blocks();
    fs::rename(&aside, system.a.join("sparse")).expect("renamed");
    agree(&system);
    let there = File::open(system.b.join("sparse")).expect("a file");
    there.sync_all().expect("on disk");
    let found = there.metadata().expect("metadata").blocks();
    assert!(found <= 2 * blocks, "{found} blocks at B, {blocks} at A");
}

#[test]
fn files_that_grow_shrink_and_vanish_while_they_are_sent_end_as_they_are() {
    let system = System::started();
    let mut dice = Dice(9);
    let content = dice.bytes(size(6, 64) * MIB as usize);
    for round in 0..size(6, 30) {
        for name in ["grows", "shrinks", "vanishes", "is-replaced"] {
            trees::put(&system.a, name, &content);
        }
        // The later the round, the further the transfer is.
        let line = format!("A→B created `grows` ({}", content.len());
        let mut spins = 0;
        while spins < round * 40 && !system.server(Side::A).said().contains(&line) {
            spins += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let mut grows = OpenOptions::new().append(true).open(system.a.join("grows"));
        let grows = grows.as_mut().expect("a file");
        for number in 0..20 {
            grows.write_all(format!("more {number}").as_bytes()).expect("written");
        }
        let shrinks = OpenOptions::new().write(true).open(system.a.join("shrinks"));
        shrinks.expect("a file").set_len(1000 + round).expect("cut");
        trees::remove(&system.a, "vanishes");
        trees::put(&system.a, "aside", format!("round {round}"));
        trees::rename(&system.a, "aside", "is-replaced");
    }
    agree(&system);
    let grown = fs::metadata(system.b.join("grows")).expect("a file").len();
    assert!(grown > content.len() as u64);
    assert_eq!(fs::metadata(system.b.join("shrinks")).expect("a file").len(), size(1005, 1029));
    assert!(!system.b.join("vanishes").exists());
    let said = system.server(Side::A).said();
    assert!(!said.contains("conflict"), "only A wrote:\n{said}");
}
