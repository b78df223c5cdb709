//! Locks under fire: at the wrong moment, on a full disk, without a pending directory.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::side::Side;

use serde_json::Value;

use crate::dice::Dice;
use crate::fire_watch::{Reader, held, hold, in_order, nothing_is_left, replaced_once};
use crate::proxy::{Manner, Proxy};
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{self, put, remove, text};

/// Both servers, and between them a link that B's content takes its time on.
fn slow_towards_a(files: &[(&str, &str)]) -> (System, Proxy) {
    let mut system = System::new();
    let proxy = Proxy::to(system.port_b);
    system.peer = proxy.port;
    system.start();
    for (name, content) in files {
        put(&system.a, name, content);
    }
    system.agree();
    let rest = Duration::from_millis(20);
    proxy.set_manner(Side::A, Manner { chunk: 16 * 1024, rest, twice: false });
    (system, proxy)
}

fn as_text(dice: &mut Dice, length: usize) -> String {
    (0..length).map(|_| char::from(b'a' + dice.below(26) as u8)).collect()
}

fn spawn(system: &System, args: &[&str]) -> Child {
    let mut command = system.client("ann@mill", args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts")
}

/// A lock that is asked for while a large edit of B is on its way comes wholly before it or wholly
/// after (K05, L7).
#[test]
fn a_lock_comes_before_or_after_a_transfer_and_never_between() {
    let (system, proxy) = slow_towards_a(&[("f", "old")]);
    let mut dice = Dice(5);
    let mut there = "old".to_owned();
    for round in 0..4_u64 {
        let large = as_text(&mut dice, 700_000);
        let before = proxy.passed(Side::A);
        put(&system.b, "f", &large);
        until("it is on its way", || proxy.passed(Side::A) > before + round * 180_000);
        let locked = system.lab3(&["-lock", "f"]);
        assert!(locked.code == 0 || locked.code == 5, "{locked:?}");
        if locked.code == 0 {
            let reader = Reader::of(&system.a, "f");
            let is_applied = text(&system.a, "f").as_ref() == Some(&large);
            held(&system, "f", usize::from(!is_applied));
            let last = if is_applied { &large } else { &there };
            in_order("under the lock", &reader.stop(), std::slice::from_ref(last));
            system.ok(&["-unlock", "f"]);
        }
        system.agree_on(&[("f", &large)]);
        there = large;
    }
    nothing_is_left(&system, "after all");
}

/// A file that A's user removes under the lock is there again when B's edit is applied (K16).
#[test]
fn an_edit_of_b_outlives_a_removal_by_a_under_the_lock() {
    let system = System::holding(&[("f", "old"), ("g", "old")]);
    for name in ["f", "g"] {
        system.ok(&["-lock", name]);
    }
    hold(&system, "f", "by b");
    remove(&system.a, "f");
    remove(&system.a, "g");
    until("the removal of A alone goes to B", || !system.b.join("g").exists());
    hold(&system, "g", "made again by b");
    assert!(!system.a.join("f").exists() && !system.a.join("g").exists());
    for name in ["f", "g"] {
        let receipt = system.json(&["-unlock", name]);
        assert_eq!(
            (receipt["agreed"].as_bool(), receipt["applied"][0]["path"].as_str()),
            (Some(true), Some(name)),
            "{receipt}"
        );
    }
    system.agree_on(&[("f", "by b"), ("g", "made again by b")]);
    nothing_is_left(&system, "after both");
}

/// An unlock while an edit is still arriving: it is applied after those that were there (K30).
#[test]
fn an_edit_that_is_still_arriving_at_the_unlock_comes_last() {
    let (system, proxy) = slow_towards_a(&[("f", "old")]);
    let mut dice = Dice(6);
    let mut versions = vec!["old".to_owned()];
    for round in 0..4_u64 {
        system.ok(&["-lock", "f"]);
        let reader = Reader::of(&system.a, "f");
        let small = format!("small {round}");
        hold(&system, "f", &small);
        let large = as_text(&mut dice, 700_000);
        let before = proxy.passed(Side::A);
        put(&system.b, "f", &large);
        until("it is on its way", || proxy.passed(Side::A) > before + round * 180_000);
        let receipt = system.json(&["-unlock", "f"]);
        let first = versions.last().cloned().expect("some");
        system.agree_on(&[("f", &large)]);
        in_order(&format!("{receipt}"), &reader.stop(), &[first, small.clone(), large.clone()]);
        versions.extend([small, large]);
    }
    replaced_once(&system, "in all", "f", &versions);
    nothing_is_left(&system, "after all");
}

/// Without its pending directory A holds nothing, says so, and never calls anything drained that
/// is not (K32).
#[test]
fn a_pending_directory_that_is_gone_is_said_and_nothing_is_called_drained() {
    let mut system = System::holding(&[("f", "old"), ("g", "old")]);
    let pending = system.a.join(".lab3/pending");
    let away = system.a.join(".lab3/pending-away");
    for name in ["f", "g"] {
        system.ok(&["-lock", name]);
    }
    hold(&system, "f", "held");
    fs::rename(&pending, &away).expect("moved away");
    put(&system.b, "g", "cannot be held");
    let says = |words: &str| system.ok(&["status"]).contains(words);
    until("the status says so", || says("cannot be held at A: cannot write"));
    let receipt = system.json(&["-unlock", "f"]);
    assert_eq!(
        (receipt["agreed"].as_bool(), receipt["applied"].as_array().map(Vec::len)),
        (Some(false), Some(0)),
        "{receipt}"
    );
    let why = receipt["waiting"][0]["reason"].as_str().unwrap_or_default();
    assert!(why.contains("held edit"), "{receipt}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("old"), "nothing was applied");
    assert_eq!(text(&system.a, "g").as_deref(), Some("old"), "g is locked");
    // A server without its queue does not start as if there were none.
    system.stop(&[Side::A]);
    let failed = system.fails(system.command_a());
    assert!(failed.code == 1 && failed.err.contains("pending"), "{failed:?}");
    fs::rename(&away, &pending).expect("moved back");
    system.start_a();
    held(&system, "g", 1);
    system.ok(&["-unlock", "g"]);
    system.agree_on(&[("f", "held"), ("g", "cannot be held")]);
    nothing_is_left(&system, "after all");
}

/// A small file system of its own, which goes with the test.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: &str) -> Option<Mount> {
        let options = format!("size={size},mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        let made = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        made.then(|| Mount(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        let option = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &option]).arg(&self.0).status();
        assert!(status.expect("mount runs").success(), "{option}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A's disk is full when it drains: the queue stays as it is, and goes on when there is room (K22).
#[test]
fn a_drain_onto_a_full_disk_waits_and_goes_on() {
    let mut system = System::new();
    let mount = if is_root() { Mount::tmpfs(&system.a, "24m") } else { None };
    let Some(_mount) = mount else { return skip("a full disk", "it takes root and a mount") };
    system.options_a =
        vec!["--state-dir".into(), system.dir.path().join("state").display().to_string()];
    system.start();
    put(&system.a, "f", "old");
    system.agree();
    system.ok(&["-lock", "f"]);
    let versions: Vec<String> =
        (0..4).map(|n| format!("{n} ") + &as_text(&mut Dice(n), 3_000_000)).collect();
    for version in &versions {
        hold(&system, "f", version);
    }
    // The user fills the disk.
    let filling = vec![0_u8; 64 * 1024];
    let mut file = fs::File::create(system.a.join(".lab3/filling")).expect("a file");
    while std::io::Write::write_all(&mut file, &filling).is_ok() {}
    drop(file);
    let unlock = spawn(&system, &["-unlock", "f", "--json"]);
    until("the status says so", || system.ok(&["status"]).contains("No space left"));
    assert_eq!(text(&system.a, "f").as_deref(), Some("old"));
    assert_eq!(system.held(&["f"]).len(), 4, "the queue is intact");
    fs::remove_file(system.a.join(".lab3/filling")).expect("removed");
    let answer = unlock.wait_with_output().expect("it ended");
    let receipt: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert!(receipt["path"] == "f", "{receipt}");
    until("it goes on by itself", || system.held(&["f"]).is_empty());
    system.agree_on(&[("f", &versions[3])]);
    assert_eq!(system.json(&["locks"])["locks"].as_array().map(Vec::len), Some(0));
    system.stop(&[Side::A, Side::B]);
}

/// A pending directory that is full, or read-only, holds nothing more, and says so; what it has
/// stays, and the rest is held when it can be (K27, K32).
#[test]
fn a_pending_directory_that_takes_no_more_says_so_and_loses_nothing() {
    let mut system = System::new();
    let state = system.dir.path().join("state");
    fs::create_dir_all(state.join("pending")).expect("directories");
    let mount = if is_root() { Mount::tmpfs(&state.join("pending"), "4m") } else { None };
    let Some(mount) = mount else { return skip("a full pending directory", "it takes root") };
    system.options_a = vec!["--state-dir".into(), state.display().to_string()];
    system.options_a.extend(["--min-free".into(), "0".into()]);
    system.start();
    for name in ["f", "g", "h"] {
        put(&system.a, name, "old");
    }
    system.agree();
    for name in ["f", "g", "h"] {
        system.ok(&["-lock", name]);
    }
    let large = as_text(&mut Dice(1), 3_000_000);
    hold(&system, "f", &large);
    put(&system.b, "g", &large);
    let says = |words: &str| system.ok(&["status"]).contains(words);
    until("it is full", || says("No space left"));
    assert_eq!(system.held(&["f"]).len(), 1);
    mount.remount("ro,size=16m");
    put(&system.b, "h", "by b");
    until("it cannot be written", || says("Read-only"));
    assert_eq!(system.held(&[]).len(), 1);
    assert_eq!(text(&system.a, "g").as_deref(), Some("old"));
    mount.remount("rw,size=16m");
    held(&system, "g", 1);
    held(&system, "h", 1);
    for name in ["f", "g", "h"] {
        assert_eq!(system.json(&["-unlock", name])["agreed"], true, "{name}");
    }
    system.agree_on(&[("f", &large), ("g", &large), ("h", "by b")]);
    system.stop(&[Side::A, Side::B]);
}

/// A lock whose time ends while B's user goes on: what was held comes first, in order, then the
/// rest, and nothing twice.
#[test]
fn a_lock_that_ends_while_edits_arrive_keeps_their_order() {
    let system = System::holding(&[("f", "0")]);
    let reader = Reader::of(&system.a, "f");
    let mut versions = vec!["0".to_owned()];
    for round in 0..2 {
        system.ok(&["-lock", "f", "--ttl", "1s"]);
        let mut number = 0;
        until("the lock ends", || {
            number += 1;
            let content = format!("{round} {number}");
            put(&system.b, "f", &content);
            versions.push(content);
            std::thread::sleep(Duration::from_millis(3));
            number % 20 == 0 && system.ok(&["locks", "--json"]).contains("\"locks\":[]")
        });
        system.wait();
    }
    system.agree_on(&[("f", versions.last().expect("some"))]);
    // A file that is being saved in place is empty for a moment, at B, too.
    let seen: Vec<_> = reader.stop().into_iter().filter(|v| v.as_deref() != Some("")).collect();
    in_order("all the time", &seen, &versions);
    nothing_is_left(&system, "after all");
}

/// A locked directory with many files, all edited at once, and moved about by B's user: A's tree
/// stays as it is to the last byte; then it is B's (K11, K12, L1).
#[test]
fn a_locked_directory_under_a_storm_stays_as_it_is() {
    let files: Vec<String> = (0..120).map(|n| format!("top/d/{}/{n}", n % 7)).collect();
    let system = System::started();
    for name in &files {
        put(&system.a, name, "old");
    }
    let before = system.agree();
    system.ok(&["-lock", "top/d"]);
    let mut dice = Dice(8);
    for round in 0..3 {
        for name in &files {
            put(&system.b, name, format!("{round} {name}"));
        }
        trees::rename(&system.b, "top", "moved");
        trees::rename(&system.b, "moved/d", "moved/e");
        let some = &files[dice.below(files.len() as u64) as usize];
        until("something is held", || !system.held(&["top/d"]).is_empty());
        let kept = |name: &Vec<u8>| name.starts_with(b"top/d");
        let now = trees::read(&system.a);
        for (name, node) in before.iter().filter(|(name, _)| kept(name)) {
            assert_eq!(now.get(name), Some(node), "{some}: {}", String::from_utf8_lossy(name));
        }
        trees::rename(&system.b, "moved/e", "moved/d");
        trees::rename(&system.b, "moved", "top");
    }
    let receipt = system.json(&["-unlock", "top/d"]);
    assert_eq!(receipt["agreed"], true, "{}", receipt["waiting"]);
    let nodes = system.agree();
    for name in &files {
        assert_eq!(text(&system.a, name), Some(format!("2 {name}")));
    }
    assert_eq!(nodes.len(), before.len(), "nothing is beside");
    nothing_is_left(&system, "after all");
}

/// Ten thousand held edits are listed, kept over a restart, and drained in order (K27).
#[test]
fn very_many_held_edits_are_drained() {
    let count = if crate::dice::is_full() { 10_000 } else { 600 };
    let mut system = System::holding(&[("d/first", "old")]);
    system.ok(&["-lock", "d"]);
    for number in 0..count {
        put(&system.b, format!("d/{}/{number}", number % 50), format!("{number}"));
    }
    let directories = 50;
    until("all are held", || system.held(&["d"]).len() == count + directories);
    system.kill(Side::A);
    system.start_a();
    system.b_is("connected");
    let held = system.held(&["d"]);
    assert_eq!(held.len(), count + directories);
    let unlock = spawn(&system, &["-unlock", "d", "--json"]);
    let answer = unlock.wait_with_output().expect("it ended");
    let receipt: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    until("all are drained", || system.held(&["d"]).is_empty());
    if receipt["agreed"] == true {
        let seqs: Vec<_> = receipt["applied"].as_array().expect("all").iter().collect();
        assert_eq!(seqs.len(), count + directories);
        assert!(seqs.is_sorted_by_key(|edit| edit["seq"].as_u64()), "in order");
    }
    assert_eq!(system.agree().len(), count + directories + 2);
    nothing_is_left(&system, "after all");
}
