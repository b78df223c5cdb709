//! The journal on disk: rows are whole and in order whatever is cut or flipped, it keeps its bound,
//! and a search goes back through renames.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::entry::Kind;
use common::path::RelPath;
use common::side::Side;
use common::time::Timestamp;
use common::wire::log::{Happened, LogPart, LogQuery, LogRow, Version};
use server_a::frame;
use server_a::journal::segments::{HEADER, Segments, Terms};

const CHILD_ENV: &str = "LAB3_TEST_JOURNAL";
const TERMS: Terms = Terms { bytes_max: 64 << 20, durable: false };

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn row(what: Happened, at: &str) -> LogRow {
    LogRow::new(what, Some(path(at)))
}

fn renamed(from: &str, to: &str) -> LogRow {
    LogRow { to: Some(path(to)), ..row(Happened::Renamed, from) }
}

fn open(dir: &Path, terms: Terms) -> (Segments, Option<String>) {
    Segments::open(dir, terms).expect("opened")
}

fn all(segments: &Segments) -> Vec<LogRow> {
    segments.snapshot().search(query(None, 1000), Vec::new()).rows
}

fn query(at: Option<&str>, limit: u32) -> LogQuery {
    LogQuery { path: at.map(path), since: None, limit }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// A journal of some rows, and its only file.
fn written(count: u64) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("journal");
    let (mut segments, _) = open(&dir, TERMS);
    for n in 0..count {
        segments.append(&mut [row(Happened::Written, &format!("f{n}"))]).expect("written");
    }
    let file = files(&dir).remove(0);
    (root, dir, file)
}

#[test]
fn a_cut_at_any_byte_costs_the_last_row_at_most_and_is_said() {
    let (_root, dir, file) = written(4);
    let whole = fs::read(&file).expect("read");
    let mut ends = vec![HEADER.len()];
    for count in 1..=4 {
        let cut = |n: &usize| frame::parse::<LogRow>(HEADER, &whole[..*n]).rows.len() >= count;
        ends.push((0..=whole.len()).find(cut).expect("an end"));
    }
    for cut in 0..=whole.len() {
        fs::write(&file, &whole[..cut]).expect("written");
        let (mut segments, problem) = open(&dir, TERMS);
        let rows = all(&segments);
        let left = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (1..=left as u64).collect::<Vec<_>>(), "cut at {cut}");
        let torn = cut > HEADER.len() && !ends.contains(&cut);
        assert_eq!(problem.is_some(), torn, "cut at {cut}: {problem:?}");
        segments.append(&mut [row(Happened::Deleted, "next")]).expect("written");
        let rows = all(&open(&dir, TERMS).0);
        assert_eq!(rows.len(), left + 1, "cut at {cut}");
        assert_eq!(rows[left].seq, left as u64 + 1);
    }
}

#[test]
fn a_flipped_bit_anywhere_costs_one_row_and_invents_none() {
    let (_root, _, file) = written(3);
    let whole = fs::read(&file).expect("read");
    let before = frame::parse::<LogRow>(HEADER, &whole).rows;
    for at in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let parsed = frame::parse::<LogRow>(HEADER, &damaged);
        assert!(parsed.rows.iter().all(|row| before.contains(row)), "bit {at}");
        assert!(parsed.rows.is_sorted_by(|a, b| a.seq < b.seq));
        if at / 8 >= HEADER.len() {
            assert_eq!(parsed.rows.len(), 2, "bit {at}");
        } else {
            assert!(parsed.foreign && parsed.rows.is_empty());
        }
    }
}

#[test]
fn a_hundred_thousand_rows_keep_the_bound_and_the_newest_stay() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("journal");
    let terms = Terms { bytes_max: 1 << 20, durable: false };
    let (mut segments, _) = open(&dir, terms);
    for batch in 0..1000 {
        let mut rows: Vec<LogRow> =
            (0..100).map(|n| row(Happened::Created, &format!("{batch}/{n}"))).collect();
        segments.append(&mut rows).expect("written");
        let bytes: u64 =
            files(&dir).iter().map(|file| fs::metadata(file).expect("there").len()).sum();
        // A batch may go beyond the end of its file.
        assert!(bytes <= terms.bytes_max + 64 * 1024, "{bytes}");
    }
    let found = segments.snapshot().search(query(None, 10), Vec::new());
    let seqs: Vec<u64> = found.rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (99_991..=100_000).collect::<Vec<_>>());
    assert!(found.more && found.problem.is_none());
    assert!(files(&dir).len() >= 4);
    let (segments, problem) = open(&dir, terms);
    assert!(problem.is_none());
    assert_eq!(all(&segments).last().map(|row| row.seq), Some(100_000));
}

#[test]
fn another_format_is_left_alone() {
    let (_root, dir, file) = written(2);
    fs::write(&file, b"lab3 journal 3\nwho knows").expect("written");
    let (mut segments, problem) = open(&dir, TERMS);
    assert!(problem.is_some_and(|why| why.contains("another format")));
    segments.append(&mut [row(Happened::Deleted, "a")]).expect("written");
    assert_eq!(fs::read(&file).expect("read"), b"lab3 journal 3\nwho knows");
    assert_eq!(all(&segments).len(), 1);
}

fn search(rows: &[LogRow], at: Option<&str>, limit: u32) -> LogPart {
    let root = tempfile::tempdir().expect("a directory");
    let (mut segments, _) = open(&root.path().join("journal"), TERMS);
    segments.append(&mut rows.to_vec()).expect("written");
    segments.snapshot().search(query(at, limit), Vec::new())
}

fn seqs(part: &LogPart) -> Vec<u64> {
    part.rows.iter().map(|row| row.seq).collect()
}

#[test]
fn a_search_finds_what_is_at_and_below_and_what_had_another_name() {
    let rows = [
        row(Happened::Created, "one"),
        row(Happened::Created, "other"),
        row(Happened::Created, "d/x"),
        renamed("one", "two"),
        row(Happened::Written, "two"),
        renamed("d", "e"),
        row(Happened::Written, "e/x"),
        row(Happened::Created, "one"),
        row(Happened::Created, "ex"),
        LogRow::new(Happened::Halted, None),
    ];
    assert_eq!(seqs(&search(&rows, Some("two"), 50)), [1, 4, 5]);
    assert_eq!(seqs(&search(&rows, Some("one"), 50)), [1, 4, 8]);
    assert_eq!(seqs(&search(&rows, Some("e/x"), 50)), [3, 6, 7]);
    assert_eq!(seqs(&search(&rows, Some("e"), 50)), [3, 6, 7]);
    assert_eq!(seqs(&search(&rows, Some("d/x"), 50)), [3, 6]);
    assert_eq!(seqs(&search(&rows, None, 50)), (1..=10).collect::<Vec<_>>());
    let newest = search(&rows, None, 3);
    assert!(newest.more && seqs(&newest) == [8, 9, 10]);
}

#[test]
fn a_search_has_no_older_rows_than_were_asked_for() {
    let at = |seconds, name| LogRow {
        time: Timestamp { seconds, nanos: 0 },
        ..row(Happened::Created, name)
    };
    let root = tempfile::tempdir().expect("a directory");
    let (mut segments, _) = open(&root.path().join("journal"), TERMS);
    segments.append(&mut [at(10, "a"), at(20, "b"), at(30, "c")]).expect("written");
    let since = Some(Timestamp { seconds: 20, nanos: 0 });
    let found = segments.snapshot().search(LogQuery { since, ..query(None, 50) }, Vec::new());
    assert_eq!(seqs(&found), [2, 3]);
    assert!(!found.more);
}

/// Writes batches and says what is written, until it is killed, as a child of the test below.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_ENV) else { return };
    let terms = Terms { bytes_max: 64 << 20, durable: true };
    let mut segments = open(Path::new(&dir), terms).0;
    let mut out = std::io::stdout();
    loop {
        let mut rows: Vec<LogRow> =
            (0..7).map(|n| row(Happened::Written, &format!("f{n}"))).collect();
        segments.append(&mut rows).expect("written");
        writeln!(out, "written {}", rows[6].seq).expect("the parent reads");
        out.flush().expect("the parent reads");
    }
}

#[test]
fn what_was_written_outlives_a_kill_whole_and_in_order() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("journal");
    let mut last = 0;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("this test binary"))
            .args(["--nocapture", "--exact", "journal::child_that_writes_until_it_is_killed"])
            .env(CHILD_ENV, &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut count = 0;
        for line in lines {
            let line = line.expect("text");
            let Some((_, seq)) = line.rsplit_once("written ") else { continue };
            last = seq.parse::<u64>().expect("a number");
            count += 1;
            if count == 3 + round {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("waited");
        let parsed = frame::parse::<LogRow>(HEADER, &fs::read(&files(&dir)[0]).expect("read"));
        let seqs: Vec<u64> = parsed.rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        assert!(seqs.len() as u64 >= last, "{last} was written, {} are there", seqs.len());
        assert_eq!(parsed.damaged, 0);
    }
}

#[test]
fn the_bytes_of_the_journal_are_frozen() {
    let version = |size| Some(Version { kind: Kind::File, size, digest: Some("d1d1d1d1".into()) });
    let full = LogRow {
        seq: 7,
        time: Timestamp { seconds: 1_700_000_000, nanos: 5 },
        to: Some(path("d/new")),
        by: Some(Side::B),
        carried: Some(Side::A),
        before: version(1),
        after: version(2),
        trash: Some(Side::A),
        who: Some("ann@host".to_owned()),
        detail: Some("held as 3".to_owned()),
        ..row(Happened::Drained, "d/f")
    };
    let mut bytes = HEADER.to_vec();
    frame::append(&full, &mut bytes);
    frame::append(&LogRow::new(Happened::Resumed, None), &mut bytes);
    crate::pending_directory::golden("journal", &bytes);
    let parsed = frame::parse::<LogRow>(HEADER, &bytes);
    assert_eq!(parsed.rows[0], full);
    assert_eq!((parsed.rows.len(), parsed.end), (2, bytes.len()));
}
