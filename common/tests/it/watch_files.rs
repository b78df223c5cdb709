//! Edits of files are seen, at once where they are complete.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::replica::observer::Settings;

use crate::observed::{Side, exchange, path};

#[test]
fn a_small_edit_is_told_with_its_content_within_milliseconds() {
    let mut side = Side::new();
    let mut fastest = Duration::MAX;
    for round in 0..20 {
        let text = format!("round {round}");
        side.write("f", &text);
        let told = |told: &crate::observed::Told| {
            told.contents.get(&path("f")).is_some_and(|c| c == text.as_bytes())
        };
        fastest = fastest.min(side.until("the edit", told));
    }
    // The slow ones are the machine's business, the fastest is ours: nothing waits for a timer.
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[test]
fn a_file_that_stays_open_is_told_before_it_is_closed() {
    let mut side = Side::new();
    let mut log = File::create(side.at("log")).unwrap();
    log.write_all(b"first").unwrap();
    side.until("the first lines", |t| t.contents.get(&path("log")).is_some_and(|c| c == b"first"));
    log.write_all(b" second").unwrap();
    let whole = b"first second";
    side.until("the second", |t| t.contents.get(&path("log")).is_some_and(|c| c == whole));
}

#[test]
fn a_barrier_does_not_wait_for_quiet() {
    let mut side = Side::new();
    let mut log = File::create(side.at("log")).unwrap();
    for n in 0..5u8 {
        log.write_all(&[n]).unwrap();
        side.settle();
        assert_eq!(side.told.contents[&path("log")].len(), usize::from(n) + 1);
    }
}

#[test]
fn a_write_with_an_old_time_is_told() {
    let mut side = Side::with(Settings::default(), |dir| fs::write(dir.join("f"), "one").unwrap());
    let before = fs::metadata(side.at("f")).unwrap().modified().unwrap();
    side.write("f", "two");
    File::options().write(true).open(side.at("f")).unwrap().set_modified(before).unwrap();
    side.assert_told();
}

#[test]
fn metadata_truncation_and_names_without_a_close_are_told() {
    let mut side = Side::new();
    side.write("f", "content");
    side.assert_told();
    fs::set_permissions(side.at("f"), fs::Permissions::from_mode(0o4755)).unwrap();
    side.assert_told();
    cut(&side.at("f"));
    side.assert_told();
    fs::hard_link(side.at("f"), side.at("g")).unwrap();
    std::os::unix::fs::symlink("nowhere", side.at("l")).unwrap();
    side.assert_told();
    fs::remove_file(side.at("f")).unwrap();
    side.assert_told();
}

/// Cuts a file by its name, as truncate(2) does. No handle is ever closed after writing.
fn cut(path: &std::path::Path) {
    let done = std::process::Command::new("perl")
        .args(["-e", "truncate($ARGV[0], 3) or die", "--"])
        .arg(path)
        .status();
    assert!(done.unwrap().success());
}

#[test]
fn a_save_by_rename_is_told_as_an_edit_and_leaves_nothing() {
    let mut side = Side::new();
    for round in 0..50 {
        side.write(".f.swp", format!("{round}"));
        fs::rename(side.at(".f.swp"), side.at("f")).unwrap();
    }
    side.assert_told();
    assert!(!side.has(".f.swp"));
}

#[test]
fn a_rename_of_a_file_is_told_as_one() {
    let mut side = Side::new();
    fs::create_dir(side.at("d")).unwrap();
    side.write("a", "content");
    side.settle();
    for round in 0..20 {
        let (from, to) = if round % 2 == 0 { ("a", "d/b") } else { ("d/b", "a") };
        fs::rename(side.at(from), side.at(to)).unwrap();
        side.settle();
        assert_eq!(side.told.moved.pop(), Some((path(from), path(to))));
    }
    side.assert_told();
}

#[test]
fn a_large_file_is_read_aside_and_a_barrier_waits_for_it() {
    let mut side = Side::with(Settings { large_bytes: 1000, ..Settings::default() }, |_| {});
    side.write("large", vec![7; 3_000_000]);
    side.write("small", "x");
    side.assert_told();
    assert!(side.has("large"));
    fs::rename(side.at("large"), side.at("moved")).unwrap();
    side.assert_told();
    assert_eq!(side.told.moved, [(path("large"), path("moved"))]);
    fs::remove_file(side.at("moved")).unwrap();
    side.assert_told();
}

#[test]
fn a_file_that_was_exchanged_with_one_outside_is_told() {
    let mut side = Side::new();
    side.write("f", "inside");
    side.settle();
    let outside = side.dir.parent().unwrap().join("outside");
    fs::write(&outside, "from outside").unwrap();
    exchange(&side.at("f"), &outside);
    side.assert_told();
    side.write("f", "and edited");
    side.assert_told();
}

#[test]
fn our_own_commits_are_no_news() {
    use common::entry::Entry;
    use common::replica::known::Row;
    use common::replica::root::stamp_of;
    use common::wire::message::{OrderId, Report};
    let mut side = Side::new();
    side.settle();
    let news = side.told.news.len();
    for n in 0..50u64 {
        let name = path(format!("f{n}"));
        side.known.begin(&[&name]);
        let staged = side.at(".lab3").join(format!("s{n}"));
        fs::write(&staged, format!("{n}")).unwrap();
        let target = side.at(format!("f{n}"));
        fs::rename(&staged, &target).unwrap();
        let stamp = stamp_of(&rustix::fs::stat(&target).unwrap());
        let file = common::entry::File {
            digest: common::digest::Digest::of(format!("{n}").as_bytes()),
            size: stamp.size,
            mode: stamp.permissions(),
            modified: stamp.modified,
        };
        let row = Row { stamp, entry: Entry::from(file) };
        let report = Report::Settled { id: OrderId(1000 + n) };
        side.known.finish(&[&name], None, vec![(name.clone(), Some(row))], report);
    }
    side.settle();
    assert_eq!(side.told.news.len(), news, "{:?}", &side.told.news[news..]);
    assert_eq!(side.known.len(), 50);
}

#[test]
fn a_time_that_the_file_system_cannot_keep_is_no_news() {
    use common::entry::Entry;
    use common::replica::known::Row;
    use common::replica::root::stamp_of;
    use common::wire::message::{OrderId, Report};
    let mut side = Side::new();
    side.write("f", "content");
    side.settle();
    let (name, news) = (path("f"), side.told.news.len());
    let stamp = stamp_of(&rustix::fs::stat(side.at("f")).unwrap());
    let Some(Entry::File(mut file)) = side.known.row(&name).map(|row| row.entry) else { panic!() };
    std::sync::Arc::make_mut(&mut file).modified.nanos ^= 1;
    let row = Row { stamp, entry: Entry::File(file.clone()) };
    side.known.begin(&[&name]);
    let report = Report::Settled { id: OrderId(1000) };
    side.known.finish(&[&name], None, vec![(name.clone(), Some(row))], report);
    // Read again, though nothing happened to it.
    drop(File::options().write(true).open(side.at("f")).unwrap());
    side.settle();
    assert_eq!(side.told.news.len(), news, "{:?}", &side.told.news[news..]);
    assert_eq!(side.known.row(&name).unwrap().entry, Entry::File(file));
    side.write("f", "edited");
    side.assert_told();
}

#[test]
fn what_is_synced_is_said_to_be_durable() {
    let mut side = Side::new();
    let names: Vec<_> = (0..40).map(|n| format!("f{n}")).collect();
    for name in &names {
        side.write(name, name);
    }
    for count in [3, 40] {
        let id = side.order();
        let paths = names[..count].iter().map(path).collect();
        side.observer.send(common::replica::observer::Command::Sync(id, paths));
        side.until("synced", |t| t.synced.get(&id.0) == Some(&true));
    }
    // What is gone by now needs nothing: its deletion is told in its turn.
    let id = side.order();
    side.observer.send(common::replica::observer::Command::Sync(id, vec![path("none")]));
    side.until("synced", |t| t.synced.get(&id.0) == Some(&true));
}
