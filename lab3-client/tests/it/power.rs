//! The power goes at every step of everything that moves something, and comes back.
//!
//! The root of one side, or of both, is on a disk of its own (`power_disk`); a server there is
//! stopped at one call of one thread (`power_stop`), the power goes, the server is killed, and all
//! starts again. What a careful user did is on both sides in the end, whatever was cut. On the disk
//! itself every path is the old or the new version, whole; and A's archive never says more than
//! both disks do.
//!
//! By default a few cases, from a seed. Every step of everything takes hours:
//! `LAB3_FULL=1 cargo test --release -p lab3-client --test it power -- --nocapture`. One case:
//! `LAB3_POWER='B replace A careful B commit 3 nothing' cargo test -p lab3-client power_one`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use common::digest::Digest;
use common::entry::Entry;
use common::side::Side;
use common::store;
use rustix::process::Signal;

use crate::power_acts::{ACTS, Act, flush};
use crate::power_disk::{Disk, Last};
use crate::power_stop::Stop;
use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{self, Node, Nodes};

/// Which roots are on the disk that loses its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    One(Side),
    Both,
}

impl Cut {
    const ALL: [Cut; 3] = [Cut::One(Side::A), Cut::One(Side::B), Cut::Both];

    pub(crate) fn sides(self) -> Vec<Side> {
        match self {
            Cut::One(side) => vec![side],
            Cut::Both => Side::BOTH.to_vec(),
        }
    }

    pub(crate) fn has(self, side: Side) -> bool {
        self.sides().contains(&side)
    }

    pub(crate) fn parse(word: &str) -> Option<Cut> {
        Cut::ALL.into_iter().find(|known| known.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Cut::One(Side::A) => "A",
            Cut::One(Side::B) => "B",
            Cut::Both => "both",
        }
    }
}

/// Where a server is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) side: Side,
    pub(crate) thread: &'static str,
    pub(crate) call: u32,
}

/// The threads of a side that change something on its disk.
const THREADS: [(Side, &str); 7] = [
    (Side::A, "commit"),
    (Side::A, "receive"),
    (Side::A, "saver"),
    (Side::A, "flushing"),
    (Side::B, "commit"),
    (Side::B, "receive"),
    (Side::B, "flushing"),
];

/// One case.
#[derive(Clone, Copy)]
struct Case {
    cut: Cut,
    act: &'static Act,
    /// Whose user does it.
    user: Side,
    /// Whether he flushes what he did.
    careful: bool,
    step: Step,
    last: Last,
}

impl Case {
    /// How it is run again.
    fn replay(&self) -> String {
        let Case { cut, act, user, step, last, .. } = self;
        let Step { side, thread, call } = step;
        let (cut, name, last) = (cut.word(), act.name, last.word());
        let care = if self.careful { "careful" } else { "careless" };
        format!("LAB3_POWER='{cut} {name} {user} {care} {side} {thread} {call} {last}'")
    }

    fn parse(text: &str) -> Option<Case> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [cut, act, user, care, side, thread, call, last] = words.try_into().ok()?;
        let side_of = |word: &str| Side::BOTH.into_iter().find(|side| side.to_string() == word);
        let thread = THREADS.iter().find(|(_, name)| *name == thread)?.1;
        Some(Case {
            cut: Cut::parse(cut)?,
            act: ACTS.iter().find(|known| known.name == act)?,
            user: side_of(user)?,
            careful: care == "careful",
            step: Step { side: side_of(side)?, thread, call: call.parse().ok()? },
            last: Last::BOTH.into_iter().find(|known| known.word() == last)?,
        })
    }
}

/// Both sides, and the disk under one or both of them.
pub(crate) struct World {
    pub(crate) system: System,
    pub(crate) disk: Disk,
    pub(crate) cut: Cut,
    number: u32,
}

impl World {
    /// Both servers, with the roots of some sides on a disk of their own.
    pub(crate) fn new(cut: Cut, options: &[&str]) -> Result<World, String> {
        if !Stop::is_possible() {
            return Err("needs strace".to_owned());
        }
        let disk = Disk::new(256, &[])?;
        let mut system = System::new();
        for side in cut.sides() {
            let root = disk.place().join(side.to_string());
            fs::create_dir(&root).expect("a root");
            match side {
                Side::A => system.a = root,
                Side::B => system.b = root,
            }
        }
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        (system.options_a, system.options_b) = (options.clone(), options);
        // Here everything is deleted again and again.
        system.options_a.extend(["--loss-files".to_owned(), "1000000".to_owned()]);
        system.start();
        Ok(World { system, disk, cut, number: 0 })
    }

    /// A directory that was not there before.
    pub(crate) fn fresh(&mut self) -> String {
        self.number += 1;
        format!("case-{}", self.number)
    }

    /// The power goes, and with it the servers; then it is back, and nothing runs yet.
    pub(crate) fn cut(&mut self, last: Last) {
        for side in self.cut.sides() {
            self.system.server(side).signal(Signal::STOP);
        }
        self.disk.cut(last);
        for side in self.cut.sides() {
            self.system.kill(side);
        }
        self.disk.back();
    }

    /// The servers start again.
    pub(crate) fn start(&mut self) {
        let sides = self.cut.sides();
        for side in [Side::B, Side::A].into_iter().filter(|side| sides.contains(side)) {
            self.system.restart(&[side]);
        }
    }

    /// Waits for the stop, or for the end of everything; answers whether it was the stop.
    pub(crate) fn stopped(&self, stop: &Stop) -> bool {
        let mut client = self.system.client("ann@mill", &["wait", "--timeout", "120s"]);
        let mut waiting =
            client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the client runs");
        let (mut stopped, mut ended) = (false, None);
        until("the step, or the end", || {
            stopped = stop.has_stopped();
            ended = waiting.try_wait().expect("a child");
            stopped || ended.is_some()
        });
        drop(waiting.kill());
        waiting.wait().expect("a child");
        if !stopped && !ended.is_some_and(|status| status.success()) {
            panic!("wait ended: {ended:?}: {}", self.system.json(&["status"]));
        }
        // It may be on its way to stop while the client is answered.
        stopped || stop.has_stopped()
    }

    /// Nothing is half done, and nothing is left to complain of.
    #[track_caller]
    pub(crate) fn is_at_rest(&self) {
        for side in Side::BOTH {
            let stage = self.system.root(side).join(".lab3/stage");
            let left: Vec<_> = fs::read_dir(stage).expect("a directory").collect();
            assert!(left.is_empty(), "half done at {side}: {left:?}");
        }
        let status = self.system.json(&["status"]);
        assert!(status["halted"].is_null(), "{status}");
        assert_eq!(status["problems"].as_array().map(Vec::len), Some(0), "{status}");
    }

    /// What A's archive says about a directory, read from a copy.
    pub(crate) fn archive(&self, below: &str) -> Vec<(String, Entry)> {
        let copy = self.system.dir.path().join("store-copy");
        fs::copy(self.system.a.join(".lab3/store"), &copy).expect("a copy");
        let opened = store::open(&copy, store::Durability::Strict).expect("the store opens");
        assert!(opened.set_aside.is_none(), "a power cut damaged the store");
        let rows = opened.store.load_archive().expect("the archive");
        assert!(rows.dropped.is_empty(), "a power cut damaged rows");
        let start = format!("{below}/");
        let rows = rows.rows.iter().map(|(path, entry)| (path.to_string(), entry.clone()));
        rows.filter(|(path, _)| path.starts_with(&start)).collect()
    }
}

/// What is below a directory of a root; nothing when it is not there.
pub(crate) fn below(root: &Path, name: &str) -> Nodes {
    let directory: PathBuf = if name.is_empty() { root.to_owned() } else { root.join(name) };
    if directory.exists() { trees::read(&directory) } else { Nodes::new() }
}

/// The content of a name, when it has one.
fn content(nodes: &Nodes, name: &[u8]) -> Option<Vec<u8>> {
    nodes.get(name).and_then(content_of)
}

fn content_of(node: &Node) -> Option<Vec<u8>> {
    match node {
        Node::File { content, .. } => Some(content.clone()),
        _ => None,
    }
}

/// Runs one case; answers whether the step was reached before the end.
fn run(world: &mut World, case: &Case) -> bool {
    let name = world.fresh();
    let user = world.system.root(case.user).to_owned();
    fs::create_dir(user.join(&name)).expect("a directory");
    (case.act.before)(&user.join(&name));
    flush(&user.join(&name));
    File::open(&user).and_then(|dir| dir.sync_all()).expect("flushed");
    world.system.agree();
    let before = below(&user, &name);
    let stop = Stop::at(world.system.server(case.step.side), case.step.thread, case.step.call);
    (case.act.act)(&user.join(&name));
    if case.careful {
        flush(&user.join(&name));
    }
    let after = below(&user, &name);
    let stopped = world.stopped(&stop);
    let glimpse = |side: Side| trees::read_moving(&world.system.root(side).join(&name));
    let seen = Side::BOTH.map(glimpse);
    world.cut(case.last);
    drop(stop);
    // What he did not flush may be gone where he did it, until it was agreed.
    let lost = !case.careful && stopped;
    whole(world, &name, [&before, &after], lost.then_some(case.user));
    honest(world, &name, &before, &after, stopped);
    world.start();
    let ended = world.system.agree();
    for side in Side::BOTH {
        let found = below(world.system.root(side), &name);
        let differing = trees::differences(&found, &after);
        assert!(lost || differing.is_empty(), "{side} has {found:?}, and should have {after:?}");
    }
    for (side, seen) in Side::BOTH.into_iter().zip(seen) {
        // Elsewhere nothing that had arrived is lost.
        if !world.cut.has(side) {
            for path in seen.keys().filter(|path| before.get(*path) != seen.get(*path)) {
                let has = |node: &Node| content_of(node) == content(&seen, path);
                assert!(ended.values().any(has), "{:?} is lost", String::from_utf8_lossy(path));
            }
        }
    }
    world.is_at_rest();
    if case.step.call.is_multiple_of(8) {
        trees::remove(&user, &name);
    }
    stopped
}

/// On the disk that lost its power every path is one of its versions, whole, or not yet there.
/// Where a user did not flush what he wrote it may be anything that he and the kernel made of it.
#[track_caller]
fn whole(world: &World, name: &str, versions: [&Nodes; 2], careless: Option<Side>) {
    let careful = |side: &Side| careless != Some(*side);
    for side in world.cut.sides().into_iter().filter(careful) {
        let found = below(world.system.root(side), name);
        for path in found.keys() {
            let now = content(&found, path);
            let lawful = versions.map(|nodes| content(nodes, path)).contains(&now);
            let shown = String::from_utf8_lossy(path);
            let now =
                now.map(|now| String::from_utf8_lossy(&now[..now.len().min(40)]).into_owned());
            assert!(now.is_none() || lawful, "{side}: {shown} is {now:?}");
        }
    }
}

/// What A's archive says is on both disks; everything, when the client was told so.
#[track_caller]
fn honest(world: &World, name: &str, before: &Nodes, after: &Nodes, stopped: bool) {
    let archive = world.archive(name);
    for side in Side::BOTH {
        let found = below(world.system.root(side), name);
        if !stopped {
            let differing = trees::differences(&found, after);
            assert!(differing.is_empty(), "{side} had agreed to {after:?}, and has {found:?}");
        }
        let mut said = BTreeSet::new();
        for (path, entry) in &archive {
            let path = &path.as_bytes()[name.len() + 1..];
            said.insert(path.to_vec());
            let digest = entry.as_file().map(|file| file.digest);
            let is = |nodes: &Nodes| {
                let bytes = content(nodes, path);
                nodes.contains_key(path) && bytes.map(|bytes| Digest::of(&bytes)) == digest
            };
            let shown = String::from_utf8_lossy(path);
            assert!(is(&found) || is(before), "{side}: {shown} is agreed and not on the disk");
        }
        let gone = before.keys().filter(|path| !after.contains_key(*path) && !said.contains(*path));
        for path in gone {
            let shown = String::from_utf8_lossy(path);
            assert!(!found.contains_key(path), "{side}: that {shown} is gone was agreed");
        }
    }
}

/// Runs every step of these, or of the one that `LAB3_POWER_ACT` names, in order; answers how many
/// cases that were.
fn sweep(cut: Cut, acts: &'static [Act]) -> u32 {
    let mut cases = 0;
    let only = std::env::var("LAB3_POWER_ACT").ok();
    for act in acts.iter().filter(|act| only.as_ref().is_none_or(|name| name == act.name)) {
        for variant in 0..8 {
            let (user, last) = (Side::BOTH[variant % 2], Last::BOTH[variant / 2 % 2]);
            let careful = variant / 4 == 0;
            let mut world = World::new(cut, &[]).expect("a disk");
            for (side, thread) in THREADS.into_iter().filter(|(side, _)| cut.has(*side)) {
                for call in 1.. {
                    let step = Step { side, thread, call };
                    cases += 1;
                    if !told(&mut world, &Case { cut, act, user, careful, step, last }) {
                        break;
                    }
                }
            }
        }
        eprintln!("power cuts of {}: {cases} cases until {}", cut.word(), act.name);
    }
    cases
}

/// Runs a case, and says which it was when it fails.
fn told(world: &mut World, case: &Case) -> bool {
    struct Telling(String);
    impl Drop for Telling {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("again: {}", self.0);
            }
        }
    }
    let _telling = Telling(case.replay());
    run(world, case)
}

/// A few cases, from a seed.
fn sample(cut: Cut, seed: u64, count: u32) -> u32 {
    let mut world = World::new(cut, &[]).expect("a disk");
    let mut state = seed;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (state >> 33) as usize % most
    };
    let threads: Vec<_> = THREADS.iter().filter(|(side, _)| cut.sides().contains(side)).collect();
    for _ in 0..count {
        let act = &ACTS[below(ACTS.len())];
        let (side, thread) = *threads[below(threads.len())];
        let step = Step { side, thread, call: 1 + below(12) as u32 };
        let (user, last) = (Side::BOTH[below(2)], Last::BOTH[below(2)]);
        let careful = below(3) > 0;
        told(&mut world, &Case { cut, act, user, careful, step, last });
    }
    count
}

fn machine(test: &str, cut: Cut) {
    if let Err(why) = World::new(cut, &[]) {
        return skip(test, &why);
    }
    let started = Instant::now();
    let cases = match std::env::var_os("LAB3_FULL") {
        Some(_) => sweep(cut, &ACTS),
        None => sample(cut, 1, 12),
    };
    assert!(cases > 0, "nothing was tried");
    let seconds = started.elapsed().as_secs();
    eprintln!("power cuts of {}: {cases} cases, {seconds} s, nothing lost", cut.word());
}

/// Whatever step of A or of its archive the power takes: every path is whole, nothing is called
/// agreed that is not on the disk, and what users did is on both sides in the end (C11, C12, G5).
#[test]
fn a_power_cut_of_a_at_any_step_loses_nothing() {
    machine("a_power_cut_of_a_at_any_step_loses_nothing", Cut::One(Side::A));
}

/// The same of B.
#[test]
fn a_power_cut_of_b_at_any_step_loses_nothing() {
    machine("a_power_cut_of_b_at_any_step_loses_nothing", Cut::One(Side::B));
}

/// The same of both at once.
#[test]
fn a_power_cut_of_both_at_any_step_loses_nothing() {
    machine("a_power_cut_of_both_at_any_step_loses_nothing", Cut::Both);
}

/// No user flushes what he does. When it is agreed it is on the disk of both sides all the same:
/// the content, and that a name is new, elsewhere or gone (P16, C11, C12).
#[test]
fn what_is_agreed_is_on_the_disk_though_its_user_flushed_nothing() {
    let test = "what_is_agreed_is_on_the_disk_though_its_user_flushed_nothing";
    for side in Side::BOTH {
        let mut world = match World::new(Cut::One(side), &[]) {
            Ok(world) => world,
            Err(why) => return skip(test, &why),
        };
        for act in &ACTS {
            let step = Step { side, thread: "flushing", call: 9999 };
            let (cut, last) = (world.cut, Last::Nothing);
            told(&mut world, &Case { cut, act, user: side, careful: false, step, last });
        }
    }
}

/// The case that `LAB3_POWER` names.
#[test]
fn power_one() {
    let Ok(text) = std::env::var("LAB3_POWER") else { return };
    let case = Case::parse(&text).expect("a case");
    let mut world = World::new(case.cut, &[]).expect("a disk");
    let stopped = told(&mut world, &case);
    eprintln!("{}: {}", case.replay(), if stopped { "stopped there" } else { "not reached" });
}
