//! Somebody who reads one file again and again, and remembers each version that was to be seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::server::until;
use crate::system::System;
use crate::trees::{self, put};

/// A reader that never stops.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Option<String>>>,
}

impl Reader {
    /// Starts to read.
    pub(crate) fn of(root: &Path, name: &str) -> Reader {
        let path: PathBuf = root.join(name);
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen: Vec<Option<String>> = Vec::new();
            loop {
                // Once more after it was told: it may not have had its turn before.
                let is_last = told.load(Ordering::SeqCst);
                let now =
                    fs::read(&path).ok().map(|now| String::from_utf8_lossy(&now).into_owned());
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                if is_last {
                    return seen;
                }
                // A tight loop would take the few cores from the servers, and from the kernel.
                sleep(Duration::from_micros(200));
            }
        });
        Reader { stop, thread }
    }

    /// Each version that was seen, in order; `None` where the name was missing.
    pub(crate) fn stop(self) -> Vec<Option<String>> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it read")
    }
}

/// Requires what was seen to be some of these versions, in this order, the last one last.
#[track_caller]
pub(crate) fn in_order(told: &str, seen: &[Option<String>], versions: &[String]) {
    let mut rest = versions.iter();
    for version in seen {
        let version = version.as_ref().unwrap_or_else(|| panic!("{told}: the name was missing"));
        let found = rest.any(|one| one == version);
        assert!(found, "{told}: {version:.60?} is out of order or nobody's: {seen:.60?}");
    }
    assert_eq!(seen.last().cloned().flatten().as_ref(), versions.last(), "{told}: the end");
}

/// An edit of B, which is held before this returns, once.
#[track_caller]
pub(crate) fn hold(system: &System, name: &str, content: &str) {
    let before = system.held(&[name]).len();
    put(&system.b, name, content);
    held(system, name, before + 1);
}

/// Waits until so many edits are held; more must never be.
#[track_caller]
pub(crate) fn held(system: &System, name: &str, count: usize) {
    until("the edit is held", || {
        let now = system.held(&[name]).len();
        assert!(now <= count, "{name}: {now} edits are held, of {count}");
        now == count
    });
}

/// Nothing is left of any lock: no lock, no held edit, nothing staged.
#[track_caller]
pub(crate) fn nothing_is_left(system: &System, told: &str) {
    let locks = system.json(&["locks"]);
    assert_eq!(locks["locks"], Value::Array(Vec::new()), "{told}");
    assert!(system.held(&[]).is_empty(), "{told}");
    let names = |folder: &str| -> Vec<String> {
        let listed = fs::read_dir(system.a.join(".lab3").join(folder)).expect("a directory");
        listed.flatten().map(|item| item.file_name().to_string_lossy().into_owned()).collect()
    };
    let held: Vec<_> =
        names("pending").into_iter().filter(|name| !name.ends_with(".next")).collect();
    assert!(held.is_empty(), "{told}: {held:?}");
    assert!(names("stage").is_empty(), "{told}: {:?}", names("stage"));
}

/// Every version but the last was replaced at A, and once.
#[track_caller]
pub(crate) fn replaced_once(system: &System, told: &str, name: &str, versions: &[String]) {
    let trash = trees::trash(&system.a);
    let of_file = trash.iter().filter(|(path, reason, _)| path == name && reason == "replaced");
    let mut found: Vec<&String> = of_file.map(|(_, _, content)| content).collect();
    let mut wanted: Vec<&String> = versions[..versions.len() - 1].iter().collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{told}: what was replaced");
}
