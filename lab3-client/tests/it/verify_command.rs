//! `lab3 verify`: both sides are compared by a digest of everything that each itself knows.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use common::side::Side;

use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{put, remove, text};

/// The digest of everything, which must be the same on both sides.
#[track_caller]
fn digest(system: &System) -> String {
    let found = system.json(&["verify"]);
    assert_eq!(found["result"], "identical", "{found}");
    found["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn both_sides_are_identical_at_one_digest_until_something_changes() {
    let system = System::holding(&[("a", "1"), ("d/b", "2")]);
    let first = digest(&system);
    assert_eq!(digest(&system), first);
    let text = system.ok(&["verify"]);
    assert_eq!(text, format!("identical at {first}, 3 entries\n"));
    put(&system.b, "d/b", "3");
    system.agree();
    let second = digest(&system);
    assert_ne!(first, second);
    put(&system.a, "new", "4");
    system.agree();
    remove(&system.b, "new");
    system.agree();
    assert_eq!(digest(&system), second, "it is what is there that counts");
}

#[test]
fn what_is_held_or_cannot_be_synchronized_is_excepted_and_named() {
    let system = System::holding(&[("f", "old"), ("g", "old")]);
    system.ok(&["-lock", "f"]);
    put(&system.b, "f", "held");
    until("it is held", || !system.held(&[]).is_empty());
    let made = Command::new("mkfifo").arg(system.a.join("pipe")).status().expect("`mkfifo` runs");
    assert!(made.success());
    until("it is seen", || {
        !system.json(&["status"])["problems"].as_array().expect("rows").is_empty()
    });
    let found = system.json(&["verify"]);
    assert_eq!(found["result"], "identical", "{found}");
    let rows = found["exceptions"].as_array().expect("an array");
    let names: Vec<&str> = rows.iter().map(|row| row["path"].as_str().expect("a path")).collect();
    assert_eq!((names, &found["exception_count"]), (vec!["f", "pipe"], &2.into()));
    let text = system.ok(&["verify"]);
    assert!(text.contains("not compared: `f` at A: locked by ann@mill"), "{text}");
}

#[test]
fn without_b_or_a_there_is_no_answer() {
    let mut system = System::holding(&[("f", "old")]);
    system.kill(Side::B);
    system.b_is("away");
    let ran = system.lab3(&["verify"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, "unknown: server B is away\n"), "{ran:?}");
    system.kill(Side::A);
    assert_eq!(system.lab3(&["verify"]).code, 3);
}

/// Edits go on all the time: a check finds a quiet moment or none, and never a difference.
#[test]
fn a_check_among_edits_never_finds_a_difference() {
    let system = System::holding(&[("f", "0")]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for side in Side::BOTH {
            let (system, stop) = (&system, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    put(system.root(side), format!("{side}/{}", n % 50), format!("{n}"));
                    if n % 3 == 0 {
                        remove(system.root(side), &format!("{side}/{}", n % 50));
                    }
                }
            });
        }
        for _ in 0..10 {
            let ran = system.lab3(&["verify", "--timeout", "1s"]);
            assert!(matches!(ran.code, 0 | 5) && !ran.out.contains("differs"), "{ran:?}");
        }
        stop.store(true, Ordering::SeqCst);
    });
    system.agree();
}

#[test]
fn a_server_checks_by_itself_after_a_change_and_says_when() {
    let mut system = System::new();
    system.options_a = vec!["--verify-every".into(), "1".into()];
    system.start();
    put(&system.a, "f", "x");
    system.agree();
    remove(&system.b, "f");
    let found = || system.json(&["status"])["checked"]["found"].as_str().map(str::to_owned);
    until("a check", || found().is_some_and(|found| found.ends_with(" 0 entries")));
    assert_eq!(system.json(&["status"])["checked"]["identical"], true);
    let text = system.ok(&["status"]);
    assert!(text.contains("compared 2") && text.contains("identical at"), "{text}");
}

/// A write through a name outside the tree, which nothing tells of, is found when all is read, and
/// is an edit.
#[test]
fn a_write_that_nothing_tells_of_is_found_when_everything_is_read() {
    let system = System::holding(&[("f", "old"), ("g", "same")]);
    let outside = system.dir.path().join("outside");
    fs::hard_link(system.a.join("f"), &outside).expect("linked");
    system.agree();
    let mut file = OpenOptions::new().append(true).open(&outside).expect("opened");
    file.write_all(b" and new").expect("written");
    drop(file);
    system.lab3(&["verify", "--deep", "--timeout", "60s"]);
    until("it is carried", || text(&system.b, "f").as_deref() == Some("old and new"));
    system.agree();
}

/// Bytes that change without a new stamp are nobody's edit: they are named, and stay at their side.
#[test]
fn bytes_that_change_by_themselves_are_named_and_never_carried() {
    let test = "bytes_that_change_by_themselves_are_named_and_never_carried";
    let Ok(memory) = tempfile::TempDir::with_prefix_in("lab3-it-", "/dev/shm") else {
        return skip(test, "no /dev/shm");
    };
    if Command::new("python3").arg("--version").output().is_err() {
        return skip(test, "no python3, which stores through a mapping");
    }
    let mut system = System::new();
    system.b = memory.path().join("b");
    fs::create_dir(&system.b).expect("made");
    system.start();
    put(&system.a, "f", "what was written");
    put(&system.a, "g", "other");
    system.agree();
    let store =
        "import mmap,sys\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\nm[0]=ord('W')";
    let before = fs::metadata(system.b.join("f")).expect("there").modified().expect("a time");
    let stored = Command::new("python3").args(["-c", store]).arg(system.b.join("f")).status();
    assert!(stored.expect("it runs").success());
    let after = fs::metadata(system.b.join("f")).expect("there").modified().expect("a time");
    if before != after || text(&system.b, "f").as_deref() != Some("What was written") {
        return skip(test, "a store through a mapping leaves a stamp here");
    }
    assert_eq!(system.lab3(&["verify"]).code, 0, "no stamp, no news");
    let ran = system.lab3(&["verify", "--deep", "--timeout", "60s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("damaged: `f` at B: its bytes have digest"), "{ran:?}");
    let found = system.lab3(&["verify", "--deep", "--timeout", "60s", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found.out).expect("JSON");
    assert_eq!((&found["read"], &found["rotten"][0]["side"]), (&4.into(), &"B".into()), "{found}");
    system.wait();
    assert_eq!(text(&system.a, "f").as_deref(), Some("what was written"));
    // What is written over it is whole again.
    put(&system.a, "f", "written anew");
    system.agree();
    assert_eq!(system.lab3(&["verify", "--deep", "--timeout", "60s"]).code, 0);
}
