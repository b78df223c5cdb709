//! What users do while a server ends at a call: small scenarios, each with what must come of it.

use common::side::Side::{A, B};

use crate::sweep_round::Round;
use crate::trees::chmod;

/// When the calls are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// While users do something.
    Running,
    /// While the server starts and finds what users did meanwhile.
    Starting,
    /// While it is told to stop.
    Stopping,
}

/// What is agreed on before, what users do, and what holds after.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) when: When,
    pub(crate) before: fn(&mut Round),
    pub(crate) act: fn(&mut Round),
    /// What users do when the server is gone.
    pub(crate) meanwhile: Option<fn(&mut Round)>,
    pub(crate) check: fn(&Round),
}

const fn running(name: &'static str, before: fn(&mut Round), act: fn(&mut Round)) -> Scenario {
    Scenario { name, when: When::Running, before, act, meanwhile: None, check: |_| {} }
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    running("create", |_| {}, create),
    running("replace", small_files, replace),
    running("replace-large", |_| {}, large),
    running("delta", versions, delta),
    running("delete", more_than_goes, delete),
    running("rename", small_files, rename),
    running("rename-dir", directories, rename_dir),
    running("kinds", directories, kinds),
    Scenario { check: modes, ..running("metadata", small_files, metadata) },
    running("conflict", small_files, conflict),
    Scenario { meanwhile: Some(goes_on), ..running("goes-on", small_files, edit_by_a) },
    Scenario { check: drained, ..running("lock", one_file, lock) },
    Scenario { check: drained, ..running("drain", held_edits, drain) },
    Scenario { when: When::Starting, ..running("initial", |_| {}, thirty) },
    Scenario { when: When::Starting, ..running("start", small_files, everything) },
    Scenario { when: When::Stopping, ..running("stop", small_files, replace) },
];

fn small_files(round: &mut Round) {
    for name in ["a.txt", "b.txt", "d/a.txt", "d/b.txt", "e/a.txt", "e/b.txt"] {
        round.save(A, name, format!("{name}, the first version"));
    }
    round.settle();
}

/// A root that loses all that it holds halts, which is another law.
fn more_than_goes(round: &mut Round) {
    round.save(A, "stays", "what nobody touches");
    small_files(round);
}

fn create(round: &mut Round) {
    round.save(A, "by_a", "made at a");
    round.save(B, "by_b", "made at b");
    round.save(A, "new_a/deep/file", "made below at a");
    round.save(B, "new_b/deep/file", "made below at b");
    round.link(A, "by_a", "link_a");
    round.link(B, "by_b", "link_b");
}

fn replace(round: &mut Round) {
    round.read_always("a.txt");
    round.read_always("d/b.txt");
    round.save(A, "a.txt", "a.txt, the second version");
    round.save(B, "d/b.txt", "d/b.txt, the second version");
}

/// Bytes that nothing compresses or repeats.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        bytes.extend((state >> 16).to_le_bytes()[..6].iter());
    }
    bytes.truncate(size);
    bytes
}

fn large(round: &mut Round) {
    round.save(A, "large_a", noise(1, 150_000));
    round.save(B, "large_b", noise(2, 150_000));
}

fn versions(round: &mut Round) {
    round.save(A, "large_a", noise(1, 400_000));
    round.save(B, "large_b", noise(2, 400_000));
    round.settle();
}

fn delta(round: &mut Round) {
    for (side, name, seed) in [(A, "large_a", 1), (B, "large_b", 2)] {
        round.read_always(name);
        let mut content = noise(seed, 400_000);
        content.splice(200_000..200_100, *b"something else");
        round.save(side, name, content);
    }
}

fn delete(round: &mut Round) {
    round.remove(A, "a.txt");
    round.remove(B, "b.txt");
    round.remove(A, "d");
    round.remove(B, "e");
}

fn rename(round: &mut Round) {
    round.rename(A, "a.txt", "renamed_a");
    round.rename(B, "b.txt", "renamed_b");
    round.rename(A, "d/a.txt", "e/moved_a");
    round.rename(B, "e/b.txt", "d/moved_b");
}

fn directories(round: &mut Round) {
    for name in ["p/1", "p/2", "q/r/3", "q/4", "s/5", "file_a", "file_b"] {
        round.save(B, name, format!("{name}, the first version"));
    }
    round.link(A, "file_a", "link");
    round.settle();
}

fn rename_dir(round: &mut Round) {
    round.rename(A, "p", "renamed_p");
    round.rename(B, "q", "s/moved_q");
}

fn kinds(round: &mut Round) {
    round.remove(A, "file_a");
    round.save(A, "file_a/inside", "a directory now");
    round.remove(B, "file_b");
    round.link(B, "p/1", "file_b");
    round.remove(A, "q");
    round.save(A, "q", "a file now");
    round.remove(B, "s");
    round.link(B, "p", "s");
    round.remove(B, "link");
    round.save(B, "link", "no link any more");
}

fn metadata(round: &mut Round) {
    chmod(&round.system.a, "a.txt", 0o600);
    chmod(&round.system.b, "b.txt", 0o755);
    crate::trees::set_modified(&round.system.b, "d/a.txt", std::time::Duration::from_secs(99));
}

fn modes(round: &Round) {
    for side in [A, B] {
        assert_eq!(round.mode(side, "a.txt"), 0o600);
        assert_eq!(round.mode(side, "b.txt"), 0o755);
    }
}

/// Both edit the same file before either hears of the other.
fn conflict(round: &mut Round) {
    round.pause();
    round.save_at(B, "a.txt", "older, by b", 1_600_000_000);
    round.save_at(A, "a.txt", "newer, by a", 1_700_000_000);
    round.gives_way("a.txt", "older, by b", "newer, by a");
    round.save_at(A, "b.txt", "older, by a", 1_600_000_000);
    round.save_at(B, "b.txt", "newer, by b", 1_700_000_000);
    round.gives_way("b.txt", "older, by a", "newer, by b");
    round.go_on();
}

fn edit_by_a(round: &mut Round) {
    round.save(A, "a.txt", "a.txt, the second version");
}

/// The same user saves the same file again while the server is gone.
fn goes_on(round: &mut Round) {
    round.save(A, "a.txt", "a.txt, the third version");
}

fn one_file(round: &mut Round) {
    round.save(A, "f", "0");
    round.settle();
}

const EDITS: [&str; 3] = ["1", "22", "333"];

fn lock(round: &mut Round) {
    round.command(&["-lock", "f"]);
    for (count, content) in EDITS.iter().enumerate() {
        round.save(B, "f", content);
        round.until_held(count + 1);
    }
    assert_eq!(std::fs::read(round.system.a.join("f")).ok(), Some(b"0".to_vec()), "A's own");
    round.command(&["-unlock", "f"]);
}

fn held_edits(round: &mut Round) {
    one_file(round);
    round.command(&["-lock", "f"]);
    for (count, content) in EDITS.iter().enumerate() {
        round.save(B, "f", content);
        round.until_held(count + 1);
    }
}

fn drain(round: &mut Round) {
    round.command(&["-unlock", "f"]);
}

/// Each held edit was applied once: it, or what it replaced, is in A's trash once.
fn drained(round: &Round) {
    // What could not be read went beside the file instead.
    if round.fails && round.extra > 0 {
        return;
    }
    assert_eq!(round.replaced_at_a("f"), ["0", "1", "22"]);
}

fn thirty(round: &mut Round) {
    for number in 0..12 {
        round.save(A, &format!("a{}/file_{number}", number % 3), format!("by a, {number}"));
        round.save(B, &format!("b{}/file_{number}", number % 3), format!("by b, {number}"));
    }
    round.save(A, "same", "on both sides");
    round.save(B, "same", "on both sides");
    round.save(A, "large", noise(3, 100_000));
    round.link(B, "same", "link");
}

fn everything(round: &mut Round) {
    create(round);
    round.save(A, "a.txt", "a.txt, the second version");
    round.save(B, "d/b.txt", "d/b.txt, the second version");
    round.remove(A, "d/a.txt");
    round.remove(B, "e/a.txt");
    round.rename(A, "e/b.txt", "renamed_a");
    round.rename(B, "b.txt", "renamed_b");
}
