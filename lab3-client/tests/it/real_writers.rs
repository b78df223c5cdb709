//! Programs that write as they do: logs, maps, editors, savers; and readers at the other side.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use common::side::Side;

use crate::real::{done, has, size};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees;

#[test]
fn a_log_that_is_never_closed_arrives_while_it_grows() {
    let system = System::started();
    let path = system.a.join("app.log");
    let mut log = OpenOptions::new().create(true).append(true).open(&path).expect("a log");
    let (mut last, mut seen_early) = (0, false);
    for number in 0..size(200, 3000) {
        writeln!(log, "line {number:06}").expect("written");
        sleep(Duration::from_millis(10));
        if let Some(text) = trees::text(&system.b, "app.log") {
            // What is there is a beginning of the log, and never shrinks.
            assert!(
                text.len() >= last && fs::read_to_string(&path).expect("a log").starts_with(&text),
                "B has what A never had"
            );
            last = text.len();
            seen_early |= last > 0;
        }
    }
    assert!(seen_early, "nothing of the log came before its end");
    // Still open: what was written is there all the same.
    system.agree();
    assert!(trees::text(&system.b, "app.log").expect("a log").lines().count() == size(200, 3000));
    assert!(!system.server(Side::A).said().contains("conflict"));
}

#[test]
fn what_is_stored_through_a_mapping_arrives() {
    if !has("python3") {
        return skip("what_is_stored_through_a_mapping_arrives", "python3 is not installed");
    }
    let system = System::holding(&[("mapped", &"-".repeat(100_000))]);
    let program = "import mmap,sys,time\n\
        f=open(sys.argv[1],'r+b');m=mmap.mmap(f.fileno(),0)\n\
        for i in range(1000): m[i*100:i*100+4]=b'%04d'%i\n\
        m.flush();m.close();f.close()\n";
    done(Command::new("python3").args(["-c", program]).arg(system.a.join("mapped")));
    system.agree();
    let text = trees::text(&system.b, "mapped").expect("a file");
    assert!(text.starts_with("0000-") && text.contains("0999-"), "{}", &text[..200]);
}

#[test]
fn editors_of_every_sort_leave_one_file_and_no_conflict() {
    let system = System::holding(&[("text", "old one\n")]);
    let edit = |command: &mut Command, word: &str| {
        done(command.arg(system.a.join("text")));
        system.agree_on(&[("text", &format!("{word} one\n"))]);
    };
    edit(Command::new("sed").args(["-i", "s/old/sed/"]), "sed");
    if has("vim") {
        let vim = |settings: &str, change: &str| {
            let mut command = Command::new("vim");
            command.args(["-es", "-u", "NONE", "-i", "NONE", "-c", settings, "-c", change]);
            command.args(["-c", "wq"]);
            command
        };
        edit(&mut vim("set backupcopy=yes", "%s/sed/copy/"), "copy");
        edit(&mut vim("set backupcopy=no", "%s/copy/move/"), "move");
        edit(&mut vim("set backupcopy=auto writebackup", "%s/move/auto/"), "auto");
    } else {
        skip("editors_of_every_sort_leave_one_file_and_no_conflict", "vim is not installed");
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// A content that tells whether it is whole.
fn whole(number: u64) -> String {
    format!("{number:08}\n").repeat(2000)
}

fn is_whole(text: &str) -> bool {
    let first = text.get(..9).unwrap_or_default();
    text.len() == 18_000 && text.as_bytes().chunks(9).all(|line| line == first.as_bytes())
}

#[test]
fn a_reader_never_finds_a_saved_file_missing_or_partial() {
    let system = System::holding(&[("saved", &whole(0)), ("rewritten", &whole(0))]);
    let over = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !over.load(Ordering::Relaxed) {
                let text = fs::read_to_string(system.b.join("saved"));
                let text = text.unwrap_or_else(|error| panic!("after {reads} reads: {error}"));
                assert!(is_whole(&text), "read a part: {} bytes", text.len());
                reads += 1;
            }
            reads
        });
        let saves = size(300, 5000);
        for number in 1..=saves {
            save(&system.a, number);
            if number % 25 == 0 {
                // Let some of them be seen.
                let wanted = whole(number);
                until("a save arrives", || {
                    reader.is_finished() || trees::text(&system.b, "saved") == Some(wanted.clone())
                });
            }
        }
        over.store(true, Ordering::Relaxed);
        reader.join().expect("the reader found every version whole")
    });
    assert!(reads > 0);
    system.agree();
    assert!(!system.server(Side::A).said().contains("conflict"));
}

fn save(root: &Path, number: u64) {
    let aside = root.join(".saved.tmp");
    fs::write(&aside, whole(number)).expect("written");
    fs::rename(aside, root.join("saved")).expect("renamed");
}
