//! Many clients at once: one lock has one holder, and an index means one file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::side::Side;

use crate::dice::{Dice, is_full, seed};
use crate::fire_history::{Event, Op, is_linearizable};
use crate::fire_watch::nothing_is_left;
use crate::system::System;
use crate::trees::{put, remove, rename};

/// A hundred clients who want one file at once: one has it, the others hear 4; who has it gives it
/// back, and all that they heard can have happened one after the other.
#[test]
fn of_a_hundred_who_lock_one_file_one_has_it() {
    const CLIENTS: usize = 100;
    let rounds = if is_full() { 10 } else { 1 };
    let system = Arc::new(System::holding(&[("f", "old"), ("g", "old")]));
    for round in 0..rounds {
        let (gate, begun) = (Arc::new(Barrier::new(CLIENTS)), Instant::now());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|who| {
                let (system, gate) = (system.clone(), gate.clone());
                std::thread::spawn(move || {
                    let holder = format!("user{who}@mill");
                    system.lab3_as(&holder, &[]);
                    gate.wait();
                    let ask = |op, args: &[&str]| {
                        let begin = begun.elapsed().as_nanos() as u64;
                        let ran = system.lab3_as(&holder, args);
                        let end = begun.elapsed().as_nanos() as u64;
                        assert!([0, 4].contains(&ran.code), "{holder} {args:?}: {ran:?}");
                        Event { who, op, done: ran.code == 0, begin, end }
                    };
                    // One half by index, the other by path.
                    let name = if who % 2 == 0 { "0" } else { "f" };
                    let mut heard = Vec::new();
                    for _ in 0..2 {
                        heard.push(ask(Op::Lock, &["-lock", name]));
                        if heard.last().is_some_and(|event| event.done) {
                            heard.push(ask(Op::Unlock, &["-unlock", name]));
                        }
                    }
                    heard
                })
            })
            .collect();
        let history: Vec<Event> =
            clients.into_iter().flat_map(|client| client.join().expect("it asked")).collect();
        let wins = history.iter().filter(|event| event.op == Op::Lock && event.done).count();
        eprintln!("fire: round {round}: {} answers, {wins} locks", history.len());
        assert!(wins >= 1, "nobody had it");
        assert!(is_linearizable(&history), "{history:?}");
        nothing_is_left(&system, "after the crowd");
    }
}

/// Which content stood at a name, from when on, and since when there is such a content.
#[derive(Default)]
struct Names {
    stood: BTreeMap<String, Vec<(u64, Option<u64>)>>,
    made: BTreeMap<u64, u64>,
}

impl Names {
    fn set(&mut self, at: u64, name: &str, file: Option<u64>) {
        self.stood.entry(name.to_owned()).or_default().push((at, file));
        if let Some(file) = file {
            self.made.entry(file).or_insert(at);
        }
    }

    fn now(&self, name: &str) -> Option<u64> {
        self.stood.get(name)?.last()?.1
    }

    /// Whether a listing that was asked for then showed it, under any name.
    fn was_shown(&self, file: Option<u64>, from: u64) -> bool {
        file.and_then(|file| self.made.get(&file)).is_none_or(|made| *made <= from)
    }

    /// What stood at a name at some moment between two.
    fn during(&self, name: &str, from: u64, to: u64) -> Vec<Option<u64>> {
        let Some(all) = self.stood.get(name) else { return vec![None] };
        let before = all.iter().rev().find(|(at, _)| *at <= from).and_then(|(_, file)| *file);
        let within = all.iter().filter(|(at, _)| *at > from && *at <= to).map(|(_, file)| *file);
        std::iter::once(before).chain(within).collect()
    }
}

/// What moves files about at one side, and notes it, until it is told to stop.
struct Mover {
    side: Side,
    root: PathBuf,
    begun: Instant,
    names: Arc<Mutex<Names>>,
    next: u64,
}

impl Mover {
    fn run(mut self, stop: &AtomicBool) {
        let mut dice = Dice(seed() + self.side as u64);
        while !stop.load(Ordering::SeqCst) {
            let name = |number: u64| format!("{}-{number}", self.side);
            let (one, other) = (name(dice.below(6)), name(dice.below(6)));
            self.do_something(&one, &other, dice.below(3) == 0);
            sleep(Duration::from_millis(2 + dice.below(60)));
        }
    }

    fn do_something(&mut self, one: &str, other: &str, removes: bool) {
        let (root, begun) = (&self.root, self.begun);
        let mut names = self.names.lock().expect("not poisoned");
        let at = || begun.elapsed().as_nanos() as u64;
        match (names.now(one), names.now(other)) {
            (None, _) => {
                self.next += 2;
                names.set(at(), one, Some(self.next));
                put(root, one, format!("file {}", self.next));
            }
            (Some(file), None) => {
                names.set(at(), other, Some(file));
                rename(root, one, other);
                names.set(at(), one, None);
            }
            (Some(_), Some(_)) if removes => {
                remove(root, one);
                names.set(at(), one, None);
            }
            (Some(file), Some(its)) if one != other => {
                // They trade places.
                let aside = format!("{}-aside", self.side);
                rename(root, one, &aside);
                names.set(at(), one, Some(its));
                rename(root, other, one);
                names.set(at(), other, Some(file));
                rename(root, &aside, other);
            }
            _ => {}
        }
    }
}

/// While files move about under it, an index locks the file that was printed under it, or nothing
/// (K26, L8, G10).
#[test]
fn an_index_never_locks_another_file_while_files_move() {
    let tries = if is_full() { 400 } else { 30 };
    let system = System::holding(&[("a-first", "0"), ("z-last", "0")]);
    let (begun, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let names = Arc::new(Mutex::new(Names::default()));
    let movers = Side::BOTH.map(|side| {
        let (root, names, next) = (system.root(side).to_owned(), names.clone(), side as u64);
        let (mover, stop) = (Mover { side, root, begun, names, next }, stop.clone());
        std::thread::spawn(move || mover.run(&stop))
    });
    let now = || begun.elapsed().as_nanos() as u64;
    let mut dice = Dice(seed());
    let (mut locked, mut refused) = (0, 0);
    for round in 0..tries {
        let listed_from = now();
        let listing = system.json(&[]);
        let listed_to = now();
        let entries = listing["entries"].as_array().expect("entries");
        let index = dice.below(entries.len() as u64) as usize;
        let path = entries[index]["path"].as_str().expect("a path").to_owned();
        // The user looks for the row.
        sleep(Duration::from_millis(dice.below(120)));
        let asked_from = now();
        let ran = system.lab3(&["-lock", &index.to_string()]);
        let asked_to = now();
        match ran.code {
            0 => {
                locked += 1;
                assert_eq!(ran.out, format!("locked `{path}`\n"), "{round}");
                let names = names.lock().expect("not poisoned");
                let shown = names.during(&path, listed_from, listed_to);
                let there = names.during(&path, asked_from, asked_to);
                // A new file that takes the place of another within the blink of an eye is a save.
                let is_same = |file| shown.contains(file) || !names.was_shown(*file, listed_from);
                assert!(
                    there.iter().any(is_same),
                    "{round}: `{path}` showed {shown:?} and locked {there:?}"
                );
            }
            1 | 5 => refused += 1,
            _ => panic!("{round}: {ran:?}"),
        }
        system.lab3(&["unlock", "--path", &path]);
    }
    stop.store(true, Ordering::SeqCst);
    for mover in movers {
        mover.join().expect("it moved");
    }
    eprintln!("fire: {tries} indexes: {locked} locked, {refused} refused, seed {}", seed());
    assert!(locked > 0, "nothing was ever locked");
    system.agree();
    nothing_is_left(&system, "after all");
}
