//! Servers that are killed while edits are held, and while they are drained.
//!
//! In each round B's user saves some versions under a lock, and A or B is killed at moments that
//! the dice say; then it is unlocked, and A is killed while it drains, again and again. A reader at
//! A must see B's versions in order and nothing else, each once, and nothing before the unlock.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::side::Side;
use serde_json::Value;

use crate::dice::{Dice, is_full, seed};
use crate::fire_watch::{Reader, held, in_order, nothing_is_left, replaced_once};
use crate::server::until;
use crate::system::System;
use crate::trees::{put, rename, text};

/// Rounds of the short form.
const SHORT_ROUNDS: u64 = 5;

#[test]
fn no_kill_during_a_hold_or_a_drain_loses_reorders_or_repeats_an_edit() {
    let (begun, rounds) = (Instant::now(), if is_full() { 200 } else { SHORT_ROUNDS });
    let mut dice = Dice(seed());
    let mut system = System::holding(&[("f", "at first")]);
    let mut versions = vec!["at first".to_owned()];
    let mut kills = 0;
    for round in 0..rounds {
        let told = format!("seed {}, round {round}", seed());
        system.ok(&["-lock", "f"]);
        let (at_a, at_b) = (Reader::of(&system.a, "f"), Reader::of(&system.b, "f"));
        let base = versions.len() - 1;
        for number in 1..=5_usize {
            let content = format!("round {round} edit {number}");
            // Saved at once, so that there is never less than a version to see.
            put(&system.b, "other", &content);
            rename(&system.b, "other", "f");
            versions.push(content);
            if dice.below(3) == 0 {
                let side = if dice.below(2) == 0 { Side::A } else { Side::B };
                sleep(Duration::from_millis(dice.below(60)));
                system.kill(side);
                system.restart(&[side]);
                system.b_is("connected");
                kills += 1;
            }
            held(&system, "f", number);
        }
        let under = at_a.stop();
        in_order(&told, &under, &versions[base..=base]);
        let at_a = Reader::of(&system.a, "f");
        for _ in 0..1 + dice.below(3) {
            let mut unlock = system.client("ann@mill", &["-unlock", "f"]);
            unlock.stdout(Stdio::null()).stderr(Stdio::null());
            let mut unlock = unlock.spawn().expect("the client starts");
            sleep(Duration::from_millis(dice.below(90)));
            system.kill(Side::A);
            unlock.wait().expect("it ended");
            system.start_a();
            system.b_is("connected");
            kills += 1;
        }
        until("it is unlocked", || {
            system.lab3(&["-unlock", "f"]);
            system.ok(&["locks", "--json"]).contains("\"locks\":[]")
        });
        system.agree_on(&[("f", versions.last().expect("some"))]);
        in_order(&told, &at_a.stop(), &versions[base..]);
        // B's user has only ever seen what he wrote himself.
        in_order(&told, &at_b.stop(), &versions[base..]);
        nothing_is_left(&system, &told);
        replaced_once(&system, &told, "f", &versions);
    }
    eprintln!(
        "fire: {rounds} rounds, {kills} kills, seed {}, {:.1} s",
        seed(),
        begun.elapsed().as_secs_f64()
    );
}

/// A's user saves the file in the very moment in which it is drained into, in place or by renaming
/// over it: all that was held is applied, in order, and the last version of either user is in a
/// tree or in a trash; only what A's user replaced himself may be gone (K15, E18).
#[test]
fn a_drain_into_a_file_that_is_being_saved_loses_neither() {
    let rounds = if is_full() { 100 } else { 6 };
    let system = System::holding(&[("f", "at first")]);
    let mut dice = Dice(seed());
    for round in 0..rounds {
        system.ok(&["-lock", "f"]);
        for number in 0..6 {
            let edit = format!("b {round} {number}");
            put(&system.b, "f", &edit);
            held(&system, "f", number + 1);
        }
        let root = system.a.clone();
        let mut its = Dice(dice.below(1 << 30));
        let mut unlock = system.client("ann@mill", &["-unlock", "f", "--json"]);
        unlock.stdout(Stdio::piped()).stderr(Stdio::null());
        let unlock = unlock.spawn().expect("the client starts");
        let mut saved = Vec::new();
        for number in 0..4 {
            sleep(Duration::from_millis(its.below(12)));
            let content = format!("a {round} {number}");
            if its.below(2) == 0 {
                put(&root, "f", &content);
            } else {
                put(&root, ".f.tmp", &content);
                rename(&root, ".f.tmp", "f");
            }
            saved.push(content);
        }
        let answer = unlock.wait_with_output().expect("it ended");
        let receipt: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
        let applied = receipt["applied"].as_array().expect("an array");
        assert_eq!(applied.len(), 6, "round {round}: {receipt}");
        assert!(applied.is_sorted_by_key(|edit| edit["seq"].as_u64()), "round {round}: {receipt}");
        let nodes = system.agree();
        let mut kept: Vec<String> = nodes
            .values()
            .filter_map(|node| match node {
                crate::trees::Node::File { content, .. } => {
                    Some(String::from_utf8_lossy(content).into_owned())
                }
                _ => None,
            })
            .collect();
        for root in [&system.a, &system.b] {
            kept.extend(crate::trees::trash(root).into_iter().map(|(_, _, content)| content));
        }
        let last = saved.last().expect("some");
        assert!(kept.contains(last), "round {round}: {last:?} is lost: {nodes:?}");
        let edit = format!("b {round} 5");
        assert!(kept.contains(&edit), "round {round}: {edit:?} is lost: {kept:?}");
        assert!(text(&system.a, "f").is_some());
        nothing_is_left(&system, "after a round");
    }
}
