//! Contents that were cut, moved about, repeated, grown with holes, or larger than numbers of 31
//! and 32 bits.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;

use common::digest::Digest;
use common::side::Side;

use crate::real::{Dice, agree, done, full, has, size};
use crate::system::{System, skip};
use crate::trees::put;

const MIB: usize = 1 << 20;

/// A file that is cut, to nothing or to a part, in place or by its name, is cut on the other side;
/// also while it is open (Z02, Z10).
#[test]
fn a_file_that_was_cut_is_cut_on_the_other_side() {
    let system = System::started();
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let (root, other) = (system.root(here), system.root(there));
        let names = ["by-open", "by-handle", "by-name", "in-part"].map(|n| format!("{here}-{n}"));
        for name in &names {
            put(root, name, "x".repeat(100_000));
        }
        system.agree();
        let write = |name: &str| OpenOptions::new().write(true).open(root.join(name));
        drop(File::create(root.join(&names[0])).expect("cut"));
        let open = write(&names[1]).expect("a file");
        open.set_len(0).expect("cut");
        done(Command::new("truncate").args(["-s", "0"]).arg(root.join(&names[2])));
        done(Command::new("truncate").args(["-s", "50001"]).arg(root.join(&names[3])));
        system.wait();
        for (name, length) in names.iter().zip([0, 0, 0, 50_001]) {
            let found = fs::metadata(other.join(name)).expect("a file").size();
            assert_eq!(found, length, "{name}");
        }
        drop(open);
        system.agree();
    }
}

/// Blocks that were changed, exchanged, repeated, inserted and removed in a large file: every byte
/// is where it belongs (Z06).
#[test]
fn every_block_of_a_large_file_is_where_it_belongs() {
    let system = System::started();
    let mut dice = Dice(23);
    let blocks: Vec<Vec<u8>> = (0..6).map(|_| dice.bytes(MIB / 2)).collect();
    let zero = vec![0; MIB / 2];
    let of = |order: &[usize]| -> Vec<u8> {
        order.iter().flat_map(|&n| blocks.get(n).unwrap_or(&zero).clone()).collect()
    };
    let mut changed = of(&[0, 1, 2, 3, 4, 5]);
    changed[3 * MIB / 2 + 77] ^= 1;
    let versions = [
        of(&[0, 1, 2, 3, 4, 5]),
        changed,
        of(&[5, 4, 3, 2, 1, 0]),
        of(&[2, 2, 2, 0, 2, 2]),
        of(&[9, 9, 1, 9, 1, 9, 9]),
        [b"inserted".to_vec(), of(&[0, 1, 2, 3, 4, 5])].concat(),
        of(&[1, 2, 4, 5]),
        [of(&[1, 2, 4, 5]), b"a tail".to_vec()].concat(),
    ];
    for (n, version) in versions.iter().enumerate() {
        let (here, there) = if n % 2 == 0 { (Side::A, Side::B) } else { (Side::B, Side::A) };
        put(system.root(here), "f", version);
        system.wait();
        let found = fs::read(system.root(there).join("f")).expect("a file");
        assert!(Digest::of(&found) == Digest::of(version), "version {n}");
    }
    system.agree();
}

/// Sizes around what 31 and 32 bits can count, with a few bytes of data at their ends; an edit
/// beyond the bound comes back (Z05).
#[test]
fn sizes_beyond_numbers_of_32_bits_are_sizes() {
    if !full() {
        return skip("sizes_beyond_numbers_of_32_bits_are_sizes", "many gigabytes: LAB3_FULL=1");
    }
    let mut system = System::new().relaxed();
    system.start();
    let (two, four) = (1_u64 << 31, 1_u64 << 32);
    for length in [two - 1, two, two + 1, four - 1, four, four + 1] {
        let name = length.to_string();
        let aside = system.dir.path().join(&name);
        let file = File::create(&aside).expect("a file");
        file.set_len(length).expect("long");
        file.write_all_at(b"the end", length - 7).expect("written");
        file.write_all_at(b"the beginning", 0).expect("written");
        drop(file);
        fs::rename(aside, system.a.join(&name)).expect("renamed");
        agree(&system);
        let there = OpenOptions::new().read(true).write(true).open(system.b.join(&name));
        let there = there.expect("a file");
        let mut end = [0; 7];
        there.read_exact_at(&mut end, length - 7).expect("read");
        assert_eq!(&end, b"the end");
        there.write_all_at(b"edited", length - 6).expect("written");
        drop(there);
        agree(&system);
        fs::remove_file(system.a.join(&name)).expect("removed");
    }
    put(&system.a, "last", "x");
    agree(&system);
}

/// Holes that are made in a file, and space that is kept for it, are no reason to miss an edit; a
/// copy over a file that is there is an edit (E19, E20, E22).
#[test]
fn bytes_written_into_files_and_holes_made_in_them_are_edits() {
    let name = "bytes_written_into_files_and_holes_made_in_them_are_edits";
    if !has("fallocate") || !has("dd") {
        return skip(name, "needs fallocate and dd");
    }
    let system = System::started();
    let mib = size(8, 1024);
    let mut dice = Dice(3);
    let piece = dice.bytes(MIB);
    for (n, side) in Side::BOTH.into_iter().enumerate() {
        let root = system.root(side);
        let path = root.join(format!("large-{side}"));
        let file = File::create(&path).expect("a file");
        for number in 0..mib {
            file.write_all_at(&piece[number % 4096..], (number * MIB) as u64).expect("written");
        }
        file.set_len((mib * MIB) as u64).expect("long");
        drop(file);
        agree(&system);
        let aside = system.dir.path().join("piece");
        fs::write(&aside, format!("changed in the middle, by {side}")).expect("written");
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", aside.display())).arg(format!("of={}", path.display()));
        done(dd.args(["conv=notrunc", "bs=1", "status=none", &format!("seek={}", mib * MIB / 2)]));
        agree(&system);
        for words in [
            &["--punch-hole", "--offset", "1000000", "--length", "1000000"][..],
            &["--zero-range", "--offset", "3000000", "--length", "100"],
            &["--keep-size", "--offset", "0", "--length", "20000000"],
            &["--collapse-range", "--offset", "4096", "--length", "4096"],
            &["--insert-range", "--offset", "8192", "--length", "4096"],
        ] {
            let ran = Command::new("fallocate").args(words).arg(&path).output().expect("it runs");
            if !ran.status.success() {
                eprintln!("not on this file system: fallocate {words:?}");
                continue;
            }
            agree(&system);
        }
        // Over a file that is there, by sharing blocks where the file system can.
        let target = root.join("target");
        fs::write(&target, format!("old {n}")).expect("written");
        agree(&system);
        done(Command::new("cp").arg("--reflink=auto").args([&path, &target]));
        agree(&system);
    }
    assert!(fs::metadata(system.a.join("target")).expect("a file").len() > MIB as u64);
}
