//! The processes of the torture: this test program run again, as a writer or as a poller.
//!
//! A child ends when its standard input does, so none outlives the test that started it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::side::Side;

use crate::torture_hand::Hand;
use crate::torture_map::Maps;
use crate::torture_poller;
use crate::torture_ways::{self as ways, Logs};

const ENV: &str = "LAB3_TEST_TORTURE";

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Appends to logs that nobody else has.
    Logs,
    /// Saves files that the other side polls.
    Saves,
    /// Edits texts.
    Editors,
    /// Makes, links, copies, moves and removes.
    Trees,
    /// Renames a directory that `Trees` works in.
    Moves,
    /// Stores through mappings.
    Maps,
    /// Saves, edits and removes files that the other side's users write, too.
    Shared,
    /// Appends to logs to which many append, at both sides.
    SharedLogs,
    /// Reads what the other side's users write.
    Poller,
}

const ROLES: [Role; 9] = [
    Role::Logs,
    Role::Saves,
    Role::Editors,
    Role::Trees,
    Role::Moves,
    Role::Maps,
    Role::Shared,
    Role::SharedLogs,
    Role::Poller,
];

/// What a child is told.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) side: Side,
    pub(crate) id: u64,
    pub(crate) seed: u64,
    /// It ends after so many steps or so long, whatever is first.
    pub(crate) steps: u64,
    pub(crate) seconds: u64,
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
}

/// A running child.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    name: String,
}

impl Task {
    fn encode(&self) -> String {
        let role = ROLES.iter().position(|role| *role == self.role).expect("listed");
        let (root, log) = (self.root.display(), self.log.display());
        let Task { side, id, seed, steps, seconds, .. } = self;
        format!("{role}\t{side}\t{id}\t{seed}\t{steps}\t{seconds}\t{root}\t{log}")
    }

    fn decode(text: &str) -> Task {
        let words: Vec<&str> = text.split('\t').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        Task {
            role: ROLES[number(0) as usize],
            side: if words[1] == "A" { Side::A } else { Side::B },
            id: number(2),
            seed: number(3),
            steps: number(4),
            seconds: number(5),
            root: Path::new(words[6]).to_owned(),
            log: Path::new(words[7]).to_owned(),
        }
    }

    /// Starts the child.
    pub(crate) fn start(&self) -> Worker {
        let mut command = Command::new(std::env::current_exe().expect("this test program"));
        command
            .args(["--exact", "torture_child::child_that_writes_or_polls", "--nocapture"])
            .env(ENV, self.encode())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("a child runs");
        let input = child.stdin.take();
        Worker { child, input, name: format!("{:?} {}{}", self.role, self.side, self.id) }
    }
}

impl Worker {
    /// Waits until it has done all its steps.
    pub(crate) fn ended(mut self) {
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Tells it to end, and waits.
    pub(crate) fn told_to_end(mut self) {
        drop(self.input.take());
        self.ended();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already cannot be killed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A writer or a poller, when it is run as a child of the torture.
#[test]
fn child_that_writes_or_polls() {
    let Ok(text) = std::env::var(ENV) else { return };
    let task = Task::decode(&text);
    let told = Arc::new(AtomicBool::new(false));
    let ours = told.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ours.store(true, Ordering::SeqCst);
    });
    if task.role == Role::Poller {
        torture_poller::poll(&task, &told);
    } else {
        write(&task, &told);
    }
    std::io::stdout().flush().expect("said");
}

fn write(task: &Task, told: &AtomicBool) {
    let mut hand = Hand::new(&task.root, task.side, task.id, task.seed, &task.log);
    let (mut logs, mut maps) = (Logs::default(), Maps::default());
    let end = Instant::now() + Duration::from_secs(task.seconds);
    let mut left = task.steps;
    while left > 0 && Instant::now() < end && !told.load(Ordering::SeqCst) {
        left -= 1;
        step(task.role, &mut hand, &mut logs, &mut maps);
        // Now a burst, now as people do.
        match hand.dice.below(10) {
            0 => hand.pause(80_000),
            1..=5 => hand.pause(10_000),
            _ => {}
        }
    }
}

fn step(role: Role, hand: &mut Hand, logs: &mut Logs, maps: &mut Maps) {
    let own = format!("from-{}", hand.side);
    let number = hand.dice.below(3);
    let any = hand.dice.below(20);
    match role {
        Role::Logs => ways::log(hand, logs, &format!("{own}/log-{}", number % 2), any < 10),
        Role::Saves => match any {
            0..=9 => ways::save_over(hand, &format!("{own}/whole-{number}")),
            10..=13 => ways::save_over(hand, &format!("{own}/swap-{}", number % 2)),
            14..=16 => ways::exchange(hand, &format!("{own}/swap-0"), &format!("{own}/swap-1")),
            _ => ways::rewrite(hand, &format!("{own}/inplace-{}", number % 2)),
        },
        Role::Editors => ways::edit(hand, &format!("{own}/text-{number}")),
        Role::Trees => ways::tree(hand, &own),
        Role::Moves => ways::move_directory(hand, &own),
        Role::Maps => match any {
            0..=13 => maps.store(hand, &format!("{own}/mapped-{}", number % 2)),
            _ => maps.store(hand, "both/mapped"),
        },
        Role::Shared => match any {
            0..=4 => ways::edit(hand, &format!("both/text-{number}")),
            5..=8 => ways::save_over(hand, &format!("both/whole-{number}")),
            9..=12 => ways::rewrite(hand, &format!("both/whole-{number}")),
            13..=15 => ways::make_again(hand, &format!("both/again-{number}")),
            16 => drop(hand.remove(&format!("both/again-{number}"), b"")),
            17 => ways::exchange(hand, "both/whole-0", "both/whole-1"),
            18 => ways::attributes(hand, &format!("both/whole-{number}")),
            _ => ways::attributes(hand, &format!("both/log-{number}")),
        },
        Role::SharedLogs => ways::log(hand, logs, &format!("both/log-{number}"), any < 5),
        Role::Poller => {}
    }
}
