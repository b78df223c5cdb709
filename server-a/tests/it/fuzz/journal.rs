//! The journal: whatever is in its files, it goes on, and what is written afterwards is read.

use std::fs;

use common::digest::Digest;
use common::path::RelPath;
use common::wire::log::{Happened, LogQuery, LogRow};
use server_a::frame;
use server_a::journal::segments::{HEADER, Segments, Terms};

use crate::fuzzing::{Target, byte, directory};

/// A file of the journal; or bodies of rows, each after its length, which get whole heads.
pub(crate) const TARGET: Target = Target { name: "journal", run, seeds, mutants: 800 };

const TERMS: Terms = Terms { bytes_max: 1 << 20, durable: false };
/// Far above what rows of this target name.
const PLACE: u64 = 7;

fn run(mut bytes: &[u8]) -> bool {
    let file = match byte(&mut bytes) % 2 {
        0 => bytes.to_vec(),
        _ => [HEADER, sealed(bytes).as_slice()].concat(),
    };
    let parsed = frame::parse::<LogRow>(HEADER, &file);
    assert!(parsed.end <= file.len() && parsed.damaged <= parsed.end);
    assert!(!parsed.foreign || parsed.rows.is_empty());
    let mut written = HEADER.to_vec();
    parsed.rows.iter().for_each(|row| frame::append(row, &mut written));
    let again = frame::parse::<LogRow>(HEADER, &written);
    assert_eq!((again.rows, again.damaged), (parsed.rows.clone(), 0), "written, it reads the same");
    let root = directory();
    let dir = root.path().join("journal");
    fs::create_dir(&dir).expect("made");
    let name = dir.join(format!("{PLACE:020}.log"));
    fs::write(&name, &file).expect("written");
    let (mut segments, _) = Segments::open(&dir, TERMS).expect("opened");
    let path = RelPath::new("after").expect("a path");
    let mut rows = [LogRow::new(Happened::Created, Some(path.clone()))];
    segments.append(&mut rows).expect("it goes on");
    let found = newest(&segments);
    assert_eq!(found.last(), rows.last(), "what was written is read");
    let (segments, problem) = Segments::open(&dir, TERMS).expect("opened again");
    assert_eq!(problem, None, "it was mended");
    assert_eq!(newest(&segments), found, "and still is after a restart");
    if parsed.foreign {
        assert_eq!(fs::read(&name).expect("it is there"), file, "it is left alone");
    }
    let query = LogQuery { path: Some(path), since: None, limit: 1 };
    assert_eq!(segments.snapshot().search(query, Vec::new()).rows, rows);
    !parsed.rows.is_empty()
}

fn newest(segments: &Segments) -> Vec<LogRow> {
    let query = LogQuery { path: None, since: None, limit: 1000 };
    segments.snapshot().search(query, Vec::new()).rows
}

/// Rows with whole heads, of bodies that each stand after their length.
pub(super) fn sealed(mut bodies: &[u8]) -> Vec<u8> {
    let mut rows = Vec::new();
    while !bodies.is_empty() {
        let length = usize::from(byte(&mut bodies)) << 8 | usize::from(byte(&mut bodies));
        let (body, rest) = bodies.split_at(length.min(bodies.len()));
        rows.extend([0xff, b'l', b'3', b'j']);
        rows.extend((body.len() as u32).to_be_bytes());
        rows.extend(&Digest::of(body).0[..8]);
        rows.extend(body);
        bodies = rest;
    }
    rows
}

/// The bodies of rows, each after its length.
pub(super) fn bodies(mut rows: &[u8]) -> Vec<u8> {
    let mut bodies = Vec::new();
    while let Some((head, rest)) = rows.split_at_checked(16) {
        let length = usize::from(head[6]) << 8 | usize::from(head[7]);
        bodies.extend(&head[6..8]);
        bodies.extend(&rest[..length]);
        rows = &rest[length..];
    }
    bodies
}

fn seeds() -> Vec<Vec<u8>> {
    let path = |text: &str| RelPath::new(text).expect("a path");
    let mut rows = Vec::new();
    let renamed = LogRow::new(Happened::Renamed, Some(path("a")));
    let last = LogRow { seq: 9, detail: Some("why".to_owned()), ..renamed.clone() };
    for row in [
        LogRow { seq: 7, ..LogRow::new(Happened::Created, Some(path("a"))) },
        LogRow { seq: 8, to: Some(path("after")), ..renamed },
        last,
    ] {
        frame::append(&row, &mut rows);
    }
    vec![[&[0], HEADER, &rows].concat(), [&[1], bodies(&rows).as_slice()].concat()]
}
