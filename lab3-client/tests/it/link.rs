//! The link between real servers, cut at every byte of small sessions (F01, F05).
//!
//! A case is one connection that is cut when so many bytes have passed one way, by an end or by a
//! reset, while users do something. Then everything must be as if it had never been cut: both
//! trees are what the users left, nothing is beside, and a second wait moves nothing. Many cases
//! share one pair of servers, so a case takes a fraction of a second.

use std::time::{Duration, Instant};

use common::side::Side;

use crate::link_scenes::{Rig, SCENES, Scene};
use crate::proxy::{Act, Fault, records};

/// Cases of the short form, over all scenes.
const SHORT_CASES: u64 = 96;
/// Every so many-eth offset of a session that is longer than this many bytes, in the full form.
const EVERY_OFFSET_BYTES: usize = 12_000;
/// Cases of a scene in the full form, about; all of them with `LAB3_LINK_EVERY=1`.
const FULL_CASES: usize = 800;

/// What a link does at an offset: it ends, one way or the other, or rests.
const ACTS: [Act; 4] =
    [Act::Finish, Act::Reset, Act::HalfClose, Act::Stall(Duration::from_millis(200))];

/// A cut.
#[derive(Clone, Copy, Debug)]
struct Case {
    scene: usize,
    fault: Fault,
}

/// The offsets of a session that are worth a cut: all of a short one.
fn offsets(tape: &[u8]) -> Vec<u64> {
    let stride = (tape.len() / EVERY_OFFSET_BYTES).max(1);
    let mut offsets: Vec<u64> = (0..=tape.len()).step_by(stride).map(|at| at as u64).collect();
    for bound in records(tape) {
        let near = [bound.saturating_sub(1), bound, bound + 1, bound + 4];
        offsets.extend(near.iter().filter(|at| **at <= tape.len()).map(|at| *at as u64));
    }
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// What a scene's connection says both ways, when nothing is cut.
fn cases(scene: usize, rig: &mut Rig) -> Vec<Case> {
    rig.play(&SCENES[scene], None);
    let number = rig.proxy.connections() - 1;
    let mut cases = Vec::new();
    for toward in Side::BOTH {
        let tape = rig.proxy.tape(number, toward);
        let bounds: Vec<u64> = records(&tape).into_iter().map(|at| at as u64).collect();
        for at in offsets(&tape) {
            // A pause, or the end of one way, makes a difference between records at most.
            let acts = if bounds.contains(&at) { &ACTS[..] } else { &ACTS[..2] };
            cases.extend(acts.iter().map(|&act| Case { scene, fault: Fault { toward, at, act } }));
        }
    }
    cases
}

/// Which scenes are played: all, or one that is named by `LAB3_LINK_SCENE`.
fn chosen() -> Vec<usize> {
    let only = std::env::var("LAB3_LINK_SCENE").ok();
    let is_chosen = |scene: &Scene| only.as_ref().is_none_or(|only| only == scene.name);
    (0..SCENES.len()).filter(|at| is_chosen(&SCENES[*at])).collect()
}

/// A link that is cut at any byte, of any session, either way, loses nothing, applies nothing
/// twice, and makes no copy.
#[test]
fn a_cut_at_any_byte_of_a_session_changes_nothing_in_the_end() {
    let seed = crate::dice::seed();
    let begun = Instant::now();
    let halves: Vec<_> = (0..2)
        .map(|half| {
            std::thread::spawn(move || {
                let mine: Vec<usize> = chosen().into_iter().filter(|at| at % 2 == half).collect();
                run(&mine, seed.wrapping_add(half as u64))
            })
        })
        .collect();
    let ran = halves.into_iter().map(|half| half.join().expect("no law was broken"));
    let (cases, struck) = ran.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    eprintln!(
        "link: {cases} cuts ({struck} hit) of {} scenes, seed {seed}, {:.1} s",
        SCENES.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(struck > 0, "no cut ever happened");
}

/// Plays these scenes on a pair of servers of their own; answers how many cases there were, and how
/// many of them hit.
fn run(scenes: &[usize], seed: u64) -> (u64, u64) {
    let mut dice = crate::dice::Dice(seed);
    let mut rig = Rig::start();
    let (mut count, mut struck) = (0, 0);
    for &scene in scenes {
        let mut cases = cases(scene, &mut rig);
        let all = cases.len();
        if !crate::dice::is_full() {
            let few = SHORT_CASES / SCENES.len() as u64;
            cases = (0..few).map(|_| cases[dice.below(cases.len() as u64) as usize]).collect();
        } else if std::env::var_os("LAB3_LINK_EVERY").is_none() {
            // An odd step takes all acts in turn; each seed begins at another case.
            let step = (all / FULL_CASES) | 1;
            cases = cases.into_iter().skip(seed as usize % step).step_by(step).collect();
        }
        let begun = Instant::now();
        let chosen = cases.len();
        for case in cases {
            let before = rig.proxy.struck();
            rig.told = format!("seed {seed}, {}, {case:?}", SCENES[case.scene].name);
            rig.play(&SCENES[case.scene], Some(case.fault));
            struck += u64::from(rig.proxy.struck() > before);
            count += 1;
        }
        if crate::dice::is_full() {
            let (name, seconds) = (SCENES[scene].name, begun.elapsed().as_secs());
            eprintln!("link, {name}: {chosen} of {all} cuts, {seconds} s");
        }
    }
    (count, struck)
}
