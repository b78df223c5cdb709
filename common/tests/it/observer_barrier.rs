//! A barrier that was reached means that everything before it has been told; and content is given
//! only of the version that was asked for.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs;

use common::digest::Digest;
use common::replica::observer::Settings;
use common::replica::root::Root;
use common::replica::supply::supply;
use common::wire::message::{Ask, AskId, Given, Want};

use crate::observed::{Side, path};

#[test]
fn everything_before_a_barrier_is_told_before_it() {
    let mut side = Side::new();
    for n in 0..200 {
        match n % 4 {
            0 => side.write(format!("f{n}"), "x"),
            1 => fs::create_dir_all(side.at(format!("d{n}/e"))).unwrap(),
            2 => side.write(format!("d{}/e/f", n - 1), "x"),
            _ => fs::rename(side.at(format!("d{}", n - 2)), side.at(format!("m{n}"))).unwrap(),
        }
        side.settle();
        match n % 4 {
            0 => assert!(side.has(&format!("f{n}"))),
            1 => assert!(side.has(&format!("d{n}/e"))),
            2 => assert!(side.has(&format!("d{}/e/f", n - 1))),
            _ => assert!(side.has(&format!("m{n}/e/f")) && !side.has(&format!("d{}", n - 2))),
        }
    }
    assert_eq!(fs::read_dir(side.at(".lab3/cookies")).unwrap().count(), 0);
}

#[test]
fn a_barrier_is_reached_while_somebody_keeps_writing() {
    let mut side = Side::new();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (log, stop) = (side.at("log"), stop.clone());
        move || {
            use std::io::Write as _;
            let mut log = fs::File::create(log).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                log.write_all(b"line\n").unwrap();
            }
        }
    });
    for n in 0..5 {
        side.write("f", format!("{n}"));
        side.settle();
        assert_eq!(side.told.contents[&path("f")], format!("{n}").as_bytes());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    side.assert_told();
}

#[test]
fn a_lost_cookie_is_replaced_by_a_look_at_everything() {
    let mut side = Side::with(Settings { cookie_ms: 200, ..Settings::default() }, |_| {});
    fs::remove_dir_all(side.at(".lab3/cookies")).unwrap();
    side.write("f", "x");
    side.assert_told();
    assert!(side.has("f"));
    side.write("g", "x");
    side.assert_told();
}

#[test]
fn content_is_given_only_of_the_version_that_was_asked_for() {
    let mut side = Side::new();
    side.write("f", "0123456789");
    side.settle();
    let root = Root::open(&side.dir).unwrap();
    let ask = |digest, offset, length| {
        let want = Want::Piece { offset, length };
        let mut all = Vec::new();
        supply(
            &root,
            &side.known,
            &Ask { id: AskId(1), path: path("f"), digest, want },
            &mut |given| {
                all.push(given);
                true
            },
        );
        all
    };
    let digest = Digest::of(b"0123456789");
    let piece = |bytes: &[u8]| vec![Given::Piece(serde_bytes::ByteBuf::from(bytes))];
    assert_eq!(ask(digest, 0, 4), piece(b"0123"));
    assert_eq!(ask(digest, 8, 4), piece(b"89"));
    assert_eq!(ask(digest, u64::MAX, 4), piece(b""));
    assert_eq!(ask(Digest::of(b"other"), 0, 4), [Given::Gone]);
    fs::write(side.dir.join("f"), "9876543210").unwrap();
    assert_eq!(ask(digest, 0, 4), [Given::Gone]);
}
