//! What programs that save, build, install and download do to files: real ones where they are
//! installed, their steps where not.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::side::Side;

use crate::real::{agree, done, has, size};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{link, put, remove, rename, text};

/// Real editors, in every way in which they keep backups, on both sides by turns: one file, the
/// last text, no conflict, and nothing of theirs stays (E01, E02, E03, E06).
#[test]
fn real_editors_on_both_sides_leave_one_file() {
    let system = System::holding(&[("text", "word 0\n")]);
    let mut edits: Vec<(&str, Vec<String>)> = Vec::new();
    if has("vim") {
        for settings in ["yes", "no", "auto", "auto,breakhardlink"] {
            let set = format!("set backup writebackup backupcopy={settings} swapfile directory=.");
            let words = ["-es", "-u", "NONE", "-i", "NONE", "-c", &set, "-c", "%s/[0-9]*$/N/"];
            let words = words.iter().map(|word| (*word).to_owned());
            edits.push(("vim", words.chain(["-c".to_owned(), "wq".to_owned()]).collect()));
        }
    } else {
        skip("real_editors_on_both_sides_leave_one_file", "vim is not installed");
    }
    edits.push(("sed", ["-i", "s/[0-9]*$/N/"].map(String::from).to_vec()));
    edits.push(("sed", ["-i.orig", "s/[0-9]*$/N/"].map(String::from).to_vec()));
    if has("perl") {
        edits.push(("perl", ["-pi", "-e", "s/[0-9]*$/N/"].map(String::from).to_vec()));
        edits.push(("perl", ["-pi.bak", "-e", "s/[0-9]*$/N/"].map(String::from).to_vec()));
    }
    let mut number = 0;
    for (program, words) in &edits {
        for side in Side::BOTH {
            number += 1;
            let root = system.root(side);
            let words = words.iter().map(|word| word.replace("/N/", &format!("/{number}/")));
            done(Command::new(program).args(words).arg("text").current_dir(root));
            let last = format!("word {number}\n");
            assert_eq!(text(root, "text").as_deref(), Some(last.as_str()), "{program}");
            for backup in ["text~", "text.orig", "text.bak"] {
                let _ = fs::remove_file(root.join(backup));
            }
            system.agree_on(&[("text", &last)]);
        }
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// The steps of editors that lock with a link, save on their own, and keep backups; of an office
/// suite with its lock file; of editors that write aside under a random name; of a download: the
/// text arrives, and nothing of theirs outlives its deletion (E04, E05, E07, E21).
#[test]
fn what_programs_put_beside_a_file_does_not_outlive_it() {
    let system = System::holding(&[("f.txt", "old"), ("sheet.ods", "old")]);
    for (n, side) in Side::BOTH.into_iter().cycle().take(12).enumerate() {
        let (root, other) = (system.root(side), system.root(side.other()));
        let content = format!("version {n}");
        // A lock that is a link to nobody, a save of its own, a backup made once.
        link(root, format!("ann@mill.{n}:1700000000"), ".#f.txt");
        put(root, "#f.txt#", "half a thought");
        if n == 5 {
            // Somebody thinks for long: the other side may know of all this.
            until("they are seen", || other.join("#f.txt#").exists());
        }
        rename(root, "f.txt", "f.txt~");
        put(root, "f.txt", &content);
        remove(root, "#f.txt#");
        remove(root, ".#f.txt");
        remove(root, "f.txt~");
        // A lock file, the new version aside, the old one away, the new one in its place.
        put(root, ".~lock.sheet.ods#", ",ann,mill,1700000000,file:///home/ann;");
        put(root, format!("lu{n}.tmp"), &content);
        rename(root, "sheet.ods", &format!("lu{n}old.tmp"));
        rename(root, &format!("lu{n}.tmp"), "sheet.ods");
        remove(root, &format!("lu{n}old.tmp"));
        remove(root, ".~lock.sheet.ods#");
        // Aside under a name that nobody had before, then over the file.
        put(root, format!(".f.txt.{:06x}", n * 7919), format!("{content}, again"));
        rename(root, &format!(".f.txt.{:06x}", n * 7919), "f.txt");
        let again = format!("{content}, again");
        system.agree_on(&[("f.txt", &again), ("sheet.ods", &content)]);
    }
    let mut part = fs::File::create(system.a.join("film.part")).expect("a file");
    let piece = vec![b'x'; 500_000];
    for number in 1..=8_u64 {
        part.write_all(&piece).expect("written");
        if number % 4 == 0 {
            until("it grows", || {
                let found = fs::metadata(system.b.join("film.part"));
                found.is_ok_and(|about| about.len() == number * 500_000)
            });
        }
    }
    drop(part);
    rename(&system.a, "film.part", "film");
    let nodes = system.agree();
    assert_eq!(nodes.len(), 3, "{:?}", nodes.keys());
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// Runs something again and again beside the test, until this is dropped.
struct Busy<'s>(&'s AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One file is rewritten without a pause, in place and by renaming over it: all other files go on
/// as ever, and in the end it is what it is (E09).
#[test]
fn a_file_rewritten_without_pause_holds_up_nothing_else() {
    for side in Side::BOTH {
        let system = System::holding(&[(".git/FETCH_HEAD", "0"), ("other", "old")]);
        let (root, other) = (system.root(side), system.root(side.other()));
        let over = AtomicBool::new(false);
        let written = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut number = 0_u64;
                while !over.load(Ordering::SeqCst) {
                    number += 1;
                    let content = format!("{number}\n").repeat(3000);
                    put(root, ".git/FETCH_HEAD", &content);
                    if number.is_multiple_of(3) {
                        put(root, ".git/index.lock", &content);
                        rename(root, ".git/index.lock", ".git/index");
                    }
                    // A fetch takes some time.
                    thread::sleep(Duration::from_millis(2));
                }
                number
            });
            let _busy = Busy(&over);
            for n in 0..30 {
                put(root, "other", n.to_string());
                put(root, format!("new/{n}"), "x");
                until("the rest goes on", || {
                    let last = text(other, "other") == Some(n.to_string());
                    last && other.join(format!("new/{n}")).exists()
                });
                put(other, "back", n.to_string());
                until("and back", || text(root, "back") == Some(n.to_string()));
            }
            drop(_busy);
            writer.join().expect("it wrote")
        });
        system.agree();
        let last = format!("{written}\n").repeat(3000);
        assert_eq!(text(other, ".git/FETCH_HEAD"), Some(last));
        assert!(!system.server(Side::A).said().contains("conflict"));
    }
}

/// Packages are installed, thousands of small files and links, and removed while they are still
/// being sent; and once more, and then they stay (E10).
#[test]
fn packages_removed_while_they_are_sent_leave_nothing() {
    let files = size(500, 50_000);
    for side in Side::BOTH {
        let mut system = System::new().relaxed().losing_up_to(4 * files);
        system.start();
        let (root, other) = (system.root(side), system.root(side.other()));
        put(root, "package.json", "{}");
        for round in 0..3 {
            install(root, files);
            until("some have arrived", || other.join("node_modules").exists());
            if round < 2 {
                // What is just being made there is somebody else's, and may keep it from going.
                until("it is removed", || fs::remove_dir_all(root.join("node_modules")).is_ok());
            }
            if round == 0 {
                agree(&system);
                assert!(!other.join("node_modules").exists(), "nothing comes back");
            }
        }
        agree(&system);
        assert!(other.join("node_modules/.bin/tool-7").symlink_metadata().is_ok());
        assert!(!system.server(Side::A).said().contains("conflict"));
    }
}

/// Packages in nested directories, each with a manifest, sources and a link to its program.
fn install(root: &Path, files: usize) {
    let modules = root.join("node_modules");
    fs::create_dir_all(modules.join(".bin")).expect("made");
    for n in 0..files {
        let package = format!("package-{}", n / 20);
        let file = match n % 20 {
            0 => "package.json".to_owned(),
            1..=9 => format!("lib/{n}.js"),
            _ => format!("node_modules/dep-{}/index-{n}.js", n % 3),
        };
        let path = modules.join(&package).join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        let aside = path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create_new(true).open(&aside).expect("new");
        file.write_all(format!("module.exports = {n}\n").repeat(n % 40).as_bytes()).expect("done");
        drop(file);
        fs::rename(&aside, &path).expect("renamed");
        if n % 20 == 0 {
            let target = format!("../{package}/package.json");
            link(&modules.join(".bin"), target, &format!("tool-{}", n / 20));
        }
    }
}
