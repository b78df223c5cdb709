//! What is to stay free of a disk.

use std::fs::File;
use std::io::ErrorKind;

use common::digest::Digest;
use common::replica::room::{Room, Spared};
use common::replica::stage::Stage;

fn room(spared: Spared) -> (tempfile::TempDir, Room) {
    let dir = tempfile::tempdir().expect("a directory");
    let open = File::open(dir.path()).expect("opened");
    let room = Room::on(open.into(), "/home/ann/tree".into(), spared);
    (dir, room)
}

#[test]
fn where_less_is_free_than_is_to_stay_free_nothing_is_taken_in() {
    let (dir, full) = room(Spared::Bytes(1 << 60));
    let why = full.take_bytes(1).expect_err("there is no such disk");
    assert_eq!(why.kind(), ErrorKind::StorageFull);
    let why = why.to_string();
    assert!(why.starts_with("`/home/ann/tree` has ") && why.contains("are to stay free"), "{why}");
    assert!(why.ends_with("make room there, or see `--min-free`"), "{why}");
    assert!(full.take_name().is_err() && full.take_whole(0).is_err());
    // What is staged asks for room; what leaves its own place for it does not.
    let stage = Stage::new(File::open(dir.path()).expect("opened").into(), 7).within(full);
    assert!(stage.file(0).is_err() && stage.directory(0o755).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0, "nothing is left");
    let mut ours = stage.file_of_ours(3).expect("made");
    ours.write(0, b"abc").expect("written");
    for spared in [Spared::Bytes(0), Spared::Bytes(1), Spared::Usual] {
        let (_dir, room) = room(spared);
        room.take_whole(1 << 20).expect("there is room");
    }
    Room::boundless().take_bytes(u64::MAX).expect("nobody counts");
}

#[test]
fn what_did_not_fit_is_begun_again_when_as_much_would_fit() {
    let (_dir, full) = room(Spared::Bytes(1 << 60));
    let content = |n: u32| Digest::of(&n.to_be_bytes());
    full.begin(&content(0)).expect("nothing is known of it");
    full.gave_up(content(0), 3 << 20);
    let why = full.begin(&content(0)).expect_err("it did not fit").to_string();
    assert!(why.contains("but it needs at least 3.0 MiB"), "{why}");
    // One that was given up early may as well be tried.
    full.gave_up(content(1), 4096);
    full.begin(&content(1)).expect("it is small");
    // Not very many are remembered.
    for n in 2..5000 {
        full.gave_up(content(n), 3 << 20);
    }
    let known = (0..5000).filter(|&n| full.begin(&content(n)).is_err()).count();
    assert_eq!(known, 1024);
    let (_dir, free) = room(Spared::Usual);
    free.gave_up(content(0), 3 << 20);
    free.begin(&content(0)).expect("there is room by now");
}
