//! Orders under way: whatever the file says, what is remembered of it is remembered alike at the
//! next start, and half a memory is none.

use std::fs;

use common::change::{Change, Operation, Witness};
use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::wire::message::OrderId;
use server_a::frame;
use server_a::underway::file::Recorder;
use server_a::underway::{Ordered, Trail};

use super::journal::{bodies, sealed};
use crate::fuzzing::{Target, byte, directory};

/// A file; or bodies of steps, each after its length, which get whole heads.
pub(crate) const TARGET: Target = Target { name: "underway", run, seeds, mutants: 800 };

const LIFE: u64 = 3;

fn header() -> Vec<u8> {
    format!("lab3 underway 1 {LIFE:016x}\n").into_bytes()
}

fn run(mut bytes: &[u8]) -> bool {
    let file = match byte(&mut bytes) % 2 {
        0 => bytes.to_vec(),
        _ => [header(), sealed(bytes)].concat(),
    };
    let parsed = frame::parse::<Trail>(&header(), &file);
    let root = directory();
    let name = root.path().join("underway");
    fs::write(&name, &file).expect("written");
    let (_, underway) = Recorder::open(&name, LIFE, |_, _| true).expect("opened");
    assert!(underway.is_empty() || (!parsed.foreign && parsed.damaged == 0));
    assert!(underway.iter().all(|open| open.begun.is_none()), "it was decided");
    let (mut recorder, again) = Recorder::open(&name, LIFE, |_, _| false).expect("opened again");
    assert_eq!(again, underway);
    // What went out before stays in mind, and new steps are known, too.
    let over: Vec<OrderId> = underway.iter().map(|open| open.ordered.id).collect();
    recorder.record(&[Trail::Over(over), ordered(u64::MAX)]);
    drop(recorder);
    let (_, last) = Recorder::open(&name, LIFE, |_, _| false).expect("opened again");
    assert_eq!(last.last(), Some(OrderId(u64::MAX)));
    let (_, other) = Recorder::open(&name, LIFE + 1, |_, _| false).expect("in another life");
    assert!(other.is_empty(), "it counts in one life only");
    !underway.is_empty()
}

fn ordered(id: u64) -> Trail {
    let path = RelPath::new("docs/notes.txt").expect("a path");
    let after = Some(Entry::Dir { mode: 0o755 });
    let change = Change { path: path.clone(), before: None, after: after.clone(), copy: None };
    Trail::Ordered(Box::new(Ordered {
        id: OrderId(id),
        side: Side::B,
        run: Some(1),
        operation: Operation::Change(change),
        held: Some((path, after)),
    }))
}

fn seeds() -> Vec<Vec<u8>> {
    let witness = Witness::Staged { name: b"n-1".to_vec(), inode: 5 };
    let mut rows = Vec::new();
    for trail in [
        ordered(1),
        ordered(2),
        ordered(3),
        Trail::Begun(vec![(OrderId(2), witness)]),
        Trail::Missed(OrderId(2)),
        Trail::Done(OrderId(1)),
        Trail::Over(vec![OrderId(3)]),
    ] {
        frame::append(&trail, &mut rows);
    }
    let file = [&[0], header().as_slice(), &rows].concat();
    vec![file, [&[1], bodies(&rows).as_slice()].concat()]
}
