//! Whole trees of real files: a repository with history, thousands of sources.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use common::side::Side;

use crate::real::{agree, done, has, size, sources};
use crate::system::{System, skip};
use crate::trees;

fn git(at: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(at)
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@mill", "-c", "init.defaultBranch=main"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        // Looking must not write: both sides are to stay equal.
        .env("GIT_OPTIONAL_LOCKS", "0");
    done(&mut command)
}

#[test]
fn a_git_repository_at_work_arrives_whole() {
    if !has("git") {
        return skip("a_git_repository_at_work_arrives_whole", "git is not installed");
    }
    let system = System::started();
    let origin = system.dir.path().join("origin");
    sources(&origin, size(60, 1500));
    git(&origin, &["init", "-q"]);
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "everything"]);
    for number in 0..size(12, 200) {
        if number % 4 == 0 {
            git(&origin, &["checkout", "-q", "-b", &format!("branch-{number}")]);
        }
        trees::put(&origin, format!("notes/{}.txt", number % 7), format!("note {number}\n"));
        git(&origin, &["add", "-A"]);
        git(&origin, &["commit", "-q", "-m", &format!("note {number}")]);
    }
    let url = format!("file://{}", origin.display());
    git(&system.a, &["clone", "-q", &url, "clone"]);
    let clone = system.a.join("clone");
    for number in (0..size(12, 200)).step_by(4) {
        git(&clone, &["checkout", "-q", &format!("branch-{number}")]);
        git(&clone, &["checkout", "-q", "HEAD~1"]);
    }
    git(&clone, &["gc", "-q"]);
    git(&clone, &["checkout", "-q", "branch-8"]);
    agree(&system);
    let copy = system.b.join("clone");
    git(&copy, &["fsck", "--full", "--strict"]);
    assert_eq!(git(&copy, &["rev-parse", "HEAD"]), git(&clone, &["rev-parse", "HEAD"]));
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    // And the other way.
    trees::put(&system.b, "clone/from-b.txt", "written at B\n");
    git(&copy, &["add", "-A"]);
    git(&copy, &["commit", "-q", "-m", "from B"]);
    agree(&system);
    git(&clone, &["fsck", "--full", "--strict"]);
    assert_eq!(git(&clone, &["log", "-1", "--format=%s"]), "from B\n");
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// The inode of everything below a directory.
fn inodes(root: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let mut items: Vec<_> = fs::read_dir(directory).expect("a directory").flatten().collect();
        items.sort_by_key(|item| item.file_name());
        for item in items {
            let about = item.metadata().expect("metadata");
            found.push(about.ino());
            if about.is_dir() {
                waiting.push(item.path());
            }
        }
    }
    found
}

/// How many bytes a server has read, from disk or not.
fn read_bytes(system: &System, side: Side) -> u64 {
    let pid = system.server(side).pid().as_raw_nonzero();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("counters");
    let line = io.lines().next().and_then(|line| line.strip_prefix("rchar: "));
    line.expect("a counter").parse().expect("a number")
}

#[test]
fn a_large_tree_is_copied_moved_thinned_and_found_again_unchanged() {
    let mut system = System::new();
    let bytes = sources(&system.a.join("top"), size(1500, 20_000));
    trees::put(&system.a, "top/extra/one.txt", "one");
    system.start();
    agree(&system);

    // Moved: what is in it stays where it is on disk, and is the same.
    let before = inodes(&system.b.join("top"));
    trees::rename(&system.a, "top", "moved");
    agree(&system);
    assert!(inodes(&system.b.join("moved")) == before, "the moved tree was copied");
    trees::rename(&system.b, "moved", "top");
    agree(&system);
    let said = system.server(Side::B).said();
    let renamed = said.lines().filter(|line| line.contains(" renamed `")).count();
    assert_eq!(renamed, 1, "a directory is renamed in one step");

    // Restarted: nothing is read again, nothing moves. What is known is saved at the end.
    system.stop(&[Side::A, Side::B]);
    system.start();
    agree(&system);
    for side in Side::BOTH {
        let said = system.server(side).said();
        let moved = said.lines().find(|line| line.contains("→"));
        assert_eq!(moved, None, "something moved after a restart");
        let read = read_bytes(&system, side);
        assert!(read < bytes / 2, "{side} read {read} of {bytes} bytes again");
    }

    // Thinned, by less than what halts.
    trees::remove(&system.a, "top/extra");
    let some: Vec<_> = fs::read_dir(system.a.join("top/round-0")).expect("a tree").collect();
    let third = some.first().expect("a directory").as_ref().expect("an entry").path();
    let mut third = fs::read_dir(&third).expect("a tree").flatten().collect::<Vec<_>>();
    third.truncate(third.len().div_ceil(4));
    for directory in third {
        if directory.metadata().expect("metadata").is_dir() {
            fs::remove_dir_all(directory.path()).expect("removed");
        }
    }
    agree(&system);
}
