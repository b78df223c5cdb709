//! What a side says of its trash, and how a version there comes back into the tree.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use common::change::Outcome;
use common::entry::Entry;
use common::replica::known::Known;
use common::replica::looks::Looks;
use common::replica::salvage::Salvage;
use common::wire::message::{Content, OrderId, Report};
use common::wire::trashed::{TrashFound, TrashName, TrashReason, TrashRow};

use crate::replica_bench::{Bench, change, done, file, path};

/// The thread that answers, beside a bench.
struct Asked {
    salvage: Salvage,
    reports: Receiver<Report>,
}

impl Asked {
    fn beside(bench: &Bench) -> Asked {
        let (tell, reports) = channel();
        let known = Known::new(BTreeMap::new(), Box::new(move |report| drop(tell.send(report))));
        let salvage = Salvage::start(Arc::new(known), bench.committer.publisher.clone()).unwrap();
        Asked { salvage, reports }
    }

    fn list(&self, below: Option<&str>) -> (Vec<TrashRow>, u64) {
        self.salvage.list(OrderId(1), below.map(path), Looks::default().enter());
        let mut all = Vec::new();
        loop {
            let Report::Trash { id: OrderId(1), rows, left_out, last } =
                self.reports.recv().unwrap()
            else {
                panic!("another report")
            };
            all.extend(rows.unwrap());
            if last {
                return (all, left_out);
            }
        }
    }

    fn find(&self, name: &TrashName) -> Option<TrashFound> {
        self.salvage.find(OrderId(2), name.clone(), Looks::default().enter());
        match self.reports.recv().unwrap() {
            Report::TrashFound { id: OrderId(2), found } => found.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn trash_is_listed_the_newest_first_at_and_below_a_path() {
    let bench = Bench::new();
    fs::create_dir(bench.tree.join("d")).unwrap();
    for name in ["d/f", "e", "d-"] {
        let before = bench.write(name, name.as_bytes());
        assert_eq!(bench.delete(name, &before), done(None));
    }
    let before = bench.write("d/f", b"two");
    bench.replace("d/f", &before, b"three");
    let asked = Asked::beside(&bench);
    let (all, left_out) = asked.list(None);
    assert_eq!((all.len(), left_out), (4, 0));
    assert!(all.is_sorted_by(|a, b| (a.time, &a.name) >= (b.time, &b.name)), "{all:?}");
    let (below, _) = asked.list(Some("d"));
    let reasons: Vec<TrashReason> = below.iter().map(|row| row.reason).collect();
    assert!(below.iter().all(|row| row.path == path("d/f")), "{below:?}");
    assert_eq!(reasons.len(), 2);
    assert!(reasons.contains(&TrashReason::Replaced) && reasons.contains(&TrashReason::Deleted));
    assert_eq!(asked.list(Some("nothing")), (Vec::new(), 0));
    asked.salvage.stop();
}

/// What is found is what the version is now, not what its record says.
#[test]
fn a_version_that_was_written_late_is_found_as_it_is_and_comes_back_so() {
    let bench = Bench::new();
    for content in ["one", "one"] {
        let before = bench.write("f", content.as_bytes());
        bench.delete("f", &before);
    }
    let asked = Asked::beside(&bench);
    let (rows, _) = asked.list(None);
    let late = bench.tree.join(".lab3/trash").join(rows[0].name.as_str());
    fs::write(&late, "one and more").unwrap();
    let found = asked.find(&rows[0].name).expect("it is there");
    assert_eq!(found.path, path("f"));
    assert_eq!(found.entry.size(), 12);
    let back = |name: &TrashName, entry: &Entry| {
        let content = Content::Trashed(name.clone());
        bench.commit(change("f", None, Some(entry.clone())), content)
    };
    assert_eq!(back(&rows[1].name, &found.entry), Outcome::Moved, "another version");
    assert_eq!(back(&rows[0].name, &found.entry), done(Some(found.entry.clone())));
    assert_eq!(bench.read("f"), b"one and more");
    assert_eq!(bench.see("f"), Some(found.entry), "time and mode come back, too");
    assert!(late.exists(), "the version stays in trash");
    asked.salvage.stop();
}

#[test]
fn a_version_that_is_gone_is_not_found_and_not_brought_back() {
    let bench = Bench::new();
    let asked = Asked::beside(&bench);
    let name = TrashName::new("01795255800-0123456789abcdef-7").unwrap();
    assert_eq!(asked.find(&name), None);
    let after = Some(file(b"x"));
    let outcome = bench.commit(change("f", None, after), Content::Trashed(name));
    assert_eq!(outcome, Outcome::Moved);
    assert_eq!((bench.names(), bench.staged()), (vec![], vec![]));
    asked.salvage.stop();
}
