//! Live writers on both sides, in many processes and in all the ways in which programs write,
//! while readers of the other side's files poll; then everything that was written must be somewhere
//! (G1), nothing else may be anywhere (G2), and no reader may have seen anything but whole versions
//! (G4).
//!
//! A short form runs by default. For minutes, with many writers:
//! `LAB3_FULL=1 cargo test --release -p lab3-client --test it torture:: -- --nocapture`, with
//! `LAB3_SEED` and `LAB3_TORTURE_SECONDS` as one likes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::side::Side;

use crate::proxy::Proxy;
use crate::real::Dice;
use crate::server::PATIENCE;
use crate::system::{System, skip};
use crate::torture_check::{Verdict, verdict};
use crate::torture_child::{Role, Task, Worker};
use crate::torture_hand::Hand;
use crate::torture_map::{SLOTS, can_map};
use crate::torture_poller::POLLED;
use crate::torture_token::{line, slot, whole};
use crate::trees;

const WRITERS: [Role; 9] = [
    Role::Logs,
    Role::Saves,
    Role::Editors,
    Role::Trees,
    Role::Moves,
    Role::Maps,
    Role::Shared,
    Role::SharedLogs,
    Role::SharedLogs,
];
/// How long it takes, in the short and in the full form.
const SECONDS: [u64; 2] = [4, 150];
/// How often a writer writes at most, in the short form.
const STEPS: u64 = 400;

/// Whether to run for long.
pub(crate) fn full() -> bool {
    std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1")
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One run.
struct Run {
    seed: u64,
    system: System,
    logs: PathBuf,
    /// Whether the servers run all the time.
    is_calm: bool,
    begin: Instant,
}

impl Run {
    fn new(name: &str, is_calm: bool, mut system: System) -> Run {
        let seed = number("LAB3_SEED").unwrap_or(1);
        eprintln!("torture {name}: LAB3_SEED={seed}");
        if std::env::var_os("LAB3_KEEP").is_some() {
            system.dir.disable_cleanup(true);
            eprintln!("torture {name}: kept in {}", system.dir.path().display());
        }
        let logs = system.dir.path().join("written");
        fs::create_dir(&logs).expect("a directory");
        system.start();
        let run = Run { seed, system, logs, is_calm, begin: Instant::now() };
        run.prepare();
        run
    }

    /// What is there from the start, each side's own written by itself.
    fn prepare(&self) {
        for side in Side::BOTH {
            let root = self.system.root(side);
            let mut hand = Hand::new(root, side, 99, self.seed, &self.logs.join(format!("{side}")));
            let mut put = |path: &str, make: &dyn Fn(&mut Hand) -> String| {
                let content = make(&mut hand);
                trees::put(root, path, content);
            };
            let written = |hand: &mut Hand, way: &dyn Fn(&str) -> String| {
                let token = hand.begin("start", "-");
                hand.acknowledged(&token);
                way(&token)
            };
            let own = format!("from-{side}");
            for name in POLLED {
                let path = format!("{own}/{name}");
                let is_log = name.starts_with("log");
                let way = |t: &str| if is_log { line(t) } else { whole(t, 9) };
                put(&path, &|hand| written(hand, &way));
            }
            let slots = |hand: &mut Hand| (0..SLOTS).map(|_| written(hand, &slot)).collect();
            for name in ["mapped-0", "mapped-1"] {
                put(&format!("{own}/{name}"), &slots);
            }
            for name in ["text-0", "text-1", "text-2", "busy/log"] {
                put(&format!("{own}/{name}"), &|hand| written(hand, &line));
            }
            if side == Side::A {
                for name in ["text-0", "text-1", "text-2", "log-0", "log-1", "log-2"] {
                    put(&format!("both/{name}"), &|hand| written(hand, &line));
                }
                for name in ["whole-0", "whole-1", "whole-2", "again-0", "again-1"] {
                    put(&format!("both/{name}"), &|hand| written(hand, &|t| whole(t, 9)));
                }
                put("both/mapped", &slots);
            }
        }
        self.system.agree();
    }

    fn seconds() -> u64 {
        number("LAB3_TORTURE_SECONDS").unwrap_or(SECONDS[usize::from(full())])
    }

    fn task(&self, role: Role, side: Side, id: u64) -> Task {
        Task {
            role,
            side,
            id,
            seed: self.seed,
            steps: if full() { u64::MAX } else { STEPS },
            seconds: Run::seconds(),
            root: self.system.root(side).to_owned(),
            log: self.logs.join(format!("{role:?}-{side}{id}")),
        }
    }

    /// Starts the pollers and the writers of both sides.
    fn start(&self) -> (Vec<Worker>, Vec<Worker>) {
        let (mut pollers, mut writers) = (Vec::new(), Vec::new());
        for side in Side::BOTH {
            for id in 0..if full() { 2 } else { 1 } {
                // A poller's steps are the microseconds between two rounds.
                let steps = if full() && id == 0 { 0 } else { 500 };
                pollers.push(Task { steps, ..self.task(Role::Poller, side, 50 + id) }.start());
            }
            for (id, role) in WRITERS.into_iter().enumerate() {
                writers.push(self.task(role, side, id as u64 + 1).start());
            }
        }
        (pollers, writers)
    }

    /// Waits for the writers, for peace, and for the pollers; then judges.
    #[track_caller]
    fn end(&self, pollers: Vec<Worker>, writers: Vec<Worker>) -> Verdict {
        writers.into_iter().for_each(Worker::ended);
        self.system.ok(&["scrub"]);
        let end = Instant::now() + PATIENCE * if full() { 10 } else { 1 };
        // What failed is named as waiting, and tried again a second later.
        while self.system.lab3(&["wait", "--timeout", "10s"]).code != 0 && Instant::now() < end {}
        let nodes = self.system.agree();
        pollers.into_iter().for_each(Worker::told_to_end);
        verdict(&self.system, &nodes, &self.logs, self.is_calm)
    }

    #[track_caller]
    fn report(&self, name: &str, verdict: &Verdict) {
        let seconds = self.begin.elapsed().as_secs();
        let seed = self.seed;
        eprintln!("torture {name}, seed {seed}: {}, {seconds} s", verdict.line);
        assert!(
            verdict.complaints.is_empty(),
            "{}\nto run it again: LAB3_SEED={seed} cargo test -p lab3-client --test it torture::",
            verdict.complaints.join("\n")
        );
    }
}

/// The whole load, and servers that run all the time (G1, G2, G4; E01-E06, E15, E16, S08, M08).
#[test]
fn live_writers_lose_nothing_and_readers_see_whole_versions() {
    let name = "live_writers_lose_nothing_and_readers_see_whole_versions";
    if !can_map() {
        skip(name, "python3 is not installed, so nothing is stored through mappings");
    }
    let run = Run::new("calm", true, System::new());
    let (pollers, writers) = run.start();
    let verdict = run.end(pollers, writers);
    run.report("calm", &verdict);
    assert_eq!(verdict.copies_own, Vec::<String>::new(), "one side alone wrote these");
}

/// The same, while servers are killed and the link is cut at random moments (G5, G6 under load).
#[test]
fn live_writers_lose_nothing_to_kills_and_cuts() {
    let mut system = System::new();
    let proxy = Proxy::to(system.port_b);
    system.peer = proxy.port;
    let mut run = Run::new("faults", false, system);
    let (pollers, writers) = run.start();
    let mut dice = Dice(run.seed.wrapping_mul(77) | 1);
    let end = Instant::now() + Duration::from_secs(Run::seconds());
    let (mut kills, mut cuts) = (0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(dice.below(700)));
        if dice.below(3) == 0 {
            proxy.cut_after(dice.below(60_000));
            cuts += 1;
            continue;
        }
        let sides: &[Side] =
            [&[Side::A][..], &[Side::B], &[Side::A, Side::B]][dice.below(3) as usize];
        sides.iter().for_each(|side| run.system.kill(*side));
        run.system.restart(sides);
        kills += sides.len();
    }
    proxy.mend();
    let verdict = run.end(pollers, writers);
    // Files of one side in a directory that is renamed on and on may get a copy too many, still.
    let copies = &verdict.copies_own;
    let count = copies.len();
    eprintln!("copies too many: {copies:?}");
    run.report(&format!("faults: {kills} kills, {cuts} cuts, {count} copies too many"), &verdict);
}
