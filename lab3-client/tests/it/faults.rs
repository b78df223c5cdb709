//! Servers that are killed and links that break, at any moment: nothing is lost, nothing is
//! invented, and in the end both sides are equal.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use common::side::Side;

use crate::dice::Dice;
use crate::opened::opened;
use crate::people::SERVERS;
use crate::proxy::Proxy;
use crate::raw::Raw;
use crate::server::until;
use crate::system::System;
use crate::trees::{self, Node, put, remove, text};

/// A content that shows whether it is whole: its name, its number, and filling of a known length.
fn whole(name: &str, version: u64) -> String {
    let filling = "x".repeat((version * 997 % 5000) as usize);
    format!("{name} {version} {}\n{filling}", filling.len())
}

/// Whether somebody wrote exactly this.
fn is_whole(content: &[u8]) -> bool {
    let text = std::str::from_utf8(content).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let (Some(name), Some(version)) = (words.next(), words.next()) else { return false };
    version.parse().is_ok_and(|version| text == whole(name, version))
}

/// Somebody who works in a directory until told to stop: makes, overwrites, saves by renaming
/// over, and removes files of his own. Answers what must be there in the end.
struct Worker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(String, Option<String>)>>,
}

impl Worker {
    fn start(root: PathBuf, who: &'static str, seed: u64) -> Worker {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut dice, mut last) = (Dice(seed), vec![None; 24]);
            for version in 0.. {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                let at = dice.below(last.len() as u64) as usize;
                let name = format!("{who}-{at}");
                let path = format!("{who}/{}/{name}", at % 3);
                match dice.below(5) {
                    0 if last[at].is_some() => {
                        remove(&root, &path);
                        last[at] = None;
                    }
                    1 | 2 => {
                        let content = whole(&name, version);
                        put(&root, format!("{path}.tmp"), &content);
                        trees::rename(&root, &format!("{path}.tmp"), &path);
                        last[at] = Some(content);
                    }
                    _ => {
                        let content = whole(&name, version);
                        put(&root, &path, &content);
                        last[at] = Some(content);
                    }
                }
                // People pause between two saves.
                sleep(Duration::from_millis(dice.below(8)));
            }
            let path = |at: usize| format!("{who}/{}/{who}-{at}", at % 3);
            last.into_iter().enumerate().map(|(at, content)| (path(at), content)).collect()
        });
        Worker { stop, thread }
    }

    fn stop(self) -> Vec<(String, Option<String>)> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it worked")
    }
}

/// Both sides hold what the workers left, and nothing that nobody wrote. What was only just brought
/// to a side when the other lost its memory is not known to be its own: a version that was there
/// for a moment may be kept beside, and a removed one may be back.
#[track_caller]
fn holds(system: &System, left: &[(String, Option<String>)]) {
    let nodes = system.agree();
    for (path, content) in left {
        let found = text(&system.a, path);
        let is_back = content.is_none() && found.is_some();
        assert!(is_back || found == *content, "{path}: found {found:.40?}, left {content:.40?}");
    }
    for (name, node) in &nodes {
        if let Node::File { content, .. } = node {
            let name = String::from_utf8_lossy(name);
            assert!(is_whole(content), "{name} was written by nobody: {node:?}");
        }
    }
}

/// Twenty times `kill -9` of either server while users work on both sides: in the end both sides
/// hold what each user left (C01-C10, C13, C14, C16, G5).
#[test]
fn no_kill_at_any_moment_loses_or_invents_anything() {
    let mut system = System::started();
    let workers =
        [Worker::start(system.a.clone(), "ann", 1), Worker::start(system.b.clone(), "bob", 2)];
    let mut dice = Dice(42);
    for round in 0..40 {
        let side = if round % 2 == 0 { Side::A } else { Side::B };
        sleep(Duration::from_millis(dice.below(120)));
        system.kill(side);
        system.restart(&[side]);
    }
    let left: Vec<_> = workers.into_iter().flat_map(Worker::stop).collect();
    holds(&system, &left);
    for root in [&system.a, &system.b] {
        let staged = fs::read_dir(root.join(".lab3/stage")).expect("a directory").count();
        assert_eq!(staged, 0, "nothing stays half done in {}", root.display());
    }
}

/// A link that breaks again and again, in the middle of anything, changes nothing in the end (F05).
#[test]
fn no_cut_of_the_link_loses_or_invents_anything() {
    let mut system = System::new();
    let proxy = Proxy::to(system.port_b);
    system.peer = proxy.port;
    system.start();
    let workers =
        [Worker::start(system.a.clone(), "ann", 3), Worker::start(system.b.clone(), "bob", 4)];
    let mut dice = Dice(7);
    for round in 1..=25 {
        proxy.cut_after(dice.below(20_000));
        until("the link is cut", || proxy.cuts() >= round);
    }
    let left: Vec<_> = workers.into_iter().flat_map(Worker::stop).collect();
    proxy.mend();
    holds(&system, &left);
}

/// A link cut in the middle of a large file, and users who go on on both sides: nothing partial is
/// ever to be seen, and it goes on when the link is back (F01, G4).
#[test]
fn a_link_cut_in_the_middle_of_a_file_shows_nothing_partial() {
    let mut system = System::new();
    let proxy = Proxy::to(system.port_b);
    system.peer = proxy.port;
    system.start();
    put(&system.a, "shared", "old");
    system.agree();
    let mut dice = Dice(9);
    let big: Vec<u8> = (0..8_000_000).map(|_| dice.below(256) as u8).collect();
    let cuts = proxy.cuts();
    proxy.cut_after(1_000_000);
    put(&system.a, "big", &big);
    until("the link is cut", || proxy.cuts() > cuts);
    proxy.cut();
    system.b_is("away");
    assert!(!system.b.join("big").exists(), "a part of it is to be seen");
    put(&system.a, "only_a", "x");
    put(&system.b, "only_b", "x");
    trees::put_at(&system.a, "shared", "by a", 1_700_000_000);
    trees::put_at(&system.b, "shared", "by b", 1_600_000_000);
    proxy.mend();
    let nodes = system.agree();
    assert_eq!(fs::read(system.b.join("big")).expect("it is there"), big);
    assert_eq!(nodes.len(), 5, "{nodes:?}");
    assert_eq!(text(&system.b, "shared").as_deref(), Some("by a"));
    assert!(format!("{nodes:?}").contains("\"by b\""));
}

/// What A said once, said again to B after users have gone on, changes nothing (F07, H11).
#[test]
fn what_is_said_again_changes_nothing() {
    let mut system = System::new();
    let (proxy, opened) = opened(&system.people.place(SERVERS), system.port_b);
    system.peer = opened.port;
    system.start();
    for name in ["edited", "removed", "same"] {
        put(&system.a, name, "first");
    }
    system.agree();
    put(&system.a, "edited", "second");
    remove(&system.a, "removed");
    system.agree();
    let said = proxy.said_first();
    assert!(said.len() > 200, "it was heard: {}", said.len());
    proxy.cut();
    system.b_is("away");
    put(&system.b, "edited", "by b");
    put(&system.b, "removed", "made again by b");
    put(&system.b, "same", "by b, too");
    let mut again = Raw::to(&system, system.port_b);
    again.bytes(&said);
    // B hears it out, as it would hear A.
    again.rest();
    assert_eq!(text(&system.b, "edited").as_deref(), Some("by b"));
    assert_eq!(text(&system.b, "removed").as_deref(), Some("made again by b"));
    proxy.mend();
    system.agree_on(&[("edited", "by b"), ("removed", "made again by b"), ("same", "by b, too")]);
}

/// Two users who save one file by turns and at once: every version that was not theirs to remove
/// is in a tree or in a trash (E05, E18, G1).
#[test]
fn no_save_is_overwritten_unseen() {
    const SAVES: u64 = 30;
    let system = System::holding(&[("f", &whole("start", 0))]);
    let done = Arc::new(AtomicU64::new(0));
    let save = |root: &Path, who: &'static str| {
        let (root, done) = (root.to_owned(), done.clone());
        std::thread::spawn(move || {
            let mut dice = Dice(who.len() as u64);
            let mut mine = String::new();
            for version in 0.. {
                let others = || text(&root, "f").is_some_and(|now| now != mine);
                until("another's version", || others() || done.load(Ordering::SeqCst) == 2);
                if done.load(Ordering::SeqCst) == 2 {
                    return version;
                }
                mine = whole(who, version);
                if dice.below(2) == 0 {
                    put(&root, "f", &mine);
                } else {
                    put(&root, format!("{who}~"), &mine);
                    trees::rename(&root, &format!("{who}~"), "f");
                }
                if version == SAVES {
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
            unreachable!("versions do not end");
        })
    };
    let users = [save(&system.a, "ann"), save(&system.b, "robert")];
    let saves = users.map(|user| user.join().expect("all was saved"));
    let nodes = system.agree();
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for node in nodes.values() {
        let Node::File { content, .. } = node else { continue };
        assert!(is_whole(content), "written by nobody: {node:?}");
        kept.insert(String::from_utf8_lossy(content).into_owned());
    }
    for root in [&system.a, &system.b] {
        kept.extend(trees::trash(root).into_iter().map(|(_, _, content)| content));
    }
    for (who, saves) in ["ann", "robert"].into_iter().zip(saves) {
        for version in 0..saves {
            assert!(kept.contains(&whole(who, version)), "{who}'s save {version} is lost");
        }
    }
}

/// Restarting both servers on directories that agree moves nothing (Q02, W20).
#[test]
fn restarting_on_directories_that_agree_moves_nothing() {
    let mut system = System::holding(&[("a", "1"), ("d/b", "2")]);
    trees::link(&system.b, "a", "link");
    system.agree();
    system.stop(&[Side::A, Side::B]);
    for root in [&system.a, &system.b] {
        fs::remove_dir_all(root.join(".lab3/trash")).expect("removed");
    }
    system.start();
    let before = system.agree();
    for side in Side::BOTH {
        let said = system.server(side).said();
        let moved: Vec<_> = said.lines().filter(|line| line.contains('→')).collect();
        assert!(moved.is_empty(), "{moved:?}");
        assert!(trees::trash(system.root(side)).is_empty());
    }
    assert_eq!(before.len(), 4);
}
